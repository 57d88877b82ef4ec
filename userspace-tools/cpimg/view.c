// SPDX-License-Identifier: GPL-2.0
/* The memory at a checkpoint, and how two of them differ. */
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

#define PIECE	(1U << 20)	/* bytes compared at once */

const struct cpimg *view_image(const struct view *v)
{
	return cpimg_chain_image(v->chain, v->index);
}

/**
 * view_open() - look at part of a view; else the first function looks at all of it
 * @v: the view, for view_close()
 * @start: first address
 * @end: address after the last
 * @err: what went wrong
 *
 * Return: 0, or -1 if the chain contradicts itself there.
 */
int view_open(struct view *v, uint64_t start, uint64_t end, struct cpimg_error *err)
{
	if (v->listed)
		return 0;
	if (cpimg_chain_list(v->chain, v->index, v->older, start, end, &v->list, err))
		return -1;
	v->listed = true;
	return 0;
}

void view_close(struct view *v)
{
	cpimg_list_free(&v->list);
	v->listed = false;
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

/* The first piece that ends above @addr, or their number. */
static size_t piece_after(const struct view *v, uint64_t addr)
{
	size_t low = 0, high = v->list.count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (v->list.piece[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Does the view, which is open, know of the address, and be it that nothing is there? */
bool view_covers(const struct view *v, uint64_t addr)
{
	size_t i = piece_after(v, addr);

	return i < v->list.count && v->list.piece[i].start <= addr;
}

/**
 * view_areas() - all that a view knows of, be it that nothing is there
 * @v: the view, which is open
 * @count: how many areas
 *
 * Return: for free(), as those of an image, see cpimg_areas(); NULL: no memory.
 */
struct cp_span *view_areas(const struct view *v, size_t *count)
{
	struct cp_span *areas = malloc((v->list.count + 1) * sizeof(*areas));

	*count = 0;
	for (size_t i = 0; areas && i < v->list.count; i++) {
		const struct cpimg_piece *p = &v->list.piece[i];

		if (*count && areas[*count - 1].end == p->start)
			areas[*count - 1].end = p->end;
		else
			areas[(*count)++] = (struct cp_span) { p->start, p->end };
	}
	return areas;
}

/**
 * view_resolve() - what an address is in a view
 * @v: the view
 * @addr: the address
 * @p: the answer, and up to where it holds
 * @err: what went wrong
 *
 * Return: 0, or -1 if the chain contradicts itself.
 */
int view_resolve(struct view *v, uint64_t addr, struct cpimg_piece *p,
		 struct cpimg_error *err)
{
	size_t i;

	if (view_open(v, 0, UINT64_MAX, err))
		return -1;
	i = piece_after(v, addr);
	if (i < v->list.count && v->list.piece[i].start <= addr) {
		*p = v->list.piece[i];
		if (p->cls == CPIMG_DATA)
			p->offset += addr - p->start;
		p->start = addr;
		return 0;
	}
	*p = (struct cpimg_piece) {
		.start = addr, .cls = CPIMG_NONE,
		.end = i < v->list.count ? v->list.piece[i].start : UINT64_MAX,
	};
	return 0;
}

/* How many bytes of DATA there are in a view, for progress. */
int view_data(struct view *v, uint64_t *bytes, struct cpimg_error *err)
{
	*bytes = 0;
	if (view_open(v, 0, UINT64_MAX, err))
		return -1;
	for (size_t i = 0; i < v->list.count; i++) {
		const struct cpimg_piece *p = &v->list.piece[i];

		if (p->cls == CPIMG_DATA)
			*bytes += p->end - p->start;
	}
	return 0;
}

struct comparison {
	struct view		*a, *b;
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
	return a == b || cpimg_same_file(a, b);
}

/* Are both of the same file, as far as the images say, and was it the same then? */
bool same_mapped(const struct cpimg_mapped *a, const struct cpimg_mapped *b)
{
	struct cp_file x = a->file, y = b->file;

	x.name = y.name = 0;
	return !memcmp(&x, &y, sizeof(x)) && !strcmp(a->name, b->name);
}

static bool same_hole(uint64_t addr, const struct cpimg_piece *a,
		      const struct cpimg_piece *b)
{
	struct cpimg_mapped m, n;
	bool in_a = cpimg_mapped_file(a->img, addr, &m);
	bool in_b = cpimg_mapped_file(b->img, addr, &n);

	/* older kernels do not say */
	if (!in_a || !in_b)
		return in_a == in_b;
	return m.offset + (addr - m.start) == n.offset + (addr - n.start) &&
	       same_mapped(&m, &n);
}

/* Nothing has to be read to know that these, of @addr and on, are the same. */
static bool plainly_same(uint64_t addr, const struct cpimg_piece *a,
			 const struct cpimg_piece *b)
{
	if (a->cls != b->cls)
		return false;
	if (a->cls == CPIMG_DATA)
		return a->offset == b->offset && same_file(a->img, b->img);
	if (a->cls == CPIMG_NONE)
		return true;
	if (a->cls == CPIMG_HOLE && a->reason == CP_HOLE_FILE && b->reason == CP_HOLE_FILE)
		return same_hole(addr, a, b);
	return a->reason == b->reason;
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

	if (plainly_same(start, a, b)) {
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
int compare_views(struct view *a, struct view *b, struct progress *progress,
		  change_fn *fn, void *ctx, struct cpimg_error *err)
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
