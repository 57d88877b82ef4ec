// SPDX-License-Identifier: GPL-2.0
/*
 * goes_on ACT FOLDER: a program that is saved and killed while it is at something, and
 * restarted. It says so in FOLDER/ready, waits for FOLDER/go, and looks at what it has:
 * the exit status is 0 if all is as it was.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <immintrin.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cp_range.h>

#define PAGE	4096UL
#define LINES	"lines"

static const char *folder;

#define CHECK(what) do { \
	if (!(what)) { \
		printf("# goes_on: line %d: %s: %m\n", __LINE__, #what); \
		fflush(stdout); \
		_exit(1); \
	} \
} while (0)

static const char *in(const char *name)
{
	static __thread char path[2][256];
	static __thread int which;

	which = !which;
	snprintf(path[which], sizeof(path[which]), "%s/%s", folder, name);
	return path[which];
}

static void ready(void)
{
	int fd = open(in("ready"), O_CREAT | O_WRONLY, 0600);

	CHECK(fd >= 0);
	close(fd);
}

static void nap(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static void wait_to_go(void)
{
	ready();
	while (access(in("go"), F_OK))
		nap(5);
}

/* Memory of all kinds, and what is done with it afterwards. */
static char data[3 * PAGE] = "data";
static char bss[5 * PAGE];

static bool mapping_has(const void *addr, const char *what)
{
	char line[256];
	FILE *f = fopen("/proc/self/smaps", "r");
	bool here = false, found = false;

	while (f && fgets(line, sizeof(line), f)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= (unsigned long)addr && (unsigned long)addr < end;
		found |= here && strstr(line, what);
	}
	if (f)
		fclose(f);
	return found;
}

static void act_memory(void)
{
	char *heap = malloc(200000), *brk0 = (char *)syscall(SYS_brk, 0), *mem, *shared, *again, *none, *named;
	char stack[20000];
	int fd;

	memset(heap, 7, 200000);
	memset(stack, 9, sizeof(stack));
	memset(bss + PAGE, 3, PAGE);
	data[2 * PAGE] = 4;
	mem = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 64; i += 2)
		mem[i * PAGE] = i + 1;
	CHECK(!mprotect(mem + 8 * PAGE, 4 * PAGE, PROT_READ));
	shared = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	again = mremap(shared + 2 * PAGE, 0, 2 * PAGE, MREMAP_MAYMOVE);
	CHECK(again != MAP_FAILED);
	strcpy(shared + 2 * PAGE, "shared");
	none = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	named = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*named = 1;
	prctl(0x53564d41, 0, named, PAGE, "a name");
	CHECK(!madvise(named, PAGE, MADV_DONTFORK) || errno == EINVAL);
	madvise(named, PAGE, MADV_DOFORK);
	fd = open("/proc/self/exe", O_RDONLY);
	CHECK(fd >= 0);
	close(fd);
	wait_to_go();
	for (int i = 0; i < 200000; i++)
		CHECK(heap[i] == 7);
	for (size_t i = 0; i < sizeof(stack); i++)
		CHECK(stack[i] == 9);
	CHECK(!strcmp(data, "data") && data[2 * PAGE] == 4 && !bss[0] && bss[PAGE] == 3);
	for (int i = 0; i < 64; i++)
		CHECK(mem[i * PAGE] == (i % 2 ? 0 : i + 1));
	CHECK(mapping_has(mem + 8 * PAGE, "r--p"));
	CHECK(!strcmp(again, "shared"));
	strcpy(again, "one memory");
	CHECK(!strcmp(shared + 2 * PAGE, "one memory"));
	CHECK(mapping_has(none, "---p"));
	CHECK(*named == 1);
	CHECK((char *)syscall(SYS_brk, 0) == brk0);
	CHECK((char *)syscall(SYS_brk, brk0 + 10 * PAGE) == brk0 + 10 * PAGE);
	memset(brk0, 1, 10 * PAGE);
	mem = mremap(mem + 32 * PAGE, 32 * PAGE, 256 * PAGE, MREMAP_MAYMOVE);
	CHECK(mem != MAP_FAILED && mem[0] == 33 && !mem[200 * PAGE]);
	CHECK(!mprotect(none, PAGE, PROT_READ | PROT_WRITE) && !*none);
}

/* Threads: registers, barriers, conditions, and each with what is its own. */
#define NR_THREADS	8

static struct {
	pthread_barrier_t	barrier;
	pthread_mutex_t		lock;
	pthread_cond_t		changed;
	volatile int		go;
	volatile int		spinning;
	int			turn;
	int			sum;
} t;

/* All of ymm0 to ymm15 and some more keep a pattern for as long as *go is 0. */
static uint64_t spin(uint64_t pattern, volatile int *go)
{
	uint64_t p[4] = { pattern, ~pattern, pattern * 3, pattern ^ 0x5555 }, wrong;

	asm volatile("vmovdqu (%2), %%ymm0\n vmovdqu (%2), %%ymm1\n vmovdqu (%2), %%ymm7\n"
		     "vmovdqu (%2), %%ymm15\n mov (%2), %%r12\n mov 8(%2), %%r13\n"
		     "mov 16(%2), %%r14\n mov 24(%2), %%r15\n"
		     "1: pause\n cmpl $0, (%3)\n je 1b\n"
		     "xor %0, %0\n"
		     "vmovdqu (%2), %%ymm2\n"
		     "vpxor %%ymm2, %%ymm0, %%ymm3\n vpxor %%ymm2, %%ymm1, %%ymm4\n"
		     "vpxor %%ymm2, %%ymm7, %%ymm5\n vpxor %%ymm2, %%ymm15, %%ymm6\n"
		     "vpor %%ymm3, %%ymm4, %%ymm3\n vpor %%ymm5, %%ymm6, %%ymm5\n"
		     "vpor %%ymm3, %%ymm5, %%ymm3\n vptest %%ymm3, %%ymm3\n"
		     "setnz %b0\n"
		     "xor (%2), %%r12\n xor 8(%2), %%r13\n xor 16(%2), %%r14\n xor 24(%2), %%r15\n"
		     "or %%r12, %0\n or %%r13, %0\n or %%r14, %0\n or %%r15, %0\n vzeroupper\n"
		     : "=&r"(wrong), "+m"(p) : "r"(p), "r"(go)
		     : "r12", "r13", "r14", "r15", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
		       "xmm6", "xmm7", "xmm15", "cc");
	return wrong;
}

static void *thread(void *arg)
{
	long me = (long)arg;
	int tid = syscall(SYS_gettid);
	char name[16], now[16];

	snprintf(name, sizeof(name), "worker %ld", me);
	prctl(PR_SET_NAME, name);
	prctl(PR_SET_TIMERSLACK, 1000 * (me + 1));
	__atomic_add_fetch(&t.spinning, 1, __ATOMIC_SEQ_CST);
	if (me < NR_THREADS / 2) {
		CHECK(!spin(0x1111111111111111 * me + 77, &t.go));
	} else {
		pthread_mutex_lock(&t.lock);
		while (!t.go)
			pthread_cond_wait(&t.changed, &t.lock);
		pthread_mutex_unlock(&t.lock);
	}
	CHECK(tid == syscall(SYS_gettid));
	prctl(PR_GET_NAME, now);
	CHECK(!strcmp(name, now));
	CHECK(prctl(PR_GET_TIMERSLACK) == 1000 * (me + 1));
	pthread_barrier_wait(&t.barrier);
	for (int i = 0; i < 100; i++) {
		pthread_mutex_lock(&t.lock);
		while (t.turn != me)
			pthread_cond_wait(&t.changed, &t.lock);
		t.turn = (t.turn + 1) % NR_THREADS;
		t.sum++;
		pthread_cond_broadcast(&t.changed);
		pthread_mutex_unlock(&t.lock);
	}
	pthread_barrier_wait(&t.barrier);
	return (void *)(me + 1);
}

static void act_threads(void)
{
	pthread_t threads[NR_THREADS];
	pthread_t more;
	void *ret;

	pthread_barrier_init(&t.barrier, NULL, NR_THREADS);
	pthread_mutex_init(&t.lock, NULL);
	pthread_cond_init(&t.changed, NULL);
	for (long i = 0; i < NR_THREADS; i++)
		CHECK(!pthread_create(&threads[i], NULL, thread, (void *)i));
	while (t.spinning < NR_THREADS)
		nap(5);
	wait_to_go();
	pthread_mutex_lock(&t.lock);
	t.go = 1;
	pthread_cond_broadcast(&t.changed);
	pthread_mutex_unlock(&t.lock);
	for (long i = 0; i < NR_THREADS; i++)
		CHECK(!pthread_join(threads[i], &ret) && ret == (void *)(i + 1));
	CHECK(t.sum == 100 * NR_THREADS);
	/* And there can be new ones. */
	t.spinning = 0;
	pthread_barrier_init(&t.barrier, NULL, 1);
	t.turn = 3;
	CHECK(!pthread_create(&more, NULL, thread, (void *)3L));
	for (int i = 0; i < 100; i++) {
		while (t.turn == 3)
			nap(1);
		pthread_mutex_lock(&t.lock);
		t.turn = 3;
		pthread_cond_broadcast(&t.changed);
		pthread_mutex_unlock(&t.lock);
		if (t.sum == 100 * NR_THREADS + 100)
			break;
	}
	CHECK(!pthread_join(more, &ret));
}

/* Signals: actions, masks, alternate stacks, and what is pending. */
static volatile int got[65], got_value[65];
static char alternate[64 * 1024];
static volatile bool on_alternate;
static volatile pid_t got_in;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	(void)context;
	got[sig]++;
	got_value[sig] = 1000 * got_value[sig] + info->si_value.sival_int;
	got_in = syscall(SYS_gettid);
	on_alternate = here - (uintptr_t)alternate < sizeof(alternate);
}

static volatile pid_t helper_tid;
static volatile bool helper_end;

static void *signal_helper(void *arg)
{
	sigset_t set;

	sigfillset(&set);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	helper_tid = syscall(SYS_gettid);
	while (!helper_end)
		nap(5);
	CHECK(!got[SIGRTMIN + 4]);
	/* no other: what waits for the process is for the first thread to take */
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 4);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	CHECK(got[SIGRTMIN + 4] == 1 && got_value[SIGRTMIN + 4] == 44);
	CHECK(got_in == helper_tid);
	return arg;
}

static void act_signals(void)
{
	stack_t stack = { .ss_sp = alternate, .ss_size = sizeof(alternate) }, now;
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct sigaction was;
	siginfo_t info = { .si_code = SI_QUEUE };
	sigset_t set, pending, mask;
	pthread_t helper;

	CHECK(!sigaltstack(&stack, NULL));
	CHECK(!sigaction(SIGUSR1, &sa, NULL) && !sigaction(SIGRTMIN + 3, &sa, NULL) &&
	      !sigaction(SIGRTMIN + 4, &sa, NULL) && !sigaction(SIGTRAP, &sa, NULL));
	signal(SIGUSR2, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTRAP);
	sigaddset(&set, SIGRTMIN + 3);
	CHECK(!sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK(!pthread_create(&helper, NULL, signal_helper, NULL));
	while (!helper_tid)
		nap(5);
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGTRAP);
	for (int i = 1; i <= 3; i++)
		sigqueue(getpid(), SIGRTMIN + 3, (union sigval){ .sival_int = i });
	info.si_signo = SIGRTMIN + 4;
	info.si_value.sival_int = 44;
	CHECK(!syscall(SYS_rt_tgsigqueueinfo, getpid(), helper_tid, SIGRTMIN + 4, &info));
	wait_to_go();
	CHECK(!got[SIGUSR1] && !got[SIGRTMIN + 3] && !got[SIGTRAP]);
	CHECK(!sigpending(&pending) && sigismember(&pending, SIGUSR1) &&
	      sigismember(&pending, SIGRTMIN + 3) && sigismember(&pending, SIGTRAP));
	CHECK(!sigprocmask(SIG_BLOCK, NULL, &mask) && sigismember(&mask, SIGUSR1) &&
	      !sigismember(&mask, SIGUSR2) && !sigismember(&mask, SIGINT));
	CHECK(!sigaltstack(NULL, &now) && now.ss_sp == alternate &&
	      now.ss_size == sizeof(alternate) && !now.ss_flags);
	CHECK(!sigaction(SIGUSR2, NULL, &was) && was.sa_handler == SIG_IGN);
	CHECK(!sigaction(SIGUSR1, NULL, &was) && was.sa_sigaction == on_signal &&
	      was.sa_flags & SA_ONSTACK);
	helper_end = true;
	CHECK(!pthread_join(helper, NULL));
	CHECK(!sigprocmask(SIG_UNBLOCK, &set, NULL));
	CHECK(got[SIGUSR1] == 1 && got[SIGTRAP] == 1);
	CHECK(got[SIGRTMIN + 3] == 3 && got_value[SIGRTMIN + 3] == 1002003);
	CHECK(on_alternate);
}

/* Timers of both kinds. */
static void act_timers(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL };
	struct itimerspec when = { .it_value = { 100, 0 } }, left;
	struct itimerval real = { .it_value = { 200, 0 }, .it_interval = { 7, 0 } }, now;
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
	int id[6], more;

	CHECK(!sigaction(SIGRTMIN + 1, &sa, NULL) && !sigaction(SIGRTMIN + 2, &sa, NULL));
	for (int i = 0; i < 6; i++) {
		event.sigev_signo = SIGRTMIN + 1 + i % 2;
		event.sigev_value.sival_int = i;
		CHECK(!syscall(SYS_timer_create, i == 4 ? CLOCK_PROCESS_CPUTIME_ID :
			       CLOCK_MONOTONIC, &event, &id[i]));
	}
	syscall(SYS_timer_delete, id[1]);
	syscall(SYS_timer_delete, id[3]);
	syscall(SYS_timer_settime, id[2], 0, &when, NULL);
	when.it_value.tv_sec = 300;
	when.it_interval.tv_sec = 9;
	syscall(SYS_timer_settime, id[4], 0, &when, NULL);
	when.it_value = (struct timespec){ 0, 50000000 };
	when.it_interval = when.it_value;
	syscall(SYS_timer_settime, id[5], 0, &when, NULL);
	CHECK(!setitimer(ITIMER_REAL, &real, NULL));
	wait_to_go();
	CHECK(!syscall(SYS_timer_gettime, id[2], &left) && left.it_value.tv_sec > 60 &&
	      left.it_value.tv_sec < 100 && !left.it_interval.tv_sec);
	CHECK(!syscall(SYS_timer_gettime, id[4], &left) && left.it_value.tv_sec > 200 &&
	      left.it_interval.tv_sec == 9);
	CHECK(!syscall(SYS_timer_gettime, id[0], &left) && !left.it_value.tv_sec &&
	      !left.it_value.tv_nsec);
	CHECK(syscall(SYS_timer_gettime, id[1], &left) && syscall(SYS_timer_gettime, id[3], &left));
	CHECK(!getitimer(ITIMER_REAL, &now) && now.it_value.tv_sec > 150 &&
	      now.it_interval.tv_sec == 7);
	event.sigev_signo = SIGRTMIN + 1;
	CHECK(!syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &more) && more == id[5] + 1);
	got[SIGRTMIN + 2] = 0;
	got_value[SIGRTMIN + 2] = 0;
	for (int i = 0; i < 400 && got[SIGRTMIN + 2] < 2; i++)
		nap(10);
	CHECK(got[SIGRTMIN + 2] >= 2 && got_value[SIGRTMIN + 2] % 1000 == 5);
}

/* Files: where they are read and written, what is shared, and what came after the moment. */
static void act_files(void)
{
	int log = open(in("log"), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
	int input = open(in("input"), O_RDONLY), twin, fd100, rw, null, dir, path;
	char buf[16], line[32], *map;
	struct stat st;
	long n = 0;
	FILE *f;

	CHECK(log >= 0 && input >= 0 && read(input, buf, 5) == 5);
	twin = dup(input);
	fd100 = dup2(input, 100);
	rw = open(in("table"), O_CREAT | O_RDWR, 0600);
	CHECK(rw >= 0 && !ftruncate(rw, 2 * PAGE));
	map = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, rw, 0);
	CHECK(map != MAP_FAILED);
	strcpy(map + PAGE, "as it was");
	null = open("/dev/null", O_RDWR);
	dir = open(folder, O_RDONLY | O_DIRECTORY);
	path = open(folder, O_PATH);
	CHECK(null >= 0 && dir >= 0 && path >= 0 && !chdir(folder));
	umask(027);
	ready();
	/* It goes on to write after it was saved, till it is killed. */
	while (access(in("go"), F_OK)) {
		snprintf(line, sizeof(line), "%ld\n", n++);
		CHECK(write(log, line, strlen(line)) == (ssize_t)strlen(line));
		if (!access(in("saved"), F_OK))
			strcpy(map + PAGE, "after it");
		nap(2);
	}
	CHECK(!strcmp(map + PAGE, "as it was"));
	CHECK(pread(rw, buf, 9, PAGE) == 9 && !memcmp(buf, "as it was", 9));
	CHECK(lseek(input, 0, SEEK_CUR) == 5 && lseek(twin, 1, SEEK_CUR) == 6);
	CHECK(lseek(fd100, 0, SEEK_CUR) == 6);
	CHECK(fcntl(log, F_GETFD) == FD_CLOEXEC && !fcntl(input, F_GETFD));
	CHECK((fcntl(log, F_GETFL) & (O_ACCMODE | O_APPEND)) == (O_WRONLY | O_APPEND));
	CHECK((fcntl(rw, F_GETFL) & O_ACCMODE) == O_RDWR);
	CHECK(write(null, "x", 1) == 1 && !fstat(dir, &st) && S_ISDIR(st.st_mode));
	CHECK(fcntl(path, F_GETFL) & O_PATH);
	CHECK(getcwd(line, sizeof(line)) && !strcmp(line, folder));
	CHECK(umask(0) == 027);
	CHECK(fcntl(path + 1, F_GETFD) < 0 && fcntl(101, F_GETFD) < 0);
	/* Each number once, none is missing. */
	f = fopen(in("log"), "r");
	CHECK(f);
	for (long i = 0; i < n; i++)
		CHECK(fgets(line, sizeof(line), f) && atol(line) == i);
	CHECK(!fgets(line, sizeof(line), f));
	fclose(f);
}

/* Pipes among its own threads. */
static void act_pipes(void)
{
	char *sent = malloc(100000), *read_back = malloc(100000);
	int a[2], b[2], c[2], third;

	for (int i = 0; i < 100000; i++)
		sent[i] = i * 7 + i / 256;
	CHECK(!pipe2(a, O_CLOEXEC) && !pipe2(b, O_NONBLOCK) && !pipe(c));
	CHECK(fcntl(a[1], F_SETPIPE_SZ, 1 << 17) == 1 << 17);
	CHECK(write(a[1], sent, 100000) == 100000);
	CHECK(write(b[1], "nonblocking", 11) == 11);
	CHECK(write(c[1], "no writer", 9) == 9 && !close(c[1]));
	third = dup3(b[1], 50, O_CLOEXEC);
	wait_to_go();
	CHECK(fcntl(a[0], F_GETPIPE_SZ) == 1 << 17);
	for (int done = 0, n; done < 100000; done += n) {
		n = read(a[0], read_back + done, 100000 - done);
		CHECK(n > 0);
	}
	CHECK(!memcmp(sent, read_back, 100000));
	CHECK(read(b[0], read_back, 100) == 11 && !memcmp(read_back, "nonblocking", 11));
	CHECK(read(b[0], read_back, 100) == -1 && errno == EAGAIN);
	CHECK(write(third, "x", 1) == 1 && read(b[0], read_back, 100) == 1);
	CHECK(fcntl(third, F_GETFD) == FD_CLOEXEC && fcntl(a[0], F_GETFD) == FD_CLOEXEC &&
	      !fcntl(b[0], F_GETFD));
	CHECK(read(c[0], read_back, 100) == 9 && !read(c[0], read_back, 100));
}

/* Calls that block go on. */
static int word, ends[2];
static volatile int awake, asleep;

static void *sleeper(void *arg)
{
	struct timespec long_time = { 1, 500000000 };
	struct pollfd p = { .fd = ends[0], .events = POLLIN };
	sigset_t set;
	char c;

	__atomic_add_fetch(&asleep, 1, __ATOMIC_SEQ_CST);
	switch ((long)arg) {
	case 0:
		CHECK(!syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0));
		break;
	case 1:
		CHECK(read(ends[0], &c, 1) == 1 && c == 'x');
		break;
	case 2:
		p.fd = ends[1];
		p.events = POLLERR;
		CHECK(!poll(&p, 1, 1500));
		break;
	case 3:
		CHECK(!nanosleep(&long_time, NULL));
		break;
	case 4:
		sigemptyset(&set);
		sigaddset(&set, SIGUSR2);
		CHECK(sigwaitinfo(&set, NULL) == SIGUSR2 || errno == EINTR);
		break;
	}
	__atomic_add_fetch(&awake, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void act_blocked(void)
{
	pthread_t threads[5];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CHECK(!pipe(ends));
	for (long i = 0; i < 5; i++)
		CHECK(!pthread_create(&threads[i], NULL, sleeper, (void *)i));
	while (asleep < 5)
		nap(5);
	nap(50);
	wait_to_go();
	nap(100);
	word = 1;
	syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	CHECK(write(ends[1], "x", 1) == 1);
	kill(getpid(), SIGUSR2);
	for (int i = 0; i < 5; i++)
		CHECK(!pthread_join(threads[i], NULL));
	CHECK(awake == 5);
}

/* It saves itself, and the call returns twice. */
static void *saves_itself(void *arg)
{
	int dir = open(folder, O_PATH | O_DIRECTORY);
	struct cp_result result = { .refused = 0 };
	struct cp_args args = {
		.flags = CP_MOMENT | CP_PROCESS, .pidfd = -1, .dirfd = dir,
		.max_stop_ns = CP_MAX_STOP_NS,
		.result = (uintptr_t)&result, .result_size = sizeof(result),
	};
	volatile int times = 0;
	long ret;

	(void)arg;
	ret = cp_checkpoint(&args, sizeof(args));
	CHECK(ret || result.flags & CP_PROCESS);
	CHECK(ret == 0 || ret == 1);
	times++;
	if (!ret) {
		int fd = open(in("name"), O_CREAT | O_WRONLY, 0600);

		CHECK(write(fd, result.name, sizeof(result.name)) == sizeof(result.name));
		close(fd);
		wait_to_go();
		return NULL;
	}
	CHECK(times == 1);
	printf("goes_on: it went on\n");
	return NULL;
}

static void act_itself(void)
{
	saves_itself(NULL);
}

/* Not by its first thread. */
static void act_itself_thread(void)
{
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, saves_itself, NULL));
	CHECK(!pthread_join(thread, NULL));
}

/* What the kernel has of a thread besides. */
struct area {
	uint32_t	cpu_start, cpu;
	uint64_t	cs;
	uint32_t	flags, pad[3];
} __attribute__((aligned(32)));

static struct area area;

static void act_thread_state(void)
{
	struct robust { void *list; long offset; void *pending; } head = { &head }, *now;
	struct rlimit limit = { 123, 456 }, was;
	size_t len;
	int cleared;

	CHECK(!syscall(SYS_rseq, &area, sizeof(area), 0, 0x53053053));
	CHECK(!syscall(SYS_set_robust_list, &head, sizeof(head)));
	syscall(SYS_set_tid_address, &cleared);
	CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
	CHECK(!nice(3) || errno == 0 || getpriority(PRIO_PROCESS, 0) == 3);
	CHECK(!prctl(PR_SET_PDEATHSIG, SIGUSR2));
	CHECK(!prctl(PR_SET_NAME, "i am it"));
	wait_to_go();
	CHECK(!syscall(SYS_get_robust_list, 0, &now, &len) && now == &head);
	/* It is registered: another one cannot be, and this one can be taken back. */
	CHECK(syscall(SYS_rseq, &area, sizeof(area), 0, 0x53053053) && errno == EBUSY);
	CHECK(area.cpu == (uint32_t)sched_getcpu() || area.cpu < 64);
	CHECK(!syscall(SYS_rseq, &area, sizeof(area), 1, 0x53053053));
	CHECK(!getrlimit(RLIMIT_NOFILE, &was) && was.rlim_cur == 123 && was.rlim_max == 456);
	CHECK(getpriority(PRIO_PROCESS, 0) == 3);
	{
		int sig = 0;
		char name[16];

		CHECK(!prctl(PR_GET_PDEATHSIG, &sig) && sig == SIGUSR2);
		CHECK(!prctl(PR_GET_NAME, name) && !strcmp(name, "i am it"));
	}
	CHECK(getppid() > 0);
}

static const struct {
	const char	*name;
	void		(*act)(void);
} acts[] = {
	{ "memory", act_memory },
	{ "threads", act_threads },
	{ "signals", act_signals },
	{ "timers", act_timers },
	{ "files", act_files },
	{ "pipes", act_pipes },
	{ "blocked", act_blocked },
	{ "itself", act_itself },
	{ "itself_thread", act_itself_thread },
	{ "thread_state", act_thread_state },
};

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	folder = argv[2];
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		if (strcmp(acts[i].name, argv[1]))
			continue;
		acts[i].act();
		CHECK(argc == 3 && !strcmp(argv[1], acts[i].name));
		return 0;
	}
	return 2;
}
