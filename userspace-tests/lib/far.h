/* SPDX-License-Identifier: GPL-2.0 */
/* Where tests put memory; for programs of the host that look for it, too. */
#ifndef FAR_H
#define FAR_H

#include <stdint.h>

/*
 * An address far from where the system maps anything of itself, and 16 MiB or more from
 * the next: CP_FAR(0x10) to CP_FAR(0x38), and CP_FAR(1), for what has to be low.
 */
#define CP_FAR(n)	((char *)((uintptr_t)(n) << (sizeof(void *) == 8 ? 40 : 24)))

#endif /* FAR_H */
