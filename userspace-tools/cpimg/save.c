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
#include <sys/wait.h>
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
	char		newest[CP_NAME_SIZE];
	unsigned long	images;		/* of the chain, no more than that */
	bool		counted;	/* that is how many there are, not only our own */
	pid_t		pruner;		/* makes the chain shorter */
};

static volatile sig_atomic_t ended;

static void on_signal(int sig)
{
	(void)sig;
	ended = 1;
}

static int cannot_save(const struct save *s, int error)
{
	char text[1024];

	save_problem(text, sizeof(text), s->pid, s->dir, error);
	return problem("%s%s", text, error == EOPNOTSUPP ? "; --loose does without" : "");
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
	memcpy(s->newest, r->name, sizeof(s->newest));
	s->newest[sizeof(s->newest) - 1] = 0;
	return 0;
}

/* How many images the chain has: those that were found, too. */
static int count_chain(struct save *s, const char *path)
{
	struct cpimg_error err;
	struct cpimg_chain *chain = cpimg_chain_open(path, NULL, 0, &err);

	if (!chain)
		return problem_of(&err);
	s->images = cpimg_chain_length(chain);
	s->counted = true;
	cpimg_chain_close(chain);
	return CMD_OK;
}

/* The process that makes the chain shorter, if it has ended, or once it has. */
static int pruned(struct save *s, int how)
{
	int status;

	if (s->pruner <= 0 || waitpid(s->pruner, &status, how) != s->pruner)
		return CMD_OK;
	s->pruner = 0;
	s->counted = false;
	if (!WIFEXITED(status))
		return problem("%s: making the chain shorter: killed by signal %d", s->dir,
			       WTERMSIG(status));
	return WEXITSTATUS(status);
}

/*
 * Leave so many images, when there are twice as many: each time all of the chain is read
 * and a full image written.
 */
static int shorten(struct save *s)
{
	char path[4096];
	int n, status = pruned(s, WNOHANG);

	if (!s->keep || s->pruner > 0 || (s->counted && s->images < 2 * s->keep))
		return status;
	n = snprintf(path, sizeof(path), "%s/%s", s->dir, s->newest);
	if (n < 0 || (size_t)n >= sizeof(path))
		return problem("%s: the name is too long", s->dir);
	/* again if it is known: there may be a new chain by now */
	if (count_chain(s, path))
		return CMD_PROBLEM;
	if (s->images < 2 * s->keep)
		return status;
	s->pruner = prune_aside(path, s->keep);
	if (s->pruner < 0)
		return problem("%s: making the chain shorter: %s", s->dir, strerror(errno));
	return status;
}

/* At the end: what was begun is finished, and done again for what came meanwhile. */
static int shorten_last(struct save *s)
{
	int status;

	if (ended && s->pruner > 0)
		kill(s->pruner, SIGTERM);
	status = pruned(s, 0);
	if (!ended && s->newest[0])
		status |= shorten(s) | pruned(s, 0);
	return status;
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
	/* it may end between the two images, too */
	if (r.missed == CP_MISSED_ERROR && r.error == ESRCH && s->every)
		return -1;
	if (r.missed == CP_MISSED_ERROR)
		return cannot_save(s, r.error);
	return shorten(s);
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
		if (status && !s->newest[0])
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
	{ "keep", 'k', "N", 0, "of 2 N images in the chain leave N, as 'cpimg prune' does", 0 },
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
		want_time(state, "every", arg, &s->every);
		return 0;
	case 'k':
		want_number(state, "keep", arg, &s->keep);
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
	if (shorten_last(&s))
		status = CMD_PROBLEM;
	if (s.pidfd >= 0)
		close(s.pidfd);
	close(s.folder);
	return close_output(stdout, "standard output") ? CMD_PROBLEM : status;
}
