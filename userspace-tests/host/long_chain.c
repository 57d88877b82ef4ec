// SPDX-License-Identifier: GPL-2.0
/*
 * long_chain FOLDER COUNT: a chain of so many images of 1,024 pages, 7-cp0 and on. Each
 * has one page of its own, and SAME for what lies below and above it, as a program
 * leaves them that changes little and saves itself often.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <compose.h>

#define PAGES	1024
#define AT	0x30000

static void save(const char *folder, int n, const struct plan *p)
{
	static struct image im;
	char path[4096];
	int fd;

	compose(&im, p);
	snprintf(path, sizeof(path), "%s/7-cp%d", folder, n);
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	if (fd < 0 || write(fd, im.bytes, im.size) != (ssize_t)im.size || close(fd)) {
		perror(path);
		exit(1);
	}
}

/* Of one digit plan() makes them itself. */
static void set_id(unsigned char id[CP_ID_SIZE], int n)
{
	memset(id, 0, CP_ID_SIZE);
	snprintf((char *)id, CP_ID_SIZE, "id %d", n);
}

int main(int argc, char **argv)
{
	int count = argc == 3 ? atoi(argv[2]) : 0;

	for (int n = 0; n < count; n++) {
		uint64_t page = n * 389 % PAGES;
		struct piece runs[3], full[] = { HOLE(AT, PAGES, CP_HOLE_ZERO) };
		struct plan p;
		int nr = 0;

		if (page)
			runs[nr++] = (struct piece) SAME(AT, page);
		runs[nr++] = (struct piece) DATA(AT + page, 1, 1 + n % 255);
		if (page + 1 < PAGES)
			runs[nr++] = (struct piece) SAME(AT + page + 1, PAGES - page - 1);
		p = n ? plan(64, n, n - 1, AT, AT + PAGES, nr, runs) :
		    plan(64, 0, -1, AT, AT + PAGES, 1, full);
		p.note.monotonic_ns = p.note.realtime_ns = 1600000000000000000 + n;
		set_id(p.note.id, n);
		if (n)
			set_id(p.note.parent_id, n - 1);
		save(argv[1], n, &p);
	}
	return !count;
}
