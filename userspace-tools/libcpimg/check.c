// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - is it an image? Nothing that a file says is believed
 *
 * The checks go from the outside in, each one only uses what those before it
 * have found sound.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gelf.h>
#include <libelf.h>
#include <zlib.h>

#include "image.h"

/*
 * A sparse file can claim any size. These are far beyond what a kernel writes
 * and still small enough to allocate.
 */
#define MAX_RUNS	(1U << 26)
#define MAX_NOTES	(256U << 20)

#define MIN_PAGE	4096
#define MAX_PAGE	(1U << 20)

/* Where the tables lie, known while an image is being opened. */
struct layout {
	uint64_t	phoff;
	size_t		phentsize;
	size_t		phnum;
	uint64_t	shoff;
	size_t		shentsize;
};

static int not_ours(const struct cpimg *img, struct cpimg_error *err)
{
	return cpimg_fail(err, CPIMG_ERR_FORMAT,
			  "%s: a core file, but not written by cp_range: it has no note of that name",
			  img->path);
}

/* libelf sizes a table by the number of sections before anybody can look at it. */
static int check_sections(const struct cpimg *img, unsigned int type,
			  unsigned int shnum, uint64_t shoff,
			  struct cpimg_error *err)
{
	if (type != ET_CORE)
		return bad(img, err, "e_type", type, "not an image: not a core file");
	if (shnum > 1 || (shoff && !shnum))
		return bad(img, err, "e_shnum", shnum,
			   "an image has at most one section header");
	return 0;
}

/*
 * What libelf would trip over or not care about. The header is written last, so
 * a file that begins with zeros, or has nothing yet, was left by a checkpoint
 * that did not finish.
 */
static int check_header(struct cpimg *img, struct cpimg_error *err)
{
	static const unsigned char nothing[sizeof(Elf64_Ehdr)];
	union {
		unsigned char	ident[EI_NIDENT];
		Elf32_Ehdr	e32;
		Elf64_Ehdr	e64;
		unsigned char	bytes[sizeof(Elf64_Ehdr)];
	} h = { .bytes = { 0 } };
	size_t len = sizeof(h.e64);

	if (img->file_size < len)
		len = img->file_size;
	if (cpimg_pread_file(img, 0, &h, len, err))
		return -1;
	if (!memcmp(h.bytes, nothing, len))
		return cpimg_fail(err, CPIMG_ERR_INCOMPLETE,
			"%s: not an image: header was never written (the checkpoint did not finish)",
			img->path);
	if (memcmp(h.ident, ELFMAG, SELFMAG))
		return cpimg_fail(err, CPIMG_ERR_FORMAT,
			"%s: magic is %02x %02x %02x %02x: not an image: not an ELF file",
			img->path, h.bytes[0], h.bytes[1], h.bytes[2], h.bytes[3]);
	if (h.ident[EI_DATA] !=
	    (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB))
		return bad(img, err, "EI_DATA", h.ident[EI_DATA],
			   "not this machine's byte order");
	if (h.ident[EI_VERSION] != EV_CURRENT)
		return bad(img, err, "EI_VERSION", h.ident[EI_VERSION],
			   "unknown");
	if (h.ident[EI_CLASS] == ELFCLASS64) {
		img->bits = 64;
		if (len < sizeof(h.e64))
			return bad(img, err, "file size", len, "shorter than a header");
		return check_sections(img, h.e64.e_type, h.e64.e_shnum,
				      h.e64.e_shoff, err);
	}
	if (h.ident[EI_CLASS] == ELFCLASS32) {
		img->bits = 32;
		if (len < sizeof(h.e32))
			return bad(img, err, "file size", len, "shorter than a header");
		return check_sections(img, h.e32.e_type, h.e32.e_shnum,
				      h.e32.e_shoff, err);
	}
	return bad(img, err, "EI_CLASS", h.ident[EI_CLASS], "unknown");
}

static int check_layout(struct cpimg *img, Elf *elf, struct layout *lay,
			struct cpimg_error *err)
{
	GElf_Ehdr eh;

	if (!gelf_getehdr(elf, &eh))
		return cpimg_fail(err, CPIMG_ERR_FORMAT, "%s: ELF header: %s",
				  img->path, elf_errmsg(-1));
	img->machine = eh.e_machine;
	if (eh.e_version != EV_CURRENT)
		return bad(img, err, "e_version", eh.e_version, "unknown");

	lay->phoff = eh.e_phoff;
	lay->phentsize = gelf_fsize(elf, ELF_T_PHDR, 1, EV_CURRENT);
	lay->shoff = eh.e_shoff;
	lay->shentsize = gelf_fsize(elf, ELF_T_SHDR, 1, EV_CURRENT);
	if (eh.e_phentsize != lay->phentsize)
		return bad(img, err, "e_phentsize", eh.e_phentsize,
			   "not a program header's size");
	if (lay->shoff && eh.e_shentsize != lay->shentsize)
		return bad(img, err, "e_shentsize", eh.e_shentsize,
			   "not a section header's size");
	if (lay->shoff && !in_file(img, lay->shoff, lay->shentsize))
		return bad(img, err, "e_shoff", lay->shoff,
			   "the section header is not in the file");
	if (eh.e_phnum == PN_XNUM && !lay->shoff)
		return bad(img, err, "e_phnum", eh.e_phnum,
			   "PN_XNUM, and no section header that says how many");
	if (!in_file(img, lay->phoff, lay->phentsize))
		return bad(img, err, "e_phoff", lay->phoff,
			   "the program headers are not in the file");
	if (elf_getphdrnum(elf, &lay->phnum))
		return cpimg_fail(err, CPIMG_ERR_FORMAT,
				  "%s: number of program headers: %s",
				  img->path, elf_errmsg(-1));
	if (!lay->phnum || lay->phnum - 1 > MAX_RUNS)
		return bad(img, err, "number of program headers", lay->phnum,
			   "an image has a PT_NOTE, and at most 64 M runs");
	if (!in_file(img, lay->phoff, (uint64_t)lay->phnum * lay->phentsize))
		return bad(img, err, "e_phoff", lay->phoff,
			   "the program headers are not in the file");
	return 0;
}

static bool is_cp_note(const struct cpimg_elfnote *n)
{
	return n->type == CP_NOTE_TYPE && !strcmp(n->owner, CP_NOTE_OWNER);
}

/* The least that a note of that version has. */
static size_t note_size(uint32_t version)
{
	return version > 1 ? sizeof(struct cp_note) : CP_NOTE_SIZE_VER1;
}

static int check_cp_note(struct cpimg *img, const struct cpimg_elfnote *en,
			 struct cpimg_error *err)
{
	struct cp_note *n = &img->note;
	static const unsigned char no_id[CP_ID_SIZE];
	bool inc;

	if (en->size < CP_NOTE_SIZE_VER1)
		return bad(img, err, "size of the CP_RANGE note", en->size,
			   "too small");
	cpimg_copy_note(n, en->desc, en->size);
	img->crc_at = (const unsigned char *)en->desc - img->notes +
		      offsetof(struct cp_note, crc);

	if (!n->version)
		return bad(img, err, "note.version", n->version, "unknown");
	if (n->size < note_size(n->version) || n->size > en->size)
		return bad(img, err, "note.size", n->size,
			   "not the size of the note");
	if (n->kind != CP_KIND_FULL && n->kind != CP_KIND_INCREMENTAL)
		return bad(img, err, "note.kind", n->kind, "unknown");
	if (n->page_size < MIN_PAGE || n->page_size > MAX_PAGE ||
	    n->page_size & (n->page_size - 1))
		return bad(img, err, "note.page_size", n->page_size,
			   "not the size of a page");
	if (n->start & (n->page_size - 1))
		return bad(img, err, "note.start", n->start, "not a page's");
	if (n->end & (n->page_size - 1))
		return bad(img, err, "note.end", n->end, "not a page's");
	if (n->start >= n->end)
		return bad(img, err, "note.start", n->start,
			   "not below note.end");
	if (!memchr(n->parent, 0, sizeof(n->parent)))
		return bad(img, err, "note.parent",
			   (unsigned char)n->parent[sizeof(n->parent) - 1],
			   "the name has no end");

	inc = n->kind == CP_KIND_INCREMENTAL;
	if (inc == !n->parent[0])
		return bad(img, err, "note.kind", n->kind, inc ?
			   "incremental, and no parent's name" :
			   "full, with a parent's name");
	if (inc == !memcmp(n->parent_id, no_id, sizeof(no_id)))
		return bad(img, err, "note.kind", n->kind, inc ?
			   "incremental, and no parent's id" :
			   "full, with a parent's id");
	/* The name is put behind a folder: it must not lead out of it. */
	if (strchr(n->parent, '/') || !strcmp(n->parent, ".") ||
	    !strcmp(n->parent, ".."))
		return cpimg_fail(err, CPIMG_ERR_FORMAT,
				  "%s: note.parent is \"%s\": not a file name",
				  img->path, n->parent);
	return 0;
}

static bool is_files_note(const struct cpimg_elfnote *n)
{
	return n->type == CP_FILES_TYPE && !strcmp(n->owner, CP_NOTE_OWNER);
}

static bool is_areas_note(const struct cpimg_elfnote *n)
{
	return n->type == CP_AREAS_TYPE && !strcmp(n->owner, CP_NOTE_OWNER);
}

static int check_notes(struct cpimg *img, Elf *elf, struct cpimg_error *err)
{
	struct cpimg_elfnote en, areas = { .desc = NULL };
	bool found = false;
	GElf_Phdr ph;
	size_t pos = 0;

	if (!gelf_getphdr(elf, 0, &ph))
		return cpimg_fail(err, CPIMG_ERR_FORMAT,
				  "%s: program header 0: %s", img->path,
				  elf_errmsg(-1));
	if (ph.p_type != PT_NOTE)
		return bad(img, err, "p_type of program header 0", ph.p_type,
			   "not PT_NOTE");
	if (!in_file(img, ph.p_offset, ph.p_filesz))
		return bad(img, err, "p_offset of PT_NOTE", ph.p_offset,
			   "the notes are not in the file");
	if (ph.p_filesz > MAX_NOTES)
		return bad(img, err, "p_filesz of PT_NOTE", ph.p_filesz,
			   "more than 256 MiB");

	img->notes_at = ph.p_offset;
	img->notes_size = ph.p_filesz;
	if (cpimg_read_notes(img, &img->notes, err))
		return -1;

	while (pos < img->notes_size) {
		if (!cpimg_parse_note(img->notes, img->notes_size, &pos, &en))
			return bad(img, err, "note offset", pos,
				   "a note's name or content does not fit");
		if (is_files_note(&en)) {
			if (img->files_at)
				return bad(img, err, "note offset", pos,
					   "a second CP_FILES note");
			if (cpimg_check_files(img, &en, err))
				return -1;
		}
		if (is_areas_note(&en)) {
			if (areas.desc)
				return bad(img, err, "note offset", pos,
					   "a second CP_AREAS note");
			areas = en;
		}
		if (!is_cp_note(&en))
			continue;
		if (found)
			return bad(img, err, "note offset", pos,
				   "a second CP_RANGE note");
		found = true;
		if (check_cp_note(img, &en, err))
			return -1;
	}
	if (!found)
		return not_ours(img, err);
	/* It comes before the note that says what to hold it against. */
	return cpimg_check_areas(img, areas.desc ? &areas : NULL, err);
}

static int check_run(struct cpimg *img, const GElf_Phdr *ph, size_t i,
		     struct cpimg_run *run, struct cpimg_error *err)
{
	uint64_t mask = img->note.page_size - 1, end = UINT64_MAX;
	char field[64];

	/* The name of a field of this header, for a message. */
#define F(name) (snprintf(field, sizeof(field), name " of program header %zu", i), field)
	run->start = ph->p_vaddr;
	run->end = ph->p_vaddr + ph->p_memsz;
	run->offset = ph->p_offset;
	run->reason = 0;
	run->prot = (ph->p_flags & PF_R ? PROT_READ : 0) |
		    (ph->p_flags & PF_W ? PROT_WRITE : 0) |
		    (ph->p_flags & PF_X ? PROT_EXEC : 0);

	if (run->start & mask)
		return bad(img, err, F("p_vaddr"), run->start, "not a page's");
	if (!ph->p_memsz || ph->p_memsz & mask || run->end < run->start)
		return bad(img, err, F("p_memsz"), ph->p_memsz,
			   "not a number of pages");
	if (!cpimg_looked_at(img, run->start, &end) || run->end > end)
		return bad(img, err, F("p_vaddr"), run->start, img->nr_areas == 1 ?
			   "the run is not in the image's range" :
			   "the run is not in one of the image's ranges");
	if (ph->p_filesz && (ph->p_type != PT_LOAD || ph->p_filesz != ph->p_memsz))
		return bad(img, err, F("p_filesz"), ph->p_filesz,
			   "neither 0 nor p_memsz of a PT_LOAD");

	switch (ph->p_type) {
	case PT_LOAD:
		if (ph->p_filesz) {
			run->cls = CPIMG_DATA;
			return 0;
		}
		run->cls = CPIMG_HOLE;
		if (ph->p_paddr > CP_HOLE_FILE)
			return bad(img, err, F("p_paddr"), ph->p_paddr,
				   "no reason for a hole");
		break;
	case PT_CP_SAME:
		run->cls = CPIMG_SAME;
		if (img->note.kind != CP_KIND_INCREMENTAL)
			return bad(img, err, F("p_type"), ph->p_type,
				   "SAME, in a full image");
		return 0;
	case PT_CP_SKIPPED:
		run->cls = CPIMG_SKIPPED;
		if (!ph->p_paddr || ph->p_paddr > UINT32_MAX)
			return bad(img, err, F("p_paddr"), ph->p_paddr,
				   "no reason to skip");
		break;
	default:
		return bad(img, err, F("p_type"), ph->p_type, "not a run");
	}
	run->reason = ph->p_paddr;
	return 0;
#undef F
}

static int check_data(struct cpimg *img, const struct cpimg_run *run,
		      uint64_t *next, struct cpimg_error *err)
{
	uint64_t size = run->end - run->start;

	if (run->offset & (img->note.page_size - 1))
		return bad(img, err, "p_offset of a DATA run", run->offset,
			   "not page aligned");
	if (run->offset < *next)
		return bad(img, err, "p_offset of a DATA run", run->offset,
			   "in the header or in the run before it");
	if (!in_file(img, run->offset, size) ||
	    run->offset + size > img->notes_at)
		return bad(img, err, "p_offset of a DATA run", run->offset,
			   "the run reaches beyond the data");
	*next = run->offset + size;
	return 0;
}

static int check_counts(struct cpimg *img, const uint64_t *bytes,
			struct cpimg_error *err)
{
	const struct {
		const char	*field;
		uint64_t	claimed;
		uint64_t	seen;
	} rows[] = {
		{ "note.runs", img->note.runs, img->nr_runs },
#define PAGES(field, cls) { "note." #field, img->note.field, \
			    bytes[cls] / img->note.page_size }
		PAGES(pages_data, CPIMG_DATA),
		PAGES(pages_same, CPIMG_SAME),
		PAGES(pages_hole, CPIMG_HOLE),
		PAGES(pages_skipped, CPIMG_SKIPPED),
#undef PAGES
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].claimed == rows[i].seen)
			continue;
		return cpimg_fail(err, CPIMG_ERR_FORMAT,
			"%s: %s is %" PRIu64 ": the program headers have %" PRIu64,
			img->path, rows[i].field, rows[i].claimed, rows[i].seen);
	}
	return 0;
}

static int read_runs(struct cpimg *img, Elf *elf, const struct layout *lay,
		     struct cpimg_error *err)
{
	uint64_t bytes[CPIMG_NONE] = { 0 };
	uint64_t next = MIN_PAGE, last = 0;

	img->nr_runs = lay->phnum - 1;
	img->runs = calloc(img->nr_runs + 1, sizeof(*img->runs));
	if (!img->runs)
		return cpimg_fail(err, CPIMG_ERR_SYS,
				  "%s: no memory for %zu runs", img->path,
				  img->nr_runs);

	for (size_t i = 1; i <= img->nr_runs; i++) {
		struct cpimg_run *run = &img->runs[i - 1];
		GElf_Phdr ph;

		if (!gelf_getphdr(elf, i, &ph))
			return cpimg_fail(err, CPIMG_ERR_FORMAT,
					  "%s: program header %zu: %s",
					  img->path, i, elf_errmsg(-1));
		if (check_run(img, &ph, i, run, err))
			return -1;
		if (run->start < last)
			return bad(img, err, "p_vaddr", run->start,
				   "not above the run before it");
		last = run->end;
		if (run->cls == CPIMG_DATA && check_data(img, run, &next, err))
			return -1;
		bytes[run->cls] += run->end - run->start;
	}
	return check_counts(img, bytes, err);
}

static int check_crc(struct cpimg *img, const struct layout *lay, int flags,
		     struct cpimg_error *err)
{
	static const unsigned char zero[sizeof(img->note.crc)];
	size_t after = img->crc_at + sizeof(zero);
	unsigned char buf[16384];
	unsigned long crc;
	uint64_t at = lay->phoff, left = (uint64_t)lay->phnum * lay->phentsize;

	img->notes_crc = crc32(0, img->notes, img->notes_size);
	if (flags & CPIMG_NO_CRC)
		return 0;
	crc = crc32(0, img->notes, img->crc_at);
	crc = crc32(crc, zero, sizeof(zero));
	crc = crc32(crc, img->notes + after, img->notes_size - after);
	while (left) {
		size_t n = left < sizeof(buf) ? left : sizeof(buf);

		if (cpimg_pread_file(img, at, buf, n, err))
			return -1;
		crc = crc32(crc, buf, n);
		at += n;
		left -= n;
	}
	if (lay->shoff) {
		if (cpimg_pread_file(img, lay->shoff, buf, lay->shentsize, err))
			return -1;
		crc = crc32(crc, buf, lay->shentsize);
	}
	if (crc != img->note.crc)
		return cpimg_fail(err, CPIMG_ERR_CRC,
			"%s: note.crc is 0x%08x: notes and program headers have 0x%08lx: the file was altered",
			img->path, img->note.crc, crc);
	return 0;
}

static int parse(struct cpimg *img, int flags, struct cpimg_error *err)
{
	struct layout lay = { 0 };
	Elf *elf;
	int ret;

	if (elf_version(EV_CURRENT) == EV_NONE)
		return cpimg_fail(err, CPIMG_ERR_SYS, "libelf: %s", elf_errmsg(-1));
	/* Not mapped: a file that shrinks must not become a SIGBUS. */
	elf = elf_begin(img->fd, ELF_C_READ, NULL);
	if (!elf)
		return cpimg_fail(err, CPIMG_ERR_FORMAT, "%s: ELF header: %s",
				  img->path, elf_errmsg(-1));
	ret = check_layout(img, elf, &lay, err) ||
	      check_notes(img, elf, err) ||
	      read_runs(img, elf, &lay, err) ||
	      check_crc(img, &lay, flags, err);
	elf_end(elf);
	return ret;
}

static bool is_core(int fd)
{
	unsigned char ident[EI_NIDENT + 2];
	int big;

	if (pread(fd, ident, sizeof(ident), 0) != sizeof(ident) ||
	    memcmp(ident, ELFMAG, SELFMAG))
		return false;
	/* e_type is at the same place in all ELF files */
	big = ident[EI_DATA] == ELFDATA2MSB;
	return ident[EI_NIDENT + big] == ET_CORE && !ident[EI_NIDENT + !big];
}

/* The image that is open, from its first byte on. Return: 0, or -1. */
int cpimg_check(struct cpimg *img, int flags, struct cpimg_error *err)
{
	struct cp_note note;

	if (!check_header(img, err) && !parse(img, flags, err))
		return 0;
	/* Somebody else's core file has no fields that could be wrong. */
	if (err && err->code == CPIMG_ERR_FORMAT && is_core(img->fd) &&
	    !cpimg_peek(img->fd, &note))
		not_ours(img, err);
	return -1;
}
