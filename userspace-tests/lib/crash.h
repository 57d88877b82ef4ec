/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What helpers/sync_loop.c does, so that the host can tell from a disk that lost its
 * machine whether it is right: trust/crash.t.
 */
#ifndef CRASH_H
#define CRASH_H

#include <stdbool.h>
#include <stdint.h>

#include "far.h"

#define CRASH_MEM	CP_FAR(0x10)
#define CRASH_PAGES	256U			/* 1 MiB */
#define CRASH_WORDS	(4096U / 8)
#define CRASH_CHAIN	16U			/* images, the first of them full */

#define CRASH_MAGIC	"cp_range: done:"	/* 16 bytes with its end */

/**
 * struct crash_mark - what the program knows, written past the page cache
 * @magic: CRASH_MAGIC; QEMU's log of writes is searched for it
 * @pid: whose images
 * @first: older ones may be removed
 * @synced: cp_sync() has returned for all from @first up to, not with, this one
 * @saved: inc_cp_range() has returned for all up to, not with, this one
 */
struct crash_mark {
	char		magic[16];
	uint64_t	pid;
	uint64_t	first;
	uint64_t	synced;
	uint64_t	saved;
};

/* Was the page written just before image @n? About one of eight. */
static inline bool crash_changes(uint64_t page, uint64_t n)
{
	return !n || ((page << 32 | n) * 0x9e3779b97f4a7c15ULL >> 40) % 8 == 0;
}

/* The words of the page from then on: each its own, none 0. */
static inline uint64_t crash_word(uint64_t page, uint64_t n, unsigned int word)
{
	return ((page + 1) << 40 | n << 20 | (word + 1)) * 0x9e3779b97f4a7c15ULL;
}

#endif /* CRASH_H */
