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

/* @new: what is known after @img if @old was before it. 0, or -1: no memory. */
static int take_image(struct memory *new, const struct memory *old,
		      const struct cpimg *img, uint64_t *bad)
{
	const struct cp_note *note = cpimg_note(img);
	uint64_t next = note->start;
	size_t count, at = 0;
	const struct cpimg_run *run = cpimg_runs(img, &count);

	new->count = 0;
	if (still_know(new, old, &at, 0, note->start))
		return -1;
	for (; count; count--, run++) {
		struct known gap = { .start = next, .end = run->start };
		struct known k = {
			run->start, run->end, img, run, run->prot,
		};

		if (know(new, &gap) ||
		    (run->cls == CPIMG_SAME ?
		     know_same(new, old, &at, img, run, bad) : know(new, &k)))
			return -1;
		next = run->end;
	}
	if (know(new, &(struct known) { .start = next, .end = note->end }))
		return -1;
	return still_know(new, old, &at, note->end, UINT64_MAX);
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

static int list_all(const struct cpimg_chain *chain, size_t index,
		    const struct memory *m, uint64_t start, uint64_t end,
		    struct cpimg_list *list, struct cpimg_error *err)
{
	list->piece = malloc((m->count + 1) * sizeof(*list->piece));
	if (!list->piece)
		return cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory for %zu pieces",
				  cpimg_path(chain->img[index]), m->count);
	for (size_t i = 0; i < m->count; i++) {
		const struct known *k = &m->known[i];
		struct cpimg_piece p;

		if (k->end <= start || k->start >= end)
			continue;
		if (!list_piece(list, k, start, end))
			continue;
		/* It says what is the matter. */
		if (!cpimg_chain_resolve(chain, index, list->piece[list->count - 1].start,
					 &p, err))
			cpimg_fail(err, CPIMG_ERR_CHAIN,
				   "%s: SAME at 0x%" PRIx64 ": no older image has it",
				   cpimg_path(k->img), k->start);
		cpimg_list_free(list);
		return -1;
	}
	return 0;
}

/*
 * cpimg_chain_list() - all that a chain says of [@start, @end) at a checkpoint
 * @chain: the chain
 * @index: the checkpoint
 * @older: what its range leaves out is as in the nearest older image
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
	const struct cp_note *note = cpimg_note(chain->img[index]);
	struct memory m[2] = { { 0 } };
	uint64_t bad = UINT64_MAX;
	int ret = 0;

	*list = (struct cpimg_list) { 0 };
	for (size_t i = 0; !ret && i <= index; i++)
		ret = take_image(&m[i % 2], &m[(i + 1) % 2], chain->img[i], &bad);
	if (ret)
		ret = cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory",
				 cpimg_path(chain->img[index]));
	if (!older) {
		start = start > note->start ? start : note->start;
		end = lower(end, note->end);
	}
	if (!ret && start < end)
		ret = list_all(chain, index, &m[index % 2], start, end, list, err);
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
