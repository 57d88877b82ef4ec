/* SPDX-License-Identifier: GPL-2.0 */
/* What a checkpoint is asked for, and who asks: this process, or its parent. */
#ifndef ASKED_H
#define ASKED_H

#include "model.h"

#define MOST_SPANS	5

enum way {
	WAY_RANGE,		/* cp_range(), inc_cp_range() */
	WAY_OWN,		/* cp_checkpoint() of the caller */
	WAY_PARENT,		/* the parent's, by a pidfd */
};

/* The folders that images go to; the first is /tmp. */
enum { FOLDER_TMP, FOLDER_OTHER, FOLDER_DISK, NR_FOLDERS };

/**
 * struct asked - what a checkpoint is asked for
 * @way: by which call
 * @flags: CP_INCREMENTAL, CP_MOMENT, CP_DIRECT
 * @folder: FOLDER_*
 * @nr: how many ranges; 1 of WAY_RANGE
 * @span: the ranges
 * @max_stop_ns: as in struct cp_args
 * @max_bytes: likewise
 */
struct asked {
	enum way	way;
	uint64_t	flags;
	unsigned int	folder;
	unsigned int	nr;
	struct cp_span	span[MOST_SPANS];
	uint64_t	max_stop_ns;
	uint64_t	max_bytes;
};

void asked_init(void);
bool asked_can(enum way way);
bool asked_has(unsigned int folder);
void asked_name(char *name, unsigned int folder, int tid, unsigned long n);
long asked_call(const struct asked *asked, struct cp_result *result);
unsigned int asked_areas(const struct asked *asked, struct cp_span *area);
void asked_remove_images(void);

int asked_fork(void);
void asked_serve(int pid);

#endif /* ASKED_H */
