// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --smp 3 --timeout 600 */
/* guest: --mem 384 --smp 2 --timeout 600 --append preempt=full */
/*
 * All threads stand still for an image: what one of them has written before, the image
 * has, if it has what any of them wrote after.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/resource.h>

#include "harness.h"
#include "moment.h"

#define WRITERS	4
#define WORDS	64
#define EACH	(WORDS * PAGE)

static volatile bool stop;
static bool lower;		/* the writers' priority */

/* Who saves does not wait for a CPU till four writers have used up theirs. */
static void lower_priority(void)
{
	if (lower)
		setpriority(PRIO_PROCESS, 0, 19);
}

static void *writer(void *mem)
{
	lower_priority();
	write_in_order(mem, WORDS, 1, UINT64_MAX, &stop);
	return NULL;
}

FIXTURE(threads) {
	char		*mem;
	struct chain	c;
};

FIXTURE_SETUP(threads)
{
	NEEDS_CP_CHECKPOINT();
	self->mem = map_in_order(WRITERS * WORDS);
	stop = false;
	lower = true;
}

FIXTURE_TEARDOWN(threads)
{
	chain_close(&self->c);
	chain_remove();
}

/*
 * A stop waits for all processors, so where the emulator has fewer for them a moment
 * takes five times as long. More of them: guest.sh --append CP_ROUNDS=100000
 */
static int rounds(void)
{
	const char *rounds = getenv("CP_ROUNDS");

	if (rounds)
		return atoi(rounds);
	if (cp_debug_kernel())
		return 60;
	return sysconf(_SC_NPROCESSORS_ONLN) > 2 ? 50 : 300;
}

/* So many moments while the writers run. */
#define MOMENTS() do { \
	int rounds_ = rounds(); \
	struct cp_result r_; \
	long reached_ = 0; \
	for (int i_ = 0; i_ < rounds_; i_++) { \
		ASSERT_OK(chain_moment(&self->c, self->mem, WRITERS * EACH, &r_)); \
		if (!(r_.flags & CP_MOMENT)) \
			continue; \
		reached_++; \
		for (int w_ = 0; w_ < WRITERS; w_++) \
			ASSERT_OK(is_in_order(&self->c, self->mem + w_ * EACH, WORDS)); \
		if (i_ % 16 == 15) \
			chain_remove(); \
	} \
	TH_LOG("%ld of %d moments", reached_, rounds_); \
	EXPECT_LT(rounds_ * 9 / 10, reached_); \
} while (0)

TEST_F(threads, stand_still)
{
	pthread_t t[WRITERS];

	for (int i = 0; i < WRITERS; i++) {
		ASSERT_EQ(0, pthread_create(&t[i], NULL, writer, self->mem + i * EACH));
	}
	MOMENTS();
	stop = true;
	for (int i = 0; i < WRITERS; i++)
		pthread_join(t[i], NULL);
}

/*
 * Whether the pages tear at all: else the other tests prove nothing. How often depends on
 * how many processors the writers really have meanwhile.
 */
TEST_F(threads, tear_without_a_moment)
{
	pthread_t t[WRITERS];
	int torn = 0, images;

	lower = false;		/* they are to come between */
	for (int i = 0; i < WRITERS; i++) {
		ASSERT_EQ(0, pthread_create(&t[i], NULL, writer, self->mem + i * EACH));
	}
	for (images = 0; torn <= 10 && images < 4000; images++) {
		ASSERT_OK(chain_full(&self->c, self->mem, WRITERS * EACH));
		for (int w = 0; w < WRITERS; w++)
			torn += !!is_in_order(&self->c, self->mem + w * EACH, WORDS);
		chain_remove();
	}
	stop = true;
	for (int i = 0; i < WRITERS; i++)
		pthread_join(t[i], NULL);
	TH_LOG("%d of %d are torn", torn, images * WRITERS);
	EXPECT_LT(10, torn);
}

struct part {
	char		*mem;
	uint64_t	from;
};

static void *write_part(void *arg)
{
	struct part *part = arg;

	write_in_order(part->mem, WORDS, part->from, part->from + 3, &stop);
	part->from += 3;
	return NULL;
}

/* One thread after the other, each where its predecessor ended. */
static void *starter(void *mem)
{
	struct part part = { mem, 1 };
	pthread_t t;

	lower_priority();	/* and of those who are started */
	while (!stop && !pthread_create(&t, NULL, write_part, &part))
		pthread_join(t, NULL);
	return NULL;
}

TEST_F(threads, that_come_and_go_stand_still)
{
	pthread_t t[WRITERS];

	for (int i = 0; i < WRITERS; i++) {
		ASSERT_EQ(0, pthread_create(&t[i], NULL, starter, self->mem + i * EACH));
	}
	MOMENTS();
	stop = true;
	for (int i = 0; i < WRITERS; i++)
		pthread_join(t[i], NULL);
}

TEST_HARNESS_MAIN
