// SPDX-License-Identifier: GPL-2.0
/*
 * Names that a distribution's libelf.a and libz.a take from glibc's headers and
 * that musl does not have. Weak: where the libc has one, that is as good.
 */
#include <stdlib.h>

__attribute__((weak))
long __isoc23_strtol(const char *s, char **end, int base)
{
	return strtol(s, end, base);
}

__attribute__((weak))
unsigned long __isoc23_strtoul(const char *s, char **end, int base)
{
	return strtoul(s, end, base);
}
