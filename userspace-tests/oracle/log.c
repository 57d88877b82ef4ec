// SPDX-License-Identifier: GPL-2.0
/* What a run was told, and the last of what it did, for whoever reads of a failure. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "log.h"

#define TRACE	64		/* operations remembered */

struct options opt = {
	.seed = 1, .ops = 10000, .pages = 4096, .every = 1, .shrink = true,
};
struct stats stats;
unsigned long op_now;

static struct {
	unsigned long	op;
	const char	*what;
	uint64_t	a, b, c;
} traces[TRACE];
static unsigned long nr_traces;
void (*before_failing)(void);

void trace(const char *what, uint64_t a, uint64_t b, uint64_t c)
{
	unsigned int i = nr_traces++ % TRACE;

	traces[i].op = op_now;
	traces[i].what = what;
	traces[i].a = a;
	traces[i].b = b;
	traces[i].c = c;
}

const char *last_trace(void)
{
	return nr_traces ? traces[(nr_traces - 1) % TRACE].what : "nothing";
}

static void print_traces(void)
{
	unsigned long i = nr_traces > TRACE ? nr_traces - TRACE : 0;

	for (; i < nr_traces; i++)
		printf("#   %lu %s 0x%" PRIx64 " 0x%" PRIx64 " 0x%" PRIx64 "\n",
		       traces[i % TRACE].op, traces[i % TRACE].what,
		       traces[i % TRACE].a, traces[i % TRACE].b,
		       traces[i % TRACE].c);
}

void fail(const char *fmt, ...)
{
	va_list ap;

	if (!opt.quiet) {
		printf("# seed %" PRIu64 ", operation %lu: ", opt.seed, op_now);
		va_start(ap, fmt);
		vprintf(fmt, ap);
		va_end(ap);
		printf("\n# the last operations (number, what, numbers in hex):\n");
		print_traces();
		fflush(stdout);
	}
	if (before_failing)
		before_failing();
	_exit(1);
}
