// SPDX-License-Identifier: GPL-2.0
/* seeds FOLDER: what the fuzzer begins with: good images, and chains of them. */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <compose.h>

#include "format.h"

#define N(array)	((int)(sizeof(array) / sizeof(array[0])))

static const char *folder;
static int seeds;

static void put_image(FILE *to, struct plan p)
{
	static struct image im;
	size_t size;

	compose(&im, &p);
	size = im.size - im.notes;
	fputc(im.notes / PAGE - 1, to);
	fputc(size & 255, to);
	fputc(size >> 8, to);
	fwrite(im.bytes, 1, FUZZ_HEADER, to);
	fwrite(im.bytes + im.notes, 1, size, to);
}

static void put_seed(int flags, const struct plan *plans, int count)
{
	char path[512];
	FILE *to;

	snprintf(path, sizeof(path), "%s/seed%02d", folder, seeds++);
	to = fopen(path, "w");
	if (!to) {
		perror(path);
		exit(1);
	}
	fputc(flags, to);
	for (int i = 0; i < count; i++)
		put_image(to, plans[i]);
	fclose(to);
}

/* The notes that say what the program was, of the right shape. */
static int add_notes(struct other_note *notes, int bits)
{
	static unsigned char psinfo[136], status[336];
	static uint64_t auxv64[] = { 9, 0x401000, 33, 0x7f0000200000, 0, 0 };
	static uint32_t auxv32[] = { 9, 0x401000, 33, 0x200000, 0, 0 };
	static struct {
		uint64_t	count, unit, row[2][3];
		char		names[16];
	} files64 = {
		2, PAGE, { { 0x100000, 0x102000, 0 }, { 0x102000, 0x104000, 3 } },
		"/bin/a\0/lib/b\0",
	};
	static struct {
		uint32_t	count, unit, row[2][3];
		char		names[16];
	} files32 = {
		2, PAGE, { { 0x100000, 0x102000, 0 }, { 0x102000, 0x104000, 3 } },
		"/bin/a\0/lib/b\0",
	};

	static const struct {
		struct cp_files	head;
		struct cp_file	file[2];
		struct cp_map	map[2];
		char		names[16];
	} mapped = {
		.head = { 1, 80, 32, 2, 2, 16 },
		.file = {
			{ .ino = 7, .size = 0x2800, .flags = CP_FILE_STAYS },
			{ .ino = 8, .size = 0x9000, .flags = CP_FILE_STAYS, .name = 7,
			  .build_id_size = 20 },
		},
		.map = {
			{ 0x100000, 0x104000, 0x1000, 0, 0 },
			{ 0x104000, 0x105000, 0x3000, 1, 0 },
		},
		.names = "/bin/a\0/lib/b\0",
	};

	memcpy(psinfo + (bits == 64 ? 40 : 28), "fuzzed", 6);
	memcpy(psinfo + (bits == 64 ? 56 : 44), "fuzzed with args ", 17);
	status[112 + 19 * 8 + 2] = 0x10;
	notes[0] = (struct other_note) { "CORE", NT_PRSTATUS, status, sizeof(status) };
	notes[1] = (struct other_note) { "CORE", NT_PRPSINFO, psinfo,
					 bits == 64 ? 136 : 124 };
	notes[2] = bits == 64 ?
		(struct other_note) { "CORE", NT_AUXV, auxv64, sizeof(auxv64) } :
		(struct other_note) { "CORE", NT_AUXV, auxv32, sizeof(auxv32) };
	notes[3] = bits == 64 ?
		(struct other_note) { "CORE", NT_FILE, &files64, sizeof(files64) } :
		(struct other_note) { "CORE", NT_FILE, &files32, sizeof(files32) };
	notes[4] = (struct other_note) { CP_NOTE_OWNER, CP_FILES_TYPE, &mapped,
					 sizeof(mapped) };
	return 5;
}

enum notes {
	OF_ONE_RANGE,
	OF_SEVERAL,
	OF_VERSION_1,
};

static void chains(int bits, bool xnum, enum notes how)
{
	static const struct piece full[] = {
		DATA(0x100, 4, 'a'), HOLE(0x104, 1, CP_HOLE_ZERO),
		DATA(0x150, 2, 'b'), SKIPPED(0x160, 1, CP_SKIP_LOCKED),
	}, middle[] = {
		SAME(0x100, 1), DATA(0x101, 1, 'c'), SAME(0x102, 2),
		HOLE(0x104, 1, CP_HOLE_FILE),
	}, last[] = {
		SAME(0x100, 3), HOLE(0x103, 1, CP_HOLE_ZERO), DATA(0x104, 1, 'd'),
		SAME(0x150, 2), SKIPPED(0x160, 1, CP_SKIP_LOCKED),
	};
	static const struct cp_span areas[] = {
		AREA(0x100, 0x108), AREA(0x14f, 0x152), AREA(0x160, 0x161),
	};
	struct other_note notes[5];
	struct plan p[] = {
		plan(bits, 0, -1, 0x80, 0x200, N(full), full),
		plan(bits, 1, 0, 0x100, 0x140, N(middle), middle),
		plan(bits, 2, 1, 0x80, 0x200, N(last), last),
	};

	for (int i = 0; i < N(p); i++) {
		p[i].xnum = xnum;
		p[i].more = notes;
		p[i].nr_more = add_notes(notes, bits);
		if (how == OF_SEVERAL)
			set_areas(&p[i], areas, i == 1 ? 2 : 3);
		else if (how == OF_VERSION_1)
			set_version1(&p[i]);
	}
	for (int count = 1; count <= N(p); count++) {
		put_seed(FUZZ_CRC, p, count);
		put_seed(FUZZ_REPAIR, p, count);
		put_seed(FUZZ_REPAIR | FUZZ_COMMANDS, p, count);
		put_seed(0, p, count);
	}
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	folder = argv[1];
	for (enum notes how = OF_ONE_RANGE; how <= OF_VERSION_1; how++) {
		chains(64, false, how);
		chains(32, false, how);
		chains(64, true, how);
		chains(32, true, how);
	}
	return 0;
}
