// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --smp 2 --timeout 400 */
/*
 * Whoever ends meanwhile: the program goes on when who saves it is killed; and of a process
 * that is killed, has its memory taken away, or dumps core there is no image that lacks
 * something.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "harness.h"
#include "moment.h"
#include "needs.h"

#define NR	2048
#define LEN	(NR * PAGE)

static volatile uint64_t *count;	/* shared: what the process has done */

/* Its threads write all the time, so that each image has something to wait for. */
static void *run(void *mem)
{
	for (;;)
		for (size_t i = 0; i < NR; i++) {
			((volatile char *)mem)[i * PAGE + 8] += 2;	/* never 0: it was odd */
			++*count;
		}
	return NULL;
}

static char *fill(void)
{
	char *mem = cp_map(LEN);

	for (size_t i = 0; i < NR; i++)
		memset(mem + i * PAGE, 1, PAGE);
	return mem;
}

static void save_on(struct cp_args *args)
{
	for (;;) {
		if (cp_checkpoint(args, sizeof(*args)) && errno != ESRCH && errno != EEXIST &&
		    errno != EPERM)
			_exit(errno);
	}
}

FIXTURE(gone) {
	char		*mem;
	int		pid;
	struct cp_span	span;
	struct cp_args	args;
};

FIXTURE_SETUP(gone)
{
	NEEDS_CP_CHECKPOINT();
	NEEDS_CALL(pidfd_open);
	count = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, count);
	self->mem = fill();
	self->span = (struct cp_span){ (uintptr_t)self->mem, (uintptr_t)self->mem + LEN };
	self->args = (struct cp_args)CP_ARGS_OWN;
	self->args.flags = CP_INCREMENTAL | CP_MOMENT;
	self->args.ranges = (uintptr_t)&self->span;
	self->args.nr_ranges = 1;
}

FIXTURE_TEARDOWN(gone)
{
	chain_remove();
}

static int start(char *mem)
{
	int pid = fork();

	if (!pid) {
		struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
		pthread_t t;

		setrlimit(RLIMIT_CORE, &unlimited);
		pthread_create(&t, NULL, run, mem);
		run(mem);
	}
	return pid;
}

static bool goes_on(void)
{
	uint64_t before = *count;

	for (int i = 0; i < 2000; i++) {
		if (*count != before)
			return true;
		usleep(1000);
	}
	return false;
}

TEST_F(gone, who_saves)
{
	const int rounds = cp_debug_kernel() ? 20 : 150;
	struct chain c = { 0 };
	struct cp_result r;
	int died_in_a_call = 0;

	self->pid = start(self->mem);
	self->args.pidfd = cp_pidfd(self->pid);
	for (int i = 0; i < rounds; i++) {
		int saver = fork(), status;

		if (!saver)
			save_on(&self->args);
		usleep(500 + i * 37 % 200 * 200);
		ASSERT_EQ(0, kill(saver, SIGKILL));
		ASSERT_EQ(saver, waitpid(saver, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status)) TH_LOG("status %#x", status);
		ASSERT_TRUE(goes_on()) TH_LOG("after %d", i);
		/* Nor does it keep a lock. */
		self->args.result = (uintptr_t)&r;
		self->args.result_size = sizeof(r);
		ASSERT_EQ(0, cp_checkpoint(&self->args, sizeof(self->args))) TH_LOG("%m");
		ASSERT_OK(chain_open(&c, self->pid, r.n));
		self->args.result = self->args.result_size = 0;
		died_in_a_call += r.images > 1;
		if (i % 4 == 3)
			chain_remove();
	}
	TH_LOG("%d were killed", rounds);
	EXPECT_LT(0, died_in_a_call);
	chain_close(&c);
	cp_kill(self->pid);
}

/* NULL if each image in /tmp has each of the pages. */
static const char *nothing_is_missing(int pid, char *mem, int *images)
{
	struct chain c = { 0 };
	const char *why = NULL;

	for (int n = 0; !why && !access(cp_name(pid, n), F_OK); n++) {
		why = chain_open(&c, pid, n);
		for (size_t i = 0; i < NR && !why; i++) {
			struct cpimg_piece p;
			struct cpimg_error err;
			char byte;

			if (cpimg_chain_resolve(c.all, cpimg_chain_length(c.all) - 1,
						(uintptr_t)mem + i * PAGE, &p, &err))
				why = say("%s", err.text);
			else if (p.cls != CPIMG_DATA)
				why = say("%s: page %zu is %s", cp_name(pid, n), i,
					  cpimg_class_name(p.cls));
			else if (cpimg_pread(p.img, (uintptr_t)mem + i * PAGE, &byte, 1, &err) ||
				 byte != 1)
				why = say("%s: page %zu has another first byte",
					  cp_name(pid, n), i);
		}
		++*images;
	}
	chain_close(&c);
	return why;
}

#define ENDS(how) do { \
	const int rounds_ = cp_debug_kernel() ? 15 : 80; \
	int images_ = 0; \
	for (int i_ = 0; i_ < rounds_; i_++) { \
		int saver_; \
		self->pid = start(self->mem); \
		self->args.pidfd = cp_pidfd(self->pid); \
		ASSERT_LE(0, self->args.pidfd); \
		self->args.flags = i_ % 2 ? CP_INCREMENTAL | CP_MOMENT : CP_INCREMENTAL; \
		saver_ = fork(); \
		if (!saver_) \
			save_on(&self->args); \
		usleep(20000 + i_ * 37 % 100 * 1000); \
		how; \
		waitpid(self->pid, NULL, 0); \
		usleep(1000); \
		cp_kill(saver_); \
		close(self->args.pidfd); \
		ASSERT_OK(nothing_is_missing(self->pid, self->mem, &images_)); \
		chain_remove(); \
	} \
	TH_LOG("%d times, %d images", rounds_, images_); \
	EXPECT_LT(0, images_); \
} while (0)

/* As the OOM reaper does it: the pages go while somebody else holds the address space. */
TEST_F(gone, whose_memory_is_taken_away)
{
	int reaped = 0;

	if (syscall(448, -1, 0) && errno == ENOSYS)
		SKIP(return, "no process_mrelease()");
	ENDS(kill(self->pid, SIGKILL);
	     reaped += !syscall(448, self->args.pidfd, 0));
	TH_LOG("%d were reaped", reaped);
	EXPECT_LT(0, reaped);
}

TEST_F(gone, who_dumps_core)
{
	char was[256] = "";
	int fd = open("/proc/sys/kernel/core_pattern", O_RDONLY), cores = 0;

	if (fd < 0 || read(fd, was, sizeof(was) - 1) < 0)
		SKIP(return, "no core dumps");
	close(fd);
	ASSERT_EQ(0, cp_write_file("/proc/sys/kernel/core_pattern", "/tmp/core"));
	ENDS(kill(self->pid, SIGQUIT);
	     waitpid(self->pid, NULL, 0);
	     cores += !unlink("/tmp/core"));
	cp_write_file("/proc/sys/kernel/core_pattern", was);
	TH_LOG("%d cores", cores);
	EXPECT_LT(0, cores);
}

TEST_HARNESS_MAIN
