// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 --disk 32 */
/*
 * HOLE: mapped, and nothing of its own there. What reads as zeros is told from
 * what reads from a file, since a restore must not confuse them.
 */
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include "cp_test.h"
#include "harness.h"

#define PAGES	16

FIXTURE(holes) {
	struct cpimg	*img;
	char		*mem;
};

FIXTURE_SETUP(holes)
{
	self->mem = cp_map(PAGES * PAGE);
	ASSERT_NE(NULL, self->mem);
}

FIXTURE_TEARDOWN(holes)
{
	cpimg_close(self->img);
}

TEST_F(holes, untouched)
{
	TAKE(self->mem, PAGES * PAGE);
	EXPECT_OK(cp_is(self->img, self->mem, PAGES * PAGE, CPIMG_HOLE, CP_HOLE_ZERO));
	EXPECT_EQ(1, cpimg_note(self->img)->runs);
	EXPECT_EQ(PAGES, cpimg_note(self->img)->pages_hole);
	EXPECT_EQ(0, cpimg_note(self->img)->pages_data);
}

TEST_F(holes, a_terabyte_untouched_costs_nothing)
{
	size_t len = TEBIBYTE;
	char *mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		SKIP(return, "no terabyte of addresses: %s", strerror(errno));
	mem[len / 2] = 'x';
	TAKE(mem, len);
	EXPECT_EQ(1, cpimg_note(self->img)->pages_data);
	EXPECT_EQ(len / PAGE - 1, cpimg_note(self->img)->pages_hole);
	EXPECT_OK(cp_same_bytes(self->img, (char *)((uintptr_t)(mem + len / 2) & -PAGE),
				PAGE));
	munmap(mem, len);
}

TEST_F(holes, discarded)
{
	cp_fill(self->mem, PAGES * PAGE, 1);
	ASSERT_EQ(0, madvise(self->mem + 4 * PAGE, 4 * PAGE, MADV_DONTNEED));
	TAKE(self->mem, PAGES * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, self->mem, 4 * PAGE));
	EXPECT_OK(cp_is(self->img, self->mem + 4 * PAGE, 4 * PAGE, CPIMG_HOLE,
			CP_HOLE_ZERO));
	EXPECT_OK(cp_same_bytes(self->img, self->mem + 8 * PAGE, 8 * PAGE));
	EXPECT_EQ(3, cpimg_note(self->img)->runs);
}

/* The checkpoint itself must not fill what it finds empty. */
TEST_F(holes, stay_untouched_in_the_program)
{
	TAKE(self->mem, PAGES * PAGE);
	for (int i = 0; i < PAGES; i++) {
		EXPECT_EQ(0, cp_pagemap(self->mem + i * PAGE) >> 63)
			TH_LOG("page %d was brought in", i);
	}
}

TEST_F(holes, zero_page_in_anonymous_memory)
{
	for (int i = 0; i < PAGES; i++)
		((volatile char *)self->mem)[i * PAGE];
	/* Reading put an entry there. */
	ASSERT_EQ(1, cp_pagemap(self->mem) >> 63);
	TAKE(self->mem, PAGES * PAGE);
	EXPECT_OK(cp_is(self->img, self->mem, PAGES * PAGE, CPIMG_HOLE, CP_HOLE_ZERO));
}

/* Some touched, some read, some written: each page is told apart. */
TEST_F(holes, and_data_alternate)
{
	for (int i = 0; i < PAGES; i++) {
		if (i % 4 == 1)
			((volatile char *)self->mem)[i * PAGE];
		if (i % 2 == 0)
			cp_fill(self->mem + i * PAGE, PAGE, i);
	}
	TAKE(self->mem, PAGES * PAGE);
	EXPECT_EQ(PAGES, cpimg_note(self->img)->runs);
	for (int i = 0; i < PAGES; i++) {
		if (i % 2 == 0)
			EXPECT_OK(cp_same_bytes(self->img, self->mem + i * PAGE, PAGE));
		else
			EXPECT_OK(cp_is(self->img, self->mem + i * PAGE, PAGE,
					CPIMG_HOLE, CP_HOLE_ZERO));
	}
}

/* gdb takes a segment at offset 0 for an ELF file of its own. */
TEST_F(holes, point_at_where_the_next_data_would_be)
{
	uint64_t next = PAGE;
	const struct cpimg_run *run;
	size_t left;

	cp_fill(self->mem + 2 * PAGE, 3 * PAGE, 1);
	cp_fill(self->mem + 7 * PAGE, PAGE, 2);
	TAKE(self->mem, PAGES * PAGE);
	run = cpimg_runs(self->img, &left);
	ASSERT_EQ(5, left);
	for (; left; left--, run++) {
		EXPECT_EQ(next, run->offset) TH_LOG("run at 0x%lx", (long)run->start);
		if (run->cls == CPIMG_DATA)
			next += run->end - run->start;
	}
}

TEST_F(holes, file_page_not_read_in)
{
	static char buf[PAGES * PAGE];
	int fd = open("/disk/holes", O_CREAT | O_TRUNC | O_RDWR, 0600);
	char *mem;

	if (fd < 0)
		SKIP(return, "no /disk: %s", strerror(errno));
	memset(buf, 'A', sizeof(buf));
	ASSERT_EQ(sizeof(buf), write(fd, buf, sizeof(buf)));
	ASSERT_EQ(0, fsync(fd));
	/* Nobody has it open for writing, and it did not change just now. */
	close(fd);
	fd = open("/disk/holes", O_RDONLY);
	usleep(30000);
	mem = mmap(NULL, sizeof(buf), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	TAKE(mem, sizeof(buf));
	/* The first page may be saved, were it that of a program. */
	EXPECT_OK(cp_is(self->img, mem + PAGE, sizeof(buf) - PAGE, CPIMG_HOLE,
			CP_HOLE_FILE));
	/* A written one among them is not the file's any more. */
	mem[5 * PAGE] = 'x';
	TAKE(mem, sizeof(buf));
	EXPECT_OK(cp_same_bytes(self->img, mem + 5 * PAGE, PAGE));
	EXPECT_OK(cp_is(self->img, mem + PAGE, 2 * PAGE, CPIMG_HOLE, CP_HOLE_FILE));
	close(fd);
	unlink("/disk/holes");
}

/* A shared file that nobody has touched here, but that is not shared memory. */
TEST_F(holes, shared_file_page_not_read_in)
{
	static char buf[PAGES * PAGE];
	int fd = open("/disk/holes2", O_CREAT | O_TRUNC | O_RDWR, 0600);
	const struct cpimg_run *run;
	char *mem;

	if (fd < 0)
		SKIP(return, "no /disk: %s", strerror(errno));
	memset(buf, 'B', sizeof(buf));
	ASSERT_EQ(sizeof(buf), write(fd, buf, sizeof(buf)));
	ASSERT_EQ(0, fsync(fd));
	mem = mmap(NULL, sizeof(buf), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	TAKE(mem, sizeof(buf));
	run = cpimg_find(self->img, (uintptr_t)mem);
	ASSERT_NE(NULL, run);
	/* Either is true; zeros are not. */
	if (run->cls == CPIMG_DATA)
		EXPECT_OK(cp_same_bytes(self->img, mem, sizeof(buf)));
	else
		EXPECT_OK(cp_is(self->img, mem, sizeof(buf), CPIMG_HOLE, CP_HOLE_FILE));
	close(fd);
	unlink("/disk/holes2");
}

/* Shared memory of which nobody holds a page reads as zeros. */
TEST_F(holes, in_shared_memory)
{
	char *mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char buf[PAGE], zero[PAGE] = "";

	mem[3 * PAGE] = 'x';
	TAKE(mem, PAGES * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, mem + 3 * PAGE, PAGE));
	for (int i = 0; i < PAGES; i++) {
		if (i == 3)
			continue;
		ASSERT_EQ(0, cpimg_pread(self->img, (uintptr_t)mem + i * PAGE, buf,
					 PAGE, NULL))
			TH_LOG("page %d reads from elsewhere", i);
		EXPECT_EQ(0, memcmp(buf, zero, PAGE)) TH_LOG("page %d", i);
	}
}

static int uffd_open(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		return -1;
	}
	return fd;
}

/*
 * Zeros in the place of the file's bytes: a hole here would be restored as the
 * file's 'A's.
 */
TEST_F(holes, zero_page_in_a_private_file_mapping_is_data)
{
	char *shared, *mem;
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_zeropage zero = { .range.len = 2 * PAGE };
	int uffd = uffd_open(), fd;
	char buf[PAGE], zeros[PAGE] = "";

	if (uffd < 0)
		SKIP(return, "no userfaultfd(): %s", strerror(errno));
	shared = cp_memfd("holes", PAGES * PAGE, 1, &fd);
	ASSERT_NE(NULL, shared);
	memset(shared, 'A', PAGES * PAGE);
	mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	reg.range.start = (uintptr_t)mem;
	reg.range.len = PAGES * PAGE;
	if (ioctl(uffd, UFFDIO_REGISTER, &reg))
		SKIP(return, "userfaultfd does not take tmpfs: %s", strerror(errno));
	zero.range.start = (uintptr_t)mem;
	if (ioctl(uffd, UFFDIO_ZEROPAGE, &zero))
		SKIP(return, "no UFFDIO_ZEROPAGE here: %s", strerror(errno));
	ioctl(uffd, UFFDIO_UNREGISTER, &reg.range);
	close(uffd);
	ASSERT_EQ(0, mem[0]);
	ASSERT_EQ('A', shared[0]);
	TAKE(mem, 2 * PAGE);
	EXPECT_OK(cp_is(self->img, mem, 2 * PAGE, CPIMG_DATA, 0));
	ASSERT_EQ(0, cpimg_pread(self->img, (uintptr_t)mem, buf, PAGE, NULL));
	EXPECT_EQ(0, memcmp(buf, zeros, PAGE));
	EXPECT_OK(cp_same_bytes(self->img, mem, 2 * PAGE));
}

/* A checkpoint does not wait for a handler of missing pages, nor wake it. */
TEST_F(holes, that_userfaultfd_would_fill_are_left_alone)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int uffd = uffd_open();
	struct uffd_msg msg;

	if (uffd < 0)
		SKIP(return, "no userfaultfd(): %s", strerror(errno));
	reg.range.start = (uintptr_t)self->mem;
	reg.range.len = PAGES * PAGE;
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_REGISTER, &reg));
	alarm(15);
	TAKE(self->mem, PAGES * PAGE);
	EXPECT_OK(cp_is(self->img, self->mem, PAGES * PAGE, CPIMG_HOLE, CP_HOLE_ZERO));
	EXPECT_EQ(-1, read(uffd, &msg, sizeof(msg)));
	EXPECT_EQ(EAGAIN, errno);
	close(uffd);
}

#if defined(UFFD_FEATURE_WP_UNPOPULATED) && defined(UFFD_FEATURE_WP_HUGETLBFS_SHMEM)
/* A mark in the page table, to tell of writes to come, is nothing yet. */
TEST_F(holes, marked_by_userfaultfd)
{
	struct uffdio_api api = {
		.api = UFFD_API, .features = UFFD_FEATURE_WP_UNPOPULATED |
			UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
	};
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect wp = { .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	size_t len[2] = { PAGES * PAGE, HUGE };
	char *mem[2] = { self->mem };

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		SKIP(return, "no UFFD_FEATURE_WP_UNPOPULATED: %s", strerror(errno));
	cp_write_file("/proc/sys/vm/nr_hugepages", "1");
	mem[1] = mmap(NULL, HUGE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	for (int i = 0; i < 2 && mem[i] != MAP_FAILED; i++) {
		reg.range.start = (uintptr_t)mem[i];
		reg.range.len = len[i];
		wp.range = reg.range;
		ASSERT_EQ(0, ioctl(fd, UFFDIO_REGISTER, &reg)) TH_LOG("%m");
		ASSERT_EQ(0, ioctl(fd, UFFDIO_WRITEPROTECT, &wp)) TH_LOG("%m");
		TAKE(mem[i], len[i]);
		EXPECT_OK(cp_is(self->img, mem[i], len[i], CPIMG_HOLE, CP_HOLE_ZERO));
	}
	close(fd);
	cp_write_file("/proc/sys/vm/nr_hugepages", "0");
}
#endif

TEST_HARNESS_MAIN
