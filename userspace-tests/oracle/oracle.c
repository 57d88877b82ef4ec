// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --smp 1 --swap 256 --disk 64 --disk xfs:300 --timeout 900 */
/* guest: --mem 384 --smp 2 --swap 256 --disk 64 --disk xfs:300 --timeout 900 */
/*
 * The oracle: long random sequences of all that can be done to memory, with
 * checkpoints in between; after each the memory is rebuilt from the chain of
 * images and every byte and every hole held against a model. Who knows whom, each all
 * of those below it:
 *
 *	oracle.c	options, the operations, the loop, shrinking of what failed
 *	behind.c	operations that dirty bits do not show
 *	ops.c		operations of this process on its own memory
 *	checkpoint.c	checkpoints, and the chain that they should make
 *	asked.c		what they are asked for, and the parent, who saves this process
 *	files.c		files that memory is mapped from, and what befalls them
 *	writers.c	threads that write while all that goes on
 *	check.c		images against the model
 *	model.c		what each page of the arena, and of those files, is and holds
 *	log.c		what was told, done and found
 *
 * Without arguments it is a test with a fixed set of seeds. A seed fails the
 * same way again, as far as the kernel lets it, and is shrunk to the operations
 * that it takes.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

#include "asked.h"
#include "behind.h"
#include "checkpoint.h"
#include "files.h"
#include "log.h"
#include "model.h"
#include "ops.h"
#include "writers.h"

static struct timespec started;
static unsigned long *reached;		/* shared: where a run was when it ended */

static void crash(int sig, siginfo_t *info, void *context)
{
	(void)context;
	fail("signal %d at %p", sig, info->si_addr);
}

/* Far beyond what any operation takes, or a hang would show nothing. */
static unsigned int patience(void)
{
	return cp_debug_kernel() ? 1200 : 300;
}

static void no_end(int sig)
{
	(void)sig;
	fail("the operation does not end");
}

static void catch_crashes(void)
{
	struct sigaction sa = { .sa_sigaction = crash, .sa_flags = SA_SIGINFO };

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	signal(SIGALRM, no_end);
	signal(SIGPIPE, SIG_IGN);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - started.tv_sec + (now.tv_nsec - started.tv_nsec) / 1e9;
}

static void progress(void)
{
	static double next = 10, last;
	double now = seconds();

	if (!opt.quiet && now - last > 10)
		printf("# operation %lu, %s, took %.0f s\n", op_now,
		       last_trace(), now - last);
	last = now;
	if (opt.quiet || now < next)
		return;
	next = now + 10;
	printf("# seed %" PRIu64 ": %lu operations in %.0f s\n", opt.seed, op_now,
	       seconds());
	fflush(stdout);
}

static void summary(void)
{
	double s = seconds();

	printf("# seed %" PRIu64 ": %lu operations, %.0f a second; %lu full (%lu untracked), %lu incremental, %lu failed on purpose; %lu by cp_checkpoint(), %lu by the parent, %lu of %lu moments; pages: %lu DATA (%lu not touched), %lu SAME, %lu HOLE (%lu left to files, %lu refused later), %lu SKIPPED; %lu compared\n",
	       opt.seed, stats.done, stats.done / (s > 0 ? s : 1), stats.full, stats.untracked,
	       stats.incremental, stats.failed, stats.asked, stats.by_parent,
	       stats.moments, stats.moments_asked, stats.data, stats.again,
	       stats.same, stats.hole, stats.left, stats.refused, stats.skipped,
	       stats.compared);
	fflush(stdout);
}

static bool op_checkpoint(struct rng *r)
{
	checkpoint(r);
	return true;
}

static bool op_asked(struct rng *r)
{
	return checkpoint_asked(r, WAY_OWN);
}

static bool op_by_parent(struct rng *r)
{
	return checkpoint_asked(r, WAY_PARENT);
}

static bool op_failing(struct rng *r)
{
	checkpoint_with_limit(r);
	return true;
}

static bool op_look_back(struct rng *r)
{
	checkpoint_look_back(r);
	return true;
}

static bool op_lose(struct rng *r)
{
	checkpoint_lose(r);
	return true;
}

static bool op_disturb(struct rng *r)
{
	writers_disturb(r);
	return true;
}

static const struct op {
	const char	*name;
	unsigned int	weight;
	bool		(*fn)(struct rng *r);
	bool		plain;		/* in --plain too */
} ops[] = {
	{ "write_byte",		300, op_write_byte, true },
	{ "write_words",	200, op_write_words, true },
	{ "write_range",	120, op_write_range, true },
	{ "write_many",		20, op_write_many },
	{ "checkpoint",		12, op_checkpoint, true },
	{ "asked",		6, op_asked, true },
	{ "by_parent",		6, op_by_parent, true },
	{ "read",		80, op_read },
	{ "write_alike",	30, op_write_alike },
	{ "write_zeros",	12, op_write_zeros },
	{ "write_huge",		6, op_write_huge },
	{ "mmap_anon",		14, op_mmap_anon },
	{ "mmap_file",		20, op_mmap_file },
	{ "mmap_hugetlb",	2, op_mmap_hugetlb },
	{ "drop_hugetlb",	2, op_drop_hugetlb },
	{ "munmap",		10, op_munmap },
	{ "mprotect",		20, op_mprotect },
	{ "mremap",		30, op_mremap },
	{ "resize",		8, op_resize },
	{ "madvise",		80, op_madvise },
	{ "collapse",		3, op_collapse },
	{ "huge_page",		3, op_huge_page },
	{ "mlock",		4, op_mlock },
	{ "munlock",		6, op_munlock },
	{ "file_new",		6, op_file_new },
	{ "file_write",		16, op_file_write },
	{ "file_close",		8, op_file_close },
	{ "file_truncate",	1, op_file_truncate },
	{ "file_cut",		2, op_file_cut },
	{ "file_grow",		3, op_file_grow },
	{ "file_unlink",	2, op_file_unlink },
	{ "file_replace",	3, op_file_replace },
	{ "file_link",		3, op_file_link },
	{ "file_chmod",		2, op_file_chmod },
	{ "msync",		4, op_msync },
	{ "drop_caches",	2, op_drop_caches },
	{ "rest",		6, op_rest },
	{ "look_back",		4, op_look_back },
	{ "lose",		1, op_lose },
	{ "soft_offline",	2, op_soft_offline },
	{ "swapoff",		1, op_swapoff },
	{ "audit",		1, op_audit },
	{ "failing",		1, op_failing },
	{ "disturb",		20, op_disturb },
	{ "fork",		6, op_fork },
	{ "child_ends",		6, op_child_ends },
	{ "vm_writev",		12, op_vm_writev },
	{ "proc_mem",		12, op_proc_mem },
	{ "clear_refs",		3, op_clear_refs },
	{ "pagemap_scan",	4, op_pagemap_scan },
	{ "direct_read",	16, op_direct_read },
	{ "vmsplice_out",	5, op_vmsplice_out },
	{ "vmsplice_in",	5, op_vmsplice_in },
	{ "io_uring",		5, op_io_uring },
	{ "uffd_copy",		5, op_uffd_copy },
	{ "uffd_move",		8, op_uffd_move },
	{ "uffd_wp",		5, op_uffd_wp },
	{ "compact",		1, op_compact },
};

#define NR_OPS	(sizeof(ops) / sizeof(ops[0]))

static bool enabled(const struct op *op)
{
	if (opt.without && strstr(opt.without, op->name))
		return false;
	return op->plain || (!opt.plain && (!opt.only || strstr(opt.only, op->name)));
}

static bool do_op(struct rng *r)
{
	static unsigned int total;
	const struct op *op = ops;
	unsigned int n;

	if (!total) {
		for (size_t i = 0; i < NR_OPS; i++)
			if (enabled(&ops[i]))
				total += ops[i].weight;
	}
	for (n = below(r, total); ; op++) {
		if (!enabled(op))
			continue;
		if (n < op->weight)
			return op->fn(r);
		n -= op->weight;
	}
}

/* One run, in this process. Ends in fail(), or returns. */
static void run(void)
{
	unsigned int limit = patience();
	struct rng r;

	catch_crashes();
	clock_gettime(CLOCK_MONOTONIC, &started);
	before_failing = behind_exit;
	behind_init();
	model_init();
	files_init();
	ops_init();
	writers_start(opt.writers);
	checkpoint_init();
	for (op_now = 0; op_now < opt.ops; op_now++) {
		*reached = op_now;
		if (opt.seconds && seconds() > opt.seconds)
			break;
		if (opt.keep && !opt.keep[op_now])
			continue;
		/* Of its own for each, so that others can be left out. */
		r.state = opt.seed * 0x9e3779b97f4a7c15ULL + op_now * 0xd1342543de82ef95ULL;
		rnd(&r);
		alarm(limit);
		stats.done += do_op(&r);
		progress();
	}
	checkpoint_all();
	model_audit();
	writers_stop();
	alarm(0);
	if (opt.plain && stats.again > stats.same / 100)
		fail("%lu pages were saved again though nothing had touched them, of %lu",
		     stats.again, stats.same);
	if (!opt.quiet)
		summary();
	behind_exit();
}

/* In a child, since a run leaves its address space in disorder. Return: passed. */
static bool run_apart(void)
{
	int status = 0;
	pid_t pid;

	pid = asked_fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run();
		exit(0);
	}
	if (pid < 0)
		return false;
	asked_serve(pid);
	if (waitpid(pid, &status, 0) != pid)
		return false;
	asked_remove_images();
	if (WIFSIGNALED(status))
		printf("# seed %" PRIu64 ": killed by signal %d\n", opt.seed,
		       WTERMSIG(status));
	return !status;
}

static unsigned long count_kept(void)
{
	unsigned long n = 0;

	for (unsigned long i = 0; i < opt.ops; i++)
		n += opt.keep[i];
	return n;
}

/* Without @nr kept operations from the @skip-th on: does it still fail? */
static bool fails_without(unsigned long skip, unsigned long nr)
{
	unsigned char *all = opt.keep;
	unsigned char *some = malloc(opt.ops);
	unsigned long n = 0;
	bool failed;

	memcpy(some, all, opt.ops);
	for (unsigned long i = 0; i < opt.ops; i++) {
		if (!all[i])
			continue;
		if (n >= skip && n < skip + nr)
			some[i] = 0;
		n++;
	}
	opt.keep = some;
	failed = !run_apart();
	opt.keep = failed ? some : all;
	free(failed ? all : some);
	return failed;
}

/* Delta debugging: leave out halves, quarters and so on, as long as it fails. */
static void shrink(unsigned long failed_at)
{
	unsigned long piece, at;
	unsigned int runs = 0;

	opt.ops = failed_at + 1 < opt.ops ? failed_at + 1 : opt.ops;
	opt.keep = malloc(opt.ops);
	memset(opt.keep, 1, opt.ops);
	opt.quiet = true;
	if (run_apart()) {
		printf("# it does not fail again: a race, or the memory's state\n");
		opt.quiet = false;
		return;
	}
	for (piece = (opt.ops + 1) / 2; piece; piece /= 2) {
		for (at = 0; at < count_kept() && runs < 400; runs++) {
			if (!fails_without(at, piece))
				at += piece;
		}
		printf("# shrunk to %lu operations\n", count_kept());
		fflush(stdout);
	}
	opt.quiet = false;
	printf("# the shrunk sequence:\n");
	run_apart();
}

/* Return: passed. A failure is shrunk. */
static bool run_seed(void)
{
	bool passed = run_apart();

	if (!passed && opt.shrink)
		shrink(*reached);
	return passed;
}

static const struct fixed {
	uint64_t	seed;
	unsigned long	ops;
	unsigned int	writers;
	bool		plain;
	bool		ksm;
	const char	*what;
} fixed[] = {
	{ 1, 6000, 0, true, false, "plain writes: exactly the changed pages" },
	{ 2, 5000, 0, false, false, "everything" },
	{ 3, 5000, 0, false, true, "everything, with KSM" },
	{ 4, 3000, 2, false, false, "everything, with threads that write" },
	{ 5, 3000, 2, false, true, "everything, with KSM and threads that write" },
};

#define NR_FIXED	(sizeof(fixed) / sizeof(fixed[0]))

static int run_fixed(void)
{
	int failed = 0;

	printf("TAP version 13\n1..%zu\n", NR_FIXED);
	for (size_t i = 0; i < NR_FIXED; i++) {
		bool passed;

		opt.seed = fixed[i].seed;
		opt.ops = fixed[i].ops / (cp_debug_kernel() ? 5 : 1);
		opt.writers = fixed[i].writers;
		opt.plain = fixed[i].plain;
		opt.ksm = fixed[i].ksm;
		opt.keep = NULL;
		passed = run_seed();
		printf("%sok %zu %s\n", passed ? "" : "not ", i + 1, fixed[i].what);
		failed += !passed;
	}
	return !!failed;
}

static int usage(void)
{
	printf("usage: oracle [OPTIONS]\n"
	       "  --seed N      of the sequence (default 1)\n"
	       "  --seeds N     so many seeds, one after the other\n"
	       "  --ops N       operations a seed (default 10000)\n"
	       "  --seconds N   end a seed after that time\n"
	       "  --pages N     size of the memory (default 4096, at most 16384)\n"
	       "  --threads N   that write all the time (default 0)\n"
	       "  --ksm         with ksmd\n"
	       "  --every N     compare after every N-th checkpoint only\n"
	       "  --plain       only writes; pages saved for nothing are an error\n"
	       "  --only NAMES  only these operations, writes and checkpoints\n"
	       "  --without NAMES  leave these operations out\n"
	       "  --no-shrink   do not look for a shorter sequence that fails\n"
	       "Without options: the fixed set of `make test`.\n");
	return 2;
}

int main(int argc, char **argv)
{
	unsigned long seeds = 1, failed = 0;
	uint64_t first;

	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	reached = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	asked_init();
	if (argc == 1)
		return run_fixed();
	for (int i = 1; i < argc; i++) {
		const char *o = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;

		if (!strcmp(o, "--plain"))
			opt.plain = true;
		else if (!strcmp(o, "--ksm"))
			opt.ksm = true;
		else if (!strcmp(o, "--no-shrink"))
			opt.shrink = false;
		else if (!v)
			return usage();
		else if (i++, !strcmp(o, "--seed"))
			opt.seed = strtoull(v, NULL, 0);
		else if (!strcmp(o, "--seeds"))
			seeds = strtoul(v, NULL, 0);
		else if (!strcmp(o, "--ops"))
			opt.ops = strtoul(v, NULL, 0);
		else if (!strcmp(o, "--seconds"))
			opt.seconds = atoi(v);
		else if (!strcmp(o, "--pages"))
			opt.pages = atoi(v);
		else if (!strcmp(o, "--threads"))
			opt.writers = atoi(v);
		else if (!strcmp(o, "--every"))
			opt.every = atoi(v);
		else if (!strcmp(o, "--only"))
			opt.only = v;
		else if (!strcmp(o, "--without"))
			opt.without = v;
		else
			return usage();
	}
	if (opt.pages < HUGE_PAGES || opt.pages > MAX_PAGES || !opt.every)
		return usage();
	for (first = opt.seed; opt.seed < first + seeds; opt.seed++) {
		struct options saved = opt;

		failed += !run_seed();
		saved.seed = opt.seed;
		opt = saved;
	}
	printf("# %lu seeds, %lu failed\n", seeds, failed);
	return !!failed;
}
