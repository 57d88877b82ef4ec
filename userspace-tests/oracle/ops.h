/* SPDX-License-Identifier: GPL-2.0 */
/* Operations of this process on its own memory. */
#ifndef OPS_H
#define OPS_H

#include "model.h"

void ops_init(void);
void write_at(struct rng *r, unsigned char *addr, size_t len);

bool op_write_byte(struct rng *r);
bool op_write_words(struct rng *r);
bool op_write_range(struct rng *r);
bool op_write_many(struct rng *r);
bool op_write_alike(struct rng *r);
bool op_write_zeros(struct rng *r);
bool op_write_huge(struct rng *r);
bool op_read(struct rng *r);
bool op_mmap_anon(struct rng *r);
bool op_mmap_file(struct rng *r);
bool op_mmap_hugetlb(struct rng *r);
bool op_drop_hugetlb(struct rng *r);
bool op_munmap(struct rng *r);
bool op_mprotect(struct rng *r);
bool op_mremap(struct rng *r);
bool op_resize(struct rng *r);
bool op_madvise(struct rng *r);
bool op_collapse(struct rng *r);
bool op_huge_page(struct rng *r);
bool op_mlock(struct rng *r);
bool op_munlock(struct rng *r);
bool op_msync(struct rng *r);
bool op_drop_caches(struct rng *r);
bool op_soft_offline(struct rng *r);
bool op_swapoff(struct rng *r);
bool op_audit(struct rng *r);
bool op_rest(struct rng *r);

#endif /* OPS_H */
