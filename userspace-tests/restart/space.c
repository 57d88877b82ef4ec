// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 */
/*
 * The space that a program is restarted in, cpimg_space(): the program is what it would be
 * outside but for its process id, and whoever deals with the process outside deals with it:
 * signals, stops, the way it ends.
 */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libcpimg/internal.h>

#include "harness.h"

#define USER		1000
#define FAILED		99

/* What the program does, and the pipe that it tells of it by. */
struct program {
	int	(*run)(int out);
	int	out;
};

static int inside(void *arg)
{
	struct program *p = arg;
	pid_t pid = fork();

	if (!pid) {
		cpimg_space_child();
		_exit(p->run(p->out));
	}
	return pid < 0 ? FAILED << 8 : cpimg_space_wait(pid);
}

static void put(int out, const char *text)
{
	if (write(out, text, strlen(text)) < 0)
		_exit(FAILED);
}

FIXTURE(space) {
	int	out[2];
	char	said[4096];
	size_t	len;
	pid_t	outer;
};

FIXTURE_SETUP(space)
{
	ASSERT_EQ(0, pipe2(self->out, O_CLOEXEC));
}

FIXTURE_TEARDOWN(space)
{
	if (self->outer > 0)
		kill(self->outer, SIGKILL);
}

/* The outer process; as a user, or as root. */
static pid_t start(int (*run)(int out), int out, uid_t uid)
{
	struct program p = { .run = run, .out = out };
	struct cpimg_error err;
	pid_t pid = fork();
	int status;

	if (pid)
		return pid;
	/* what changed its user is not dumpable, and /proc/self/uid_map root's */
	if (uid && (setgid(uid) || setuid(uid) || prctl(PR_SET_DUMPABLE, 1)))
		_exit(FAILED);
	status = cpimg_space(inside, &p, &err);
	if (status == -1) {
		put(out, err.text);
		_exit(FAILED);
	}
	cpimg_end_as(status);
}

#define START(program, uid)	do { \
	self->outer = start(program, self->out[1], uid); \
	ASSERT_LT(0, self->outer); \
	close(self->out[1]); \
	self->out[1] = -1; \
} while (0)

/* Wait till it says so; all that it has said is in @said. */
static bool wait_for(FIXTURE_DATA(space) *self, const char *text)
{
	while (!strstr(self->said, text)) {
		ssize_t n = read(self->out[0], self->said + self->len,
				 sizeof(self->said) - 1 - self->len);

		if (n <= 0)
			return false;
		self->len += n;
	}
	return true;
}

#define SAYS(text)	ASSERT_TRUE(wait_for(self, text)) TH_LOG("it says: %s", self->said)

static int ends_of(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	return status;
}

static int ends(FIXTURE_DATA(space) *self)
{
	pid_t pid = self->outer;

	self->outer = 0;
	return ends_of(pid);
}

#define ENDS(status)	ASSERT_EQ(status, ends(self)) TH_LOG("it says: %s", self->said)

/* A line of /proc/self/status. */
static bool status_line(const char *name, char *line, size_t size)
{
	FILE *from = fopen("/proc/self/status", "r");
	bool found = false;

	while (from && !found && fgets(line, size, from))
		found = !strncmp(line, name, strlen(name));
	if (from)
		fclose(from);
	return found;
}

static int tell_all(int out)
{
	char text[512], link[64] = "", ns[64] = "", cap[128] = "", bound[128] = "";

	if (readlink("/proc/self", link, sizeof(link) - 1) < 0 ||
	    readlink("/proc/self/ns/user", ns, sizeof(ns) - 1) < 0 ||
	    !status_line("CapBnd:", bound, sizeof(bound)))
		return FAILED;
	/* of a program that is executed there is nothing left of them, if it is no root */
	status_line("CapEff:", cap, sizeof(cap));
	snprintf(text, sizeof(text), "pid %d proc %s uid %d %d gid %d ns %s %s%s.",
		 getpid(), link, getuid(), geteuid(), getgid(), ns, bound, cap);
	put(out, text);
	return 0;
}

static int execute(int out)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", out);
	fcntl(out, F_SETFD, 0);
	execl("/proc/self/exe", "space", number, NULL);
	return FAILED;
}

TEST_F(space, a_user_sees_himself_as_pid_2_and_gains_nothing)
{
	char want[128], bound[64];

	ASSERT_TRUE(status_line("CapBnd:", bound, sizeof(bound)));
	START(execute, USER);
	SAYS(".");
	ENDS(0);
	EXPECT_NE(NULL, strstr(self->said, "pid 2 proc 2 uid 1000 1000 gid 1000 "));
	EXPECT_NE(NULL, strstr(self->said, "CapEff:\t0000000000000000"));
	snprintf(want, sizeof(want), "%.*s", (int)strcspn(bound, "\n"), bound);
	EXPECT_NE(NULL, strstr(self->said, want));
}

/* As in a container: root that may not make namespaces, and does not get that right. */
TEST_F(space, root_without_the_capability_does_not_get_it)
{
	ASSERT_EQ(0, prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0));
	self->outer = fork();
	if (!self->outer) {
		struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
		struct __user_cap_data_struct data[2] = { 0 };

		syscall(SYS_capget, &head, data);
		data[0].effective &= ~(1U << CAP_SYS_ADMIN);
		data[0].permitted &= ~(1U << CAP_SYS_ADMIN);
		if (syscall(SYS_capset, &head, data))
			_exit(FAILED);
		cpimg_end_as(ends_of(start(execute, self->out[1], 0)));
	}
	close(self->out[1]);
	SAYS(".");
	ENDS(0);
	EXPECT_NE(NULL, strstr(self->said, "pid 2 proc 2 uid 0 0 gid 0 "));
	EXPECT_EQ(0, strtoull(strstr(self->said, "CapEff:") + 8, NULL, 16) >> CAP_SYS_ADMIN & 1);
	EXPECT_NE(0, strtoull(strstr(self->said, "CapEff:") + 8, NULL, 16));
}

TEST_F(space, root_stays_in_its_user_namespace)
{
	char ns[64] = "";

	ASSERT_LT(0, readlink("/proc/self/ns/user", ns, sizeof(ns) - 1));
	START(execute, 0);
	SAYS(".");
	ENDS(0);
	EXPECT_NE(NULL, strstr(self->said, "pid 2 proc 2 uid 0 0 gid 0 "));
	EXPECT_NE(NULL, strstr(self->said, ns));
}

static int exits_143(int out)
{
	return 143;
}

static int dies(int out)
{
	kill(getpid(), SIGTERM);
	return 0;
}

static int dumps(int out)
{
	kill(getpid(), SIGSEGV);
	return 0;
}

TEST_F(space, it_ends_as_the_program_does)
{
	START(exits_143, USER);
	ENDS(143 << 8);
	ASSERT_EQ(0, pipe2(self->out, O_CLOEXEC));
	START(dies, USER);
	ENDS(SIGTERM);
	ASSERT_EQ(0, pipe2(self->out, O_CLOEXEC));
	START(dumps, USER);
	/* without a core dump: that would be ours */
	EXPECT_EQ(SIGSEGV, ends(self) & 0x7f);
}

static int out_of_handler;
static volatile sig_atomic_t handled;

static void handler(int sig)
{
	char text[16];

	snprintf(text, sizeof(text), "got %d.", sig);
	put(out_of_handler, text);
	handled = 1;
}

static const int passed_on[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT,
				 SIGTSTP, SIGWINCH };

#define NR_PASSED_ON	(sizeof(passed_on) / sizeof(*passed_on))

static int listens(int out)
{
	out_of_handler = out;
	for (size_t i = 0; i < NR_PASSED_ON; i++)
		signal(passed_on[i], handler);
	put(out, "ready.");
	for (;;)
		pause();
	return FAILED;
}

TEST_F(space, signals_reach_the_program)
{
	char want[16];

	START(listens, USER);
	SAYS("ready.");
	for (size_t i = 0; i < NR_PASSED_ON; i++) {
		snprintf(want, sizeof(want), "got %d.", passed_on[i]);
		ASSERT_EQ(0, kill(self->outer, passed_on[i]));
		SAYS(want);
	}
	/* nobody else got one: they are alive */
	ASSERT_EQ(0, waitpid(self->outer, NULL, WNOHANG));
}

/* The signals are as the caller had them. */
static int tells_mask(int out)
{
	struct sigaction act;
	char text[64];
	sigset_t set;

	sigprocmask(SIG_BLOCK, NULL, &set);
	sigaction(SIGCHLD, NULL, &act);
	snprintf(text, sizeof(text), "term %d usr1 %d ignored %d.", sigismember(&set, SIGTERM),
		 sigismember(&set, SIGUSR1), act.sa_handler == SIG_IGN);
	put(out, text);
	return 0;
}

TEST_F(space, masks_and_actions_are_the_callers)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGCHLD, SIG_IGN);
	START(tells_mask, USER);
	SAYS("term 0 usr1 1 ignored 1.");
	signal(SIGCHLD, SIG_DFL);
}

static int goes_on(int out)
{
	put(out, "ready.");
	for (;;)
		pause();
	return FAILED;
}

TEST_F(space, it_stops_and_goes_on_with_the_program)
{
	int status;

	START(goes_on, USER);
	SAYS("ready.");
	ASSERT_EQ(0, kill(self->outer, SIGTSTP));
	ASSERT_EQ(self->outer, waitpid(self->outer, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(0, kill(self->outer, SIGCONT));
	ASSERT_EQ(self->outer, waitpid(self->outer, &status, WCONTINUED));
	ASSERT_TRUE(WIFCONTINUED(status));
	ASSERT_EQ(0, kill(self->outer, SIGTERM));
	ENDS(SIGTERM);
}

/* A child that is left behind, and outlives its parent. */
static int leaves_one(int out)
{
	if (fork())
		return 0;
	return goes_on(out);
}

TEST_F(space, nothing_outlives_it)
{
	START(goes_on, USER);
	SAYS("ready.");
	ASSERT_EQ(0, kill(self->outer, SIGKILL));
	ENDS(SIGKILL);
	/* the program has the writing end, and nobody else */
	ASSERT_FALSE(wait_for(self, "more"));

	ASSERT_EQ(0, pipe2(self->out, O_CLOEXEC));
	START(leaves_one, USER);
	ENDS(0);
	ASSERT_FALSE(wait_for(self, "more"));
}

static int with_orphan(int out)
{
	pid_t pid = fork();
	char path[32];

	if (!pid) {
		/* the next, whose parent ends at once, and it soon after */
		if (fork())
			_exit(0);
		usleep(100000);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	/* ids go up by one: it is the next */
	snprintf(path, sizeof(path), "/proc/%d", pid + 1);
	if (access(path, F_OK))
		return FAILED;
	for (int i = 0; i < 1000 && !access(path, F_OK); i++)
		usleep(10000);
	return access(path, F_OK) ? 0 : FAILED;
}

TEST_F(space, orphans_are_reaped)
{
	START(with_orphan, USER);
	ENDS(0);
}

static int counts(int out)
{
	out_of_handler = out;
	signal(SIGINT, handler);
	put(out, "ready.");
	for (int i = 0; i < 6000 && !handled; i++)
		usleep(10000);
	/* and what would come after it */
	usleep(300000);
	put(out, "over.");
	return 0;
}

TEST_F(space, what_a_terminal_sends_comes_once)
{
	int terminal, status;

	self->outer = forkpty(&terminal, NULL, NULL, NULL);
	if (!self->outer) {
		pid_t pid = start(counts, self->out[1], USER);

		signal(SIGINT, SIG_IGN);
		waitpid(pid, &status, 0);
		cpimg_end_as(status);
	}
	ASSERT_LT(0, self->outer);
	close(self->out[1]);
	SAYS("ready.");
	ASSERT_EQ(1, write(terminal, "\3", 1));
	SAYS("over.");
	ENDS(0);
	EXPECT_STREQ("ready.got 2.over.", self->said);
	close(terminal);
}

static bool set_setting(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);

	close(fd);
	return good;
}

TEST_F(space, who_forbids_it_is_named)
{
	ASSERT_TRUE(set_setting("/proc/sys/user/max_user_namespaces", "0"));
	START(goes_on, USER);
	EXPECT_EQ(FAILED << 8, ends(self));
	EXPECT_TRUE(wait_for(self, "making a user and a pid namespace: "));
	EXPECT_TRUE(wait_for(self, "user.max_user_namespaces is 0; root can allow it: "));
	ASSERT_TRUE(set_setting("/proc/sys/user/max_user_namespaces", "1000"));

	ASSERT_TRUE(set_setting("/proc/sys/user/max_pid_namespaces", "0"));
	ASSERT_EQ(0, pipe2(self->out, O_CLOEXEC));
	START(goes_on, 0);
	EXPECT_EQ(FAILED << 8, ends(self));
	EXPECT_TRUE(wait_for(self, "making a pid namespace: "));
	EXPECT_TRUE(wait_for(self, "user.max_pid_namespaces is 0; root can allow it: "));
	ASSERT_TRUE(set_setting("/proc/sys/user/max_pid_namespaces", "1000"));
}

int main(int argc, char **argv)
{
	/* executed again, as a program in the space, which tells what it sees */
	if (argc == 2 && strspn(argv[1], "0123456789") == strlen(argv[1]))
		return tell_all(atoi(argv[1]));
	return test_harness_run(argc, argv);
}
