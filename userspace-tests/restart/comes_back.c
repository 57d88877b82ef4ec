// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 --smp 2 --timeout 600 */
/*
 * A program is saved while it is at something, killed, and restarted from its image: it
 * goes on as if nothing had been, and comes to the right end. helpers/goes_on.c is it.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <sys/prctl.h>

#include <libcpimg/internal.h>

#include "restarted.h"

FIXTURE(comes_back) {
	pid_t			pid;
	struct cp_result	result;
	struct cpimg_chain	*chain;
	struct cp_restart	how;
	struct cpimg_error	err;
};

FIXTURE_SETUP(comes_back)
{
	NEEDS_CP_CHECKPOINT();
	snprintf(folder, sizeof(folder), "/tmp/goes_on.%d", getpid());
	ASSERT_EQ(0, mkdir(folder, 0700));
	touch("input", "something to read");
	self->how.size = sizeof(self->how);
}

FIXTURE_TEARDOWN(comes_back)
{
	cpimg_chain_close(self->chain);
	if (self->pid > 0)
		cp_kill(self->pid);
}

#define COMES_BACK(act, threads_) do { \
	START(act); \
	SAVE(0); \
	cp_kill(self->pid); \
	OPEN(self->result.name); \
	RESTART(); \
	EXPECT_EQ(threads_, (int)self->how.threads); \
	ENDS_WELL(); \
} while (0)

TEST_F(comes_back, memory)
{
	COMES_BACK("memory", 1);
}

TEST_F(comes_back, threads)
{
	COMES_BACK("threads", 9);
}

TEST_F(comes_back, signals)
{
	COMES_BACK("signals", 2);
}

TEST_F(comes_back, timers)
{
	COMES_BACK("timers", 1);
}

TEST_F(comes_back, pipes)
{
	COMES_BACK("pipes", 1);
}

TEST_F(comes_back, calls_that_block)
{
	COMES_BACK("blocked", 6);
}

TEST_F(comes_back, what_the_kernel_has_of_a_thread)
{
	COMES_BACK("thread_state", 1);
}

/* What it has written since is cut off, and kept. */
TEST_F(comes_back, files)
{
	struct stat then, now;
	char path[64];

	START("files");
	SAVE(0);
	ASSERT_EQ(0, stat(in("log"), &then));
	touch("saved", "");
	usleep(200000);
	cp_kill(self->pid);
	/* Or it would write again once it is back. */
	unlink(in("saved"));
	ASSERT_EQ(0, stat(in("log"), &now));
	ASSERT_LT(then.st_size, now.st_size);
	OPEN(self->result.name);
	RESTART();
	EXPECT_EQ(1, (int)self->how.cut);
	snprintf(path, sizeof(path), "log.cut-%d-1", self->pid);
	EXPECT_EQ(0, access(in(path), F_OK));
	ENDS_WELL();
}

/* From each of the images of a chain, and more than once. */
TEST_F(comes_back, from_a_chain)
{
	char names[3][CP_NAME_SIZE];

	START("memory");
	for (int i = 0; i < 3; i++) {
		SAVE(i ? CP_INCREMENTAL : 0);
		memcpy(names[i], self->result.name, CP_NAME_SIZE);
	}
	for (int i = 0; i < 6; i++) {
		pid_t pid = self->pid;

		cp_kill(self->pid);
		unlink(in("go"));
		OPEN(names[i % 3]);
		RESTART();
		if (i == 5)
			break;
		cpimg_chain_close(self->chain);
		self->pid = pid;
	}
	ENDS_WELL();
}

/* What was restarted is saved and restarted again. */
TEST_F(comes_back, again_and_again)
{
	START("threads");
	for (int i = 0; i < 4; i++) {
		/* Its counter begins anew: what has its names goes. */
		for (int n = 0; i && n < 4; n++) {
			char name[32];

			snprintf(name, sizeof(name), "%d-cp%d", self->pid, n);
			unlink(in(name));
		}
		SAVE(CP_INCREMENTAL);
		cp_kill(self->pid);
		cpimg_chain_close(self->chain);
		OPEN(self->result.name);
		RESTART();
	}
	ENDS_WELL();
}

/* cp_checkpoint() returns 1 to who has saved itself, in an image that it names. */
static bool read_name(char *name, size_t size)
{
	int fd = open(in("name"), O_RDONLY);
	bool good = fd >= 0 && read(fd, name, size) == (ssize_t)size;

	close(fd);
	return good;
}

#define SAVES_ITSELF(act) do { \
	START(act); \
	cp_kill(self->pid); \
	ASSERT_TRUE(read_name(self->result.name, CP_NAME_SIZE)); \
	OPEN(self->result.name); \
	RESTART(); \
	ENDS_WELL(); \
} while (0)

TEST_F(comes_back, saved_by_itself)
{
	SAVES_ITSELF("itself");
}

TEST_F(comes_back, saved_by_a_thread_of_itself)
{
	SAVES_ITSELF("itself_thread");
}

/*
 * In a pid namespace of its own: its ids may be taken outside. Who has no privileges makes
 * one in a user namespace.
 */
static int go_on(void *arg)
{
	struct cpimg_chain *chain = arg;
	struct cpimg_error err;
	pid_t pid = cp_restart(chain, cpimg_chain_length(chain) - 1, NULL, &err);

	if (pid > 0)
		return cpimg_space_wait(pid);
	printf("# %s\n", err.text);
	return 1 << 8;
}

static void restart_in_space(struct cpimg_chain *chain, uid_t user)
{
	struct cpimg_error err;
	int status;

	if (user && (setresgid(user, user, user) || setresuid(user, user, user)))
		_exit(126);
	/* as after an exec() */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	status = cpimg_space(go_on, chain, &err);
	if (status < 0)
		printf("# %s\n", err.text);
	fflush(stdout);
	_exit(status < 0 ? 125 : WEXITSTATUS(status));
}

#define IN_A_SPACE(act, user) do { \
	pid_t pid_; \
	int status_; \
	ASSERT_EQ(0, chown(folder, user, user)); \
	START_AS(act, user); \
	SAVE(0); \
	OPEN(self->result.name); \
	for (size_t i_ = 0; i_ < cpimg_chain_length(self->chain); i_++) \
		ASSERT_EQ(0, chmod(cpimg_path(cpimg_chain_image(self->chain, i_)), 0644)); \
	pid_ = fork(); \
	if (!pid_) \
		restart_in_space(self->chain, user); \
	touch("go", ""); \
	ASSERT_EQ(pid_, waitpid(pid_, &status_, 0)); \
	EXPECT_EQ(0, status_); \
	ENDS_WELL(); \
} while (0)

TEST_F(comes_back, in_a_space_of_its_own)
{
	IN_A_SPACE("threads", 0);
}

TEST_F(comes_back, in_a_users_space)
{
	IN_A_SPACE("threads", 1000);
}

TEST_F(comes_back, with_pipes_in_a_users_space)
{
	IN_A_SPACE("pipes", 1000);
}

/* @wanted: as /proc/PID/status has them, a space after each */
static bool has_groups(pid_t pid, const char *wanted)
{
	size_t len = strlen(wanted);
	char path[32], line[256];
	bool same = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "Groups:\t", 8))
			same = !strncmp(line + 8, wanted, len) && line[8 + len] == '\n';
	if (f)
		fclose(f);
	return same;
}

static bool has_oom_score_adj(pid_t pid, int wanted)
{
	char path[40];
	int adj = 0;
	bool got;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
	f = fopen(path, "r");
	got = f && fscanf(f, "%d", &adj) == 1 && adj == wanted;
	if (f)
		fclose(f);
	return got;
}

/* Groups and the OOM killer's liking are not the program's: whoever restarts it gives its own. */
TEST_F(comes_back, with_what_the_caller_has)
{
	gid_t then[] = { 7, 8 }, now[] = { 9 };

	ASSERT_EQ(0, setgroups(2, then));
	ASSERT_EQ(0, cp_write_file("/proc/self/oom_score_adj", "300"));
	START("memory");
	EXPECT_TRUE(has_groups(self->pid, "7 8 "));
	EXPECT_TRUE(has_oom_score_adj(self->pid, 300));
	SAVE(0);
	cp_kill(self->pid);
	ASSERT_EQ(0, setgroups(1, now));
	ASSERT_EQ(0, cp_write_file("/proc/self/oom_score_adj", "100"));
	OPEN(self->result.name);
	RESTART();
	EXPECT_TRUE(has_groups(self->pid, "9 "));
	EXPECT_TRUE(has_oom_score_adj(self->pid, 100));
	ENDS_WELL();
}

TEST_HARNESS_MAIN
