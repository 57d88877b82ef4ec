/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a test needs and a kernel may lack, such as 2.6.32: the kernel is asked, whatever
 * its version, and the test skipped with what it said. Only what cannot be asked, or must
 * not be missing where it belongs, goes by the version: cp_kernel_before().
 */
#ifndef NEEDS_H
#define NEEDS_H

#include <stdbool.h>

const char *cp_lacks_call(const char *name, long number);
const char *cp_lacks_advice(const char *name, int advice);
bool cp_kernel_before(unsigned int major, unsigned int minor);
const char *cp_lacks_9p_tags(void);
const char *cp_lacks_mem_write(void);
const char *cp_lacks_o_path(void);

#define NEEDS(lack) do { \
	const char *needs_lack = (lack); \
	if (needs_lack) \
		SKIP(return, "%s", needs_lack); \
} while (0)

/* NEEDS_CALL(memfd_create): a system call */
#define NEEDS_CALL(call)	NEEDS(cp_lacks_call(#call "()", SYS_##call))

/* NEEDS_ADVICE(MADV_DONTDUMP): an advice of madvise() for anonymous memory */
#define NEEDS_ADVICE(advice)	NEEDS(cp_lacks_advice(#advice, advice))

#endif /* NEEDS_H */
