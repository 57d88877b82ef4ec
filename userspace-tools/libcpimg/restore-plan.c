// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - restoring: the plan. What the chain says of a range, as what is to be
 * copied and what is to be a hole: at each address the newest image counts that does
 * not say SAME. It lies in tables that grow, in mappings of their own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "restore.h"

int cpimg_plan_grow(struct plan *p, struct table *t, size_t size)
{
	size_t space = t->space ? 2 * t->space : 64 * 1024;
	void *mem;

	while (space - t->used < size)
		space *= 2;
	mem = t->mem ? mremap(t->mem, t->space, space, MREMAP_MAYMOVE) :
	      mmap(NULL, space, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return cpimg_fail(p->err, CPIMG_ERR_SYS,
			"%s: restoring: %zu bytes for the plan: %s",
			cpimg_path(p->img), space, strerror(errno));
	t->mem = mem;
	t->space = space;
	p->own[p->nr_own++] = (struct span) {
		(uintptr_t)mem, (uintptr_t)mem + space,
	};
	return 0;
}

void cpimg_plan_drop(struct plan *p)
{
	struct table *all[] = TABLES(p);

	for (size_t i = 0; i < NR_TABLES; i++) {
		if (all[i]->mem)
			munmap(all[i]->mem, all[i]->space);
	}
}

static int add_levels(struct plan *p)
{
	for (size_t i = p->index + 1; i--;) {
		const struct cpimg *img = cpimg_chain_image(p->chain, i);
		struct level *l = more(p, &p->levels, sizeof(*l));
		size_t count, areas;

		if (!l)
			return -1;
		*l = (struct level) {
			.run = cpimg_runs(img, &count),
			.area = cpimg_areas(img, &areas),
			.img = img,
		};
		l->stop = l->run + count;
		l->run += cpimg_index_after(img, p->start);
		l->last_area = l->area + areas;
		l->area += cpimg_area_after(img, p->start);
	}
	return 0;
}

static int add_copy(struct plan *p, struct level *l, size_t level, uint64_t addr,
		    uint64_t len, uint64_t offset)
{
	struct copy *c = ROWS(&p->found, struct copy) + l->newest;

	if (l->count && c->addr + c->len == addr && c->offset + c->len == offset) {
		c->len += len;
		return 0;
	}
	c = more(p, &p->found, sizeof(*c));
	if (!c)
		return -1;
	*c = (struct copy) { addr, len, offset, level };
	l->newest = COUNT(&p->found, struct copy) - 1;
	l->count++;
	return 0;
}

static int add_hole(struct plan *p, size_t level, uint64_t addr, uint64_t len,
		    uint32_t reason)
{
	struct hole *last = p->gaps.used ? ROWS(&p->gaps, struct hole) +
			    COUNT(&p->gaps, struct hole) - 1 : NULL;

	/* Which file it is, is in the notes of the image that has the hole. */
	if (last && last->addr + last->len == addr && last->reason == reason &&
	    (last->level == level || reason != CP_HOLE_FILE)) {
		last->len += len;
		return 0;
	}
	last = more(p, &p->gaps, sizeof(*last));
	if (!last)
		return -1;
	*last = (struct hole) {
		.addr = addr, .len = len, .level = level, .reason = reason,
	};
	return 0;
}

/* An older image denies what a younger one relies on. */
static int contradiction(struct plan *p, uint64_t addr)
{
	struct cpimg_piece piece;

	if (cpimg_chain_resolve(p->chain, p->index, addr, &piece, p->err))
		return -1;
	return refuse(p, CPIMG_ERR_CHAIN, addr, "the chain contradicts itself");
}

/* Has the image looked at @at? The answer holds up to *@end, which is only ever lowered. */
static inline bool looked_at(struct level *l, uint64_t at, uint64_t *end)
{
	while (l->area < l->last_area && l->area->end <= at)
		l->area++;
	if (l->area == l->last_area)
		return false;
	*end = lower(*end, l->area->start > at ? l->area->start : l->area->end);
	return l->area->start <= at;
}

/*
 * Does the image know of @at, or is it to be asked of its parent? The answer holds
 * up to *@end, which is only ever lowered. *@run is NULL for what is not mapped.
 */
static inline bool knows(struct level *l, uint64_t at, uint64_t *end,
			 const struct cpimg_run **run)
{
	while (l->run < l->stop && l->run->end <= at)
		l->run++;
	if (l->run < l->stop && l->run->start <= at) {
		*end = lower(*end, l->run->end);
		*run = l->run;
		return l->run->cls != CPIMG_SAME;
	}
	*run = NULL;
	if (!looked_at(l, at, end))
		return false;
	if (l->run < l->stop)
		*end = lower(*end, l->run->start);
	return true;
}

/* What is to be done about [@start, @end), which image @level knows. */
static int sort_piece(struct plan *p, size_t level, const struct cpimg_run *run,
		      uint64_t start, uint64_t end)
{
	struct level *l = ROWS(&p->levels, struct level) + level;

	if (run && run->cls == CPIMG_DATA)
		return add_copy(p, l, level, start, end - start,
				run->offset + (start - run->start));
	if (run && run->cls == CPIMG_HOLE)
		return add_hole(p, level, start, end - start, run->reason);
	/* Skipped or not mapped: left as it is. SAME cannot lead there. */
	return level ? contradiction(p, start) : 0;
}

/* From found to copies: each image's together. */
static int group_copies(struct plan *p)
{
	const struct copy *c = ROWS(&p->found, struct copy);
	struct level *levels = ROWS(&p->levels, struct level);
	struct copy *to;
	size_t next = 0;

	if (!p->found.used)
		return 0;
	to = more(p, &p->copies, p->found.used);
	if (!to)
		return -1;
	for (size_t i = 0; i < COUNT(&p->levels, struct level); i++) {
		levels[i].first = next;
		next += levels[i].count;
		levels[i].newest = levels[i].first;
	}
	for (size_t left = COUNT(&p->found, struct copy); left; left--, c++)
		to[levels[c->level].newest++] = *c;
	return 0;
}

int cpimg_plan_chain(struct plan *p)
{
	struct level *levels;
	size_t count;

	if (add_levels(p))
		return -1;
	levels = ROWS(&p->levels, struct level);
	count = COUNT(&p->levels, struct level);
	for (uint64_t at = p->start, end; at < p->end; at = end) {
		const struct cpimg_run *run = NULL;
		size_t i = 0;

		end = p->end;
		/* What lies between its areas is left as it is. */
		if (!looked_at(&levels[0], at, &end))
			continue;
		while (i < count && !knows(&levels[i], at, &end, &run))
			i++;
		if (i == count)
			return contradiction(p, at);
		if (sort_piece(p, i, run, at, end))
			return -1;
	}
	return group_copies(p);
}
