/* SPDX-License-Identifier: GPL-2.0 */
/* What a run was told, what it has done, and what it found: all the others know this. */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stdint.h>

struct options {
	uint64_t	seed;
	unsigned long	ops;
	unsigned int	seconds;
	unsigned int	pages;		/* of the arena */
	unsigned int	writers;	/* threads that write all the time */
	unsigned int	every;		/* check every that many checkpoints */
	bool		plain;		/* only writes and reads: be exact */
	bool		ksm;
	bool		quiet;
	bool		shrink;
	const char	*only;		/* name of the only operation besides write */
	const char	*without;	/* none of these operations */
	unsigned char	*keep;		/* one byte an operation: do it */
};

struct stats {
	unsigned long	done;
	unsigned long	full;
	unsigned long	untracked;	/* of these, and no chain begins with it */
	unsigned long	incremental;
	unsigned long	failed;		/* on purpose */
	unsigned long	asked;		/* by cp_checkpoint() of its own */
	unsigned long	by_parent;
	unsigned long	moments_asked;
	unsigned long	moments;	/* that it came to */
	unsigned long	data;
	unsigned long	same;
	unsigned long	hole;
	unsigned long	skipped;
	unsigned long	again;		/* saved though not touched */
	unsigned long	compared;
	unsigned long	left;		/* to files */
	unsigned long	refused;	/* files that have changed since */
};

extern struct options opt;
extern struct stats stats;
extern unsigned long op_now;

void trace(const char *what, uint64_t a, uint64_t b, uint64_t c);
const char *last_trace(void);
void fail(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* Called by fail(), before the process ends; NULL: nothing. */
extern void (*before_failing)(void);

#endif /* LOG_H */
