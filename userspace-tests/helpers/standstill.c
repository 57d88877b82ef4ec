// SPDX-License-Identifier: GPL-2.0
/* The static program that saves its whole address space; see standstill.h. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cp_range.h>

#define CP_RANGE_BY_LIBC
#include "standstill.h"

int main(int argc, char **argv)
{
	unsigned long end = argc > 2 && !strcmp(argv[2], "4g") ? 0xffffffff : ~0UL;
	int by_libc = argc > 1 && !strcmp(argv[1], "libc");

	load(1);
	hold = malloc(1 << 20);
	memset(hold, 'h', 1 << 20);
	voyage(by_libc, end, 4711);
	for (;;)
		pause();
}
