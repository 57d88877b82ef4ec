// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --smp 2 --disk 64 --timeout 400 */
/*
 * Nothing is lost in the program: half of each page is written by the kernel, for
 * /proc/self/mem, process_vm_writev() and direct I/O, the other half by a thread, while
 * moments of them are saved; whoever has written finds what it has written.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "harness.h"
#include "moment.h"

#define NR	64
#define HALF	(PAGE / 2)
#define LEN	(NR * PAGE)
#define FILE_NAME "/disk/half"

static volatile bool stop;
static char *mem;
static volatile long written[2];

/* Each writes its half of all pages again and again, and looks whether it is still there. */
struct half {
	bool	(*write)(char *at, const char *bytes);
	size_t	at;
};

static int proc_mem = -1, file = -1;

static bool by_hand(char *at, const char *bytes)
{
	memcpy(at, bytes, HALF);
	return true;
}

static bool by_proc_mem(char *at, const char *bytes)
{
	return pwrite(proc_mem, bytes, HALF, (uintptr_t)at) == (ssize_t)HALF;
}

static bool by_process_vm(char *at, const char *bytes)
{
	struct iovec from = { (void *)bytes, HALF }, to = { at, HALF };

	return process_vm_writev(getpid(), &from, 1, &to, 1, 0) == (ssize_t)HALF;
}

/* The device writes into the half; the bytes go to the file first. */
static bool by_direct_read(char *at, const char *bytes)
{
	return pwrite(file, bytes, HALF, 0) == (ssize_t)HALF &&
	       pread(file, at, HALF, 0) == (ssize_t)HALF;
}

static void *write_half(void *arg)
{
	static char bytes[2][HALF] __attribute__((aligned(4096)));
	const struct half *half = arg;
	int mine = half->at != 0;

	for (unsigned int round = 1; !stop; round++) {
		for (size_t i = 0; i < NR; i++) {
			char *at = mem + i * PAGE + half->at;

			memset(bytes[mine], round * 3 + i, HALF);
			if (!half->write(at, bytes[mine]))
				return strerror(errno);
			if (memcmp(at, bytes[mine], HALF))
				return "what was written just now is not there";
			written[mine]++;
		}
		/* And what the round has written, a while ago by now */
		for (size_t i = 0; i < NR; i++) {
			char *at = mem + i * PAGE + half->at;

			memset(bytes[mine], round * 3 + i, HALF);
			if (memcmp(at, bytes[mine], HALF))
				return "what was written in this round is not there";
		}
	}
	return NULL;
}

static const char *moments(struct half *other, int *reached)
{
	const int rounds = cp_debug_kernel() ? 20 : 60;
	struct half own = { by_hand, HALF };
	struct chain c = { 0 };
	struct cp_result r;
	const char *why = NULL;
	pthread_t t[2];
	void *said;

	stop = false;
	written[0] = written[1] = 0;
	*reached = 0;
	pthread_create(&t[0], NULL, write_half, other);
	pthread_create(&t[1], NULL, write_half, &own);
	for (int i = 0; i < rounds && !why; i++) {
		why = chain_moment(&c, mem, LEN, &r);
		*reached += !why && r.flags & CP_MOMENT;
		if (i % 16 == 15)
			chain_remove();
	}
	stop = true;
	for (int i = 0; i < 2; i++) {
		pthread_join(t[i], &said);
		if (said && !why)
			why = say("%s half: %s", i ? "the thread's" : "the kernel's",
				  (char *)said);
	}
	/* Nor in the images: the next one has what is there now. */
	if (!why)
		why = chain_open(&c, c.tid, c.n - 1);
	if (!why)
		why = chain_inc(&c, mem, LEN);
	if (!why)
		why = chain_matches(&c, mem, LEN);
	chain_close(&c);
	chain_remove();
	return why;
}

FIXTURE(half_pages) { };

FIXTURE_VARIANT(half_pages) {
	bool	(*write)(char *at, const char *bytes);
};

FIXTURE_VARIANT_ADD(half_pages, proc_mem) { by_proc_mem };
FIXTURE_VARIANT_ADD(half_pages, process_vm_writev) { by_process_vm };
FIXTURE_VARIANT_ADD(half_pages, direct_io) { by_direct_read };

FIXTURE_SETUP(half_pages)
{
	NEEDS_CP_CHECKPOINT();
	mem = cp_map(LEN);
	cp_fill(mem, LEN, 1);
	if (variant->write == by_proc_mem) {
		proc_mem = open("/proc/self/mem", O_RDWR);
		ASSERT_LE(0, proc_mem) TH_LOG("%m");
	}
	if (variant->write == by_direct_read) {
		file = open(FILE_NAME, O_RDWR | O_CREAT | O_DIRECT, 0600);
		if (file < 0)
			SKIP(return, "no disk: %s", strerror(errno));
	}
}

FIXTURE_TEARDOWN(half_pages)
{
	unlink(FILE_NAME);
}

TEST_F(half_pages, lose_nothing)
{
	struct half half = { variant->write, 0 };
	int reached;

	ASSERT_OK(moments(&half, &reached));
	TH_LOG("%d moments, %ld halves by the kernel and %ld by the thread", reached, written[0],
	       written[1]);
	EXPECT_LT(10, reached);
	EXPECT_LT(2 * NR, written[0]);
	EXPECT_LT(2 * NR, written[1]);
}

TEST_HARNESS_MAIN
