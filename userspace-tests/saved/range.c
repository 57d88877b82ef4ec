// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 */
/*
 * The range: rounded outwards to whole pages, clamped to the user's addresses;
 * what is empty or backwards is EINVAL.
 */
#include "chain.h"
#include "harness.h"

static long dump(uint64_t start, uint64_t end)
{
	return cp_range((void *)(uintptr_t)start, (void *)(uintptr_t)end);
}

TEST(empty_or_backwards_is_einval)
{
	const uint64_t user_end = cp_user_end(), rows[][2] = {
		{ 0, 0 },
		{ 0x1000, 0x1000 },
		{ 0x1001, 0x1001 },	/* the same byte, though rounding makes it a page */
		{ 0x1234, 0x1233 },
		{ 0x2000, 0x1000 },
		{ ~0UL, 0 },
		{ ~0UL, ~0UL },
		{ user_end, ~0UL },
		{ user_end, user_end + 0x1000 },
		{ user_end + 1, user_end + 0x1000 },
#if __SIZEOF_POINTER__ == 8
		{ 1UL << 63, ~0UL },
		{ 0xffffffff81000000UL, 0xffffffff82000000UL },	/* the kernel */
		{ 0xffffffffff600000UL, 0xffffffffff601000UL },	/* vsyscall */
#else
		{ 0xffffe000UL, 0xfffff000UL },	/* the vDSO, where it has a fixed place */
#endif
		{ ~0UL - PAGE, ~0UL },
		{ ~0UL, 0x1000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		errno = 0;
		EXPECT_EQ(-1, dump(rows[i][0], rows[i][1]))
			TH_LOG("0x%" PRIx64 " to 0x%" PRIx64, rows[i][0], rows[i][1]);
		EXPECT_EQ(EINVAL, errno)
			TH_LOG("0x%" PRIx64 " to 0x%" PRIx64, rows[i][0], rows[i][1]);
		EXPECT_OK(cp_no_file(getpid(), 0));
	}
	/* None of them counted. */
	ASSERT_EQ(0, dump(0, PAGE));
	EXPECT_EQ(0, unlink(cp_name(getpid(), 0)));
}

FIXTURE(range) {
	char		*mem;
	struct cpimg	*img;
};

FIXTURE_SETUP(range)
{
	self->mem = cp_map(8 * PAGE);
	ASSERT_NE(NULL, self->mem);
	cp_fill(self->mem, 8 * PAGE, 7);
}

FIXTURE_TEARDOWN(range)
{
	cpimg_close(self->img);
}

TEST_F(range, partial_pages_at_both_ends_are_saved_whole)
{
	static const struct {
		size_t	from, to;		/* bytes */
		size_t	first, last;		/* pages, last not included */
	} rows[] = {
		{ 2 * PAGE,		3 * PAGE,	2, 3 },
		{ 2 * PAGE + 1,		3 * PAGE,	2, 3 },
		{ 3 * PAGE - 1,		3 * PAGE,	2, 3 },
		{ 3 * PAGE - 1,		3 * PAGE + 1,	2, 4 },
		{ 2 * PAGE,		2 * PAGE + 1,	2, 3 },
		{ 2 * PAGE + 100,	2 * PAGE + 101,	2, 3 },
		{ 2 * PAGE + 4095,	5 * PAGE + 1,	2, 6 },
		{ 0,			8 * PAGE,	0, 8 },
		{ 1,			8 * PAGE - 1,	0, 8 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct cp_note *note;
		struct cpimg *img;
		char *from = self->mem + rows[i].from;
		char *first = self->mem + rows[i].first * PAGE;
		char *last = self->mem + rows[i].last * PAGE;

		img = cp_take(from, rows[i].to - rows[i].from);
		ASSERT_NE(NULL, img);
		note = cpimg_note(img);
		EXPECT_EQ((uintptr_t)from, note->req_start);
		EXPECT_EQ((uintptr_t)self->mem + rows[i].to, note->req_end);
		EXPECT_EQ((uintptr_t)first, note->start);
		EXPECT_EQ((uintptr_t)last, note->end);
		EXPECT_EQ(rows[i].last - rows[i].first, note->pages_data)
			TH_LOG("row %zu", i);
		EXPECT_OK(cp_same_bytes(img, first, last - first));
		EXPECT_EQ(NULL, cpimg_find(img, (uintptr_t)first - 1));
		EXPECT_EQ(NULL, cpimg_find(img, (uintptr_t)last));
		cpimg_close(img);
	}
}

TEST_F(range, with_nothing_mapped_is_an_image_without_runs)
{
	/* cp_map() leaves a hole on either side. */
	self->img = cp_take(self->mem - PAGE, PAGE);
	ASSERT_NE(NULL, self->img);
	EXPECT_EQ(0, cpimg_note(self->img)->runs);
	EXPECT_EQ(PAGE, cpimg_note(self->img)->end - cpimg_note(self->img)->start);
}

TEST_F(range, around_a_mapping_has_the_mapping)
{
	self->img = cp_take(self->mem - PAGE, 10 * PAGE);
	ASSERT_NE(NULL, self->img);
	EXPECT_EQ(8, cpimg_note(self->img)->pages_data);
	EXPECT_OK(cp_same_bytes(self->img, self->mem, 8 * PAGE));
}

TEST_F(range, with_gaps_has_a_run_on_either_side)
{
	ASSERT_EQ(0, munmap(self->mem + 2 * PAGE, PAGE));
	ASSERT_EQ(0, munmap(self->mem + 5 * PAGE, 2 * PAGE));
	self->img = cp_take(self->mem, 8 * PAGE);
	ASSERT_NE(NULL, self->img);
	EXPECT_EQ(3, cpimg_note(self->img)->runs);
	EXPECT_OK(cp_same_bytes(self->img, self->mem, 2 * PAGE));
	EXPECT_OK(cp_same_bytes(self->img, self->mem + 3 * PAGE, 2 * PAGE));
	EXPECT_OK(cp_same_bytes(self->img, self->mem + 7 * PAGE, PAGE));
	EXPECT_EQ(NULL, cpimg_find(self->img, (uintptr_t)self->mem + 2 * PAGE));
	EXPECT_EQ(NULL, cpimg_find(self->img, (uintptr_t)self->mem + 6 * PAGE));
}

TEST_F(range, is_clamped_to_user_addresses)
{
	const uint64_t user_end = cp_user_end(), ends[] = {
		~0UL, user_end, user_end + 1, user_end + PAGE,
#if __SIZEOF_POINTER__ == 8
		1UL << 56, 1UL << 63, 0xffffffff80000000UL,
#endif
	};

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		/* Not all of memory every time: from the fixture's up. */
		uint64_t start = (uintptr_t)self->mem;
		struct cpimg *img;

		ASSERT_EQ(0, dump(start, ends[i])) TH_LOG("0x%" PRIx64 ": %m", ends[i]);
		img = cp_open(getpid(), i);
		ASSERT_NE(NULL, img);
		EXPECT_EQ(ends[i], cpimg_note(img)->req_end);
		EXPECT_EQ(user_end, cpimg_note(img)->end)
			TH_LOG("0x%" PRIx64 ": 0x%lx", ends[i],
			       (unsigned long)cpimg_note(img)->end);
		EXPECT_EQ(start, cpimg_note(img)->start);
		EXPECT_OK(cp_is(img, self->mem, 8 * PAGE, CPIMG_DATA, 0));
		cpimg_close(img);
		unlink(cp_name(getpid(), i));
	}
}

TEST_F(range, may_end_at_the_last_user_byte)
{
	uint64_t end = cp_user_end();

	ASSERT_EQ(0, dump(end - PAGE, end)) TH_LOG("%m");
	self->img = cp_open(getpid(), 0);
	unlink(cp_name(getpid(), 0));
	ASSERT_NE(NULL, self->img);
	EXPECT_EQ(0, cpimg_note(self->img)->runs);
}

/* With five levels of page tables on either side of where four end, too. */
TEST(edges_of_all_that_can_be_mapped)
{
	const uint64_t end = cp_user_end(), edges[] = {
		end - 2 * PAGE,
#if __SIZEOF_POINTER__ == 8
		(1UL << 47) - 2 * PAGE, 1UL << 47, 1UL << 48, (1UL << 55) - PAGE,
#else
		0x10000, (1UL << 30) - PAGE, (1UL << 31) - PAGE,
#endif
	};
	struct chain c = { 0 };
	char *mem[ARRAY_SIZE(edges)];

	for (size_t i = 0; i < ARRAY_SIZE(edges); i++) {
		mem[i] = edges[i] < end ? cp_map_at((void *)(uintptr_t)edges[i], 2 * PAGE) : NULL;
		if (mem[i])
			cp_fill(mem[i], 2 * PAGE, i);
	}
	/* The last below 47 bits is the kernel's, with four levels. */
	if (end == (1ULL << 56) - PAGE)
		ASSERT_NE(NULL, mem[0]);
	ASSERT_OK(chain_full(&c, NULL, end));
	for (size_t i = 0; i < ARRAY_SIZE(edges); i++) {
		if (!mem[i])
			continue;
		ASSERT_OK(chain_matches(&c, mem[i], 2 * PAGE));
		mem[i][PAGE]++;
	}
	ASSERT_OK(chain_inc(&c, NULL, end));
	for (size_t i = 0; i < ARRAY_SIZE(edges); i++) {
		if (!mem[i])
			continue;
		ASSERT_OK(chain_matches(&c, mem[i], 2 * PAGE));
		EXPECT_EQ(1, chain_pages(&c, mem[i], 2 * PAGE, CPIMG_SAME));
		EXPECT_EQ(1, chain_pages(&c, mem[i], 2 * PAGE, CPIMG_DATA));
	}
	chain_close(&c);
	chain_remove();
}

TEST_HARNESS_MAIN
