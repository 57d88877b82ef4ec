// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 1200 --disk 64 */
/* guest: --mem 1200 --smp 2 --disk 64 --append preempt=full */
/*
 * Huge pages stay huge where most of their pages change from checkpoint to checkpoint,
 * and are split where few do. Nothing is lost either way, nor when a program changes its
 * habit.
 */
#define _GNU_SOURCE
#include <pthread.h>

#include "chain.h"
#include "harness.h"

#define THP	"/sys/kernel/mm/transparent_hugepage/"
#define NR	24UL			/* huge pages */
#define LEN	(NR * HUGE)
#define PAGES	(LEN / PAGE)

FIXTURE(huge_kept) {
	char		*mem;
	struct chain	c;
};

/* kB in huge pages */
#define HUGE_NOW()	cp_smaps(self->mem, "AnonHugePages")
#define ALL_KB		((long)(LEN >> 10))

FIXTURE_SETUP(huge_kept)
{
	if (access(THP "enabled", F_OK))
		SKIP(return, "no transparent huge pages");
	cp_write_file(THP "enabled", "madvise");
	/* What is split must not come back by itself. */
	cp_write_file(THP "khugepaged/pages_to_scan", "1");
	cp_write_file(THP "khugepaged/scan_sleep_millisecs", "1000000");
	self->mem = cp_map_at(CP_FAR(0x24), LEN);
	ASSERT_NE(NULL, self->mem);
	ASSERT_EQ(0, madvise(self->mem, LEN, MADV_HUGEPAGE));
	for (size_t i = 0; i < PAGES; i++)
		cp_fill(self->mem + i * PAGE, 64, i);
	if (HUGE_NOW() < ALL_KB)
		SKIP(return, "no huge pages came, %ld kB", HUGE_NOW());
}

FIXTURE_TEARDOWN(huge_kept)
{
	chain_close(&self->c);
	chain_remove();
}

/* Change every @step-th page, from the @first on. */
static size_t change(char *mem, size_t first, size_t step)
{
	size_t n = 0;

	for (size_t i = first; i < PAGES; i += step, n++)
		mem[i * PAGE + 128 + i % 1000]++;
	return n;
}

/* An image, held against memory; the ones before are in the way. */
static const char *take(struct chain *c, const char *mem)
{
	const char *why = chain_inc(c, mem, LEN);

	return why ?: chain_matches(c, mem, LEN);
}

#define DATA()	cpimg_note(self->c.img)->pages_data

TEST_F(huge_kept, where_all_changes)
{
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	for (int round = 0; round < 3; round++) {
		change(self->mem, 0, 1);
		ASSERT_OK(take(&self->c, self->mem));
		ASSERT_EQ(PAGES, DATA());
	}
	TH_LOG("%ld of %ld kB are huge", HUGE_NOW(), ALL_KB);
	EXPECT_LE(ALL_KB * 95 / 100, HUGE_NOW());
	/* And where nothing is written nothing is saved. */
	ASSERT_OK(take(&self->c, self->mem));
	EXPECT_EQ(0, DATA());
}

/* Only the mapping is split: what is read has its own page table entries, no more. */
TEST_F(huge_kept, not_where_little_changes)
{
	size_t n;

	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	for (int round = 0; round < 5; round++) {
		n = change(self->mem, round, 100);
		ASSERT_OK(take(&self->c, self->mem));
		TH_LOG("%zu pages changed: %zu saved, %ld kB are huge", n, (size_t)DATA(),
		       HUGE_NOW());
		/* The first time it is not known yet. */
		if (round)
			EXPECT_GE(n + n / 10, DATA());
	}
	EXPECT_EQ(0, HUGE_NOW());
}

TEST_F(huge_kept, a_new_habit)
{
	size_t n;

	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	for (int round = 0; round < 2; round++) {
		change(self->mem, 0, 1);
		ASSERT_OK(take(&self->c, self->mem));
	}
	ASSERT_LE(ALL_KB * 95 / 100, HUGE_NOW());
	for (int round = 0; round < 4; round++) {
		n = change(self->mem, 7, 100);
		ASSERT_OK(take(&self->c, self->mem));
		if (round > 1)
			EXPECT_GE(n + n / 10, DATA());
	}
	/* And back: huge pages do not come back by themselves; nothing is lost. */
	for (int round = 0; round < 2; round++) {
		change(self->mem, 0, 1);
		ASSERT_OK(take(&self->c, self->mem));
		ASSERT_EQ(PAGES, DATA());
	}
}

/* A few of them are worked on, each as a whole, others next time. */
TEST_F(huge_kept, in_bands)
{
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	for (size_t round = 0; round < 8; round++) {
		for (size_t i = round * NR / 8; i < (round + 1) * NR / 8; i++)
			for (size_t page = 0; page < HUGE / PAGE; page++)
				self->mem[i * HUGE + page * PAGE + 99]++;
		ASSERT_OK(take(&self->c, self->mem));
		ASSERT_EQ(PAGES / 8, DATA());
	}
	TH_LOG("%ld of %ld kB are huge", HUGE_NOW(), ALL_KB);
	EXPECT_LE(ALL_KB * 90 / 100, HUGE_NOW());
}

/* Its dirty bit is that of the half which the call does not look at as well. */
TEST_F(huge_kept, half_of_one)
{
	char *half = self->mem + HUGE / 2;

	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	for (int round = 0; round < 3; round++) {
		change(self->mem, 0, 1);
		ASSERT_OK(chain_inc(&self->c, half, LEN - HUGE));
		ASSERT_OK(chain_matches(&self->c, half, LEN - HUGE));
		ASSERT_OK(take(&self->c, self->mem));
		ASSERT_LE(HUGE / PAGE, DATA());
	}
}

/* Others write behind its dirty bit: the kernel does, for read(2). */
TEST_F(huge_kept, written_by_the_kernel)
{
	int fd = open("/disk/source", O_CREAT | O_TRUNC | O_RDWR, 0600), direct;

	if (fd < 0)
		SKIP(return, "no /disk: %s", strerror(errno));
	ASSERT_EQ((ssize_t)HUGE, write(fd, self->mem, HUGE));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	change(self->mem, 0, 1);
	ASSERT_OK(take(&self->c, self->mem));
	ASSERT_LE(ALL_KB * 95 / 100, HUGE_NOW());
	direct = open("/disk/source", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, direct);
	ASSERT_EQ((ssize_t)HUGE, pread(direct, self->mem + 5 * HUGE, HUGE, 0));
	ASSERT_EQ((ssize_t)PAGE, pread(fd, self->mem + 9 * HUGE + 7 * PAGE, PAGE, PAGE));
	ASSERT_OK(take(&self->c, self->mem));
	EXPECT_OK(cp_is(self->c.img, self->mem + 5 * HUGE, HUGE, CPIMG_DATA, 0));
	close(direct);
	close(fd);
	unlink("/disk/source");
}

TEST_F(huge_kept, shared_with_a_child_that_writes)
{
	int status;
	pid_t pid;

	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	change(self->mem, 0, 1);
	ASSERT_OK(take(&self->c, self->mem));
	pid = fork();
	if (!pid) {
		memset(self->mem, 0x5a, LEN / 4);
		_exit(0);
	}
	self->mem[3 * HUGE + 5]++;
	ASSERT_OK(take(&self->c, self->mem));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	self->mem[3 * HUGE + PAGE]++;
	self->mem[20 * HUGE + PAGE]++;
	ASSERT_OK(take(&self->c, self->mem));
}

/* Another thread writes on while they are saved: it is in the next image. */
struct writer {
	char			*mem;
	volatile unsigned long	written;
	volatile int		stop;
};

static void *writes(void *arg)
{
	struct writer *w = arg;
	unsigned long n = 0;

	while (!w->stop) {
		size_t page = n * 2654435761UL % PAGES;

		w->mem[page * PAGE + n % 4000]++;
		w->written = ++n;
	}
	return NULL;
}

TEST_F(huge_kept, written_meanwhile)
{
	const int rounds = cp_debug_kernel() ? 2 : 12;
	struct writer w = { .mem = self->mem };
	const char *why = NULL;
	pthread_t thread;

	for (int round = 0; round < rounds && !why; round++) {
		change(self->mem, 0, 1);
		w.stop = 0;
		ASSERT_EQ(0, pthread_create(&thread, NULL, writes, &w));
		/* Images are large: a chain each round */
		chain_remove();
		why = chain_full(&self->c, self->mem, LEN);
		for (int i = 0; i < 2 && !why; i++)
			why = chain_inc(&self->c, self->mem, LEN);
		w.stop = 1;
		pthread_join(thread, NULL);
		if (!why)
			why = take(&self->c, self->mem);
		if (round == rounds / 2 - 1)
			cp_write_file("/proc/sys/vm/compact_memory", "1");
	}
	ASSERT_OK(why);
	TH_LOG("%lu writes, %ld kB are huge", w.written, HUGE_NOW());
}

TEST_HARNESS_MAIN
