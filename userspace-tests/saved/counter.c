// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 */
/*
 * The counter is the <n> of the next image: 0 at start, one more with every
 * success, each thread's own, 0 in a child, kept over execve().
 */
#include <pthread.h>

#include "cp_test.h"
#include "harness.h"

static char page[2 * PAGE] __attribute__((aligned(PAGE)));

/* One checkpoint; its number as the file and the note have it, or -1. */
static long take(int tid)
{
	long n = -1;

	if (cp_range(page, page + PAGE))
		return -1;
	/* Which one appeared? The wrong one must not be taken for the right. */
	for (unsigned long i = 0; i < 64; i++) {
		struct cpimg *img;

		if (access(cp_name(tid, i), F_OK))
			continue;
		if (n >= 0)
			return -2;
		n = i;
		img = cp_open(tid, i);
		if (!img || cpimg_note(img)->n != i ||
		    cpimg_note(img)->tid != (__u32)tid ||
		    cpimg_note(img)->pid != (__u32)getpid())
			n = -3;
		cpimg_close(img);
	}
	if (n >= 0)
		unlink(cp_name(tid, n));
	return n;
}

TEST(starts_at_0_and_counts_successes)
{
	for (long n = 0; n < 10; n++) {
		ASSERT_EQ(n, take(getpid()));
	}
}

TEST(failures_do_not_count)
{
	ASSERT_EQ(0, take(getpid()));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(-1, cp_range(page + PAGE, page));
		ASSERT_EQ(EINVAL, errno);
	}
	ASSERT_EQ(1, take(getpid()));
	close(open(cp_name(getpid(), 2), O_CREAT | O_EXCL, 0600));
	ASSERT_EQ(-1, cp_range(page, page + PAGE));
	ASSERT_EQ(EEXIST, errno);
	ASSERT_EQ(0, unlink(cp_name(getpid(), 2)));
	ASSERT_EQ(2, take(getpid()));
}

static void child_takes_0(void *arg)
{
	long n = take(getpid());

	if (n) {
		fprintf(stderr, "# the child's first is %ld\n", n);
		_exit(1);
	}
	_exit(take(getpid()) == 1 ? 0 : 2);
}

TEST(is_0_after_fork)
{
	ASSERT_EQ(0, take(getpid()));
	ASSERT_EQ(1, take(getpid()));
	ASSERT_EQ(0, cp_run(child_takes_0, NULL));
	ASSERT_EQ(2, take(getpid()));
}

TEST(is_0_after_vfork)
{
	volatile long n = -1;
	pid_t pid;
	int status;

	ASSERT_EQ(0, take(getpid()));
	pid = vfork();
	if (!pid) {
		/* In the parent's memory, under the child's name. */
		n = take(getpid());
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	ASSERT_EQ(0, n);
	ASSERT_EQ(1, take(getpid()));
}

/* The program itself, again: "counter --expect N" */
static void exec_expecting(long n)
{
	char number[16];

	snprintf(number, sizeof(number), "%ld", n);
	execl("/proc/self/exe", "counter", "--expect", number, NULL);
	perror("exec");
	_exit(99);
}

static void exec_after_3(void *arg)
{
	for (int i = 0; i < 3; i++)
		take(getpid());
	exec_expecting(3);
}

TEST(is_kept_over_exec)
{
	ASSERT_EQ(0, cp_run(exec_after_3, NULL));
}

static void *thread_takes(void *arg)
{
	long *n = arg;

	for (long i = 0; i < n[0]; i++)
		n[1] += take(cp_gettid());
	return NULL;
}

TEST(is_each_threads_own)
{
	long a[2] = { 4, 0 }, b[2] = { 2, 0 };
	pthread_t ta, tb;

	ASSERT_EQ(0, take(getpid()));
	ASSERT_EQ(0, pthread_create(&ta, NULL, thread_takes, a));
	pthread_join(ta, NULL);
	ASSERT_EQ(0 + 1 + 2 + 3, a[1]);
	ASSERT_EQ(1, take(getpid()));
	ASSERT_EQ(0, pthread_create(&tb, NULL, thread_takes, b));
	pthread_join(tb, NULL);
	ASSERT_EQ(0 + 1, b[1]);
	ASSERT_EQ(2, take(getpid()));
}

static long leader_count, thread_count;

static void *thread_execs(void *arg)
{
	for (long i = 0; i < thread_count; i++)
		take(cp_gettid());
	/* From here on this thread has the leader's id, and its files' names. */
	exec_expecting(leader_count > thread_count ? leader_count : thread_count);
	return NULL;
}

static void thread_exec(void *arg)
{
	pthread_t t;

	for (long i = 0; i < leader_count; i++)
		take(getpid());
	pthread_create(&t, NULL, thread_execs, NULL);
	pthread_join(t, NULL);
	_exit(98);
}

TEST(of_a_thread_that_execs_is_the_larger_one)
{
	leader_count = 5;
	thread_count = 2;
	EXPECT_EQ(0, cp_run(thread_exec, NULL));
	leader_count = 1;
	thread_count = 4;
	EXPECT_EQ(0, cp_run(thread_exec, NULL));
	leader_count = 0;
	thread_count = 0;
	EXPECT_EQ(0, cp_run(thread_exec, NULL));
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--expect")) {
		long n = take(getpid());

		if (n == atol(argv[2]))
			return 0;
		fprintf(stderr, "# after exec the next is %ld, not %s\n", n, argv[2]);
		return 1;
	}
	return test_harness_run(argc, argv);
}
