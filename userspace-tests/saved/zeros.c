// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 --swap 128 --disk 32 --timeout 400 */
/* guest: --mem 256 --smp 2 --swap 128 --disk 32 --timeout 400 --append transparent_hugepage=always */
/*
 * A page that was written and holds nothing but zeros takes no room in an image: it is a
 * hole there, as if it had never been touched. One byte is enough for it to be saved.
 */
#define _GNU_SOURCE
#include <pthread.h>

#include "chain.h"
#include "harness.h"

#define PAGES	512UL
#define LEN	(PAGES * PAGE)

FIXTURE(zeros) {
	char		*mem;
	struct chain	c;
	struct cpimg	*img;
};

FIXTURE_SETUP(zeros)
{
	self->mem = cp_map(LEN);
	ASSERT_NE(NULL, self->mem);
}

FIXTURE_TEARDOWN(zeros)
{
	cpimg_close(self->img);
	chain_close(&self->c);
	chain_remove();
}

/* Whether a page is DATA or not, it reads as memory does. */
static const char *reads_as(const struct cpimg *img, const char *mem, size_t len)
{
	static char why[100], bytes[PAGE];

	for (size_t i = 0; i < len; i += PAGE) {
		if (cpimg_pread(img, (uintptr_t)mem + i, bytes, PAGE, NULL) ||
		    memcmp(mem + i, bytes, PAGE)) {
			snprintf(why, sizeof(why), "page %zu reads as something else",
				 i / PAGE);
			return why;
		}
	}
	return NULL;
}

#define HOLE(img, at, len) \
	EXPECT_OK(cp_is(img, at, len, CPIMG_HOLE, CP_HOLE_ZERO))

TEST_F(zeros, written)
{
	memset(self->mem, 0, LEN);
	TAKE(self->mem, LEN);
	HOLE(self->img, self->mem, LEN);
	EXPECT_EQ(1, cpimg_note(self->img)->runs);
	EXPECT_EQ(0, cpimg_note(self->img)->pages_data);
	EXPECT_EQ(PAGES, cpimg_note(self->img)->pages_hole);
	EXPECT_OK(reads_as(self->img, self->mem, LEN));
	/* The call has not given them back. */
	EXPECT_EQ(1, cp_pagemap(self->mem) >> 63);
}

/* Whichever byte it is, and whichever of its bits. */
TEST_F(zeros, but_for_one_byte)
{
	memset(self->mem, 0, LEN);
	for (unsigned int round = 0; round < 8; round++) {
		for (size_t i = 0; i < PAGES; i++) {
			memset(self->mem + i * PAGE, 0, PAGE);
			self->mem[i * PAGE + i * 8 + round] = 1 << (i + round) % 8;
		}
		TAKE(self->mem, LEN);
		ASSERT_EQ(PAGES, cpimg_note(self->img)->pages_data)
			TH_LOG("byte %u of each eight", round);
		ASSERT_OK(reads_as(self->img, self->mem, LEN));
	}
}

TEST_F(zeros, between_others)
{
	for (size_t i = 0; i < PAGES; i++) {
		memset(self->mem + i * PAGE, 0, PAGE);
		if (i % 4 == 1)
			cp_fill(self->mem + i * PAGE, PAGE, i);
	}
	TAKE(self->mem, LEN);
	EXPECT_EQ(PAGES / 4, cpimg_note(self->img)->pages_data);
	EXPECT_EQ(PAGES / 4 * 2 + 1, cpimg_note(self->img)->runs);
	EXPECT_OK(reads_as(self->img, self->mem, LEN));
}

/* A chain says so once, and then that it is as it was. */
TEST_F(zeros, come_and_go)
{
	const size_t half = LEN / 2;

	cp_fill(self->mem, LEN, 1);
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	memset(self->mem, 0, half);
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN));
	HOLE(self->c.img, self->mem, half);
	EXPECT_OK(cp_is(self->c.img, self->mem + half, half, CPIMG_SAME, 0));
	EXPECT_OK(chain_matches(&self->c, self->mem, LEN));
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN));
	EXPECT_OK(cp_is(self->c.img, self->mem, LEN, CPIMG_SAME, 0));
	EXPECT_OK(chain_matches(&self->c, self->mem, LEN));
	/* Zeros once more, over zeros */
	memset(self->mem, 0, half);
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN));
	HOLE(self->c.img, self->mem, half);
	EXPECT_OK(chain_matches(&self->c, self->mem, LEN));
	self->mem[3 * PAGE + 77] = 1;
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN));
	EXPECT_OK(cp_is(self->c.img, self->mem + 3 * PAGE, PAGE, CPIMG_DATA, 0));
	EXPECT_EQ(1, cpimg_note(self->c.img)->pages_data);
	EXPECT_OK(chain_matches(&self->c, self->mem, LEN));
}

TEST_F(zeros, are_restored)
{
	struct cp_restored done = { 0 };
	struct cpimg_error err;

	cp_fill(self->mem, LEN, 1);
	memset(self->mem + 5 * PAGE, 0, 3 * PAGE);
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	memset(self->mem + 20 * PAGE, 0, 4 * PAGE);
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN));
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN));
	memset(self->mem, 0xff, LEN);
	ASSERT_EQ(0, cp_restore(self->c.all, cpimg_chain_length(self->c.all) - 1, self->mem,
				self->mem + LEN, &done, &err)) TH_LOG("%s", err.text);
	EXPECT_EQ(7 * PAGE, done.zeros);
	EXPECT_OK(chain_matches(&self->c, self->mem, LEN));
	EXPECT_EQ(0, self->mem[5 * PAGE]);
	EXPECT_EQ(0, self->mem[23 * PAGE + 100]);
	EXPECT_NE(-1, self->mem[19 * PAGE]);
}

TEST_F(zeros, in_huge_pages)
{
	char *mem = cp_map(4 * HUGE);

	mem = (char *)(((uintptr_t)mem + HUGE - 1) & -HUGE);
	madvise(mem, 3 * HUGE, MADV_HUGEPAGE);
	cp_fill(mem, 3 * HUGE, 5);
	memset(mem + HUGE, 0, HUGE);
	memset(mem + 10 * PAGE, 0, 5 * PAGE);
	ASSERT_OK(chain_full(&self->c, mem, 3 * HUGE));
	HOLE(self->c.img, mem + HUGE, HUGE);
	HOLE(self->c.img, mem + 10 * PAGE, 5 * PAGE);
	EXPECT_EQ((2 * HUGE) / PAGE - 5, cpimg_note(self->c.img)->pages_data);
	EXPECT_OK(chain_matches(&self->c, mem, 3 * HUGE));
	memset(mem + 2 * HUGE, 0, HUGE);
	mem[HUGE + 7 * PAGE]++;
	ASSERT_OK(chain_inc(&self->c, mem, 3 * HUGE));
	HOLE(self->c.img, mem + 2 * HUGE, HUGE);
	EXPECT_OK(chain_matches(&self->c, mem, 3 * HUGE));
	ASSERT_OK(chain_inc(&self->c, mem, 3 * HUGE));
	EXPECT_EQ(0, cpimg_note(self->c.img)->pages_data);
	EXPECT_OK(chain_matches(&self->c, mem, 3 * HUGE));
}

TEST_F(zeros, in_shared_memory)
{
	char *mem = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			 -1, 0);

	ASSERT_NE(MAP_FAILED, mem);
	memset(mem, 0, LEN);
	cp_fill(mem + 3 * PAGE, PAGE, 1);
	TAKE(mem, LEN);
	EXPECT_EQ(1, cpimg_note(self->img)->pages_data);
	EXPECT_OK(reads_as(self->img, mem, LEN));
	/* Also what is not in this page table */
	ASSERT_EQ(0, madvise(mem, LEN, MADV_DONTNEED));
	TAKE(mem, LEN);
	EXPECT_EQ(1, cpimg_note(self->img)->pages_data);
	EXPECT_OK(reads_as(self->img, mem, LEN));
}

TEST_F(zeros, that_were_in_swap)
{
	if (!cp_swap_device())
		SKIP(return, "no swap device");
	madvise(self->mem, LEN, MADV_NOHUGEPAGE);
	memset(self->mem, 0, LEN);
	cp_fill(self->mem + LEN / 2, LEN / 2, 1);
	if (cp_pageout(self->mem, LEN))
		SKIP(return, "memory does not go to swap: %s", strerror(errno));
	TAKE(self->mem, LEN);
	HOLE(self->img, self->mem, LEN / 2);
	EXPECT_OK(reads_as(self->img, self->mem, LEN));
}

/* They hide what the file has: a hole would show it. */
TEST_F(zeros, over_a_file_are_data)
{
	char *shared, *mem;
	int fd;

	shared = cp_memfd("zeros", 8 * PAGE, 1, &fd);
	if (!shared)
		SKIP(return, "no memfd_create(): %s", strerror(errno));
	mem = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	memset(mem + PAGE, 0, 3 * PAGE);
	TAKE(mem, 8 * PAGE);
	EXPECT_OK(cp_is(self->img, mem + PAGE, 3 * PAGE, CPIMG_DATA, 0));
	EXPECT_OK(reads_as(self->img, mem, 8 * PAGE));
}

/* A file on a disk has its blocks, and keeps them when it is restored. */
TEST_F(zeros, of_a_file_are_data)
{
	int fd = open("/disk/zeros", O_CREAT | O_TRUNC | O_RDWR, 0600);
	char *mem;

	if (fd < 0)
		SKIP(return, "no /disk: %s", strerror(errno));
	memset(self->mem, 0, 8 * PAGE);
	ASSERT_EQ(8 * PAGE, write(fd, self->mem, 8 * PAGE));
	mem = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	memset(mem, 0, 4 * PAGE);
	TAKE(mem, 8 * PAGE);
	EXPECT_OK(cp_is(self->img, mem, 8 * PAGE, CPIMG_DATA, 0));
	close(fd);
	unlink("/disk/zeros");
}

/*
 * Zeros that another thread overwrites while the call looks at them. It has their dirty
 * entries in its TLB: before that is flushed it writes by these, and no bit tells.
 */
struct race {
	char		*mem;
	int		pace;		/* how long the call takes to get there */
	volatile int	round;		/* of the calling thread */
	volatile int	ready;		/* of the other */
	volatile int	stop;
};

static void wait_a_bit(int turns)
{
	for (volatile int i = 0; i < turns; i++)
		;
}

static void *writes(void *arg)
{
	struct race *race = arg;
	int round = 0;

	while (!race->stop) {
		if (race->round == round)
			continue;
		round = race->round;
		for (size_t i = 0; i < 100; i++)
			memset(race->mem + i * PAGE, 0, PAGE);
		race->ready = round;
		/* The call is on its way. Each page is written once, and no more. */
		wait_a_bit(round * 37 % 100 * race->pace);
		for (size_t i = 0; i < 100; i++) {
			wait_a_bit(round * 7 % 100);
			race->mem[i * PAGE + 8 * (i % 8)] = round | 1;
		}
		race->ready = -round;
	}
	return NULL;
}

TEST_F(zeros, written_meanwhile)
{
	struct race race = {
		.mem = self->mem + 10 * PAGE,
		.pace = cp_debug_kernel() ? 100000 : 10000,
	};
	const char *why = NULL;
	int rounds = cp_debug_kernel() ? 30 : 100;
	size_t holes = 0;
	pthread_t thread;

	madvise(self->mem, LEN, MADV_NOHUGEPAGE);
	cp_fill(self->mem, LEN, 1);
	ASSERT_OK(chain_full(&self->c, race.mem, 100 * PAGE));
	ASSERT_EQ(0, pthread_create(&thread, NULL, writes, &race));
	for (int round = 1; round <= rounds && !why; round++) {
		race.round = round;
		while (race.ready != round && race.ready != -round)
			sched_yield();
		why = chain_inc(&self->c, race.mem, 100 * PAGE);
		holes += !why && cpimg_note(self->c.img)->pages_hole > 0;
		while (race.ready != -round)
			sched_yield();
		if (!why)
			why = chain_inc(&self->c, race.mem, 100 * PAGE);
		if (!why)
			why = chain_matches(&self->c, race.mem, 100 * PAGE);
	}
	race.stop = 1;
	race.round = -1;
	pthread_join(thread, NULL);
	ASSERT_OK(why);
	TH_LOG("%zu of %d calls saw zeros", holes, rounds);
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		EXPECT_LT(5, holes);
}

TEST_HARNESS_MAIN
