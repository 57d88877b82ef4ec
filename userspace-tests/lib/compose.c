// SPDX-License-Identifier: GPL-2.0
/* Images put together by hand. */
#include <elf.h>
#include <stdio.h>
#include <string.h>

#include <zlib.h>

#include "compose.h"

static size_t phdr_size(const struct image *im)
{
	return im->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
}

void set_crc(struct image *im)
{
	size_t at = im->cp_note + offsetof(struct cp_note, crc);
	uint32_t crc = 0;

	memset(im->bytes + at, 0, sizeof(crc));
	crc = crc32(0, im->bytes + im->notes, im->phdrs - im->notes);
	crc = crc32(crc, im->bytes + im->phdrs, phdr_size(im) * im->nr_phdrs);
	if (im->shdr)
		crc = crc32(crc, im->bytes + im->shdr, im->wide ?
			    sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr));
	memcpy(im->bytes + at, &crc, sizeof(crc));
}

static void put_phdr(struct image *im, size_t i, uint32_t type, uint64_t addr,
		     uint64_t paddr, uint64_t offset, uint64_t filesz,
		     uint64_t memsz)
{
	unsigned char *to = im->bytes + im->phdrs + i * phdr_size(im);
	uint32_t flags = type == PT_NOTE ? 0 : PF_R | PF_W;
	Elf64_Phdr p = {
		.p_type = type, .p_flags = flags, .p_vaddr = addr,
		.p_paddr = paddr, .p_offset = offset, .p_filesz = filesz,
		.p_memsz = memsz,
	};
	Elf32_Phdr q = {
		.p_type = type, .p_flags = flags, .p_vaddr = addr,
		.p_paddr = paddr, .p_offset = offset, .p_filesz = filesz,
		.p_memsz = memsz,
	};

	if (im->wide)
		memcpy(to, &p, sizeof(p));
	else
		memcpy(to, &q, sizeof(q));
}

static void put_note(struct image *im, const char *owner, uint32_t type,
		     const void *desc, size_t size)
{
	Elf32_Nhdr nh = { strlen(owner) + 1, size, type };

	memcpy(im->bytes + im->size, &nh, sizeof(nh));
	strcpy((char *)im->bytes + im->size + sizeof(nh), owner);
	im->size += sizeof(nh) + ((nh.n_namesz + 3) & ~3);
	memcpy(im->bytes + im->size, desc, size);
	im->size += (size + 3) & ~3;
}

static void put_ehdr(struct image *im, const struct plan *plan)
{
	uint16_t num = plan->xnum ? PN_XNUM : im->nr_phdrs;
	Elf64_Ehdr e = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
		.e_type = ET_CORE, .e_machine = EM_X86_64, .e_version = 1,
		.e_ehsize = sizeof(e), .e_phentsize = sizeof(Elf64_Phdr),
		.e_phoff = im->phdrs, .e_phnum = num, .e_shoff = im->shdr,
		.e_shnum = !!im->shdr,
		.e_shentsize = im->shdr ? sizeof(Elf64_Shdr) : 0,
	};
	Elf32_Ehdr f = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, 1 },
		.e_type = ET_CORE, .e_machine = EM_386, .e_version = 1,
		.e_ehsize = sizeof(f), .e_phentsize = sizeof(Elf32_Phdr),
		.e_phoff = im->phdrs, .e_phnum = num, .e_shoff = im->shdr,
		.e_shnum = !!im->shdr,
		.e_shentsize = im->shdr ? sizeof(Elf32_Shdr) : 0,
	};

	if (im->wide)
		memcpy(im->bytes, &e, sizeof(e));
	else
		memcpy(im->bytes, &f, sizeof(f));
}

void compose(struct image *im, const struct plan *plan)
{
	size_t note_size = plan->note_size ? plan->note_size : sizeof(plan->note);
	size_t offset = PAGE;

	memset(im, 0, sizeof(*im));
	im->wide = plan->bits == 64;
	im->nr_phdrs = plan->nr + 1;
	im->size = PAGE;
	for (int i = 0; i < plan->nr; i++) {
		const struct piece *r = &plan->run[i];

		if (!r->fill)
			continue;
		memset(im->bytes + im->size, r->fill, r->pages * PAGE);
		im->size += r->pages * PAGE;
	}
	im->notes = im->size;
	for (int i = 0; i < plan->nr_more; i++)
		put_note(im, plan->more[i].owner, plan->more[i].type,
			 plan->more[i].desc, plan->more[i].size);
	if (!plan->nr_more)
		put_note(im, "CORE", 6, "auxv or so", 10);
	if (plan->area)
		put_note(im, CP_NOTE_OWNER, CP_AREAS_TYPE, plan->area,
			 plan->nr_areas * sizeof(*plan->area));
	put_note(im, CP_NOTE_OWNER, CP_NOTE_TYPE, &plan->note, note_size);
	im->cp_note = im->size - note_size;
	if (!plan->nr_more)
		put_note(im, "LINUX", 0x202, "xstate", 7);
	im->phdrs = im->size;
	im->size += im->nr_phdrs * phdr_size(im);
	if (plan->xnum) {
		im->shdr = im->size;
		if (im->wide) {
			Elf64_Shdr s = { .sh_size = 1, .sh_info = im->nr_phdrs };

			memcpy(im->bytes + im->size, &s, sizeof(s));
			im->size += sizeof(s);
		} else {
			Elf32_Shdr s = { .sh_size = 1, .sh_info = im->nr_phdrs };

			memcpy(im->bytes + im->size, &s, sizeof(s));
			im->size += sizeof(s);
		}
	}
	put_phdr(im, 0, PT_NOTE, 0, 0, im->notes, im->phdrs - im->notes, 0);
	for (int i = 0; i < plan->nr; i++) {
		const struct piece *r = &plan->run[i];

		put_phdr(im, i + 1, r->type, r->page * PAGE, r->reason, offset,
			 r->fill ? r->pages * PAGE : 0, r->pages * PAGE);
		if (r->fill)
			offset += r->pages * PAGE;
	}
	put_ehdr(im, plan);
	set_crc(im);
}

/* The note's counts, from the runs. */
void count(struct plan *plan)
{
	struct cp_note *n = &plan->note;

	n->runs = plan->nr;
	n->pages_data = n->pages_same = n->pages_hole = n->pages_skipped = 0;
	for (int i = 0; i < plan->nr; i++) {
		const struct piece *r = &plan->run[i];

		if (r->type == PT_CP_SAME)
			n->pages_same += r->pages;
		else if (r->type == PT_CP_SKIPPED)
			n->pages_skipped += r->pages;
		else if (r->fill)
			n->pages_data += r->pages;
		else
			n->pages_hole += r->pages;
	}
}

/* It looked at these, which have to stay, and not at what lies between. */
void set_areas(struct plan *plan, const struct cp_span *areas, int nr)
{
	plan->note.nr_areas = nr;
	plan->note.start = plan->note.req_start = areas[0].start;
	plan->note.end = plan->note.req_end = areas[nr - 1].end;
	plan->area = nr > 1 ? areas : NULL;
	plan->nr_areas = nr;
}

/* As the kernels wrote it that did not have cp_checkpoint(). */
void set_version1(struct plan *plan)
{
	plan->note.version = 1;
	plan->note.size = plan->note_size = CP_NOTE_SIZE_VER1;
}

/* @parent: its n, or -1 for a full image; @from, @to: the range, in pages */
struct plan plan(int bits, int n, int parent, uint64_t from, uint64_t to,
			int nr, const struct piece *runs)
{
	struct plan p = {
		.bits = bits,
		.note = {
			.version = CP_NOTE_VERSION, .size = sizeof(p.note),
			.kind = CP_KIND_FULL, .reason = CP_REASON_CP_RANGE,
			.pid = 7, .tid = 7, .n = n,
			.req_start = from * PAGE, .req_end = to * PAGE,
			.start = from * PAGE, .end = to * PAGE,
			.page_size = PAGE, .id = { 'i', 'd', '0' + n },
			.threads = 1, .nr_areas = 1, .own_pid = 7,
		},
		.nr = nr,
	};

	if (parent >= 0) {
		p.note.kind = CP_KIND_INCREMENTAL;
		p.note.reason = CP_REASON_CHAIN;
		memcpy(p.note.parent_id, (char []){ 'i', 'd', '0' + parent }, 3);
		snprintf(p.note.parent, sizeof(p.note.parent), "7-cp%d", parent);
	}
	memcpy(p.run, runs, nr * sizeof(*runs));
	count(&p);
	return p;
}
