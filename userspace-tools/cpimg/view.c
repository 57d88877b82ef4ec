// SPDX-License-Identifier: GPL-2.0
/* The memory at a checkpoint, and how two of them differ. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd.h"
#include "../libcpimg.h"

#define PIECE	(1U << 20)	/* bytes compared at once */

const struct cpimg *view_image(const struct view *v)
{
	return cpimg_chain_image(v->chain, v->index);
}

/* The addresses that a view may know something of. */
void view_range(const struct view *v, uint64_t *start, uint64_t *end)
{
	const struct cp_note *n = cpimg_note(view_image(v));

	*start = n->start;
	*end = n->end;
	for (size_t i = v->index; v->older && i--;) {
		n = cpimg_note(cpimg_chain_image(v->chain, i));
		if (n->start < *start)
			*start = n->start;
		if (n->end > *end)
			*end = n->end;
	}
}

/* Does the view know of the address, and be it that nothing is mapped there? */
bool view_covers(const struct view *v, uint64_t addr)
{
	bool covers = cpimg_covers(view_image(v), addr);

	for (size_t i = v->index; v->older && !covers && i--;)
		covers = cpimg_covers(cpimg_chain_image(v->chain, i), addr);
	return covers;
}

/**
 * view_resolve() - what an address is in a view
 * @v: the view
 * @addr: the address
 * @p: the answer, and up to where it holds
 * @err: what went wrong
 *
 * Return: 0, or -1 if the chain contradicts itself here.
 */
int view_resolve(const struct view *v, uint64_t addr, struct cpimg_piece *p,
		 struct cpimg_error *err)
{
	uint64_t limit = UINT64_MAX;

	for (size_t i = v->index;; i--) {
		if (cpimg_chain_resolve(v->chain, i, addr, p, err))
			return -1;
		if (p->end > limit)
			p->end = limit;
		if (!v->older || !i ||
		    cpimg_covers(cpimg_chain_image(v->chain, i), addr))
			return 0;
		limit = p->end;
	}
}

/* How many bytes of DATA there are in a view, for progress. */
int view_data(const struct view *v, uint64_t *bytes, struct cpimg_error *err)
{
	struct cpimg_piece p;
	uint64_t end;

	*bytes = 0;
	view_range(v, &p.end, &end);
	while (p.end < end) {
		if (view_resolve(v, p.end, &p, err))
			return -1;
		if (p.cls == CPIMG_DATA)
			*bytes += p.end - p.start;
	}
	return 0;
}

struct comparison {
	const struct view	*a, *b;
	struct progress		*progress;
	change_fn		*fn;
	void			*ctx;
	struct cpimg_error	*err;
	uint64_t		page;
	unsigned char		*bytes_a, *bytes_b;
};

static bool has_bytes(const struct cpimg_piece *p)
{
	return p->cls == CPIMG_DATA ||
	       (p->cls == CPIMG_HOLE && p->reason == CP_HOLE_ZERO);
}

static bool same_file(const struct cpimg *a, const struct cpimg *b)
{
	struct stat x, y;

	return a == b || (!fstat(cpimg_fd(a), &x) && !fstat(cpimg_fd(b), &y) &&
			  x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

/* Nothing has to be read to know that these are the same. */
static bool plainly_same(const struct cpimg_piece *a, const struct cpimg_piece *b)
{
	if (a->cls != b->cls)
		return false;
	if (a->cls == CPIMG_DATA)
		return a->offset == b->offset && same_file(a->img, b->img);
	return a->cls == CPIMG_NONE || a->reason == b->reason;
}

static int compare_bytes(struct comparison *c, uint64_t start, uint64_t end,
			 const struct cpimg_piece *a, const struct cpimg_piece *b)
{
	for (uint64_t at = start, n; at < end; at += n) {
		n = end - at < PIECE ? end - at : PIECE;
		if (cpimg_pread(a->img, at, c->bytes_a, n, c->err) ||
		    cpimg_pread(b->img, at, c->bytes_b, n, c->err))
			return -1;
		for (uint64_t i = 0; i < n; i += c->page) {
			if (!memcmp(c->bytes_a + i, c->bytes_b + i, c->page))
				continue;
			if (c->fn(c->ctx, at + i, at + i + c->page, CHANGE_BYTES,
				  a, b, c->bytes_a + i, c->bytes_b + i))
				return 1;
		}
		if (progress_step(c->progress, n))
			return cpimg_fail(c->err, CPIMG_ERR_SYS, "interrupted");
	}
	return 0;
}

/* [@start, @end) is one piece in both. */
static int compare_pieces(struct comparison *c, uint64_t start, uint64_t end,
			  const struct cpimg_piece *a, const struct cpimg_piece *b)
{
	enum change change = CHANGE_CLASS;

	if (plainly_same(a, b)) {
		progress_step(c->progress, a->cls == CPIMG_DATA ? end - start : 0);
		return 0;
	}
	if (has_bytes(a) && has_bytes(b))
		return compare_bytes(c, start, end, a, b);
	if (a->cls == CPIMG_NONE)
		change = CHANGE_APPEARED;
	else if (b->cls == CPIMG_NONE)
		change = CHANGE_GONE;
	return c->fn(c->ctx, start, end, change, a, b, NULL, NULL);
}

static int compare_all(struct comparison *c)
{
	uint64_t at, at_b, end, end_b;
	int ret = 0;

	view_range(c->a, &at, &end);
	view_range(c->b, &at_b, &end_b);
	at = at < at_b ? at : at_b;
	end = end > end_b ? end : end_b;
	while (!ret && at < end) {
		struct cpimg_piece a, b;
		uint64_t next;

		if (view_resolve(c->a, at, &a, c->err) ||
		    view_resolve(c->b, at, &b, c->err))
			return -1;
		next = a.end < b.end ? a.end : b.end;
		next = next < end ? next : end;
		ret = compare_pieces(c, at, next, &a, &b);
		at = next;
	}
	return ret;
}

/**
 * compare_views() - find what differs
 * @a: one
 * @b: the other, with pages of the same size
 * @progress: is told of each byte of DATA; may be NULL
 * @fn: is told of each difference
 * @ctx: for @fn
 * @err: what went wrong
 *
 * Return: 0, what @fn returned if not 0, or -1 for an error.
 */
int compare_views(const struct view *a, const struct view *b,
		  struct progress *progress, change_fn *fn, void *ctx,
		  struct cpimg_error *err)
{
	struct comparison c = {
		.a = a, .b = b, .progress = progress, .fn = fn, .ctx = ctx,
		.err = err, .page = cpimg_note(view_image(a))->page_size,
		.bytes_a = malloc(PIECE), .bytes_b = malloc(PIECE),
	};
	int ret;

	ret = c.bytes_a && c.bytes_b ? compare_all(&c) :
	      cpimg_fail(err, CPIMG_ERR_SYS, "no memory");
	free(c.bytes_a);
	free(c.bytes_b);
	return ret;
}
