// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 --disk 32 --apparmor userspace-tests/helpers/policies.apparmor */
/*
 * What the system's policies forbid, the two calls do not do either: they make and
 * remove a file, and read memory, with the caller's rights and no more.
 */
#define _GNU_SOURCE
#include <linux/landlock.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "chain.h"
#include "harness.h"

#define LEN	(1UL << 20)

static char *mem;

#define MAP() do { \
	mem = cp_map(LEN); \
	ASSERT_NE(NULL, mem); \
	cp_fill(mem, LEN, 1); \
} while (0)

/*
 * Who may not be dumped: memory with what the user has no right to, or that the program
 * wants to keep.
 */
static void not_dumpable(void *arg)
{
	struct chain c = { 0 };
	int how = *(int *)arg;

	if (prctl(PR_SET_DUMPABLE, how))
		_exit(100);
	for (int inc = 0; inc < 2; inc++) {
		if (!(inc ? inc_cp_range(mem, mem + LEN) : cp_range(mem, mem + LEN)))
			_exit(1);
		if (errno != EPERM || cp_no_file(getpid(), 0))
			_exit(2);
	}
	/* It says that it may be, and nothing was counted. */
	if (prctl(PR_SET_DUMPABLE, 1) || chain_inc(&c, mem, LEN) ||
	    chain_is(&c, CP_KIND_FULL, CP_REASON_FIRST) || chain_matches(&c, mem, LEN))
		_exit(3);
	/* Between two checkpoints; the chain is as good as before. */
	mem[5 * PAGE]++;
	if (prctl(PR_SET_DUMPABLE, how) || !inc_cp_range(mem, mem + LEN) || errno != EPERM ||
	    cp_no_file(getpid(), 1))
		_exit(4);
	if (prctl(PR_SET_DUMPABLE, 1) || chain_inc(&c, mem, LEN) ||
	    chain_matches(&c, mem, LEN))
		_exit(5);
	_exit(0);
}

TEST(a_process_that_is_not_dumpable_saves_nothing)
{
	int how = 0;

	MAP();
	EXPECT_EQ(0, cp_run(not_dumpable, &how));
	chain_remove();
}

static void drops_rights(void *arg)
{
	(void)arg;
	if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000))
		_exit(100);
	if (!cp_range(mem, mem + LEN) || errno != EPERM || cp_no_file(getpid(), 0))
		_exit(1);
	if (prctl(PR_SET_DUMPABLE, 1) || cp_range(mem, mem + LEN))
		_exit(2);
	_exit(0);
}

/* What it had as root may be in its memory. */
TEST(a_process_that_dropped_its_rights_saves_nothing)
{
	MAP();
	EXPECT_EQ(0, cp_run(drops_rights, NULL));
	chain_remove();
}

/*
 * Landlock.
 */
static int restrict_to(uint64_t handled, const char *const folders[], uint64_t allowed)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = handled };
	int ruleset = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0), ret;

	if (ruleset < 0)
		return -1;
	for (; *folders; folders++) {
		struct landlock_path_beneath_attr path = { .allowed_access = allowed };

		path.parent_fd = open(*folders, O_PATH | O_CLOEXEC);
		if (path.parent_fd < 0 ||
		    syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH,
			    &path, 0))
			return -1;
		close(path.parent_fd);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	ret = syscall(SYS_landlock_restrict_self, ruleset, 0);
	close(ruleset);
	return ret;
}

/* Neither call makes a file, and both say why. */
#define IS_REFUSED(mem) do { \
	EXPECT_EQ(-1, cp_range(mem, mem + LEN)); \
	EXPECT_EQ(EACCES, errno); \
	EXPECT_EQ(-1, inc_cp_range(mem, mem + LEN)); \
	EXPECT_EQ(EACCES, errno); \
	EXPECT_OK(cp_no_file(getpid(), 0)); \
} while (0)

static const char *const everywhere[] = { "/", NULL };
static const char *const nowhere[] = { NULL };
static const char *const disk[] = { "/disk", NULL };

TEST(landlock_forbids_to_make_a_file)
{
	MAP();
	if (restrict_to(LANDLOCK_ACCESS_FS_MAKE_REG, disk, LANDLOCK_ACCESS_FS_MAKE_REG))
		SKIP(return, "no Landlock: %s", strerror(errno));
	ASSERT_EQ(-1, open("/tmp/file", O_CREAT | O_WRONLY, 0600));
	ASSERT_EQ(EACCES, errno);
	IS_REFUSED(mem);
}

TEST(landlock_forbids_to_write_a_file)
{
	MAP();
	if (restrict_to(LANDLOCK_ACCESS_FS_WRITE_FILE, nowhere, 0))
		SKIP(return, "no Landlock: %s", strerror(errno));
	EXPECT_EQ(-1, cp_range(mem, mem + LEN));
	EXPECT_EQ(EACCES, errno);
}

/* An image that fails: there is no room for it. */
static bool fails(void)
{
	struct rlimit limit = { LEN / 2, RLIM_INFINITY };

	return !setrlimit(RLIMIT_FSIZE, &limit) && cp_range(mem, mem + LEN) &&
	       errno == EFBIG;
}

/* What has failed is no image, whether it can be removed or not. */
static const char *is_no_image(void)
{
	struct cpimg_error err;
	struct cpimg *img;

	if (access(cp_name(getpid(), 0), F_OK))
		return "it was removed, against the policy";
	img = cpimg_open(cp_name(getpid(), 0), 0, &err);
	if (img)
		return "it is taken for an image";
	return err.code == CPIMG_ERR_INCOMPLETE ? NULL : "it is not told to be incomplete";
}

TEST(landlock_forbids_to_remove_a_file)
{
	MAP();
	if (restrict_to(LANDLOCK_ACCESS_FS_REMOVE_FILE, nowhere, 0))
		SKIP(return, "no Landlock: %s", strerror(errno));
	close(open("/tmp/file", O_CREAT | O_WRONLY, 0600));
	ASSERT_EQ(-1, unlink("/tmp/file"));
	ASSERT_EQ(EACCES, errno);
	ASSERT_TRUE(fails()) TH_LOG("%m");
	EXPECT_OK(is_no_image());
}

TEST(landlock_that_allows_it_is_not_in_the_way)
{
	const uint64_t all = LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_WRITE_FILE |
			     LANDLOCK_ACCESS_FS_REMOVE_FILE;

	MAP();
	if (restrict_to(all, everywhere, all))
		SKIP(return, "no Landlock: %s", strerror(errno));
	ASSERT_EQ(0, cp_range(mem, mem + LEN)) TH_LOG("%m");
	cpimg_close(cp_open(getpid(), 0));
	ASSERT_EQ(0, unlink(cp_name(getpid(), 0)));
}

/*
 * AppArmor: profiles of helpers/policies.apparmor.
 */
static int confine(const char *profile)
{
	char text[64];

	snprintf(text, sizeof(text), "changeprofile %s", profile);
	if (!cp_write_file("/proc/self/attr/apparmor/current", text))
		return 0;
	return cp_write_file("/proc/self/attr/current", text);
}

TEST(apparmor_forbids_to_make_a_file)
{
	MAP();
	if (confine("no_images"))
		SKIP(return, "no AppArmor: %s", strerror(errno));
	ASSERT_EQ(-1, open(cp_name(getpid(), 0), O_CREAT | O_WRONLY, 0600));
	ASSERT_EQ(EACCES, errno);
	IS_REFUSED(mem);
}

/*
 * To remove a file is no right of its own there, but to write it. So that the image may
 * be made and not removed it is renamed meanwhile, to what must not be written.
 */
static void fails_slowly(void *arg)
{
	const size_t len = 32UL << 20;
	struct rlimit limit = { len - PAGE, RLIM_INFINITY };
	char *big = cp_map(len);

	cp_fill(big, len, 1);
	if (confine(arg) || setrlimit(RLIMIT_FSIZE, &limit))
		_exit(100);
	_exit(cp_range(big, big + len) && errno == EFBIG ? 0 : errno ?: 1);
}

static const char *renamed_meanwhile(const char *profile)
{
	int status;
	pid_t pid;

again:
	unlink("/tmp/kept");
	pid = fork();
	if (!pid)
		fails_slowly((void *)profile);
	while (rename(cp_name(pid, 0), "/tmp/kept"))
		if (waitpid(pid, &status, WNOHANG))
			return "it ended before its file could be renamed";
	if (waitpid(pid, &status, 0) != pid)
		return "there is no child";
	/* It had its new name before it was opened. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == EACCES)
		goto again;
	if (status)
		return "the call did not fail with EFBIG";
	return NULL;
}

TEST(apparmor_forbids_to_remove_a_file)
{
	struct cpimg_error err;

	if (access("/sys/kernel/security/apparmor/profiles", F_OK))
		SKIP(return, "no AppArmor");
	/* Where it is allowed, that is done. */
	ASSERT_OK(renamed_meanwhile("images"));
	EXPECT_EQ(-1, access("/tmp/kept", F_OK));
	ASSERT_OK(renamed_meanwhile("no_removing"));
	ASSERT_EQ(0, access("/tmp/kept", F_OK)) TH_LOG("removed, against the policy");
	EXPECT_EQ(NULL, cpimg_open("/tmp/kept", 0, &err));
	EXPECT_EQ(CPIMG_ERR_INCOMPLETE, err.code) TH_LOG("%s", err.text);
	unlink("/tmp/kept");
}

TEST(apparmor_that_allows_it_is_not_in_the_way)
{
	MAP();
	if (confine("images"))
		SKIP(return, "no AppArmor: %s", strerror(errno));
	ASSERT_EQ(0, cp_range(mem, mem + LEN)) TH_LOG("%m");
	cpimg_close(cp_open(getpid(), 0));
	ASSERT_EQ(0, unlink(cp_name(getpid(), 0)));
	/* A failed one is removed, too. */
	ASSERT_EQ(-1, cp_range(mem + LEN, mem));
	ASSERT_TRUE(fails()) TH_LOG("%m");
	EXPECT_OK(cp_no_file(getpid(), 1));
}

TEST_HARNESS_MAIN
