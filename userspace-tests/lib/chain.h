/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of incremental checkpoints share. As in cp_test.h, the checks
 * return NULL or a line that says what they saw.
 */
#ifndef CHAIN_H
#define CHAIN_H

#include "cp_test.h"

/**
 * struct chain - the checkpoints of the calling thread
 * @tid: the thread
 * @n: its counter
 * @all: the newest image and its parents, or NULL
 * @img: the newest image
 */
struct chain {
	int			tid;
	unsigned long		n;
	struct cpimg_chain	*all;
	const struct cpimg	*img;
};

const char *chain_inc(struct chain *c, const void *start, size_t len);
const char *chain_full(struct chain *c, const void *start, size_t len);
const char *chain_open(struct chain *c, int tid, unsigned long n);
void chain_close(struct chain *c);
void chain_remove_in(const char *folder);
void chain_remove(void);

const char *chain_is(const struct chain *c, enum cp_kind kind,
		     enum cp_reason reason);
const char *chain_matches(const struct chain *c, const void *mem, size_t len);
const char *chain_has(const struct chain *c, const void *mem, const void *bytes,
		      size_t len);
const char *chain_recovers(struct chain *c, char *mem, size_t len);
const char *chain_matches_process(const struct chain *c, int pid);
size_t chain_pages(const struct chain *c, const void *mem, size_t len,
		   enum cpimg_class cls);

/* Stay on that processor. */
static inline void cp_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

#endif /* CHAIN_H */
