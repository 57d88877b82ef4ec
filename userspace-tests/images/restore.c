// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 --disk 32 --timeout 1800 */
/*
 * cp_restore() puts memory back to what a chain says: exactly, nothing beside it,
 * and nothing at all when something speaks against it.
 */
#include <link.h>
#include <time.h>

#include "chain.h"
#include "harness.h"
#include "needs.h"

#define PAGES	512UL
#define LEN	(PAGES * PAGE)
#define STEPS	12
#define ARENA	CP_FAR(0x20)

FIXTURE(restore) {
	char			*mem;
	char			*then;		/* what is to come back */
	struct chain		c;
	struct cp_restored	done;
	struct cpimg_error	err;
};

FIXTURE_SETUP(restore)
{
	self->mem = cp_map_at(ARENA, LEN);
	self->then = cp_map(LEN * STEPS);
	ASSERT_EQ(ARENA, self->mem);
	ASSERT_NE(NULL, self->then);
	cp_fill(self->mem, LEN, 1);
}

FIXTURE_TEARDOWN(restore)
{
	chain_close(&self->c);
	chain_remove();
}

#define LAST		(cpimg_chain_length(self->c.all) - 1)
#define INC()		ASSERT_OK(chain_inc(&self->c, self->mem, LEN))
#define KEEP()		memcpy(self->then, self->mem, LEN)

#define RESTORE_AT(index, start, len) \
	cp_restore(self->c.all, index, start, (char *)(start) + (len), \
		   &self->done, &self->err)

/* All of the arena comes back, from the newest image. */
#define COMES_BACK() do { \
	ASSERT_EQ(0, RESTORE_AT(LAST, self->mem, LEN)) TH_LOG("%s", self->err.text); \
	ASSERT_EQ(0, memcmp(self->mem, self->then, LEN)); \
} while (0)

/* It is refused with such a message, and not a byte is touched. */
#define REFUSED(why, start, len) do { \
	cp_fill(self->mem, LEN, 99); \
	cp_fill(self->then, LEN, 99); \
	REFUSED_AS_IT_IS(why, start, len); \
	ASSERT_EQ(0, memcmp(self->mem, self->then, LEN)); \
} while (0)

#define REFUSED_AS_IT_IS(why, start, len) do { \
	self->err.text[0] = 0; \
	ASSERT_EQ(-1, RESTORE_AT(LAST, start, len)); \
	ASSERT_NE(NULL, strstr(self->err.text, why)) TH_LOG("%s", self->err.text); \
	ASSERT_FALSE(self->done.touched); \
} while (0)

static bool present(const char *mem)
{
	return cp_pagemap(mem) >> 62;
}

TEST_F(restore, full)
{
	KEEP();
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	cp_fill(self->mem, LEN, 2);
	COMES_BACK();
	EXPECT_EQ(LEN, self->done.data);
	EXPECT_EQ(0, self->done.zeros + self->done.file + self->done.skipped +
		  self->done.unmapped);
	EXPECT_TRUE(self->done.touched);
}

/* Writes, discards and remaps at random pages. */
static void change(char *mem, unsigned int *seed)
{
	for (int i = rand_r(seed) % 40; i >= 0; i--) {
		size_t page = rand_r(seed) % PAGES, n = 1 + rand_r(seed) % 20;
		char *at = mem + page * PAGE;

		if (n > PAGES - page)
			n = PAGES - page;
		switch (rand_r(seed) % 6) {
		case 0:
			madvise(at, n * PAGE, MADV_DONTNEED);
			break;
		case 1:
			mmap(at, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			     MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			break;
		case 2:
			cp_fill(at, n * PAGE, rand_r(seed));
			break;
		default:
			at[rand_r(seed) % PAGE] = rand_r(seed);
		}
	}
}

TEST_F(restore, any_checkpoint_of_a_chain_after_random_changes)
{
	unsigned int seed = time(NULL);

	TH_LOG("seed %u", seed);
	for (int i = 0; i < STEPS; i++) {
		change(self->mem, &seed);
		memcpy(self->then + i * LEN, self->mem, LEN);
		INC();
	}
	ASSERT_EQ(STEPS, cpimg_chain_length(self->c.all));
	for (int i = 0; i < 60; i++) {
		size_t index = rand_r(&seed) % STEPS;

		change(self->mem, &seed);
		ASSERT_EQ(0, RESTORE_AT(index, self->mem, LEN))
			TH_LOG("%s", self->err.text);
		ASSERT_EQ(0, memcmp(self->mem, self->then + index * LEN, LEN))
			TH_LOG("round %d, checkpoint %zu", i, index);
		ASSERT_EQ(LEN, self->done.data + self->done.zeros);
	}
}

TEST_F(restore, part_of_it_to_the_byte)
{
	unsigned int seed = time(NULL);
	char *want = self->then + LEN;

	TH_LOG("seed %u", seed);
	for (int i = 0; i < 4; i++) {
		change(self->mem, &seed);
		INC();
	}
	KEEP();
	for (int i = 0; i < 300; i++) {
		size_t start = rand_r(&seed) % LEN, len = rand_r(&seed) % (LEN - start);

		if (i % 3)
			len %= 3 * PAGE;
		if (!len)
			continue;
		change(self->mem, &seed);
		memcpy(want, self->mem, LEN);
		memcpy(want + start, self->then + start, len);
		ASSERT_EQ(0, RESTORE_AT(LAST, self->mem + start, len))
			TH_LOG("%s", self->err.text);
		ASSERT_EQ(0, memcmp(self->mem, want, LEN))
			TH_LOG("0x%zx bytes at 0x%zx", len, start);
		ASSERT_EQ(len, self->done.data + self->done.zeros);
	}
}

/* Checkpoints that looked at a part only: the rest is in older ones. */
TEST_F(restore, ranges_that_differ_from_image_to_image)
{
	INC();
	self->mem[10 * PAGE] ^= 1;
	self->mem[300 * PAGE] ^= 1;
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN / 2));
	REFUSED("the image has 0x", self->mem, LEN);
	ASSERT_EQ(0, RESTORE_AT(0, self->mem, LEN)) TH_LOG("%s", self->err.text);
	self->mem[300 * PAGE] ^= 1;
	self->mem[20 * PAGE] ^= 1;
	INC();
	KEEP();
	cp_fill(self->mem, LEN, 5);
	COMES_BACK();
}

TEST_F(restore, what_is_restored_is_in_the_next_image)
{
	INC();
	KEEP();
	self->mem[7 * PAGE]++;
	madvise(self->mem + 9 * PAGE, PAGE, MADV_DONTNEED);
	INC();
	ASSERT_EQ(0, RESTORE_AT(0, self->mem, LEN)) TH_LOG("%s", self->err.text);
	ASSERT_EQ(0, memcmp(self->mem, self->then, LEN));
	INC();
	ASSERT_OK(chain_is(&self->c, CP_KIND_INCREMENTAL, CP_REASON_CHAIN));
	ASSERT_OK(chain_matches(&self->c, self->mem, LEN));
}

TEST_F(restore, holes_take_no_memory)
{
	madvise(self->mem, LEN / 2, MADV_DONTNEED);
	KEEP();
	madvise(self->mem, LEN / 2, MADV_DONTNEED);
	INC();
	cp_fill(self->mem, LEN, 2);
	ASSERT_TRUE(present(self->mem + PAGE));
	ASSERT_EQ(0, RESTORE_AT(LAST, self->mem, LEN)) TH_LOG("%s", self->err.text);
	EXPECT_EQ(LEN / 2, self->done.zeros);
	for (size_t i = 0; i < PAGES / 2; i++) {
		ASSERT_FALSE(present(self->mem + i * PAGE)) TH_LOG("page %zu", i);
	}
	ASSERT_EQ(0, memcmp(self->mem, self->then, LEN));
}

/* Discarding does not work on locked memory before 5.18; zeros do. */
TEST_F(restore, holes_that_are_locked_now)
{
	madvise(self->mem, LEN / 2, MADV_DONTNEED);
	INC();
	KEEP();
	cp_fill(self->mem, LEN, 2);
	ASSERT_EQ(0, mlock(self->mem, 16 * PAGE));
	COMES_BACK();
}

struct left {
	int		count;
	struct cpimg_piece first;
	int		answer;
};

static int note_left(const struct cpimg_piece *piece, void *arg)
{
	struct left *left = arg;

	if (!left->count++)
		left->first = *piece;
	return left->answer;
}

TEST_F(restore, skipped_is_left_and_told)
{
	struct left left = { 0 };

	ASSERT_EQ(0, mlock(self->mem + 8 * PAGE, 4 * PAGE));
	INC();
	ASSERT_EQ(0, munlock(self->mem + 8 * PAGE, 4 * PAGE));
	KEEP();
	cp_fill(self->mem, LEN, 2);
	memcpy(self->then + 8 * PAGE, self->mem + 8 * PAGE, 4 * PAGE);
	self->done.left = note_left;
	self->done.arg = &left;
	COMES_BACK();
	EXPECT_EQ(1, left.count);
	EXPECT_EQ((uintptr_t)self->mem + 8 * PAGE, left.first.start);
	EXPECT_EQ((uintptr_t)self->mem + 12 * PAGE, left.first.end);
	EXPECT_EQ(CPIMG_SKIPPED, left.first.cls);
	EXPECT_EQ(CP_SKIP_LOCKED, left.first.reason);
	EXPECT_EQ(4 * PAGE, self->done.skipped);
	EXPECT_EQ(LEN - 4 * PAGE, self->done.data);

	left.answer = 1;
	REFUSED("the caller does not want", self->mem, LEN);
}

TEST_F(restore, not_mapped_then_is_left_and_told)
{
	struct left left = { 0 };

	ASSERT_EQ(0, munmap(self->mem + 8 * PAGE, 4 * PAGE));
	INC();
	ASSERT_EQ(self->mem + 8 * PAGE, cp_map_at(self->mem + 8 * PAGE, 4 * PAGE));
	cp_fill(self->mem, LEN, 1);
	KEEP();
	cp_fill(self->mem, LEN, 2);
	memcpy(self->then + 8 * PAGE, self->mem + 8 * PAGE, 4 * PAGE);
	self->done.left = note_left;
	self->done.arg = &left;
	COMES_BACK();
	EXPECT_EQ(1, left.count);
	EXPECT_EQ(CPIMG_NONE, left.first.cls);
	EXPECT_EQ(4 * PAGE, self->done.unmapped);
	/* Not mapped now either: nothing to be done, and nobody minds. */
	ASSERT_EQ(0, munmap(self->mem + 8 * PAGE, 4 * PAGE));
	ASSERT_EQ(0, RESTORE_AT(LAST, self->mem, LEN)) TH_LOG("%s", self->err.text);
}

/*
 * Less than was asked for is an error, before anything is touched
 */

#define ALLOWED(flag, start, len) do { \
	self->done.flags = flag; \
	ASSERT_EQ(0, RESTORE_AT(LAST, start, len)) TH_LOG("%s", self->err.text); \
	self->done.flags = 0; \
} while (0)

TEST_F(restore, what_was_left_out_is_an_error_that_says_why)
{
	static const struct {
		const char	*name;
		uint64_t	reason;
	} rows[] = {
		{ "mlocked", CP_SKIP_LOCKED }, { "MADV_DONTFORK", CP_SKIP_DONTCOPY },
		{ "MADV_DONTDUMP", CP_SKIP_DONTDUMP }, { "not readable", CP_SKIP_NOREAD },
	};
	char *at = self->mem + 8 * PAGE, where[64];

	snprintf(where, sizeof(where), "0x%lx to 0x%lx is not in the image",
		 (unsigned long)at, (unsigned long)at + 4 * PAGE);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		switch (rows[i].reason) {
		case CP_SKIP_LOCKED:
			ASSERT_EQ(0, mlock(at, 4 * PAGE));
			break;
		case CP_SKIP_DONTCOPY:
			ASSERT_EQ(0, madvise(at, 4 * PAGE, MADV_DONTFORK));
			break;
		case CP_SKIP_DONTDUMP:
			if (cp_lacks_advice("MADV_DONTDUMP", MADV_DONTDUMP))
				continue;
			ASSERT_EQ(0, madvise(at, 4 * PAGE, MADV_DONTDUMP));
			break;
		default:
			ASSERT_EQ(0, mprotect(at, 4 * PAGE, PROT_NONE));
		}
		INC();
		ASSERT_OK(cp_is(self->c.img, at, 4 * PAGE, CPIMG_SKIPPED, rows[i].reason));
		munlock(at, 4 * PAGE);
		madvise(at, 4 * PAGE, MADV_DOFORK);
		madvise(at, 4 * PAGE, MADV_DODUMP);
		mprotect(at, 4 * PAGE, PROT_READ | PROT_WRITE);
		KEEP();

		REFUSED(rows[i].name, self->mem, LEN);
		REFUSED(where, self->mem, LEN);
		EXPECT_EQ(CPIMG_ERR_LEFT, self->err.code);
		REFUSED(rows[i].name, at + 4 * PAGE - 1, 1);
		ASSERT_EQ(-1, cp_restore(self->c.all, LAST, self->mem, self->mem + LEN,
					 NULL, &self->err));
		/* What is not concerned needs no leave; another flag gives none. */
		ASSERT_EQ(0, RESTORE_AT(LAST, self->mem, 8 * PAGE)) TH_LOG("%s", self->err.text);
		ASSERT_EQ(0, RESTORE_AT(LAST, at + 4 * PAGE, PAGE)) TH_LOG("%s", self->err.text);
		self->done.flags = CP_RESTORE_UNMAPPED | CP_RESTORE_FILES;
		REFUSED_AS_IT_IS(rows[i].name, self->mem, LEN);
		ALLOWED(CP_RESTORE_SKIPPED, self->mem, LEN);
		EXPECT_EQ(4 * PAGE, self->done.skipped);
	}
}

TEST_F(restore, how_much_was_left_out_is_said_in_all)
{
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, mlock(self->mem + (10 + 10 * i) * PAGE, (1 + i) * PAGE));
	INC();
	REFUSED("mlocked, and 2 more: 24 KiB in all", self->mem, LEN);
}

TEST_F(restore, what_was_not_mapped_then_is_an_error_where_it_is_now)
{
	char *at = self->mem + 8 * PAGE, where[64];

	ASSERT_EQ(0, munmap(at, 4 * PAGE));
	INC();
	/* As it was: nothing is missing, whatever is mapped beside it. */
	ASSERT_EQ(0, RESTORE_AT(LAST, self->mem, LEN)) TH_LOG("%s", self->err.text);
	EXPECT_EQ(0, self->done.unmapped);
	ASSERT_EQ(at + PAGE, cp_map_at(at + PAGE, PAGE));
	snprintf(where, sizeof(where), "at 0x%lx to 0x%lx nothing was mapped then",
		 (unsigned long)at + PAGE, (unsigned long)at + 2 * PAGE);
	REFUSED_AS_IT_IS(where, self->mem, LEN);
	EXPECT_EQ(CPIMG_ERR_LEFT, self->err.code);
	self->done.flags = CP_RESTORE_SKIPPED | CP_RESTORE_FILES;
	REFUSED_AS_IT_IS(where, self->mem, LEN);
	ALLOWED(CP_RESTORE_UNMAPPED, self->mem, LEN);
	EXPECT_EQ(PAGE, self->done.unmapped);
}

/* What position independent programs do: their state lies elsewhere now. */
TEST_F(restore, a_range_that_had_nothing_is_an_error)
{
	char *other = self->mem + 4 * LEN;
	struct left left = { .answer = 1 };

	ASSERT_OK(chain_inc(&self->c, self->mem, 8 * LEN));
	ASSERT_EQ(other, cp_map_at(other, LEN));
	cp_fill(other, LEN, 5);
	memcpy(self->then, other, LEN);
	REFUSED_AS_IT_IS("nothing was mapped then (did the program have its state at another address?)",
			 other, LEN);
	ASSERT_EQ(-1, cp_restore(self->c.all, LAST, other, other + 8, NULL, NULL));
	ASSERT_EQ(0, memcmp(other, self->then, LEN));
	ALLOWED(CP_RESTORE_UNMAPPED, other, LEN);
	EXPECT_EQ(LEN, self->done.unmapped);
	ASSERT_EQ(0, memcmp(other, self->then, LEN));
	/* Nor is there anything now. */
	ASSERT_EQ(0, munmap(other, LEN));
	REFUSED_AS_IT_IS("nothing was mapped then", other, LEN);
	self->done.left = note_left;
	self->done.arg = &left;
	REFUSED_AS_IT_IS("the caller does not want", other, LEN);
	EXPECT_EQ(1, left.count);
	left.answer = 0;
	ASSERT_EQ(0, RESTORE_AT(LAST, other, LEN)) TH_LOG("%s", self->err.text);
}

/* Asked is only about what no flag allows. */
TEST_F(restore, flags_and_the_function_together)
{
	struct left left = { 0 };

	ASSERT_EQ(0, mlock(self->mem + 20 * PAGE, PAGE));
	ASSERT_EQ(0, munmap(self->mem + 8 * PAGE, PAGE));
	INC();
	ASSERT_EQ(self->mem + 8 * PAGE, cp_map_at(self->mem + 8 * PAGE, PAGE));
	self->done.left = note_left;
	self->done.arg = &left;
	ALLOWED(CP_RESTORE_UNMAPPED, self->mem, LEN);
	EXPECT_EQ(1, left.count);
	EXPECT_EQ(CPIMG_SKIPPED, left.first.cls);
	ALLOWED(CP_RESTORE_SKIPPED, self->mem, LEN);
	EXPECT_EQ(2, left.count);
	ALLOWED(CP_RESTORE_SKIPPED | CP_RESTORE_UNMAPPED, self->mem, LEN);
	EXPECT_EQ(2, left.count);
}

TEST_F(restore, missing_mapping)
{
	INC();
	cp_fill(self->mem, LEN, 3);
	memcpy(self->then, self->mem, LEN);
	for (size_t page = 0; page < PAGES; page += PAGES / 4 - 1) {
		ASSERT_EQ(0, munmap(self->mem + page * PAGE, PAGE));
		REFUSED_AS_IT_IS("nothing is mapped there", self->mem, LEN);
		for (size_t i = 0; i < PAGES; i++) {
			if (i == page)
				continue;
			ASSERT_EQ(0, memcmp(self->mem + i * PAGE,
					    self->then + i * PAGE, PAGE));
		}
		ASSERT_EQ(self->mem + page * PAGE,
			  cp_map_at(self->mem + page * PAGE, PAGE));
		memcpy(self->mem + page * PAGE, self->then + page * PAGE, PAGE);
	}
	ASSERT_EQ(0, munmap(self->mem, LEN));
	REFUSED_AS_IT_IS("nothing is mapped there", self->mem, LEN);
}

/* What cp_restore() maps for itself must not pass for the caller's. */
TEST_F(restore, missing_mapping_that_its_plan_falls_into)
{
	size_t gap = 64 * 1024;		/* as much as it maps first */
	char *mem = cp_map(LEN), *at = mem + LEN / 2, *probe = NULL;

	ASSERT_NE(NULL, mem);
	cp_fill(mem, LEN, 1);
	ASSERT_OK(chain_inc(&self->c, mem, LEN));
	ASSERT_EQ(0, munmap(at, gap));
	/* Take all better places, until the next mapping would go there. */
	for (int i = 0; i < 1000 && probe != at; i++) {
		probe = mmap(NULL, gap, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(MAP_FAILED, probe);
	}
	ASSERT_EQ(at, probe);
	ASSERT_EQ(0, munmap(at, gap));
	cp_fill(mem, LEN / 2, 2);
	memcpy(self->then, mem, LEN / 2);
	REFUSED_AS_IT_IS("nothing is mapped there", mem, LEN);
	ASSERT_EQ(0, memcmp(mem, self->then, LEN / 2));
}

TEST_F(restore, read_only_mapping)
{
	INC();
	cp_fill(self->mem, LEN, 99);
	cp_fill(self->then, LEN, 99);
	ASSERT_EQ(0, mprotect(self->mem + 100 * PAGE, PAGE, PROT_READ));
	REFUSED_AS_IT_IS("the mapping is read-only", self->mem, LEN);
	ASSERT_EQ(0, mprotect(self->mem + 100 * PAGE, PAGE, PROT_NONE));
	REFUSED_AS_IT_IS("the mapping is read-only", self->mem, LEN);
	ASSERT_EQ(0, mprotect(self->mem, LEN, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, memcmp(self->mem, self->then, LEN));
}

TEST_F(restore, ranges_that_make_no_sense)
{
	INC();
	REFUSED("an empty range", self->mem, 0);
	REFUSED("an empty range", self->mem + PAGE, -PAGE);
	REFUSED("the image has 0x", self->mem - PAGE, LEN);
	REFUSED("the image has 0x", self->mem, LEN + 1);
	ASSERT_EQ(-1, RESTORE_AT(1, self->mem, LEN));
	ASSERT_NE(NULL, strstr(self->err.text, "checkpoint 1 of a chain of 1"));
	ASSERT_EQ(-1, cp_restore(self->c.all, 0, self->mem, self->mem, NULL, NULL));
}

/* What is in use cannot be replaced: the chain, the stack, the report. */
TEST_F(restore, what_it_needs_itself)
{
	struct cpimg_chain *all;
	char *end = (char *)(uintptr_t)cp_user_end();
	volatile uintptr_t stack = (uintptr_t)&end;

	ASSERT_OK(chain_inc(&self->c, NULL, (size_t)end));
	all = self->c.all;
	REFUSED("the open chain itself", (char *)all, 1);
	REFUSED("the open chain itself",
		(char *)cpimg_note(cpimg_chain_image(all, 0)), 1);
	REFUSED("the caller's report", (char *)&self->err, 1);
	REFUSED("the caller's report", (char *)&self->done, 1);
	ASSERT_EQ(-1, cp_restore(all, 0, (void *)(stack - 8192), (void *)(stack - 64),
				 NULL, &self->err));
	ASSERT_NE(NULL, strstr(self->err.text, "the stack that this runs on"));
	/* All of it: stack and chain are in it, and the text is read-only. */
	ASSERT_EQ(-1, cp_restore(all, 0, (void *)PAGE, end, NULL, &self->err));
	KEEP();
	cp_fill(self->then, LEN, 99);
	ASSERT_EQ(0, memcmp(self->then, self->mem, LEN));
}

TEST_F(restore, image_that_was_cut_since_it_was_opened)
{
	INC();
	self->mem[0]++;
	INC();
	ASSERT_EQ(0, truncate(cp_name(self->c.tid, 0), 100 * PAGE));
	REFUSED("when it was opened", self->mem, LEN);
	/* What the younger one has does not need the older. */
	ASSERT_EQ(0, RESTORE_AT(LAST, self->mem, PAGE)) TH_LOG("%s", self->err.text);
}

TEST_F(restore, file_that_cannot_be_reached_ends_in_an_error)
{
	int fd = open("/disk/short", O_CREAT | O_TRUNC | O_RDWR, 0600);
	char *file;

	if (fd < 0)
		SKIP(return, "no /disk: %s", strerror(errno));
	ASSERT_EQ(0, ftruncate(fd, LEN));
	file = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, file);
	cp_fill(file, LEN, 1);
	ASSERT_OK(chain_inc(&self->c, file, LEN));
	ASSERT_EQ(0, ftruncate(fd, LEN / 2));
	/* Behind the end of the file: an error, not a SIGBUS, and before it begins. */
	ASSERT_EQ(-1, RESTORE_AT(LAST, file, LEN));
	ASSERT_NE(NULL, strstr(self->err.text, "is past the end of /disk/short"))
		TH_LOG("%s", self->err.text);
	ASSERT_FALSE(self->done.touched);
	close(fd);
}

TEST_F(restore, shared_memory)
{
	char *shm, *other;
	int fd;

	shm = cp_memfd("restore", LEN, 1, &fd);
	ASSERT_NE(NULL, shm);
	other = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, other);
	ASSERT_EQ(0, madvise(shm + 8 * PAGE, 8 * PAGE, MADV_REMOVE));
	ASSERT_OK(chain_inc(&self->c, shm, LEN));
	ASSERT_OK(cp_is(self->c.img, shm + 8 * PAGE, 8 * PAGE, CPIMG_HOLE, CP_HOLE_ZERO));
	memcpy(self->then, shm, LEN);
	/* Discarded here alone the holes would keep what others wrote. */
	cp_fill(other, LEN, 2);
	ASSERT_EQ(0, RESTORE_AT(LAST, shm, LEN)) TH_LOG("%s", self->err.text);
	ASSERT_EQ(0, memcmp(shm, self->then, LEN));
	ASSERT_EQ(0, memcmp(other, self->then, LEN));
	/* Half a page of a hole. */
	cp_fill(other, LEN, 2);
	ASSERT_EQ(0, RESTORE_AT(LAST, shm + 9 * PAGE + 100, 200)) TH_LOG("%s", self->err.text);
	ASSERT_EQ(0, memcmp(shm + 9 * PAGE + 100, self->then + 9 * PAGE + 100, 200));
	ASSERT_NE(0, other[9 * PAGE + 300]);
	ASSERT_NE(0, other[9 * PAGE + 99]);
	close(fd);
}

/*
 * A private mapping of a file: what was not written is the file's again. That is
 * so while the file is what it was; restore_files.c has what can have become of it.
 */
static char *map_file(const char *path, unsigned int seed, int flags, off_t offset)
{
	int fd = open(path, O_CREAT | O_RDWR, 0600);
	char *mem;

	if (fd < 0 || ftruncate(fd, LEN + offset))
		return MAP_FAILED;
	mem = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
	cp_fill(mem, LEN, seed);
	msync(mem, LEN, MS_SYNC);
	munmap(mem, LEN);
	close(fd);
	/* One that changed just now could change again, and nobody would see it. */
	usleep(50000);
	fd = open(path, flags == MAP_SHARED ? O_RDWR : O_RDONLY);
	mem = mmap(ARENA + 2 * LEN, LEN, PROT_READ | PROT_WRITE,
		   flags | MAP_FIXED, fd, offset);
	close(fd);
	return mem;
}

#define FILE_CHAIN(offset) do { \
	if (access("/disk", W_OK)) \
		SKIP(return, "no /disk"); \
	file = map_file("/disk/private", 7, MAP_PRIVATE, offset); \
	ASSERT_NE(MAP_FAILED, file); \
	file[PAGE] ^= 1; \
	file[3 * PAGE] ^= 1; \
	ASSERT_OK(chain_inc(&self->c, file, LEN)); \
	ASSERT_OK(chain_inc(&self->c, file, LEN)); \
	ASSERT_TRUE(cpimg_has_files(self->c.img)) TH_LOG("the image names no files"); \
	/* Beyond what was mapped with those two, by faulting around. */ \
	ASSERT_EQ(0, cpimg_chain_resolve(self->c.all, LAST, (uintptr_t)file + 100 * PAGE, \
					 &piece, &self->err)); \
	ASSERT_EQ(CPIMG_HOLE, piece.cls); \
	ASSERT_EQ(CP_HOLE_FILE, piece.reason); \
	memcpy(self->then, file, LEN); \
} while (0)

TEST_F(restore, private_file_pages_are_the_files_again)
{
	struct cpimg_piece piece;
	char *file;

	FILE_CHAIN(0);
	cp_fill(file, LEN, 2);
	ASSERT_EQ(0, RESTORE_AT(LAST, file, LEN)) TH_LOG("%s", self->err.text);
	EXPECT_EQ(0, memcmp(file, self->then, LEN));
	EXPECT_EQ(LEN, self->done.file + self->done.data);
	EXPECT_LE(LEN / 2, self->done.file);
	EXPECT_LE(2 * PAGE, self->done.data);
	/* From the full image, too: there they are bytes. */
	cp_fill(file, LEN, 2);
	ASSERT_EQ(0, RESTORE_AT(0, file, LEN)) TH_LOG("%s", self->err.text);
	EXPECT_EQ(0, memcmp(file, self->then, LEN));
	/* Nobody can tell what a file is that has lost its name. */
	ASSERT_EQ(0, unlink("/disk/private"));
	cp_fill(file, LEN, 2);
	REFUSED_AS_IT_IS("reads from /disk/private at 0x", file, LEN);
	EXPECT_NE(NULL, strstr(self->err.text, "and /disk/private (deleted) at 0x"));
}

TEST_F(restore, private_file_pages_in_part)
{
	char *file, *want = self->then + LEN;
	struct cpimg_piece piece;

	FILE_CHAIN(0);
	memcpy(want, self->then, LEN);
	cp_fill(file, LEN, 2);
	REFUSED("only whole pages", file + 100 * PAGE + 1, PAGE);
	ASSERT_EQ(0, RESTORE_AT(LAST, file + PAGE + 5, 10)) TH_LOG("%s", self->err.text);
	EXPECT_EQ(0, memcmp(file + PAGE + 5, want + PAGE + 5, 10));
}

TEST_F(restore, another_file_is_mapped_now)
{
	char *file, *want = self->then + LEN;
	struct cpimg_piece piece;

	FILE_CHAIN(PAGE);
	memcpy(want, self->then, LEN);
	ASSERT_EQ(file, map_file("/disk/other", 8, MAP_PRIVATE, PAGE));
	REFUSED("reads from /disk/private at 0x", file, LEN);
	EXPECT_NE(NULL, strstr(self->err.text, "and /disk/other at 0x"));
	ASSERT_EQ(file, map_file("/disk/private", 7, MAP_PRIVATE, 0));
	REFUSED("reads from /disk/private at 0x", file, LEN);
	EXPECT_NE(NULL, strstr(self->err.text, "and /disk/private at 0x"));
	ASSERT_EQ(file, mmap(file, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			     MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	REFUSED("reads from /disk/private, and no file is mapped there", file, LEN);
	/* Written again, with the very same bytes: who knows? */
	ASSERT_EQ(file, map_file("/disk/private", 7, MAP_PRIVATE, PAGE));
	REFUSED("reads from /disk/private: mtime", file, LEN);
}

TEST_F(restore, shared_file)
{
	static char back[LEN];
	char *file;
	int fd;

	if (access("/disk", W_OK))
		SKIP(return, "no /disk");
	file = map_file("/disk/shared", 7, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, file);
	memcpy(self->then, file, LEN);
	ASSERT_OK(chain_inc(&self->c, file, LEN));
	cp_fill(file, LEN, 2);
	ASSERT_EQ(0, RESTORE_AT(LAST, file, LEN)) TH_LOG("%s", self->err.text);
	EXPECT_EQ(0, memcmp(file, self->then, LEN));
	/* It is the file's content that was restored. */
	ASSERT_EQ(0, msync(file, LEN, MS_SYNC));
	fd = open("/disk/shared", O_RDONLY);
	ASSERT_EQ(LEN, read(fd, back, LEN));
	EXPECT_EQ(0, memcmp(back, self->then, LEN));
	close(fd);
}

/* Its bytes are the program's state, wherever they were at the checkpoint. */
TEST_F(restore, shared_file_whose_pages_were_reclaimed)
{
	static const char *const how[] = {
		"dirty", "written back", "and unmapped", "and reclaimed",
	};
	char *file;

	if (access("/disk", W_OK))
		SKIP(return, "no /disk");
	for (size_t i = 0; i < ARRAY_SIZE(how); i++) {
		file = map_file("/disk/state", 7, MAP_SHARED, 0);
		ASSERT_NE(MAP_FAILED, file);
		cp_fill(file, LEN, 10 + i);
		memcpy(self->then, file, LEN);
		if (i >= 1)
			ASSERT_EQ(0, msync(file, LEN, MS_SYNC));
		if (i == 2)
			ASSERT_EQ(0, madvise(file, LEN, MADV_DONTNEED));
		if (i == 3 && !cp_lacks_advice("MADV_PAGEOUT", MADV_PAGEOUT))
			ASSERT_EQ(0, madvise(file, LEN, MADV_PAGEOUT));
		ASSERT_OK(chain_inc(&self->c, file, LEN));
		/* a later step, half-done */
		cp_fill(file, LEN / 2 + 100, 2);
		ASSERT_EQ(0, RESTORE_AT(LAST, file, LEN)) TH_LOG("%s: %s", how[i], self->err.text);
		EXPECT_EQ(0, memcmp(file, self->then, LEN)) TH_LOG("%s", how[i]);
		EXPECT_EQ(LEN, self->done.data) TH_LOG("%s", how[i]);
	}
}

TEST_F(restore, zeros_where_a_file_is_mapped_now)
{
	char *at = ARENA + 2 * LEN;

	ASSERT_EQ(at, cp_map_at(at, LEN));
	ASSERT_OK(chain_inc(&self->c, at, LEN));
	ASSERT_EQ(at, map_file("/disk/private", 7, MAP_PRIVATE, 0));
	ASSERT_EQ(0, RESTORE_AT(LAST, at, LEN)) TH_LOG("%s", self->err.text);
	memset(self->then, 0, LEN);
	ASSERT_EQ(0, memcmp(at, self->then, LEN));
}

TEST_F(restore, huge_pages)
{
	size_t len = 4 * HUGE;
	char *mem = cp_map_at(ARENA + 64 * HUGE, len);
	char *then = cp_map(len);
	unsigned int seed = time(NULL);

	ASSERT_NE(NULL, mem);
	ASSERT_NE(NULL, then);
	madvise(mem, len, MADV_HUGEPAGE);
	cp_fill(mem, len, 1);
	for (int i = 0; i < 6; i++) {
		if (!(i % 2)) {
			/* Huge again, if the kernel likes. */
			madvise(mem, len, MADV_COLLAPSE);
		}
		for (int j = 0; j < 10; j++)
			mem[rand_r(&seed) % len]++;
		if (i == 3)
			madvise(mem + HUGE + 5 * PAGE, 30 * PAGE, MADV_DONTNEED);
		if (i == 4)
			madvise(mem + 2 * HUGE, HUGE, MADV_DONTNEED);
		ASSERT_OK(chain_inc(&self->c, mem, len));
		memcpy(then, mem, len);
		madvise(mem, len, MADV_COLLAPSE);
		for (int j = 0; j < 100; j++)
			mem[rand_r(&seed) % len]++;
		ASSERT_EQ(0, RESTORE_AT(LAST, mem, len)) TH_LOG("%s", self->err.text);
		ASSERT_EQ(0, memcmp(mem, then, len)) TH_LOG("image %d", i);
	}
}

static void save_and_die(void *arg)
{
	char *mem = arg;

	for (int i = 0; i < 5; i++) {
		mem[i * 7 * PAGE] ^= 0x55;
		if (inc_cp_range(mem, mem + LEN))
			_exit(1);
	}
	mem[0] ^= 0xff;
	kill(getpid(), SIGKILL);
}

/* In another process than the one that saved, as after a crash. */
TEST_F(restore, in_another_process)
{
	int pid = -1, status;

	KEEP();
	for (int i = 0; i < 5; i++)
		self->then[i * 7 * PAGE] ^= 0x55;
	fflush(NULL);
	pid = fork();
	if (!pid)
		save_and_die(self->mem);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	ASSERT_OK(chain_open(&self->c, pid, 4));
	ASSERT_EQ(5, cpimg_chain_length(self->c.all));
	COMES_BACK();
}

/*
 * Bits flipped in all that is not DATA. With its CRC no such image is opened;
 * without it, whatever the image says now, nothing beside the range is touched,
 * and nothing at all if it is refused before that.
 */

#define SMALL	(24 * PAGE)

static int write_image(const char *path, const void *bytes, size_t size)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	ssize_t n = write(fd, bytes, size);

	return close(fd) || n != (ssize_t)size;
}

/* With KASAN each takes twenty times as long. */
TEST_F_TIMEOUT(restore, of_hostile_images, 1200)
{
	static char image[64 * PAGE];
	char *mem = ARENA + 4 * LEN, *want = self->then, *before = want + LEN;
	unsigned int seed = time(NULL), opened = 0, restored = 0, refused = 0;
	char name[64], changed[64];
	size_t size, data_end, phdrs, notes = 0, from = 0;
	struct cpimg_elfnote note;
	int fd;

	TH_LOG("seed %u", seed);
	ASSERT_EQ(mem, cp_map_at(mem, 3 * SMALL));
	cp_fill(mem, 3 * SMALL, 3);
	/* DATA, a hole, SKIPPED, SAME, not mapped */
	madvise(mem + SMALL + 2 * PAGE, 3 * PAGE, MADV_DONTNEED);
	madvise(mem + SMALL + 8 * PAGE, 2 * PAGE, MADV_DONTDUMP);
	munmap(mem + SMALL + 12 * PAGE, PAGE);
	ASSERT_OK(chain_inc(&self->c, mem + SMALL, SMALL));
	for (int i = 14; i < 20; i++)
		mem[SMALL + i * PAGE] ^= 1;
	ASSERT_OK(chain_inc(&self->c, mem + SMALL, SMALL));
	ASSERT_EQ(mem + SMALL + 12 * PAGE, cp_map_at(mem + SMALL + 12 * PAGE, PAGE));
	data_end = PAGE + cpimg_note(self->c.img)->pages_data * PAGE;

	strcpy(name, cp_name(self->c.tid, 1));
	strcpy(changed, cp_name(self->c.tid, 77));
	fd = open(name, O_RDONLY);
	size = read(fd, image, sizeof(image));
	close(fd);
	ASSERT_LT(data_end, size);
	ASSERT_LT(size, sizeof(image));

	/*
	 * The ELF header, then what lies behind the data: some bits of the notes, and
	 * of each byte of the program headers, which are last, the lowest and another.
	 */
	phdrs = size - (cpimg_note(self->c.img)->runs + 1) * sizeof(ElfW(Phdr));
	while (cpimg_next_note(self->c.img, &notes, &note))
		;
	for (size_t at = 0; at / 2 < size; at += from < 64 || from >= phdrs ? 1 : 5) {
		struct cpimg_chain *all;
		int bit = at % 2 ? 2 << rand_r(&seed) % 7 : 1;

		if (at == 64 * 2)
			at = data_end * 2;
		from = at / 2;
		image[from] ^= bit;
		ASSERT_EQ(0, write_image(changed, image, size));
		all = cpimg_chain_open(changed, NULL, 0, &self->err);
		/* The CRC leaves out the ELF header, and what fills up to the next 8. */
		if (from >= phdrs || (from >= data_end && from < data_end + notes)) {
			ASSERT_EQ(NULL, all) TH_LOG("byte 0x%zx, bit 0x%x", from, bit);
		}
		if (!all)
			all = cpimg_chain_open(changed, NULL, CPIMG_NO_CRC, &self->err);
		image[from] ^= bit;
		if (!all)
			continue;
		opened++;
		memcpy(before, mem, 3 * SMALL);
		memcpy(want, mem, 3 * SMALL);
		self->done.flags = CP_RESTORE_SKIPPED | CP_RESTORE_UNMAPPED;
		if (!cp_restore(all, cpimg_chain_length(all) - 1, mem + SMALL,
				mem + 2 * SMALL, &self->done, &self->err)) {
			restored++;
		} else {
			refused++;
			if (!self->done.touched) {
				ASSERT_EQ(0, memcmp(mem, before, 3 * SMALL));
			}
		}
		ASSERT_EQ(0, memcmp(mem, want, SMALL));
		ASSERT_EQ(0, memcmp(mem + 2 * SMALL, want + 2 * SMALL, SMALL));
		cpimg_chain_close(all);
	}
	TH_LOG("%u opened without the CRC: %u restored something, %u refused",
	       opened, restored, refused);
	ASSERT_LT(100, opened);
	ASSERT_LT(0, restored);
	ASSERT_LT(0, refused);
}

/* A parent that denies what the child relies on. */
TEST_F(restore, chain_that_contradicts_itself)
{
	static char image[64 * PAGE];
	char *mem = ARENA + 4 * LEN;
	struct cp_note *note;
	ssize_t size;
	int fd;

	ASSERT_EQ(mem, cp_map_at(mem, SMALL));
	cp_fill(mem, SMALL, 3);
	madvise(mem + 8 * PAGE, 2 * PAGE, MADV_DONTFORK);
	ASSERT_OK(chain_inc(&self->c, mem, SMALL));
	ASSERT_OK(chain_inc(&self->c, mem, SMALL));
	chain_close(&self->c);

	/* SKIPPED in both; the child is made to say SAME. */
	fd = open(cp_name(cp_gettid(), 1), O_RDWR);
	size = read(fd, image, sizeof(image));
	ASSERT_LT(0, size);
	note = memmem(image, size, CP_NOTE_OWNER, sizeof(CP_NOTE_OWNER));
	ASSERT_NE(NULL, note);
	note = (void *)((char *)note + ((sizeof(CP_NOTE_OWNER) + 3) & ~3));
	ASSERT_EQ(2, note->pages_skipped);
	note->pages_same += 2;
	note->pages_skipped = 0;
	for (ssize_t i = 0; i + 4 <= size; i += 4) {
		uint32_t *type = (uint32_t *)(image + i);

		if (*type == PT_CP_SKIPPED)
			*type = PT_CP_SAME;
	}
	ASSERT_EQ(size, pwrite(fd, image, size, 0));
	close(fd);
	self->c.all = cpimg_chain_open(cp_name(cp_gettid(), 1), NULL, CPIMG_NO_CRC,
				       &self->err);
	ASSERT_NE(NULL, self->c.all) TH_LOG("%s", self->err.text);
	REFUSED("skipped in /tmp/", mem, SMALL);
}

TEST_HARNESS_MAIN
