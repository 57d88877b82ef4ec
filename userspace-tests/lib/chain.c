// SPDX-License-Identifier: GPL-2.0
/* What the tests of incremental checkpoints share. */
#include <dirent.h>
#include <stdarg.h>

#include "chain.h"

static __thread char message[1024];

__attribute__((format(printf, 1, 2)))
static const char *say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	return message;
}

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

/* All images in /tmp, whoever wrote them. */
void chain_remove(void)
{
	DIR *dir = opendir("/tmp");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		if (strstr(entry->d_name, "-cp"))
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	if (dir)
		closedir(dir);
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
			return say("page %zu, 0x%" PRIx64 ": %s for %s has 0x%02x, expected 0x%02x",
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
