// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 --smp 2 --timeout 400 */
/*
 * However many threads there are: they stand still soon, all of them, and the registers of
 * each are in the image, with what it had in them.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <pthread.h>
#include <sys/procfs.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/user.h>

#include "harness.h"
#include "moment.h"

#define BUSY	64
#define WORDS	16
#define MANY	1000
#define SPIN	8		/* of those how many run; others sleep */

static volatile bool stop;

static void *writer(void *mem)
{
	setpriority(PRIO_PROCESS, 0, 19);
	write_in_order(mem, WORDS, 1, UINT64_MAX, &stop);
	return NULL;
}

/*
 * So many threads want two processors, and who stops them needs one as well: how long they
 * stand still does not follow their number.
 */
TEST(busy_ones_stand_still_soon)
{
	const int rounds = cp_debug_kernel() ? 30 : 200;
	char *mem = map_in_order(BUSY * WORDS);
	uint64_t ns[200];
	pthread_t t[BUSY];
	struct chain c = { 0 };
	struct cp_result r;
	int reached = 0;

	NEEDS_CP_CHECKPOINT();
	stop = false;
	for (int i = 0; i < BUSY; i++) {
		ASSERT_EQ(0, pthread_create(&t[i], NULL, writer, mem + i * WORDS * PAGE));
	}
	for (int i = 0; i < rounds; i++) {
		ASSERT_OK(chain_moment(&c, mem, BUSY * WORDS * PAGE, &r));
		if (i % 8 == 7)
			chain_remove();
		if (!(r.flags & CP_MOMENT))
			continue;
		ns[reached++] = r.stop_ns;
		EXPECT_EQ(BUSY + 1, r.threads);
		for (int w = 0; w < BUSY; w++)
			ASSERT_OK(is_in_order(&c, mem + w * WORDS * PAGE, WORDS));
	}
	stop = true;
	for (int i = 0; i < BUSY; i++)
		pthread_join(t[i], NULL);
	EXPECT_LT(rounds * 9 / 10, reached);
	sort_numbers(ns, reached);
	TH_LOG("%d of %d moments; %d threads stood still for %.2f ms, the median, and %.2f ms at most",
	       reached, rounds, BUSY, ns[reached / 2] / 1e6, ns[reached - 1] / 1e6);
	/* A wait for each of them to have a turn would be hundreds of ms. */
	EXPECT_GT(100000000, ns[reached / 2]);
	chain_close(&c);
	chain_remove();
}

#ifdef __x86_64__
/* What a thread has in its registers: nobody else has it. */
struct pattern {
	uint64_t	general;		/* in r15 */
	uint64_t	vector[4];		/* in ymm15 */
	int		tid;
	bool		spins;
	bool		seen;
	bool		seen_vector;
};

static struct pattern pattern[MANY];
static int nr_ready;
static bool avx;

/* Nothing is called and nothing is written to but registers, till @stop is. */
static void hold(struct pattern *p)
{
	if (avx)
		asm volatile("vmovdqu %0, %%ymm15" : : "m" (p->vector));
	else
		asm volatile("movdqu %0, %%xmm15" : : "m" (p->vector));
	__atomic_add_fetch(&nr_ready, 1, __ATOMIC_SEQ_CST);
	if (p->spins)
		asm volatile("mov %0, %%r15\n"
			     "1:	pause\n\t"
			     "cmpb $0, %1\n\t"
			     "je 1b"
			     : : "r" (p->general), "m" (stop) : "r15", "cc", "memory");
	else
		asm volatile("mov %0, %%r15\n"
			     "1:	mov $34, %%eax\n\t"
			     "syscall\n\t"
			     "cmpb $0, %1\n\t"
			     "je 1b"
			     : : "r" (p->general), "m" (stop)
			     : "r15", "rax", "rcx", "r11", "cc", "memory");
}

static void *holder(void *arg)
{
	struct pattern *p = arg;

	if (p->spins)
		setpriority(PRIO_PROCESS, 0, 19);
	p->tid = cp_gettid();
	hold(p);
	return NULL;
}

static void wake(int sig)
{
	(void)sig;
}

static struct pattern *pattern_of(int tid)
{
	for (int i = 0; i < MANY; i++)
		if (pattern[i].tid == tid)
			return &pattern[i];
	return NULL;
}

/* Where the upper halves of ymm registers are in an XSAVE area */
static unsigned int upper_halves(void)
{
	unsigned int a = 0xd, b, c = 2, d;

	asm volatile("cpuid" : "+a" (a), "=b" (b), "+c" (c), "=d" (d));
	return b;
}

/* NULL if each thread is there once, with what it has. */
static const char *have_their_registers(const struct cpimg *img, int *threads, int *vectors)
{
	const size_t xmm15 = offsetof(struct user_fpregs_struct, xmm_space) + 15 * 16;
	struct pattern *p = NULL;
	struct cpimg_elfnote note;

	*threads = *vectors = 0;
	for (size_t pos = 0; cpimg_next_note(img, &pos, &note);) {
		const char *desc = note.desc;

		if (note.type == NT_PRSTATUS && !strcmp(note.owner, "CORE")) {
			struct elf_prstatus st;
			struct user_regs_struct regs;

			memcpy(&st, desc, sizeof(st));
			memcpy(&regs, &st.pr_reg, sizeof(regs));
			++*threads;
			p = pattern_of(st.pr_pid);
			if (!p && st.pr_pid != cp_gettid())
				return say("thread %d is there, and nowhere else", st.pr_pid);
			if (!p)
				continue;
			if (p->seen)
				return say("thread %d is there twice", st.pr_pid);
			p->seen = true;
			if (regs.r15 != p->general)
				return say("thread %d: r15 is %#lx, expected %#" PRIx64,
					   st.pr_pid, regs.r15, p->general);
		}
		if (note.type == NT_FPREGSET && p && !strcmp(note.owner, "CORE")) {
			if (memcmp(desc + xmm15, p->vector, 16))
				return say("thread %d: xmm15 is another", p->tid);
			p->seen_vector = !avx;
		}
		if (note.type == NT_X86_XSTATE && p && avx) {
			if (memcmp(desc + xmm15, p->vector, 16) ||
			    memcmp(desc + upper_halves() + 15 * 16, &p->vector[2], 16))
				return say("thread %d: ymm15 is another", p->tid);
			p->seen_vector = true;
		}
	}
	for (int i = 0; i < MANY; i++) {
		if (!pattern[i].seen)
			return say("thread %d is not there", pattern[i].tid);
		/* Who had not come to rest on its way has the general ones only. */
		if (!pattern[i].seen_vector && !pattern[i].spins)
			return say("thread %d sleeps, and has general registers only",
				   pattern[i].tid);
		*vectors += pattern[i].seen_vector;
		pattern[i].seen = pattern[i].seen_vector = false;
	}
	return NULL;
}

TEST(a_thousand_have_their_registers)
{
	pthread_attr_t attr;
	pthread_t t[MANY];
	char *mem = cp_map(WORDS * PAGE);
	struct chain c = { 0 };
	struct cp_result r;
	int threads, vectors;
	uint64_t seed = 1;

	NEEDS_CP_CHECKPOINT();
	stop = false;
	avx = __builtin_cpu_supports("avx");
	signal(SIGUSR1, wake);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 16 << 10);
	for (int i = 0; i < MANY; i++) {
		pattern[i].general = seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		for (int j = 0; j < 4; j++)
			pattern[i].vector[j] = seed * (2 * j + 3);
		pattern[i].spins = i < SPIN;
		ASSERT_EQ(0, pthread_create(&t[i], &attr, holder, &pattern[i]));
	}
	while (__atomic_load_n(&nr_ready, __ATOMIC_SEQ_CST) < MANY)
		usleep(1000);
	usleep(100000);		/* the last of them goes to sleep */
	for (int i = 0; i < 5; i++) {
		mem[i * PAGE]++;
		ASSERT_OK(chain_moment(&c, mem, WORDS * PAGE, &r));
		EXPECT_TRUE(r.flags & CP_MOMENT) TH_LOG("missed for %u", r.missed);
		EXPECT_EQ(MANY + 1, r.threads);
		EXPECT_OK(have_their_registers(c.img, &threads, &vectors));
		EXPECT_EQ(MANY + 1, threads);
		TH_LOG("%d threads, %d of them with vector registers%s, %.2f ms", threads,
		       vectors, avx ? " (AVX)" : "", r.stop_ns / 1e6);
	}
	stop = true;
	for (int i = 0; i < MANY; i++)
		pthread_kill(t[i], SIGUSR1);
	for (int i = 0; i < MANY; i++)
		pthread_join(t[i], NULL);
	chain_close(&c);
	chain_remove();
}
#endif /* __x86_64__ */

TEST_HARNESS_MAIN
