/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's test harness, with more patience. */
#ifndef HARNESS_H
#define HARNESS_H

#include "kselftest_harness.h"

/* A debug kernel on an emulated processor that others use as well is slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	300

/* A fixture's image of [@mem, @mem + @len), in place of the one it had. */
#define TAKE(mem, len) do { \
	cpimg_close(self->img); \
	self->img = cp_take(mem, len); \
	ASSERT_NE(NULL, self->img); \
} while (0)

#endif /* HARNESS_H */
