// SPDX-License-Identifier: GPL-2.0
/* The ways to find what changed that a kernel without us offers. */
#include <linux/userfaultfd.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "cp_test.h"
#include "schemes.h"
#include "schemes_peers.h"

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
#define SCAN_SOFT_DIRTY		(1 << 7)

#define REGIONS		512	/* more, and walk_end is stale on 6.12 */

/* Bits of an entry of /proc/PID/pagemap. */
#define PM_SOFT_DIRTY	(1ULL << 55)
#define PM_EXCLUSIVE	(1ULL << 56)

#define ENTRIES		8192	/* that are read at a time */

static uint64_t *new_bits(const struct saver *saver)
{
	return calloc(saver->arena.len / PAGE / 64 + 1, sizeof(uint64_t));
}

static bool open_pagemap(struct saver *saver)
{
	saver->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	return saver->pagemap >= 0;
}

/* Write what PAGEMAP_SCAN finds, until the end is reached. */
static bool save_scanned(struct saver *saver, uint64_t flags, uint64_t category)
{
	struct scan_region regions[REGIONS];
	struct scan_arg arg = {
		.size = sizeof(arg), .flags = flags,
		.start = (uintptr_t)saver->arena.mem,
		.end = (uintptr_t)saver->arena.mem + saver->arena.len,
		.vec = (uintptr_t)regions, .vec_len = REGIONS,
		.category_mask = category, .return_mask = category,
	};
	int fd = saver_file(saver);
	bool ok = fd >= 0;

	while (ok && arg.start < arg.end) {
		int nr = ioctl(saver->pagemap, SCAN, &arg);

		ok = nr >= 0;
		for (int i = 0; ok && i < nr; i++) {
			struct run run = { regions[i].start, regions[i].end };

			ok = save_runs(fd, &run, 1, PIECE);
		}
		arg.start = arg.walk_end;
	}
	return !close(fd) && ok;
}

/* userfaultfd: the kernel itself lifts the protection at a fault. */
bool wp_async_begin(struct saver *saver)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED,
	};
	struct uffdio_range range = {
		(uintptr_t)saver->arena.mem, saver->arena.len
	};
	struct uffdio_register reg = {
		.range = range, .mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect prot = {
		.range = range, .mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	saver->uffd = syscall(__NR_userfaultfd, O_CLOEXEC);
	return saver->uffd >= 0 && open_pagemap(saver) &&
	       !ioctl(saver->uffd, UFFDIO_API, &api) &&
	       !ioctl(saver->uffd, UFFDIO_REGISTER, &reg) &&
	       !ioctl(saver->uffd, UFFDIO_WRITEPROTECT, &prot);
}

bool wp_async_save(struct saver *saver)
{
	return save_scanned(saver, SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC,
			    SCAN_WRITTEN);
}

static bool clear_soft_dirty(struct saver *saver)
{
	return pwrite(saver->clear_refs, "4", 1, 0) == 1;
}

bool soft_dirty_begin(struct saver *saver)
{
	saver->clear_refs = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	saver->entries = malloc(ENTRIES * sizeof(*saver->entries));
	return saver->clear_refs >= 0 && saver->entries && open_pagemap(saver) &&
	       clear_soft_dirty(saver);
}

bool soft_dirty_scan_save(struct saver *saver)
{
	return save_scanned(saver, 0, SCAN_SOFT_DIRTY) && clear_soft_dirty(saver);
}

/* Add a page to the runs that end at @nr. Return: how many there are now. */
static size_t add_page(struct run *runs, size_t nr, uint64_t addr)
{
	if (nr && runs[nr - 1].end == addr) {
		runs[nr - 1].end += PAGE;
		return nr;
	}
	runs[nr] = (struct run) { addr, addr + PAGE };
	return nr + 1;
}

/* The pages of ENTRIES entries that have the bit. Return: the number of runs. */
static size_t runs_with(const uint64_t *entries, size_t nr_entries, uint64_t bit,
			uint64_t addr, struct run *runs)
{
	size_t nr = 0;

	for (size_t i = 0; i < nr_entries; i += 8) {
		const uint64_t *e = entries + i;

		/* mostly none of them has */
		if (!((e[0] | e[1] | e[2] | e[3] | e[4] | e[5] | e[6] | e[7]) & bit))
			continue;
		for (size_t j = 0; j < 8; j++)
			if (e[j] & bit)
				nr = add_page(runs, nr, addr + (i + j) * PAGE);
	}
	return nr;
}

/* Read all of pagemap; hand the runs with @bit to @take, part by part. */
static bool scan_pagemap(struct saver *saver, uint64_t bit,
			 bool (*take)(struct saver *saver, int fd,
				      const struct run *runs, size_t nr), int fd)
{
	struct run runs[ENTRIES / 2 + 1];
	size_t pages = saver->arena.len / PAGE;
	uint64_t addr = (uintptr_t)saver->arena.mem;

	while (pages) {
		size_t n = pages < ENTRIES ? pages : ENTRIES, nr;

		if (pread(saver->pagemap, saver->entries, n * 8,
			  addr / PAGE * 8) != (ssize_t)(n * 8))
			return false;
		nr = runs_with(saver->entries, n, bit, addr, runs);
		if (!take(saver, fd, runs, nr))
			return false;
		addr += n * PAGE;
		pages -= n;
	}
	return true;
}

static bool write_runs(struct saver *saver, int fd, const struct run *runs,
		       size_t nr)
{
	(void)saver;
	return save_runs(fd, runs, nr, PIECE);
}

bool soft_dirty_save(struct saver *saver)
{
	int fd = saver_file(saver);
	bool ok = fd >= 0 && scan_pagemap(saver, PM_SOFT_DIRTY, write_runs, fd) &&
		  clear_soft_dirty(saver);

	return !close(fd) && ok;
}

/* What the signal handler has to know. */
static struct saver *protected;

static void on_write(int sig, siginfo_t *info, void *context)
{
	struct saver *saver = protected;
	uintptr_t addr = (uintptr_t)info->si_addr & -PAGE;
	size_t page = (addr - (uintptr_t)saver->arena.mem) / PAGE;

	(void)context;
	if (page >= saver->arena.len / PAGE ||
	    mprotect((void *)addr, PAGE, PROT_READ | PROT_WRITE)) {
		/* not ours, or more VMAs than may be: vm.max_map_count */
		signal(sig, SIG_DFL);
		return;
	}
	saver->dirty[page / 64] |= 1ULL << page % 64;
	saver->faults++;
}

static bool protect_all(struct saver *saver)
{
	return !mprotect(saver->arena.mem, saver->arena.len, PROT_READ);
}

bool mprotect_begin(struct saver *saver)
{
	struct sigaction act = { .sa_flags = SA_SIGINFO };

	saver->dirty = new_bits(saver);
	if (!saver->dirty)
		return false;
	protected = saver;
	act.sa_sigaction = on_write;
	return !sigaction(SIGSEGV, &act, NULL) && protect_all(saver);
}

/* Write what is marked in the bitmap, and clear the marks. */
static bool save_marked(struct saver *saver, int fd)
{
	uint64_t base = (uintptr_t)saver->arena.mem;
	size_t words = (saver->arena.len / PAGE + 63) / 64;
	struct run run = { 0, 0 };

	for (size_t i = 0; i < words; i++) {
		for (; saver->dirty[i]; saver->dirty[i] &= saver->dirty[i] - 1) {
			size_t page = i * 64 + __builtin_ctzll(saver->dirty[i]);
			uint64_t addr = base + page * PAGE;

			if (run.end == addr) {
				run.end += PAGE;
				continue;
			}
			if (!save_runs(fd, &run, 1, PIECE))
				return false;
			run = (struct run) { addr, addr + PAGE };
		}
	}
	return save_runs(fd, &run, 1, PIECE);
}

bool mprotect_save(struct saver *saver)
{
	int fd = saver_file(saver);
	bool ok = fd >= 0 && save_marked(saver, fd) && protect_all(saver);

	return !close(fd) && ok;
}

void mprotect_end(struct saver *saver)
{
	mprotect(saver->arena.mem, saver->arena.len, PROT_READ | PROT_WRITE);
	signal(SIGSEGV, SIG_DFL);
}

/*
 * fork(): the child of the last checkpoint still holds the pages of then. A page
 * that the program wrote since was copied for it, and is no longer shared.
 */
static bool mark_runs(struct saver *saver, int fd, const struct run *runs, size_t nr)
{
	uint64_t base = (uintptr_t)saver->arena.mem;

	(void)fd;
	for (size_t i = 0; i < nr; i++)
		for (uint64_t at = runs[i].start; at < runs[i].end; at += PAGE) {
			size_t page = (at - base) / PAGE;

			saver->dirty[page / 64] |= 1ULL << page % 64;
		}
	return true;
}

static void __attribute__((noreturn)) hold_pages(struct saver *saver)
{
	uint64_t answer;
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = saver_file(saver);
	answer = fd >= 0 && save_marked(saver, fd) && !close(fd) ? 1 : 2;
	write(saver->answer, &answer, 8);
	for (;;)
		pause();
}

/* A child that writes what is marked, and stays. */
static bool fork_holder(struct saver *saver, double since)
{
	uint64_t answer;

	saver->child = fork();
	if (!saver->child)
		hold_pages(saver);
	saver->stopped = now() - since;
	if (saver->child < 0 || read(saver->answer, &answer, 8) != 8)
		return false;
	memset(saver->dirty, 0, saver->arena.len / PAGE / 8);
	return answer == 1;
}

bool fork_begin(struct saver *saver)
{
	saver->dirty = new_bits(saver);
	saver->entries = malloc(ENTRIES * sizeof(*saver->entries));
	saver->answer = eventfd(0, EFD_CLOEXEC);
	return saver->dirty && saver->entries && saver->answer >= 0 &&
	       open_pagemap(saver) && fork_holder(saver, 0);
}

bool fork_save(struct saver *saver)
{
	double t = now();

	if (!scan_pagemap(saver, PM_EXCLUSIVE, mark_runs, -1))
		return false;
	cp_kill(saver->child);
	return fork_holder(saver, t);
}

void fork_end(struct saver *saver)
{
	if (saver->child > 0)
		cp_kill(saver->child);
	close(saver->answer);
}
