// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - restarting: a process from its image. Its parent makes it out of a child, by
 * system calls that it lets the child do; all is checked first, and what changes the world
 * outside comes last.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__
#include "restart.h"

static int make(struct restart *r, bool *changed)
{
	if (cpimg_remote_start(r) || cpimg_restart_memory(r) || cpimg_restart_fix(r) ||
	    cpimg_restart_files(r) || cpimg_restart_actions(r) || cpimg_restart_threads(r) ||
	    cpimg_restart_timers(r) || cpimg_restart_limits(r) || cpimg_restart_rights(r) ||
	    cpimg_restart_ready(r) || cpimg_restart_keep(r))
		return -1;
	*changed = true;
	return cpimg_restart_cut(r) || cpimg_restart_go(r) ? -1 : 0;
}

static pid_t restart(struct restart *r, struct cp_restart *how)
{
	bool changed = false;
	int bad = make(r, &changed);
	pid_t pid = r->remote.pid;

	if (!bad && how) {
		how->threads = r->threads.nr;
		how->cut = r->nr_cuts;
		how->data = r->data;
	}
	cpimg_restart_keep_end(r, bad && !changed);
	cpimg_remote_end(r, bad);
	return bad ? -1 : pid;
}
#else
#include "image.h"
#endif

/**
 * cp_restart() - a process goes on from its image
 * @chain: the chain
 * @index: the checkpoint, which was made with CP_PROCESS
 * @how: what may be, and what was done; may be NULL
 * @err: what went wrong; may be NULL
 *
 * The process has the ids that it had: no others may have them in the caller's pid
 * namespace, and to ask for them takes CAP_CHECKPOINT_RESTORE there, which process 1 of a
 * pid and user namespace of its own has. It is a child of the calling thread, and runs when
 * the call returns. Its users, groups, mounts and hosts are the caller's, and so is
 * oom_score_adj; supplementary groups are not compared. Nothing that is open or mapped in
 * the caller is in it, but for the caller's standard streams where it had a terminal, or a
 * pipe of others, as descriptor 0, 1 or 2.
 *
 * Files that were open for reading, or mapped, are to be as they were; those that were
 * open for writing are cut back to the size that they had, and what is cut off is kept as
 * NAME.cut-PID-N. After an error nothing has changed, other than after one of writing such a
 * file.
 *
 * Return: its process id, as the caller sees it, or -1.
 */
pid_t cp_restart(const struct cpimg_chain *chain, size_t index, struct cp_restart *how,
		 struct cpimg_error *err)
{
	const struct cpimg *img = cpimg_chain_image(chain, index);

	if (err)
		*err = (struct cpimg_error){ .code = CPIMG_OK };
	if (!img)
		return cpimg_fail(err, CPIMG_ERR_CHAIN, "checkpoint %zu of a chain of %zu", index,
				  cpimg_chain_length(chain));
	if (how && how->size < sizeof(*how))
		return cpimg_fail(err, CPIMG_ERR_PROCESS, "%s: restarting: how->size is %zu",
				  cpimg_path(img), how->size);
	if (how && how->flags & ~CP_RESTART_LIMITS)
		return cpimg_fail(err, CPIMG_ERR_PROCESS, "%s: restarting: how->flags is 0x%x",
				  cpimg_path(img), how->flags);
#ifdef __x86_64__
	{
		struct restart *r = calloc(1, sizeof(*r));
		pid_t pid = -1;

		if (!r)
			return cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory", cpimg_path(img));
		r->chain = chain;
		r->index = index;
		r->img = img;
		r->flags = how ? how->flags : 0;
		r->err = err;
		if (!cpimg_restart_notes(r) && !cpimg_restart_plan(r) && !cpimg_restart_check(r))
			pid = restart(r, how);
		cpimg_restart_forget(r);
		free(r);
		return pid;
	}
#else
	return cpimg_fail(err, CPIMG_ERR_PROCESS,
			  "%s: restarting: this library does it on x86-64 alone", cpimg_path(img));
#endif
}
