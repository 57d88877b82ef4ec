// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - put the caller's own memory back to what a chain says
 *
 * First a plan is made and held against what is mapped now; memory is touched
 * only when nothing speaks against it. The plan lies in mappings of its own and
 * is all that is used from then on: malloc()'s memory may be what is restored.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <elf.h>

#include "internal.h"

/* Newer than some libcs; the numbers are the kernel's for good. */
#ifndef MADV_REMOVE
#define MADV_REMOVE		9
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif

/* Segments a call of preadv() takes, everywhere. */
#define MAX_SEGMENTS	1024
/* Bytes a call: a signal need not wait for a gigabyte. */
#define MAX_BATCH	(16UL << 20)
/* Stack that the functions here and the kernel's signal frames may need */
#define STACK_BELOW	(64 * 1024)

/* An array that grows, in a mapping of its own. */
struct table {
	char	*mem;
	size_t	used;
	size_t	space;
};

struct span {
	uint64_t	start;
	uint64_t	end;
};

/* DATA: bytes of an image, straight into place. */
struct copy {
	uint64_t	addr;
	uint64_t	len;
	uint64_t	offset;
	size_t		level;		/* which image, the newest is 0 */
};

/* An image, and how far the walk through the addresses has come in it. */
struct level {
	const struct cpimg_run	*run;
	const struct cpimg_run	*stop;
	uint64_t		start;	/* its range */
	uint64_t		end;
	const struct cpimg	*img;
	size_t			newest;	/* of its copies as they are found */
	size_t			count;	/* of its copies */
	size_t			first;	/* in the order of images */
};

enum hole_how {
	HOLE_LEAVE,		/* shared with the file: it is what it is */
	HOLE_KEEP,		/* of another file: nobody minds that it is left */
	HOLE_DISCARD,		/* reads as zeros, or from the file, by itself */
	HOLE_REMOVE,		/* of shared memory, for all who share it */
	HOLE_CLEAR,		/* zeros have to be written */
};

struct hole {
	uint64_t	addr;
	uint64_t	len;
	size_t		level;		/* which image, the newest is 0 */
	uint32_t	reason;		/* enum cp_hole */
	uint32_t	how;
};

/* A line of /proc/self/maps. */
struct map {
	uint64_t	start;
	uint64_t	end;
	uint64_t	offset;
	size_t		name;		/* in the text of all lines, 0: none */
	bool		readable;
	bool		writable;
	bool		shared;
	bool		file;
};

#define NR_TABLES	8

struct plan {
	const struct cpimg_chain	*chain;
	size_t				index;
	const struct cpimg		*img;
	uint64_t			start;
	uint64_t			end;
	uint64_t			page;
	uint64_t			frame;	/* of cp_restore() */
	int				zeros;	/* /dev/zero, or -1 */
	struct table			levels;
	struct table			found;	/* copies, in the order of addresses */
	struct table			copies;	/* and in that of images, then addresses */
	struct table			gaps;	/* holes as the chain has them */
	struct table			holes;	/* cut where mappings end */
	struct table			text;
	struct table			maps;
	struct table			segments;
	/* where tables lie or have lain: each growth is at least a doubling */
	struct span			own[NR_TABLES * 40];
	size_t				nr_own;
	struct cp_restored		*done;
	struct cpimg_error		*err;
};

#define TABLES(p) { &(p)->levels, &(p)->found, &(p)->copies, &(p)->gaps, \
		    &(p)->holes, &(p)->text, &(p)->maps, &(p)->segments }

#define COUNT(table, type)	((table)->used / sizeof(type))
#define ROWS(table, type)	((type *)(table)->mem)

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t higher(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static bool overlap(uint64_t a, uint64_t a_end, uint64_t b, uint64_t b_end)
{
	return a < b_end && b < a_end;
}

static int refuse(struct plan *p, enum cpimg_errcode code, uint64_t addr,
		  const char *why)
{
	return cpimg_fail(p->err, code, "%s: restoring 0x%" PRIx64 ": %s",
			  cpimg_path(p->img), addr, why);
}

/*
 * Tables
 */

static int grow(struct plan *p, struct table *t, size_t size)
{
	size_t space = t->space ? 2 * t->space : 64 * 1024;
	void *mem;

	while (space - t->used < size)
		space *= 2;
	mem = t->mem ? mremap(t->mem, t->space, space, MREMAP_MAYMOVE) :
	      mmap(NULL, space, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return cpimg_fail(p->err, CPIMG_ERR_SYS,
			"%s: restoring: %zu bytes for the plan: %s",
			cpimg_path(p->img), space, strerror(errno));
	t->mem = mem;
	t->space = space;
	p->own[p->nr_own++] = (struct span) {
		(uintptr_t)mem, (uintptr_t)mem + space,
	};
	return 0;
}

/* Room for @size more bytes, or NULL. */
static inline void *more(struct plan *p, struct table *t, size_t size)
{
	if (t->space - t->used < size && grow(p, t, size))
		return NULL;
	t->used += size;
	return t->mem + t->used - size;
}

static void drop_tables(struct plan *p)
{
	struct table *all[] = TABLES(p);

	for (size_t i = 0; i < NR_TABLES; i++) {
		if (all[i]->mem)
			munmap(all[i]->mem, all[i]->space);
	}
}

/*
 * What the chain says: at each address the newest image that does not say SAME
 */

static int add_levels(struct plan *p)
{
	for (size_t i = p->index + 1; i--;) {
		const struct cpimg *img = cpimg_chain_image(p->chain, i);
		struct level *l = more(p, &p->levels, sizeof(*l));
		size_t count;

		if (!l)
			return -1;
		*l = (struct level) {
			.run = cpimg_runs(img, &count),
			.start = cpimg_note(img)->start,
			.end = cpimg_note(img)->end,
			.img = img,
		};
		l->stop = l->run + count;
		l->run += cpimg_index_after(img, p->start);
	}
	return 0;
}

static int add_copy(struct plan *p, struct level *l, size_t level, uint64_t addr,
		    uint64_t len, uint64_t offset)
{
	struct copy *c = ROWS(&p->found, struct copy) + l->newest;

	if (l->count && c->addr + c->len == addr && c->offset + c->len == offset) {
		c->len += len;
		return 0;
	}
	c = more(p, &p->found, sizeof(*c));
	if (!c)
		return -1;
	*c = (struct copy) { addr, len, offset, level };
	l->newest = COUNT(&p->found, struct copy) - 1;
	l->count++;
	return 0;
}

static int add_hole(struct plan *p, size_t level, uint64_t addr, uint64_t len,
		    uint32_t reason)
{
	struct hole *last = p->gaps.used ? ROWS(&p->gaps, struct hole) +
			    COUNT(&p->gaps, struct hole) - 1 : NULL;

	/* Which file it is, is in the notes of the image that has the hole. */
	if (last && last->addr + last->len == addr && last->reason == reason &&
	    (last->level == level || reason != CP_HOLE_FILE)) {
		last->len += len;
		return 0;
	}
	last = more(p, &p->gaps, sizeof(*last));
	if (!last)
		return -1;
	*last = (struct hole) {
		.addr = addr, .len = len, .level = level, .reason = reason,
	};
	return 0;
}

/* An older image denies what a younger one relies on. */
static int contradiction(struct plan *p, uint64_t addr)
{
	struct cpimg_piece piece;

	if (cpimg_chain_resolve(p->chain, p->index, addr, &piece, p->err))
		return -1;
	return refuse(p, CPIMG_ERR_CHAIN, addr, "the chain contradicts itself");
}

/*
 * Does the image know of @at, or is it to be asked of its parent? The answer holds
 * up to *@end, which is only ever lowered. *@run is NULL for what is not mapped.
 */
static inline bool knows(struct level *l, uint64_t at, uint64_t *end,
			 const struct cpimg_run **run)
{
	while (l->run < l->stop && l->run->end <= at)
		l->run++;
	if (l->run < l->stop && l->run->start <= at) {
		*end = lower(*end, l->run->end);
		*run = l->run;
		return l->run->cls != CPIMG_SAME;
	}
	*run = NULL;
	if (at < l->start || at >= l->end) {
		if (at < l->start)
			*end = lower(*end, l->start);
		return false;
	}
	*end = lower(*end, l->run < l->stop ? l->run->start : l->end);
	return true;
}

/* What is to be done about [@start, @end), which image @level knows. */
static int sort_piece(struct plan *p, size_t level, const struct cpimg_run *run,
		      uint64_t start, uint64_t end)
{
	struct level *l = ROWS(&p->levels, struct level) + level;

	if (run && run->cls == CPIMG_DATA)
		return add_copy(p, l, level, start, end - start,
				run->offset + (start - run->start));
	if (run && run->cls == CPIMG_HOLE)
		return add_hole(p, level, start, end - start, run->reason);
	/* Skipped or not mapped: left as it is. SAME cannot lead there. */
	return level ? contradiction(p, start) : 0;
}

/* From found to copies: each image's together. */
static int group_copies(struct plan *p)
{
	const struct copy *c = ROWS(&p->found, struct copy);
	struct level *levels = ROWS(&p->levels, struct level);
	struct copy *to;
	size_t next = 0;

	if (!p->found.used)
		return 0;
	to = more(p, &p->copies, p->found.used);
	if (!to)
		return -1;
	for (size_t i = 0; i < COUNT(&p->levels, struct level); i++) {
		levels[i].first = next;
		next += levels[i].count;
		levels[i].newest = levels[i].first;
	}
	for (size_t left = COUNT(&p->found, struct copy); left; left--, c++)
		to[levels[c->level].newest++] = *c;
	return 0;
}

static int sort_chain(struct plan *p)
{
	struct level *levels;
	size_t count;

	if (add_levels(p))
		return -1;
	levels = ROWS(&p->levels, struct level);
	count = COUNT(&p->levels, struct level);
	for (uint64_t at = p->start, end; at < p->end; at = end) {
		const struct cpimg_run *run = NULL;
		size_t i = 0;

		end = p->end;
		while (i < count && !knows(&levels[i], at, &end, &run))
			i++;
		if (i == count)
			return contradiction(p, at);
		if (sort_piece(p, i, run, at, end))
			return -1;
	}
	return group_copies(p);
}

/*
 * What is mapped now
 */

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

static int read_maps(struct plan *p)
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
static const struct map *map_of(struct plan *p, uint64_t addr, size_t *hint)
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

static int not_mapped(struct plan *p, uint64_t addr)
{
	return refuse(p, CPIMG_ERR_MEMORY, addr, "nothing is mapped there");
}

/* False: whoever touches that byte gets SIGBUS. */
static bool is_there(uint64_t addr)
{
	char byte;
	struct iovec to = { &byte, 1 }, from = { (void *)(uintptr_t)addr, 1 };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1 || errno != EFAULT;
}

static int check_copies(struct plan *p)
{
	const struct copy *c = ROWS(&p->copies, struct copy);
	size_t left = COUNT(&p->copies, struct copy), hint = 0;

	for (; left; left--, c++) {
		uint64_t at = c->addr, end = c->addr + c->len;

		while (at < end) {
			const struct map *m = map_of(p, at, &hint);

			if (!m)
				return not_mapped(p, at);
			if (!m->writable)
				return refuse(p, CPIMG_ERR_MEMORY, at,
					      "the mapping is read-only");
			/* Else half of it would be restored when that comes out. */
			if (m->file && m->readable && !is_there(lower(end, m->end) - 1))
				return cpimg_fail(p->err, CPIMG_ERR_FILE,
					"%s: restoring 0x%" PRIx64 ": is past the end of %.350s, which is mapped there",
					cpimg_path(p->img), lower(end, m->end) - 1,
					m->name ? p->text.mem + m->name : "a file");
			at = m->end;
		}
	}
	return 0;
}

/*
 * What would not be restored: flags and the caller's function may allow it
 */

/*
 * 1: the piece may be left as it is, 0: it may not, which is for the caller of this
 * to say, -1: the user's function said no.
 */
static int may_leave(struct plan *p, const struct cpimg_piece *piece, unsigned int flag)
{
	const struct cp_restored *done = p->done;

	if (done->flags & flag)
		return 1;
	if (!done->left)
		return 0;
	if (!done->left(piece, done->arg))
		return 1;
	return refuse(p, CPIMG_ERR_LEFT, piece->start,
		      "the caller does not want to leave it as it is");
}

/*
 * Holes that read from a file
 */

/* /proc writes a newline in a name as \\012, and nothing else in another way. */
static bool same_name(const char *proc, const char *name)
{
	for (; *name; name++, proc++) {
		if (*name == '\n' && !strncmp(proc, "\\012", 4))
			proc += 3;
		else if (*name != *proc)
			return false;
	}
	return !*proc;
}

/* What /proc has written is then a newline, if it is not the name that was expected. */
static const char *unescape(const char *proc, char *to, size_t size)
{
	size_t n = 0;

	for (; *proc && n + 1 < size; n++) {
		bool newline = !strncmp(proc, "\\012", 4);

		to[n] = newline ? '\n' : *proc;
		proc += newline ? 4 : 1;
	}
	to[n] = 0;
	return to;
}

/* /proc says so behind the name of a file that has none any more. */
static bool name_is_gone(const char *name)
{
	static const char gone[] = " (deleted)";
	size_t n = strlen(name), m = sizeof(gone) - 1;

	return n > m && !strcmp(name + n - m, gone);
}

/*
 * What was the file's is to be read from that file, at that place. @end: up to where
 * the answer holds.
 */
static int check_file(struct plan *p, const struct hole *h, const struct map *m,
		      uint64_t *end)
{
	const struct cpimg *img = ROWS(&p->levels, struct level)[h->level].img;
	const char *name = m->name ? p->text.mem + m->name : "?";
	uint64_t now = m->offset + (h->addr - m->start), then;
	struct cpimg_mapped mapped;
	struct cpimg_error why;
	char path[4096];
	bool same;

	*end = m->end;
	if (!cpimg_has_files(img))
		return refuse(p, CPIMG_ERR_FILE, h->addr,
			"reads from a file, and the image does not say what tells it from others: it was written by an older kernel");
	if (!cpimg_mapped_file(img, h->addr, &mapped) ||
	    !(mapped.file.flags & CP_FILE_STAYS))
		return refuse(p, CPIMG_ERR_FILE, h->addr,
			"reads from a file, and the image does not say which");
	*end = lower(*end, mapped.end);
	then = mapped.offset + (h->addr - mapped.start);
	if (!m->file)
		return cpimg_fail(p->err, CPIMG_ERR_FILE,
			"%s: restoring 0x%" PRIx64 ": reads from %.200s, and no file is mapped there",
			cpimg_path(p->img), h->addr, mapped.name);
	same = same_name(name, mapped.name);
	if (now == then && !(name_is_gone(name) && !same) &&
	    !cpimg_check_file(&mapped, same ? mapped.name :
			      unescape(name, path, sizeof(path)), &why))
		return 0;
	if (now != then || !same)
		return cpimg_fail(p->err, CPIMG_ERR_FILE,
			"%s: restoring 0x%" PRIx64 ": reads from %.120s at 0x%" PRIx64 ", and %.120s at 0x%" PRIx64 " is mapped there",
			cpimg_path(p->img), h->addr, mapped.name, then, name, now);
	return cpimg_fail(p->err, CPIMG_ERR_FILE,
		"%s: restoring 0x%" PRIx64 ": reads from %.350s",
		cpimg_path(p->img), h->addr, why.text);
}

/* A hole of another file is left, if nobody minds. */
static int choose_file(struct plan *p, struct hole *h, const struct map *m, bool whole)
{
	struct cpimg_error why = { .code = CPIMG_OK };
	struct cpimg_piece piece;
	uint64_t end;
	int bad = check_file(p, h, m, &end), may;

	h->len = lower(h->len, end - h->addr);
	if (!bad) {
		h->how = m->shared ? HOLE_LEAVE : HOLE_DISCARD;
		if (h->how == HOLE_DISCARD && !whole)
			return refuse(p, CPIMG_ERR_MEMORY, h->addr,
				"reads from a file, and only whole pages can");
		return 0;
	}
	if (p->err)
		why = *p->err;
	if (cpimg_chain_resolve(p->chain, p->index, h->addr, &piece, NULL))
		return -1;
	piece.end = h->addr + h->len;
	may = may_leave(p, &piece, CP_RESTORE_FILES);
	if (p->err)
		*p->err = may > 0 ? (struct cpimg_error) { .code = CPIMG_OK } : why;
	if (may <= 0)
		return -1;
	h->how = HOLE_KEEP;
	p->done->changed += h->len;
	return 0;
}

/* How a hole becomes one again in that mapping. */
static int choose(struct plan *p, struct hole *h, const struct map *m)
{
	bool whole = !(h->addr & (p->page - 1)) && !(h->len & (p->page - 1));

	if (h->reason == CP_HOLE_FILE)
		return choose_file(p, h, m, whole);
	if (!m->shared && !m->file && whole)
		h->how = HOLE_DISCARD;
	else if (!m->writable)
		return refuse(p, CPIMG_ERR_MEMORY, h->addr,
			      "the mapping is read-only");
	else
		h->how = m->shared && whole ? HOLE_REMOVE : HOLE_CLEAR;
	return 0;
}

static int check_holes(struct plan *p)
{
	size_t left = COUNT(&p->gaps, struct hole), hint = 0;

	for (size_t i = 0; i < left; i++) {
		struct hole h = ROWS(&p->gaps, struct hole)[i], *to;
		uint64_t end = h.addr + h.len;

		while (h.addr < end) {
			const struct map *m = map_of(p, h.addr, &hint);

			if (!m)
				return not_mapped(p, h.addr);
			h.len = lower(end, m->end) - h.addr;
			if (choose(p, &h, m))
				return -1;
			to = more(p, &p->holes, sizeof(*to));
			if (!to)
				return -1;
			*to = h;
			h.addr += h.len;
		}
	}
	return 0;
}

/*
 * Where the plan lies nothing of the caller's is mapped, whatever /proc says. Seldom
 * is it in the range at all.
 */
static int check_own(struct plan *p)
{
	for (size_t i = 0; i < p->nr_own; i++) {
		const struct span *own = &p->own[i];
		const struct copy *c = ROWS(&p->copies, struct copy);
		const struct hole *h = ROWS(&p->gaps, struct hole);
		size_t left;

		if (!overlap(p->start, p->end, own->start, own->end))
			continue;
		for (left = COUNT(&p->copies, struct copy); left; left--, c++) {
			if (overlap(c->addr, c->addr + c->len, own->start, own->end))
				return not_mapped(p, higher(c->addr, own->start));
		}
		for (left = COUNT(&p->gaps, struct hole); left; left--, h++) {
			if (overlap(h->addr, h->addr + h->len, own->start, own->end))
				return not_mapped(p, higher(h->addr, own->start));
		}
	}
	return 0;
}

/* A file may have been cut since it was opened. */
static int check_sizes(struct plan *p)
{
	const struct level *l = ROWS(&p->levels, struct level);

	for (size_t left = COUNT(&p->levels, struct level); left; left--, l++) {
		const struct copy *last;
		struct stat st;
		int fd, bad;

		if (!l->count)
			continue;
		last = ROWS(&p->copies, struct copy) + l->first + l->count - 1;
		fd = cpimg_hold(l->img, p->err);
		if (fd < 0)
			return -1;
		bad = fstat(fd, &st);
		cpimg_release(l->img);
		if (bad)
			return cpimg_fail(p->err, CPIMG_ERR_SYS, "%s: fstat: %s",
					  cpimg_path(l->img), strerror(errno));
		if ((uint64_t)st.st_size < last->offset + last->len)
			return cpimg_fail(p->err, CPIMG_ERR_FORMAT,
				"%s: ends at 0x%" PRIx64 ": it had data up to 0x%" PRIx64 " when it was opened",
				cpimg_path(l->img), (uint64_t)st.st_size,
				last->offset + last->len);
	}
	return 0;
}

/* What cannot be replaced while it is in use. */
static int check_in_use(struct plan *p)
{
	const struct cp_restored *done = p->done;

	/* Above is where to return to, below what is called from there. */
	if (overlap(p->start, p->end, p->frame - STACK_BELOW,
		    p->frame + 2 * sizeof(void *)))
		return refuse(p, CPIMG_ERR_MEMORY, p->frame,
			      "the stack that this runs on");
	if (cpimg_chain_overlaps(p->chain, p->start, p->end))
		return refuse(p, CPIMG_ERR_MEMORY, p->start,
			"the open chain itself lies in the range");
	if (overlap(p->start, p->end, (uintptr_t)done, (uintptr_t)(done + 1)) ||
	    (p->err && overlap(p->start, p->end, (uintptr_t)p->err,
			       (uintptr_t)(p->err + 1))))
		return refuse(p, CPIMG_ERR_MEMORY, p->start,
			"the caller's report lies in the range");
	return 0;
}

static int check_range(struct plan *p)
{
	const struct cp_note *note = cpimg_note(p->img);
	long page = sysconf(_SC_PAGESIZE);

	if (p->start >= p->end)
		return cpimg_fail(p->err, CPIMG_ERR_MEMORY,
			"%s: restoring 0x%" PRIx64 " to 0x%" PRIx64 ": an empty range",
			cpimg_path(p->img), p->start, p->end);
	if (p->start < note->start || p->end > note->end)
		return cpimg_fail(p->err, CPIMG_ERR_NODATA,
			"%s: restoring 0x%" PRIx64 " to 0x%" PRIx64 ": the image has 0x%" PRIx64 " to 0x%" PRIx64,
			cpimg_path(p->img), p->start, p->end,
			(uint64_t)note->start, (uint64_t)note->end);
	if (cpimg_bits(p->img) != (int)(8 * sizeof(void *)))
		return cpimg_fail(p->err, CPIMG_ERR_MEMORY,
			"%s: restoring: of a program of %d bits, and this has %d",
			cpimg_path(p->img), cpimg_bits(p->img),
			(int)(8 * sizeof(void *)));
	if (note->page_size != (uint64_t)page)
		return cpimg_fail(p->err, CPIMG_ERR_MEMORY,
			"%s: restoring: pages of %" PRIu64 " bytes, and here they have %ld",
			cpimg_path(p->img), (uint64_t)note->page_size, page);
	p->page = page;
	return 0;
}

/* Some holes need it for certain, others only where discarding does not work. */
static int open_zeros(struct plan *p)
{
	const struct hole *h = ROWS(&p->holes, struct hole);
	bool wanted = false, needed = false;

	for (size_t left = COUNT(&p->holes, struct hole); left; left--, h++) {
		wanted |= h->reason == CP_HOLE_ZERO;
		needed |= h->how == HOLE_REMOVE || h->how == HOLE_CLEAR;
	}
	if (wanted)
		p->zeros = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	if (!needed || p->zeros >= 0)
		return 0;
	return cpimg_fail(p->err, CPIMG_ERR_SYS, "/dev/zero: opening: %s",
			  strerror(errno));
}

/* What speaks against leaving memory as it is: the first, and all. */
struct objections {
	uint64_t	start;
	uint64_t	end;
	const char	*why;
	size_t		count;
	uint64_t	bytes;
	bool		nothing;	/* that is all the range has */
};

static void object(struct objections *o, const struct cpimg_piece *piece, const char *why)
{
	if (!o->count++) {
		o->start = piece->start;
		o->end = piece->end;
		o->why = why;
	}
	o->bytes += piece->end - piece->start;
}

/*
 * Nothing was there to be saved: a page past the end of a file, which could not even
 * be read.
 */
static bool past_the_end(const struct cpimg *img, const struct cpimg_piece *piece,
			 uint64_t page)
{
	struct cpimg_mapped m;
	uint64_t offset;

	if (piece->reason != CP_SKIP_FAULT ||
	    !cpimg_mapped_file(img, piece->start, &m) || m.end < piece->end)
		return false;
	offset = m.offset + (piece->start - m.start);
	return offset >= ((m.file.size + page - 1) & ~(page - 1));
}

static int tell(struct plan *p, struct objections *o, const struct cpimg_piece *piece)
{
	bool none = piece->cls == CPIMG_NONE;
	uint64_t size = piece->end - piece->start;
	int may;

	*(none ? &p->done->unmapped : &p->done->skipped) += size;
	if (!none && past_the_end(p->img, piece, p->page))
		return 0;
	may = may_leave(p, piece, none ? CP_RESTORE_UNMAPPED : CP_RESTORE_SKIPPED);
	if (!may)
		object(o, piece, none ? NULL : cpimg_skip_name(piece->reason));
	return may < 0 ? -1 : 0;
}

/* The first address from @start on, and below @end, that is in no table of the plan. */
static uint64_t after_own(const struct plan *p, uint64_t start, uint64_t end,
			  uint64_t *next_own)
{
	bool again = true;

	while (again) {
		again = false;
		*next_own = end;
		for (size_t i = 0; i < p->nr_own; i++) {
			const struct span *own = &p->own[i];

			if (own->start <= start && start < own->end) {
				start = own->end;
				again = true;
			} else if (own->start > start) {
				*next_own = lower(*next_own, own->start);
			}
		}
	}
	return start;
}

/*
 * Nothing was mapped at [@start, @end). Where that is so now, too, it is as it was;
 * what is mapped now is memory that nothing is known of.
 */
static int tell_unmapped(struct plan *p, struct objections *o, uint64_t start,
			 uint64_t end)
{
	struct cpimg_piece piece = { .start = start, .end = start, .cls = CPIMG_NONE };
	const struct map *m = ROWS(&p->maps, struct map);
	size_t i = SIZE_MAX, count = COUNT(&p->maps, struct map);
	uint64_t own;

	map_of(p, start, &i);
	for (m += i; i < count && m->start < end; i++, m++) {
		uint64_t at = higher(m->start, start), stop = lower(m->end, end);

		while (at < stop) {
			at = after_own(p, at, stop, &own);
			if (at >= stop)
				break;
			/* Mappings side by side are one piece. */
			if (piece.end != at) {
				if (piece.start < piece.end && tell(p, o, &piece))
					return -1;
				piece.start = at;
			}
			piece.end = own;
			at = own;
		}
	}
	return piece.start < piece.end ? tell(p, o, &piece) : 0;
}

static int tell_skipped(struct plan *p, struct objections *o, const struct cpimg_run *run)
{
	struct cpimg_piece piece = {
		.start = higher(run->start, p->start), .end = lower(run->end, p->end),
		.img = p->img, .run = run, .cls = run->cls, .reason = run->reason,
		.prot = run->prot,
	};

	return tell(p, o, &piece);
}

static int refuse_left(struct plan *p, const struct objections *o)
{
	char more[64] = "";

	if (o->count > 1)
		snprintf(more, sizeof(more), ", and %zu more: %" PRIu64 " KiB in all",
			 o->count - 1, o->bytes >> 10);
	if (o->why)
		return cpimg_fail(p->err, CPIMG_ERR_LEFT,
			"%.250s: restoring: 0x%" PRIx64 " to 0x%" PRIx64 " is not in the image, it was left out: %s%s",
			cpimg_path(p->img), o->start, o->end, o->why, more);
	return cpimg_fail(p->err, CPIMG_ERR_LEFT,
		"%.250s: restoring: at 0x%" PRIx64 " to 0x%" PRIx64 " nothing was mapped then%s%s",
		cpimg_path(p->img), o->start, o->end, more,
		o->nothing ? " (did the program have its state at another address?)" : "");
}

/*
 * Ask of what is left as it is, and say no to the rest. Only the image that was
 * asked for has such: where an older one has, the chain contradicts itself.
 */
static int tell_left(struct plan *p)
{
	size_t count, i = cpimg_index_after(p->img, p->start);
	const struct cpimg_run *run = cpimg_runs(p->img, &count);
	struct objections o = { .nothing = i == count || run[i].start >= p->end };
	uint64_t at, end;

	for (at = p->start; at < p->end; at = end) {
		if (i == count || run[i].start > at) {
			end = lower(p->end, i < count ? run[i].start : p->end);
			if (tell_unmapped(p, &o, at, end))
				return -1;
			continue;
		}
		end = lower(p->end, run[i].end);
		if (run[i++].cls == CPIMG_SKIPPED && tell_skipped(p, &o, &run[i - 1]))
			return -1;
	}
	/* Nothing then and nothing now: whatever was meant, it was hardly that. */
	if (o.nothing && !o.count && !p->done->unmapped) {
		struct cpimg_piece all = {
			.start = p->start, .end = p->end, .cls = CPIMG_NONE,
		};
		int may = may_leave(p, &all, CP_RESTORE_UNMAPPED);

		if (may < 0)
			return -1;
		if (!may)
			object(&o, &all, NULL);
	}
	return o.count ? refuse_left(p, &o) : 0;
}

/*
 * Memory is touched from here on
 */

/* Read @count segments, whatever the size of the pieces that come. */
static int read_segments(int fd, struct iovec *seg, size_t count, uint64_t offset)
{
	while (count) {
		/* The simpler call is the cheaper one. */
		ssize_t n = count == 1 ?
			    pread(fd, seg->iov_base, seg->iov_len, offset) :
			    preadv(fd, seg, count, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (!n) {
			errno = ENODATA;
			return -1;
		}
		offset += n;
		while (count && (size_t)n >= seg->iov_len) {
			n -= seg->iov_len;
			seg++;
			count--;
		}
		if (count) {
			seg->iov_base = (char *)seg->iov_base + n;
			seg->iov_len -= n;
		}
	}
	return 0;
}

/*
 * The copies of an image follow each other in the file, but for those that a
 * younger image has replaced: one call reads what lies together.
 */
static int read_copies(struct plan *p, const struct level *l, int fd)
{
	const struct copy *c = ROWS(&p->copies, struct copy) + l->first;
	const struct copy *last = c + l->count;
	struct iovec *seg = ROWS(&p->segments, struct iovec);
	uint64_t done = 0;

	while (c < last) {
		uint64_t offset = c->offset + done, at = offset;
		size_t count = 0;

		while (c < last && c->offset + done == at &&
		       at - offset < MAX_BATCH && count < MAX_SEGMENTS) {
			uint64_t n = lower(c->len - done, MAX_BATCH);

			seg[count++] = (struct iovec) {
				.iov_base = (void *)(uintptr_t)(c->addr + done),
				.iov_len = n,
			};
			at += n;
			done += n;
			if (done == c->len) {
				done = 0;
				c++;
			}
		}
		if (read_segments(fd, seg, count, offset))
			return cpimg_fail(p->err, CPIMG_ERR_SYS,
				"image %zu of the chain: reading at 0x%" PRIx64 " into memory: %s",
				p->index - (l - ROWS(&p->levels, struct level)), offset, strerror(errno));
	}
	return 0;
}

static int read_level(struct plan *p, const struct level *l)
{
	int fd, ret;

	if (!l->count)
		return 0;
	fd = cpimg_hold(l->img, p->err);
	if (fd < 0)
		return -1;
	ret = read_copies(p, l, fd);
	cpimg_release(l->img);
	return ret;
}

static int clear(struct plan *p, const struct hole *h)
{
	uint64_t at = 0;

	/* Not memset(): behind the end of a mapped file it would be a SIGBUS. */
	while (at < h->len) {
		ssize_t n = read(p->zeros, (void *)(uintptr_t)(h->addr + at),
				 lower(h->len - at, MAX_BATCH));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += n;
	}
	return 0;
}

static int make_hole(struct plan *p, const struct hole *h)
{
	void *addr = (void *)(uintptr_t)h->addr;
	int ret = -1;

	switch (h->how) {
	case HOLE_LEAVE:
	case HOLE_KEEP:
		return 0;
	case HOLE_DISCARD:
		ret = madvise(addr, h->len, MADV_DONTNEED);
		/* Locked since then */
		if (ret && errno == EINVAL)
			ret = madvise(addr, h->len, MADV_DONTNEED_LOCKED);
		break;
	case HOLE_REMOVE:
		ret = madvise(addr, h->len, MADV_REMOVE);
		break;
	}
	if (ret && h->reason == CP_HOLE_ZERO)
		ret = clear(p, h);
	if (ret)
		return cpimg_fail(p->err, CPIMG_ERR_SYS,
			"discarding 0x%" PRIx64 " to 0x%" PRIx64 ": %s", h->addr,
			h->addr + h->len, strerror(errno));
	return 0;
}

static int apply(struct plan *p)
{
	struct cp_restored *done = p->done;
	const struct level *l = ROWS(&p->levels, struct level);
	const struct hole *h = ROWS(&p->holes, struct hole);
	size_t left;

	done->touched = true;
	for (left = COUNT(&p->holes, struct hole); left; left--, h++) {
		if (make_hole(p, h))
			return -1;
		if (h->how != HOLE_KEEP)
			*(h->reason == CP_HOLE_FILE ? &done->file :
			  &done->zeros) += h->len;
	}
	for (left = COUNT(&p->levels, struct level); left; left--, l++) {
		const struct copy *c = ROWS(&p->copies, struct copy) + l->first;

		if (read_level(p, l))
			return -1;
		for (size_t i = 0; i < l->count; i++)
			done->data += c[i].len;
	}
	return 0;
}

static int prepare(struct plan *p)
{
	if (check_range(p) || check_in_use(p) || sort_chain(p) ||
	    !more(p, &p->segments, MAX_SEGMENTS * sizeof(struct iovec)) ||
	    read_maps(p) || check_holes(p) || check_copies(p) || check_own(p) ||
	    check_sizes(p) || open_zeros(p))
		return -1;
	return tell_left(p);
}

/**
 * cp_restore() - put memory back to what it was at a checkpoint
 * @chain: the chain
 * @index: the checkpoint: 0 to cpimg_chain_length() - 1
 * @start: first byte of the range
 * @end: the byte after the last
 * @done: in: what may be left as it is; out: what was done; NULL: nothing may
 * @err: what went wrong; may be NULL
 *
 * The range is restored to the byte, and nothing beside it is touched. It must be
 * mapped as it was: DATA writable, a hole that reads from a file with that file,
 * unchanged. All of that is checked before memory is touched, and so is that all of
 * the range is restored: what the image leaves out, what was not mapped then and is
 * now, and holes of other files are an error, unless @done allows them.
 *
 * Nobody else should use the memory meanwhile. The range must hold neither the chain,
 * nor the stack, nor @done and @err; that it holds nothing that the C library is
 * using, nor code that runs, is for the caller to see to.
 *
 * Return: 0, or -1. Then @done->touched says whether memory is in part restored.
 */
int cp_restore(const struct cpimg_chain *chain, size_t index, void *start,
	       void *end, struct cp_restored *done, struct cpimg_error *err)
{
	struct cp_restored nobody = { 0 };
	struct plan p = {
		.chain = chain,
		.index = index,
		.start = (uintptr_t)start,
		.end = (uintptr_t)end,
		.frame = (uintptr_t)__builtin_frame_address(0),
		.zeros = -1,
		.err = err,
	};
	int ret = -1;

	if (!done)
		done = &nobody;
	*done = (struct cp_restored) {
		.flags = done->flags, .left = done->left, .arg = done->arg,
	};
	p.done = done;
	p.img = cpimg_chain_image(chain, index);
	if (!p.img)
		return cpimg_fail(err, CPIMG_ERR_CHAIN,
				  "checkpoint %zu of a chain of %zu", index,
				  cpimg_chain_length(chain));
	if (!prepare(&p))
		ret = apply(&p);
	if (p.zeros >= 0)
		close(p.zeros);
	drop_tables(&p);
	return ret;
}
