// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --smp 2 --timeout 400 */
/*
 * Another process is saved as it would save itself, by whoever may look at it, and nobody
 * else. It does not notice.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/procfs.h>
#include <sys/syscall.h>

#include "harness.h"
#include "moment.h"
#include "needs.h"

#define LEN	(256 * PAGE)

FIXTURE(other) {
	char			*mem;	/* at the same address in the child */
	int			pid, fd, to[2], from[2];
	struct chain		c;
	struct cp_args		args;
	struct cp_result	result;
};

/* What the child does: byte by byte from the pipe. Each is answered. */
static void serve(int in, int out, char *mem)
{
	char c;

	while (read(in, &c, 1) == 1) {
		switch (c) {
		case 'w':	/* write some pages */
			for (size_t i = 0; i < LEN / PAGE; i += 8)
				mem[i * PAGE]++;
			break;
		case 's':	/* save itself */
			inc_cp_range(mem, mem + LEN);
			break;
		case 'd':
			prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
			break;
		case 'u':
			setgid(2000);
			setuid(2000);
			prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
			break;
		}
		if (write(out, &c, 1) != 1)
			break;
	}
	_exit(0);
}

/* False if that takes more than five seconds. */
static bool wait_for_state(int pid, char wanted)
{
	char path[64], state = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	for (int i = 0; i < 500; i++) {
		FILE *f = fopen(path, "r");

		if (!f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			state = 0;
		if (f)
			fclose(f);
		if (state == wanted)
			return true;
		usleep(10000);
	}
	return false;
}

FIXTURE_SETUP(other)
{
	NEEDS_CP_CHECKPOINT();
	NEEDS_CALL(pidfd_open);
	self->mem = cp_map(LEN);
	cp_fill(self->mem, LEN, 1);
	ASSERT_EQ(0, pipe(self->to));
	ASSERT_EQ(0, pipe(self->from));
	self->pid = fork();
	if (!self->pid) {
		close(self->to[1]);
		serve(self->to[0], self->from[1], self->mem);
	}
	self->fd = cp_pidfd(self->pid);
	ASSERT_LE(0, self->fd);
	self->args = (struct cp_args)CP_ARGS_OWN;
	self->args.pidfd = self->fd;
}

FIXTURE_TEARDOWN(other)
{
	chain_close(&self->c);
	chain_remove();
	cp_kill(self->pid);
}

#define TELL(what) do { \
	char c_ = (what); \
	ASSERT_EQ(1, write(self->to[1], &c_, 1)); \
	ASSERT_EQ(1, read(self->from[0], &c_, 1)); \
} while (0)
#define ASK()	chain_ask(&self->c, &self->args, self->mem, LEN, &self->result)

#define REFUSED(error) do { \
	errno = 0; \
	EXPECT_EQ(-1, cp_checkpoint(&self->args, sizeof(self->args))); \
	EXPECT_EQ(error, errno) TH_LOG("%m"); \
	EXPECT_OK(cp_no_file(self->pid, 0)); \
} while (0)

TEST_F(other, is_saved)
{
	memset(self->mem, 0, LEN);	/* ours is not what is asked for */
	self->args.result = (uintptr_t)&self->result;
	self->args.result_size = sizeof(self->result);
	TELL('w');
	ASSERT_EQ(0, cp_checkpoint(&self->args, sizeof(self->args))) TH_LOG("%m");
	EXPECT_EQ(self->pid, atoi(self->result.name));
	ASSERT_OK(chain_open(&self->c, self->pid, 0));
	EXPECT_EQ(self->pid, cpimg_note(self->c.img)->pid);
	EXPECT_EQ(self->pid, cpimg_note(self->c.img)->tid);
	EXPECT_OK(chain_matches_process(&self->c, self->pid));
	EXPECT_OK(cp_check_maps(self->c.img, self->pid));
	/* Our own counter has not moved. */
	ASSERT_EQ(0, cp_range(self->mem, self->mem + LEN));
	EXPECT_EQ(0, access(cp_name(getpid(), 0), F_OK));
}

TEST_F(other, what_has_changed)
{
	self->args.flags = CP_INCREMENTAL;
	ASSERT_OK(ASK());
	EXPECT_OK(chain_is(&self->c, CP_KIND_FULL, CP_REASON_FIRST));
	for (int i = 1; i < 10; i++) {
		TELL('w');
		ASSERT_OK(ASK());
		EXPECT_OK(chain_is(&self->c, CP_KIND_INCREMENTAL, CP_REASON_CHAIN));
		EXPECT_EQ(LEN / PAGE / 8, self->result.pages_data);
		EXPECT_EQ(LEN / PAGE * 7 / 8, self->result.pages_same);
		EXPECT_OK(chain_matches_process(&self->c, self->pid));
		EXPECT_EQ(i, self->result.n);
	}
	/* It goes on with the chain by itself, and we with its. */
	TELL('w');
	TELL('s');
	ASSERT_OK(chain_open(&self->c, self->pid, 10));
	EXPECT_OK(chain_is(&self->c, CP_KIND_INCREMENTAL, CP_REASON_CHAIN));
	TELL('w');
	ASSERT_OK(ASK());
	EXPECT_OK(chain_is(&self->c, CP_KIND_INCREMENTAL, CP_REASON_CHAIN));
	EXPECT_EQ(11, self->result.n);
	EXPECT_OK(chain_matches_process(&self->c, self->pid));
}

TEST_F(other, by_itself)
{
	self->args.pidfd = cp_pidfd(getpid());
	ASSERT_OK(ASK());
	EXPECT_EQ(getpid(), atoi(self->result.name));
	EXPECT_OK(chain_matches(&self->c, self->mem, LEN));
	close(self->args.pidfd);
}

TEST_F(other, has_its_registers)
{
	struct elf_prstatus st;

	TELL('w');
	ASSERT_TRUE(wait_for_state(self->pid, 'S'));	/* it waits for the next word */
	ASSERT_OK(ASK());
	EXPECT_EQ(1, self->result.threads);
	ASSERT_TRUE(cp_prstatus(self->c.img, &st));
	EXPECT_EQ(self->pid, st.pr_pid);
#ifdef __x86_64__
	{
		/* It waits in read(0-th pipe): registers as the call has them */
		struct user_regs_struct *regs = (struct user_regs_struct *)&st.pr_reg;

		EXPECT_EQ(SYS_read, regs->orig_rax);
		EXPECT_EQ(self->to[0], regs->rdi);
		EXPECT_EQ(1, regs->rdx);
	}
#endif
}

TEST_F(other, that_is_gone)
{
	siginfo_t info;

	kill(self->pid, SIGKILL);
	/* A zombie */
	ASSERT_EQ(0, waitid(P_PID, self->pid, &info, WEXITED | WNOWAIT));
	REFUSED(ESRCH);
	cp_kill(self->pid);
	REFUSED(ESRCH);
}

TEST_F(other, that_is_a_kernel_thread)
{
	self->args.pidfd = cp_pidfd(2);
	ASSERT_LE(0, self->args.pidfd);
	REFUSED(ESRCH);
	close(self->args.pidfd);
}

/* With the pidfd, but without the rights */
static void from_outside(void *arg)
{
	struct cp_args *args = arg;

	if (cp_set_user(1000, 1000, 1000))
		_exit(200);
	errno = 0;
	_exit(cp_checkpoint(args, sizeof(*args)) ? errno : 0);
}

TEST_F(other, that_is_somebody_else_s)
{
	EXPECT_EQ(EPERM, WEXITSTATUS(cp_run(from_outside, &self->args)));
	EXPECT_OK(cp_no_file(self->pid, 0));
	TELL('u');
	EXPECT_EQ(EPERM, WEXITSTATUS(cp_run(from_outside, &self->args)));
	EXPECT_OK(cp_no_file(self->pid, 0));
	/* Root may. */
	ASSERT_OK(ASK());
	EXPECT_OK(chain_matches_process(&self->c, self->pid));
}

/* Neither builds on images that it could not read, or that the other could change. */
TEST_F(other, has_no_chain_with_another_user)
{
	TELL('u');
	self->args.flags = CP_INCREMENTAL;
	ASSERT_OK(ASK());
	ASSERT_OK(ASK());
	EXPECT_OK(chain_is(&self->c, CP_KIND_INCREMENTAL, CP_REASON_CHAIN));
	TELL('s');
	ASSERT_OK(chain_open(&self->c, self->pid, 2));
	EXPECT_OK(chain_is(&self->c, CP_KIND_FULL, CP_REASON_OTHER_USER));
	ASSERT_OK(ASK());
	EXPECT_OK(chain_is(&self->c, CP_KIND_FULL, CP_REASON_OTHER_USER));
	EXPECT_OK(chain_matches_process(&self->c, self->pid));
}

static void *outlive(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

/* Its threads run on, but there is nobody whose name and counter it would have. */
TEST(other_whose_first_thread_is_gone)
{
	struct cp_args args = CP_ARGS_OWN;
	pthread_t t;
	int pid;

	NEEDS_CP_CHECKPOINT();
	NEEDS_CALL(pidfd_open);
	pid = fork();
	if (!pid) {
		pthread_create(&t, NULL, outlive, NULL);
		pthread_exit(NULL);
	}
	ASSERT_TRUE(wait_for_state(pid, 'Z'));
	args.pidfd = cp_pidfd(pid);
	EXPECT_EQ(-1, cp_checkpoint(&args, sizeof(args)));
	EXPECT_EQ(ESRCH, errno) TH_LOG("%m");
	cp_kill(pid);
}

static void of_a_twin(void *arg)
{
	struct cp_args args = *(struct cp_args *)arg;
	int pid, pipes[2];
	char c;

	if (cp_set_user(1000, 1000, 1000) || pipe(pipes))
		_exit(200);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_DUMPABLE, args.flags ? 1 : 0, 0, 0, 0);
		args.flags = 0;
		write(pipes[1], "x", 1);
		for (;;)
			pause();
	}
	read(pipes[0], &c, 1);
	c = args.flags;
	args.flags = 0;
	args.pidfd = cp_pidfd(pid);
	errno = 0;
	c = cp_checkpoint(&args, sizeof(args)) ? errno : 0;
	cp_kill(pid);
	_exit(c);
}

TEST_F(other, that_does_not_want_to_be_dumped)
{
	struct cp_args args = CP_ARGS_OWN;

	EXPECT_EQ(EPERM, WEXITSTATUS(cp_run(of_a_twin, &args)));
	/* And one that does, of the same user */
	args.flags = 1;
	EXPECT_EQ(0, WEXITSTATUS(cp_run(of_a_twin, &args)));
}

/* By a caller of 64: registers, addresses and the file are those of its own kind. */
TEST(other_of_32_bits)
{
	const char *const argv[] = { cp_helper("standstill_32"), "asm", "all", NULL };
	struct cp_args args = CP_ARGS_OWN;
	struct cpimg_elfnote note;
	struct cp_result r;
	struct chain c = { 0 };
	int pid, word;

	NEEDS_CP_CHECKPOINT();
	NEEDS_CALL(pidfd_open);
	pid = cp_exec_stopped(argv);
	if (pid < 0)
		SKIP(return, "no programs of 32 bits");
	args.pidfd = cp_pidfd(pid);
	args.result = (uintptr_t)&r;
	args.result_size = sizeof(r);
	for (int i = 0; i < 2; i++) {
		args.flags = i ? CP_MOMENT : 0;
		ASSERT_EQ(0, cp_checkpoint(&args, sizeof(args))) TH_LOG("%m");
		ASSERT_OK(chain_open(&c, pid, r.n));
		EXPECT_EQ(32, cpimg_bits(c.img));
		EXPECT_EQ(1, r.threads);
		EXPECT_EQ(args.flags, r.flags & CP_MOMENT);
		EXPECT_OK(chain_matches_process(&c, pid));
		ASSERT_TRUE(cpimg_find_note(c.img, "CORE", NT_PRSTATUS, &note));
		/* struct elf_prstatus of i386, with the pid at 24 */
		EXPECT_EQ(144, note.size);
		EXPECT_EQ(0, memcmp((const char *)note.desc + 24, &pid, sizeof(pid)));
		/* It is in pause(): orig_eax is the twelfth register, pr_fpvalid the last word. */
		memcpy(&word, (const char *)note.desc + 72 + 11 * 4, sizeof(word));
		EXPECT_EQ(29, word);
		memcpy(&word, (const char *)note.desc + 140, sizeof(word));
		EXPECT_EQ(1, word);
	}
	chain_close(&c);
	chain_remove();
	cp_kill(pid);
}

static volatile bool stop;

static void *save_on(void *arg)
{
	struct cp_args args = *(struct cp_args *)arg;
	long good = 0;

	while (!stop) {
		if (!cp_checkpoint(&args, sizeof(args)))
			good++;
		else if (errno != ESRCH && errno != EPERM && errno != ENOENT)
			return (void *)(long)-errno;
	}
	return (void *)good;
}

/* Killed at any moment of a call */
TEST(killed_meanwhile)
{
	long saved = 0, other = 0;

	NEEDS_CP_CHECKPOINT();
	NEEDS_CALL(pidfd_open);
	for (int i = 0; i < (cp_debug_kernel() ? 20 : 200); i++) {
		struct cp_args args = CP_ARGS_OWN;
		pthread_t t;
		void *ret;
		int pid = fork();

		if (!pid) {
			char *mem = cp_map(512 * PAGE);

			for (;;)
				cp_fill(mem, 512 * PAGE, 1);
		}
		args.flags = CP_INCREMENTAL | (i % 2 ? CP_MOMENT : 0);
		args.pidfd = cp_pidfd(pid);
		stop = false;
		ASSERT_EQ(0, pthread_create(&t, NULL, save_on, &args));
		usleep(1000 + i * (cp_debug_kernel() ? 20000 : 100));
		cp_kill(pid);
		stop = true;
		pthread_join(t, &ret);
		close(args.pidfd);
		EXPECT_LE(0, (long)ret) TH_LOG("%s", strerror(-(long)ret));
		if ((long)ret > 0)
			saved++;
		else
			other++;
		/* Each file that is there is an image. */
		for (int n = 0; n < 1000; n++) {
			struct chain c = { 0 };

			if (access(cp_name(pid, n), F_OK))
				break;
			EXPECT_OK(chain_open(&c, pid, n));
			chain_close(&c);
		}
		chain_remove();
	}
	TH_LOG("%ld were saved before they were killed, %ld not", saved, other);
	EXPECT_LT(0, saved);
}

TEST_HARNESS_MAIN
