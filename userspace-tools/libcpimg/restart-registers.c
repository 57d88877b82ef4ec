// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - restarting: registers, and the last steps, after which it runs. They are set
 * by its parent, to the bit: nothing that the child executes has to set them.
 */
#ifdef __x86_64__
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "restart.h"

#define TRACE_SETSIGMASK	0x420b
#define TRACE_SETREGSET		0x4205
#define TRACE_GETREGSET		0x4204

/* What system calls return that are to begin again, or, the last, to go on. */
#define RESTARTSYS		512
#define RESTART_BLOCK		516

static bool is_syscall(struct restart *r, uint64_t ip)
{
	unsigned char code[2];

	return !cpimg_remote_peek(r, ip, code, sizeof(code)) && code[0] == 0x0f && code[1] == 0x05;
}

/*
 * A call that was left half done is to begin again, as if a signal had come that needs
 * nothing done. What only the kernel knew of it, how long it has slept, is gone: it sleeps
 * whole again.
 */
static void fix_call(struct restart *r, const struct cp_thread_state *t,
		     struct user_regs_struct *g)
{
	int64_t ret = g->rax, nr = g->orig_rax;

	if (t->flags & CP_THREAD_CALLER) {
		g->rax = 1;
	} else if (nr >= 0 && ret <= -RESTARTSYS && ret >= -RESTART_BLOCK && ret != -515) {
		if (nr == SYS_restart_syscall) {
			g->rax = -EINTR;
		} else {
			g->rax = nr;
			g->rip -= 2;
		}
	} else if (nr >= 0 && ret == SYS_restart_syscall && is_syscall(r, g->rip)) {
		if (nr == SYS_restart_syscall) {
			/* of a call that was interrupted twice not even the number is known */
			g->rip += 2;
			g->rax = -EINTR;
		} else {
			g->rax = nr;
		}
	}
	g->orig_rax = -1;
}

/* A thread in a critical section of rseq goes to where that says, as after a preemption. */
static int fix_rseq(struct restart *r, const struct cp_thread_state *t,
		    struct user_regs_struct *g)
{
	struct {
		uint32_t	version, flags;
		uint64_t	start, length, abort;
	} cs;
	uint64_t at;
	uint32_t sig;

	if (!t->rseq)
		return 0;
	/* rseq_cs is behind two numbers of 32 bits */
	if (cpimg_remote_peek(r, t->rseq + 8, &at, sizeof(at)))
		return restart_fail(r, CPIMG_ERR_FORMAT,
				    "thread %u: its rseq area, 0x%" PRIx64 ", is not there",
				    t->tid, (uint64_t)t->rseq);
	if (!at)
		return 0;
	if (cpimg_remote_peek(r, at, &cs, sizeof(cs)))
		return restart_fail(r, CPIMG_ERR_FORMAT,
				    "thread %u: rseq_cs is 0x%" PRIx64 ": nothing is there",
				    t->tid, at);
	if (g->rip - cs.start < cs.length) {
		if (cpimg_remote_peek(r, cs.abort - sizeof(sig), &sig, sizeof(sig)) ||
		    sig != t->rseq_sig)
			return restart_fail(r, CPIMG_ERR_FORMAT,
				"thread %u: no signature before the abort address 0x%" PRIx64 " of its rseq section",
				t->tid, cs.abort);
		g->rip = cs.abort;
	}
	return cpimg_remote_poke(r, t->rseq + 8, 0);
}

/* Once memory is there: what registers are to be, so that the kernel goes on with them. */
int cpimg_restart_fix(struct restart *r)
{
	for (size_t i = 0; i < r->threads.nr; i++) {
		fix_call(r, &THREADS(r)[i], &r->regs[i].general);
		if (fix_rseq(r, &THREADS(r)[i], &r->regs[i].general))
			return -1;
	}
	return 0;
}

static int block_all(struct restart *r, uint32_t tid)
{
	uint64_t all = ~0ULL;

	return cpimg_remote_trace(r, "PTRACE_SETSIGMASK", TRACE_SETSIGMASK, tid,
				  sizeof(all), (uintptr_t)&all);
}

static int set_general(struct restart *r, size_t i)
{
	return cpimg_remote_trace(r, "PTRACE_SETREGS", PTRACE_SETREGS, THREADS(r)[i].tid, 0,
				  (uintptr_t)&r->regs[i].general);
}

static int set_xstate(struct restart *r, size_t i)
{
	struct iovec iov = { (void *)r->regs[i].xstate, r->regs[i].xstate_size };
	unsigned char here[16384];
	struct iovec now = { here, sizeof(here) };
	uint32_t tid = THREADS(r)[i].tid;

	if (!ptrace(TRACE_GETREGSET, tid, (void *)NT_X86_XSTATE, &now) &&
	    now.iov_len != iov.iov_len)
		return restart_fail(r, CPIMG_ERR_PROCESS,
			"thread %u: NT_X86_XSTATE has %zu bytes, and here %zu: another processor",
			tid, iov.iov_len, now.iov_len);
	return cpimg_remote_trace(r, "PTRACE_SETREGSET of NT_X86_XSTATE", TRACE_SETREGSET, tid,
				  NT_X86_XSTATE, (uintptr_t)&iov);
}

/* SIGTRAP is no longer needed from here on: its action, and what of it is pending. */
static int set_traps(struct restart *r)
{
	const struct cp_action *action = r->actions.entry;
	const struct cp_pending *p = r->pending.entry;
	uint64_t at = cpimg_remote_data(r, &action[SIGTRAP - 1], sizeof(*action));

	if (STEP(r, "rt_sigaction", SYS_rt_sigaction, SIGTRAP, at, 0, 8))
		return -1;
	for (size_t i = 0; i < r->pending.nr; i++, p++) {
		if (p->signo != SIGTRAP)
			continue;
		at = cpimg_remote_data(r, p->info, sizeof(p->info));
		r->remote.turn = p->tid ? p->tid : r->process.pid;
		if (p->tid ? STEP(r, "rt_tgsigqueueinfo", SYS_rt_tgsigqueueinfo, r->process.pid,
				  p->tid, SIGTRAP, at) :
			     STEP(r, "rt_sigqueueinfo", SYS_rt_sigqueueinfo, r->process.pid,
				  SIGTRAP, at))
			return -1;
	}
	r->remote.turn = r->remote.pid;
	return 0;
}

/* All that could still fail, but for what cannot be undone. */
int cpimg_restart_ready(struct restart *r)
{
	for (size_t i = 0; i < r->threads.nr; i++) {
		if (block_all(r, THREADS(r)[i].tid))
			return -1;
	}
	if (set_traps(r))
		return -1;
	for (size_t i = 0; i < r->threads.nr; i++) {
		if (set_xstate(r, i) || set_general(r, i))
			return -1;
	}
	return 0;
}

/*
 * The first thread unmaps what the calls were made from, and has its registers set as it
 * comes out of that. Then they are let go.
 */
int cpimg_restart_go(struct restart *r)
{
	if (STEP(r, "munmap", SYS_munmap, (uintptr_t)r->remote.scratch, SCRATCH_SIZE) ||
	    set_general(r, r->leader))
		return -1;
	for (size_t i = 0; i < r->threads.nr; i++) {
		const struct cp_thread_state *t = &THREADS(r)[i];

		if (cpimg_remote_trace(r, "PTRACE_SETSIGMASK", TRACE_SETSIGMASK, t->tid,
				       sizeof(t->blocked), (uintptr_t)&t->blocked))
			return -1;
	}
	if (r->process.flags & CP_PROCESS_STOPPED)
		kill(r->remote.pid, SIGSTOP);
	for (size_t i = 0; i < r->threads.nr; i++) {
		if (cpimg_remote_trace(r, "PTRACE_DETACH", PTRACE_DETACH, THREADS(r)[i].tid, 0, 0))
			return -1;
	}
	return 0;
}
#endif /* __x86_64__ */
