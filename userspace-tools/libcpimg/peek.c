// SPDX-License-Identifier: GPL-2.0
/* libcpimg - whose core file is this? */
#include <string.h>
#include <unistd.h>

#include <elf.h>

#include "internal.h"

/* What a core file of a large program has, and no more than can be looked at. */
#define MAX_NOTES	(1U << 20)

/*
 * An ELF file of either class and byte order, without libelf, which sizes tables by
 * what a file claims.
 */
struct elf_view {
	int	fd;
	bool	wide;
	bool	big;
};

static bool read_at(const struct elf_view *v, uint64_t at, void *buf, size_t len)
{
	return at <= INT64_MAX && pread(v->fd, buf, len, at) == (ssize_t)len;
}

static uint64_t number(const struct elf_view *v, const unsigned char *p, size_t size)
{
	uint64_t n = 0;

	for (size_t i = 0; i < size; i++)
		n = n << 8 | p[v->big ? i : size - 1 - i];
	return n;
}

/*
 * cpimg_copy_note() - struct cp_note out of the content of a note
 * @note: set to it
 * @from: the content
 * @size: its size, CP_NOTE_SIZE_VER1 at least
 *
 * A note of version 1 ends earlier; its image is of one range and one thread.
 */
void cpimg_copy_note(struct cp_note *note, const void *from, size_t size)
{
	memcpy(note, from, lower(size, sizeof(*note)));
	if (note->version > 1 && size >= sizeof(*note))
		return;
	memset((char *)note + CP_NOTE_SIZE_VER1, 0, sizeof(*note) - CP_NOTE_SIZE_VER1);
	note->threads = 1;
	note->nr_areas = 1;
	note->own_pid = note->pid;
}

static int peek_note(const struct elf_view *v, uint64_t at, size_t size,
		     struct cp_note *note)
{
	unsigned char content[sizeof(*note)];

	size = lower(size, sizeof(content));
	if (!read_at(v, at, content, size))
		return -1;
	cpimg_copy_note(note, content, size);
	return 1;
}

/* 1: the note is among them, 0: it is not, -1: cannot be told */
static int peek_notes(const struct elf_view *v, uint64_t at, uint64_t size,
		      struct cp_note *note)
{
	static const char owner[] = CP_NOTE_OWNER;
	uint64_t end;

	if (__builtin_add_overflow(at, size, &end))
		return -1;
	for (unsigned int i = 0; at < end; i++) {
		unsigned char h[12 + sizeof(owner)] = { 0 };
		uint64_t name, desc;

		if (i == MAX_NOTES || end - at < 12 || !read_at(v, at, h, 12))
			return -1;
		name = (number(v, h, 4) + 3) & ~3ULL;
		desc = (number(v, h + 4, 4) + 3) & ~3ULL;
		if (name + desc > end - at - 12)
			return -1;
		if (number(v, h, 4) == sizeof(owner) &&
		    number(v, h + 8, 4) == CP_NOTE_TYPE &&
		    number(v, h + 4, 4) >= CP_NOTE_SIZE_VER1 &&
		    read_at(v, at + 12, h + 12, sizeof(owner)) &&
		    !memcmp(h + 12, owner, sizeof(owner)))
			return peek_note(v, at + 12 + name, number(v, h + 4, 4), note);
		at += 12 + name + desc;
	}
	return 0;
}

/*
 * cpimg_peek() - struct cp_note of a file, whether or not the rest of it is sound.
 * Return: 1: here it is, 0: a core file that has none, -1: cannot be told.
 */
int cpimg_peek(int fd, struct cp_note *note)
{
	struct elf_view v = { .fd = fd };
	unsigned char h[64], p[56];
	size_t size, i, count;
	uint64_t phoff;

	memset(h, 0, sizeof(h));
	if (pread(fd, h, sizeof(h), 0) < 52 || memcmp(h, ELFMAG, SELFMAG))
		return -1;
	v.wide = h[EI_CLASS] == ELFCLASS64;
	v.big = h[EI_DATA] == ELFDATA2MSB;
	if (number(&v, h + 16, 2) != ET_CORE)
		return -1;
	size = v.wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	phoff = number(&v, h + (v.wide ? 32 : 28), v.wide ? 8 : 4);
	count = number(&v, h + (v.wide ? 56 : 44), 2);
	/* the first 65,535 are enough, notes come before memory; but there may be fewer */
	if (count == PN_XNUM &&
	    read_at(&v, number(&v, h + (v.wide ? 40 : 32), v.wide ? 8 : 4) +
		    (v.wide ? offsetof(Elf64_Shdr, sh_info) :
		     offsetof(Elf32_Shdr, sh_info)), p, 4) &&
	    number(&v, p, 4) < PN_XNUM)
		count = number(&v, p, 4);
	if (number(&v, h + (v.wide ? 54 : 42), 2) != size)
		return -1;
	for (i = 0; i < count; i++) {
		int found;

		if (!read_at(&v, phoff + i * size, p, size))
			return -1;
		if (number(&v, p, 4) != PT_NOTE)
			continue;
		found = v.wide ? peek_notes(&v, number(&v, p + 8, 8),
					    number(&v, p + 32, 8), note) :
			peek_notes(&v, number(&v, p + 4, 4), number(&v, p + 16, 4),
				   note);
		if (found)
			return found;
	}
	return 0;
}
