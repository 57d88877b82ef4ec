// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - restarting: threads, and what each has besides registers; limits.
 */
#ifdef __x86_64__
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "restart.h"

#define ROBUST_SIZE		24	/* of struct robust_list_head */
#define WHO_PROCESS		1	/* IOPRIO_WHO_PROCESS */
#define RESET_ON_FORK		1	/* SCHED_FLAG_RESET_ON_FORK */
#define AMBIENT			47	/* PR_CAP_AMBIENT */
#define AMBIENT_RAISE		2
#define AMBIENT_CLEAR_ALL	4

/* As sched_setattr() has them: not all libcs do. */
struct attributes {
	uint32_t	size;
	uint32_t	policy;
	uint64_t	flags;
	int32_t		nice;
	uint32_t	priority;
	uint64_t	runtime, deadline, period;
};

static int make_threads(struct restart *r)
{
	for (size_t i = 0; i < r->threads.nr; i++) {
		int32_t tid = THREADS(r)[i].tid;
		struct clone args = {
			.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
				 CLONE_THREAD | CLONE_SYSVSEM,
			.set_tid_size = 1,
		};
		struct cpimg_error *err = r->err;
		int64_t ret;

		if (i == r->leader)
			continue;
		if (cpimg_remote_room(r, 1, sizeof(tid) + sizeof(args) + 16))
			return -1;
		args.set_tid = cpimg_remote_data(r, &tid, sizeof(tid));
		if (CALL(r, "clone3", "a thread with the id that it had", &ret, SYS_clone3,
			 cpimg_remote_data(r, &args, sizeof(args)), sizeof(args)))
			return restart_fail(r, CPIMG_ERR_PROCESS, "thread id %d: %s", tid, err ?
				strrchr(err->text, ':') + 2 : "");
		r->made++;
		if (cpimg_remote_wait_new(r, tid))
			return -1;
	}
	return 0;
}

static int set_areas(struct restart *r, const struct cp_thread_state *t)
{
	stack_t stack = {
		.ss_sp = (void *)(uintptr_t)t->sas_sp, .ss_size = t->sas_size,
		.ss_flags = (int)(t->sas_size ? t->sas_flags & ~SS_ONSTACK : SS_DISABLE),
	};

	if (cpimg_remote_room(r, 4, sizeof(stack)) ||
	    ADD(r, "set_tid_address", SYS_set_tid_address, t->clear_child_tid) ||
	    ADD(r, "sigaltstack", SYS_sigaltstack, cpimg_remote_data(r, &stack, sizeof(stack)), 0))
		return -1;
	if (t->robust_list &&
	    ADD(r, "set_robust_list", SYS_set_robust_list, t->robust_list, ROBUST_SIZE))
		return -1;
	return t->rseq ? ADD(r, "rseq", SYS_rseq, t->rseq, t->rseq_len, 0, t->rseq_sig) : 0;
}

/* A wish is that it is as nice as it was: whoever restarts it may have to be nicer. */
static int set_scheduling(struct restart *r, const struct cp_thread_state *t)
{
	static const uint8_t anywhere[CP_CPUS_SIZE];
	struct attributes a = {
		.size = sizeof(a), .policy = t->policy, .nice = t->nice,
		.priority = t->rt_priority,
		.flags = t->flags & CP_THREAD_RESET_ON_FORK ? RESET_ON_FORK : 0,
	};
	bool real_time = t->policy == SCHED_FIFO || t->policy == SCHED_RR;

	if (cpimg_remote_room(r, 3, sizeof(a) + CP_CPUS_SIZE) ||
	    cpimg_remote_add(r, (struct purpose){ "sched_setattr", NULL }, !real_time,
			     SYS_sched_setattr, ARGS(0, cpimg_remote_data(r, &a, sizeof(a)), 0)))
		return -1;
	/* Processors that are not here do not count, if one is that it may run on. */
	if (memcmp(t->cpus, anywhere, sizeof(anywhere)) &&
	    ADD(r, "sched_setaffinity", SYS_sched_setaffinity, 0, CP_CPUS_SIZE,
		cpimg_remote_data(r, t->cpus, CP_CPUS_SIZE)))
		return -1;
	return t->ioprio ? ADD(r, "ioprio_set", SYS_ioprio_set, WHO_PROCESS, 0, t->ioprio) : 0;
}

static int set_thread(struct restart *r, const struct cp_thread_state *t)
{
	if (set_areas(r, t) || set_scheduling(r, t) ||
	    cpimg_remote_room(r, 8, sizeof(t->comm)) ||
	    ADD(r, "PR_SET_NAME", SYS_prctl, PR_SET_NAME,
		cpimg_remote_data(r, t->comm, sizeof(t->comm))) ||
	    ADD(r, "personality", SYS_personality, t->personality))
		return -1;
	if (t->timer_slack_ns &&
	    ADD(r, "PR_SET_TIMERSLACK", SYS_prctl, PR_SET_TIMERSLACK, t->timer_slack_ns))
		return -1;
	if (t->flags & CP_THREAD_NO_NEW_PRIVS &&
	    ADD(r, "PR_SET_NO_NEW_PRIVS", SYS_prctl, PR_SET_NO_NEW_PRIVS, 1))
		return -1;
	return cpimg_restart_pending(r, t) || cpimg_remote_run(r) ? -1 : 0;
}

/* All threads are there, and have all but registers and rights. */
int cpimg_restart_threads(struct restart *r)
{
	if (make_threads(r))
		return -1;
	for (size_t i = 0; i < r->threads.nr; i++) {
		r->remote.turn = THREADS(r)[i].tid;
		if (set_thread(r, &THREADS(r)[i]))
			return -1;
	}
	r->remote.turn = r->remote.pid;
	return 0;
}

/* What it may do is what it might then: nothing more is needed of what its parent may. */
static int set_rights(struct restart *r, const struct cp_thread_state *t)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].effective = t->cap_effective >> 32 * i;
		data[i].permitted = t->cap_permitted >> 32 * i;
		data[i].inheritable = t->cap_inheritable >> 32 * i;
	}
	if (cpimg_remote_room(r, 200, sizeof(head) + sizeof(data)))
		return -1;
	for (int cap = 0; cap < 64; cap++) {
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 &&
		    !(t->cap_bounding >> cap & 1) &&
		    ADD(r, "PR_CAPBSET_DROP", SYS_prctl, PR_CAPBSET_DROP, cap))
			return -1;
	}
	if (t->securebits != (unsigned int)prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) &&
	    ADD(r, "PR_SET_SECUREBITS", SYS_prctl, PR_SET_SECUREBITS, t->securebits))
		return -1;
	if (ADD(r, "PR_CAP_AMBIENT_CLEAR_ALL", SYS_prctl, AMBIENT, AMBIENT_CLEAR_ALL) ||
	    ADD(r, "capset", SYS_capset, cpimg_remote_data(r, &head, sizeof(head)),
		cpimg_remote_data(r, data, sizeof(data))))
		return -1;
	for (int cap = 0; cap < 64; cap++) {
		if (t->cap_ambient >> cap & 1 &&
		    ADD(r, "PR_CAP_AMBIENT_RAISE", SYS_prctl, AMBIENT, AMBIENT_RAISE, cap))
			return -1;
	}
	/* It is the death of the parent's thread; a change of rights would clear it. */
	return ADD(r, "PR_SET_PDEATHSIG", SYS_prctl, PR_SET_PDEATHSIG, t->pdeath_signal) ||
	       cpimg_remote_run(r) ? -1 : 0;
}

/* The rights of all threads: nothing that takes any comes after that. */
int cpimg_restart_rights(struct restart *r)
{
	const struct cp_process *p = &r->process;

	for (size_t i = 0; i < r->threads.nr; i++) {
		r->remote.turn = THREADS(r)[i].tid;
		if (set_rights(r, &THREADS(r)[i]))
			return -1;
	}
	r->remote.turn = r->remote.pid;
	/* 2 cannot be asked for: it means less than 1, as 0 does. */
	if (ADD(r, "PR_SET_DUMPABLE", SYS_prctl, PR_SET_DUMPABLE, p->dumpable == 1) ||
	    ADD(r, "PR_SET_CHILD_SUBREAPER", SYS_prctl, PR_SET_CHILD_SUBREAPER,
		!!(p->flags & CP_PROCESS_SUBREAPER)))
		return -1;
	return cpimg_remote_run(r);
}

static int lower_limit(struct restart *r, int i, struct cp_limit *to)
{
	struct rlimit here;

	if (!(r->flags & CP_RESTART_LIMITS))
		return 0;
	if (getrlimit(i, &here))
		return restart_fail(r, CPIMG_ERR_SYS, "limit %d: %s", i, strerror(errno));
	to->max = lower(to->max, here.rlim_max);
	to->cur = lower(to->cur, to->max);
	return 0;
}

/* A daemon is its own session, and may be its own group; who has a terminal shares ours. */
static int set_session(struct restart *r)
{
	const struct cp_process *p = &r->process;

	if (p->flags & CP_PROCESS_TTY)
		return 0;
	if (p->sid == p->pid)
		return ADD(r, "setsid", SYS_setsid, 0);
	return p->pgid == p->pid ? ADD(r, "setpgid", SYS_setpgid, 0, 0) : 0;
}

int cpimg_restart_limits(struct restart *r)
{
	if (set_session(r))
		return -1;
	for (int i = 0; i < CP_NR_LIMITS; i++) {
		struct cp_limit limit = r->process.limit[i];
		struct purpose p = { "prlimit64", NULL };

		if (lower_limit(r, i, &limit) || cpimg_remote_room(r, 1, sizeof(limit)) ||
		    cpimg_remote_add(r, p, false, SYS_prlimit64,
				     ARGS(0, i, cpimg_remote_data(r, &limit, sizeof(limit)), 0)))
			return -1;
	}
	if (!cpimg_remote_run(r))
		return 0;
	return r->flags & CP_RESTART_LIMITS ? -1 : restart_fail(r, CPIMG_ERR_PROCESS,
		"its limits (ulimit -H) cannot be set: those here are lower; CP_RESTART_LIMITS leaves them lower");
}
#endif /* __x86_64__ */
