// SPDX-License-Identifier: GPL-2.0
/* A program with mappings of many kinds saves them all, and stands still. */
#include "cp_test.h"

/* Side by side, so that only a rule keeps a run from crossing over. */
static void neighbours(char *mem)
{
	static const int prots[] = {
		PROT_READ | PROT_WRITE, PROT_READ, PROT_READ | PROT_EXEC,
		PROT_NONE, PROT_READ | PROT_WRITE | PROT_EXEC, PROT_WRITE,
		PROT_READ | PROT_WRITE, PROT_EXEC,
	};

	for (size_t i = 0; i < sizeof(prots) / sizeof(prots[0]); i++, mem += 4 * PAGE) {
		cp_fill(mem, 3 * PAGE, i);
		mprotect(mem, 4 * PAGE, prots[i]);
	}
}

/* Neighbours with the same protection, but not the same mapping. */
static void look_alikes(char *mem)
{
	int fd;

	cp_fill(mem, 16 * PAGE, 20);
	mlock(mem + 4 * PAGE, 4 * PAGE);
	madvise(mem + 8 * PAGE, 4 * PAGE, MADV_DONTFORK);
	mmap(mem + 12 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE,
	     MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	cp_fill(mem + 12 * PAGE, 4 * PAGE, 21);
	fd = open("/proc/self/exe", O_RDONLY);
	mmap(mem + 16 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_FIXED, fd, 0);
	cp_fill(mem + 17 * PAGE, PAGE, 22);
	mmap(mem + 20 * PAGE, 4 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
	/* Discontiguous in the file: two mappings. */
	mmap(mem + 24 * PAGE, 4 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
	     8 * PAGE);
	close(fd);
}

int main(void)
{
	char *mem = cp_map(32 * PAGE), *grows;

	neighbours(mem);
	look_alikes(cp_map(32 * PAGE));
	cp_memfd("zoo", 8 * PAGE, 30, &(int){ 0 });
	grows = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
	cp_fill(grows + 4 * PAGE, 4 * PAGE, 31);
	cp_fill(cp_brk(5 * PAGE), 4 * PAGE, 32);
	cp_stand_still(NULL, (void *)~0UL);
}
