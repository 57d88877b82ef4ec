// SPDX-License-Identifier: GPL-2.0
/*
 * take_memory PID START LENGTH: take memory until that part of process PID is
 * swapped out. Status 0 if it is, 1 if all that there is was not enough; ended by
 * SIGALRM if it takes too long, as it does on a busy host with two processors.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE	4096UL
#define STEP	(2UL << 20)

static int pagemap;

static int in_memory(uint64_t start, uint64_t len)
{
	uint64_t entry, n = 0;

	for (uint64_t page = start / PAGE; page < (start + len) / PAGE; page++)
		if (pread(pagemap, &entry, 8, page * 8) == 8)
			n += entry >> 63;
	return n;
}

/* KiB, of /proc/meminfo */
static unsigned long meminfo(const char *field)
{
	unsigned long n, found = 0;
	char line[128], name[64];
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63[^:]: %lu", name, &n) == 2 &&
		    !strcmp(name, field))
			found = n;
	if (f)
		fclose(f);
	return found;
}

int main(int argc, char **argv)
{
	uint64_t start, len, most;
	char path[64];

	if (argc != 4)
		return 2;
	alarm(20);
	snprintf(path, sizeof(path), "/proc/%s/pagemap", argv[1]);
	pagemap = open(path, O_RDONLY);
	start = strtoull(argv[2], NULL, 0);
	len = strtoull(argv[3], NULL, 0);
	if (pagemap < 0)
		return 2;

	most = (meminfo("MemFree") + meminfo("Cached") +
		meminfo("SwapFree") * 3 / 4) << 10;
	for (uint64_t took = 0; took < most; took += STEP) {
		/* With a gap: reclaim locks a mapping for each page it looks at. */
		char *mem = mmap(NULL, STEP + PAGE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (mem == MAP_FAILED)
			break;
		munmap(mem + STEP, PAGE);
		memset(mem, 1, STEP);
		if (!in_memory(start, len))
			return 0;
	}
	return 1;
}
