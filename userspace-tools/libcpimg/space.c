// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - a space of its own for a program: the process ids that an image names are
 * free there, and nobody needs a privilege to ask for them.
 *
 * Three processes, all in the process group and session of the caller: the outer one,
 * which the caller's parent knows; process 1 of the space, ours too; and the program. What
 * is sent to the outer one goes to process 1 as a queued signal with a value: so that is
 * told from what was sent to all of the group, and reaches the program by itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"

#define FORWARDED	0x63707370	/* the value of a signal that the outer one passes on */

/* What process 1 says to the outer one; less than PIPE_BUF, so each is whole. */
struct message {
	enum {
		SPACE_FAILED,
		SPACE_STOPPED,
		SPACE_ENDED,
	} what;
	int			status;
	struct cpimg_error	err;
};

/*
 * What is passed on. What a terminal sends goes to all of the group; but a hangup only to
 * the leader of the session, so that is passed on, whoever sends it.
 */
static const struct {
	int	sig;
	bool	terminal;
} forwarded[] = {
	{ SIGHUP, false },
	{ SIGINT, true },
	{ SIGQUIT, true },
	{ SIGTERM, false },
	{ SIGUSR1, false },
	{ SIGUSR2, false },
	{ SIGCONT, false },
	{ SIGTSTP, true },
	{ SIGWINCH, true },
};

#define NR_FORWARDED	(sizeof(forwarded) / sizeof(forwarded[0]))

/* One space a process: process 1 has a copy. */
static struct {
	sigset_t		mask;		/* of the caller */
	struct sigaction	on_child;	/* likewise */
	int			pipe[2];	/* process 1 writes */
	bool			user;		/* a user namespace is needed */
	uid_t			uid;
	gid_t			gid;
	int			securebits;
} space;

static bool may_make_namespaces(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return !syscall(SYS_capget, &head, data) &&
	       data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN);
}

static bool read_setting(const char *path, long *value)
{
	char text[32];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	text[n] = 0;
	*value = strtol(text, NULL, 10);
	return true;
}

/* Namespaces are forbidden in many ways: say which it is, as far as that can be seen. */
static int forbidden(const char *what, int error, struct cpimg_error *err)
{
	static const struct {
		const char	*path, *name;
		long		bad, good;
	} settings[] = {
		{ "/proc/sys/kernel/unprivileged_userns_clone",
		  "kernel.unprivileged_userns_clone", 0, 1 },
		{ "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
		  "kernel.apparmor_restrict_unprivileged_userns", 1, 0 },
		{ "/proc/sys/user/max_user_namespaces", "user.max_user_namespaces", 0, 1000 },
		{ "/proc/sys/user/max_pid_namespaces", "user.max_pid_namespaces", 0, 1000 },
		{ "/proc/sys/user/max_mnt_namespaces", "user.max_mnt_namespaces", 0, 1000 },
	};
	long value;

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (!space.user && i < 3)
			continue;
		if (read_setting(settings[i].path, &value) && value == settings[i].bad)
			return cpimg_fail(err, CPIMG_ERR_SYS,
					  "%s: %s: %s is %ld; root can allow it: sysctl %s=%ld",
					  what, strerror(error), settings[i].name, value,
					  settings[i].name, settings[i].good);
	}
	if (error == EINVAL)
		return cpimg_fail(err, CPIMG_ERR_SYS,
				  "%s: this kernel has none (CONFIG_USER_NS, CONFIG_PID_NS)", what);
	if (error == ENOSPC || error == EUSERS)
		return cpimg_fail(err, CPIMG_ERR_SYS,
				  "%s: there are as many as user.max_*_namespaces allow, or nested too deep",
				  what);
	if (error == EPERM)
		return cpimg_fail(err, CPIMG_ERR_SYS,
				  "%s: not permitted here: a container's seccomp filter, a chroot, or a security module",
				  what);
	return cpimg_fail(err, CPIMG_ERR_SYS, "%s: %s", what, strerror(error));
}

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t len = strlen(text), n;
	int saved;

	if (fd < 0)
		return -1;
	n = write(fd, text, len);
	saved = errno;
	close(fd);
	errno = saved;
	return n == len ? 0 : -1;
}

/* The caller's ids are themselves: the program sees what it sees outside. */
static int map_ids(struct cpimg_error *err)
{
	char line[64];

	if (write_text("/proc/self/setgroups", "deny"))
		return forbidden("writing /proc/self/setgroups", errno, err);
	snprintf(line, sizeof(line), "%u %u 1\n", space.uid, space.uid);
	if (write_text("/proc/self/uid_map", line))
		return forbidden("writing /proc/self/uid_map", errno, err);
	snprintf(line, sizeof(line), "%u %u 1\n", space.gid, space.gid);
	if (write_text("/proc/self/gid_map", line))
		return forbidden("writing /proc/self/gid_map", errno, err);
	return 0;
}

/*
 * A new user namespace gives all capabilities in it. Process 1 uses them; but a program
 * that it executes, as user 0 too, gets no more than it would have had outside.
 */
static int limit_caps(const unsigned char *had, struct cpimg_error *err)
{
	for (int cap = 0; cap < 64; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (has < 0)
			break;
		if (has && !had[cap] && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
			return cpimg_fail(err, CPIMG_ERR_SYS,
					  "dropping capability %d: %s", cap, strerror(errno));
	}
	if (space.securebits > 0 && prctl(PR_SET_SECUREBITS, space.securebits, 0, 0, 0))
		return cpimg_fail(err, CPIMG_ERR_SYS, "PR_SET_SECUREBITS 0x%x: %s",
				  space.securebits, strerror(errno));
	return 0;
}

static int mount_proc(struct cpimg_error *err)
{
	/* What is mounted outside later is seen here; nothing goes the other way. */
	if (mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL))
		return forbidden("making the mounts of / its own", errno, err);
	if (!mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
		return 0;
	if (space.user && errno == EPERM)
		return cpimg_fail(err, CPIMG_ERR_SYS,
				  "mounting /proc: not permitted: parts of /proc are covered, as containers do");
	return forbidden("mounting /proc", errno, err);
}

static void tell(const struct message *m)
{
	while (write(space.pipe[1], m, sizeof(*m)) < 0 && errno == EINTR)
		;
}

/* Nothing outlives the outer one, not even if it dies right now. */
static int tie_to_parent(struct cpimg_error *err)
{
	struct pollfd p = { .fd = space.pipe[1] };

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
		return cpimg_fail(err, CPIMG_ERR_SYS, "PR_SET_PDEATHSIG: %s", strerror(errno));
	close(space.pipe[0]);
	/* It has the only reading end: without it the pipe has an error. */
	if (poll(&p, 1, 0) > 0 && p.revents & POLLERR)
		_exit(127);
	return 0;
}

__attribute__((noreturn))
static void process_1(int (*inside)(void *arg), void *arg, const unsigned char *had)
{
	struct message m = { .what = SPACE_FAILED };

	if (!tie_to_parent(&m.err) && !(space.user && map_ids(&m.err)) &&
	    !mount_proc(&m.err) && !(space.user && limit_caps(had, &m.err))) {
		m.status = inside(arg);
		m.what = SPACE_ENDED;
		fflush(NULL);
	}
	tell(&m);
	/* the status that counts is in the message: an exit status has no room for it */
	_exit(0);
}

static void take_signals(sigset_t *set)
{
	struct sigaction def = { .sa_handler = SIG_DFL };

	sigemptyset(set);
	sigaddset(set, SIGCHLD);
	for (size_t i = 0; i < NR_FORWARDED; i++)
		sigaddset(set, forwarded[i].sig);
	sigprocmask(SIG_BLOCK, set, &space.mask);
	/* who ignores it has no children to wait for */
	sigaction(SIGCHLD, &def, &space.on_child);
}

static void give_signals_back(void)
{
	sigaction(SIGCHLD, &space.on_child, NULL);
	sigprocmask(SIG_SETMASK, &space.mask, NULL);
}

static void pass_on(pid_t child, const struct signalfd_siginfo *info)
{
	union sigval value = { .sival_int = FORWARDED };

	for (size_t i = 0; i < NR_FORWARDED; i++) {
		if (forwarded[i].sig != (int)info->ssi_signo)
			continue;
		if (info->ssi_code <= 0 || !forwarded[i].terminal)
			sigqueue(child, forwarded[i].sig, value);
		return;
	}
}

static void take_all(int signals, pid_t child)
{
	struct signalfd_siginfo info;

	while (read(signals, &info, sizeof(info)) == sizeof(info)) {
		if (child && info.ssi_signo != SIGCHLD)
			pass_on(child, &info);
	}
}

/* As process 1 says, or as it died. */
static int follow(pid_t child, int signals, struct cpimg_error *err)
{
	struct pollfd wait[] = {
		{ .fd = space.pipe[0], .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
	};
	struct message m, end = { .what = SPACE_STOPPED };
	int status;

	for (;;) {
		ssize_t n;

		if (poll(wait, 2, -1) < 0 && errno != EINTR)
			return cpimg_fail(err, CPIMG_ERR_SYS, "poll: %s", strerror(errno));
		if (wait[1].revents)
			take_all(signals, child);
		if (!wait[0].revents)
			continue;
		n = read(space.pipe[0], &m, sizeof(m));
		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof(m))
			break;	/* process 1 has ended, and with it all that had the pipe */
		if (m.what == SPACE_STOPPED)
			kill(getpid(), SIGSTOP);	/* till our parent says SIGCONT */
		else
			end = m;
	}
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return cpimg_fail(err, CPIMG_ERR_SYS, "waiting for process %d: %s",
					  child, strerror(errno));
	}
	take_all(signals, 0);
	if (end.what == SPACE_ENDED)
		return end.status;
	if (end.what == SPACE_STOPPED)
		return status;
	if (err)
		*err = end.err;
	return -1;
}

/**
 * cpimg_space() - call a function as process 1 of a new pid namespace
 * @inside: the function; in that process, a copy of the caller's memory
 * @arg: for it
 * @err: what went wrong; may be NULL
 *
 * The space has mounts of its own, with a /proc that fits, and, if the caller may not make
 * that (CAP_SYS_ADMIN), a user namespace in which user and group are what they are outside.
 * @inside has all capabilities there, a program that it executes those that it would have
 * outside. Files, process group, session and terminal are the caller's.
 *
 * The caller has one thread. Till the function returns, SIGCHLD and the signals that are
 * passed on are blocked, and go to @inside: see cpimg_space_signals(). The calling process
 * stops when @inside says so, with cpimg_space_reap(). When @inside returns, or the
 * calling process dies, all in the space is killed.
 *
 * Return: what @inside returned, which is to be a status as of waitpid(), or the status of
 * process 1 if that was killed; -1: @inside was not called, and @err says why.
 */
int cpimg_space(int (*inside)(void *arg), void *arg, struct cpimg_error *err)
{
	unsigned char had[64] = { 0 };
	long flags = CLONE_NEWPID | CLONE_NEWNS | SIGCHLD;
	int signals, saved, status;
	sigset_t set;
	pid_t child;

	space.user = !may_make_namespaces();
	space.uid = geteuid();
	space.gid = getegid();
	space.securebits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
	for (int cap = 0; cap < 64; cap++)
		had[cap] = prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1;
	if (space.user)
		flags |= CLONE_NEWUSER;
	if (pipe2(space.pipe, O_CLOEXEC))
		return cpimg_fail(err, CPIMG_ERR_SYS, "pipe: %s", strerror(errno));
	take_signals(&set);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0) {
		status = cpimg_fail(err, CPIMG_ERR_SYS, "signalfd: %s", strerror(errno));
		goto back;
	}
	fflush(NULL);
	/* as fork(), which cannot make namespaces */
	child = (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0);
	if (!child) {
		close(signals);
		process_1(inside, arg, had);
	}
	saved = errno;
	close(space.pipe[1]);
	space.pipe[1] = -1;
	if (child < 0)
		status = forbidden(space.user ? "making a user and a pid namespace" :
				   "making a pid namespace", saved, err);
	else
		status = follow(child, signals, err);
	close(signals);
back:
	give_signals_back();
	close(space.pipe[0]);
	if (space.pipe[1] >= 0)
		close(space.pipe[1]);
	return status;
}

/**
 * cpimg_space_child() - signals as the caller of cpimg_space() had them
 *
 * For a child of process 1, before it executes a program.
 */
void cpimg_space_child(void)
{
	give_signals_back();
}

/**
 * cpimg_space_signals() - how process 1 hears of signals
 *
 * Return: a descriptor for poll() and cpimg_space_next(), or -1 and errno.
 */
int cpimg_space_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < NR_FORWARDED; i++)
		sigaddset(&set, forwarded[i].sig);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/**
 * cpimg_space_next() - the next signal, in process 1
 * @signals: the descriptor, of cpimg_space_signals()
 *
 * Return: SIGCHLD, or a signal that the outer process got and that has not reached the
 * program otherwise; 0: there is none.
 */
int cpimg_space_next(int signals)
{
	struct signalfd_siginfo info;

	while (read(signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD ||
		    (info.ssi_code == SI_QUEUE && info.ssi_int == FORWARDED))
			return (int)info.ssi_signo;
	}
	return 0;
}

/**
 * cpimg_space_reap() - the next child of process 1 that has ended
 * @program: if this one stops, so does the outer process
 * @status: how it ended
 *
 * Return: its process id, also of an orphan; 0: none has ended; -1: there are no children.
 */
pid_t cpimg_space_reap(pid_t program, int *status)
{
	struct message m = { .what = SPACE_STOPPED };
	pid_t pid;

	while ((pid = waitpid(-1, status, WNOHANG | WUNTRACED)) > 0) {
		if (!WIFSTOPPED(*status))
			return pid;
		if (pid == program)
			tell(&m);
	}
	return pid;
}

/**
 * cpimg_space_wait() - what process 1 does when there is nothing else to do
 * @program: its child, which gets the signals
 *
 * Return: how the program ended, as waitpid() says it.
 */
int cpimg_space_wait(pid_t program)
{
	struct pollfd wait = { .fd = cpimg_space_signals(), .events = POLLIN };
	int sig, status = 0;
	pid_t pid;

	do {
		while ((sig = cpimg_space_next(wait.fd))) {
			if (sig != SIGCHLD)
				kill(program, sig);
		}
		/* then: a SIGCHLD that was taken above has to be followed up before poll() */
		while ((pid = cpimg_space_reap(program, &status)) > 0) {
			if (pid == program) {
				close(wait.fd);
				return status;
			}
		}
	} while (poll(&wait, 1, -1) >= 0 || errno == EINTR);
	return status;
}

/**
 * cpimg_end_as() - end as another process did
 * @status: how, as of waitpid()
 */
_Noreturn void cpimg_end_as(int status)
{
	struct sigaction def = { .sa_handler = SIG_DFL };
	sigset_t set;
	int sig;

	if (WIFEXITED(status))
		exit(WEXITSTATUS(status));
	sig = WTERMSIG(status);
	fflush(NULL);
	/* the core dump is the program's, not ours */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	sigaction(sig, &def, NULL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	kill(getpid(), sig);
	_exit(128 + sig);
}
