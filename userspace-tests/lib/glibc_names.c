// SPDX-License-Identifier: GPL-2.0
/*
 * Names that a distribution's libelf.a and libz.a take from glibc's headers and
 * that musl does not have. Weak: where the libc has one, that is as good.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#ifdef __i386__
int open64(const char *path, int flags, ...);
int fcntl64(int fd, int cmd, ...);
int ftruncate64(int fd, off_t len);
int posix_fallocate64(int fd, off_t at, off_t len);
ssize_t pread64(int fd, void *buf, size_t len, off_t at);
ssize_t pwrite64(int fd, const void *buf, size_t len, off_t at);
void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t at);
int fstat64(int fd, void *stat);
#endif

__attribute__((weak))
long __isoc23_strtol(const char *s, char **end, int base)
{
	return strtol(s, end, base);
}

__attribute__((weak))
long long __isoc23_strtoll(const char *s, char **end, int base)
{
	return strtoll(s, end, base);
}

__attribute__((weak))
unsigned long __isoc23_strtoul(const char *s, char **end, int base)
{
	return strtoul(s, end, base);
}

#ifdef __i386__
/*
 * Where an offset of glibc's has 32 bits, its other functions have names of their own.
 * musl's have 64 always, and since 1.2.4 those names no more.
 */
__attribute__((weak))
int open64(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return open(path, flags, mode);
}

__attribute__((weak))
int fcntl64(int fd, int cmd, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	return fcntl(fd, cmd, arg);
}

__attribute__((weak))
int ftruncate64(int fd, off_t len)
{
	return ftruncate(fd, len);
}

__attribute__((weak))
int posix_fallocate64(int fd, off_t at, off_t len)
{
	return posix_fallocate(fd, at, len);
}

__attribute__((weak))
ssize_t pread64(int fd, void *buf, size_t len, off_t at)
{
	return pread(fd, buf, len, at);
}

__attribute__((weak))
ssize_t pwrite64(int fd, const void *buf, size_t len, off_t at)
{
	return pwrite(fd, buf, len, at);
}

__attribute__((weak))
void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t at)
{
	return mmap(addr, len, prot, flags, fd, at);
}

/*
 * Not weak: what musl has under this name writes more than glibc's struct stat64 has
 * room for, which is the kernel's.
 */
int fstat64(int fd, void *stat)
{
	return syscall(SYS_fstat64, fd, stat);
}
#endif
