// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 --smp 2 --swap 128 --timeout 600 */
/*
 * userfaultfd: a checkpoint never waits for whoever handles the faults, who may be a
 * thread of the same program that waits for the checkpoint. Nor does it take away from
 * him what he has asked to see. Each kind of event, on each kind of memory, while
 * pages have to be brought in, and while another thread takes them away meanwhile.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>

#include "chain.h"
#include "harness.h"

#define RW		(PROT_READ | PROT_WRITE)
#define AT		CP_FAR(0x30)
#define ALIAS		CP_FAR(0x31)

enum memory { ANON, SHMEM, HUGETLB };

FIXTURE(uffd) {
	char		*mem;
	char		*alias;		/* of shared memory: faults there are nobody's */
	char		*was;		/* the bytes */
	size_t		len, step;
	struct chain	c;
	pthread_t	handler, other;
};

FIXTURE_VARIANT(uffd) {
	enum memory	memory;
	uint64_t	mode;
};

FIXTURE_VARIANT_ADD(uffd, anon_missing) { ANON, UFFDIO_REGISTER_MODE_MISSING };
FIXTURE_VARIANT_ADD(uffd, anon_wp) { ANON, UFFDIO_REGISTER_MODE_WP };
FIXTURE_VARIANT_ADD(uffd, anon_missing_and_wp) {
	ANON, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP };
FIXTURE_VARIANT_ADD(uffd, shmem_missing) { SHMEM, UFFDIO_REGISTER_MODE_MISSING };
FIXTURE_VARIANT_ADD(uffd, shmem_minor) { SHMEM, UFFDIO_REGISTER_MODE_MINOR };
FIXTURE_VARIANT_ADD(uffd, shmem_missing_and_minor) {
	SHMEM, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR };
FIXTURE_VARIANT_ADD(uffd, shmem_wp) { SHMEM, UFFDIO_REGISTER_MODE_WP };
FIXTURE_VARIANT_ADD(uffd, hugetlb_missing) { HUGETLB, UFFDIO_REGISTER_MODE_MISSING };
FIXTURE_VARIANT_ADD(uffd, hugetlb_minor) { HUGETLB, UFFDIO_REGISTER_MODE_MINOR };
FIXTURE_VARIANT_ADD(uffd, hugetlb_wp) { HUGETLB, UFFDIO_REGISTER_MODE_WP };

static int fd;
static atomic_int caller;		/* thread id, while it is in a call */
static atomic_ulong waited, faults, events;
static atomic_bool stop, go;
static size_t page_size;
static char where[64];

/* Whoever faults gets zeros, or what is there. */
static void resolve(const struct uffd_msg *m)
{
	struct uffdio_range r = { m->arg.pagefault.address & -page_size, page_size };
	struct uffdio_zeropage zero = { .range = r };
	struct uffdio_continue more = { .range = r };
	struct uffdio_writeprotect wp = { .range = r };
	static char *zeros;
	struct uffdio_copy copy = { .dst = r.start, .len = page_size };

	if (!zeros)
		zeros = mmap(NULL, HUGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	copy.src = (uintptr_t)zeros;
	if (m->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP)
		ioctl(fd, UFFDIO_WRITEPROTECT, &wp);
	else if (m->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR)
		ioctl(fd, UFFDIO_CONTINUE, &more);
	else if (page_size > PAGE ? ioctl(fd, UFFDIO_COPY, &copy) :
				    ioctl(fd, UFFDIO_ZEROPAGE, &zero))
		ioctl(fd, UFFDIO_WAKE, &r);
}

/* Counts who waits for it, and lets him go on after a while. */
static void *handle(void *arg)
{
	struct uffd_msg m;

	while (!stop) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (poll(&p, 1, 50) <= 0 || read(fd, &m, sizeof(m)) != sizeof(m))
			continue;
		if (m.event != UFFD_EVENT_PAGEFAULT) {
			events++;
			continue;
		}
		faults++;
		if ((int)m.arg.pagefault.feat.ptid == caller) {
			if (!waited++)
				snprintf(where, sizeof(where), "0x%llx, flags 0x%llx",
					 (unsigned long long)m.arg.pagefault.address,
					 (unsigned long long)m.arg.pagefault.flags);
		}
		resolve(&m);
	}
	return arg;
}

static int open_uffd(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API };
	int u = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	api.features = features | UFFD_FEATURE_THREAD_ID;
	if (u >= 0 && ioctl(u, UFFDIO_API, &api)) {
		close(u);
		u = -1;
	}
	return u;
}

static bool enlist(void *mem, size_t len, uint64_t mode)
{
	struct uffdio_register reg = { .range = { (uintptr_t)mem, len }, .mode = mode };

	return !ioctl(fd, UFFDIO_REGISTER, &reg);
}

static bool protect(void *mem, size_t len)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)mem, len }, .mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	return !ioctl(fd, UFFDIO_WRITEPROTECT, &wp);
}

/* Filled through the alias, where there is one, so that no entry is in our table. */
static void fill(struct _test_data_uffd *self)
{
	cp_fill(self->alias ?: self->mem, self->len, 1);
}

/* Nowhere any more. */
static int take_away(struct _test_data_uffd *self, size_t at, size_t len)
{
	return self->alias ? madvise(self->alias + at, len, MADV_REMOVE) :
			     madvise(self->mem + at, len, MADV_DONTNEED);
}

FIXTURE_SETUP(uffd)
{
	int flags = variant->memory == ANON ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	int file = -1;

	page_size = self->step = variant->memory == HUGETLB ? HUGE : PAGE;
	self->len = variant->memory == HUGETLB ? 4 * HUGE : 256 * PAGE;
	self->was = mmap(NULL, self->len, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cp_fill(self->was, self->len, 1);
	fd = open_uffd(0);
	if (fd < 0)
		SKIP(return, "no userfaultfd(): %s", strerror(errno));
	if (variant->memory == HUGETLB)
		cp_write_file("/proc/sys/vm/nr_hugepages", "10");
	if (variant->memory != ANON) {
		file = memfd_create("uffd", variant->memory == HUGETLB ? MFD_HUGETLB : 0);
		ASSERT_EQ(0, ftruncate(file, self->len));
		self->alias = mmap(ALIAS, self->len, RW, MAP_SHARED | MAP_FIXED, file, 0);
		if (self->alias == MAP_FAILED)
			SKIP(return, "no huge pages: %s", strerror(errno));
	}
	self->mem = mmap(AT, self->len, RW, flags | MAP_FIXED, file, 0);
	ASSERT_EQ(AT, self->mem) TH_LOG("%m");
	close(file);
	madvise(self->mem, self->len, MADV_NOHUGEPAGE);
	fill(self);
	if (!enlist(self->mem, self->len, variant->mode))
		SKIP(return, "userfaultfd does not take it: %s", strerror(errno));
	ASSERT_EQ(0, pthread_create(&self->handler, NULL, handle, NULL));
}

FIXTURE_TEARDOWN(uffd)
{
	stop = true;
	if (self->handler)
		pthread_join(self->handler, NULL);
	close(fd);
	chain_close(&self->c);
	chain_remove();
	cp_write_file("/proc/sys/vm/nr_hugepages", "0");
}

static long call(bool inc, char *mem, size_t len)
{
	long ret;

	caller = cp_gettid();
	ret = inc ? inc_cp_range(mem, mem + len) : cp_range(mem, mem + len);
	caller = 0;
	return ret;
}

/* Called, opened; nobody was waited for. */
#define CALL(inc) do { \
	unsigned long waited_ = waited; \
	\
	ASSERT_EQ(0, call(inc, self->mem, self->len)) TH_LOG("%m"); \
	ASSERT_EQ(waited_, waited) TH_LOG("the call waited, at %s", where); \
	ASSERT_OK(chain_open(&self->c, getpid(), self->c.n++)); \
} while (0)

/* Pages present, away, and not there; nothing else happens. */
TEST_F(uffd, nobody_is_waited_for)
{
	size_t half = self->len / 2 & -self->step;

	if (variant->mode & UFFDIO_REGISTER_MODE_WP)
		ASSERT_TRUE(protect(self->mem, self->len)) TH_LOG("%m");
	for (int inc = 0; inc < 3; inc++) {
		/* In swap, or in the file only. */
		madvise(self->mem, half, MADV_PAGEOUT);
		if (self->alias)
			madvise(self->alias, half, MADV_PAGEOUT);
		CALL(inc);
		EXPECT_OK(chain_has(&self->c, self->mem, self->was, self->len));
	}
	/* What is nowhere is a hole: the handler was to fill it, and was not asked. */
	ASSERT_EQ(0, take_away(self, 0, half)) TH_LOG("%m");
	CALL(true);
	EXPECT_OK(cp_is(self->c.img, self->mem, half, CPIMG_HOLE, CP_HOLE_ZERO));
	EXPECT_OK(chain_has(&self->c, self->mem + half, self->was + half,
			    self->len - half));
	EXPECT_EQ(0, faults);
}

static void *write_there(void *arg)
{
	*(volatile char *)arg = 'w';
	return NULL;
}

static void *read_there(void *arg)
{
	*(volatile char *)arg;
	return NULL;
}

/* The first touch, or write, after a checkpoint is still his to handle. */
TEST_F(uffd, its_handler_sees_what_he_asked_for)
{
	bool wp = variant->mode & UFFDIO_REGISTER_MODE_WP;
	bool missing = variant->mode & UFFDIO_REGISTER_MODE_MISSING;
	bool minor = variant->mode & UFFDIO_REGISTER_MODE_MINOR;
	size_t at = self->len / 2 & -self->step;

	if (wp)
		ASSERT_TRUE(protect(self->mem, self->len)) TH_LOG("%m");
	madvise(self->mem, self->len, MADV_PAGEOUT);
	if (missing)
		ASSERT_EQ(0, take_away(self, 0, self->len)) TH_LOG("%m");
	CALL(false);
	CALL(true);
	EXPECT_EQ(0, faults);
	ASSERT_EQ(0, pthread_create(&self->other, NULL,
				    wp && !missing ? write_there : read_there,
				    self->mem + at));
	pthread_join(self->other, NULL);
	if (wp || missing || minor)
		EXPECT_EQ(1, faults);
}

/* Discards at random as long as the call goes on. */
static void *discard(void *arg)
{
	struct _test_data_uffd *self = arg;
	unsigned int seed = 1;

	while (!stop) {
		if (!go) {
			usleep(20);
			continue;
		}
		while (caller || go) {
			size_t at = rand_r(&seed) % (self->len / self->step) * self->step;

			take_away(self, at, self->step);
		}
	}
	return NULL;
}

TEST_F(uffd, nobody_is_waited_for_while_pages_go)
{
	double end = cp_now() + (cp_debug_kernel() ? 15 : 4);
	unsigned int rounds;

	ASSERT_EQ(0, pthread_create(&self->other, NULL, discard, self));
	for (rounds = 0; cp_now() < end && !waited; rounds++) {
		struct uffdio_copy copy = { .len = self->step };

		/* All there again, by him who may. */
		for (size_t at = 0; at < self->len; at += self->step) {
			copy.dst = (uintptr_t)self->mem + at;
			copy.src = (uintptr_t)self->was + at;
			if (self->alias)
				memcpy(self->alias + at, self->was + at, self->step);
			else if (ioctl(fd, UFFDIO_COPY, &copy) && errno != EEXIST)
				memcpy(self->mem + at, self->was + at, self->step);
		}
		if (variant->mode & UFFDIO_REGISTER_MODE_WP)
			protect(self->mem, self->len);
		madvise(self->alias ?: self->mem, self->len, MADV_PAGEOUT);
		madvise(self->mem, self->len, MADV_PAGEOUT);
		go = true;
		ASSERT_EQ(0, call(rounds & 1, self->mem, self->len)) TH_LOG("%m");
		go = false;
		if (rounds > 1)
			unlink(cp_name(getpid(), rounds - 2));
	}
	stop = true;
	pthread_join(self->other, NULL);
	TH_LOG("%u calls, %lu faults of others", rounds, (unsigned long)faults);
	EXPECT_EQ(0, waited) TH_LOG("the call waited, at %s", where);
}

/*
 * Another thread has told the handler what it is about to do, and waits for him to hear
 * it, at whatever place in the kernel: the call does not wait for the two.
 */
static void *remove_there(void *arg)
{
	struct _test_data_uffd *self = arg;

	madvise(self->mem, self->step, self->alias ? MADV_REMOVE : MADV_DONTNEED);
	return NULL;
}

static void *unmap_there(void *arg)
{
	struct _test_data_uffd *self = arg;

	munmap(self->mem + self->len - self->step, self->step);
	return NULL;
}

static void *move_there(void *arg)
{
	struct _test_data_uffd *self = arg;

	mremap(self->mem + self->len - self->step, self->step, self->step,
	       MREMAP_MAYMOVE | MREMAP_FIXED, CP_FAR(0x32));
	return NULL;
}

static void *fork_there(void *arg)
{
	pid_t pid = fork();

	(void)arg;
	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	return NULL;
}

static const struct event {
	const char	*what;
	uint64_t	feature;
	void		*(*fn)(void *arg);
	unsigned int	pages_gone;
} told[] = {
	{ "REMOVE", UFFD_FEATURE_EVENT_REMOVE, remove_there, 0 },
	{ "UNMAP", UFFD_FEATURE_EVENT_UNMAP, unmap_there, 1 },
	{ "REMAP", UFFD_FEATURE_EVENT_REMAP, move_there, 1 },
	{ "FORK", UFFD_FEATURE_EVENT_FORK, fork_there, 0 },
};

TEST_F(uffd, nobody_is_waited_for_who_waits_to_be_heard)
{
	const struct event *e;

	/* Nobody listens. */
	stop = true;
	pthread_join(self->handler, NULL);
	self->handler = 0;
	close(fd);
	for (e = told; e < told + ARRAY_SIZE(told); e++) {
		size_t len = self->len - e->pages_gone * self->step;
		struct uffd_msg m;
		double start;

		fd = open_uffd(e->feature);
		if (fd < 0) {
			TH_LOG("no event %s: %s", e->what, strerror(errno));
			continue;
		}
		ASSERT_TRUE(enlist(self->mem, self->len, variant->mode)) TH_LOG("%m");
		madvise(self->mem + self->step, len - self->step, MADV_PAGEOUT);
		ASSERT_EQ(0, pthread_create(&self->other, NULL, e->fn, self));
		for (int tries = 0; tries < 100; tries++) {
			struct pollfd p = { .fd = fd, .events = POLLIN };

			if (poll(&p, 1, 20) > 0)
				break;
		}
		alarm(60);
		start = cp_now();
		ASSERT_EQ(0, call(false, self->mem, len)) TH_LOG("%m");
		ASSERT_EQ(0, call(true, self->mem, len)) TH_LOG("%m");
		TH_LOG("%s: %.0f ms", e->what, (cp_now() - start) * 1000);
		alarm(0);
		self->c.n += 2;
		/* Heard at last. */
		EXPECT_EQ((ssize_t)sizeof(m), read(fd, &m, sizeof(m)))
			TH_LOG("%s: %m", e->what);
		if (m.event == UFFD_EVENT_FORK)
			close(m.arg.fork.ufd);
		close(fd);
		pthread_join(self->other, NULL);
		self->len = len;
		if (self->alias)
			fill(self);
	}
	fd = -1;
}

TEST_HARNESS_MAIN
