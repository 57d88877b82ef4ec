/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a check saw, in a line. Each file that includes this has a buffer of its own, so
 * that a check may quote what one of another file returned.
 */
#ifndef SAY_H
#define SAY_H

#include <stdarg.h>
#include <stdio.h>

static __thread char message[1024];

__attribute__((format(printf, 1, 2)))
static inline const char *say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	return message;
}

#endif /* SAY_H */
