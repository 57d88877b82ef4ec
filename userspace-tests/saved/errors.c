// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 --disk 32 */
/*
 * Each error of the file system comes back as it is; afterwards there is no
 * file, the counter is where it was, and the next call works.
 */
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "cp_test.h"
#include "harness.h"

#define LEN	(2UL << 20)

/* Restricting what is mounted needs a mount namespace of one's own. */
static const char *own_mounts(void)
{
	if (unshare(CLONE_NEWNS))
		return "no mount namespaces";
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return "cannot make mounts private";
	return NULL;
}

FIXTURE(errors) {
	char	*mem;
};

FIXTURE_SETUP(errors)
{
	const char *why = own_mounts();

	if (why)
		SKIP(return, "%s: %s", why, strerror(errno));
	self->mem = cp_map(LEN);
	cp_fill(self->mem, LEN, 1);
}

FIXTURE_TEARDOWN(errors)
{
}

#define TMP(fs, options) \
	ASSERT_EQ(0, mount("none", "/tmp", fs, 0, options)) TH_LOG("%m")

/* The call fails so, and leaves nothing. */
#define ASSERT_FAILS(err) do { \
	errno = 0; \
	ASSERT_EQ(-1, cp_range(self->mem, self->mem + LEN)); \
	ASSERT_EQ(err, errno) TH_LOG("%s", strerror(errno)); \
	ASSERT_OK(cp_no_file(getpid(), 0)); \
	ASSERT_OK(cp_no_file(getpid(), 1)); \
} while (0)

/* Nothing counted, and nothing is left broken. */
#define ASSERT_WORKS() do { \
	struct cpimg *img_; \
	ASSERT_EQ(0, cp_range(self->mem, self->mem + LEN)) TH_LOG("%m"); \
	ASSERT_OK(cp_no_file(getpid(), 1)); \
	img_ = cp_open(getpid(), 0); \
	ASSERT_NE(NULL, img_); \
	ASSERT_OK(cp_same_bytes(img_, self->mem, LEN)); \
	cpimg_close(img_); \
	ASSERT_EQ(0, unlink(cp_name(getpid(), 0))); \
} while (0)

TEST_F(errors, enospc)
{
	static const char *const sizes[] = {
		"size=4k", "size=8k", "size=256k", "size=1m", "size=2m",
	};

	/* Full at the start, in the middle, and only when the tables come. */
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		TMP("tmpfs", sizes[i]);
		ASSERT_FAILS(ENOSPC);
		ASSERT_FAILS(ENOSPC);
		ASSERT_EQ(0, umount("/tmp"));
	}
	ASSERT_WORKS();
}

TEST_F(errors, enospc_gives_the_space_back)
{
	static const char page[PAGE];
	int fd;

	TMP("tmpfs", "size=3m");
	fd = open("/tmp/filler", O_CREAT | O_WRONLY, 0600);
	ASSERT_LE(0, fd);
	/* not fallocate(): old kernels have none on tmpfs */
	for (int i = 0; i < (2 << 20) / (int)sizeof(page); i++)
		ASSERT_EQ((ssize_t)sizeof(page), write(fd, page, sizeof(page)));
	ASSERT_FAILS(ENOSPC);
	ASSERT_EQ(0, unlink("/tmp/filler"));
	close(fd);
	/* 3 MiB hold the image only if the failed one is gone. */
	ASSERT_WORKS();
}

TEST_F(errors, enospc_of_inodes)
{
	TMP("tmpfs", "nr_inodes=1");
	ASSERT_FAILS(ENOSPC);
	ASSERT_EQ(0, umount("/tmp"));
	ASSERT_WORKS();
}

TEST_F(errors, enospc_on_a_disk)
{
	static char chunk[64 * 1024];
	int fd;

	if (access("/disk/lost+found", F_OK))
		SKIP(return, "no /disk");
	ASSERT_EQ(0, mount("/disk", "/tmp", NULL, MS_BIND, NULL));
	/* Leave half of what the image needs. */
	fd = open("/tmp/filler", O_CREAT | O_WRONLY, 0600);
	ASSERT_LE(0, fd);
	while (write(fd, chunk, sizeof(chunk)) > 0)
		;
	ASSERT_EQ(ENOSPC, errno);
	ASSERT_EQ(0, ftruncate(fd, lseek(fd, 0, SEEK_CUR) - LEN / 2));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_FAILS(ENOSPC);
	close(fd);
	ASSERT_EQ(0, unlink("/tmp/filler"));
	ASSERT_WORKS();
}

TEST_F(errors, edquot)
{
	if (mount("none", "/tmp", "tmpfs", 0, "usrquota,usrquota_block_hardlimit=1m"))
		SKIP(return, "no quota on tmpfs: %s", strerror(errno));
	chmod("/tmp", 01777);
	/* root's quota is not limited on every kernel */
	ASSERT_EQ(0, cp_set_user(1000, 1000, 1000));
	ASSERT_FAILS(EDQUOT);
}

TEST_F(errors, efbig_and_no_signal)
{
	static const rlim_t limits[] = { 0, 1, PAGE, PAGE + 1, LEN / 2, LEN, LEN + PAGE };
	struct rlimit old;

	ASSERT_EQ(0, getrlimit(RLIMIT_FSIZE, &old));
	/* The default of SIGXFSZ is death, with which this test would fail. */
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct rlimit limit = { limits[i], old.rlim_max };

		ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
		ASSERT_FAILS(EFBIG);
	}
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &old));
	ASSERT_WORKS();
}

static volatile sig_atomic_t signals;

static void count_signal(int sig)
{
	signals++;
}

TEST_F(errors, efbig_sends_not_even_a_caught_signal)
{
	struct rlimit limit;

	signal(SIGXFSZ, count_signal);
	ASSERT_EQ(0, getrlimit(RLIMIT_FSIZE, &limit));
	limit.rlim_cur = LEN / 2;
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	ASSERT_FAILS(EFBIG);
	EXPECT_EQ(0, signals);
}

/* A limit that is just met is no error. */
TEST_F(errors, efbig_only_beyond_the_limit)
{
	struct rlimit limit, old;
	struct stat st;

	ASSERT_EQ(0, cp_range(self->mem, self->mem + LEN));
	ASSERT_EQ(0, stat(cp_name(getpid(), 0), &st));
	unlink(cp_name(getpid(), 0));

	ASSERT_EQ(0, getrlimit(RLIMIT_FSIZE, &old));
	limit = old;
	limit.rlim_cur = st.st_size + PAGE;
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	ASSERT_EQ(0, cp_range(self->mem, self->mem + LEN)) TH_LOG("%m");
	unlink(cp_name(getpid(), 1));
}

TEST_F(errors, erofs)
{
	ASSERT_EQ(0, mount("none", "/tmp", "tmpfs", MS_RDONLY, NULL));
	ASSERT_FAILS(EROFS);
	ASSERT_EQ(0, umount("/tmp"));
	ASSERT_WORKS();
}

TEST_F(errors, eacces)
{
	TMP("tmpfs", "mode=0755");
	ASSERT_EQ(0, cp_set_user(1000, 1000, 0));
	ASSERT_FAILS(EACCES);
	/* With root's rights again. */
	ASSERT_EQ(0, cp_set_user(0, 0, 0));
	ASSERT_WORKS();
}

/* What a security module forbids the caller is forbidden here, too. */
TEST_F(errors, eacces_of_a_sandbox)
{
	/* struct landlock_ruleset_attr: LANDLOCK_ACCESS_FS_MAKE_REG */
	uint64_t handled = 1 << 8;
	int fd = syscall(444, &handled, sizeof(handled), 0);

	if (fd < 0)
		SKIP(return, "no Landlock: %s", strerror(errno));
	ASSERT_EQ(0, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	ASSERT_EQ(0, syscall(446, fd, 0));
	ASSERT_EQ(-1, open("/tmp/forbidden", O_CREAT | O_WRONLY, 0600));
	ASSERT_EQ(EACCES, errno);
	ASSERT_FAILS(EACCES);
}

TEST_F(errors, enoent_without_a_tmp)
{
	TMP("tmpfs", NULL);
	ASSERT_EQ(0, mkdir("/tmp/empty", 0755));
	ASSERT_EQ(0, chroot("/tmp/empty"));
	ASSERT_FAILS(ENOENT);
	/* The caller's root counts, and a folder is all it needs. */
	ASSERT_EQ(0, mkdir("/tmp", 01777));
	ASSERT_WORKS();
}

TEST_F(errors, enotdir)
{
	TMP("tmpfs", NULL);
	ASSERT_EQ(0, mkdir("/tmp/root", 0755));
	ASSERT_EQ(0, chroot("/tmp/root"));
	close(open("/tmp", O_CREAT | O_EXCL, 0600));
	errno = 0;
	ASSERT_EQ(-1, cp_range(self->mem, self->mem + LEN));
	ASSERT_EQ(ENOTDIR, errno) TH_LOG("%s", strerror(errno));
	ASSERT_EQ(0, unlink("/tmp"));
	ASSERT_EQ(0, mkdir("/tmp", 01777));
	ASSERT_WORKS();
}

/* The call needs no descriptor: a program that has used up its own may call. */
TEST_F(errors, no_emfile)
{
	struct rlimit limit = { 3, 3 }, old;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	limit.rlim_max = old.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_EQ(-1, open("/", O_RDONLY));
	ASSERT_EQ(EMFILE, errno);
	ASSERT_EQ(0, cp_range(self->mem, self->mem + LEN)) TH_LOG("%m");
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	cpimg_close(cp_open(getpid(), 0));
	unlink(cp_name(getpid(), 0));
}

/* The whole system's files used up; root may go beyond, so not as root. */
TEST_F(errors, enfile)
{
	long max = cp_read_number("/proc/sys/fs/file-max");
	int low, failed;

	if (max < 0)
		SKIP(return, "no file-max: %s", strerror(errno));
	low = open("/proc/sys/fs/file-max", O_WRONLY);
	ASSERT_LE(0, low);
	/* The kernel counts by the batch: a few open files may count as none. */
	for (int i = 0; i < 300; i++) {
		ASSERT_LE(0, open("/", O_RDONLY));
	}
	chmod("/tmp", 01777);
	ASSERT_EQ(1, write(low, "1", 1));
	ASSERT_EQ(0, cp_set_user(1000, 1000, 0));
	errno = 0;
	failed = cp_range(self->mem, self->mem + LEN) ? errno : 0;
	ASSERT_EQ(0, cp_set_user(0, 0, 0));
	lseek(low, 0, SEEK_SET);
	dprintf(low, "%ld", max);
	close(low);
	ASSERT_EQ(ENFILE, failed) TH_LOG("%s", strerror(failed));
	ASSERT_OK(cp_no_file(getpid(), 0));
	ASSERT_WORKS();
}

/* /tmp may itself be a symbolic link, as on some systems; our file may not. */
TEST_F(errors, none_when_tmp_is_a_link)
{
	TMP("tmpfs", NULL);
	ASSERT_EQ(0, mkdir("/tmp/root", 0755));
	ASSERT_EQ(0, mkdir("/tmp/root/real", 01777));
	ASSERT_EQ(0, symlink("real", "/tmp/root/tmp"));
	ASSERT_EQ(0, chroot("/tmp/root"));
	ASSERT_EQ(0, chdir("/"));
	ASSERT_WORKS();
}

TEST_HARNESS_MAIN
