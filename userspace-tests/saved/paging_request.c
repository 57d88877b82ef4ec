// SPDX-License-Identifier: GPL-2.0
/*
 * 0 to 3 GB of a 32-bit program: what the first cp_range died of, at 003a6000, "Unable to
 * handle kernel paging request". All kinds of addresses that are mapped and cannot just be
 * read; each is in exactly one run, and the kernel has nothing to say.
 */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cp_test.h"
#include "harness.h"

TEST(from_0_to_3_gigabytes)
{
	const char *argv[] = { cp_helper("three_gigabytes_32"), NULL };
	int status, pid, ends[2];
	char line[200];
	FILE *says;

	if (access(argv[0], X_OK))
		SKIP(return, "%s: %s", argv[0], strerror(errno));
	ASSERT_EQ(0, pipe(ends));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		dup2(ends[1], STDOUT_FILENO);
		execv(argv[0], (char **)argv);
		_exit(126);
	}
	close(ends[1]);
	/* What is "ok" there is not one of our tests. */
	says = fdopen(ends[0], "r");
	while (says && fgets(line, sizeof(line), says))
		printf("# %s", line);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status) TH_LOG("its lines above say what is wrong (status %#x)", status);
}

TEST_HARNESS_MAIN
