// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 --smp 2 --timeout 300 --append numa=fake=2 --append preempt=full */
/*
 * The last reference to the memory of a program that makes checkpoints may be dropped
 * anywhere in the kernel: here by code of cpusets, with the lock of processors that come
 * and go. Nothing that is done then may wait for that lock.
 *
 * A task wakes up, with a real-time priority, while that code looks at its memory; it
 * dies before the code lets go of it. Meanwhile a processor goes and comes.
 */
#define _GNU_SOURCE
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "chain.h"
#include "harness.h"

#define GROUP		"/sys/fs/cgroup/cpusets"
#define MAPPINGS	4000
#define SECONDS		(cp_debug_kernel() ? 60 : 25)

static char page[PAGE] __attribute__((aligned(PAGE)));

static void live_and_die(unsigned int us, bool tracked)
{
	struct sched_param sp = { .sched_priority = 10 };
	struct timespec rest = { 0, us * 1000 };
	char *at = mmap(CP_FAR(0x20), MAPPINGS * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);

	/* So that it takes a while to look at all of it. */
	for (int i = 0; i < MAPPINGS; i += 2)
		mprotect(at + i * PAGE, PAGE, PROT_READ);
	page[0] = 1;
	if (tracked && inc_cp_range(page, page + PAGE))
		_exit(1);
	unlink(cp_name(getpid(), 0));
	if (syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &sp))
		_exit(2);
	nanosleep(&rest, NULL);
	_exit(0);
}

static int start_hotplug(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (bool up = false; ; up = !up)
		if (cp_write_file("/sys/devices/system/cpu/cpu1/online", up ? "1" : "0"))
			usleep(1000);
}

TEST(memory_goes_while_processors_come_and_go)
{
	unsigned long changes = 0, deaths = 0;
	int hotplug, status;
	double end;
	char pid_text[16];

	cp_write_file("/sys/fs/cgroup/cgroup.subtree_control", "+cpuset");
	mkdir(GROUP, 0755);
	if (cp_write_file(GROUP "/cpuset.mems", "0-1"))
		SKIP(return, "no cpusets over two nodes: %s", strerror(errno));
	if (cp_write_file("/sys/devices/system/cpu/cpu1/online", "1"))
		SKIP(return, "no processor that goes offline: %s", strerror(errno));
	cp_write_file(GROUP "/cpuset.cpus", "0");
	cp_pin(0);
	hotplug = start_hotplug();
	alarm(0);
	for (end = cp_now() + SECONDS; cp_now() < end; deaths++) {
		pid_t pid = fork();

		if (!pid) {
			snprintf(pid_text, sizeof(pid_text), "%d", getpid());
			if (cp_write_file(GROUP "/cgroup.procs", pid_text))
				_exit(3);
			live_and_die(2000 + deaths * 7919 % 40000, deaths % 8);
		}
		while (!waitpid(pid, &status, WNOHANG)) {
			cp_write_file(GROUP "/cpuset.mems", changes & 1 ? "0-1" : "0");
			changes++;
		}
		ASSERT_EQ(0, status);
	}
	cp_kill(hotplug);
	cp_write_file("/sys/devices/system/cpu/cpu1/online", "1");
	TH_LOG("%lu programs ended during %lu changes of their cpuset", deaths, changes);
	EXPECT_LT(20, deaths);
	EXPECT_LT(100, changes);
	chain_remove();
}

TEST_HARNESS_MAIN
