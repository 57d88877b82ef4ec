// SPDX-License-Identifier: GPL-2.0
/* guest: --icount --mem 5000 --timeout 900 */
/*
 * What a checkpoint costs, in guest instructions, held against the best that a
 * program can do without it: write(2) for a full one, userfaultfd's WP_ASYNC with
 * PAGEMAP_SCAN for an incremental one. One boot, same memory, same pages; with
 * QEMU's -icount an instruction is a nanosecond.
 */
#include <sys/resource.h>

#include "cp_test.h"
#include "harness.h"
#include "needs.h"
#include "schemes.h"

static struct arena arena;
static struct saver saver;

static bool get(size_t len)
{
	return arena_get(&arena, len, 0);
}

/* Some scheme from now on, tracking if it does that. */
static bool use(const struct scheme *table, const char *name)
{
	saver_init(&saver, scheme_of(table, name), &arena);
	return saver_begin(&saver);
}

#define SHOW(...)	TH_LOG(__VA_ARGS__)

/* Counts repeat to 1e-3 with one compiler; another's kernel may differ by more. */
#define SLACK		1.02

/*
 * Of 2.6.32: pages go to the file system through vfs_writev(), and every page table is
 * looked at, as there is no telling which were used. On i386 a page is mapped each time.
 */
static double old_kernel(double bound, double otherwise)
{
	return cp_kernel_before(2, 7) ? bound : otherwise;
}

TEST(full_costs_no_more_than_write)
{
	static const char *const pieces[] = {
		"write-16k", "write-32k", "write-64k", "write-128k",
	};
	double best = 1e99, ours;

	ASSERT_TRUE(get(256 * MIB));
	for (int i = 0; i < 4; i++) {
		double t;

		ASSERT_TRUE(use(full_schemes, pieces[i]));
		t = saver_save(&saver);
		ASSERT_LE(0, t);
		SHOW("256 MiB, %s: %7.2f M", saver.scheme->what, t / 1e6);
		if (t < best)
			best = t;
	}
	ASSERT_TRUE(use(full_schemes, "write"));
	SHOW("256 MiB, %s: %7.2f M", saver.scheme->what, saver_save(&saver) / 1e6);
	ASSERT_TRUE(use(full_schemes, "cp_range"));
	ours = saver_save(&saver);
	ASSERT_LE(0, ours);
	SHOW("256 MiB, cp_range(), first: %7.2f M", ours / 1e6);
	ours = saver_save(&saver);
	SHOW("256 MiB, cp_range(): %7.2f M", ours / 1e6);
	EXPECT_LE(ours, best * old_kernel(sizeof(void *) == 8 ? 1.1 : 1.22, SLACK));
}

static const unsigned int permille[] = { 0, 1, 10, 100, 1000 };

static double least(double a, double b)
{
	return a < b ? a : b;
}

/*
 * What is small is measured three times: a timer tick may fall into it, or the
 * freeing of what was removed before.
 */
#define ROUNDS		3

/* Change pages, save, write the same pages again. False: it cannot be saved. */
static bool cost_of(unsigned int permille, double *call, double *again)
{
	int rounds = permille < 100 ? ROUNDS : 1;

	*call = *again = 1e99;
	while (rounds--) {
		double t;

		arena_write(&arena, permille);
		arena_read(&arena);
		t = saver_save(&saver);
		*again = least(*again, arena_write(&arena, permille));
		*call = least(*call, t);
		if (t < 0 || saver_save(&saver) < 0)
			return false;
	}
	return true;
}

/* Of each change the sum of saving and of writing the same pages again. */
static const char *cost_of_changes(struct __test_metadata *_metadata,
				   double sum[5])
{
	for (int i = 0; i < 5; i++) {
		double call, again;

		if (!cost_of(permille[i], &call, &again))
			return strerror(errno);
		sum[i] = call + again;
		SHOW("%lu MiB, %5.1f %% changed, %s: %8.2f M, again %7.2f M",
		     MUCH / MIB, permille[i] / 10., saver.scheme->name, call / 1e6, again / 1e6);
	}
	return NULL;
}

TEST(incremental_costs_less_than_wp_async)
{
	static const double most[] = { 0.3, 0.4, 0.62, 0.7, 0.74 };
	double ours[5], theirs[5];

	ASSERT_TRUE(get(MUCH));
	ASSERT_TRUE(use(incremental_schemes, "inc_cp_range"));
	ASSERT_LE(0, saver_save(&saver));
	ASSERT_OK(cost_of_changes(_metadata, ours));

	/* Other memory: userfaultfd's bits must not burden ours. */
	arena_put(&arena);
	ASSERT_TRUE(get(MUCH));
	if (!use(incremental_schemes, "wp-async"))
		SKIP(return, "no WP_ASYNC");
	ASSERT_LE(0, saver_save(&saver));
	ASSERT_OK(cost_of_changes(_metadata, theirs));
	for (int i = 0; i < 5; i++) {
		SHOW("%5.1f %% changed: ratio %.3f", permille[i] / 10.,
		     ours[i] / theirs[i]);
		EXPECT_LE(ours[i], theirs[i] * most[i] * SLACK);
	}
}

static double save_after_reading(size_t len)
{
	double best = 1e99;

	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < len; i += PAGE)
			((volatile char *)arena.mem)[i];
		best = least(best, saver_save(&saver));
	}
	return best;
}

TEST(untouched_memory_costs_next_to_nothing)
{
	double one, four, idle;

	ASSERT_TRUE(get(MUCH));
	ASSERT_TRUE(use(incremental_schemes, "inc_cp_range"));
	ASSERT_LE(0, saver_save(&saver));
	one = save_after_reading(MUCH);
	ASSERT_LE(0, one);
	idle = save_after_reading(0);
	ASSERT_LE(0, idle);
	SHOW("%lu MiB read and not written: %7.3f M, not used: %7.3f M",
	     MUCH / MIB, one / 1e6, idle / 1e6);
	/* A quarter of it to see whether the images of the chain are still there. */
	EXPECT_LE(idle, old_kernel(0.75e6, 0.11e6));
	arena_put(&arena);

	/* The guest has room for 2.25 times that: scale the rule to it. */
	ASSERT_TRUE(get(2 * MUCH + MUCH / 4));
	saver.arena = arena;
	ASSERT_TRUE(saver_begin(&saver));
	ASSERT_LE(0, saver_save(&saver));
	four = save_after_reading(MUCH);
	ASSERT_LE(0, four);
	SHOW("2.25 times that, of which as much read: %7.3f M, %.3f of it", four / 1e6,
	     four / one);
	/* 3 GiB more may cost half of 1 GiB: 1.25 GiB more, 0.21 of it. */
	EXPECT_LE(four, one * old_kernel(2.25 * SLACK, 1.21));
}

TEST(pages_written_again_cost_no_fault)
{
	struct rusage before, after;
	struct page_set set;
	double never = 1e99, tracked = 1e99;
	long faults = 0;

	ASSERT_TRUE(get(64 * MIB));
	ASSERT_TRUE(set_choose(&set, &arena, 1000, false));
	set_write(&set, &arena);
	for (int round = 0; round < ROUNDS; round++)
		never = least(never, set_write(&set, &arena));
	ASSERT_TRUE(use(incremental_schemes, "inc_cp_range"));
	for (int round = 0; round < ROUNDS; round++) {
		ASSERT_LE(0, saver_save(&saver));
		getrusage(RUSAGE_SELF, &before);
		tracked = least(tracked, set_write(&set, &arena));
		getrusage(RUSAGE_SELF, &after);
		faults += after.ru_minflt - before.ru_minflt;
	}
	SHOW("64 MiB written: %.3f M never checkpointed, %.3f M after a checkpoint, %ld faults",
	     never / 1e6, tracked / 1e6, faults);
	EXPECT_EQ(0, faults);
	EXPECT_LE(tracked, never * 1.05);
}

TEST_HARNESS_MAIN
