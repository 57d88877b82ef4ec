// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 --disk 32 */
/* cp_sync(): an image that is on the disk; cp_image_name(): what it is called. */
#include <limits.h>
#include <sys/mount.h>

#include "cp_test.h"
#include "harness.h"

#define LEN		(1UL << 20)
#define KPF_DIRTY	4
#define KPF_WRITEBACK	8

/* How many pages of a file are not on the disk yet, or -1. */
static int not_on_disk(const char *path)
{
	int fd = open(path, O_RDONLY), pages = 0;
	struct stat st;
	char *mem;

	if (fd < 0 || fstat(fd, &st))
		return -1;
	mem = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	close(fd);
	if (mem == MAP_FAILED)
		return -1;
	for (off_t at = 0; at < st.st_size; at += PAGE) {
		uint64_t flags = cp_kpageflags(mem + at);

		pages += flags >> KPF_DIRTY & 1 || flags >> KPF_WRITEBACK & 1;
	}
	munmap(mem, st.st_size);
	return pages;
}

TEST(image_is_on_the_disk)
{
	char name[CP_RANGE_NAME_SIZE], *mem = cp_map(LEN);

	if (access("/disk/lost+found", F_OK))
		SKIP(return, "no /disk");
	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	ASSERT_EQ(0, mount("/disk", "/tmp", NULL, MS_BIND, NULL));
	cp_fill(mem, LEN, 1);
	for (unsigned long n = 0; n < 3; n++) {
		mem[n * PAGE]++;
		ASSERT_EQ(0, inc_cp_range(mem, mem + LEN));
		ASSERT_LT(0, not_on_disk(cp_image_name(name, getpid(), n)));
		ASSERT_EQ(0, cp_sync(getpid(), n)) TH_LOG("%m");
		ASSERT_EQ(0, not_on_disk(name));
	}
}

/* There fsync() succeeds, and a power cut takes it all the same. */
TEST(image_in_memory_is_no_safe_image)
{
	static const char *const kinds[] = { "tmpfs", "ramfs" };
	char *mem = cp_map(LEN);

	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	cp_fill(mem, LEN, 1);
	for (unsigned long n = 0; n < ARRAY_SIZE(kinds); n++) {
		ASSERT_EQ(0, mount(kinds[n], "/tmp", kinds[n], 0, NULL));
		ASSERT_EQ(0, inc_cp_range(mem, mem + LEN));
		errno = 0;
		EXPECT_EQ(-1, cp_sync(getpid(), n)) TH_LOG("%s", kinds[n]);
		EXPECT_EQ(EOPNOTSUPP, errno) TH_LOG("%s: %m", kinds[n]);
		errno = 0;
		EXPECT_EQ(-1, cp_sync(getpid(), 77));
		EXPECT_EQ(ENOENT, errno) TH_LOG("%s: %m", kinds[n]);
	}
}

TEST(no_such_image)
{
	errno = 0;
	ASSERT_EQ(-1, cp_sync(getpid(), 77));
	ASSERT_EQ(ENOENT, errno);
}

TEST(names)
{
	char name[CP_RANGE_NAME_SIZE];

	EXPECT_STREQ("/tmp/0-cp0", cp_image_name(name, 0, 0));
	EXPECT_STREQ("/tmp/1234-cp10", cp_image_name(name, 1234, 10));
	EXPECT_STREQ(sizeof(long) == 8 ? "/tmp/4294967295-cp18446744073709551615" :
		     "/tmp/4294967295-cp4294967295",
		     cp_image_name(name, UINT_MAX, ULONG_MAX));
}

TEST_HARNESS_MAIN
