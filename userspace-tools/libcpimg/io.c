// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - the file under an image: opened, read, closed for a while, opened again
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"

static const char *base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int read_file(const struct cpimg *img, int fd, uint64_t offset, void *buf,
		     size_t len, struct cpimg_error *err)
{
	char *to = buf;

	while (len) {
		ssize_t n = pread(fd, to, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cpimg_fail(err, CPIMG_ERR_SYS,
				"%s: reading %zu bytes at 0x%" PRIx64 ": %s",
				img->path, len, offset, strerror(errno));
		if (!n)
			return cpimg_fail(err, CPIMG_ERR_FORMAT,
				"%s: ends at 0x%" PRIx64 ", %zu bytes too early",
				img->path, offset, len);
		to += n;
		offset += n;
		len -= n;
	}
	return 0;
}

int cpimg_pread_file(const struct cpimg *img, uint64_t offset, void *buf,
		     size_t len, struct cpimg_error *err)
{
	int fd = cpimg_hold(img, err), ret;

	if (fd < 0)
		return -1;
	ret = read_file(img, fd, offset, buf, len, err);
	cpimg_release(img);
	return ret;
}

int cpimg_open_file(struct cpimg *img, int folder, struct cpimg_error *err)
{
	struct stat st;

	/* A FIFO under the name must not hang us. */
	img->fd = openat(folder, folder == AT_FDCWD ? img->path : base(img->path),
			 O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (img->fd < 0 || fstat(img->fd, &st))
		return cpimg_fail(err, CPIMG_ERR_SYS, "%s: opening: %s",
				  img->path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return bad(img, err, "file type", st.st_mode & S_IFMT,
			   "not an image: not a regular file");
	img->file_size = st.st_size;
	img->identity = (struct cpimg_identity) {
		st.st_dev, st.st_ino, st.st_size, st.st_mtim,
	};
	return 0;
}

/* The file that was opened, and nobody has written to it since. */
bool cpimg_is_file(const struct cpimg *img, const struct stat *st)
{
	const struct cpimg_identity *id = &img->identity;

	return st->st_dev == id->dev && st->st_ino == id->ino &&
	       st->st_size == id->size && st->st_mtim.tv_sec == id->mtime.tv_sec &&
	       st->st_mtim.tv_nsec == id->mtime.tv_nsec;
}

/* Both were opened as the same file. */
bool cpimg_same_file(const struct cpimg *a, const struct cpimg *b)
{
	return a->identity.dev == b->identity.dev && a->identity.ino == b->identity.ino;
}

/*
 * Files that are open, and those that are not. Locked: the cache.
 */

/* Close a file that nobody holds. */
static bool close_one(struct cpimg_cache *c)
{
	for (unsigned int i = 0; i < c->count; i++) {
		unsigned int at = (c->next + i) % c->count;
		struct cpimg *img = c->open[at];

		if (img->held)
			continue;
		close(img->fd);
		img->fd = -1;
		c->open[at] = c->open[--c->count];
		c->next = at;
		return true;
	}
	return false;
}

static int open_again(struct cpimg *img, struct cpimg_error *err)
{
	struct cpimg_cache *c = img->cache;
	struct stat st;
	int fd;

	if (c->count >= c->most && !close_one(c))
		return cpimg_fail(err, CPIMG_ERR_SYS,
				  "%s: opening: %u files of the chain are in use",
				  img->path, c->count);
	do
		fd = openat(img->folder, base(img->path),
			    O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	while (fd < 0 && errno == EMFILE && close_one(c));
	if (fd < 0)
		return cpimg_fail(err, CPIMG_ERR_SYS, "%s: opening it again: %s",
				  img->path, strerror(errno));
	if (fstat(fd, &st) || !cpimg_is_file(img, &st)) {
		close(fd);
		return cpimg_fail(err, CPIMG_ERR_CHAIN,
			"%s: is another file by now, or was written to: open the chain again",
			img->path);
	}
	img->fd = fd;
	c->open[c->count++] = img;
	return 0;
}

/*
 * cpimg_hold() - the open file of an image, which stays open until cpimg_release().
 * Neither allocates memory. Return: its descriptor, or -1.
 */
int cpimg_hold(const struct cpimg *img, struct cpimg_error *err)
{
	/* What an image says does not change by that. */
	struct cpimg *i = (struct cpimg *)img;
	int fd = -1;

	if (!i->cache)
		return i->fd;
	pthread_mutex_lock(&i->cache->lock);
	if (i->fd >= 0 || !open_again(i, err)) {
		i->held++;
		fd = i->fd;
	}
	pthread_mutex_unlock(&i->cache->lock);
	return fd;
}

void cpimg_release(const struct cpimg *img)
{
	struct cpimg *i = (struct cpimg *)img;

	if (!i->cache)
		return;
	pthread_mutex_lock(&i->cache->lock);
	i->held--;
	pthread_mutex_unlock(&i->cache->lock);
}

/* The notes of an image of a chain are kept only where somebody has asked for them. */
static void drop_notes(struct cpimg *img)
{
	free(img->notes);
	img->notes = NULL;
}

/*
 * From now on the cache may close the file, and open it again in that folder, which
 * stays the caller's. Nobody else uses the image or the cache yet.
 */
int cpimg_keep(struct cpimg *img, struct cpimg_cache *cache, int folder,
	       struct cpimg_error *err)
{
	if (cache->count >= cache->most && !close_one(cache))
		return cpimg_fail(err, CPIMG_ERR_SYS, "%s: too many open files",
				  img->path);
	drop_notes(img);
	img->folder = folder;
	img->cache = cache;
	cache->open[cache->count++] = img;
	return 0;
}
