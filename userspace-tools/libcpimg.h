/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of libcpimg and cpimg share, and other programs do not see. */
#ifndef LIBCPIMG_H
#define LIBCPIMG_H

#include <cpimg.h>

__attribute__((format(printf, 3, 4)))
int cpimg_fail(struct cpimg_error *err, enum cpimg_errcode code,
	       const char *fmt, ...);
int cpimg_pread_file(const struct cpimg *img, uint64_t offset, void *buf,
		     size_t len, struct cpimg_error *err);
int cpimg_read_run(const struct cpimg *img, const struct cpimg_run *run,
		   uint64_t addr, void *buf, size_t len,
		   struct cpimg_error *err);
const void *cpimg_raw_notes(const struct cpimg *img, size_t *size,
			    size_t *own);
size_t cpimg_index_after(const struct cpimg *img, uint64_t addr);
bool cpimg_overlaps(const struct cpimg *img, uint64_t start, uint64_t end);
bool cpimg_chain_overlaps(const struct cpimg_chain *chain, uint64_t start,
			  uint64_t end);

#endif /* LIBCPIMG_H */
