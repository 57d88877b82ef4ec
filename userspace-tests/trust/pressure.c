// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 --swap 256 --disk 384 --smp 2 --timeout 600 */
/*
 * Memory is short, or on the move: compaction, khugepaged, KSM and the offlining of
 * pages work on the memory that is saved; a memory cgroup or the machine is smaller
 * than what is saved; nothing is left at all, and the caller is killed. The chain
 * gives the memory back each time, and whoever is killed leaves no file.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/swap.h>

#include "chain.h"
#include "harness.h"
#include "needs.h"

#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif

#define THP	"/sys/kernel/mm/transparent_hugepage/"
#define GROUP	"/sys/fs/cgroup/pressure"

static uint64_t rnd(void)
{
	static uint64_t state = 1;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Some words anywhere; now and then pages that are like others, for KSM. */
static void write_some(char *mem, size_t len, int words)
{
	while (words--) {
		char *page = mem + rnd() % (len / PAGE) * PAGE;

		if (words % 8)
			*(uint64_t *)(page + rnd() % 512 * 8) = rnd();
		else
			memset(page, 1 + rnd() % 2, PAGE);
	}
}

/*
 * On the move.
 */
#define LEN	(4UL << 20)
#define ROUNDS	24
#define OFFLINE	200		/* pages at most: they are gone for good */

static char *mem;
static atomic_bool stop;
static atomic_long offlined;

static void compact(void)
{
	cp_write_file("/proc/sys/vm/compact_memory", "1");
	usleep(1000);
}

static void take_page_offline(void)
{
	static unsigned int seed = 1;

	if (offlined < OFFLINE &&
	    !madvise(mem + rand_r(&seed) % (LEN / PAGE) * PAGE, PAGE, MADV_SOFT_OFFLINE))
		offlined++;
	usleep(3000);
}

static long count_compacted(void)
{
	return cp_vmstat("pgmigrate_success");
}

static long count_offlined(void)
{
	return offlined;
}

static long count_collapsed(void)
{
	return cp_vmstat("thp_collapse_alloc");
}

static long count_merged(void)
{
	return cp_read_number(CP_KSM "pages_sharing");
}

static const struct mover {
	void	(*step)(void);		/* in a thread, again and again */
	long	(*count)(void);		/* goes up when it has done something */
	const char *counted;
	struct {
		const char *file, *on, *off;
	} settings[4];
} movers[] = {
	{ compact, count_compacted, "pages compacted" },
	{ take_page_offline, count_offlined, "offlined" },
	{ NULL, count_collapsed, "huge pages", {
		{ THP "enabled", "always", "madvise" },
		{ THP "khugepaged/scan_sleep_millisecs", "0", "10000" },
		{ THP "khugepaged/pages_to_scan", "4096", "4096" },
		/* a minute's pause, else, after it found no huge page */
		{ THP "khugepaged/alloc_sleep_millisecs", "0", "60000" },
	} },
	{ NULL, count_merged, "merged, at the end", {
		{ CP_KSM "run", "1", "2" },
		{ CP_KSM "sleep_millisecs", "0", "20" },
		{ CP_KSM "pages_to_scan", "4096", "100" },
	} },
};

#define NR_MOVERS	(sizeof(movers) / sizeof(*movers))

static void set(const struct mover *m, bool on)
{
	for (int i = 0; i < 4 && m->settings[i].file; i++)
		cp_write_file(m->settings[i].file,
			      on ? m->settings[i].on : m->settings[i].off);
}

static void *move(void *arg)
{
	const struct mover *m = arg;

	while (!stop)
		m->step();
	return NULL;
}

FIXTURE(moved) {
	struct chain	c;
	pthread_t	thread[NR_MOVERS];
	long		before[NR_MOVERS];
	unsigned int	who;		/* of the variant's, those that there are */
};

FIXTURE_VARIANT(moved) {
	unsigned int	who;
};

FIXTURE_VARIANT_ADD(moved, by_compaction) { 1 };
FIXTURE_VARIANT_ADD(moved, by_soft_offline) { 2 };
FIXTURE_VARIANT_ADD(moved, by_khugepaged) { 4 };
FIXTURE_VARIANT_ADD(moved, by_ksm) { 8 };
FIXTURE_VARIANT_ADD(moved, by_all_of_them) { 15 };

FIXTURE_SETUP(moved)
{
	self->who = variant->who;
	/* Nobody moves pages in Linux 2.6.32 but for a node, for KSM, or for an error. */
	if (cp_kernel_before(2, 7))
		self->who &= ~5;
	if (!self->who)
		SKIP(return, "this kernel has no such thing");
	/* Before there is memory: khugepaged is told of it then. */
	for (size_t i = 0; i < NR_MOVERS; i++)
		if (self->who >> i & 1)
			set(&movers[i], true);
	mem = cp_map_at(CP_FAR(0x20), LEN);
	ASSERT_NE(NULL, mem);
	if (!(self->who & 4))
		madvise(mem, LEN, MADV_NOHUGEPAGE);
	if (self->who & 8)
		madvise(mem, LEN, MADV_MERGEABLE);
	stop = false;
	cp_fill(mem, LEN, 1);
	/* A page that is busy at the moment is no matter. */
	if ((self->who & 2) && madvise(mem, PAGE, MADV_SOFT_OFFLINE) && errno == EINVAL)
		SKIP(return, "no MADV_SOFT_OFFLINE: %s", strerror(errno));
	for (size_t i = 0; i < NR_MOVERS; i++) {
		if (!(self->who >> i & 1))
			continue;
		self->before[i] = movers[i].count();
		if (movers[i].step)
			pthread_create(&self->thread[i], NULL, move, (void *)&movers[i]);
	}
}

FIXTURE_TEARDOWN(moved)
{
	stop = true;
	for (size_t i = 0; i < NR_MOVERS; i++) {
		if (self->thread[i])
			pthread_join(self->thread[i], NULL);
		if (self->who >> i & 1)
			set(&movers[i], false);
	}
	chain_close(&self->c);
	chain_remove();
}

TEST_F(moved, chain_gives_the_memory)
{
	unsigned int seen = 0;
	size_t saved = 0;
	int round;

	/* Till each of them has done something, however slow they are. */
	for (round = 0; round < ROUNDS || (seen != self->who && round < 4 * ROUNDS);
	     round++) {
		if (round >= ROUNDS)
			usleep(100000);
		write_some(mem, LEN, 40);
		ASSERT_OK(round % 8 ? chain_inc(&self->c, mem, LEN) :
			  chain_full(&self->c, mem, LEN));
		ASSERT_OK(chain_matches(&self->c, mem, LEN));
		saved += round % 8 ? cpimg_note(self->c.img)->pages_data : 0;
		for (size_t i = 0; i < NR_MOVERS; i++)
			if (self->who >> i & 1 && movers[i].count() > self->before[i])
				seen |= 1 << i;
		if (round % 8 == 7)
			chain_remove();
	}
	for (size_t i = 0; i < NR_MOVERS; i++)
		if (self->who >> i & 1)
			TH_LOG("%s: %ld in %d rounds", movers[i].counted,
			       movers[i].count() - self->before[i], round);
	TH_LOG("pages in an incremental image: %zu", saved / (round * 7 / 8));
	EXPECT_EQ(self->who, seen);
}

/*
 * Too little of it, with swap.
 */
/* The images go to a disk: in memory they would take what there is too little of. */
static bool tmp_on_disk(void)
{
	return !access("/disk/lost+found", F_OK) && !unshare(CLONE_NEWNS) &&
	       !mount("/disk", "/tmp", NULL, MS_BIND, NULL);
}

/* Full, and incrementals right afterwards, of memory that does not fit. */
#define SAVE_THRASHING(at, len) do { \
	struct chain c_ = { 0 }; \
	long in_ = cp_vmstat("pswpin"), out_ = cp_vmstat("pswpout"); \
	\
	madvise(at, len, MADV_NOHUGEPAGE); \
	cp_fill(at, len, 1); \
	ASSERT_OK(chain_full(&c_, at, len)); \
	for (int i_ = 0; i_ < 2; i_++) { \
		write_some(at, len, 200); \
		ASSERT_OK(chain_inc(&c_, at, len)); \
		TH_LOG("incremental: %llu of %zu pages", \
		       (unsigned long long)cpimg_note(c_.img)->pages_data, \
		       (len) / PAGE); \
	} \
	in_ = cp_vmstat("pswpin") - in_; \
	out_ = cp_vmstat("pswpout") - out_; \
	TH_LOG("%ld pages swapped out, %ld in", out_, in_); \
	EXPECT_LT((len) / PAGE / 4, out_); \
	EXPECT_LT((len) / PAGE / 4, in_); \
	EXPECT_OK(chain_matches(&c_, at, len)); \
	chain_close(&c_); \
	chain_remove(); \
} while (0)

TEST(cgroup_smaller_than_the_image)
{
	const size_t len = 40UL << 20;
	char *at, limit[32];

	if (cp_debug_kernel())
		SKIP(return, "takes more than five minutes with debugging");
	cp_write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if ((mkdir(GROUP, 0755) && errno != EEXIST) || !cp_swap_device() || !tmp_on_disk())
		SKIP(return, "no memory cgroup (v2), no swap, or no /disk");
	snprintf(limit, sizeof(limit), "%zu", len / 2);
	ASSERT_EQ(0, cp_write_file(GROUP "/memory.max", limit)) TH_LOG("%m");
	ASSERT_EQ(0, cp_write_file(GROUP "/cgroup.procs", "0")) TH_LOG("%m");
	at = cp_map(len);
	SAVE_THRASHING(at, len);
	ASSERT_EQ(0, cp_write_file("/sys/fs/cgroup/cgroup.procs", "0"));
	rmdir(GROUP);
}

TEST(machine_smaller_than_the_image)
{
	const size_t len = (cp_debug_kernel() || cp_kernel_before(2, 7) ? 16UL : 64UL) << 20;
	char *at;
	pid_t pid;

	if (!cp_swap_device() || !tmp_on_disk())
		SKIP(return, "no swap, or no /disk");
	pid = cp_hold_memory_but(len >> 11);
	ASSERT_TRUE(cp_wait_stopped(pid));
	at = cp_map(len);
	SAVE_THRASHING(at, len);
	cp_kill(pid);
}

/*
 * Nothing left, and no swap: an image in memory needs as much again.
 */
/* More and more, till the killer comes: at another moment of the call each time. */
static void save_too_much(void *arg)
{
	long percent = (long)arg;
	size_t len = (cp_available() << 10) / 100 * percent / PAGE * PAGE;
	char *at = cp_map(len);

	cp_oom_first(true);
	cp_fill(at, len, 1);
	/* Every other time it has a chain. */
	if (percent % 2) {
		inc_cp_range(at, at + 16 * PAGE);
		unlink(cp_name(getpid(), 0));
	}
	_exit(inc_cp_range(at, at + len) ? errno : 0);
}

TEST(killed_for_want_of_memory)
{
	long shmem, kills = cp_vmstat("oom_kill"), now;
	const char *swap = cp_swap_device();
	struct chain c = { 0 };
	char *at;

	if (swap)
		ASSERT_EQ(0, swapoff(swap)) TH_LOG("%m");
	shmem = cp_meminfo("Shmem");
	/* tmpfs would say that it is full, else. */
	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	ASSERT_EQ(0, mount("none", "/tmp", "tmpfs", 0, "size=1g,mode=1777"));
	for (long percent = 65; percent <= 90; percent += 5) {
		int status;
		pid_t pid;

		fflush(NULL);
		pid = fork();
		if (!pid)
			save_too_much((void *)percent);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
			TH_LOG("%ld %%: status 0x%x", percent, status);
		ASSERT_OK(cp_no_file(pid, 0));
		ASSERT_OK(cp_no_file(pid, 1));
	}
	/* before 4.13 they are not counted */
	if (kills >= 0) {
		kills = cp_vmstat("oom_kill") - kills;
		EXPECT_LE(6, kills);
	}
	/* What the files had taken has been given back, and the next ones are well. */
	now = cp_meminfo("Shmem");
	EXPECT_GT(shmem + 1024, now) TH_LOG("Shmem was %ld kB, is %ld kB", shmem, now);
	TH_LOG("killed %ld times", kills);
	at = cp_map(LEN);
	cp_fill(at, LEN, 2);
	ASSERT_OK(chain_full(&c, at, LEN));
	ASSERT_OK(chain_inc(&c, at, LEN));
	EXPECT_OK(chain_matches(&c, at, LEN));
	chain_close(&c);
	if (swap)
		swapon(swap, 0);
}

TEST_HARNESS_MAIN
