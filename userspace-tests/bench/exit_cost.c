// SPDX-License-Identifier: GPL-2.0
/* guest: --icount --mem 512 */
/*
 * What it costs a program to have made a checkpoint, when it ends, executes another or
 * maps much: nothing that one could see. In guest instructions, by QEMU's -icount: a
 * microsecond is a thousand.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>

#include "chain.h"
#include "harness.h"

#define TIMES	20

static char page[PAGE] __attribute__((aligned(PAGE)));

enum saves { NOTHING, FULL_ONLY, A_CHAIN };

static double *shared;		/* when the process began to end */

static void save(enum saves saves)
{
	page[0]++;
	if (saves == FULL_ONLY && cp_range(page, page + PAGE))
		_exit(1);
	for (int i = 0; saves == A_CHAIN && i < 2; i++)
		if (inc_cp_range(page, page + PAGE))
			_exit(1);
	for (int i = 0; i < 2; i++)
		unlink(cp_name(getpid(), i));
}

static void ends(enum saves saves)
{
	save(saves);
	*shared = cp_now();
	_exit(0);
}

static void executes(enum saves saves)
{
	save(saves);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
	*shared = cp_now();
	/* a program that ends soon */
	execl("/proc/self/exe", "exit_cost", "-h", NULL);
	_exit(1);
}

static void *call(void *arg)
{
	save(*(enum saves *)arg);
	return NULL;
}

/* Of which a thread that is gone made the checkpoint. */
static void ends_after_a_thread(enum saves saves)
{
	pthread_t thread;

	pthread_create(&thread, NULL, call, &saves);
	pthread_join(thread, NULL);
	*shared = cp_now();
	_exit(0);
}

static void is_killed(enum saves saves)
{
	save(saves);
	*shared = cp_now();
	kill(getpid(), SIGKILL);
}

/* Milliseconds. */
static double take(void (*how)(enum saves saves), enum saves saves)
{
	double sum = 0;

	for (int i = 0; i < TIMES; i++) {
		int status;
		pid_t pid = fork();

		if (!pid)
			how(saves);
		waitpid(pid, &status, 0);
		sum += cp_now() - *shared;
	}
	return sum / TIMES * 1000;
}

FIXTURE(exit_cost) {
};

FIXTURE_VARIANT(exit_cost) {
	void	(*how)(enum saves saves);
};

FIXTURE_VARIANT_ADD(exit_cost, exit) { ends };
FIXTURE_VARIANT_ADD(exit_cost, execve) { executes };
FIXTURE_VARIANT_ADD(exit_cost, exit_after_a_thread) { ends_after_a_thread };
FIXTURE_VARIANT_ADD(exit_cost, sigkill) { is_killed };

FIXTURE_SETUP(exit_cost)
{
	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

FIXTURE_TEARDOWN(exit_cost)
{
	chain_remove();
}

TEST_F(exit_cost, of_a_program_with_checkpoints_is_that_of_one_without)
{
	double without, full, chain;

	take(variant->how, NOTHING);
	without = take(variant->how, NOTHING);
	full = take(variant->how, FULL_ONLY);
	chain = take(variant->how, A_CHAIN);
	TH_LOG("without a checkpoint %.3f ms, with one %.3f, with a chain %.3f", without,
	       full, chain);
	if (cp_debug_kernel())
		SKIP(return, "the debug kernel's instructions say little");
	EXPECT_GT(without + 0.3, full);
	EXPECT_GT(without + 0.3, chain);
}

/* Locks of all mappings, whoever shares them: to be taken in time that one can bear. */
TEST(first_call_with_60000_mappings)
{
	const int mappings = 60000;
	double first, second;
	char *at = mmap(CP_FAR(0x20), mappings * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);

	ASSERT_NE(MAP_FAILED, at);
	for (int i = 0; i < mappings; i += 2)
		ASSERT_EQ(0, mprotect(at + i * PAGE, PAGE, PROT_READ));
	first = cp_now();
	ASSERT_EQ(0, inc_cp_range(page, page + PAGE));
	first = (cp_now() - first) * 1000;
	second = cp_now();
	ASSERT_EQ(0, inc_cp_range(page, page + PAGE));
	second = (cp_now() - second) * 1000;
	TH_LOG("the first call takes %.2f ms, the second %.2f", first, second);
	if (!cp_debug_kernel()) {
		EXPECT_GT(50, first);
		EXPECT_GT(10, second);
	}
	chain_remove();
}

TEST_HARNESS_MAIN
