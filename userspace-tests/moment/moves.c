// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --smp 2 --timeout 400 */
/*
 * Memory that another thread moves meanwhile is in a moment once: where it was, or where
 * it went.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "harness.h"
#include "moment.h"

#define NR	256
#define LEN	(NR * PAGE)
#define AREA	(26 * LEN)

static volatile bool stop;
static volatile long moved;
static int uffd;

static void reserve(char *at)
{
	mmap(at, LEN, PROT_READ | PROT_WRITE,
	     MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void *by_mremap(void *arg)
{
	char *low = arg, *high = low + AREA - LEN;

	while (!stop) {
		mremap(low, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, high);
		mremap(high, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, low);
		moved++;
	}
	return NULL;
}

#ifndef UFFDIO_MOVE
struct uffdio_move {
	__u64	dst, src, len, mode;
	__s64	move;
};
#define UFFDIO_MOVE	_IOWR(UFFDIO, 0x05, struct uffdio_move)
#endif

static bool move(char *to, char *from)
{
	for (size_t done = 0; done < LEN && !stop;) {
		struct uffdio_move m = {
			.dst = (uintptr_t)to + done, .src = (uintptr_t)from + done,
			.len = LEN - done,
		};

		if (!ioctl(uffd, UFFDIO_MOVE, &m))
			break;
		if (m.move > 0)
			done += m.move;
		else if (errno != EAGAIN && errno != EBUSY)
			return false;
	}
	return true;
}

static void *by_uffdio_move(void *arg)
{
	char *low = arg, *high = low + AREA - LEN;

	while (!stop) {
		if (!move(high, low) || !move(low, high))
			return (void *)(long)errno;
		moved++;
	}
	return NULL;
}

/* NULL if page @i is at one of the two places. */
static const char *is_there_once(const struct chain *c, char *low, size_t i)
{
	uint64_t at[2] = { (uintptr_t)low + i * PAGE, (uintptr_t)low + AREA - LEN + i * PAGE };
	int found = 0;

	for (int k = 0; k < 2; k++) {
		struct cpimg_piece p;
		uint64_t word;

		if (cpimg_chain_resolve(c->all, cpimg_chain_length(c->all) - 1, at[k], &p,
					NULL) || p.cls != CPIMG_DATA)
			continue;
		if (cpimg_chain_read(c->all, cpimg_chain_length(c->all) - 1, at[k], &word,
				     8, NULL))
			return say("page %zu cannot be read", i);
		if (word == i + 1)
			found++;
		else if (word)
			return say("page %zu is %" PRIu64, i, word);
	}
	return found == 1 ? NULL : say("page %zu is there %d times", i, found);
}

static const char *moments(char *low, void *(*mover)(void *), int *reached)
{
	const int rounds = cp_debug_kernel() ? 20 : 100;
	struct chain c = { 0 };
	struct cp_result r;
	const char *why = NULL;
	pthread_t t;
	void *failed;

	*reached = 0;
	stop = false;
	moved = 0;
	for (size_t i = 0; i < NR; i++)
		*(uint64_t *)(low + i * PAGE) = i + 1;
	pthread_create(&t, NULL, mover, low);
	for (int round = 0; round < rounds && !why; round++) {
		why = chain_moment(&c, low, AREA, &r);
		if (why || !(r.flags & CP_MOMENT))
			continue;
		++*reached;
		for (size_t i = 0; i < NR && !why; i++)
			why = is_there_once(&c, low, i);
		if (round % 16 == 15)
			chain_remove();
	}
	stop = true;
	pthread_join(t, &failed);
	chain_close(&c);
	chain_remove();
	if (failed)
		why = say("it is not moved: %s", strerror((long)failed));
	return why;
}

TEST(by_another_thread_with_mremap)
{
	char *low = mmap(NULL, AREA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int reached;

	NEEDS_CP_CHECKPOINT();
	ASSERT_NE(MAP_FAILED, low);
	reserve(low);
	ASSERT_OK(moments(low, by_mremap, &reached));
	TH_LOG("%d moments, moved %ld times", reached, moved);
	EXPECT_LT(0, reached);
	EXPECT_LT(0, moved);
}

TEST(by_another_thread_with_userfaultfd)
{
	struct uffdio_api api = { .api = UFFD_API, .features = 1 << 16 /* move */ };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	char *low = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	int reached;

	NEEDS_CP_CHECKPOINT();
	ASSERT_NE(MAP_FAILED, low);
	madvise(low, AREA, MADV_NOHUGEPAGE);
	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api))
		SKIP(return, "no UFFDIO_MOVE: %s", strerror(errno));
	for (size_t i = 0; i < NR; i++)
		low[i * PAGE] = 1;
	reg.range.start = (uintptr_t)low;
	reg.range.len = AREA;
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_REGISTER, &reg)) TH_LOG("%m");
	ASSERT_OK(moments(low, by_uffdio_move, &reached));
	TH_LOG("%d moments, moved %ld times", reached, moved);
	EXPECT_LT(0, reached);
	EXPECT_LT(0, moved);
}

TEST_HARNESS_MAIN
