// SPDX-License-Identifier: GPL-2.0
/* What tests of cp_checkpoint() share. */
#include <sys/syscall.h>

#include "moment.h"

/* cp_checkpoint() of @len bytes, with @args besides; the image is opened. */
const char *chain_ask(struct chain *c, struct cp_args *args, const void *start,
		      size_t len, struct cp_result *result)
{
	struct cp_span span = { (uintptr_t)start, (uintptr_t)start + len };

	args->ranges = (uintptr_t)&span;
	args->nr_ranges = 1;
	args->result = (uintptr_t)result;
	args->result_size = sizeof(*result);
	if (cp_checkpoint(args, sizeof(*args)))
		return say("cp_checkpoint(%#llx, %p, %zu): %s",
			   (unsigned long long)args->flags, start, len, strerror(errno));
	c->tid = atoi(result->name);
	c->n = result->n + 1;
	return chain_open(c, c->tid, result->n);
}

/* An incremental checkpoint that is to be one moment. */
const char *chain_moment(struct chain *c, const void *start, size_t len,
			 struct cp_result *result)
{
	struct cp_args args = CP_ARGS_OWN;

	args.flags = CP_INCREMENTAL | CP_MOMENT;
	return chain_ask(c, &args, start, len, result);
}

/* pidfd_open(2), which the libc does not have */
int cp_pidfd(int pid)
{
	return (int)syscall(434, pid, 0);
}
