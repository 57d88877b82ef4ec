// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - restoring: memory is touched here, and nowhere else
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "restore.h"

/* Newer than some libcs; the numbers are the kernel's for good. */
#ifndef MADV_REMOVE
#define MADV_REMOVE		9
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif

/* Bytes a call: a signal need not wait for a gigabyte. */
#define MAX_BATCH	(16UL << 20)

/* Some holes need it for certain, others only where discarding does not work. */
int cpimg_plan_open_zeros(struct plan *p)
{
	const struct hole *h = ROWS(&p->holes, struct hole);
	bool wanted = false, needed = false;

	for (size_t left = COUNT(&p->holes, struct hole); left; left--, h++) {
		wanted |= h->reason == CP_HOLE_ZERO;
		needed |= h->how == HOLE_REMOVE || h->how == HOLE_CLEAR;
	}
	if (wanted)
		p->zeros = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	if (!needed || p->zeros >= 0)
		return 0;
	return cpimg_fail(p->err, CPIMG_ERR_SYS, "/dev/zero: opening: %s",
			  strerror(errno));
}

/* Read @count segments, whatever the size of the pieces that come. */
static int read_segments(int fd, struct iovec *seg, size_t count, uint64_t offset)
{
	while (count) {
		/* The simpler call is the cheaper one. */
		ssize_t n = count == 1 ?
			    pread(fd, seg->iov_base, seg->iov_len, offset) :
			    preadv(fd, seg, count, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (!n) {
			errno = ENODATA;
			return -1;
		}
		offset += n;
		while (count && (size_t)n >= seg->iov_len) {
			n -= seg->iov_len;
			seg++;
			count--;
		}
		if (count) {
			seg->iov_base = (char *)seg->iov_base + n;
			seg->iov_len -= n;
		}
	}
	return 0;
}

/*
 * The copies of an image follow each other in the file, but for those that a
 * younger image has replaced: one call reads what lies together.
 */
static int read_copies(struct plan *p, const struct level *l, int fd)
{
	const struct copy *c = ROWS(&p->copies, struct copy) + l->first;
	const struct copy *last = c + l->count;
	struct iovec *seg = ROWS(&p->segments, struct iovec);
	uint64_t done = 0;

	while (c < last) {
		uint64_t offset = c->offset + done, at = offset;
		size_t count = 0;

		while (c < last && c->offset + done == at &&
		       at - offset < MAX_BATCH && count < MAX_SEGMENTS) {
			uint64_t n = lower(c->len - done, MAX_BATCH);

			seg[count++] = (struct iovec) {
				.iov_base = (void *)(uintptr_t)(c->addr + done),
				.iov_len = n,
			};
			at += n;
			done += n;
			if (done == c->len) {
				done = 0;
				c++;
			}
		}
		if (read_segments(fd, seg, count, offset))
			return cpimg_fail(p->err, CPIMG_ERR_SYS,
				"image %zu of the chain: reading at 0x%" PRIx64 " into memory: %s",
				p->index - (l - ROWS(&p->levels, struct level)), offset, strerror(errno));
	}
	return 0;
}

static int read_level(struct plan *p, const struct level *l)
{
	int fd, ret;

	if (!l->count)
		return 0;
	fd = cpimg_hold(l->img, p->err);
	if (fd < 0)
		return -1;
	ret = read_copies(p, l, fd);
	cpimg_release(l->img);
	return ret;
}

static int clear(struct plan *p, const struct hole *h)
{
	uint64_t at = 0;

	/* Not memset(): behind the end of a mapped file it would be a SIGBUS. */
	while (at < h->len) {
		ssize_t n = read(p->zeros, (void *)(uintptr_t)(h->addr + at),
				 lower(h->len - at, MAX_BATCH));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += n;
	}
	return 0;
}

static int make_hole(struct plan *p, const struct hole *h)
{
	void *addr = (void *)(uintptr_t)h->addr;
	int ret = -1;

	switch (h->how) {
	case HOLE_LEAVE:
	case HOLE_KEEP:
		return 0;
	case HOLE_DISCARD:
		ret = madvise(addr, h->len, MADV_DONTNEED);
		/* Locked since then */
		if (ret && errno == EINVAL)
			ret = madvise(addr, h->len, MADV_DONTNEED_LOCKED);
		break;
	case HOLE_REMOVE:
		ret = madvise(addr, h->len, MADV_REMOVE);
		break;
	}
	if (ret && h->reason == CP_HOLE_ZERO)
		ret = clear(p, h);
	if (ret)
		return cpimg_fail(p->err, CPIMG_ERR_SYS,
			"discarding 0x%" PRIx64 " to 0x%" PRIx64 ": %s", h->addr,
			h->addr + h->len, strerror(errno));
	return 0;
}

int cpimg_plan_apply(struct plan *p)
{
	struct cp_restored *done = p->done;
	const struct level *l = ROWS(&p->levels, struct level);
	const struct hole *h = ROWS(&p->holes, struct hole);
	size_t left;

	done->touched = true;
	for (left = COUNT(&p->holes, struct hole); left; left--, h++) {
		if (make_hole(p, h))
			return -1;
		if (h->how != HOLE_KEEP)
			*(h->reason == CP_HOLE_FILE ? &done->file :
			  &done->zeros) += h->len;
	}
	for (left = COUNT(&p->levels, struct level); left; left--, l++) {
		const struct copy *c = ROWS(&p->copies, struct copy) + l->first;

		if (read_level(p, l))
			return -1;
		for (size_t i = 0; i < l->count; i++)
			done->data += c[i].len;
	}
	return 0;
}
