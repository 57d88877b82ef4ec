// SPDX-License-Identifier: GPL-2.0
/* What the tests of incremental checkpoints share. */
#include <dirent.h>

#include "chain.h"
#include "say.h"

/* Image @n of thread @tid, with its parents. */
const char *chain_open(struct chain *c, int tid, unsigned long n)
{
	struct cpimg_error err;

	chain_close(c);
	c->all = cpimg_chain_open(cp_name(tid, n), NULL, 0, &err);
	if (!c->all)
		return say("%s", err.text);
	c->img = cpimg_chain_image(c->all, cpimg_chain_length(c->all) - 1);
	return NULL;
}

static const char *take(struct chain *c, bool incremental, const void *start,
			size_t len)
{
	void *from = (void *)start, *to = (char *)start + len;

	if (c->tid != cp_gettid()) {
		c->tid = cp_gettid();
		c->n = 0;
	}
	if (incremental ? inc_cp_range(from, to) : cp_range(from, to))
		return say("%scp_range(%p, %p): %s", incremental ? "inc_" : "",
			   from, to, strerror(errno));
	return chain_open(c, c->tid, c->n++);
}

/* An incremental checkpoint of @len bytes, opened. */
const char *chain_inc(struct chain *c, const void *start, size_t len)
{
	return take(c, true, start, len);
}

const char *chain_full(struct chain *c, const void *start, size_t len)
{
	return take(c, false, start, len);
}

void chain_close(struct chain *c)
{
	cpimg_chain_close(c->all);
	c->all = NULL;
	c->img = NULL;
}

/* All images of a folder, whoever wrote them. */
void chain_remove_in(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		if (strstr(entry->d_name, "-cp"))
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

void chain_remove(void)
{
	chain_remove_in("/tmp");
}

const char *chain_is(const struct chain *c, enum cp_kind kind,
		     enum cp_reason reason)
{
	const struct cp_note *note = cpimg_note(c->img);

	if (note->kind == kind && note->reason == reason)
		return NULL;
	return say("%s is of kind %u, reason %u, not %u, %u", cpimg_path(c->img),
		   note->kind, note->reason, kind, reason);
}

/* Where they differ, or @len. The libc's memcmp() goes byte by byte. */
static size_t differ_at(const char *a, const char *b, size_t len)
{
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		uint64_t x, y;

		memcpy(&x, a + i, 8);
		memcpy(&y, b + i, 8);
		if (x != y)
			break;
	}
	while (i < len && a[i] == b[i])
		i++;
	return i;
}

/* The chain's newest checkpoint has @bytes at @mem. */
const char *chain_has(const struct chain *c, const void *mem, const void *bytes,
		      size_t len)
{
	static __thread char found[64 * 1024];
	size_t index = cpimg_chain_length(c->all) - 1;
	struct cpimg_piece piece;
	struct cpimg_error err;

	for (size_t at = 0, n; at < len; at += n) {
		const char *want = (const char *)bytes + at;
		uint64_t addr = (uintptr_t)mem + at;
		size_t i;

		n = len - at < sizeof(found) ? len - at : sizeof(found);
		if (cpimg_chain_resolve(c->all, index, addr, &piece, &err))
			return say("%s", err.text);
		if (piece.end - addr < n)
			n = piece.end - addr;
		/* The image at hand, or an error that says what is the matter. */
		if (piece.cls == CPIMG_DATA ?
		    cpimg_pread(piece.img, addr, found, n, &err) :
		    cpimg_chain_read(c->all, index, addr, found, n, &err))
			return say("%s", err.text);
		i = differ_at(found, want, n);
		if (i < n)
			return say("page %lu, 0x%" PRIx64 ": %s for %s has 0x%02x, expected 0x%02x",
				   (at + i) / PAGE, addr + i, cpimg_path(piece.img),
				   cpimg_path(c->img), (unsigned char)found[i],
				   (unsigned char)want[i]);
	}
	return NULL;
}

/* The chain's newest checkpoint has what is in memory now. */
const char *chain_matches(const struct chain *c, const void *mem, size_t len)
{
	return chain_has(c, mem, mem, len);
}

/*
 * After a call that failed: the next image is full, and says why; the one after it has
 * what was written since. No change was lost.
 */
const char *chain_recovers(struct chain *c, char *mem, size_t len)
{
	const char *why = chain_inc(c, mem, len);

	if (!why)
		why = chain_is(c, CP_KIND_FULL, CP_REASON_BROKEN);
	if (!why)
		why = chain_matches(c, mem, len);
	if (why)
		return why;
	mem[PAGE]++;
	why = chain_inc(c, mem, len);
	if (!why)
		why = chain_is(c, CP_KIND_INCREMENTAL, CP_REASON_CHAIN);
	if (!why)
		why = chain_matches(c, mem, len);
	return why;
}

/* What the file has that process @pid has mapped at @addr: its maps say which. */
static const char *read_mapped_file(int pid, uint64_t addr, void *buf, size_t len)
{
	char path[64], line[512], name[256];
	unsigned long long start, end, offset;
	const char *why = NULL;
	ssize_t n = -1;
	FILE *f;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx %*s %llx %*s %*s %255s", &start, &end,
			   &offset, name) != 4 || addr < start || addr >= end)
			continue;
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd >= 0) {
			/* The last page goes on with zeros. */
			memset(buf, 0, len);
			n = pread(fd, buf, len, offset + (addr - start));
			close(fd);
		}
		if (n < 0)
			why = say("0x%" PRIx64 ": reading %s: %s", addr, name,
				  strerror(errno));
		break;
	}
	if (f)
		fclose(f);
	return n < 0 && !why ? say("0x%" PRIx64 ": no file is mapped", addr) : why;
}

static const char *piece_matches(const struct cpimg_piece *piece, int pid, int mem)
{
	static char now[64 * 1024], then[64 * 1024];
	struct cpimg_error err;
	const char *why = NULL;

	for (uint64_t at = piece->start, n; at < piece->end; at += n) {
		size_t i;

		n = piece->end - at < sizeof(now) ? piece->end - at : sizeof(now);
		if (pread(mem, now, n, at) != (ssize_t)n)
			return say("reading process %d at 0x%" PRIx64 ": %s", pid, at,
				   strerror(errno));
		if (piece->cls == CPIMG_HOLE && piece->reason == CP_HOLE_FILE)
			why = read_mapped_file(pid, at, then, n);
		else if (cpimg_pread(piece->img, at, then, n, &err))
			why = say("%s", err.text);
		if (why)
			return why;
		i = differ_at(now, then, n);
		if (i < n)
			return say("at 0x%" PRIx64 " %s, %s, has 0x%02x, process %d 0x%02x",
				   at + i, cpimg_path(piece->img),
				   cpimg_class_name(piece->cls), (unsigned char)then[i],
				   pid, (unsigned char)now[i]);
	}
	return NULL;
}

/*
 * The newest checkpoint, with all its parents, has every byte that process @pid has
 * now, save for what it says it left out. The process must stand still.
 */
const char *chain_matches_process(const struct chain *c, int pid)
{
	const struct cpimg_run *run;
	const char *why = NULL;
	char path[64];
	size_t left;
	int mem;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	if (mem < 0)
		return say("%s: %s", path, strerror(errno));
	for (run = cpimg_runs(c->img, &left); !why && left; run++, left--) {
		struct cpimg_piece piece = { .end = run->start };
		struct cpimg_error err;

		while (!why && piece.end < run->end) {
			if (cpimg_chain_resolve(c->all, cpimg_chain_length(c->all) - 1,
						piece.end, &piece, &err))
				why = say("%s", err.text);
			else if (piece.cls != CPIMG_SKIPPED)
				why = piece_matches(&piece, pid, mem);
		}
	}
	close(mem);
	return why;
}

/* How many pages the newest image itself calls that. */
size_t chain_pages(const struct chain *c, const void *mem, size_t len,
		   enum cpimg_class cls)
{
	uint64_t start = (uintptr_t)mem, end = start + len;
	size_t count, pages = 0;
	const struct cpimg_run *run = cpimg_runs(c->img, &count);

	for (; count; count--, run++) {
		uint64_t from = run->start > start ? run->start : start;
		uint64_t to = run->end < end ? run->end : end;

		if (run->cls == cls && from < to)
			pages += (to - from) / PAGE;
	}
	return pages;
}
