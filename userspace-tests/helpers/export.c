// SPDX-License-Identifier: GPL-2.0
/*
 * export IMAGE PROGRAM ARGS: run a program of the tests' until it stands still,
 * and put its first image where the host finds it.
 */
#include "cp_test.h"

int main(int argc, char **argv)
{
	int pid, bad;

	if (argc < 3) {
		fprintf(stderr, "usage: export IMAGE PROGRAM [ARGS]\n");
		return 2;
	}
	argv[2] = strdup(cp_helper(argv[2]));
	pid = cp_exec_stopped((const char *const *)argv + 2);
	if (pid < 0)
		return 1;
	bad = cp_copy(cp_name(pid, 0), argv[1]);
	if (bad)
		fprintf(stderr, "# copying %s to %s: %s\n", cp_name(pid, 0), argv[1],
			strerror(errno));
	cp_kill(pid);
	return !!bad;
}
