// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 --smp 2 --disk 32 */
/*
 * An incremental image has exactly what changed, and names its parent; the
 * program pays nothing for it. When an image is full, it says why.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "chain.h"
#include "harness.h"

#define LEN	(8UL << 20)
#define PAGES	(LEN / PAGE)

FIXTURE(incremental) {
	char		*mem;
	struct chain	c;
};

FIXTURE_SETUP(incremental)
{
	/* At 2 MiB, and no huge pages: each page's dirty bit is its own. */
	self->mem = cp_map_at(CP_FAR(0x20), LEN);
	ASSERT_NE(NULL, self->mem);
	madvise(self->mem, LEN, MADV_NOHUGEPAGE);
	/* Fresh pages are held for a while by the processor that made them. */
	cp_pin(0);
	cp_fill(self->mem, LEN, 1);
}

FIXTURE_TEARDOWN(incremental)
{
	chain_close(&self->c);
	chain_remove();
}

#define INC()		ASSERT_OK(chain_inc(&self->c, self->mem, LEN))
#define FULL()		ASSERT_OK(chain_full(&self->c, self->mem, LEN))
#define MATCHES()	ASSERT_OK(chain_matches(&self->c, self->mem, LEN))
#define IS(kind, why)	ASSERT_OK(chain_is(&self->c, CP_KIND_##kind, CP_REASON_##why))
#define COUNT(cls)	chain_pages(&self->c, self->mem, LEN, CPIMG_##cls)

TEST_F(incremental, first_is_full_then_nothing_is_left)
{
	INC();
	IS(FULL, FIRST);
	MATCHES();
	ASSERT_EQ(PAGES, COUNT(DATA));
	for (int i = 0; i < 3; i++) {
		INC();
		IS(INCREMENTAL, CHAIN);
		ASSERT_EQ(PAGES, COUNT(SAME));
		ASSERT_EQ(0, cpimg_note(self->c.img)->pages_data);
		MATCHES();
	}
}

TEST_F(incremental, cp_range_begins_a_chain)
{
	FULL();
	IS(FULL, CP_RANGE);
	INC();
	IS(INCREMENTAL, CHAIN);
	ASSERT_EQ(PAGES, COUNT(SAME));
	FULL();
	IS(FULL, CP_RANGE);
	ASSERT_EQ(PAGES, COUNT(DATA));
	INC();
	ASSERT_EQ(PAGES, COUNT(SAME));
	ASSERT_EQ(2, cpimg_chain_length(self->c.all));
}

TEST_F(incremental, exactly_the_pages_written)
{
	static bool written[PAGES];
	unsigned int seed = 7;

	INC();
	for (int round = 0; round < 12; round++) {
		unsigned int n = 0, many = round < 4 ? 1 : 200;

		memset(written, 0, sizeof(written));
		for (unsigned int i = 0; i < many; i++) {
			unsigned int page = rand_r(&seed) % PAGES;

			n += !written[page];
			written[page] = true;
			self->mem[page * PAGE + rand_r(&seed) % PAGE]++;
		}
		INC();
		EXPECT_EQ(n, COUNT(DATA));
		for (unsigned int i = 0; i < PAGES; i++)
			ASSERT_OK(cp_is(self->c.img, self->mem + i * PAGE, PAGE,
					written[i] ? CPIMG_DATA : CPIMG_SAME, 0));
		MATCHES();
	}
}

TEST_F(incremental, reading_changes_nothing)
{
	volatile char sum = 0;

	INC();
	for (size_t i = 0; i < LEN; i += PAGE)
		sum += self->mem[i];
	INC();
	ASSERT_EQ(PAGES, COUNT(SAME));
}

/* What is untouched is HOLE in each image, never SAME. */
TEST_F(incremental, never_touched_is_a_hole)
{
	ASSERT_EQ(0, madvise(self->mem, LEN / 2, MADV_DONTNEED));
	INC();
	ASSERT_OK(cp_is(self->c.img, self->mem, LEN / 2, CPIMG_HOLE, CP_HOLE_ZERO));
	INC();
	ASSERT_OK(cp_is(self->c.img, self->mem, LEN / 2, CPIMG_HOLE, CP_HOLE_ZERO));
	ASSERT_OK(cp_is(self->c.img, self->mem + LEN / 2, LEN / 2, CPIMG_SAME, 0));
}

TEST_F(incremental, no_faults_for_pages_written_again)
{
	struct rusage before, after;
	long faults;

	INC();
	for (int round = 0; round < 3; round++) {
		getrusage(RUSAGE_SELF, &before);
		faults = cp_vmstat("pgfault");
		getrusage(RUSAGE_SELF, &before);
		for (size_t i = 0; i < LEN; i += PAGE)
			self->mem[i]++;
		getrusage(RUSAGE_SELF, &after);
		faults = cp_vmstat("pgfault") - faults;
		EXPECT_EQ(before.ru_minflt, after.ru_minflt);
		EXPECT_EQ(before.ru_majflt, after.ru_majflt);
		/* Of the whole machine: other processes fault as well. */
		EXPECT_GT(100, faults);
		INC();
		ASSERT_EQ(PAGES, COUNT(DATA));
	}
}

struct meanwhile {
	volatile char	*mem;
	volatile bool	stop;
	long		faults;
};

static void *write_meanwhile(void *arg)
{
	struct meanwhile *m = arg;
	struct rusage before, after;
	unsigned int seed = 1;

	cp_pin(1);
	m->mem[0]++;
	getrusage(RUSAGE_THREAD, &before);
	while (!m->stop)
		m->mem[rand_r(&seed) % PAGES * PAGE]++;
	getrusage(RUSAGE_THREAD, &after);
	m->faults = after.ru_minflt - before.ru_minflt + after.ru_majflt - before.ru_majflt;
	return NULL;
}

/*
 * An entry is never gone, not for a moment: who finds none takes a fault for a page
 * that it has, and of a file that cannot be read any more, SIGBUS.
 */
TEST_F(incremental, no_faults_while_it_is_saved)
{
	struct meanwhile m = { .mem = self->mem };
	pthread_t thread;

	if (access("/sys/devices/system/cpu/cpu1", F_OK))
		SKIP(return, "one processor only");
	ASSERT_EQ(0, pthread_create(&thread, NULL, write_meanwhile, &m));
	for (int i = cp_debug_kernel() ? 40 : 400; i--;) {
		ASSERT_EQ(0, inc_cp_range(self->mem, self->mem + LEN));
		if (i % 8 == 0)
			chain_remove();
	}
	m.stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(0, m.faults);
}

TEST_F(incremental, parts_and_all)
{
	INC();
	for (int i = 0; i < 4; i++) {
		/* Something in every part, one part looked at. */
		for (size_t at = 0; at < LEN; at += LEN / 16)
			self->mem[at]++;
		ASSERT_OK(chain_inc(&self->c, self->mem + i * LEN / 4 + 100, LEN / 4 - 200));
		IS(INCREMENTAL, CHAIN);
		ASSERT_OK(chain_matches(&self->c, self->mem + i * LEN / 4, LEN / 4));
	}
	INC();
	MATCHES();
	/* The last part had been saved, and not been written since. */
	ASSERT_EQ(12, COUNT(DATA));
}

TEST_F(incremental, full_of_a_part_then_all)
{
	INC();
	ASSERT_OK(chain_full(&self->c, self->mem, LEN / 4));
	INC();
	IS(INCREMENTAL, CHAIN);
	/* The older chain is forgotten: only a quarter counts as saved. */
	ASSERT_OK(cp_is(self->c.img, self->mem, LEN / 4, CPIMG_SAME, 0));
	ASSERT_OK(cp_is(self->c.img, self->mem + LEN / 4, 3 * LEN / 4, CPIMG_DATA, 0));
	MATCHES();
}

struct turn {
	char		*mem;
	int		tid;
	long		ret;
};

static void *inc_in_thread(void *arg)
{
	struct turn *turn = arg;

	turn->tid = cp_gettid();
	turn->ret = inc_cp_range(turn->mem, turn->mem + LEN);
	if (!turn->ret)
		turn->ret = inc_cp_range(turn->mem, turn->mem + LEN);
	return NULL;
}

/* The first of a thread is full, whoever began a chain; then both go on with it. */
TEST_F(incremental, two_threads_in_turn)
{
	struct turn turn = { .mem = self->mem };
	pthread_t thread;

	INC();
	self->mem[0]++;
	pthread_create(&thread, NULL, inc_in_thread, &turn);
	pthread_join(thread, NULL);
	ASSERT_EQ(0, turn.ret);
	ASSERT_OK(chain_open(&self->c, turn.tid, 0));
	IS(FULL, FIRST);
	ASSERT_OK(chain_open(&self->c, turn.tid, 1));
	IS(INCREMENTAL, CHAIN);
	ASSERT_EQ(PAGES, COUNT(SAME));
	self->mem[PAGE]++;
	INC();
	IS(INCREMENTAL, CHAIN);
	ASSERT_EQ(1, COUNT(DATA));
	ASSERT_STREQ(strrchr(cp_name(turn.tid, 1), '/') + 1,
		     cpimg_note(self->c.img)->parent);
	MATCHES();
}

/* The child's first is full, and its parent's chain goes on as if nothing had been. */
TEST_F(incremental, after_fork_each_has_its_own_chain)
{
	struct chain mine = { 0 };
	int status;
	pid_t pid;

	INC();
	pid = fork();
	if (!pid) {
		self->mem[5 * PAGE]++;
		if (chain_inc(&mine, self->mem, LEN) ||
		    chain_is(&mine, CP_KIND_FULL, CP_REASON_FIRST) ||
		    chain_matches(&mine, self->mem, LEN))
			_exit(1);
		self->mem[6 * PAGE]++;
		if (chain_inc(&mine, self->mem, LEN) ||
		    chain_is(&mine, CP_KIND_INCREMENTAL, CP_REASON_CHAIN) ||
		    chain_pages(&mine, self->mem, LEN, CPIMG_DATA) != 1 ||
		    chain_matches(&mine, self->mem, LEN))
			_exit(2);
		_exit(0);
	}
	self->mem[7 * PAGE]++;
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	INC();
	IS(INCREMENTAL, CHAIN);
	EXPECT_EQ(1, COUNT(DATA));
	MATCHES();
}

static char child_stack[65536] __attribute__((aligned(16)));

static int inc_in_other_process(void *arg)
{
	char *mem = arg;

	/* Its counter is 0: full. Its second call goes on with its own chain. */
	if (inc_cp_range(mem, mem + LEN) || inc_cp_range(mem, mem + LEN))
		return 1;
	return 0;
}

/* A process that shares the memory: its images bear another pid. */
TEST_F(incremental, vfork_child)
{
	int status;
	pid_t pid;

	INC();
	INC();
	IS(INCREMENTAL, CHAIN);
	pid = clone(inc_in_other_process, child_stack + sizeof(child_stack),
		    CLONE_VM | CLONE_VFORK | SIGCHLD, self->mem);
	ASSERT_LT(0, pid);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	ASSERT_OK(chain_open(&self->c, pid, 0));
	IS(FULL, FIRST);
	ASSERT_OK(chain_open(&self->c, pid, 1));
	IS(INCREMENTAL, CHAIN);
	self->mem[0]++;
	INC();
	IS(FULL, OTHER_PROCESS);
	MATCHES();
	INC();
	IS(INCREMENTAL, CHAIN);
}

/* exec brings an address space without a chain; the counter survives. */
TEST_F(incremental, after_exec)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		if (inc_cp_range(self->mem, self->mem + PAGE))
			_exit(1);
		execl(cp_helper("inc_twice"), "inc_twice", NULL);
		_exit(2);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	ASSERT_OK(chain_open(&self->c, pid, 1));
	IS(FULL, NO_CHAIN);
	ASSERT_OK(chain_open(&self->c, pid, 2));
	IS(INCREMENTAL, CHAIN);
}

static void *exec_in_thread(void *arg)
{
	(void)arg;
	execl(cp_helper("inc_twice"), "inc_twice", NULL);
	_exit(2);
}

/* The thread becomes the leader: its pid has two images already. */
TEST_F(incremental, thread_that_calls_exec)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		pthread_t thread;

		if (inc_cp_range(self->mem, self->mem + PAGE) ||
		    inc_cp_range(self->mem, self->mem + PAGE))
			_exit(1);
		pthread_create(&thread, NULL, exec_in_thread, NULL);
		pthread_join(thread, NULL);
		_exit(3);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	ASSERT_OK(chain_open(&self->c, pid, 2));
	IS(FULL, NO_CHAIN);
	ASSERT_OK(chain_open(&self->c, pid, 3));
	IS(INCREMENTAL, CHAIN);
}

/*
 * A program that does nothing: little is left to save, and it is all there. Its text and
 * that of its libraries are left to files, which have to be on a disk for that.
 */
TEST_F(incremental, idle_program)
{
	const char *argv[] = { "/disk/loader", "/disk/idle_dyn", NULL };
	struct cpimg_piece piece;
	struct cpimg_error err;
	uint64_t end = cp_user_end();
	size_t left;
	int pid, mem;

	ASSERT_EQ(0, cp_copy(CP_LOADER, argv[0])) TH_LOG("%m");
	ASSERT_EQ(0, chmod(argv[0], 0755));
	ASSERT_EQ(0, cp_copy(cp_helper("idle_dyn"), argv[1])) TH_LOG("%m");
	sync();
	usleep(30000);
	pid = cp_exec_stopped(argv);
	ASSERT_LT(0, pid);
	ASSERT_OK(chain_open(&self->c, pid, 2));
	mem = cp_open_memory(pid, cpimg_runs(self->c.img, &left)->start);
	ASSERT_LE(0, mem);
	IS(INCREMENTAL, CHAIN);
	TH_LOG("%" PRIu64 " bytes, %" PRIu64 " pages DATA, %" PRIu64 " SAME, %" PRIu64 " HOLE",
	       cpimg_file_size(self->c.img), (uint64_t)cpimg_note(self->c.img)->pages_data,
	       (uint64_t)cpimg_note(self->c.img)->pages_same,
	       (uint64_t)cpimg_note(self->c.img)->pages_hole);
	EXPECT_GT(128 << 10, cpimg_file_size(self->c.img));
	for (uint64_t at = 0; at < end; at = piece.end) {
		static char now[PAGE], then[PAGE];

		ASSERT_EQ(0, cpimg_chain_resolve(self->c.all, 2, at, &piece, &err))
			TH_LOG("%s", err.text);
		if (piece.cls == CPIMG_HOLE && piece.reason == CP_HOLE_ZERO)
			continue;
		if (piece.cls != CPIMG_DATA)
			continue;
		for (uint64_t a = at; a < piece.end; a += PAGE) {
			ASSERT_EQ((ssize_t)PAGE, pread(mem, now, PAGE, a));
			ASSERT_EQ(0, cpimg_pread(piece.img, a, then, PAGE, &err));
			ASSERT_EQ(0, memcmp(now, then, PAGE))
				TH_LOG("page 0x%" PRIx64 " of %s", a, cpimg_path(piece.img));
		}
	}
	close(mem);
	cp_kill(pid);
}

#define GROUP	"/sys/fs/cgroup/incremental"

/* Kernel memory of this process alone; caches of the tracker may be merged. */
static long slab_bytes(void)
{
	FILE *f = fopen(GROUP "/memory.stat", "r");
	char name[64];
	long value, bytes = -1;

	while (f && fscanf(f, "%63s %ld", name, &value) == 2) {
		if (!strcmp(name, "slab_unreclaimable"))
			bytes = value;
	}
	if (f)
		fclose(f);
	return bytes;
}

static bool enter_group(void)
{
	cp_write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	mkdir(GROUP, 0755);
	return !cp_write_file(GROUP "/cgroup.procs", "0") && slab_bytes() >= 0;
}

TEST_F(incremental, fork_and_write_needs_no_memory)
{
	size_t len = 64UL << 20;
	long before, after;
	pid_t pid;
	char *mem;

	if (!enter_group())
		SKIP(return, "no memory cgroup");
	mem = cp_map(len);
	ASSERT_NE(NULL, mem);
	madvise(mem, len, MADV_NOHUGEPAGE);
	memset(mem, 1, len);
	before = slab_bytes();
	ASSERT_OK(chain_inc(&self->c, mem, len));
	chain_close(&self->c);
	chain_remove();
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	memset(mem, 2, len);
	/* Without what the child itself takes. */
	cp_kill(pid);
	after = slab_bytes();
	TH_LOG("the tracker takes %ld bytes at most, for %zu MiB", after - before,
	       len >> 20);
	EXPECT_GE(before + (long)(len / 1000), after);
	munmap(mem, len);
}

/* What is kept of memory that went must not be taken for what comes there later. */
TEST_F(incremental, unmapped_and_mapped_again)
{
	size_t len = 256UL << 20, step = 32UL << 20;
	char *mem = cp_map_at(CP_FAR(0x21), len);

	ASSERT_NE(NULL, mem);
	madvise(mem, len, MADV_NOHUGEPAGE);
	for (size_t at = 0; at < len; at += step)
		mem[at] = 'a';
	ASSERT_OK(chain_full(&self->c, mem, len));
	ASSERT_OK(chain_inc(&self->c, mem, len));
	ASSERT_EQ(0, cpimg_note(self->c.img)->pages_data);
	ASSERT_EQ(0, munmap(mem, len));
	ASSERT_OK(chain_inc(&self->c, mem, len));
	ASSERT_EQ(0, cpimg_note(self->c.img)->runs);
	ASSERT_EQ(mem, cp_map_at(mem, len));
	madvise(mem, len, MADV_NOHUGEPAGE);
	for (size_t at = 0; at < len; at += step)
		*(volatile char *)(mem + at);
	mem[step] = 'b';
	ASSERT_OK(chain_inc(&self->c, mem, len));
	ASSERT_EQ(1, cpimg_note(self->c.img)->pages_data);
	ASSERT_OK(chain_has(&self->c, mem + step, mem + step, PAGE));
	ASSERT_OK(chain_has(&self->c, mem, mem, PAGE));
	ASSERT_EQ(0, munmap(mem, len));
}

TEST_HARNESS_MAIN
