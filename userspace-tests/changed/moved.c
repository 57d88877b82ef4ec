// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 --swap 256 --timeout 400 */
/* guest: --mem 256 --swap 256 --smp 2 --timeout 400 --append transparent_hugepage=always */
/*
 * A page that went to swap, to another place in memory, or together with others that
 * are the same, has the bytes that it had: the chain keeps it, and does not read it in.
 * Unless it was written before it went, or while it was away, or its bytes were given up.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/swap.h>

#include "chain.h"
#include "harness.h"
#include "needs.h"

#define LEN		((cp_debug_kernel() ? 1UL : 4UL) << 20)
#define NR		(LEN / PAGE)

FIXTURE(moved) {
	char		*mem;
	struct chain	c;
};

FIXTURE_SETUP(moved)
{
	if (!cp_swap_device())
		SKIP(return, "no swap device");
	self->mem = cp_map(LEN);
	madvise(self->mem, LEN, MADV_NOHUGEPAGE);
	cp_fill(self->mem, LEN, 1);
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	/* the second one has nothing to do with how memory came to be */
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN));
}

FIXTURE_TEARDOWN(moved)
{
	chain_close(&self->c);
	chain_remove();
}

/* A page that is busy may stay; three of four go, or there is nothing to test. */
#define OUT(at, len) do { \
	if (cp_pageout(at, len)) \
		SKIP(return, "memory does not go to swap: %s", strerror(errno)); \
	ASSERT_LT((len) / PAGE * 3 / 4, cp_swapped(at, len)); \
} while (0)

/* What a call saves: of pages that are not there at the time few, by chance. */
#define SAVED()		chain_pages(&self->c, self->mem, LEN, CPIMG_DATA)
#define FEW		(NR / 32)
/* Linux 2.6 has no such rule: what is unmapped is saved again. */
#define KEEPS		(!cp_kernel_before(6, 12))
#define AT_MOST(nr) do { \
	if (KEEPS) \
		EXPECT_GE(nr, SAVED()); \
} while (0)
#define INC()		ASSERT_OK(chain_inc(&self->c, self->mem, LEN))
#define MATCHES()	EXPECT_OK(chain_matches(&self->c, self->mem, LEN))

TEST_F(moved, unchanged_in_swap_stays_there)
{
	long in;

	OUT(self->mem, LEN);
	in = cp_vmstat("pswpin");
	INC();
	in = cp_vmstat("pswpin") - in;
	TH_LOG("%zu of %lu pages in swap: %zu saved, %ld read in",
	       cp_swapped(self->mem, LEN), NR, (size_t)SAVED(), in);
	AT_MOST(FEW);
	if (KEEPS)
		EXPECT_GE(FEW, in);
	MATCHES();
	/* Read in by the program, and out once more: still the same. */
	INC();
	AT_MOST(FEW);
	OUT(self->mem, LEN);
	INC();
	AT_MOST(FEW);
	MATCHES();
}

TEST_F(moved, written_before_it_went)
{
	for (size_t i = 0; i < NR; i += 3)
		self->mem[i * PAGE + 8]++;
	OUT(self->mem, LEN);
	INC();
	EXPECT_LE(NR / 3, SAVED());
	AT_MOST(NR / 3 + 1 + FEW);
	for (size_t i = 0; i < NR; i += 3)
		ASSERT_OK(cp_is(self->c.img, self->mem + i * PAGE, PAGE, CPIMG_DATA, 0));
	MATCHES();
}

TEST_F(moved, written_after_it_came_back)
{
	OUT(self->mem, LEN);
	for (size_t i = 0; i < NR; i += 5)
		self->mem[i * PAGE + 16]++;
	INC();
	for (size_t i = 0; i < NR; i += 5)
		ASSERT_OK(cp_is(self->c.img, self->mem + i * PAGE, PAGE, CPIMG_DATA, 0));
	AT_MOST(NR / 5 + 1 + FEW);
	MATCHES();
	/* And once more, written and out */
	for (size_t i = 1; i < NR; i += 5)
		self->mem[i * PAGE + 16]++;
	OUT(self->mem, LEN);
	INC();
	for (size_t i = 1; i < NR; i += 5)
		ASSERT_OK(cp_is(self->c.img, self->mem + i * PAGE, PAGE, CPIMG_DATA, 0));
	MATCHES();
}

TEST_F(moved, written_by_the_kernel_while_it_was_away)
{
	int pipes[2];

	OUT(self->mem, LEN);
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(1, write(pipes[1], "x", 1));
	ASSERT_EQ(1, read(pipes[0], self->mem + 7 * PAGE, 1));
	INC();
	ASSERT_OK(cp_is(self->c.img, self->mem + 7 * PAGE, PAGE, CPIMG_DATA, 0));
	MATCHES();
}

TEST_F(moved, discarded_while_it_was_away)
{
	OUT(self->mem, LEN);
	ASSERT_EQ(0, madvise(self->mem, LEN / 2, MADV_DONTNEED));
	INC();
	EXPECT_OK(cp_is(self->c.img, self->mem, LEN / 2, CPIMG_HOLE, CP_HOLE_ZERO));
	MATCHES();
}

/* Given up for when memory is short, and dropped instead of swapped out. */
TEST_F(moved, freed_and_dropped)
{
	if (madvise(self->mem, LEN / 2, MADV_FREE))
		SKIP(return, "no MADV_FREE: %s", strerror(errno));
	if (cp_pageout(self->mem, LEN / 2))
		SKIP(return, "memory does not go: %s", strerror(errno));
	INC();
	MATCHES();
	/* Saved as it was given up: what is dropped after that is known, too. */
	ASSERT_EQ(0, madvise(self->mem + LEN / 2, LEN / 2, MADV_FREE));
	INC();
	cp_pageout(self->mem + LEN / 2, LEN / 2);
	INC();
	MATCHES();
}

TEST_F(moved, back_by_swapoff)
{
	const char *swap = cp_swap_device();

	OUT(self->mem, LEN);
	ASSERT_EQ(0, swapoff(swap)) TH_LOG("%m");
	INC();
	AT_MOST(FEW);
	MATCHES();
	self->mem[3 * PAGE]++;
	INC();
	ASSERT_OK(cp_is(self->c.img, self->mem + 3 * PAGE, PAGE, CPIMG_DATA, 0));
	MATCHES();
	swapon(swap, 0);
}

TEST_F(moved, with_a_child_that_writes)
{
	int status, pid;

	pid = fork();
	if (!pid) {
		cp_pageout(self->mem, LEN);
		for (size_t i = 0; i < NR; i++)
			self->mem[i * PAGE] ^= 0x55;
		cp_pageout(self->mem, LEN);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	INC();
	MATCHES();
	for (size_t i = 0; i < NR; i += 2)
		self->mem[i * PAGE] ^= 0xaa;
	OUT(self->mem, LEN);
	INC();
	EXPECT_LE(NR / 2, SAVED());
	MATCHES();
}

TEST_F(moved, by_mremap)
{
	char *to = cp_map(LEN);

	munmap(to, LEN);
	OUT(self->mem, LEN);
	ASSERT_EQ(to, mremap(self->mem, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	self->mem = to;
	/* Nothing is known of what was not there. */
	ASSERT_OK(chain_inc(&self->c, to, LEN));
	EXPECT_EQ(NR, SAVED());
	MATCHES();
}

/* To another page frame: each page, as by an error that was corrected. */
TEST_F(moved, to_another_frame)
{
	unsigned int written = 0, went = 0;

	for (size_t i = 0; i < 64; i++) {
		char *page = self->mem + i * 4 * PAGE;

		if (i % 4 == 1) {
			page[0]++;
			written++;
		}
		if (!madvise(page, PAGE, MADV_SOFT_OFFLINE))
			went++;
		else if (errno == EINVAL)
			SKIP(return, "no MADV_SOFT_OFFLINE");
	}
	ASSERT_LT(32, went);
	INC();
	TH_LOG("%u of 64 pages went elsewhere, %u were written: %zu saved", went, written,
	       (size_t)SAVED());
	for (size_t i = 1; i < 64; i += 4)
		ASSERT_OK(cp_is(self->c.img, self->mem + i * 4 * PAGE, PAGE, CPIMG_DATA, 0));
	AT_MOST(written + FEW);
	MATCHES();
	for (size_t i = 0; i < 64; i += 4)
		self->mem[i * 4 * PAGE]++;
	INC();
	EXPECT_LE(16, SAVED());
	MATCHES();
}

/* By compaction, as far as there is something to compact. */
TEST_F(moved, by_compaction)
{
	long before = cp_vmstat("compact_migrate_scanned");

	if (cp_write_file("/proc/sys/vm/compact_memory", "1"))
		SKIP(return, "no compaction: %s", strerror(errno));
	INC();
	TH_LOG("%ld pages scanned, %zu saved",
	       cp_vmstat("compact_migrate_scanned") - before, (size_t)SAVED());
	AT_MOST(FEW);
	MATCHES();
}

/* Whether there is KSM; it has merged so many pages then, and has stopped. */
#define MERGE(pages) do { \
	if (access(CP_KSM "run", W_OK)) \
		SKIP(return, "no KSM: %s", strerror(errno)); \
	cp_write_file(CP_KSM "sleep_millisecs", "0"); \
	cp_write_file(CP_KSM "pages_to_scan", "4096"); \
	ASSERT_EQ(0, madvise(self->mem, LEN, MADV_MERGEABLE)) TH_LOG("%m"); \
	ASSERT_TRUE(cp_ksm_reaches(CP_KSM "pages_sharing", pages, 30)); \
	ASSERT_EQ(0, cp_write_file(CP_KSM "run", "0")); \
} while (0)

/*
 * Pages are written, and go elsewhere while they are saved: what stands for them then
 * does not look dirty.
 */
#define AREA	((cp_debug_kernel() ? 4 : 16) * HUGE)

struct mover {
	char		*mem;
	void		(*move)(char *mem);
	volatile int	go, stop;
};

static void *moves(void *arg)
{
	struct mover *m = arg;

	while (!m->stop) {
		if (m->go)
			m->move(m->mem);
		else
			sched_yield();
	}
	return NULL;
}

static void compact(char *mem)
{
	(void)mem;
	cp_write_file("/proc/sys/vm/compact_memory", "1");
}

/* One page of each huge one: it is split for that. */
static void split(char *mem)
{
	for (size_t i = 0; i < AREA; i += HUGE)
		madvise(mem + i + 7 * PAGE, PAGE, MADV_PAGEOUT);
}

static const char *saved_while_moving(struct chain *c, void (*move)(char *mem), bool huge)
{
	struct mover m = { .move = move };
	const char *why = NULL;
	pthread_t thread;
	char *mem;

	mem = cp_map_at(CP_FAR(0x30), AREA);
	if (!mem)
		return "no memory";
	m.mem = mem;
	madvise(mem, AREA, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	pthread_create(&thread, NULL, moves, &m);
	for (int round = 0; round < (cp_debug_kernel() ? 1 : 6) && !why; round++) {
		if (huge) {
			madvise(mem, AREA, MADV_DONTNEED);
			memset(mem, 1, AREA);
		} else {
			cp_spread(mem, AREA);
		}
		chain_remove();
		why = chain_full(c, mem, AREA);
		for (int i = 0; i < 3 && !why; i++) {
			for (size_t at = 0; at < AREA; at += PAGE)
				mem[at + 8 * i] += i + 2;
			m.go = 1;
			if (i == 1)
				sched_yield();
			why = chain_inc(c, mem, AREA);
			m.go = 0;
			if (!why)
				why = chain_matches(c, mem, AREA);
		}
	}
	m.stop = 1;
	pthread_join(thread, NULL);
	munmap(mem, AREA);
	return why;
}

TEST_F(moved, by_compaction_while_it_is_saved)
{
	if (access("/proc/sys/vm/compact_memory", W_OK))
		SKIP(return, "no compaction: %s", strerror(errno));
	ASSERT_OK(saved_while_moving(&self->c, compact, false));
}

TEST_F(moved, huge_pages_while_they_are_saved)
{
	if (access("/proc/sys/vm/compact_memory", W_OK))
		SKIP(return, "no compaction: %s", strerror(errno));
	ASSERT_OK(saved_while_moving(&self->c, compact, true));
}

TEST_F(moved, split_while_it_is_saved)
{
	ASSERT_OK(saved_while_moving(&self->c, split, true));
}

/* Two halves that are the same become one, by KSM. */
TEST_F(moved, merged_with_its_like)
{
	memcpy(self->mem + LEN / 2, self->mem, LEN / 2);
	INC();
	MERGE(NR / 2 - FEW);
	INC();
	TH_LOG("merged: %zu saved", (size_t)SAVED());
	AT_MOST(FEW);
	MATCHES();
	/* Written again, each gets a page of its own. */
	for (size_t i = 0; i < NR; i += 7)
		self->mem[i * PAGE + 100]++;
	INC();
	EXPECT_LE(NR / 7, SAVED());
	MATCHES();
	cp_write_file(CP_KSM "run", "2");
}

/* Written and merged before anybody has looked. */
TEST_F(moved, written_and_merged)
{
	memcpy(self->mem + LEN / 2, self->mem, LEN / 2);
	MERGE(NR / 2 - FEW);
	INC();
	EXPECT_LE(NR / 2 - FEW, SAVED());
	MATCHES();
	cp_write_file(CP_KSM "run", "2");
}

TEST_HARNESS_MAIN
