// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --smp 2 --disk 64 --swap 64 --slow 4 */
/*
 * Who writes to a page behind the page table sets no dirty bit: direct I/O,
 * debuggers, other processes, devices. Each does so between two checkpoints,
 * into pages that the chain has and that are clean, and the second must have it.
 */
#define _GNU_SOURCE
#include <sys/ptrace.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>

#include "chain.h"
#include "harness.h"

#if __has_include(<../../../lib/test_hmm_uapi.h>)
#include <../../../lib/test_hmm_uapi.h>
#define HAVE_HMM
#endif

#define LEN	(4UL << 20)
#define PAGES	(LEN / PAGE)
#define BASE	CP_FAR(0x20)

FIXTURE(behind) {
	char		*mem;
	char		*bytes;		/* to be written */
	struct chain	c;
};

FIXTURE_SETUP(behind)
{
	self->mem = cp_map_at(BASE, LEN);
	ASSERT_NE(NULL, self->mem);
	madvise(self->mem, LEN, MADV_NOHUGEPAGE);
	cp_pin(0);
	cp_fill(self->mem, LEN, 1);
	self->bytes = mmap(NULL, LEN, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cp_fill(self->bytes, LEN, 2);
}

FIXTURE_TEARDOWN(behind)
{
	chain_close(&self->c);
	chain_remove();
}

#define INC()		ASSERT_OK(chain_inc(&self->c, self->mem, LEN))
#define MATCHES()	EXPECT_OK(chain_matches(&self->c, self->mem, LEN))
#define COUNT(cls)	chain_pages(&self->c, self->mem, LEN, CPIMG_##cls)

/* All of it in the chain, and clean. */
#define BEGIN() do { \
	ASSERT_OK(chain_full(&self->c, self->mem, LEN)); \
	INC(); \
	ASSERT_EQ(0, COUNT(DATA)); \
} while (0)

/* @pages of it were written, and hardly more is saved. */
#define SAVED(pages) do { \
	INC(); \
	MATCHES(); \
	EXPECT_LE(pages, COUNT(DATA)); \
	EXPECT_GE((pages) + 16, COUNT(DATA)); \
	INC(); \
	MATCHES(); \
} while (0)

/* A file that O_DIRECT can be used on, with @bytes in it. */
static int direct_file(const char *dir, const char *bytes)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "%s/behind", dir);
	fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	if (fd < 0 || write(fd, bytes, LEN) != (ssize_t)LEN || fsync(fd))
		return -1;
	close(fd);
	return open(name, O_RDONLY | O_DIRECT);
}

TEST_F(behind, direct_reads)
{
	int fd;

	if (access("/disk/lost+found", F_OK))
		SKIP(return, "no /disk");
	fd = direct_file("/disk", self->bytes);
	ASSERT_LE(0, fd);
	BEGIN();
	ASSERT_EQ(512, pread(fd, self->mem + 5 * PAGE + 512, 512, 1024));
	SAVED(1);
	ASSERT_EQ((ssize_t)(100 * PAGE), pread(fd, self->mem + 450 * PAGE, 100 * PAGE, 0));
	SAVED(100);
	ASSERT_EQ((ssize_t)LEN, pread(fd, self->mem, LEN, 0));
	SAVED(PAGES);
}

TEST_F(behind, direct_reads_from_9p)
{
	int fd;

	if (access("/host", W_OK))
		SKIP(return, "no /host");
	fd = direct_file("/host", self->bytes);
	if (fd < 0 && errno == EINVAL)
		SKIP(return, "no O_DIRECT on 9p");
	ASSERT_LE(0, fd);
	BEGIN();
	ASSERT_EQ((ssize_t)(3 * PAGE), pread(fd, self->mem + 7 * PAGE, 3 * PAGE, 0));
	SAVED(3);
	ASSERT_EQ((ssize_t)(64 * PAGE), pread(fd, self->mem + 500 * PAGE, 64 * PAGE, PAGE));
	SAVED(64);
	unlink("/host/behind");
}

static struct writes {
	int		pid;
	char		*to;
	char		*from;
	size_t		len;
} writes;

static void vm_writev(void *arg)
{
	struct writes *w = arg;
	struct iovec local = { w->from, w->len }, remote = { w->to, w->len };

	if (process_vm_writev(w->pid, &local, 1, &remote, 1, 0) != (ssize_t)w->len)
		_exit(1);
}

static void write_mem(void *arg)
{
	struct writes *w = arg;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", w->pid);
	fd = open(path, O_WRONLY);
	if (pwrite(fd, w->from, w->len, (uintptr_t)w->to) != (ssize_t)w->len)
		_exit(1);
}

static void poke(void *arg)
{
	struct writes *w = arg;
	long word;

	if (ptrace(PTRACE_ATTACH, w->pid, NULL, NULL) ||
	    waitpid(w->pid, NULL, __WALL) != w->pid)
		_exit(1);
	for (size_t i = 0; i < w->len; i += sizeof(word)) {
		memcpy(&word, w->from + i, sizeof(word));
		if (ptrace(PTRACE_POKEDATA, w->pid, w->to + i, (void *)word))
			_exit(1);
	}
	if (ptrace(PTRACE_DETACH, w->pid, NULL, NULL))
		_exit(1);
}

/*
 * The writer must not be a fork of the moment: that would make the pages
 * shared, and each write a copy. So it is there before the chain is.
 */
static int start_writer(void (*fn)(void *arg), struct writes *w)
{
	int pair[2], parent = getpid();
	char c;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair))
		return -1;
	if (!fork()) {
		close(pair[0]);
		munmap(BASE, LEN);
		while (read(pair[1], w, sizeof(*w)) == sizeof(*w)) {
			w->pid = parent;
			fn(w);
			if (write(pair[1], &c, 1) != 1)
				break;
		}
		_exit(0);
	}
	close(pair[1]);
	return pair[0];
}

#define REMOTE(fd, to_, from_, len_) do { \
	struct writes w_ = { .to = to_, .from = from_, .len = len_ }; \
	char c_; \
	ASSERT_EQ((ssize_t)sizeof(w_), write(fd, &w_, sizeof(w_))); \
	ASSERT_EQ(1, read(fd, &c_, 1)) TH_LOG("the writer failed"); \
} while (0)

/* Again in pages of their own, not shared with the writer. */
static void own_again(char *mem)
{
	for (size_t i = 0; i < LEN; i += PAGE)
		mem[i]++;
}

TEST_F(behind, process_vm_writev)
{
	int fd;

	if (process_vm_writev(getpid(), NULL, 0, NULL, 0, 0))
		SKIP(return, "no process_vm_writev(): %s", strerror(errno));
	fd = start_writer(vm_writev, &writes);
	own_again(self->mem);
	BEGIN();
	REMOTE(fd, self->mem + 3 * PAGE + 17, self->bytes, 5);
	SAVED(1);
	REMOTE(fd, self->mem + 400 * PAGE, self->bytes, 300 * PAGE);
	SAVED(300);
}

TEST_F(behind, ptrace)
{
	int fd = start_writer(poke, &writes);

	own_again(self->mem);
	BEGIN();
	REMOTE(fd, self->mem + 3 * PAGE + 16, self->bytes, 8);
	SAVED(1);
	/* a word across two pages */
	REMOTE(fd, self->mem + 7 * PAGE - 4, self->bytes, 8);
	SAVED(2);
	REMOTE(fd, self->mem + 510 * PAGE, self->bytes, 4 * PAGE);
	SAVED(4);
	/* A breakpoint: into what the program may only read. */
	ASSERT_EQ(0, mprotect(self->mem, LEN, PROT_READ));
	REMOTE(fd, self->mem + 9 * PAGE, self->bytes, 8);
	SAVED(1);
}

TEST_F(behind, proc_pid_mem)
{
	int self_mem = open("/proc/self/mem", O_WRONLY);
	int fd;

	/* Old kernels let nobody write there. */
	if (pwrite(self_mem, self->bytes, 1, (uintptr_t)self->mem) != 1)
		SKIP(return, "/proc/PID/mem is not for writing: %s",
		     strerror(errno));
	close(self_mem);
	fd = start_writer(write_mem, &writes);
	own_again(self->mem);
	BEGIN();
	REMOTE(fd, self->mem + 3 * PAGE + 17, self->bytes, 5);
	SAVED(1);
	REMOTE(fd, self->mem + 510 * PAGE, self->bytes, 4 * PAGE);
	SAVED(4);
	/* As a debugger does: into what the program may only read. */
	ASSERT_EQ(0, mprotect(self->mem, LEN, PROT_READ));
	REMOTE(fd, self->mem + 9 * PAGE, self->bytes, 8);
	SAVED(1);
}

/* MADV_FREE leaves them clean, with their bytes as long as memory is not short. */
#define CLEAN_HUGE_PAGES() do { \
	cp_write_file("/sys/kernel/mm/transparent_hugepage/enabled", "madvise"); \
	ASSERT_EQ(self->mem, mmap(self->mem, LEN, PROT_READ | PROT_WRITE, \
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)); \
	madvise(self->mem, LEN, MADV_HUGEPAGE); \
	cp_fill(self->mem, LEN, 3); \
	if (!(cp_kpageflags(self->mem + HUGE) & (1ULL << 22))) \
		SKIP(return, "no huge page to be had"); \
	ASSERT_EQ(0, madvise(self->mem, LEN, MADV_FREE)); \
} while (0)

/* A huge page stays whole only while it is clean. */
TEST_F(behind, all_of_a_clean_huge_page)
{
	int fd = start_writer(vm_writev, &writes);

	CLEAN_HUGE_PAGES();
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	INC();
	ASSERT_EQ(PAGES, COUNT(SAME));
	REMOTE(fd, self->mem + HUGE, self->bytes, HUGE);
	INC();
	MATCHES();
	REMOTE(fd, self->mem + 100 * PAGE, self->bytes, 3 * PAGE);
	INC();
	MATCHES();
}

/* Whoever holds a piece of it may write to it: then it is saved each time. */
TEST_F(behind, clean_huge_page_that_somebody_holds)
{
	struct iovec iov = { self->mem + HUGE, PAGE };
	int pipes[2];

	CLEAN_HUGE_PAGES();
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ((ssize_t)PAGE, vmsplice(pipes[1], &iov, 1, 0));
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	INC();
	ASSERT_EQ(HUGE / PAGE, chain_pages(&self->c, self->mem, HUGE, CPIMG_SAME));
	ASSERT_EQ(HUGE / PAGE, chain_pages(&self->c, self->mem + HUGE, HUGE, CPIMG_DATA));
	MATCHES();
	close(pipes[0]);
	close(pipes[1]);
	INC();
	INC();
	ASSERT_EQ(PAGES, COUNT(SAME));
	MATCHES();
}

TEST_F(behind, vmsplice)
{
	struct iovec iov;
	int pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	BEGIN();
	/* From the pipe: a copy. */
	ASSERT_EQ(100, write(pipes[1], self->bytes, 100));
	iov = (struct iovec) { self->mem + 3 * PAGE, 100 };
	ASSERT_EQ(100, vmsplice(pipes[0], &iov, 1, 0));
	SAVED(1);
	/* To it: a gift that is used on, by both. */
	iov = (struct iovec) { self->mem + 4 * PAGE, 4 * PAGE };
	ASSERT_EQ((ssize_t)(4 * PAGE), vmsplice(pipes[1], &iov, 1, SPLICE_F_GIFT));
	INC();
	MATCHES();
	self->mem[4 * PAGE]++;
	INC();
	MATCHES();
	ASSERT_EQ((ssize_t)(4 * PAGE), read(pipes[0], self->bytes, 4 * PAGE));
	INC();
	MATCHES();
}

/* Just enough of io_uring for one read at a time. */
static struct ring {
	int			fd;
	struct io_uring_params	p;
	char			*sq, *cq;
	struct io_uring_sqe	*sqes;
} ring;

static bool ring_open(void)
{
	memset(&ring, 0, sizeof(ring));
	ring.fd = syscall(SYS_io_uring_setup, 4, &ring.p);
	if (ring.fd < 0)
		return false;
	ring.sq = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd,
		       IORING_OFF_SQ_RING);
	ring.cq = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd,
		       IORING_OFF_CQ_RING);
	ring.sqes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd,
			 IORING_OFF_SQES);
	return ring.sq != MAP_FAILED && ring.cq != MAP_FAILED &&
	       ring.sqes != MAP_FAILED;
}

static unsigned int *word(char *base, unsigned int offset)
{
	return (unsigned int *)(base + offset);
}

static void ring_submit(int op, int fd, void *to, size_t len, off_t from)
{
	unsigned int *tail = word(ring.sq, ring.p.sq_off.tail);
	unsigned int i = *tail & *word(ring.sq, ring.p.sq_off.ring_mask);

	memset(&ring.sqes[i], 0, sizeof(ring.sqes[i]));
	ring.sqes[i].opcode = op;
	ring.sqes[i].flags = IOSQE_ASYNC;
	ring.sqes[i].fd = fd;
	ring.sqes[i].addr = (uintptr_t)to;
	ring.sqes[i].len = len;
	ring.sqes[i].off = from;
	word(ring.sq, ring.p.sq_off.array)[i] = i;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	syscall(SYS_io_uring_enter, ring.fd, 1, 0, 0, NULL, 0);
}

static int ring_wait(void)
{
	unsigned int *head = word(ring.cq, ring.p.cq_off.head);
	struct io_uring_cqe *cqes = (void *)(ring.cq + ring.p.cq_off.cqes);
	int res;

	while (__atomic_load_n(word(ring.cq, ring.p.cq_off.tail), __ATOMIC_ACQUIRE) == *head)
		syscall(SYS_io_uring_enter, ring.fd, 0, 1, IORING_ENTER_GETEVENTS,
			NULL, 0);
	res = cqes[*head & *word(ring.cq, ring.p.cq_off.ring_mask)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return res;
}

/* Pinned once, long before and after the checkpoints, and written in between. */
TEST_F(behind, io_uring_registered_buffer)
{
	struct iovec iov = { self->mem + 100 * PAGE, 50 * PAGE };
	int fd;

	if (access("/disk/lost+found", F_OK) || !ring_open())
		SKIP(return, "no /disk or no io_uring");
	fd = direct_file("/disk", self->bytes);
	BEGIN();
	ASSERT_EQ(0, syscall(SYS_io_uring_register, ring.fd,
			     IORING_REGISTER_BUFFERS, &iov, 1));
	for (int round = 0; round < 5; round++) {
		INC();
		/* As long as it is pinned nobody can tell, so it is saved. */
		ASSERT_LE(50, COUNT(DATA));
		INC();
		ring_submit(IORING_OP_READ_FIXED, fd, self->mem + (100 + round) * PAGE,
			    5 * PAGE, round * 7 * PAGE);
		ASSERT_EQ((int)(5 * PAGE), ring_wait());
		INC();
		MATCHES();
	}
	ASSERT_EQ(0, syscall(SYS_io_uring_register, ring.fd,
			     IORING_UNREGISTER_BUFFERS, NULL, 0));
	INC();
	MATCHES();
	INC();
	EXPECT_EQ(PAGES, COUNT(SAME));
}

/* Under way while the checkpoint is made. */
TEST_F(behind, io_uring_reads_meanwhile)
{
	int fd;

	if (access("/disk/lost+found", F_OK) || !ring_open())
		SKIP(return, "no /disk or no io_uring");
	fd = direct_file("/disk", self->bytes);
	BEGIN();
	for (int round = 0; round < (cp_debug_kernel() ? 8 : 40); round++) {
		char *to = self->mem + (round * 37 % 400) * PAGE;

		ring_submit(IORING_OP_READ, fd, to, 100 * PAGE, round * PAGE);
		INC();
		ASSERT_EQ((int)(100 * PAGE), ring_wait());
		INC();
		MATCHES();
	}
}

/*
 * As above, on every kernel, and certainly so: after 768 KiB the next read takes 12 s.
 * What it brings are zeros.
 */
TEST_F(behind, direct_reads_of_a_slow_device)
{
	int fd = open("/dev/slow", O_RDONLY | O_DIRECT);
	struct iocb iocb = {
		.aio_lio_opcode = IOCB_CMD_PREAD, .aio_buf = (uintptr_t)self->mem + 64 * PAGE,
		.aio_nbytes = 32 * PAGE,
	}, *list[] = { &iocb };
	struct timespec now = { 0 };
	struct io_event event;
	aio_context_t ctx = 0;

	if (fd < 0)
		SKIP(return, "no /dev/slow");
	if (syscall(SYS_io_setup, 1, &ctx))
		SKIP(return, "no io_setup(): %s", strerror(errno));
	iocb.aio_fildes = fd;
	ASSERT_EQ(768 << 10, read(fd, self->mem, 768 << 10));
	BEGIN();
	ASSERT_EQ(1, syscall(SYS_io_submit, ctx, 1, list));
	for (int i = 0; i < 3; i++)
		INC();
	ASSERT_EQ(0, syscall(SYS_io_getevents, ctx, 1, 1, &event, &now))
		TH_LOG("the device was not slow enough");
	/* As long as it is under way nobody can tell, so it is looked at: zeros are holes. */
	EXPECT_EQ(PAGES - 32, COUNT(SAME));
	ASSERT_EQ(1, syscall(SYS_io_getevents, ctx, 1, 1, &event, NULL));
	ASSERT_EQ((int)(32 * PAGE), (int)event.res);
	memset(self->bytes, 0, 32 * PAGE);
	ASSERT_EQ(0, memcmp(self->mem + 64 * PAGE, self->bytes, 32 * PAGE));
	INC();
	MATCHES();
	INC();
	EXPECT_EQ(PAGES, COUNT(SAME));
	syscall(SYS_io_destroy, ctx);
	close(fd);
}

#ifdef HAVE_HMM
static int hmm_command(int fd, unsigned long request, void *at, void *buffer,
		       unsigned long pages)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = (uintptr_t)at, .ptr = (uintptr_t)buffer, .npages = pages,
	};

	return ioctl(fd, request, &cmd) ? -errno : (int)cmd.cpages;
}
#endif

/* A device with page tables of its own. */
TEST_F(behind, hmm_device)
{
#ifdef HAVE_HMM
	int fd = open("/dev/hmm_dmirror0", O_RDWR);

	if (fd < 0)
		SKIP(return, "/dev/hmm_dmirror0: %s", strerror(errno));
	BEGIN();
	for (int round = 0; round < 4; round++) {
		ASSERT_EQ(20, hmm_command(fd, HMM_DMIRROR_WRITE, self->mem + round * 250 * PAGE,
					  self->bytes + round * PAGE, 20));
		SAVED(20);
		/* The same again: what it has mapped must be taken away from it. */
		ASSERT_EQ(20, hmm_command(fd, HMM_DMIRROR_WRITE, self->mem + round * 250 * PAGE,
					  self->bytes + (round + 9) * PAGE, 20));
		SAVED(20);
	}
	close(fd);
#else
	SKIP(return, "built without lib/test_hmm_uapi.h");
#endif
}

/* Pages that are moved to the device, changed there and fetched by the checkpoint. */
TEST_F(behind, hmm_device_memory)
{
#ifdef HAVE_HMM
	static char buffer[64 * PAGE];
	int fd = open("/dev/hmm_dmirror0", O_RDWR);
	int moved;

	if (fd < 0)
		SKIP(return, "/dev/hmm_dmirror0: %s", strerror(errno));
	BEGIN();
	moved = hmm_command(fd, HMM_DMIRROR_MIGRATE_TO_DEV, self->mem, buffer, 64);
	if (moved <= 0)
		SKIP(return, "HMM_DMIRROR_MIGRATE_TO_DEV: %s", strerror(-moved));
	ASSERT_EQ(64, hmm_command(fd, HMM_DMIRROR_WRITE, self->mem, self->bytes, 64));
	INC();
	MATCHES();
	hmm_command(fd, HMM_DMIRROR_MIGRATE_TO_DEV, self->mem, buffer, 64);
	INC();
	MATCHES();
	close(fd);
#else
	SKIP(return, "built without lib/test_hmm_uapi.h");
#endif
}

/* A secondary MMU of the other kind is in no guest of ours. */
TEST_F(behind, kvm_guest)
{
	SKIP(return, access("/dev/kvm", F_OK) ? "no /dev/kvm" :
	     "not written: a KVM guest that writes during checkpoints");
}

TEST_HARNESS_MAIN
