// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 */
/*
 * libcpimg believes nothing: images are composed here, right ones and wrong
 * ones, and no kernel that can write them is needed.
 */
#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include <zlib.h>

#include <cpimg.h>
#include "compose.h"
#include "harness.h"

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

FIXTURE_TEARDOWN(reader)
{
	static const char *const names[] = {
		"7-cp0", "7-cp1", "7-cp2", "7-cp3", "fifo",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unlink(in_dir(names[i]));
	rmdir(dir);
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

/* With a right CRC over wrong content, the other checks must hold alone. */
TEST_F(reader, nonsense_with_a_right_crc_never_crashes)
{
	struct plan p = typical(variant->bits);
	uint32_t seed = 1;
	int opened = 0;

	p.xnum = variant->xnum;
	for (int round = 0; round < 3000; round++) {
		struct cpimg *img;
		size_t at;

		compose(self->im, &p);
		for (int i = 0; i < 1 + round % 3; i++) {
			seed = seed * 1103515245 + 12345;
			at = self->im->notes + (seed >> 8) %
			     (self->im->size - self->im->notes);
			seed = seed * 1103515245 + 12345;
			self->im->bytes[at] = seed >> 16;
		}
		set_crc(self->im);
		save_bytes(in_dir("7-cp1"), self->im->bytes, self->im->size);
		img = cpimg_open(in_dir("7-cp1"), 0, &self->err);
		if (img)
			answer(img);
		opened += !!img;
		cpimg_close(img);
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

TEST_HARNESS_MAIN
