// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 --smp 2 --timeout 400 */
/*
 * Memory whose changes no dirty bit of the program's shows is copied whole while all stand
 * still: what several threads write in order into shared memory and into huge pages of
 * hugetlbfs is of one moment.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "harness.h"
#include "moment.h"

#define WRITERS	3
#define WORDS	64
#define EACH	(WORDS * PAGE)
#define POOL	"/proc/sys/vm/nr_hugepages"

#ifndef MAP_HUGETLB
#define MAP_HUGETLB	0x40000
#endif

static volatile bool stop;

static void *writer(void *mem)
{
	setpriority(PRIO_PROCESS, 0, 19);
	write_in_order(mem, WORDS, 1, UINT64_MAX, &stop);
	return NULL;
}

FIXTURE(untracked) {
	char		*mem;
	size_t		len;
	struct chain	c;
};

FIXTURE_VARIANT(untracked) {
	int	flags;
};

FIXTURE_VARIANT_ADD(untracked, shared) { MAP_SHARED };
FIXTURE_VARIANT_ADD(untracked, hugetlb) { MAP_PRIVATE | MAP_HUGETLB };
FIXTURE_VARIANT_ADD(untracked, hugetlb_shared) { MAP_SHARED | MAP_HUGETLB };

FIXTURE_SETUP(untracked)
{
	NEEDS_CP_CHECKPOINT();
	self->len = (WRITERS * EACH + HUGE - 1) / HUGE * HUGE;
	if (variant->flags & MAP_HUGETLB && (cp_write_file(POOL, "4") ||
					     cp_read_number(POOL) != 4))
		SKIP(return, "no pool of huge pages");
	self->mem = mmap(NULL, self->len, PROT_READ | PROT_WRITE,
			 variant->flags | MAP_ANONYMOUS, -1, 0);
	if (self->mem == MAP_FAILED)
		SKIP(return, "mmap: %s", strerror(errno));
	memset(self->mem, 1, self->len);
	for (size_t i = 0; i < WRITERS * WORDS; i++)
		memset(self->mem + i * PAGE, 0, 8);
	stop = false;
}

FIXTURE_TEARDOWN(untracked)
{
	chain_close(&self->c);
	chain_remove();
}

TEST_F(untracked, is_of_the_moment_too)
{
	const int rounds = cp_debug_kernel() ? 20 : 100;
	pthread_t t[WRITERS];
	struct cp_result r;
	int reached = 0;

	for (int i = 0; i < WRITERS; i++) {
		ASSERT_EQ(0, pthread_create(&t[i], NULL, writer, self->mem + i * EACH));
	}
	for (int i = 0; i < rounds; i++) {
		ASSERT_OK(chain_moment(&self->c, self->mem, self->len, &r));
		if (r.flags & CP_MOMENT) {
			reached++;
			for (int w = 0; w < WRITERS; w++)
				ASSERT_OK(is_in_order(&self->c, self->mem + w * EACH, WORDS));
		}
		if (i % 8 == 7)
			chain_remove();
	}
	stop = true;
	for (int i = 0; i < WRITERS; i++)
		pthread_join(t[i], NULL);
	TH_LOG("%d of %d moments, the last of %.2f ms", reached, rounds, r.stop_ns / 1e6);
	EXPECT_LT(rounds * 9 / 10, reached);
	ASSERT_OK(chain_inc(&self->c, self->mem, self->len));
	EXPECT_OK(chain_matches(&self->c, self->mem, self->len));
}

TEST_HARNESS_MAIN
