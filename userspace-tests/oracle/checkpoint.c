// SPDX-License-Identifier: GPL-2.0
/* The oracle's checkpoints: who makes them, and the chain that they should make. */
#include <elf.h>
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
	pthread_cond_t	wanted;
	pthread_cond_t	done;
	unsigned int	who;		/* 0: nobody */
	const struct asked *asked;
	struct cp_result *result;
	long		ret;
	int		err;
} call = {
	.lock	= PTHREAD_MUTEX_INITIALIZER,
	.wanted	= PTHREAD_COND_INITIALIZER,
	.done	= PTHREAD_COND_INITIALIZER,
};

/* The chain as it should be. */
static struct {
	enum { NONE, BROKEN, VALID } state;
	unsigned int	folder;
	char		name[MAX_CHAIN + 8][64];
	unsigned int	length;
	unsigned long	bytes;
	uint8_t		last_id[CP_ID_SIZE];
	bool		gone;		/* the first or the last lost its name */
} chain;

static unsigned long checkpoints;

static void *caller_thread(void *arg)
{
	unsigned int me = (uintptr_t)arg;

	pthread_mutex_lock(&call.lock);
	callers[me].tid = cp_gettid();
	pthread_cond_broadcast(&call.done);
	for (;;) {
		while (call.who != me)
			pthread_cond_wait(&call.wanted, &call.lock);
		call.ret = asked_call(call.asked, call.result);
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

static long call_by(unsigned int who, const struct asked *asked, struct cp_result *result)
{
	long ret;

	if (!who)
		return asked_call(asked, result);
	pthread_mutex_lock(&call.lock);
	call.asked = asked;
	call.result = result;
	call.who = who;
	pthread_cond_broadcast(&call.wanted);
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

/* The image looked at what was asked for, and at nothing else. */
static void check_areas(const struct cpimg *img, const struct asked *asked)
{
	struct cp_span want[MOST_SPANS];
	size_t nr = asked_areas(asked, want), count;
	const struct cp_span *area = cpimg_areas(img, &count);

	if (count != nr)
		fail("%s: %zu areas, expected %zu", cpimg_path(img), count, nr);
	for (size_t i = 0; i < nr; i++)
		if (area[i].start != want[i].start || area[i].end != want[i].end)
			fail("%s: area %zu is 0x%" PRIx64 " to 0x%" PRIx64 ", expected 0x%" PRIx64 " to 0x%" PRIx64,
			     cpimg_path(img), i, (uint64_t)area[i].start,
			     (uint64_t)area[i].end, (uint64_t)want[i].start,
			     (uint64_t)want[i].end);
}

/* The callers and the writers; workers of io_uring are no threads of the program's. */
static void check_threads(const struct cpimg *img, bool all)
{
	unsigned int threads = cpimg_note(img)->threads, found = 0;
	unsigned int want = all ? NR_CALLERS + nr_writers : 1;
	struct cpimg_elfnote elfnote;

	for (size_t pos = 0; cpimg_next_note(img, &pos, &elfnote);)
		found += elfnote.type == NT_PRSTATUS && !strcmp(elfnote.owner, "CORE");
	if (threads != want || found != want)
		fail("%s: %u threads, %u NT_PRSTATUS, expected %u", cpimg_path(img), threads,
		     found, want);
}

/* Return: it is of one moment, as it says. */
static bool check_image(const char *name, const struct caller *by,
			unsigned int kind, unsigned int reason, const struct asked *asked)
{
	const struct cp_span *area;
	size_t count;
	bool moment;
	struct cpimg_error err;
	struct cpimg_chain *c;
	const struct cpimg *img;
	const struct cp_note *note;

	c = cpimg_chain_open(name, NULL, 0, &err);
	if (!c)
		fail("%s", err.text);
	img = cpimg_chain_image(c, cpimg_chain_length(c) - 1);
	note = cpimg_note(img);
	moment = note->flags & CP_NOTE_MOMENT;
	check_note(img, by, kind, reason);
	check_areas(img, asked);
	if (moment || asked->way == WAY_PARENT || !(asked->flags & CP_MOMENT))
		check_threads(img, moment || asked->way == WAY_PARENT);
	count_image(img);
	check_chain(c, !(checkpoints % opt.every));
	area = cpimg_areas(img, &count);
	for (size_t i = 0; i < count; i++)
		writers_check(c, area[i].start, area[i].end, moment);
	check_again(img, kind == CP_KIND_FULL);
	memcpy(chain.last_id, note->id, CP_ID_SIZE);
	chain.bytes += cpimg_file_size(img);
	cpimg_chain_close(c);
	return moment;
}

static unsigned int expect(const struct caller *by, const struct asked *asked)
{
	return !(asked->flags & CP_INCREMENTAL) ? CP_REASON_CP_RANGE :
	       !by->n ? CP_REASON_FIRST :
	       chain.state == NONE ? CP_REASON_NO_CHAIN :
	       chain.state == BROKEN ? CP_REASON_BROKEN :
	       chain.folder != asked->folder ? CP_REASON_OTHER_FOLDER :
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

/* One image of a call, the one after the chain's last. Return: it is of one moment. */
static bool take_image(struct caller *by, unsigned int reason, const struct asked *asked)
{
	unsigned int kind = reason == CP_REASON_CHAIN ? CP_KIND_INCREMENTAL :
			    CP_KIND_FULL;
	char name[64];
	bool moment;

	asked_name(name, asked->folder, by->tid, by->n);
	if (gave_up(name)) {
		reason = CP_REASON_NO_TRACKING;
		kind = CP_KIND_FULL;
	}
	if (kind == CP_KIND_FULL) {
		remove_chain();
		model_touch_all();
	}
	moment = check_image(name, by, kind, reason, asked);
	strcpy(chain.name[chain.length++], name);
	chain.folder = asked->folder;
	chain.state = reason == CP_REASON_NO_TRACKING ? NONE : VALID;
	by->n++;
	return moment;
}

/* What cp_checkpoint() said of the newest image, which is the chain's last. */
static void check_result(const struct caller *by, const struct asked *asked,
			 const struct cp_result *result, bool moment)
{
	const char *name = strrchr(chain.name[chain.length - 1], '/') + 1;
	uint64_t may = CP_INCREMENTAL | (asked->flags & (CP_MOMENT | CP_DIRECT));
	bool missed = asked->flags & CP_MOMENT && !moment;

	if (result->n + 1 != by->n || strcmp(result->name, name) ||
	    memcmp(result->id, chain.last_id, CP_ID_SIZE))
		fail("the result is of %s, %" PRIu64 ", and the newest image is %s",
		     result->name, (uint64_t)result->n, name);
	if (result->flags & ~may || !(result->flags & CP_MOMENT) == moment)
		fail("%s: flags 0x%" PRIx64 " of 0x%" PRIx64 ", moment %d", name,
		     (uint64_t)result->flags, asked->flags, moment);
	if (!result->missed == missed || result->error ||
	    (result->missed == CP_MISSED_TRACKING) != (missed && chain.state == NONE))
		fail("%s: missed for %u, error %u, moment %d", name, result->missed,
		     result->error, moment);
	/* One before the moment, and three tries of that. */
	if (result->images < (chain.state == NONE || !(asked->flags & CP_MOMENT) ? 1 : 2) ||
	    result->images > (asked->flags & CP_MOMENT ? 4 : 1))
		fail("%s: %u images", name, result->images);
	stats.moments_asked += !!(asked->flags & CP_MOMENT);
	stats.moments += moment;
}

static void take(unsigned int who, const struct asked *asked)
{
	static const char *const way[] = { "cp_range", "cp_checkpoint", "by the parent" };
	struct caller *by = &callers[who];
	unsigned int reason = expect(by, asked);
	struct cp_result result = { .images = 1 };
	bool moment = false;

	trace(way[asked->way], asked->flags, asked->folder * 256 + asked->nr * 16 + who,
	      asked->max_stop_ns);
	for (unsigned int i = 0; i < asked->nr; i++)
		trace("  of", asked->span[i].start, asked->span[i].end, asked->max_bytes);
	writers_before();
	if (call_by(who, asked, &result))
		fail("%s, flags 0x%" PRIx64 ", by thread %u: %s", way[asked->way],
		     asked->flags, who, strerror(errno));
	writers_after();
	checkpoints++;
	for (unsigned int i = 0; i < result.images; i++) {
		if (moment)
			fail("%s, one of %u, is of one moment", chain.name[chain.length - 1],
			     result.images);
		moment = take_image(by, i ? CP_REASON_CHAIN : reason, asked);
	}
	if (asked->way != WAY_RANGE)
		check_result(by, asked, &result, moment);
	stats.asked += asked->way == WAY_OWN;
	stats.by_parent += asked->way == WAY_PARENT;
	check_leave_out((struct range) { 0, 0 });
}

static bool time_for_full(struct rng *r)
{
	return chain.length >= MAX_CHAIN || chain.bytes > MAX_CHAIN_BYTES ||
	       chance(r, 16);
}

static struct cp_span all_of_it(void)
{
	return (struct cp_span) {
		(uintptr_t)ARENA,
		(uintptr_t)page_addr(MAX_PAGES) + writers_pages * PAGE,
	};
}

/* To the byte; it ends in the arena, or with all that is written to. */
static struct cp_span a_part(struct rng *r)
{
	unsigned char *start = ARENA + below(r, opt.pages * PAGE);

	return (struct cp_span) {
		(uintptr_t)start,
		(uintptr_t)start + 1 + below(r, page_addr(opt.pages) - start),
	};
}

static struct asked ask_range(bool incremental, struct cp_span span)
{
	return (struct asked) {
		.way = WAY_RANGE, .flags = incremental ? CP_INCREMENTAL : 0,
		.nr = 1, .span = { span },
	};
}

void checkpoint(struct rng *r)
{
	unsigned int who = chance(r, 4) ? 1 + below(r, NR_CALLERS - 1) : 0;
	struct asked asked = ask_range(!time_for_full(r), all_of_it());

	if (!opt.plain && chance(r, 3))
		asked.span[0] = a_part(r);
	take(who, &asked);
}

/* What CP_MOMENT may be told besides; most often it is to succeed. */
static void ask_limits(struct rng *r, struct asked *asked)
{
	asked->flags |= CP_MOMENT;
	if (chance(r, 8))
		asked->max_stop_ns = 1 + below(r, 1U << below(r, 24));
	if (chance(r, 8))
		asked->max_bytes = 1 + below(r, 1U << below(r, 24));
}

/* By cp_checkpoint(): of the caller, or of its parent. Return: false if it is not there. */
bool checkpoint_asked(struct rng *r, enum way way)
{
	struct asked asked = ask_range(!time_for_full(r), all_of_it());
	unsigned int who = 0;

	if (!asked_can(way))
		return false;
	asked.way = way;
	if (way == WAY_OWN && chance(r, 4))
		who = 1 + below(r, NR_CALLERS - 1);
	if (!opt.plain && chance(r, 2)) {
		asked.nr = 1 + below(r, MOST_SPANS);
		for (unsigned int i = 0; i < asked.nr; i++)
			asked.span[i] = a_part(r);
		/* Where the threads write */
		if (chance(r, 2)) {
			asked.span[0].end = all_of_it().end;
			asked.span[0].start = asked.span[0].end - 1 - writers_pages * PAGE;
		}
	}
	if (chance(r, 2))
		ask_limits(r, &asked);
	if (chance(r, 8))
		asked.flags |= CP_DIRECT;
	/* Most often where the chain is: another folder makes a full image. */
	asked.folder = chain.folder;
	if (chance(r, 12))
		asked.folder = below(r, NR_FOLDERS);
	if (!asked_has(asked.folder))
		asked.folder = FOLDER_TMP;
	take(who, &asked);
	return true;
}

/* Of everything, by the main thread. */
void checkpoint_all(void)
{
	struct asked asked = ask_range(chain.length < MAX_CHAIN &&
				       chain.bytes < MAX_CHAIN_BYTES, all_of_it());

	take(0, &asked);
}

/* One that fails half-way, or not if the image is small. */
void checkpoint_with_limit(struct rng *r)
{
	struct rlimit old, limit;
	struct asked asked = ask_range(!chance(r, 3), all_of_it());
	struct caller *by = &callers[0];
	struct cp_result result = { .images = 1 };
	long ret;

	if (asked_can(WAY_OWN) && chance(r, 2)) {
		asked.way = WAY_OWN;
		asked.flags |= CP_MOMENT;
	}
	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = below(r, 1 << below(r, 22));
	trace("checkpoint with RLIMIT_FSIZE", limit.rlim_cur, asked.flags, 0);
	setrlimit(RLIMIT_FSIZE, &limit);
	ret = asked_call(&asked, &result);
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
	remove_chain();
	for (; result.images; result.images--)
		asked_name(chain.name[chain.length++], asked.folder, by->tid, by->n++);
	chain.folder = asked.folder;
	if (result.missed == CP_MISSED_ERROR) {
		if (result.error != EFBIG)
			fail("checkpoint with RLIMIT_FSIZE %lu: no second image for %s",
			     (unsigned long)limit.rlim_cur, strerror(result.error));
		stats.failed++;
		chain.state = BROKEN;
		return;
	}
	asked = ask_range(false, all_of_it());
	take(0, &asked);
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
