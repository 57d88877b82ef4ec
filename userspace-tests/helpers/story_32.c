// SPDX-License-Identifier: GPL-2.0
/* The same in 32 bits; see story.h. */
#include "story.h"
