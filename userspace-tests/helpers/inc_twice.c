// SPDX-License-Identifier: GPL-2.0
/* Two incremental checkpoints of a page, for tests of exec. */
#include <cp_range.h>

static char page[4096] __attribute__((aligned(4096)));

int main(void)
{
	return inc_cp_range(page, page + sizeof(page)) ||
	       inc_cp_range(page, page + sizeof(page));
}
