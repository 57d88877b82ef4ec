// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - restarting: memory is filled. The child reads it from the images itself, right
 * to where it belongs.
 */
#ifdef __x86_64__
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#include "restart.h"

/* Bytes a call, as restoring has it. */
#define MAX_READ	(1UL << 30)

/* The image in the child, in the folder that is open there, too. */
static int open_image(struct restart *r, const struct cpimg *img, int *fd)
{
	const char *path = cpimg_path(img), *slash = strrchr(path, '/');
	const char *name = img->cache && slash ? slash + 1 : path;
	const struct stat *st;
	int64_t ret;

	if (cpimg_remote_room(r, 2, strlen(name) + 1 + sizeof(*st)) ||
	    CALL(r, "open", path, &ret, SYS_openat, img->cache ? img->folder : AT_FDCWD,
		 cpimg_remote_data(r, name, strlen(name) + 1),
		 O_RDONLY | O_CLOEXEC | O_NONBLOCK))
		return -1;
	*fd = ret;
	st = (const struct stat *)(uintptr_t)cpimg_remote_data(r, NULL, sizeof(*st));
	if (CALL(r, "fstat", path, NULL, SYS_fstat, *fd, (uintptr_t)st))
		return -1;
	if (cpimg_is_file(img, st))
		return 0;
	return cpimg_fail(r->err, CPIMG_ERR_CHAIN,
		"%s: is another file by now, or was written to: open the chain again", path);
}

static int open_source(struct restart *r, const struct cpimg *img, int *fd)
{
	if (img)
		return open_image(r, img, fd);
	return cpimg_restart_open(r, "/dev/zero", O_RDONLY | O_CLOEXEC, fd);
}

/* A read that came back short goes on by itself. */
static int read_rest(struct restart *r, const struct piece *p, int fd, uint64_t done)
{
	const char *name = p->img ? cpimg_path(p->img) : "/dev/zero";

	while (done < p->len) {
		int64_t ret;

		if (CALL(r, "reading memory", name, &ret, SYS_pread64, fd, p->addr + done,
			 lower(p->len - done, MAX_READ), p->offset + done))
			return -1;
		if (!ret)
			return cpimg_fail(r->err, CPIMG_ERR_FORMAT,
				"%s: ends at 0x%" PRIx64 ", %" PRIu64 " bytes too early", name,
				p->offset + done, p->len - done);
		done += ret;
	}
	return 0;
}

/* Many pieces a batch. */
static int read_batch(struct restart *r, const struct piece *p, size_t nr, int fd)
{
	for (size_t i = 0; i < nr; i++) {
		if (ADD_NAMED(r, "reading memory", p[i].img ? cpimg_path(p[i].img) : "/dev/zero",
			      SYS_pread64, fd, p[i].addr, lower(p[i].len, MAX_READ), p[i].offset))
			return -1;
	}
	if (cpimg_remote_run(r))
		return -1;
	for (size_t i = 0; i < nr; i++) {
		uint64_t done = r->remote.calls[i].ret;

		if (done < p[i].len) {
			/* what the other calls returned is overwritten by that */
			for (; i < nr; i++, done = 0) {
				if (read_rest(r, &p[i], fd, done))
					return -1;
			}
		}
	}
	return 0;
}

int cpimg_restart_fill(struct restart *r)
{
	const struct piece *p = r->reads.piece, *last = p + r->reads.nr;
	int fd = -1;

	for (const struct piece *next; p < last; p = next) {
		const struct cpimg *img = p->img;

		if (open_source(r, img, &fd))
			return -1;
		for (; p < last && p->img == img; p = next) {
			for (next = p; next < last && next->img == img && next - p < MAX_CALLS;)
				r->data += next++->len;
			if (read_batch(r, p, next - p, fd))
				return -1;
		}
		next = p;
		if (ADD(r, "close", SYS_close, fd) || cpimg_remote_run(r))
			return -1;
	}
	return 0;
}
#endif /* __x86_64__ */
