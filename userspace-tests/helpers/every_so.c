// SPDX-License-Identifier: GPL-2.0
/*
 * LD_PRELOAD=every_so CP_EVERY=N: a program that knows nothing of us saves all of
 * its memory at every N-th call of malloc().
 */
#include <stdlib.h>

#include <cp_range.h>

void *__libc_malloc(size_t size);

static unsigned long calls, every;

__attribute__((constructor))
static void begin(void)
{
	const char *n = getenv("CP_EVERY");

	every = n ? strtoul(n, NULL, 10) : 0;
}

void *malloc(size_t size)
{
	if (every && !(__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) % every))
		inc_cp_range(NULL, (void *)~0UL);
	return __libc_malloc(size);
}
