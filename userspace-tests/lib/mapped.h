/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What an image says of mapped files, read as a reader of its own would: from the
 * bytes of the note. The checks return NULL or a line that says what they saw.
 */
#ifndef MAPPED_H
#define MAPPED_H

#include "chain.h"

/**
 * struct mapped - a mapping of a file in an image
 * @start: of the whole mapping
 * @end: and its end
 * @offset: where @start is in the file
 * @name: of the file
 * @file: the file; its name is @name
 */
struct mapped {
	uint64_t		start;
	uint64_t		end;
	uint64_t		offset;
	const char		*name;
	const struct cp_file	*file;
};

const char *mapped_files(const struct cpimg *img, const struct cp_files **files,
			 size_t *size);
const char *mapped_nth(const struct cpimg *img, unsigned int nth, struct mapped *out);
const char *mapped_at(const struct cpimg *img, const void *mem, struct mapped *out);
const char *mapped_is_file(const struct cp_file *file, const struct stat *st);
const char *mapped_read(const struct cpimg *img, uint64_t addr, void *buf, size_t len);
const char *mapped_matches(const struct chain *c, const void *mem, const void *bytes,
			   size_t len);
const char *mapped_is_maps(const struct cpimg *img, int pid);

#endif /* MAPPED_H */
