// SPDX-License-Identifier: GPL-2.0
/*
 * toil solver|writer|signals STEPS: a computation that knows nothing of images, and whose
 * result is right only if no step was lost, done twice or torn.
 *
 * solver: eight threads, a barrier for each step, and a queue with condition variables.
 * writer: three files in the working directory, one appended to, one written to here and
 * there, one mapped. signals: work that is done in handlers, on an alternate stack, of two
 * timers and of signals with values.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define THREADS		8
#define WORDS		(64UL << 10)	/* of each thread */
#define FILE_SIZE	(4UL << 20)

static unsigned long steps;

static uint64_t next(uint64_t x)
{
	return x * 6364136223846793005ULL + 1442695040888963407ULL;
}

static __attribute__((noreturn)) void fail(const char *what)
{
	perror(what);
	exit(2);
}

/* solver */

static uint64_t memory[THREADS][WORDS], total;
static pthread_barrier_t barrier;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static unsigned long turn;

static void *solve(void *arg)
{
	unsigned long me = (uintptr_t)arg;

	for (unsigned long step = 0; step < steps; step++) {
		const uint64_t *other = memory[(me + 1) % THREADS];
		uint64_t x = other[step % WORDS] + me;

		pthread_barrier_wait(&barrier);
		for (unsigned long i = step * 512; i < step * 512 + 4096; i++) {
			x = next(x ^ memory[me][i % WORDS]);
			memory[me][i % WORDS] = x;
		}
		/* one after the other: the sum depends on the order */
		pthread_mutex_lock(&mutex);
		while (turn % THREADS != me)
			pthread_cond_wait(&turned, &mutex);
		total = next(total ^ x);
		turn++;
		pthread_cond_broadcast(&turned);
		pthread_mutex_unlock(&mutex);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static uint64_t solver(void)
{
	pthread_t thread[THREADS];

	pthread_barrier_init(&barrier, NULL, THREADS);
	for (uintptr_t i = 0; i < THREADS; i++) {
		if (pthread_create(&thread[i], NULL, solve, (void *)i))
			fail("pthread_create");
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (unsigned long i = 0; i < THREADS * WORDS; i++)
		total = total * 31 + memory[i / WORDS][i % WORDS];
	return total;
}

/* writer */

static int create(const char *name, int flags)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | flags, 0644);

	if (fd < 0)
		fail(name);
	return fd;
}

static uint64_t writer(void)
{
	int appended = create("appended", O_APPEND), sought = create("sought", 0);
	int mapped = create("mapped", 0);
	uint64_t x = 1, *map;
	char line[64];

	if (ftruncate(mapped, FILE_SIZE))
		fail("mapped");
	map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0);
	if (map == MAP_FAILED)
		fail("mapped");
	for (unsigned long step = 0; step < steps; step++) {
		int len;

		for (int i = 0; i < 1000000; i++)
			x = next(x);
		len = snprintf(line, sizeof(line), "step %lu: %016llx\n", step,
			       (unsigned long long)x);
		if (write(appended, line, len) != len)
			fail("appended");
		/* what is written there depends on nothing that is in it */
		if (lseek(sought, x % 97 * 4096, SEEK_SET) < 0 ||
		    write(sought, line, len) != len)
			fail("sought");
		if (lseek(sought, 0, SEEK_SET) < 0 || write(sought, line, len) != len)
			fail("sought");
		for (unsigned long i = 0; i < 1024; i++)
			map[(x + i * 509) % (FILE_SIZE / 8)] = x + i;
		printf("%s", line);
		fflush(stdout);
	}
	return x;
}

/* signals */

static volatile uint64_t state;
static volatile unsigned long ticks, values;
static sigjmp_buf back;
static timer_t timer;

static void on_stack_of_its_own(void)
{
	stack_t stack;

	if (sigaltstack(NULL, &stack) || !(stack.ss_flags & SS_ONSTACK)) {
		fprintf(stderr, "toil: a handler is not on the alternate stack\n");
		_exit(3);
	}
}

static void on_tick(int sig)
{
	uint64_t x = state;

	(void)sig;
	on_stack_of_its_own();
	for (int i = 0; i < 200000; i++)
		x = next(x);
	state = x;
	ticks++;
}

static void on_value(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	on_stack_of_its_own();
	state = next(state ^ (uint64_t)info->si_value.sival_int);
	values++;
}

static void on_fault(int sig)
{
	(void)sig;
	on_stack_of_its_own();
	siglongjmp(back, 1);
}

static void handle(int sig, void (*handler)(int), void (*with)(int, siginfo_t *, void *))
{
	struct sigaction act = { .sa_flags = SA_ONSTACK | (with ? SA_SIGINFO : 0) };

	sigfillset(&act.sa_mask);
	if (with)
		act.sa_sigaction = with;
	else
		act.sa_handler = handler;
	if (sigaction(sig, &act, NULL))
		fail("sigaction");
}

static uint64_t signals(void)
{
	struct itimerval often = { { 0, 9000 }, { 0, 9000 } };
	struct itimerspec too = { { 0, 13000000 }, { 0, 13000000 } };
	stack_t stack = { .ss_sp = malloc(1 << 16), .ss_size = 1 << 16 };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	sigset_t all, none;

	if (!stack.ss_sp || sigaltstack(&stack, NULL))
		fail("sigaltstack");
	handle(SIGALRM, on_tick, NULL);
	handle(SIGUSR1, on_tick, NULL);
	handle(SIGRTMIN, NULL, on_value);
	handle(SIGSEGV, on_fault, NULL);
	sigfillset(&all);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigdelset(&all, SIGSEGV);
	if (setitimer(ITIMER_REAL, &often, NULL) ||
	    timer_create(CLOCK_MONOTONIC, &event, &timer) ||
	    timer_settime(timer, 0, &too, NULL))
		fail("timers");
	for (unsigned long step = 0; step < steps; step++) {
		unsigned long before = ticks;
		sigset_t timers = all;

		/* a tick, whichever timer it is of; no more of them than are counted */
		sigdelset(&timers, step % 2 ? SIGALRM : SIGUSR1);
		while (ticks == before)
			sigsuspend(&timers);
		/* three that wait, then all at once, in the order in which they came */
		for (int i = 0; i < 3; i++)
			sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = step * 3 + i });
		timers = all;
		sigdelset(&timers, SIGRTMIN);
		while (values < 3 * (step + 1))
			sigsuspend(&timers);
		sigprocmask(SIG_SETMASK, &all, NULL);
		if (!sigsetjmp(back, 1))
			*(volatile int *)NULL = 0;
	}
	return next(state ^ ticks) ^ values;
}

int main(int argc, char **argv)
{
	static const struct {
		const char	*name;
		uint64_t	(*work)(void);
	} works[] = {
		{ "solver", solver }, { "writer", writer }, { "signals", signals },
	};

	for (size_t i = 0; argc == 3 && i < sizeof(works) / sizeof(*works); i++) {
		if (strcmp(argv[1], works[i].name))
			continue;
		steps = strtoul(argv[2], NULL, 10);
		printf("%s: %016llx\n", argv[1], (unsigned long long)works[i].work());
		return 0;
	}
	return 2;
}
