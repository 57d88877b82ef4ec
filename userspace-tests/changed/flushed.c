// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 --smp 1 */
/*
 * The TLB is flushed of each dirty bit that is cleared: else the processor goes
 * on to write by the entry that it has, and sets no bit.
 *
 * Whole page tables do not show it: to clear the accessed bits above them takes
 * a flush of its own. So the range is a part of one.
 */
#define _GNU_SOURCE
#include "chain.h"
#include "harness.h"

#define PAGES	100UL

TEST(written_again_at_once)
{
	struct chain c = { 0 };
	char *table, *mem;

	table = cp_map_at(CP_FAR(0x20), HUGE);
	ASSERT_NE(NULL, table);
	madvise(table, HUGE, MADV_NOHUGEPAGE);
	cp_pin(0);
	mem = table + 10 * PAGE;
	cp_fill(mem, PAGES * PAGE, 1);
	ASSERT_OK(chain_full(&c, mem, PAGES * PAGE));
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < PAGES; i++)
			mem[i * PAGE]++;
		/* Nothing between this and the writes that could flush. */
		ASSERT_EQ(0, inc_cp_range(mem, mem + PAGES * PAGE));
		for (size_t i = 0; i < PAGES; i++)
			mem[i * PAGE]++;
		c.n++;
		ASSERT_OK(chain_inc(&c, mem, PAGES * PAGE));
		ASSERT_OK(chain_matches(&c, mem, PAGES * PAGE));
		ASSERT_EQ(PAGES, chain_pages(&c, mem, PAGES * PAGE, CPIMG_DATA));
	}
	chain_close(&c);
	chain_remove();
}

TEST_HARNESS_MAIN
