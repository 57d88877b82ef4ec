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
