// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 768 --smp 2 */
/*
 * A checkpoint must not count a page as saved that somebody has announced to
 * take away, and has not yet. Between the two there is time if many page tables
 * are discarded at once: the announcement is one for all of them.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>

#include "chain.h"
#include "harness.h"

#define LEN	(32UL << 20)
#define ROUNDS	12

static atomic_int go;

static void *discard(void *arg)
{
	while (!go)
		;
	/* From the start of the checkpoint, later each time. */
	for (volatile int i = 0; i < (go - 1) * 20000; i++)
		;
	madvise(arg, LEN, MADV_DONTNEED);
	return NULL;
}

TEST(discarded_during_a_checkpoint)
{
	struct chain c = { 0 };
	pthread_t thread;
	char *mem;

	mem = cp_map_at(CP_FAR(0x20), LEN);
	ASSERT_NE(NULL, mem);
	madvise(mem, LEN, MADV_NOHUGEPAGE);
	cp_fill(mem, HUGE, 1);
	ASSERT_OK(chain_full(&c, mem, LEN));
	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < LEN; i += PAGE)
			mem[i] = round + 1;
		go = 0;
		pthread_create(&thread, NULL, discard, mem);
		go = round + 1;
		ASSERT_OK(chain_inc(&c, mem, LEN));
		pthread_join(thread, NULL);
		/* Untouched since: all of it is a hole. */
		ASSERT_OK(chain_inc(&c, mem, LEN));
		ASSERT_EQ(0, chain_pages(&c, mem, LEN, CPIMG_SAME));
		ASSERT_OK(chain_matches(&c, mem, LEN));
	}
	chain_close(&c);
	chain_remove();
}

TEST_HARNESS_MAIN
