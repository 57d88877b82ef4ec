// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - put the caller's own memory back to what a chain says
 *
 * First a plan is made and held against what is mapped now; memory is touched
 * only when nothing speaks against it. The plan lies in mappings of its own and
 * is all that is used from then on: malloc()'s memory may be what is restored.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <sys/uio.h>
#include <unistd.h>

#include "restore.h"

static int prepare(struct plan *p)
{
	if (cpimg_plan_check_range(p) || cpimg_plan_check_in_use(p) ||
	    cpimg_plan_chain(p) ||
	    !more(p, &p->segments, MAX_SEGMENTS * sizeof(struct iovec)) ||
	    cpimg_plan_maps(p) || cpimg_plan_check_holes(p) ||
	    cpimg_plan_check_copies(p) || cpimg_plan_check_own(p) ||
	    cpimg_plan_check_sizes(p) || cpimg_plan_open_zeros(p))
		return -1;
	return cpimg_plan_check_left(p);
}

/**
 * cp_restore() - put memory back to what it was at a checkpoint
 * @chain: the chain
 * @index: the checkpoint: 0 to cpimg_chain_length() - 1
 * @start: first byte of the range
 * @end: the byte after the last
 * @done: in: what may be left as it is; out: what was done; NULL: nothing may
 * @err: what went wrong; may be NULL
 *
 * The range is restored to the byte, and nothing beside it is touched. It must be
 * mapped as it was: DATA writable, a hole that reads from a file with that file,
 * unchanged. All of that is checked before memory is touched, and so is that all of
 * the range is restored: what the image leaves out, what was not mapped then and is
 * now, what lies between its areas, and holes of other files are an error, unless @done
 * allows them.
 *
 * Nobody else should use the memory meanwhile. The range must hold neither the chain,
 * nor the stack, nor @done and @err; that it holds nothing that the C library is
 * using, nor code that runs, is for the caller to see to.
 *
 * Return: 0, or -1. Then @done->touched says whether memory is in part restored.
 */
int cp_restore(const struct cpimg_chain *chain, size_t index, void *start,
	       void *end, struct cp_restored *done, struct cpimg_error *err)
{
	struct cp_restored nobody = { 0 };
	struct plan p = {
		.chain = chain,
		.index = index,
		.start = (uintptr_t)start,
		.end = (uintptr_t)end,
		.frame = (uintptr_t)__builtin_frame_address(0),
		.zeros = -1,
		.err = err,
	};
	int ret = -1;

	if (!done)
		done = &nobody;
	*done = (struct cp_restored) {
		.flags = done->flags, .left = done->left, .arg = done->arg,
	};
	p.done = done;
	p.img = cpimg_chain_image(chain, index);
	if (!p.img)
		return cpimg_fail(err, CPIMG_ERR_CHAIN,
				  "checkpoint %zu of a chain of %zu", index,
				  cpimg_chain_length(chain));
	if (!prepare(&p))
		ret = cpimg_plan_apply(&p);
	if (p.zeros >= 0)
		close(p.zeros);
	cpimg_plan_drop(&p);
	return ret;
}
