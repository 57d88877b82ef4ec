// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 --smp 2 --disk 64 */
/* guest: --mem 256 --smp 4 --disk 64 */
/*
 * Incremental checkpoints in a loop, while others do what could slip between
 * two steps of them. When those stop for a moment, one more checkpoint must
 * give the memory as it is; and memory itself must have lost nothing.
 */
#define _GNU_SOURCE
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

#include "chain.h"
#include "harness.h"
#include "needs.h"

#define LEN	(2UL << 20)
#define PAGES	128UL			/* of it, in most of the races */
#define SMALL	(PAGES * PAGE)
#define WORDS	(SMALL / 8)
#define BASE	CP_FAR(0x20)
#define EVENTS	"/sys/kernel/tracing/uprobe_events"

/* How long each race goes on: rounds of some checkpoints, then a rest. */
#define SECONDS		2
#define CHECKPOINTS	8

FIXTURE(races) {
	char		*mem;
	struct chain	c;
};

FIXTURE_SETUP(races)
{
	self->mem = cp_map_at(BASE, LEN);
	ASSERT_NE(NULL, self->mem);
	madvise(self->mem, LEN, MADV_NOHUGEPAGE);
	cp_fill(self->mem, LEN, 1);
}

FIXTURE_TEARDOWN(races)
{
	chain_close(&self->c);
	chain_remove();
}

/* Swap in memory: fast, and synchronous. Several tests share it. */
static bool zram_swap(void)
{
	static char header[PAGE];
	uint32_t *info = (uint32_t *)(header + 1024);
	int fd, good;

	if (cp_swap_device())
		return true;
	if (cp_write_file("/sys/block/zram0/disksize", "64M"))
		return false;
	info[0] = 1;
	info[1] = (64UL << 20) / PAGE - 1;
	memcpy(header + PAGE - 10, "SWAPSPACE2", 10);
	fd = open("/dev/zram0", O_WRONLY);
	good = fd >= 0 && write(fd, header, PAGE) == PAGE;
	close(fd);
	return good && !swapon("/dev/zram0", 0);
}

/*
 * Workers that stop when they are told to, and go on.
 */
#define MAX_WORKERS	4

static pthread_barrier_t barrier;
static atomic_bool pause_now, end_now;

struct worker {
	pthread_t	thread;
	void		(*fn)(struct worker *w);
	char		*mem;
	unsigned int	index;
	unsigned int	seed;
	uint64_t	count;
	uint64_t	*wrote;		/* what each word must be */
	int		fd;
};

static struct worker workers[MAX_WORKERS];
static unsigned int nr_workers;

static void *work(void *arg)
{
	struct worker *w = arg;

	for (;;) {
		while (!pause_now)
			w->fn(w);
		pthread_barrier_wait(&barrier);		/* they stand still */
		pthread_barrier_wait(&barrier);		/* and go on */
		if (end_now)
			return NULL;
	}
}

static struct worker *add_worker(void (*fn)(struct worker *w), char *mem)
{
	struct worker *w = &workers[nr_workers];

	*w = (struct worker) { .fn = fn, .mem = mem, .index = nr_workers,
			       .seed = nr_workers + 1 };
	nr_workers++;
	return w;
}

static void start_workers(void)
{
	pause_now = false;
	end_now = false;
	pthread_barrier_init(&barrier, NULL, nr_workers + 1);
	for (unsigned int i = 0; i < nr_workers; i++)
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
}

static void stand_still(void)
{
	pause_now = true;
	pthread_barrier_wait(&barrier);
}

static void go_on(bool end)
{
	end_now = end;
	pause_now = false;
	pthread_barrier_wait(&barrier);
	if (!end)
		return;
	for (unsigned int i = 0; i < nr_workers; i++)
		pthread_join(workers[i].thread, NULL);
	nr_workers = 0;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Rounds of checkpoints during which the workers work, and of rest. */
static const char *race(struct chain *c, char *mem, size_t len,
			const char *(*check)(struct chain *c))
{
	double end = seconds() + SECONDS;
	const char *why = NULL;
	unsigned int rounds = 0;
	bool over;

	start_workers();
	for (over = false; !over; rounds++) {
		chain_remove();
		why = chain_full(c, mem, len);
		for (int i = 0; !why && i < CHECKPOINTS; i++)
			why = chain_inc(c, mem, len);
		stand_still();
		if (!why)
			why = chain_inc(c, mem, len);
		if (!why)
			why = chain_matches(c, mem, len);
		if (!why && check)
			why = check(c);
		over = why || seconds() > end;
		go_on(over);
	}
	printf("# %u rounds\n", rounds);
	return why;
}

/*
 * flush before the lock goes
 */
static uint64_t wrote[MAX_WORKERS][WORDS];

/* Each in words of its own, all in the same pages. */
static void count_in_memory(struct worker *w)
{
	volatile uint64_t *words = (uint64_t *)w->mem;
	unsigned int page = rand_r(&w->seed) % PAGES;
	unsigned int word = page * 512 + w->index;

	for (int i = 0; i < 200; i++) {
		words[word]++;
		wrote[w->index][word]++;
	}
}

static void page_out(struct worker *w)
{
	unsigned int page = rand_r(&w->seed) % PAGES;

	madvise(w->mem + page * PAGE, (1 + rand_r(&w->seed) % 64) * PAGE, MADV_PAGEOUT);
}

static void lazy_free_elsewhere(struct worker *w)
{
	unsigned int page = PAGES / 2 + rand_r(&w->seed) % (PAGES / 2);

	madvise(w->mem + page * PAGE, PAGE, rand_r(&w->seed) % 2 ? MADV_FREE :
		MADV_COLD);
}

static const char *check_counts(struct chain *c)
{
	static char message[600];
	const uint64_t *words = (uint64_t *)BASE;

	(void)c;
	for (unsigned int w = 0; w < 2; w++) {
		for (unsigned int i = w; i < WORDS; i += 512) {
			if (words[i] == wrote[w][i])
				continue;
			snprintf(message, sizeof(message),
				 "MEMORY LOST A STORE: page %u word %u is %" PRIu64 ", the program counted to %" PRIu64,
				 i / 512, w, words[i], wrote[w][i]);
			return message;
		}
	}
	return NULL;
}

TEST_F(races, counting_in_memory_that_is_paged_out)
{
	if (!zram_swap())
		SKIP(return, "no zram to swap to: %s", strerror(errno));
	memset(self->mem, 0, LEN);
	memset(wrote, 0, sizeof(wrote));
	add_worker(count_in_memory, self->mem);
	add_worker(count_in_memory, self->mem);
	add_worker(page_out, self->mem);
	ASSERT_OK(race(&self->c, self->mem, SMALL, check_counts));
}

/* Write, out, and in again by reading: clean entries come and go. */
static void write_out_read(struct worker *w)
{
	unsigned int page = rand_r(&w->seed) % PAGES;
	volatile char *p = w->mem + page * PAGE;

	p[rand_r(&w->seed) % PAGE]++;
	madvise(w->mem + page * PAGE, PAGE, MADV_PAGEOUT);
	(void)p[0];
}

TEST_F(races, written_paged_out_and_read)
{
	if (!zram_swap())
		SKIP(return, "no zram to swap to: %s", strerror(errno));
	add_worker(write_out_read, self->mem);
	add_worker(write_out_read, self->mem);
	ASSERT_OK(race(&self->c, self->mem, SMALL, NULL));
}

static void discard_and_write(struct worker *w)
{
	unsigned int page = rand_r(&w->seed) % PAGES;

	if (rand_r(&w->seed) % 2)
		madvise(w->mem + page * PAGE, PAGE, MADV_DONTNEED);
	w->mem[page * PAGE + rand_r(&w->seed) % PAGE]++;
}

TEST_F(races, discarded_and_written)
{
	add_worker(discard_and_write, self->mem);
	add_worker(discard_and_write, self->mem);
	ASSERT_OK(race(&self->c, self->mem, SMALL, NULL));
}

/*
 * A bit that is set while a long invalidation is under way, for a page that it
 * has not come to yet, must not stay: what is there afterwards is not dirty.
 */
#define WIDE	(32UL << 20)

static pthread_barrier_t together;
static bool last_time;

static void *discard_when_told(void *arg)
{
	for (;;) {
		pthread_barrier_wait(&together);
		if (last_time)
			return NULL;
		madvise(arg, WIDE, MADV_DONTNEED);
		pthread_barrier_wait(&together);
	}
}

TEST_F(races, saved_while_it_is_discarded)
{
	char *mem = cp_map_at(CP_FAR(0x21), WIDE);
	double end = seconds() + SECONDS;
	const char *why = NULL;
	pthread_t thread;

	ASSERT_NE(NULL, mem);
	madvise(mem, WIDE, MADV_NOHUGEPAGE);
	last_time = false;
	pthread_barrier_init(&together, NULL, 2);
	pthread_create(&thread, NULL, discard_when_told, mem);
	while (!why && seconds() < end) {
		chain_remove();
		why = chain_full(&self->c, mem, WIDE);
		for (size_t at = 0; at < WIDE; at += 8 * PAGE)
			mem[at] = 1;
		pthread_barrier_wait(&together);
		if (!why)
			why = chain_inc(&self->c, mem, WIDE);
		pthread_barrier_wait(&together);
		if (!why)
			why = chain_inc(&self->c, mem, WIDE);
		if (!why)
			why = chain_matches(&self->c, mem, WIDE);
	}
	last_time = true;
	pthread_barrier_wait(&together);
	pthread_join(thread, NULL);
	munmap(mem, WIDE);
	ASSERT_OK(why);
}

/*
 * A store through what a TLB still has must be seen: the same words of a few
 * pages are written all the time, before, during and after the bits go.
 */
static void hammer(struct worker *w)
{
	volatile uint64_t *word = (uint64_t *)(w->mem + SMALL - (1 + w->index) * PAGE);

	for (int i = 0; i < 2000; i++)
		(*word)++;
}

TEST_F(races, the_same_words_all_the_time)
{
	add_worker(hammer, self->mem);
	add_worker(hammer, self->mem);
	ASSERT_OK(race(&self->c, self->mem, SMALL, NULL));
}

static void remap(struct worker *w)
{
	unsigned int page = rand_r(&w->seed) % (PAGES - 8);

	if (rand_r(&w->seed) % 4)
		mremap(w->mem + page * PAGE, 4 * PAGE, 4 * PAGE,
		       MREMAP_MAYMOVE | MREMAP_FIXED, w->mem + (page + 4) * PAGE);
	mmap(w->mem + page * PAGE, PAGE * (1 + rand_r(&w->seed) % 4),
	     PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	for (int i = 0; i < 8; i++)
		mmap(w->mem + (page + i) * PAGE, PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	w->mem[page * PAGE]++;
}

TEST_F(races, mapped_and_moved)
{
	add_worker(remap, self->mem);
	ASSERT_OK(race(&self->c, self->mem, SMALL, NULL));
}

static void collapse_and_write(struct worker *w)
{
	madvise(w->mem, LEN, MADV_COLLAPSE);
	for (int i = 0; i < 20; i++)
		w->mem[rand_r(&w->seed) % LEN]++;
}

static void write_anywhere(struct worker *w)
{
	w->mem[rand_r(&w->seed) % SMALL]++;
}

TEST_F(races, collapsed_and_split)
{
	cp_write_file("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	madvise(self->mem, LEN, MADV_HUGEPAGE);
	if (madvise(self->mem, LEN, MADV_COLLAPSE))
		SKIP(return, "MADV_COLLAPSE: %s", strerror(errno));
	add_worker(collapse_and_write, self->mem);
	add_worker(write_anywhere, self->mem);
	ASSERT_OK(race(&self->c, self->mem, LEN, NULL));
}

static void fork_and_write(struct worker *w)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	for (int i = 0; i < 50; i++)
		w->mem[rand_r(&w->seed) % SMALL]++;
	waitpid(pid, NULL, 0);
}

TEST_F(races, forks)
{
	add_worker(fork_and_write, self->mem);
	add_worker(write_anywhere, self->mem);
	ASSERT_OK(race(&self->c, self->mem, SMALL, NULL));
}

static void write_ksm(struct worker *w)
{
	unsigned int page = rand_r(&w->seed) % PAGES;

	memset(w->mem + page * PAGE, rand_r(&w->seed) % 2, PAGE);
	if (!(rand_r(&w->seed) % 8))
		w->mem[page * PAGE + 8]++;
}

TEST_F(races, ksm)
{
	if (cp_write_file(CP_KSM "pages_to_scan", "2000") ||
	    cp_write_file(CP_KSM "sleep_millisecs", "1") ||
	    madvise(self->mem, LEN, MADV_MERGEABLE))
		SKIP(return, "no KSM");
	cp_write_file(CP_KSM "run", "1");
	add_worker(write_ksm, self->mem);
	add_worker(write_ksm, self->mem);
	EXPECT_OK(race(&self->c, self->mem, SMALL, NULL));
	cp_write_file(CP_KSM "run", "2");
	cp_write_file(CP_KSM "run", "0");
}

/*
 * references: reads into pages that just came from swap
 */
static void direct_read(struct worker *w)
{
	unsigned int page = rand_r(&w->seed) % (PAGES - 4);

	/* Those that came in for reading are clean. */
	if (rand_r(&w->seed) % 2) {
		madvise(w->mem + page * PAGE, 4 * PAGE, MADV_PAGEOUT);
		(void)*(volatile char *)(w->mem + page * PAGE);
	}
	if (pread(w->fd, w->mem + page * PAGE, (1 + rand_r(&w->seed) % 4) * PAGE,
		  rand_r(&w->seed) % 64 * PAGE) < 0)
		_exit(1);
}

TEST_F(races, direct_reads_into_what_was_swapped)
{
	char *bytes = malloc(LEN);
	int fd;

	if (!zram_swap() || access("/disk/lost+found", F_OK))
		SKIP(return, "no zram or no /disk");
	cp_fill(bytes, LEN, 7);
	fd = open("/disk/races", O_CREAT | O_TRUNC | O_RDWR, 0600);
	ASSERT_EQ((ssize_t)LEN, write(fd, bytes, LEN));
	fsync(fd);
	close(fd);
	fd = open("/disk/races", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	add_worker(direct_read, self->mem)->fd = fd;
	add_worker(direct_read, self->mem)->fd = fd;
	ASSERT_OK(race(&self->c, self->mem, SMALL, NULL));
	free(bytes);
}

/* A child that writes to us as a debugger does; it is asked for each write. */
static void remote_loop(int fd, int pid, bool by_mem)
{
	static char bytes[64 * PAGE];
	unsigned int what[2], n = 0;
	char path[64], c = 0;
	int mem;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_WRONLY);
	while (read(fd, what, sizeof(what)) == sizeof(what)) {
		struct iovec local = { bytes, what[1] };
		struct iovec remote = { BASE + what[0], what[1] };

		cp_fill(bytes, what[1] < 64 ? 64 : what[1], n++);
		if (by_mem ? pwrite(mem, bytes, what[1], (uintptr_t)BASE + what[0]) < 0 :
		    process_vm_writev(pid, &local, 1, &remote, 1, 0) < 0)
			_exit(1);
		if (write(fd, &c, 1) != 1)
			_exit(1);
	}
	_exit(0);
}

static int start_remote(bool by_mem)
{
	int pair[2], pid = getpid();

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair))
		return -1;
	if (!fork()) {
		munmap(BASE, LEN);
		close(pair[0]);
		remote_loop(pair[1], pid, by_mem);
	}
	close(pair[1]);
	return pair[0];
}

static void ask_remote(struct worker *w)
{
	unsigned int at = rand_r(&w->seed) % (SMALL - 64 * PAGE), what[2];
	char c;

	what[0] = at;
	what[1] = rand_r(&w->seed) % 4 ? 8 : 1 + rand_r(&w->seed) % (63 * PAGE);
	if (write(w->fd, what, sizeof(what)) != sizeof(what) || read(w->fd, &c, 1) != 1)
		_exit(1);
}

TEST_F(races, written_through_proc_pid_mem)
{
	int fd;

	NEEDS(cp_lacks_mem_write());
	fd = start_remote(true);
	add_worker(ask_remote, self->mem)->fd = fd;
	ASSERT_OK(race(&self->c, self->mem, SMALL, NULL));
}

TEST_F(races, written_by_process_vm_writev)
{
	int fd;

	NEEDS_CALL(process_vm_writev);
	fd = start_remote(false);
	if (zram_swap())
		add_worker(page_out, self->mem);
	add_worker(ask_remote, self->mem)->fd = fd;
	ASSERT_OK(race(&self->c, self->mem, SMALL, NULL));
}

/*
 * uprobes: a page of the program's text becomes a copy, and not again
 */
__attribute__((noinline, aligned(4096))) static int probed(int x)
{
	asm volatile("" : "+r"(x));
	return x + 1;
}

/* Where a function is in the program's file. */
static unsigned long file_offset(const void *function)
{
	const ElfW(Phdr) *ph = (void *)getauxval(AT_PHDR);
	unsigned long n = getauxval(AT_PHNUM), at = (uintptr_t)function;

	for (; n; n--, ph++) {
		if (ph->p_type == PT_LOAD && at - ph->p_vaddr < ph->p_filesz)
			return at - ph->p_vaddr + ph->p_offset;
	}
	return 0;
}

/* The page, in memory and by the chain; what is left to the file is read from it. */
static const char *text_matches(struct chain *c)
{
	static char message[600];
	const unsigned char *text = (void *)((uintptr_t)probed & -PAGE);
	size_t last = cpimg_chain_length(c->all) - 1;
	unsigned char then[PAGE];
	struct cpimg_piece piece;
	struct cpimg_error err = { 0 };
	int fd;

	if (cpimg_chain_resolve(c->all, last, (uintptr_t)text, &piece, &err)) {
		snprintf(message, sizeof(message), "%s", err.text);
		return message;
	}
	if (piece.cls == CPIMG_HOLE && piece.reason == CP_HOLE_FILE) {
		fd = open("/proc/self/exe", O_RDONLY);
		if (pread(fd, then, PAGE, file_offset(text)) != PAGE)
			return "cannot read the program's file";
		close(fd);
	} else if (cpimg_chain_read(c->all, last, (uintptr_t)text, then, PAGE, &err)) {
		snprintf(message, sizeof(message), "%s", err.text);
		return message;
	}
	if (!memcmp(then, text, PAGE))
		return NULL;
	snprintf(message, sizeof(message),
		 "text begins with 0x%02x in %s (%s %u), memory has 0x%02x",
		 then[0], cpimg_path(c->img), cpimg_class_name(piece.cls),
		 piece.reason, text[0]);
	return message;
}

#define TEXT	((void *)((uintptr_t)probed & -PAGE))

static bool probe(bool on)
{
	return !cp_write_file("/sys/kernel/tracing/events/uprobes/cp/enable",
			      on ? "1" : "0");
}

static bool make_probe(void)
{
	char self[128], text[256];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = 0;
	snprintf(text, sizeof(text), "p:uprobes/cp %s:0x%lx", self,
		 file_offset(probed));
	return !cp_write_file(EVENTS, text);
}

TEST_F(races, uprobe_between_checkpoints)
{
	const unsigned char *text = (void *)probed;

	if (!make_probe())
		SKIP(return, "no uprobe events: %s", strerror(errno));
	for (int i = 0; i < 8; i++) {
		if (i % 4 == 0)
			ASSERT_OK(chain_full(&self->c, TEXT, PAGE));
		ASSERT_TRUE(probe(true));
		ASSERT_EQ(0xcc, *(volatile unsigned char *)text);
		ASSERT_EQ(i + 1, probed(i));
		ASSERT_OK(chain_inc(&self->c, TEXT, PAGE));
		ASSERT_OK(text_matches(&self->c));
		ASSERT_OK(chain_inc(&self->c, TEXT, PAGE));
		ASSERT_OK(text_matches(&self->c));
		ASSERT_TRUE(probe(false));
		ASSERT_NE(0xcc, *(volatile unsigned char *)text);
		ASSERT_OK(chain_inc(&self->c, TEXT, PAGE));
		ASSERT_OK(text_matches(&self->c));
	}
	cp_write_file(EVENTS, "-:uprobes/cp");
}

static void toggle_probe(struct worker *w)
{
	probe(true);
	if (rand_r(&w->seed) % 2)
		probe(false);
}

TEST_F(races, uprobe_during_checkpoints)
{
	double end = seconds() + SECONDS;
	const char *why = NULL;
	bool over;

	if (!make_probe())
		SKIP(return, "no uprobe events: %s", strerror(errno));
	add_worker(toggle_probe, NULL);
	start_workers();
	for (over = false; !over; ) {
		chain_remove();
		why = chain_full(&self->c, TEXT, PAGE);
		for (int i = 0; !why && i < CHECKPOINTS; i++)
			why = chain_inc(&self->c, TEXT, PAGE);
		stand_still();
		if (!why)
			why = chain_inc(&self->c, TEXT, PAGE);
		if (!why)
			why = text_matches(&self->c);
		over = why || seconds() > end;
		go_on(over);
	}
	probe(false);
	cp_write_file(EVENTS, "-:uprobes/cp");
	ASSERT_OK(why);
}

/*
 * registration: it is given up on any signal, the call is not
 */
static void on_alarm(int sig)
{
	(void)sig;
}

static void first_call_under_a_timer(void *arg)
{
	struct itimerval timer = { { 0, 1000 }, { 0, 1000 } };
	struct sigaction sa = { .sa_handler = on_alarm };
	struct chain c = { 0 };
	const char *why;

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	why = chain_inc(&c, arg, LEN);
	if (!why)
		why = chain_inc(&c, arg, LEN);
	memset(&timer, 0, sizeof(timer));
	setitimer(ITIMER_REAL, &timer, NULL);
	if (!why)
		why = chain_is(&c, CP_KIND_INCREMENTAL, CP_REASON_CHAIN);
	if (!why)
		why = chain_matches(&c, arg, LEN);
	if (why)
		fprintf(stderr, "# %s\n", why);
	chain_remove();
	_exit(!!why);
}

TEST_F(races, first_call_under_a_timer)
{
	for (int i = 0; i < 30; i++)
		ASSERT_EQ(0, cp_run(first_call_under_a_timer, self->mem));
}

/*
 * hugetlb: the pool has as many pages as are used; a reference that the
 * checkpoint held would make the next touch a SIGBUS
 */
#define POOL	2

static void discard_and_touch(struct worker *w)
{
	unsigned int page = rand_r(&w->seed) % POOL;

	madvise(w->mem + page * HUGE, HUGE, MADV_DONTNEED);
	w->mem[page * HUGE + rand_r(&w->seed) % HUGE] = 1;
}

TEST_F(races, hugetlb_of_an_exhausted_pool)
{
	char *mem;

	cp_write_file("/proc/sys/vm/nr_hugepages", "2");
	if (cp_read_number("/proc/sys/vm/nr_hugepages") != POOL)
		SKIP(return, "no hugetlb pages to be had");
	mem = mmap(CP_FAR(0x21), POOL * HUGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED_NOREPLACE, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	add_worker(discard_and_touch, mem);
	ASSERT_OK(race(&self->c, mem, POOL * HUGE, NULL));
	munmap(mem, POOL * HUGE);
	cp_write_file("/proc/sys/vm/nr_hugepages", "0");
}

/* With nothing of the chain lost: lazily freed pages beside counted ones. */
TEST_F(races, lazily_freed_beside_counters)
{
	if (!zram_swap())
		SKIP(return, "no zram to swap to: %s", strerror(errno));
	memset(self->mem, 0, LEN);
	memset(wrote, 0, sizeof(wrote));
	add_worker(write_anywhere, self->mem);
	add_worker(lazy_free_elsewhere, self->mem);
	add_worker(page_out, self->mem);
	ASSERT_OK(race(&self->c, self->mem, SMALL / 2, NULL));
}

TEST_HARNESS_MAIN
