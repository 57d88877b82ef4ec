/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * cp_range(), inc_cp_range() - a program saves its own memory
 *
 * All that a program needs to call them: no library, C and C++.
 */
#ifndef CP_RANGE_H
#define CP_RANGE_H

#include <sys/syscall.h>
#include <unistd.h>

#include <linux/cp_range.h>

/* The same numbers for every ABI and every kernel that has the calls. */
#ifndef __NR_cp_range
#define __NR_cp_range		600
#endif
#ifndef __NR_inc_cp_range
#define __NR_inc_cp_range	601
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* syscall() is hidden by unistd.h when a program asks for strict ISO C. */
#if !defined(_GNU_SOURCE) && !defined(_DEFAULT_SOURCE) && !defined(_BSD_SOURCE)
long syscall(long number, ...);
#endif

/**
 * cp_range() - save the caller's memory from @start up to @end
 * @start: the first byte; its page is saved whole
 * @end: the byte after the last; the page of the last is saved whole
 *
 * (0, ~0UL) is the whole address space. The image is /tmp/<tid>-cp<n>.
 *
 * Return: 0, or -1 with errno set.
 */
static inline long cp_range(void *start, void *end)
{
	return syscall(__NR_cp_range, start, end);
}

/**
 * inc_cp_range() - save what changed since the last image
 * @start: the first byte
 * @end: the byte after the last
 *
 * The first call, and every call that has no chain to go on with, saves all.
 *
 * Return: 0, or -1 with errno set.
 */
static inline long inc_cp_range(void *start, void *end)
{
	return syscall(__NR_inc_cp_range, start, end);
}

#ifdef __cplusplus
}
#endif

#endif /* CP_RANGE_H */
