// SPDX-License-Identifier: GPL-2.0
/*
 * Process 1 of the space: starts the program, has it saved now and then, passes signals on,
 * and waits. What may take long is done by children: it never waits for anything but all.
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

#include "cprun.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open	434
#endif

#define LEAST_STOP_NS	1000000000ULL

struct run {
	struct job	*job;
	pid_t		program;
	int		pidfd;
	int		signals;	/* descriptor */
	int		status;		/* how the program ended */

	pid_t		saver;
	int		result;		/* what it says comes here */
	pid_t		pruner;
	double		due;		/* when to save, by the clock */
	bool		wanted;		/* and now */
	bool		next_full;
	uint64_t	stop_ns;	/* the longest that it may stand still */
	uint64_t	synced;
	struct said	said;
	struct streams	streams;

	enum {
		RUNS,
		TO_END,			/* one more image, and it ends */
		LET_END,		/* it was told to */
		KILLED,
	} state;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* The program, or minus the status to exit with. */
static pid_t start_program(const struct job *job)
{
	int pipe[2], error = 0, status;
	pid_t pid;

	if (pipe2(pipe, O_CLOEXEC)) {
		problem("pipe: %s", strerror(errno));
		return -CPRUN_FAILED;
	}
	pid = fork();
	if (!pid) {
		cpimg_space_child();
		execvp(job->argv[0], job->argv);
		error = errno;
		if (write(pipe[1], &error, sizeof(error)) != sizeof(error))
			_exit(CPRUN_FAILED);
		_exit(CPRUN_NOT_FOUND);
	}
	if (pid < 0)
		error = errno;
	close(pipe[1]);
	/* closed by the program's start */
	if (pid > 0 && read(pipe[0], &error, sizeof(error)) < 0)
		error = errno;
	close(pipe[0]);
	if (!error)
		return pid;
	if (pid > 0)
		waitpid(pid, &status, 0);
	problem("%s: %s", pid < 0 ? "fork" : job->argv[0], strerror(error));
	return pid < 0 ? -CPRUN_FAILED : error == ENOENT ? -CPRUN_NOT_FOUND : -CPRUN_NOT_EXECUTABLE;
}

/* False: it could not begin, and it was said why. */
static bool begin_save(struct run *r)
{
	struct saving s = {
		.job = r->job, .program = r->program, .pidfd = r->pidfd,
		.full = r->next_full, .last = r->state == TO_END,
		/* who makes the chain shorter removes by himself */
		.remove = !r->pruner, .synced = r->synced,
		/* nobody waits for what is to end */
		.stop_ns = r->state == TO_END ? CP_MAX_STOP_NS : r->stop_ns,
	};
	struct saved saved;
	int pipe[2];

	r->wanted = false;
	r->due = now() + r->job->every;
	if (pipe2(pipe, O_CLOEXEC)) {
		problem("pipe: %s", strerror(errno));
		return false;
	}
	r->saver = fork();
	if (!r->saver) {
		save(&s, &saved);
		_exit(write(pipe[1], &saved, sizeof(saved)) != sizeof(saved));
	}
	close(pipe[1]);
	r->result = pipe[0];
	if (r->saver > 0)
		return true;
	problem("fork: %s", strerror(errno));
	r->saver = 0;
	close(r->result);
	r->result = -1;
	return false;
}

/* May it be otherwise in a moment? */
static bool is_passing(const struct saved *s)
{
	if (s->error)
		return s->error == EBUSY || s->error == EINTR || s->error == EAGAIN;
	return s->r.missed ? s->r.missed != CP_MISSED_ERROR :
	       s->r.refused == CP_REFUSED_BUSY || s->r.refused == CP_REFUSED_VFORK;
}

/* Incremental images together as large as the full one: another of those costs no more. */
static bool is_long(const struct job *job, const struct saved *s)
{
	if (job->full_every)
		return s->length > job->full_every;
	return !job->keep && s->rest > s->full;
}

/*
 * Half of the time is for threads to come out of their system calls, one of which may wait
 * for a disk. Twice as long when it was too short, or else by and by as it was.
 */
static void adapt_stop(struct run *r, const struct saved *s)
{
	if (s->r.missed == CP_MISSED_TIME || s->r.refused == CP_REFUSED_BUSY)
		r->stop_ns = lower(2 * r->stop_ns, CP_MAX_STOP_NS);
	else
		r->stop_ns = higher(r->stop_ns / 2, LEAST_STOP_NS);
}

static void shorten(struct run *r, const struct saved *s)
{
	char *path;

	if (!r->job->keep || r->pruner || s->restartable < 2 * r->job->keep ||
	    !is_safe(s))
		return;
	if (asprintf(&path, "%s/%s", r->job->folder, s->r.name) < 0)
		return;
	r->pruner = prune_aside(path, s->keep);
	free(path);
	if (r->pruner < 0) {
		problem("%s: making the chain shorter: %s", r->job->folder, strerror(errno));
		r->pruner = 0;
	}
}

static void let_end(struct run *r)
{
	problem("the program gets the SIGTERM");
	r->state = LET_END;
	kill(r->program, SIGTERM);
	kill(r->program, SIGCONT);
}

/* The last image was made, or not. */
static void end_it(struct run *r, const struct saved *s)
{
	if (!is_safe(s)) {
		let_end(r);
		return;
	}
	r->state = KILLED;
	kill(r->program, SIGKILL);
	problem("%s/%s: saved, and ended; started again, it goes on from there",
		r->job->folder, s->r.name);
}

static void saver_ended(struct run *r)
{
	struct saved s;
	ssize_t n = read(r->result, &s, sizeof(s));
	/* it may have been the last, or one that was under way when the end was asked for */
	bool last = r->state == TO_END && !r->wanted;

	close(r->result);
	r->result = -1;
	r->saver = 0;
	if (n != sizeof(s)) {
		problem("%s: the process that saves was killed", r->job->folder);
		memset(&s, 0, sizeof(s));
		s.error = EINTR;
	} else if (s.error != ESRCH && s.r.error != ESRCH) {
		say_saved(r->job, &r->said, &s);
	}
	if (last) {
		end_it(r, &s);
		return;
	}
	if (!s.error) {
		if (!s.sync_error || s.sync_error == EOPNOTSUPP)
			r->synced = s.r.n + 1;
		r->next_full = is_long(r->job, &s);
		adapt_stop(r, &s);
		shorten(r, &s);
	}
	if (is_passing(&s))
		r->due = now() + r->job->every / 4;
}

static void on_term(struct run *r)
{
	switch (r->state) {
	case RUNS:
		r->state = TO_END;
		r->wanted = true;
		return;
	case TO_END:
	case LET_END:
		problem("SIGTERM once more: the program is killed");
		r->state = KILLED;
		if (r->saver)
			kill(r->saver, SIGKILL);
		kill(r->program, SIGKILL);
		return;
	case KILLED:
		return;
	}
}

static void on_signal(struct run *r, int sig)
{
	if (sig == SIGTERM)
		on_term(r);
	else if (sig == SIGUSR1)
		r->wanted = true;
	else if (sig != SIGCHLD)
		kill(r->program, sig);
}

/* Who has ended? True: the program. */
static bool reap(struct run *r)
{
	bool over = false;
	int status;
	pid_t pid;

	/* once it is to end, that it is stopped is our doing */
	while ((pid = cpimg_space_reap(r->state == TO_END ? 0 : r->program, &status)) > 0) {
		if (pid == r->program) {
			r->status = status;
			over = true;
		} else if (pid == r->saver) {
			saver_ended(r);
		} else if (pid == r->pruner) {
			r->pruner = 0;
			if (WIFSIGNALED(status))
				problem("%s: making the chain shorter: killed by signal %d",
					r->job->folder, WTERMSIG(status));
		}
	}
	return over;
}

static int look_after(struct run *r)
{
	struct pollfd wait = { .fd = r->signals, .events = POLLIN };
	int sig;

	for (;;) {
		double left;

		while ((sig = cpimg_space_next(r->signals)))
			on_signal(r, sig);
		/* then: a SIGCHLD that was taken above has to be followed up before poll() */
		if (reap(r))
			break;
		left = r->due - now();
		if (!r->saver && r->state != KILLED &&
		    (r->wanted || (left <= 0 && r->state == RUNS))) {
			if (!begin_save(r) && r->state == TO_END)
				let_end(r);
			continue;
		}
		/* a child that ends is a signal; and so is nothing else that could be missed */
		if (poll(&wait, 1, r->saver || left > 1000 ? 1000000 :
			 left > 0 ? (int)(left * 1000) + 1 : r->state == RUNS ? 0 : -1) < 0 &&
		    errno != EINTR) {
			problem("poll: %s", strerror(errno));
			return -CPRUN_FAILED;
		}
	}
	streams_end(&r->streams);
	/* what is still at work ends with the space, and leaves no half image */
	return r->state == KILLED ? SIGTERM : r->status;
}

/**
 * run() - what process 1 of the space does
 * @arg: a struct start
 *
 * Return: how the program ended, as waitpid() has it, or minus the status to exit with.
 */
int run(void *arg)
{
	struct start *start = arg;
	struct run r = { .job = start->job, .result = -1, .stop_ns = LEAST_STOP_NS };

	r.signals = cpimg_space_signals();
	if (r.signals < 0) {
		problem("signalfd: %s", strerror(errno));
		return -CPRUN_FAILED;
	}
	if (start->images.process) {
		r.program = resume(r.job, &start->images);
	} else {
		streams_name(&r.streams);
		r.program = start_program(r.job);
	}
	if (r.program < 0)
		return start->images.process ? -CPRUN_NO_RESUME : r.program;
	r.pidfd = (int)syscall(SYS_pidfd_open, r.program, 0);
	if (r.pidfd < 0) {
		problem("process %d: %s", r.program, strerror(errno));
		return -CPRUN_FAILED;
	}
	if (start->images.process)
		streams_share(&r.streams, r.pidfd);
	r.due = now() + r.job->every;
	return look_after(&r);
}
