// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --disk 32 --disk xfs:320 --9p files:$RUN_DIR */
/*
 * The servers and disks that the tests of mapped files build on do what is said of them:
 * helpers/fuse_serve.c, helpers/nfs_serve.c, guest.sh --disk xfs, --9p.
 */
#include <sys/mount.h>
#include <sys/vfs.h>

#include "cp_test.h"
#include "harness.h"
#include "needs.h"

#define FROM	"/disk/from"
#define TO	"/tmp/to"
#define STALL	FROM "/.stall"
#define LEN	(64 * PAGE)

/* Return: the program's exit status, or -1. */
static int run(const char *const argv[])
{
	int status, pid = fork();

	if (!pid) {
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool fill_file(const char *name, char with)
{
	char page[PAGE];
	int fd = open(name, O_CREAT | O_WRONLY, 0644);
	bool good = fd >= 0;

	memset(page, with, PAGE);
	for (unsigned long at = 0; good && at < LEN; at += PAGE)
		good = pwrite(fd, page, PAGE, at) == PAGE;
	close(fd);
	return good;
}

static char *map_file(const char *name, int prot, int flags)
{
	int fd = open(name, prot & PROT_WRITE ? O_RDWR : O_RDONLY);
	char *mem = fd < 0 ? MAP_FAILED : mmap(NULL, LEN, prot, flags, fd, 0);

	close(fd);
	return mem == MAP_FAILED ? NULL : mem;
}

/* What is there of a file when it is opened now: its first byte and its last, or 0. */
static bool file_is(const char *name, char with)
{
	char *mem = map_file(name, PROT_READ, MAP_SHARED);
	bool same = mem && mem[0] == with && mem[LEN - 1] == with;

	munmap(mem, LEN);
	return same;
}

/* A child that reads the file; it ends with 0 when it has its byte. */
static int start_reading(const char *name)
{
	int pid = fork();

	if (!pid) {
		char *mem = map_file(name, PROT_READ, MAP_SHARED);

		_exit(!mem || !mem[LEN / 2]);
	}
	return pid;
}

/* Return: whether it has ended within that time; then @status is its status. */
static bool ends(int pid, int *status, int ms)
{
	for (; ms > 0; ms -= 10) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		usleep(10000);
	}
	return false;
}

/* The names that a mount has are those of the folder, both ways. */
static const char *same_names(void)
{
	struct stat from, to;

	if (!fill_file(TO "/made", 'm') || !file_is(FROM "/made", 'm'))
		return "made by the mount: not in the folder";
	if (rename(TO "/made", TO "/renamed") || link(TO "/renamed", TO "/linked") ||
	    mkdir(TO "/folder", 0755) || rename(TO "/linked", TO "/folder/linked"))
		return "rename, link, mkdir by the mount";
	if (stat(FROM "/folder/linked", &from) || stat(TO "/renamed", &to) ||
	    from.st_ino != to.st_ino || to.st_nlink != 2 || to.st_size != (off_t)LEN)
		return "a hard link's attributes";
	if (truncate(TO "/renamed", PAGE) || stat(FROM "/renamed", &from) ||
	    from.st_size != (off_t)PAGE)
		return "truncate by the mount";
	if (unlink(TO "/renamed") || unlink(TO "/folder/linked") || rmdir(TO "/folder") ||
	    !access(FROM "/renamed", F_OK) || !access(FROM "/folder", F_OK))
		return "unlink, rmdir by the mount";
	return NULL;
}

static const char *shared_memory_is_written(void)
{
	char *mem = map_file(TO "/file", PROT_READ | PROT_WRITE, MAP_SHARED);

	if (!mem)
		return "mmap() of a file, shared and writable";
	memset(mem, 's', LEN);
	if (msync(mem, LEN, MS_SYNC))
		return "msync()";
	munmap(mem, LEN);
	return file_is(FROM "/file", 's') ? NULL : "what was written is not in the folder";
}

FIXTURE(served) {
};

FIXTURE_SETUP(served)
{
	NEEDS(cp_lacks_o_path());	/* before it no guest has nfsd either */
	mkdir(FROM, 0755);
	mkdir(TO, 0755);
	ASSERT_TRUE(fill_file(FROM "/file", 'a'));
}

FIXTURE_TEARDOWN(served)
{
	unlink(STALL);
	if (!cp_lacks_o_path())
		EXPECT_EQ(0, umount(TO)) TH_LOG("%m");
}

static int fuse(const char *options)
{
	const char *argv[] = { "/tests/fuse_serve", options, FROM, TO, NULL };

	return run(argv);
}

static bool stall(const char *what)
{
	int fd = open(STALL, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	bool good = fd >= 0 && write(fd, what, strlen(what)) == (ssize_t)strlen(what);

	close(fd);
	return good;
}

TEST_F(served, fuse_is_the_folder_once_more)
{
	ASSERT_EQ(0, fuse("-k"));
	ASSERT_TRUE(file_is(TO "/file", 'a'));
	ASSERT_OK(same_names());
	ASSERT_OK(shared_memory_is_written());
}

TEST_F(served, fuse_of_each_kind_maps_files)
{
	static const char *const kinds[] = { "-d", "-w", "-kw", "-t9" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		ASSERT_TRUE(fill_file(FROM "/file", 'a'));
		ASSERT_EQ(0, fuse(kinds[i]));
		ASSERT_TRUE(file_is(TO "/file", 'a')) TH_LOG("%s", kinds[i]);
		ASSERT_OK(shared_memory_is_written());
		if (i < sizeof(kinds) / sizeof(*kinds) - 1)
			ASSERT_EQ(0, umount(TO)) TH_LOG("%s: %m", kinds[i]);
	}
}

TEST_F(served, fuse_has_a_file_changed_behind_the_kernel)
{
	char *mem;

	ASSERT_EQ(0, fuse("-k"));
	mem = map_file(TO "/file", PROT_READ, MAP_SHARED);
	ASSERT_NE(NULL, mem);
	ASSERT_EQ('a', mem[0]);
	ASSERT_TRUE(fill_file(FROM "/file", 'b'));
	/* the page that the kernel has, and one that it has not asked for yet */
	EXPECT_EQ('a', mem[0]);
	ASSERT_EQ(0, madvise(mem, LEN, MADV_DONTNEED));
	EXPECT_EQ('a', mem[0]);
	munmap(mem, LEN);
}

TEST_F(served, fuse_stalls_and_goes_on)
{
	struct stat st;
	int pid, status;

	ASSERT_EQ(0, fuse("-t0"));
	ASSERT_TRUE(stall("read"));
	pid = start_reading(TO "/file");
	EXPECT_FALSE(ends(pid, &status, 500));
	EXPECT_EQ(0, stat(TO "/file", &st)) TH_LOG("only reads stall: %m");
	ASSERT_EQ(0, unlink(STALL));
	ASSERT_TRUE(ends(pid, &status, 10000));
	EXPECT_EQ(0, status);
}

TEST_F(served, fuse_lets_a_killed_program_go)
{
	static const char *const how[] = { "read", "" };
	int pid, status;

	ASSERT_EQ(0, fuse("-t0"));
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(stall(how[i]));
		pid = start_reading(TO "/file");
		ASSERT_FALSE(ends(pid, &status, 500));
		kill(pid, SIGKILL);
		ASSERT_TRUE(ends(pid, &status, 10000)) TH_LOG("stalled by \"%s\"", how[i]);
		ASSERT_EQ(SIGKILL, WTERMSIG(status));
		ASSERT_EQ(0, unlink(STALL));
	}
}

static int nfs(const char *options)
{
	const char *argv[] = { "/tests/nfs_serve", FROM, TO, options, NULL };

	return run(argv);
}

TEST_F(served, nfs_is_the_folder_once_more)
{
	ASSERT_EQ(0, nfs("actimeo=0"));
	ASSERT_TRUE(file_is(TO "/file", 'a'));
	ASSERT_OK(same_names());
	ASSERT_OK(shared_memory_is_written());
	/* behind the client */
	ASSERT_TRUE(fill_file(FROM "/file", 'b'));
	EXPECT_TRUE(file_is(TO "/file", 'b'));
}

TEST_F(served, nfs_stalls_and_goes_on)
{
	const char *stop[] = { "/tests/nfs_serve", "stall", NULL };
	const char *start[] = { "/tests/nfs_serve", "resume", NULL };
	int pid, status;

	ASSERT_EQ(0, nfs("actimeo=0"));
	ASSERT_EQ(0, run(stop));
	pid = start_reading(TO "/file");
	EXPECT_FALSE(ends(pid, &status, 1000));
	ASSERT_EQ(0, run(start));
	ASSERT_TRUE(ends(pid, &status, 60000));
	EXPECT_EQ(0, status);
}

TEST(xfs_is_on_disk2)
{
	struct statfs st;

	ASSERT_EQ(0, statfs("/disk2", &st));
	EXPECT_EQ(0x58465342, st.f_type);
	EXPECT_TRUE(fill_file("/disk2/file", 'x') && file_is("/disk2/file", 'x'));
}

TEST(p9_mounts_with_each_cache)
{
	static const char *const caches[] = { "none", "readahead", "mmap", "loose" };
	char options[64];

	mkdir(TO, 0755);
	NEEDS(cp_lacks_9p_tags());
	for (size_t i = 0; i < sizeof(caches) / sizeof(*caches); i++) {
		snprintf(options, sizeof(options), "trans=virtio,version=9p2000.L,cache=%s", caches[i]);
		ASSERT_EQ(0, mount("files", TO, "9p", 0, options)) TH_LOG("cache=%s: %m", caches[i]);
		ASSERT_TRUE(fill_file(TO "/file", 'a' + i)) TH_LOG("cache=%s: %m", caches[i]);
		EXPECT_TRUE(file_is(TO "/file", 'a' + i)) TH_LOG("cache=%s", caches[i]);
		ASSERT_EQ(0, umount(TO)) TH_LOG("cache=%s: %m", caches[i]);
	}
}

TEST_HARNESS_MAIN
