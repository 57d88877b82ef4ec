// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 */
/* SKIPPED: each rule that leaves a mapping out, provoked, with its reason. */
#include <sys/auxv.h>

#include "cp_test.h"
#include "harness.h"

#define PAGES	16

#ifndef SYS_memfd_secret
#define SYS_memfd_secret	447
#endif

FIXTURE(skipped) {
	struct cpimg	*img;
	char		*mem;
};

FIXTURE_SETUP(skipped)
{
	self->mem = cp_map(PAGES * PAGE);
	ASSERT_NE(NULL, self->mem);
	cp_fill(self->mem, PAGES * PAGE, 1);
}

FIXTURE_TEARDOWN(skipped)
{
	cpimg_close(self->img);
}

/*
 * The pages [4, 8) are skipped for @reason, those around them are not, and
 * nothing of theirs is anywhere in the file.
 */
#define ASSERT_MIDDLE_SKIPPED(reason) do { \
	TAKE(self->mem, PAGES * PAGE); \
	ASSERT_OK(cp_is(self->img, self->mem + 4 * PAGE, 4 * PAGE, CPIMG_SKIPPED, reason)); \
	ASSERT_OK(cp_same_bytes(self->img, self->mem, 4 * PAGE)); \
	ASSERT_OK(cp_same_bytes(self->img, self->mem + 8 * PAGE, 8 * PAGE)); \
	ASSERT_EQ(4, cpimg_note(self->img)->pages_skipped); \
	ASSERT_EQ(12, cpimg_note(self->img)->pages_data); \
	ASSERT_EQ(3, cpimg_note(self->img)->runs); \
} while (0)

#define ASSERT_NOTHING_SKIPPED() do { \
	TAKE(self->mem, PAGES * PAGE); \
	ASSERT_OK(cp_same_bytes(self->img, self->mem, PAGES * PAGE)); \
	ASSERT_EQ(0, cpimg_note(self->img)->pages_skipped); \
} while (0)

TEST_F(skipped, mlock)
{
	ASSERT_EQ(0, mlock(self->mem + 4 * PAGE, 4 * PAGE));
	ASSERT_MIDDLE_SKIPPED(CP_SKIP_LOCKED);
	ASSERT_EQ(0, munlock(self->mem + 4 * PAGE, 4 * PAGE));
	ASSERT_NOTHING_SKIPPED();
}

static void all_locked(void *arg)
{
	struct cpimg *img;
	const char *why;

	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		_exit(2);
	img = cp_take(arg, PAGES * PAGE);
	why = img ? cp_is(img, arg, PAGES * PAGE, CPIMG_SKIPPED, CP_SKIP_LOCKED) : "failed";
	if (why)
		fprintf(stderr, "# %s\n", why);
	_exit(!!why);
}

TEST_F(skipped, mlockall)
{
	ASSERT_EQ(0, cp_run(all_locked, self->mem));
	/* Locks are not inherited, and this is not the child. */
	ASSERT_NOTHING_SKIPPED();
}

TEST_F(skipped, madv_dontfork)
{
	ASSERT_EQ(0, madvise(self->mem + 4 * PAGE, 4 * PAGE, MADV_DONTFORK));
	ASSERT_MIDDLE_SKIPPED(CP_SKIP_DONTCOPY);
	ASSERT_EQ(0, madvise(self->mem + 4 * PAGE, 4 * PAGE, MADV_DOFORK));
	ASSERT_NOTHING_SKIPPED();
}

TEST_F(skipped, madv_dontdump)
{
	if (madvise(self->mem + 4 * PAGE, 4 * PAGE, MADV_DONTDUMP))
		SKIP(return, "no MADV_DONTDUMP: %s", strerror(errno));
	ASSERT_MIDDLE_SKIPPED(CP_SKIP_DONTDUMP);
	ASSERT_EQ(0, madvise(self->mem + 4 * PAGE, 4 * PAGE, MADV_DODUMP));
	ASSERT_NOTHING_SKIPPED();
}

TEST_F(skipped, prot_none)
{
	ASSERT_EQ(0, mprotect(self->mem + 4 * PAGE, 4 * PAGE, PROT_NONE));
	ASSERT_MIDDLE_SKIPPED(CP_SKIP_NOREAD);
	ASSERT_EQ(0, cpimg_find(self->img, (uintptr_t)self->mem + 4 * PAGE)->prot);
	ASSERT_EQ(0, mprotect(self->mem + 4 * PAGE, 4 * PAGE, PROT_READ));
	ASSERT_NOTHING_SKIPPED();
}

TEST_F(skipped, write_only)
{
	/* No VM_READ, though the processor would let it be read. */
	ASSERT_EQ(0, mprotect(self->mem + 4 * PAGE, 4 * PAGE, PROT_WRITE));
	ASSERT_MIDDLE_SKIPPED(CP_SKIP_NOREAD);
	ASSERT_EQ(PROT_WRITE, cpimg_find(self->img, (uintptr_t)self->mem + 4 * PAGE)->prot);
}

TEST_F(skipped, untouched_and_locked_out)
{
	/* Also where there is no page to leave out. */
	ASSERT_EQ(0, madvise(self->mem, PAGES * PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, mprotect(self->mem, PAGES * PAGE, PROT_NONE));
	TAKE(self->mem, PAGES * PAGE);
	EXPECT_OK(cp_is(self->img, self->mem, PAGES * PAGE, CPIMG_SKIPPED, CP_SKIP_NOREAD));
}

/* Two rules at once: one reason, and certainly no bytes. */
TEST_F(skipped, two_reasons)
{
	const struct cpimg_run *run;

	ASSERT_EQ(0, mlock(self->mem, PAGES * PAGE));
	ASSERT_EQ(0, mprotect(self->mem, PAGES * PAGE, PROT_NONE));
	TAKE(self->mem, PAGES * PAGE);
	run = cpimg_find(self->img, (uintptr_t)self->mem);
	ASSERT_NE(NULL, run);
	EXPECT_EQ(CPIMG_SKIPPED, run->cls);
	EXPECT_TRUE(run->reason == CP_SKIP_LOCKED || run->reason == CP_SKIP_NOREAD)
		TH_LOG("reason %u", run->reason);
	EXPECT_EQ(PAGES, cpimg_note(self->img)->pages_skipped);
}

/* The secret must not be anywhere in the file, header page included. */
TEST_F(skipped, bytes_are_nowhere_in_the_file)
{
	static const char secret[] = "correct horse battery staple";
	char name[64], *file;
	struct stat st;
	int fd;

	memcpy(self->mem + 5 * PAGE, secret, sizeof(secret));
	ASSERT_EQ(0, mlock(self->mem + 4 * PAGE, 4 * PAGE));
	ASSERT_EQ(0, cp_range(self->mem, self->mem + PAGES * PAGE));
	snprintf(name, sizeof(name), "%s", cp_name(getpid(), 0));
	fd = open(name, O_RDONLY);
	ASSERT_EQ(0, fstat(fd, &st));
	file = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, file);
	EXPECT_EQ(NULL, memmem(file, st.st_size, secret, sizeof(secret)));
	/* And the search does find what is there. */
	EXPECT_NE(NULL, memmem(file, st.st_size, self->mem + 9 * PAGE, 64));
	unlink(name);
}

TEST_F(skipped, secret_memory)
{
	int fd = syscall(SYS_memfd_secret, 0);
	const struct cpimg_run *run;
	char *mem;

	if (fd < 0)
		SKIP(return, "no memfd_secret(): %s", strerror(errno));
	ASSERT_EQ(0, ftruncate(fd, PAGES * PAGE));
	mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	cp_fill(mem, PAGES * PAGE, 2);
	TAKE(mem, PAGES * PAGE);
	run = cpimg_find(self->img, (uintptr_t)mem);
	ASSERT_NE(NULL, run);
	EXPECT_EQ(CPIMG_SKIPPED, run->cls);
	EXPECT_EQ(PAGES, cpimg_note(self->img)->pages_skipped);

	/* A program can take the flags away, but not the secret. */
	ASSERT_EQ(0, munlock(mem, PAGES * PAGE));
	madvise(mem, PAGES * PAGE, MADV_DODUMP);
	TAKE(mem, PAGES * PAGE);
	EXPECT_OK(cp_is(self->img, mem, PAGES * PAGE, CPIMG_SKIPPED, CP_SKIP_SECRET));
}

/* The first megabyte, which /dev/mem gives even where it is strict. */
TEST_F(skipped, device_memory)
{
	int fd = open("/dev/mem", O_RDONLY | O_SYNC);
	const struct cpimg_run *run;
	char *mem;

	if (fd < 0)
		SKIP(return, "no /dev/mem: %s", strerror(errno));
	mem = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0xf0000);
	if (mem == MAP_FAILED)
		SKIP(return, "/dev/mem cannot be mapped: %s", strerror(errno));
	TAKE(mem, PAGES * PAGE);
	run = cpimg_find(self->img, (uintptr_t)mem);
	ASSERT_NE(NULL, run);
	EXPECT_EQ(CPIMG_SKIPPED, run->cls);
	/* remap_pfn_range() sets both VM_IO and VM_PFNMAP */
	EXPECT_TRUE(run->reason == CP_SKIP_IO || run->reason == CP_SKIP_PFNMAP)
		TH_LOG("reason %u", run->reason);
	EXPECT_EQ(PAGES, cpimg_note(self->img)->pages_skipped);
}

/* The kernel's clock page, mapped into every program. */
TEST_F(skipped, vvar)
{
	const struct cpimg_run *run;
	uint64_t start = 0, end = 0;
	char line[256];
	FILE *f = fopen("/proc/self/maps", "r");

	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, "[vvar]"))
			sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end);
	}
	fclose(f);
	if (!end)
		SKIP(return, "no [vvar]");
	TAKE((void *)(uintptr_t)start, end - start);
	run = cpimg_find(self->img, start);
	ASSERT_NE(NULL, run);
	EXPECT_EQ(CPIMG_SKIPPED, run->cls);
	EXPECT_TRUE(run->reason == CP_SKIP_IO || run->reason == CP_SKIP_PFNMAP)
		TH_LOG("reason %u", run->reason);
	EXPECT_EQ((end - start) / PAGE, cpimg_note(self->img)->pages_skipped);
}

/* Readable code in the kernel's own pages, there or not until somebody calls it. */
TEST_F(skipped, vdso_is_data_or_the_kernels)
{
	void *vdso = (void *)getauxval(AT_SYSINFO_EHDR);
	const struct cpimg_run *run;

	if (!vdso)
		SKIP(return, "no vdso");
	TAKE(vdso, PAGE);
	run = cpimg_find(self->img, (uintptr_t)vdso);
	ASSERT_NE(NULL, run);
	if (run->cls == CPIMG_DATA) {
		EXPECT_OK(cp_same_bytes(self->img, vdso, PAGE));
		return;
	}
	EXPECT_EQ(CPIMG_SKIPPED, run->cls);
	EXPECT_TRUE(run->reason == CP_SKIP_RESERVED || run->reason == CP_SKIP_SPECIAL)
		TH_LOG("reason %u", run->reason);
}

/* A file that became shorter: a read is SIGBUS, the checkpoint goes on. */
TEST_F(skipped, beyond_the_end_of_a_file)
{
	int fd;
	char *mem = cp_memfd("skipped", PAGES * PAGE, 3, &fd);

	ASSERT_NE(NULL, mem);
	ASSERT_EQ(0, ftruncate(fd, 4 * PAGE));
	TAKE(mem, PAGES * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, mem, 4 * PAGE));
	/* Nothing is there: skipped, or read from the file, but never bytes. */
	for (int i = 4; i < PAGES; i++) {
		const struct cpimg_run *run;

		run = cpimg_find(self->img, (uintptr_t)mem + i * PAGE);
		ASSERT_NE(NULL, run);
		EXPECT_NE(CPIMG_DATA, run->cls) TH_LOG("page %d", i);
	}
}

TEST_HARNESS_MAIN
