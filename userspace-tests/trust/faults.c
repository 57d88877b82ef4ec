// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 --smp 1 --swap 64 --disk 96 --timeout 1200 */
/*
 * A disk that fails, below /tmp or below swap, and copies from the program that
 * fail: the error comes back, no image is left that is none, the counter stays, and
 * the next incremental image is complete. injected.c is about memory,
 * saved/errors.c and broken.c are about file systems that are full or do not let one.
 *
 * /tmp is the ext4 of --disk, mounted anew for each test: some break it for good.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "chain.h"
#include "harness.h"

#define SMALL	(64 * PAGE)
#define CHANGED	12

/* asm-generic/ioctl.h, fs/ext4/ext4.h: down at once, and the journal with it */
#define EXT4_IOC_SHUTDOWN		_IOR('X', 125, uint32_t)
#define EXT4_GOING_FLAGS_NOLOGFLUSH	2

#define DEBUGFS	"/sys/kernel/debug/"

/* One setting of fail_make_request or fail_usercopy. */
static int set(const char *fault, const char *name, long value)
{
	char path[128], text[24];

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", fault, name);
	snprintf(text, sizeof(text), "%ld", value);
	return cp_write_file(path, text);
}

static long get(const char *fault, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", fault, name);
	return cp_read_number(path);
}

/* Whether requests to that disk may fail. */
static int disk_may_fail(const char *dev, bool yes)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/block/%s/make-it-fail",
		 strrchr(dev, '/') + 1);
	return cp_write_file(path, yes ? "1" : "0");
}

/*
 * From here on @times of those faults, or all with -1, once @space bytes have
 * passed without one; only in this thread if @mine.
 */
static int arm(const char *fault, long times, long space, bool mine)
{
	if (set(fault, "verbose", 0) || set(fault, "interval", 1) ||
	    set(fault, "task-filter", mine) || set(fault, "space", space) ||
	    set(fault, "times", times) || set(fault, "probability", 100))
		return -1;
	return mine ? cp_write_file("/proc/thread-self/make-it-fail", "1") : 0;
}

/* Return: how many of the faults did not come to pass. */
static long disarm(const char *fault)
{
	/* Where copies fail, so does this, till there are no faults left. */
	while (cp_write_file("/proc/thread-self/make-it-fail", "0"))
		if (errno == ENOENT)
			return 0;
	set(fault, "probability", 0);
	return get(fault, "times");
}

/* The device of the first ext4 that is mounted. */
static bool find_ext4(char dev[32])
{
	char line[256];
	FILE *f = fopen("/proc/mounts", "re");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, " ext4 ") && sscanf(line, "%31s", dev) == 1;
	if (f)
		fclose(f);
	return found;
}

/* Unmounted for good, whoever has just let go of it. */
static int unmount(const char *where)
{
	for (int i = 0; umount(where); i++) {
		if (errno != EBUSY || i == 50)
			return -1;
		usleep(20000);
	}
	return 0;
}

FIXTURE(faults) {
	char		dev[32];
	char		*mem;
	size_t		len;
	struct chain	c;
};

FIXTURE_SETUP(faults)
{
	if (!find_ext4(self->dev))
		SKIP(return, "no disk with an ext4");
	if (!access("/disk/lost+found", F_OK))
		ASSERT_EQ(0, unmount("/disk")) TH_LOG("%m");
	ASSERT_EQ(0, mount(self->dev, "/tmp", "ext4", 0, "errors=remount-ro")) TH_LOG("%m");
	chain_remove();
	self->len = SMALL;
	self->mem = cp_map(self->len);
	cp_fill(self->mem, self->len, 1);
}

FIXTURE_TEARDOWN(faults)
{
	disarm("fail_make_request");
	disk_may_fail(self->dev, false);
	chain_close(&self->c);
	chain_remove();
	EXPECT_EQ(0, unmount("/tmp")) TH_LOG("%m");
	EXPECT_EQ(0, mount(self->dev, "/disk", "ext4", 0, NULL)) TH_LOG("%m");
}

#define FULL()		ASSERT_OK(chain_full(&self->c, self->mem, self->len))
#define INC()		ASSERT_OK(chain_inc(&self->c, self->mem, self->len))
#define MATCHES()	ASSERT_OK(chain_matches(&self->c, self->mem, self->len))
#define IS(kind, why)	ASSERT_OK(chain_is(&self->c, CP_KIND_##kind, CP_REASON_##why))

#define NEEDS_FAULTS() do { \
	if (access(DEBUGFS "fail_make_request", F_OK)) \
		SKIP(return, "no fail_make_request in this kernel"); \
	ASSERT_EQ(0, disk_may_fail(self->dev, true)) TH_LOG("%m"); \
} while (0)

#define RECOVERS()	ASSERT_OK(chain_recovers(&self->c, self->mem, self->len))

static void change(char *mem, size_t len)
{
	for (size_t i = 0; i < CHANGED; i++)
		mem[len / CHANGED / PAGE * PAGE * i]++;
}

/* Every write goes to the disk before it returns, so that its error is the call's. */
TEST_F(faults, eio_of_each_write)
{
	int failed = 0;
	long left = 0;

	NEEDS_FAULTS();
	ASSERT_EQ(0, mount(NULL, "/tmp", NULL, MS_REMOUNT | MS_SYNCHRONOUS, NULL));
	for (long space = 0; !left; space += PAGE) {
		int err = 0;

		ASSERT_GT(1000, failed);
		chain_remove();
		FULL();
		change(self->mem, self->len);
		ASSERT_EQ(0, arm("fail_make_request", 1, space, true)) TH_LOG("%m");
		if (inc_cp_range(self->mem, self->mem + self->len))
			err = errno;
		left = disarm("fail_make_request");
		if (left) {
			ASSERT_EQ(0, err) TH_LOG("%s, though no request failed", strerror(err));
			self->c.n++;
			break;
		}
		ASSERT_EQ(EIO, err) TH_LOG("after %ld bytes: %s", space, strerror(err));
		ASSERT_OK(cp_no_file(self->c.tid, self->c.n));
		failed++;
		RECOVERS();
	}
	TH_LOG("%d calls failed", failed);
	/* the data; header and notes are some more */
	EXPECT_LT(CHANGED, failed);
	INC();
	IS(INCREMENTAL, CHAIN);
	MATCHES();
}

/* Without that the disk's errors come later: cp_sync() has to tell. */
TEST_F(faults, eio_told_by_cp_sync)
{
	int failed = 0;
	long left = 0;

	NEEDS_FAULTS();
	for (long space = 0; !left; space += PAGE) {
		int err = 0;

		ASSERT_GT(1000, failed);
		chain_remove();
		FULL();
		ASSERT_EQ(0, cp_sync(self->c.tid, self->c.n - 1)) TH_LOG("%m");
		change(self->mem, self->len);
		INC();
		ASSERT_EQ(0, arm("fail_make_request", 1, space, true)) TH_LOG("%m");
		if (cp_sync(self->c.tid, self->c.n - 1))
			err = errno;
		left = disarm("fail_make_request");
		if (left) {
			ASSERT_EQ(0, err) TH_LOG("%s, though no request failed", strerror(err));
		} else {
			ASSERT_EQ(EIO, err) TH_LOG("after %ld bytes: %s", space, strerror(err));
			failed++;
		}
	}
	TH_LOG("%d calls failed", failed);
	EXPECT_LT(CHANGED, failed);
}

/* Something that happens when a part of the image is there. */
struct half_way {
	const char	*dev;
	const char	*name;
	off_t		size;
	const char	*(*happens)(const struct half_way *h);
	const char	*why;
	atomic_bool	over;
};

static const char too_soon[] = "the call was over too soon";

/* On the one processor there is, ahead of the caller as soon as it wakes up. */
static void *wait_for_half(void *arg)
{
	struct sched_param param = { .sched_priority = 1 };
	struct half_way *h = arg;
	struct stat st;

	if (syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &param)) {
		h->why = "sched_setscheduler";
		return NULL;
	}
	while (stat(h->name, &st) || st.st_size < h->size) {
		if (h->over) {
			h->why = too_soon;
			return NULL;
		}
		usleep(200);
	}
	if (!h->over)
		h->why = h->happens(h);
	return NULL;
}

/* What ext4 does when it finds itself damaged, with errors=remount-ro. */
static const char *becomes_read_only(const struct half_way *h)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/fs/ext4/%s/trigger_fs_error",
		 strrchr(h->dev, '/') + 1);
	return cp_write_file(path, "a test") ? "no trigger_fs_error" : NULL;
}

static const char *is_shut_down(const struct half_way *h)
{
	uint32_t flags = EXT4_GOING_FLAGS_NOLOGFLUSH;
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *why = NULL;

	(void)h;
	if (fd < 0 || ioctl(fd, EXT4_IOC_SHUTDOWN, &flags))
		why = "no EXT4_IOC_SHUTDOWN";
	close(fd);
	return why;
}

static const char *loses_its_disk(const struct half_way *h)
{
	(void)h;
	return arm("fail_make_request", -1, 0, false) ? "fail_make_request" : NULL;
}

/* A checkpoint of @len bytes, with a chain on the disk, to which @h happens. */
static int try_half_way(struct half_way *h, struct chain *c, char *mem, size_t len,
			const char **why)
{
	char name[CP_RANGE_NAME_SIZE];
	pthread_t thread;
	int err = 0;

	*why = chain_full(c, mem, len);
	if (*why)
		return -1;
	if (cp_sync(c->tid, c->n - 1)) {
		*why = "cp_sync";
		return -1;
	}
	for (size_t at = 0; at < len; at += PAGE)
		mem[at]++;
	cp_image_name(name, c->tid, c->n);
	h->name = name;
	if (pthread_create(&thread, NULL, wait_for_half, h)) {
		*why = "pthread_create";
		return -1;
	}
	if (inc_cp_range(mem, mem + len))
		err = errno;
	h->over = true;
	pthread_join(thread, NULL);
	*why = h->why;
	return err;
}

/*
 * The same, till it @happens in the middle: a busy host lets the clock's interrupt
 * wait, and the guest go on. Return: the call's errno.
 */
static int half_way(struct chain *c, const char *dev, char *mem, size_t len,
		    const char *(*happens)(const struct half_way *h), const char **why)
{
	for (int tries = 1; ; tries++) {
		struct half_way h = { .dev = dev, .size = len / 8, .happens = happens };
		int err = try_half_way(&h, c, mem, len, why);

		if (*why != too_soon || tries == 10)
			return err;
		c->n += !err;
		chain_close(c);
		chain_remove();
	}
}

/*
 * Mounted anew as after a crash: the chain is there, and nothing that only looks like
 * an image.
 */
#define COMES_BACK() do { \
	struct cpimg_error err_; \
	const char *name_ = cp_name(self->c.tid, self->c.n); \
	\
	chain_close(&self->c); \
	ASSERT_EQ(0, unmount("/tmp")) TH_LOG("%m"); \
	disarm("fail_make_request"); \
	ASSERT_EQ(0, mount(self->dev, "/tmp", "ext4", 0, NULL)) TH_LOG("%m"); \
	ASSERT_OK(chain_open(&self->c, self->c.tid, self->c.n - 1)); \
	if (!access(name_, F_OK)) { \
		ASSERT_EQ(NULL, cpimg_open(name_, 0, &err_)); \
		ASSERT_EQ(CPIMG_ERR_INCOMPLETE, err_.code) TH_LOG("%s", err_.text); \
		ASSERT_EQ(0, unlink(name_)); \
	} \
	RECOVERS(); \
} while (0)

/* More than is written before the other thread sees it. */
#define LARGE() do { \
	munmap(self->mem, self->len); \
	self->len = (cp_debug_kernel() ? 4UL : 16UL) << 20; \
	self->mem = cp_map(self->len); \
	madvise(self->mem, self->len, MADV_NOHUGEPAGE); \
	cp_fill(self->mem, self->len, 2); \
} while (0)

/* Newer ext4 says EIO once it is read-only, older EROFS. */
#define ASSERT_BREAKS(happens) do { \
	const char *why_; \
	int err_; \
	\
	LARGE(); \
	err_ = half_way(&self->c, self->dev, self->mem, self->len, happens, &why_); \
	/* older ext4 */ \
	if (why_ && !strncmp(why_, "no ", 3)) \
		SKIP(return, "%s", why_); \
	ASSERT_EQ(NULL, why_) TH_LOG("%s", why_); \
	TH_LOG("%s", strerror(err_)); \
	ASSERT_TRUE(err_ == EIO || err_ == EROFS); \
	COMES_BACK(); \
} while (0)

TEST_F(faults, erofs_half_way)
{
	ASSERT_BREAKS(becomes_read_only);
}

TEST_F(faults, file_system_shut_down_half_way)
{
	ASSERT_BREAKS(is_shut_down);
}

TEST_F(faults, disk_lost_half_way)
{
	NEEDS_FAULTS();
	ASSERT_EQ(0, mount(NULL, "/tmp", NULL, MS_REMOUNT | MS_SYNCHRONOUS, NULL));
	ASSERT_BREAKS(loses_its_disk);
}

/* Swap on a disk of its own, read page by page. */
#define GROUP	"/sys/fs/cgroup/faults"

/* Bytes of the group that are in memory, and in swap as well; -1: not known. */
static long swap_cached(void)
{
	char line[128];
	long bytes = -1;
	FILE *f = fopen(GROUP "/memory.stat", "r");

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "swapcached ", 11))
			bytes = atol(line + 11);
	if (f)
		fclose(f);
	return bytes;
}

/* Out to swap, so that it has to be read again. */
static const char *evict(char *mem, size_t len)
{
	if (cp_pageout(mem, len))
		return "memory does not go to swap";
	for (int i = 0; swap_cached(); i++) {
		if (i == 50)
			return "pages stay in memory as well";
		usleep(20000);
		cp_write_file(GROUP "/memory.reclaim", "64K");
	}
	return NULL;
}

FIXTURE(swap) {
	const char	*dev;
	struct chain	c;
};

FIXTURE_SETUP(swap)
{
	self->dev = cp_swap_device();
	if (!self->dev)
		SKIP(return, "no swap device");
	ASSERT_EQ(0, cp_write_file("/proc/sys/vm/page-cluster", "0"));
	cp_write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if ((mkdir(GROUP, 0755) && errno != EEXIST) || access(GROUP "/memory.reclaim", F_OK))
		SKIP(return, "no memory.reclaim in /sys/fs/cgroup");
	ASSERT_EQ(0, cp_write_file(GROUP "/cgroup.procs", "0")) TH_LOG("%m");
}

FIXTURE_TEARDOWN(swap)
{
	disarm("fail_make_request");
	disk_may_fail(self->dev, false);
	chain_close(&self->c);
	chain_remove();
	cp_write_file("/sys/fs/cgroup/cgroup.procs", "0");
	rmdir(GROUP);
}

#define LOST	3

/*
 * Pages that swap does not give back are left out and said to be, the others are
 * saved. A program that goes without them has all it has in the next image.
 */
#define ASSERT_LOST(mem, advice) do { \
	unsigned int lost_ = 0; \
	\
	cp_fill(mem, SMALL, 1); \
	ASSERT_OK(chain_full(&self->c, mem, SMALL)); \
	cp_fill(mem, SMALL, 2); \
	ASSERT_OK(evict(mem, SMALL)); \
	ASSERT_EQ(0, arm("fail_make_request", LOST, 0, true)); \
	EXPECT_EQ(0, inc_cp_range(mem, mem + SMALL)) TH_LOG("%m"); \
	ASSERT_EQ(0, disarm("fail_make_request")); \
	ASSERT_OK(chain_open(&self->c, self->c.tid, self->c.n++)); \
	ASSERT_OK(chain_is(&self->c, CP_KIND_INCREMENTAL, CP_REASON_CHAIN)); \
	for (char *at_ = mem; at_ < mem + SMALL; at_ += PAGE) { \
		const struct cpimg_run *run_ = cpimg_find(self->c.img, (uintptr_t)at_); \
		\
		if (run_->cls == CPIMG_SKIPPED) { \
			EXPECT_EQ(CP_SKIP_FAULT, run_->reason); \
			ASSERT_EQ(0, madvise(at_, PAGE, advice)) TH_LOG("%m"); \
			*at_ = 'x'; \
			lost_++; \
		} else { \
			ASSERT_OK(chain_matches(&self->c, at_, PAGE)); \
		} \
	} \
	EXPECT_EQ(LOST, lost_); \
	ASSERT_OK(chain_inc(&self->c, mem, SMALL)); \
	ASSERT_OK(chain_is(&self->c, CP_KIND_INCREMENTAL, CP_REASON_CHAIN)); \
	ASSERT_OK(chain_matches(&self->c, mem, SMALL)); \
} while (0)

TEST_F(swap, that_loses_pages)
{
	char *mem = cp_map(SMALL);

	NEEDS_FAULTS();
	madvise(mem, SMALL, MADV_NOHUGEPAGE);
	ASSERT_LOST(mem, MADV_DONTNEED);
}

TEST_F(swap, that_loses_shared_pages)
{
	char *mem = mmap(NULL, SMALL, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	NEEDS_FAULTS();
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_LOST(mem, MADV_REMOVE);
}

/*
 * The program's arguments, for the debugger, are all that is copied from where it
 * could fail; without them the image is as good.
 */
TEST(arguments_that_cannot_be_copied)
{
	char *mem = cp_map(SMALL);
	struct chain c = { 0 };
	int err = 0;

	if (access(DEBUGFS "fail_usercopy", F_OK))
		SKIP(return, "no fail_usercopy in this kernel");
	cp_fill(mem, SMALL, 1);
	ASSERT_OK(chain_full(&c, mem, SMALL));
	change(mem, SMALL);
	ASSERT_EQ(0, arm("fail_usercopy", 50, 0, true)) TH_LOG("%m");
	if (inc_cp_range(mem, mem + SMALL))
		err = errno;
	disarm("fail_usercopy");
	ASSERT_EQ(0, err) TH_LOG("%s", strerror(err));
	ASSERT_OK(chain_open(&c, cp_gettid(), 1));
	EXPECT_OK(chain_is(&c, CP_KIND_INCREMENTAL, CP_REASON_CHAIN));
	EXPECT_OK(chain_matches(&c, mem, SMALL));
	c.n = 2;
	change(mem, SMALL);
	EXPECT_OK(chain_inc(&c, mem, SMALL));
	EXPECT_OK(chain_matches(&c, mem, SMALL));
	chain_close(&c);
	chain_remove();
}

TEST_HARNESS_MAIN
