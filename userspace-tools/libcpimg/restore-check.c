// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - restoring: what speaks against the plan, in the chain, in what is mapped
 * and in what is in use. Nothing is touched.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "restore.h"

/* Stack that the functions here and the kernel's signal frames may need */
#define STACK_BELOW	(64 * 1024)

int cpimg_plan_check_range(struct plan *p)
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
	if (!cpimg_touches(p->img, p->start, p->end))
		return cpimg_fail(p->err, CPIMG_ERR_NODATA,
			"%s: restoring 0x%" PRIx64 " to 0x%" PRIx64 ": lies between the %u ranges that the image has",
			cpimg_path(p->img), p->start, p->end, note->nr_areas);
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

static bool is_in_plan(const void *mem, size_t size, const void *plan)
{
	return plan_has(plan, (uintptr_t)mem, (uintptr_t)mem + size);
}

/* What cannot be replaced while it is in use. */
int cpimg_plan_check_in_use(struct plan *p)
{
	const struct cp_restored *done = p->done;

	/* Above is where to return to, below what is called from there. */
	if (plan_has(p, p->frame - STACK_BELOW, p->frame + 2 * sizeof(void *)))
		return refuse(p, CPIMG_ERR_MEMORY, p->frame,
			      "the stack that this runs on");
	if (cpimg_chain_memory(p->chain, is_in_plan, p))
		return refuse(p, CPIMG_ERR_MEMORY, p->start,
			"the open chain itself lies in the range");
	if (is_in_plan(done, sizeof(*done), p) ||
	    (p->err && is_in_plan(p->err, sizeof(*p->err), p)))
		return refuse(p, CPIMG_ERR_MEMORY, p->start,
			"the caller's report lies in the range");
	return 0;
}

/* False: whoever touches that byte gets SIGBUS. */
static bool is_there(uint64_t addr)
{
	char byte;
	struct iovec to = { &byte, 1 }, from = { (void *)(uintptr_t)addr, 1 };
	int ends[2];
	bool gone;

	if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1)
		return true;
	if (errno == EFAULT)
		return false;
	/* Before Linux 3.2 there is no such call, and a sandbox may forbid it. */
	if (pipe2(ends, O_CLOEXEC))
		return true;
	gone = write(ends[1], from.iov_base, 1) != 1 && errno == EFAULT;
	close(ends[0]);
	close(ends[1]);
	return !gone;
}

int cpimg_plan_check_copies(struct plan *p)
{
	const struct copy *c = ROWS(&p->copies, struct copy);
	size_t left = COUNT(&p->copies, struct copy), hint = 0;

	for (; left; left--, c++) {
		uint64_t at = c->addr, end = c->addr + c->len;

		while (at < end) {
			const struct map *m = cpimg_plan_map_of(p, at, &hint);

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
	may = cpimg_plan_may_leave(p, &piece, CP_RESTORE_FILES);
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

int cpimg_plan_check_holes(struct plan *p)
{
	size_t left = COUNT(&p->gaps, struct hole), hint = 0;

	for (size_t i = 0; i < left; i++) {
		struct hole h = ROWS(&p->gaps, struct hole)[i], *to;
		uint64_t end = h.addr + h.len;

		while (h.addr < end) {
			const struct map *m = cpimg_plan_map_of(p, h.addr, &hint);

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
int cpimg_plan_check_own(struct plan *p)
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
int cpimg_plan_check_sizes(struct plan *p)
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
