/* SPDX-License-Identifier: GPL-2.0 */
/* Operations that take a second process, or another way than the page table. */
#ifndef BEHIND_H
#define BEHIND_H

#include "model.h"

void behind_init(void);
void behind_exit(void);
bool op_fork(struct rng *r);
bool op_child_ends(struct rng *r);
bool op_vm_writev(struct rng *r);
bool op_proc_mem(struct rng *r);
bool op_clear_refs(struct rng *r);
bool op_pagemap_scan(struct rng *r);
bool op_direct_read(struct rng *r);
bool op_vmsplice_out(struct rng *r);
bool op_vmsplice_in(struct rng *r);
bool op_io_uring(struct rng *r);
bool op_uffd_copy(struct rng *r);
bool op_uffd_move(struct rng *r);
bool op_uffd_wp(struct rng *r);
bool op_compact(struct rng *r);

#endif /* BEHIND_H */
