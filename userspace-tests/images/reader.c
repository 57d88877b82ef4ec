// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 */
/*
 * libcpimg believes nothing: images are composed here, right ones and wrong
 * ones, and no kernel that can write them is needed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <zlib.h>

#include <cpimg.h>
#include "compose.h"
#include "far.h"
#include "harness.h"
#include "libcpimg/internal.h"

static char dir[4000];

static const char *in_dir(const char *name)
{
	static char path[2][4096];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
	return path[turn];
}

static void save_bytes(const char *path, const void *bytes, size_t size)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);

	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size) {
		perror(path);
		exit(KSFT_FAIL);
	}
	close(fd);
}

static void save(const char *name, struct plan p)
{
	static struct image im;

	compose(&im, &p);
	save_bytes(in_dir(name), im.bytes, im.size);
}

static struct plan typical(int bits)
{
	static const struct piece runs[] = {
		DATA(0x100, 2, 'a'), HOLE(0x102, 1, CP_HOLE_ZERO),
		SAME(0x103, 3), SKIPPED(0x106, 1, CP_SKIP_LOCKED),
		DATA(0x200, 1, 'b'), HOLE(0x201, 1, CP_HOLE_FILE),
	};

	return plan(bits, 1, 0, 0x80, 0x300, ARRAY_SIZE(runs), runs);
}

/* All that an image answers about memory, as one number. */
static uint64_t answer(const struct cpimg *img)
{
	static char buf[16 * PAGE];
	size_t n, i;
	const struct cpimg_run *r = cpimg_runs(img, &n);
	uint64_t sum = crc32(0, (const void *)cpimg_note(img),
			     offsetof(struct cp_note, crc)) + cpimg_bits(img);

	for (i = 0; i < n; i++, r++) {
		sum = sum * 1000003 + r->start;
		sum = sum * 1000003 + r->end;
		sum = sum * 1000003 + (r->reason | r->cls << 8 | r->prot << 16);
		if (r->cls != CPIMG_DATA || r->end - r->start > sizeof(buf))
			continue;
		if (cpimg_pread(img, r->start, buf, r->end - r->start, NULL))
			continue;
		sum = sum * 1000003 + crc32(0, (void *)buf, r->end - r->start);
	}
	return sum;
}

#define ASSERT_GOOD(img, err) \
	ASSERT_TRUE((img) != NULL) TH_LOG("%s", (err).text)

FIXTURE(reader) {
	struct cpimg_error	err;
	struct image		*im;
};

FIXTURE_VARIANT(reader) {
	int	bits;
	bool	xnum;
};

FIXTURE_VARIANT_ADD(reader, elf64) { 64, false };
FIXTURE_VARIANT_ADD(reader, elf32) { 32, false };
FIXTURE_VARIANT_ADD(reader, elf64_xnum) { 64, true };
FIXTURE_VARIANT_ADD(reader, elf32_xnum) { 32, true };

FIXTURE_SETUP(reader)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%s/readerXXXXXX", tmp ? tmp : "/tmp");
	ASSERT_NE(NULL, mkdtemp(dir));
	self->im = malloc(sizeof(*self->im));
}

static void remove_folder(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	char inner[4300];

	while (folder && (entry = readdir(folder))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (!unlinkat(dirfd(folder), entry->d_name, 0))
			continue;
		snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
		remove_folder(inner);
	}
	if (folder)
		closedir(folder);
	rmdir(path);
}

FIXTURE_TEARDOWN(reader)
{
	remove_folder(dir);
	free(self->im);
}

TEST_F(reader, a_good_image_is_read)
{
	struct plan p = typical(variant->bits);
	const struct cpimg_run *r;
	struct cpimg_elfnote en;
	struct cpimg *img;
	char buf[3 * PAGE];
	size_t n;

	p.xnum = variant->xnum;
	save("7-cp1", p);
	img = cpimg_open(in_dir("7-cp1"), 0, &self->err);
	ASSERT_GOOD(img, self->err);
	EXPECT_EQ(variant->bits, cpimg_bits(img));
	EXPECT_EQ(variant->bits == 64 ? EM_X86_64 : EM_386, cpimg_machine(img));
	EXPECT_STREQ("7-cp0", cpimg_note(img)->parent);
	r = cpimg_runs(img, &n);
	ASSERT_EQ(6, n);
	EXPECT_EQ(CPIMG_DATA, r[0].cls);
	EXPECT_EQ(PROT_READ | PROT_WRITE, r[0].prot);
	EXPECT_EQ(CPIMG_HOLE, r[1].cls);
	EXPECT_EQ(CP_HOLE_ZERO, r[1].reason);
	EXPECT_EQ(CPIMG_SAME, r[2].cls);
	EXPECT_EQ(CPIMG_SKIPPED, r[3].cls);
	EXPECT_EQ(CP_SKIP_LOCKED, r[3].reason);
	EXPECT_EQ(CP_HOLE_FILE, r[5].reason);

	/* Both ends of runs, and just beyond them. */
	EXPECT_EQ(NULL, cpimg_find(img, 0x100000 - 1));
	EXPECT_EQ(&r[0], cpimg_find(img, 0x100000));
	EXPECT_EQ(&r[0], cpimg_find(img, 0x101fff));
	EXPECT_EQ(&r[1], cpimg_find(img, 0x102000));
	EXPECT_EQ(&r[3], cpimg_find(img, 0x106fff));
	EXPECT_EQ(NULL, cpimg_find(img, 0x107000));
	EXPECT_EQ(&r[5], cpimg_find(img, 0x201fff));
	EXPECT_EQ(NULL, cpimg_find(img, 0x202000));
	EXPECT_EQ(NULL, cpimg_find(img, UINT64_MAX));
	EXPECT_EQ(NULL, cpimg_find(img, 0));
	EXPECT_TRUE(cpimg_covers(img, 0x80000));
	EXPECT_FALSE(cpimg_covers(img, 0x80000 - 1));
	EXPECT_FALSE(cpimg_covers(img, 0x300000));

	/* Across runs: two pages of data and one of zeros. */
	memset(buf, 'x', sizeof(buf));
	ASSERT_EQ(0, cpimg_pread(img, 0x100000, buf, sizeof(buf), &self->err));
	EXPECT_EQ('a', buf[0]);
	EXPECT_EQ('a', buf[2 * PAGE - 1]);
	EXPECT_EQ(0, buf[2 * PAGE]);
	EXPECT_EQ(0, buf[3 * PAGE - 1]);
	ASSERT_EQ(0, cpimg_pread(img, 0x200000, buf, 1, &self->err));
	EXPECT_EQ('b', buf[0]);
	EXPECT_EQ(-1, cpimg_pread(img, 0x102fff, buf, 2, &self->err));
	EXPECT_EQ(CPIMG_ERR_NODATA, self->err.code);
	EXPECT_EQ(-1, cpimg_pread(img, 0x106000, buf, 1, &self->err));
	EXPECT_EQ(-1, cpimg_pread(img, 0x201000, buf, 1, &self->err));
	EXPECT_EQ(-1, cpimg_pread(img, 0x90000, buf, 1, &self->err));

	ASSERT_TRUE(cpimg_find_note(img, "LINUX", 0x202, &en));
	EXPECT_EQ(7, en.size);
	EXPECT_EQ(0, memcmp(en.desc, "xstate", 7));
	EXPECT_FALSE(cpimg_find_note(img, "CORE", 1, &en));
	n = 0;
	for (int i = 0; i < 3; i++) {
		EXPECT_TRUE(cpimg_next_note(img, &n, &en));
	}
	EXPECT_FALSE(cpimg_next_note(img, &n, &en));
	cpimg_close(img);
}

TEST_F(reader, cut_off_anywhere_is_an_error)
{
	struct plan p = typical(variant->bits);

	p.xnum = variant->xnum;
	compose(self->im, &p);
	save_bytes(in_dir("7-cp1"), self->im->bytes, self->im->size);
	for (size_t len = self->im->size; len--;) {
		struct cpimg *img;

		/* Among the data one cut a piece is enough. */
		if (len > PAGE && len < self->im->notes - 64 && len % 509)
			continue;
		ASSERT_EQ(0, truncate(in_dir("7-cp1"), len));
		img = cpimg_open(in_dir("7-cp1"), 0, &self->err);
		ASSERT_EQ(NULL, img) TH_LOG("opened with %zu bytes", len);
		ASSERT_NE(CPIMG_OK, self->err.code);
		ASSERT_NE(NULL, strstr(self->err.text, in_dir("7-cp1")))
			TH_LOG("does not name the file: %s", self->err.text);
	}
}

TEST_F(reader, a_flipped_bit_is_an_error_or_changes_nothing)
{
	struct plan p = typical(variant->bits);
	size_t ehdr = variant->bits == 64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
	int fd, taken = 0;
	struct cpimg *img;
	uint64_t right;

	p.xnum = variant->xnum;
	compose(self->im, &p);
	save_bytes(in_dir("7-cp1"), self->im->bytes, self->im->size);
	img = cpimg_open(in_dir("7-cp1"), 0, &self->err);
	ASSERT_GOOD(img, self->err);
	right = answer(img);
	cpimg_close(img);

	fd = open(in_dir("7-cp1"), O_WRONLY);
	ASSERT_LE(0, fd);
	for (size_t at = 0; at < self->im->size; at++) {
		if (at == ehdr)
			at = self->im->notes;
		for (int bit = 0; bit < 8; bit++) {
			unsigned char b = self->im->bytes[at] ^ 1 << bit;

			ASSERT_EQ(1, pwrite(fd, &b, 1, at));
			img = cpimg_open(in_dir("7-cp1"), 0, &self->err);
			if (img) {
				ASSERT_EQ(right, answer(img))
					TH_LOG("byte %zu bit %d", at, bit);
				/* Only the header has bits without meaning. */
				ASSERT_GT(ehdr, at);
				taken++;
			}
			cpimg_close(img);
		}
		ASSERT_EQ(1, pwrite(fd, &self->im->bytes[at], 1, at));
	}
	close(fd);
	/* e_machine, e_entry, e_flags, e_ehsize, e_shstrndx and padding */
	EXPECT_GT(400, taken);
}

/* Whether it is taken for an image, once its CRC is right; then all is asked of it. */
static bool opens_and_answers(struct image *im, struct cpimg_error *err)
{
	struct cpimg *img;

	set_crc(im);
	save_bytes(in_dir("7-cp1"), im->bytes, im->size);
	img = cpimg_open(in_dir("7-cp1"), 0, err);
	if (img)
		answer(img);
	cpimg_close(img);
	return img;
}

/* With a right CRC over wrong content, the other checks must hold alone. */
TEST_F(reader, nonsense_with_a_right_crc_never_crashes)
{
	struct plan p = typical(variant->bits);
	uint32_t seed = 1;
	int opened = 0;

	p.xnum = variant->xnum;
	for (int round = 0; round < 3000; round++) {
		size_t at;

		compose(self->im, &p);
		for (int i = 0; i < 1 + round % 3; i++) {
			seed = seed * 1103515245 + 12345;
			at = self->im->notes + (seed >> 8) %
			     (self->im->size - self->im->notes);
			seed = seed * 1103515245 + 12345;
			self->im->bytes[at] = seed >> 16;
		}
		opened += opens_and_answers(self->im, &self->err);
	}
	EXPECT_LT(0, opened);
	EXPECT_GT(3000, opened);
}

static void wrong_type(struct plan *p) { p->run[1].type = PT_DYNAMIC; }
static void wrong_order(struct plan *p) { p->run[1].page = 0x90; }
static void wrong_overlap(struct plan *p) { p->run[1].page = 0x101; }
static void wrong_range_low(struct plan *p) { p->note.start = 0x101000; }
static void wrong_range_high(struct plan *p) { p->note.end = 0x201000; }
static void wrong_wrap(struct plan *p)
{
	p->run[5].pages = ~0ULL / PAGE - 0x200;
	count(p);
}
static void wrong_empty(struct plan *p) { p->run[1].pages = 0; count(p); }
static void wrong_hole(struct plan *p) { p->run[1].reason = 2; }
static void wrong_skip(struct plan *p) { p->run[3].reason = 0; }
static void wrong_runs(struct plan *p) { p->note.runs++; }
static void wrong_data(struct plan *p) { p->note.pages_data++; }
static void wrong_same(struct plan *p) { p->note.pages_same++; }
static void wrong_holes(struct plan *p) { p->note.pages_hole--; }
static void wrong_skipped(struct plan *p) { p->note.pages_skipped = 0; }
static void wrong_page_size(struct plan *p) { p->note.page_size = 0; }
static void wrong_page_size2(struct plan *p) { p->note.page_size = 4097; }
static void wrong_version(struct plan *p) { p->note.version = 0; }
static void wrong_size(struct plan *p) { p->note.size = 8; }
static void wrong_size2(struct plan *p) { p->note.size = 4096; }
static void wrong_size3(struct plan *p)
{
	p->note.size = p->note_size = CP_NOTE_SIZE_VER1;	/* and of version 2 */
}
static void wrong_size4(struct plan *p)
{
	set_version1(p);
	p->note.size -= 8;
}
static void wrong_size5(struct plan *p)
{
	set_version1(p);
	p->note_size -= 8;
}
static void wrong_kind(struct plan *p) { p->note.kind = 3; }
static void wrong_full(struct plan *p) { p->note.kind = CP_KIND_FULL; }
static void wrong_parent(struct plan *p) { p->note.parent[0] = 0; }
static void wrong_parent_id(struct plan *p) { memset(p->note.parent_id, 0, 16); }
static void wrong_folder(struct plan *p) { strcpy(p->note.parent, "../7-cp0"); }
static void wrong_dots(struct plan *p) { strcpy(p->note.parent, ".."); }
static void wrong_no_end(struct plan *p) { memset(p->note.parent, 'x', 40); }
static void wrong_start(struct plan *p) { p->note.start++; }
static void wrong_end(struct plan *p) { p->note.end--; }
static void wrong_backwards(struct plan *p) { p->note.start = p->note.end; }
static void wrong_same_in_full(struct plan *p)
{
	p->note.kind = CP_KIND_FULL;
	memset(p->note.parent_id, 0, 16);
	p->note.parent[0] = 0;
}

TEST_F(reader, each_check_names_the_field)
{
	static const struct {
		void		(*spoil)(struct plan *p);
		const char	*field;
	} rows[] = {
		{ wrong_type, "p_type of program header 2" },
		{ wrong_order, "p_vaddr" },
		{ wrong_overlap, "p_vaddr" },
		{ wrong_range_low, "p_vaddr of program header 1" },
		{ wrong_range_high, "p_vaddr of program header 6" },
		{ wrong_wrap, "of program header 6" },
		{ wrong_empty, "p_memsz of program header 2" },
		{ wrong_hole, "p_paddr of program header 2" },
		{ wrong_skip, "p_paddr of program header 4" },
		{ wrong_runs, "note.runs" },
		{ wrong_data, "note.pages_data" },
		{ wrong_same, "note.pages_same" },
		{ wrong_holes, "note.pages_hole" },
		{ wrong_skipped, "note.pages_skipped" },
		{ wrong_page_size, "note.page_size" },
		{ wrong_page_size2, "note.page_size" },
		{ wrong_version, "note.version" },
		{ wrong_size, "note.size" },
		{ wrong_size2, "note.size" },
		{ wrong_size3, "note.size" },
		{ wrong_size4, "note.size" },
		{ wrong_size5, "size of the CP_RANGE note" },
		{ wrong_kind, "note.kind" },
		{ wrong_full, "note.kind" },
		{ wrong_parent, "note.kind" },
		{ wrong_parent_id, "note.kind" },
		{ wrong_folder, "note.parent" },
		{ wrong_dots, "note.parent" },
		{ wrong_no_end, "note.parent" },
		{ wrong_start, "note.start" },
		{ wrong_end, "note.end" },
		{ wrong_backwards, "note.start" },
		{ wrong_same_in_full, "p_type of program header 3" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct plan p = typical(variant->bits);
		struct cpimg *img;

		p.xnum = variant->xnum;
		rows[i].spoil(&p);
		save("7-cp1", p);
		img = cpimg_open(in_dir("7-cp1"), 0, &self->err);
		EXPECT_EQ(NULL, img) TH_LOG("%s: accepted", rows[i].field);
		if (!img) {
			EXPECT_NE(NULL, strstr(self->err.text, rows[i].field))
				TH_LOG("not about %s: %s", rows[i].field,
				       self->err.text);
		}
		cpimg_close(img);
	}
}

TEST_F(reader, an_unfinished_file_is_told_apart)
{
	struct plan p = typical(variant->bits);
	static const char text[] = "hello, this is a text of more than 64 bytes, and so not an image at all";

	/* All but the header, as the kernel leaves it when the machine dies. */
	p.xnum = variant->xnum;
	compose(self->im, &p);
	memset(self->im->bytes, 0, 64);
	save_bytes(in_dir("7-cp1"), self->im->bytes, self->im->size);
	EXPECT_EQ(NULL, cpimg_open(in_dir("7-cp1"), 0, &self->err));
	EXPECT_EQ(CPIMG_ERR_INCOMPLETE, self->err.code);
	EXPECT_NE(NULL, strstr(self->err.text, "header was never written"))
		TH_LOG("%s", self->err.text);

	save_bytes(in_dir("7-cp1"), "", 0);
	EXPECT_EQ(NULL, cpimg_open(in_dir("7-cp1"), 0, &self->err));
	EXPECT_EQ(CPIMG_ERR_INCOMPLETE, self->err.code);

	save_bytes(in_dir("7-cp1"), text, sizeof(text));
	EXPECT_EQ(NULL, cpimg_open(in_dir("7-cp1"), 0, &self->err));
	EXPECT_EQ(CPIMG_ERR_FORMAT, self->err.code);

	EXPECT_EQ(NULL, cpimg_open(in_dir("7-cp2"), 0, &self->err));
	EXPECT_EQ(CPIMG_ERR_SYS, self->err.code);
	EXPECT_EQ(NULL, cpimg_open(dir, 0, &self->err));
	ASSERT_EQ(0, mkfifo(in_dir("fifo"), 0600));
	EXPECT_EQ(NULL, cpimg_open(in_dir("fifo"), 0, &self->err));
	EXPECT_EQ(CPIMG_ERR_FORMAT, self->err.code);
}

TEST_F(reader, a_wrong_crc_is_seen_and_can_be_passed_over)
{
	struct plan p = typical(variant->bits);
	struct cpimg *img;

	p.xnum = variant->xnum;
	compose(self->im, &p);
	self->im->bytes[self->im->cp_note + offsetof(struct cp_note, crc)] ^= 1;
	save_bytes(in_dir("7-cp1"), self->im->bytes, self->im->size);
	EXPECT_EQ(NULL, cpimg_open(in_dir("7-cp1"), 0, &self->err));
	EXPECT_EQ(CPIMG_ERR_CRC, self->err.code);
	img = cpimg_open(in_dir("7-cp1"), CPIMG_NO_CRC, &self->err);
	ASSERT_GOOD(img, self->err);
	cpimg_close(img);
}

/*
 * Three images: the first of everything, the second of 0x100-0x140 only, the
 * third of everything again.
 */
static void save_chain(int bits)
{
	static const struct piece full[] = {
		DATA(0x100, 4, 'a'), HOLE(0x104, 1, CP_HOLE_ZERO),
		DATA(0x150, 2, 'b'), SKIPPED(0x160, 1, CP_SKIP_LOCKED),
	}, middle[] = {
		SAME(0x100, 1), DATA(0x101, 1, 'c'), SAME(0x102, 2),
		HOLE(0x104, 1, CP_HOLE_ZERO),
	}, last[] = {
		SAME(0x100, 3), HOLE(0x103, 1, CP_HOLE_ZERO), DATA(0x104, 1, 'd'),
		SAME(0x150, 2), SKIPPED(0x160, 1, CP_SKIP_LOCKED),
	};

	save("7-cp0", plan(bits, 0, -1, 0x80, 0x200, ARRAY_SIZE(full), full));
	save("7-cp1", plan(bits, 1, 0, 0x100, 0x140, ARRAY_SIZE(middle), middle));
	save("7-cp2", plan(bits, 2, 1, 0x80, 0x200, ARRAY_SIZE(last), last));
}

TEST_F(reader, a_chain_is_looked_through)
{
	static const struct {
		uint64_t	page;
		int		cls;
		size_t		image;
		char		byte;
		uint64_t	end;	/* of the piece, in pages */
	} rows[] = {
		{ 0x100, CPIMG_DATA, 0, 'a', 0x101 },
		{ 0x101, CPIMG_DATA, 1, 'c', 0x102 },
		{ 0x102, CPIMG_DATA, 0, 'a', 0x103 },
		{ 0x103, CPIMG_HOLE, 2, 0, 0x104 },
		{ 0x104, CPIMG_DATA, 2, 'd', 0x105 },
		/* the middle image did not look there */
		{ 0x150, CPIMG_DATA, 0, 'b', 0x152 },
		{ 0x151, CPIMG_DATA, 0, 'b', 0x152 },
	};
	struct cpimg_chain *chain;
	struct cpimg_piece p;
	char buf[4 * PAGE];

	save_chain(variant->bits);
	chain = cpimg_chain_open(in_dir("7-cp2"), NULL, 0, &self->err);
	ASSERT_GOOD(chain, self->err);
	ASSERT_EQ(3, cpimg_chain_length(chain));
	EXPECT_EQ(0, cpimg_chain_verify(chain, &self->err))
		TH_LOG("%s", self->err.text);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ASSERT_EQ(0, cpimg_chain_resolve(chain, 2, rows[i].page * PAGE + 1,
						 &p, &self->err))
			TH_LOG("%s", self->err.text);
		EXPECT_EQ(rows[i].cls, p.cls) TH_LOG("row %zu", i);
		EXPECT_EQ(cpimg_chain_image(chain, rows[i].image), p.img)
			TH_LOG("row %zu", i);
		EXPECT_EQ(rows[i].end * PAGE, p.end) TH_LOG("row %zu", i);
		ASSERT_EQ(0, cpimg_chain_read(chain, 2, rows[i].page * PAGE + 1,
					      buf, 1, &self->err));
		EXPECT_EQ(rows[i].byte, buf[0]) TH_LOG("row %zu", i);
	}

	/* In one go, through four runs of three files. */
	ASSERT_EQ(0, cpimg_chain_read(chain, 2, 0x100800, buf, sizeof(buf),
				      &self->err)) TH_LOG("%s", self->err.text);
	EXPECT_EQ('a', buf[0]);
	EXPECT_EQ('c', buf[PAGE / 2]);
	EXPECT_EQ('a', buf[2 * PAGE - PAGE / 2]);
	EXPECT_EQ(0, buf[3 * PAGE - PAGE / 2]);
	EXPECT_EQ('d', buf[4 * PAGE - 1]);

	/* Earlier checkpoints still say what they said. */
	ASSERT_EQ(0, cpimg_chain_read(chain, 0, 0x101000, buf, 1, &self->err));
	EXPECT_EQ('a', buf[0]);
	ASSERT_EQ(0, cpimg_chain_read(chain, 1, 0x103000, buf, 1, &self->err));
	EXPECT_EQ('a', buf[0]);

	ASSERT_EQ(0, cpimg_chain_resolve(chain, 2, 0x160000, &p, &self->err));
	EXPECT_EQ(CPIMG_SKIPPED, p.cls);
	ASSERT_EQ(0, cpimg_chain_resolve(chain, 2, 0x105000, &p, &self->err));
	EXPECT_EQ(CPIMG_NONE, p.cls);
	EXPECT_EQ(0x150000, p.end);
	ASSERT_EQ(0, cpimg_chain_resolve(chain, 1, 0x150000, &p, &self->err));
	EXPECT_EQ(CPIMG_NONE, p.cls);
	ASSERT_EQ(0, cpimg_chain_resolve(chain, 2, 0, &p, &self->err));
	EXPECT_EQ(0x80000, p.end);
	ASSERT_EQ(0, cpimg_chain_resolve(chain, 2, 0x200000, &p, &self->err));
	EXPECT_EQ(UINT64_MAX, p.end);
	EXPECT_EQ(-1, cpimg_chain_resolve(chain, 3, 0, &p, &self->err));
	EXPECT_EQ(-1, cpimg_chain_read(chain, 2, 0x105000, buf, 1, &self->err));
	cpimg_chain_close(chain);
}

TEST_F(reader, a_chain_with_the_wrong_parent_is_refused)
{
	static const struct piece data[] = { DATA(0x100, 4, 'x') };
	struct plan p;

	save_chain(variant->bits);
	ASSERT_EQ(0, unlink(in_dir("7-cp0")));
	EXPECT_EQ(NULL, cpimg_chain_open(in_dir("7-cp2"), NULL, 0, &self->err));
	EXPECT_NE(NULL, strstr(self->err.text, "7-cp0")) TH_LOG("%s", self->err.text);

	/* A later process with the same pid. */
	p = plan(variant->bits, 0, -1, 0x80, 0x200, 1, data);
	p.note.id[5] = 'x';
	save("7-cp0", p);
	EXPECT_EQ(NULL, cpimg_chain_open(in_dir("7-cp2"), NULL, 0, &self->err));
	EXPECT_EQ(CPIMG_ERR_CHAIN, self->err.code) TH_LOG("%s", self->err.text);

	/* Two that call each other parent. */
	p = plan(variant->bits, 1, 2, 0x80, 0x200, 1, data);
	save("7-cp1", p);
	EXPECT_EQ(NULL, cpimg_chain_open(in_dir("7-cp2"), NULL, 0, &self->err));
	EXPECT_EQ(CPIMG_ERR_CHAIN, self->err.code) TH_LOG("%s", self->err.text);

	/* The other class. */
	save("7-cp0", plan(96 - variant->bits, 0, -1, 0x80, 0x200, 1, data));
	save("7-cp1", plan(variant->bits, 1, 0, 0x80, 0x200, 1, data));
	EXPECT_EQ(NULL, cpimg_chain_open(in_dir("7-cp2"), NULL, 0, &self->err));
	EXPECT_EQ(CPIMG_ERR_CHAIN, self->err.code) TH_LOG("%s", self->err.text);
	EXPECT_EQ(NULL, cpimg_chain_open(in_dir("7-cp1"), "/nowhere", 0, &self->err));
	EXPECT_EQ(CPIMG_ERR_SYS, self->err.code) TH_LOG("%s", self->err.text);
}

TEST_F(reader, same_that_reaches_nothing_is_an_error)
{
	static const struct piece full[] = {
		DATA(0x100, 2, 'a'), SKIPPED(0x110, 1, CP_SKIP_LOCKED),
	};
	static const struct piece wrong[][1] = {
		{ SAME(0x101, 2) },	/* its second page was not mapped */
		{ SAME(0x110, 1) },	/* was skipped */
		{ SAME(0x180, 1) },	/* is in nobody's range */
	};

	save("7-cp0", plan(variant->bits, 0, -1, 0x80, 0x140, 2, full));
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct cpimg_chain *chain;

		save("7-cp1", plan(variant->bits, 1, 0, 0x80, 0x200, 1, wrong[i]));
		chain = cpimg_chain_open(in_dir("7-cp1"), NULL, 0, &self->err);
		ASSERT_GOOD(chain, self->err);
		EXPECT_EQ(-1, cpimg_chain_verify(chain, &self->err));
		EXPECT_EQ(CPIMG_ERR_CHAIN, self->err.code);
		EXPECT_NE(NULL, strstr(self->err.text, "SAME at 0x1"))
			TH_LOG("%s", self->err.text);
		cpimg_chain_close(chain);
	}
}

/*
 * Notes of older versions
 */

TEST_F(reader, a_note_of_version_1_is_of_one_range_one_thread_and_no_moment)
{
	struct plan p = typical(variant->bits);
	const struct cp_span *area;
	const struct cp_note *n;
	struct cp_note peeked;
	struct cpimg *img;
	size_t count;
	int fd;

	/* What it does not have must not come from elsewhere. */
	memset((char *)&p.note + CP_NOTE_SIZE_VER1, 0x55, sizeof(p.note) - CP_NOTE_SIZE_VER1);
	p.xnum = variant->xnum;
	p.note.pid = 77;
	for (int longer = 0; longer < 2; longer++) {
		set_version1(&p);
		if (longer)
			p.note_size = sizeof(p.note);
		save("7-cp1", p);
		img = cpimg_open(in_dir("7-cp1"), 0, &self->err);
		ASSERT_GOOD(img, self->err);
		n = cpimg_note(img);
		EXPECT_EQ(1, n->version);
		EXPECT_EQ(CP_NOTE_SIZE_VER1, n->size);
		EXPECT_EQ(0, n->flags);
		EXPECT_EQ(1, n->threads);
		EXPECT_EQ(1, n->nr_areas);
		EXPECT_EQ(0, n->stop_ns);
		EXPECT_EQ(77, n->own_pid);
		EXPECT_EQ(0, n->reserved2);
		area = cpimg_areas(img, &count);
		ASSERT_EQ(1, count);
		EXPECT_EQ(0x80000, area->start);
		EXPECT_EQ(0x300000, area->end);

		/* As who looks at whole folders has it. */
		fd = open(in_dir("7-cp1"), O_RDONLY);
		ASSERT_LE(0, fd);
		EXPECT_EQ(1, cpimg_peek(fd, &peeked));
		EXPECT_EQ(0, memcmp(n, &peeked, sizeof(peeked)));
		close(fd);
		cpimg_close(img);
	}
}

/*
 * Several ranges, and what lies between
 */

static const struct cp_span three[] = {
	AREA(0x100, 0x103), AREA(0x106, 0x107), AREA(0x180, 0x300),
};

static struct plan of_three(int bits)
{
	static const struct piece runs[] = {
		DATA(0x100, 2, 'a'), SKIPPED(0x106, 1, CP_SKIP_LOCKED),
		DATA(0x200, 1, 'b'), HOLE(0x201, 1, CP_HOLE_ZERO),
	};
	struct plan p = plan(bits, 1, 0, 0x100, 0x300, ARRAY_SIZE(runs), runs);

	set_areas(&p, three, ARRAY_SIZE(three));
	return p;
}

TEST_F(reader, what_lies_between_ranges_is_not_unmapped_but_unknown)
{
	static const struct {
		uint64_t	addr;
		bool		covered;
	} rows[] = {
		{ 0, false }, { 0xfffff, false }, { 0x100000, true },
		{ 0x102fff, true },	/* not mapped */
		{ 0x103000, false }, { 0x105fff, false }, { 0x106000, true },
		{ 0x106fff, true }, { 0x107000, false }, { 0x17ffff, false },
		{ 0x180000, true }, { 0x200000, true }, { 0x2fffff, true },
		{ 0x300000, false }, { UINT64_MAX, false },
	};
	struct plan p = of_three(variant->bits);
	const struct cp_span *area;
	struct cpimg *img;
	size_t count;
	char byte;

	p.xnum = variant->xnum;
	save("7-cp1", p);
	img = cpimg_open(in_dir("7-cp1"), 0, &self->err);
	ASSERT_GOOD(img, self->err);
	area = cpimg_areas(img, &count);
	ASSERT_EQ(3, count);
	EXPECT_EQ(0, memcmp(area, three, sizeof(three)));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		EXPECT_EQ(rows[i].covered, cpimg_covers(img, rows[i].addr))
			TH_LOG("0x%lx", (unsigned long)rows[i].addr);
		if (cpimg_find(img, rows[i].addr))
			continue;
		EXPECT_EQ(-1, cpimg_pread(img, rows[i].addr, &byte, 1, &self->err));
		EXPECT_NE(NULL, strstr(self->err.text, rows[i].covered ?
				       ": not mapped" : ": outside its range"))
			TH_LOG("%s", self->err.text);
	}
	cpimg_close(img);

	save("7-cp1", typical(variant->bits));
	img = cpimg_open(in_dir("7-cp1"), 0, &self->err);
	ASSERT_GOOD(img, self->err);
	area = cpimg_areas(img, &count);
	ASSERT_EQ(1, count);
	EXPECT_EQ(0x80000, area->start);
	EXPECT_EQ(0x300000, area->end);
	cpimg_close(img);
}

static void areas_none(struct plan *p, struct cp_span *a) { p->area = NULL; }
static void areas_zero(struct plan *p, struct cp_span *a)
{
	areas_none(p, a);
	p->note.nr_areas = 0;
}
static void areas_one(struct plan *p, struct cp_span *a)
{
	p->note.nr_areas = p->nr_areas = 1;
	a->end = p->note.end;
}
static void areas_old(struct plan *p, struct cp_span *a) { set_version1(p); }
static void areas_more(struct plan *p, struct cp_span *a) { p->note.nr_areas++; }
static void areas_many(struct plan *p, struct cp_span *a) { p->note.nr_areas = UINT32_MAX; }
static void areas_fewer(struct plan *p, struct cp_span *a) { p->nr_areas = 2; }
static void areas_empty_note(struct plan *p, struct cp_span *a) { p->nr_areas = 0; }
static void areas_start(struct plan *p, struct cp_span *a) { a[1].start++; }
static void areas_end(struct plan *p, struct cp_span *a) { a[1].end++; }
static void areas_empty(struct plan *p, struct cp_span *a) { a[1].end = a[1].start; }
static void areas_back(struct plan *p, struct cp_span *a) { a[1].end -= 2 * PAGE; }
static void areas_order(struct plan *p, struct cp_span *a)
{
	struct cp_span first = a[0];

	a[0] = a[1];
	a[1] = first;
}
static void areas_overlap(struct plan *p, struct cp_span *a) { a[1].start = 0x102000; }
static void areas_touch(struct plan *p, struct cp_span *a) { a[1].start = 0x103000; }
static void areas_first(struct plan *p, struct cp_span *a) { a[0].start = 0xff000; }
static void areas_last(struct plan *p, struct cp_span *a) { a[2].end = 0x301000; }
static void areas_run_between(struct plan *p, struct cp_span *a)
{
	p->run[1].page = 0x104;
}
static void areas_run_into(struct plan *p, struct cp_span *a)
{
	p->run[0].pages = 4;
	count(p);
}
static void areas_run_across(struct plan *p, struct cp_span *a)
{
	p->run[1].pages = 0x100;
	p->nr = 2;
	count(p);
}

TEST_F(reader, each_check_of_ranges_names_the_field)
{
	static const struct {
		void		(*spoil)(struct plan *p, struct cp_span *a);
		const char	*says;
	} rows[] = {
		{ areas_none, "note.nr_areas is 0x3: several ranges, and no CP_AREAS note" },
		{ areas_zero, "note.nr_areas is 0x0: an image is of one range at least" },
		{ areas_one, "note.nr_areas is 0x1: one range, and a CP_AREAS note" },
		{ areas_old, "note.nr_areas is 0x1: one range, and a CP_AREAS note" },
		{ areas_more, "note.nr_areas is 4: the CP_AREAS note has 3" },
		{ areas_many, "note.nr_areas is 4294967295: the CP_AREAS note has 3" },
		{ areas_fewer, "note.nr_areas is 3: the CP_AREAS note has 2" },
		{ areas_empty_note, "note.nr_areas is 3: the CP_AREAS note has 0" },
		{ areas_start, "start of area 1 is 0x106001: not a page's" },
		{ areas_end, "end of area 1 is 0x107001: not a page's" },
		{ areas_empty, "start of area 1 is 0x106000: not below its end" },
		{ areas_back, "start of area 1 is 0x106000: not below its end" },
		{ areas_order, "start of area 1 is 0x100000: not above the area before it" },
		{ areas_overlap, "start of area 1 is 0x102000: not above the area before it" },
		{ areas_touch, "start of area 1 is 0x103000: no gap between it" },
		{ areas_first, "start of area 0 is 0xff000: not note.start" },
		{ areas_last, "end of the last area is 0x301000: not note.end" },
		{ areas_run_between, "p_vaddr of program header 2 is 0x104000: the run is not in one of" },
		{ areas_run_into, "p_vaddr of program header 1 is 0x100000: the run is not in one of" },
		{ areas_run_across, "p_vaddr of program header 2 is 0x106000: the run is not in one of" },
	};
	struct other_note notes[2];
	struct cp_span areas[3];
	struct plan p;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		memcpy(areas, three, sizeof(areas));
		p = of_three(variant->bits);
		p.xnum = variant->xnum;
		p.area = areas;
		rows[i].spoil(&p, areas);
		save("7-cp1", p);
		EXPECT_EQ(NULL, cpimg_open(in_dir("7-cp1"), 0, &self->err))
			TH_LOG("accepted, though %s", rows[i].says);
		EXPECT_EQ(CPIMG_ERR_FORMAT, self->err.code);
		EXPECT_NE(NULL, strstr(self->err.text, rows[i].says))
			TH_LOG("not \"%s\" but \"%s\"", rows[i].says, self->err.text);
	}

	p = of_three(variant->bits);
	notes[0] = (struct other_note) { CP_NOTE_OWNER, CP_AREAS_TYPE, three, sizeof(three) };
	p.more = notes;
	p.nr_more = 1;
	save("7-cp1", p);
	EXPECT_EQ(NULL, cpimg_open(in_dir("7-cp1"), 0, &self->err));
	EXPECT_NE(NULL, strstr(self->err.text, "a second CP_AREAS note")) TH_LOG("%s", self->err.text);
	p.area = NULL;
	notes[0].size -= 8;
	save("7-cp1", p);
	EXPECT_EQ(NULL, cpimg_open(in_dir("7-cp1"), 0, &self->err));
	EXPECT_NE(NULL, strstr(self->err.text, "size of the CP_AREAS note is 0x28: not a number of ranges"))
		TH_LOG("%s", self->err.text);
	/* One of that type that is somebody else's says nothing. */
	notes[0] = (struct other_note) { "OTHER", CP_AREAS_TYPE, three, sizeof(three) };
	p = typical(variant->bits);
	p.more = notes;
	p.nr_more = 1;
	save("7-cp1", p);
	cpimg_close(cpimg_open(in_dir("7-cp1"), 0, &self->err));
	EXPECT_EQ(CPIMG_OK, self->err.code) TH_LOG("%s", self->err.text);
}

TEST_F(reader, nonsense_about_ranges_with_a_right_crc_never_crashes)
{
	struct plan p = of_three(variant->bits);
	uint32_t seed = 1;
	int opened = 0;

	p.xnum = variant->xnum;
	for (int round = 0; round < 3000; round++) {
		unsigned char *note;

		compose(self->im, &p);
		note = self->im->bytes + self->im->cp_note - 24 - sizeof(three);
		ASSERT_EQ(0, memcmp(note, three, sizeof(three)));
		for (int i = 0; i < 1 + round % 3; i++) {
			seed = seed * 1103515245 + 12345;
			note[(seed >> 8) % sizeof(three)] = seed >> 16;
		}
		opened += opens_and_answers(self->im, &self->err);
	}
	EXPECT_LT(0, opened);
	EXPECT_GT(3000, opened);
}

/* Everything; A and C, but not B between them; everything again. */
static void save_chain_of_ranges(int bits, const struct piece *last, int nr)
{
	static const struct piece full[] = {
		DATA(0x100, 4, 'a'), DATA(0x110, 4, 'b'), DATA(0x120, 4, 'c'),
		DATA(0x130, 1, 'x'),
	}, middle[] = {
		DATA(0x100, 1, 'd'), SAME(0x101, 3), SAME(0x120, 3), DATA(0x123, 1, 'e'),
	};
	static const struct cp_span areas[] = { AREA(0x100, 0x108), AREA(0x120, 0x134) };
	struct plan p = plan(bits, 1, 0, 0x80, 0x200, ARRAY_SIZE(middle), middle);

	set_areas(&p, areas, 2);
	save("7-cp0", plan(bits, 0, -1, 0x80, 0x200, ARRAY_SIZE(full), full));
	save("7-cp1", p);
	save("7-cp2", plan(bits, 2, 1, 0x80, 0x200, nr, last));
}

TEST_F(reader, same_goes_past_an_image_that_did_not_look_between)
{
	static const struct piece last[] = {
		SAME(0x100, 4), SAME(0x110, 4), SAME(0x120, 4),
	};
	static const struct {
		size_t		index;
		uint64_t	page;
		int		cls;
		int		image;
		char		byte;
		uint64_t	end;	/* of the piece, in pages */
	} rows[] = {
		{ 2, 0x100, CPIMG_DATA, 1, 'd', 0x101 }, { 2, 0x101, CPIMG_DATA, 0, 'a', 0x104 },
		/* B: image 1 knows nothing of it */
		{ 2, 0x110, CPIMG_DATA, 0, 'b', 0x114 }, { 2, 0x113, CPIMG_DATA, 0, 'b', 0x114 },
		{ 2, 0x120, CPIMG_DATA, 0, 'c', 0x123 }, { 2, 0x123, CPIMG_DATA, 1, 'e', 0x124 },
		{ 2, 0x104, CPIMG_NONE, -1, 0, 0x110 },
		/* that image by itself: up to the end of A, of the gap, and of C */
		{ 1, 0x0ff, CPIMG_NONE, -1, 0, 0x100 }, { 1, 0x104, CPIMG_NONE, -1, 0, 0x108 },
		{ 1, 0x108, CPIMG_NONE, -1, 0, 0x120 }, { 1, 0x110, CPIMG_NONE, -1, 0, 0x120 },
		{ 1, 0x124, CPIMG_NONE, -1, 0, 0x134 },
		{ 1, 0x120, CPIMG_DATA, 0, 'c', 0x123 },
	};
	struct cpimg_chain *chain;
	struct cpimg_list list;
	struct cpimg_piece p;
	char byte;

	save_chain_of_ranges(variant->bits, last, ARRAY_SIZE(last));
	chain = cpimg_chain_open(in_dir("7-cp2"), NULL, 0, &self->err);
	ASSERT_GOOD(chain, self->err);
	EXPECT_EQ(0, cpimg_chain_verify(chain, &self->err)) TH_LOG("%s", self->err.text);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ASSERT_EQ(0, cpimg_chain_resolve(chain, rows[i].index, rows[i].page * PAGE,
						 &p, &self->err)) TH_LOG("%s", self->err.text);
		EXPECT_EQ(rows[i].cls, p.cls) TH_LOG("row %zu", i);
		EXPECT_EQ(rows[i].end * PAGE, p.end) TH_LOG("row %zu: 0x%lx", i, (long)p.end);
		EXPECT_EQ(rows[i].image < 0 ? NULL : cpimg_chain_image(chain, rows[i].image), p.img)
			TH_LOG("row %zu", i);
		if (!rows[i].byte)
			continue;
		ASSERT_EQ(0, cpimg_chain_read(chain, rows[i].index, rows[i].page * PAGE,
					      &byte, 1, &self->err));
		EXPECT_EQ(rows[i].byte, byte) TH_LOG("row %zu", i);
	}
	EXPECT_EQ(-1, cpimg_chain_read(chain, 1, 0x104000, &byte, 1, &self->err));
	EXPECT_NE(NULL, strstr(self->err.text, "0x104000: not mapped")) TH_LOG("%s", self->err.text);
	EXPECT_EQ(-1, cpimg_chain_read(chain, 1, 0x110000, &byte, 1, &self->err));
	EXPECT_NE(NULL, strstr(self->err.text, "0x110000: outside its range"))
		TH_LOG("%s", self->err.text);

	/* All that image 1 says: nothing from 0x108 to 0x120. */
	ASSERT_EQ(0, cpimg_chain_list(chain, 1, false, 0, UINT64_MAX, &list, &self->err));
	for (size_t i = 0; i < list.count; i++) {
		EXPECT_TRUE(list.piece[i].end <= 0x108000 || list.piece[i].start >= 0x120000)
			TH_LOG("0x%lx to 0x%lx", (long)list.piece[i].start, (long)list.piece[i].end);
	}
	EXPECT_EQ(0x100000, list.piece[0].start);
	EXPECT_EQ(0x134000, list.piece[list.count - 1].end);
	cpimg_list_free(&list);
	cpimg_chain_close(chain);
}

TEST_F(reader, same_in_what_the_parent_looked_at_and_did_not_find_is_an_error)
{
	static const struct piece wrong[][1] = {
		{ SAME(0x130, 1) },	/* image 1 looked there, and it had gone */
		{ SAME(0x10f, 2) },	/* between: its first page was not mapped in image 0 */
		{ SAME(0x107, 2) },	/* not mapped in A */
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct cpimg_chain *chain;

		save_chain_of_ranges(variant->bits, wrong[i], 1);
		chain = cpimg_chain_open(in_dir("7-cp2"), NULL, 0, &self->err);
		ASSERT_GOOD(chain, self->err);
		EXPECT_EQ(-1, cpimg_chain_verify(chain, &self->err)) TH_LOG("row %zu", i);
		EXPECT_EQ(CPIMG_ERR_CHAIN, self->err.code);
		EXPECT_NE(NULL, strstr(self->err.text, "SAME at 0x1")) TH_LOG("%s", self->err.text);
		cpimg_chain_close(chain);
	}
}

/*
 * The note that says which files memory was mapped from
 */

struct files_note {
	struct cp_files	head;
	struct cp_file	file[2];
	struct cp_map	map[2];
	char		names[24];
};

static struct files_note typical_files(void)
{
	struct files_note f = {
		.head = {
			.version = 1, .file_size = sizeof(f.file[0]),
			.map_size = sizeof(f.map[0]), .nr_files = 2, .nr_maps = 2,
			.names_size = sizeof(f.names),
		},
		.file = {
			{ .ino = 11, .size = 0x5000, .flags = CP_FILE_STAYS, .name = 0 },
			{ .ino = 12, .size = 0x1234, .name = 7, .build_id_size = 20 },
		},
		.map = {
			{ 0x102000, 0x104000, 0x7000, 1, 0 },
			{ 0x200000, 0x210000, 0x3000, 0, 0 },
		},
		.names = "/bin/a\0/lib/b (deleted)",
	};

	return f;
}

static struct plan with_files(int bits, bool xnum, const struct files_note *f,
			      struct other_note *note)
{
	struct plan p = typical(bits);

	*note = (struct other_note) { CP_NOTE_OWNER, CP_FILES_TYPE, f, sizeof(*f) };
	p.xnum = xnum;
	p.more = note;
	p.nr_more = 1;
	return p;
}

TEST_F(reader, files_are_named)
{
	struct files_note f = typical_files();
	struct cpimg_mapped m;
	struct other_note note;
	struct cpimg *img;
	char byte;

	save("7-cp1", with_files(variant->bits, variant->xnum, &f, &note));
	img = cpimg_open(in_dir("7-cp1"), 0, &self->err);
	ASSERT_GOOD(img, self->err);
	EXPECT_TRUE(cpimg_has_files(img));
	EXPECT_FALSE(cpimg_mapped_file(img, 0x101fff, &m));
	EXPECT_FALSE(cpimg_mapped_file(img, 0x104000, &m));
	EXPECT_FALSE(cpimg_mapped_file(img, 0x210000, &m));
	EXPECT_FALSE(cpimg_mapped_file(img, UINT64_MAX, &m));
	ASSERT_TRUE(cpimg_mapped_file(img, 0x102000, &m));
	EXPECT_STREQ("/lib/b (deleted)", m.name);
	EXPECT_EQ(12, m.file.ino);
	EXPECT_EQ(0x7000, m.offset);
	ASSERT_TRUE(cpimg_mapped_file(img, 0x20ffff, &m));
	EXPECT_STREQ("/bin/a", m.name);
	EXPECT_EQ(0x200000, m.start);
	EXPECT_EQ(0x210000, m.end);
	EXPECT_EQ(CP_FILE_STAYS, m.file.flags);

	/* Whoever wants the bytes is told where they are. */
	EXPECT_EQ(-1, cpimg_pread(img, 0x201010, &byte, 1, &self->err));
	EXPECT_NE(NULL, strstr(self->err.text, "they are in /bin/a at 0x4010"))
		TH_LOG("%s", self->err.text);
	cpimg_close(img);

	save("7-cp1", typical(variant->bits));
	img = cpimg_open(in_dir("7-cp1"), 0, &self->err);
	ASSERT_GOOD(img, self->err);
	EXPECT_FALSE(cpimg_has_files(img));
	EXPECT_FALSE(cpimg_mapped_file(img, 0x200000, &m));
	cpimg_close(img);
}

static void files_version(struct files_note *f) { f->head.version = 0; }
static void files_file_size(struct files_note *f) { f->head.file_size = 79; }
static void files_map_size(struct files_note *f) { f->head.map_size = 31; }
static void files_files(struct files_note *f) { f->head.nr_files = 6; }
static void files_files2(struct files_note *f) { f->head.nr_files = UINT32_MAX; }
static void files_maps(struct files_note *f) { f->head.nr_maps = UINT32_MAX; }
static void files_maps2(struct files_note *f) { f->head.nr_maps = 3; }
static void files_names(struct files_note *f) { f->head.names_size = 25; }
static void files_end(struct files_note *f) { f->names[23] = 'x'; }
static void files_name(struct files_note *f) { f->file[1].name = 24; }
static void files_id(struct files_note *f) { f->file[1].build_id_size = 21; }
static void files_index(struct files_note *f) { f->map[0].file = 2; }
static void files_empty(struct files_note *f) { f->map[0].end = f->map[0].start; }
static void files_order(struct files_note *f) { f->map[1].start = 0x103000; }

TEST_F(reader, each_check_of_files_names_the_field)
{
	static const struct {
		void		(*spoil)(struct files_note *f);
		const char	*field;
	} rows[] = {
		{ files_version, "version of the CP_FILES note" },
		{ files_file_size, "file_size" }, { files_map_size, "map_size" },
		{ files_files, "nr_files" }, { files_files2, "nr_files" },
		{ files_maps, "nr_maps" }, { files_maps2, "nr_maps" },
		{ files_names, "names_size" }, { files_end, "names_size" },
		{ files_name, "name of a file" }, { files_id, "build_id_size" },
		{ files_index, "file of a map" }, { files_empty, "start of a map" },
		{ files_order, "start of a map" },
	};
	struct other_note notes[2];
	struct files_note f;
	struct plan p;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		f = typical_files();
		rows[i].spoil(&f);
		save("7-cp1", with_files(variant->bits, variant->xnum, &f, notes));
		EXPECT_EQ(NULL, cpimg_open(in_dir("7-cp1"), 0, &self->err))
			TH_LOG("%s: accepted", rows[i].field);
		EXPECT_NE(NULL, strstr(self->err.text, rows[i].field))
			TH_LOG("not about %s: %s", rows[i].field, self->err.text);
	}
	f = typical_files();
	p = with_files(variant->bits, variant->xnum, &f, notes);
	notes[1] = notes[0];
	p.nr_more = 2;
	save("7-cp1", p);
	EXPECT_EQ(NULL, cpimg_open(in_dir("7-cp1"), 0, &self->err));
	EXPECT_NE(NULL, strstr(self->err.text, "a second CP_FILES note"));
	notes[0].size = 8;
	p.nr_more = 1;
	save("7-cp1", p);
	EXPECT_EQ(NULL, cpimg_open(in_dir("7-cp1"), 0, &self->err));
	EXPECT_NE(NULL, strstr(self->err.text, "size of the CP_FILES note"));
}

/* A small ELF file with that build-id. */
static void save_elf(const char *path, char id)
{
	struct {
		Elf64_Ehdr	e;
		Elf64_Phdr	p;
		Elf64_Nhdr	n;
		char		name[4], id[20];
	} elf = {
		.e = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
			.e_type = ET_DYN, .e_machine = EM_X86_64, .e_version = 1,
			.e_ehsize = sizeof(elf.e), .e_phentsize = sizeof(elf.p),
			.e_phoff = sizeof(elf.e), .e_phnum = 1,
		},
		.p = {
			.p_type = PT_NOTE, .p_offset = sizeof(elf.e) + sizeof(elf.p),
			.p_filesz = 12 + 4 + 20, .p_align = 4,
		},
		.n = { 4, 20, 3 },
		.name = "GNU",
	};

	memset(elf.id, id, sizeof(elf.id));
	save_bytes(path, &elf, sizeof(elf));
}

static void set_mtime(const char *path, long sec, long nsec)
{
	struct timespec times[2] = { { 1, 0 }, { sec, nsec } };

	utimensat(AT_FDCWD, path, times, 0);
}

static struct cpimg_mapped mapped_from(const char *path)
{
	struct cpimg_mapped m = { .name = path };
	struct stat st;

	stat(path, &st);
	m.file = (struct cp_file) {
		.ino = st.st_ino, .size = st.st_size, .flags = CP_FILE_STAYS,
		.mtime_sec = st.st_mtim.tv_sec, .mtime_nsec = st.st_mtim.tv_nsec,
		.ctime_sec = st.st_ctim.tv_sec, .ctime_nsec = st.st_ctim.tv_nsec,
	};
	return m;
}

#define CHANGED(m, what) do { \
	EXPECT_EQ(-1, cpimg_check_file(m, NULL, &self->err)); \
	EXPECT_EQ(CPIMG_ERR_FILE, self->err.code); \
	EXPECT_EQ(&self->err.text[0], strstr(self->err.text, (m)->name)); \
	EXPECT_NE(NULL, strstr(self->err.text, what)) TH_LOG("%s", self->err.text); \
} while (0)

TEST_F(reader, a_file_that_changed_is_told)
{
	char *path = strdup(in_dir("file")), *other = strdup(in_dir("other"));
	struct cpimg_mapped m, n;

	save_elf(path, 'i');
	set_mtime(path, 1000, 5);
	m = mapped_from(path);
	EXPECT_EQ(0, cpimg_check_file(&m, NULL, &self->err)) TH_LOG("%s", self->err.text);
	/* after a reboot its file system may have another number */
	m.file.dev_major = 77;
	EXPECT_EQ(0, cpimg_check_file(&m, NULL, &self->err)) TH_LOG("%s", self->err.text);

	n = m, n.file.size++;
	CHANGED(&n, ": size is ");
	n = m, n.file.mtime_sec--;
	CHANGED(&n, ": mtime is 1000, and was 999 ");
	n = m, n.file.mtime_nsec++;
	CHANGED(&n, ": mtime, in ns of its second, is 5, and was 6 ");
	n = m, n.file.ctime_sec--;
	CHANGED(&n, ": ctime is ");
	n = m, n.file.ctime_nsec ^= 1;
	CHANGED(&n, ": ctime, in ns of its second, is ");
	n = m, n.file.ino++;
	CHANGED(&n, ": inode is ");
	n = m, n.name = in_dir("nowhere");
	CHANGED(&n, "No such file");
	n = m, n.name = dir;
	CHANGED(&n, "not a regular file");

	/* The same package, installed again. */
	n = m;
	n.file.ino++, n.file.build_id_size = 20;
	memset(n.file.build_id, 'i', 20);
	EXPECT_EQ(0, cpimg_check_file(&n, NULL, &self->err)) TH_LOG("%s", self->err.text);
	n.file.ino--, n.file.ctime_nsec ^= 1;
	EXPECT_EQ(0, cpimg_check_file(&n, NULL, &self->err)) TH_LOG("%s", self->err.text);
	n.file.build_id[19]++;
	CHANGED(&n, ": ctime, ");
	n.file.build_id[19]--, n.file.build_id_size = 19;
	CHANGED(&n, ": ctime, ");
	n.file.build_id_size = 20, n.file.mtime_sec++;
	CHANGED(&n, ": mtime is ");

	/* Somewhere else, where a person says. */
	save_elf(other, 'j');
	set_mtime(other, 1000, 5);
	n = m;
	EXPECT_EQ(-1, cpimg_check_file(&n, other, &self->err));
	EXPECT_EQ(&self->err.text[0], strstr(self->err.text, other));
	n.file.build_id_size = 20;
	memset(n.file.build_id, 'j', 20);
	EXPECT_EQ(0, cpimg_check_file(&n, other, &self->err)) TH_LOG("%s", self->err.text);
	free(path);
	free(other);
}

/*
 * Whose file it is
 */

#define NOT_OURS() do { \
	save_bytes(in_dir("core"), self->im->bytes, self->im->size); \
	EXPECT_EQ(NULL, cpimg_open(in_dir("core"), 0, &self->err)); \
	EXPECT_EQ(CPIMG_ERR_FORMAT, self->err.code); \
	EXPECT_NE(NULL, strstr(self->err.text, "/core: a core file, but not written by cp_range")) \
		TH_LOG("%s", self->err.text); \
} while (0)

TEST_F(reader, the_core_file_of_somebody_else_is_told_apart_before_any_field)
{
	struct plan p = typical(variant->bits);
	bool wide = variant->bits == 64;
	char *owner;

	p.xnum = variant->xnum;
	compose(self->im, &p);
	owner = memmem(self->im->bytes, self->im->size, CP_NOTE_OWNER, sizeof(CP_NOTE_OWNER));
	ASSERT_NE(NULL, owner);
	memcpy(owner, "SOMEBODY", 8);
	NOT_OURS();
	/* The CRC does not matter, nor do fields that would be wrong in an image. */
	self->im->bytes[self->im->phdrs + 80]++;
	NOT_OURS();
	/* gdb's have sections */
	self->im->bytes[wide ? 60 : 48] = 30;
	NOT_OURS();
	/* no notes at all */
	memset(self->im->bytes + self->im->phdrs, 0, 4);
	NOT_OURS();
	/* A header that leads nowhere is one of a damaged file, whoever's it was. */
	memset(self->im->bytes + (wide ? 32 : 28), 0x7f, 4);
	save_bytes(in_dir("core"), self->im->bytes, self->im->size);
	EXPECT_EQ(NULL, cpimg_open(in_dir("core"), 0, &self->err));
	EXPECT_EQ(NULL, strstr(self->err.text, "not written by")) TH_LOG("%s", self->err.text);
}

TEST_F(reader, the_core_file_of_another_byte_order)
{
	/* of a 64-bit machine: the header, one PT_NOTE, one note */
	static const unsigned char core[] = {
		0x7f, 'E', 'L', 'F', 2, 2, 1, [17] = 4, [19] = 21, [23] = 1,
		[39] = 64, [53] = 64, [55] = 56, [57] = 1,
		[67] = 4, [79] = 120, [103] = 20,
		[123] = 5, [127] = 0, [131] = 1, 'C', 'O', 'R', 'E', [139] = 0,
	};

	ASSERT_EQ(140, sizeof(core));
	memcpy(self->im->bytes, core, sizeof(core));
	self->im->size = sizeof(core);
	NOT_OURS();
}

/*
 * Chains whose files are not where their names say
 */

#define OPENS(path, in) do { \
	struct cpimg_chain *chain_ = cpimg_chain_open(path, in, 0, &self->err); \
	ASSERT_GOOD(chain_, self->err); \
	EXPECT_EQ(3, cpimg_chain_length(chain_)); \
	EXPECT_EQ(0, cpimg_chain_verify(chain_, &self->err)); \
	ASSERT_EQ(0, cpimg_chain_read(chain_, 2, 0x100000, &byte, 1, &self->err)); \
	EXPECT_EQ('a', byte); \
	cpimg_chain_close(chain_); \
} while (0)

TEST_F(reader, images_that_were_renamed_are_found_by_their_ids)
{
	char byte, *folder = strdup(dir);

	save_chain(variant->bits);
	save_bytes(in_dir("text"), "no image", 8);
	ASSERT_EQ(0, mkfifo(in_dir("fifo"), 0600));
	ASSERT_EQ(0, rename(in_dir("7-cp0"), in_dir("the first, of monday")));
	OPENS(in_dir("7-cp2"), NULL);
	ASSERT_EQ(0, rename(in_dir("7-cp1"), in_dir("7-cp0")));
	OPENS(in_dir("7-cp2"), NULL);
	ASSERT_EQ(0, rename(in_dir("7-cp2"), in_dir("7-cp1")));
	OPENS(in_dir("7-cp1"), NULL);
	/* All of them elsewhere, and damaged ones under their names. */
	ASSERT_EQ(0, mkdir(in_dir("sub"), 0700));
	ASSERT_EQ(0, rename(in_dir("7-cp1"), in_dir("sub/x")));
	save_bytes(in_dir("7-cp1"), "", 0);
	OPENS(in_dir("sub/x"), folder);
	/* One that is nowhere is still named. */
	ASSERT_EQ(0, unlink(in_dir("the first, of monday")));
	EXPECT_EQ(NULL, cpimg_chain_open(in_dir("sub/x"), folder, 0, &self->err));
	EXPECT_NE(NULL, strstr(self->err.text, "7-cp0")) TH_LOG("%s", self->err.text);
	free(folder);
}

TEST_F(reader, a_symbolic_link_stands_for_the_image)
{
	static const struct piece data[] = { DATA(0x100, 4, 'x') };
	char byte;

	save_chain(variant->bits);
	ASSERT_EQ(0, mkdir(in_dir("sub"), 0700));
	ASSERT_EQ(0, symlink("../7-cp2", in_dir("sub/newest")));
	OPENS(in_dir("sub/newest"), NULL);
	/* another image lies beside the link, under the parent's name */
	save("sub/7-cp1", plan(variant->bits, 5, -1, 0x80, 0x200, 1, data));
	OPENS(in_dir("sub/newest"), NULL);
	ASSERT_EQ(0, symlink("sub/newest", in_dir("link")));
	OPENS(in_dir("link"), NULL);
}

/*
 * More images than files may be open
 */

#define LONG	400

static void set_limit(rlim_t files)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = files;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Image i has page 0x100 + i % 50 with its own byte, and SAME all around. */
static void save_long_chain(int bits)
{
	for (int i = 0; i < LONG; i++) {
		uint64_t at = 0x100 + i % 50;
		struct piece runs[] = {
			SAME(0x100, at - 0x100), DATA(at, 1, 1 + i % 200),
			SAME(at + 1, 0x131 - at),
		}, full[] = { DATA(0x100, 1, 1), HOLE(0x101, 49, CP_HOLE_ZERO) };
		struct plan p;
		char name[32];

		if (!i)
			p = plan(bits, 0, -1, 0x80, 0x200, 2, full);
		else if (at == 0x100)
			p = plan(bits, i, i - 1, 0x80, 0x200, 2, runs + 1);
		else
			p = plan(bits, i, i - 1, 0x80, 0x200, at == 0x131 ? 2 : 3, runs);
		/* composed images of one digit are the usual ones */
		memset(p.note.id, 0, sizeof(p.note.id));
		memset(p.note.parent_id, 0, sizeof(p.note.parent_id));
		snprintf((char *)p.note.id, sizeof(p.note.id), "id%d", i);
		if (i)
			snprintf((char *)p.note.parent_id, sizeof(p.note.parent_id),
				 "id%d", i - 1);
		snprintf(name, sizeof(name), "7-cp%d", i);
		save(name, p);
	}
}

/* What page 0x100 + @page has at checkpoint @index. */
static int long_byte(int page, int index)
{
	int i = index - (index % 50 - page + 50) % 50;

	return i < 0 ? 0 : 1 + i % 200;
}

static const struct cpimg_chain *shared_chain;

static void *read_at_random(void *arg)
{
	unsigned int seed = (uintptr_t)arg;
	size_t wrong = 0;

	for (int i = 0; i < 3000; i++) {
		int index = rand_r(&seed) % LONG, page = rand_r(&seed) % 50;
		unsigned char byte;
		struct cpimg_elfnote en;

		if (cpimg_chain_read(shared_chain, index,
				     (0x100 + page) * PAGE + i % PAGE, &byte, 1, NULL) ||
		    byte != long_byte(page, index) ||
		    !cpimg_find_note(cpimg_chain_image(shared_chain, index), "LINUX",
				     0x202, &en))
			wrong++;
	}
	return (void *)wrong;
}

TEST_F(reader, a_chain_longer_than_the_limit_of_open_files_by_many_threads)
{
	struct cpimg_chain *chain;
	pthread_t threads[4];
	void *wrong;

	save_long_chain(variant->bits);
	set_limit(24);
	chain = cpimg_chain_open(in_dir("7-cp399"), NULL, 0, &self->err);
	ASSERT_GOOD(chain, self->err);
	ASSERT_EQ(LONG, cpimg_chain_length(chain));
	EXPECT_EQ(0, cpimg_chain_verify(chain, &self->err)) TH_LOG("%s", self->err.text);
	shared_chain = chain;
	for (uintptr_t i = 0; i < ARRAY_SIZE(threads); i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, read_at_random, (void *)i));
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		ASSERT_EQ(0, pthread_join(threads[i], &wrong));
		EXPECT_EQ(NULL, wrong) TH_LOG("thread %zu: %zu wrong", i, (size_t)wrong);
	}
	/* As many as there are, and then no more: an error, not a crash. */
	for (int i = 0; i < 6; i++) {
		EXPECT_LE(0, cpimg_fd(cpimg_chain_image(chain, 100 + i)));
	}
	EXPECT_EQ(-1, cpimg_fd(cpimg_chain_image(chain, 200)));
	cpimg_chain_close(chain);
	set_limit(1024);
}

TEST_F(reader, a_file_of_a_long_chain_that_was_replaced)
{
	struct cpimg_chain *chain;
	unsigned char byte;

	save_long_chain(variant->bits);
	set_limit(24);
	chain = cpimg_chain_open(in_dir("7-cp399"), NULL, 0, &self->err);
	ASSERT_GOOD(chain, self->err);
	/* 7-cp351 has page 1 of the newest checkpoint */
	ASSERT_EQ(0, rename(in_dir("7-cp351"), in_dir("aside")));
	EXPECT_EQ(-1, cpimg_chain_read(chain, LONG - 1, 0x101000, &byte, 1, &self->err));
	EXPECT_NE(NULL, strstr(self->err.text, "7-cp351")) TH_LOG("%s", self->err.text);
	ASSERT_EQ(0, link(in_dir("7-cp301"), in_dir("7-cp351")));
	EXPECT_EQ(-1, cpimg_chain_read(chain, LONG - 1, 0x101000, &byte, 1, &self->err));
	EXPECT_NE(NULL, strstr(self->err.text, "is another file by now"))
		TH_LOG("%s", self->err.text);
	ASSERT_EQ(0, rename(in_dir("aside"), in_dir("7-cp351")));
	EXPECT_EQ(0, cpimg_chain_read(chain, LONG - 1, 0x101000, &byte, 1, &self->err))
		TH_LOG("%s", self->err.text);
	EXPECT_EQ(long_byte(1, LONG - 1), byte);
	cpimg_chain_close(chain);
	set_limit(1024);
}

/*
 * The list of a whole chain says at each page what resolving it says.
 */

#define PAGES	12

static void save_random_chain(int bits, int length, unsigned int *seed,
			      unsigned int *several)
{
	for (int n = 0; n < length; n++) {
		uint64_t from = n ? rand_r(seed) % 3 : 0;
		uint64_t to = n ? PAGES - rand_r(seed) % 3 : PAGES, at = from;
		struct cp_span areas[PAGES] = { AREA(0x100 + from, 0x100 + to) };
		struct piece runs[RUNS];
		struct plan p;
		int nr = 0, nr_areas = 1;
		char name[16];

		while (at < to && nr < RUNS) {
			/* little that nothing can be the same as */
			int what = rand_r(seed) % 30;
			uint64_t pages = what < 2 ? 1 : 2 + rand_r(seed) % 3;

			if (pages > to - at)
				pages = to - at;
			/* it did not look there */
			if (what > 25 && n && at + pages < to &&
			    areas[nr_areas - 1].start < (0x100 + at) * PAGE) {
				areas[nr_areas - 1].end = (0x100 + at) * PAGE;
				areas[nr_areas++] = (struct cp_span)
					AREA(0x100 + at + pages, 0x100 + to);
				at += pages;
				continue;
			}
			if (what == 0 && n > 1)
				;	/* not mapped */
			else if (what == 1 && n > 1)
				runs[nr++] = (struct piece) SKIPPED(0x100 + at, pages,
								    CP_SKIP_LOCKED);
			else if (what < 6)
				runs[nr++] = (struct piece) HOLE(0x100 + at, pages, CP_HOLE_ZERO);
			else if (what < 14 || !n)
				runs[nr++] = (struct piece) DATA(0x100 + at, pages, 'a' + n);
			else
				runs[nr++] = (struct piece) SAME(0x100 + at, pages);
			at += pages;
		}
		p = plan(bits, n, n - 1, 0x100 + from, 0x100 + to, nr, runs);
		set_areas(&p, areas, nr_areas);
		*several += nr_areas > 1;
		snprintf(name, sizeof(name), "7-cp%d", n);
		save(name, p);
	}
}

/* Resolved as the view of all ranges is: in the newest image whose range has it. */
static int resolve_older(const struct cpimg_chain *chain, size_t index, bool older,
			 uint64_t addr, struct cpimg_piece *p, bool *covered)
{
	while (older && index && !cpimg_covers(cpimg_chain_image(chain, index), addr))
		index--;
	*covered = cpimg_covers(cpimg_chain_image(chain, index), addr);
	return cpimg_chain_resolve(chain, index, addr, p, NULL);
}

static size_t compare_list(const struct cpimg_chain *chain, size_t index, bool older,
			   const struct cpimg_list *list)
{
	size_t at = 0, wrong = 0;

	for (uint64_t page = 0x100; page < 0x100 + PAGES; page++) {
		uint64_t addr = page * PAGE;
		struct cpimg_piece p;
		bool covered;

		if (resolve_older(chain, index, older, addr, &p, &covered))
			continue;
		while (at < list->count && list->piece[at].end <= addr)
			at++;
		if (at < list->count && list->piece[at].start <= addr) {
			const struct cpimg_piece *q = &list->piece[at];

			wrong += !covered || q->cls != p.cls || q->img != p.img ||
				 q->run != p.run || q->reason != p.reason ||
				 (q->cls != CPIMG_NONE && q->prot != p.prot) ||
				 (q->cls == CPIMG_DATA &&
				  q->offset + (addr - q->start) != p.offset);
		} else {
			wrong += covered;
		}
	}
	return wrong;
}

TEST_F(reader, a_chain_as_a_list_says_what_it_says_page_by_page)
{
	unsigned int seed = 1, lists = 0, contradictions = 0, bad_chains = 0, several = 0;
	struct cpimg_error *err = &self->err;

	for (int round = 0; round < 250; round++) {
		int length = 2 + rand_r(&seed) % 5;
		struct cpimg_chain *chain;
		bool bad = false;
		char last[16];

		save_random_chain(variant->bits, length, &seed, &several);
		snprintf(last, sizeof(last), "7-cp%d", length - 1);
		chain = cpimg_chain_open(in_dir(last), NULL, 0, err);
		ASSERT_GOOD(chain, *err);
		for (int k = 0; k < 2 * length; k++) {
			bool older = k % 2, covered, wrong = false;
			struct cpimg_list list;
			struct cpimg_piece p;

			for (uint64_t page = 0x100; page < 0x100 + PAGES; page++) {
				wrong |= resolve_older(chain, k / 2, older, page * PAGE,
						       &p, &covered) != 0;
			}
			bad |= wrong;
			ASSERT_EQ(wrong ? -1 : 0,
				  cpimg_chain_list(chain, k / 2, older, 0, UINT64_MAX,
						   &list, err)) TH_LOG("%s", err->text);
			contradictions += wrong;
			lists += !wrong;
			if (wrong)
				continue;
			ASSERT_EQ(0, compare_list(chain, k / 2, older, &list))
				TH_LOG("round %d, image %d", round, k / 2);
			cpimg_list_free(&list);
		}
		ASSERT_EQ(bad ? -1 : 0, cpimg_chain_verify(chain, err))
			TH_LOG("%s", err->text);
		bad_chains += bad;
		cpimg_chain_close(chain);
	}
	TH_LOG("%u lists, %u contradictions, %u of 250 chains bad, %u images of several ranges",
	       lists, contradictions, bad_chains, several);
	EXPECT_LT(100, several);
	EXPECT_LT(100, lists);
	EXPECT_LT(20, contradictions);
	EXPECT_LT(10, bad_chains);
	EXPECT_LT(bad_chains, 230);
}

/*
 * Back into memory: what lies between ranges is not touched
 */

#define AT	((uintptr_t)CP_FAR(0x20) / PAGE)

/* Ten pages, of which an image looks at 0, 1, 4, 5, 8 and 9, and finds 9 unmapped. */
static void save_far(int bits)
{
	static const struct piece full[] = { DATA(AT, 10, 'a') }, inc[] = {
		DATA(AT, 1, 'b'), SAME(AT + 1, 1), HOLE(AT + 4, 1, CP_HOLE_ZERO),
		SAME(AT + 5, 1), SAME(AT + 8, 1),
	};
	static const struct cp_span areas[] = {
		AREA(AT, AT + 2), AREA(AT + 4, AT + 6), AREA(AT + 8, AT + 10),
	};
	struct plan p = plan(bits, 1, 0, AT, AT + 10, ARRAY_SIZE(inc), inc);

	set_areas(&p, areas, 3);
	save("7-cp0", plan(bits, 0, -1, AT, AT + 10, 1, full));
	save("7-cp1", p);
}

static int note_left(const struct cpimg_piece *piece, void *arg)
{
	uint64_t (*left)[2] = arg;
	int i = 0;

	while (i < 4 && left[i][1])
		i++;
	left[i][0] = piece->start;
	left[i][1] = piece->end;
	return piece->cls == CPIMG_NONE ? 0 : -1;
}

#define IS(pages) EXPECT_EQ(NULL, differs_from(mem, pages))

/* As @pages says, a letter each; '.' is zeros. NULL, or a message. */
static const char *differs_from(const char *mem, const char *pages)
{
	static char why[64];

	for (size_t i = 0; i < 10 * PAGE; i++) {
		char want = pages[i / PAGE] == '.' ? 0 : pages[i / PAGE];

		if (mem[i] == want)
			continue;
		snprintf(why, sizeof(why), "byte 0x%zx is '%c'", i, mem[i]);
		puts(why);
		return why;
	}
	return NULL;
}

#define RESTORE(from, to) \
	cp_restore(chain, 1, mem + (from) * PAGE, mem + (to) * PAGE, &done, &self->err)

#define REFUSED(from, to, what, says) do { \
	EXPECT_EQ(-1, RESTORE(from, to)); \
	EXPECT_EQ(what, self->err.code); \
	EXPECT_NE(NULL, strstr(self->err.text, says)) TH_LOG("%s", self->err.text); \
	EXPECT_FALSE(done.touched); \
	IS("mmmmmmmmmm"); \
} while (0)

TEST_F(reader, restored_is_what_was_looked_at_and_what_lies_between_is_left)
{
	char *mem = CP_FAR(0x20), *next = mem + 2 * PAGE;
	struct cp_restored done = { 0 };
	uint64_t left[5][2] = { 0 };
	struct cpimg_chain *chain;
	char where[64];

	if (variant->bits != 8 * sizeof(void *))
		SKIP(return, "images of programs of other kinds are not restored");
	save_far(variant->bits);
	chain = cpimg_chain_open(in_dir("7-cp1"), NULL, 0, &self->err);
	ASSERT_GOOD(chain, self->err);
	ASSERT_EQ(0, cpimg_chain_verify(chain, &self->err)) TH_LOG("%s", self->err.text);
	ASSERT_EQ(mem, mmap(mem, 10 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	memset(mem, 'm', 10 * PAGE);

	/* Nobody has said that it may be left. */
	snprintf(where, sizeof(where), "0x%lx to 0x%lx is between the ranges",
		 (unsigned long)next, (unsigned long)next + 2 * PAGE);
	REFUSED(0, 6, CPIMG_ERR_LEFT, where);
	REFUSED(0, 9, CPIMG_ERR_LEFT, ", and 1 more: 16 KiB in all");
	REFUSED(1, 3, CPIMG_ERR_LEFT, "is between the ranges");
	done.flags = CP_RESTORE_UNMAPPED | CP_RESTORE_SKIPPED | CP_RESTORE_FILES;
	REFUSED(0, 6, CPIMG_ERR_LEFT, "is between the ranges");
	/* Nothing of it at all. */
	done.flags = CP_RESTORE_OUTSIDE;
	REFUSED(2, 4, CPIMG_ERR_NODATA, "lies between the 3 ranges");
	REFUSED(0, 11, CPIMG_ERR_NODATA, "the image has 0x");
	/* It has looked there, and there was nothing. */
	REFUSED(0, 10, CPIMG_ERR_LEFT, "nothing was mapped then");

	ASSERT_EQ(0, RESTORE(0, 9)) TH_LOG("%s", self->err.text);
	IS("bamm.ammam");
	EXPECT_EQ(4 * PAGE, done.outside);
	EXPECT_EQ(4 * PAGE, done.data);
	EXPECT_EQ(PAGE, done.zeros);
	EXPECT_EQ(0, done.unmapped + done.skipped);
	/* Each by itself needs no leave. */
	memset(mem, 'm', 10 * PAGE);
	done.flags = 0;
	ASSERT_EQ(0, RESTORE(0, 2)) TH_LOG("%s", self->err.text);
	ASSERT_EQ(0, RESTORE(5, 6)) TH_LOG("%s", self->err.text);
	IS("bammmammmm");
	/* Or who is asked gives it. */
	memset(mem, 'm', 10 * PAGE);
	done.left = note_left;
	done.arg = left;
	ASSERT_EQ(0, RESTORE(1, 9)) TH_LOG("%s", self->err.text);
	IS("mamm.ammam");
	EXPECT_EQ((uintptr_t)mem + 2 * PAGE, left[0][0]);
	EXPECT_EQ((uintptr_t)mem + 4 * PAGE, left[0][1]);
	EXPECT_EQ((uintptr_t)mem + 6 * PAGE, left[1][0]);
	EXPECT_EQ((uintptr_t)mem + 8 * PAGE, left[1][1]);
	EXPECT_EQ(0, left[2][1]);

	/* Between them may be what nobody could replace: a report, or nothing. */
	memset(mem, 'm', 10 * PAGE);
	done.left = NULL;
	done.flags = CP_RESTORE_OUTSIDE;
	memcpy(next, &done, sizeof(done));
	ASSERT_EQ(0, cp_restore(chain, 1, mem, mem + 9 * PAGE, (struct cp_restored *)next,
				&self->err)) TH_LOG("%s", self->err.text);
	EXPECT_EQ(4 * PAGE, ((struct cp_restored *)next)->outside);
	memset(next, 'm', PAGE);
	IS("bamm.ammam");
	ASSERT_EQ(0, munmap(next, 2 * PAGE));
	memset(mem, 'm', 2 * PAGE);
	ASSERT_EQ(0, RESTORE(0, 9)) TH_LOG("%s", self->err.text);
	EXPECT_EQ('b', mem[0]);
	EXPECT_EQ('a', mem[2 * PAGE - 1]);
	cpimg_chain_close(chain);
	munmap(mem, 10 * PAGE);
}

/*
 * Folders
 */

static void save_as(const char *name, struct plan p, unsigned int pid, unsigned int tid,
		    uint64_t time)
{
	p.note.pid = pid;
	p.note.tid = tid;
	p.note.realtime_ns = time;
	save(name, p);
}

#define NEWEST(pid, name) do { \
	char *path_ = cpimg_newest(dir, pid, &self->err); \
	ASSERT_NE(NULL, path_) TH_LOG("%s", self->err.text); \
	EXPECT_STREQ(name, strrchr(path_, '/') + 1); \
	free(path_); \
} while (0)

TEST_F(reader, the_newest_image_of_a_process)
{
	static const struct piece full[] = { DATA(0x100, 4, 'a') };
	static const struct piece inc[] = { SAME(0x100, 4) };
	struct plan p0 = plan(variant->bits, 0, -1, 0x80, 0x200, 1, full);
	struct plan p1 = plan(variant->bits, 1, 0, 0x80, 0x200, 1, inc);
	struct plan p2 = plan(variant->bits, 2, 1, 0x80, 0x200, 1, inc);
	struct plan p3 = plan(variant->bits, 3, 2, 0x80, 0x200, 1, inc);
	struct plan p9 = plan(variant->bits, 9, 8, 0x80, 0x200, 1, inc);
	const struct cpimg_entry *e;
	struct cpimg_folder *f;
	size_t count;

	EXPECT_EQ(NULL, cpimg_newest(dir, 0, &self->err));
	EXPECT_EQ(CPIMG_ERR_NODATA, self->err.code);
	EXPECT_EQ(NULL, cpimg_newest(in_dir("nowhere"), 0, &self->err));
	EXPECT_EQ(CPIMG_ERR_SYS, self->err.code);

	/* Three threads of process 7 in turn, and a process 8. */
	save_as("7-cp0", p0, 7, 7, 100);
	save_as("71-cp0", p1, 7, 71, 200);
	save_as("72-cp0", p2, 7, 72, 300);
	p0.note.id[2] = 'x';
	save_as("8-cp0", p0, 8, 8, 250);
	NEWEST(7, "72-cp0");
	NEWEST(8, "8-cp0");
	NEWEST(0, "72-cp0");
	/* Newer, but of no use: without parent, cut, unfinished. */
	save_as("7-cp9", p9, 7, 7, 900);
	save_as("7-cp10", p3, 7, 7, 1000);
	ASSERT_EQ(0, truncate(in_dir("7-cp10"), 4200));
	save_bytes(in_dir("7-cp11"), "", 0);
	save_bytes(in_dir("notes.txt"), "no image", 8);
	ASSERT_EQ(0, symlink("72-cp0", in_dir("latest")));
	ASSERT_EQ(0, symlink("nowhere", in_dir("7-cp12")));
	NEWEST(7, "72-cp0");
	save_as("anything", p3, 7, 7, 400);
	NEWEST(7, "anything");

	f = cpimg_folder_open(dir, &self->err);
	ASSERT_GOOD(f, self->err);
	e = cpimg_folder_entries(f, &count);
	/* 4 and 1 whole, 1 orphan, 2 broken; the link is none */
	ASSERT_EQ(8, count);
	EXPECT_STREQ("7-cp9", strrchr(e[0].path, '/') + 1);
	EXPECT_TRUE(e[0].known);
	EXPECT_EQ(0, e[0].length);
	EXPECT_EQ(CPIMG_NO_ENTRY, e[0].parent);
	EXPECT_STREQ("anything", strrchr(e[1].path, '/') + 1);
	EXPECT_EQ(4, e[1].length);
	EXPECT_EQ(0, e[1].children);
	EXPECT_STREQ("72-cp0", strrchr(e[e[1].parent].path, '/') + 1);
	EXPECT_EQ(3, e[e[1].parent].length);
	EXPECT_EQ(1, e[e[1].parent].children);
	for (int i = 6; i < 8; i++) {
		EXPECT_FALSE(e[i].known);
		EXPECT_NE(NULL, e[i].why);
		EXPECT_EQ(0, e[i].length);
	}
	cpimg_folder_close(f);
	if (!geteuid()) {
		ASSERT_EQ(0, chown(in_dir("anything"), 1234, 1234));
		NEWEST(7, "72-cp0");
	}
}

TEST_HARNESS_MAIN
