// SPDX-License-Identifier: GPL-2.0
/*
 * A libFuzzer target: what an input (see format.h) makes of images is opened as a
 * chain, asked everything, shown, drawn and flattened. Apart from what the
 * sanitizers see, it must not contradict itself.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>

#include "../../userspace-tools/cpimg/cmd.h"
#include "format.h"

#define PAGE		4096
#define MUST(claim)	do { if (!(claim)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char folder[64];

/* One image's part of the input. */
struct part {
	unsigned int	pages;
	unsigned char	header[FUZZ_HEADER];
	unsigned char	*tables;
	size_t		size;
};

static const char *path_of(const char *name, int i)
{
	static char path[4][96];

	snprintf(path[i], sizeof(path[i]), "%s/%s", folder, name);
	return path[i];
}

static const char *image_path(int i)
{
	static const char *const names[] = { "7-cp0", "7-cp1", "7-cp2" };

	return path_of(names[i], i);
}

static void remove_folder(void)
{
	for (int i = 0; i < FUZZ_IMAGES; i++)
		unlink(image_path(i));
	unlink(path_of("flat", 3));
	rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	snprintf(folder, sizeof(folder), "/dev/shm/cpimg-fuzz.XXXXXX");
	MUST(mkdtemp(folder));
	atexit(remove_folder);
	return 0;
}

static bool take(const unsigned char **data, size_t *size, void *to, size_t n)
{
	if (*size < n)
		return false;
	memcpy(to, *data, n);
	*data += n;
	*size -= n;
	return true;
}

static bool take_part(const unsigned char **data, size_t *size, struct part *p)
{
	unsigned char head[3];

	if (!take(data, size, head, sizeof(head)) ||
	    !take(data, size, p->header, sizeof(p->header)))
		return false;
	p->pages = head[0] & 31;
	p->size = head[1] | head[2] << 8;
	if (p->size > *size)
		p->size = *size;
	p->tables = malloc(p->size + 1);
	MUST(p->tables);
	return take(data, size, p->tables, p->size);
}

/* The struct cp_note in the tables, or NULL. */
static unsigned char *own_note(const struct part *p)
{
	static const struct {
		uint32_t	type;
		char		owner[12];
	} own = { CP_NOTE_TYPE, CP_NOTE_OWNER };

	/* Other notes have the same owner. */
	for (size_t i = 0; i + sizeof(own) + sizeof(struct cp_note) <= p->size; i++) {
		if (!memcmp(p->tables + i, &own, sizeof(own)))
			return p->tables + i + sizeof(own);
	}
	return NULL;
}

/* Add a program header to what the note has to say. */
static void count_run(struct cp_note *n, uint32_t type, uint64_t filesz,
		      uint64_t memsz)
{
	uint64_t pages = memsz / PAGE;

	if (type == PT_LOAD && filesz)
		n->pages_data += pages;
	else if (type == PT_LOAD)
		n->pages_hole += pages;
	else if (type == PT_CP_SAME)
		n->pages_same += pages;
	else if (type == PT_CP_SKIPPED)
		n->pages_skipped += pages;
	n->runs++;
}

/* Without this most inputs would end at the first count that is wrong. */
static void repair(struct part *p, const struct part *parent)
{
	unsigned char *at = own_note(p), *from = parent ? own_note(parent) : NULL;
	bool wide = p->header[EI_CLASS] == ELFCLASS64;
	size_t one = wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	uint64_t base = (1 + p->pages) * (uint64_t)PAGE, phoff = 0;
	struct cp_note n;
	uint16_t count;

	if (!at)
		return;
	memcpy(&n, at, sizeof(n));
	memcpy(&phoff, p->header + (wide ? 32 : 28), wide ? 8 : 4);
	memcpy(&count, p->header + (wide ? 56 : 44), 2);
	if (phoff < base || phoff - base > p->size)
		return;
	n.runs = n.pages_data = n.pages_same = n.pages_hole = n.pages_skipped = 0;
	for (size_t i = 1; i < count && phoff - base + (i + 1) * one <= p->size; i++) {
		unsigned char *ph = p->tables + (phoff - base) + i * one;
		uint64_t filesz = 0, memsz = 0;
		uint32_t type;

		memcpy(&type, ph, 4);
		memcpy(&filesz, ph + (wide ? 32 : 16), wide ? 8 : 4);
		memcpy(&memsz, ph + (wide ? 40 : 20), wide ? 8 : 4);
		count_run(&n, type, filesz, memsz);
	}
	if (from)
		memcpy(n.parent_id, from + offsetof(struct cp_note, id), CP_ID_SIZE);
	n.crc = 0;
	memcpy(at, &n, sizeof(n));
	/* right if nothing lies between notes and program headers */
	n.crc = crc32(0, p->tables, p->size);
	memcpy(at, &n, sizeof(n));
}

static void write_part(const struct part *p, const char *path)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);

	MUST(fd >= 0);
	MUST(pwrite(fd, p->header, sizeof(p->header), 0) == sizeof(p->header));
	for (unsigned int i = 0; i < p->pages; i++)
		MUST(pwrite(fd, &i, sizeof(i), (1 + i) * PAGE) == sizeof(i));
	MUST(pwrite(fd, p->tables, p->size, (1 + p->pages) * PAGE) == (ssize_t)p->size);
	close(fd);
}

static int no_change(void *ctx, uint64_t start, uint64_t end, enum change change,
		     const struct cpimg_piece *a, const struct cpimg_piece *b,
		     const unsigned char *bytes_a, const unsigned char *bytes_b)
{
	(void)ctx; (void)start; (void)end; (void)change;
	(void)a; (void)b; (void)bytes_a; (void)bytes_b;
	return 1;
}

/* In order, with gaps, and each run in one of them. */
static void ask_areas(const struct cpimg *img)
{
	size_t areas, count;
	const struct cp_span *area = cpimg_areas(img, &areas);
	const struct cpimg_run *run = cpimg_runs(img, &count), *stop = run + count;

	MUST(areas == cpimg_note(img)->nr_areas && area->start == cpimg_note(img)->start);
	for (size_t i = 0; i < areas; i++) {
		MUST(area[i].start < area[i].end && (!i || area[i - 1].end < area[i].start));
		MUST(cpimg_covers(img, area[i].start) && cpimg_covers(img, area[i].end - 1));
		MUST(!cpimg_covers(img, area[i].end));
		for (; run < stop && run->start < area[i].end; run++)
			MUST(run->start >= area[i].start && run->end <= area[i].end);
	}
	MUST(run == stop && area[areas - 1].end == cpimg_note(img)->end);
}

static void ask_image(const struct cpimg *img)
{
	static unsigned char buf[2 * PAGE];
	const struct cp_note *n = cpimg_note(img);
	struct cpimg_elfnote en;
	size_t count, pos = 0;
	const struct cpimg_run *run = cpimg_runs(img, &count);
	uint64_t sum = 0, last = 0;

	for (size_t i = 0; i < count; i++, run++) {
		MUST(run->start >= last && run->end > run->start);
		last = run->end;
		MUST(cpimg_find(img, run->start) == run);
		MUST(cpimg_find(img, run->end - 1) == run);
		if (run->cls != CPIMG_DATA)
			continue;
		sum += (run->end - run->start) / n->page_size;
		MUST(run->offset + (run->end - run->start) <= cpimg_file_size(img));
		MUST(!cpimg_pread(img, run->start, buf, n->page_size < sizeof(buf) ?
				  n->page_size : sizeof(buf), NULL));
	}
	MUST(sum == n->pages_data);
	ask_areas(img);
	while (cpimg_next_note(img, &pos, &en))
		sum += en.size ? *(const unsigned char *)en.desc : 0;
}

/* As a list it says what it says address by address. */
static void ask_list(const struct cpimg_chain *chain, size_t index)
{
	struct cpimg_list list;
	struct cpimg_piece p;

	if (cpimg_chain_list(chain, index, false, 0, UINT64_MAX, &list, NULL))
		return;
	for (size_t i = 0; i < list.count; i++) {
		const struct cpimg_piece *q = &list.piece[i];

		MUST(cpimg_covers(cpimg_chain_image(chain, index), q->start));
		MUST(!cpimg_chain_resolve(chain, index, q->start, &p, NULL));
		MUST(p.cls == q->cls && p.img == q->img && p.run == q->run &&
		     p.offset == q->offset);
	}
	cpimg_list_free(&list);
}

/* The file of each address that has one holds it. */
static void ask_files(const struct cpimg *img)
{
	size_t count;
	const struct cpimg_run *run = cpimg_runs(img, &count);
	struct cpimg_mapped m;

	for (size_t i = 0; i < count; i++, run++) {
		if (cpimg_mapped_file(img, run->start, &m)) {
			MUST(cpimg_has_files(img));
			MUST(m.start <= run->start && run->start < m.end);
			MUST(strlen(m.name) < 65536);
		}
	}
}

static void ask_chain(const struct cpimg_chain *chain, size_t index)
{
	const struct cp_note *n = cpimg_note(cpimg_chain_image(chain, index));
	struct cpimg_piece p = { .end = n->start };
	unsigned char one, other;

	while (p.end < n->end) {
		uint64_t at = p.end;

		if (cpimg_chain_resolve(chain, index, at, &p, NULL))
			return;
		MUST(p.start == at && p.end > at && p.cls != CPIMG_SAME);
		if (p.cls != CPIMG_DATA)
			continue;
		MUST(!cpimg_chain_read(chain, index, at, &one, 1, NULL));
		MUST(pread(cpimg_fd(p.img), &other, 1, p.offset) == 1);
		MUST(one == other);
	}
}

/* What is flattened says the same as the chain. */
static void flatten(const struct cpimg_chain *chain, bool older)
{
	struct view v = {
		.chain = chain, .index = cpimg_chain_length(chain) - 1, .older = older,
	}, flat = { 0 };
	struct cpimg_chain *again;
	struct cpimg_error err;
	const char *path = path_of("flat", 3);

	unlink(path);
	if (!flatten_to(&v, path, &err)) {
		again = cpimg_chain_open(path, NULL, 0, &err);
		MUST(again && cpimg_chain_length(again) == 1);
		flat.chain = again;
		MUST(!compare_views(&v, &flat, NULL, no_change, NULL, &err));
		view_close(&flat);
		cpimg_chain_close(again);
	}
	view_close(&v);
}

static int command(int (*run)(int, char **), const char *option, const char *path)
{
	char *argv[] = { "fuzz", (char *)option, (char *)path, NULL };

	return run(3, argv);
}

/* Pruned, the chain says what it said; cmd_prune() has compared it, too. */
static void prune(const char *path, const char *keep)
{
	struct cpimg_error err;
	struct cpimg_chain *before = cpimg_chain_open(path, NULL, 0, &err), *after;
	size_t last = cpimg_chain_length(before) - 1;

	if (!command(cmd_prune, keep, path)) {
		struct view a = { .chain = before, .index = last, .older = true };
		struct view b = { .older = true };

		after = cpimg_chain_open(path, NULL, 0, &err);
		MUST(after && cpimg_chain_length(after) <= last + 1);
		b.chain = after;
		b.index = cpimg_chain_length(after) - 1;
		MUST(!cpimg_chain_verify(after, &err));
		MUST(!compare_views(&a, &b, NULL, no_change, NULL, &err));
		view_close(&a);
		view_close(&b);
		cpimg_chain_close(after);
	}
	cpimg_chain_close(before);
}

static void ask_all(const char *path, int flags, bool commands)
{
	char *extract[] = { "fuzz", "-z", (char *)path, "0x101800", "+8k", NULL };

	struct cpimg_error err;
	struct cpimg_chain *chain = cpimg_chain_open(path, NULL, flags, &err);

	if (!chain) {
		MUST(err.code != CPIMG_OK && *err.text);
		return;
	}
	for (size_t i = 0; i < cpimg_chain_length(chain); i++) {
		ask_image(cpimg_chain_image(chain, i));
		ask_chain(chain, i);
		ask_files(cpimg_chain_image(chain, i));
		ask_list(chain, i);
	}
	if (!cpimg_chain_verify(chain, &err)) {
		flatten(chain, false);
		flatten(chain, true);
	}
	cpimg_chain_close(chain);
	if (flags || !commands)
		return;
	command(cmd_show, "-jvc", path);
	command(cmd_show, "-vc", path);
	command(cmd_verify, "-q", path);
	command(cmd_diff, "-v", path);
	command(cmd_map, "-o/dev/null", path);
	command(cmd_list, "-v", folder);
	cmd_extract(5, extract);
	prune(path, "-k2");
	prune(path, "-k1");
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct part parts[FUZZ_IMAGES] = { 0 };
	unsigned char flags;
	int count = 0;

	if (!take(&data, &size, &flags, 1))
		return 0;
	while (count < FUZZ_IMAGES && take_part(&data, &size, &parts[count])) {
		if (flags & FUZZ_REPAIR)
			repair(&parts[count], count ? &parts[count - 1] : NULL);
		write_part(&parts[count], image_path(count));
		count++;
	}
	if (count)
		ask_all(image_path(count - 1),
			flags & (FUZZ_CRC | FUZZ_REPAIR) ? 0 : CPIMG_NO_CRC,
			flags & FUZZ_COMMANDS);
	for (int i = 0; i < FUZZ_IMAGES; i++)
		free(parts[i].tables);
	return 0;
}
