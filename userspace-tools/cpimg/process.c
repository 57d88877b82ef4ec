// SPDX-License-Identifier: GPL-2.0
/*
 * What the notes of debuggers say of the program: its name, its registers, its
 * files. They are as large as they say, and no larger.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cmd.h"

/* Where things are in the notes of a machine. */
struct note_layout {
	size_t	uid, uid_size, fname, psargs;
	size_t	pc, sp;
};

static const struct note_layout layout_x86_64 = {
	.uid = 16, .uid_size = 4, .fname = 40, .psargs = 56,
	.pc = 112 + 16 * 8, .sp = 112 + 19 * 8,
};

static const struct note_layout layout_i386 = {
	.uid = 8, .uid_size = 2, .fname = 28, .psargs = 44,
	.pc = 72 + 12 * 4, .sp = 72 + 15 * 4,
};

/* @size bytes at @at as a number, 0 if they are not there */
static uint64_t number_at(const struct cpimg_elfnote *en, size_t at, size_t size)
{
	uint64_t value = 0;

	if (at > en->size || size > en->size - at)
		return 0;
	/* An image has this machine's byte order, which is little endian. */
	memcpy(&value, (const char *)en->desc + at, size);
	return value;
}

static void text_at(const struct cpimg_elfnote *en, size_t at, char *to,
		    size_t size)
{
	if (at <= en->size && size <= en->size - at)
		memcpy(to, (const char *)en->desc + at, size);
}

static void read_auxv(const struct cpimg *img, struct process *p)
{
	size_t word = cpimg_bits(img) / 8;
	struct cpimg_elfnote en;

	if (!cpimg_find_note(img, "CORE", NT_AUXV, &en))
		return;
	for (size_t at = 0; at + 2 * word <= en.size; at += 2 * word) {
		uint64_t key = number_at(&en, at, word);
		uint64_t value = number_at(&en, at + word, word);

		if (key == AT_ENTRY)
			p->entry = value;
		else if (key == AT_SYSINFO_EHDR)
			p->vdso = value;
	}
}

/**
 * process_of() - what the notes say of the program
 * @img: its image
 *
 * Return: what is known; the rest is 0.
 */
struct process process_of(const struct cpimg *img)
{
	const struct note_layout *lay;
	struct cpimg_elfnote en;
	struct process p = { .uid = 0 };
	size_t word = cpimg_bits(img) / 8;

	read_auxv(img, &p);
	if (cpimg_machine(img) == EM_X86_64 && word == 8)
		lay = &layout_x86_64;
	else if (cpimg_machine(img) == EM_386 && word == 4)
		lay = &layout_i386;
	else
		return p;
	if (cpimg_find_note(img, "CORE", NT_PRPSINFO, &en)) {
		p.uid = number_at(&en, lay->uid, lay->uid_size);
		text_at(&en, lay->fname, p.name, sizeof(p.name) - 1);
		text_at(&en, lay->psargs, p.args, sizeof(p.args) - 1);
		/* the kernel ends each argument with a space */
		for (size_t n = strlen(p.args); n && p.args[n - 1] == ' '; n--)
			p.args[n - 1] = 0;
	}
	if (cpimg_find_note(img, "CORE", NT_PRSTATUS, &en)) {
		p.pc = number_at(&en, lay->pc, word);
		p.sp = number_at(&en, lay->sp, word);
	}
	return p;
}

/**
 * files_of() - the mapped files
 * @img: the image
 * @count: how many
 *
 * Return: for free(), in the order of the note; NULL if there is none, or if it
 * contradicts itself.
 */
struct file_map *files_of(const struct cpimg *img, size_t *count)
{
	size_t word = cpimg_bits(img) / 8, head = 2 * word, row = 3 * word;
	struct cpimg_elfnote en;
	struct file_map *files;
	const char *name, *end;
	uint64_t n, unit;

	*count = 0;
	if (!cpimg_find_note(img, "CORE", NT_FILE, &en) || en.size < head)
		return NULL;
	n = number_at(&en, 0, word);
	unit = number_at(&en, word, word);
	if (!n || n > (en.size - head) / row)
		return NULL;
	files = calloc(n, sizeof(*files));
	if (!files)
		return NULL;
	name = (const char *)en.desc + head + n * row;
	end = (const char *)en.desc + en.size;
	for (size_t i = 0; i < n; i++) {
		size_t at = head + i * row;

		if (!memchr(name, 0, end - name))
			break;
		files[i].start = number_at(&en, at, word);
		files[i].end = number_at(&en, at + word, word);
		files[i].offset = number_at(&en, at + 2 * word, word) * unit;
		files[i].name = name;
		name += strlen(name) + 1;
		++*count;
	}
	return files;
}

static int by_start(const void *a, const void *b)
{
	const struct file_map *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Both sorted: where to go on looking is @*next. */
static const struct file_map *file_at(const struct file_map *files, size_t count,
				      size_t *next, uint64_t addr)
{
	while (*next < count && files[*next].end <= addr)
		++*next;
	return *next < count && files[*next].start <= addr ? &files[*next] : NULL;
}

/* Of a mapping that has no file. */
static const char *label_of(const struct mapping *m, const struct process *p)
{
	if (p->sp >= m->start && p->sp < m->end)
		return "[stack]";
	if (p->vdso && p->vdso >= m->start && p->vdso < m->end)
		return "[vdso]";
	/* The kernel puts it right below. */
	if (p->vdso && m->end == p->vdso && m->prot == PROT_READ)
		return "[vvar]";
	return "[anon]";
}

/**
 * mappings_of() - the mappings, as far as runs and notes tell
 * @img: the image
 * @count: how many
 *
 * Neighbours without a file that have the same protection are one.
 *
 * Return: for free(), in address order; NULL: none, or no memory.
 */
struct mapping *mappings_of(const struct cpimg *img, size_t *count)
{
	size_t nr_runs, nr_files, next = 0, n = 0;
	const struct cpimg_run *run = cpimg_runs(img, &nr_runs);
	struct file_map *files = files_of(img, &nr_files);
	const struct file_map *last = NULL;
	struct process p = process_of(img);
	struct mapping *maps = calloc(nr_runs + 1, sizeof(*maps));

	*count = 0;
	if (files)
		qsort(files, nr_files, sizeof(*files), by_start);
	for (size_t i = 0; maps && i < nr_runs; i++, run++) {
		const struct file_map *file = file_at(files, nr_files, &next,
						      run->start);

		if (n && maps[n - 1].end == run->start && file == last &&
		    maps[n - 1].prot == run->prot) {
			maps[n - 1].end = run->end;
			continue;
		}
		last = file;
		maps[n].start = run->start;
		maps[n].end = run->end;
		maps[n].prot = run->prot;
		/* the end is not known yet: the label comes below */
		maps[n++].label = file ? file->name : NULL;
	}
	for (size_t i = 0; i < n; i++) {
		if (!maps[i].label)
			maps[i].label = label_of(&maps[i], &p);
	}
	free(files);
	*count = n;
	return maps;
}

/* The mapping that holds @addr, or NULL. */
const struct mapping *mapping_at(const struct mapping *maps, size_t count,
				 uint64_t addr)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (maps[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low < count && maps[low].start <= addr ? &maps[low] : NULL;
}
