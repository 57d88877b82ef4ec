// SPDX-License-Identifier: GPL-2.0
/*
 * Threads that write all the time, also while checkpoints are made. Every word
 * only ever grows, and two copies of it outside the range bound it: one is
 * raised before the word is written, the other after. So what an image holds
 * must lie between the lower one at the beginning of the call and the upper one
 * at its end. Which word is next is no secret either: so the highest of an image
 * tells what all the others were when it was written, if they are of one moment.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "writers.h"

#define AREA_PAGES	64
#define AREA_WORDS	(AREA_PAGES * PAGE / 8)
#define MAX_WRITERS	8

/* What is written next depends on nothing but the seed. */
struct pace {
	struct rng	rng;
	uint64_t	value;
	unsigned int	page;
	unsigned int	left;		/* of the words that go to it */
	unsigned int	busy;
	bool		rests;		/* before the next page */
};

static struct writer {
	pthread_t		thread;
	struct pace		pace;
	_Atomic uint64_t	*words;
	_Atomic uint64_t	*low;
	_Atomic uint64_t	*high;
	uint64_t		*before;
	uint64_t		*after;
	struct pace		seen;		/* once more, for the latest moment */
	uint64_t		*then;
} writers[MAX_WRITERS];

static volatile bool stop;
unsigned int writers_pages, nr_writers;

/* Return: the word that gets @p's value. */
static unsigned int next_word(struct pace *p)
{
	unsigned int word;

	if (!p->left) {
		p->page = below(&p->rng, AREA_PAGES);
		p->left = 64;
	}
	/* Often the same word: to write through what a TLB has. */
	word = p->page * 512 + (rnd(&p->rng) & 7);
	p->value++;
	p->rests = false;
	if (--p->left)
		return word;
	/* Now and then without a rest: to be at it while others wait. */
	if (p->busy)
		p->busy--;
	else if (chance(&p->rng, 64))
		p->busy = 200;
	else
		p->rests = true;
	return word;
}

static void *writer(void *arg)
{
	struct writer *w = arg;
	struct timespec nap = { 0, 200000 };

	while (!stop) {
		unsigned int word = next_word(&w->pace);
		uint64_t value = w->pace.value;

		atomic_store(&w->high[word], value);
		atomic_store_explicit(&w->words[word], value,
				      memory_order_relaxed);
		atomic_store(&w->low[word], value);
		if (w->pace.rests)
			nanosleep(&nap, NULL);
	}
	return NULL;
}

static void *words_outside(void)
{
	void *mem = mmap(NULL, AREA_WORDS * 8, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
	return mem;
}

void writers_start(unsigned int nr)
{
	unsigned char *area = page_addr(MAX_PAGES);

	nr_writers = nr > MAX_WRITERS ? MAX_WRITERS : nr;
	writers_pages = nr_writers * AREA_PAGES;
	if (nr && mmap(area, writers_pages * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != area)
		fail("mmap at %p: %s", area, strerror(errno));
	for (unsigned int i = 0; i < nr_writers; i++) {
		struct writer *w = &writers[i];

		w->words = (void *)(area + i * AREA_PAGES * PAGE);
		w->low = words_outside();
		w->high = words_outside();
		w->before = words_outside();
		w->after = words_outside();
		w->then = words_outside();
		w->pace.rng.state = opt.seed + i;
		w->seen = w->pace;
		if (pthread_create(&w->thread, NULL, writer, w))
			fail("pthread_create: %s", strerror(errno));
	}
}

/* Only 8 words a page are used. */
static void copy_words(uint64_t *to, _Atomic uint64_t *from)
{
	for (unsigned int i = 0; i < AREA_WORDS; i += 512)
		for (unsigned int j = 0; j < 8; j++)
			to[i + j] = atomic_load(&from[i + j]);
}

void writers_before(void)
{
	for (unsigned int i = 0; i < nr_writers; i++)
		copy_words(writers[i].before, writers[i].low);
}

void writers_after(void)
{
	for (unsigned int i = 0; i < nr_writers; i++)
		copy_words(writers[i].after, writers[i].high);
}

static void check_writer(const struct cpimg_chain *c, unsigned int i)
{
	const struct writer *w = &writers[i];
	size_t last = cpimg_chain_length(c) - 1;
	struct cpimg_error err;
	uint64_t bytes[8];

	for (unsigned int word = 0; word < AREA_WORDS; word += 512) {
		struct cpimg_piece piece;
		uint64_t addr = (uintptr_t)&w->words[word];

		if (cpimg_chain_resolve(c, last, addr, &piece, &err) ||
		    cpimg_chain_read(c, last, addr, bytes, sizeof(bytes), &err))
			fail("%s", err.text);
		for (unsigned int j = 0; j < 8; j++) {
			if (bytes[j] >= w->before[word + j] &&
			    bytes[j] <= w->after[word + j])
				continue;
			fail("thread %u's page %u word %u at 0x%" PRIx64 ": %" PRIu64 " in %s (for %s), expected %" PRIu64 " to %" PRIu64 ", now %" PRIu64,
			     i, word / 512, j, addr + j * 8, bytes[j],
			     piece.img ? cpimg_path(piece.img) : "none",
			     cpimg_path(cpimg_chain_image(c, last)),
			     w->before[word + j], w->after[word + j],
			     atomic_load(&w->words[word + j]));
		}
	}
}

static void read_words(const struct cpimg_chain *c, const struct writer *w,
		       unsigned int word, uint64_t bytes[8])
{
	struct cpimg_error err;

	if (cpimg_chain_read(c, cpimg_chain_length(c) - 1, (uintptr_t)&w->words[word], bytes,
			     8 * sizeof(*bytes), &err))
		fail("%s", err.text);
}

/* All words as they were when the last of them was written. */
static void check_moment(const struct cpimg_chain *c, unsigned int i)
{
	struct writer *w = &writers[i];
	uint64_t bytes[8], last = 0;

	for (unsigned int word = 0; word < AREA_WORDS; word += 512) {
		read_words(c, w, word, bytes);
		for (unsigned int j = 0; j < 8; j++)
			last = bytes[j] > last ? bytes[j] : last;
	}
	if (last < w->seen.value)
		fail("thread %u in %s: %" PRIu64 " is the last it wrote, and in a moment before it was %" PRIu64,
		     i, cpimg_path(cpimg_chain_image(c, cpimg_chain_length(c) - 1)), last,
		     w->seen.value);
	while (w->seen.value < last) {
		unsigned int word = next_word(&w->seen);

		w->then[word] = w->seen.value;
	}
	for (unsigned int word = 0; word < AREA_WORDS; word += 512) {
		read_words(c, w, word, bytes);
		for (unsigned int j = 0; j < 8; j++)
			if (bytes[j] != w->then[word + j])
				fail("TORN: thread %u's page %u word %u in %s: %" PRIu64 ", and when it wrote %" PRIu64 ", which is there too, it was %" PRIu64,
				     i, word / 512, j,
				     cpimg_path(cpimg_chain_image(c, cpimg_chain_length(c) - 1)),
				     bytes[j], last, w->then[word + j]);
	}
}

/* Those whose area lies in [@start, @end), all of it; of one @moment, as it says. */
void writers_check(const struct cpimg_chain *c, uint64_t start, uint64_t end, bool moment)
{
	for (unsigned int i = 0; i < nr_writers; i++) {
		uint64_t from = (uintptr_t)writers[i].words;

		if (start > from || from + AREA_PAGES * PAGE > end)
			continue;
		check_writer(c, i);
		if (moment)
			check_moment(c, i);
	}
}

/* What moves pages about under the writers' hands. */
void writers_disturb(struct rng *r)
{
	static const int advice[] = {
		MADV_PAGEOUT, MADV_PAGEOUT, MADV_COLD, MADV_NOHUGEPAGE,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_MERGEABLE,
		MADV_UNMERGEABLE,
	};
	struct writer *w;
	unsigned int page, nr;
	int a;

	if (!nr_writers)
		return;
	w = &writers[below(r, nr_writers)];
	page = below(r, AREA_PAGES);
	nr = 1 + below(r, AREA_PAGES - page);
	a = advice[below(r, sizeof(advice) / sizeof(advice[0]))];
	trace("disturb writers", page, nr, a);
	madvise((char *)w->words + page * PAGE, nr * PAGE, a);
}

/* At the end memory itself must have what was written last. */
void writers_stop(void)
{
	stop = true;
	for (unsigned int i = 0; i < nr_writers; i++)
		pthread_join(writers[i].thread, NULL);
	for (unsigned int i = 0; i < nr_writers; i++) {
		struct writer *w = &writers[i];

		for (unsigned int word = 0; word < AREA_WORDS; word++)
			if (w->words[word] != w->high[word])
				fail("MEMORY IS WRONG: thread %u's word %u at %p is %" PRIu64 ", last written %" PRIu64,
				     i, word, &w->words[word],
				     atomic_load(&w->words[word]),
				     atomic_load(&w->high[word]));
	}
}
