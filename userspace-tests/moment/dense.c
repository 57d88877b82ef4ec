// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 700 --smp 2 --timeout 400 --append transparent_hugepage=always */
/*
 * A program that works on all of its memory keeps its huge pages, however many moments of
 * it are saved; and what it writes is in the moment.
 */
#define _GNU_SOURCE
#include <pthread.h>

#include "harness.h"
#include "moment.h"

#define LEN	((cp_debug_kernel() ? 16UL : 64UL) << 20)

static volatile bool stop;

static void *rewrite(void *mem)
{
	for (unsigned int i = 1; !stop; i++) {
		for (size_t at = 0; at < LEN; at += PAGE)
			*(volatile unsigned int *)((char *)mem + at) = i;
	}
	return NULL;
}

TEST(huge_pages_are_kept)
{
	char *mem = cp_map_at(CP_FAR(2), LEN);
	struct chain c = { 0 };
	struct cp_result r;
	long before, after;
	int reached = 0;
	pthread_t t;

	NEEDS_CP_CHECKPOINT();
	ASSERT_NE(NULL, mem);
	madvise(mem, LEN, MADV_HUGEPAGE);
	memset(mem, 1, LEN);
	before = cp_smaps(mem, "AnonHugePages");
	if (before < (long)(LEN >> 10) / 2)
		SKIP(return, "no huge pages: %ld kB", before);
	ASSERT_EQ(0, pthread_create(&t, NULL, rewrite, mem));
	for (int i = 0; i < 20; i++) {
		ASSERT_OK(chain_moment(&c, mem, LEN, &r));
		reached += !!(r.flags & CP_MOMENT);
		if (i % 2)
			chain_remove();
	}
	after = cp_smaps(mem, "AnonHugePages");
	TH_LOG("%ld of %ld kB are in huge pages, %d moments", after, before, reached);
	EXPECT_LE(before * 9 / 10, after);
	stop = true;
	pthread_join(t, NULL);
	ASSERT_OK(chain_inc(&c, mem, LEN));
	EXPECT_OK(chain_matches(&c, mem, LEN));
	chain_close(&c);
	chain_remove();
}

TEST_HARNESS_MAIN
