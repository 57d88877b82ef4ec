// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - restarting: descriptors and folders. What the child has of its parent is
 * closed, but for the standard streams, which wait above all numbers that the program has.
 */
#ifdef __x86_64__
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "restart.h"

#ifndef SYS_close_range
#define SYS_close_range	436
#endif
#ifndef F_SETPIPE_SZ
#define F_SETPIPE_SZ	1031
#endif

/* Flags that say how a file is open, not what was done as it was opened. */
#define KEPT_FLAGS	(O_ACCMODE | O_APPEND | O_NONBLOCK | O_SYNC | O_DIRECT | O_NOATIME | \
			 O_PATH | O_NOFOLLOW | O_DIRECTORY)
/* What F_SETFL sets. */
#define SET_FLAGS	(O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME)

/* Standard streams of ours, in the child; -1: we have none. */
struct streams {
	int	fd[3];
	int	high;		/* all numbers of the program are below */
};

static int close_between(struct restart *r, uint64_t from, uint64_t to)
{
	return from > to ? 0 : ADD(r, "close_range", SYS_close_range, from, to, 0);
}

static int keep_streams(struct restart *r, struct streams *s)
{
	uint64_t from = 0;

	s->high = 3;
	if (r->descriptors.nr)
		s->high += DESCRIPTORS(r)[r->descriptors.nr - 1].fd;
	for (int i = 0; i < 3; i++) {
		int64_t ret;

		s->fd[i] = -1;
		if (fcntl(i, F_GETFD) < 0)
			continue;
		if (CALL(r, "fcntl", "a standard stream", &ret, SYS_fcntl, i, F_DUPFD_CLOEXEC,
			 s->high))
			return -1;
		s->fd[i] = ret;
	}
	/* They are in order, each the lowest that was free. */
	for (int i = 0; i < 3; i++) {
		if (s->fd[i] < 0)
			continue;
		if (s->fd[i] && close_between(r, from, s->fd[i] - 1))
			return -1;
		from = s->fd[i] + 1;
	}
	return close_between(r, from, ~0U) || cpimg_remote_run(r) ? -1 : 0;
}

/* To all numbers that it has; @fd itself may be one of them, or goes. */
static int place(struct restart *r, size_t open, int fd)
{
	bool stays = false;

	for (size_t i = 0; i < r->descriptors.nr; i++) {
		const struct cp_descriptor *d = &DESCRIPTORS(r)[i];
		bool cloexec = d->flags & CP_DESCRIPTOR_CLOEXEC;

		if (d->open != open)
			continue;
		if ((int)d->fd == fd) {
			stays = true;
			if (ADD(r, "fcntl", SYS_fcntl, fd, F_SETFD, cloexec ? FD_CLOEXEC : 0))
				return -1;
		} else if (ADD(r, "dup3", SYS_dup3, fd, d->fd, cloexec ? O_CLOEXEC : 0)) {
			return -1;
		}
	}
	return stays ? 0 : ADD(r, "close", SYS_close, fd);
}

/*
 * A number that was just given may be another file's to be: what is opened moves above all
 * of them first.
 */
static int lift(struct restart *r, const struct streams *s, int *fd)
{
	int64_t ret;

	if (CALL(r, "fcntl", "a file that is open", &ret, SYS_fcntl, *fd, F_DUPFD_CLOEXEC,
		 s->high) ||
	    ADD(r, "close", SYS_close, *fd))
		return -1;
	*fd = ret;
	return 0;
}

static int open_named(struct restart *r, const struct streams *s, const struct cp_open *o,
		      int *fd)
{
	const char *name = NAME_OF(r->opens, o->name);
	const struct stat *st;

	if (cpimg_restart_open(r, name, (o->flags & KEPT_FLAGS) | O_NOCTTY | O_CLOEXEC, fd) ||
	    lift(r, s, fd) || cpimg_remote_room(r, 1, sizeof(*st)))
		return -1;
	/* The name may lead elsewhere since it was looked at. */
	st = (const struct stat *)(uintptr_t)cpimg_remote_data(r, NULL, sizeof(*st));
	if (ADD_NAMED(r, "fstat", name, SYS_fstat, *fd, (uintptr_t)st) || cpimg_remote_run(r) ||
	    cpimg_restart_check_open(r, o, st))
		return -1;
	if (o->flags & O_PATH || !o->pos || o->kind == CP_OPEN_DEVICE)
		return 0;
	return ADD_NAMED(r, "lseek", name, SYS_lseek, *fd, o->pos, SEEK_SET);
}

/* Terminals and what came from others: what we have in the same place. */
static int open_stream(struct restart *r, const struct streams *s, size_t i, int *fd)
{
	int first = r->first_fd[i];
	const struct cp_open *o = &OPENS(r)[i];
	int from = first <= 2 ? s->fd[first] : -1;
	int64_t ret;

	/* A terminal as descriptor 7: the one that controls us, or a stream that is one. */
	if (first > 2) {
		int own = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

		if (own >= 0) {
			close(own);
			return cpimg_restart_open(r, "/dev/tty", (o->flags & KEPT_FLAGS) |
						  O_NOCTTY | O_CLOEXEC, fd) || lift(r, s, fd);
		}
		for (int k = 0; from < 0 && k < 3; k++)
			from = isatty(k) ? s->fd[k] : -1;
	}
	if (from < 0)
		return cpimg_restart_open(r, "/dev/null", (o->flags & O_ACCMODE) | O_CLOEXEC,
					  fd) || lift(r, s, fd) ? -1 : 0;
	if (CALL(r, "fcntl", "a standard stream", &ret, SYS_fcntl, from, F_DUPFD_CLOEXEC,
		 s->high))
		return -1;
	*fd = ret;
	return 0;
}

static bool same_pipe(const struct cp_open *a, const struct cp_open *b)
{
	return a->kind == CP_OPEN_PIPE && b->kind == CP_OPEN_PIPE && a->ino == b->ino;
}

static int write_pipe(struct restart *r, int fd, const struct cp_open *o)
{
	const char *from = r->opens.names + o->bytes;

	for (uint64_t done = 0, n; done < o->nr_bytes; done += n) {
		int64_t ret;

		n = lower(o->nr_bytes - done, 64 * 1024);
		if (cpimg_remote_room(r, 1, n) ||
		    CALL(r, "write", "a pipe", &ret, SYS_write, fd,
			 cpimg_remote_data(r, from + done, n), n))
			return -1;
		if ((uint64_t)ret != n)
			return restart_fail(r, CPIMG_ERR_SYS,
				"a pipe that had %u bytes took %" PRIu64, o->nr_bytes,
				done + ret);
	}
	return 0;
}

/* An end of the pipe becomes the open file @i; a third one is opened by its name in /proc. */
static int place_end(struct restart *r, const struct streams *s, size_t i, const int *ends,
		     bool *used)
{
	const struct cp_open *o = &OPENS(r)[i];
	int mode = o->flags & O_ACCMODE, which = mode == O_WRONLY, fd = ends[which];
	char name[32];

	if (mode == O_RDWR || used[which]) {
		snprintf(name, sizeof(name), "/proc/self/fd/%d", ends[which]);
		if (cpimg_restart_open(r, name, mode | O_NONBLOCK | O_CLOEXEC, &fd) ||
		    lift(r, s, &fd))
			return -1;
	} else {
		used[which] = true;
	}
	return ADD(r, "fcntl", SYS_fcntl, fd, F_SETFL, o->flags & SET_FLAGS) ? -1 : fd;
}

/* All ends of the pipe that the open file @i is the first of. */
static int make_pipe(struct restart *r, const struct streams *s, size_t i)
{
	const struct cp_open *o = &OPENS(r)[i];
	bool used[2] = { false, false };
	const int *given;
	int ends[2], fd;

	if (cpimg_remote_room(r, 1, sizeof(ends)))
		return -1;
	given = (const int *)(uintptr_t)cpimg_remote_data(r, NULL, sizeof(ends));
	if (CALL(r, "pipe2", NULL, NULL, SYS_pipe2, (uintptr_t)given, O_CLOEXEC))
		return -1;
	memcpy(ends, given, sizeof(ends));
	if (lift(r, s, &ends[0]) || lift(r, s, &ends[1]) || cpimg_remote_run(r))
		return -1;
	/* F_SETPIPE_SZ is only asked where it is not as it is anyway. */
	if (o->size != 65536 &&
	    ADD(r, "F_SETPIPE_SZ", SYS_fcntl, ends[1], F_SETPIPE_SZ, o->size))
		return -1;
	for (size_t k = i; k < r->opens.nr; k++) {
		if (same_pipe(o, &OPENS(r)[k]) && write_pipe(r, ends[1], &OPENS(r)[k]))
			return -1;
	}
	/* The third ends first: they are opened by way of the two. */
	for (size_t k = i; k < r->opens.nr; k++) {
		if (!same_pipe(o, &OPENS(r)[k]))
			continue;
		fd = place_end(r, s, k, ends, used);
		if (fd < 0)
			return -1;
		if (fd != ends[0] && fd != ends[1] && place(r, k, fd))
			return -1;
	}
	used[0] = used[1] = false;
	for (size_t k = i; k < r->opens.nr; k++) {
		int mode = OPENS(r)[k].flags & O_ACCMODE, which = mode == O_WRONLY;

		if (!same_pipe(o, &OPENS(r)[k]) || mode == O_RDWR || used[which])
			continue;
		used[which] = true;
		if (place(r, k, ends[which]))
			return -1;
	}
	for (int which = 0; which < 2; which++) {
		if (!used[which] && ADD(r, "close", SYS_close, ends[which]))
			return -1;
	}
	return cpimg_remote_run(r);
}

static int make_open(struct restart *r, const struct streams *s, size_t i)
{
	const struct cp_open *o = &OPENS(r)[i];
	int fd = -1, ret;

	switch (o->kind) {
	case CP_OPEN_PIPE:
		for (size_t k = 0; k < i; k++) {
			if (same_pipe(o, &OPENS(r)[k]))
				return 0;
		}
		return make_pipe(r, s, i);
	case CP_OPEN_TTY:
	case CP_OPEN_STREAM:
		ret = open_stream(r, s, i, &fd);
		break;
	default:
		ret = open_named(r, s, o, &fd);
	}
	return ret || place(r, i, fd) || cpimg_remote_run(r) ? -1 : 0;
}

int cpimg_restart_files(struct restart *r)
{
	const char *cwd = NAME_OF(r->process_note, r->process.cwd);
	struct streams s;

	if (keep_streams(r, &s))
		return -1;
	for (size_t i = 0; i < r->opens.nr; i++) {
		if (make_open(r, &s, i))
			return -1;
	}
	if (close_between(r, s.high, ~0U) || cpimg_remote_room(r, 2, strlen(cwd) + 1) ||
	    ADD_NAMED(r, "chdir", cwd, SYS_chdir, cpimg_remote_data(r, cwd, strlen(cwd) + 1)) ||
	    ADD(r, "umask", SYS_umask, r->process.umask))
		return -1;
	return cpimg_remote_run(r);
}
#endif /* __x86_64__ */
