// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 640 */
/*
 * More runs than e_phnum can count: past 65,534 program headers their number is
 * in a section header (PN_XNUM).
 */
#include <link.h>

#include "cp_test.h"
#include "harness.h"

/* Every other page written, so that each page is a run. */
static char *alternate(size_t runs)
{
	char *mem = cp_map(runs * PAGE);

	/* A huge page would fill the gaps. */
	madvise(mem, runs * PAGE, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < runs; i += 2)
		*(uint64_t *)(mem + i * PAGE) = i + 1;
	return mem;
}

FIXTURE(many_runs) {
	char		*mem;
	struct cpimg	*img;
	ElfW(Ehdr)	eh;
};

FIXTURE_VARIANT(many_runs) {
	size_t	runs;
};

FIXTURE_VARIANT_ADD(many_runs, as_many_as_fit) { 65533 };
FIXTURE_VARIANT_ADD(many_runs, one_more) { 65534 };
FIXTURE_VARIANT_ADD(many_runs, two_more) { 65535 };
FIXTURE_VARIANT_ADD(many_runs, many_more) { 70001 };

FIXTURE_SETUP(many_runs)
{
	self->mem = alternate(variant->runs);
	ASSERT_EQ(0, cp_range(self->mem, self->mem + variant->runs * PAGE))
		TH_LOG("%m");
	self->img = cp_open(getpid(), 0);
	unlink(cp_name(getpid(), 0));
	ASSERT_NE(NULL, self->img);
	ASSERT_EQ(sizeof(self->eh), pread(cpimg_fd(self->img), &self->eh,
					  sizeof(self->eh), 0));
}

FIXTURE_TEARDOWN(many_runs)
{
	cpimg_close(self->img);
}

TEST_F(many_runs, are_all_there_and_right)
{
	size_t n;
	const struct cpimg_run *run = cpimg_runs(self->img, &n);

	ASSERT_EQ(variant->runs, n);
	for (size_t i = 0; i < n; i++, run++) {
		char *page = self->mem + i * PAGE;
		uint64_t word = 0;

		ASSERT_EQ((uintptr_t)page, run->start);
		ASSERT_EQ(PAGE, run->end - run->start);
		ASSERT_EQ(i % 2 ? CPIMG_HOLE : CPIMG_DATA, run->cls);
		ASSERT_EQ(0, cpimg_pread(self->img, run->start, &word, sizeof(word),
					 NULL));
		ASSERT_EQ(i % 2 ? 0 : i + 1, word);
	}

	/* And the header counts them the way ELF wants it. */
	if (variant->runs + 1 < PN_XNUM) {
		EXPECT_EQ(variant->runs + 1, self->eh.e_phnum);
		EXPECT_EQ(0, self->eh.e_shnum);
		EXPECT_EQ(0, self->eh.e_shoff);
	} else {
		ElfW(Shdr) sh;

		EXPECT_EQ(PN_XNUM, self->eh.e_phnum);
		EXPECT_EQ(1, self->eh.e_shnum);
		ASSERT_EQ(sizeof(sh), pread(cpimg_fd(self->img), &sh, sizeof(sh),
					    self->eh.e_shoff));
		EXPECT_EQ(variant->runs + 1, sh.sh_info);
		EXPECT_EQ(SHT_NULL, sh.sh_type);
	}
}

TEST(of_a_32_bit_program)
{
	const char *helper = cp_helper("many_runs_32");
	struct cpimg *img;
	Elf32_Ehdr eh;
	Elf32_Shdr sh;
	int status;
	size_t n;
	pid_t pid = fork();

	if (!pid) {
		execl(helper, helper, NULL);
		_exit(errno == ENOEXEC ? 127 : 3);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		SKIP(return, "no 32-bit programs");
	ASSERT_EQ(0, status);
	img = cp_open(pid, 0);
	unlink(cp_name(pid, 0));
	ASSERT_NE(NULL, img);
	EXPECT_EQ(32, cpimg_bits(img));
	cpimg_runs(img, &n);
	EXPECT_EQ(65540, n);
	ASSERT_EQ(sizeof(eh), pread(cpimg_fd(img), &eh, sizeof(eh), 0));
	EXPECT_EQ(PN_XNUM, eh.e_phnum);
	EXPECT_EQ(1, eh.e_shnum);
	ASSERT_EQ(sizeof(sh), pread(cpimg_fd(img), &sh, sizeof(sh), eh.e_shoff));
	EXPECT_EQ(65541, sh.sh_info);
	EXPECT_EQ(SHT_NULL, sh.sh_type);
	cpimg_close(img);
}

TEST_HARNESS_MAIN
