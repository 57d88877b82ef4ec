// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 192 --swap 256 --disk 256 --smp 2 --timeout 400 */
/*
 * Swapped out is not gone: the page is brought in and saved. Asked for page by
 * page, and under pressure that is real.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/mount.h>

#include "cp_test.h"
#include "harness.h"

static size_t len;

FIXTURE(swapped) {
	char		*mem;
	struct cpimg	*img;
};

FIXTURE_SETUP(swapped)
{
	if (!cp_swap_device())
		SKIP(return, "no swap device");
	len = (cp_debug_kernel() ? 1UL : 8UL) << 20;
	self->mem = cp_map(len);
	cp_fill(self->mem, len, 1);
}

FIXTURE_TEARDOWN(swapped)
{
	cpimg_close(self->img);
}

/* Out with it; at least half must go, or there is nothing to test. */
#define PAGE_OUT(at, size) do { \
	if (cp_pageout(at, size)) \
		SKIP(return, "memory does not go to swap: %s", strerror(errno)); \
	ASSERT_LT((size) / PAGE / 2, cp_swapped(at, size)); \
} while (0)

TEST_F(swapped, anonymous)
{
	PAGE_OUT(self->mem, len);
	TAKE(self->mem, len);
	EXPECT_OK(cp_same_bytes(self->img, self->mem, len));
	EXPECT_EQ(1, cpimg_note(self->img)->runs);
}

TEST_F(swapped, among_others)
{
	/* Out, in, discarded and untouched in turn. */
	PAGE_OUT(self->mem, len);
	for (size_t i = 0; i < len / PAGE; i++) {
		if (i % 4 == 1)
			self->mem[i * PAGE] ^= 1;
		if (i % 4 == 2)
			madvise(self->mem + i * PAGE, PAGE, MADV_DONTNEED);
	}
	TAKE(self->mem, len);
	for (size_t i = 0; i < len / PAGE; i++) {
		if (i % 4 == 2)
			ASSERT_OK(cp_is(self->img, self->mem + i * PAGE, PAGE,
					CPIMG_HOLE, CP_HOLE_ZERO));
		else
			ASSERT_OK(cp_same_bytes(self->img, self->mem + i * PAGE, PAGE));
	}
}

TEST_F(swapped, read_only)
{
	PAGE_OUT(self->mem, len);
	ASSERT_EQ(0, mprotect(self->mem, len, PROT_READ));
	TAKE(self->mem, len);
	EXPECT_OK(cp_same_bytes(self->img, self->mem, len));
}

TEST_F(swapped, written_private_file)
{
	char *shared, *mem;
	int fd;

	shared = cp_memfd("swapped", len, 2, &fd);
	ASSERT_NE(NULL, shared);
	mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	cp_fill(mem, len, 3);
	PAGE_OUT(mem, len);
	TAKE(mem, len);
	EXPECT_OK(cp_same_bytes(self->img, mem, len));
}

/* Shared memory leaves no trace in the page table when it is swapped out. */
TEST_F(swapped, shared)
{
	long before = cp_vmstat("pswpout");
	char *mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cp_fill(mem, len, 4);
	if (cp_pageout(mem, len))
		SKIP(return, "memory does not go to swap: %s", strerror(errno));
	ASSERT_LE(before + (long)(len / PAGE / 2), cp_vmstat("pswpout"));
	TAKE(mem, len);
	EXPECT_OK(cp_same_bytes(self->img, mem, len));
}

TEST_F(swapped, shared_and_not_mapped_here)
{
	char *mem, *other;
	int fd;

	other = cp_memfd("swapped", len, 5, &fd);
	ASSERT_NE(NULL, other);
	mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (cp_pageout(other, len))
		SKIP(return, "memory does not go to swap: %s", strerror(errno));
	ASSERT_EQ(0, munmap(other, len));
	TAKE(mem, len);
	EXPECT_OK(cp_same_bytes(self->img, mem, len));
}

TEST_F(swapped, shared_with_a_child)
{
	int pipes[2];
	pid_t pid;

	ASSERT_EQ(0, pipe(pipes));
	pid = fork();
	if (!pid) {
		char c;

		_exit(read(pipes[0], &c, 1) != 1);
	}
	madvise(self->mem, len, MADV_PAGEOUT);
	TAKE(self->mem, len);
	EXPECT_OK(cp_same_bytes(self->img, self->mem, len));
	ASSERT_EQ(1, write(pipes[1], "x", 1));
	waitpid(pid, NULL, 0);
}

static volatile bool stop;

static void *page_out(void *arg)
{
	while (!stop)
		madvise(arg, len, MADV_PAGEOUT);
	return NULL;
}

/* Pages that go while they are being saved. */
TEST_F(swapped, meanwhile)
{
	pthread_t t;

	stop = false;
	ASSERT_EQ(0, pthread_create(&t, NULL, page_out, self->mem));
	for (int i = 0; i < 4; i++) {
		TAKE(self->mem, len);
		EXPECT_OK(cp_same_bytes(self->img, self->mem, len));
	}
	stop = true;
	pthread_join(t, NULL);
}

/* More than the memory there is, so that the walk itself pushes pages out. */
TEST_F(swapped, under_real_pressure)
{
	size_t size = (cp_debug_kernel() ? 32UL : 80UL) << 20;
	long before;
	pid_t pid;
	char *mem;

	if (access("/disk/lost+found", F_OK) || unshare(CLONE_NEWNS) ||
	    mount("/disk", "/tmp", NULL, MS_BIND, NULL))
		SKIP(return, "no /disk for an image this size");
	munmap(self->mem, len);
	pid = cp_hold_memory_but(size >> 11);
	ASSERT_TRUE(cp_wait_stopped(pid));
	mem = cp_map(size);
	madvise(mem, size, MADV_NOHUGEPAGE);
	cp_fill(mem, size, 6);
	/* half of it has no room */
	ASSERT_LT(size / PAGE / 4, cp_swapped(mem, size));
	before = cp_vmstat("pswpin");
	TAKE(mem, size);
	EXPECT_LT(before + 1000, cp_vmstat("pswpin"));
	EXPECT_EQ(size / PAGE, cpimg_note(self->img)->pages_data);
	EXPECT_OK(cp_same_bytes(self->img, mem, size));
	cp_kill(pid);
}

TEST_HARNESS_MAIN
