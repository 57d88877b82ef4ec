// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 */
/*
 * A checkpoint is the caller's own doing: what it takes in the kernel and on
 * tmpfs is charged to the caller's memory cgroup, and bounded.
 */
#include <sys/mount.h>

#include "cp_test.h"
#include "harness.h"

#define GROUP	"/sys/fs/cgroup/cp_range"

/* A value of a file of the group, or of a line of it, or -1. */
static long group_value(const char *file, const char *key)
{
	char path[128], line[128];
	long value = -1;
	FILE *f;

	snprintf(path, sizeof(path), GROUP "/%s", file);
	if (!key)
		return cp_read_number(path);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		size_t len = strlen(key);

		if (!strncmp(line, key, len) && line[len] == ' ')
			value = atol(line + len);
	}
	if (f)
		fclose(f);
	return value;
}

static bool have_group(void)
{
	cp_write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (mkdir(GROUP, 0755) && errno != EEXIST)
		return false;
	return !access(GROUP "/memory.current", F_OK);
}

FIXTURE(memcg) {
	char	*mem;
	pid_t	pid;
};

FIXTURE_SETUP(memcg)
{
	if (!have_group())
		SKIP(return, "no memory cgroup (v2) in /sys/fs/cgroup");
	ASSERT_EQ(0, cp_write_file(GROUP "/memory.max", "max"));
	ASSERT_EQ(0, cp_write_file(GROUP "/cgroup.procs", "0")) TH_LOG("%m");
}

FIXTURE_TEARDOWN(memcg)
{
	cp_write_file("/sys/fs/cgroup/cgroup.procs", "0");
	rmdir(GROUP);
}

TEST_F(memcg, file_is_charged_to_the_caller)
{
	size_t len = 16UL << 20;
	long before, after;

	self->mem = cp_map(len);
	cp_fill(self->mem, len, 1);
	before = group_value("memory.stat", "shmem");
	ASSERT_LE(0, before);
	ASSERT_EQ(0, cp_range(self->mem, self->mem + len));
	after = group_value("memory.stat", "shmem");
	EXPECT_LE(before + (long)len, after)
		TH_LOG("shmem was %ld, is %ld", before, after);
	unlink(cp_name(getpid(), 0));
}

/* What stays in the kernel after a call, and how much it needs while it runs. */
TEST_F(memcg, kernel_memory_is_bounded)
{
	size_t len = 32UL << 20;
	long usage, peak, kernel;

	self->mem = cp_map(len);
	cp_fill(self->mem, len, 2);
	/* The file on a disk that nobody charges: what is left is the kernel's. */
	kernel = group_value("memory.stat", "kernel");
	if (kernel < 0)
		SKIP(return, "no kernel memory in memory.stat");
	ASSERT_EQ(0, cp_range(self->mem, self->mem + len));
	unlink(cp_name(getpid(), 0));
	usage = group_value("memory.stat", "kernel") - kernel;
	EXPECT_GT(1 << 20, usage) TH_LOG("%ld bytes stay", usage);

	/* At the peak there was the image, and little more. */
	peak = group_value("memory.peak", NULL);
	if (peak < 0)
		SKIP(return, "no memory.peak");
	usage = group_value("memory.current", NULL);
	EXPECT_GT(usage + (long)len + (8 << 20), peak)
		TH_LOG("now %ld, at its peak %ld", usage, peak);
}

static void too_much(void *arg)
{
	char **mem = arg;

	_exit(cp_range(*mem, *mem + (24UL << 20)) ? errno : 0);
}

/* More than the group may have: the caller pays, not the machine. */
TEST_F(memcg, limit_ends_the_call)
{
	size_t len = 24UL << 20;
	int status;
	pid_t pid;

	self->mem = cp_map(len);
	cp_fill(self->mem, len, 3);
	ASSERT_EQ(0, cp_write_file(GROUP "/memory.max", "32M")) TH_LOG("%m");
	cp_write_file(GROUP "/memory.swap.max", "0");
	/* The child is to go first. */
	cp_oom_first(false);
	pid = fork();
	if (!pid) {
		cp_oom_first(true);
		too_much(&self->mem);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
		    (WIFEXITED(status) && WEXITSTATUS(status) == ENOMEM))
		TH_LOG("status 0x%x", status);
	EXPECT_OK(cp_no_file(pid, 0));
	cp_write_file(GROUP "/memory.max", "max");
	/* What it had written was given back. */
	EXPECT_GT(8 << 20, group_value("memory.stat", "shmem"))
		TH_LOG("shmem %ld", group_value("memory.stat", "shmem"));
}

TEST_HARNESS_MAIN
