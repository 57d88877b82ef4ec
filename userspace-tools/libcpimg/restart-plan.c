// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - restarting: which bytes go where. The mappings are those of the image that
 * was asked for; at each address the newest image counts that does not say SAME.
 */
#ifdef __x86_64__
#include <stdlib.h>
#include <string.h>

#include "restart.h"

static int add_piece(struct restart *r, struct pieces *to, struct piece piece)
{
	struct piece *last = to->nr ? &to->piece[to->nr - 1] : NULL;

	if (last && last->img == piece.img && last->addr + last->len == piece.addr &&
	    (!piece.img || last->offset + last->len == piece.offset)) {
		last->len += piece.len;
		return 0;
	}
	if (to->nr == to->space) {
		size_t space = to->space ? 2 * to->space : 1024;
		struct piece *more = realloc(to->piece, space * sizeof(*more));

		if (!more)
			return restart_fail(r, CPIMG_ERR_SYS, "no memory for %zu pieces", space);
		to->piece = more;
		to->space = space;
	}
	to->piece[to->nr++] = piece;
	return 0;
}

/* The hole is of an image of the chain: its file is to be the one that is mapped there. */
static int check_hole(struct restart *r, const struct cp_vma *v, struct cpimg_piece *p)
{
	struct cpimg_mapped then, now;

	if (v->kind != CP_VMA_FILE || v->flags & CP_VMA_SHARED)
		return v->kind == CP_VMA_FILE && !(v->flags & CP_VMA_MAYWRITE) ? 0 :
		       restart_fail(r, CPIMG_ERR_CHAIN,
				    "0x%" PRIx64 " reads from a file, and is no mapping of one",
				    p->start);
	cpimg_mapped_file(r->img, v->start, &now);
	if (!cpimg_mapped_file(p->img, p->start, &then) ||
	    !(then.file.flags & CP_FILE_STAYS))
		return restart_fail(r, CPIMG_ERR_FILE,
			"0x%" PRIx64 " reads from a file, and %.200s does not say which",
			p->start, cpimg_path(p->img));
	p->end = lower(p->end, then.end);
	if (then.offset + (p->start - then.start) != now.offset + (p->start - now.start) ||
	    strcmp(then.name, now.name) || then.file.size != now.file.size ||
	    then.file.mtime_sec != now.file.mtime_sec ||
	    then.file.mtime_nsec != now.file.mtime_nsec)
		return restart_fail(r, CPIMG_ERR_FILE,
			"0x%" PRIx64 " reads from %.150s as it was in %.150s, and later it was another one",
			p->start, then.name, cpimg_path(p->img));
	return 0;
}

/* What the image leaves out may be nothing that the program could have read. */
static bool may_be_left_out(const struct cp_vma *v, const struct cpimg_piece *p)
{
	if (p->reason == CP_SKIP_NOREAD)
		return !(v->flags & CP_VMA_READ);
	return p->reason == CP_SKIP_FAULT && v->kind == CP_VMA_FILE;
}

static int plan_piece(struct restart *r, size_t i, struct cpimg_piece *p)
{
	const struct cp_vma *v = &VMAS(r)[i];
	bool through = v->kind == CP_VMA_FILE && v->flags & CP_VMA_SHARED;
	struct piece piece = { .addr = p->start, .len = p->end - p->start };

	switch (p->cls) {
	case CPIMG_DATA:
		piece.img = p->img;
		piece.offset = p->offset;
		break;
	case CPIMG_HOLE:
		if (p->reason == CP_HOLE_FILE)
			return check_hole(r, v, p);
		/* What was mapped anew has zeros. */
		if (v->kind != CP_VMA_FILE)
			return 0;
		break;
	case CPIMG_SKIPPED:
		if (may_be_left_out(v, p))
			return 0;
		return restart_fail(r, CPIMG_ERR_PROCESS, "the image leaves out 0x%" PRIx64 ": %s",
				    p->start, cpimg_skip_name(p->reason));
	default:
		return restart_fail(r, CPIMG_ERR_FORMAT,
			"0x%" PRIx64 " was mapped, and the image has nothing of it", p->start);
	}
	/* By that mapping it could not be written: the file is as it was, or refused. */
	if (through && !(v->flags & CP_VMA_MAYWRITE))
		return 0;
	if (!through)
		r->filled[i] = true;
	return add_piece(r, through ? &r->writes : &r->reads, piece);
}

static int by_file(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	if (x->img != y->img)
		return (uintptr_t)x->img < (uintptr_t)y->img ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* All that is to be read, by the images that have it, as it lies in them. */
int cpimg_restart_plan(struct restart *r)
{
	struct cpimg_piece p;

	r->filled = calloc(r->vmas.nr, sizeof(*r->filled));
	if (!r->filled)
		return restart_fail(r, CPIMG_ERR_SYS, "no memory");
	for (size_t i = 0; i < r->vmas.nr; i++) {
		const struct cp_vma *v = &VMAS(r)[i];

		if (v->kind == CP_VMA_VDSO || v->kind == CP_VMA_VVAR)
			continue;
		for (uint64_t at = v->start; at < v->end; at = p.end) {
			if (cpimg_chain_resolve(r->chain, r->index, at, &p, r->err))
				return -1;
			p.end = lower(p.end, v->end);
			if (plan_piece(r, i, &p))
				return -1;
		}
	}
	if (r->reads.nr)
		qsort(r->reads.piece, r->reads.nr, sizeof(*r->reads.piece), by_file);
	return 0;
}
#endif /* __x86_64__ */
