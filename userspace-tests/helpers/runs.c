// SPDX-License-Identifier: GPL-2.0
/* runs N: save N pages of which every other one is written, and stand still. */
#include "cp_test.h"

volatile int runs;

int main(int argc, char **argv)
{
	char *mem;

	runs = argc > 1 ? atoi(argv[1]) : 70001;
	mem = cp_map(runs * PAGE);
	madvise(mem, runs * PAGE, MADV_NOHUGEPAGE);
	for (int i = 0; i < runs; i += 2)
		*(volatile int *)(mem + i * PAGE) = i + 1;
	cp_stand_still(mem, mem + runs * PAGE);
}
