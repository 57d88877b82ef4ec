// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 */
/*
 * The whole address space, of a static, a dynamic and a 32-bit program: it was
 * here that the first cp_range died. The program stands still afterwards, so
 * every byte and every mapping can be compared from outside.
 */
#include <elf.h>

#include "cp_test.h"
#include "harness.h"

/* What the programs are that are built like this one. */
#if __SIZEOF_POINTER__ == 8
#define BITS		64
#define MACHINE		EM_X86_64
#define END_OF_4G	0x100000000
/* A 32-bit program on a 64-bit kernel has nearly 4 GB, not 3. */
#define END_OF_I386	0xffffe000
#else
#define BITS		32
#define MACHINE		EM_386
#define END_OF_4G	0
#define END_OF_I386	0
#endif

FIXTURE(whole) {
	int		pid;
	struct cpimg	*img;
};

FIXTURE_VARIANT(whole) {
	const char	*program;
	const char	*end;
	int		bits;
	unsigned int	machine;
	uint64_t	req_end;
	uint64_t	image_end;	/* 0: all that the kernel gives */
	uint64_t	pages;		/* DATA, at least */
};

FIXTURE_VARIANT_ADD(whole, static_all) {
	"standstill", "all", BITS, MACHINE, ~0UL, 0, 256,
};
FIXTURE_VARIANT_ADD(whole, static_4g) {
	"standstill", "4g", BITS, MACHINE, 0xffffffff, END_OF_4G, 64,
};
FIXTURE_VARIANT_ADD(whole, dynamic_all) {
	"standstill_dyn", "all", BITS, MACHINE, ~0UL, 0, 256,
};
/* Position-independent: all of it lies higher. */
FIXTURE_VARIANT_ADD(whole, dynamic_4g) {
	"standstill_dyn", "4g", BITS, MACHINE, 0xffffffff, END_OF_4G, 0,
};
FIXTURE_VARIANT_ADD(whole, i386) {
	"standstill_32", "all", 32, EM_386, 0xffffffff, END_OF_I386, 256,
};

FIXTURE_SETUP(whole)
{
	const char *argv[] = { cp_helper(variant->program), "asm", variant->end, NULL };

	self->pid = -1;
	if (access(argv[0], X_OK))
		SKIP(return, "%s: %s", argv[0], strerror(errno));
	self->pid = cp_exec_stopped(argv);
	ASSERT_LT(0, self->pid) TH_LOG("%s does not run", argv[0]);
	self->img = cp_open(self->pid, 0);
	unlink(cp_name(self->pid, 0));
	ASSERT_NE(NULL, self->img);
}

FIXTURE_TEARDOWN(whole)
{
	cpimg_close(self->img);
	if (self->pid > 0)
		cp_kill(self->pid);
}

TEST_F(whole, every_byte_is_right)
{
	EXPECT_OK(cp_check_process(self->img, self->pid));
	/* Code and stack and all, not just some corner. */
	EXPECT_LE(variant->pages, cpimg_note(self->img)->pages_data);
	EXPECT_EQ(0, cpimg_note(self->img)->pages_same);
}

TEST_F(whole, every_mapping_is_in_runs)
{
	EXPECT_OK(cp_check_maps(self->img, self->pid));
}

TEST_F(whole, header_and_range)
{
	const struct cp_note *note = cpimg_note(self->img);

	EXPECT_EQ(variant->bits, cpimg_bits(self->img));
	EXPECT_EQ(variant->machine, cpimg_machine(self->img));
	EXPECT_EQ(0, note->req_start);
	EXPECT_EQ(variant->req_end, note->req_end);
	EXPECT_EQ(0, note->start);
	EXPECT_EQ(variant->image_end ?: cp_user_end(), note->end)
		TH_LOG("ends at 0x%lx", (unsigned long)note->end);
	EXPECT_EQ(PAGE, note->page_size);
	EXPECT_EQ(self->pid, note->pid);
	EXPECT_EQ(self->pid, note->tid);
	EXPECT_EQ(0, note->n);
	EXPECT_EQ(CP_KIND_FULL, note->kind);
}

TEST_HARNESS_MAIN
