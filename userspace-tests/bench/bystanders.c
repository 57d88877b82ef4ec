// SPDX-License-Identifier: GPL-2.0
/*
 * What the series costs programs that make no checkpoint: the system calls and
 * faults whose paths it touches, in instructions. Run it on two kernels.
 *
 * A round takes less than the 4 ms between two timer ticks, so that some of them
 * have none; the least of all counts.
 */
#include <sys/syscall.h>
#include <sys/uio.h>
#include <termios.h>

#include "cp_test.h"
#include "workload.h"

#define ROUNDS		25
#define ARENA		(16 * MIB)
#define BLOCK		(64UL << 10)
#define DEVICE		"/dev/zram0"

static struct arena arena;
static int device = -1, pipes[2];

/* Each does its thing @n times. Return: false if it cannot. */

static bool do_fork(unsigned int n)
{
	while (n--) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			return false;
	}
	return true;
}

static bool do_map(unsigned int n)
{
	while (n--) {
		void *mem = mmap(NULL, MIB, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (mem == MAP_FAILED || munmap(mem, MIB))
			return false;
	}
	return true;
}

/* Unmapping pages is what calls MMU notifiers, where there are any. */
static bool do_unmap(unsigned int n)
{
	while (n--) {
		char *mem = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE |
				 MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

		if (mem == MAP_FAILED || munmap(mem, MIB))
			return false;
	}
	return true;
}

static bool do_fault(unsigned int n)
{
	char *mem = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		return false;
	madvise(mem, n * PAGE, MADV_NOHUGEPAGE);
	for (unsigned int i = 0; i < n; i++)
		mem[i * PAGE] = 1;
	return !munmap(mem, n * PAGE);
}

static bool do_cow(unsigned int n)
{
	pid_t pid = fork();

	if (!pid)
		for (;;)
			pause();
	for (unsigned int i = 0; i < n; i++)
		arena.mem[i * PAGE] += 1;
	cp_kill(pid);
	return pid > 0;
}

static bool do_protect(unsigned int n)
{
	while (n--)
		if (mprotect(arena.mem, MIB, PROT_READ) ||
		    mprotect(arena.mem, MIB, PROT_READ | PROT_WRITE))
			return false;
	return true;
}

static bool do_direct_read(unsigned int n)
{
	while (n--)
		if (pread(device, arena.mem, BLOCK, 0) != (ssize_t)BLOCK)
			return false;
	return true;
}

static bool do_direct_read_page(unsigned int n)
{
	while (n--)
		if (pread(device, arena.mem, PAGE, 0) != (ssize_t)PAGE)
			return false;
	return true;
}

/* get_user_pages() for writing, a page each. */
static bool do_gup_write(unsigned int n)
{
	static char from[PAGE] __attribute__((aligned(4096)));
	struct iovec local = { from, 64 }, remote = { arena.mem, 64 };

	while (n--)
		if (syscall(SYS_process_vm_writev, getpid(), &local, 1UL, &remote,
			    1UL, 0UL) != 64)
			return false;
	return true;
}

/* get_user_pages_fast() for reading, 16 pages each. */
static bool do_gup_fast(unsigned int n)
{
	struct iovec from = { arena.mem, BLOCK };
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	bool ok = null >= 0;

	while (ok && n--)
		ok = vmsplice(pipes[1], &from, 1, 0) == (ssize_t)BLOCK &&
		     splice(pipes[0], NULL, null, NULL, BLOCK, 0) == (ssize_t)BLOCK;
	close(null);
	return ok;
}

static const struct {
	const char	*name, *what;
	bool		(*run)(unsigned int n);
	unsigned int	n;
} things[] = {
	{ "fork", "fork(), exit and wait of a process of 16 MiB", do_fork, 2 },
	{ "mmap", "mmap() and munmap() of 1 MiB, not touched", do_map, 500 },
	{ "munmap", "mmap() and munmap() of 1 MiB, populated", do_unmap, 8 },
	{ "fault", "first write to a page", do_fault, 2048 },
	{ "cow", "copy-on-write of a page", do_cow, 1024 },
	{ "mprotect", "mprotect() of 1 MiB, off and on", do_protect, 50 },
	{ "direct-4k", "O_DIRECT read of 4 KiB", do_direct_read_page, 500 },
	{ "direct-64k", "O_DIRECT read of 64 KiB", do_direct_read, 100 },
	{ "gup", "process_vm_writev() of a page", do_gup_write, 500 },
	{ "gup-fast", "vmsplice() of 16 pages", do_gup_fast, 500 },
};

/* A block device that answers at once: reading from it is all the caller's time. */
static bool open_device(void)
{
	if (cp_write_file("/sys/block/zram0/disksize", "16M"))
		return false;
	device = open(DEVICE, O_RDWR | O_DIRECT | O_CLOEXEC);
	return device >= 0 && pwrite(device, arena.mem, BLOCK, 0) == (ssize_t)BLOCK;
}

int main(void)
{
	if (!arena_get(&arena, ARENA, 0) || pipe(pipes)) {
		perror("bystanders");
		return 1;
	}
	if (!open_device())
		printf("# %s: %s\n", DEVICE, strerror(errno));
	for (size_t i = 0; i < sizeof(things) / sizeof(*things); i++) {
		double best = -1;

		for (int round = 0; round < ROUNDS; round++) {
			double t;
			bool ok;

			usleep(1);	/* a new time slice */
			t = now();
			ok = things[i].run(things[i].n);
			t = (now() - t) / things[i].n;
			if (!ok) {
				printf("# %s: %s\n", things[i].name, strerror(errno));
				best = -1;
				break;
			}
			if (best < 0 || t < best)
				best = t;
		}
		if (best >= 0)
			printf("bystander,%s,\"%s\",%.1f\n", things[i].name,
			       things[i].what, best);
		fflush(stdout);
		tcdrain(STDOUT_FILENO);
	}
	return 0;
}
