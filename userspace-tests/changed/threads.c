// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 --smp 2 */
/*
 * Threads: all may call at once, each under its own id; and what the others do
 * to the address space meanwhile never breaks an image.
 */
#include <pthread.h>
#include <sys/procfs.h>

#include "cp_test.h"
#include "harness.h"

#define THREADS	4
#define ROUNDS	8
#define LEN	(1UL << 20)

static char *mem;
static volatile bool stop;

/* Whose registers are in it, or -1 */
static int registers_of(const struct cpimg *img)
{
	struct elf_prstatus st;

	return cp_prstatus(img, &st) ? st.pr_pid : -1;
}

/* NULL, or what went wrong, for pthread_join(). */
static void *take_rounds(void *arg)
{
	char why[256];
	int tid = cp_gettid();

	for (int i = 0; i < ROUNDS; i++) {
		struct cpimg *img = cp_take(mem, LEN);
		const char *bad;

		if (!img)
			return strdup("no image");
		bad = cp_same_bytes(img, mem, LEN);
		if (!bad && (cpimg_note(img)->tid != (__u32)tid ||
			     cpimg_note(img)->pid != (__u32)getpid() ||
			     cpimg_note(img)->n != (__u64)i)) {
			snprintf(why, sizeof(why), "tid %d, round %d: note has pid %u, tid %u, n %llu",
				 tid, i, cpimg_note(img)->pid, cpimg_note(img)->tid,
				 (unsigned long long)cpimg_note(img)->n);
			bad = why;
		}
		if (!bad && registers_of(img) != tid)
			bad = "NT_PRSTATUS is of another thread";
		cpimg_close(img);
		if (bad)
			return strdup(bad);
	}
	return NULL;
}

TEST(may_all_call_at_once)
{
	pthread_t t[THREADS];

	mem = cp_map(LEN);
	cp_fill(mem, LEN, 1);
	for (int i = 0; i < THREADS; i++) {
		ASSERT_EQ(0, pthread_create(&t[i], NULL, take_rounds, NULL));
	}
	for (int i = 0; i < THREADS; i++) {
		void *why;

		ASSERT_EQ(0, pthread_join(t[i], &why));
		EXPECT_EQ(NULL, why) TH_LOG("%s", (char *)why);
	}
}

/* Words that only go up, so that a page of the image has a time. */
static void *count_up(void *arg)
{
	volatile uint64_t *word = arg;

	while (!stop) {
		for (size_t i = 0; i < 64; i++)
			word[i * PAGE / 8]++;
	}
	return NULL;
}

TEST(writing_meanwhile_is_saved_as_of_between_call_and_return)
{
	pthread_t t;

	mem = cp_map(64 * PAGE);
	cp_fill(mem, 64 * PAGE, 2);
	for (size_t i = 0; i < 64; i++)
		*(uint64_t *)(mem + i * PAGE) = 0;
	stop = false;
	ASSERT_EQ(0, pthread_create(&t, NULL, count_up, mem));
	for (int round = 0; round < 50; round++) {
		uint64_t before[64], after, word;
		struct cpimg *img;

		for (size_t i = 0; i < 64; i++)
			before[i] = *(volatile uint64_t *)(mem + i * PAGE);
		img = cp_take(mem, 64 * PAGE);
		ASSERT_NE(NULL, img);
		for (size_t i = 0; i < 64; i++) {
			after = *(volatile uint64_t *)(mem + i * PAGE);
			ASSERT_EQ(0, cpimg_pread(img, (uintptr_t)mem + i * PAGE,
						 &word, 8, NULL));
			ASSERT_LE(before[i], word);
			ASSERT_GE(after, word);
			/* The rest of the page has not changed. */
			ASSERT_EQ(0, cpimg_pread(img, (uintptr_t)mem + i * PAGE + 8,
						 &word, 8, NULL));
			ASSERT_EQ(*(uint64_t *)(mem + i * PAGE + 8), word);
		}
		cpimg_close(img);
	}
	stop = true;
	pthread_join(t, NULL);
}

/* Every way in which an address space can change under the walk. */
static void *stir(void *arg)
{
	char *at = arg;
	unsigned int seed = 1;

	while (!stop) {
		size_t off, len;

		seed = seed * 1103515245 + 12345;
		off = (seed >> 8) % 1024;
		len = 1 + (seed >> 20) % 256;
		if (off + len > 1024)
			len = 1024 - off;
		switch (seed >> 28) {
		case 0: case 1:
			munmap(at + off * PAGE, len * PAGE);
			break;
		case 2: case 3: case 4:
			mmap(at + off * PAGE, len * PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			memset(at + off * PAGE, 'x', len * PAGE);
			break;
		case 5:
			mprotect(at + off * PAGE, len * PAGE, PROT_NONE);
			break;
		case 6:
			mprotect(at + off * PAGE, len * PAGE, PROT_READ);
			break;
		case 7:
			madvise(at + off * PAGE, len * PAGE, MADV_DONTNEED);
			break;
		case 8:
			madvise(at + off * PAGE, len * PAGE, MADV_HUGEPAGE);
			break;
		case 9:
			madvise(at + off * PAGE, len * PAGE, MADV_COLLAPSE);
			break;
		case 10:
			mlock(at + off * PAGE, len * PAGE);
			break;
		case 11:
			munlock(at + off * PAGE, len * PAGE);
			break;
		case 12:
			mmap(at + off * PAGE, len * PAGE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			break;
		default:
			madvise(at + off * PAGE, len * PAGE, MADV_PAGEOUT);
		}
	}
	return NULL;
}

TEST(changing_mappings_meanwhile_leaves_valid_images)
{
	pthread_t t;
	int rounds = cp_debug_kernel() ? 15 : 80;
	long runs = 0;

	/* Low, so that nobody else's mmap() lands in its holes. */
	mem = mmap(CP_FAR(1), 1024 * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	cp_fill(mem, 1024 * PAGE, 3);
	stop = false;
	ASSERT_EQ(0, pthread_create(&t, NULL, stir, mem));
	for (int round = 0; round < rounds; round++) {
		/* cp_take() checks order, overlap, counts and CRC. */
		struct cpimg *img = cp_take(mem, 1024 * PAGE);

		ASSERT_NE(NULL, img) TH_LOG("round %d", round);
		runs += cpimg_note(img)->runs;
		cpimg_close(img);
	}
	stop = true;
	pthread_join(t, NULL);
	EXPECT_LT(rounds, runs);
}

static void *sleep_for_ever(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

/* The image has the calling thread's registers and every thread's stack. */
TEST(stacks_of_all_threads_are_saved)
{
	pthread_t t;
	struct cpimg *img;
	char *stack = cp_map(64 * PAGE);
	pthread_attr_t attr;

	cp_fill(stack, 32 * PAGE, 4);
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, stack, 64 * PAGE);
	ASSERT_EQ(0, pthread_create(&t, &attr, sleep_for_ever, NULL));
	usleep(50000);
	img = cp_take(NULL, ~0UL);
	ASSERT_NE(NULL, img);
	/* What the thread has put on it, and what lay there before. */
	EXPECT_OK(cp_same_bytes(img, stack, 32 * PAGE));
	EXPECT_OK(cp_same_bytes(img, stack + 63 * PAGE, PAGE));
	cpimg_close(img);
}

TEST_HARNESS_MAIN
