// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 */
/* Signals that do not kill: the call succeeds, EINTR is never seen. */
#include <sys/time.h>

#include "cp_test.h"
#include "harness.h"

#define LEN	(8UL << 20)

static volatile sig_atomic_t caught;

static void handler(int sig)
{
	caught++;
}

FIXTURE(signals) {
	char	*mem;
};

FIXTURE_VARIANT(signals) {
	int	flags;
};

/* With and without SA_RESTART it must be the same. */
FIXTURE_VARIANT_ADD(signals, restart) { SA_RESTART };
FIXTURE_VARIANT_ADD(signals, no_restart) { 0 };

FIXTURE_SETUP(signals)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = variant->flags };

	self->mem = cp_map(LEN);
	cp_fill(self->mem, LEN, 1);
	ASSERT_EQ(0, sigaction(SIGALRM, &sa, NULL));
	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
}

FIXTURE_TEARDOWN(signals)
{
	struct itimerval off = { 0 };

	setitimer(ITIMER_REAL, &off, NULL);
	for (int n = 0; n < 100; n++)
		unlink(cp_name(getpid(), n));
}

#define CHECKPOINTS	6

TEST_F(signals, of_a_timer_every_millisecond)
{
	struct itimerval ms = { { 0, 1000 }, { 0, 1000 } };
	struct itimerval off = { 0 };

	/* The first call of an address space is the one that sets things up. */
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &ms, NULL));
	for (int n = 0; n < CHECKPOINTS; n++) {
		struct cpimg *img;

		errno = 0;
		ASSERT_EQ(0, cp_range(self->mem, self->mem + LEN))
			TH_LOG("call %d: %s", n, strerror(errno));
		img = cp_open(getpid(), n);
		ASSERT_NE(NULL, img);
		ASSERT_OK(cp_same_bytes(img, self->mem, LEN));
		cpimg_close(img);
		/* One call, one image, also when it was restarted. */
		ASSERT_OK(cp_no_file(getpid(), n + 1));
		unlink(cp_name(getpid(), n));
	}
	setitimer(ITIMER_REAL, &off, NULL);
	EXPECT_LT(0, caught);
}

TEST_F(signals, of_another_process_without_a_pause)
{
	pid_t me = getpid(), pid = fork();

	if (!pid) {
		while (!kill(me, SIGUSR1))
			sched_yield();
		_exit(0);
	}
	for (int n = 0; n < CHECKPOINTS; n++) {
		errno = 0;
		ASSERT_EQ(0, cp_range(self->mem, self->mem + LEN))
			TH_LOG("call %d: %s", n, strerror(errno));
		unlink(cp_name(getpid(), n));
	}
	cp_kill(pid);
	EXPECT_LT(0, caught);
}

TEST_F(signals, that_stop_and_continue)
{
	pid_t me = getpid(), pid;
	volatile bool *done = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, done);
	pid = fork();
	if (!pid) {
		while (!*done) {
			usleep(2000);
			kill(me, SIGSTOP);
			usleep(2000);
			kill(me, SIGCONT);
		}
		_exit(0);
	}
	for (int n = 0; n < CHECKPOINTS; n++) {
		struct cpimg *img;

		errno = 0;
		ASSERT_EQ(0, cp_range(self->mem, self->mem + LEN))
			TH_LOG("call %d: %s", n, strerror(errno));
		img = cp_open(getpid(), n);
		ASSERT_NE(NULL, img);
		ASSERT_OK(cp_same_bytes(img, self->mem, LEN));
		cpimg_close(img);
		unlink(cp_name(getpid(), n));
	}
	/* Not killed: it must not leave us stopped. */
	*done = true;
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
}

TEST_HARNESS_MAIN
