/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the measurements share: memory to save, which pages of it to write, and the
 * clock. A set of pages depends on nothing but its arguments, so that all schemes
 * and all kernels get the same.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIB		(1UL << 20)
#define GIB		(1UL << 30)
/* What most is measured of; of 32 bits, what such a kernel without PAE has room for. */
#define MUCH		(sizeof(void *) == 8 ? GIB : GIB / 4)

/**
 * struct arena - the memory that is saved
 * @mem: its start, aligned to a huge page
 * @len: bytes
 */
struct arena {
	char	*mem;
	size_t	len;
};

/**
 * struct page_set - some pages of an arena
 * @index: their numbers, ascending, each once
 * @nr: how many
 */
struct page_set {
	uint32_t	*index;
	size_t		nr;
};

#define ARENA_HUGE	(1 << 0)	/* huge pages, all of them */
#define ARENA_VMAS	(1 << 1)	/* a VMA each 16 pages */

#define ARENA_VMA_PAGES	16

/* Clustered pages lie together in runs of so many. */
#define CLUSTER		64

double now(void);
bool arena_get(struct arena *arena, size_t len, unsigned int flags);
void arena_put(struct arena *arena);
void arena_read(const struct arena *arena);
double arena_write(const struct arena *arena, unsigned int permille);
bool set_choose(struct page_set *set, const struct arena *arena,
		unsigned int permille, bool clustered);
void set_free(struct page_set *set);
double set_write(const struct page_set *set, const struct arena *arena);

#endif /* WORKLOAD_H */
