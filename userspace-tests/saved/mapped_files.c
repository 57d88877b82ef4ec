// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 768 --smp 2 --disk 64 --disk xfs:300 --timeout 400 */
/*
 * The note that says which files memory is mapped from, and NT_FILE: all of the
 * mappings, however many there are and however long their names, and of each file what
 * tells it from another or a changed one.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <pthread.h>
#include <sys/mount.h>

#include "harness.h"
#include "kinds.h"
#include "mapped.h"

#ifndef NT_FILE
#define NT_FILE		0x46494c45
#endif

#define AT		CP_FAR(0x30)
#define PAGES		4
#define LEN		(PAGES * PAGE)

FIXTURE(mapped_files) {
	char		*mem;
	char		name[128];
	struct chain	c;
};

FIXTURE_VARIANT(mapped_files) {
	enum kind_nr	kind;
};

FIXTURE_VARIANT_ADD(mapped_files, tmpfs) { KIND_TMPFS };
FIXTURE_VARIANT_ADD(mapped_files, ext4) { KIND_EXT4 };
FIXTURE_VARIANT_ADD(mapped_files, xfs) { KIND_XFS };
FIXTURE_VARIANT_ADD(mapped_files, lower) { KIND_LOWER };
FIXTURE_VARIANT_ADD(mapped_files, upper) { KIND_UPPER };
FIXTURE_VARIANT_ADD(mapped_files, lower_of_tmpfs) { KIND_MEMORY_LOWER };
FIXTURE_VARIANT_ADD(mapped_files, fuse) { KIND_FUSE };
FIXTURE_VARIANT_ADD(mapped_files, nfs) { KIND_NFS };

FIXTURE_SETUP(mapped_files)
{
	const char *why = kind_begin(variant->kind);

	if (why)
		SKIP(return, "no %s here: %s", kinds[variant->kind].name, why);
	snprintf(self->name, sizeof(self->name), "%s", kind_path(variant->kind, "file"));
	ASSERT_EQ(0, kind_make(variant->kind, "file", LEN, 1)) TH_LOG("%m");
}

FIXTURE_TEARDOWN(mapped_files)
{
	chain_close(&self->c);
	chain_remove();
}

static char *map_file(const char *name, void *at, size_t len, size_t offset)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	char *mem = mmap(at, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd,
			 offset);

	close(fd);
	return mem == MAP_FAILED ? NULL : mem;
}

#define MAP(name) do { \
	self->mem = map_file(name, AT, LEN, 0); \
	ASSERT_NE(NULL, self->mem) TH_LOG("%m"); \
} while (0)

TEST_F(mapped_files, are_what_stat_says)
{
	struct mapped m;
	struct stat st;

	MAP(self->name);
	for (int inc = 0; inc < 2; inc++) {
		ASSERT_OK(inc ? chain_inc(&self->c, self->mem, LEN) :
			  chain_full(&self->c, self->mem, LEN));
		ASSERT_OK(mapped_at(self->c.img, self->mem, &m));
		ASSERT_EQ(0, stat(self->name, &st));
		EXPECT_OK(mapped_is_file(m.file, &st));
		EXPECT_STREQ(self->name, m.name);
		EXPECT_EQ((uintptr_t)self->mem, m.start);
		EXPECT_EQ((uintptr_t)self->mem + LEN, m.end);
		EXPECT_EQ(0, m.offset);
		EXPECT_EQ(0, m.file->build_id_size);
		EXPECT_EQ(kinds[variant->kind].local, !!(m.file->flags & CP_FILE_STAYS));
		EXPECT_EQ(0, m.file->flags & ~CP_FILE_STAYS);
	}
	/* Of the moment, not of when it was mapped. */
	ASSERT_EQ(0, chmod(self->name, 0640));
	kind_settle();
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN));
	ASSERT_OK(mapped_at(self->c.img, self->mem, &m));
	if (m.file->flags & CP_FILE_STAYS) {
		ASSERT_EQ(0, stat(self->name, &st));
		EXPECT_OK(mapped_is_file(m.file, &st));
	}
}

/* Mappings are whole, and those outside of the range are not there. */
TEST_F(mapped_files, are_those_of_the_range)
{
	const struct cp_files *files;
	struct mapped m;
	size_t size;

	MAP(self->name);
	/* A part of the file, a hole between, another part; then one out of the range. */
	ASSERT_NE(NULL, map_file(self->name, AT + 2 * LEN, 2 * PAGE, 2 * PAGE));
	ASSERT_NE(NULL, map_file(self->name, AT + 4 * LEN, PAGE, PAGE));
	ASSERT_OK(chain_full(&self->c, AT + PAGE, 2 * LEN));
	ASSERT_OK(mapped_files(self->c.img, &files, &size));
	EXPECT_EQ(2, files->nr_maps);
	EXPECT_EQ(1, files->nr_files);
	ASSERT_OK(mapped_nth(self->c.img, 0, &m));
	EXPECT_EQ((uintptr_t)AT, m.start);
	EXPECT_EQ((uintptr_t)AT + LEN, m.end);
	ASSERT_OK(mapped_nth(self->c.img, 1, &m));
	EXPECT_EQ((uintptr_t)AT + 2 * LEN, m.start);
	EXPECT_EQ((uintptr_t)AT + 2 * LEN + 2 * PAGE, m.end);
	EXPECT_EQ(2 * PAGE, m.offset);
	/* A program's own, too. */
	ASSERT_OK(chain_full(&self->c, AT + 4 * LEN, PAGE));
	ASSERT_OK(mapped_nth(self->c.img, 0, &m));
	EXPECT_EQ(PAGE, m.offset);
}

TEST_F(mapped_files, that_are_gone_say_so)
{
	char expected[160];
	struct mapped m;

	MAP(self->name);
	ASSERT_EQ(0, unlink(self->name));
	snprintf(expected, sizeof(expected), "%s (deleted)", self->name);
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	ASSERT_OK(mapped_at(self->c.img, self->mem, &m));
	/* NFS gives it a name of its own till it is closed. */
	if (variant->kind != KIND_NFS)
		EXPECT_STREQ(expected, m.name);
	EXPECT_EQ(0, m.file->flags & CP_FILE_STAYS);
}

/* As the kernel reads it from the first page. */
TEST_F(mapped_files, of_programs_have_their_build_id)
{
	struct mapped m;
	static char program[1 << 16];
	int fd;

	ASSERT_EQ(0, cp_copy("/proc/self/exe", self->name));
	kind_settle();
	MAP(self->name);
	*(volatile char *)self->mem;
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	ASSERT_OK(mapped_at(self->c.img, self->mem, &m));
	/* Of a file that does not stay nobody asks. */
	if (!kinds[variant->kind].local && !m.file->build_id_size)
		return;
	ASSERT_EQ(CP_BUILD_ID_SIZE, m.file->build_id_size);
	fd = open(self->name, O_RDONLY);
	ASSERT_EQ((ssize_t)sizeof(program), read(fd, program, sizeof(program)));
	close(fd);
	EXPECT_NE(NULL, memmem(program, sizeof(program), m.file->build_id,
			       CP_BUILD_ID_SIZE));
}

TEST_F(mapped_files, of_the_program_are_as_proc_has_them)
{
	MAP(self->name);
	ASSERT_OK(chain_full(&self->c, NULL, (uintptr_t)~0UL));
	EXPECT_OK(mapped_is_maps(self->c.img, getpid()));
	ASSERT_OK(chain_inc(&self->c, NULL, (uintptr_t)~0UL));
	EXPECT_OK(mapped_is_maps(self->c.img, getpid()));
}

/*
 * Order, and what is not there.
 */
TEST(our_notes_come_last)
{
	struct cpimg_elfnote en, before = { 0 };
	size_t pos = 0, nr = 0;
	struct cpimg *img = cp_take(NULL, (uintptr_t)~0UL);

	ASSERT_NE(NULL, img);
	while (cpimg_next_note(img, &pos, &en)) {
		if (!strcmp(en.owner, CP_NOTE_OWNER))
			nr++;
		else
			EXPECT_EQ(0, nr) TH_LOG("%s is after ours", en.owner);
		if (en.type == CP_NOTE_TYPE)
			EXPECT_EQ(CP_FILES_TYPE, before.type);
		before = en;
	}
	EXPECT_EQ(2, nr);
	EXPECT_EQ(CP_NOTE_TYPE, before.type);
	cpimg_close(img);
}

TEST(memory_of_no_file_has_no_note_of_files)
{
	struct cpimg_elfnote en;
	char *mem = cp_map(PAGE);
	struct cpimg *img;

	*mem = 1;
	img = cp_take(mem, PAGE);
	ASSERT_NE(NULL, img);
	EXPECT_FALSE(cpimg_find_note(img, CP_NOTE_OWNER, CP_FILES_TYPE, &en));
	cpimg_close(img);
}

/* The name of a parent that was longer leaves nothing behind. */
static const char *parent_of(const struct cpimg *img, size_t *end)
{
	const char *parent = cpimg_note(img)->parent;

	for (*end = CP_NAME_SIZE; *end && !parent[*end - 1]; --*end)
		;
	return parent;
}

static void *take_in_thread(void *arg)
{
	char *mem = arg;

	return inc_cp_range(mem, mem + PAGE) || inc_cp_range(mem, mem + PAGE) ? mem : NULL;
}

TEST(parents_name_ends_where_it_ends)
{
	char *mem = cp_map(PAGE);
	pthread_t thread;
	struct cpimg *img;
	size_t end;
	void *failed;

	*mem = 1;
	/* Longer: a number of three digits. Then that of a thread, which begins at 0. */
	for (int i = 0; i < 102; i++)
		ASSERT_EQ(0, inc_cp_range(mem, mem + PAGE)) TH_LOG("%m");
	ASSERT_EQ(0, pthread_create(&thread, NULL, take_in_thread, mem));
	ASSERT_EQ(0, pthread_join(thread, &failed));
	ASSERT_EQ(NULL, failed);
	ASSERT_EQ(0, inc_cp_range(mem, mem + PAGE));
	img = cp_open(getpid(), 102);
	ASSERT_NE(NULL, img);
	EXPECT_EQ(strlen(parent_of(img, &end)), end)
		TH_LOG("\"%s\" is not the end of it: byte %zu is not 0",
		       cpimg_note(img)->parent, end - 1);
	cpimg_close(img);
	/* Every image of them. */
	for (int i = 1; i < 102; i++) {
		img = cp_open(getpid(), i);
		ASSERT_NE(NULL, img);
		EXPECT_EQ(strlen(parent_of(img, &end)), end);
		cpimg_close(img);
	}
	chain_remove();
}

/*
 * Very many mappings, of a file with a name as long as they get.
 */
#define MOST	60000

static uint64_t word(const struct cpimg_elfnote *en, size_t i)
{
	return ((const unsigned long *)en->desc)[i];
}

/* NT_FILE has all of [0, @nr) in address order, @step apart; its names are whole. */
static const char *has_all(const struct cpimg *img, const char *name, size_t nr, size_t step)
{
	static char why[512];
	struct cpimg_elfnote en;
	const char *at, *end;
	uint64_t count, found = 0;

	if (!cpimg_find_note(img, "CORE", NT_FILE, &en))
		return "no NT_FILE";
	count = word(&en, 0);
	at = (const char *)en.desc + (2 + 3 * count) * sizeof(long);
	end = (const char *)en.desc + en.size;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t start = word(&en, 2 + 3 * i);

		if (at >= end || !memchr(at, 0, end - at))
			return "NT_FILE: a name has no end";
		if (start >= (uintptr_t)AT && start < (uintptr_t)AT + nr * step) {
			if (start != (uintptr_t)AT + found * step || strcmp(at, name)) {
				snprintf(why, sizeof(why), "mapping %lu: 0x%lx of %.200s",
					 (unsigned long)found, (unsigned long)start, at);
				return why;
			}
			found++;
		}
		at += strlen(at) + 1;
	}
	if (found != nr) {
		snprintf(why, sizeof(why), "NT_FILE has %lu of %zu mappings, %zu bytes",
			 (unsigned long)found, nr, en.size);
		return why;
	}
	return NULL;
}

TEST(none_of_many_mappings_is_left_out)
{
	static const size_t counts[] = { 1000, 15000, MOST };
	char name[300] = "/dev/shm/";
	struct chain c = { 0 };
	const struct cp_files *files;
	struct mapped m;
	size_t size;
	int fd;

	memset(name + 9, 'n', 255);
	ASSERT_EQ(0, cp_write_file("/proc/sys/vm/max_map_count", "300000"));
	fd = open(name, O_CREAT | O_RDWR, 0600);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, 2 * PAGE));
	close(fd);
	fd = open(name, O_RDONLY);
	for (size_t i = 0, k = 0; k < ARRAY_SIZE(counts); k++) {
		double took = cp_now();

		for (; i < counts[k]; i++)
			ASSERT_NE(MAP_FAILED, mmap(AT + i * 2 * PAGE, PAGE, PROT_READ,
						   MAP_PRIVATE | MAP_FIXED, fd,
						   i % 2 * PAGE));
		took = cp_now();
		ASSERT_OK(chain_inc(&c, AT, counts[k] * 2 * PAGE));
		took = cp_now() - took;
		EXPECT_OK(has_all(c.img, name, counts[k], 2 * PAGE));
		ASSERT_OK(mapped_files(c.img, &files, &size));
		EXPECT_EQ(counts[k], files->nr_maps);
		EXPECT_EQ(1, files->nr_files);
		ASSERT_OK(mapped_nth(c.img, counts[k] - 1, &m));
		EXPECT_EQ((uintptr_t)AT + (counts[k] - 1) * 2 * PAGE, m.start);
		EXPECT_STREQ(name, m.name);
		TH_LOG("%zu mappings: %.2f s, our note has %zu bytes", counts[k], took,
		       size);
	}
	chain_close(&c);
	chain_remove();
	unlink(name);
}

/* Each mapping of another file. */
TEST(none_of_many_files_is_left_out)
{
	const size_t nr = cp_debug_kernel() ? 1000 : 4000;
	struct chain c = { 0 };
	const struct cp_files *files;
	char folder[256] = "/dev/shm/", name[600];
	struct mapped m;
	size_t size;

	memset(folder + 9, 'f', 200);
	ASSERT_EQ(0, mkdir(folder, 0700));
	for (size_t i = 0; i < nr; i++) {
		int fd;

		snprintf(name, sizeof(name), "%s/%0200zu", folder, i);
		fd = open(name, O_CREAT | O_RDWR, 0600);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, ftruncate(fd, PAGE));
		ASSERT_NE(MAP_FAILED, mmap(AT + i * 2 * PAGE, PAGE, PROT_READ,
					   MAP_PRIVATE | MAP_FIXED, fd, 0));
		close(fd);
	}
	ASSERT_OK(chain_full(&c, AT, nr * 2 * PAGE));
	ASSERT_OK(mapped_files(c.img, &files, &size));
	EXPECT_EQ(nr, files->nr_maps);
	EXPECT_EQ(nr, files->nr_files);
	for (size_t i = 0; i < nr; i += 97) {
		struct stat st;

		snprintf(name, sizeof(name), "%s/%0200zu", folder, i);
		ASSERT_OK(mapped_nth(c.img, i, &m));
		ASSERT_STREQ(name, m.name);
		ASSERT_EQ(0, stat(name, &st));
		ASSERT_OK(mapped_is_file(m.file, &st));
	}
	chain_close(&c);
	chain_remove();
}

/* What /proc/PID/maps escapes is as it is. */
TEST(names_are_not_escaped)
{
	static const char *const names[] = {
		"/dev/shm/two words", "/dev/shm/two\nlines", "/dev/shm/back\\slash",
		"/dev/shm/x (deleted)", "/dev/shm/\303\244\377",
	};
	struct chain c = { 0 };
	struct mapped m;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int fd = open(names[i], O_CREAT | O_RDWR, 0600);

		ASSERT_LE(0, fd);
		ASSERT_EQ(0, ftruncate(fd, PAGE));
		ASSERT_NE(MAP_FAILED, mmap(AT, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED,
					   fd, 0));
		ASSERT_OK(chain_full(&c, AT, PAGE));
		ASSERT_OK(mapped_nth(c.img, 0, &m));
		EXPECT_STREQ(names[i], m.name);
		EXPECT_OK(has_all(c.img, names[i], 1, PAGE));
		close(fd);
		unlink(names[i]);
	}
	chain_close(&c);
	chain_remove();
}

TEST_HARNESS_MAIN
