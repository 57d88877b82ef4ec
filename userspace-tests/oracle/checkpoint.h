/* SPDX-License-Identifier: GPL-2.0 */
/* Checkpoints, each followed by a look at its image. */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H

#include "asked.h"
#include "model.h"

void checkpoint_init(void);
void checkpoint(struct rng *r);
bool checkpoint_asked(struct rng *r, enum way way);
void checkpoint_all(void);
void checkpoint_with_limit(struct rng *r);
void checkpoint_lose(struct rng *r);
void checkpoint_look_back(struct rng *r);

#endif /* CHECKPOINT_H */
