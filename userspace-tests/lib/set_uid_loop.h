/* SPDX-License-Identifier: GPL-2.0 */
/* What helpers/set_uid_loop.c has in memory, and nobody else. */
#ifndef SET_UID_LOOP_H
#define SET_UID_LOOP_H

#include <stdint.h>

/* The words of its page: computed, so that no program has them in its file. */
static inline uint64_t set_uid_secret(unsigned int i)
{
	return (i + 0x5ec2e7ULL) * 0x9e3779b97f4a7c15ULL ^ 0x1234567890abcdefULL;
}

#endif /* SET_UID_LOOP_H */
