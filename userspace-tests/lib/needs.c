// SPDX-License-Identifier: GPL-2.0
/* See needs.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "needs.h"

static const char *lack(const char *name, int error)
{
	static char why[128];

	snprintf(why, sizeof(why), "this kernel has no %s: %s", name, strerror(error));
	return why;
}

/**
 * cp_lacks_call - does the kernel lack a system call?
 * @name: what a person calls it
 * @number: its number; it is called with arguments that are wrong for any call
 *
 * Return: NULL if it is there, else that it is not, in a buffer that the next call
 * of these functions writes to.
 */
const char *cp_lacks_call(const char *name, long number)
{
	if (syscall(number, -1L, -1L, -1L, -1L, -1L, -1L) == -1 && errno == ENOSYS)
		return lack(name, errno);
	return NULL;
}

/**
 * cp_lacks_advice - does the kernel lack an advice of madvise()?
 * @name: what a person calls it
 * @advice: the advice; it is given for a page of anonymous memory
 *
 * Return: as cp_lacks_call().
 */
const char *cp_lacks_advice(const char *name, int advice)
{
	size_t page = sysconf(_SC_PAGESIZE);
	const char *why = NULL;
	void *mem = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);

	if (mem == MAP_FAILED)
		return lack("page of memory", errno);
	if (madvise(mem, page, advice) && errno == EINVAL)
		why = lack(name, errno);
	munmap(mem, page);
	return why;
}
