// SPDX-License-Identifier: GPL-2.0
/* Memory to save, and which pages of it to write. */
#include <time.h>

#include "cp_test.h"
#include "needs.h"
#include "workload.h"

/**
 * now() - the clock of all measurements
 *
 * Return: nanoseconds; with QEMU's -icount these are guest instructions.
 */
double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

/* Neighbours with different advice cannot be one VMA. */
static bool cut_in_vmas(const struct arena *arena)
{
	size_t step = ARENA_VMA_PAGES * PAGE;

	for (size_t at = 0; at < arena->len; at += 2 * step)
		if (madvise(arena->mem + at, step, MADV_RANDOM))
			return false;
	return true;
}

/**
 * arena_get() - map anonymous private memory and write all of it
 * @arena: what is filled in
 * @len: bytes, a multiple of 2 MiB
 * @flags: ARENA_HUGE, ARENA_VMAS
 *
 * Return: false with errno if there is not that much, or no huge pages.
 */
bool arena_get(struct arena *arena, size_t len, unsigned int flags)
{
	char *mem = mmap(NULL, len + HUGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t head;

	if (mem == MAP_FAILED)
		return false;
	head = -(uintptr_t)mem % HUGE;
	if (head)
		munmap(mem, head);
	if (head != HUGE)
		munmap(mem + head + len, HUGE - head);
	arena->mem = mem + head;
	arena->len = len;
	/* a kernel without huge pages for everybody has none to do without */
	if ((madvise(arena->mem, len, flags & ARENA_HUGE ?
		     MADV_HUGEPAGE : MADV_NOHUGEPAGE) &&
	     (flags & ARENA_HUGE || !cp_lacks_advice("MADV_NOHUGEPAGE", MADV_NOHUGEPAGE))) ||
	    ((flags & ARENA_VMAS) && !cut_in_vmas(arena))) {
		arena_put(arena);
		return false;
	}
	memset(arena->mem, 7, len);
	return true;
}

void arena_put(struct arena *arena)
{
	munmap(arena->mem, arena->len);
}

/* Read a byte of each page, so that none counts as unused. */
void arena_read(const struct arena *arena)
{
	for (size_t i = 0; i < arena->len; i += PAGE)
		((volatile char *)arena->mem)[i];
}

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state >> 33;
}

/**
 * set_choose() - choose pages, the same ones for the same arguments
 * @set: what is filled in
 * @arena: the memory
 * @permille: so many of a thousand of its pages
 * @clustered: in aligned runs of CLUSTER pages, not one by one
 *
 * Goes through the units in order and takes each with the chance that is left
 * (Knuth, algorithm S): exactly so many, each once, in order.
 *
 * Return: false if there is no memory for it.
 */
bool set_choose(struct page_set *set, const struct arena *arena,
		unsigned int permille, bool clustered)
{
	size_t unit = clustered ? CLUSTER : 1;
	size_t left = arena->len / PAGE / unit;
	size_t want = (left * permille + 999) / 1000;
	uint64_t state = 42;

	set->nr = 0;
	set->index = malloc((want * unit + 1) * sizeof(*set->index));
	if (!set->index)
		return false;
	for (size_t first = 0; want; first += unit, left--) {
		if (next_random(&state) % left >= want)
			continue;
		for (size_t i = 0; i < unit; i++)
			set->index[set->nr++] = first + i;
		want--;
	}
	return true;
}

void set_free(struct page_set *set)
{
	free(set->index);
	set->index = NULL;
	set->nr = 0;
}

/**
 * set_write() - write one byte of each page of the set
 * @set: the pages
 * @arena: the memory they are of
 *
 * Return: nanoseconds.
 */
double set_write(const struct page_set *set, const struct arena *arena)
{
	double t = now();

	for (size_t i = 0; i < set->nr; i++)
		arena->mem[set->index[i] * PAGE + 64] += 1;
	return now() - t;
}

/* Write so many random pages, the same ones each time. Return: nanoseconds, or -1. */
double arena_write(const struct arena *arena, unsigned int permille)
{
	struct page_set set;
	double t;

	if (!set_choose(&set, arena, permille, false))
		return -1;
	t = set_write(&set, arena);
	set_free(&set);
	return t;
}
