// SPDX-License-Identifier: GPL-2.0
/*
 * New files that are there only when they are whole. Where the file system can, they
 * have no name until then; else one that says what it is, FILE.cpimg-<8 digits>, and
 * a lock by which the next run sees whether anybody is still at work on it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"

#define MARK		".cpimg-"
#define DIGITS		8

/* For free(); NULL: no memory. */
char *folder_of(const char *path)
{
	char *copy = strdup(path), *folder = copy ? strdup(dirname(copy)) : NULL;

	free(copy);
	return folder;
}

/**
 * unfinished_length() - a name that only an unfinished file of ours has
 * @name: without its folder
 *
 * Return: how much of it is the name of what it was to become; 0: it is none.
 */
size_t unfinished_length(const char *name)
{
	size_t n = strlen(name), tail = strlen(MARK) + DIGITS;

	if (n <= tail || strncmp(name + n - tail, MARK, strlen(MARK)) ||
	    strspn(name + n - DIGITS, "0123456789abcdef") != DIGITS)
		return 0;
	return n - tail;
}

static bool same_inode(int folder, const char *name, const struct stat *st)
{
	struct stat now;

	return !fstatat(folder, name, &now, AT_SYMLINK_NOFOLLOW) &&
	       now.st_dev == st->st_dev && now.st_ino == st->st_ino;
}

/* Nobody else's, and nobody is at work on it: it was left by a run that was killed. */
static void remove_left(int folder, const char *name)
{
	int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    !flock(fd, LOCK_EX | LOCK_NB) && same_inode(folder, name, &st))
		unlinkat(folder, name, 0);
	close(fd);
}

/**
 * remove_unfinished() - remove what runs that were killed have left
 * @folder: where
 * @of: whether that is one of the files, by name and length, that it was to become
 * @arg: for @of
 *
 * Only files of the user's own, which nobody works on.
 */
void remove_unfinished(const char *folder, unfinished_fn *of, void *arg)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		size_t len = unfinished_length(entry->d_name);

		if (len && of(entry->d_name, len, arg))
			remove_left(dirfd(dir), entry->d_name);
	}
	if (dir)
		closedir(dir);
}

static bool is_name(const char *name, size_t len, void *arg)
{
	return strlen(arg) == len && !strncmp(name, arg, len);
}

static char *temporary_name(const char *path)
{
	unsigned int digits;
	char *name;

	if (getrandom(&digits, sizeof(digits), 0) != sizeof(digits) ||
	    asprintf(&name, "%s" MARK "%08x", path, digits) < 0)
		return NULL;
	return name;
}

/* Without a name; -1: not here. It gets one by way of /proc. */
static int open_nameless(const char *folder)
{
	int fd = -1;

#if defined(O_TMPFILE) && !defined(NO_TMPFILE)
	if (!access("/proc/self/fd", X_OK))
		fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
#else
	(void)folder;
#endif
	return fd;
}

/* With a temporary name, and locked before anybody could take it for left. */
static int open_named(struct new_file *f)
{
	struct stat st;

	for (int i = 0; i < 100; i++) {
		free(f->temporary);
		f->temporary = temporary_name(f->path);
		if (!f->temporary)
			return -1;
		f->fd = open(f->temporary, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC |
			     O_RDWR, 0600);
		if (f->fd < 0 && errno != EEXIST)
			return -1;
		if (f->fd < 0)
			continue;
		/* not every file system has locks; then none is ever removed */
		flock(f->fd, LOCK_EX);
		if (!fstat(f->fd, &st) && same_inode(AT_FDCWD, f->temporary, &st))
			return 0;
		close(f->fd);
		f->fd = -1;
	}
	errno = EEXIST;
	return -1;
}

/**
 * new_file_open() - begin a file
 * @f: for the other functions
 * @path: its name to be, which nothing has, unless @replaces
 * @replaces: what has the name is to be replaced
 *
 * What runs that were killed have left of the same file is removed.
 *
 * Return: 0, or -1 and errno.
 */
int new_file_open(struct new_file *f, const char *path, bool replaces)
{
	char *folder = folder_of(path);
	struct stat st;

	*f = (struct new_file) {
		.fd = -1, .path = strdup(path), .replaces = replaces,
	};
	if (!f->path || !folder)
		goto fail;
	if (!replaces && !lstat(path, &st)) {
		errno = EEXIST;
		goto fail;
	}
	remove_unfinished(folder, is_name, (void *)base_name(path));
	f->fd = open_nameless(folder);
	if (f->fd >= 0)
		flock(f->fd, LOCK_EX);
	if (f->fd < 0 && open_named(f))
		goto fail;
	snprintf(f->readable, sizeof(f->readable), "/proc/self/fd/%d", f->fd);
	free(folder);
	return 0;
fail:
	free(folder);
	free(f->temporary);
	free(f->path);
	return -1;
}

/* A name by which it can be opened, until it is committed. */
const char *new_file_name(const struct new_file *f)
{
	return f->temporary ? f->temporary : f->readable;
}

static void new_file_free(struct new_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	free(f->temporary);
	free(f->path);
}

/* It goes. errno stays. */
void new_file_abandon(struct new_file *f)
{
	int saved = errno;

	if (f->temporary)
		unlink(f->temporary);
	new_file_free(f);
	errno = saved;
}

/* Give a nameless file a name; it must not be there. */
static int name_it(const struct new_file *f, const char *name)
{
	return linkat(AT_FDCWD, f->readable, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

/* Move it to a name that nothing has. */
static int move_it(const struct new_file *f)
{
	if (!renameat2(AT_FDCWD, f->temporary, AT_FDCWD, f->path, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* not every file system has that */
	if (link(f->temporary, f->path))
		return -1;
	unlink(f->temporary);
	return 0;
}

/* There is no call that names a file and replaces another: two steps. */
static int replace_it(struct new_file *f)
{
	if (!f->temporary) {
		char *name = temporary_name(f->path);

		if (!name || name_it(f, name)) {
			free(name);
			return -1;
		}
		f->temporary = name;
	}
	return rename(f->temporary, f->path);
}

/* Make the name of a file durable. 0, or -1 and errno. */
int sync_folder(const char *path)
{
	char *folder = folder_of(path);
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	/* Not every file system has this for folders. */
	int bad = fd < 0 || (fsync(fd) && errno != EINVAL);

	if (fd >= 0)
		close(fd);
	free(folder);
	return bad ? -1 : 0;
}

/**
 * new_file_commit() - give it its name
 * @f: whose content is on the disk; let go of if this succeeds
 *
 * Return: 0, or -1 and errno; then new_file_abandon() is for the caller to do.
 */
int new_file_commit(struct new_file *f)
{
	if (f->replaces ? replace_it(f) :
	    f->temporary ? move_it(f) : name_it(f, f->path))
		return -1;
	if (sync_folder(f->path)) {
		int saved = errno;

		if (!f->replaces)
			unlink(f->path);
		errno = saved;
		return -1;
	}
	new_file_free(f);
	return 0;
}
