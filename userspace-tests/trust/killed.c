// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 768 --smp 2 */
/*
 * SIGKILL in the middle: whatever is left under the name is told apart from an
 * image, and what looks like an image has everything.
 */
#define _GNU_SOURCE
#include <pthread.h>

#include "chain.h"
#include "harness.h"

static char *mem;
static size_t len;

/* 0: no file; 1: unfinished, and told apart; 2: a whole image; -1: wrong */
static int what_is_left(int pid)
{
	struct cpimg_error err;
	struct cpimg *img;
	const char *why;

	if (access(cp_name(pid, 0), F_OK))
		return 0;
	img = cpimg_open(cp_name(pid, 0), 0, &err);
	if (!img) {
		if (err.code == CPIMG_ERR_INCOMPLETE)
			return 1;
		fprintf(stderr, "# neither image nor unfinished: %s\n", err.text);
		return -1;
	}
	why = cp_same_bytes(img, mem, len);
	cpimg_close(img);
	if (!why)
		return 2;
	fprintf(stderr, "# looks like an image: %s\n", why);
	return -1;
}

/* Kill a child that saves @mem after @delay; what it leaves, and did it die? */
static int kill_after(double delay, bool *died)
{
	int pipes[2], status, left;
	pid_t pid;
	char c;

	if (pipe(pipes))
		return -1;
	pid = fork();
	if (!pid) {
		write(pipes[1], "x", 1);
		_exit(!!cp_range(mem, mem + len));
	}
	if (read(pipes[0], &c, 1) != 1)
		return -1;
	if (delay > 0)
		usleep(delay * 1e6);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	*died = WIFSIGNALED(status);
	close(pipes[0]);
	close(pipes[1]);
	left = what_is_left(pid);
	unlink(cp_name(pid, 0));
	return left;
}

/* Seconds for a checkpoint of @mem, which is made large enough to be hit. */
static double long_enough(void)
{
	double whole = 0;

	for (len = 4UL << 20; len <= 128UL << 20; len *= 2) {
		pid_t pid;

		mem = cp_map(len);
		cp_fill(mem, len, 1);
		whole = cp_now();
		pid = fork();
		if (!pid)
			_exit(!!cp_range(mem, mem + len));
		waitpid(pid, NULL, 0);
		whole = cp_now() - whole;
		if (what_is_left(pid) != 2)
			return -1;
		unlink(cp_name(pid, 0));
		if (whole > 0.2 || len == 128UL << 20)
			break;
		munmap(mem, len);
	}
	return whole;
}

TEST(leaves_nothing_that_looks_complete)
{
	int seen[3] = { 0 }, deaths = 0;
	double whole;

	whole = long_enough();
	ASSERT_LT(0, whole);

	for (int i = 0; i < 24; i++) {
		bool died;
		int left = kill_after(whole * i / 20, &died);

		ASSERT_LE(0, left) TH_LOG("killed after %d/20 of %.3f s", i, whole);
		seen[left]++;
		deaths += died;
		/* Whoever dies in the call has not succeeded. */
		if (!died) {
			EXPECT_EQ(2, left);
		}
	}
	TH_LOG("%d killed; nothing left %d, unfinished %d, whole %d", deaths,
	       seen[0], seen[1], seen[2]);
	/* Else nothing was hit in the middle, and the test says nothing. */
	EXPECT_LT(3, deaths);
	/* The kernel removes what it does not finish. */
	EXPECT_EQ(0, seen[1]);
}

/*
 * The header comes last: whoever looks at the file meanwhile, or finds it after
 * a crash of the machine, sees that it is not finished.
 */
TEST(has_no_header_before_it_is_complete)
{
	int seen[3] = { 0 }, status;
	pid_t pid;

	ASSERT_LT(0, long_enough());
	pid = fork();
	if (!pid)
		_exit(!!cp_range(mem, mem + len));
	while (!waitpid(pid, &status, WNOHANG)) {
		int left = what_is_left(pid);

		ASSERT_LE(0, left);
		seen[left]++;
		usleep(1000);
	}
	EXPECT_EQ(0, status);
	EXPECT_EQ(2, what_is_left(pid));
	unlink(cp_name(pid, 0));
	TH_LOG("seen unfinished %d times, complete %d times", seen[1], seen[2]);
	EXPECT_LT(0, seen[1]);
}

/* A signal that kills, other than SIGKILL, and a group exit do the same. */
TEST(ends_soon)
{
	static const int sigs[] = { SIGKILL, SIGTERM, SIGINT };

	len = (cp_debug_kernel() ? 8UL : 64UL) << 20;
	mem = cp_map(len);
	cp_fill(mem, len, 2);
	for (size_t i = 0; i < ARRAY_SIZE(sigs); i++) {
		double start;
		int status;
		pid_t pid = fork();

		if (!pid) {
			for (;;) {
				if (cp_range(mem, mem + len))
					_exit(1);
				for (int n = 0; n < 100; n++)
					unlink(cp_name(getpid(), n));
			}
		}
		usleep(300000);
		start = cp_now();
		ASSERT_EQ(0, kill(pid, sigs[i]));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status)) TH_LOG("status 0x%x", status);
		EXPECT_GT(20, cp_now() - start);
		for (int n = 0; n < 100; n++) {
			struct cpimg_error err;
			struct cpimg *img;

			if (access(cp_name(pid, n), F_OK))
				continue;
			img = cpimg_open(cp_name(pid, n), 0, &err);
			EXPECT_TRUE(img || err.code == CPIMG_ERR_INCOMPLETE)
				TH_LOG("%s", err.text);
			cpimg_close(img);
			unlink(cp_name(pid, n));
		}
	}
}

static void *save_again(void *arg)
{
	(void)arg;
	for (unsigned long n = 0; !cp_range(mem, mem + len); n++)
		unlink(cp_name(cp_gettid(), n));
	return NULL;
}

/* Those that wait for another thread's checkpoint to end do not keep it either. */
TEST(ends_soon_in_all_threads)
{
	len = 8UL << 20;
	mem = cp_map(len);
	cp_fill(mem, len, 3);
	for (int i = 0; i < 10; i++) {
		pthread_t thread;
		double start;
		int status;
		pid_t pid = fork();

		if (!pid) {
			for (int t = 0; t < 4; t++)
				pthread_create(&thread, NULL, save_again, NULL);
			pthread_join(thread, NULL);
			_exit(1);
		}
		usleep(200000 + 7000 * i);
		start = cp_now();
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status)) TH_LOG("status 0x%x", status);
		EXPECT_GT(20, cp_now() - start);
		chain_remove();
	}
}

TEST_HARNESS_MAIN
