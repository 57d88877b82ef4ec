// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 --disk 32 */
/*
 * Memory that an image leaves to a file comes back only from that file, unchanged:
 * whatever has become of it, there are the right bytes, or a refusal that names it.
 * The images are composed here.
 */
#include <elf.h>

#include "cp_test.h"
#include "harness.h"

#undef PAGE
#include "compose.h"
#undef PAGE
#define PAGE	4096UL

#define ARENA	CP_FAR(0x20)
#define AT	((uintptr_t)CP_FAR(0x20) / PAGE)
#define LEN	(16 * PAGE)
#define FOLDER	"/disk/files"
#define FILE_	FOLDER "/file"
#define OFFSET	(2 * PAGE)	/* of the mapping in the file */

/*
 * 0 and 1 are DATA, 2 to 9 are the file's, 10 and 11 lie past its end, which is in
 * the page before.
 */
static const struct piece runs[] = {
	DATA(AT, 2, 'D'), HOLE(AT + 2, 8, CP_HOLE_FILE),
	SKIPPED(AT + 10, 2, CP_SKIP_FAULT),
};

FIXTURE(files) {
	struct cpimg_chain	*chain;
	struct cp_restored	done;
	struct cpimg_error	err;
	char			*mem;
	char			then[12 * PAGE];
	char			name[64];
};

static char byte_of(size_t at)
{
	return 'a' + at / PAGE % 20;
}

static int make_file(const char *path, size_t size)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	char page[PAGE];

	for (size_t at = 0; at < size; at += PAGE) {
		size_t n = size - at < PAGE ? size - at : PAGE;

		memset(page, byte_of(at), n);
		if (write(fd, page, n) != (ssize_t)n)
			return -1;
	}
	return close(fd);
}

static char *map_it(const char *path, off_t offset, int flags)
{
	int fd = open(path, flags & MAP_SHARED ? O_RDWR : O_RDONLY);
	char *mem = mmap(ARENA, 12 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_FIXED | (flags & MAP_SHARED ? MAP_SHARED : MAP_PRIVATE), fd,
			 offset);

	close(fd);
	return mem;
}

static struct cp_file identity(const char *path)
{
	struct stat st = { 0 };

	stat(path, &st);
	return (struct cp_file) {
		.ino = st.st_ino, .size = st.st_size, .flags = CP_FILE_STAYS,
		.mtime_sec = st.st_mtim.tv_sec, .mtime_nsec = st.st_mtim.tv_nsec,
		.ctime_sec = st.st_ctim.tv_sec, .ctime_nsec = st.st_ctim.tv_nsec,
	};
}

static struct {
	struct cp_files	head;
	struct cp_file	file;
	struct cp_map	map;
	char		name[60];
} note;

/* An image that says of the runs that they are of that file. */
static int save_image(const char *name, const char *file, struct plan p)
{
	static struct image im;
	struct other_note more = { CP_NOTE_OWNER, CP_FILES_TYPE, &note, sizeof(note) };
	int fd;

	if (file) {
		note.head = (struct cp_files) {
			CP_FILES_VERSION, sizeof(note.file), sizeof(note.map), 1, 1,
			sizeof(note.name),
		};
		note.file = identity(file);
		note.map = (struct cp_map) {
			(uintptr_t)ARENA, (uintptr_t)ARENA + 12 * PAGE, OFFSET, 0, 0,
		};
		strcpy(note.name, file);
		p.more = &more;
		p.nr_more = 1;
	}
	compose(&im, &p);
	fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	if (fd < 0 || write(fd, im.bytes, im.size) != (ssize_t)im.size)
		return -1;
	return close(fd);
}

#define PLAN		plan(sizeof(void *) * 8, 0, -1, AT, AT + 16, ARRAY_SIZE(runs), runs)

static void open_image(struct __test_metadata *_metadata, FIXTURE_DATA(files) *self,
		       const char *file)
{
	cpimg_chain_close(self->chain);
	ASSERT_EQ(0, save_image(FOLDER "/7-cp0", file, PLAN));
	self->chain = cpimg_chain_open(FOLDER "/7-cp0", NULL, 0, &self->err);
	ASSERT_NE(NULL, self->chain) TH_LOG("%s", self->err.text);
}

FIXTURE_SETUP(files)
{
	self->chain = NULL;
	if (access("/disk/lost+found", F_OK))
		SKIP(return, "no /disk");
	mkdir(FOLDER, 0700);
	ASSERT_EQ(0, make_file(FILE_, OFFSET + 9 * PAGE + 100));
	self->mem = map_it(FILE_, OFFSET, 0);
	ASSERT_EQ(ARENA, self->mem);
	memcpy(self->then + 2 * PAGE, self->mem + 2 * PAGE, 8 * PAGE);
	memset(self->then, 'D', 2 * PAGE);
	open_image(_metadata, self, FILE_);
}

FIXTURE_TEARDOWN(files)
{
	cpimg_chain_close(self->chain);
	munmap(ARENA, LEN);
	if (system("rm -rf " FOLDER)) {
		/* there is no shell in the guest */
		unlink(FILE_);
		unlink(FOLDER "/7-cp0");
		unlink(FOLDER "/7-cp1");
		unlink(FOLDER "/other");
	}
}

#define RESTORE() \
	cp_restore(self->chain, cpimg_chain_length(self->chain) - 1, self->mem, \
		   self->mem + 12 * PAGE, &self->done, &self->err)

/* Private pages that were written make way for the file's. */
#define COMES_BACK() do { \
	memset(self->mem, 'X', 10 * PAGE); \
	ASSERT_EQ(0, RESTORE()) TH_LOG("%s", self->err.text); \
	ASSERT_EQ(0, memcmp(self->mem, self->then, 10 * PAGE)); \
	ASSERT_EQ(8 * PAGE, self->done.file); \
	ASSERT_EQ(0, self->done.changed); \
} while (0)

#define REFUSED(why) do { \
	memset(self->mem, 'X', 9 * PAGE); \
	self->err.text[0] = 0; \
	ASSERT_EQ(-1, RESTORE()) TH_LOG("it was restored"); \
	ASSERT_EQ(CPIMG_ERR_FILE, self->err.code); \
	ASSERT_NE(NULL, strstr(self->err.text, FILE_)) TH_LOG("%s", self->err.text); \
	ASSERT_NE(NULL, strstr(self->err.text, why)) TH_LOG("%s", self->err.text); \
	ASSERT_FALSE(self->done.touched); \
	for (size_t i_ = 0; i_ < 9 * PAGE; i_++) \
		ASSERT_EQ('X', self->mem[i_]); \
} while (0)

TEST_F(files, the_same_file)
{
	COMES_BACK();
	/* in several mappings, one of them read-only */
	ASSERT_EQ(0, mprotect(self->mem + 5 * PAGE, PAGE, PROT_READ));
	ASSERT_EQ(0, RESTORE()) TH_LOG("%s", self->err.text);
	ASSERT_EQ(0, memcmp(self->mem, self->then, 10 * PAGE));
}

TEST_F(files, written_since)
{
	int fd = open(FILE_, O_WRONLY);

	usleep(20000);
	ASSERT_EQ(1, pwrite(fd, "!", 1, OFFSET + 4 * PAGE));
	close(fd);
	REFUSED("reads from " FILE_ ": mtime");
}

TEST_F(files, truncated_and_extended)
{
	ASSERT_EQ(0, truncate(FILE_, OFFSET + 9 * PAGE));
	REFUSED("size is 45056, and was 45156 at the checkpoint");
	ASSERT_EQ(0, truncate(FILE_, OFFSET + 30 * PAGE));
	REFUSED("size is ");
}

TEST_F(files, touched_so_that_size_and_mtime_are_what_they_were)
{
	struct timespec times[2] = { { 0, UTIME_OMIT } };

	times[1] = (struct timespec) { note.file.mtime_sec, note.file.mtime_nsec };
	usleep(20000);
	ASSERT_EQ(0, make_file(FILE_, OFFSET + 9 * PAGE + 100));
	ASSERT_EQ(0, utimensat(AT_FDCWD, FILE_, times, 0));
	REFUSED("reads from " FILE_ ": ctime");
}

TEST_F(files, replaced_by_rename)
{
	struct timespec times[2] = { { 0, UTIME_OMIT } };

	times[1] = (struct timespec) { note.file.mtime_sec, note.file.mtime_nsec };
	ASSERT_EQ(0, make_file(FOLDER "/other", OFFSET + 9 * PAGE + 100));
	ASSERT_EQ(0, utimensat(AT_FDCWD, FOLDER "/other", times, 0));
	ASSERT_EQ(0, rename(FOLDER "/other", FILE_));
	/* still mapped is the old one, which has no name now */
	REFUSED(FILE_ " (deleted) at 0x4000 is mapped there");
	ASSERT_EQ(ARENA, map_it(FILE_, OFFSET, 0));
	REFUSED("reads from " FILE_ ": inode");
}

TEST_F(files, unlinked)
{
	ASSERT_EQ(0, unlink(FILE_));
	REFUSED(FILE_ " (deleted) at 0x4000 is mapped there");
}

TEST_F(files, another_is_mapped_there)
{
	ASSERT_EQ(0, make_file(FOLDER "/other", OFFSET + 9 * PAGE + 100));
	ASSERT_EQ(ARENA, map_it(FOLDER "/other", OFFSET, 0));
	REFUSED("reads from " FILE_ " at 0x4000, and " FOLDER "/other at 0x4000 is mapped there");
}

TEST_F(files, at_another_offset)
{
	ASSERT_EQ(ARENA, map_it(FILE_, OFFSET - PAGE, 0));
	REFUSED("reads from " FILE_ " at 0x4000, and " FILE_ " at 0x3000 is mapped there");
}

TEST_F(files, anonymous_memory_is_mapped_there)
{
	ASSERT_EQ(0, munmap(ARENA, 12 * PAGE));
	ASSERT_EQ(ARENA, cp_map_at(ARENA, 12 * PAGE));
	REFUSED("reads from " FILE_ ", and no file is mapped there");
}

TEST_F(files, nothing_is_mapped_there)
{
	ASSERT_EQ(0, munmap(ARENA + 4 * PAGE, PAGE));
	ASSERT_EQ(-1, RESTORE());
	ASSERT_NE(NULL, strstr(self->err.text, "nothing is mapped there"));
	ASSERT_FALSE(self->done.touched);
}

/* Its other name: the same file, as everything says that tells files apart. */
TEST_F(files, under_another_name)
{
	ASSERT_EQ(0, link(FILE_, FOLDER "/other"));
	open_image(_metadata, self, FILE_);
	ASSERT_EQ(ARENA, map_it(FOLDER "/other", OFFSET, 0));
	COMES_BACK();
	ASSERT_EQ(0, unlink(FILE_));
	REFUSED("reads from " FILE_ " at 0x4000, and " FOLDER "/other at 0x4000");
}

TEST_F(files, of_a_name_that_proc_writes_otherwise)
{
	static const char odd[] = FOLDER "/a\n\\012 (deleted)x";

	ASSERT_EQ(0, rename(FILE_, odd));
	open_image(_metadata, self, odd);
	ASSERT_EQ(ARENA, map_it(odd, OFFSET, 0));
	COMES_BACK();
	unlink(odd);
}

TEST_F(files, left_if_that_is_allowed)
{
	ASSERT_EQ(0, truncate(FILE_, OFFSET + 30 * PAGE));
	memset(self->mem, 'X', 10 * PAGE);
	self->done.flags = CP_RESTORE_SKIPPED | CP_RESTORE_UNMAPPED;
	REFUSED("size is ");
	self->done.flags = CP_RESTORE_FILES;
	ASSERT_EQ(0, RESTORE()) TH_LOG("%s", self->err.text);
	EXPECT_EQ(CPIMG_OK, self->err.code);
	EXPECT_EQ(8 * PAGE, self->done.changed);
	EXPECT_EQ(0, self->done.file);
	EXPECT_EQ(2 * PAGE, self->done.data);
	EXPECT_EQ('D', self->mem[2 * PAGE - 1]);
	EXPECT_EQ('X', self->mem[2 * PAGE]);
}

struct asked {
	int			count, answer;
	struct cpimg_piece	piece;
};

static int ask(const struct cpimg_piece *piece, void *arg)
{
	struct asked *asked = arg;

	asked->count++;
	asked->piece = *piece;
	return asked->answer;
}

TEST_F(files, the_function_is_asked)
{
	struct asked asked = { .answer = -1 };

	self->done.left = ask;
	self->done.arg = &asked;
	COMES_BACK();
	EXPECT_EQ(0, asked.count);
	ASSERT_EQ(0, truncate(FILE_, OFFSET + 30 * PAGE));
	REFUSED("size is ");
	EXPECT_EQ(1, asked.count);
	EXPECT_EQ(CPIMG_HOLE, asked.piece.cls);
	EXPECT_EQ(CP_HOLE_FILE, asked.piece.reason);
	EXPECT_EQ((uintptr_t)ARENA + 2 * PAGE, asked.piece.start);
	EXPECT_EQ((uintptr_t)ARENA + 10 * PAGE, asked.piece.end);
	asked.answer = 0;
	ASSERT_EQ(0, RESTORE()) TH_LOG("%s", self->err.text);
	EXPECT_EQ(8 * PAGE, self->done.changed);
}

TEST_F(files, of_an_image_that_does_not_say_what_tells_them_apart)
{
	open_image(_metadata, self, NULL);
	memset(self->mem, 'X', 10 * PAGE);
	self->done.flags = CP_RESTORE_SKIPPED;
	ASSERT_EQ(-1, RESTORE());
	EXPECT_EQ(CPIMG_ERR_FILE, self->err.code);
	EXPECT_NE(NULL, strstr(self->err.text, "older kernel")) TH_LOG("%s", self->err.text);
	self->done.flags = CP_RESTORE_SKIPPED | CP_RESTORE_FILES;
	ASSERT_EQ(0, RESTORE()) TH_LOG("%s", self->err.text);
	EXPECT_EQ('X', self->mem[9 * PAGE]);
}

/* Nothing was there to be saved; but a page that was there and cannot be read is lost. */
TEST_F(files, past_the_end)
{
	struct asked asked = { .answer = -1 };

	COMES_BACK();
	EXPECT_EQ(2 * PAGE, self->done.skipped);
	self->done.left = ask;
	self->done.arg = &asked;
	COMES_BACK();
	EXPECT_EQ(0, asked.count);
	self->done.left = NULL;
	/* Half of the last page was there. */
	ASSERT_EQ(0, truncate(FILE_, OFFSET + 10 * PAGE + 1));
	open_image(_metadata, self, FILE_);
	memset(self->mem, 'X', 10 * PAGE);
	ASSERT_EQ(-1, RESTORE());
	EXPECT_EQ(CPIMG_ERR_LEFT, self->err.code);
	EXPECT_NE(NULL, strstr(self->err.text, "left out: cannot be read")) TH_LOG("%s", self->err.text);
	EXPECT_FALSE(self->done.touched);
}

/* The holes of an older image are of the file that this one names. */
TEST_F(files, of_an_older_image)
{
	static const struct piece later[] = {
		SAME(AT, 3), DATA(AT + 3, 1, 'N'), SAME(AT + 4, 6),
		SKIPPED(AT + 10, 2, CP_SKIP_FAULT),
	};

	cpimg_chain_close(self->chain);
	ASSERT_EQ(0, make_file(FOLDER "/other", 100));
	ASSERT_EQ(0, save_image(FOLDER "/7-cp1", FOLDER "/other",
				plan(sizeof(void *) * 8, 1, 0, AT, AT + 16, ARRAY_SIZE(later), later)));
	self->chain = cpimg_chain_open(FOLDER "/7-cp1", NULL, 0, &self->err);
	ASSERT_NE(NULL, self->chain) TH_LOG("%s", self->err.text);
	memset(self->mem, 'X', 10 * PAGE);
	memset(self->then + 3 * PAGE, 'N', PAGE);
	ASSERT_EQ(0, RESTORE()) TH_LOG("%s", self->err.text);
	ASSERT_EQ(0, memcmp(self->mem, self->then, 10 * PAGE));
	EXPECT_EQ(7 * PAGE, self->done.file);
	ASSERT_EQ(0, truncate(FILE_, OFFSET + 30 * PAGE));
	REFUSED("size is ");
}

TEST_F(files, shared_ones_are_left_alone)
{
	ASSERT_EQ(ARENA, map_it(FILE_, OFFSET, MAP_SHARED));
	usleep(20000);
	ASSERT_EQ(0, RESTORE()) TH_LOG("%s", self->err.text);
	EXPECT_EQ(8 * PAGE, self->done.file);
	EXPECT_EQ(0, memcmp(self->mem + 2 * PAGE, self->then + 2 * PAGE, 8 * PAGE));
}

TEST_HARNESS_MAIN
