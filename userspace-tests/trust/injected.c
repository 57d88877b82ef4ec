// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 --smp 1 --swap 64 --append hugepages=4 --timeout 1800 */
/*
 * Every allocation that a checkpoint makes fails once: the first in one run, the
 * second in the next, till there is none left (/proc/thread-self/fail-nth). Of huge
 * pages, with hundreds that are all alike, some are left out. A call
 * that fails says so and leaves no file and the counter as it was; and the next
 * incremental image is complete.
 */
#include "chain.h"
#include "harness.h"

#define SMALL	(40 * PAGE)

struct scene {
	size_t	len;
	void	*(*map)(size_t len);
	int	step;		/* between allocations, from the 100th on; else 1 */
	bool	warm;		/* a chain is there already */
	bool	incremental;
	bool	gives_up;	/* after a call that failed */
	void	(*before)(char *mem, size_t len);	/* the call that is to fail */
};

static void *map_small(size_t len)
{
	void *mem = cp_map(len);

	madvise(mem, len, MADV_NOHUGEPAGE);
	return mem;
}

static void *map_huge(size_t len)
{
	char *mem = cp_map(len + HUGE);
	uintptr_t start = ((uintptr_t)mem + HUGE - 1) & -HUGE;

	madvise((void *)start, len, MADV_HUGEPAGE);
	return (void *)start;
}

static void *map_hugetlb(size_t len)
{
	void *mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

static void *map_shared(size_t len)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static void change(char *mem, size_t len)
{
	for (size_t at = 0; at < len; at += 3 * PAGE)
		mem[at]++;
}

static void swap_out(char *mem, size_t len)
{
	change(mem, len);
	madvise(mem, len, MADV_PAGEOUT);
}

static const char *inject[][2] = {
	{ "/sys/kernel/debug/failslab/ignore-gfp-wait", "N" },
	{ "/sys/kernel/debug/failslab/verbose", "0" },
	{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N" },
	{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N" },
	{ "/sys/kernel/debug/fail_page_alloc/min-order", "0" },
	{ "/sys/kernel/debug/fail_page_alloc/verbose", "0" },
	{ "/sys/kernel/debug/fail_usercopy/verbose", "0" },
};

/* Does what is to fail really do so when this is asked for? */
static const char *arm(void)
{
	for (size_t i = 0; i < sizeof(inject) / sizeof(*inject); i++)
		if (cp_write_file(inject[i][0], inject[i][1]))
			return inject[i][0];
	return NULL;
}

/*
 * The call, with its @nth allocation failing. *@over: it did not come to that.
 * Return: its errno, 0 for success.
 */
static int call(const struct scene *s, char *mem, unsigned int nth, bool *over)
{
	int fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);
	int err = 0;

	if (fd < 0 || write(fd, text, len) != len)
		return errno;
	if (s->incremental ? inc_cp_range(mem, mem + s->len) :
	    cp_range(mem, mem + s->len))
		err = errno;
	/* Reading it may be what fails then. */
	len = pread(fd, text, sizeof(text) - 1, 0);
	text[len > 0 ? len : 0] = '\0';
	*over = len <= 0 || atoi(text);
	while (pwrite(fd, "0", 1, 0) != 1)
		;
	close(fd);
	return err;
}

#define OVER	42

struct run {
	const struct scene	*s;
	unsigned int		nth;
	unsigned int		*failed;	/* shared: calls that failed */
};

static const char *once(const struct run *r, bool *over)
{
	const struct scene *s = r->s;
	struct chain c = { 0 };
	char *mem = s->map(s->len);
	const char *why = NULL;
	int err;

	if (!mem || mem == MAP_FAILED)
		return "no memory";
	cp_fill(mem, s->len, 1);
	if (s->warm)
		why = chain_full(&c, mem, s->len);
	if (why)
		return why;
	s->before(mem, s->len);

	c.tid = cp_gettid();
	err = call(s, mem, r->nth, over);
	/* tmpfs says ENOSPC if there is no memory for an inode. */
	if (err && err != ENOMEM && err != ENOSPC)
		return strerror(err);
	if (err && *over)
		return "failed though nothing was made to fail";
	if (err) {
		++*r->failed;
		why = cp_no_file(c.tid, c.n);
		if (s->gives_up)
			return why;
	} else {
		why = chain_open(&c, c.tid, c.n++);
		if (!why)
			why = chain_matches(&c, mem, s->len);
	}
	if (why)
		return why;

	change(mem, s->len);
	why = chain_inc(&c, mem, s->len);
	if (!why)
		why = chain_matches(&c, mem, s->len);
	return why;
}

static void one_run(void *arg)
{
	const struct run *r = arg;
	bool over = false;
	const char *why = once(r, &over);

	chain_remove();
	if (why)
		printf("# allocation %u: %s\n", r->nth, why);
	fflush(stdout);
	_exit(why ? 1 : over ? OVER : 0);
}

/* Return: allocations that were made to fail, or -1. */
static int fail_each(const struct scene *s, unsigned int *failed)
{
	struct run r = { .s = s, .nth = 1, .failed = failed };

	for (int nr = 0; r.nth < 100000; nr++) {
		int status = cp_run(one_run, &r);

		if (WIFEXITED(status) && WEXITSTATUS(status) == OVER)
			return nr;
		if (status)
			return -1;
		r.nth += r.nth < 100 || !s->step ? 1 : s->step;
	}
	return -1;
}

FIXTURE(injected) {
	unsigned int *failed;
};

FIXTURE_SETUP(injected)
{
	if (access("/proc/thread-self/fail-nth", F_OK))
		SKIP(return, "no fault injection in this kernel");
	ASSERT_OK(arm());
	self->failed = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->failed);
	cp_pin(0);
}

FIXTURE_TEARDOWN(injected)
{
}

/* At least so many allocations, or the test sees less than there is. */
#define EACH(least, ...) do { \
	const struct scene scene_ = { __VA_ARGS__ }; \
	int nr_ = fail_each(&scene_, self->failed); \
	TH_LOG("%d allocations, %u calls failed", nr_, *self->failed); \
	EXPECT_LE(least, nr_); \
	EXPECT_LE(least, (int)*self->failed); \
} while (0)

TEST_F(injected, first_full)
{
	EACH(10, .len = SMALL, .map = map_small, .before = change);
}

/* What the first call left is freed with the program, tracked or not. */
TEST_F(injected, first_and_only)
{
	EACH(10, .len = SMALL, .map = map_small, .gives_up = true, .before = change);
}

TEST_F(injected, first_incremental)
{
	EACH(10, .len = SMALL, .map = map_small, .incremental = true,
	     .before = change);
}

TEST_F(injected, full)
{
	EACH(10, .len = SMALL, .map = map_small, .warm = true, .before = change);
}

TEST_F(injected, incremental)
{
	EACH(10, .len = SMALL, .map = map_small, .warm = true,
	     .incremental = true, .before = change);
}

TEST_F(injected, incremental_of_swapped_pages)
{
	EACH(10, .len = SMALL, .map = map_small, .warm = true,
	     .incremental = true, .before = swap_out);
}

TEST_F(injected, incremental_of_huge_pages)
{
	EACH(10, .len = HUGE, .map = map_huge, .step = 31, .warm = true,
	     .incremental = true, .before = change);
}

TEST_F(injected, hugetlb)
{
	EACH(10, .len = HUGE, .map = map_hugetlb, .step = 31, .warm = true,
	     .incremental = true, .before = change);
}

TEST_F(injected, shared_memory)
{
	EACH(10, .len = SMALL, .map = map_shared, .warm = true,
	     .incremental = true, .before = swap_out);
}

TEST_HARNESS_MAIN
