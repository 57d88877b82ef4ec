// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --smp 3 --timeout 400 */
/*
 * Other processes that use the address space stand still too: by clone(CLONE_VM), and
 * those of vfork().
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/syscall.h>

#include "harness.h"
#include "moment.h"

#define NR	64
#define LEN	(NR * PAGE)

static char *mem;
static volatile bool stop;

static int writer(void *arg)
{
	(void)arg;
	write_in_order(mem, NR, 1, UINT64_MAX, &stop);
	return 0;
}

static const char *moments(int *reached)
{
	const int rounds = cp_debug_kernel() ? 30 : 200;
	struct chain c = { 0 };
	struct cp_result r;
	const char *why = NULL;

	*reached = 0;
	for (int i = 0; i < rounds && !why; i++) {
		why = chain_moment(&c, mem, LEN, &r);
		if (why || !(r.flags & CP_MOMENT))
			continue;
		++*reached;
		why = is_in_order(&c, mem, NR);
		if (i % 16 == 15)
			chain_remove();
	}
	chain_close(&c);
	chain_remove();
	return why;
}

static void prepare(void)
{
	mem = map_in_order(NR);
	stop = false;
}

TEST(of_clone)
{
	char *stack = cp_map(16 * PAGE);
	int pid, reached;

	NEEDS_CP_CHECKPOINT();
	prepare();
	pid = clone(writer, stack + 16 * PAGE, CLONE_VM | SIGCHLD, NULL);
	ASSERT_LT(0, pid);
	ASSERT_OK(moments(&reached));
	stop = true;
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	TH_LOG("%d moments", reached);
	EXPECT_LT(0, reached);
}

static void *vforker(void *arg)
{
	int pid = vfork();

	(void)arg;
	if (!pid) {
		writer(NULL);
		_exit(0);
	}
	return (void *)(long)pid;
}

/* The thread that waits for its child is in the kernel for all that time. */
TEST(of_vfork)
{
	pthread_t t;
	int reached;
	void *pid;

	NEEDS_CP_CHECKPOINT();
	prepare();
	ASSERT_EQ(0, pthread_create(&t, NULL, vforker, NULL));
	while (!*(volatile uint64_t *)mem)
		sched_yield();
	ASSERT_OK(moments(&reached));
	stop = true;
	pthread_join(t, &pid);
	waitpid((long)pid, NULL, 0);
	TH_LOG("%d moments", reached);
	EXPECT_LT(0, reached);
}

TEST_HARNESS_MAIN
