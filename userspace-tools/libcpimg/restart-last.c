// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - restarting: files that the program writes to are as long as they were, and
 * what is mapped of them to be shared has its bytes. What is cut off is kept beside the
 * file, as NAME.cut-PID-N. It is the only thing that is done to the world outside, and
 * comes when nothing else can fail any more.
 */
#ifdef __x86_64__
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restart.h"

#define CHUNK	(1UL << 20)
#define MOST_CUTS 10000		/* of one name */

static int failed(struct restart *r, const char *name, const char *what)
{
	return restart_fail(r, CPIMG_ERR_FILE, "%.250s: %s: %s", name, what, strerror(errno));
}

static int write_all(int fd, const void *from, size_t len, uint64_t offset)
{
	const char *p = from;

	while (len) {
		ssize_t n = pwrite(fd, p, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		offset += n;
		len -= n;
	}
	return 0;
}

static ssize_t read_some(int fd, void *to, size_t len, uint64_t offset)
{
	ssize_t n;

	do
		n = pread(fd, to, len, offset);
	while (n < 0 && errno == EINTR);
	return n;
}

/* A new file beside it, of its rights. */
static int new_beside(struct restart *r, struct cut *c, const struct stat *st)
{
	for (unsigned int n = 1; n < MOST_CUTS; n++) {
		int fd;

		free(c->kept);
		if (asprintf(&c->kept, "%s.cut-%u-%u", c->name, r->process.pid, n) < 0) {
			c->kept = NULL;
			return restart_fail(r, CPIMG_ERR_SYS, "no memory");
		}
		fd = open(c->kept, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			  st->st_mode & 0777);
		if (fd >= 0 || errno != EEXIST) {
			if (fd < 0) {
				failed(r, c->kept, "keeping what is cut off");
				free(c->kept);
				c->kept = NULL;
			}
			return fd;
		}
	}
	free(c->kept);
	c->kept = NULL;
	return restart_fail(r, CPIMG_ERR_FILE, "%.250s: %d pieces were cut off already: move them",
			    c->name, MOST_CUTS - 1);
}

static int copy_tail(struct restart *r, struct cut *c, int to, uint64_t end, char *buf)
{
	for (uint64_t at = c->size; at < end;) {
		ssize_t n = read_some(c->fd, buf, lower(CHUNK, end - at), at);

		if (n < 0)
			return failed(r, c->name, "reading what is cut off");
		if (!n)
			return 0;
		if (write_all(to, buf, n, at - c->size))
			return failed(r, c->kept, "keeping what is cut off");
		at += n;
	}
	return fsync(to) ? failed(r, c->kept, "keeping what is cut off") : 0;
}

static int keep_tail(struct restart *r, struct cut *c, char *buf)
{
	struct stat st;
	int to, ret;

	c->fd = open(c->name, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (c->fd < 0 || fstat(c->fd, &st))
		return failed(r, c->name, "cutting it back");
	if ((uint64_t)st.st_size <= c->size)
		return 0;
	to = new_beside(r, c, &st);
	if (to < 0)
		return -1;
	ret = copy_tail(r, c, to, st.st_size, buf);
	if (close(to) && !ret)
		ret = failed(r, c->kept, "keeping what is cut off");
	return ret;
}

/* All that will be cut off is kept first; so far nothing is changed. */
int cpimg_restart_keep(struct restart *r)
{
	char *buf = malloc(CHUNK);
	int ret = 0;

	r->cuts = calloc(r->opens.nr + 1, sizeof(*r->cuts));
	if (!r->cuts || !buf)
		ret = restart_fail(r, CPIMG_ERR_SYS, "no memory");
	for (size_t i = 0; !ret && i < r->opens.nr; i++) {
		const struct cp_open *o = &OPENS(r)[i];
		const char *name = NAME_OF(r->opens, o->name);
		struct cut *c = &r->cuts[r->nr_cuts];
		struct stat st;

		/* Once for a file, however often it is open. */
		if (!cpimg_restart_may_write(o) || cpimg_restart_writes(r, o, i))
			continue;
		if (stat(name, &st)) {
			ret = failed(r, name, "cutting it back");
			break;
		}
		if ((uint64_t)st.st_size <= o->size)
			continue;
		*c = (struct cut){ .name = name, .size = o->size };
		r->nr_cuts++;
		ret = keep_tail(r, c, buf);
	}
	free(buf);
	return ret;
}

/* A file is written where it differs, and only there: it may well be as it was. */
static int write_piece(struct restart *r, const struct piece *p, int fd, uint64_t offset,
		       uint64_t len, const char *name, char *buf)
{
	char *now = buf + CHUNK;

	for (uint64_t at = 0, n; at < len; at += n) {
		n = lower(CHUNK, len - at);
		if (!p->img)
			memset(buf, 0, n);
		else if (cpimg_pread_file(p->img, p->offset + at, buf, n, r->err))
			return -1;
		if (read_some(fd, now, n, offset + at) == (ssize_t)n && !memcmp(buf, now, n))
			continue;
		if (write_all(fd, buf, n, offset + at))
			return failed(r, name, "writing what was mapped of it");
	}
	return 0;
}

/* A file that memory is mapped from, open for as long as the next pieces are of it, too. */
struct target {
	const char	*name;		/* NULL: none is */
	int		fd;
};

static int open_target(struct restart *r, struct target *t, const char *name)
{
	if (t->name && !strcmp(t->name, name))
		return 0;
	if (t->fd >= 0)
		close(t->fd);
	t->name = name;
	t->fd = open(name, O_RDWR | O_CLOEXEC | O_NOCTTY);
	return t->fd < 0 ? failed(r, name, "writing what was mapped of it") : 0;
}

/*
 * A piece was put together, maybe of several mappings. A shared mapping is the file: bytes
 * past its end never were there.
 */
static int write_mappings(struct restart *r, struct piece p, struct target *t, char *buf)
{
	uint64_t end = p.addr + p.len, n;

	for (; p.addr < end; p.addr += n, p.offset += n) {
		struct cpimg_mapped m;
		uint64_t offset;

		if (!cpimg_mapped_file(r->img, p.addr, &m))
			return restart_fail(r, CPIMG_ERR_FORMAT,
					    "no file is mapped at 0x%" PRIx64, p.addr);
		if (open_target(r, t, m.name))
			return -1;
		n = lower(end, m.end) - p.addr;
		offset = m.offset + (p.addr - m.start);
		if (offset < m.file.size &&
		    write_piece(r, &p, t->fd, offset, lower(n, m.file.size - offset), m.name,
				buf))
			return -1;
	}
	return 0;
}

static int write_mapped(struct restart *r, char *buf)
{
	struct target t = { .fd = -1 };
	int ret = 0;

	for (size_t i = 0; !ret && i < r->writes.nr; i++)
		ret = write_mappings(r, r->writes.piece[i], &t, buf);
	if (t.fd >= 0)
		close(t.fd);
	return ret;
}

/* Now they are cut back: from here on there is no way back. */
int cpimg_restart_cut(struct restart *r)
{
	char *buf = malloc(2 * CHUNK);
	int ret;

	if (!buf)
		return restart_fail(r, CPIMG_ERR_SYS, "no memory");
	ret = write_mapped(r, buf);
	free(buf);
	for (size_t i = 0; !ret && i < r->nr_cuts; i++) {
		if (ftruncate(r->cuts[i].fd, r->cuts[i].size))
			ret = failed(r, r->cuts[i].name, "cutting it back");
	}
	return ret;
}

/* @remove: nothing was cut off, and so nothing is to be kept. */
void cpimg_restart_keep_end(struct restart *r, bool remove)
{
	for (size_t i = 0; i < r->nr_cuts; i++) {
		struct cut *c = &r->cuts[i];

		if (c->fd > 0)
			close(c->fd);
		if (c->kept && remove)
			unlink(c->kept);
		free(c->kept);
	}
	free(r->cuts);
}
#endif /* __x86_64__ */
