// SPDX-License-Identifier: GPL-2.0
/* See needs.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
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

/**
 * cp_kernel_before - is this an older kernel? For what it cannot be asked in another way
 * @major: Linux @major.@minor, of 3 and later
 * @minor: the same
 */
bool cp_kernel_before(unsigned int major, unsigned int minor)
{
	unsigned int has_major, has_minor;
	struct utsname name;

	return !uname(&name) &&
	       sscanf(name.release, "%u.%u", &has_major, &has_minor) == 2 &&
	       (has_major < major || (has_major == major && has_minor < minor));
}

/**
 * cp_lacks_9p_tags - can it not be told which folder of the host to mount?
 *
 * Before Linux 2.6.34 the first one is mounted, and where there is none left, a mount
 * is an oops.
 *
 * Return: as cp_lacks_call().
 */
const char *cp_lacks_9p_tags(void)
{
	glob_t tags;

	if (!cp_kernel_before(3, 0))
		return NULL;
	if (glob("/sys/bus/virtio/drivers/9pnet_virtio/virtio*/mount_tag", 0, NULL, &tags))
		return "this kernel's 9p knows no tags";
	globfree(&tags);
	return NULL;
}

/**
 * cp_lacks_mem_write - can memory not be written by way of /proc/PID/mem?
 *
 * Return: as cp_lacks_call().
 */
const char *cp_lacks_mem_write(void)
{
	static char byte;
	const char *why = NULL;
	int fd = open("/proc/self/mem", O_RDWR);

	if (fd < 0)
		return lack("/proc/self/mem", errno);
	if (pwrite(fd, "", 1, (uintptr_t)&byte) != 1)
		why = lack("writing to /proc/PID/mem", errno);
	close(fd);
	return why;
}

/**
 * cp_lacks_o_path - is there no O_PATH?
 *
 * Before Linux 2.6.39 the flag is ignored. fuse_serve needs it.
 *
 * Return: as cp_lacks_call().
 */
const char *cp_lacks_o_path(void)
{
	const char *why = NULL;
	int fd = open("/", O_PATH);
	char byte;

	/* no more than a name, if so: EBADF */
	if (fd < 0 || (read(fd, &byte, 1) < 0 && errno != EBADF))
		why = lack("O_PATH", errno);
	close(fd);
	return why;
}
