// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - restarting: the new process, and the system calls that it makes
 *
 * It is a child that its parent traces. In memory that both share lie a few instructions,
 * which go through an array of system calls till one fails, and trap. Nothing of that
 * remains in the process in the end.
 */
#ifdef __x86_64__
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "restart.h"

/* Of linux/ptrace.h, which does not go with libc's. */
#define TRACE_SEIZE		0x4206
#define TRACE_INTERRUPT		0x4207
#define EVENT_CLONE		3
#define EVENT_STOP		128
#define OPTIONS			(0x1 | 0x8 | 0x100000) /* SYSGOOD, CLONE, EXITKILL */

/* rbx: struct call. All that a call changes is rax, rcx and r11. */
asm(".pushsection .rodata\n"
	"cpimg_remote_code:\n"
	"1:	mov	(%rbx), %rax\n"
	"	test	%rax, %rax\n"
	"	js	2f\n"
	"	mov	8(%rbx), %rdi\n"
	"	mov	16(%rbx), %rsi\n"
	"	mov	24(%rbx), %rdx\n"
	"	mov	32(%rbx), %r10\n"
	"	mov	40(%rbx), %r8\n"
	"	mov	48(%rbx), %r9\n"
	"	syscall\n"
	"	mov	%rax, 56(%rbx)\n"
	"	cmp	$-4095, %rax\n"
	"	jb	3f\n"
	"	cmpq	$0, 64(%rbx)\n"
	"	je	2f\n"
	"3:	add	$72, %rbx\n"
	"	jmp	1b\n"
	"2:	int3\n"
	"cpimg_remote_syscall:\n"
	"	syscall\n"
	"	int3\n"
	"cpimg_remote_code_end:\n"
	".popsection\n");

_Static_assert(sizeof(struct call) == 72 && offsetof(struct call, ret) == 56 &&
	       offsetof(struct call, may_fail) == 64, "as the code has it");

#define CALLS_AT	(2 * PAGE_BYTES)

_Static_assert(CALLS_AT + (MAX_CALLS + 1) * sizeof(struct call) <= DATA_AT, "room");

/* Memory at one address here and there, where neither this nor the image has any. */
static int map_scratch(struct restart *r)
{
	struct remote *m = &r->remote;
	void *mem = MAP_FAILED;
	uint64_t at;

	for (unsigned int n = 0; mem == MAP_FAILED && n < 64; n++) {
		at = cpimg_restart_gap(r, SPARE_SIZE + SCRATCH_SIZE, n);
		if (!at)
			break;
		mem = mmap((void *)(uintptr_t)at, SPARE_SIZE + SCRATCH_SIZE,
			   PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS |
			   MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
		if (mem != MAP_FAILED && mem != (void *)(uintptr_t)at) {
			munmap(mem, SPARE_SIZE + SCRATCH_SIZE);
			mem = MAP_FAILED;
		}
	}
	if (mem == MAP_FAILED)
		return restart_fail(r, CPIMG_ERR_SYS, "no place for %lu bytes of scratch memory",
				    SPARE_SIZE + SCRATCH_SIZE);
	/* What lies there in the parent is unmapped, in the child it is to be free. */
	munmap(mem, SPARE_SIZE);
	m->spare = at;
	m->scratch = (unsigned char *)mem + SPARE_SIZE;
	m->calls = (struct call *)(m->scratch + CALLS_AT);
	m->data = m->scratch + DATA_AT;
	memcpy(m->scratch, cpimg_remote_code, cpimg_remote_code_end - cpimg_remote_code);
	if (mprotect(m->scratch, PAGE_BYTES, PROT_READ | PROT_EXEC))
		return restart_fail(r, CPIMG_ERR_SYS, "mprotect of scratch memory: %s",
				    strerror(errno));
	return 0;
}

_Noreturn static void wait_in_child(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(1);
	for (;;)
		syscall(SYS_pause);
}

static int make_child(struct restart *r)
{
	int32_t tid = r->process.pid;
	struct clone args = {
		.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&tid, .set_tid_size = 1,
	};
	sigset_t all, old;
	pid_t parent = getpid();
	long pid;
	int saved;

	/* SIGTRAP is for its parent: were it blocked, the kernel would unblock it. */
	sigfillset(&all);
	sigdelset(&all, SIGTRAP);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (!pid)
		wait_in_child(parent);
	saved = errno;
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid > 0) {
		r->remote.pid = pid;
		r->remote.turn = pid;
		return 0;
	}
	if (saved == EEXIST)
		return restart_fail(r, CPIMG_ERR_PROCESS, "process id %d is taken", tid);
	if (saved == EPERM)
		return restart_fail(r, CPIMG_ERR_PROCESS,
			"process id %d: not permitted: it takes a pid namespace of one's own, or CAP_CHECKPOINT_RESTORE",
			tid);
	if (saved == EINVAL)
		return restart_fail(r, CPIMG_ERR_PROCESS,
			"process id %d: is more than kernel.pid_max here, or no process 1 is there yet",
			tid);
	return restart_fail(r, CPIMG_ERR_SYS, "clone3: process id %d: %s", tid, strerror(saved));
}

static int ended(struct restart *r, const char *what, int status)
{
	if (WIFSIGNALED(status))
		return restart_fail(r, CPIMG_ERR_SYS, "%s: it was killed by signal %d", what,
				    WTERMSIG(status));
	if (WIFEXITED(status))
		return restart_fail(r, CPIMG_ERR_SYS, "%s: it ended with %d", what,
				    WEXITSTATUS(status));
	return restart_fail(r, CPIMG_ERR_SYS, "%s: it got signal %d", what, WSTOPSIG(status));
}

static int wait_for(struct restart *r, pid_t tid, const char *what, int *status)
{
	while (waitpid(tid, status, __WALL) < 0) {
		if (errno != EINTR)
			return restart_fail(r, CPIMG_ERR_SYS, "%s: waiting for thread %d: %s",
					    what, tid, strerror(errno));
	}
	return 0;
}

/* ptrace(), and what is to be said of it if it fails. */
int cpimg_remote_trace(struct restart *r, const char *what, int request, pid_t tid,
		       uint64_t addr, uint64_t data)
{
	if (!ptrace(request, tid, (void *)(uintptr_t)addr, (void *)(uintptr_t)data))
		return 0;
	return restart_fail(r, CPIMG_ERR_SYS, "%s: thread %d: %s", what, tid, strerror(errno));
}

static bool is_event(int status, int event)
{
	return WIFSTOPPED(status) && status >> 16 == event;
}

static int seize(struct restart *r)
{
	struct remote *m = &r->remote;
	int status;

	if (cpimg_remote_trace(r, "PTRACE_SEIZE", TRACE_SEIZE, m->pid, 0, OPTIONS) ||
	    cpimg_remote_trace(r, "PTRACE_INTERRUPT", TRACE_INTERRUPT, m->pid, 0, 0) ||
	    wait_for(r, m->pid, "stopping the new process", &status))
		return -1;
	if (!is_event(status, EVENT_STOP))
		return ended(r, "stopping the new process", status);
	return cpimg_remote_trace(r, "PTRACE_GETREGS", PTRACE_GETREGS, m->pid, 0,
				  (uintptr_t)&m->regs);
}

/*
 * cpimg_remote_start() - make the new process, with the id of the old one
 * @r: the restart
 *
 * All of the memory and the files of its parent are still there, and all signals but
 * SIGTRAP blocked.
 */
int cpimg_remote_start(struct restart *r)
{
	r->remote.purpose = calloc(MAX_CALLS, sizeof(*r->remote.purpose));
	if (!r->remote.purpose)
		return restart_fail(r, CPIMG_ERR_SYS, "no memory");
	return map_scratch(r) || make_child(r) || seize(r) ? -1 : 0;
}

static void reap(pid_t tid)
{
	int status;

	for (;;) {
		if (waitpid(tid, &status, __WALL) < 0) {
			if (errno != EINTR)
				return;
		} else if (!WIFSTOPPED(status)) {
			return;
		}
	}
}

/* The process goes its own way, or ends. */
void cpimg_remote_end(struct restart *r, bool kill_it)
{
	struct remote *m = &r->remote;

	if (kill_it && m->pid) {
		kill(m->pid, SIGKILL);
		for (size_t i = 0; r->made && i < r->threads.nr; i++) {
			if (i != r->leader)
				reap(THREADS(r)[i].tid);
		}
		reap(m->pid);
	}
	if (m->scratch)
		munmap(m->scratch, SCRATCH_SIZE);
	free(m->purpose);
}

/* Is there room for so many calls more, and for so much of what they point to? */
int cpimg_remote_room(struct restart *r, unsigned int calls, size_t bytes)
{
	struct remote *m = &r->remote;

	if (m->nr_calls + calls <= MAX_CALLS && m->data_used + bytes + 16 * calls <= DATA_SIZE)
		return 0;
	if (cpimg_remote_run(r))
		return -1;
	if (bytes + 16 * calls <= DATA_SIZE)
		return 0;
	return restart_fail(r, CPIMG_ERR_SYS, "%zu bytes for a call: more than there is room for",
			    bytes);
}

/*
 * cpimg_remote_data() - what a call points to
 * @r: the restart
 * @from: it; NULL for zeros
 * @size: its size, for which there is room
 *
 * Return: its address, here and there, till the calls are made.
 */
uint64_t cpimg_remote_data(struct restart *r, const void *from, size_t size)
{
	struct remote *m = &r->remote;
	unsigned char *to = m->data + m->data_used;

	if (from)
		memcpy(to, from, size);
	else
		memset(to, 0, size);
	m->data_used += (size + 15) & ~(size_t)15;
	return (uintptr_t)to;
}

int cpimg_remote_add(struct restart *r, struct purpose purpose, bool may_fail, long nr,
		     const uint64_t *args)
{
	struct remote *m = &r->remote;
	struct call *c;

	if (m->nr_calls == MAX_CALLS && cpimg_remote_run(r))
		return -1;
	m->purpose[m->nr_calls] = purpose;
	c = &m->calls[m->nr_calls++];
	*c = (struct call){ .nr = nr, .may_fail = may_fail };
	memcpy(c->arg, args, sizeof(c->arg));
	return 0;
}

static int call_failed(struct restart *r, struct purpose p, const uint64_t *arg, int64_t ret)
{
	const char *why = strerror(-(int)ret);

	if (p.name)
		return restart_fail(r, CPIMG_ERR_SYS, "%s of %.200s: %s", p.what, p.name, why);
	return restart_fail(r, CPIMG_ERR_SYS, "%s(0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64 "): %s",
			    p.what, arg[0], arg[1], arg[2], why);
}

static int resume(struct restart *r, const char *what, int request, int *status)
{
	pid_t tid = r->remote.turn;

	for (;;) {
		if (cpimg_remote_trace(r, what, request, tid, 0, 0) ||
		    wait_for(r, tid, what, status))
			return -1;
		/* A thread that it has made; or somebody stops the group. */
		if (!is_event(*status, EVENT_CLONE) && !is_event(*status, EVENT_STOP))
			return 0;
	}
}

/* Make the calls that are queued; the first that fails, and may not, is the last. */
int cpimg_remote_run(struct restart *r)
{
	struct remote *m = &r->remote;
	struct user_regs_struct regs = m->regs;
	unsigned int nr = m->nr_calls, at;
	int status;

	m->nr_calls = 0;
	m->data_used = 0;
	if (!nr)
		return 0;
	m->calls[nr].nr = -1;
	regs.rip = (uintptr_t)m->scratch;
	regs.rbx = (uintptr_t)m->calls;
	regs.rsp = (uintptr_t)m->scratch + CALLS_AT;
	regs.orig_rax = -1;
	if (cpimg_remote_trace(r, "PTRACE_SETREGS", PTRACE_SETREGS, m->turn, 0, (uintptr_t)&regs) ||
	    resume(r, m->purpose[0].what, PTRACE_CONT, &status))
		return -1;
	if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
		return ended(r, m->purpose[0].what, status);
	if (cpimg_remote_trace(r, "PTRACE_GETREGS", PTRACE_GETREGS, m->turn, 0, (uintptr_t)&regs))
		return -1;
	at = (regs.rbx - (uintptr_t)m->calls) / sizeof(struct call);
	if (at >= nr)
		return 0;
	return call_failed(r, m->purpose[at], m->calls[at].arg, m->calls[at].ret);
}

/* A call at once, after those that are queued. @ret: what it returned; may be NULL. */
int cpimg_remote_call(struct restart *r, struct purpose purpose, long nr,
		      const uint64_t *args, int64_t *ret)
{
	unsigned int last;

	if (cpimg_remote_add(r, purpose, false, nr, args))
		return -1;
	last = r->remote.nr_calls - 1;
	if (cpimg_remote_run(r))
		return -1;
	if (ret)
		*ret = r->remote.calls[last].ret;
	return 0;
}

/*
 * A call without the code that traps after it: the thread stops as it leaves the kernel,
 * which it may do to anywhere.
 */
int cpimg_remote_step(struct restart *r, struct purpose purpose, long nr,
		      const uint64_t *args)
{
	struct remote *m = &r->remote;
	struct user_regs_struct regs = m->regs;
	int status;

	m->data_used = 0;
	regs.rip = (uintptr_t)m->scratch + (cpimg_remote_syscall - cpimg_remote_code);
	regs.rsp = (uintptr_t)m->scratch + CALLS_AT;
	regs.orig_rax = -1;
	regs.rax = nr;
	regs.rdi = args[0];
	regs.rsi = args[1];
	regs.rdx = args[2];
	regs.r10 = args[3];
	regs.r8 = args[4];
	regs.r9 = args[5];
	if (cpimg_remote_trace(r, "PTRACE_SETREGS", PTRACE_SETREGS, m->turn, 0, (uintptr_t)&regs))
		return -1;
	/* on its way in, and on its way out */
	for (int i = 0; i < 2; i++) {
		if (resume(r, purpose.what, PTRACE_SYSCALL, &status))
			return -1;
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80))
			return ended(r, purpose.what, status);
	}
	if (cpimg_remote_trace(r, "PTRACE_GETREGS", PTRACE_GETREGS, m->turn, 0, (uintptr_t)&regs))
		return -1;
	if ((int64_t)regs.rax < 0 && (int64_t)regs.rax >= -4095)
		return call_failed(r, purpose, args, regs.rax);
	return 0;
}

/* A thread that was made stops before its first instruction. */
int cpimg_remote_wait_new(struct restart *r, pid_t tid)
{
	int status;

	if (wait_for(r, tid, "a new thread", &status))
		return -1;
	return is_event(status, EVENT_STOP) ? 0 : ended(r, "a new thread", status);
}

/* Read memory of the process, whatever its protection. */
int cpimg_remote_peek(struct restart *r, uint64_t addr, void *to, size_t size)
{
	for (size_t at = 0; at < size; at++) {
		uint64_t from = addr + at;
		long word;

		/* A word that is aligned is in one page. */
		errno = 0;
		word = ptrace(PTRACE_PEEKDATA, r->remote.turn, (void *)(uintptr_t)(from & ~7UL), 0);
		if (errno)
			return -1;
		((unsigned char *)to)[at] = (unsigned long)word >> from % 8 * 8;
	}
	return 0;
}

int cpimg_remote_poke(struct restart *r, uint64_t addr, uint64_t value)
{
	return cpimg_remote_trace(r, "PTRACE_POKEDATA", PTRACE_POKEDATA, r->remote.turn, addr,
				  value);
}
#endif /* __x86_64__ */
