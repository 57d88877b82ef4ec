// SPDX-License-Identifier: GPL-2.0
/*
 * saga long|vast: chains for pictures. long: 50 checkpoints of a program that
 * grows, sweeps over an array and discards. vast: 5 of one that has reserved
 * 100 GiB and uses little of it, and works on 64 MiB.
 */
#include "cp_test.h"

#define GIB	(1UL << 30)

static bool save(void)
{
	return inc_cp_range(NULL, (void *)~0UL) == 0;
}

static int tell_long(void)
{
	size_t pages = 2560;
	char *sweep = cp_map(pages * PAGE), *other = cp_map(256 * PAGE);

	cp_fill(sweep, pages * PAGE, 1);
	for (int k = 0; k < 50; k++) {
		char *more = cp_brk(8 * PAGE);

		cp_fill(more, 8 * PAGE, k);
		cp_fill(sweep + k * 40 * PAGE, 60 * PAGE, k);
		for (int i = 0; i < 20; i++)
			sweep[(k * 7919 + i * 104729) % pages * PAGE] = k;
		if (k == 20)
			madvise(other, 128 * PAGE, MADV_DONTNEED);
		if (k == 10)
			cp_fill(other, 256 * PAGE, k);
		if (k == 30)
			mlock(sweep, 200 * PAGE);
		if (k == 40)
			munlock(sweep, 200 * PAGE);
		if (!save())
			return 1;
	}
	return 0;
}

static int tell_vast(void)
{
	char *all = mmap(NULL, 100 * GIB, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	char *work = cp_map(64 << 20);

	if (all == MAP_FAILED)
		return 1;
	cp_fill(work, 8 << 20, 1);
	for (int k = 0; k < 5; k++) {
		cp_fill(work + k * (2 << 20), 1 << 20, k);
		for (int i = 0; i < 200; i++)
			cp_fill(all + (i * 37 + k * 5) % 100 * GIB + i * 16 * PAGE,
				PAGE, i);
		cp_fill(all + k * 10 * GIB, 512 * PAGE, k);
		if (!save())
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "long"))
		return tell_long();
	if (argc == 2 && !strcmp(argv[1], "vast"))
		return tell_vast();
	return 2;
}
