/* SPDX-License-Identifier: GPL-2.0 */
/* Threads that write while all that goes on. */
#ifndef WRITERS_H
#define WRITERS_H

#include "cpimg.h"
#include "model.h"

void writers_start(unsigned int nr);
void writers_before(void);
void writers_after(void);
void writers_check(const struct cpimg_chain *chain, uint64_t start, uint64_t end,
		   bool moment);
void writers_stop(void);
void writers_disturb(struct rng *r);
extern unsigned int writers_pages, nr_writers;

#endif /* WRITERS_H */
