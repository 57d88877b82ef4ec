// SPDX-License-Identifier: GPL-2.0
/* The same in 32 bits, whose addresses end at 4 GB; see standstill.h. */
#include "standstill.h"

int main(int argc, char **argv)
{
	(void)argv;
	load(1);
	hold = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(hold, 'h', 1 << 20);
	/* ~0UL and 0xffffffff are one here. */
	voyage(argc > 9, ~0UL, 4711);
	return 1;
}
