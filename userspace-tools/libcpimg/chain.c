// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - chains: what the images that one image needs say together
 */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "chain.h"

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
	for (size_t i = 0; i < chain->nr_folders; i++) {
		close(chain->folder[i]);
		free(chain->folder_name[i]);
	}
	pthread_mutex_destroy(&chain->cache.lock);
	free(chain->img);
	free(chain);
}

/* The memory that the open chain itself lies in. Return: true if @fn has. */
bool cpimg_chain_memory(const struct cpimg_chain *chain, cpimg_memory_fn *fn,
			const void *arg)
{
	if (fn(chain, sizeof(*chain), arg) ||
	    fn(chain->img, chain->space * sizeof(*chain->img), arg))
		return true;
	for (size_t i = 0; i < chain->length; i++) {
		if (cpimg_memory(chain->img[i], fn, arg))
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

		if (!cpimg_looked_at(img, addr, &p->end))
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
		.end	= UINT64_MAX,
		.cls	= CPIMG_NONE,
	};
	runs = cpimg_runs(img, &count);
	i = cpimg_index_after(img, addr);
	if (!cpimg_looked_at(img, addr, &piece->end) || i == count)
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
				"%s: the image has no bytes at 0x%" PRIx64 ": %s",
				cpimg_path(chain->img[index]), addr,
				cpimg_covers(chain->img[index], addr) ?
				"not mapped" : "outside its range");
		n = lower(p.end - addr, len);
		if (cpimg_read_run(p.img, p.run, addr, to, n, err))
			return -1;
		to += n;
		addr += n;
		len -= n;
	}
	return 0;
}
