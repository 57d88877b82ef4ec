/* SPDX-License-Identifier: GPL-2.0 */
/* What tests of cp_checkpoint() share: to ask, and to look at what came of it. */
#ifndef MOMENT_H
#define MOMENT_H

#include "chain.h"
#include "needs.h"
#include "say.h"

#define NEEDS_CP_CHECKPOINT()	NEEDS(cp_lacks_call("cp_checkpoint()", __NR_cp_checkpoint))

/* The caller's own, all of it, into /tmp. */
#define CP_ARGS_OWN	{ .pidfd = -1, .dirfd = CP_DIR_TMP }

const char *chain_ask(struct chain *c, struct cp_args *args, const void *start,
		      size_t len, struct cp_result *result);
const char *chain_moment(struct chain *c, const void *start, size_t len,
			 struct cp_result *result);
int cp_pidfd(int pid);
long cp_ask(struct cp_args *args, const void *start, size_t len, struct cp_result *result);
void sort_numbers(uint64_t *number, size_t count);
char *map_in_order(size_t pages);
void write_in_order(char *mem, size_t pages, uint64_t from, uint64_t to,
		    const volatile bool *stop);
const char *is_in_order(const struct chain *c, const char *mem, size_t pages);

#endif /* MOMENT_H */
