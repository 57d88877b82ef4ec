// SPDX-License-Identifier: GPL-2.0
/*
 * save_self: a program with rights that its caller does not have saves a page of
 * itself; with an argument it says first that it may be dumped. Exit status: 0, or the
 * errno of the call; 200 if it may be traced by its caller, and so is not what the test
 * takes it for.
 */
#include <sys/prctl.h>

#include "cp_test.h"

static char secret[PAGE] __attribute__((aligned(PAGE)));

int main(int argc, char **argv)
{
	if (prctl(PR_GET_DUMPABLE) == 1)
		return 200;
	if (argc > 1 && prctl(PR_SET_DUMPABLE, atoi(argv[1])))
		return 201;
	cp_fill(secret, PAGE, 42);
	return cp_range(secret, secret + PAGE) ? errno : 0;
}
