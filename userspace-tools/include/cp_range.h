/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * cp_range(), inc_cp_range(), cp_checkpoint() - a program's memory is saved
 *
 * All that a program needs to call them: no library, C and C++.
 */
#ifndef CP_RANGE_H
#define CP_RANGE_H

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/cp_range.h>

/* The same numbers for every ABI and every kernel that has the calls. */
#ifndef __NR_cp_range
#define __NR_cp_range		600
#endif
#ifndef __NR_inc_cp_range
#define __NR_inc_cp_range	601
#endif
#ifndef __NR_cp_checkpoint
#define __NR_cp_checkpoint	602
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Hidden in the same way; the numbers are the kernel's for good. */
#ifndef AT_FDCWD
#define AT_FDCWD		(-100)
#endif
#ifndef O_CLOEXEC
#define O_CLOEXEC		02000000
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

/**
 * cp_checkpoint() - save memory, with more to be asked for
 * @args: what is asked for; what is not asked for is 0
 * @size: sizeof(*args): a kernel may know less of it, or more
 *
 * As cp_range() or inc_cp_range(), of several ranges, into any folder, of one moment of
 * all threads, or of another process. Set @args->pidfd to -1 for the caller, and
 * @args->dirfd to AT_FDCWD or CP_DIR_TMP: 0 is a descriptor. With @args->result, a
 * pointer as a number, and @args->result_size the kernel says what came of it: the name
 * of the image, and whether it is of one moment, above all.
 *
 * Return: 0, or -1 with errno set.
 */
static inline long cp_checkpoint(struct cp_args *args, size_t size)
{
	return syscall(__NR_cp_checkpoint, args, size);
}

/* Folder of the images of the first two, and room for the name of one with its folder */
#define CP_RANGE_FOLDER		"/tmp"
#define CP_RANGE_NAME_SIZE	64

/**
 * cp_image_name() - the name of an image, with its folder
 * @name: room for CP_RANGE_NAME_SIZE bytes
 * @tid: thread id of who makes it; of a process with one thread, its process id
 * @n: its number: 0 for the first of that thread, one more with each success
 *
 * Safe to be called in a signal handler.
 *
 * Return: @name.
 */
static inline char *cp_image_name(char *name, unsigned int tid, unsigned long n)
{
	static const char middle[] = "pc-";	/* backwards */
	char *at = name + CP_RANGE_NAME_SIZE, *to = name;
	const char *from;

	/* From behind: no snprintf(), which a signal handler may not call. */
	*--at = 0;
	do
		*--at = (char)('0' + n % 10);
	while (n /= 10);
	for (from = middle; *from; from++)
		*--at = *from;
	do
		*--at = (char)('0' + tid % 10);
	while (tid /= 10);
	for (from = CP_RANGE_FOLDER "/"; *from; from++)
		*to++ = *from;
	while ((*to++ = *at++))
		;
	return name;
}

/* In the memory of the machine, and gone with its power: tmpfs, ramfs. */
static inline int cp_in_memory(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && ((unsigned int)fs.f_type == 0x01021994U ||
				     (unsigned int)fs.f_type == 0x858458f6U);
}

/* fsync() of what has that name; 0, or -1 with errno set. */
static inline int cp_sync_path(const char *path)
{
	/* The system calls: strict ISO C hides some of the functions. */
	long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	long ret;
	int saved;

	if (fd < 0)
		return -1;
	ret = syscall(SYS_fsync, fd);
	/* There fsync() succeeds, and has done nothing. */
	if (!ret && cp_in_memory((int)fd)) {
		errno = EOPNOTSUPP;
		ret = -1;
	}
	saved = errno;
	syscall(SYS_close, fd);
	errno = saved;
	return (int)ret;
}

/**
 * cp_sync() - make an image safe against power loss
 * @tid: as for cp_image_name()
 * @n: the number of the image
 *
 * The death of the program does no harm to an image; for that of the machine file
 * and folder have to be synced. An image needs its parents: sync each one. Returns
 * when all is on the disk, which can take long.
 *
 * Return: 0, or -1 with errno set, as by open(2) and fsync(2); EOPNOTSUPP where the
 * folder is in memory (tmpfs, as /tmp of Debian 13) and nothing can be made safe.
 */
static inline int cp_sync(unsigned int tid, unsigned long n)
{
	char name[CP_RANGE_NAME_SIZE];

	if (cp_sync_path(cp_image_name(name, tid, n)))
		return -1;
	return cp_sync_path(CP_RANGE_FOLDER);
}

#ifdef __cplusplus
}
#endif

#endif /* CP_RANGE_H */
