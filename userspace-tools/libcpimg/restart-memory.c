// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - restarting: the address space. What the child has of its parent goes, the
 * kernel's own pages move to where they were, and each mapping is made again.
 */
#ifdef __x86_64__
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "restart.h"

#ifndef SYS_mseal
#define SYS_mseal		462
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK		18
#endif
#define MLOCK_IF_FAULTED	1	/* MLOCK_ONFAULT */
#define SET_VMA			0x53564d41	/* PR_SET_VMA, PR_SET_VMA_ANON_NAME: 0 */
#define TRACE_GET_RSEQ		0x420f
#define ARCH_ASK_XCOMP		0x1023	/* ARCH_REQ_XCOMP_PERM */
#define DYNAMIC_STATE		18	/* AMX: the one that is to be asked for */

#define NO_FILE			((uint64_t)-1)
#define GUARD			(1UL << 20)
#define STACK_ROOM		(64UL << 20)	/* into which a stack may grow */

/*
 * cpimg_restart_gap() - @size addresses that the image leaves free, the @n-th proposal; 0:
 * there are no more. All are in the largest gap between its mappings.
 */
uint64_t cpimg_restart_gap(const struct restart *r, uint64_t size, unsigned int n)
{
	uint64_t low = 1UL << 24, from = 0, to = 0, step, at;
	size_t i = 0;

	for (;; i++) {
		const struct cp_vma *v = i < r->vmas.nr ? &VMAS(r)[i] : NULL;
		uint64_t high = v ? lower(v->start, TOP) : TOP;

		high -= lower(high, v && v->flags & CP_VMA_GROWSDOWN ? STACK_ROOM : GUARD);
		if (high > low && high - low > to - from) {
			from = low;
			to = high;
		}
		if (!v)
			break;
		low = higher(low, v->end + GUARD);
	}
	if (n >= 64 || to - from < size)
		return 0;
	step = (to - from - size) / 64;
	at = (from + step * n + step / 2) & ~(SPARE_SIZE - 1);
	return at < from ? 0 : at;
}

/* A file is opened in the child. Names are from its root, and lie in scratch memory. */
int cpimg_restart_open(struct restart *r, const char *name, int flags, int *fd)
{
	int64_t ret;

	if (cpimg_remote_room(r, 1, strlen(name) + 1) ||
	    CALL(r, "open", name, &ret, SYS_openat, AT_FDCWD,
		 cpimg_remote_data(r, name, strlen(name) + 1), flags))
		return -1;
	*fd = ret;
	return 0;
}

/* libc's rseq area is about to go: the kernel is not to write to it any more. */
static int forget_rseq(struct restart *r)
{
	struct {
		uint64_t	at;
		uint32_t	size, sig, flags, pad;
	} rseq = { 0 };

	if (ptrace(TRACE_GET_RSEQ, r->remote.pid, (void *)sizeof(rseq), &rseq) < 0 || !rseq.at)
		return 0;
	return ADD(r, "rseq", SYS_rseq, rseq.at, rseq.size, 1, rseq.sig);
}

/* What is done may need more than the program was left with: its own limits come last. */
static int raise_limits(struct restart *r)
{
	for (int i = 0; i < CP_NR_LIMITS; i++) {
		struct rlimit limit;

		if (getrlimit(i, &limit) || limit.rlim_cur == limit.rlim_max)
			continue;
		limit.rlim_cur = limit.rlim_max;
		if (cpimg_remote_room(r, 1, sizeof(limit)) ||
		    TRY(r, "prlimit64", SYS_prlimit64, 0, i,
			cpimg_remote_data(r, &limit, sizeof(limit)), 0))
			return -1;
	}
	return cpimg_remote_run(r);
}

#define MAX_OWN	8

/* One of the kernel's own mappings: where it is here, and where it was. 0: nowhere. */
struct own {
	uint64_t	start;
	uint64_t	size;
	uint64_t	to;
};

static bool is_kernels(const struct cp_vma *v)
{
	return v->kind == CP_VMA_VDSO || v->kind == CP_VMA_VVAR;
}

/* The first of the image's that is of this kind, and is no other one's place yet. */
static const struct cp_vma *place_of(const struct restart *r, uint32_t kind,
				     const struct own *own, size_t nr)
{
	for (size_t i = 0; i < r->vmas.nr; i++) {
		const struct cp_vma *v = &VMAS(r)[i];
		bool taken = v->kind != kind;

		for (size_t k = 0; k < nr; k++)
			taken |= own[k].to == v->start;
		if (!taken)
			return v;
	}
	return NULL;
}

/* One of the lines of /proc/self/maps. Return: how many of ours there are by then, or -1. */
static int add_own(struct restart *r, const char *line, struct own *own, int nr)
{
	const struct cp_vma *v;
	uint64_t start, end;
	char name[32];

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %*s %*s %*s %31s", &start, &end, name) != 3)
		return nr;
	if (strcmp(name, "[vdso]") && strncmp(name, "[vvar", 5))
		return nr;
	if (nr == MAX_OWN)
		return restart_fail(r, CPIMG_ERR_PROCESS, "too many pages of the kernel here");
	v = place_of(r, strcmp(name, "[vdso]") ? CP_VMA_VVAR : CP_VMA_VDSO, own, nr);
	if (v && v->end - v->start != end - start)
		return restart_fail(r, CPIMG_ERR_PROCESS,
			"%s of %" PRIu64 " bytes, and here it has %" PRIu64 ": another kernel",
			name, (uint64_t)(v->end - v->start), end - start);
	own[nr] = (struct own){ start, end - start, v ? v->start : 0 };
	return nr + 1;
}

/* Ours are at the same addresses: the child is a copy. */
static int find_own(struct restart *r, struct own *own, size_t *count)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	int nr = 0;

	if (!f)
		return restart_fail(r, CPIMG_ERR_SYS, "/proc/self/maps: %s", strerror(errno));
	while (nr >= 0 && fgets(line, sizeof(line), f))
		nr = add_own(r, line, own, nr);
	fclose(f);
	if (nr < 0)
		return -1;
	*count = nr;
	for (size_t i = 0; i < r->vmas.nr; i++) {
		const struct cp_vma *v = &VMAS(r)[i];
		bool found = !is_kernels(v);

		for (int k = 0; k < nr; k++)
			found |= own[k].to == v->start;
		if (!found)
			return restart_fail(r, CPIMG_ERR_PROCESS,
				"the kernel's pages at 0x%" PRIx64 " are not there here: another kernel",
				(uint64_t)v->start);
	}
	return 0;
}

static int unmap(struct restart *r, uint64_t start, uint64_t end)
{
	return start >= end ? 0 : ADD(r, "munmap", SYS_munmap, start, end - start);
}

static int by_start(const void *a, const void *b)
{
	const struct own *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static int move(struct restart *r, uint64_t from, uint64_t size, uint64_t to)
{
	return ADD(r, "mremap", SYS_mremap, from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
}

/* All goes but scratch memory, the vdso and what belongs to that, which move. */
static int clear_space(struct restart *r)
{
	uint64_t scratch = (uintptr_t)r->remote.scratch, at = 0, spare = r->remote.spare;
	struct own own[MAX_OWN + 1];
	size_t nr = 0, i;

	if (find_own(r, own, &nr))
		return -1;
	own[nr++] = (struct own){ .start = scratch, .size = SCRATCH_SIZE, .to = scratch };
	qsort(own, nr, sizeof(*own), by_start);
	for (i = 0; i < nr; i++) {
		if (unmap(r, at, own[i].to ? own[i].start : own[i].start + own[i].size))
			return -1;
		at = own[i].start + own[i].size;
	}
	if (unmap(r, at, TOP) || cpimg_remote_run(r))
		return -1;
	/* Where one of them was another may still be: both ways by the spare addresses. */
	for (i = 0; i < nr; i++) {
		if (!own[i].to || own[i].to == own[i].start)
			continue;
		if (move(r, own[i].start, own[i].size, spare))
			return -1;
		own[i].start = spare;
		spare += own[i].size;
		if (spare > scratch)
			return restart_fail(r, CPIMG_ERR_PROCESS, "a vdso that is too large");
	}
	for (i = 0; i < nr; i++) {
		if (own[i].to && own[i].to != own[i].start &&
		    move(r, own[i].start, own[i].size, own[i].to))
			return -1;
	}
	return cpimg_remote_run(r);
}

static int prot_of(const struct cp_vma *v)
{
	return (v->flags & CP_VMA_READ ? PROT_READ : 0) |
	       (v->flags & CP_VMA_WRITE ? PROT_WRITE : 0) |
	       (v->flags & CP_VMA_EXEC ? PROT_EXEC : 0);
}

/* As long as it is read into it can be written, and is nothing to execute. */
static int first_prot(const struct restart *r, size_t i)
{
	return r->filled[i] ? PROT_READ | PROT_WRITE : prot_of(&VMAS(r)[i]);
}

static int map_one(struct restart *r, size_t i, int fd, uint64_t offset)
{
	const struct cp_vma *v = &VMAS(r)[i];
	int flags = MAP_FIXED_NOREPLACE;

	flags |= v->flags & CP_VMA_SHARED ? MAP_SHARED : MAP_PRIVATE;
	if (fd < 0)
		flags |= MAP_ANONYMOUS;
	if (v->flags & CP_VMA_GROWSDOWN)
		flags |= MAP_GROWSDOWN;
	if (v->flags & CP_VMA_NORESERVE)
		flags |= MAP_NORESERVE;
	if (v->kind == CP_VMA_HUGETLB)
		flags |= MAP_HUGETLB | (int)(v->page_shift << 26);
	return ADD(r, "mmap", SYS_mmap, v->start, v->end - v->start, first_prot(r, i), flags,
		   fd < 0 ? NO_FILE : (uint64_t)fd, offset);
}

/* Neighbours are often of one file, which is opened once. */
static int map_files(struct restart *r)
{
	const char *last = NULL;
	int last_mode = -1, fd = -1;

	for (size_t i = 0; i < r->vmas.nr; i++) {
		const struct cp_vma *v = &VMAS(r)[i];
		bool through = v->flags & CP_VMA_SHARED && v->flags & CP_VMA_MAYWRITE;
		int mode = through ? O_RDWR : O_RDONLY;
		struct cpimg_mapped mapped;

		if (v->kind != CP_VMA_FILE)
			continue;
		cpimg_mapped_file(r->img, v->start, &mapped);
		if (fd < 0 || mode != last_mode || strcmp(mapped.name, last)) {
			if (fd >= 0 && ADD(r, "close", SYS_close, fd))
				return -1;
			if (cpimg_restart_open(r, mapped.name, mode | O_CLOEXEC, &fd))
				return -1;
			last = mapped.name;
			last_mode = mode;
		}
		if (map_one(r, i, fd, mapped.offset + (v->start - mapped.start)))
			return -1;
	}
	return fd < 0 ? 0 : ADD(r, "close", SYS_close, fd);
}

static bool same_object(const struct cpimg_mapped *a, const struct cpimg_mapped *b)
{
	return a->file.ino == b->file.ino && a->file.dev_major == b->file.dev_major &&
	       a->file.dev_minor == b->file.dev_minor;
}

/*
 * Shared memory without a name. Several mappings can be of the same: it is mapped once as
 * a whole, elsewhere, and they are made of that.
 */
static int map_shared(struct restart *r, size_t first, bool *made)
{
	struct cpimg_mapped a, b;
	uint64_t size = 0, at = 0;
	unsigned int count = 0;

	cpimg_mapped_file(r->img, VMAS(r)[first].start, &a);
	for (size_t i = first; i < r->vmas.nr; i++) {
		const struct cp_vma *v = &VMAS(r)[i];

		if (v->kind != CP_VMA_ANON_SHARED ||
		    !cpimg_mapped_file(r->img, v->start, &b) || !same_object(&a, &b))
			continue;
		if (__builtin_add_overflow(b.offset + (v->start - b.start), v->end - v->start,
					   &at) || at > TOP)
			return restart_fail(r, CPIMG_ERR_FORMAT,
				"the mapping at 0x%" PRIx64 " ends at 0x%" PRIx64 " of its file",
				(uint64_t)v->start, at);
		size = higher(size, at);
		made[i] = true;
		count++;
	}
	if (count == 1 && size == VMAS(r)[first].end - VMAS(r)[first].start)
		return map_one(r, first, -1, 0);
	for (unsigned int n = 0; ; n++) {
		at = cpimg_restart_gap(r, size, n);
		if (!at)
			return restart_fail(r, CPIMG_ERR_SYS,
				"no place for %" PRIu64 " bytes of shared memory", size);
		if (at + size <= r->remote.spare ||
		    at >= (uintptr_t)r->remote.scratch + SCRATCH_SIZE)
			break;
	}
	if (ADD(r, "mmap", SYS_mmap, at, size, PROT_READ | PROT_WRITE, MAP_SHARED |
		MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, NO_FILE, 0))
		return -1;
	for (size_t i = first; i < r->vmas.nr; i++) {
		const struct cp_vma *v = &VMAS(r)[i];

		if (v->kind != CP_VMA_ANON_SHARED ||
		    !cpimg_mapped_file(r->img, v->start, &b) || !same_object(&a, &b))
			continue;
		/* An old size of 0 is a second mapping of the same. */
		if (ADD(r, "mremap", SYS_mremap, at + b.offset + (v->start - b.start), 0,
			v->end - v->start, MREMAP_MAYMOVE | MREMAP_FIXED, v->start))
			return -1;
		/* till it has its own protection */
		r->filled[i] = true;
	}
	return ADD(r, "munmap", SYS_munmap, at, size);
}

static int map_all(struct restart *r)
{
	bool *made = calloc(r->vmas.nr, sizeof(*made));
	int ret = made ? 0 : restart_fail(r, CPIMG_ERR_SYS, "no memory");

	for (size_t i = 0; !ret && i < r->vmas.nr; i++) {
		uint32_t kind = VMAS(r)[i].kind;

		if (kind == CP_VMA_ANON || kind == CP_VMA_HUGETLB)
			ret = map_one(r, i, -1, 0);
		else if (kind == CP_VMA_ANON_SHARED && !made[i])
			ret = map_shared(r, i, made);
	}
	free(made);
	return ret || map_files(r) || cpimg_remote_run(r) ? -1 : 0;
}

static const struct {
	uint64_t	flag;
	int		advice;
	bool		may_fail;	/* it is a wish, and this kernel may not know it */
} advices[] = {
	{ CP_VMA_HUGEPAGE,	MADV_HUGEPAGE,		true },
	{ CP_VMA_NOHUGEPAGE,	MADV_NOHUGEPAGE,	true },
	{ CP_VMA_MERGEABLE,	MADV_MERGEABLE,		true },
	{ CP_VMA_SEQUENTIAL,	MADV_SEQUENTIAL,	true },
	{ CP_VMA_RANDOM,	MADV_RANDOM,		true },
	{ CP_VMA_DONTFORK,	MADV_DONTFORK,		false },
	{ CP_VMA_DONTDUMP,	MADV_DONTDUMP,		false },
	{ CP_VMA_WIPEONFORK,	MADV_WIPEONFORK,	false },
};

static int advise_all(struct restart *r)
{
	for (size_t i = 0; i < r->vmas.nr; i++) {
		const struct cp_vma *v = &VMAS(r)[i];

		if (is_kernels(v))
			continue;
		for (size_t k = 0; k < sizeof(advices) / sizeof(advices[0]); k++) {
			struct purpose p = { "madvise", NULL };

			if (v->flags & advices[k].flag &&
			    cpimg_remote_add(r, p, advices[k].may_fail, SYS_madvise,
					     ARGS(v->start, v->end - v->start,
						  advices[k].advice)))
				return -1;
		}
	}
	return cpimg_remote_run(r);
}

/* Keys are given out from the lowest on; the kernel takes one for what is only executed. */
static int make_keys(struct restart *r)
{
	int only = r->process.execute_only_pkey;
	uint32_t keys = r->process.pkeys;
	uint64_t spare = r->remote.spare;

	if (keys <= 1)
		return 0;
	if (only == 0 || (only > 0 && !(keys >> only & 1)))
		return restart_fail(r, CPIMG_ERR_FORMAT, "execute_only_pkey is %d: not in use",
				    only);
	for (int key = 1; key < 16; key++) {
		int64_t ret = key;

		if (key == only) {
			if (ADD(r, "mmap", SYS_mmap, spare, PAGE_BYTES, PROT_READ, MAP_PRIVATE |
				MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, NO_FILE, 0) ||
			    ADD(r, "mprotect", SYS_mprotect, spare, PAGE_BYTES, PROT_EXEC) ||
			    ADD(r, "munmap", SYS_munmap, spare, PAGE_BYTES))
				return -1;
		} else if (keys >> key) {
			if (CALL(r, "pkey_alloc", NULL, &ret, SYS_pkey_alloc, 0, 0))
				return -1;
		}
		if (ret != key)
			return restart_fail(r, CPIMG_ERR_SYS, "protection key %d: got %d", key,
					    (int)ret);
	}
	for (int key = 1; key < 16; key++) {
		if (keys >> key && !(keys >> key & 1) &&
		    ADD(r, "pkey_free", SYS_pkey_free, key))
			return -1;
	}
	return cpimg_remote_run(r);
}

/* What each mapping was, after all has been read. */
static int protect_all(struct restart *r)
{
	if (make_keys(r))
		return -1;
	for (size_t i = 0; i < r->vmas.nr; i++) {
		const struct cp_vma *v = &VMAS(r)[i];
		uint64_t len = v->end - v->start;
		const char *name = NAME_OF(r->vmas, v->name);

		if (is_kernels(v))
			continue;
		if (v->name != CP_NO_NAME &&
		    (cpimg_remote_room(r, 1, strlen(name) + 1) ||
		     ADD(r, "PR_SET_VMA_ANON_NAME", SYS_prctl, SET_VMA, 0, v->start, len,
			 cpimg_remote_data(r, name, strlen(name) + 1))))
			return -1;
		if (v->flags & CP_VMA_LOCKED &&
		    ADD(r, "mlock2", SYS_mlock2, v->start, len,
			v->flags & CP_VMA_LOCKONFAULT ? MLOCK_IF_FAULTED : 0))
			return -1;
		if (v->pkey && (int)v->pkey != r->process.execute_only_pkey) {
			if (ADD(r, "pkey_mprotect", SYS_pkey_mprotect, v->start, len, prot_of(v),
				v->pkey))
				return -1;
		} else if ((r->filled[i] || v->pkey) &&
			   ADD(r, "mprotect", SYS_mprotect, v->start, len, prot_of(v))) {
			return -1;
		}
		if (v->flags & CP_VMA_SEALED && ADD(r, "mseal", SYS_mseal, v->start, len, 0))
			return -1;
	}
	return cpimg_remote_run(r);
}

/* Where code, heap and arguments are; what /proc/PID/exe, cmdline and auxv say. */
static int set_places(struct restart *r)
{
	const struct cp_process *p = &r->process;
	const char *exe = NAME_OF(r->process_note, p->exe);
	struct prctl_mm_map map = {
		.start_code = p->start_code, .end_code = p->end_code,
		.start_data = p->start_data, .end_data = p->end_data,
		.start_brk = p->start_brk, .brk = p->brk, .start_stack = p->start_stack,
		.arg_start = p->arg_start, .arg_end = p->arg_end,
		.env_start = p->env_start, .env_end = p->env_end,
	};
	struct cpimg_elfnote auxv = { .size = 0 };
	int fd;

	if (!cpimg_find_note(r->img, "CORE", NT_AUXV, &auxv) || auxv.size > 4096)
		return restart_fail(r, CPIMG_ERR_FORMAT, "NT_AUXV has %zu bytes", auxv.size);
	if (cpimg_restart_open(r, exe, O_RDONLY | O_CLOEXEC, &fd) ||
	    cpimg_remote_room(r, 1, sizeof(map) + auxv.size))
		return -1;
	map.exe_fd = fd;
	map.auxv = (void *)(uintptr_t)cpimg_remote_data(r, auxv.desc, auxv.size);
	map.auxv_size = auxv.size;
	return ADD_NAMED(r, "PR_SET_MM_MAP", exe, SYS_prctl, PR_SET_MM, PR_SET_MM_MAP,
			 cpimg_remote_data(r, &map, sizeof(map)), sizeof(map)) ||
	       ADD(r, "close", SYS_close, fd) || cpimg_remote_run(r) ? -1 : 0;
}

static int set_of_memory(struct restart *r)
{
	const struct cp_process *p = &r->process;
	char filter[16];
	int fd;

	if (ADD(r, "PR_SET_THP_DISABLE", SYS_prctl, PR_SET_THP_DISABLE,
		!!(p->flags & CP_PROCESS_NO_THP)))
		return -1;
	for (int bit = 0; bit < 32; bit++) {
		if (p->membarrier >> bit & 1 &&
		    ADD(r, "membarrier", SYS_membarrier, 1U << bit))
			return -1;
	}
	snprintf(filter, sizeof(filter), "0x%x", p->dump_filter);
	return cpimg_restart_open(r, "/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC, &fd) ||
	       cpimg_remote_room(r, 2, sizeof(filter)) ||
	       ADD_NAMED(r, "write", "/proc/self/coredump_filter", SYS_write, fd,
			 cpimg_remote_data(r, filter, strlen(filter)), strlen(filter)) ||
	       ADD(r, "close", SYS_close, fd) || cpimg_remote_run(r) ? -1 : 0;
}

/* For all threads, before there is a second one. */
static int ask_for_states(struct restart *r)
{
	if (!(r->process.xfeatures >> DYNAMIC_STATE & 1))
		return 0;
	return ADD(r, "ARCH_REQ_XCOMP_PERM", SYS_arch_prctl, ARCH_ASK_XCOMP, DYNAMIC_STATE);
}

/* The memory of the child becomes that of the old process; its files are still ours. */
int cpimg_restart_memory(struct restart *r)
{
	return raise_limits(r) || ask_for_states(r) || forget_rseq(r) || clear_space(r) ||
	       map_all(r) || advise_all(r) || cpimg_restart_fill(r) || protect_all(r) ||
	       set_places(r) || set_of_memory(r) ? -1 : 0;
}
#endif /* __x86_64__ */
