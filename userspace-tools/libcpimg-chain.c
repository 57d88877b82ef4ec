// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - chains: the images that one image needs, and what they say together
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcpimg.h"

struct cpimg_chain {
	struct cpimg	**img;		/* the full one first */
	size_t		length;
	size_t		space;
};

static int append(struct cpimg_chain *chain, struct cpimg *img,
		  struct cpimg_error *err)
{
	struct cpimg **more;

	if (chain->length == chain->space) {
		chain->space = chain->space ? 2 * chain->space : 16;
		more = realloc(chain->img, chain->space * sizeof(*more));
		if (!more)
			return cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory",
					  cpimg_path(img));
		chain->img = more;
	}
	chain->img[chain->length++] = img;
	return 0;
}

/* Where the parent of @img should lie, for free(). */
static char *parent_path(const struct cpimg *img, const char *dir)
{
	const char *path = cpimg_path(img), *slash = strrchr(path, '/');
	char *out;
	int n;

	if (dir)
		n = asprintf(&out, "%s/%s", dir, cpimg_note(img)->parent);
	else
		n = asprintf(&out, "%.*s%s", slash ? (int)(slash - path + 1) : 0,
			     path, cpimg_note(img)->parent);
	return n < 0 ? NULL : out;
}

/* @parent is what @child, the last of @chain so far, was made against. */
static int check_parent(const struct cpimg_chain *chain,
			const struct cpimg *child, const struct cpimg *parent,
			struct cpimg_error *err)
{
	const struct cp_note *c = cpimg_note(child), *p = cpimg_note(parent);

	if (memcmp(c->parent_id, p->id, sizeof(p->id)))
		return cpimg_fail(err, CPIMG_ERR_CHAIN,
			"%s: its id is not the parent_id of %s: another image of that name",
			cpimg_path(parent), cpimg_path(child));
	if (c->page_size != p->page_size)
		return cpimg_fail(err, CPIMG_ERR_CHAIN,
			"%s: note.page_size is %" PRIu64 ": that of %s is %" PRIu64,
			cpimg_path(parent), (uint64_t)p->page_size,
			cpimg_path(child), (uint64_t)c->page_size);
	if (cpimg_bits(child) != cpimg_bits(parent))
		return cpimg_fail(err, CPIMG_ERR_CHAIN,
			"%s: %d bits: %s has %d", cpimg_path(parent),
			cpimg_bits(parent), cpimg_path(child), cpimg_bits(child));
	for (size_t i = 0; i < chain->length; i++) {
		if (!memcmp(cpimg_note(chain->img[i])->id, p->id, sizeof(p->id)))
			return cpimg_fail(err, CPIMG_ERR_CHAIN,
				"%s: is its own ancestor, by way of %s",
				cpimg_path(parent), cpimg_path(child));
	}
	return 0;
}

static struct cpimg *open_parent(const struct cpimg_chain *chain,
				 const struct cpimg *child, const char *dir,
				 int flags, struct cpimg_error *err)
{
	char *path = parent_path(child, dir);
	struct cpimg *parent;

	if (!path) {
		cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory", cpimg_path(child));
		return NULL;
	}
	parent = cpimg_open(path, flags, err);
	free(path);
	if (!parent) {
		char why[300];

		/* Which file is bad is known; say who needs it, too. */
		if (err) {
			snprintf(why, sizeof(why), "%.299s", err->text);
			cpimg_fail(err, err->code, "%s (the parent of %.150s)",
				   why, cpimg_path(child));
		}
		return NULL;
	}
	if (check_parent(chain, child, parent, err)) {
		cpimg_close(parent);
		return NULL;
	}
	return parent;
}

/**
 * cpimg_chain_open() - open an image and all that it needs
 * @path: the newest image
 * @dir: the folder of the others; NULL: the one @path is in
 * @flags: as for cpimg_open()
 * @err: what went wrong; may be NULL
 *
 * Return: the chain, for cpimg_chain_close(), or NULL.
 */
struct cpimg_chain *cpimg_chain_open(const char *path, const char *dir,
				     int flags, struct cpimg_error *err)
{
	struct cpimg_chain *chain = calloc(1, sizeof(*chain));
	struct cpimg *img = cpimg_open(path, flags, err);

	if (!chain && img)
		cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory", path);
	if (!chain || !img)
		goto fail;
	for (;;) {
		if (append(chain, img, err))
			goto fail;
		if (cpimg_note(img)->kind == CP_KIND_FULL)
			break;
		img = open_parent(chain, img, dir, flags, err);
		if (!img)
			goto fail;
	}

	/* Found newest first, kept oldest first. */
	for (size_t i = 0, j = chain->length - 1; i < j; i++, j--) {
		img = chain->img[i];
		chain->img[i] = chain->img[j];
		chain->img[j] = img;
	}
	return chain;

fail:
	/* The last one is either in the chain or only here. */
	if (img && (!chain || !chain->length || chain->img[chain->length - 1] != img))
		cpimg_close(img);
	cpimg_chain_close(chain);
	return NULL;
}

/**
 * cpimg_chain_close() - let go of a chain and its images
 * @chain: the chain, or NULL
 */
void cpimg_chain_close(struct cpimg_chain *chain)
{
	if (!chain)
		return;
	for (size_t i = 0; i < chain->length; i++)
		cpimg_close(chain->img[i]);
	free(chain->img);
	free(chain);
}

/* Something of the open chain itself lies in [@start, @end) */
bool cpimg_chain_overlaps(const struct cpimg_chain *chain, uint64_t start,
			  uint64_t end)
{
	uintptr_t at = (uintptr_t)chain, list = (uintptr_t)chain->img;

	if ((at < end && start < at + sizeof(*chain)) ||
	    (list < end && start < list + chain->space * sizeof(*chain->img)))
		return true;
	for (size_t i = 0; i < chain->length; i++) {
		if (cpimg_overlaps(chain->img[i], start, end))
			return true;
	}
	return false;
}

/** cpimg_chain_length() - number of images, at least 1 */
size_t cpimg_chain_length(const struct cpimg_chain *chain)
{
	return chain->length;
}

/** cpimg_chain_image() - image @index of the chain, 0 is the full one, or NULL */
const struct cpimg *cpimg_chain_image(const struct cpimg_chain *chain,
				      size_t index)
{
	return index < chain->length ? chain->img[index] : NULL;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* How far, from @addr, an image's range says the same: in it or out of it. */
static uint64_t range_limit(const struct cpimg *img, uint64_t addr)
{
	const struct cp_note *n = cpimg_note(img);

	if (addr < n->start)
		return n->start;
	return addr < n->end ? n->end : UINT64_MAX;
}

static void fill(struct cpimg_piece *p, const struct cpimg *img,
		 const struct cpimg_run *run)
{
	p->img = img;
	p->run = run;
	p->cls = run->cls;
	p->reason = run->reason;
	p->end = lower(p->end, run->end);
	if (run->cls == CPIMG_DATA)
		p->offset = run->offset + (p->start - run->start);
}

/* @addr is SAME in image @index: go up until an image knows better. */
static int resolve_same(const struct cpimg_chain *chain, size_t index,
			uint64_t addr, struct cpimg_piece *p,
			struct cpimg_error *err)
{
	const char *path = cpimg_path(chain->img[index]);

	while (index--) {
		const struct cpimg *img = chain->img[index];
		const struct cpimg_run *run;

		p->end = lower(p->end, range_limit(img, addr));
		if (!cpimg_covers(img, addr))
			continue;
		run = cpimg_find(img, addr);
		if (!run)
			return cpimg_fail(err, CPIMG_ERR_CHAIN,
				"%s: SAME at 0x%" PRIx64 ": not mapped in %s",
				path, addr, cpimg_path(img));
		if (run->cls == CPIMG_SKIPPED)
			return cpimg_fail(err, CPIMG_ERR_CHAIN,
				"%s: SAME at 0x%" PRIx64 ": skipped in %s (%s)",
				path, addr, cpimg_path(img),
				cpimg_skip_name(run->reason));
		if (run->cls != CPIMG_SAME) {
			fill(p, img, run);
			return 0;
		}
		p->end = lower(p->end, run->end);
	}
	return cpimg_fail(err, CPIMG_ERR_CHAIN,
			  "%s: SAME at 0x%" PRIx64 ": in no older image's range",
			  path, addr);
}

/**
 * cpimg_chain_resolve() - what an address was at a checkpoint
 * @chain: the chain
 * @index: the checkpoint: 0 to cpimg_chain_length() - 1
 * @addr: the address
 * @piece: the answer, and up to where it holds
 * @err: what went wrong; may be NULL
 *
 * Go through a range by asking again at @piece->end.
 *
 * Return: 0, or -1 if the chain contradicts itself here.
 */
int cpimg_chain_resolve(const struct cpimg_chain *chain, size_t index,
			uint64_t addr, struct cpimg_piece *piece,
			struct cpimg_error *err)
{
	const struct cpimg *img;
	const struct cpimg_run *runs;
	size_t i, count;

	if (index >= chain->length)
		return cpimg_fail(err, CPIMG_ERR_CHAIN,
				  "%s: checkpoint %zu of a chain of %zu",
				  cpimg_path(chain->img[chain->length - 1]),
				  index, chain->length);
	img = chain->img[index];
	*piece = (struct cpimg_piece) {
		.start	= addr,
		.end	= range_limit(img, addr),
		.cls	= CPIMG_NONE,
	};
	runs = cpimg_runs(img, &count);
	i = cpimg_index_after(img, addr);
	if (!cpimg_covers(img, addr) || i == count)
		return 0;
	if (runs[i].start > addr) {
		piece->end = lower(piece->end, runs[i].start);
		return 0;
	}
	piece->prot = runs[i].prot;
	if (runs[i].cls != CPIMG_SAME) {
		fill(piece, img, &runs[i]);
		return 0;
	}
	piece->end = lower(piece->end, runs[i].end);
	return resolve_same(chain, index, addr, piece, err);
}

/**
 * cpimg_chain_read() - bytes as they were at a checkpoint
 * @chain: the chain
 * @index: the checkpoint
 * @addr: address of the first
 * @buf: where they go
 * @len: how many
 * @err: what went wrong; may be NULL
 *
 * Return: 0, or -1 if not all are known; @buf is then undefined.
 */
int cpimg_chain_read(const struct cpimg_chain *chain, size_t index,
		     uint64_t addr, void *buf, size_t len,
		     struct cpimg_error *err)
{
	char *to = buf;

	while (len) {
		struct cpimg_piece p;
		size_t n;

		if (cpimg_chain_resolve(chain, index, addr, &p, err))
			return -1;
		if (p.cls == CPIMG_NONE)
			return cpimg_fail(err, CPIMG_ERR_NODATA,
				"%s: the image has no bytes at 0x%" PRIx64 ": not mapped, or outside its range",
				cpimg_path(chain->img[index]), addr);
		n = lower(p.end - addr, len);
		if (cpimg_read_run(p.img, p.run, addr, to, n, err))
			return -1;
		to += n;
		addr += n;
		len -= n;
	}
	return 0;
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
	for (size_t index = 1; index < chain->length; index++) {
		size_t count;
		const struct cpimg_run *run = cpimg_runs(chain->img[index], &count);

		for (; count; count--, run++) {
			struct cpimg_piece p = { .end = run->start };

			while (run->cls == CPIMG_SAME && p.end < run->end) {
				if (cpimg_chain_resolve(chain, index, p.end, &p, err))
					return -1;
			}
		}
	}
	return 0;
}
