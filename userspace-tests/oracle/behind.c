// SPDX-License-Identifier: GPL-2.0
/*
 * The oracle's operations that take a second process, or reach memory by
 * another way than the page table: these are what dirty bits do not show.
 */
#define _GNU_SOURCE
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "behind.h"
#include "check.h"
#include "checkpoint.h"
#include "ops.h"

#define MOST	64		/* pages at a time */

/*
 * The second process, started before there is an arena: what it is asked to do
 * stands in memory that the two share.
 */
enum job { JOB_VM_WRITEV, JOB_PROC_MEM, JOB_CLEAR_REFS, JOB_PAGEMAP_SCAN };

static struct shared {
	enum job	job;
	uint64_t	addr;
	uint64_t	len;
	int		value;
	long		ret;
	int		err;
	unsigned char	bytes[MOST * PAGE];
} *shared;

static pid_t helper;
static int to_helper = -1;

static long do_write_file(const char *format, int pid, const void *bytes,
			  size_t len, off_t at)
{
	char path[64];
	int fd;
	long ret;

	snprintf(path, sizeof(path), format, pid);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -1;
	ret = pwrite(fd, bytes, len, at);
	close(fd);
	return ret;
}

static long do_scan(int pid)
{
	struct page_region regions[16];
	struct pm_scan_arg arg = {
		.size = sizeof(arg), .flags = PM_SCAN_WP_MATCHING,
		.start = shared->addr, .end = shared->addr + shared->len,
		.vec = (uintptr_t)regions, .vec_len = 16,
		.category_mask = PAGE_IS_WRITTEN, .return_mask = PAGE_IS_WRITTEN,
	};
	char path[64];
	int fd;
	long ret;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -1;
	ret = ioctl(fd, PAGEMAP_SCAN, &arg);
	close(fd);
	return ret;
}

static long do_job(int pid)
{
	struct iovec local = { shared->bytes, shared->len };
	struct iovec remote = { (void *)(uintptr_t)shared->addr, shared->len };
	char digit = '0' + shared->value;

	switch (shared->job) {
	case JOB_VM_WRITEV:
		return process_vm_writev(pid, &local, 1, &remote, 1, 0);
	case JOB_PROC_MEM:
		return do_write_file("/proc/%d/mem", pid, shared->bytes,
				     shared->len, shared->addr);
	case JOB_CLEAR_REFS:
		return do_write_file("/proc/%d/clear_refs", pid, &digit, 1, 0);
	case JOB_PAGEMAP_SCAN:
		return do_scan(pid);
	}
	return -1;
}

static void helper_loop(int fd, int pid)
{
	char c;

	while (read(fd, &c, 1) == 1) {
		shared->ret = do_job(pid);
		shared->err = errno;
		if (write(fd, &c, 1) != 1)
			break;
	}
	_exit(0);
}

static void start_helper(void)
{
	int pid = getpid(), pair[2];

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		fail("no helper: %s", strerror(errno));
	helper = fork();
	if (!helper) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		helper_loop(pair[1], pid);
	}
	close(pair[1]);
	to_helper = pair[0];
}

static long ask(enum job job, uint64_t addr, uint64_t len)
{
	char c = 0;

	shared->job = job;
	shared->addr = addr;
	shared->len = len;
	if (write(to_helper, &c, 1) != 1 || read(to_helper, &c, 1) != 1)
		fail("the helper is gone");
	errno = shared->err;
	return shared->ret;
}

/* To the byte, within some pages; big ones only now and then. */
static bool pick_bytes(struct rng *r, page_test test, uint64_t *addr,
		       uint64_t *len)
{
	struct range at;

	if (!pick(r, test, chance(r, 4) ? MOST : 2, &at))
		return false;
	*addr = at_addr(at);
	*len = at.nr * PAGE;
	if (chance(r, 2)) {
		uint64_t from = below(r, *len);

		*addr += from;
		*len = 1 + below(r, *len - from);
	}
	return true;
}

bool op_vm_writev(struct rng *r)
{
	uint64_t addr, len;
	long ret;

	if (process_vm_writev(getpid(), NULL, 0, NULL, 0, 0) ||
	    !pick_bytes(r, is_writable, &addr, &len))
		return false;
	trace("process_vm_writev", addr, len, 0);
	rng_fill(rnd(r), shared->bytes, len);
	ret = ask(JOB_VM_WRITEV, addr, len);
	if (ret != (long)len)
		fail("process_vm_writev of 0x%" PRIx64 " at 0x%" PRIx64 ": %ld, %s",
		     len, addr, ret, strerror(errno));
	model_write((void *)(uintptr_t)addr, shared->bytes, len);
	return true;
}

/* A debugger writes to what the program itself may not. */
static bool can_be_forced(const struct page *p)
{
	return p->flags & P_MAPPED && !past_end(p) &&
	       (p->prot & PROT_WRITE || !(p->flags & (P_SHARED | P_HUGETLB)));
}

static bool can_be_forced_and_read(const struct page *p)
{
	return can_be_forced(p) && p->prot & PROT_READ;
}

/* Old kernels let nobody write there. */
static bool proc_mem_is_writable(void)
{
	static char byte;
	static int is = -1;

	if (is < 0)
		is = do_write_file("/proc/%d/mem", getpid(), &byte, 1,
				   (uintptr_t)&byte) == 1;
	return is;
}

bool op_proc_mem(struct rng *r)
{
	uint64_t addr, len;
	long ret;

	if (!proc_mem_is_writable() || !pick_bytes(r, can_be_forced_and_read, &addr, &len))
		return false;
	trace("write to /proc/PID/mem", addr, len, 0);
	rng_fill(rnd(r), shared->bytes, len);
	ret = ask(JOB_PROC_MEM, addr, len);
	if (ret != (long)len)
		fail("write of 0x%" PRIx64 " to /proc/PID/mem at 0x%" PRIx64 ": %ld, %s",
		     len, addr, ret, strerror(errno));
	model_write((void *)(uintptr_t)addr, shared->bytes, len);
	return true;
}

bool op_clear_refs(struct rng *r)
{
	shared->value = chance(r, 3) ? 1 : 4;
	trace("clear_refs", shared->value, 0, 0);
	/* Only the accessed bits can be cleared where soft-dirty ones are not. */
	if (ask(JOB_CLEAR_REFS, 0, 0) != 1 &&
	    (shared->value != 4 || errno != EINVAL))
		fail("clear_refs: %s", strerror(errno));
	return true;
}

bool op_pagemap_scan(struct rng *r)
{
	struct range at;

	if (!pick(r, is_plain, opt.pages, &at))
		return false;
	trace("PAGEMAP_SCAN", at_addr(at), at.nr * PAGE, 0);
	ask(JOB_PAGEMAP_SCAN, at_addr(at), at.nr * PAGE);
	model_touch(at);
	return true;
}

/*
 * Children that share the pages for a while.
 */
#define MAX_CHILDREN	2

static struct {
	pid_t	pid;
	int	fd;
} children[MAX_CHILDREN];

static bool is_for_child(const struct page *p)
{
	return is_plain(p) && is_writable(p) && !(p->flags & P_DONTFORK);
}

/* Both sides draw the same numbers; @child writes, the other keeps the model. */
static void child_writes(struct rng r, bool child)
{
	static unsigned char bytes[16 * PAGE];
	struct range at;

	for (unsigned int n = below(&r, 6); n; n--) {
		if (!pick(&r, is_for_child, 16, &at))
			return;
		for (unsigned int i = at.page; i < at.page + at.nr; i++) {
			rng_fill(rnd(&r), bytes, PAGE);
			if (child)
				memcpy(page_addr(i), bytes, PAGE);
			else if (pages[i].flags & P_SHARED)
				model_write(page_addr(i), bytes, PAGE);
		}
	}
}

/* Its own chain is another one, and not the parent's business. */
static void child_checkpoint(void)
{
	struct cpimg_error err;
	struct cpimg *img;
	char name[64];
	bool good = false;

	if (inc_cp_range(ARENA, page_addr(64)))
		return;
	snprintf(name, sizeof(name), "/tmp/%d-cp0", getpid());
	img = cpimg_open(name, 0, &err);
	if (img)
		good = cpimg_note(img)->kind == CP_KIND_FULL &&
		       cpimg_note(img)->reason == CP_REASON_FIRST;
	unlink(name);
	if (!good)
		_exit(1);
}

static void child(struct rng r, bool checkpoint, int fd)
{
	char c = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	child_writes(r, true);
	if (checkpoint)
		child_checkpoint();
	if (write(fd, &c, 1) != 1)
		_exit(1);
	_exit(read(fd, &c, 1) != 1);
}

bool op_fork(struct rng *r)
{
	bool checkpoint = chance(r, 4);
	unsigned int i;
	int pair[2];
	char c;

	for (i = 0; i < MAX_CHILDREN && children[i].pid; i++)
		;
	if (i == MAX_CHILDREN)
		return false;
	trace("fork", i, checkpoint, 0);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		fail("socketpair: %s", strerror(errno));
	fflush(NULL);
	children[i].pid = fork();
	if (!children[i].pid) {
		close(pair[0]);
		child(*r, checkpoint, pair[1]);
	}
	close(pair[1]);
	children[i].fd = pair[0];
	if (children[i].pid < 0)
		fail("fork: %s", strerror(errno));
	if (read(pair[0], &c, 1) != 1)
		fail("the child died, or its own checkpoint was not the FIRST");
	child_writes(*r, false);
	model_touch_all();
	return true;
}

static void end_child(unsigned int i)
{
	int status = 0;
	char c = 0;

	if (write(children[i].fd, &c, 1) != 1)
		fail("child %d is gone", children[i].pid);
	close(children[i].fd);
	if (waitpid(children[i].pid, &status, 0) != children[i].pid || status)
		fail("child %d: status 0x%x", children[i].pid, status);
	children[i].pid = 0;
}

bool op_child_ends(struct rng *r)
{
	unsigned int i = below(r, MAX_CHILDREN);

	if (!children[i].pid)
		return false;
	trace("child ends", i, 0, 0);
	end_child(i);
	model_touch_all();
	return true;
}

/*
 * Reads that a device or the kernel puts into the pages
 */
#define DIRECT_PAGES	128

static unsigned char direct_bytes[DIRECT_PAGES * PAGE];
static int direct_fd = -1;

static void open_direct(void)
{
	const char *name = access("/disk/lost+found", F_OK) ?
			   "/dev/shm/oracle.direct" : "/disk/oracle.direct";
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0600);

	rng_fill(opt.seed + 77, direct_bytes, sizeof(direct_bytes));
	if (fd < 0 || write(fd, direct_bytes, sizeof(direct_bytes)) !=
		      sizeof(direct_bytes) || fsync(fd))
		fail("%s: %s", name, strerror(errno));
	close(fd);
	direct_fd = open(name, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (direct_fd < 0)
		direct_fd = open(name, O_RDONLY | O_CLOEXEC);
}

/* In 512 byte blocks, as O_DIRECT needs it. */
static bool pick_direct(struct rng *r, page_test test, uint64_t *addr,
			uint64_t *len, uint64_t *from)
{
	if (!pick_bytes(r, test, addr, len))
		return false;
	*addr &= ~511UL;
	*len = (*len + 511) & ~511UL;
	if ((*addr & (PAGE - 1)) + *len > PAGE)
		*len &= ~(PAGE - 1);
	if (!*len)
		*len = 512;
	if (*len > MOST * PAGE - PAGE)
		*len = MOST * PAGE - PAGE;
	*from = 512 * below(r, (sizeof(direct_bytes) - *len) / 512 + 1);
	return true;
}

bool op_direct_read(struct rng *r)
{
	uint64_t addr, len, from;
	long ret;

	if (!pick_direct(r, is_writable, &addr, &len, &from))
		return false;
	trace("O_DIRECT read", addr, len, from);
	ret = pread(direct_fd, (void *)(uintptr_t)addr, len, from);
	if (ret != (long)len)
		fail("O_DIRECT read of 0x%" PRIx64 " at 0x%" PRIx64 ": %ld, %s",
		     len, addr, ret, strerror(errno));
	model_write((void *)(uintptr_t)addr, direct_bytes + from, len);
	return true;
}

static int out_pipe[2] = { -1, -1 }, in_pipe[2];
static bool pipe_full;

static void open_pipes(void)
{
	if (pipe2(out_pipe, O_NONBLOCK) || pipe2(in_pipe, O_NONBLOCK))
		fail("pipe: %s", strerror(errno));
}

static void empty_pipe(void)
{
	static unsigned char sink[16 * PAGE];

	if (!pipe_full)
		return;
	trace("read the pipe", 0, 0, 0);
	while (read(out_pipe[0], sink, sizeof(sink)) > 0)
		;
	pipe_full = false;
}

/* The pool of hugetlb pages is small: one that a pipe holds is missed elsewhere. */
static bool is_for_pipe(const struct page *p)
{
	return is_readable(p) && !(p->flags & P_HUGETLB);
}

/* References that stay for a while, though nobody writes by them. */
bool op_vmsplice_out(struct rng *r)
{
	struct range at;
	struct iovec iov;

	if (pipe_full) {
		empty_pipe();
		return true;
	}
	if (!pick(r, is_for_pipe, 16, &at))
		return false;
	iov = (struct iovec) { page_addr(at.page), at.nr * PAGE };
	trace("vmsplice to a pipe", at_addr(at), iov.iov_len, 0);
	pipe_full = vmsplice(out_pipe[1], &iov, 1, SPLICE_F_NONBLOCK |
			     (chance(r, 2) ? SPLICE_F_GIFT : 0)) > 0;
	model_touch(at);
	return true;
}

bool op_vmsplice_in(struct rng *r)
{
	unsigned char bytes[PAGE];
	uint64_t addr, len;
	struct iovec iov;

	if (!pick_bytes(r, is_writable, &addr, &len))
		return false;
	if (len > PAGE)
		len = PAGE;
	rng_fill(rnd(r), bytes, len);
	trace("vmsplice from a pipe", addr, len, 0);
	if (write(in_pipe[1], bytes, len) != (long)len)
		fail("pipe: %s", strerror(errno));
	iov = (struct iovec) { (void *)(uintptr_t)addr, len };
	if (vmsplice(in_pipe[0], &iov, 1, 0) != (long)len)
		fail("vmsplice of 0x%" PRIx64 " to 0x%" PRIx64 ": %s", len, addr,
		     strerror(errno));
	model_write((void *)(uintptr_t)addr, bytes, len);
	return true;
}

/*
 * io_uring, without its library
 */
static struct {
	int			fd;
	struct io_uring_params	params;
	unsigned char		*sq, *cq;
	struct io_uring_sqe	*sqes;
} ring = { .fd = -1 };

static void open_ring(void)
{
	struct io_uring_params *p = &ring.params;

	ring.fd = syscall(SYS_io_uring_setup, 8, p);
	if (ring.fd < 0)
		return;
	ring.sq = mmap(NULL, p->sq_off.array + p->sq_entries * 4,
		       PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_SQ_RING);
	ring.cq = mmap(NULL, p->cq_off.cqes +
		       p->cq_entries * sizeof(struct io_uring_cqe),
		       PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_CQ_RING);
	ring.sqes = mmap(NULL, p->sq_entries * sizeof(*ring.sqes),
			 PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_SQES);
	if (ring.sq == MAP_FAILED || ring.cq == MAP_FAILED || ring.sqes == MAP_FAILED)
		fail("io_uring: mmap: %s", strerror(errno));
}

static unsigned int *ring_word(unsigned char *base, unsigned int offset)
{
	return (unsigned int *)(base + offset);
}

static void ring_submit(bool fixed, uint64_t addr, uint64_t len, uint64_t from)
{
	const struct io_sqring_offsets *off = &ring.params.sq_off;
	unsigned int *tail = ring_word(ring.sq, off->tail);
	unsigned int i = *tail & *ring_word(ring.sq, off->ring_mask);
	struct io_uring_sqe *sqe = &ring.sqes[i];

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = fixed ? IORING_OP_READ_FIXED : IORING_OP_READ;
	sqe->flags = IOSQE_ASYNC;
	sqe->fd = direct_fd;
	sqe->addr = addr;
	sqe->len = len;
	sqe->off = from;
	ring_word(ring.sq, off->array)[i] = i;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring.fd, 1, 0, 0, NULL, 0) != 1)
		fail("io_uring_enter: %s", strerror(errno));
}

static int ring_wait(void)
{
	const struct io_cqring_offsets *off = &ring.params.cq_off;
	unsigned int *head = ring_word(ring.cq, off->head);
	struct io_uring_cqe *cqes = (void *)(ring.cq + off->cqes);
	int res;

	while (__atomic_load_n(ring_word(ring.cq, off->tail), __ATOMIC_ACQUIRE) == *head)
		syscall(SYS_io_uring_enter, ring.fd, 0, 1, IORING_ENTER_GETEVENTS,
			NULL, 0);
	res = cqes[*head & *ring_word(ring.cq, off->ring_mask)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return res;
}

static bool is_anon_writable(const struct page *p)
{
	return is_anon(p) && is_writable(p);
}

/*
 * A read that goes on, or begins, while checkpoints are made: into pages that
 * were pinned for good before, or at the time.
 */
bool op_io_uring(struct rng *r)
{
	bool fixed = chance(r, 2), before = chance(r, 2);
	uint64_t addr, len, from;
	struct range at;
	struct iovec iov;
	int res;

	if (ring.fd < 0 || !pick_direct(r, is_anon_writable, &addr, &len, &from))
		return false;
	at.page = (addr - (uintptr_t)ARENA) / PAGE;
	at.nr = (addr + len - 1 - (uintptr_t)ARENA) / PAGE - at.page + 1;
	/* Whether MADV_FREE took it is to be known before the kernel writes. */
	model_settle(at);
	/*
	 * io_uring marks no page of a registered buffer dirty: what it reads into
	 * one after MADV_FREE is lost with it, unless the program writes there too.
	 */
	for (unsigned int i = 0; i < at.nr; i++) {
		pages[at.page + i].flags &= ~P_FREED;
		write_at(r, page_addr(at.page + i), 1);
	}
	iov = (struct iovec) { (void *)(uintptr_t)addr, len };
	trace(fixed ? "io_uring READ_FIXED" : "io_uring READ", addr, len, before);
	if (fixed && syscall(SYS_io_uring_register, ring.fd,
			     IORING_REGISTER_BUFFERS, &iov, 1))
		return false;
	if (before && fixed)
		checkpoint_all();
	ring_submit(fixed, addr, len, from);
	if (!before) {
		check_leave_out(at);
		checkpoint_all();
	}
	res = ring_wait();
	if (res != (int)len)
		fail("io_uring read of 0x%" PRIx64 " to 0x%" PRIx64 ": %d", len,
		     addr, res);
	model_write((void *)(uintptr_t)addr, direct_bytes + from, len);
	if (chance(r, 2))
		checkpoint_all();
	if (fixed)
		syscall(SYS_io_uring_register, ring.fd, IORING_UNREGISTER_BUFFERS,
			NULL, 0);
	return true;
}

/*
 * userfaultfd
 */
static int uffd = -1, uffd_async = -1;

static int open_uffd(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static bool uffd_register(int fd, struct range at, uint64_t mode)
{
	struct uffdio_register reg = {
		.range = { at_addr(at), at.nr * PAGE }, .mode = mode,
	};

	return !ioctl(fd, UFFDIO_REGISTER, &reg);
}

static void uffd_unregister(int fd, struct range at)
{
	struct uffdio_range range = { at_addr(at), at.nr * PAGE };

	ioctl(fd, UFFDIO_UNREGISTER, &range);
}

static bool is_for_uffd(const struct page *p)
{
	return is_anon(p) && (p->prot & 3) == 3 && !(p->flags & (P_LOCKED | P_WP));
}

static void discard(struct range at)
{
	if (madvise(page_addr(at.page), at.nr * PAGE, MADV_DONTNEED))
		fail("MADV_DONTNEED: %s", strerror(errno));
	for (unsigned int i = at.page; i < at.page + at.nr; i++)
		model_zero(i);
}

static void uffd_fill(struct rng *r, unsigned int page)
{
	static unsigned char bytes[PAGE] __attribute__((aligned(4096)));
	uint64_t addr = (uintptr_t)page_addr(page);
	struct uffdio_copy copy = { .dst = addr, .src = (uintptr_t)bytes, .len = PAGE };
	struct uffdio_zeropage zero = { .range = { addr, PAGE } };

	switch (below(r, 3)) {
	case 0:
		rng_fill(rnd(r), bytes, PAGE);
		if (ioctl(uffd, UFFDIO_COPY, &copy))
			fail("UFFDIO_COPY at 0x%" PRIx64 ": %s", addr, strerror(errno));
		model_write(page_addr(page), bytes, PAGE);
		break;
	case 1:
		if (ioctl(uffd, UFFDIO_ZEROPAGE, &zero))
			fail("UFFDIO_ZEROPAGE at 0x%" PRIx64 ": %s", addr,
			     strerror(errno));
		break;
	}
}

bool op_uffd_copy(struct rng *r)
{
	struct range at;

	if (uffd < 0 || !pick(r, is_for_uffd, MOST, &at))
		return false;
	trace("UFFDIO_COPY, ZEROPAGE", at_addr(at), at.nr * PAGE, 0);
	if (!uffd_register(uffd, at, UFFDIO_REGISTER_MODE_MISSING))
		return false;
	discard(at);
	for (unsigned int i = at.page; i < at.page + at.nr; i++)
		uffd_fill(r, i);
	if (chance(r, 2))
		checkpoint_all();
	uffd_unregister(uffd, at);
	return true;
}

static bool pick_two(struct rng *r, struct range *a, struct range *b)
{
	if (chance(r, 3)) {
		if (!pick_huge(r, is_for_uffd, a) || !pick_huge(r, is_for_uffd, b))
			return false;
	} else if (!pick_alike(r, is_for_uffd, 128, a) ||
		   !pick_alike(r, is_for_uffd, 128, b)) {
		return false;
	}
	if (a->nr > b->nr)
		a->nr = b->nr;
	b->nr = a->nr;
	return a->page + a->nr <= b->page || b->page + b->nr <= a->page;
}

static void move_model(unsigned int to, unsigned int from)
{
	memcpy(model_own(to), model_own(from), PAGE);
	pages[to].flags |= pages[from].flags & P_FREED;
	model_changed(to);
	model_zero(from);
}

bool op_uffd_move(struct rng *r)
{
	struct uffdio_move move = { .mode = UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES };
	struct range to, from;
	bool freed = false;
	long moved;

	if (uffd < 0 || !pick_two(r, &to, &from))
		return false;
	/*
	 * The kernel splits large folios for it, and where somebody holds one it
	 * tries again till a signal kills us, with and without checkpoints.
	 */
	empty_pipe();
	trace("UFFDIO_MOVE", at_addr(from), at_addr(to), from.nr * PAGE);
	if (!uffd_register(uffd, to, UFFDIO_REGISTER_MODE_MISSING))
		return false;
	discard(to);
	move.dst = at_addr(to);
	move.src = at_addr(from);
	move.len = from.nr * PAGE;
	ioctl(uffd, UFFDIO_MOVE, &move);
	moved = move.move;
	for (long i = 0; i < moved / (long)PAGE; i++) {
		move_model(to.page + i, from.page + i);
		freed |= pages[to.page + i].flags & P_FREED;
	}
	/* To check pages after MADV_FREE is to read them; those not there wait. */
	if (!freed && chance(r, 4))
		checkpoint_all();
	uffd_unregister(uffd, to);
	return true;
}

static bool is_wp(const struct page *p)
{
	return is_plain(p) && p->flags & P_WP;
}

bool op_uffd_wp(struct rng *r)
{
	struct uffdio_writeprotect wp = { .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	struct range at;

	if (uffd_async < 0)
		return false;
	if (chance(r, 3)) {
		if (!pick(r, is_wp, opt.pages, &at))
			return false;
		trace("UFFDIO_UNREGISTER", at_addr(at), at.nr * PAGE, 0);
		uffd_unregister(uffd_async, at);
		for (unsigned int i = at.page; i < at.page + at.nr; i++)
			pages[i].flags &= ~P_WP;
		return true;
	}
	if (!pick(r, is_for_uffd, opt.pages, &at))
		return false;
	trace("UFFDIO_WRITEPROTECT", at_addr(at), at.nr * PAGE, 0);
	if (!uffd_register(uffd_async, at, UFFDIO_REGISTER_MODE_WP))
		return false;
	wp.range.start = at_addr(at);
	wp.range.len = at.nr * PAGE;
	ioctl(uffd_async, UFFDIO_WRITEPROTECT, &wp);
	for (unsigned int i = at.page; i < at.page + at.nr; i++)
		pages[i].flags |= P_WP;
	model_touch(at);
	return true;
}

bool op_compact(struct rng *r)
{
	(void)r;
	trace("compact", 0, 0, 0);
	cp_write_file("/proc/sys/vm/compact_memory", "1");
	model_touch_all();
	return true;
}

static void set_ksm(void)
{
	cp_write_file(CP_KSM "pages_to_scan", "500");
	cp_write_file(CP_KSM "sleep_millisecs", "10");
	cp_write_file(CP_KSM "run", opt.ksm ? "1" : "0");
}

void behind_init(void)
{
	memset(children, 0, sizeof(children));
	start_helper();
	if (opt.plain)
		return;
	cp_write_file("/proc/sys/vm/nr_hugepages", "6");
	cp_write_file("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	cp_write_file("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "advise");
	cp_write_file("/proc/sys/vm/unprivileged_userfaultfd", "1");
	open_direct();
	open_pipes();
	open_ring();
	uffd = open_uffd(0);
	uffd_async = open_uffd(UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED);
	set_ksm();
}

/* Leave nobody behind, whatever happened. */
void behind_exit(void)
{
	for (unsigned int i = 0; i < MAX_CHILDREN; i++)
		if (children[i].pid > 0)
			cp_kill(children[i].pid);
	if (helper > 0)
		cp_kill(helper);
}
