/* SPDX-License-Identifier: GPL-2.0 */
/* The plan of a restore, which the files that make it and carry it out share. */
#ifndef LIBCPIMG_RESTORE_H
#define LIBCPIMG_RESTORE_H

#include <inttypes.h>
#include <stdint.h>

#include "internal.h"

/* Segments a call of preadv() takes, everywhere. */
#define MAX_SEGMENTS	1024

/* An array that grows, in a mapping of its own. */
struct table {
	char	*mem;
	size_t	used;
	size_t	space;
};

struct span {
	uint64_t	start;
	uint64_t	end;
};

/* DATA: bytes of an image, straight into place. */
struct copy {
	uint64_t	addr;
	uint64_t	len;
	uint64_t	offset;
	size_t		level;		/* which image, the newest is 0 */
};

/* An image, and how far the walk through the addresses has come in it. */
struct level {
	const struct cpimg_run	*run;
	const struct cpimg_run	*stop;
	const struct cp_span	*area;	/* what it looked at */
	const struct cp_span	*last_area;	/* and after the last of these */
	const struct cpimg	*img;
	size_t			newest;	/* of its copies as they are found */
	size_t			count;	/* of its copies */
	size_t			first;	/* in the order of images */
};

enum hole_how {
	HOLE_LEAVE,		/* shared with the file: it is what it is */
	HOLE_KEEP,		/* of another file: nobody minds that it is left */
	HOLE_DISCARD,		/* reads as zeros, or from the file, by itself */
	HOLE_REMOVE,		/* of shared memory, for all who share it */
	HOLE_CLEAR,		/* zeros have to be written */
};

struct hole {
	uint64_t	addr;
	uint64_t	len;
	size_t		level;		/* which image, the newest is 0 */
	uint32_t	reason;		/* enum cp_hole */
	uint32_t	how;
};

/* A line of /proc/self/maps. */
struct map {
	uint64_t	start;
	uint64_t	end;
	uint64_t	offset;
	size_t		name;		/* in the text of all lines, 0: none */
	bool		readable;
	bool		writable;
	bool		shared;
	bool		file;
};

#define NR_TABLES	8

struct plan {
	const struct cpimg_chain	*chain;
	size_t				index;
	const struct cpimg		*img;
	uint64_t			start;
	uint64_t			end;
	uint64_t			page;
	uint64_t			frame;	/* of cp_restore() */
	int				zeros;	/* /dev/zero, or -1 */
	struct table			levels;
	struct table			found;	/* copies, in the order of addresses */
	struct table			copies;	/* and in that of images, then addresses */
	struct table			gaps;	/* holes as the chain has them */
	struct table			holes;	/* cut where mappings end */
	struct table			text;
	struct table			maps;
	struct table			segments;
	/* where tables lie or have lain: each growth is at least a doubling */
	struct span			own[NR_TABLES * 40];
	size_t				nr_own;
	struct cp_restored		*done;
	struct cpimg_error		*err;
};

#define TABLES(p) { &(p)->levels, &(p)->found, &(p)->copies, &(p)->gaps, \
		    &(p)->holes, &(p)->text, &(p)->maps, &(p)->segments }

#define COUNT(table, type)	((table)->used / sizeof(type))
#define ROWS(table, type)	((type *)(table)->mem)

static inline bool overlap(uint64_t a, uint64_t a_end, uint64_t b, uint64_t b_end)
{
	return a < b_end && b < a_end;
}

/* Has the plan a part of [@start, @end)? What the image did not look at it has not. */
static inline bool plan_has(const struct plan *p, uint64_t start, uint64_t end)
{
	start = higher(start, p->start);
	end = lower(end, p->end);
	return start < end && cpimg_touches(p->img, start, end);
}

static inline int refuse(struct plan *p, enum cpimg_errcode code, uint64_t addr,
			 const char *why)
{
	return cpimg_fail(p->err, code, "%s: restoring 0x%" PRIx64 ": %s",
			  cpimg_path(p->img), addr, why);
}

/* restore-plan.c: a table that is full grows. Return: 0, or -1: no memory */
int cpimg_plan_grow(struct plan *p, struct table *t, size_t size);

/* Room for @size more bytes, or NULL. */
static inline void *more(struct plan *p, struct table *t, size_t size)
{
	if (t->space - t->used < size && cpimg_plan_grow(p, t, size))
		return NULL;
	t->used += size;
	return t->mem + t->used - size;
}

static inline int not_mapped(struct plan *p, uint64_t addr)
{
	return refuse(p, CPIMG_ERR_MEMORY, addr, "nothing is mapped there");
}

/* restore-plan.c: what the chain says is made a plan */
int cpimg_plan_chain(struct plan *p);
void cpimg_plan_drop(struct plan *p);

/* restore-maps.c: what is mapped now */
int cpimg_plan_maps(struct plan *p);
const struct map *cpimg_plan_map_of(struct plan *p, uint64_t addr, size_t *hint);

/* restore-check.c: what speaks against the plan */
int cpimg_plan_check_range(struct plan *p);
int cpimg_plan_check_in_use(struct plan *p);
int cpimg_plan_check_copies(struct plan *p);
int cpimg_plan_check_holes(struct plan *p);
int cpimg_plan_check_own(struct plan *p);
int cpimg_plan_check_sizes(struct plan *p);

/* restore-left.c: what would be left as it is, and may it? */
int cpimg_plan_may_leave(struct plan *p, const struct cpimg_piece *piece,
			 unsigned int flag);
int cpimg_plan_check_left(struct plan *p);

/* restore-apply.c: memory is touched */
int cpimg_plan_open_zeros(struct plan *p);
int cpimg_plan_apply(struct plan *p);

#endif /* LIBCPIMG_RESTORE_H */
