// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 700 --smp 2 --timeout 400 */
/*
 * Who is in the middle of a long system call is not waited for: it does not get back to the
 * program before all go on.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/resource.h>

#include "harness.h"
#include "moment.h"

#define LONG	(192UL << 20)
#define WORDS	64

static volatile bool stop;
static volatile double longest_read;
static volatile long reads;

static void *reader(void *mem)
{
	int fd = open("/dev/zero", O_RDONLY);

	setpriority(PRIO_PROCESS, 0, 10);
	while (!stop) {
		double t = cp_now();

		if (read(fd, mem, LONG) != (ssize_t)LONG)
			return "read";
		t = cp_now() - t;
		if (t > longest_read)
			longest_read = t;
		reads++;
	}
	close(fd);
	return NULL;
}

static void *writer(void *mem)
{
	setpriority(PRIO_PROCESS, 0, 19);
	write_in_order(mem, WORDS, 1, UINT64_MAX, &stop);
	return NULL;
}

TEST(are_not_waited_for)
{
	const int rounds = cp_debug_kernel() ? 20 : 60;
	char *mem = map_in_order(WORDS), *to = cp_map(LONG);
	struct chain c = { 0 };
	struct cp_result r;
	uint64_t ns[60];
	int reached = 0;
	pthread_t t[2];
	void *failed;

	NEEDS_CP_CHECKPOINT();
	memset(to, 1, LONG);
	stop = false;
	ASSERT_EQ(0, pthread_create(&t[0], NULL, reader, to));
	ASSERT_EQ(0, pthread_create(&t[1], NULL, writer, mem));
	while (!reads)
		usleep(1000);
	for (int i = 0; i < rounds; i++) {
		ASSERT_OK(chain_moment(&c, mem, WORDS * PAGE, &r));
		EXPECT_EQ(3, r.threads);
		if (!(r.flags & CP_MOMENT))
			continue;
		ns[reached++] = r.stop_ns;
		ASSERT_OK(is_in_order(&c, mem, WORDS));
	}
	stop = true;
	pthread_join(t[0], &failed);
	pthread_join(t[1], NULL);
	ASSERT_EQ(NULL, failed);
	EXPECT_LT(rounds * 9 / 10, reached);
	sort_numbers(ns, reached);
	TH_LOG("read() takes up to %.0f ms; %d of %d moments, standing still for %.2f ms, the median, and %.2f ms at most",
	       longest_read * 1e3, reached, rounds, ns[reached / 2] / 1e6,
	       ns[reached - 1] / 1e6);
	EXPECT_LT(ns[reached / 2] / 1e9, longest_read / 4);
	chain_close(&c);
	chain_remove();
}

TEST_HARNESS_MAIN
