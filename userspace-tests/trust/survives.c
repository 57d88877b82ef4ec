// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --timeout 600 */
/*
 * A program that saves its state survives whatever comes: kill -9 at any moment, a
 * checkpoint among them; a full disk; images that a crash of the machine has cut;
 * a process id that comes again. It ends with the very bits that it would have
 * ended with undisturbed. See demo/heat.c and demo/survive.c.
 */
#include <sys/mount.h>
#include <time.h>

#include "cp_test.h"
#include "harness.h"

#define KILLS	50

TEST(fifty_kills)
{
	char kills[16], seed[16];
	const char *argv[] = {
		cp_helper("survive"), "--kills", kills, "--seed", seed, "--every", "2",
		"--rough", "--quiet", "/tests/heat", "--size", "512", "--steps",
		"120", NULL
	};
	int status;
	pid_t pid;

	/* A disk of its own, to be filled. */
	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	ASSERT_EQ(0, mount("none", "/tmp", "tmpfs", 0, "size=48m,mode=1777"));
	snprintf(kills, sizeof(kills), "%d", cp_debug_kernel() ? KILLS / 5 : KILLS);
	snprintf(seed, sizeof(seed), "%ld", (long)time(NULL));
	fflush(NULL);
	pid = fork();
	if (!pid) {
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execv(argv[0], (char **)argv);
		_exit(127);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status) TH_LOG("seed %s: status 0x%x", seed, status);
}

TEST_HARNESS_MAIN
