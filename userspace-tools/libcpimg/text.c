// SPDX-License-Identifier: GPL-2.0
/* libcpimg - what is said to people: errors, and the names of things */
#include <stdarg.h>
#include <stdio.h>

#include "internal.h"

/* Always -1, so that callers can return it. */
int cpimg_fail(struct cpimg_error *err, enum cpimg_errcode code,
	       const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -1;
	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return -1;
}

/** cpimg_class_name() - DATA, HOLE, ... */
const char *cpimg_class_name(enum cpimg_class cls)
{
	static const char *const names[] = {
		[CPIMG_DATA]	= "DATA",
		[CPIMG_HOLE]	= "HOLE",
		[CPIMG_SAME]	= "SAME",
		[CPIMG_SKIPPED]	= "SKIPPED",
		[CPIMG_NONE]	= "not mapped",
	};

	return cls && cls <= CPIMG_NONE ? names[cls] : "unknown";
}

/** cpimg_reason_name() - why an image is full or incremental */
const char *cpimg_reason_name(uint32_t reason)
{
	static const char *const names[] = {
		[CP_REASON_CP_RANGE]		= "cp_range() was called",
		[CP_REASON_FIRST]		= "the first checkpoint",
		[CP_REASON_NO_CHAIN]		= "the first of this address space",
		[CP_REASON_BROKEN]		= "the last checkpoint failed",
		[CP_REASON_OTHER_PROCESS]	= "another process began the chain",
		[CP_REASON_CHAIN]		= "what changed since the parent",
		[CP_REASON_NO_TRACKING]		= "changes cannot be tracked here",
		[CP_REASON_PARENT_GONE]		= "an image of the chain has lost its name",
		[CP_REASON_OTHER_FOLDER]	= "the chain is in another folder",
		[CP_REASON_OTHER_USER]		= "the chain is another user's",
	};

	if (reason == CPIMG_REASON_FLATTENED)
		return "flattened from a chain";
	if (reason >= sizeof(names) / sizeof(names[0]) || !names[reason])
		return "unknown reason";
	return names[reason];
}

/** cpimg_hole_name() - what a hole reads as */
const char *cpimg_hole_name(uint32_t reason)
{
	return reason == CP_HOLE_ZERO ? "zeros" :
	       reason == CP_HOLE_FILE ? "the mapped file" : "unknown";
}

/** cpimg_skip_name() - why a run was left out */
const char *cpimg_skip_name(uint32_t reason)
{
	static const char *const names[] = {
		[CP_SKIP_IO]		= "device memory",
		[CP_SKIP_PFNMAP]	= "no struct page",
		[CP_SKIP_LOCKED]	= "mlocked",
		[CP_SKIP_NOREAD]	= "not readable",
		[CP_SKIP_DONTCOPY]	= "MADV_DONTFORK",
		[CP_SKIP_DONTDUMP]	= "MADV_DONTDUMP",
		[CP_SKIP_SECRET]	= "memfd_secret",
		[CP_SKIP_POISON]	= "poisoned",
		[CP_SKIP_RESERVED]	= "reserved page",
		[CP_SKIP_OFFLINE]	= "offline page",
		[CP_SKIP_SPECIAL]	= "special entry",
		[CP_SKIP_FAULT]		= "cannot be read",
	};

	if (reason >= sizeof(names) / sizeof(names[0]) || !names[reason])
		return "unknown reason";
	return names[reason];
}

/** cpimg_refused_name() - why a program cannot be restarted from an image */
const char *cpimg_refused_name(uint32_t refused)
{
	static const char *const names[] = {
		[CP_REFUSED_NOTHING]	= "it can be restarted",
		[CP_REFUSED_BUSY]	= "a thread did not stand still in time",
		[CP_REFUSED_TRACED]	= "a debugger has a thread of it",
		[CP_REFUSED_VFORK]	= "a thread waits for the child of a vfork()",
		[CP_REFUSED_SHARED]	= "another process uses its memory",
		[CP_REFUSED_CHILDREN]	= "it has a child process",
		[CP_REFUSED_LEADER]	= "its first thread has ended",
		[CP_REFUSED_THREADS]	= "it has more threads than there was room for",
		[CP_REFUSED_ABI]	= "it is not a 64-bit program of x86-64",
		[CP_REFUSED_SECCOMP]	= "a thread of it is under seccomp",
		[CP_REFUSED_SCHED]	= "a thread of it is scheduled by deadlines, or by BPF",
		[CP_REFUSED_PERF]	= "a thread of it counts events by perf",
		[CP_REFUSED_UPROBE]	= "it has uprobes",
		[CP_REFUSED_SHSTK]	= "a thread of it has a shadow stack",
		[CP_REFUSED_LDT]	= "it has an LDT, or I/O ports",
		[CP_REFUSED_LAM]	= "it has tagged addresses",
		[CP_REFUSED_PENDING]	= "too many signals wait for it",
		[CP_REFUSED_TIMER]	= "a timer of it cannot be set again",
		[CP_REFUSED_SYSV_SEM]	= "it has SysV semaphores to undo",
		[CP_REFUSED_SYSV_SHM]	= "it has SysV shared memory",
		[CP_REFUSED_MAPPING]	= "it has device memory, or the like",
		[CP_REFUSED_LEFT_OUT]	= "the image leaves out memory that it may read",
		[CP_REFUSED_GUARDED]	= "memory that is not readable has contents",
		[CP_REFUSED_UFFD]	= "memory of it is under userfaultfd",
		[CP_REFUSED_DELETED]	= "a file that it has mapped has no name any more",
		[CP_REFUSED_AIO]	= "it has an AIO context",
		[CP_REFUSED_IO_URING]	= "it has an io_uring",
		[CP_REFUSED_SOCKET]	= "it has a socket",
		[CP_REFUSED_DEVICE]	= "it has a device open",
		[CP_REFUSED_KIND]	= "it has an epoll, inotify or pidfd descriptor, or the like",
		[CP_REFUSED_UNLINKED]	= "it has a file open that has no name any more",
		[CP_REFUSED_PIPE]	= "it has a pipe of others, a named one, or one of packets",
		[CP_REFUSED_LOCK]	= "it has a file lock or lease",
		[CP_REFUSED_FILES]	= "not all threads share the same descriptors and folders",
		[CP_REFUSED_NAME]	= "a file name cannot be told, or is too long",
		[CP_REFUSED_OUTSIDE]	= "others have memory that it shares",
	};

	if (refused >= sizeof(names) / sizeof(names[0]) || !names[refused])
		return "for a reason that is newer than this library";
	return names[refused];
}
