// SPDX-License-Identifier: GPL-2.0
/* For a kernel with the option off: both calls are not there. */
#include <errno.h>
#include <stdio.h>

#include <cp_range.h>

static int check(const char *name, long ret)
{
	if (ret == -1 && errno == ENOSYS)
		return 0;
	printf("# %s() returns %ld, errno %d, not ENOSYS\n", name, ret, errno);
	return 1;
}

int main(void)
{
	static char byte;
	int bad = check("cp_range", cp_range(&byte, &byte + 1));

	bad |= check("inc_cp_range", inc_cp_range(&byte, &byte + 1));
	printf("TAP version 13\n1..1\n%s 1 both calls are ENOSYS\n",
	       bad ? "not ok" : "ok");
	return bad;
}
