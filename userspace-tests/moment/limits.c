// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --smp 2 --disk 52 --timeout 400 */
/*
 * No longer than was said, with no more memory than was said: else all go on, the image is
 * an increment like any other, and the result says why. Nothing is lost.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/syscall.h>

#include "harness.h"
#include "moment.h"
#include "needs.h"

#define NR	256
#define LEN	(NR * PAGE)

static volatile bool stop;

FIXTURE(limits) {
	char			*mem;
	pthread_t		t;
	struct chain		c;
	struct cp_args		args;
	struct cp_result	result;
};

/* A page after the other, so that many change between two images. */
static void *writer(void *mem)
{
	write_in_order(mem, NR, 1, UINT64_MAX, &stop);
	return NULL;
}

FIXTURE_SETUP(limits)
{
	NEEDS_CP_CHECKPOINT();
	self->mem = map_in_order(NR);
	self->args = (struct cp_args)CP_ARGS_OWN;
	self->args.flags = CP_INCREMENTAL | CP_MOMENT;
	stop = false;
	ASSERT_EQ(0, pthread_create(&self->t, NULL, writer, self->mem));
}

FIXTURE_TEARDOWN(limits)
{
	stop = true;
	pthread_join(self->t, NULL);
	chain_close(&self->c);
	chain_remove();
}

#define ASK()	chain_ask(&self->c, &self->args, self->mem, LEN, &self->result)

TEST_F(limits, time)
{
	static const __u64 ns[] = { 1, 1000, 300000, 3000000, 10000000, 100000000, 500000000 };
	const int rounds = cp_debug_kernel() ? 10 : 30;
	int missed = 0, reached = 0;

	for (size_t i = 0; i < sizeof(ns) / sizeof(*ns); i++) {
		int here = 0;

		self->args.max_stop_ns = ns[i];
		for (int round = 0; round < rounds; round++) {
			if (round % 16 == 0)
				chain_remove();
			ASSERT_OK(ASK());
			if (self->result.flags & CP_MOMENT) {
				EXPECT_EQ(CP_MISSED_NOTHING, self->result.missed);
				ASSERT_OK(is_in_order(&self->c, self->mem, NR));
				EXPECT_TRUE(cpimg_note(self->c.img)->flags & CP_NOTE_MOMENT);
				here++;
				continue;
			}
			missed++;
			EXPECT_FALSE(cpimg_note(self->c.img)->flags & CP_NOTE_MOMENT);
			EXPECT_TRUE(self->result.missed == CP_MISSED_TIME ||
				    self->result.missed == CP_MISSED_BROKEN)
				TH_LOG("missed for %u", self->result.missed);
		}
		TH_LOG("%llu ns: %d of %d", (unsigned long long)ns[i], here, rounds);
		if (!i)
			EXPECT_EQ(0, here);
		reached += here;
		chain_remove();
	}
	EXPECT_LT(0, missed);
	EXPECT_LT(0, reached);
	/* The next one builds on what was missed. */
	self->args.max_stop_ns = 0;
	stop = true;
	pthread_join(self->t, NULL);
	ASSERT_OK(ASK());
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN));
	EXPECT_OK(chain_is(&self->c, CP_KIND_INCREMENTAL, CP_REASON_CHAIN));
	EXPECT_OK(chain_matches(&self->c, self->mem, LEN));
	stop = false;
	ASSERT_EQ(0, pthread_create(&self->t, NULL, writer, self->mem));
}

TEST_F(limits, memory)
{
	self->args.max_bytes = 1;
	for (int i = 0; i < 10; i++) {
		ASSERT_OK(ASK());
		EXPECT_FALSE(self->result.flags & CP_MOMENT);
		EXPECT_EQ(CP_MISSED_POOL, self->result.missed);
		EXPECT_EQ(2, self->result.images);
	}
	stop = true;
	pthread_join(self->t, NULL);
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN));
	EXPECT_OK(chain_is(&self->c, CP_KIND_INCREMENTAL, CP_REASON_CHAIN));
	EXPECT_OK(chain_matches(&self->c, self->mem, LEN));
	stop = false;
	ASSERT_EQ(0, pthread_create(&self->t, NULL, writer, self->mem));
	/* Enough of it */
	self->args.max_bytes = LEN;
	ASSERT_OK(ASK());
	EXPECT_TRUE(self->result.flags & CP_MOMENT);
	EXPECT_OK(is_in_order(&self->c, self->mem, NR));
}

/* Pages without dirty bits of their own are copied whole. */
TEST_F(limits, of_shared_memory)
{
	char *shared = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);
	pthread_t t;

	ASSERT_NE(MAP_FAILED, shared);
	for (size_t p = 0; p < NR; p++)
		shared[p * PAGE + 8] = 1;
	ASSERT_EQ(0, pthread_create(&t, NULL, writer, shared));
	for (int i = 0; i < (cp_debug_kernel() ? 20 : 60); i++) {
		if (i % 16 == 0)
			chain_remove();
		ASSERT_OK(chain_ask(&self->c, &self->args, shared, LEN, &self->result));
		ASSERT_TRUE(self->result.flags & CP_MOMENT)
			TH_LOG("missed for %u", self->result.missed);
		ASSERT_OK(is_in_order(&self->c, shared, NR));
	}
	self->args.max_bytes = LEN / 2;
	ASSERT_OK(chain_ask(&self->c, &self->args, shared, LEN, &self->result));
	EXPECT_FALSE(self->result.flags & CP_MOMENT);
	EXPECT_EQ(CP_MISSED_POOL, self->result.missed);
	stop = true;
	pthread_join(t, NULL);
	EXPECT_EQ(NR, self->result.pages_data);
	stop = false;
}

/* Memory that was asked for of a file, and not written yet */
TEST_F(limits, of_a_memfd)
{
	int fd = memfd_create("memory", 0);
	char *at;

	ASSERT_EQ(0, ftruncate(fd, LEN));
	ASSERT_EQ(0, fallocate(fd, 0, 0, LEN / 2));
	at = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, at);
	memset(at + PAGE, 7, 2 * PAGE);
	ASSERT_OK(chain_ask(&self->c, &self->args, at, LEN, &self->result));
	EXPECT_TRUE(self->result.flags & CP_MOMENT)
		TH_LOG("missed for %u", self->result.missed);
	EXPECT_OK(chain_matches(&self->c, at, LEN));
	close(fd);
}

/* The moment finds no room: the image before it is there, and the result says so. */
TEST_F(limits, of_the_disk)
{
	size_t len = 40UL << 20;
	char *mem = cp_map(len), *half = mem + len / 2;
	struct chain c = { 0 };
	pthread_t t;

	self->args.dirfd = open("/disk", O_RDONLY | O_DIRECTORY);
	if (self->args.dirfd < 0)
		SKIP(return, "no disk");
	memset(mem, 1, len / 2);
	half = mmap(half, len / 2, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_NE(MAP_FAILED, half);
	memset(half, 2, len / 2);
	ASSERT_EQ(0, pthread_create(&t, NULL, writer, mem));
	/* 40 MiB fit, 20 MiB of shared memory after them do not. */
	ASSERT_EQ(0, cp_ask(&self->args, mem, len, &self->result)) TH_LOG("%m");
	EXPECT_EQ(0, self->result.n);
	EXPECT_EQ(1, self->result.images);
	EXPECT_EQ(CP_MISSED_ERROR, self->result.missed);
	EXPECT_EQ(ENOSPC, self->result.error);
	EXPECT_FALSE(self->result.flags & CP_MOMENT);
	EXPECT_EQ(0, faccessat(self->args.dirfd, self->result.name, F_OK, 0));
	stop = true;
	pthread_join(t, NULL);
	/* What is next says that it cannot build on that. */
	self->args.dirfd = CP_DIR_TMP;
	self->args.flags = CP_INCREMENTAL;
	ASSERT_OK(chain_ask(&c, &self->args, self->mem, LEN, &self->result));
	EXPECT_OK(chain_is(&c, CP_KIND_FULL, CP_REASON_BROKEN));
	EXPECT_EQ(1, self->result.n);
	chain_close(&c);
	stop = false;
	pthread_join(self->t, NULL);
	ASSERT_EQ(0, pthread_create(&self->t, NULL, writer, self->mem));
}

TEST(alone_it_is_one_image)
{
	struct cp_result r;
	struct chain c = { 0 };
	char *mem = cp_map(LEN);

	NEEDS_CP_CHECKPOINT();
	cp_fill(mem, LEN, 2);
	ASSERT_OK(chain_moment(&c, mem, LEN, &r));
	EXPECT_EQ(1, r.images);
	EXPECT_TRUE(r.flags & CP_MOMENT);
	EXPECT_TRUE(cpimg_note(c.img)->flags & CP_NOTE_MOMENT);
	EXPECT_EQ(0, r.stop_ns);
	EXPECT_OK(chain_matches(&c, mem, LEN));
	chain_close(&c);
	chain_remove();
}

TEST_HARNESS_MAIN
