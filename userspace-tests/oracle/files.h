/* SPDX-License-Identifier: GPL-2.0 */
/* Files that memory is mapped from, and what befalls them. */
#ifndef FILES_H
#define FILES_H

#include "model.h"

void files_init(void);
int files_pick(struct rng *r);
int files_open(unsigned int *file, bool writable);
void files_close(unsigned int file, int fd);
bool op_file_new(struct rng *r);
bool op_file_write(struct rng *r);
bool op_file_close(struct rng *r);
bool op_file_truncate(struct rng *r);
bool op_file_cut(struct rng *r);
bool op_file_grow(struct rng *r);
bool op_file_unlink(struct rng *r);
bool op_file_replace(struct rng *r);
bool op_file_link(struct rng *r);
bool op_file_chmod(struct rng *r);

#endif /* FILES_H */
