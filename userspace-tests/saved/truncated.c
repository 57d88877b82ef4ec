// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 --smp 2 --disk 64 --disk xfs:300 --timeout 600 */
/*
 * Files that somebody makes shorter and longer, before and while they are saved. No
 * such thing is an error of the call: a page is saved as it was at some time, or it is
 * past the end of the file at that time.
 */
#define _GNU_SOURCE
#include <linux/falloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "chain.h"
#include "harness.h"
#include "needs.h"

#define RW		(PROT_READ | PROT_WRITE)
#define AT		CP_FAR(0x30)
#define MARK		't'

static const char *make_folder(const char *folder, const char *type, const char *options)
{
	mkdir(folder, 0755);
	return mount("none", folder, type, 0, options) ? strerror(errno) : NULL;
}

FIXTURE(truncated) {
	char		*mem;
	int		fd;
	struct chain	c;
};

FIXTURE_VARIANT(truncated) {
	const char	*folder;	/* NULL: a memfd */
	const char	*type;		/* of what is mounted there, or NULL */
	const char	*options;
	unsigned int	memfd;
	int		flags;
	size_t		len;
};

#define VARIANT(name, ...) FIXTURE_VARIANT_ADD(truncated, name) { __VA_ARGS__ }

VARIANT(memfd_shared, NULL, NULL, NULL, 0, MAP_SHARED, 512 * PAGE);
VARIANT(memfd_private, NULL, NULL, NULL, 0, MAP_PRIVATE, 512 * PAGE);
VARIANT(hugetlb_shared, NULL, NULL, NULL, MFD_HUGETLB, MAP_SHARED, 3 * HUGE);
VARIANT(hugetlb_private, NULL, NULL, NULL, MFD_HUGETLB, MAP_PRIVATE, 3 * HUGE);
VARIANT(tmpfs_huge_shared, "/mnt", "tmpfs", "huge=always", 0, MAP_SHARED, 512 * PAGE);
VARIANT(tmpfs_huge_private, "/mnt", "tmpfs", "huge=always", 0, MAP_PRIVATE, 512 * PAGE);
VARIANT(ramfs_shared, "/mnt", "ramfs", NULL, 0, MAP_SHARED, 512 * PAGE);
VARIANT(ext4_shared, "/disk", NULL, NULL, 0, MAP_SHARED, 512 * PAGE);
VARIANT(ext4_private, "/disk", NULL, NULL, 0, MAP_PRIVATE, 512 * PAGE);
VARIANT(xfs_shared, "/disk2", NULL, NULL, 0, MAP_SHARED, 512 * PAGE);
VARIANT(xfs_private, "/disk2", NULL, NULL, 0, MAP_PRIVATE, 512 * PAGE);

FIXTURE_SETUP(truncated)
{
	const char *why = NULL;
	char name[64];

	if (variant->memfd & MFD_HUGETLB)
		cp_write_file("/proc/sys/vm/nr_hugepages", "10");
	if (variant->type)
		why = make_folder(variant->folder, variant->type, variant->options);
	if (why)
		SKIP(return, "no %s: %s", variant->type, why);
	if (variant->folder) {
		if (!variant->type) {
			/* a disk of the guest, not a folder of its root */
			struct stat a, b;

			if (stat(variant->folder, &a) || stat("/", &b) ||
			    a.st_dev == b.st_dev)
				SKIP(return, "no %s", variant->folder);
		}
		snprintf(name, sizeof(name), "%s/truncated", variant->folder);
		self->fd = open(name, O_CREAT | O_TRUNC | O_RDWR, 0600);
	} else {
		NEEDS_CALL(memfd_create);
		self->fd = memfd_create("truncated", variant->memfd);
	}
	ASSERT_LE(0, self->fd) TH_LOG("%m");
	ASSERT_EQ(0, ftruncate(self->fd, variant->len));
	self->mem = mmap(AT, variant->len, RW, variant->flags | MAP_FIXED, self->fd, 0);
	if (self->mem == MAP_FAILED)
		SKIP(return, "mmap: %s", strerror(errno));
}

FIXTURE_TEARDOWN(truncated)
{
	chain_close(&self->c);
	chain_remove();
	if (self->mem)
		munmap(self->mem, variant->len);
	if (variant->type)
		umount2(variant->folder, MNT_DETACH);
	cp_write_file("/proc/sys/vm/nr_hugepages", "0");
}

static void fill_file(int fd, size_t len, bool hugetlb)
{
	static char bytes[64 * PAGE];
	char *mem;

	memset(bytes, MARK, sizeof(bytes));
	if (!hugetlb) {
		for (size_t at = 0; at < len; at += sizeof(bytes))
			if (pwrite(fd, bytes, sizeof(bytes), at) < 0)
				return;
		return;
	}
	/* hugetlbfs has no write(2). */
	fallocate(fd, 0, 0, len);
	mem = mmap(NULL, len, RW, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return;
	for (size_t at = 0; at < len; at += PAGE)
		mem[at] = MARK;
	munmap(mem, len);
}

/* Each page is of MARKs, of zeros, of both if it was being written, or past the end. */
static const char *is_sane(const struct chain *c, const char *mem, size_t len)
{
	static char why[256], page[PAGE];
	size_t index = cpimg_chain_length(c->all) - 1;
	struct cpimg_piece piece;
	struct cpimg_error err;

	for (size_t at = 0; at < len; at += PAGE) {
		uint64_t addr = (uintptr_t)mem + at;

		if (cpimg_chain_resolve(c->all, index, addr, &piece, &err)) {
			snprintf(why, sizeof(why), "%.200s", err.text);
			return why;
		}
		if (piece.cls == CPIMG_SKIPPED && piece.reason == CP_SKIP_FAULT)
			continue;
		if (piece.cls == CPIMG_HOLE && piece.reason == CP_HOLE_ZERO)
			continue;
		if (piece.cls != CPIMG_DATA) {
			snprintf(why, sizeof(why), "page %lu is %s %u", at / PAGE,
				 cpimg_class_name(piece.cls), piece.reason);
			return why;
		}
		if (cpimg_pread(piece.img, addr, page, PAGE, &err))
			return "a page cannot be read from the image";
		for (size_t i = 0; i < PAGE; i++) {
			if (page[i] && page[i] != MARK) {
				snprintf(why, sizeof(why), "page %lu has 0x%02x at %zu",
					 at / PAGE, (unsigned char)page[i], i);
				return why;
			}
		}
	}
	return NULL;
}

static struct {
	int		fd;
	size_t		len;
	bool		hugetlb;
	atomic_bool	stop;
	atomic_ulong	rounds;
} other;

static void *shorten_and_lengthen(void *arg)
{
	static const unsigned int parts[] = { 0, 1, 2, 3, 8 };
	size_t step = other.hugetlb ? HUGE : PAGE;

	while (!other.stop) {
		if (ftruncate(other.fd, other.len))
			break;
		fill_file(other.fd, other.len, other.hugetlb);
		ftruncate(other.fd, other.len / 8 * parts[other.rounds++ % 5] & -step);
	}
	return arg;
}

TEST_F(truncated, while_it_is_saved)
{
	double end = cp_now() + (cp_debug_kernel() ? 12 : 3);
	unsigned int calls = 0, full = 0;
	const char *why = NULL;
	pthread_t thread;

	other.fd = self->fd;
	other.len = variant->len;
	other.hugetlb = variant->memfd & MFD_HUGETLB;
	ASSERT_EQ(0, pthread_create(&thread, NULL, shorten_and_lengthen, NULL));
	for (; !why && cp_now() < end; calls++) {
		bool inc = calls % 4;

		why = inc ? chain_inc(&self->c, self->mem, variant->len) :
			    chain_full(&self->c, self->mem, variant->len);
		if (!why)
			why = is_sane(&self->c, self->mem, variant->len);
		if (!inc) {
			full++;
			for (unsigned int n = 0; n < 4 && calls; n++)
				unlink(cp_name(getpid(), calls - 1 - n));
		}
	}
	other.stop = true;
	pthread_join(thread, NULL);
	EXPECT_OK(why);
	TH_LOG("%u calls, %u of them full, while it changed %lu times", calls, full,
	       (unsigned long)other.rounds);
	EXPECT_LT(2, other.rounds);
}

/* The same by another process, which shares nothing but the file. */
TEST_F(truncated, by_another_process_while_it_is_saved)
{
	double end = cp_now() + (cp_debug_kernel() ? 12 : 2);
	unsigned int calls = 0;
	const char *why = NULL;
	pid_t pid = fork();

	if (!pid) {
		other.fd = self->fd;
		other.len = variant->len;
		other.hugetlb = variant->memfd & MFD_HUGETLB;
		munmap(self->mem, variant->len);
		shorten_and_lengthen(NULL);
		_exit(0);
	}
	for (; !why && cp_now() < end; calls++) {
		why = chain_full(&self->c, self->mem, variant->len);
		if (!why)
			why = is_sane(&self->c, self->mem, variant->len);
		if (calls)
			unlink(cp_name(getpid(), calls - 1));
	}
	cp_kill(pid);
	EXPECT_OK(why);
	TH_LOG("%u calls", calls);
}

/* When nothing moves any more, memory is as the file is. */
TEST_F(truncated, then_saved)
{
	bool hugetlb = variant->memfd & MFD_HUGETLB;
	size_t step = hugetlb ? HUGE : PAGE;

	fill_file(self->fd, variant->len, hugetlb);
	ASSERT_OK(chain_inc(&self->c, self->mem, variant->len));
	EXPECT_OK(chain_matches(&self->c, self->mem, variant->len));
	for (int parts = 3; parts; parts--) {
		size_t len = variant->len / 4 * parts & -step;

		ASSERT_EQ(0, ftruncate(self->fd, len));
		for (int inc = 0; inc < 2; inc++) {
			ASSERT_OK(inc ? chain_full(&self->c, self->mem, variant->len) :
				  chain_inc(&self->c, self->mem, variant->len));
			EXPECT_OK(chain_matches(&self->c, self->mem, len));
			EXPECT_OK(cp_is(self->c.img, self->mem + len, variant->len - len,
					CPIMG_SKIPPED, CP_SKIP_FAULT));
		}
	}
	ASSERT_EQ(0, ftruncate(self->fd, variant->len));
	ASSERT_OK(chain_inc(&self->c, self->mem, variant->len));
	EXPECT_OK(chain_matches(&self->c, self->mem, variant->len));
}

/* Room that is kept past the end is none that can be read. */
TEST_F(truncated, with_room_kept_past_its_end)
{
	size_t step = variant->memfd & MFD_HUGETLB ? HUGE : PAGE;

	ASSERT_EQ(0, ftruncate(self->fd, step));
	if (fallocate(self->fd, FALLOC_FL_KEEP_SIZE, 0, variant->len))
		SKIP(return, "fallocate: %s", strerror(errno));
	for (int inc = 0; inc < 2; inc++) {
		ASSERT_OK(inc ? chain_inc(&self->c, self->mem, variant->len) :
			  chain_full(&self->c, self->mem, variant->len));
		EXPECT_OK(cp_is(self->c.img, self->mem + step, variant->len - step,
				CPIMG_SKIPPED, CP_SKIP_FAULT));
	}
	ASSERT_OK(chain_has(&self->c, self->mem, self->mem, step));
}

/*
 * A huge page, or one of 64 KiB, over the end of a file of shared memory.
 */
static const struct setting {
	const char	*enabled;	/* of shared memory, 2 MiB */
	const char	*enabled_64k;
	const char	*mount;		/* options of tmpfs, or NULL: memfd */
	int		flags;
	bool		advise;
	size_t		pages, len;
} settings[] = {
	{ "never", "never", "huge=always", MAP_SHARED, false, 10, 11 * PAGE },
	{ "never", "never", "huge=always", MAP_SHARED, false, 10, 2 * HUGE },
	{ "never", "never", "huge=always", MAP_PRIVATE, false, 10, 2 * HUGE },
	{ "never", "never", "huge=advise", MAP_SHARED, true, 10, 2 * HUGE },
	{ "never", "never", "huge=within_size", MAP_SHARED, false, 10, 11 * PAGE },
	{ "advise", "never", NULL, MAP_SHARED, true, 128, 8UL << 20 },
	{ "never", "never", NULL, MAP_PRIVATE, false, 128, 8UL << 20 },
	{ "always", "never", NULL, MAP_PRIVATE, false, 128, 8UL << 20 },
	{ "always", "never", NULL, MAP_SHARED, false, 128, 8UL << 20 },
	{ "within_size", "never", NULL, MAP_PRIVATE, false, 128, 8UL << 20 },
	{ "within_size", "never", NULL, MAP_PRIVATE, false, 640, 8UL << 20 },
	{ "within_size", "never", NULL, MAP_SHARED, false, 640, 8UL << 20 },
	{ "force", "never", NULL, MAP_PRIVATE, false, 128, 8UL << 20 },
	{ "force", "never", NULL, MAP_SHARED, false, 128, 8UL << 20 },
	{ "always", "never", NULL, MAP_PRIVATE, false, 512, 8UL << 20 },
	{ "always", "never", NULL, MAP_PRIVATE, false, 513, 8UL << 20 },
	{ "never", "always", NULL, MAP_PRIVATE, false, 3, 8UL << 20 },
	{ "never", "always", NULL, MAP_SHARED, false, 3, 8UL << 20 },
};

#define SHMEM_ENABLED	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define SMALL_ENABLED	"/sys/kernel/mm/transparent_hugepage/hugepages-64kB/shmem_enabled"

/*
 * SIGBUS, or the zeros of a huge page: once one is in the page table all of it can be
 * read.
 */
static const char *is_past_the_end(const struct chain *c, const char *mem, size_t len)
{
	static const char zeros[PAGE];

	for (size_t at = 0; at < len; at += PAGE) {
		const char *why = cp_is(c->img, mem + at, PAGE, CPIMG_SKIPPED,
					CP_SKIP_FAULT);

		if (why)
			why = chain_has(c, mem + at, zeros, PAGE);
		if (why)
			return why;
	}
	return NULL;
}

static const char *over_the_end(const struct setting *s, struct chain *c)
{
	static char text[512];
	const char *why = NULL;
	size_t size = s->pages * PAGE;
	char *mem;
	int fd;

	cp_write_file(SHMEM_ENABLED, s->enabled);
	cp_write_file(SMALL_ENABLED, s->enabled_64k);
	if (s->mount && make_folder("/mnt", "tmpfs", s->mount))
		return "no tmpfs";
	fd = s->mount ? open("/mnt/file", O_CREAT | O_RDWR, 0600) : memfd_create("x", 0);
	ftruncate(fd, size);
	if (!s->advise)
		pwrite(fd, "hello", 5, 0);
	mem = mmap(AT, s->len, RW, s->flags | MAP_FIXED, fd, 0);
	if (s->advise) {
		madvise(mem, s->len, MADV_HUGEPAGE);
		mem[0] = 'h';
	}
	for (int i = 0; !why && i < 4; i++) {
		why = i % 2 ? chain_inc(c, mem, s->len) : chain_full(c, mem, s->len);
		if (!why)
			why = is_past_the_end(c, mem + size, s->len - size);
		if (!why)
			why = chain_matches(c, mem, size);
		/* Then with entries of its own. */
		*(volatile char *)mem;
		if (i == 2)
			mem[size - 1] = 'e';
	}
	if (why)
		snprintf(text, sizeof(text), "%s, 64k %s, %s, %s, %zu pages: %.300s",
			 s->enabled, s->enabled_64k, s->mount ?: "memfd",
			 s->flags == MAP_SHARED ? "shared" : "private", s->pages, why);
	munmap(mem, s->len);
	close(fd);
	if (s->mount)
		umount2("/mnt", MNT_DETACH);
	return why ? text : NULL;
}

TEST(huge_page_over_the_end)
{
	struct chain c = { 0 };

	if (access(SHMEM_ENABLED, F_OK))
		SKIP(return, "this kernel has no huge pages in shared memory");
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		EXPECT_OK(over_the_end(&settings[i], &c));
	cp_write_file(SHMEM_ENABLED, "never");
	cp_write_file(SMALL_ENABLED, "never");
	chain_close(&c);
	chain_remove();
}

TEST_HARNESS_MAIN
