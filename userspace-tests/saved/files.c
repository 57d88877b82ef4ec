// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --smp 2 --swap 64 --disk 64 --disk xfs:300 --timeout 600 */
/*
 * What a mapping of a file is in an image. It is left to the file only where that is
 * sure to give the same bytes back, and else saved, whoever has the pages: our page
 * table, the page cache, a disk.
 *
 * That the image is the memory of the moment is found out as a reader would: holes
 * are read from the file that the image names, if it is the same still.
 */
#define _GNU_SOURCE
#include <linux/falloc.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <time.h>

#include "harness.h"
#include "kinds.h"
#include "mapped.h"
#include "needs.h"

#define PAGES	8
#define LEN	(PAGES * PAGE)
#define AT	CP_FAR(0x30)
#define RW	(PROT_READ | PROT_WRITE)

FIXTURE(files) {
	char		*mem;
	char		name[128];
	struct chain	c;
	bool		local;
};

FIXTURE_VARIANT(files) {
	enum kind_nr	kind;
};

FIXTURE_VARIANT_ADD(files, tmpfs) { KIND_TMPFS };
FIXTURE_VARIANT_ADD(files, ext4) { KIND_EXT4 };
FIXTURE_VARIANT_ADD(files, xfs) { KIND_XFS };
FIXTURE_VARIANT_ADD(files, lower) { KIND_LOWER };
FIXTURE_VARIANT_ADD(files, upper) { KIND_UPPER };
FIXTURE_VARIANT_ADD(files, lower_of_tmpfs) { KIND_MEMORY_LOWER };
FIXTURE_VARIANT_ADD(files, ninep) { KIND_9P };
FIXTURE_VARIANT_ADD(files, ninep_mmap) { KIND_9P_MMAP };
FIXTURE_VARIANT_ADD(files, fuse) { KIND_FUSE };
FIXTURE_VARIANT_ADD(files, nfs) { KIND_NFS };

FIXTURE_SETUP(files)
{
	const char *why = kind_begin(variant->kind);

	if (why)
		SKIP(return, "no %s here: %s", kinds[variant->kind].name, why);
	/* A page that is read brings no others into the page table. */
	cp_write_file("/sys/kernel/debug/fault_around_bytes", "4096");
	snprintf(self->name, sizeof(self->name), "%s", kind_path(variant->kind, "file"));
	ASSERT_EQ(0, kind_make(variant->kind, "file", LEN, 1)) TH_LOG("%m");
	self->local = kinds[variant->kind].local;
}

FIXTURE_TEARDOWN(files)
{
	chain_close(&self->c);
	chain_remove();
}

/* Nobody but the mapping itself has the file open. */
static char *map_file(const char *name, size_t len, int prot, int flags, int mode)
{
	int fd = open(name, mode | O_CLOEXEC);
	void *mem = fd < 0 ? MAP_FAILED :
		    mmap(AT, len, prot, flags | MAP_FIXED_NOREPLACE, fd, 0);
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return mem == MAP_FAILED ? NULL : mem;
}

#define MAP(len, prot, flags, mode) do { \
	self->mem = map_file(self->name, len, prot, flags, mode); \
	if (!self->mem && (errno == EINVAL || errno == ENODEV)) \
		SKIP(return, "%s has no such mappings: %s", \
		     kinds[variant->kind].name, strerror(errno)); \
	ASSERT_NE(NULL, self->mem) TH_LOG("%m"); \
} while (0)

#define PRIVATE()	MAP(LEN, RW, MAP_PRIVATE, O_RDONLY)
#define FULL()		ASSERT_OK(chain_full(&self->c, self->mem, LEN))
#define INC()		ASSERT_OK(chain_inc(&self->c, self->mem, LEN))
/* Nothing changed since the call: memory is still what it was then. */
#define MATCHES()	EXPECT_OK(mapped_matches(&self->c, self->mem, self->mem, LEN))
#define IS(page, nr, ...) \
	EXPECT_OK(cp_is(self->c.img, self->mem + (page) * PAGE, (nr) * PAGE, __VA_ARGS__))
#define LEFT		CPIMG_HOLE, CP_HOLE_FILE
#define NO_READ		CPIMG_SKIPPED, CP_SKIP_FAULT
#define DATA		CPIMG_DATA, 0

static void touch(const char *mem, unsigned int page, unsigned int nr)
{
	for (; nr; nr--, page++)
		*(volatile const char *)(mem + page * PAGE);
}

/* No page of it is left to a file. */
static const char *nothing_left(const struct chain *c, const char *mem, size_t len)
{
	for (size_t at = 0; at < len; at += PAGE) {
		const char *why = cp_is(c->img, mem + at, PAGE, LEFT);

		if (!why)
			return "a page is left to the file";
	}
	return NULL;
}

/* None of its bytes are in this image. */
static const char *nothing_saved(const struct chain *c, const char *mem, size_t len)
{
	return chain_pages(c, mem, len, CPIMG_DATA) ? "a page is saved" : NULL;
}

#define NOTHING_LEFT()	EXPECT_OK(nothing_left(&self->c, self->mem, LEN))

/* Saved now, and in what follows. */
#define ALL_SAVED() do { \
	FULL(); \
	IS(0, PAGES, DATA); \
	MATCHES(); \
	INC(); \
	NOTHING_LEFT(); \
	MATCHES(); \
} while (0)

static const char *write_now(const char *name, int flags, size_t from, size_t len, int c)
{
	char *bytes = malloc(len);
	int fd = open(name, flags | O_WRONLY | O_CLOEXEC, 0644);
	ssize_t n = -1;

	memset(bytes, c, len);
	if (fd >= 0) {
		n = pwrite(fd, bytes, len, from);
		close(fd);
	}
	free(bytes);
	return n == (ssize_t)len ? NULL : strerror(errno);
}

static const char *write_file(const char *name, int flags, size_t from, size_t len, int c)
{
	const char *why = write_now(name, flags, from, len, c);

	kind_settle();
	return why;
}

/*
 * Files with a name, and nobody who writes to them.
 */
TEST_F(files, that_stay_have_what_was_not_touched)
{
	PRIVATE();
	touch(self->mem, 0, 2);
	FULL();
	IS(0, 2, DATA);
	if (self->local)
		IS(2, PAGES - 2, LEFT);
	else
		IS(2, PAGES - 2, DATA);
	INC();
	if (self->local) {
		IS(0, 2, CPIMG_SAME, 0);
		EXPECT_OK(nothing_saved(&self->c, self->mem + 2 * PAGE, LEN - 2 * PAGE));
	} else {
		NOTHING_LEFT();
	}
	MATCHES();
}

TEST_F(files, mapped_shared_for_reading_only)
{
	MAP(LEN, PROT_READ, MAP_SHARED, O_RDONLY);
	FULL();
	/* The first page may be saved: it has to be looked at. */
	if (self->local)
		IS(1, PAGES - 1, LEFT);
	else
		IS(0, PAGES, DATA);
	touch(self->mem, 3, 1);
	FULL();
	IS(3, 1, DATA);
	INC();
	if (!self->local)
		NOTHING_LEFT();
	MATCHES();
}

/* What an image has is not given up, though the file has it too. */
TEST_F(files, do_not_take_over_what_the_chain_has)
{
	PRIVATE();
	touch(self->mem, 0, PAGES);
	FULL();
	IS(0, PAGES, DATA);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, madvise(self->mem, LEN, MADV_DONTNEED));
		INC();
		NOTHING_LEFT();
		MATCHES();
		INC();
		NOTHING_LEFT();
		if (self->local)
			IS(0, PAGES, CPIMG_SAME, 0);
		MATCHES();
	}
}

/* Without the file's first page, which has all of them read anew with it. */
TEST_F(files, do_not_take_over_what_the_chain_has_further_on)
{
	int fd = open(self->name, O_RDONLY | O_CLOEXEC);
	const size_t len = LEN - PAGE;

	self->mem = mmap(AT, len, RW, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, PAGE);
	ASSERT_NE(MAP_FAILED, (void *)self->mem) TH_LOG("%m");
	close(fd);
	touch(self->mem, 0, PAGES - 1);
	ASSERT_OK(chain_full(&self->c, self->mem, len));
	IS(0, PAGES - 1, DATA);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, madvise(self->mem, len, MADV_DONTNEED));
		ASSERT_OK(chain_inc(&self->c, self->mem, len));
		EXPECT_OK(nothing_left(&self->c, self->mem, len));
		EXPECT_OK(mapped_matches(&self->c, self->mem, self->mem, len));
	}
}

TEST_F(files, give_back_what_the_program_discards)
{
	PRIVATE();
	cp_fill(self->mem + PAGE, 3 * PAGE, 7);
	FULL();
	IS(1, 3, DATA);
	MATCHES();
	ASSERT_EQ(0, madvise(self->mem + 2 * PAGE, PAGE, MADV_DONTNEED));
	INC();
	MATCHES();
	cp_fill(self->mem + 2 * PAGE, PAGE, 8);
	INC();
	IS(2, 1, DATA);
	MATCHES();
}

/* Copies that the kernel makes for the program: no processor uses the page table. */
static const char *populate(char *mem)
{
	return madvise(mem, PAGE, MADV_POPULATE_WRITE) ? strerror(errno) : NULL;
}

static const char *lock_and_unlock(char *mem)
{
	return mlock(mem, PAGE) || munlock(mem, PAGE) ? strerror(errno) : NULL;
}

TEST_F(files, copied_for_the_program_are_its_own)
{
	const char *(*const copy[])(char *mem) = { populate, lock_and_unlock };
	const size_t table = 2UL << 20;	/* what a page table is for, as a whole */
	const char *why;

	PRIVATE();
	touch(self->mem, 0, 2);
	ASSERT_OK(chain_full(&self->c, self->mem, table));
	for (unsigned int i = 0; i < 2; i++) {
		/* The second finds that nobody has used the page table. */
		ASSERT_OK(chain_inc(&self->c, self->mem, table));
		ASSERT_OK(chain_inc(&self->c, self->mem, table));
		why = copy[i](self->mem + (4 + i) * PAGE);
		if (why)
			SKIP(return, "%s", why);
		ASSERT_OK(chain_inc(&self->c, self->mem, table));
		IS(4 + i, 1, DATA);
		MATCHES();
	}
}

/*
 * Files that others write to.
 */
TEST_F(files, with_a_writer_are_saved)
{
	int fd = open(self->name, O_RDWR);

	ASSERT_LE(0, fd) TH_LOG("%m");
	PRIVATE();
	touch(self->mem, 0, 2);
	ALL_SAVED();
	ASSERT_EQ(5, pwrite(fd, "other", 5, 3 * PAGE));
	INC();
	NOTHING_LEFT();
	MATCHES();
	ASSERT_EQ(0, close(fd));
	INC();
	NOTHING_LEFT();
	MATCHES();
}

/* No descriptor is open, and each store of the program changes the file. */
TEST_F(files, mapped_for_writing_elsewhere_are_saved)
{
	int fd = open(self->name, O_RDWR);
	char *shared = mmap(NULL, LEN, RW, MAP_SHARED, fd, 0);

	close(fd);
	if (shared == MAP_FAILED)
		SKIP(return, "%s has no such mappings: %s", kinds[variant->kind].name,
		     strerror(errno));
	PRIVATE();
	ALL_SAVED();
	shared[5 * PAGE]++;
	INC();
	NOTHING_LEFT();
	MATCHES();
}

TEST_F(files, written_between_checkpoints_are_saved_anew)
{
	PRIVATE();
	touch(self->mem, 0, 3);
	FULL();
	INC();
	MATCHES();
	ASSERT_OK(write_file(self->name, 0, 0, LEN, 'B'));
	INC();
	MATCHES();
	INC();
	MATCHES();
	ASSERT_OK(write_file(self->name, 0, PAGE, PAGE, 'C'));
	INC();
	MATCHES();
}

/* The program has a page of its own there: for that its page table is looked at. */
TEST_F(files, written_between_checkpoints_beside_a_page_of_the_program)
{
	PRIVATE();
	touch(self->mem, 0, PAGES);
	self->mem[2 * PAGE] = 'o';
	FULL();
	INC();
	MATCHES();
	ASSERT_OK(write_file(self->name, 0, 0, LEN, 'B'));
	INC();
	MATCHES();
	self->mem[6 * PAGE] = 'o';
	INC();
	MATCHES();
}

/* As tar and rsync set it: the mtime and the size are as before. */
TEST_F(files, written_with_their_mtime_set_back_are_saved_anew)
{
	struct timespec times[2];
	struct stat st;

	PRIVATE();
	touch(self->mem, 0, PAGES);
	FULL();
	ASSERT_EQ(0, stat(self->name, &st));
	ASSERT_OK(write_file(self->name, 0, 0, LEN, 'B'));
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	ASSERT_EQ(0, utimensat(AT_FDCWD, self->name, times, 0));
	kind_settle();
	INC();
	MATCHES();
	INC();
	MATCHES();
}

/* Whether the clock that stamps files shows what the file's change time is. */
static bool is_of_this_tick(const char *name)
{
	struct timespec now;
	struct stat st;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return !stat(name, &st) && st.st_ctim.tv_sec == now.tv_sec &&
	       st.st_ctim.tv_nsec == now.tv_nsec;
}

#define TICK_TRIES	200

/* A full checkpoint in the very tick of the clock in which the file is changed. */
#define FULL_IN_TICK(change) do { \
	int try_; \
	for (try_ = 0; try_ < TICK_TRIES; try_++) { \
		ASSERT_OK(change(self->name, try_)); \
		FULL(); \
		if (is_of_this_tick(self->name)) \
			break; \
		chain_remove(); \
	} \
	if (try_ == TICK_TRIES) \
		SKIP(return, "a checkpoint takes longer than a tick of the clock"); \
} while (0)

static const char *write_a_byte(const char *name, int nth)
{
	return write_now(name, 0, 5 * PAGE, 1, 'x');
}

static const char *change_mode(const char *name, int nth)
{
	return chmod(name, 0600 + nth % 2 * 0044) ? strerror(errno) : NULL;
}

/* A change in the same tick of the clock is not to be told from none. */
TEST_F(files, just_written_are_saved)
{
	PRIVATE();
	FULL_IN_TICK(write_a_byte);
	if (variant->kind != KIND_LOWER)	/* copied up: another file by now */
		NOTHING_LEFT();
	MATCHES();
}

/* Nor is it when nothing waits to be written back: its times alone have changed. */
TEST_F(files, just_changed_in_their_mode_are_saved)
{
	PRIVATE();
	FULL_IN_TICK(change_mode);
	NOTHING_LEFT();
	MATCHES();
}

/* After a crash the disk has the times, and not these bytes. */
TEST_F(files, not_written_back_are_saved)
{
	PRIVATE();
	ASSERT_OK(write_a_byte(self->name, 0));
	usleep(50 * 1000);		/* some ticks, and not till it is written back */
	FULL();
	if (variant->kind != KIND_LOWER)	/* copied up: another file by now */
		NOTHING_LEFT();
	MATCHES();
}

/*
 * Files whose name does not lead to them.
 */
TEST_F(files, without_a_name_are_saved)
{
	PRIVATE();
	touch(self->mem, 0, 2);
	FULL();
	ASSERT_EQ(0, unlink(self->name)) TH_LOG("%m");
	INC();
	NOTHING_LEFT();
	MATCHES();
	ALL_SAVED();
}

TEST_F(files, of_which_another_link_is_left_are_saved)
{
	char other[160];

	snprintf(other, sizeof(other), "%s.link", self->name);
	PRIVATE();
	touch(self->mem, 0, 2);
	if (link(self->name, other))
		SKIP(return, "no links: %s", strerror(errno));
	kind_settle();
	FULL();
	MATCHES();
	ASSERT_EQ(0, unlink(self->name));
	INC();
	NOTHING_LEFT();
	MATCHES();
	ALL_SAVED();
}

/* As packages are installed. */
TEST_F(files, whose_name_another_has_taken_are_saved)
{
	char other[160];

	snprintf(other, sizeof(other), "%s.new", self->name);
	PRIVATE();
	touch(self->mem, 0, 2);
	FULL();
	ASSERT_OK(write_file(other, O_CREAT, 0, LEN, 'B'));
	ASSERT_EQ(0, rename(other, self->name));
	INC();
	NOTHING_LEFT();
	MATCHES();
	ALL_SAVED();
	/* Even when there is a link to it elsewhere, by which it has a count. */
	INC();
	NOTHING_LEFT();
	MATCHES();
}

TEST_F(files, whose_link_is_kept_while_another_takes_the_name_are_saved)
{
	char other[160], backup[160];

	snprintf(other, sizeof(other), "%s.new", self->name);
	snprintf(backup, sizeof(backup), "%s.backup", self->name);
	if (link(self->name, backup))
		SKIP(return, "no links: %s", strerror(errno));
	kind_settle();
	PRIVATE();
	touch(self->mem, 0, PAGES);
	FULL();
	ASSERT_OK(write_file(other, O_CREAT, 0, LEN, 'B'));
	ASSERT_EQ(0, rename(other, self->name));
	INC();
	NOTHING_LEFT();
	MATCHES();
	ALL_SAVED();
}

/* The kernel knows the new name, and so does the image. */
TEST_F(files, moved_have_their_new_name)
{
	struct mapped m;
	char other[160];

	snprintf(other, sizeof(other), "%s.moved", self->name);
	PRIVATE();
	ASSERT_EQ(0, rename(self->name, other)) TH_LOG("%m");
	kind_settle();
	FULL();
	MATCHES();
	/* A file of a lower layer is copied: the name leads to the copy. */
	if (variant->kind == KIND_LOWER || variant->kind == KIND_MEMORY_LOWER)
		NOTHING_LEFT();
	else if (self->local)
		IS(1, PAGES - 1, LEFT);
	ASSERT_OK(mapped_at(self->c.img, self->mem, &m));
	EXPECT_STREQ(other, m.name);
}

TEST_F(files, below_another_mount_are_saved)
{
	PRIVATE();
	touch(self->mem, 0, 2);
	FULL();
	ASSERT_EQ(0, mount("none", kinds[variant->kind].folder, "tmpfs", 0, NULL));
	/* Another one of the same name */
	ASSERT_OK(write_file(self->name, O_CREAT, 0, LEN, 'B'));
	INC();
	NOTHING_LEFT();
	MATCHES();
	ALL_SAVED();
}

TEST_F(files, of_what_is_not_mounted_any_more_are_saved)
{
	PRIVATE();
	touch(self->mem, 0, 2);
	FULL();
	ASSERT_EQ(0, umount2(kinds[variant->kind].folder, MNT_DETACH));
	INC();
	NOTHING_LEFT();
	MATCHES();
	ALL_SAVED();
}

TEST_F(files, outside_of_the_root_are_saved)
{
	PRIVATE();
	touch(self->mem, 0, 2);
	FULL();
	mkdir("/kinds/root", 0755);
	mkdir("/kinds/root/tmp", 01777);
	ASSERT_EQ(0, mount("/tmp", "/kinds/root/tmp", NULL, MS_BIND, NULL));
	ASSERT_EQ(0, chroot("/kinds/root"));
	INC();
	NOTHING_LEFT();
	MATCHES();
	ALL_SAVED();
	/* Nor is one that the new root has under that name taken for it. */
	mkdir("/kinds", 0755);
	mkdir(kinds[variant->kind].folder, 0755);
	ASSERT_OK(write_file(self->name, O_CREAT, 0, LEN, 'B'));
	ALL_SAVED();
}

/*
 * Shared memory: the state of the program, wherever its pages are.
 */
#define SHARED()	MAP(LEN, RW, MAP_SHARED, O_RDWR)

TEST_F(files, mapped_shared_are_saved_whole)
{
	SHARED();
	cp_fill(self->mem, LEN, 3);
	ALL_SAVED();
	/* Out of our page table */
	ASSERT_EQ(0, madvise(self->mem, LEN, MADV_DONTNEED));
	ALL_SAVED();
	/* Out of memory */
	ASSERT_EQ(0, msync(self->mem, LEN, MS_SYNC));
	if (!cp_lacks_advice("MADV_PAGEOUT", MADV_PAGEOUT)) {
		madvise(self->mem, LEN, MADV_PAGEOUT);
		cp_write_file("/proc/sys/vm/drop_caches", "1");
		EXPECT_EQ(0, cp_pagemap(self->mem) >> 63);
	}
	ALL_SAVED();
	/* Written by others. */
	ASSERT_OK(write_file(self->name, 0, 2 * PAGE, PAGE, 'W'));
	INC();
	NOTHING_LEFT();
	MATCHES();
	self->mem[6 * PAGE]++;
	INC();
	NOTHING_LEFT();
	MATCHES();
}

TEST_F(files, mapped_shared_without_a_name_are_saved_whole)
{
	SHARED();
	ASSERT_EQ(0, unlink(self->name));
	cp_fill(self->mem, LEN, 3);
	msync(self->mem, LEN, MS_SYNC);
	madvise(self->mem, LEN, MADV_PAGEOUT);
	ALL_SAVED();
	madvise(self->mem, LEN, MADV_PAGEOUT);
	INC();
	NOTHING_LEFT();
	MATCHES();
}

/* It has none of the pages in its own page table. */
static void child_saves(void *arg)
{
	char *mem = arg;
	struct chain c = { 0 };
	const char *why = chain_full(&c, mem, LEN);

	if (!why)
		why = cp_is(c.img, mem, LEN, DATA);
	if (!why)
		why = mapped_matches(&c, mem, mem, LEN);
	if (!why)
		why = chain_inc(&c, mem, LEN);
	if (!why)
		why = nothing_left(&c, mem, LEN);
	if (!why)
		why = mapped_matches(&c, mem, mem, LEN);
	if (why)
		fprintf(stderr, "# the child: %s\n", why);
	_exit(!!why);
}

TEST_F(files, mapped_shared_are_saved_whole_by_a_child)
{
	SHARED();
	cp_fill(self->mem, LEN, 3);
	EXPECT_EQ(0, cp_run(child_saves, self->mem));
	ASSERT_EQ(0, unlink(self->name));
	EXPECT_EQ(0, cp_run(child_saves, self->mem));
}

TEST_F(files, blocks_that_a_file_does_not_have_are_holes)
{
	size_t len = 64 * PAGE;

	if (!kinds[variant->kind].sparse)
		SKIP(return, "%s does not tell", kinds[variant->kind].name);
	ASSERT_OK(write_file(self->name, O_TRUNC, 40 * PAGE, PAGE, 'D'));
	ASSERT_EQ(0, truncate(self->name, len));
	kind_settle();
	MAP(len, RW, MAP_SHARED, O_RDWR);
	ASSERT_OK(chain_full(&self->c, self->mem, len));
	IS(0, 40, CPIMG_HOLE, CP_HOLE_ZERO);
	IS(40, 1, DATA);
	IS(41, 23, CPIMG_HOLE, CP_HOLE_ZERO);
	self->mem[10 * PAGE] = 'x';
	ASSERT_OK(chain_inc(&self->c, self->mem, len));
	/* Some file systems take more than the page at a time. */
	EXPECT_GT(40, chain_pages(&self->c, self->mem, len, CPIMG_DATA));
	IS(10, 1, DATA);
	EXPECT_OK(mapped_matches(&self->c, self->mem, self->mem, len));
	/* Punched by another: zeros again. */
	if (!madvise(self->mem + 40 * PAGE, PAGE, MADV_REMOVE)) {
		ASSERT_OK(chain_inc(&self->c, self->mem, len));
		EXPECT_OK(mapped_matches(&self->c, self->mem, self->mem, len));
	}
}

TEST_F(files, left_out_on_demand)
{
	NEEDS_ADVICE(MADV_DONTDUMP);
	SHARED();
	cp_fill(self->mem, LEN, 3);
	ASSERT_EQ(0, madvise(self->mem, LEN, MADV_DONTDUMP));
	madvise(self->mem, LEN, MADV_PAGEOUT);
	FULL();
	IS(0, PAGES, CPIMG_SKIPPED, CP_SKIP_DONTDUMP);
	INC();
	IS(0, PAGES, CPIMG_SKIPPED, CP_SKIP_DONTDUMP);
	ASSERT_EQ(0, madvise(self->mem, LEN, MADV_DODUMP));
	INC();
	IS(0, PAGES, DATA);
	MATCHES();
}

/*
 * Past the end: SIGBUS on a read, for files of all kinds, and never the call's error.
 */
static const struct {
	const char	*what;
	int		prot, flags, mode;
} how[] = {
	{ "private", RW, MAP_PRIVATE, O_RDONLY },
	{ "shared", RW, MAP_SHARED, O_RDWR },
	{ "shared, for reading", PROT_READ, MAP_SHARED, O_RDONLY },
};

TEST_F(files, end_where_they_end)
{
	/* Copied up when it is written: the mapping stays as it is. */
	bool lower = variant->kind == KIND_LOWER || variant->kind == KIND_MEMORY_LOWER;

	for (size_t i = 0; i < ARRAY_SIZE(how); i++) {
		size_t len = LEN + 4 * PAGE;
		char name[16];

		snprintf(name, sizeof(name), "file%zu", i);
		snprintf(self->name, sizeof(self->name), "%s",
			 kind_path(variant->kind, name));
		ASSERT_EQ(0, kind_make(variant->kind, name, LEN - 100, 1));
		self->mem = map_file(self->name, len, how[i].prot, how[i].flags,
				     how[i].mode);
		if (!self->mem) {
			TH_LOG("no mapping, %s, of %s", how[i].what,
			       kinds[variant->kind].name);
			continue;
		}
		TH_LOG("%s", how[i].what);
		for (int inc = 0; inc < 2; inc++) {
			ASSERT_OK(inc ? chain_inc(&self->c, self->mem, len) :
				  chain_full(&self->c, self->mem, len));
			IS(PAGES, 4, NO_READ);
			MATCHES();
			touch(self->mem, 5, 3);
		}
		/* Longer, by another. */
		ASSERT_EQ(0, truncate(self->name, LEN + 2 * PAGE));
		kind_settle();
		ASSERT_OK(chain_inc(&self->c, self->mem, len));
		if (!lower || how[i].mode == O_RDWR) {
			IS(PAGES + 2, 2, NO_READ);
			EXPECT_OK(mapped_matches(&self->c, self->mem, self->mem,
						 LEN + 2 * PAGE));
		} else {
			IS(PAGES, 4, NO_READ);
		}
		/* Shorter: what the chain has of it is gone. */
		ASSERT_EQ(0, truncate(self->name, 2 * PAGE + 1));
		kind_settle();
		ASSERT_OK(chain_inc(&self->c, self->mem, len));
		if (!lower || how[i].mode == O_RDWR) {
			IS(3, PAGES + 1, NO_READ);
			EXPECT_OK(mapped_matches(&self->c, self->mem, self->mem,
						 3 * PAGE));
		}
		ASSERT_OK(chain_full(&self->c, self->mem, len));
		if (!lower || how[i].mode == O_RDWR)
			IS(3, PAGES + 1, NO_READ);
		/* And as it was. */
		ASSERT_EQ(0, truncate(self->name, LEN));
		kind_settle();
		ASSERT_OK(chain_inc(&self->c, self->mem, len));
		MATCHES();
		ASSERT_EQ(0, munmap(self->mem, len));
	}
}

/* A file of no bytes at all. */
TEST_F(files, that_are_empty)
{
	ASSERT_EQ(0, truncate(self->name, 0));
	kind_settle();
	for (size_t i = 0; i < ARRAY_SIZE(how); i++) {
		self->mem = map_file(self->name, LEN, how[i].prot, how[i].flags,
				     how[i].mode);
		if (!self->mem)
			continue;
		FULL();
		IS(0, PAGES, NO_READ);
		INC();
		IS(0, PAGES, NO_READ);
		ASSERT_EQ(0, munmap(self->mem, LEN));
	}
}

/*
 * Debuggers find out by the first page of a program or library which one it is.
 */
TEST_F(files, of_programs_begin_in_every_image)
{
	struct cpimg_piece piece;
	char magic[4];

	ASSERT_EQ(0, kind_make(variant->kind, "file", 1, 1));
	ASSERT_EQ(0, cp_copy("/proc/self/exe", self->name));
	kind_settle();
	MAP(LEN, PROT_READ | PROT_EXEC, MAP_PRIVATE, O_RDONLY);
	FULL();
	IS(0, 1, DATA);
	if (self->local && variant->kind != KIND_LOWER)
		IS(1, PAGES - 1, LEFT);
	for (int i = 0; i < 3; i++) {
		touch(self->mem, 0, i);
		INC();
		IS(0, 1, DATA);
		ASSERT_EQ(0, cpimg_chain_resolve(self->c.all,
						 cpimg_chain_length(self->c.all) - 1,
						 (uintptr_t)self->mem, &piece, NULL));
		EXPECT_EQ(CPIMG_DATA, piece.cls);
		ASSERT_EQ(0, cpimg_pread(self->c.img, (uintptr_t)self->mem, magic, 4, NULL));
		EXPECT_EQ(0, memcmp(magic, "\177ELF", 4));
		MATCHES();
	}
}

/*
 * A hole, bytes, and a hole again, of which nothing is in memory: the file system alone
 * knows where they are.
 */
TEST_F(files, with_holes_have_what_is_between)
{
	ASSERT_OK(write_file(self->name, O_TRUNC, 3 * PAGE, 2 * PAGE, 'B'));
	if (truncate(self->name, LEN))
		SKIP(return, "no such file: %s", strerror(errno));
	for (int shared = 0; shared < 2; shared++) {
		int fd = open(self->name, O_RDONLY);

		ASSERT_EQ(0, fsync(fd));
		close(fd);
		ASSERT_EQ(0, cp_write_file("/proc/sys/vm/drop_caches", "1"));
		MAP(LEN, PROT_READ, shared ? MAP_SHARED : MAP_PRIVATE, O_RDONLY);
		FULL();
		MATCHES();
		INC();
		MATCHES();
		munmap(self->mem, LEN);
	}
	self->mem = NULL;
}

/*
 * Sparse files of a size that makes a loop over pages endless.
 */
TEST_F(files, of_a_tebibyte_take_milliseconds)
{
	size_t len = TEBIBYTE;
	double took;

	if (!kinds[variant->kind].sparse)
		SKIP(return, "%s does not tell which blocks there are",
		     kinds[variant->kind].name);
	for (size_t i = 0; i < ARRAY_SIZE(how); i++) {
		ASSERT_OK(write_file(self->name, O_TRUNC, 0, PAGE, 'M'));
		if (truncate(self->name, len))
			SKIP(return, "no such file on %s: %s", kinds[variant->kind].name,
			     strerror(errno));
		ASSERT_OK(write_file(self->name, 0, len / 2, PAGE, 'M'));
		kind_settle();
		self->mem = map_file(self->name, len, how[i].prot,
				     how[i].flags | MAP_NORESERVE, how[i].mode);
		ASSERT_NE(NULL, self->mem) TH_LOG("%m");
		for (int inc = 0; inc < 2; inc++) {
			took = cp_now();
			ASSERT_OK(inc ? chain_inc(&self->c, self->mem, len) :
				  chain_full(&self->c, self->mem, len));
			took = cp_now() - took;
			TH_LOG("%s, %s: %.1f ms, %llu runs", how[i].what,
			       inc ? "incremental" : "full", took * 1000,
			       (unsigned long long)cpimg_note(self->c.img)->runs);
			EXPECT_GT(2, took);
			EXPECT_GT(16, cpimg_note(self->c.img)->runs);
			EXPECT_OK(mapped_matches(&self->c, self->mem + len / 2,
						 self->mem + len / 2, PAGE));
		}
		ASSERT_EQ(0, munmap(self->mem, len));
	}
}

/*
 * Files that are no files of a folder.
 */
FIXTURE(others) {
	char		*mem;
	struct chain	c;
};

FIXTURE_SETUP(others)
{
	self->mem = NULL;
	cp_write_file("/sys/kernel/debug/fault_around_bytes", "4096");
}

FIXTURE_TEARDOWN(others)
{
	chain_close(&self->c);
	chain_remove();
	cp_write_file("/proc/sys/vm/nr_hugepages", "0");
}

/* Of which mmap() takes VM_SHARED away, since no writing comes by them. */
TEST_F(others, shared_memory_by_a_descriptor_for_reading)
{
	int fd = open("/dev/shm/others", O_CREAT | O_TRUNC | O_RDWR, 0600), ro;
	char *writer;

	ASSERT_EQ(0, ftruncate(fd, LEN));
	writer = mmap(NULL, LEN, RW, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, writer);
	cp_fill(writer, LEN, 1);
	ro = open("/dev/shm/others", O_RDONLY);
	self->mem = mmap(AT, LEN, PROT_READ, MAP_SHARED | MAP_FIXED, ro, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	ALL_SAVED();
	touch(self->mem, 0, 1);
	ALL_SAVED();
	/* No writer is left, but one may come. */
	munmap(writer, LEN);
	close(fd);
	ALL_SAVED();
	unlink("/dev/shm/others");
	ALL_SAVED();
}

/* A name by which others find it, or none from the beginning. */
TEST_F(others, made_without_a_name)
{
	int fd = open(access("/disk/lost+found", F_OK) ? "/dev/shm" : "/disk",
		      O_TMPFILE | O_RDWR, 0600);
	char bytes[LEN];

	if (fd < 0)
		SKIP(return, "no O_TMPFILE: %s", strerror(errno));
	cp_fill(bytes, LEN, 5);
	ASSERT_EQ((ssize_t)LEN, write(fd, bytes, LEN));
	fsync(fd);
	for (int shared = 0; shared < 2; shared++) {
		self->mem = mmap(AT, LEN, RW, shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);
		ASSERT_EQ(AT, self->mem);
		ALL_SAVED();
		munmap(self->mem, LEN);
	}
	self->mem = mmap(AT, LEN, RW, MAP_PRIVATE, fd, 0);
	close(fd);
	ALL_SAVED();
}

/* It cannot change any more, but dies with the last descriptor. */
TEST_F(others, sealed_memory_file)
{
	char bytes[LEN];
	int fd;

	NEEDS_CALL(memfd_create);
	fd = memfd_create("sealed", MFD_ALLOW_SEALING);
	ASSERT_LE(0, fd);
	cp_fill(bytes, LEN, 5);
	ASSERT_EQ((ssize_t)LEN, write(fd, bytes, LEN));
	ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW));
	self->mem = mmap(AT, LEN, RW, MAP_PRIVATE, fd, 0);
	ASSERT_EQ(AT, self->mem);
	ALL_SAVED();
	munmap(self->mem, LEN);
	self->mem = mmap(AT, LEN, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_EQ(AT, self->mem);
	ALL_SAVED();
}

/* Of another process that wrote it, or in swap. */
TEST_F(others, shared_memory_that_is_nobodys_file)
{
	int status;
	pid_t pid;

	self->mem = mmap(AT, LEN, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	pid = fork();
	if (!pid) {
		cp_fill(self->mem, LEN, 9);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, cp_pagemap(self->mem) >> 63);
	ALL_SAVED();
	madvise(self->mem, LEN, MADV_PAGEOUT);
	ALL_SAVED();
}

/* Huge pages of a file, by a mapping that has none of them. */
TEST_F(others, huge_pages_of_a_file)
{
	static const char *const by[] = { "shared", "private" };
	size_t len = 2 * HUGE;
	char *writer;
	int fd;

	cp_write_file("/proc/sys/vm/nr_hugepages", "8");
	fd = memfd_create("huge", MFD_HUGETLB);
	if (fd < 0 || ftruncate(fd, len) || cp_meminfo("HugePages_Free") < 5)
		SKIP(return, "no huge pages");
	writer = mmap(NULL, len, RW, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, writer);
	cp_fill(writer, HUGE, 4);
	for (int i = 0; i < 2; i++) {
		self->mem = mmap(CP_FAR(0x31), len + HUGE, RW,
				 (i ? MAP_PRIVATE : MAP_SHARED) | MAP_FIXED | MAP_NORESERVE,
				 fd, 0);
		ASSERT_NE(MAP_FAILED, self->mem);
		/* mmap() itself makes such a file longer. */
		ASSERT_EQ(0, ftruncate(fd, len));
		TH_LOG("%s", by[i]);
		for (int inc = 0; inc < 2; inc++) {
			ASSERT_OK(inc ? chain_inc(&self->c, self->mem, len) :
				  chain_full(&self->c, self->mem, len));
			EXPECT_OK(cp_is(self->c.img, self->mem, HUGE, DATA));
			EXPECT_OK(cp_is(self->c.img, self->mem + HUGE, HUGE, CPIMG_HOLE,
					CP_HOLE_ZERO));
			EXPECT_OK(chain_has(&self->c, self->mem, writer, HUGE));
		}
		/* Past its end */
		ASSERT_OK(chain_full(&self->c, self->mem, len + HUGE));
		EXPECT_OK(cp_is(self->c.img, self->mem + len, HUGE, NO_READ));
		munmap(self->mem, len + HUGE);
	}
}

/* Others write to it by other names. */
TEST_F(others, block_device)
{
	const char *device = cp_swap_device() ? "/dev/vdb" : "/dev/vda";
	int fd = open(device, O_RDONLY);

	if (fd < 0)
		SKIP(return, "%s: %s", device, strerror(errno));
	self->mem = mmap(AT, LEN, RW, MAP_PRIVATE, fd, 400 * PAGE);
	ASSERT_EQ(AT, self->mem) TH_LOG("%m");
	ALL_SAVED();
	touch(self->mem, 0, 2);
	ALL_SAVED();
}

TEST_F(others, zeros_from_a_device)
{
	int fd = open("/dev/zero", O_RDWR);

	for (int shared = 0; shared < 2; shared++) {
		self->mem = mmap(AT, LEN, RW, shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);
		ASSERT_EQ(AT, self->mem);
		self->mem[3 * PAGE] = 'x';
		FULL();
		MATCHES();
		IS(3, 1, DATA);
		IS(4, 4, CPIMG_HOLE, CP_HOLE_ZERO);
		INC();
		MATCHES();
		munmap(self->mem, LEN);
	}
}

/* System V shared memory that another process filled. */
TEST_F(others, sysv_shared_memory)
{
	int id = shmget(IPC_PRIVATE, LEN, IPC_CREAT | 0600), status;
	pid_t pid;

	if (id < 0)
		SKIP(return, "no System V shared memory: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		char *mem = shmat(id, NULL, 0);

		cp_fill(mem, LEN, 2);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	self->mem = shmat(id, AT, 0);
	ASSERT_EQ(AT, self->mem);
	ALL_SAVED();
	shmdt(self->mem);
	/* as from a descriptor for reading only */
	self->mem = shmat(id, AT, SHM_RDONLY);
	ASSERT_EQ(AT, self->mem);
	ALL_SAVED();
	shmctl(id, IPC_RMID, NULL);
}

/*
 * An overlay as the root of a program, as in containers: its names are the overlay's.
 */
FIXTURE(container) {
	char		*mem;
	struct chain	c;
};

FIXTURE_VARIANT(container) {
	enum kind_nr	kind;
};

FIXTURE_VARIANT_ADD(container, lower) { KIND_LOWER };
FIXTURE_VARIANT_ADD(container, upper) { KIND_UPPER };
FIXTURE_VARIANT_ADD(container, lower_of_tmpfs) { KIND_MEMORY_LOWER };

FIXTURE_SETUP(container)
{
	const char *why = kind_begin(variant->kind);
	const char *root = kinds[variant->kind].folder;
	char path[128];

	if (why)
		SKIP(return, "no %s here: %s", kinds[variant->kind].name, why);
	ASSERT_EQ(0, kind_make(variant->kind, "lib.so", LEN, 1));
	snprintf(path, sizeof(path), "%s/tmp", root);
	ASSERT_EQ(0, mkdir(path, 01777));
	ASSERT_EQ(0, mount("/tmp", path, NULL, MS_BIND, NULL));
	snprintf(path, sizeof(path), "%s/proc", root);
	ASSERT_EQ(0, mkdir(path, 0755));
	ASSERT_EQ(0, mount("proc", path, "proc", 0, NULL));
	cp_write_file("/sys/kernel/debug/fault_around_bytes", "4096");
	ASSERT_EQ(0, chroot(root));
	ASSERT_EQ(0, chdir("/"));
	self->mem = map_file("/lib.so", LEN, RW, MAP_PRIVATE, O_RDONLY);
	ASSERT_NE(NULL, self->mem);
	touch(self->mem, 0, 2);
	FULL();
	MATCHES();
	if (kinds[variant->kind].local)
		IS(2, PAGES - 2, LEFT);
}

FIXTURE_TEARDOWN(container)
{
	chain_close(&self->c);
	chain_remove();
}

TEST_F(container, names_are_those_of_the_program)
{
	struct mapped m;
	struct stat st;

	ASSERT_OK(mapped_at(self->c.img, self->mem, &m));
	EXPECT_STREQ("/lib.so", m.name);
	ASSERT_EQ(0, stat("/lib.so", &st));
	EXPECT_OK(mapped_is_file(m.file, &st));
}

TEST_F(container, file_is_written)
{
	ASSERT_OK(write_file("/lib.so", 0, 0, LEN, 'B'));
	INC();
	MATCHES();
	FULL();
	MATCHES();
}

TEST_F(container, file_is_replaced)
{
	ASSERT_OK(write_file("/lib.so.new", O_CREAT, 0, LEN, 'B'));
	ASSERT_EQ(0, rename("/lib.so.new", "/lib.so"));
	INC();
	NOTHING_LEFT();
	MATCHES();
	ALL_SAVED();
}

TEST_F(container, file_is_removed)
{
	ASSERT_EQ(0, unlink("/lib.so"));
	INC();
	NOTHING_LEFT();
	MATCHES();
	ALL_SAVED();
}

/* A change of the inode alone copies all of it up. */
TEST_F(container, file_is_changed_in_its_mode)
{
	ASSERT_EQ(0, chmod("/lib.so", 0600));
	kind_settle();
	INC();
	MATCHES();
	FULL();
	MATCHES();
}

TEST_HARNESS_MAIN
