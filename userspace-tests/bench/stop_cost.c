// SPDX-License-Identifier: GPL-2.0
/* guest: --icount --mem 5000 --timeout 900 */
/*
 * For how long a program stands still for a moment of it, in guest instructions: 1 GiB, 1 %
 * of its pages changed since the last image, and a thread that goes on changing 100 of
 * them a millisecond. Held against fork() of the same program in the same boot, which
 * stands still for that, and then for a copy of each page that it writes.
 */
#define _GNU_SOURCE
#include <pthread.h>

#include "cp_test.h"
#include "harness.h"
#include "moment.h"
#include "workload.h"

#define PERMILLE	10
#define A_MS		100		/* pages a millisecond */
#define ROUNDS		5

/*
 * The guest has no ERMS, see guest.sh --icount. There a copy that outlives machine checks
 * is memcpy(), 12 instructions for 32 bytes, 1,536 a page; counted elsewhere are 512, which
 * is what it takes with ERMS in cycles, about.
 */
#define COPY_MORE	1024.

static struct arena arena;
static struct page_set set;
static volatile bool stop;
static volatile unsigned long changed;

/* By the clock: a tick of the guest may be some milliseconds. */
static void *changes(void *arg)
{
	struct timespec nap = { 0, 1000000 };
	double last = now();
	size_t at = 0;

	while (!stop) {
		double t = now();
		unsigned long nr = (t - last) / 1e6 * A_MS;

		last += nr * 1e6 / A_MS;
		for (changed += nr; nr; nr--, at++)
			arena.mem[(size_t)set.index[at % set.nr] * PAGE + 8] += 1;
		nanosleep(&nap, NULL);
	}
	return arg;
}

/* What a call costs, all of it, and how much of that nobody else can run. */
struct cost {
	double		call;
	double		stop;
	unsigned long	pages;		/* of the image of the moment */
};

/* False, with errno, if it fails; or if there was no moment, with 0. */
static bool moment(struct cost *cost, uint64_t flags)
{
	struct cp_span span = { (uintptr_t)arena.mem, (uintptr_t)arena.mem + arena.len };
	struct cp_result r;
	struct cp_args args = {
		.flags = flags | CP_MOMENT, .pidfd = -1, .dirfd = CP_DIR_TMP,
		.ranges = (uintptr_t)&span, .nr_ranges = 1,
		.result = (uintptr_t)&r, .result_size = sizeof(r),
	};
	double t = now();

	if (cp_checkpoint(&args, sizeof(args)))
		return false;
	cost->call = now() - t;
	cost->stop = r.stop_ns;
	cost->pages = r.pages_data;
	errno = 0;
	return r.flags & CP_MOMENT;
}

/* fork(), and what writing the same pages costs more than before, while the child is there. */
static bool fork_costs(double *call, double *faults)
{
	double before = set_write(&set, &arena), t;
	int pid;

	fflush(NULL);
	t = now();
	pid = fork();
	if (!pid)
		for (;;)
			pause();
	*call = now() - t;
	*faults = set_write(&set, &arena) - before;
	cp_kill(pid);
	return pid > 0;
}

TEST(a_moment_is_short)
{
	struct cost cost, first = { 0 }, worst = { 0 };
	double call, faults;
	unsigned long were;
	pthread_t t;

	NEEDS_CP_CHECKPOINT();
	if (sizeof(void *) == 4)
		SKIP(return, "no room for 1 GiB and its images");
	ASSERT_TRUE(arena_get(&arena, GIB, 0));
	ASSERT_TRUE(set_choose(&set, &arena, PERMILLE, false));
	/* Before there is a thread, and a mark of ours on its pages */
	ASSERT_TRUE(fork_costs(&call, &faults));
	TH_LOG("fork(): %.2f M, and %.2f M to write 1 %% of the pages after it", call / 1e6,
	       faults / 1e6);

	ASSERT_EQ(0, pthread_create(&t, NULL, changes, NULL));
	/* Its first image is a full one: whatever is changed while that is written. */
	were = changed;
	ASSERT_TRUE(moment(&first, CP_INCREMENTAL)) TH_LOG("%m");
	TH_LOG("after a full image: %.2f M to stand still, for %lu pages; %lu were changed meanwhile, the call was %.1f M",
	       first.stop / 1e6, first.pages, changed - were, first.call / 1e6);
	for (int i = 0; i < ROUNDS; i++) {
		set_write(&set, &arena);
		were = changed;
		ASSERT_TRUE(moment(&cost, CP_INCREMENTAL)) TH_LOG("%m");
		TH_LOG("1 %% changed: %.2f M to stand still, %.2f with copies at 512, for %lu pages; %lu were changed meanwhile, the call was %.2f M",
		       cost.stop / 1e6, (cost.stop - cost.pages * COPY_MORE) / 1e6,
		       cost.pages, changed - were, cost.call / 1e6);
		cost.stop -= cost.pages * COPY_MORE;
		worst.stop = cost.stop > worst.stop ? cost.stop : worst.stop;
		worst.call = cost.call > worst.call ? cost.call : worst.call;
		/* What is written is what is asked about: it went on all the time. */
		EXPECT_LT(A_MS * cost.call / 1e6 / 4, changed - were);
		EXPECT_LT(0, cost.pages);
	}
	stop = true;
	pthread_join(t, NULL);
	EXPECT_LE(worst.stop, 2.5e6);
	EXPECT_LE(worst.call, 25e6);
	EXPECT_LE(first.stop, 25e6);
	EXPECT_LE(worst.stop, (call + faults) / 4);
	chain_remove();
}

TEST_HARNESS_MAIN
