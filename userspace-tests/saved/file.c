// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 */
/*
 * The file: its name, mode and owner; and that nothing which is already there
 * under its name is followed, opened or changed.
 */
#include <sys/sysmacros.h>

#include "cp_test.h"
#include "harness.h"

static char page[PAGE] __attribute__((aligned(PAGE)));

static long dump(void)
{
	return cp_range(page, page + PAGE);
}

FIXTURE(file) {
	char	name[64];	/* of the next image */
	char	target[64];
};

FIXTURE_SETUP(file)
{
	cp_fill(page, PAGE, 1);
	snprintf(self->name, sizeof(self->name), "%s", cp_name(getpid(), 0));
	snprintf(self->target, sizeof(self->target), "/tmp/target.%d", getpid());
}

FIXTURE_TEARDOWN(file)
{
	unlink(self->name);
	rmdir(self->name);
	unlink(self->target);
}

TEST_F(file, is_ours_alone_whatever_the_umask)
{
	static const mode_t masks[] = { 0022, 0, 0077, 0777 };

	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		struct stat st;

		umask(masks[i]);
		ASSERT_EQ(0, dump()) TH_LOG("%m");
		ASSERT_EQ(0, lstat(cp_name(getpid(), i), &st));
		ASSERT_EQ(0, unlink(cp_name(getpid(), i)));
		EXPECT_TRUE(S_ISREG(st.st_mode));
		/* a mask may take away, as with every file, but not add */
		EXPECT_EQ(0600 & ~masks[i], st.st_mode & 07777)
			TH_LOG("umask %o: mode %o", masks[i], st.st_mode);
		EXPECT_EQ(geteuid(), st.st_uid);
		EXPECT_EQ(getegid(), st.st_gid);
		EXPECT_EQ(1, st.st_nlink);
		EXPECT_LT(2 * PAGE, st.st_size);
	}
}

static void as_user(void *arg)
{
	struct stat st;

	if (setgid(1234) || cp_set_user(4321, 4321, 4321))
		_exit(10);
	if (dump()) {
		perror("# cp_range");
		_exit(11);
	}
	if (stat(cp_name(getpid(), 0), &st) || st.st_uid != 4321 ||
	    st.st_gid != 1234 || (st.st_mode & 07777) != 0600)
		_exit(12);
	/* Readable for whom it belongs to. */
	cpimg_close(cp_open(getpid(), 0));
	unlink(cp_name(getpid(), 0));
	_exit(0);
}

TEST_F(file, belongs_to_an_ordinary_user_who_calls)
{
	ASSERT_EQ(0, cp_run(as_user, NULL));
}

TEST_F(file, leaves_no_descriptor_open)
{
	int before = open("/", O_RDONLY), after;

	close(before);
	ASSERT_EQ(0, dump());
	after = open("/", O_RDONLY);
	EXPECT_EQ(before, after);
	close(after);
}

TEST_F(file, that_is_already_there_is_not_touched)
{
	char text[16] = "";
	struct stat st;
	int fd = open(self->name, O_CREAT | O_EXCL | O_RDWR, 0644);

	ASSERT_LE(0, fd);
	ASSERT_EQ(8, write(fd, "original", 8));
	EXPECT_EQ(-1, dump());
	EXPECT_EQ(EEXIST, errno);
	ASSERT_EQ(8, pread(fd, text, sizeof(text), 0));
	EXPECT_STREQ("original", text);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(1, st.st_nlink);
	EXPECT_EQ(0644, st.st_mode & 07777);
	close(fd);

	ASSERT_EQ(0, unlink(self->name));
	EXPECT_EQ(0, dump());
}

TEST_F(file, symbolic_link_to_a_file_is_not_followed)
{
	char text[16] = "";
	int fd = open(self->target, O_CREAT | O_EXCL | O_RDWR, 0666);

	ASSERT_EQ(8, write(fd, "original", 8));
	ASSERT_EQ(0, symlink(self->target, self->name));
	EXPECT_EQ(-1, dump());
	EXPECT_EQ(EEXIST, errno);
	EXPECT_EQ(8, pread(fd, text, sizeof(text), 0));
	EXPECT_STREQ("original", text);
	EXPECT_LT(0, readlink(self->name, text, sizeof(text)));
	close(fd);
}

TEST_F(file, dangling_symbolic_link_creates_nothing)
{
	struct stat st;

	ASSERT_EQ(0, symlink(self->target, self->name));
	EXPECT_EQ(-1, dump());
	EXPECT_EQ(EEXIST, errno);
	EXPECT_EQ(-1, lstat(self->target, &st));
	ASSERT_EQ(0, lstat(self->name, &st));
	EXPECT_TRUE(S_ISLNK(st.st_mode));
}

TEST_F(file, hard_link_is_not_written_to)
{
	struct stat st;
	int fd = open(self->target, O_CREAT | O_EXCL | O_RDWR, 0600);

	ASSERT_EQ(8, write(fd, "original", 8));
	ASSERT_EQ(0, link(self->target, self->name));
	EXPECT_EQ(-1, dump());
	EXPECT_EQ(EEXIST, errno);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(8, st.st_size);
	EXPECT_EQ(2, st.st_nlink);
	close(fd);
}

TEST_F(file, fifo_neither_hangs_nor_is_written_to)
{
	char c;
	int fd;

	ASSERT_EQ(0, mkfifo(self->name, 0666));
	fd = open(self->name, O_RDONLY | O_NONBLOCK);
	alarm(10);
	EXPECT_EQ(-1, dump());
	EXPECT_EQ(EEXIST, errno);
	EXPECT_EQ(0, read(fd, &c, 1));
	close(fd);
	/* Without a reader, where open() would wait for one. */
	EXPECT_EQ(-1, dump());
	EXPECT_EQ(EEXIST, errno);
}

TEST_F(file, directory_stays)
{
	struct stat st;

	ASSERT_EQ(0, mkdir(self->name, 0777));
	EXPECT_EQ(-1, dump());
	EXPECT_EQ(EEXIST, errno);
	ASSERT_EQ(0, lstat(self->name, &st));
	EXPECT_TRUE(S_ISDIR(st.st_mode));
}

TEST_F(file, device_is_not_opened)
{
	struct stat st;

	/* /dev/null would swallow it all and look like success */
	ASSERT_EQ(0, mknod(self->name, S_IFCHR | 0666, makedev(1, 3)));
	EXPECT_EQ(-1, dump());
	EXPECT_EQ(EEXIST, errno);
	ASSERT_EQ(0, lstat(self->name, &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
}

static void meets_the_file_of_another(void *arg)
{
	int *pipes = arg;
	char c;

	if (setgid(1000) || cp_set_user(1000, 1000, 1000))
		_exit(10);
	if (read(pipes[0], &c, 1) != 1)
		_exit(11);
	if (dump() != -1 || errno != EEXIST) {
		perror("# expected EEXIST");
		_exit(12);
	}
	_exit(0);
}

TEST_F(file, of_another_user_lying_in_wait_is_left_alone)
{
	int pipes[2], fd, status;
	struct stat st;
	char name[64];
	pid_t pid;

	ASSERT_EQ(0, pipe(pipes));
	pid = fork();
	if (!pid)
		meets_the_file_of_another(pipes);
	/* World-writable, so that only the rule about names protects us. */
	snprintf(name, sizeof(name), "%s", cp_name(pid, 0));
	fd = open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fchown(fd, 2000, 2000));
	ASSERT_EQ(0, fchmod(fd, 0666));
	ASSERT_EQ(1, write(pipes[1], "x", 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(0, st.st_size);
	EXPECT_EQ(2000, st.st_uid);
	EXPECT_EQ(1, st.st_nlink);
	close(fd);
	unlink(name);
}

TEST_HARNESS_MAIN
