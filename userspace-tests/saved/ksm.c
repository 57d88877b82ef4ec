// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 */
/* Pages that KSM has merged are saved like any others. */
#include "cp_test.h"
#include "harness.h"

#define PAGES	64
#define LEN	(PAGES * PAGE)

#define KPF_KSM	21

FIXTURE(ksm) {
	char		*mem;
	struct cpimg	*img;
};

FIXTURE_SETUP(ksm)
{
	if (access(CP_KSM "run", W_OK))
		SKIP(return, "no KSM");
	/* Nothing is left merged, so that its counters start at 0. */
	cp_write_file(CP_KSM "run", "2");
	cp_write_file(CP_KSM "sleep_millisecs", "0");
	cp_write_file(CP_KSM "pages_to_scan", "10000");
	cp_write_file(CP_KSM "use_zero_pages", "0");
	self->mem = cp_map(2 * LEN);
	madvise(self->mem, 2 * LEN, MADV_NOHUGEPAGE);
}

FIXTURE_TEARDOWN(ksm)
{
	cpimg_close(self->img);
	cp_write_file(CP_KSM "run", "2");	/* unmerge */
}

static void twins(char *mem)
{
	cp_fill(mem, LEN, 1);
	memcpy(mem + LEN, mem, LEN);
}

TEST_F(ksm, merged_pages_are_saved)
{
	twins(self->mem);
	ASSERT_EQ(0, madvise(self->mem, 2 * LEN, MADV_MERGEABLE));
	/* All, but for a few that old kernels leave on their way to the LRU lists. */
	ASSERT_TRUE(cp_ksm_reaches(CP_KSM "pages_sharing", PAGES - 15, 10));
	cp_write_file(CP_KSM "run", "0");
	EXPECT_TRUE(cp_kpageflags(self->mem) >> KPF_KSM & 1);
	TAKE(self->mem, 2 * LEN);
	EXPECT_OK(cp_same_bytes(self->img, self->mem, 2 * LEN));
}

TEST_F(ksm, merging_meanwhile)
{
	twins(self->mem);
	ASSERT_EQ(0, madvise(self->mem, 2 * LEN, MADV_MERGEABLE));
	cp_write_file(CP_KSM "run", "1");
	for (int i = 0; i < 20; i++) {
		self->mem[i * PAGE] ^= 1;
		TAKE(self->mem, 2 * LEN);
		ASSERT_OK(cp_same_bytes(self->img, self->mem, 2 * LEN));
	}
}

/* Written zeros that KSM has replaced by the zero page: zeros, either way. */
TEST_F(ksm, zero_pages_in_anonymous_memory)
{
	static const char zero[PAGE];
	char buf[PAGE];

	if (cp_write_file(CP_KSM "use_zero_pages", "1"))
		SKIP(return, "no use_zero_pages");
	memset(self->mem, 1, LEN);
	memset(self->mem, 0, LEN);
	ASSERT_EQ(0, madvise(self->mem, LEN, MADV_MERGEABLE));
	ASSERT_TRUE(cp_ksm_reaches(CP_KSM "ksm_zero_pages", PAGES, 10));
	cp_write_file(CP_KSM "run", "0");
	TAKE(self->mem, LEN);
	for (int i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, cpimg_pread(self->img, (uintptr_t)self->mem + i * PAGE,
					 buf, PAGE, NULL));
		ASSERT_EQ(0, memcmp(buf, zero, PAGE));
	}
}

/* In a private mapping of a file of 'A's a hole would bring the 'A's back. */
TEST_F(ksm, zero_pages_in_a_private_file_mapping_are_data)
{
	char *shared, *mem;
	int fd;

	if (cp_write_file(CP_KSM "use_zero_pages", "1"))
		SKIP(return, "no use_zero_pages");
	shared = cp_memfd("ksm", LEN, 1, &fd);
	ASSERT_NE(NULL, shared);
	memset(shared, 'A', LEN);
	mem = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	memset(mem, 0, LEN);
	if (madvise(mem, LEN, MADV_MERGEABLE))
		SKIP(return, "KSM does not take private files: %s", strerror(errno));
	if (!cp_ksm_reaches(CP_KSM "ksm_zero_pages", PAGES, 10))
		SKIP(return, "KSM made no zero pages here");
	cp_write_file(CP_KSM "run", "0");
	TAKE(mem, LEN);
	EXPECT_OK(cp_same_bytes(self->img, mem, LEN));
}

TEST_HARNESS_MAIN
