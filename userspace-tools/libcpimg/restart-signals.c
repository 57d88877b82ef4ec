// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - restarting: signals and timers. All signals but SIGTRAP are blocked
 * meanwhile, so that what is pending stays so.
 */
#ifdef __x86_64__
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "restart.h"

/* Ids are given out one after the other: so many are made and deleted again to get to one. */
#define MAX_TIMER_ID	(1 << 22)

#define EVENT_SIZE	64		/* of struct sigevent, as the kernel has it */

int cpimg_restart_actions(struct restart *r)
{
	const struct cp_action *action = r->actions.entry;

	for (int sig = 1; sig <= NR_SIGNALS; sig++) {
		/* SIGTRAP is in use: it comes last. */
		if (sig == SIGKILL || sig == SIGSTOP || sig == SIGTRAP)
			continue;
		if (cpimg_remote_room(r, 1, sizeof(*action)) ||
		    ADD(r, "rt_sigaction", SYS_rt_sigaction, sig,
			cpimg_remote_data(r, &action[sig - 1], sizeof(*action)), 0, 8))
			return -1;
	}
	return cpimg_remote_run(r);
}

/* What waits for a thread it sends to itself; the first one what waits for the process. */
int cpimg_restart_pending(struct restart *r, const struct cp_thread_state *thread)
{
	const struct cp_pending *p = r->pending.entry;
	uint32_t pid = r->process.pid;

	for (size_t i = 0; i < r->pending.nr; i++, p++) {
		uint64_t info;

		if (p->signo == SIGTRAP || p->signo == SIGKILL || p->signo == SIGSTOP ||
		    (p->tid ? p->tid != thread->tid : thread->tid != pid))
			continue;
		if (cpimg_remote_room(r, 1, sizeof(p->info)))
			return -1;
		info = cpimg_remote_data(r, p->info, sizeof(p->info));
		if (p->tid ? ADD(r, "rt_tgsigqueueinfo", SYS_rt_tgsigqueueinfo, pid, p->tid,
				 p->signo, info) :
			     ADD(r, "rt_sigqueueinfo", SYS_rt_sigqueueinfo, pid, p->signo, info))
			return -1;
	}
	return 0;
}

/* As timer_create() takes it. */
static uint64_t event_of(struct restart *r, const struct cp_timer *t)
{
	struct {
		uint64_t	value;
		int32_t		signo, notify, tid;
		char		rest[EVENT_SIZE - 20];
	} event = {
		.value = t->value, .signo = t->signo, .notify = t->notify, .tid = t->tid,
	};

	return cpimg_remote_data(r, &event, EVENT_SIZE);
}

static struct timespec time_of(uint64_t ns)
{
	return (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
}

/* A timer that is only there for its id. */
static int skip_timer(struct restart *r, int32_t id, uint64_t given)
{
	return ADD(r, "timer_create", SYS_timer_create, CLOCK_MONOTONIC, 0, given) ||
	       ADD(r, "timer_delete", SYS_timer_delete, id);
}

static int make_timer(struct restart *r, const struct cp_timer *t)
{
	struct itimerspec when = {
		.it_value = time_of(t->left), .it_interval = time_of(t->interval),
	};
	const int32_t *given;
	int32_t id;

	if (cpimg_remote_room(r, 1, EVENT_SIZE + sizeof(id)))
		return -1;
	given = (const int32_t *)(uintptr_t)cpimg_remote_data(r, NULL, sizeof(id));
	if (CALL(r, "timer_create", NULL, NULL, SYS_timer_create, t->clock, event_of(r, t),
		 (uintptr_t)given))
		return -1;
	id = *given;
	if (id != t->id)
		return restart_fail(r, CPIMG_ERR_SYS, "timer %d: got the id %d", t->id, id);
	return cpimg_remote_room(r, 1, sizeof(when)) ||
	       ADD(r, "timer_settime", SYS_timer_settime, id, 0,
		   cpimg_remote_data(r, &when, sizeof(when)), 0) ? -1 : 0;
}

static int set_itimers(struct restart *r)
{
	for (int which = 0; which < 3; which++) {
		const struct cp_interval *t = &r->process.itimer[which];
		/* Never 0 for what is little: that would be never. */
		uint64_t left = t->left / 1000 + !!(t->left % 1000);
		uint64_t interval = t->interval / 1000 + !!(t->interval % 1000);
		struct itimerval when = {
			.it_value = { left / 1000000, left % 1000000 },
			.it_interval = { interval / 1000000, interval % 1000000 },
		};

		if (left && (cpimg_remote_room(r, 1, sizeof(when)) ||
			     ADD(r, "setitimer", SYS_setitimer, which,
				 cpimg_remote_data(r, &when, sizeof(when)), 0)))
			return -1;
	}
	return 0;
}

int cpimg_restart_timers(struct restart *r)
{
	const struct cp_timer *t = r->timers.entry;
	int32_t next = r->timers.nr ? t[r->timers.nr - 1].id : -1, id = 0;

	if (next >= MAX_TIMER_ID)
		return restart_fail(r, CPIMG_ERR_PROCESS, "timer %d: ids are tried up to %d",
				    next, MAX_TIMER_ID);
	/* The next one that the program makes has the id that it would have had. */
	if (r->process.next_timer <= MAX_TIMER_ID && (int32_t)r->process.next_timer > next)
		next = r->process.next_timer - 1;
	for (size_t i = 0; id <= next; id++) {
		uint64_t given;

		if (i < r->timers.nr && t[i].id == id) {
			if (make_timer(r, &t[i++]))
				return -1;
			continue;
		}
		if (cpimg_remote_room(r, 2, sizeof(id)))
			return -1;
		given = cpimg_remote_data(r, NULL, sizeof(id));
		if (skip_timer(r, id, given))
			return -1;
	}
	return set_itimers(r) || cpimg_remote_run(r) ? -1 : 0;
}
#endif /* __x86_64__ */
