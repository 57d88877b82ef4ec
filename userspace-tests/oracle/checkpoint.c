// SPDX-License-Identifier: GPL-2.0
/* The oracle's checkpoints: who makes them, and the chain that they should make. */
#include <pthread.h>
#include <sys/resource.h>

#include "check.h"
#include "checkpoint.h"
#include "writers.h"

#define MAX_CHAIN	12
#define MAX_CHAIN_BYTES	(48UL << 20)
#define NR_CALLERS	3

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

void checkpoint_init(void)
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

	c = cpimg_chain_open(name, NULL, 0, &err);
	if (!c)
		fail("%s", err.text);
	img = cpimg_chain_image(c, cpimg_chain_length(c) - 1);
	note = cpimg_note(img);
	check_note(img, by, kind, reason);
	count_image(img);
	check_chain(c, !(checkpoints % opt.every));
	writers_check(c, note->start, note->end);
	check_again(img, kind == CP_KIND_FULL);
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

/*
 * Tracking could not begin, for task work of io_uring that was under way: it is a full
 * image then, and there is no chain. Only till it has begun.
 */
static bool gave_up(const char *name)
{
	static bool tracked;
	struct cpimg_error err;
	struct cpimg *img;

	if (tracked || opt.plain)
		return false;
	img = cpimg_open(name, 0, &err);
	if (!img)
		fail("%s", err.text);
	tracked = cpimg_note(img)->reason != CP_REASON_NO_TRACKING;
	cpimg_close(img);
	stats.untracked += !tracked;
	return !tracked;
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
	if (gave_up(name)) {
		reason = CP_REASON_NO_TRACKING;
		kind = CP_KIND_FULL;
	}
	if (kind == CP_KIND_FULL) {
		remove_chain();
		model_touch_all();
	}
	check_image(name, by, kind, reason);
	strcpy(chain.name[chain.length++], name);
	chain.state = reason == CP_REASON_NO_TRACKING ? NONE : VALID;
	by->n++;
	check_leave_out((struct range) { 0, 0 });
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

void checkpoint_look_back(struct rng *r)
{
	struct cpimg_error err;
	struct cpimg_chain *c;

	if (!chain.length || chain.gone || chain.state != VALID)
		return;
	trace("look back", 0, 0, 0);
	c = cpimg_chain_open(chain.name[chain.length - 1], NULL, 0, &err);
	if (!c)
		fail("%s", err.text);
	check_left_to_files(c, r);
	cpimg_chain_close(c);
}
