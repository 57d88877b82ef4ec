// SPDX-License-Identifier: GPL-2.0
/* guest: --icount --mem 5000 --timeout 900 */
/*
 * What a checkpoint costs, in guest instructions, held against the best that a
 * program can do without it: write(2) for a full one, userfaultfd's WP_ASYNC with
 * PAGEMAP_SCAN for an incremental one. One boot, same memory, same pages; with
 * QEMU's -icount an instruction is a nanosecond.
 */
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "cp_test.h"
#include "harness.h"

#define MIB		(1UL << 20)
#define GIB		(1UL << 30)

/* PAGEMAP_SCAN, as in <linux/fs.h>, which the libc's headers clash with. */
struct scan_region {
	uint64_t start, end, categories;
};

struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask;
	uint64_t return_mask;
};

#define SCAN			_IOWR('f', 16, struct scan_arg)
#define SCAN_WP_MATCHING	(1 << 0)
#define SCAN_CHECK_WPASYNC	(1 << 1)
#define SCAN_WRITTEN		(1 << 1)

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static char *arena(size_t len)
{
	char *mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		return NULL;
	/* 4 KiB pages: one write to a huge page would count for 512. */
	madvise(mem, len, MADV_NOHUGEPAGE);
	memset(mem, 7, len);
	return mem;
}

/* Write one word to each of a random set of pages; the same set for a seed. */
static double touch(char *mem, size_t len, unsigned int permille, uint64_t seed)
{
	size_t pages = len / PAGE, i;
	double t = now();

	if (permille >= 1000) {
		for (i = 0; i < pages; i++)
			mem[i * PAGE] += 1;
		return now() - t;
	}
	for (i = 0; i < pages * permille / 1000; i++) {
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		mem[(seed >> 33) % pages * PAGE + 64] += 1;
	}
	return now() - t;
}

/* Read a byte of each page, so that none counts as unused. */
static void look(char *mem, size_t len)
{
	for (size_t i = 0; i < len; i += PAGE)
		((volatile char *)mem)[i];
}

static unsigned long n_images;

static double checkpoint(bool incremental, char *mem, size_t len)
{
	double t = now();
	long ret = incremental ? inc_cp_range(mem, mem + len) :
		   cp_range(mem, mem + len);

	t = now() - t;
	if (ret)
		return -1;
	unlink(cp_name(getpid(), n_images++));
	return t;
}

static double write_pieces(char *mem, size_t len, size_t piece)
{
	int fd = open("/tmp/write", O_CREAT | O_TRUNC | O_WRONLY, 0600);
	double t = now();

	for (size_t done = 0; done < len; done += piece)
		if (write(fd, mem + done, piece) != (ssize_t)piece)
			t = 1e99;
	t = now() - t;
	close(fd);
	unlink("/tmp/write");
	return t;
}

/* The best incremental scheme there is without us. */
struct wp_async {
	int uffd, pagemap;
	struct scan_region *regions;
};

#define REGIONS		512	/* more, and walk_end is stale on 6.12 */

static bool wp_begin(struct wp_async *wp, char *mem, size_t len)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED,
	};
	struct uffdio_register reg = {
		.range = { (uintptr_t)mem, len },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect prot = {
		.range = { (uintptr_t)mem, len },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	wp->uffd = syscall(__NR_userfaultfd, O_CLOEXEC);
	wp->pagemap = open("/proc/self/pagemap", O_RDONLY);
	wp->regions = calloc(REGIONS, sizeof(*wp->regions));
	return wp->uffd >= 0 && wp->pagemap >= 0 && wp->regions &&
	       !ioctl(wp->uffd, UFFDIO_API, &api) &&
	       !ioctl(wp->uffd, UFFDIO_REGISTER, &reg) &&
	       !ioctl(wp->uffd, UFFDIO_WRITEPROTECT, &prot);
}

/* Get and clear in one call, write what was found, until the end is reached. */
static double wp_checkpoint(struct wp_async *wp, char *mem, size_t len)
{
	int fd = open("/tmp/wp", O_CREAT | O_TRUNC | O_WRONLY, 0600);
	struct scan_arg arg = {
		.size = sizeof(arg),
		.flags = SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC,
		.start = (uintptr_t)mem, .end = (uintptr_t)mem + len,
		.vec = (uintptr_t)wp->regions, .vec_len = REGIONS,
		.category_mask = SCAN_WRITTEN, .return_mask = SCAN_WRITTEN,
	};
	double t = now();

	while (arg.start < arg.end) {
		int nr = ioctl(wp->pagemap, SCAN, &arg);

		if (nr < 0)
			return -1;
		for (int i = 0; i < nr; i++) {
			struct scan_region *r = &wp->regions[i];
			uint64_t at = r->start;

			for (; at < r->end; at += 32768) {
				size_t want = r->end - at < 32768 ?
					      r->end - at : 32768;

				if (write(fd, (void *)(uintptr_t)at, want) !=
				    (ssize_t)want)
					return -1;
			}
		}
		arg.start = arg.walk_end;
	}
	t = now() - t;
	close(fd);
	unlink("/tmp/wp");
	return t;
}

#define SHOW(...)	TH_LOG(__VA_ARGS__)

/* Counts repeat to 1e-3 with one compiler; another's kernel may differ by more. */
#define SLACK		1.02

TEST(full_costs_no_more_than_write)
{
	size_t len = 256 * MIB;
	char *mem = arena(len);
	double best = 1e99, ours;

	ASSERT_NE(NULL, mem);
	for (size_t piece = 16384; piece <= 131072; piece *= 2) {
		double t = write_pieces(mem, len, piece);

		SHOW("256 MiB, write(2) in %3zu KiB pieces: %7.2f M",
		     piece >> 10, t / 1e6);
		if (t < best)
			best = t;
	}
	SHOW("256 MiB, write(2) in one call:      %7.2f M",
	     write_pieces(mem, len, len) / 1e6);
	ours = checkpoint(false, mem, len);
	ASSERT_LE(0, ours);
	SHOW("256 MiB, cp_range(), first:         %7.2f M", ours / 1e6);
	ours = checkpoint(false, mem, len);
	SHOW("256 MiB, cp_range():                %7.2f M", ours / 1e6);
	EXPECT_LE(ours, best * SLACK);
}

TEST(incremental_costs_less_than_wp_async)
{
	static const unsigned int permille[] = { 0, 1, 10, 100, 1000 };
	static const double most[] = { 0.34, 1, 0.68, 1, 1 };
	size_t len = GIB;
	struct wp_async wp;
	double ours[5], theirs[5];
	char *mem = arena(len);

	ASSERT_NE(NULL, mem);
	ASSERT_LE(0, checkpoint(false, mem, len));
	ASSERT_LE(0, checkpoint(true, mem, len));
	for (int i = 0; i < 5; i++) {
		double call, again;

		touch(mem, len, permille[i], 42);
		look(mem, len);
		call = checkpoint(true, mem, len);
		ASSERT_LE(0, call);
		again = touch(mem, len, permille[i], 42);
		ours[i] = call + again;
		SHOW("1 GiB, %5.1f %% changed: inc_cp_range() %8.2f M, again %7.2f M",
		     permille[i] / 10., call / 1e6, again / 1e6);
		ASSERT_LE(0, checkpoint(true, mem, len));
	}

	/* A process of its own: userfaultfd's bits must not burden ours. */
	munmap(mem, len);
	mem = arena(len);
	ASSERT_NE(NULL, mem);
	if (!wp_begin(&wp, mem, len))
		SKIP(return, "no WP_ASYNC");
	ASSERT_LE(0, wp_checkpoint(&wp, mem, len));
	for (int i = 0; i < 5; i++) {
		double call, again;

		touch(mem, len, permille[i], 42);
		look(mem, len);
		call = wp_checkpoint(&wp, mem, len);
		ASSERT_LE(0, call);
		again = touch(mem, len, permille[i], 42);
		theirs[i] = call + again;
		SHOW("1 GiB, %5.1f %% changed: PAGEMAP_SCAN  %9.2f M, again %7.2f M: ratio %.3f",
		     permille[i] / 10., call / 1e6, again / 1e6,
		     ours[i] / theirs[i]);
		ASSERT_LE(0, wp_checkpoint(&wp, mem, len));
		EXPECT_LE(ours[i], theirs[i] * most[i] * SLACK);
	}
}

TEST(untouched_memory_costs_next_to_nothing)
{
	char *mem = arena(GIB);
	double one, four, idle;

	ASSERT_NE(NULL, mem);
	ASSERT_LE(0, checkpoint(false, mem, GIB));
	ASSERT_LE(0, checkpoint(true, mem, GIB));
	look(mem, GIB);
	one = checkpoint(true, mem, GIB);
	ASSERT_LE(0, one);
	idle = checkpoint(true, mem, GIB);
	ASSERT_LE(0, idle);
	SHOW("1 GiB read and not written: %7.3f M, not used: %7.3f M",
	     one / 1e6, idle / 1e6);
	EXPECT_LE(idle, 0.18e6);
	munmap(mem, GIB);

	/* The guest has room for an image of 2.25 GiB: scale the rule to that. */
	mem = arena(2 * GIB + GIB / 4);
	ASSERT_NE(NULL, mem);
	ASSERT_LE(0, checkpoint(false, mem, 2 * GIB + GIB / 4));
	ASSERT_LE(0, checkpoint(true, mem, 2 * GIB + GIB / 4));
	look(mem, GIB);
	four = checkpoint(true, mem, 2 * GIB + GIB / 4);
	ASSERT_LE(0, four);
	SHOW("2.25 GiB, of which 1 GiB read: %7.3f M, %.3f of 1 GiB", four / 1e6,
	     four / one);
	/* 3 GiB more may cost half of 1 GiB: 1.25 GiB more, 0.21 of it. */
	EXPECT_LE(four, one * 1.21);
}

TEST(pages_written_again_cost_no_fault)
{
	size_t len = 64 * MIB;
	char *mem = arena(len);
	struct rusage before, after;
	double never, tracked;

	ASSERT_NE(NULL, mem);
	touch(mem, len, 1000, 0);
	never = touch(mem, len, 1000, 0);
	ASSERT_LE(0, checkpoint(false, mem, len));
	ASSERT_LE(0, checkpoint(true, mem, len));
	getrusage(RUSAGE_SELF, &before);
	tracked = touch(mem, len, 1000, 0);
	getrusage(RUSAGE_SELF, &after);
	SHOW("64 MiB written: %.3f M never checkpointed, %.3f M after a checkpoint, %ld faults",
	     never / 1e6, tracked / 1e6, after.ru_minflt - before.ru_minflt);
	EXPECT_EQ(before.ru_minflt, after.ru_minflt);
	EXPECT_LE(tracked, never * 1.05);
}

TEST_HARNESS_MAIN
