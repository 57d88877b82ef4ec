// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 */
/* Transparent huge pages: the bytes are right, whole, in part, and split. */
#include <sys/mount.h>

#include "cp_test.h"
#include "harness.h"

#define THP	"/sys/kernel/mm/transparent_hugepage/"
#define LEN	(3 * HUGE)

FIXTURE(huge_pages) {
	char		*mem;
	struct cpimg	*img;
};

FIXTURE_SETUP(huge_pages)
{
	char *area = cp_map(LEN + HUGE);

	if (access(THP "enabled", F_OK))
		SKIP(return, "no transparent huge pages");
	/* Off by default in a machine this small. */
	cp_write_file(THP "enabled", "madvise");
	cp_write_file(THP "use_zero_page", "1");
	self->mem = (char *)(((uintptr_t)area + HUGE - 1) & -HUGE);
	ASSERT_EQ(0, madvise(self->mem, LEN, MADV_HUGEPAGE));
}

FIXTURE_TEARDOWN(huge_pages)
{
	cpimg_close(self->img);
}

#define FILL(seed) do { \
	cp_fill(self->mem, LEN, seed); \
	if (cp_smaps(self->mem, "AnonHugePages") < (long)(LEN >> 10)) \
		SKIP(return, "no huge pages came, %ld kB", \
		     cp_smaps(self->mem, "AnonHugePages")); \
} while (0)

TEST_F(huge_pages, every_byte)
{
	FILL(1);
	TAKE(self->mem, LEN);
	EXPECT_OK(cp_same_bytes(self->img, self->mem, LEN));
	EXPECT_EQ(1, cpimg_note(self->img)->runs);
}

TEST_F(huge_pages, in_part)
{
	FILL(2);
	TAKE(self->mem + 5 * PAGE, 3 * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, self->mem + 5 * PAGE, 3 * PAGE));
	EXPECT_EQ(3, cpimg_note(self->img)->pages_data);
	TAKE(self->mem + HUGE - 2 * PAGE, HUGE + 3 * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, self->mem + HUGE - 2 * PAGE,
				HUGE + 3 * PAGE));
	EXPECT_EQ((HUGE + 3 * PAGE) / PAGE, cpimg_note(self->img)->pages_data);
}

/* Mapped by pages, though the memory behind is still one piece. */
TEST_F(huge_pages, mapped_by_pages)
{
	FILL(3);
	ASSERT_EQ(0, mprotect(self->mem + 10 * PAGE, PAGE, PROT_READ));
	ASSERT_EQ(0, madvise(self->mem + 20 * PAGE, 4 * PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, munmap(self->mem + 40 * PAGE, PAGE));
	TAKE(self->mem, LEN);
	EXPECT_OK(cp_same_bytes(self->img, self->mem, 20 * PAGE));
	EXPECT_OK(cp_is(self->img, self->mem + 20 * PAGE, 4 * PAGE, CPIMG_HOLE,
			CP_HOLE_ZERO));
	EXPECT_OK(cp_same_bytes(self->img, self->mem + 24 * PAGE, 16 * PAGE));
	EXPECT_EQ(NULL, cpimg_find(self->img, (uintptr_t)self->mem + 40 * PAGE));
	EXPECT_OK(cp_same_bytes(self->img, self->mem + 41 * PAGE, LEN - 41 * PAGE));
}

TEST_F(huge_pages, of_zeros_is_a_hole)
{
	volatile char *mem = self->mem;

	/* Reading maps the huge zero page. */
	for (size_t i = 0; i < LEN; i += HUGE)
		mem[i];
	TAKE(self->mem, LEN);
	EXPECT_OK(cp_is(self->img, self->mem, LEN, CPIMG_HOLE, CP_HOLE_ZERO));
}

TEST_F(huge_pages, next_to_small_ones)
{
	ASSERT_EQ(0, madvise(self->mem + HUGE, HUGE, MADV_NOHUGEPAGE));
	cp_fill(self->mem, HUGE, 4);
	cp_fill(self->mem + 2 * HUGE, HUGE, 5);
	cp_fill(self->mem + HUGE + 7 * PAGE, PAGE, 6);
	TAKE(self->mem, LEN);
	EXPECT_OK(cp_same_bytes(self->img, self->mem, HUGE));
	EXPECT_OK(cp_is(self->img, self->mem + HUGE, 7 * PAGE, CPIMG_HOLE, CP_HOLE_ZERO));
	EXPECT_OK(cp_same_bytes(self->img, self->mem + HUGE + 7 * PAGE, PAGE));
	EXPECT_OK(cp_same_bytes(self->img, self->mem + 2 * HUGE, HUGE));
}

TEST_F(huge_pages, shared_with_a_child)
{
	int pipes[2];
	pid_t pid;

	FILL(7);
	ASSERT_EQ(0, pipe(pipes));
	pid = fork();
	if (!pid) {
		char c;

		_exit(read(pipes[0], &c, 1) != 1);
	}
	TAKE(self->mem, LEN);
	EXPECT_OK(cp_same_bytes(self->img, self->mem, LEN));
	self->mem[HUGE + 5] ^= 1;
	TAKE(self->mem, LEN);
	EXPECT_OK(cp_same_bytes(self->img, self->mem, LEN));
	ASSERT_EQ(1, write(pipes[1], "x", 1));
	waitpid(pid, NULL, 0);
}

/* tmpfs has huge pages of its own, mapped by whole tables or by pages. */
TEST_F(huge_pages, of_tmpfs)
{
	char *mem;
	int fd;

	mkdir("/dev/shm/huge", 0700);
	if (unshare(CLONE_NEWNS) ||
	    mount("none", "/dev/shm/huge", "tmpfs", 0, "huge=always"))
		SKIP(return, "no tmpfs with huge pages: %s", strerror(errno));
	fd = open("/dev/shm/huge/file", O_CREAT | O_RDWR, 0600);
	ASSERT_EQ(0, ftruncate(fd, LEN));
	mem = mmap(self->mem, LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		   fd, 0);
	ASSERT_EQ(self->mem, mem);
	cp_fill(mem, LEN, 8);
	if (cp_smaps(mem, "ShmemPmdMapped") < (long)(LEN >> 10)) {
		TH_LOG("%ld kB mapped huge", cp_smaps(mem, "ShmemPmdMapped"));
	}
	TAKE(mem, LEN);
	EXPECT_OK(cp_same_bytes(self->img, mem, LEN));
	/* And in part, and from a mapping that has not touched it. */
	TAKE(mem + 100 * PAGE, 3 * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, mem + 100 * PAGE, 3 * PAGE));
	mem = mmap(NULL, LEN, PROT_READ, MAP_SHARED, fd, 0);
	TAKE(mem, LEN);
	EXPECT_OK(cp_same_bytes(self->img, mem, LEN));
	umount2("/dev/shm/huge", MNT_DETACH);
	rmdir("/dev/shm/huge");
}

/* Pages that are put together while checkpoints go on. */
TEST_F(huge_pages, collapsed)
{
	ASSERT_EQ(0, madvise(self->mem, LEN, MADV_NOHUGEPAGE));
	cp_fill(self->mem, LEN, 9);
	ASSERT_EQ(0, madvise(self->mem, LEN, MADV_HUGEPAGE));
	if (madvise(self->mem, LEN, MADV_COLLAPSE))
		SKIP(return, "no MADV_COLLAPSE: %s", strerror(errno));
	TAKE(self->mem, LEN);
	EXPECT_OK(cp_same_bytes(self->img, self->mem, LEN));
}

TEST_HARNESS_MAIN
