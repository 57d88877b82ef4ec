/* SPDX-License-Identifier: GPL-2.0 */
/* File systems that memory is mapped from, each made ready in a folder of its own. */
#ifndef KINDS_H
#define KINDS_H

#include "cp_test.h"

enum kind_nr {
	KIND_TMPFS,
	KIND_EXT4,
	KIND_XFS,
	KIND_LOWER,		/* of an overlay on ext4 */
	KIND_UPPER,
	KIND_MEMORY_LOWER,	/* of an overlay on tmpfs */
	KIND_9P,
	KIND_9P_MMAP,		/* with the cache that shared mappings need */
	KIND_FUSE,
	KIND_NFS,
	NR_KINDS
};

/**
 * struct kind - a file system
 * @name: one word
 * @folder: where the program finds the files
 * @local: a file there that nobody writes to stays as it is: memory that holds
 *	nothing of its own is left to it
 * @sparse: tells which blocks a file does not have
 * @begin: mounts it. NULL, or why the guest cannot have it.
 */
struct kind {
	const char	*name;
	const char	*folder;
	bool		local;
	bool		sparse;
	const char	*(*begin)(const struct kind *kind);
};

extern const struct kind kinds[NR_KINDS];

const char *kind_begin(enum kind_nr nr);
const char *kind_path(enum kind_nr nr, const char *name);
int kind_make(enum kind_nr nr, const char *name, size_t len, unsigned int seed);
int kind_make_all(enum kind_nr nr, const char *name, unsigned int files, size_t len,
		  unsigned int seed);
void kind_settle(void);

#endif /* KINDS_H */
