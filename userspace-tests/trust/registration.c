// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 --smp 2 --timeout 600 */
/*
 * The first call of an address space begins to track it, with locks of all of its
 * mappings. Whatever else happens to the program then, signals that are no death and work
 * that the kernel does in its name, the call comes back, with an image.
 */
#define _GNU_SOURCE
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "chain.h"
#include "harness.h"

#define MAPPINGS	30000
#define PATIENCE	60	/* seconds; alone it takes one */

#ifndef IORING_TIMEOUT_MULTISHOT
#define IORING_TIMEOUT_MULTISHOT	(1U << 6)
#endif

static char mem[4 * PAGE] __attribute__((aligned(PAGE)));

static const char *many_mappings(void)
{
	char *at = mmap(CP_FAR(0x20), MAPPINGS * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return "no room";
	for (int i = 0; i < MAPPINGS; i += 2)
		if (mprotect(at + i * PAGE, PAGE, PROT_READ))
			return "mprotect failed";
	return NULL;
}

/* A timer that io_uring's work is done for in the task, again and again. */
static void busy_ring(void)
{
	struct io_uring_params p = { .flags = IORING_SETUP_CQSIZE, .cq_entries = 65536 };
	static struct __kernel_timespec ts = { .tv_nsec = 500000 };
	struct io_uring_sqe *e;
	int fd = syscall(SYS_io_uring_setup, 8, &p);
	char *sq;

	if (fd < 0)
		_exit(77);
	sq = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQ_RING);
	e = mmap(NULL, p.sq_entries * sizeof(*e), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQES);
	memset(e, 0, sizeof(*e));
	e->opcode = IORING_OP_TIMEOUT;
	e->fd = -1;
	e->addr = (uintptr_t)&ts;
	e->len = 1;
	e->timeout_flags = IORING_TIMEOUT_MULTISHOT;
	*(unsigned int *)(sq + p.sq_off.array) = 0;
	__atomic_store_n((unsigned int *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, fd, 1, 0, 0, NULL, 0) != 1)
		_exit(78);
}

static void nothing(int sig)
{
	(void)sig;
}

static void busy_timer(void)
{
	struct itimerval often = { { 0, 500 }, { 0, 500 } };

	signal(SIGALRM, nothing);
	setitimer(ITIMER_REAL, &often, NULL);
}

/* membarrier() of another thread: the processor is asked to come by. */
static void *barriers(void *arg)
{
	for (;;)
		syscall(SYS_membarrier, 1 << 3 /* PRIVATE_EXPEDITED */, 0, 0);
	return arg;
}

static void busy_barriers(void)
{
	pthread_t thread;

	if (syscall(SYS_membarrier, 1 << 4 /* REGISTER_PRIVATE_EXPEDITED */, 0, 0))
		_exit(77);
	pthread_create(&thread, NULL, barriers, NULL);
}

static void *maps(void *arg)
{
	for (;;) {
		void *at = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		munmap(at, PAGE);
	}
	return arg;
}

static void busy_mappings(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, maps, NULL);
}

FIXTURE(registration) {
};

FIXTURE_VARIANT(registration) {
	void	(*busy)(void);
};

FIXTURE_VARIANT_ADD(registration, alone) { NULL };
FIXTURE_VARIANT_ADD(registration, io_uring) { busy_ring };
FIXTURE_VARIANT_ADD(registration, timer) { busy_timer };
FIXTURE_VARIANT_ADD(registration, membarrier) { busy_barriers };
FIXTURE_VARIANT_ADD(registration, mappings) { busy_mappings };

FIXTURE_SETUP(registration)
{
}

FIXTURE_TEARDOWN(registration)
{
	chain_remove();
}

static void first_calls(void (*busy)(void), bool inc)
{
	struct chain c = { 0 };
	const char *why = many_mappings();
	unsigned int kind, reason;

	cp_fill(mem, sizeof(mem), 1);
	if (busy)
		busy();
	if (!why)
		why = inc ? chain_inc(&c, mem, sizeof(mem)) :
			    chain_full(&c, mem, sizeof(mem));
	if (!why)
		why = chain_matches(&c, mem, sizeof(mem));
	mem[PAGE]++;
	if (!why)
		why = chain_inc(&c, mem, sizeof(mem));
	if (!why)
		why = chain_matches(&c, mem, sizeof(mem));
	if (!why) {
		/* Given up is no error: then the next one is full, and says so. */
		kind = cpimg_note(c.img)->kind;
		reason = cpimg_note(c.img)->reason;
		if (!(kind == CP_KIND_INCREMENTAL && reason == CP_REASON_CHAIN) &&
		    !(kind == CP_KIND_FULL && reason == CP_REASON_NO_TRACKING))
			why = "the second is neither incremental nor full without tracking";
	}
	if (why)
		fprintf(stderr, "# %s\n", why);
	_exit(!!why);
}

#define COMES_BACK(inc) do { \
	double start_ = cp_now(), took_ = 0; \
	int status_ = 0; \
	pid_t pid_ = fork(); \
	\
	if (!pid_) \
		first_calls(variant->busy, inc); \
	while (!waitpid(pid_, &status_, WNOHANG) && took_ < PATIENCE) { \
		usleep(10000); \
		took_ = cp_now() - start_; \
	} \
	if (took_ >= PATIENCE) { \
		kill(pid_, SIGKILL); \
		waitpid(pid_, NULL, 0); \
	} \
	if (WIFEXITED(status_) && WEXITSTATUS(status_) == 77) \
		SKIP(return, "the kernel does not have it"); \
	TH_LOG("%.2f s", took_); \
	EXPECT_GT(PATIENCE, took_) TH_LOG("it does not come back"); \
	EXPECT_EQ(0, status_); \
} while (0)

TEST_F(registration, of_the_first_full_call_ends)
{
	COMES_BACK(false);
}

TEST_F(registration, of_the_first_incremental_call_ends)
{
	COMES_BACK(true);
}

/* It waits with a lock of the program's held: that ends, too. */
TEST_F(registration, is_ended_by_a_signal)
{
	double took;
	int status;

	for (int i = 0; i < 3; i++) {
		pid_t pid = fork();

		if (!pid)
			first_calls(variant->busy, true);
		usleep(30000 + 70000 * i);
		kill(pid, SIGKILL);
		took = cp_now();
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		took = cp_now() - took;
		EXPECT_GT(10, took) TH_LOG("%.2f s", took);
	}
}

TEST_HARNESS_MAIN
