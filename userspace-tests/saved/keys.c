// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 --swap 64 */
/*
 * Protection keys: memory that the caller may not read at the moment is not in its
 * image, wherever its pages are. That is the program's rule as PROT_NONE is.
 */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/uio.h>

#include "chain.h"
#include "harness.h"

#define PAGES	8
#define LEN	(PAGES * PAGE)
#define RW	(PROT_READ | PROT_WRITE)

#define NO_ACCESS	1	/* PKEY_DISABLE_ACCESS */
#define NO_WRITE	2	/* PKEY_DISABLE_WRITE */

static const char secret[] = "nobody is to read this but the holder of the key";

FIXTURE(keys) {
	char		*mem;
	struct chain	c;
	int		key;
};

static unsigned int read_pkru(void)
{
	unsigned int eax, edx;

	asm volatile("rdpkru" : "=a" (eax), "=d" (edx) : "c" (0));
	return eax;
}

static void set_rights(int key, unsigned int rights)
{
	unsigned int pkru = (read_pkru() & ~(3U << 2 * key)) | rights << 2 * key;

	asm volatile("wrpkru" : : "a" (pkru), "c" (0), "d" (0) : "memory");
}

/* Byte by byte: not by way of a wide register, which would be in the notes. */
static void tell(volatile char *to)
{
	for (size_t i = 0; i < sizeof(secret); i++)
		to[i] = secret[i];
}

FIXTURE_SETUP(keys)
{
	self->key = syscall(SYS_pkey_alloc, 0, 0);
	if (self->key < 0)
		SKIP(return, "no protection keys: %s", strerror(errno));
	self->mem = cp_map(LEN);
	ASSERT_NE(NULL, self->mem);
	madvise(self->mem, LEN, MADV_NOHUGEPAGE);
	cp_fill(self->mem, LEN, 1);
	for (int i = 0; i < PAGES; i++)
		tell(self->mem + i * PAGE + 100);
}

FIXTURE_TEARDOWN(keys)
{
	if (self->key >= 0)
		set_rights(self->key, 0);
	chain_close(&self->c);
	chain_remove();
}

/* Pages 2 to 5 get the key. */
#define LOCK(rights) do { \
	ASSERT_EQ(0, syscall(SYS_pkey_mprotect, self->mem + 2 * PAGE, 4 * PAGE, RW, \
			     self->key)) TH_LOG("%m"); \
	set_rights(self->key, rights); \
} while (0)

#define IS(page, nr, ...) \
	EXPECT_OK(cp_is(self->c.img, self->mem + (page) * PAGE, (nr) * PAGE, __VA_ARGS__))

static bool has_secret(const char *name, unsigned int *found)
{
	struct stat st;
	int fd = open(name, O_RDONLY);
	char *file, *at;

	if (fd < 0 || fstat(fd, &st))
		return false;
	file = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	for (*found = 0, at = file;
	     (at = memmem(at, st.st_size - (at - file), secret, sizeof(secret))); at++)
		++*found;
	munmap(file, st.st_size);
	return true;
}

/* The four are left out, and nothing of them is anywhere in the file. */
#define LEFT_OUT(others) do { \
	unsigned int found_; \
	IS(2, 4, CPIMG_SKIPPED, CP_SKIP_NOREAD); \
	ASSERT_TRUE(has_secret(cpimg_path(self->c.img), &found_)); \
	EXPECT_EQ(others, found_); \
} while (0)

TEST_F(keys, left_out_while_present)
{
	LOCK(NO_ACCESS);
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	LEFT_OUT(4);
	IS(0, 2, CPIMG_DATA, 0);
	IS(6, 2, CPIMG_DATA, 0);
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN));
	LEFT_OUT(0);
	IS(0, 2, CPIMG_SAME, 0);
}

TEST_F(keys, left_out_while_in_swap)
{
	ASSERT_EQ(0, cp_pageout(self->mem, LEN));
	LOCK(NO_ACCESS);
	ASSERT_EQ(0, cp_pagemap(self->mem + 3 * PAGE) >> 63);
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	LEFT_OUT(4);
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN));
	LEFT_OUT(0);
}

TEST_F(keys, left_out_though_never_touched)
{
	ASSERT_EQ(0, madvise(self->mem, LEN, MADV_DONTNEED));
	LOCK(NO_ACCESS);
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	LEFT_OUT(0);
}

/* The chain has what was there before; what was written since is in the next image. */
TEST_F(keys, saved_again_when_it_may_be_read)
{
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	LOCK(0);
	self->mem[3 * PAGE] = 'w';
	set_rights(self->key, NO_ACCESS);
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN));
	LEFT_OUT(0);
	set_rights(self->key, 0);
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN));
	/* Left out is not clean. */
	IS(2, 4, CPIMG_DATA, 0);
	EXPECT_OK(chain_matches(&self->c, self->mem, LEN));
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN));
	IS(2, 4, CPIMG_SAME, 0);
}

/* A key that only keeps from writing keeps nothing from being saved. */
TEST_F(keys, saved_where_it_may_be_read)
{
	LOCK(NO_WRITE);
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	IS(0, PAGES, CPIMG_DATA, 0);
	EXPECT_OK(chain_matches(&self->c, self->mem, LEN));
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN));
	IS(0, PAGES, CPIMG_SAME, 0);
}

/* Memory that is shared, of a file, huge: the rule is the mapping's. */
TEST_F(keys, left_out_whatever_it_is)
{
	static const struct {
		const char	*what;
		int		flags;
		size_t		len;
	} kinds[] = {
		{ "shared", MAP_SHARED | MAP_ANONYMOUS, LEN },
		{ "a file", MAP_PRIVATE, LEN },
		{ "hugetlb", MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, HUGE },
		{ "a huge page", MAP_PRIVATE | MAP_ANONYMOUS, 2 * HUGE },
	};

	cp_write_file("/proc/sys/vm/nr_hugepages", "2");
	cp_write_file("/sys/kernel/mm/transparent_hugepage/enabled", "always");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		int fd = kinds[i].flags & MAP_ANONYMOUS ? -1 : open("/proc/self/exe", O_RDONLY);
		unsigned int found;
		char *mem = mmap(NULL, kinds[i].len, RW, kinds[i].flags, fd, 0);

		close(fd);
		if (mem == MAP_FAILED) {
			TH_LOG("no %s: %s", kinds[i].what, strerror(errno));
			continue;
		}
		tell(mem + 100);
		ASSERT_EQ(0, syscall(SYS_pkey_mprotect, mem, kinds[i].len, RW, self->key));
		set_rights(self->key, NO_ACCESS);
		for (int inc = 0; inc < 2; inc++) {
			ASSERT_OK(inc ? chain_inc(&self->c, mem, kinds[i].len) :
				  chain_full(&self->c, mem, kinds[i].len));
			EXPECT_OK(cp_is(self->c.img, mem, kinds[i].len, CPIMG_SKIPPED,
					CP_SKIP_NOREAD));
			ASSERT_TRUE(has_secret(cpimg_path(self->c.img), &found));
			EXPECT_EQ(0, found) TH_LOG("%s", kinds[i].what);
		}
		set_rights(self->key, 0);
		munmap(mem, kinds[i].len);
	}
	cp_write_file("/proc/sys/vm/nr_hugepages", "0");
}

/* Execute-only memory, which the kernel makes with a key of its own. */
TEST_F(keys, left_out_where_it_is_for_executing_only)
{
	ASSERT_EQ(0, mprotect(self->mem + 2 * PAGE, 4 * PAGE, PROT_EXEC));
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	LEFT_OUT(4);
}

TEST_HARNESS_MAIN
