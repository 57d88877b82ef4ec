// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 192 */
/*
 * The report on the first cp_range: "While taking the full system dump (from
 * address 0 to 3GB) [...] Unable to handle kernel paging request at virtual
 * address 003a6000". It took what a mapping covers for memory that can be read.
 * So at that very address here lies all that can be mapped and not be read, and
 * the whole is dumped over the same range. An oops in the guest fails the test.
 */
#include "cp_test.h"
#include "harness.h"

#define AT		((char *)0x3a6000)
#define THREE_GB	((void *)0xc0000000)
#define PAGES		4
#define LEN		(PAGES * PAGE)
#define FILE_NAME	"/tmp/report.file"

FIXTURE(report) {
	struct cpimg	*img;
};

FIXTURE_VARIANT(report) {
	void		*end;
};

FIXTURE_VARIANT_ADD(report, three_gb) { THREE_GB };
FIXTURE_VARIANT_ADD(report, everything) { (void *)~0UL };

FIXTURE_SETUP(report)
{
}

FIXTURE_TEARDOWN(report)
{
	cpimg_close(self->img);
	munmap(AT, LEN);
	unlink(FILE_NAME);
}

static bool map_at(int prot, int flags, int fd)
{
	/* just a hint: MAP_FIXED would take what is there already */
	void *mem = mmap(AT, LEN, prot, flags, fd, 0);

	if (mem != AT && mem != MAP_FAILED)
		munmap(mem, LEN);
	return mem == AT;
}

#define MAP(...) do { \
	if (!map_at(__VA_ARGS__)) \
		SKIP(return, "something else is mapped at %p", AT); \
} while (0)

#define DUMP() do { \
	ASSERT_EQ(0, cp_range(NULL, variant->end)) \
		TH_LOG("%s", strerror(errno)); \
	self->img = cp_open(cp_gettid(), 0); \
	unlink(cp_name(cp_gettid(), 0)); \
	ASSERT_NE(NULL, self->img); \
} while (0)

static int file_of(size_t len)
{
	int fd = open(FILE_NAME, O_CREAT | O_TRUNC | O_RDWR, 0600);

	if (fd >= 0 && ftruncate(fd, len))
		return -1;
	return fd;
}

/* A page fault there, by the kernel or not, ends in SIGBUS. */
TEST_F(report, past_the_end_of_a_file)
{
	int fd = file_of(PAGE);

	ASSERT_LE(0, fd);
	ASSERT_EQ(4, pwrite(fd, "left", 4, 0));
	MAP(PROT_READ, MAP_PRIVATE, fd);
	ASSERT_EQ('l', AT[0]);
	DUMP();
	EXPECT_OK(cp_same_bytes(self->img, AT, PAGE));
	EXPECT_OK(cp_is(self->img, AT + PAGE, LEN - PAGE, CPIMG_SKIPPED,
			CP_SKIP_FAULT));
}

TEST_F(report, cut_off_after_it_was_read)
{
	int fd = file_of(LEN);

	ASSERT_LE(0, fd);
	MAP(PROT_READ, MAP_SHARED, fd);
	for (int i = 0; i < PAGES; i++)
		ASSERT_EQ(0, AT[i * PAGE]);
	ASSERT_EQ(0, ftruncate(fd, 0));
	DUMP();
	EXPECT_OK(cp_is(self->img, AT, LEN, CPIMG_SKIPPED, CP_SKIP_FAULT));
}

TEST_F(report, never_touched)
{
	MAP(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	DUMP();
	EXPECT_OK(cp_is(self->img, AT, LEN, CPIMG_HOLE, CP_HOLE_ZERO));
}

TEST_F(report, not_for_reading)
{
	MAP(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	cp_fill(AT, LEN, 7);
	ASSERT_EQ(0, mprotect(AT, LEN, PROT_NONE));
	DUMP();
	EXPECT_OK(cp_is(self->img, AT, LEN, CPIMG_SKIPPED, CP_SKIP_NOREAD));
}

/* The dump goes on past it: the stack is the last thing of all. */
TEST_F(report, goes_on_to_the_end)
{
	char here[64] = "at the far end";

	MAP(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	AT[PAGE] = 'x';
	DUMP();
	EXPECT_OK(cp_same_bytes(self->img, AT + PAGE, PAGE));
	if (variant->end != THREE_GB) {
		char then[sizeof(here)];
		struct cpimg_error err;

		ASSERT_EQ(0, cpimg_pread(self->img, (uintptr_t)here, then,
					 sizeof(then), &err))
			TH_LOG("%s", err.text);
		EXPECT_STREQ(here, then);
	}
}

TEST_HARNESS_MAIN
