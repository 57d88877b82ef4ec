// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - restarting: what speaks against it, of all that can be told before anything
 * is done: the files, this kernel, who asks for it.
 */
#ifdef __x86_64__
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "restart.h"

static int no_access(struct restart *r, const char *name, const char *what)
{
	return restart_fail(r, CPIMG_ERR_FILE, "%.200s: %s: %s", name, what, strerror(errno));
}

static int differs(struct restart *r, const char *name, const char *field, int64_t now,
		   int64_t then)
{
	return restart_fail(r, CPIMG_ERR_FILE,
			    "%.200s: %s is %" PRId64 ", and was %" PRId64 " at the checkpoint",
			    name, field, now, then);
}

/* May the program write to it by this descriptor? */
bool cpimg_restart_may_write(const struct cp_open *open)
{
	int mode = open->flags & O_ACCMODE;

	return open->kind == CP_OPEN_FILE && !(open->flags & O_PATH) &&
	       (mode == O_WRONLY || mode == O_RDWR);
}

/* Does it write to the file of @open by one of its first @nr open files? */
bool cpimg_restart_writes(const struct restart *r, const struct cp_open *open, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		const struct cp_open *o = &OPENS(r)[i];

		if (cpimg_restart_may_write(o) && o->ino == open->ino &&
		    o->dev_major == open->dev_major && o->dev_minor == open->dev_minor)
			return true;
	}
	return false;
}

/*
 * A file that is only read is to have the size and the time of change that it had; the
 * inode may be another one, as of a file that came out of a backup. What is written to
 * may have grown.
 */
static int check_file(struct restart *r, const struct cp_open *o, const char *name,
		      const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return restart_fail(r, CPIMG_ERR_FILE, "%.200s: not a regular file", name);
	if (o->flags & O_PATH)
		return 0;
	/* Maybe by another descriptor: it may have gone on to do so. */
	if (cpimg_restart_writes(r, o, r->opens.nr)) {
		if ((uint64_t)st->st_size < o->size)
			return restart_fail(r, CPIMG_ERR_FILE,
				"%.200s: size is %" PRId64 ", and was %" PRIu64 " at the checkpoint: what the program wrote is gone",
				name, (int64_t)st->st_size, (uint64_t)o->size);
		return 0;
	}
	if ((uint64_t)st->st_size != o->size)
		return differs(r, name, "size", st->st_size, o->size);
	if (st->st_mtim.tv_sec != o->mtime_sec)
		return differs(r, name, "mtime", st->st_mtim.tv_sec, o->mtime_sec);
	if (st->st_mtim.tv_nsec != o->mtime_nsec)
		return differs(r, name, "mtime, in ns of its second,", st->st_mtim.tv_nsec,
			       o->mtime_nsec);
	return 0;
}

/* What a name leads to, is it what was open? */
int cpimg_restart_check_open(struct restart *r, const struct cp_open *o,
			     const struct stat *st)
{
	const char *name = NAME_OF(r->opens, o->name);

	switch (o->kind) {
	case CP_OPEN_FILE:
		return check_file(r, o, name, st);
	case CP_OPEN_FOLDER:
		if (S_ISDIR(st->st_mode))
			return 0;
		return restart_fail(r, CPIMG_ERR_FILE, "%.200s: not a folder", name);
	case CP_OPEN_DEVICE:
		if (!S_ISCHR(st->st_mode))
			return restart_fail(r, CPIMG_ERR_FILE, "%.200s: not a device", name);
		if (major(st->st_rdev) != o->dev_major || minor(st->st_rdev) != o->dev_minor)
			return restart_fail(r, CPIMG_ERR_FILE,
				"%.200s: device %u:%u, and was %u:%u at the checkpoint", name,
				major(st->st_rdev), minor(st->st_rdev), o->dev_major,
				o->dev_minor);
	}
	return 0;
}

static bool some_terminal(void)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || isatty(0) || isatty(1) || isatty(2);
}

static int check_opens(struct restart *r)
{
	struct rlimit limit;
	uint64_t most;

	for (size_t i = 0; i < r->opens.nr; i++) {
		const struct cp_open *o = &OPENS(r)[i];
		const char *name = NAME_OF(r->opens, o->name);
		bool known = o->kind == CP_OPEN_FILE || o->kind == CP_OPEN_FOLDER ||
			     o->kind == CP_OPEN_DEVICE;
		struct stat st;

		if (known && (o->flags & O_NOFOLLOW ? lstat(name, &st) : stat(name, &st)))
			return no_access(r, name, "opening");
		if (known && cpimg_restart_check_open(r, o, &st))
			return -1;
		if (cpimg_restart_may_write(o) && access(name, W_OK))
			return no_access(r, name, "opening it to write");
		if (o->kind == CP_OPEN_TTY && r->first_fd[i] > 2 && !some_terminal())
			return restart_fail(r, CPIMG_ERR_PROCESS,
				"descriptor %d was a terminal, and there is none here",
				r->first_fd[i]);
		if (o->kind == CP_OPEN_STREAM && r->first_fd[i] > 2)
			return restart_fail(r, CPIMG_ERR_FORMAT,
				"descriptor %d leads to others, and is no standard stream",
				r->first_fd[i]);
	}
	if (!r->descriptors.nr)
		return 0;
	most = DESCRIPTORS(r)[r->descriptors.nr - 1].fd + 8UL;
	if (getrlimit(RLIMIT_NOFILE, &limit) || most > limit.rlim_max)
		return restart_fail(r, CPIMG_ERR_PROCESS,
			"descriptor %" PRIu64 " is open: more than RLIMIT_NOFILE, %" PRIu64 ", allows",
			most - 8, (uint64_t)limit.rlim_max);
	return 0;
}

/* A mapping that the program may write through, or one that only reads. */
static int check_mapped(struct restart *r, const struct cp_vma *v)
{
	bool written = v->flags & CP_VMA_SHARED && v->flags & CP_VMA_MAYWRITE;
	struct cpimg_mapped mapped;
	struct cpimg_error why;
	struct stat st;

	cpimg_mapped_file(r->img, v->start, &mapped);
	if (!written) {
		if (!cpimg_check_file(&mapped, NULL, &why))
			return 0;
		return restart_fail(r, CPIMG_ERR_FILE, "0x%" PRIx64 " is mapped from it: %.300s",
				    (uint64_t)v->start, why.text);
	}
	if (stat(mapped.name, &st) || access(mapped.name, R_OK | W_OK))
		return no_access(r, mapped.name, "mapping it to write");
	if (!S_ISREG(st.st_mode))
		return restart_fail(r, CPIMG_ERR_FILE, "%.200s: not a regular file", mapped.name);
	if ((uint64_t)st.st_size < mapped.file.size)
		return differs(r, mapped.name, "size", st.st_size, mapped.file.size);
	return 0;
}

/* Build-id of an ELF file of 64 bits that lies in memory. */
static const unsigned char *build_id(const unsigned char *elf, size_t size, size_t *len)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph;

	if (size < sizeof(eh))
		return NULL;
	memcpy(&eh, elf, sizeof(eh));
	for (unsigned int i = 0; i < eh.e_phnum && i < 64; i++) {
		uint64_t at = eh.e_phoff + i * sizeof(ph), end;
		Elf64_Nhdr nh;

		if (at > size || sizeof(ph) > size - at)
			return NULL;
		memcpy(&ph, elf + at, sizeof(ph));
		if (ph.p_type != PT_NOTE || ph.p_offset > size || ph.p_filesz > size - ph.p_offset)
			continue;
		end = ph.p_offset + ph.p_filesz;
		for (at = ph.p_offset; end - at >= sizeof(nh);) {
			uint64_t name, desc;

			memcpy(&nh, elf + at, sizeof(nh));
			name = (nh.n_namesz + 3UL) & ~3UL;
			desc = (nh.n_descsz + 3UL) & ~3UL;
			at += sizeof(nh);
			if (name + desc > end - at)
				break;
			if (nh.n_type == NT_GNU_BUILD_ID && nh.n_namesz == 4 &&
			    !memcmp(elf + at, "GNU", 4)) {
				*len = nh.n_descsz;
				return elf + at + name;
			}
			at += name + desc;
		}
	}
	return NULL;
}

static bool has_bytes(const struct restart *r, uint64_t addr, uint64_t end)
{
	struct cpimg_piece p;

	for (; addr < end; addr = p.end) {
		if (cpimg_chain_resolve(r->chain, r->index, addr, &p, NULL) ||
		    p.cls != CPIMG_DATA)
			return false;
	}
	return true;
}

/* The name of the mapping is its build-id in hexadecimal digits, if the kernel says that. */
static bool same_id(const char *name, const unsigned char *id, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char digits[3];

		snprintf(digits, sizeof(digits), "%02x", id[i]);
		if (strncmp(name + 2 * i, digits, 2))
			return false;
	}
	return len && !name[2 * len];
}

/*
 * Threads may stand in the vdso, and libraries know its addresses: it is to be of the same
 * build. Its bytes are the kernel's all the same, which fits them to the processor. Where
 * the image has neither its bytes nor its build-id, its size is all that can be compared.
 */
static int check_vdso(struct restart *r, const struct cp_vma *v)
{
	const unsigned char *here = (const void *)getauxval(AT_SYSINFO_EHDR);
	const unsigned char *id_here, *id_then;
	size_t len_here = 0, len_then = 0;
	unsigned char then[PAGE_BYTES];
	bool same = true;

	if (!here)
		return restart_fail(r, CPIMG_ERR_PROCESS, "it has a vdso, and there is none here");
	/* A page is there for certain. Sizes are compared when it is moved. */
	id_here = build_id(here, PAGE_BYTES, &len_here);
	if (has_bytes(r, v->start, v->start + PAGE_BYTES)) {
		if (cpimg_chain_read(r->chain, r->index, v->start, then, PAGE_BYTES, r->err))
			return -1;
		id_then = build_id(then, PAGE_BYTES, &len_then);
		if (id_here && id_then)
			same = len_here == len_then && !memcmp(id_here, id_then, len_here);
		else
			same = !id_here && !id_then && !memcmp(here, then, PAGE_BYTES);
	} else if (v->name != CP_NO_NAME) {
		same = id_here && same_id(NAME_OF(r->vmas, v->name), id_here, len_here);
	}
	if (same)
		return 0;
	return restart_fail(r, CPIMG_ERR_PROCESS,
			    "its vdso, at 0x%" PRIx64 ", is of another kernel than this one",
			    (uint64_t)v->start);
}

static int check_memory(struct restart *r)
{
	unsigned int vdso = 0;

	for (size_t i = 0; i < r->vmas.nr; i++) {
		const struct cp_vma *v = &VMAS(r)[i];

		if (v->kind == CP_VMA_FILE && check_mapped(r, v))
			return -1;
		if (v->kind == CP_VMA_VDSO && (vdso++ || check_vdso(r, v)))
			return vdso > 1 ? restart_fail(r, CPIMG_ERR_FORMAT, "it has two vdsos") : -1;
	}
	return 0;
}

static int check_places(struct restart *r)
{
	const struct cp_process *p = &r->process;
	const char *exe = NAME_OF(r->process_note, p->exe);
	const char *cwd = NAME_OF(r->process_note, p->cwd);
	struct stat st;

	if (stat(cwd, &st))
		return no_access(r, cwd, "its working directory");
	if (!S_ISDIR(st.st_mode))
		return restart_fail(r, CPIMG_ERR_FILE, "%.200s: not a folder", cwd);
	if (stat(exe, &st))
		return no_access(r, exe, "its program");
	if ((uint64_t)st.st_size != p->exe_size)
		return differs(r, exe, "size", st.st_size, p->exe_size);
	if (st.st_mtim.tv_sec != p->exe_mtime_sec)
		return differs(r, exe, "mtime", st.st_mtim.tv_sec, p->exe_mtime_sec);
	return 0;
}

/* Users are to be the caller's; of capabilities none comes back that it has not. */
static int check_rights(struct restart *r)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	uint64_t has, bounding = 0;
	uid_t u[4];
	gid_t g[4];

	if (getresuid(&u[0], &u[1], &u[2]) || getresgid(&g[0], &g[1], &g[2]) ||
	    syscall(SYS_capget, &head, data))
		return restart_fail(r, CPIMG_ERR_SYS, "who asks for it: %s", strerror(errno));
	u[3] = setfsuid(-1);
	g[3] = setfsgid(-1);
	has = data[0].permitted | (uint64_t)data[1].permitted << 32;
	for (int cap = 0; cap < 64; cap++) {
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
			bounding |= 1ULL << cap;
	}
	has &= bounding;
	for (size_t i = 0; i < r->threads.nr; i++) {
		const struct cp_thread_state *t = &THREADS(r)[i];
		uint64_t gain = (t->cap_permitted | t->cap_effective) & ~has;

		for (int k = 0; k < 4; k++) {
			if (t->uid[k] != u[k])
				return restart_fail(r, CPIMG_ERR_PROCESS,
					"thread %u is user %u's, and this is user %u",
					t->tid, t->uid[k], u[k]);
			if (t->gid[k] != g[k])
				return restart_fail(r, CPIMG_ERR_PROCESS,
					"thread %u is of group %u, and this of %u",
					t->tid, t->gid[k], g[k]);
		}
		if (gain)
			return restart_fail(r, CPIMG_ERR_PROCESS,
				"thread %u has capability %d, and the caller has it not",
				t->tid, __builtin_ctzll(gain));
	}
	return 0;
}

static int check_kernel(struct restart *r)
{
	FILE *f = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
	int scope = 0;

	if (f && fscanf(f, "%d", &scope) != 1)
		scope = 0;
	if (f)
		fclose(f);
	if (scope >= 3)
		return restart_fail(r, CPIMG_ERR_PROCESS,
			"kernel.yama.ptrace_scope is %d: nobody may trace anybody, and a restart takes that",
			scope);
	if (cpimg_note(r->img)->page_size != PAGE_BYTES)
		return restart_fail(r, CPIMG_ERR_PROCESS, "pages of %" PRIu64 " bytes",
				    (uint64_t)cpimg_note(r->img)->page_size);
	return 0;
}

int cpimg_restart_check(struct restart *r)
{
	return check_kernel(r) || check_rights(r) || check_places(r) || check_memory(r) ||
	       check_opens(r) ? -1 : 0;
}
#endif /* __x86_64__ */
