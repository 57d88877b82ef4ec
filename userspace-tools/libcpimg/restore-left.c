// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - restoring: what would not be restored: flags and the caller's function
 * may allow it
 */
#include <inttypes.h>
#include <stdio.h>

#include "restore.h"

/*
 * 1: the piece may be left as it is, 0: it may not, which is for the caller of this
 * to say, -1: the user's function said no.
 */
int cpimg_plan_may_leave(struct plan *p, const struct cpimg_piece *piece,
			 unsigned int flag)
{
	const struct cp_restored *done = p->done;

	if (done->flags & flag)
		return 1;
	if (!done->left)
		return 0;
	if (!done->left(piece, done->arg))
		return 1;
	return refuse(p, CPIMG_ERR_LEFT, piece->start,
		      "the caller does not want to leave it as it is");
}

/* What would be left. */
enum kind {
	LEFT_SKIPPED,		/* the image leaves it out */
	LEFT_UNMAPPED,		/* it was not mapped then, and is now */
	LEFT_OUTSIDE,		/* the image did not look at it */
};

/* What speaks against leaving memory as it is: the first, and all. */
struct objections {
	uint64_t	start;
	uint64_t	end;
	enum kind	kind;
	const char	*why;		/* it was left out */
	size_t		count;
	uint64_t	bytes;
	bool		nothing;	/* that is all the range has */
};

static void object(struct objections *o, const struct cpimg_piece *piece, enum kind kind)
{
	if (!o->count++) {
		o->start = piece->start;
		o->end = piece->end;
		o->kind = kind;
		o->why = kind == LEFT_SKIPPED ? cpimg_skip_name(piece->reason) : NULL;
	}
	o->bytes += piece->end - piece->start;
}

/*
 * Nothing was there to be saved: a page past the end of a file, which could not even
 * be read.
 */
static bool past_the_end(const struct cpimg *img, const struct cpimg_piece *piece,
			 uint64_t page)
{
	struct cpimg_mapped m;
	uint64_t offset;

	if (piece->reason != CP_SKIP_FAULT ||
	    !cpimg_mapped_file(img, piece->start, &m) || m.end < piece->end)
		return false;
	offset = m.offset + (piece->start - m.start);
	return offset >= ((m.file.size + page - 1) & ~(page - 1));
}

static int tell(struct plan *p, struct objections *o, const struct cpimg_piece *piece,
		enum kind kind)
{
	static const unsigned int flags[] = {
		[LEFT_SKIPPED] = CP_RESTORE_SKIPPED,
		[LEFT_UNMAPPED] = CP_RESTORE_UNMAPPED,
		[LEFT_OUTSIDE] = CP_RESTORE_OUTSIDE,
	};
	uint64_t *const bytes[] = {
		[LEFT_SKIPPED] = &p->done->skipped,
		[LEFT_UNMAPPED] = &p->done->unmapped,
		[LEFT_OUTSIDE] = &p->done->outside,
	};
	int may;

	*bytes[kind] += piece->end - piece->start;
	if (kind == LEFT_SKIPPED && past_the_end(p->img, piece, p->page))
		return 0;
	may = cpimg_plan_may_leave(p, piece, flags[kind]);
	if (!may)
		object(o, piece, kind);
	return may < 0 ? -1 : 0;
}

/* The first address from @start on, and below @end, that is in no table of the plan. */
static uint64_t after_own(const struct plan *p, uint64_t start, uint64_t end,
			  uint64_t *next_own)
{
	bool again = true;

	while (again) {
		again = false;
		*next_own = end;
		for (size_t i = 0; i < p->nr_own; i++) {
			const struct span *own = &p->own[i];

			if (own->start <= start && start < own->end) {
				start = own->end;
				again = true;
			} else if (own->start > start) {
				*next_own = lower(*next_own, own->start);
			}
		}
	}
	return start;
}

/*
 * Nothing was mapped at [@start, @end). Where that is so now, too, it is as it was;
 * what is mapped now is memory that nothing is known of.
 */
static int tell_unmapped(struct plan *p, struct objections *o, uint64_t start,
			 uint64_t end)
{
	struct cpimg_piece piece = { .start = start, .end = start, .cls = CPIMG_NONE };
	const struct map *m = ROWS(&p->maps, struct map);
	size_t i = SIZE_MAX, count = COUNT(&p->maps, struct map);
	uint64_t own;

	cpimg_plan_map_of(p, start, &i);
	for (m += i; i < count && m->start < end; i++, m++) {
		uint64_t at = higher(m->start, start), stop = lower(m->end, end);

		while (at < stop) {
			at = after_own(p, at, stop, &own);
			if (at >= stop)
				break;
			/* Mappings side by side are one piece. */
			if (piece.end != at) {
				if (piece.start < piece.end &&
				    tell(p, o, &piece, LEFT_UNMAPPED))
					return -1;
				piece.start = at;
			}
			piece.end = own;
			at = own;
		}
	}
	return piece.start < piece.end ? tell(p, o, &piece, LEFT_UNMAPPED) : 0;
}

static int tell_skipped(struct plan *p, struct objections *o, const struct cpimg_run *run)
{
	struct cpimg_piece piece = {
		.start = higher(run->start, p->start), .end = lower(run->end, p->end),
		.img = p->img, .run = run, .cls = run->cls, .reason = run->reason,
		.prot = run->prot,
	};

	return tell(p, o, &piece, LEFT_SKIPPED);
}

/* Whatever was there then, and be it nothing, and whatever is there now. */
static int tell_outside(struct plan *p, struct objections *o, uint64_t start,
			uint64_t end)
{
	struct cpimg_piece piece = { .start = start, .end = end, .cls = CPIMG_NONE };

	return tell(p, o, &piece, LEFT_OUTSIDE);
}

static int refuse_left(struct plan *p, const struct objections *o)
{
	char more[64] = "";

	if (o->count > 1)
		snprintf(more, sizeof(more), ", and %zu more: %" PRIu64 " KiB in all",
			 o->count - 1, o->bytes >> 10);
	if (o->why)
		return cpimg_fail(p->err, CPIMG_ERR_LEFT,
			"%.250s: restoring: 0x%" PRIx64 " to 0x%" PRIx64 " is not in the image, it was left out: %s%s",
			cpimg_path(p->img), o->start, o->end, o->why, more);
	if (o->kind == LEFT_OUTSIDE)
		return cpimg_fail(p->err, CPIMG_ERR_LEFT,
			"%.250s: restoring: 0x%" PRIx64 " to 0x%" PRIx64 " is between the ranges that the image has%s",
			cpimg_path(p->img), o->start, o->end, more);
	return cpimg_fail(p->err, CPIMG_ERR_LEFT,
		"%.250s: restoring: at 0x%" PRIx64 " to 0x%" PRIx64 " nothing was mapped then%s%s",
		cpimg_path(p->img), o->start, o->end, more,
		o->nothing ? " (did the program have its state at another address?)" : "");
}

/*
 * Ask of what is left as it is, and say no to the rest. Only the image that was
 * asked for has such: where an older one has, the chain contradicts itself.
 */
int cpimg_plan_check_left(struct plan *p)
{
	size_t count, i = cpimg_index_after(p->img, p->start);
	const struct cpimg_run *run = cpimg_runs(p->img, &count);
	struct objections o = { .nothing = i == count || run[i].start >= p->end };
	uint64_t at, end;

	for (at = p->start; at < p->end; at = end) {
		end = p->end;
		if (!cpimg_looked_at(p->img, at, &end)) {
			if (tell_outside(p, &o, at, end))
				return -1;
			continue;
		}
		if (i == count || run[i].start > at) {
			end = lower(end, i < count ? run[i].start : end);
			if (tell_unmapped(p, &o, at, end))
				return -1;
			continue;
		}
		end = lower(end, run[i].end);
		if (run[i++].cls == CPIMG_SKIPPED && tell_skipped(p, &o, &run[i - 1]))
			return -1;
	}
	/* Nothing then and nothing now: whatever was meant, it was hardly that. */
	if (o.nothing && !o.count && !p->done->unmapped && !p->done->outside) {
		struct cpimg_piece all = {
			.start = p->start, .end = p->end, .cls = CPIMG_NONE,
		};
		int may = cpimg_plan_may_leave(p, &all, CP_RESTORE_UNMAPPED);

		if (may < 0)
			return -1;
		if (!may)
			object(&o, &all, LEFT_UNMAPPED);
	}
	return o.count ? refuse_left(p, &o) : 0;
}
