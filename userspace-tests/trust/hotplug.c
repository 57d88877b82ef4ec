// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --smp 2 --append kernelcore=120M --timeout 300 */
/*
 * Memory is unplugged under a program that saves itself: its pages move to other
 * memory, in the middle of checkpoints and between them. The chain gives the memory
 * back each time. (kernelcore= leaves the rest of the machine to what can be moved:
 * so one block of memory, 128 MiB, goes offline and comes back.)
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>

#include "chain.h"
#include "harness.h"

#define LEN	(32UL << 20)
#define ROUNDS	12

static char block[64];		/* the file that says whether it is online */
static atomic_bool stop;
static atomic_long unplugged;

static bool find_block(void)
{
	for (int i = 0; i < 64; i++) {
		snprintf(block, sizeof(block), "/sys/devices/system/memory/memory%d/state", i);
		if (!cp_write_file(block, "offline"))
			return !cp_write_file(block, "online_movable");
	}
	return false;
}

static void *unplug(void *arg)
{
	while (!stop) {
		if (!cp_write_file(block, "offline"))
			unplugged++;
		usleep(2000);
		cp_write_file(block, "online_movable");
		usleep(20000);
	}
	return arg;
}

TEST(memory_unplugged_under_a_chain)
{
	size_t len = cp_debug_kernel() ? LEN / 4 : LEN;
	struct chain c = { 0 };
	long moved = cp_vmstat("pgmigrate_success");
	pthread_t thread;
	char *mem, *at;

	if (!find_block())
		SKIP(return, "no memory block that goes offline");
	mem = cp_map(len);
	ASSERT_NE(NULL, mem);
	cp_fill(mem, len, 1);
	ASSERT_EQ(0, pthread_create(&thread, NULL, unplug, NULL));
	for (int round = 0; round < ROUNDS || (!unplugged && round < 20 * ROUNDS); round++) {
		if (round % 6 == 0)
			chain_remove();
		/* New pages, some of them in the block that has just come back. */
		at = mem + round % 8 * (len / 8);
		ASSERT_EQ(0, madvise(at, len / 8, MADV_DONTNEED));
		cp_fill(at, len / 8, round);
		for (int i = 0; i < 50; i++)
			mem[(round * 50 + i) * 40503UL % (len / PAGE) * PAGE + i]++;
		ASSERT_OK(round % 6 ? chain_inc(&c, mem, len) : chain_full(&c, mem, len));
		if (round % 3 == 2)
			ASSERT_OK(chain_matches(&c, mem, len));
	}
	stop = true;
	pthread_join(thread, NULL);
	ASSERT_OK(chain_inc(&c, mem, len));
	EXPECT_OK(chain_matches(&c, mem, len));
	moved = cp_vmstat("pgmigrate_success") - moved;
	TH_LOG("offline %ld times, %ld pages moved", unplugged, moved);
	EXPECT_LT(0, unplugged);
	EXPECT_LT(100, moved);
	chain_close(&c);
	chain_remove();
}

TEST_HARNESS_MAIN
