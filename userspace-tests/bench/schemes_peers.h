/* SPDX-License-Identifier: GPL-2.0 */
/* The functions of the schemes that are not ours, for the tables in schemes.c. */
#ifndef SCHEMES_PEERS_H
#define SCHEMES_PEERS_H

#include "schemes.h"

/* schemes_incremental.c */
bool wp_async_begin(struct saver *saver);
bool wp_async_save(struct saver *saver);
bool soft_dirty_begin(struct saver *saver);
bool soft_dirty_scan_save(struct saver *saver);
bool soft_dirty_save(struct saver *saver);
bool mprotect_begin(struct saver *saver);
bool mprotect_save(struct saver *saver);
void mprotect_end(struct saver *saver);
bool fork_begin(struct saver *saver);
bool fork_save(struct saver *saver);
void fork_end(struct saver *saver);

/* schemes_criu.c; .arg says how */
#define CRIU_TRACK	(1 << 0)	/* what changed since the last one */
#define CRIU_DUMP	(1 << 1)	/* all of the process, not only its memory */

bool criu_begin(struct saver *saver);
bool criu_save(struct saver *saver);
void criu_discard(struct saver *saver);
void criu_end(struct saver *saver);
void criu_serve(struct saver *saver, pid_t worker);

#endif /* SCHEMES_PEERS_H */
