// SPDX-License-Identifier: GPL-2.0
/* The same, dynamically linked; see story.h. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "story.h"
