// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 --disk 16 */
/*
 * Every mapped address of the range is in exactly one run, no run crosses a
 * mapping, and its flags are the mapping's: for a program with mappings of many
 * kinds (helpers/zoo.c), which stands still while its image is held against /proc/PID/maps.
 */
#include "cp_test.h"
#include "harness.h"

FIXTURE(maps) {
	pid_t		pid;
	struct cpimg	*img;
};

FIXTURE_SETUP(maps)
{
	const char *argv[] = { cp_helper("zoo"), NULL };

	self->pid = cp_exec_stopped(argv);
	ASSERT_LT(0, self->pid);
	self->img = cp_open(self->pid, 0);
	ASSERT_NE(NULL, self->img);
}

FIXTURE_TEARDOWN(maps)
{
	cpimg_close(self->img);
	unlink(cp_name(self->pid, 0));
	cp_kill(self->pid);
}

TEST_F(maps, are_covered_by_runs_exactly)
{
	EXPECT_OK(cp_check_maps(self->img, self->pid));
}

TEST_F(maps, have_the_bytes_of_the_process)
{
	EXPECT_OK(cp_check_process(self->img, self->pid));
}

/* The checks of this file can fail: of another process they are not true. */
TEST_F(maps, of_another_process_do_not_match)
{
	pid_t pid = fork();

	if (!pid) {
		cp_map(64 * PAGE);
		for (;;)
			pause();
	}
	ASSERT_TRUE(cp_wait_stopped(pid));
	EXPECT_NE(NULL, cp_check_maps(self->img, pid));
	cp_kill(pid);
}

TEST_HARNESS_MAIN
