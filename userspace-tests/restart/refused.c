// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --smp 2 --timeout 400 */
/*
 * CP_PROCESS: what cannot come back is found when the image is made, with the reason and
 * with what it is; what can come back is not refused.
 */
#define _GNU_SOURCE
#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "harness.h"
#include "moment.h"

/* Where a role puts its mapping, and its descriptor: what the kernel is to name. */
#define AT	((char *)(uintptr_t)(sizeof(void *) == 8 ? 0x200000000000ULL : 0x50000000ULL))
#define FD	70

/* What a role has to say if it cannot play: its name then. */
#define LACKS	"lacks"

static void lacks(void)
{
	prctl(PR_SET_NAME, LACKS, 0, 0, 0);
	for (;;)
		pause();
}

static char *map_at(int prot, int flags, int fd)
{
	char *mem = mmap(AT, 16 * PAGE, prot, flags | MAP_FIXED, fd, 0);

	if (mem == MAP_FAILED)
		lacks();
	return mem;
}

static char *map_anon(void)
{
	char *mem = map_at(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	memset(mem, 1, 16 * PAGE);
	return mem;
}

static void as_fd(int fd)
{
	if (fd < 0 || dup2(fd, FD) != FD)
		lacks();
	if (fd != FD)
		close(fd);
}

static int some_file(void)
{
	return open("/tmp/refused-file", O_RDWR | O_CREAT, 0600);
}

static void *rest(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static int rest_too(void *arg)
{
	return rest(arg) ? 1 : 0;
}

static void plain(void) { }

static void threads(void)
{
	pthread_t t;

	for (int i = 0; i < 8; i++)
		pthread_create(&t, NULL, rest, NULL);
}

static void own_pipe(void)
{
	int end[2];

	if (pipe(end) || write(end[1], "left in it", 10) != 10)
		lacks();
}

static void own_file(void)
{
	as_fd(some_file());
	if (pwrite(FD, "state", 5, 4096) != 5)
		lacks();
	map_at(PROT_READ | PROT_WRITE, MAP_SHARED, FD)[1] = 1;
}

static void devices(void)
{
	static const char *const names[] = {
		"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"
	};

	for (size_t i = 0; i < 5; i++)
		if (open(names[i], O_RDONLY) < 0)
			lacks();
}

static void not_readable(void)
{
	map_at(PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void anon_shared(void)
{
	map_at(PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1)[0] = 1;
}

static void timers(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec when = { .it_value.tv_sec = 1000 };
	timer_t timer;

	for (int i = 0; i < 3; i++)
		if (timer_create(i == 2 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &event,
				 &timer) || timer_settime(timer, 0, &when, NULL))
			lacks();
}

static void pending(void)
{
	sigset_t set;

	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < 20; i++)
		sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = i });
	raise(SIGUSR2);
}

static void stopped(void)
{
	prctl(PR_SET_NAME, "ready", 0, 0, 0);
	raise(SIGSTOP);
}

/* What follows is refused. */

static void unix_socket(void)
{
	as_fd(socket(AF_UNIX, SOCK_STREAM, 0));
}

static void tcp_socket(void)
{
	as_fd(socket(AF_INET, SOCK_STREAM, 0));
}

static void epoll(void)
{
	as_fd(epoll_create1(0));
}

static void event_counter(void)
{
	as_fd(eventfd(1, 0));
}

static void memory_file(void)
{
	as_fd((int)syscall(SYS_memfd_create, "it", 0));
}

static void process_fd(void)
{
	as_fd((int)syscall(SYS_pidfd_open, getpid(), 0));
}

static void namespace_fd(void)
{
	as_fd(open("/proc/self/ns/mnt", O_RDONLY));
}

static void terminal_master(void)
{
	as_fd(open("/dev/ptmx", O_RDWR));
}

static void named_pipe(void)
{
	mkfifo("/tmp/refused-fifo", 0600);
	as_fd(open("/tmp/refused-fifo", O_RDWR));
}

static void packets(void)
{
	int end[2];

	if (pipe2(end, O_DIRECT) || write(end[1], "a packet", 8) != 8)
		lacks();
	as_fd(end[0]);
}

static void unlinked(void)
{
	as_fd(open("/tmp/refused-gone", O_RDWR | O_CREAT, 0600));
	unlink("/tmp/refused-gone");
}

static void whole_lock(void)
{
	as_fd(some_file());
	if (flock(FD, LOCK_EX))
		lacks();
}

static void record_lock(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 1 };

	as_fd(some_file());
	if (fcntl(FD, F_SETLK, &lock))
		lacks();
}

static void lease(void)
{
	as_fd(open("/tmp/refused-file", O_RDONLY | O_CREAT, 0600));
	if (fcntl(FD, F_SETLEASE, F_RDLCK))
		lacks();
}

static void owner(void)
{
	as_fd(some_file());
	if (fcntl(FD, F_SETOWN, getpid()))
		lacks();
}

static void child(void)
{
	if (!fork())
		rest(NULL);
}

static void vfork_child(void)
{
	prctl(PR_SET_NAME, "ready", 0, 0, 0);
	/* As vfork() has it: the thread that called it waits. */
	syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0) ? 0 : (rest(NULL), 0);
}

/* One that is not our child any more, and shares what the flags say. */
static void orphan(int flags)
{
	static char stack[2][65536];
	int pid;

	/* The one between is gone before we go on. */
	pid = fork();
	if (!pid)
		lacks();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	pid = clone(rest_too, stack[0] + sizeof(stack[0]), flags | CLONE_PARENT,
		    NULL);
	if (pid < 0)
		lacks();
}

static void shares_memory(void)
{
	orphan(CLONE_VM);
}

static void shares_files(void)
{
	orphan(CLONE_FILES);
}

static void shares_folders(void)
{
	orphan(CLONE_FS);
}

static void shares_mapping(void)
{
	map_at(PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1)[0] = 1;
	orphan(0);
}

static void *own_files(void *arg)
{
	if (unshare(CLONE_FILES))
		lacks();
	return rest(arg);
}

static void thread_with_files(void)
{
	pthread_t t;

	pthread_create(&t, NULL, own_files, NULL);
	usleep(100000);
}


static void filter(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { .len = 1, .filter = &allow };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		lacks();
}

static void deadline(void)
{
	struct {
		uint32_t	size, policy;
		uint64_t	flags;
		int32_t		nice;
		uint32_t	priority;
		uint64_t	runtime, deadline, period;
	} attr = { 48, 6, 0, 0, 0, 1000000, 10000000, 10000000 };

	if (syscall(SYS_sched_setattr, 0, &attr, 0))
		lacks();
}

static void counts_events(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr),
		.config = PERF_COUNT_SW_PAGE_FAULTS,
	};

	if (syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0) < 0)
		lacks();
}

static void async_io(void)
{
	aio_context_t ctx = 0;

	if (syscall(SYS_io_setup, 8, &ctx))
		lacks();
}

static void ring(void)
{
	struct io_uring_params params = { .flags = 0 };

	if (syscall(SYS_io_uring_setup, 4, &params) < 0)
		lacks();
}

static void undo(void)
{
	struct sembuf up = { .sem_op = 1, .sem_flg = SEM_UNDO };
	int id = semget(IPC_PRIVATE, 1, 0600);

	if (id < 0 || semop(id, &up, 1))
		lacks();
}

static void segment(void)
{
	int id = shmget(IPC_PRIVATE, 16 * PAGE, 0600);

	if (id < 0 || shmat(id, AT, 0) != AT)
		lacks();
	shmctl(id, IPC_RMID, NULL);
}

static void alarm_clock(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	timer_t timer;

	if (timer_create(CLOCK_REALTIME_ALARM, &event, &timer))
		lacks();
}

static void too_many_signals(void)
{
	sigset_t set;

	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < 1100; i++)
		if (sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = i }))
			lacks();
}

static void locked(void)
{
	if (mlock(map_anon(), PAGE))
		lacks();
}

static void not_for_core_files(void)
{
	madvise(map_anon(), 16 * PAGE, MADV_DONTDUMP);
}

static void not_for_children(void)
{
	madvise(map_anon(), 16 * PAGE, MADV_DONTFORK);
}

static void hidden(void)
{
	mprotect(map_anon(), 16 * PAGE, PROT_NONE);
}

static void hidden_huge(void)
{
	char *mem = mmap(AT, HUGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (mem == MAP_FAILED)
		lacks();
	madvise(mem, HUGE, MADV_HUGEPAGE);
	mem[0] = 1;
	mprotect(mem, HUGE, PROT_NONE);
}

static void hidden_in_swap(void)
{
	char *mem = map_anon();

	madvise(mem, 16 * PAGE, MADV_PAGEOUT);
	mprotect(mem, 16 * PAGE, PROT_NONE);
}

static void deleted(void)
{
	int fd = open("/tmp/refused-gone", O_RDWR | O_CREAT, 0600);

	if (ftruncate(fd, 16 * PAGE))
		lacks();
	map_at(PROT_READ, MAP_PRIVATE, fd);
	close(fd);
	unlink("/tmp/refused-gone");
}

static void mapped_memory_file(void)
{
	int fd = (int)syscall(SYS_memfd_create, "it", 0);

	if (fd < 0 || ftruncate(fd, 16 * PAGE))
		lacks();
	map_at(PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	close(fd);
}

static void watched(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { (uintptr_t)AT, 16 * PAGE }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	map_at(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &range))
		lacks();
	/* Or the descriptor would be found first. */
	dup2(fd, FD);
}

static void traced(void) { }

#define ANY	(~0ULL)		/* whichever it is */

static const struct role {
	const char	*name;
	void		(*play)(void);
	enum cp_refused	refused;
	uint64_t	at;
} roles[] = {
#define ROLE(name, refused, at)	{ #name, name, CP_REFUSED_##refused, at }
	ROLE(plain, NOTHING, 0),
	ROLE(threads, NOTHING, 0),
	ROLE(own_pipe, NOTHING, 0),
	ROLE(own_file, NOTHING, 0),
	ROLE(devices, NOTHING, 0),
	ROLE(not_readable, NOTHING, 0),
	ROLE(anon_shared, NOTHING, 0),
	ROLE(timers, NOTHING, 0),
	ROLE(pending, NOTHING, 0),
	ROLE(stopped, NOTHING, 0),
	ROLE(unix_socket, SOCKET, FD),
	ROLE(tcp_socket, SOCKET, FD),
	ROLE(epoll, KIND, FD),
	ROLE(event_counter, KIND, FD),
	ROLE(memory_file, KIND, FD),
	ROLE(process_fd, KIND, FD),
	ROLE(namespace_fd, KIND, FD),
	ROLE(terminal_master, DEVICE, FD),
	ROLE(named_pipe, PIPE, FD),
	ROLE(packets, PIPE, ANY),
	ROLE(unlinked, UNLINKED, FD),
	ROLE(whole_lock, LOCK, FD),
	ROLE(record_lock, LOCK, FD),
	ROLE(lease, LOCK, FD),
	ROLE(owner, LOCK, FD),
	ROLE(child, CHILDREN, ANY),
	ROLE(vfork_child, VFORK, ANY),
	ROLE(shares_memory, SHARED, ANY),
	ROLE(shares_files, FILES, ANY),
	ROLE(shares_folders, FILES, ANY),
	ROLE(shares_mapping, OUTSIDE, (uintptr_t)AT),
	ROLE(thread_with_files, FILES, ANY),
	ROLE(filter, SECCOMP, ANY),
	ROLE(deadline, SCHED, ANY),
	ROLE(counts_events, PERF, ANY),
	ROLE(async_io, AIO, 0),
	ROLE(ring, IO_URING, ANY),
	ROLE(undo, SYSV_SEM, ANY),
	ROLE(segment, SYSV_SHM, (uintptr_t)AT),
	ROLE(alarm_clock, TIMER, 0),
	ROLE(too_many_signals, PENDING, ANY),
	ROLE(locked, LEFT_OUT, (uintptr_t)AT),
	ROLE(not_for_core_files, LEFT_OUT, (uintptr_t)AT),
	ROLE(not_for_children, LEFT_OUT, (uintptr_t)AT),
	ROLE(hidden, GUARDED, (uintptr_t)AT),
	ROLE(hidden_huge, GUARDED, (uintptr_t)AT),
	ROLE(hidden_in_swap, GUARDED, (uintptr_t)AT),
	ROLE(deleted, DELETED, (uintptr_t)AT),
	ROLE(mapped_memory_file, DELETED, (uintptr_t)AT),
	ROLE(watched, KIND, ANY),
	ROLE(traced, TRACED, ANY),
};

/* In place of main(): a role is played by a process of its own, with nothing of ours. */
__attribute__((constructor)) static void play(void)
{
	const char *name = getenv("REFUSED_ROLE");

	if (!name)
		return;
	for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++)
		if (!strcmp(name, roles[i].name))
			roles[i].play();
	prctl(PR_SET_NAME, "ready", 0, 0, 0);
	for (;;)
		pause();
}

/* As /proc/PID/stat has it */
static char cp_thread_state(int pid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (f && fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	if (f)
		fclose(f);
	return state;
}

static int start(const char *name)
{
	char variable[64];
	char *argv[] = { "refused", NULL }, *envp[] = { variable, NULL };
	int pid;

	snprintf(variable, sizeof(variable), "REFUSED_ROLE=%s", name);
	pid = fork();
	if (!pid) {
		for (int fd = 3; fd < 64; fd++)
			close(fd);
		execve("/proc/self/exe", argv, envp);
		_exit(127);
	}
	return pid;
}

/* Its name once it is as it is to be, "" after ten seconds. */
static const char *wait_ready(int pid)
{
	static char comm[17];
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	for (int i = 0; i < 1000; i++) {
		FILE *f = fopen(path, "r");

		if (!f || fscanf(f, "%16s", comm) != 1)
			comm[0] = 0;
		if (f)
			fclose(f);
		if (!strcmp(comm, "ready") || !strcmp(comm, LACKS))
			break;
		comm[0] = 0;
		usleep(10000);
	}
	/* It says so just before. */
	usleep(50000);
	return comm;
}

TEST(each)
{
	int lacking = 0;

	NEEDS_CP_CHECKPOINT();
	NEEDS_CALL(pidfd_open);
	for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++) {
		const struct role *role = &roles[i];
		struct cp_result r = { .n = 0 };
		struct cp_args args = CP_ARGS_OWN;
		int pid = start(role->name);
		const char *comm = wait_ready(pid);
		bool traced = role->refused == CP_REFUSED_TRACED;

		if (!strcmp(comm, LACKS)) {
			TH_LOG("%s: this kernel lacks it", role->name);
			lacking++;
			cp_kill(pid);
			continue;
		}
		ASSERT_STREQ("ready", comm) TH_LOG("%s", role->name);
		if (traced)
			ASSERT_EQ(0, ptrace(PTRACE_SEIZE, pid, 0, 0));
		args.pidfd = cp_pidfd(pid);
		args.flags = CP_INCREMENTAL | CP_MOMENT | CP_PROCESS;
		args.result = (uintptr_t)&r;
		args.result_size = sizeof(r);
		EXPECT_EQ(0, cp_checkpoint(&args, sizeof(args))) TH_LOG("%s: %m", role->name);
		EXPECT_EQ(role->refused, r.refused)
			TH_LOG("%s at %#llx, missed %u", role->name,
			       (unsigned long long)r.refused_at, r.missed);
		if (role->at != ANY)
			EXPECT_EQ(role->at, r.refused_at) TH_LOG("%s", role->name);
		/* What is refused is an image all the same. */
		EXPECT_EQ(CP_INCREMENTAL | CP_MOMENT | (r.refused ? 0 : CP_PROCESS), r.flags)
			TH_LOG("%s", role->name);
		close(args.pidfd);
		cp_kill(pid);
		/* Orphans of it are children of ours. */
		kill(0, SIGCONT);
		chain_remove();
	}
	TH_LOG("%d of %zu are lacking here", lacking, sizeof(roles) / sizeof(*roles));
	EXPECT_GT(8, lacking);
}

/* A process whose first thread has ended can only be saved by itself. */
static void *save_alone(void *arg)
{
	struct cp_args args = CP_ARGS_OWN;

	while (cp_thread_state(getpid()) != 'Z')
		usleep(1000);
	args.flags = CP_MOMENT | CP_PROCESS;
	args.result = (uintptr_t)arg;
	args.result_size = sizeof(struct cp_result);
	_exit(cp_checkpoint(&args, sizeof(args)) ? 1 : 0);
}

TEST(leader_gone)
{
	struct cp_result *r;
	int pid, status;

	NEEDS_CP_CHECKPOINT();
	r = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)r);
	pid = fork();
	if (!pid) {
		pthread_t t;

		pthread_create(&t, NULL, save_alone, r);
		pthread_exit(NULL);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(CP_REFUSED_LEADER, r->refused);
	EXPECT_EQ(CP_MOMENT | CP_INCREMENTAL, r->flags);
	chain_remove();
}

/* Of a part of the memory, or of no moment, there is no restart. */
TEST(asked_wrongly)
{
	struct cp_span span = { 0, 1 << 20 };
	struct cp_args args = CP_ARGS_OWN;

	NEEDS_CP_CHECKPOINT();
	args.flags = CP_PROCESS;
	errno = 0;
	EXPECT_EQ(-1, cp_checkpoint(&args, sizeof(args)));
	EXPECT_EQ(EINVAL, errno);
	args.flags = CP_PROCESS | CP_MOMENT;
	args.ranges = (uintptr_t)&span;
	args.nr_ranges = 1;
	errno = 0;
	EXPECT_EQ(-1, cp_checkpoint(&args, sizeof(args)));
	EXPECT_EQ(EINVAL, errno);
}

TEST_HARNESS_MAIN
