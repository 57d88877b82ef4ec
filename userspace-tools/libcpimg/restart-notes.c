// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - restarting: the notes that CP_PROCESS adds. They are copied, and what they say
 * of each other is held against each other; nothing of it is believed.
 */
#ifdef __x86_64__
#include <elf.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "restart.h"

/* Of struct elf_prstatus, on x86-64: where the registers are. */
#define PR_REG		112

#define MAX_FD		(1U << 30)
#define MAX_TID		(1U << 22)

/* The note says so of one of its entries. */
static int wrong(struct restart *r, const char *field, size_t i, uint64_t value,
		 const char *what)
{
	return cpimg_fail(r->err, CPIMG_ERR_FORMAT, "%s: %s %zu is 0x%" PRIx64 ": %s",
			  cpimg_path(r->img), field, i, value, what);
}

static int find_one(struct restart *r, uint32_t type, const char *name,
		    struct cpimg_elfnote *out)
{
	struct cpimg_elfnote en;
	size_t pos = 0, found = 0;

	while (cpimg_next_note(r->img, &pos, &en)) {
		if (en.type != type || strcmp(en.owner, CP_NOTE_OWNER))
			continue;
		if (!found++)
			*out = en;
	}
	if (found == 1)
		return 0;
	return cpimg_fail(r->err, found ? CPIMG_ERR_FORMAT : CPIMG_ERR_PROCESS,
			  "%s: %zu notes %s: a restart takes one", cpimg_path(r->img), found,
			  name);
}

static int read_table(struct restart *r, uint32_t type, const char *name, size_t size,
		      struct entries *to)
{
	struct cpimg_elfnote en = { .desc = NULL };
	struct cp_table head;
	const char *from;
	uint64_t left;

	if (find_one(r, type, name, &en))
		return -1;
	if (en.size < sizeof(head))
		return bad(r->img, r->err, name, en.size, "the size is too small");
	memcpy(&head, en.desc, sizeof(head));
	left = en.size - sizeof(head);
	if (head.version < CP_TABLE_VERSION)
		return bad(r->img, r->err, name, head.version, "an unknown version");
	if (head.entry_size < size)
		return bad(r->img, r->err, name, head.entry_size, "entry_size is too small");
	if ((uint64_t)head.nr * head.entry_size > left)
		return bad(r->img, r->err, name, head.nr, "nr is more than the note has");
	left -= (uint64_t)head.nr * head.entry_size;
	if (head.names_size > left)
		return bad(r->img, r->err, name, head.names_size,
			   "names_size is more than the note has");
	to->entry = calloc(head.nr + 1UL, size);
	if (!to->entry)
		return cpimg_fail(r->err, CPIMG_ERR_SYS, "%s: no memory for %u entries of %s",
				  cpimg_path(r->img), head.nr, name);
	from = (const char *)en.desc + sizeof(head);
	for (size_t i = 0; i < head.nr; i++)
		memcpy((char *)to->entry + i * size, from + i * head.entry_size, size);
	to->nr = head.nr;
	to->names = from + (size_t)head.nr * head.entry_size;
	to->names_size = head.names_size;
	return 0;
}

/* A name that ends in the names. */
static bool is_name(const struct entries *t, uint32_t at)
{
	return at < t->names_size && memchr(t->names + at, 0, t->names_size - at);
}

static bool is_path(const struct entries *t, uint32_t at)
{
	return is_name(t, at) && t->names[at] == '/';
}

static int check_process(struct restart *r)
{
	struct cp_process *p = &r->process;

	if (r->process_note.nr != 1)
		return bad(r->img, r->err, "nr of CP_PROCESS", r->process_note.nr,
			   "a process is one");
	memcpy(p, r->process_note.entry, sizeof(*p));
	if (!p->pid || p->pid > MAX_TID)
		return bad(r->img, r->err, "process.pid", p->pid, "no process id");
	if (!is_path(&r->process_note, p->exe))
		return bad(r->img, r->err, "process.exe", p->exe, "no name of a program");
	if (!is_path(&r->process_note, p->cwd))
		return bad(r->img, r->err, "process.cwd", p->cwd, "no name of a folder");
	if (!is_path(&r->process_note, p->root))
		return bad(r->img, r->err, "process.root", p->root, "no name of a folder");
	if (strcmp(NAME_OF(r->process_note, p->root), "/"))
		return restart_fail(r, CPIMG_ERR_PROCESS, "its root directory is %.200s, not /",
				    NAME_OF(r->process_note, p->root));
	if (p->umask > 0777)
		return bad(r->img, r->err, "process.umask", p->umask, "no umask");
	if (p->pkeys > 0xffff)
		return bad(r->img, r->err, "process.pkeys", p->pkeys, "there are 16 keys");
	if (p->execute_only_pkey < -1 || p->execute_only_pkey > 15)
		return bad(r->img, r->err, "process.execute_only_pkey",
			   p->execute_only_pkey, "no key");
	return 0;
}

static int by_tid(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static bool has_thread(const struct restart *r, uint32_t tid)
{
	for (size_t i = 0; i < r->threads.nr; i++) {
		if (THREADS(r)[i].tid == tid)
			return true;
	}
	return false;
}

static int check_threads(struct restart *r)
{
	uint32_t *tids = calloc(r->threads.nr + 1, sizeof(*tids));
	int ret = 0;

	if (!tids)
		return cpimg_fail(r->err, CPIMG_ERR_SYS, "%s: no memory", cpimg_path(r->img));
	r->leader = r->threads.nr;
	for (size_t i = 0; i < r->threads.nr; i++) {
		const struct cp_thread_state *t = &THREADS(r)[i];

		tids[i] = t->tid;
		if (t->tid == r->process.pid)
			r->leader = i;
		if (!t->tid || t->tid > MAX_TID)
			ret = wrong(r, "tid of thread", i, t->tid, "no thread id");
		else if (!memchr(t->comm, 0, sizeof(t->comm)))
			ret = wrong(r, "comm of thread", i, t->tid, "the name has no end");
	}
	qsort(tids, r->threads.nr, sizeof(*tids), by_tid);
	for (size_t i = 1; !ret && i < r->threads.nr; i++) {
		if (tids[i] == tids[i - 1])
			ret = wrong(r, "tid of thread", i, tids[i], "two have it");
	}
	free(tids);
	if (!ret && r->leader == r->threads.nr)
		ret = bad(r->img, r->err, "process.pid", r->process.pid,
			  "none of the threads has it");
	return ret;
}

/* NT_PRSTATUS begins what there is of a thread. */
static int read_registers(struct restart *r)
{
	struct cpimg_elfnote en;
	size_t pos = 0, i = 0;

	r->regs = calloc(r->threads.nr + 1, sizeof(*r->regs));
	if (!r->regs)
		return cpimg_fail(r->err, CPIMG_ERR_SYS, "%s: no memory", cpimg_path(r->img));
	while (cpimg_next_note(r->img, &pos, &en)) {
		bool general = en.type == NT_PRSTATUS && !strcmp(en.owner, "CORE");
		bool xstate = en.type == NT_X86_XSTATE && !strcmp(en.owner, "LINUX");

		if (general && i == r->threads.nr)
			return restart_fail(r, CPIMG_ERR_FORMAT,
				"%zu threads, and more notes NT_PRSTATUS", i);
		if (general && en.size < PR_REG + sizeof(r->regs->general))
			return bad(r->img, r->err, "size of NT_PRSTATUS", en.size, "too small");
		if (general)
			memcpy(&r->regs[i++].general, (const char *)en.desc + PR_REG,
			       sizeof(r->regs->general));
		if (xstate && i) {
			r->regs[i - 1].xstate = en.desc;
			r->regs[i - 1].xstate_size = en.size;
		}
	}
	if (i < r->threads.nr)
		return restart_fail(r, CPIMG_ERR_FORMAT,
				    "%zu threads, and %zu notes NT_PRSTATUS", r->threads.nr, i);
	for (i = 0; i < r->threads.nr; i++) {
		if (!r->regs[i].xstate)
			return restart_fail(r, CPIMG_ERR_FORMAT,
				"thread %u has no note NT_X86_XSTATE", THREADS(r)[i].tid);
	}
	return 0;
}

static int check_vma(struct restart *r, size_t i, uint64_t last)
{
	const struct cp_vma *v = &VMAS(r)[i];
	bool shared = v->flags & CP_VMA_SHARED;
	struct cpimg_mapped mapped;

	if (v->start & (PAGE_BYTES - 1) || v->start < last || !v->start)
		return wrong(r, "start of mapping", i, v->start,
			     "not a page above the mapping before it");
	if (v->end & (PAGE_BYTES - 1) || v->end <= v->start || v->end > 1ULL << 56)
		return wrong(r, "end of mapping", i, v->end, "no end of it");
	if (v->flags >= CP_VMA_SEALED << 1)
		return wrong(r, "flags of mapping", i, v->flags,
			     "one of them is newer than this library");
	if (v->pkey > 15 || (v->pkey && !(r->process.pkeys >> v->pkey & 1)))
		return wrong(r, "pkey of mapping", i, v->pkey, "not a key in use");
	if (v->name != CP_NO_NAME && !is_name(&r->vmas, v->name))
		return wrong(r, "name of mapping", i, v->name, "not in the names");
	switch (v->kind) {
	case CP_VMA_ANON:
	case CP_VMA_VDSO:
	case CP_VMA_VVAR:
		if (shared)
			return wrong(r, "flags of mapping", i, v->flags, "shared, of that kind");
		return 0;
	case CP_VMA_ANON_SHARED:
		if (!shared)
			return wrong(r, "flags of mapping", i, v->flags, "not shared");
		/* fall through */
	case CP_VMA_FILE:
		if (!cpimg_mapped_file(r->img, v->start, &mapped) || mapped.end < v->end)
			return wrong(r, "start of mapping", i, v->start,
				     "no file is said to be mapped there");
		if ((mapped.offset + (v->start - mapped.start)) & (PAGE_BYTES - 1))
			return wrong(r, "offset of mapping", i, mapped.offset, "not a page's");
		if (v->kind == CP_VMA_FILE && mapped.name[0] != '/')
			return wrong(r, "start of mapping", i, v->start,
				     "the file has no name that leads to it");
		return 0;
	case CP_VMA_HUGETLB:
		if (v->page_shift < 13 || v->page_shift > 34 ||
		    (v->start | v->end) & ((1ULL << v->page_shift) - 1))
			return wrong(r, "page_shift of mapping", i, v->page_shift,
				     "it is not of whole pages");
		return 0;
	}
	return wrong(r, "kind of mapping", i, v->kind, "newer than this library");
}

static int check_vmas(struct restart *r)
{
	uint64_t last = 0;

	for (size_t i = 0; i < r->vmas.nr; i++) {
		if (check_vma(r, i, last))
			return -1;
		last = VMAS(r)[i].end;
	}
	if (!r->vmas.nr)
		return restart_fail(r, CPIMG_ERR_FORMAT, "it has no mappings");
	return 0;
}

static int check_open(struct restart *r, size_t i)
{
	const struct cp_open *o = &OPENS(r)[i];

	switch (o->kind) {
	case CP_OPEN_FILE:
	case CP_OPEN_FOLDER:
	case CP_OPEN_DEVICE:
		if (!is_path(&r->opens, o->name))
			return wrong(r, "name of open file", i, o->name, "no name of a file");
		break;
	case CP_OPEN_TTY:
	case CP_OPEN_PIPE:
	case CP_OPEN_STREAM:
		break;
	default:
		return wrong(r, "kind of open file", i, o->kind, "newer than this library");
	}
	if (o->nr_bytes > r->opens.names_size ||
	    (o->nr_bytes && o->bytes > r->opens.names_size - o->nr_bytes))
		return wrong(r, "bytes of open file", i, o->bytes, "not in the note");
	if (o->kind == CP_OPEN_PIPE && (o->nr_bytes > o->size || o->size > 1U << 31))
		return wrong(r, "size of open file", i, o->size, "not the room of a pipe");
	if (r->first_fd[i] < 0)
		return wrong(r, "number of open file", i, i, "no descriptor has it");
	return 0;
}

static int check_files(struct restart *r)
{
	r->first_fd = malloc((r->opens.nr + 1) * sizeof(*r->first_fd));
	if (!r->first_fd)
		return cpimg_fail(r->err, CPIMG_ERR_SYS, "%s: no memory", cpimg_path(r->img));
	memset(r->first_fd, -1, r->opens.nr * sizeof(*r->first_fd));
	for (size_t i = 0; i < r->descriptors.nr; i++) {
		const struct cp_descriptor *d = &DESCRIPTORS(r)[i];

		if (d->fd >= MAX_FD || (i && d->fd <= d[-1].fd))
			return wrong(r, "fd of descriptor", i, d->fd,
				     "not above the one before it");
		if (d->open >= r->opens.nr)
			return wrong(r, "open of descriptor", i, d->open, "not an open file");
		if (r->first_fd[d->open] < 0)
			r->first_fd[d->open] = d->fd;
	}
	for (size_t i = 0; i < r->opens.nr; i++) {
		if (check_open(r, i))
			return -1;
	}
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct cp_timer *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int check_signals(struct restart *r)
{
	struct cp_pending *pending = r->pending.entry;
	struct cp_timer *timer = r->timers.entry;

	if (r->actions.nr != NR_SIGNALS)
		return bad(r->img, r->err, "nr of CP_ACTIONS", r->actions.nr,
			   "there are 64 signals");
	for (size_t i = 0; i < r->pending.nr; i++) {
		if (!pending[i].signo || pending[i].signo > NR_SIGNALS)
			return wrong(r, "signo of pending signal", i, pending[i].signo,
				     "no signal");
		if (pending[i].tid && !has_thread(r, pending[i].tid))
			return wrong(r, "tid of pending signal", i, pending[i].tid,
				     "not a thread");
	}
	qsort(timer, r->timers.nr, sizeof(*timer), by_id);
	for (size_t i = 0; i < r->timers.nr; i++) {
		if (timer[i].id < 0 || (i && timer[i].id == timer[i - 1].id))
			return wrong(r, "id of timer", i, timer[i].id, "no id, or a second one");
		if (timer[i].notify & 4 && !has_thread(r, timer[i].tid))
			return wrong(r, "tid of timer", i, timer[i].tid, "not a thread");
	}
	return 0;
}

int cpimg_restart_notes(struct restart *r)
{
	const struct {
		uint32_t	type;
		const char	*name;
		size_t		size;
		struct entries	*to;
	} tables[] = {
#define ROW(type, entry, to)	{ CP_##type##_TYPE, "CP_" #type, sizeof(struct entry), &r->to }
		ROW(PROCESS, cp_process, process_note),
		ROW(THREADS, cp_thread_state, threads),
		ROW(VMAS, cp_vma, vmas),
		ROW(OPEN, cp_open, opens),
		ROW(DESCRIPTORS, cp_descriptor, descriptors),
		ROW(ACTIONS, cp_action, actions),
		ROW(PENDING, cp_pending, pending),
		ROW(TIMERS, cp_timer, timers),
#undef ROW
	};

	if (cpimg_machine(r->img) != EM_X86_64 || cpimg_bits(r->img) != 64)
		return restart_fail(r, CPIMG_ERR_PROCESS, "not of a 64-bit program of x86-64");
	if (!(cpimg_note(r->img)->flags & CP_NOTE_PROCESS))
		return restart_fail(r, CPIMG_ERR_PROCESS,
			"only memory is in the image: it was made without CP_PROCESS, or what the program had cannot come back");
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		if (read_table(r, tables[i].type, tables[i].name, tables[i].size,
			       tables[i].to))
			return -1;
	}
	return check_process(r) || check_threads(r) || read_registers(r) ||
	       check_vmas(r) || check_files(r) || check_signals(r) ? -1 : 0;
}

void cpimg_restart_forget(struct restart *r)
{
	struct entries *all[] = {
		&r->process_note, &r->threads, &r->vmas, &r->opens, &r->descriptors,
		&r->actions, &r->pending, &r->timers,
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		free(all[i]->entry);
	free(r->regs);
	free(r->first_fd);
	free(r->reads.piece);
	free(r->writes.piece);
	free(r->filled);
}
#endif /* __x86_64__ */
