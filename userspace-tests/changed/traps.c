// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 --smp 2 --swap 128 */
/*
 * What made other trackers lose writes. Each test changes memory by way of one
 * trap between two checkpoints, and rebuilds it from the chain.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "chain.h"
#include "harness.h"

#define LEN	(8UL << 20)
#define PAGES	(LEN / PAGE)
#define BASE	CP_FAR(0x20)

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif

FIXTURE(traps) {
	char		*mem;
	struct chain	c;
};

FIXTURE_SETUP(traps)
{
	self->mem = cp_map_at(BASE, LEN);
	ASSERT_NE(NULL, self->mem);
	madvise(self->mem, LEN, MADV_NOHUGEPAGE);
	/* Fresh pages are held for a while by the processor that made them. */
	cp_pin(0);
	cp_fill(self->mem, LEN, 1);
}

FIXTURE_TEARDOWN(traps)
{
	chain_close(&self->c);
	chain_remove();
}

/* Of twice the length: some tests move memory there. */
#define INC()		ASSERT_OK(chain_inc(&self->c, BASE, 2 * LEN))
#define FULL()		ASSERT_OK(chain_full(&self->c, BASE, 2 * LEN))
#define MATCHES()	EXPECT_OK(chain_matches(&self->c, self->mem, LEN))
#define COUNT(cls)	chain_pages(&self->c, self->mem, LEN, CPIMG_##cls)
#define IS(at, n, cls)	ASSERT_OK(cp_is(self->c.img, self->mem + (at) * PAGE, \
					(n) * PAGE, CPIMG_##cls, 0))

/* Two checkpoints: the second finds nothing, so all that follows is new. */
#define BEGIN() do { \
	FULL(); \
	INC(); \
	ASSERT_EQ(0, COUNT(DATA)); \
} while (0)

static char *map_at(char *at, size_t len)
{
	return mmap(at, len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

TEST_F(traps, mappings_that_merge)
{
	/* Taken apart and put together again, written in between. */
	BEGIN();
	ASSERT_EQ(0, mprotect(self->mem, LEN / 2, PROT_READ));
	self->mem[LEN / 2]++;
	ASSERT_EQ(0, mprotect(self->mem, LEN / 2, PROT_READ | PROT_WRITE));
	self->mem[0]++;
	INC();
	MATCHES();
	EXPECT_EQ(2, COUNT(DATA));
}

TEST_F(traps, new_mapping_that_merges_with_a_saved_one)
{
	ASSERT_EQ(0, munmap(self->mem + LEN / 2, LEN / 2));
	FULL();
	ASSERT_NE(MAP_FAILED, map_at(self->mem + LEN / 2, LEN / 2));
	self->mem[LEN / 2 + PAGE] = 1;
	INC();
	MATCHES();
	EXPECT_EQ(1, COUNT(DATA));
}

TEST_F(traps, mremap_of_whole_page_tables)
{
	char *to = self->mem + LEN;

	BEGIN();
	self->mem[3 * PAGE]++;
	ASSERT_EQ(to, mremap(self->mem, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	self->mem = to;
	INC();
	MATCHES();
	self->mem[4 * PAGE]++;
	INC();
	MATCHES();
	/* And back, over addresses that were saved with other bytes. */
	ASSERT_EQ(BASE, mremap(to, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, BASE));
	self->mem = BASE;
	self->mem[5 * PAGE]++;
	INC();
	MATCHES();
}

TEST_F(traps, two_page_tables_change_places)
{
	char *room = self->mem + LEN;

	BEGIN();
	ASSERT_EQ(room, mremap(self->mem, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, room));
	ASSERT_EQ(self->mem, mremap(self->mem + HUGE, HUGE, HUGE,
				    MREMAP_MAYMOVE | MREMAP_FIXED, self->mem));
	ASSERT_EQ(self->mem + HUGE, mremap(room, HUGE, HUGE,
				    MREMAP_MAYMOVE | MREMAP_FIXED, self->mem + HUGE));
	INC();
	MATCHES();
}

TEST_F(traps, mremap_of_single_pages)
{
	BEGIN();
	for (int i = 0; i < 8; i++)
		ASSERT_EQ(self->mem + (100 + i) * PAGE,
			  mremap(self->mem + i * PAGE, PAGE, PAGE,
				 MREMAP_MAYMOVE | MREMAP_FIXED,
				 self->mem + (100 + i) * PAGE));
	map_at(self->mem, 8 * PAGE);
	INC();
	MATCHES();
}

TEST_F(traps, mremap_that_leaves_the_mapping)
{
	void *moved;

	BEGIN();
	moved = mremap(self->mem, HUGE, HUGE,
		       MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
		       self->mem + HUGE);
	if (moved == MAP_FAILED && errno == EINVAL)
		SKIP(return, "no MREMAP_DONTUNMAP");
	ASSERT_EQ(self->mem + HUGE, moved);
	INC();
	MATCHES();
	ASSERT_OK(cp_is(self->c.img, self->mem, HUGE, CPIMG_HOLE, CP_HOLE_ZERO));
}

TEST_F(traps, mprotect_that_gives_write_access)
{
	ASSERT_EQ(0, mprotect(self->mem, LEN, PROT_READ));
	BEGIN();
	ASSERT_EQ(0, mprotect(self->mem, LEN, PROT_READ | PROT_WRITE));
	for (size_t i = 0; i < PAGES; i += 3)
		self->mem[i * PAGE]++;
	INC();
	MATCHES();
	EXPECT_EQ((PAGES + 2) / 3, COUNT(DATA));
}

TEST_F(traps, mprotect_of_pages_just_written)
{
	BEGIN();
	self->mem[PAGE]++;
	ASSERT_EQ(0, mprotect(self->mem, LEN, PROT_READ));
	INC();
	MATCHES();
	EXPECT_EQ(1, COUNT(DATA));
}

TEST_F(traps, read_fault_on_shared_memory)
{
	volatile char *shared;
	char *other;
	int fd;

	other = cp_memfd("traps", LEN, 3, &fd);
	ASSERT_NE(NULL, other);
	ASSERT_EQ(self->mem, mmap(self->mem, LEN, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, fd, 0));
	shared = self->mem;
	FULL();
	MATCHES();
	(void)shared[0];
	self->mem[0]++;		/* after a read fault, a write without one */
	other[PAGE]++;		/* by another mapping: no bit here */
	INC();
	MATCHES();
	/* Now there are entries here, clean ones, of pages that an image has. */
	for (size_t i = 0; i < PAGES; i++) {
		(void)shared[i * PAGE];
		other[i * PAGE]++;
	}
	INC();
	MATCHES();
	for (size_t i = 0; i < PAGES; i++)
		other[i * PAGE]++;
	INC();
	MATCHES();
	munmap(other, LEN);
}

TEST_F(traps, swap_of_a_changed_page)
{
	if (!cp_swap_device())
		SKIP(return, "no swap device");
	BEGIN();
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < PAGES; i += 2)
			self->mem[i * PAGE + round]++;
		if (cp_pageout(self->mem, LEN))
			SKIP(return, "memory does not go to swap: %s",
			     strerror(errno));
		INC();
		MATCHES();
	}
}

/* Clean, written, out, and in again for reading: the entry is clean once more. */
TEST_F(traps, swap_of_a_saved_page)
{
	volatile char *mem = self->mem;

	if (!cp_swap_device())
		SKIP(return, "no swap device");
	BEGIN();
	for (size_t i = 0; i < PAGES; i++) {
		self->mem[i * PAGE]++;
		madvise(self->mem + i * PAGE, PAGE, MADV_PAGEOUT);
		(void)mem[i * PAGE];
	}
	INC();
	MATCHES();
	if (cp_pageout(self->mem, LEN))
		SKIP(return, "memory does not go to swap: %s", strerror(errno));
	for (size_t i = 0; i < PAGES; i++)
		(void)mem[i * PAGE];
	INC();
	MATCHES();
}

TEST_F(traps, discard_then_read)
{
	volatile char *mem = self->mem;

	BEGIN();
	ASSERT_EQ(0, madvise(self->mem, LEN / 2, MADV_DONTNEED));
	for (size_t i = 0; i < PAGES / 4; i++)
		(void)mem[i * PAGE];
	INC();
	MATCHES();
	ASSERT_OK(cp_is(self->c.img, self->mem, LEN / 2, CPIMG_HOLE, CP_HOLE_ZERO));
}

TEST_F(traps, discard_and_write_the_same_again)
{
	char old = self->mem[0];

	BEGIN();
	ASSERT_EQ(0, madvise(self->mem, PAGE, MADV_DONTNEED));
	self->mem[0] = old;
	INC();
	MATCHES();
}

TEST_F(traps, unmap_and_map_again)
{
	BEGIN();
	ASSERT_EQ(0, munmap(self->mem, LEN));
	ASSERT_NE(MAP_FAILED, map_at(self->mem, LEN));
	self->mem[7 * PAGE] = 7;
	INC();
	MATCHES();
	EXPECT_EQ(1, COUNT(DATA));
}

TEST_F(traps, unmapped_during_a_checkpoint_and_back)
{
	BEGIN();
	ASSERT_EQ(0, munmap(self->mem, LEN));
	INC();
	ASSERT_NE(MAP_FAILED, map_at(self->mem, LEN));
	INC();
	MATCHES();
	self->mem[0] = 1;
	INC();
	MATCHES();
}

/* Out of the range while it is changed, and in it again. */
TEST_F(traps, changed_outside_the_range)
{
	BEGIN();
	self->mem[0]++;
	ASSERT_EQ(0, madvise(self->mem + PAGE, PAGE, MADV_DONTNEED));
	ASSERT_OK(chain_inc(&self->c, self->mem + LEN / 2, LEN / 2));
	ASSERT_OK(chain_inc(&self->c, self->mem + LEN / 2, LEN / 2));
	INC();
	MATCHES();
	EXPECT_EQ(1, COUNT(DATA));
}

TEST_F(traps, partial_ranges_within_a_page_table)
{
	/* The accessed bit above is the whole table's, the range is not. */
	BEGIN();
	for (int round = 0; round < 4; round++) {
		self->mem[10 * PAGE]++;
		self->mem[500 * PAGE]++;
		ASSERT_OK(chain_inc(&self->c, self->mem, 100 * PAGE));
		ASSERT_OK(chain_matches(&self->c, self->mem, 100 * PAGE));
		ASSERT_OK(chain_inc(&self->c, self->mem + 400 * PAGE, 112 * PAGE));
		ASSERT_OK(chain_matches(&self->c, self->mem + 400 * PAGE, 112 * PAGE));
		INC();
		MATCHES();
	}
}

TEST_F(traps, left_out_and_back)
{
	static const struct {
		int	out, in;
	} advice[] = {
		{ MADV_DONTFORK, MADV_DOFORK }, { MADV_DONTDUMP, MADV_DODUMP },
	};

	for (int i = 0; i < 4; i++) {
		BEGIN();
		if (i == 2)
			mlock(self->mem, LEN / 2);
		else if (i == 3)
			mprotect(self->mem, LEN / 2, PROT_NONE);
		else if (madvise(self->mem, LEN / 2, advice[i].out))
			continue;	/* a kernel without it */
		INC();
		ASSERT_EQ(PAGES / 2, COUNT(SKIPPED));
		if (i == 2)
			munlock(self->mem, LEN / 2);
		else if (i == 3)
			mprotect(self->mem, LEN / 2, PROT_READ | PROT_WRITE);
		else
			madvise(self->mem, LEN / 2, advice[i].in);
		INC();
		MATCHES();
		ASSERT_EQ(PAGES / 2, COUNT(DATA));
	}
}

/* Two mappings in one page table, of which one is left out. */
TEST_F(traps, part_of_a_page_table_left_out)
{
	BEGIN();
	ASSERT_EQ(0, mlock(self->mem + 3 * PAGE, 5 * PAGE));
	self->mem[2 * PAGE]++;
	self->mem[4 * PAGE]++;
	self->mem[9 * PAGE]++;
	INC();
	INC();
	ASSERT_EQ(0, munlock(self->mem + 3 * PAGE, 5 * PAGE));
	INC();
	MATCHES();
	IS(3, 5, DATA);
	IS(0, 3, SAME);
}

TEST_F(traps, copy_on_write_after_fork)
{
	pid_t pid;

	BEGIN();
	pid = fork();
	if (!pid) {
		memset(self->mem, 0x55, LEN);	/* its own copies */
		pause();
	}
	for (size_t i = 0; i < PAGES; i += 2)
		self->mem[i * PAGE]++;
	INC();
	MATCHES();
	cp_kill(pid);
	/* The other half has only one owner again: written without a copy. */
	for (size_t i = 1; i < PAGES; i += 2)
		self->mem[i * PAGE]++;
	INC();
	MATCHES();
}

TEST_F(traps, lazily_freed)
{
	static char zeros[PAGE];
	char *copy = malloc(LEN);

	memcpy(copy, self->mem, LEN);
	BEGIN();
	if (madvise(self->mem, LEN, MADV_FREE))
		SKIP(return, "no MADV_FREE: %s", strerror(errno));
	for (size_t i = 0; i < PAGES; i += 4)
		self->mem[i * PAGE]++;
	INC();
	for (size_t i = 0; i < PAGES; i++) {
		/* Not written: what is read afterwards was so before, if not zeros. */
		if (!memcmp(self->mem + i * PAGE, zeros, PAGE))
			continue;
		ASSERT_OK(chain_matches(&self->c, self->mem + i * PAGE, PAGE));
	}
	madvise(self->mem, LEN, MADV_PAGEOUT);
	INC();
	MATCHES();
	for (size_t i = 0; i < PAGES; i += 4)
		ASSERT_EQ((char)(copy[i * PAGE] + 1), self->mem[i * PAGE]);
	free(copy);
}

static char *huge_page(char *at)
{
	cp_write_file("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	map_at(at, HUGE);
	madvise(at, HUGE, MADV_HUGEPAGE);
	cp_fill(at, HUGE, 9);
	return cp_kpageflags(at) & (1ULL << 22) ? at : NULL;	/* KPF_THP */
}

/* Whole: one write dirties all of it; then it is split, and exact. */
TEST_F(traps, huge_page_written)
{
	if (!huge_page(self->mem))
		SKIP(return, "no huge page to be had");
	FULL();
	MATCHES();
	/* Whoever holds the huge page for a moment has it saved whole once more. */
	for (int i = 0; i < 3; i++) {
		self->mem[17 * PAGE]++;
		INC();
		MATCHES();
		if (COUNT(DATA) == 1)
			break;
	}
	EXPECT_EQ(1, COUNT(DATA));
}

/* MADV_FREE leaves it clean and whole: it stays whole when it is saved. */
TEST_F(traps, clean_huge_page_then_written)
{
	volatile char *mem = self->mem;

	if (!huge_page(self->mem))
		SKIP(return, "no huge page to be had");
	ASSERT_EQ(0, madvise(self->mem, HUGE, MADV_FREE));
	FULL();
	for (int round = 0; round < 3; round++) {
		INC();
		self->mem[(17 + round) * PAGE]++;
		INC();
		ASSERT_OK(chain_has(&self->c, self->mem + (17 + round) * PAGE,
				    self->mem + (17 + round) * PAGE, PAGE));
		(void)mem[0];
	}
	INC();
	MATCHES();
}

TEST_F(traps, collapsed)
{
	BEGIN();
	madvise(self->mem, HUGE, MADV_HUGEPAGE);
	if (madvise(self->mem, HUGE, MADV_COLLAPSE))
		SKIP(return, "MADV_COLLAPSE: %s", strerror(errno));
	INC();
	MATCHES();
	self->mem[3 * PAGE]++;
	INC();
	MATCHES();
	ASSERT_EQ(0, madvise(self->mem, HUGE, MADV_COLLAPSE));
	self->mem[4 * PAGE]++;
	INC();
	MATCHES();
}

TEST_F(traps, huge_page_in_two_mappings)
{
	if (!huge_page(self->mem))
		SKIP(return, "no huge page to be had");
	FULL();
	/* Split by mremap of its middle, then written at both places. */
	ASSERT_EQ(self->mem + HUGE, mremap(self->mem + 100 * PAGE, 50 * PAGE,
		  50 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, self->mem + HUGE));
	map_at(self->mem + 100 * PAGE, 50 * PAGE);
	self->mem[0]++;
	self->mem[HUGE]++;
	INC();
	MATCHES();
}

/* Shared huge pages belong to a file: to split them would unmap them. */
TEST_F(traps, only_anonymous_huge_pages_are_split)
{
	long before;
	int fd;

	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	if (mount("huge", "/mnt", "tmpfs", 0, "huge=always") &&
	    (mkdir("/mnt", 0755) || mount("huge", "/mnt", "tmpfs", 0, "huge=always")))
		SKIP(return, "no tmpfs with huge=always: %s", strerror(errno));
	fd = open("/mnt/file", O_CREAT | O_RDWR, 0600);
	ASSERT_EQ(0, ftruncate(fd, LEN));
	ASSERT_EQ(self->mem, mmap(self->mem, LEN, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, fd, 0));
	memset(self->mem, 1, LEN);
	if (!(cp_kpageflags(self->mem) & (1ULL << 22)))
		SKIP(return, "no huge page to be had");
	FULL();
	before = cp_vmstat("thp_split_pmd");
	for (int i = 0; i < 3; i++) {
		self->mem[i * PAGE]++;
		INC();
		MATCHES();
	}
	EXPECT_EQ(before, cp_vmstat("thp_split_pmd"));
}

static int open_uffd(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	return fd < 0 || ioctl(fd, UFFDIO_API, &api) ? -1 : fd;
}

#define REGISTER(fd, at, len, how) do { \
	struct uffdio_register reg_ = { \
		.range = { (uintptr_t)(at), len }, \
		.mode = UFFDIO_REGISTER_MODE_##how, \
	}; \
	ASSERT_EQ(0, ioctl(fd, UFFDIO_REGISTER, &reg_)); \
} while (0)

/* A zero page in a private file mapping: HOLE would bring the file's bytes back. */
TEST_F(traps, zero_page_in_a_file_mapping)
{
	struct uffdio_zeropage zero = { .range = { (uintptr_t)self->mem, 4 * PAGE } };
	char *shared;
	int uffd = open_uffd(0), fd;

	if (uffd < 0)
		SKIP(return, "no userfaultfd");
	shared = cp_memfd("zero", LEN, 4, &fd);
	ASSERT_NE(NULL, shared);
	ASSERT_EQ(self->mem, mmap(self->mem, LEN, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_FIXED, fd, 0));
	self->mem[10 * PAGE] = 1;
	FULL();
	MATCHES();
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			       4 * PAGE));
	REGISTER(uffd, self->mem, LEN, MISSING);
	if (ioctl(uffd, UFFDIO_ZEROPAGE, &zero))
		SKIP(return, "no UFFDIO_ZEROPAGE here: %s", strerror(errno));
	memset(shared, 'A', 4 * PAGE);
	INC();
	MATCHES();
	ASSERT_EQ(0, self->mem[0]);
}

TEST_F(traps, userfaultfd_copy_and_zeropage)
{
	static char bytes[PAGE] __attribute__((aligned(4096)));
	struct uffdio_copy copy = { .dst = (uintptr_t)BASE, .src = (uintptr_t)bytes,
				    .len = PAGE };
	struct uffdio_zeropage zero = { .range = { (uintptr_t)BASE + PAGE, PAGE } };
	int uffd = open_uffd(0);

	if (uffd < 0)
		SKIP(return, "no userfaultfd");
	memset(bytes, 0x77, PAGE);
	BEGIN();
	REGISTER(uffd, self->mem, LEN, MISSING);
	ASSERT_EQ(0, madvise(self->mem, 2 * PAGE, MADV_DONTNEED));
	INC();
	ASSERT_OK(cp_is(self->c.img, self->mem, 2 * PAGE, CPIMG_HOLE, CP_HOLE_ZERO));
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_COPY, &copy));
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_ZEROPAGE, &zero));
	INC();
	MATCHES();
}

TEST_F(traps, userfaultfd_move)
{
	struct uffdio_move move = {
		.dst = (uintptr_t)BASE, .src = (uintptr_t)BASE + LEN / 2,
		.len = 2 * HUGE,
	};
	int uffd = open_uffd(0);

	if (uffd < 0)
		SKIP(return, "no userfaultfd");
	BEGIN();
	REGISTER(uffd, self->mem, LEN / 2, MISSING);
	ASSERT_EQ(0, madvise(self->mem, LEN / 2, MADV_DONTNEED));
	INC();
	if (ioctl(uffd, UFFDIO_MOVE, &move))
		SKIP(return, "UFFDIO_MOVE: %s", strerror(errno));
	INC();
	MATCHES();
}

TEST_F(traps, write_protected_and_soft_dirty)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)BASE, LEN }, .mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	int uffd = open_uffd(UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED);

	if (uffd < 0)
		SKIP(return, "no userfaultfd");
	BEGIN();
	self->mem[0]++;
	REGISTER(uffd, self->mem, LEN, WP);
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_WRITEPROTECT, &wp));
	ASSERT_EQ(0, cp_write_file("/proc/self/clear_refs", "4"));
	self->mem[PAGE]++;
	INC();
	MATCHES();
	EXPECT_EQ(2, COUNT(DATA));
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_WRITEPROTECT, &wp));
	self->mem[2 * PAGE]++;
	INC();
	MATCHES();
	EXPECT_EQ(1, COUNT(DATA));
	/* Clears the accessed bits, of which the walk relies on those above. */
	self->mem[3 * PAGE]++;
	ASSERT_EQ(0, cp_write_file("/proc/self/clear_refs", "1"));
	INC();
	MATCHES();
}

TEST_F(traps, ksm_merges_and_breaks)
{
	if (cp_write_file(CP_KSM "pages_to_scan", "5000") ||
	    cp_write_file(CP_KSM "sleep_millisecs", "1"))
		SKIP(return, "no KSM");
	BEGIN();
	memset(self->mem, 0x11, LEN / 2);
	ASSERT_EQ(0, madvise(self->mem, LEN, MADV_MERGEABLE));
	cp_write_file(CP_KSM "run", "1");
	for (int i = 0; i < 20 && cp_read_number(CP_KSM "pages_sharing") < 100; i++) {
		usleep(100000);
		INC();
		MATCHES();
	}
	EXPECT_LT(99, cp_read_number(CP_KSM "pages_sharing"));
	for (size_t i = 0; i < PAGES / 2; i += 2)
		self->mem[i * PAGE]++;
	INC();
	MATCHES();
	cp_write_file(CP_KSM "run", "2");
	INC();
	MATCHES();
	cp_write_file(CP_KSM "run", "0");
}

TEST_F(traps, truncated_file)
{
	char *shared;
	int fd;

	shared = cp_memfd("truncate", LEN, 4, &fd);
	ASSERT_NE(NULL, shared);
	ASSERT_EQ(self->mem, mmap(self->mem, LEN, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_FIXED, fd, 0));
	cp_fill(self->mem, LEN, 5);
	FULL();
	ASSERT_EQ(0, ftruncate(fd, LEN / 2));
	ASSERT_EQ(0, ftruncate(fd, LEN));
	INC();
	MATCHES();
}

/* A file that somebody writes is not left to be read later. */
TEST_F(traps, private_file_that_changes)
{
	char *shared;
	int fd;

	shared = cp_memfd("changes", LEN, 4, &fd);
	ASSERT_NE(NULL, shared);
	ASSERT_EQ(self->mem, mmap(self->mem, LEN, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_FIXED, fd, 0));
	self->mem[PAGE] = 1;
	FULL();
	MATCHES();
	shared[0]++;
	shared[PAGE]++;
	INC();
	MATCHES();
}

TEST_F(traps, compaction)
{
	BEGIN();
	for (int i = 0; i < 3; i++) {
		for (size_t p = i; p < PAGES; p += 5)
			self->mem[p * PAGE]++;
		cp_write_file("/proc/sys/vm/compact_memory", "1");
		INC();
		MATCHES();
		cp_write_file("/proc/sys/vm/compact_memory", "1");
		INC();
		MATCHES();
	}
}

TEST_HARNESS_MAIN
