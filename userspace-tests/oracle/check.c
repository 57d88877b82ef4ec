// SPDX-License-Identifier: GPL-2.0
/*
 * Images against the model: memory is rebuilt from the chain. What was compared once,
 * the same bytes at the same place of the same image, is not compared again.
 */
#include "check.h"
#include "mapped.h"

#define PLACE_ZERO	1		/* the good place of zeros: no file offset */
#define PLACE_FILE	2		/* that of what is left to a file */

/* What the newest image leaves to files: a number that tells the bytes, or 0. */
static uint64_t left_to_file[MAX_PAGES];
static bool stays[NR_FILES];

static struct range left_out;

/* Pages of which it is not known what they hold during the next checkpoint. */
void check_leave_out(struct range at)
{
	left_out = at;
}

static void wrong(const struct cpimg *img, unsigned int page,
		  const struct cpimg_piece *piece, const char *what)
{
	const struct page *p = &pages[page];

	fail("page %u at %p of %s: %s; found %s %u prot %u (in %s), flags 0x%x prot %u, page %u of %s%s",
	     page, page_addr(page), cpimg_path(img), what,
	     cpimg_class_name(piece->cls), piece->reason, piece->prot,
	     piece->img ? cpimg_path(piece->img) : "none", p->flags, p->prot,
	     p->index, p->file == NO_FILE ? "no file" : files[p->file].name,
	     is_readable(p) && !same_page(page_addr(page), model_bytes(page)) ?
	     "; MEMORY ITSELF IS WRONG" : "");
}

/* Some pages of a piece at a time, for speed. */
static struct {
	uint64_t	start;
	uint64_t	end;
	unsigned char	bytes[16 * PAGE] __attribute__((aligned(8)));
} ahead;

static const unsigned char *read_piece(const struct cpimg_piece *piece,
				       uint64_t addr)
{
	struct cpimg_error err;
	size_t len = piece->end - addr;

	if (addr < ahead.start || addr >= ahead.end) {
		if (len > sizeof(ahead.bytes))
			len = sizeof(ahead.bytes);
		ahead.start = addr;
		ahead.end = addr + len;
		if (cpimg_pread(piece->img, addr, ahead.bytes, len, &err))
			fail("%s", err.text);
	}
	return ahead.bytes + (addr - ahead.start);
}

static void check_bytes(const struct cpimg *img, unsigned int page,
			const struct cpimg_piece *piece, uint64_t place)
{
	const unsigned char *model = model_bytes(page);
	struct page *p = &pages[page];
	const unsigned char *bytes;
	unsigned int at = 0;
	char what[128];

	if (p->good_place == place && p->good_version == model_version(page))
		return;
	bytes = read_piece(piece, (uintptr_t)page_addr(page));
	stats.compared++;
	if (same_page(bytes, model)) {
		p->good_place = place;
		p->good_version = model_version(page);
		return;
	}
	while (bytes[at] == model[at])
		at++;
	snprintf(what, sizeof(what), "at offset 0x%x 0x%02x, expected 0x%02x%s",
		 at, bytes[at], model[at],
		 bytes[at] == page_addr(page)[at] ? " (as memory has it!)" : "");
	wrong(img, page, piece, what);
}

static uint64_t image_key(const struct cpimg *img)
{
	uint64_t key;

	memcpy(&key, cpimg_note(img)->id, sizeof(key));
	return key;
}

static uint64_t sum(const void *bytes)
{
	const uint64_t *p = bytes;
	uint64_t h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < PAGE / 8; i++)
		h = (h ^ p[i]) * 0x100000001b3ULL;
	return h | 1;
}

/* The image names the file, says what it is, and reading it gives the page. */
static void check_left(const struct cpimg *img, unsigned int page,
		       const struct cpimg_piece *piece)
{
	static unsigned char bytes[PAGE] __attribute__((aligned(8)));
	static const struct cp_file *seen;	/* its identity was looked at */
	static uint64_t seen_in;
	uint64_t key = image_key(piece->img), addr = (uintptr_t)page_addr(page);
	struct page *p = &pages[page];
	const char *why;
	struct mapped m;
	struct stat st;

	if (p->file == NO_FILE || p->flags & P_COW)
		wrong(img, page, piece, "expected bytes of its own");
	if (p->flags & P_SHARED && !(p->flags & P_RO))
		wrong(img, page, piece, "expected to be saved: the program can write it");
	if (!stays[p->file])
		wrong(img, page, piece, "expected to be saved: the file may change, or is gone");
	why = mapped_at(piece->img, page_addr(page), &m);
	if (why)
		wrong(img, page, piece, why);
	if (strcmp(m.name, files[p->file].name) ||
	    m.offset + (addr - m.start) != p->index * PAGE ||
	    !(m.file->flags & CP_FILE_STAYS)) {
		trace(m.name, m.offset, m.start, m.file->flags);
		wrong(img, page, piece, "the image names another file or place, see the last operation");
	}
	if (seen != m.file || seen_in != key) {
		if (stat(m.name, &st))
			wrong(img, page, piece, "its file is not there");
		why = mapped_is_file(m.file, &st);
		if (why)
			wrong(img, page, piece, why);
		seen = m.file;
		seen_in = key;
	}
	if (p->good_place != PLACE_FILE || p->good_version != model_version(page)) {
		why = mapped_read(piece->img, addr, bytes, PAGE);
		if (why)
			wrong(img, page, piece, why);
		if (!same_page(bytes, model_bytes(page)))
			wrong(img, page, piece, "the file has other bytes");
		stats.compared++;
		p->good_place = PLACE_FILE;
		p->good_version = model_version(page);
	}
	left_to_file[page] = sum(model_bytes(page));
	stats.left++;
}

static void check_hole(const struct cpimg *img, unsigned int page,
		       const struct cpimg_piece *piece)
{
	static const unsigned char zeros[PAGE] __attribute__((aligned(8)));
	struct page *p = &pages[page];

	if (piece->reason == CP_HOLE_FILE) {
		check_left(img, page, piece);
		return;
	}
	if (p->good_place == PLACE_ZERO && p->good_version == model_version(page))
		return;
	if (!same_page(model_bytes(page), zeros))
		wrong(img, page, piece, "expected bytes that are not zero");
	p->good_place = PLACE_ZERO;
	p->good_version = model_version(page);
}

static void check_page(const struct cpimg *img, unsigned int page,
		       const struct cpimg_piece *piece, uint64_t place)
{
	const struct page *p = &pages[page];
	unsigned int skip;

	if (page - left_out.page < left_out.nr)
		return;
	if (!(p->flags & P_MAPPED)) {
		if (piece->cls != CPIMG_NONE)
			wrong(img, page, piece, "expected nothing mapped");
		return;
	}
	if (piece->cls == CPIMG_NONE)
		wrong(img, page, piece, "expected something mapped");
	if (piece->prot != p->prot)
		wrong(img, page, piece, "expected another protection");
	skip = skip_reason(p);
	if (skip || piece->cls == CPIMG_SKIPPED) {
		if (piece->cls != CPIMG_SKIPPED || piece->reason != skip)
			wrong(img, page, piece, skip ? "expected to be left out" :
			      "expected to be saved");
		return;
	}
	if (piece->cls == CPIMG_HOLE)
		check_hole(img, page, piece);
	else
		check_bytes(img, page, piece, place);
}

static void check_range(const struct cpimg_chain *c, uint64_t start, uint64_t end)
{
	size_t last = cpimg_chain_length(c) - 1;
	const struct cpimg *img = cpimg_chain_image(c, last);
	struct cpimg_piece piece;
	struct cpimg_error err;

	who_stays(stays);
	for (uint64_t at = start; at < end; at = piece.end) {
		uint64_t place = 0;

		if (cpimg_chain_resolve(c, last, at, &piece, &err))
			fail("%s", err.text);
		if (piece.end > end)
			piece.end = end;
		ahead.end = 0;
		if (piece.cls == CPIMG_DATA)
			place = image_key(piece.img) + piece.offset;
		for (uint64_t a = at; a < piece.end; a += PAGE)
			check_page(img, (a - (uintptr_t)ARENA) / PAGE, &piece,
				   place + (a - at));
	}
}

/* Counts what was saved again though nothing touched it; all of it is saved from now on. */
void check_again(const struct cpimg *img, bool full)
{
	size_t count;
	const struct cpimg_run *run = cpimg_runs(img, &count);

	for (; count; count--, run++) {
		uint64_t page = (run->start - (uintptr_t)ARENA) / PAGE;
		uint64_t end = (run->end - (uintptr_t)ARENA) / PAGE;

		for (; page < end && page < opt.pages; page++) {
			struct page *p = &pages[page];

			if (run->cls != CPIMG_DATA && run->cls != CPIMG_SAME)
				continue;
			if (!full && run->cls == CPIMG_DATA &&
			    p->flags & P_WAS_SAVED) {
				stats.again++;
				if (opt.plain)
					trace("  saved again", page, p->flags, 0);
			}
			if (is_plain(p) && !(p->flags & (P_SHARED | P_FREED)) &&
			    (p->file == NO_FILE || p->flags & P_COW))
				p->flags |= P_WAS_SAVED;
		}
	}
}

/* Every page of the newest image's areas, by way of the chain; or, without @compare, none. */
void check_chain(const struct cpimg_chain *c, bool compare)
{
	const uint64_t arena = (uintptr_t)ARENA, arena_end = (uintptr_t)page_addr(opt.pages);
	const struct cp_span *area;
	size_t count;

	memset(left_to_file, 0, sizeof(left_to_file));
	area = cpimg_areas(cpimg_chain_image(c, cpimg_chain_length(c) - 1), &count);
	for (; compare && count; count--, area++) {
		uint64_t start = area->start < arena ? arena : area->start;
		uint64_t end = area->end > arena_end ? arena_end : area->end;

		if (start >= end)
			continue;
		model_settle((struct range) { (start - arena) / PAGE, (end - start) / PAGE });
		check_range(c, start, end);
	}
}

/*
 * Files have changed since the newest image: what it leaves to them is what it was, or
 * can be told not to be.
 */
void check_left_to_files(const struct cpimg_chain *c, struct rng *r)
{
	static unsigned char bytes[PAGE] __attribute__((aligned(8)));
	size_t last = cpimg_chain_length(c) - 1;
	struct cpimg_error err;

	for (unsigned int n = 0, i = below(r, opt.pages); n < opt.pages;
	     n++, i = (i + 1) % opt.pages) {
		struct cpimg_piece piece;
		uint64_t addr = (uintptr_t)page_addr(i);

		if (!left_to_file[i])
			continue;
		if (cpimg_chain_resolve(c, last, addr, &piece, &err))
			fail("%s", err.text);
		if (mapped_read(piece.img, addr, bytes, PAGE))
			stats.refused++;
		else if (sum(bytes) != left_to_file[i])
			fail("page %u of %s is left to a file that has other bytes now, and looks the same",
			     i, cpimg_path(cpimg_chain_image(c, last)));
		n += 16;
	}
}
