// SPDX-License-Identifier: GPL-2.0
/*
 * Files that the program is given, as by "cprun program >>log". They were opened among the
 * mounts outside, where they have no name for a program in the space, and what has no name
 * is not found again. So they are opened once more, here. Who has them outside shares a
 * position with the program: that is set right in the end.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cprun.h"

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd	438
#endif

#define ABOVE		100	/* where originals are kept: no program counts on those */

static bool same_inode(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Regular files and folders, and of devices those that come back. */
static bool has_name(const struct stat *st)
{
	static const unsigned char minors[] = { 3, 5, 7, 8, 9 };	/* null ... urandom */

	if (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode))
		return true;
	return S_ISCHR(st->st_mode) && major(st->st_rdev) == 1 &&
	       memchr(minors, (int)minor(st->st_rdev), sizeof(minors));
}

/* Two descriptors of one open file? */
static bool is_shared(int a, int b)
{
	long order = syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, a, b);
	struct stat x, y;

	if (order >= 0)
		return !order;
	/* it can be left out of a kernel */
	return !fstat(a, &x) && !fstat(b, &y) && same_inode(&x, &y) &&
	       fcntl(a, F_GETFL) == fcntl(b, F_GETFL) &&
	       lseek(a, 0, SEEK_CUR) == lseek(b, 0, SEEK_CUR);
}

/* The same file by its name here, or -1: there is another one, or none. */
static int open_again(int fd, const struct stat *st)
{
	char link[32], path[4096];
	int flags = fcntl(fd, F_GETFL), new;
	struct stat here;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0 || flags < 0 || flags & O_PATH)
		return -1;
	path[n] = 0;
	new = open(path, (flags & ~(O_CREAT | O_EXCL | O_TRUNC)) | O_NOCTTY | O_CLOEXEC);
	if (new < 0)
		return -1;
	if (fstat(new, &here) || !same_inode(&here, st) ||
	    (!S_ISCHR(st->st_mode) && lseek(new, lseek(fd, 0, SEEK_CUR), SEEK_SET) < 0)) {
		close(new);
		return -1;
	}
	return new;
}

/* @fd becomes what @from is; the original is kept. */
static void replace(struct streams *s, int fd, int from)
{
	struct stream *more = reallocarray(s->stream, s->count + 1, sizeof(*more));
	int original = fcntl(fd, F_DUPFD_CLOEXEC, ABOVE);

	if (more)
		s->stream = more;
	if (more && original >= 0 && dup2(from, fd) == fd)
		more[s->count++] = (struct stream) { fd, original };
	else if (original >= 0)
		close(original);
}

static void name_one(struct streams *s, int fd)
{
	struct stat st;
	int new = -1;

	/* cprun's own are closed when the program starts */
	if (fcntl(fd, F_GETFD) != 0 || fstat(fd, &st) || !has_name(&st))
		return;
	for (size_t i = 0; i < s->count; i++) {
		if (is_shared(s->stream[i].original, fd)) {
			replace(s, fd, s->stream[i].fd);
			return;
		}
	}
	new = open_again(fd, &st);
	if (new < 0)
		return;
	replace(s, fd, new);
	close(new);
}

/**
 * streams_name() - let the files that the program is given have names here
 * @s: which those are, for streams_end()
 *
 * Where that cannot be, they stay as they are, and the kernel says what is the matter.
 */
void streams_name(struct streams *s)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int fd[1024];
	size_t count = 0;

	/* first all of them: new ones come meanwhile */
	while (dir && count < sizeof(fd) / sizeof(*fd) && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(dir))
			fd[count++] = atoi(entry->d_name);
	}
	if (dir)
		closedir(dir);
	for (size_t i = 0; i < count; i++)
		name_one(s, fd[i]);
}

/**
 * streams_share() - of a program that has come back: share its positions
 * @s: for streams_end()
 * @pidfd: the program
 *
 * It has opened its files again. What cprun says in the same one is not to lie over that.
 */
void streams_share(struct streams *s, int pidfd)
{
	for (int fd = 0; fd <= 2; fd++) {
		int its = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
		struct stat ours, theirs;

		if (its < 0)
			continue;
		if (!fstat(fd, &ours) && !fstat(its, &theirs) && same_inode(&ours, &theirs) &&
		    S_ISREG(ours.st_mode))
			replace(s, fd, its);
		close(its);
	}
}

/**
 * streams_end() - who goes on with a file outside does that where the program has ended
 * @s: the files
 */
void streams_end(const struct streams *s)
{
	for (size_t i = 0; i < s->count; i++) {
		off_t at = lseek(s->stream[i].fd, 0, SEEK_CUR);

		if (at >= 0)
			lseek(s->stream[i].original, at, SEEK_SET);
	}
}
