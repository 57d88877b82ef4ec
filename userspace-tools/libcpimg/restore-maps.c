// SPDX-License-Identifier: GPL-2.0
/* libcpimg - restoring: what is mapped now */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "restore.h"

static int read_text(struct plan *p)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;
	char *to;

	if (fd < 0)
		return cpimg_fail(p->err, CPIMG_ERR_SYS,
			"/proc/self/maps, to see what is mapped: opening: %s",
			strerror(errno));
	/* Offset 0 stands for no name. */
	to = more(p, &p->text, 1);
	while (to) {
		to = more(p, &p->text, 4096);
		n = to ? read(fd, to, 4096) : -1;
		if (n <= 0)
			break;
		p->text.used -= 4096 - n;
	}
	close(fd);
	if (!to)
		return -1;
	if (n < 0)
		return cpimg_fail(p->err, CPIMG_ERR_SYS,
				  "/proc/self/maps: reading: %s", strerror(errno));
	*to = 0;
	return 0;
}

/* "start-end rwxp offset dev inode name" */
static bool parse_map(const char *text, const char *line, struct map *m)
{
	unsigned long long start, end, offset, inode;
	char perms[5];
	int name = 0;

	if (sscanf(line, "%llx-%llx %4s %llx %*s %llu %n", &start, &end, perms,
		   &offset, &inode, &name) != 5 || !name)
		return false;
	*m = (struct map) {
		.start = start,
		.end = end,
		.offset = offset,
		.name = line[name] ? line + name - text : 0,
		.readable = perms[0] == 'r',
		.writable = perms[1] == 'w',
		.shared = perms[3] == 's',
		.file = inode != 0,
	};
	return true;
}

int cpimg_plan_maps(struct plan *p)
{
	char *line, *next;
	struct map m, *to;

	if (read_text(p))
		return -1;
	for (line = p->text.mem + 1; *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		else
			next = line + strlen(line);
		if (!parse_map(p->text.mem, line, &m))
			return cpimg_fail(p->err, CPIMG_ERR_SYS,
					  "/proc/self/maps: \"%.100s\": not understood",
					  line);
		if (m.end <= p->start || m.start >= p->end)
			continue;
		to = more(p, &p->maps, sizeof(*to));
		if (!to)
			return -1;
		*to = m;
	}
	return 0;
}

/* The mapping of @addr, or NULL. @hint: where it was last time. */
const struct map *cpimg_plan_map_of(struct plan *p, uint64_t addr, size_t *hint)
{
	const struct map *maps = ROWS(&p->maps, struct map);
	size_t count = COUNT(&p->maps, struct map), low = 0, high = count;

	if (*hint < count && maps[*hint].start <= addr && addr < maps[*hint].end)
		return &maps[*hint];
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (maps[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	*hint = low;
	return low < count && maps[low].start <= addr ? &maps[low] : NULL;
}
