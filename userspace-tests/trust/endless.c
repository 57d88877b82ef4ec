// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 640 --smp 2 --disk 64 --disk xfs:300 --timeout 400 */
/*
 * Memory of which there is very much to look at and nothing to save: a call takes
 * milliseconds for it, or ends by a signal at least. An ordinary user can map all of
 * this, so it must not keep a processor or a lock.
 */
#define _GNU_SOURCE
#include <sys/uio.h>
#include <time.h>

#include "chain.h"
#include "harness.h"
#include "kinds.h"

/* As much of it as there are addresses for: of 32 bits, 1.5 GiB. */
#define TIB(n)	(sizeof(size_t) == 8 ? (size_t)((n) * (1ULL << 40)) : (size_t)3 << 29)
#define RW	(PROT_READ | PROT_WRITE)

/* What a loop over pages or huge pages takes is far beyond this, on any machine. */
#define SOON	2.0

static void *by_file(const char *dir, int oflags, size_t size, size_t len, int flags)
{
	char name[64];
	void *mem;
	int fd;

	snprintf(name, sizeof(name), "%s/endless.XXXXXX", dir);
	fd = mkostemp(name, oflags);
	if (fd < 0)
		return MAP_FAILED;
	unlink(name);
	if (ftruncate(fd, size)) {
		close(fd);
		return MAP_FAILED;
	}
	mem = mmap(NULL, len, RW, flags | MAP_NORESERVE, fd, 0);
	close(fd);
	return mem;
}

static void *map_anonymous(size_t len, int flags)
{
	return mmap(NULL, len, RW, flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void *hugetlb(size_t len)
{
	return map_anonymous(len, MAP_PRIVATE | MAP_HUGETLB);
}

static void *shared_hugetlb(size_t len)
{
	return map_anonymous(len, MAP_SHARED | MAP_HUGETLB);
}

static void *anonymous(size_t len)
{
	return map_anonymous(len, MAP_PRIVATE);
}

static void *shared_anonymous(size_t len)
{
	return map_anonymous(len, MAP_SHARED);
}

/* Page tables with nothing in them: a page was there in every GiB. */
static void *discarded(size_t len)
{
	char *mem = map_anonymous(len, MAP_PRIVATE);

	if (mem == MAP_FAILED)
		return mem;
	madvise(mem, len, MADV_NOHUGEPAGE);
	for (size_t at = 0; at < len; at += 1UL << 30)
		mem[at] = 1;
	madvise(mem, len, MADV_DONTNEED);
	return mem;
}

static void *tmpfs(size_t len) { return by_file("/dev/shm", 0, len, len, MAP_SHARED); }
static void *private_tmpfs(size_t len) { return by_file("/dev/shm", 0, len, len, MAP_PRIVATE); }
static void *ext4(size_t len) { return by_file("/disk", 0, len, len, MAP_SHARED); }
static void *private_ext4(size_t len) { return by_file("/disk", 0, len, len, MAP_PRIVATE); }
static void *xfs(size_t len) { return by_file("/disk2", 0, len, len, MAP_SHARED); }
static void *private_xfs(size_t len) { return by_file("/disk2", 0, len, len, MAP_PRIVATE); }
static void *past_the_end(size_t len) { return by_file("/disk", 0, PAGE, len, MAP_SHARED); }
static void *private_past_the_end(size_t len) { return by_file("/disk", 0, PAGE, len, MAP_PRIVATE); }
static void *tmpfs_past_the_end(size_t len) { return by_file("/dev/shm", 0, PAGE, len, MAP_SHARED); }

static void *device_zero(size_t len)
{
	int fd = open("/dev/zero", O_RDWR);
	void *mem = mmap(NULL, len, RW, MAP_PRIVATE | MAP_NORESERVE, fd, 0);

	close(fd);
	return mem;
}

static void *no_access(size_t len)
{
	return mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		    -1, 0);
}

FIXTURE(endless) {
	char		*mem;
	struct chain	c;
};

FIXTURE_VARIANT(endless) {
	void	*(*map)(size_t len);
	size_t	len;
};

FIXTURE_VARIANT_ADD(endless, hugetlb) { hugetlb, TIB(120) };
FIXTURE_VARIANT_ADD(endless, shared_hugetlb) { shared_hugetlb, TIB(120) };
FIXTURE_VARIANT_ADD(endless, anonymous) { anonymous, TIB(120) };
FIXTURE_VARIANT_ADD(endless, shared_anonymous) { shared_anonymous, TIB(120) };
FIXTURE_VARIANT_ADD(endless, discarded) { discarded, TIB(1) };
FIXTURE_VARIANT_ADD(endless, tmpfs) { tmpfs, TIB(120) };
FIXTURE_VARIANT_ADD(endless, private_tmpfs) { private_tmpfs, TIB(120) };
FIXTURE_VARIANT_ADD(endless, ext4) { ext4, TIB(1) };
FIXTURE_VARIANT_ADD(endless, private_ext4) { private_ext4, TIB(1) };
FIXTURE_VARIANT_ADD(endless, xfs) { xfs, TIB(100) };
FIXTURE_VARIANT_ADD(endless, private_xfs) { private_xfs, TIB(100) };
FIXTURE_VARIANT_ADD(endless, past_the_end) { past_the_end, TIB(15) };
FIXTURE_VARIANT_ADD(endless, private_past_the_end) { private_past_the_end, TIB(15) };
FIXTURE_VARIANT_ADD(endless, tmpfs_past_the_end) { tmpfs_past_the_end, TIB(120) };
FIXTURE_VARIANT_ADD(endless, device_zero) { device_zero, TIB(100) };
FIXTURE_VARIANT_ADD(endless, no_access) { no_access, TIB(120) };

FIXTURE_SETUP(endless)
{
	self->mem = variant->map(variant->len);
	if (self->mem == MAP_FAILED)
		SKIP(return, "no %zu GiB: %s", variant->len >> 30, strerror(errno));
}

FIXTURE_TEARDOWN(endless)
{
	chain_close(&self->c);
	chain_remove();
}

static double processor_time(int who)
{
	struct timespec ts;

	clock_gettime(who, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void call_once(char *mem, size_t len, bool inc)
{
	_exit((inc ? inc_cp_range(mem, mem + len) : cp_range(mem, mem + len)) ? errno : 0);
}

/* In a child, which can be killed if need be. */
TEST_F(endless, memory_takes_milliseconds)
{
	int status = 0;
	double took;
	pid_t pid;

	/* Full; then, of a process that has a chain, incremental. */
	took = cp_now();
	pid = fork();
	if (!pid)
		call_once(self->mem, variant->len, false);
	for (int i = 0; !waitpid(pid, &status, WNOHANG); i++) {
		if (cp_now() - took > 10 * SOON) {
			kill(pid, SIGKILL);
			ASSERT_EQ(pid, waitpid(pid, &status, 0));
			ASSERT_TRUE(false) TH_LOG("not back after %.0f s, dead %.1f s after SIGKILL",
						  10 * SOON, cp_now() - took - 10 * SOON);
		}
		usleep(1000);
	}
	took = cp_now() - took;
	EXPECT_EQ(0, status) TH_LOG("%s", strerror(WEXITSTATUS(status)));
	TH_LOG("%zu GiB: %.0f ms", variant->len >> 30, took * 1000);
	if (!cp_debug_kernel())
		ASSERT_GT(SOON, took);

	for (int inc = 0; inc < 3; inc++) {
		took = processor_time(CLOCK_PROCESS_CPUTIME_ID);
		ASSERT_OK(inc ? chain_inc(&self->c, self->mem, variant->len) :
			  chain_full(&self->c, self->mem, variant->len));
		took = processor_time(CLOCK_PROCESS_CPUTIME_ID) - took;
		if (!cp_debug_kernel())
			EXPECT_GT(SOON, took);
		EXPECT_EQ(0, cpimg_note(self->c.img)->pages_data);
		EXPECT_GE(3, cpimg_note(self->c.img)->runs);
	}
}

/* However long it takes, by somebody who has no rights. */
TEST_F(endless, calls_end_by_a_signal)
{
	double took;
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (setgid(1000) || cp_set_user(1000, 1000, 1000))
			_exit(100);
		for (unsigned long n = 0; ; n++) {
			if (inc_cp_range(self->mem, self->mem + variant->len)) {
				fprintf(stderr, "# inc_cp_range: %s\n", strerror(errno));
				_exit(1);
			}
			/* The name of the parent is to stay. */
			if (n > 1)
				unlink(cp_name(getpid(), n - 1));
		}
	}
	usleep(300000);
	took = cp_now();
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	took = cp_now() - took;
	EXPECT_TRUE(WIFSIGNALED(status)) TH_LOG("status 0x%x", status);
	TH_LOG("dead after %.0f ms", took * 1000);
	if (!cp_debug_kernel())
		EXPECT_GT(SOON, took);
}

/*
 * What others ask of a program that has very much memory in its chain costs what they
 * ask for: pages are referenced, or none are where nothing is mapped.
 */
#define GROUPS		(sizeof(size_t) == 8 ? 8000UL : 16UL) /* of 64 MiB, with a page in each */
#define SPREAD		CP_FAR(0x10)

static double futex_at(void *at)
{
	double start = processor_time(CLOCK_PROCESS_CPUTIME_ID);

	for (int i = 0; i < 50; i++)
		syscall(SYS_futex, at, 0 /* FUTEX_WAIT, of any process */, 12345, NULL,
			NULL, 0);
	return (processor_time(CLOCK_PROCESS_CPUTIME_ID) - start) / 50;
}

static double direct_read_at(void *at)
{
	static int fd;
	double start;

	if (!fd)
		fd = open("/dev/vda", O_RDONLY | O_DIRECT);
	start = processor_time(CLOCK_PROCESS_CPUTIME_ID);
	for (int i = 0; i < 50; i++)
		pread(fd, at, PAGE, 0);
	return (processor_time(CLOCK_PROCESS_CPUTIME_ID) - start) / 50;
}

static double vm_readv_at(void *at)
{
	char byte;
	struct iovec to = { &byte, 1 }, from = { at, 1 };
	double start = processor_time(CLOCK_PROCESS_CPUTIME_ID);

	for (int i = 0; i < 50; i++)
		process_vm_readv(getpid(), &to, 1, &from, 1, 0);
	return (processor_time(CLOCK_PROCESS_CPUTIME_ID) - start) / 50;
}

static double populate_at(void *at)
{
	double start = processor_time(CLOCK_PROCESS_CPUTIME_ID);

	for (int i = 0; i < 50; i++)
		madvise(at, PAGE, MADV_POPULATE_WRITE);
	return (processor_time(CLOCK_PROCESS_CPUTIME_ID) - start) / 50;
}

TEST(nothing_at_address_0_costs_nothing)
{
	static const struct {
		const char	*what;
		double		(*fn)(void *at);
	} asks[] = {
		{ "futex", futex_at },
		{ "O_DIRECT read", direct_read_at },
		{ "process_vm_readv", vm_readv_at },
		{ "MADV_POPULATE_WRITE", populate_at },
	};
	char *mem = mmap(SPREAD, GROUPS << 26, RW, MAP_PRIVATE | MAP_ANONYMOUS |
			 MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	struct chain c = { 0 };

	ASSERT_EQ(SPREAD, mem);
	madvise(mem, GROUPS << 26, MADV_NOHUGEPAGE);
	for (unsigned long i = 0; i < GROUPS; i++)
		mem[i << 26] = 1;
	ASSERT_OK(chain_inc(&c, mem, GROUPS << 26));
	for (size_t i = 0; i < ARRAY_SIZE(asks); i++) {
		double at_0, elsewhere;

		asks[i].fn(NULL);
		at_0 = asks[i].fn(NULL);
		elsewhere = asks[i].fn((void *)(16 * PAGE));
		TH_LOG("%s: at address 0 %.1f us, at 64 KiB %.1f us", asks[i].what,
		       at_0 * 1e6, elsewhere * 1e6);
		EXPECT_GT(5 * elsewhere + 100e-6, at_0);
	}
	chain_close(&c);
	chain_remove();
}

TEST_HARNESS_MAIN
