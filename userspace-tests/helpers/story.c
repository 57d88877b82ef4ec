// SPDX-License-Identifier: GPL-2.0
/* A story in checkpoints; see story.h. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "story.h"
