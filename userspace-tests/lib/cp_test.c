// SPDX-License-Identifier: GPL-2.0
/* What the tests share: taking a checkpoint, and holding an image against it. */
#include <elf.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/utsname.h>
#include <time.h>

#include "cp_test.h"

/* which has chosen the features of the libc */
#include <sys/procfs.h>
#include "needs.h"
#include "say.h"

int cp_gettid(void)
{
	return syscall(SYS_gettid);
}

/* The file of checkpoint @n of thread @tid. */
const char *cp_name(int tid, unsigned long n)
{
	static __thread char name[2][64];
	static __thread int turn;

	turn = !turn;
	snprintf(name[turn], sizeof(name[turn]), "/tmp/%d-cp%lu", tid, n);
	return name[turn];
}

struct cpimg *cp_open(int tid, unsigned long n)
{
	struct cpimg_error err;
	struct cpimg *img = cpimg_open(cp_name(tid, n), 0, &err);

	if (!img)
		fprintf(stderr, "# %s\n", err.text);
	return img;
}

/*
 * A checkpoint of @len bytes, opened. The file is taken away at once, so that
 * the tests leave /tmp empty. Only for threads that do no other checkpoints.
 */
struct cpimg *cp_take(void *start, size_t len)
{
	static __thread unsigned long n;
	static __thread int owner;
	struct cpimg *img;

	if (owner != cp_gettid()) {
		owner = cp_gettid();
		n = 0;
	}
	if (cp_range(start, (char *)start + len)) {
		fprintf(stderr, "# cp_range(%p, +0x%zx): %s\n", start, len,
			strerror(errno));
		return NULL;
	}
	img = cp_open(owner, n);
	unlink(cp_name(owner, n));
	n++;
	return img;
}

/* Anonymous private memory with nothing mapped at either side. */
void *cp_map(size_t len)
{
	char *mem = mmap(NULL, len + 2 * PAGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		return NULL;
	munmap(mem, PAGE);
	munmap(mem + PAGE + len, PAGE);
	mprotect(mem + PAGE, len, PROT_READ | PROT_WRITE);
	return mem + PAGE;
}

/* Such memory at @addr, where nothing may be. */
void *cp_map_at(void *addr, size_t len)
{
	void *mem = mmap(addr, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

/* @len bytes more of heap. Not sbrk(): musl has none that grows. */
void *cp_brk(size_t len)
{
	char *end = (char *)syscall(SYS_brk, 0);

	return (char *)syscall(SYS_brk, end + len) == end + len ? end : NULL;
}

/* No two words are the same and none is 0. */
void cp_fill(void *mem, size_t len, unsigned int seed)
{
	uint64_t *p = mem;

	for (size_t i = 0; i < len / sizeof(*p); i++)
		p[i] = ((uint64_t)(seed + 1) << 40 | (i + 1)) * 0x9e3779b97f4a7c15ULL;
}

/* @len bytes of a file in memory, mapped shared; the file stays open as @fd. */
void *cp_memfd(const char *name, size_t len, unsigned int seed, int *fd)
{
	char path[64];
	void *mem;

	/* Not memfd_create(): old kernels have tmpfs only. */
	snprintf(path, sizeof(path), "/dev/shm/%s.%d", name, getpid());
	*fd = open(path, O_CREAT | O_EXCL | O_RDWR, 0600);
	unlink(path);
	if (*fd < 0 || ftruncate(*fd, len))
		return NULL;
	mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (mem == MAP_FAILED)
		return NULL;
	cp_fill(mem, len, seed);
	return mem;
}

/* What NT_PRSTATUS says of the thread that made an image of a program like this one. */
bool cp_prstatus(const struct cpimg *img, struct elf_prstatus *st)
{
	struct cpimg_elfnote en;

	if (!cpimg_find_note(img, "CORE", NT_PRSTATUS, &en) || en.size != sizeof(*st))
		return false;
	memcpy(st, en.desc, sizeof(*st));
	return true;
}

/* Every page of [@mem, @mem + @len) is of that class. */
const char *cp_is(const struct cpimg *img, const void *mem, size_t len,
		  enum cpimg_class cls, uint32_t reason)
{
	uint64_t at = (uintptr_t)mem, end = at + len;

	while (at < end) {
		const struct cpimg_run *run = cpimg_find(img, at);

		if (!run)
			return say("page %" PRIu64 " of %lu (0x%" PRIx64 ") is in no run, not %s %u",
				   (at - (uintptr_t)mem) / PAGE, len / PAGE, at,
				   cpimg_class_name(cls), reason);
		if (run->cls != cls || run->reason != reason)
			return say("page %" PRIu64 " of %lu (0x%" PRIx64 ") is %s %u (%s), not %s %u",
				   (at - (uintptr_t)mem) / PAGE, len / PAGE, at,
				   cpimg_class_name(run->cls), run->reason,
				   run->cls == CPIMG_SKIPPED ?
				   cpimg_skip_name(run->reason) :
				   cpimg_hole_name(run->reason),
				   cpimg_class_name(cls), reason);
		at = run->end;
	}
	return NULL;
}

static const char *differ(uint64_t addr, const unsigned char *img,
			  const unsigned char *mem, size_t len)
{
	size_t i = 0;

	while (i < len && img[i] == mem[i])
		i++;
	return say("at 0x%" PRIx64 " (page offset 0x%x) the image has 0x%02x, memory 0x%02x",
		   addr + i, (unsigned int)((addr + i) % PAGE), img[i], mem[i]);
}

/* Every page of [@mem, @mem + @len) is DATA and has the bytes of now. */
const char *cp_same_bytes(const struct cpimg *img, const void *mem, size_t len)
{
	static __thread unsigned char buf[64 * 1024];
	const char *why = cp_is(img, mem, len, CPIMG_DATA, 0);
	struct cpimg_error err;

	for (size_t at = 0, n; !why && at < len; at += n) {
		const unsigned char *p = (const unsigned char *)mem + at;

		n = len - at < sizeof(buf) ? len - at : sizeof(buf);
		if (cpimg_pread(img, (uintptr_t)p, buf, n, &err))
			return say("%s", err.text);
		if (memcmp(buf, p, n))
			return differ((uintptr_t)p, buf, p, n);
	}
	return why;
}

/* The next mapping of a maps file; skips what it cannot parse. */
static bool next_map(FILE *f, uint64_t *start, uint64_t *end, int *prot,
		     char *line, size_t size)
{
	char r, w, x, s;

	while (fgets(line, size, f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %c%c%c%c", start, end,
			   &r, &w, &x, &s) != 6)
			continue;
		*prot = (r == 'r' ? PROT_READ : 0) | (w == 'w' ? PROT_WRITE : 0) |
			(x == 'x' ? PROT_EXEC : 0);
		return true;
	}
	return false;
}

/* What of [*@start, @stop) comes first that the image looked at: [*@start, *@end). */
bool cp_looked_at(const struct cpimg *img, uint64_t *start, uint64_t stop, uint64_t *end)
{
	size_t count;
	const struct cp_span *area = cpimg_areas(img, &count);

	for (; count; count--, area++) {
		if (area->end <= *start)
			continue;
		if (area->start > *start)
			*start = area->start;
		*end = area->end < stop ? area->end : stop;
		return *start < stop;
	}
	return false;
}

/*
 * The runs are exactly the mappings of @pid in the image's ranges, cut at will,
 * each with its mapping's protection. @pid must not have changed its mappings
 * since: best it stands still.
 */
const char *cp_check_maps(const struct cpimg *img, int pid)
{
	const struct cpimg_run *run;
	uint64_t start, stop, end;
	char path[64], line[512];
	const char *why = NULL;
	size_t left;
	int prot = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return say("%s: %s", path, strerror(errno));
	run = cpimg_runs(img, &left);
	start = stop = 0;
	while (!why && (start < stop ||
			next_map(f, &start, &stop, &prot, line, sizeof(line)))) {
		if (!cp_looked_at(img, &start, stop, &end)) {
			start = stop;
			continue;
		}
		/* 2.6.32 does not show the lowest page of a stack, its guard. */
		if (left && cp_kernel_before(2, 7) && run->start == start - PAGE &&
		    run->cls == CPIMG_HOLE)
			start -= PAGE;
		while (!why && start < end) {
			if (!left || run->start != start)
				why = say("run at 0x%" PRIx64 ", expected 0x%" PRIx64 " of %s",
					  left ? (uint64_t)run->start : 0, start, line);
			else if (run->end > end)
				why = say("run 0x%" PRIx64 "-0x%" PRIx64 " crosses the end of %s",
					  (uint64_t)run->start, (uint64_t)run->end, line);
			else if (run->prot != prot)
				why = say("run at 0x%" PRIx64 " has protection %d, not %d of %s",
					  start, run->prot, prot, line);
			else
				start = run->end;
			run++;
			left--;
		}
	}
	if (!why && left)
		why = say("run at 0x%" PRIx64 " is in no mapping", (uint64_t)run->start);
	fclose(f);
	return why;
}

static const char *check_run(const struct cpimg *img, int mem,
			     const struct cpimg_run *run)
{
	static unsigned char now[64 * 1024], then[64 * 1024];
	struct cpimg_error err;

	for (uint64_t at = run->start, n; at < run->end; at += n) {
		n = run->end - at < sizeof(now) ? run->end - at : sizeof(now);
		if (pread(mem, now, n, at) != (ssize_t)n)
			return say("reading the process at 0x%" PRIx64 ": %s",
				   at, strerror(errno));
		if (cpimg_pread(img, at, then, n, &err))
			return say("%s", err.text);
		if (memcmp(then, now, n))
			return differ(at, then, now, n);
	}
	return NULL;
}

/*
 * The memory of process @pid, to be read at addresses like @addr. Where only its
 * tracer may read it, it is attached; that ends with it or with cp_kill().
 * Return: a file descriptor, or -1.
 */
int cp_open_memory(int pid, uint64_t addr)
{
	char path[64], byte;
	int mem;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	if (mem >= 0 && pread(mem, &byte, 1, addr) < 0 && errno == ESRCH &&
	    (ptrace(PTRACE_ATTACH, pid, NULL, NULL) ||
	     waitpid(pid, NULL, __WALL) != pid)) {
		close(mem);
		return -1;
	}
	return mem;
}

/* Every byte of DATA, and every zero of HOLE, is what process @pid has now. */
const char *cp_check_process(const struct cpimg *img, int pid)
{
	const struct cpimg_run *run;
	const char *why = NULL;
	size_t left;
	int mem;

	run = cpimg_runs(img, &left);
	mem = cp_open_memory(pid, left ? run->start : 0);
	if (mem < 0)
		return say("memory of process %d: %s", pid, strerror(errno));
	for (; !why && left; run++, left--) {
		if (run->cls == CPIMG_DATA ||
		    (run->cls == CPIMG_HOLE && run->reason == CP_HOLE_ZERO))
			why = check_run(img, mem, run);
	}
	close(mem);
	return why;
}

const char *cp_no_file(int tid, unsigned long n)
{
	struct stat st;

	if (!lstat(cp_name(tid, n), &st))
		return say("%s is there, %lld bytes, mode %o", cp_name(tid, n),
			   (long long)st.st_size, st.st_mode);
	return NULL;
}

/* @fn in a child. Return: as waitpid() has it. */
int cp_run(void (*fn)(void *arg), void *arg)
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		fn(arg);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return status;
}

/* Wait until @pid sleeps in pause(), which is how it says that it is done. */
bool cp_wait_stopped(int pid)
{
	char path[64], text[64] = "";
	int status;

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	for (int tries = cp_debug_kernel() ? 10000 : 2500; tries; tries--) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

		if (fd >= 0)
			close(fd);
		text[n > 0 ? n : 0] = 0;
		/* pause() is number 34, 29 for 32 bits */
		if (!strncmp(text, "34 ", 3) || !strncmp(text, "29 ", 3))
			return true;
		if (waitpid(pid, &status, WNOHANG) == pid) {
			fprintf(stderr, "# process %d ended with status 0x%x\n",
				pid, status);
			return false;
		}
		usleep(10000);
	}
	fprintf(stderr, "# process %d does not get to pause(): %s\n", pid, text);
	return false;
}

/* Start a helper that will stand still. Return: its pid, or -1. */
int cp_exec_stopped(const char *const argv[])
{
	pid_t pid = fork();

	if (!pid) {
		execv(argv[0], (char *const *)argv);
		perror(argv[0]);
		_exit(127);
	}
	if (pid > 0 && cp_wait_stopped(pid))
		return pid;
	if (pid > 0)
		cp_kill(pid);
	return -1;
}

void cp_kill(int pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Helpers lie beside the tests. */
const char *cp_helper(const char *name)
{
	static char path[256];
	char self[160];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[n > 0 ? n : 0] = 0;
	slash = strrchr(self, '/');
	if (slash)
		*slash = 0;
	snprintf(path, sizeof(path), "%s/helpers/%s", self, name);
	if (access(path, X_OK))
		snprintf(path, sizeof(path), "%s/%s", self, name);
	return path;
}

/* The number at the start of a file, or -1. */
long cp_read_number(const char *path)
{
	char text[64];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return -1;
	text[n] = 0;
	return strtol(text, NULL, 0);
}

/* 0, or -1 with errno */
int cp_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return n < 0 ? -1 : 0;
}

/* Return: 0, or -1 and errno. */
int cp_copy(const char *from, const char *to)
{
	static char buf[1 << 20];
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = in < 0 ? -1 : open(to, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
	ssize_t n = out < 0 ? -1 : 0;

	while (out >= 0 && (n = read(in, buf, sizeof(buf))) > 0) {
		if (write(out, buf, n) != n)
			break;
	}
	if (in >= 0)
		close(in);
	if (out >= 0 && close(out))
		n = -1;
	return n ? -1 : 0;
}

static long number_of_line(const char *path, const char *field)
{
	char line[128];
	FILE *f = fopen(path, "re");
	size_t len = strlen(field);
	long value = -1;

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, field, len) && strchr(" :", line[len]))
			value = atol(line + len + 1);
	}
	if (f)
		fclose(f);
	return value;
}

/* Seconds by a clock that nobody sets. */
double cp_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* The first device, or file, that memory is swapped to; NULL: there is none. */
const char *cp_swap_device(void)
{
	static char device[64];
	char line[256];
	FILE *f = fopen("/proc/swaps", "re");
	bool found = f && fgets(line, sizeof(line), f) && fgets(line, sizeof(line), f) &&
		     sscanf(line, "%63s", device) == 1;

	if (f)
		fclose(f);
	return found ? device : NULL;
}

/* A counter of /proc/vmstat, or -1. */
long cp_vmstat(const char *field)
{
	return number_of_line("/proc/vmstat", field);
}

/* A line of /proc/meminfo, in kB, or -1. */
long cp_meminfo(const char *field)
{
	return number_of_line("/proc/meminfo", field);
}

/* What programs may still take without swapping, in kB. */
long cp_available(void)
{
	long kb = cp_meminfo("MemAvailable");

	/* before 3.14 the kernel leaves it to others to guess */
	return kb < 0 ? cp_meminfo("MemFree") : kb;
}

/* Whether the OOM killer is to take this process first, or never. */
void cp_oom_first(bool first)
{
	/* before 2.6.36, by the other name of it */
	if (cp_write_file("/proc/self/oom_score_adj", first ? "1000" : "-1000"))
		cp_write_file("/proc/self/oom_adj", first ? "15" : "-17");
}

/*
 * A child that holds all of the memory but @kb, and can not be swapped out; it has
 * done so when cp_wait_stopped() says that it stands still. It dies with its parent.
 * There must be swap: the files of the guest's root are in memory, and go there.
 * Return: its pid.
 */
int cp_hold_memory_but(long kb)
{
	size_t size = (cp_available() + cp_meminfo("Shmem") - kb) << 10;
	pid_t pid = fork();
	char *mem;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	cp_oom_first(false);
	cp_write_file("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		   -1, 0);
	if (mem == MAP_FAILED)
		_exit(1);
	madvise(mem, size, MADV_HUGEPAGE);
	if (mlock(mem, size))
		_exit(1);
	for (;;)
		pause();
}

/*
 * As setresuid(). A process that changes its rights is not dumpable any more, and then
 * makes no checkpoints, unless it says that it may.
 */
int cp_set_user(uid_t real, uid_t effective, uid_t saved)
{
	if (setresuid(real, effective, saved))
		return -1;
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

/*
 * Where user addresses end, as the kernel rounds and clamps it: of 47 bits, or of 56
 * with five levels of page tables, where one gets what lies higher by asking for it.
 * Of 32 bits: 3 GB, or nearly 4 where the kernel has 64.
 */
uint64_t cp_user_end(void)
{
	uint64_t end = (1ULL << 56) - PAGE;
	struct utsname name;
	void *last;

	if (sizeof(void *) == 4)
		return !uname(&name) && !strcmp(name.machine, "x86_64") ? 0xffffe000 :
									   0xc0000000;
	last = cp_map_at((void *)(uintptr_t)(end - PAGE), PAGE);
	if (last)
		munmap(last, PAGE);
	return (uintptr_t)last == end - PAGE ? end : (1ULL << 47) - PAGE;
}

/* With KASAN and kmemleak some ten times slower: less memory will do there. */
bool cp_debug_kernel(void)
{
	return !access("/sys/kernel/debug/kmemleak", F_OK);
}

static uint64_t read_u64(const char *path, uint64_t index)
{
	uint64_t value = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || pread(fd, &value, 8, index * 8) != 8)
		value = 0;
	if (fd >= 0)
		close(fd);
	return value;
}

/*
 * New pages for all of [@mem, @mem + @len), and between two of them one of another
 * mapping, which goes: something for compaction to fill.
 */
void cp_spread(char *mem, size_t len)
{
	char *other = cp_map(len);

	madvise(mem, len, MADV_DONTNEED);
	madvise(other, len, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < len; i += PAGE) {
		mem[i] = 1;
		other[i] = 1;
	}
	munmap(other, len);
}

/* Let KSM scan, for @seconds at the most, until @file of its says @pages; it goes on. */
bool cp_ksm_reaches(const char *file, long pages, int seconds)
{
	double end = cp_now() + seconds;

	cp_write_file(CP_KSM "run", "1");
	do {
		if (cp_read_number(file) >= pages)
			return true;
		usleep(10000);
	} while (cp_now() < end);
	return false;
}

/* kB of a field of smaps, of the mapping that holds @mem */
long cp_smaps(const void *mem, const char *field)
{
	char line[256];
	FILE *f = fopen("/proc/self/smaps", "r");
	uint64_t start, end;
	bool here = false;
	long kb = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2)
			here = start <= (uintptr_t)mem && (uintptr_t)mem < end;
		else if (here && !strncmp(line, field, strlen(field)))
			kb = atol(strchr(line, ':') + 1);
	}
	if (f)
		fclose(f);
	return kb;
}

/* The entry of /proc/self/pagemap: bit 63 present, 62 swapped, 61 file. */
uint64_t cp_pagemap(const void *mem)
{
	return read_u64("/proc/self/pagemap", (uintptr_t)mem / PAGE);
}

/* How many pages are in swap. */
size_t cp_swapped(const void *mem, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i += PAGE)
		n += cp_pagemap((const char *)mem + i) >> 62 & 1;
	return n;
}

/*
 * As madvise() with MADV_PAGEOUT. Where the kernel does not know that, a helper
 * takes memory till the pages are out; no fork, which would make them shared.
 * Return: 0, or -1 and errno.
 */
int cp_pageout(void *mem, size_t len)
{
	char pid[16], start[24], size[24];
	int child, status;

	if (!madvise(mem, len, MADV_PAGEOUT))
		return 0;
	if (errno != EINVAL)
		return -1;

	snprintf(pid, sizeof(pid), "%d", getpid());
	snprintf(start, sizeof(start), "%lu", (unsigned long)mem);
	snprintf(size, sizeof(size), "%zu", len);
	child = vfork();
	if (!child) {
		execl(cp_helper("take_memory"), "take_memory", pid, start, size,
		      NULL);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

/* KPF_* of the page that is mapped there, or 0. */
uint64_t cp_kpageflags(const void *mem)
{
	uint64_t entry = cp_pagemap(mem);

	if (!(entry >> 63))
		return 0;
	return read_u64("/proc/kpageflags", entry & ((1ULL << 55) - 1));
}
