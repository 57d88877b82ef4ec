// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 640 --icount */
/* guest: --mem 640 --smp 2 --timeout 300 */
/*
 * Address spaces as no sane program has them: the mmap lock never rests, there are
 * as many mappings as the kernel allows, a thousand threads call at once. Each call
 * ends, with the right image, and a signal ends whatever waits within a second.
 *
 * Seconds are asked of the first guest only, whose clock counts instructions: a busy
 * host makes no difference. The other one has two processors.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "chain.h"
#include "harness.h"

#define SOON	1.0

static bool honest_clock(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) == 1 && !cp_debug_kernel();
}

static atomic_ulong *calls;	/* of a child, that have returned */

/*
 * A child calls without end, and SIGTERM comes when @warm calls have returned.
 * Return: seconds till the child is gone, or -1.
 */
static double time_to_die(void (*fn)(void *arg), void *arg, unsigned long warm)
{
	double start;
	int status;
	pid_t pid;

	calls = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		fn(arg);
		_exit(1);
	}
	while (*calls < warm) {
		usleep(7000);
		if (waitpid(pid, &status, WNOHANG))
			return -1;
	}
	start = cp_now();
	kill(pid, SIGTERM);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) ||
	    WTERMSIG(status) != SIGTERM) {
		fprintf(stderr, "# %lu calls, status 0x%x, not killed\n", *calls, status);
		return -1;
	}
	return cp_now() - start;
}

#define ASSERT_DIES_SOON(fn, arg, warm) do { \
	double took_ = time_to_die(fn, arg, warm); \
	TH_LOG("a signal ends it after %.3f s, and %lu calls", took_, *calls); \
	ASSERT_LE(0, took_); \
	if (honest_clock()) \
		ASSERT_GT(SOON, took_); \
} while (0)

/* Without end, in a thread of its own; its images are removed. */
static void call_without_end(char *start, char *end)
{
	for (unsigned long n = 0; !cp_range(start, end); n++) {
		unlink(cp_name(cp_gettid(), n));
		++*calls;
	}
	fprintf(stderr, "# cp_range: %s\n", strerror(errno));
	_exit(1);
}

/*
 * The mmap lock.
 */
#define STIRRERS	3

static atomic_bool stop;
static atomic_ulong stirred;

/* Takes the lock for writing all the time, and for reading by its faults. */
static void *stir(void *arg)
{
	while (!stop) {
		char *mem = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (mem == MAP_FAILED)
			continue;
		mem[17 * PAGE] = 1;
		mprotect(mem + PAGE, PAGE, PROT_READ);
		munmap(mem, 64 * PAGE);
		stirred++;
	}
	return NULL;
}

static void start_stirring(pthread_t *t)
{
	stop = false;
	for (int i = 0; i < STIRRERS; i++)
		if (pthread_create(&t[i], NULL, stir, NULL))
			exit(1);
}

static void stir_and_call(void *arg)
{
	pthread_t t[STIRRERS];

	start_stirring(t);
	call_without_end(NULL, (char *)~0UL);
}

TEST(mmap_lock_that_never_rests)
{
	const size_t len = 2UL << 20;
	char *mem = cp_map(len);
	pthread_t t[STIRRERS];
	unsigned long during = 0;
	struct chain c = { 0 };
	double worst = 0;

	cp_fill(mem, len, 1);
	start_stirring(t);
	for (unsigned long n = 0; n < 10; n++) {
		unsigned long before = stirred;
		double start = cp_now();

		mem[n * PAGE]++;
		ASSERT_EQ(0, n % 2 ? cp_range(NULL, (void *)~0UL) :
			  inc_cp_range(NULL, (void *)~0UL));
		start = cp_now() - start;
		during += stirred - before;
		worst = start > worst ? start : worst;
		ASSERT_OK(chain_open(&c, getpid(), n));
		ASSERT_OK(chain_matches(&c, mem, len));
	}
	stop = true;
	for (int i = 0; i < STIRRERS; i++)
		pthread_join(t[i], NULL);
	chain_close(&c);
	TH_LOG("at worst %.3f s; %lu mappings came and went during the calls", worst,
	       during);
	EXPECT_LT(20, during);
	if (honest_clock())
		EXPECT_GT(SOON, worst);
	ASSERT_DIES_SOON(stir_and_call, NULL, 3);
	chain_remove();
}

/*
 * Mappings.
 */
#define MOST	70000		/* more than sysctl vm.max_map_count */
#define SPARE	64

FIXTURE(mappings) {
	char		*mem;
	char		*spare;
	size_t		nr;
	struct chain	c;
};

FIXTURE_VARIANT(mappings) {
	size_t	nr;		/* 0: till the kernel gives no more */
};

FIXTURE_VARIANT_ADD(mappings, ten_thousand) { 10000 };
FIXTURE_VARIANT_ADD(mappings, as_many_as_there_may_be) { 0 };

/* Neighbours of another protection are mappings of their own. */
static size_t cut_up(char *mem, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i += 2)
		if (mprotect(mem + (i + 1) * PAGE, PAGE, PROT_READ))
			break;
	return i;
}

FIXTURE_SETUP(mappings)
{
	if (variant->nr ? sysconf(_SC_NPROCESSORS_ONLN) > 1 : !honest_clock())
		SKIP(return, "it takes long, and the other guest, or kernel, has it");
	self->mem = cp_map(MOST * PAGE);
	ASSERT_NE(NULL, self->mem);
	madvise(self->mem, MOST * PAGE, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < MOST; i += 16)
		*(uint64_t *)(self->mem + i * PAGE) = i + 1;
	/* To be given back: reading an image takes memory, and so mappings. */
	self->spare = cp_map(SPARE * PAGE);
	ASSERT_EQ(SPARE, cut_up(self->spare, SPARE));
	self->nr = cut_up(self->mem, variant->nr ?: MOST);
	if (!variant->nr) {
		ASSERT_EQ(ENOMEM, errno);
		ASSERT_GT(MOST, self->nr);
	}
}

FIXTURE_TEARDOWN(mappings)
{
	chain_close(&self->c);
	chain_remove();
}

/* Takes no memory. */
static size_t nr_of_maps(void)
{
	static char buf[1 << 16];
	int fd = open("/proc/self/maps", O_RDONLY);
	size_t lines = 0;
	ssize_t n;

	while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0)
		for (const char *at = buf; (at = memchr(at, '\n', buf + n - at)); at++)
			lines++;
	close(fd);
	return lines;
}

static void call_on(void *mem)
{
	call_without_end(mem, (char *)mem + MOST * PAGE);
}

TEST_F(mappings, are_saved_one_by_one)
{
	const size_t pages = (MOST + 15) / 16;
	char *end = self->mem + MOST * PAGE;
	size_t maps = nr_of_maps(), data;
	double full, inc;

	EXPECT_LE(variant->nr ?: 65000, maps);
	full = cp_now();
	ASSERT_EQ(0, cp_range(self->mem, end)) TH_LOG("%m");
	full = cp_now() - full;
	*(uint64_t *)(self->mem + 160 * PAGE) = 7;
	inc = cp_now();
	ASSERT_EQ(0, inc_cp_range(self->mem, end)) TH_LOG("%m");
	inc = cp_now() - inc;
	TH_LOG("%zu mappings: full %.3f s, incremental %.3f s", maps, full, inc);
	if (honest_clock()) {
		EXPECT_GT(SOON, full);
		EXPECT_GT(SOON, inc);
	}
	if (!variant->nr)
		ASSERT_DIES_SOON(call_on, self->mem, 2);

	munmap(self->spare, SPARE * PAGE);
	ASSERT_OK(chain_open(&self->c, getpid(), 1));
	EXPECT_OK(chain_is(&self->c, CP_KIND_INCREMENTAL, CP_REASON_CHAIN));
	/* And a few that somebody held for a moment, like a processor's list. */
	data = cpimg_note(self->c.img)->pages_data;
	EXPECT_LE(1, data);
	EXPECT_GT(100, data);
	EXPECT_EQ(pages, data + cpimg_note(self->c.img)->pages_same);
	EXPECT_LT(self->nr, cpimg_note(self->c.img)->runs);
	EXPECT_OK(cp_check_maps(self->c.img, getpid()));
	EXPECT_OK(chain_matches(&self->c, self->mem, MOST * PAGE));
}

/*
 * Threads.
 */
#define THREADS		1000
#define STACK		(16UL << 10)
#define SHARED		(64 * PAGE)

static pthread_barrier_t line;
static char *shared;
static int tids[THREADS];
static atomic_int failed;

/* Where they run at a time, or slowly, fewer make as much of a crowd. */
static int nr_threads(void)
{
	return honest_clock() ? THREADS : THREADS / 10;
}

static void call(size_t i)
{
	/* A word of its own in a page that others write too. */
	((volatile uint64_t *)(shared + i % 64 * PAGE))[1 + i / 64]++;
	if (inc_cp_range(shared, shared + SHARED)) {
		fprintf(stderr, "# thread %zu: %s\n", i, strerror(errno));
		failed++;
	}
}

static void *call_twice(void *arg)
{
	size_t i = (uintptr_t)arg;

	tids[i] = cp_gettid();
	pthread_barrier_wait(&line);
	call(i);	/* full: its counter is 0 */
	pthread_barrier_wait(&line);
	call(i);
	return NULL;
}

static void start_all(pthread_t *t, int nr, void *(*fn)(void *arg))
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	for (int i = 0; i < nr; i++) {
		if (pthread_create(&t[i], &attr, fn, (void *)(uintptr_t)i)) {
			perror("# pthread_create");
			exit(1);
		}
	}
}

/* The index of the image with this id, or -1. */
static int image_of(const struct cp_note *notes, int nr, const __u8 *id)
{
	for (int i = 0; i < nr; i++)
		if (!memcmp(notes[i].id, id, CP_ID_SIZE))
			return i;
	return -1;
}

TEST(thousand_threads_make_one_chain)
{
	static struct cp_note notes[2 * THREADS];
	static bool has_child[2 * THREADS];
	static pthread_t t[THREADS];
	struct rlimit files = { 2 * THREADS + 100, 2 * THREADS + 100 };
	int nr = nr_threads(), fulls = 0, last = -1;
	struct chain c = { 0 };
	double took;

	/* A chain keeps each of its images open. */
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files)) TH_LOG("%m");
	shared = cp_map(SHARED);
	cp_fill(shared, SHARED, 1);
	pthread_barrier_init(&line, NULL, nr);
	took = cp_now();
	start_all(t, nr, call_twice);
	for (int i = 0; i < nr; i++)
		pthread_join(t[i], NULL);
	TH_LOG("%d threads, two calls each: %.3f s", nr, cp_now() - took);
	ASSERT_EQ(0, failed);

	for (int i = 0; i < 2 * nr; i++) {
		struct cpimg *img = cp_open(tids[i / 2], i % 2);

		ASSERT_NE(NULL, img);
		notes[i] = *cpimg_note(img);
		cpimg_close(img);
		ASSERT_EQ(i % 2 ? CP_KIND_INCREMENTAL : CP_KIND_FULL, notes[i].kind);
		ASSERT_EQ(tids[i / 2], notes[i].tid);
		ASSERT_EQ(getpid(), notes[i].pid);
	}
	/* No two name the same parent, and one full image has children: one chain. */
	for (int i = 1; i < 2 * nr; i += 2) {
		int parent = image_of(notes, 2 * nr, notes[i].parent_id);

		ASSERT_LE(0, parent) TH_LOG("thread %d: no such parent", i / 2);
		ASSERT_FALSE(has_child[parent]);
		has_child[parent] = true;
		fulls += parent % 2 == 0;
	}
	EXPECT_EQ(1, fulls);
	for (int i = 1; i < 2 * nr; i += 2)
		last = has_child[i] ? last : i / 2;
	ASSERT_LE(0, last);
	ASSERT_OK(chain_open(&c, tids[last], 1));
	EXPECT_EQ(nr + 1, cpimg_chain_length(c.all));
	EXPECT_OK(chain_matches(&c, shared, SHARED));
	chain_close(&c);
	chain_remove();
}

static void *call_on_shared(void *arg)
{
	call_without_end(shared, shared + SHARED);
	return NULL;
}

static void thousand_call(void *arg)
{
	static pthread_t t[THREADS];

	start_all(t, nr_threads(), call_on_shared);
	call_on_shared(NULL);
}

/* All but one wait for their turn when the signal comes. */
TEST(thousand_threads_end_by_a_signal)
{
	shared = cp_map(SHARED);
	cp_fill(shared, SHARED, 1);
	ASSERT_DIES_SOON(thousand_call, NULL, nr_threads());
	chain_remove();
}

TEST_HARNESS_MAIN
