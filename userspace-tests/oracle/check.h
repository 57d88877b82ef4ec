/* SPDX-License-Identifier: GPL-2.0 */
/* Images against the model. */
#ifndef CHECK_H
#define CHECK_H

#include "cpimg.h"
#include "model.h"

void check_leave_out(struct range at);
void check_chain(const struct cpimg_chain *c, bool compare);
void check_again(const struct cpimg *img, bool full);
void check_left_to_files(const struct cpimg_chain *c, struct rng *r);

#endif /* CHECK_H */
