// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - from the oldest image of a chain to the newest: what is known of memory
 * after each
 */
#include <inttypes.h>
#include <stdlib.h>

#include "chain.h"

struct known {
	uint64_t		start;
	uint64_t		end;
	const struct cpimg	*img;	/* that has the run; NULL: not mapped */
	const struct cpimg_run	*run;	/* SAME: it leads nowhere */
	uint8_t			prot;	/* in the newest image */
};

struct memory {
	struct known	*known;		/* in address order */
	size_t		count;
	size_t		space;
};

static int know(struct memory *m, const struct known *k)
{
	struct known *last = m->count ? &m->known[m->count - 1] : NULL;

	if (k->start == k->end)
		return 0;
	if (last && last->end == k->start && last->run == k->run &&
	    last->prot == k->prot) {
		last->end = k->end;
		return 0;
	}
	if (m->count == m->space) {
		size_t space = m->space ? 2 * m->space : 256;
		void *more = realloc(m->known, space * sizeof(*m->known));

		if (!more)
			return -1;
		m->known = more;
		m->space = space;
	}
	m->known[m->count++] = *k;
	return 0;
}

/* What was known of [@start, @end) stays. @*at: the first that ends above @start. */
static int still_know(struct memory *new, const struct memory *old, size_t *at,
		      uint64_t start, uint64_t end)
{
	while (*at < old->count && old->known[*at].end <= start)
		++*at;
	for (size_t i = *at; i < old->count && old->known[i].start < end; i++) {
		struct known k = old->known[i];

		k.start = k.start > start ? k.start : start;
		k.end = lower(k.end, end);
		if (know(new, &k))
			return -1;
	}
	return 0;
}

/*
 * [@run->start, @run->end) is as before: that has to be known, and mapped. @*bad: the
 * first address of which it is not.
 */
static int know_same(struct memory *new, const struct memory *old, size_t *at,
		     const struct cpimg *img, const struct cpimg_run *run, uint64_t *bad)
{
	struct known k = { .img = img, .run = run, .prot = run->prot };
	uint64_t next = run->start;

	while (*at < old->count && old->known[*at].end <= run->start)
		++*at;
	for (size_t i = *at; next < run->end; i++) {
		const struct known *o = i < old->count ? &old->known[i] : NULL;
		struct known part = k;
		bool good = o && o->start <= next && o->run &&
			    o->run->cls != CPIMG_SKIPPED && o->run->cls != CPIMG_SAME;

		part.start = next;
		part.end = !o ? run->end : o->start > next ? lower(o->start, run->end) :
			   lower(o->end, run->end);
		if (good) {
			part.img = o->img;
			part.run = o->run;
		} else if (*bad == UINT64_MAX) {
			*bad = next;
		}
		if (know(new, &part))
			return -1;
		/* a gap before it: once more, now at its start */
		if (o && o->start > next)
			i--;
		next = part.end;
	}
	return 0;
}

/* What the image says of one of its areas; @*run: the first in it, then after it. */
static int take_area(struct memory *new, const struct memory *old, size_t *at,
		     const struct cpimg *img, const struct cp_span *area,
		     const struct cpimg_run **next_run, const struct cpimg_run *stop,
		     uint64_t *bad)
{
	const struct cpimg_run *run = *next_run;
	uint64_t next = area->start;

	for (; run < stop && run->start < area->end; run++) {
		struct known gap = { .start = next, .end = run->start };
		struct known k = {
			run->start, run->end, img, run, run->prot,
		};

		if (know(new, &gap) ||
		    (run->cls == CPIMG_SAME ?
		     know_same(new, old, at, img, run, bad) : know(new, &k)))
			return -1;
		next = run->end;
	}
	*next_run = run;
	return know(new, &(struct known) { .start = next, .end = area->end });
}

/* @new: what is known after @img if @old was before it. 0, or -1: no memory. */
static int take_image(struct memory *new, const struct memory *old,
		      const struct cpimg *img, uint64_t *bad)
{
	size_t runs, areas, at = 0;
	const struct cpimg_run *run = cpimg_runs(img, &runs), *stop = run + runs;
	const struct cp_span *area = cpimg_areas(img, &areas);
	uint64_t next = 0;

	new->count = 0;
	for (; areas; areas--, area++) {
		if (still_know(new, old, &at, next, area->start) ||
		    take_area(new, old, &at, img, area, &run, stop, bad))
			return -1;
		next = area->end;
	}
	return still_know(new, old, &at, next, UINT64_MAX);
}

static int list_piece(struct cpimg_list *list, const struct known *k, uint64_t start,
		      uint64_t end)
{
	struct cpimg_piece *p = &list->piece[list->count++];

	*p = (struct cpimg_piece) {
		.start = k->start > start ? k->start : start,
		.end = lower(k->end, end), .cls = CPIMG_NONE,
	};
	if (!k->run)
		return 0;
	p->img = k->img;
	p->run = k->run;
	p->cls = k->run->cls;
	p->reason = k->run->reason;
	p->prot = k->prot;
	if (p->cls == CPIMG_DATA)
		p->offset = k->run->offset + (p->start - k->run->start);
	return p->cls == CPIMG_SAME ? -1 : 0;
}

/* What is known of [@start, @end). @*at: the first that ends above @start. */
static int list_range(const struct cpimg_chain *chain, size_t index,
		      const struct memory *m, size_t *at, uint64_t start, uint64_t end,
		      struct cpimg_list *list, struct cpimg_error *err)
{
	while (*at < m->count && m->known[*at].end <= start)
		++*at;
	for (size_t i = *at; i < m->count && m->known[i].start < end; i++) {
		const struct known *k = &m->known[i];
		struct cpimg_piece p;

		if (!list_piece(list, k, start, end))
			continue;
		/* It says what is the matter. */
		if (!cpimg_chain_resolve(chain, index, list->piece[list->count - 1].start,
					 &p, err))
			cpimg_fail(err, CPIMG_ERR_CHAIN,
				   "%s: SAME at 0x%" PRIx64 ": no older image has it",
				   cpimg_path(k->img), k->start);
		return -1;
	}
	return 0;
}

/* Of all that was known before, or of what the image looked at only. */
static int list_all(const struct cpimg_chain *chain, size_t index,
		    const struct memory *m, bool older, uint64_t start, uint64_t end,
		    struct cpimg_list *list, struct cpimg_error *err)
{
	size_t areas, at = 0;
	const struct cp_span *area = cpimg_areas(chain->img[index], &areas);
	int ret = 0;

	/* Each area may cut one that is known. */
	list->piece = malloc((m->count + areas + 1) * sizeof(*list->piece));
	if (!list->piece)
		return cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory for %zu pieces",
				  cpimg_path(chain->img[index]), m->count);
	if (older)
		ret = list_range(chain, index, m, &at, start, end, list, err);
	for (; !older && !ret && areas; areas--, area++) {
		uint64_t from = higher(start, area->start), to = lower(end, area->end);

		if (from < to)
			ret = list_range(chain, index, m, &at, from, to, list, err);
	}
	if (ret)
		cpimg_list_free(list);
	return ret;
}

/*
 * cpimg_chain_list() - all that a chain says of [@start, @end) at a checkpoint
 * @chain: the chain
 * @index: the checkpoint
 * @older: what it did not look at is as in the nearest older image
 * @start: first address
 * @end: address after the last
 * @list: the pieces, for cpimg_list_free(), those that were not mapped included: what
 *	  is in no piece is in no image's range
 * @err: what went wrong; may be NULL
 *
 * Its time grows with the runs of all images, and the pieces times the images; not
 * with the depth at which each piece is found, as that of cpimg_chain_resolve().
 *
 * Return: 0, or -1 if the chain contradicts itself there.
 */
int cpimg_chain_list(const struct cpimg_chain *chain, size_t index, bool older,
		     uint64_t start, uint64_t end, struct cpimg_list *list,
		     struct cpimg_error *err)
{
	struct memory m[2] = { { 0 } };
	uint64_t bad = UINT64_MAX;
	int ret = 0;

	*list = (struct cpimg_list) { 0 };
	for (size_t i = 0; !ret && i <= index; i++)
		ret = take_image(&m[i % 2], &m[(i + 1) % 2], chain->img[i], &bad);
	if (ret)
		ret = cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory",
				 cpimg_path(chain->img[index]));
	if (!ret && start < end)
		ret = list_all(chain, index, &m[index % 2], older, start, end, list, err);
	free(m[0].known);
	free(m[1].known);
	return ret;
}

void cpimg_list_free(struct cpimg_list *list)
{
	free(list->piece);
	*list = (struct cpimg_list) { 0 };
}

/*
 * cpimg_chain_verify_from() - the same as cpimg_chain_verify(), if image @index were
 * the full image @full and began the chain
 */
int cpimg_chain_verify_from(const struct cpimg_chain *chain, size_t index,
			    const struct cpimg *full, struct cpimg_error *err)
{
	struct memory m[2] = { { 0 } };
	uint64_t bad = UINT64_MAX;
	struct cpimg_piece p;
	int ret = 0;

	for (size_t i = index; !ret && i < chain->length; i++) {
		const struct cpimg *img = i == index ? full : chain->img[i];

		if (take_image(&m[i % 2], &m[(i + 1) % 2], img, &bad))
			ret = cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory",
					 cpimg_path(img));
		else if (bad == UINT64_MAX)
			continue;
		else if (full != chain->img[index] ||
			 !cpimg_chain_resolve(chain, i, bad, &p, err))
			ret = cpimg_fail(err, CPIMG_ERR_CHAIN,
				"%s: SAME at 0x%" PRIx64 ": no older image has it",
				cpimg_path(img), bad);
		else
			ret = -1;
	}
	free(m[0].known);
	free(m[1].known);
	return ret;
}

/**
 * cpimg_chain_verify() - every SAME of every image reaches something
 * @chain: the chain
 * @err: the first that does not; may be NULL
 *
 * Return: 0 or -1.
 */
int cpimg_chain_verify(const struct cpimg_chain *chain,
		       struct cpimg_error *err)
{
	return cpimg_chain_verify_from(chain, 0, chain->img[0], err);
}
