// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 --allow Memory.failure */
/* Poisoned pages are left out, and reading them kills neither us nor the machine. */
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include "cp_test.h"
#include "harness.h"
#include "needs.h"

#define PAGES	16

static volatile sig_atomic_t buses;

/* Poisoning tells the program that has the page, even if it does not touch it. */
static void on_bus(int sig)
{
	buses++;
}

FIXTURE(poison) {
	char		*mem;
	struct cpimg	*img;
};

FIXTURE_SETUP(poison)
{
	struct sigaction sa = { .sa_handler = on_bus };

	ASSERT_EQ(0, sigaction(SIGBUS, &sa, NULL));
	self->mem = cp_map(PAGES * PAGE);
	cp_fill(self->mem, PAGES * PAGE, 1);
}

FIXTURE_TEARDOWN(poison)
{
	cpimg_close(self->img);
}

#define POISON(at) do { \
	if (madvise(at, PAGE, MADV_HWPOISON)) \
		SKIP(return, "no MADV_HWPOISON: %s", strerror(errno)); \
	buses = 0; \
} while (0)

TEST_F(poison, of_anonymous_memory)
{
	POISON(self->mem + 5 * PAGE);
	self->img = cp_take(self->mem, PAGES * PAGE);
	ASSERT_NE(NULL, self->img);
	EXPECT_EQ(0, buses);
	EXPECT_OK(cp_is(self->img, self->mem + 5 * PAGE, PAGE, CPIMG_SKIPPED,
			CP_SKIP_POISON));
	EXPECT_OK(cp_same_bytes(self->img, self->mem, 5 * PAGE));
	EXPECT_OK(cp_same_bytes(self->img, self->mem + 6 * PAGE, 10 * PAGE));
	EXPECT_EQ(1, cpimg_note(self->img)->pages_skipped);
}

TEST_F(poison, of_first_and_last_page)
{
	POISON(self->mem);
	POISON(self->mem + 15 * PAGE);
	self->img = cp_take(self->mem, PAGES * PAGE);
	ASSERT_NE(NULL, self->img);
	EXPECT_OK(cp_is(self->img, self->mem, PAGE, CPIMG_SKIPPED, CP_SKIP_POISON));
	EXPECT_OK(cp_is(self->img, self->mem + 15 * PAGE, PAGE, CPIMG_SKIPPED,
			CP_SKIP_POISON));
	EXPECT_OK(cp_same_bytes(self->img, self->mem + PAGE, 14 * PAGE));
}

TEST_F(poison, of_shared_memory)
{
	int fd;
	char *mem = cp_memfd("poison", PAGES * PAGE, 2, &fd);

	ASSERT_NE(NULL, mem);
	POISON(mem + 3 * PAGE);
	self->img = cp_take(mem, PAGES * PAGE);
	ASSERT_NE(NULL, self->img);
	EXPECT_OK(cp_is(self->img, mem + 3 * PAGE, PAGE, CPIMG_SKIPPED, CP_SKIP_POISON));
	EXPECT_OK(cp_same_bytes(self->img, mem, 3 * PAGE));
	EXPECT_OK(cp_same_bytes(self->img, mem + 4 * PAGE, 12 * PAGE));
}

/* The poisoned page is in the file, and no entry here knows of it. */
TEST_F(poison, of_shared_memory_mapped_elsewhere)
{
	char byte = 0;
	int fd;
	char *mem, *other = cp_memfd("poison", PAGES * PAGE, 3, &fd);

	ASSERT_NE(NULL, other);
	POISON(other + 3 * PAGE);
	mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	self->img = cp_take(mem, PAGES * PAGE);
	ASSERT_NE(NULL, self->img);
	EXPECT_EQ(0, buses);
	/* A kernel that takes the page from the file gives zeros there. */
	EXPECT_EQ(pread(fd, &byte, 1, 3 * PAGE) == 1 && !byte ?
		  CPIMG_HOLE : CPIMG_SKIPPED,
		  cpimg_find(self->img, (uintptr_t)mem + 3 * PAGE)->cls);
	EXPECT_OK(cp_same_bytes(self->img, mem, 3 * PAGE));
	EXPECT_OK(cp_same_bytes(self->img, mem + 4 * PAGE, 12 * PAGE));
}

#ifdef UFFDIO_POISON
TEST_F(poison, marked_by_userfaultfd)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_POISON };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_poison poison = { .range.len = 2 * PAGE };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		SKIP(return, "no UFFDIO_POISON: %s", strerror(errno));
	ASSERT_EQ(0, madvise(self->mem + 4 * PAGE, 4 * PAGE, MADV_DONTNEED));
	reg.range.start = (uintptr_t)self->mem;
	reg.range.len = PAGES * PAGE;
	ASSERT_EQ(0, ioctl(fd, UFFDIO_REGISTER, &reg)) TH_LOG("%m");
	poison.range.start = (uintptr_t)self->mem + 5 * PAGE;
	ASSERT_EQ(0, ioctl(fd, UFFDIO_POISON, &poison)) TH_LOG("%m");
	self->img = cp_take(self->mem, PAGES * PAGE);
	ASSERT_NE(NULL, self->img);
	EXPECT_EQ(0, buses);
	EXPECT_OK(cp_is(self->img, self->mem + 5 * PAGE, 2 * PAGE, CPIMG_SKIPPED,
			CP_SKIP_POISON));
	EXPECT_OK(cp_is(self->img, self->mem + 4 * PAGE, PAGE, CPIMG_HOLE, CP_HOLE_ZERO));
	EXPECT_OK(cp_same_bytes(self->img, self->mem, 4 * PAGE));
	close(fd);
}
#endif

/* Of a hugetlb page all is lost with any of it. */
TEST_F(poison, of_a_hugetlb_page)
{
	char *mem;

	if (cp_write_file("/proc/sys/vm/nr_hugepages", "3"))
		SKIP(return, "no hugetlb: %s", strerror(errno));
	mem = mmap(NULL, 3 * HUGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (mem == MAP_FAILED)
		SKIP(return, "no three huge pages: %s", strerror(errno));
	cp_fill(mem, 3 * HUGE, 4);
	POISON(mem + HUGE + 5 * PAGE);
	if (cp_kernel_before(2, 7) && mem[HUGE] == mem[0])
		SKIP(return, "this kernel leaves a hugetlb page where it is");
	self->img = cp_take(mem, 3 * HUGE);
	ASSERT_NE(NULL, self->img);
	EXPECT_EQ(0, buses);
	EXPECT_OK(cp_same_bytes(self->img, mem, HUGE));
	EXPECT_OK(cp_is(self->img, mem + HUGE, HUGE, CPIMG_SKIPPED, CP_SKIP_POISON));
	EXPECT_OK(cp_same_bytes(self->img, mem + 2 * HUGE, HUGE));
}

TEST_HARNESS_MAIN
