// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 --disk 200 --disk xfs:400 */
/*
 * Pages go to the disk without a way through memory where the file system can do that,
 * and as ever where it cannot. The image is the same.
 */
#include <sys/mount.h>

#include "harness.h"
#include "moment.h"

#define LEN	(24UL << 20)

FIXTURE(direct) {
	char			*mem;
	struct chain		c;
	struct cp_args		args;
	struct cp_result	result;
};

FIXTURE_VARIANT(direct) {
	const char *folder;
	bool can;
};

FIXTURE_VARIANT_ADD(direct, ext4) { .folder = "/disk", .can = true };
FIXTURE_VARIANT_ADD(direct, xfs) { .folder = "/disk2", .can = true };
FIXTURE_VARIANT_ADD(direct, ramfs) { .folder = "/ramfs", .can = false };

FIXTURE_SETUP(direct)
{
	NEEDS_CP_CHECKPOINT();
	if (!variant->can) {
		mkdir(variant->folder, 0755);
		ASSERT_EQ(0, mount("none", variant->folder, "ramfs", 0, NULL));
	}
	self->mem = cp_map(LEN);
	cp_fill(self->mem, LEN, 1);
	self->args = (struct cp_args)CP_ARGS_OWN;
	self->args.flags = CP_DIRECT | CP_INCREMENTAL;
	self->args.dirfd = open(variant->folder, O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, self->args.dirfd) TH_LOG("%s: %m", variant->folder);
	/* The names lead there. */
	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	ASSERT_EQ(0, mount(variant->folder, "/tmp", NULL, MS_BIND, NULL));
}

FIXTURE_TEARDOWN(direct)
{
	chain_close(&self->c);
	chain_remove();
	close(self->args.dirfd);
}

/* How many of the image's pages are in memory, before anybody has read it. */
static long cached(const char *path)
{
	static unsigned char in[LEN / PAGE + 64];
	struct stat st;
	long nr = 0;
	int fd = open(path, O_RDONLY);
	void *at;

	if (fd < 0 || fstat(fd, &st) || (size_t)st.st_size > LEN + 64 * PAGE)
		return -1;
	at = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (at == MAP_FAILED || mincore(at, st.st_size, in))
		return -1;
	for (size_t i = 0; i < (st.st_size + PAGE - 1) / PAGE; i++)
		nr += in[i] & 1;
	munmap(at, st.st_size);
	return nr;
}

TEST_F(direct, is_the_same_image)
{
	long nr;

	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, cp_ask(&self->args, self->mem, LEN, &self->result)) TH_LOG("%m");
		EXPECT_EQ(i, self->result.n);
		EXPECT_EQ(variant->can, !!(self->result.flags & CP_DIRECT));
		nr = cached(cp_name(getpid(), i));
		TH_LOG("%ld of %llu pages are in memory", nr,
		       (unsigned long long)self->result.bytes / PAGE);
		if (variant->can) {
			/* headers and notes, which are written at the end */
			EXPECT_GE((long)(self->result.bytes / PAGE + 1 -
					 self->result.pages_data), nr);
		} else {
			EXPECT_LE((long)self->result.pages_data, nr);
		}
		ASSERT_OK(chain_open(&self->c, getpid(), i));
		EXPECT_OK(chain_matches(&self->c, self->mem, LEN));
		/* From the disk, once more */
		sync();
		cp_write_file("/proc/sys/vm/drop_caches", "3");
		ASSERT_OK(chain_open(&self->c, getpid(), i));
		EXPECT_OK(chain_matches(&self->c, self->mem, LEN));
		for (size_t at = i * PAGE; at < LEN; at += 7 * PAGE)
			self->mem[at + 3]++;
	}
}

TEST_F(direct, holes_and_single_pages)
{
	for (size_t at = 0; at < LEN; at += 3 * PAGE)
		madvise(self->mem + at, PAGE, MADV_DONTNEED);
	ASSERT_OK(chain_ask(&self->c, &self->args, self->mem, LEN, &self->result));
	EXPECT_OK(chain_matches(&self->c, self->mem, LEN));
	EXPECT_LE(LEN / PAGE / 3, self->result.pages_hole);
	self->mem[5 * PAGE]++;
	ASSERT_OK(chain_ask(&self->c, &self->args, self->mem, LEN, &self->result));
	EXPECT_OK(chain_matches(&self->c, self->mem, LEN));
	EXPECT_EQ(variant->can, !!(self->result.flags & CP_DIRECT));
}

TEST_F(direct, no_room)
{
	struct chain c = { 0 };
	size_t len = 600UL << 20;
	char *mem;

	if (!variant->can)
		SKIP(return, "it takes what there is of memory");
	/* The same page again and again: more than the disk has. */
	int fd = memfd_create("page", 0);

	ASSERT_EQ((ssize_t)LEN, write(fd, self->mem, LEN));
	mem = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t at = 0; at < len; at += LEN)
		ASSERT_NE(MAP_FAILED, mmap(mem + at, LEN, PROT_READ, MAP_FIXED | MAP_SHARED,
					   fd, 0));
	errno = 0;
	EXPECT_EQ(-1, cp_ask(&self->args, mem, len, &self->result));
	EXPECT_EQ(ENOSPC, errno) TH_LOG("%m");
	EXPECT_OK(cp_no_file(getpid(), 0));
	EXPECT_EQ(0, self->result.images);
	ASSERT_OK(chain_ask(&c, &self->args, self->mem, LEN, &self->result));
	EXPECT_EQ(0, self->result.n);
	EXPECT_OK(chain_matches(&c, self->mem, LEN));
	chain_close(&c);
	close(fd);
}

TEST_HARNESS_MAIN
