// SPDX-License-Identifier: GPL-2.0
/*
 * cpimg save: save a program that knows nothing of it, from outside, once or again and
 * again till it ends. It stands still for what has changed between two images.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cp_range.h>

#include "cmd.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open	434
#endif

struct save {
	uint64_t	pid;
	const char	*dir;
	double		every;		/* seconds; 0: once */
	uint64_t	keep;		/* images in the folder; 0: all of them */
	uint64_t	stop_ns;
	bool		full, loose, direct, quiet;

	int		pidfd, folder;
	unsigned long	images;		/* since the chain was made shorter */
};

static volatile sig_atomic_t ended;

static void on_signal(int sig)
{
	(void)sig;
	ended = 1;
}

/* "10", "10s", "5m", "2h": seconds */
static bool parse_time(const char *text, double *seconds)
{
	char *end;

	*seconds = strtod(text, &end);
	if (end == text || !(*seconds > 0) || *seconds > 1e9)
		return false;
	switch (*end) {
	case 'h':
		*seconds *= 60;
		/* fall through */
	case 'm':
		*seconds *= 60;
		/* fall through */
	case 's':
		end++;
	}
	return !*end;
}

static const char *missed_text(unsigned int missed)
{
	static const char *const why[] = {
		[CP_MISSED_NOTHING]	= "",
		[CP_MISSED_POOL]	= "more had changed than may be copied",
		[CP_MISSED_TIME]	= "it would have stood still for too long",
		[CP_MISSED_BROKEN]	= "a thread could not be held so long",
		[CP_MISSED_READ]	= "a page had to be read from a disk",
		[CP_MISSED_MEMORY]	= "memory was short",
		[CP_MISSED_TRACKING]	= "its changes could not be tracked this time",
	};

	return missed < sizeof(why) / sizeof(*why) && why[missed] ? why[missed] :
	       "for a reason that is newer than cpimg";
}

static int cannot_save(const struct save *s, int error)
{
	unsigned long pid = s->pid;

	switch (error) {
	case ENOSYS:
		return problem("this kernel has no cp_checkpoint()");
	case EPERM:
		return problem("process %lu: may not be looked at; it takes what ptrace(2) takes: the same user, or root",
			       pid);
	case ESRCH:
		return problem("process %lu: is gone, or has become another program", pid);
	case EOPNOTSUPP:
		return problem("process %lu: its changes cannot be tracked, so it has no moment; --loose does without",
			       pid);
	case EEXIST:
		return problem("%s: an image of process %lu with the next number is there already",
			       s->dir, pid);
	}
	return problem("process %lu: saving it in %s: %s", pid, s->dir, strerror(error));
}

static void say(const struct save *s, const struct cp_result *r)
{
	if (s->quiet)
		return;
	put_escaped(stdout, s->dir, FOR_TEXT);
	printf("/%s: %s, %s", r->name, r->kind == CP_KIND_FULL ? "full" : "incremental",
	       HUMAN(r->bytes));
	if (r->flags & CP_MOMENT)
		printf(", one moment of %u thread%s, stood still for %.3f ms", r->threads,
		       r->threads == 1 ? "" : "s", r->stop_ns / 1e6);
	else if (!s->loose && r->missed != CP_MISSED_ERROR)
		printf(", NOT one moment: %s", missed_text(r->missed));
	puts("");
	fflush(stdout);
}

/* 0, or the errno */
static int take(struct save *s, struct cp_result *r)
{
	struct cp_args args = {
		.flags = (s->full ? 0 : CP_INCREMENTAL) | (s->loose ? 0 : CP_MOMENT) |
			 (s->direct ? CP_DIRECT : 0),
		.pidfd = s->pidfd,
		.dirfd = s->folder,
		.max_stop_ns = s->loose ? 0 : s->stop_ns,
		.result = (uintptr_t)r,
		.result_size = sizeof(*r),
	};

	memset(r, 0, sizeof(*r));
	if (cp_checkpoint(&args, sizeof(args)))
		return errno;
	s->images += r->images;
	return 0;
}

/* Leave so many images, in a process of its own: it goes through all of them. */
static int shorten(struct save *s, const struct cp_result *r)
{
	char path[4096], keep[32];
	char *argv[] = { "cpimg prune", "--keep", keep, path, NULL };
	int n;

	if (!s->keep || s->images <= s->keep)
		return CMD_OK;
	n = snprintf(path, sizeof(path), "%s/%s", s->dir, r->name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return problem("%s: the name is too long", s->dir);
	snprintf(keep, sizeof(keep), "%llu", (unsigned long long)s->keep);
	if (cmd_prune(4, argv))
		return CMD_PROBLEM;
	s->images = s->keep;
	return CMD_OK;
}

/* One image, or two. CMD_OK, CMD_PROBLEM, or -1: the program has ended. */
static int save_once(struct save *s)
{
	struct cp_result r;
	int error = take(s, &r);

	if (error == ESRCH && s->every)
		return -1;
	if (error)
		return cannot_save(s, error);
	say(s, &r);
	if (r.missed == CP_MISSED_ERROR)
		return cannot_save(s, r.error);
	return shorten(s, &r);
}

/* Wait till it is time. False: the program, or cpimg, is to end. */
static bool wait_till(const struct save *s, const struct timespec *when)
{
	struct pollfd end = { .fd = s->pidfd, .events = POLLIN };

	while (!ended) {
		struct timespec now;
		double left;

		clock_gettime(CLOCK_MONOTONIC, &now);
		left = (when->tv_sec - now.tv_sec) + (when->tv_nsec - now.tv_nsec) / 1e9;
		if (left <= 0)
			return true;
		if (poll(&end, 1, left > 1000 ? 1000000 : (int)(left * 1000) + 1) > 0)
			return false;
	}
	return false;
}

static int save_on(struct save *s)
{
	struct timespec next;
	int status, worst = CMD_OK;

	clock_gettime(CLOCK_MONOTONIC, &next);
	do {
		double whole;

		status = save_once(s);
		if (status < 0)
			break;
		if (status)
			worst = status;
		/* Of a process that may not be looked at nothing is to be expected later. */
		if (status && !s->images)
			break;
		s->full = false;
		next.tv_sec += (time_t)s->every;
		whole = s->every - (double)(time_t)s->every;
		next.tv_nsec += (long)(whole * 1e9);
		if (next.tv_nsec >= 1000000000) {
			next.tv_nsec -= 1000000000;
			next.tv_sec++;
		}
	} while (wait_till(s, &next));
	return worst;
}

static const struct argp_option options[] = {
	{ "dir", 'd', "FOLDER", 0, "where the images go (the working directory)", 0 },
	{ "every", 'e', "TIME", 0, "again and again, till the program ends: 30, 10m, 2h", 0 },
	{ "keep", 'k', "N", 0, "leave a chain of N images, as 'cpimg prune' does", 0 },
	{ "full", 'f', 0, 0, "begin with a full image, even if there is a chain", 0 },
	{ "loose", 'l', 0, 0, "not one moment: the program does not stand still for it", 0 },
	{ "stop", 's', "MS", 0, "it may stand still for so many milliseconds (1000)", 0 },
	{ "direct", 'D', 0, 0, "write past the page cache, where the file system can", 0 },
	{ "quiet", 'q', 0, 0, "say nothing of images that are as they should be", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct save *s = state->input;
	uint64_t ms;

	switch (key) {
	case 'd':
		s->dir = arg;
		return 0;
	case 'e':
		if (!parse_time(arg, &s->every))
			argp_error(state, "--every: '%s' is no time: 30, 10m, 2h", arg);
		return 0;
	case 'k':
		if (!parse_number(arg, &s->keep) || !s->keep)
			argp_error(state, "--keep: '%s' is no number from 1 on", arg);
		return 0;
	case 's':
		if (!parse_number(arg, &ms) || !ms || ms > CP_MAX_STOP_NS / 1000000)
			argp_error(state, "--stop: '%s' is not between 1 and %llu", arg,
				   CP_MAX_STOP_NS / 1000000);
		s->stop_ns = ms * 1000000;
		return 0;
	case 'f':
		s->full = true;
		return 0;
	case 'l':
		s->loose = true;
		return 0;
	case 'D':
		s->direct = true;
		return 0;
	case 'q':
		s->quiet = true;
		return 0;
	case ARGP_KEY_ARG:
		if (s->pid)
			argp_usage(state);
		if (!parse_number(arg, &s->pid) || !s->pid || s->pid > INT32_MAX)
			argp_error(state, "'%s' is no process id", arg);
		return 0;
	case ARGP_KEY_END:
		if (!s->pid)
			argp_usage(state);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	options, parse, "PID",
	"Save the memory of process PID, with the registers of all its threads. It takes what ptrace(2) takes, and the process does not notice: it stands still for what has changed since an image that was made just before. The images are PID-cpN; they build on each other.",
	0, 0, 0,
};

int cmd_save(int argc, char **argv)
{
	struct save s = { .dir = "." };
	int status;

	argp_parse(&argp, argc, argv, 0, 0, &s);
	s.folder = open(s.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s.folder < 0)
		return problem("%s: %s", s.dir, strerror(errno));
	s.pidfd = (int)syscall(SYS_pidfd_open, (pid_t)s.pid, 0);
	if (s.pidfd < 0) {
		status = problem("process %lu: %s", (unsigned long)s.pid, strerror(errno));
	} else if (!s.every) {
		status = save_once(&s);
	} else {
		signal(SIGINT, on_signal);
		signal(SIGTERM, on_signal);
		status = save_on(&s);
	}
	if (s.pidfd >= 0)
		close(s.pidfd);
	close(s.folder);
	return close_output(stdout, "standard output") ? CMD_PROBLEM : status;
}
