// SPDX-License-Identifier: GPL-2.0
/* guest: --icount --mem 1800 --swap 256 --timeout 900 */
/*
 * What a checkpoint costs where memory is not just small pages that stay where they are:
 * in swap, after compaction, in huge pages, and full of zeros. In guest instructions, as
 * in cost.c; what instructions do not show, how much is huge or was read in, is counted.
 */
#include "cp_test.h"
#include "harness.h"
#include "needs.h"
#include "schemes.h"

#define SHOW(...)	TH_LOG(__VA_ARGS__)
#define LEN		(256 * MIB)

FIXTURE(places) {
	struct arena	arena;
	struct saver	saver;
};

FIXTURE_SETUP(places) { }

FIXTURE_TEARDOWN(places)
{
	if (self->saver.scheme)
		saver_end(&self->saver);
	if (self->arena.mem)
		arena_put(&self->arena);
}

#define USE(table, name) do { \
	saver_init(&self->saver, scheme_of(table, name), &self->arena); \
	ASSERT_TRUE(saver_begin(&self->saver)); \
} while (0)

/* Written memory that is tracked. */
#define GET(len) do { \
	ASSERT_TRUE(arena_get(&self->arena, len, 0)); \
	USE(incremental_schemes, "inc_cp_range"); \
	ASSERT_LE(0, saver_save(&self->saver)); \
} while (0)

/* Millions of instructions, and MiB, of the next image */
#define SAVE(what) ({ \
	double t_ = saver_save(&self->saver) / 1e6; \
	ASSERT_LE(0, t_); \
	SHOW("%s: %.3f M, %.2f MiB", what, t_, self->saver.bytes / MIB); \
	t_; \
})

TEST_F(places, a_quarter_in_swap)
{
	double cost, in;

	if (!cp_swap_device())
		SKIP(return, "no swap device");
	if (cp_kernel_before(6, 12))
		SKIP(return, "Linux 2.6 has no rule for what is in swap");
	GET(LEN);
	SAVE("nothing written");
	if (cp_pageout(self->arena.mem, LEN / 4))
		SKIP(return, "memory does not go to swap: %s", strerror(errno));
	in = cp_vmstat("pswpin");
	cost = SAVE("a quarter in swap, nothing written");
	in = cp_vmstat("pswpin") - in;
	SHOW("%.0f pages read in", in);
	EXPECT_GE(1.5, cost);
	EXPECT_GE(10, in);
}

TEST_F(places, after_compaction)
{
	double before, after, moved;

	ASSERT_TRUE(arena_get(&self->arena, LEN, 0));
	cp_spread(self->arena.mem, LEN);
	USE(incremental_schemes, "inc_cp_range");
	ASSERT_LE(0, saver_save(&self->saver));
	arena_read(&self->arena);
	before = SAVE("nothing written");
	arena_read(&self->arena);
	moved = cp_vmstat("pgmigrate_success");
	if (cp_write_file("/proc/sys/vm/compact_memory", "1"))
		SKIP(return, "no compaction: %s", strerror(errno));
	moved = cp_vmstat("pgmigrate_success") - moved;
	after = SAVE("nothing written, after compaction");
	SHOW("%.0f pages were moved, %.3f of it", moved, after / before);
	if (!cp_kernel_before(6, 12)) {
		EXPECT_LE(1000, moved);
		EXPECT_GE(1.2, after / before);
	}
}

TEST_F(places, zeros)
{
	double cost;

	GET(64 * MIB);
	memset(self->arena.mem, 0, self->arena.len);
	cost = SAVE("64 MiB of zeros");
	SHOW("%.0f instructions a page", cost * 1e6 / (self->arena.len / PAGE));
	EXPECT_GE(0.1, self->saver.bytes / MIB);
	if (sizeof(void *) == 8)
		EXPECT_GE(700, cost * 1e6 / (self->arena.len / PAGE));
}

static long huge_kb(const struct arena *arena)
{
	return cp_smaps(arena->mem, "AnonHugePages");
}

#define GET_HUGE() do { \
	if (!arena_get(&self->arena, LEN, ARENA_HUGE)) \
		SKIP(return, "no huge pages: %s", strerror(errno)); \
	if (huge_kb(&self->arena) < (long)(LEN >> 10)) \
		SKIP(return, "no huge pages came, %ld kB", huge_kb(&self->arena)); \
} while (0)

TEST_F(places, huge_pages_written_again)
{
	double cost = 0, whole;

	GET_HUGE();
	/* What it is to save all of them, and to have them in pieces from then on */
	USE(full_schemes, "write-64k");
	whole = SAVE("write(2) in pieces of 64 KiB");
	saver_end(&self->saver);
	USE(incremental_schemes, "inc_cp_range");
	for (int round = 0; round < 10; round++) {
		arena_write(&self->arena, 1000);
		cost = SAVE("all of it written");
	}
	SHOW("%ld of %lu kB are huge after ten rounds; %.3f of write(2)",
	     huge_kb(&self->arena), LEN >> 10, cost / whole);
	EXPECT_LE(LEN / 1024 * 95 / 100, (size_t)huge_kb(&self->arena));
	EXPECT_GE(1.02, cost / whole);
}

TEST_F(places, huge_pages_written_here_and_there)
{
	struct page_set set;

	GET_HUGE();
	USE(incremental_schemes, "inc_cp_range");
	ASSERT_TRUE(set_choose(&set, &self->arena, 10, false));
	for (int round = 0; round < 5; round++) {
		set_write(&set, &self->arena);
		SAVE("1 % of it written");
		if (round > 1)
			EXPECT_GE(1.3, self->saver.bytes / (set.nr * PAGE));
	}
	SHOW("%zu pages were written, %ld of %lu kB are huge", set.nr,
	     huge_kb(&self->arena), LEN >> 10);
	set_free(&set);
}

TEST_HARNESS_MAIN
