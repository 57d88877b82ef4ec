// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 --smp 2 */
/* hugetlb: saved without holding its pages, of which there may be none to spare. */
#include <pthread.h>

#include "cp_test.h"
#include "harness.h"

#define POOL	"/proc/sys/vm/nr_hugepages"

#ifndef MAP_HUGETLB
#define MAP_HUGETLB	0x40000
#endif

FIXTURE(hugetlb) {
	char		*mem;
	struct cpimg	*img;
};

FIXTURE_VARIANT(hugetlb) {
	int	flags;
};

FIXTURE_VARIANT_ADD(hugetlb, private) { MAP_PRIVATE };
FIXTURE_VARIANT_ADD(hugetlb, shared) { MAP_SHARED };

#define PAGES	4

FIXTURE_SETUP(hugetlb)
{
	if (cp_write_file(POOL, "4") || cp_read_number(POOL) != PAGES)
		SKIP(return, "no pool of %d huge pages", PAGES);
	self->mem = mmap(NULL, PAGES * HUGE, PROT_READ | PROT_WRITE,
			 variant->flags | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (self->mem == MAP_FAILED)
		SKIP(return, "no MAP_HUGETLB: %s", strerror(errno));
}

FIXTURE_TEARDOWN(hugetlb)
{
	cpimg_close(self->img);
}

TEST_F(hugetlb, every_byte)
{
	cp_fill(self->mem, PAGES * HUGE, 1);
	TAKE(self->mem, PAGES * HUGE);
	EXPECT_OK(cp_same_bytes(self->img, self->mem, PAGES * HUGE));
}

TEST_F(hugetlb, untouched_is_a_hole)
{
	cp_fill(self->mem + HUGE, HUGE, 2);
	TAKE(self->mem, PAGES * HUGE);
	EXPECT_OK(cp_same_bytes(self->img, self->mem + HUGE, HUGE));
	EXPECT_OK(cp_is(self->img, self->mem, HUGE, CPIMG_HOLE, CP_HOLE_ZERO));
	EXPECT_OK(cp_is(self->img, self->mem + 2 * HUGE, 2 * HUGE, CPIMG_HOLE,
			CP_HOLE_ZERO));
}

TEST_F(hugetlb, part_of_a_huge_page)
{
	cp_fill(self->mem, 2 * HUGE, 3);
	TAKE(self->mem + 3 * PAGE, 2 * PAGE);
	EXPECT_EQ(2, cpimg_note(self->img)->pages_data);
	EXPECT_OK(cp_same_bytes(self->img, self->mem + 3 * PAGE, 2 * PAGE));
	TAKE(self->mem + HUGE - PAGE, 2 * PAGE);
	EXPECT_EQ(2, cpimg_note(self->img)->pages_data);
	EXPECT_OK(cp_same_bytes(self->img, self->mem + HUGE - PAGE, 2 * PAGE));
}

/* Another process wrote it; no entry here knows. */
TEST_F(hugetlb, filled_by_a_child)
{
	int status;
	pid_t pid;

	if (variant->flags != MAP_SHARED)
		SKIP(return, "private: nothing of a child's is here");
	pid = fork();
	if (!pid) {
		cp_fill(self->mem, HUGE, 4);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	TAKE(self->mem, 2 * HUGE);
	EXPECT_OK(cp_same_bytes(self->img, self->mem, HUGE));
}

static volatile bool stop;
static volatile long loops;

/*
 * Give a page back and take it again, of a pool without another: whoever holds
 * a reference to the first makes the second a SIGBUS.
 */
static void *discard_and_touch(void *arg)
{
	char *mem = arg;

	while (!stop) {
		for (int i = 0; i < PAGES; i++) {
			madvise(mem + i * HUGE, HUGE, MADV_DONTNEED);
			*(volatile long *)(mem + i * HUGE) = ++loops;
		}
	}
	return NULL;
}

TEST_F(hugetlb, of_an_exhausted_pool_is_not_held)
{
	pthread_t t;

	if (variant->flags != MAP_PRIVATE)
		SKIP(return, "shared: a discarded page stays in its file");
	cp_fill(self->mem, PAGES * HUGE, 5);
	ASSERT_EQ(0, cp_meminfo("HugePages_Free"));
	stop = false;
	loops = 0;
	/* SIGBUS in the thread ends the test. */
	ASSERT_EQ(0, pthread_create(&t, NULL, discard_and_touch, self->mem));
	for (int i = 0; i < (cp_debug_kernel() ? 10 : 60); i++) {
		TAKE(self->mem, PAGES * HUGE);
	}
	stop = true;
	pthread_join(t, NULL);
	EXPECT_LT(PAGES, loops);
}

TEST_F(hugetlb, of_an_exhausted_pool_is_saved)
{
	cp_fill(self->mem, PAGES * HUGE, 6);
	ASSERT_EQ(0, cp_meminfo("HugePages_Free"));
	for (int i = 0; i < 3; i++) {
		TAKE(self->mem, PAGES * HUGE);
		EXPECT_OK(cp_same_bytes(self->img, self->mem, PAGES * HUGE));
	}
}

TEST_F(hugetlb, read_only_and_none)
{
	cp_fill(self->mem, 2 * HUGE, 7);
	ASSERT_EQ(0, mprotect(self->mem, HUGE, PROT_READ));
	ASSERT_EQ(0, mprotect(self->mem + HUGE, HUGE, PROT_NONE));
	TAKE(self->mem, 2 * HUGE);
	EXPECT_OK(cp_same_bytes(self->img, self->mem, HUGE));
	EXPECT_OK(cp_is(self->img, self->mem + HUGE, HUGE, CPIMG_SKIPPED, CP_SKIP_NOREAD));
}

/* More than one page table of the level above spans: there are none for most of it. */
TEST_F(hugetlb, gigabytes_untouched_are_a_hole)
{
	size_t len = sizeof(size_t) == 8 ? 3UL << 30 : 1UL << 30;
	char *mem;

	/* The whole pool is reserved for it. */
	ASSERT_EQ(0, munmap(self->mem, PAGES * HUGE));
	mem = mmap(NULL, len, PROT_READ | PROT_WRITE, variant->flags |
		   MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, mem) TH_LOG("%m");
	cp_fill(mem, HUGE, 8);
	TAKE(mem, len);
	EXPECT_OK(cp_same_bytes(self->img, mem, HUGE));
	EXPECT_OK(cp_is(self->img, mem + HUGE, len - HUGE, CPIMG_HOLE, CP_HOLE_ZERO));
}

TEST_HARNESS_MAIN
