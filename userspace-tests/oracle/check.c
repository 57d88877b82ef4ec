// SPDX-License-Identifier: GPL-2.0
/*
 * The oracle's checkpoints. After each the memory is rebuilt from the chain and
 * held against the model. What was compared once, the same bytes at the same
 * place of the same image, is not compared again.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/resource.h>

#include "mapped.h"
#include "oracle.h"

#define MAX_CHAIN	12
#define MAX_CHAIN_BYTES	(48UL << 20)
#define NR_CALLERS	3
#define PLACE_ZERO	1		/* the good place of zeros: no file offset */
#define PLACE_FILE	2		/* that of what is left to a file */

/* Threads that take turns in making checkpoints; the first is the main one. */
static struct caller {
	int		tid;
	unsigned long	n;		/* its counter */
	bool		used;
} callers[NR_CALLERS];

/* What another thread is asked to do. */
static struct {
	pthread_mutex_t	lock;
	pthread_cond_t	asked;
	pthread_cond_t	done;
	unsigned int	who;		/* 0: nobody */
	bool		incremental;
	void		*start;
	void		*end;
	long		ret;
	int		err;
} call = {
	.lock	= PTHREAD_MUTEX_INITIALIZER,
	.asked	= PTHREAD_COND_INITIALIZER,
	.done	= PTHREAD_COND_INITIALIZER,
};

/* The chain as it should be. */
static struct {
	enum { NONE, BROKEN, VALID } state;
	char		name[MAX_CHAIN + 8][64];
	unsigned int	length;
	unsigned long	bytes;
	uint8_t		last_id[CP_ID_SIZE];
	bool		gone;		/* the first or the last lost its name */
} chain;

/* What the newest image leaves to files: a number that tells the bytes, or 0. */
static uint64_t left_to_file[MAX_PAGES];
static bool stays[NR_FILES];

static struct range left_out;
static unsigned long checkpoints;

static long call_kernel(bool incremental, void *start, void *end)
{
	return incremental ? inc_cp_range(start, end) : cp_range(start, end);
}

static void *caller_thread(void *arg)
{
	unsigned int me = (uintptr_t)arg;

	pthread_mutex_lock(&call.lock);
	callers[me].tid = cp_gettid();
	pthread_cond_broadcast(&call.done);
	for (;;) {
		while (call.who != me)
			pthread_cond_wait(&call.asked, &call.lock);
		call.ret = call_kernel(call.incremental, call.start, call.end);
		call.err = errno;
		call.who = 0;
		pthread_cond_broadcast(&call.done);
	}
	return NULL;
}

void check_init(void)
{
	pthread_t thread;

	callers[0].tid = cp_gettid();
	for (uintptr_t i = 1; i < NR_CALLERS; i++) {
		pthread_mutex_lock(&call.lock);
		if (pthread_create(&thread, NULL, caller_thread, (void *)i))
			fail("pthread_create: %s", strerror(errno));
		while (!callers[i].tid)
			pthread_cond_wait(&call.done, &call.lock);
		pthread_mutex_unlock(&call.lock);
	}
}

static long call_by(unsigned int who, bool incremental, void *start, void *end)
{
	long ret;

	if (!who)
		return call_kernel(incremental, start, end);
	pthread_mutex_lock(&call.lock);
	call.incremental = incremental;
	call.start = start;
	call.end = end;
	call.who = who;
	pthread_cond_broadcast(&call.asked);
	while (call.who)
		pthread_cond_wait(&call.done, &call.lock);
	ret = call.ret;
	errno = call.err;
	pthread_mutex_unlock(&call.lock);
	return ret;
}

static void remove_chain(void)
{
	for (unsigned int i = 0; i < chain.length; i++)
		unlink(chain.name[i]);
	chain.length = 0;
	chain.bytes = 0;
	chain.gone = false;
}

/* Pages of which it is not known what they hold during the next checkpoint. */
void check_leave_out(struct range at)
{
	left_out = at;
}

static void wrong(const struct cpimg *img, unsigned int page,
		  const struct cpimg_piece *piece, const char *what)
{
	const struct page *p = &pages[page];

	fail("page %u at %p of %s: %s; found %s %u prot %u (in %s), flags 0x%x prot %u file %d index %u%s",
	     page, page_addr(page), cpimg_path(img), what,
	     cpimg_class_name(piece->cls), piece->reason, piece->prot,
	     piece->img ? cpimg_path(piece->img) : "none", p->flags, p->prot,
	     p->file == NO_FILE ? -1 : p->file, p->index,
	     is_readable(p) && !same_page(page_addr(page), model_bytes(page)) ?
	     "; MEMORY ITSELF IS WRONG" : "");
}

/* Some pages of a piece at a time, for speed. */
static struct {
	uint64_t	start;
	uint64_t	end;
	unsigned char	bytes[16 * PAGE] __attribute__((aligned(8)));
} ahead;

static const unsigned char *read_piece(const struct cpimg_piece *piece,
				       uint64_t addr)
{
	struct cpimg_error err;
	size_t len = piece->end - addr;

	if (addr < ahead.start || addr >= ahead.end) {
		if (len > sizeof(ahead.bytes))
			len = sizeof(ahead.bytes);
		ahead.start = addr;
		ahead.end = addr + len;
		if (cpimg_pread(piece->img, addr, ahead.bytes, len, &err))
			fail("%s", err.text);
	}
	return ahead.bytes + (addr - ahead.start);
}

static void check_bytes(const struct cpimg *img, unsigned int page,
			const struct cpimg_piece *piece, uint64_t place)
{
	const unsigned char *model = model_bytes(page);
	struct page *p = &pages[page];
	const unsigned char *bytes;
	unsigned int at = 0;
	char what[128];

	if (p->good_place == place && p->good_version == model_version(page))
		return;
	bytes = read_piece(piece, (uintptr_t)page_addr(page));
	stats.compared++;
	if (same_page(bytes, model)) {
		p->good_place = place;
		p->good_version = model_version(page);
		return;
	}
	while (bytes[at] == model[at])
		at++;
	snprintf(what, sizeof(what), "at offset 0x%x 0x%02x, expected 0x%02x%s",
		 at, bytes[at], model[at],
		 bytes[at] == page_addr(page)[at] ? " (as memory has it!)" : "");
	wrong(img, page, piece, what);
}

static uint64_t sum(const void *bytes)
{
	const uint64_t *p = bytes;
	uint64_t h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < PAGE / 8; i++)
		h = (h ^ p[i]) * 0x100000001b3ULL;
	return h | 1;
}

/* The image names the file, says what it is, and reading it gives the page. */
static void check_left(const struct cpimg *img, unsigned int page,
		       const struct cpimg_piece *piece)
{
	static unsigned char bytes[PAGE] __attribute__((aligned(8)));
	static const struct cp_file *seen;	/* its identity was looked at */
	static uint64_t seen_in;
	uint64_t key, addr = (uintptr_t)page_addr(page);
	struct page *p = &pages[page];
	const char *why;
	struct mapped m;
	struct stat st;

	if (p->file == NO_FILE || p->flags & P_COW)
		wrong(img, page, piece, "expected bytes of its own");
	if (p->flags & P_SHARED && !(p->flags & P_RO))
		wrong(img, page, piece, "expected to be saved: the program can write it");
	if (!stays[p->file])
		wrong(img, page, piece, "expected to be saved: the file may change, or is gone");
	why = mapped_at(piece->img, page_addr(page), &m);
	if (why)
		wrong(img, page, piece, why);
	if (strcmp(m.name, files[p->file].name) ||
	    m.offset + (addr - m.start) != p->index * PAGE ||
	    !(m.file->flags & CP_FILE_STAYS)) {
		trace(m.name, m.offset, m.start, m.file->flags);
		wrong(img, page, piece, "the image names another file or place, see the last operation");
	}
	memcpy(&key, cpimg_note(piece->img)->id, sizeof(key));
	if (seen != m.file || seen_in != key) {
		if (stat(m.name, &st))
			wrong(img, page, piece, "its file is not there");
		why = mapped_is_file(m.file, &st);
		if (why)
			wrong(img, page, piece, why);
		seen = m.file;
		seen_in = key;
	}
	if (p->good_place != PLACE_FILE || p->good_version != model_version(page)) {
		why = mapped_read(piece->img, addr, bytes, PAGE);
		if (why)
			wrong(img, page, piece, why);
		if (!same_page(bytes, model_bytes(page)))
			wrong(img, page, piece, "the file has other bytes");
		stats.compared++;
		p->good_place = PLACE_FILE;
		p->good_version = model_version(page);
	}
	left_to_file[page] = sum(model_bytes(page));
	stats.left++;
}

static void check_hole(const struct cpimg *img, unsigned int page,
		       const struct cpimg_piece *piece)
{
	static const unsigned char zeros[PAGE] __attribute__((aligned(8)));
	struct page *p = &pages[page];

	if (piece->reason == CP_HOLE_FILE) {
		check_left(img, page, piece);
		return;
	}
	if (p->good_place == PLACE_ZERO && p->good_version == model_version(page))
		return;
	if (!same_page(model_bytes(page), zeros))
		wrong(img, page, piece, "expected bytes that are not zero");
	p->good_place = PLACE_ZERO;
	p->good_version = model_version(page);
}

static void check_page(const struct cpimg *img, unsigned int page,
		       const struct cpimg_piece *piece, uint64_t place)
{
	const struct page *p = &pages[page];
	unsigned int skip;

	if (page - left_out.page < left_out.nr)
		return;
	if (!(p->flags & P_MAPPED)) {
		if (piece->cls != CPIMG_NONE)
			wrong(img, page, piece, "expected nothing mapped");
		return;
	}
	if (piece->cls == CPIMG_NONE)
		wrong(img, page, piece, "expected something mapped");
	if (piece->prot != p->prot)
		wrong(img, page, piece, "expected another protection");
	skip = skip_reason(p);
	if (skip || piece->cls == CPIMG_SKIPPED) {
		if (piece->cls != CPIMG_SKIPPED || piece->reason != skip)
			wrong(img, page, piece, skip ? "expected to be left out" :
			      "expected to be saved");
		return;
	}
	if (piece->cls == CPIMG_HOLE)
		check_hole(img, page, piece);
	else
		check_bytes(img, page, piece, place);
}

static uint64_t image_key(const struct cpimg *img)
{
	uint64_t key;

	memcpy(&key, cpimg_note(img)->id, sizeof(key));
	return key;
}

/* Every page of the image's range, by way of the chain. */
static void check_chain(const struct cpimg_chain *c, uint64_t start, uint64_t end)
{
	size_t last = cpimg_chain_length(c) - 1;
	const struct cpimg *img = cpimg_chain_image(c, last);
	struct cpimg_piece piece;
	struct cpimg_error err;

	files_who_stays(stays);
	for (uint64_t at = start; at < end; at = piece.end) {
		uint64_t place = 0;

		if (cpimg_chain_resolve(c, last, at, &piece, &err))
			fail("%s", err.text);
		if (piece.end > end)
			piece.end = end;
		ahead.end = 0;
		if (piece.cls == CPIMG_DATA)
			place = image_key(piece.img) + piece.offset;
		for (uint64_t a = at; a < piece.end; a += PAGE)
			check_page(img, (a - (uintptr_t)ARENA) / PAGE, &piece,
				   place + (a - at));
	}
}

/* What was saved again though nothing touched it, and what is saved from now on. */
static void count_again(const struct cpimg *img, bool full)
{
	size_t count;
	const struct cpimg_run *run = cpimg_runs(img, &count);

	for (; count; count--, run++) {
		uint64_t page = (run->start - (uintptr_t)ARENA) / PAGE;
		uint64_t end = (run->end - (uintptr_t)ARENA) / PAGE;

		for (; page < end && page < opt.pages; page++) {
			struct page *p = &pages[page];

			if (run->cls != CPIMG_DATA && run->cls != CPIMG_SAME)
				continue;
			if (!full && run->cls == CPIMG_DATA &&
			    p->flags & P_WAS_SAVED) {
				stats.again++;
				if (opt.plain)
					trace("  saved again", page, p->flags, 0);
			}
			if (is_plain(p) && !(p->flags & (P_SHARED | P_FREED)) &&
			    (p->file == NO_FILE || p->flags & P_COW))
				p->flags |= P_WAS_SAVED;
		}
	}
}

static void forget_saved(void)
{
	model_touch_all();
}

static void check_note(const struct cpimg *img, const struct caller *by,
		       unsigned int kind, unsigned int reason)
{
	const struct cp_note *note = cpimg_note(img);
	const char *parent = "";

	if (note->kind != kind || note->reason != reason)
		fail("%s: kind %u reason %u, expected %u %u", cpimg_path(img),
		     note->kind, note->reason, kind, reason);
	if (kind == CP_KIND_INCREMENTAL) {
		parent = strrchr(chain.name[chain.length - 1], '/') + 1;
		if (memcmp(note->parent_id, chain.last_id, CP_ID_SIZE))
			fail("%s: parent_id is not that of %s", cpimg_path(img),
			     parent);
	}
	if (strcmp(note->parent, parent))
		fail("%s: parent \"%s\", expected \"%s\"", cpimg_path(img),
		     note->parent, parent);
	if ((int)note->tid != by->tid || note->n != by->n)
		fail("%s: tid %u n %" PRIu64 ", expected %d %lu", cpimg_path(img),
		     note->tid, (uint64_t)note->n, by->tid, by->n);
}

static void count_image(const struct cpimg *img)
{
	const struct cp_note *note = cpimg_note(img);

	stats.data += note->pages_data;
	stats.same += note->pages_same;
	stats.hole += note->pages_hole;
	stats.skipped += note->pages_skipped;
	if (note->kind == CP_KIND_FULL)
		stats.full++;
	else
		stats.incremental++;
}

static void check_image(const char *name, const struct caller *by,
			unsigned int kind, unsigned int reason)
{
	struct cpimg_error err;
	struct cpimg_chain *c;
	const struct cpimg *img;
	const struct cp_note *note;
	uint64_t start, end, arena_end = (uintptr_t)page_addr(opt.pages);

	c = cpimg_chain_open(name, NULL, 0, &err);
	if (!c)
		fail("%s", err.text);
	img = cpimg_chain_image(c, cpimg_chain_length(c) - 1);
	note = cpimg_note(img);
	check_note(img, by, kind, reason);
	count_image(img);
	start = note->start < (uintptr_t)ARENA ? (uintptr_t)ARENA : note->start;
	end = note->end > arena_end ? arena_end : note->end;
	memset(left_to_file, 0, sizeof(left_to_file));
	if (start < end && !(checkpoints % opt.every)) {
		model_settle((struct range) { (start - (uintptr_t)ARENA) / PAGE,
					      (end - start) / PAGE });
		check_chain(c, start, end);
	}
	writers_check(c, note->start, note->end);
	count_again(img, kind == CP_KIND_FULL);
	memcpy(chain.last_id, note->id, CP_ID_SIZE);
	chain.bytes += cpimg_file_size(img);
	cpimg_chain_close(c);
}

static unsigned int expect(const struct caller *by, bool incremental)
{
	return !incremental ? CP_REASON_CP_RANGE :
	       !by->n ? CP_REASON_FIRST :
	       chain.state == NONE ? CP_REASON_NO_CHAIN :
	       chain.state == BROKEN ? CP_REASON_BROKEN :
	       chain.gone ? CP_REASON_PARENT_GONE : CP_REASON_CHAIN;
}

static void take(unsigned int who, bool incremental, void *start, void *end)
{
	struct caller *by = &callers[who];
	unsigned int reason = expect(by, incremental);
	unsigned int kind = reason == CP_REASON_CHAIN ? CP_KIND_INCREMENTAL :
			    CP_KIND_FULL;
	char name[64];

	trace(incremental ? "inc_cp_range" : "cp_range", (uintptr_t)start,
	      (uintptr_t)end, who);
	writers_before();
	if (call_by(who, incremental, start, end))
		fail("%s(%p, %p) by thread %u: %s", incremental ? "inc_cp_range" :
		     "cp_range", start, end, who, strerror(errno));
	writers_after();
	checkpoints++;
	snprintf(name, sizeof(name), "/tmp/%d-cp%lu", by->tid, by->n);
	if (kind == CP_KIND_FULL) {
		remove_chain();
		forget_saved();
	}
	check_image(name, by, kind, reason);
	strcpy(chain.name[chain.length++], name);
	chain.state = VALID;
	by->n++;
	left_out = (struct range) { 0, 0 };
}

static bool time_for_full(struct rng *r)
{
	return chain.length >= MAX_CHAIN || chain.bytes > MAX_CHAIN_BYTES ||
	       chance(r, 16);
}

static unsigned char *arena_end(void)
{
	return page_addr(MAX_PAGES) + writers_pages * PAGE;
}

void checkpoint(struct rng *r)
{
	unsigned char *start = ARENA, *end = arena_end();
	unsigned int who = chance(r, 4) ? 1 + below(r, NR_CALLERS - 1) : 0;
	bool full = time_for_full(r);

	/* A part, to the byte, but never in two ends of a page. */
	if (!opt.plain && chance(r, 3)) {
		start = ARENA + below(r, opt.pages * PAGE);
		end = start + 1 + below(r, page_addr(opt.pages) - start);
	}
	take(who, !full, start, end);
}

/* Of everything, by the main thread. */
void checkpoint_all(void)
{
	take(0, chain.length < MAX_CHAIN && chain.bytes < MAX_CHAIN_BYTES, ARENA,
	     arena_end());
}

/* One that fails half-way, or not if the image is small. */
void checkpoint_with_limit(struct rng *r)
{
	struct rlimit old, limit;
	unsigned char *end = arena_end();
	bool full = chance(r, 3);
	struct caller *by = &callers[0];
	char name[64];
	long ret;

	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = below(r, 1 << below(r, 22));
	trace("checkpoint with RLIMIT_FSIZE", limit.rlim_cur, full, 0);
	setrlimit(RLIMIT_FSIZE, &limit);
	ret = call_kernel(!full, ARENA, end);
	if (ret && errno != EFBIG)
		fail("checkpoint with RLIMIT_FSIZE %lu: %s",
		     (unsigned long)limit.rlim_cur, strerror(errno));
	setrlimit(RLIMIT_FSIZE, &old);
	if (ret) {
		stats.failed++;
		chain.state = BROKEN;
		return;
	}
	/* Not looked at; the next one begins anew. */
	snprintf(name, sizeof(name), "/tmp/%d-cp%lu", by->tid, by->n++);
	remove_chain();
	strcpy(chain.name[chain.length++], name);
	take(0, false, ARENA, end);
}

/* A cleaner of /tmp takes the image that the chain began with, or the last one. */
void checkpoint_lose(struct rng *r)
{
	unsigned int which = chance(r, 2) ? 0 : chain.length - 1;

	if (!chain.length || chain.gone)
		return;
	trace("an image is lost", which, chain.length, 0);
	if (unlink(chain.name[which]))
		fail("%s: %s", chain.name[which], strerror(errno));
	chain.gone = true;
}

/*
 * Files have changed since the newest image: what it leaves to them is what it was, or
 * can be told not to be.
 */
void checkpoint_look_back(struct rng *r)
{
	static unsigned char bytes[PAGE] __attribute__((aligned(8)));
	const char *name = chain.name[chain.length - 1];
	struct cpimg_error err;
	struct cpimg_chain *c;

	if (!chain.length || chain.gone || chain.state != VALID)
		return;
	trace("look back", 0, 0, 0);
	c = cpimg_chain_open(name, NULL, 0, &err);
	if (!c)
		fail("%s", err.text);
	for (unsigned int n = 0, i = below(r, opt.pages); n < opt.pages;
	     n++, i = (i + 1) % opt.pages) {
		struct cpimg_piece piece;
		uint64_t addr = (uintptr_t)page_addr(i);

		if (!left_to_file[i])
			continue;
		if (cpimg_chain_resolve(c, cpimg_chain_length(c) - 1, addr, &piece, &err))
			fail("%s", err.text);
		if (mapped_read(piece.img, addr, bytes, PAGE))
			stats.refused++;
		else if (sum(bytes) != left_to_file[i])
			fail("page %u of %s is left to a file that has other bytes now, and looks the same",
			     i, name);
		n += 16;
	}
	cpimg_chain_close(c);
}
