/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A restart, as the files see it that make it: what the notes say, and the new process,
 * which its parent makes do system calls, one after the other, till it is the old one.
 */
#ifndef LIBCPIMG_RESTART_H
#define LIBCPIMG_RESTART_H

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/user.h>

#include "image.h"

#define NR_SIGNALS	64
#define PAGE_BYTES	4096UL

/* The highest address of a program that has not asked for more than 47 bits. */
#define TOP		0x7ffffffff000ULL

/* Entries of a note; @names is the image's, the entries are copies. */
struct entries {
	void		*entry;
	size_t		nr;
	const char	*names;
	size_t		names_size;
};

/* Registers of a thread: NT_PRSTATUS, NT_X86_XSTATE. */
struct registers {
	struct user_regs_struct	general;
	const void		*xstate;	/* the image's */
	size_t			xstate_size;
};

/* Bytes of an image, or zeros if @img is NULL, that go to @addr. */
struct piece {
	const struct cpimg	*img;
	uint64_t		addr;
	uint64_t		len;
	uint64_t		offset;
};

/* Pieces that grow. */
struct pieces {
	struct piece	*piece;
	size_t		nr, space;
};

/* A system call of the new process, as the code in its scratch memory has it. */
struct call {
	int64_t		nr;		/* -1: the end */
	uint64_t	arg[6];
	int64_t		ret;
	uint64_t	may_fail;
};

#define MAX_CALLS	4096

/* What a call is for, should it fail. */
struct purpose {
	const char	*what;
	const char	*name;		/* NULL, or of a file */
};

/*
 * Scratch memory, which parent and child share and that is at one address in both; from it
 * the child makes its system calls. Below it the vdso waits till its place is free.
 */
struct remote {
	pid_t		pid;		/* 0: there is no child yet */
	pid_t		turn;		/* the thread that makes the calls */
	unsigned char	*scratch;
	struct call	*calls;
	unsigned int	nr_calls;
	struct purpose	*purpose;
	unsigned char	*data;
	size_t		data_used;
	uint64_t	spare;		/* the address of SPARE_SIZE free bytes */
	struct user_regs_struct regs;
};

#define SCRATCH_SIZE	(2UL << 20)
#define SPARE_SIZE	(1UL << 20)
#define DATA_AT		(1UL << 19)
#define DATA_SIZE	(SCRATCH_SIZE - DATA_AT)

/* Newer than the headers of some libcs, or not to be had with theirs. */
#ifndef SYS_rseq
#define SYS_rseq		334
#endif
#ifndef SYS_clone3
#define SYS_clone3		435
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE	0x100000
#endif

/* struct clone_args of linux/sched.h */
struct clone {
	uint64_t	flags;
	uint64_t	pidfd;
	uint64_t	child_tid;
	uint64_t	parent_tid;
	uint64_t	exit_signal;
	uint64_t	stack;
	uint64_t	stack_size;
	uint64_t	tls;
	uint64_t	set_tid;
	uint64_t	set_tid_size;
};

/* A file that is cut back at the end, and what is kept of it. */
struct cut {
	const char	*name;
	uint64_t	size;		/* what it is cut back to */
	char		*kept;		/* the name, NULL: it is not there yet */
	int		fd;
};

struct restart {
	const struct cpimg_chain *chain;
	size_t			index;
	const struct cpimg	*img;
	unsigned int		flags;
	struct cpimg_error	*err;

	struct cp_process	process;
	struct entries		process_note;
	struct entries		threads;	/* struct cp_thread_state */
	struct entries		vmas;		/* struct cp_vma */
	struct entries		opens;		/* struct cp_open */
	struct entries		descriptors;	/* struct cp_descriptor */
	struct entries		actions;	/* struct cp_action */
	struct entries		pending;	/* struct cp_pending */
	struct entries		timers;		/* struct cp_timer, by id */
	struct registers	*regs;		/* of each thread */
	size_t			leader;		/* which thread is the process's first */
	int			*first_fd;	/* of each open file, its lowest descriptor */

	struct pieces		reads;		/* into the new process */
	struct pieces		writes;		/* into files that are mapped to be shared */
	bool			*filled;		/* is anything read into a mapping? */
	struct cut		*cuts;
	size_t			nr_cuts;
	size_t			made;		/* threads that were made, besides the leader */
	uint64_t		data;

	struct remote		remote;
};

#define THREADS(r)	((struct cp_thread_state *)(r)->threads.entry)
#define VMAS(r)		((struct cp_vma *)(r)->vmas.entry)
#define OPENS(r)	((struct cp_open *)(r)->opens.entry)
#define DESCRIPTORS(r)	((struct cp_descriptor *)(r)->descriptors.entry)

#define NAME_OF(table, at)	((table).names + (at))

#define restart_fail(r, code, fmt, ...) \
	cpimg_fail((r)->err, code, "%.200s: restarting: " fmt, cpimg_path((r)->img), \
		   ##__VA_ARGS__)

/* restart-notes.c: what the image says, and that it is possible */
int cpimg_restart_notes(struct restart *r);
void cpimg_restart_forget(struct restart *r);

/* restart-check.c: what speaks against it; nothing is done yet */
int cpimg_restart_check(struct restart *r);
int cpimg_restart_check_open(struct restart *r, const struct cp_open *open,
			     const struct stat *st);
bool cpimg_restart_may_write(const struct cp_open *open);
bool cpimg_restart_writes(const struct restart *r, const struct cp_open *open, size_t nr);

/* restart-plan.c: which bytes go where */
int cpimg_restart_plan(struct restart *r);

/* restart-remote.c: the new process, and the system calls that it makes */
extern const unsigned char cpimg_remote_code[], cpimg_remote_syscall[], cpimg_remote_code_end[];
int cpimg_remote_start(struct restart *r);
void cpimg_remote_end(struct restart *r, bool kill_it);
int cpimg_remote_add(struct restart *r, struct purpose purpose, bool may_fail, long nr,
		     const uint64_t *args);
int cpimg_remote_room(struct restart *r, unsigned int calls, size_t bytes);
uint64_t cpimg_remote_data(struct restart *r, const void *from, size_t size);
int cpimg_remote_run(struct restart *r);
int cpimg_remote_call(struct restart *r, struct purpose purpose, long nr,
		      const uint64_t *args, int64_t *ret);
int cpimg_remote_step(struct restart *r, struct purpose purpose, long nr,
		      const uint64_t *args);
int cpimg_remote_trace(struct restart *r, const char *what, int request, pid_t tid,
		       uint64_t addr, uint64_t data);
int cpimg_remote_wait_new(struct restart *r, pid_t tid);
int cpimg_remote_peek(struct restart *r, uint64_t addr, void *to, size_t size);
int cpimg_remote_poke(struct restart *r, uint64_t addr, uint64_t value);

#define ARGS(...)	((const uint64_t [6]){ __VA_ARGS__ })
/* Queue a call: it is made by cpimg_remote_run() at the latest. */
#define ADD(r, what, nr, ...) \
	cpimg_remote_add(r, (struct purpose){ what, NULL }, false, nr, ARGS(__VA_ARGS__))
#define ADD_NAMED(r, what, name, nr, ...) \
	cpimg_remote_add(r, (struct purpose){ what, name }, false, nr, ARGS(__VA_ARGS__))
#define TRY(r, what, nr, ...) \
	cpimg_remote_add(r, (struct purpose){ what, NULL }, true, nr, ARGS(__VA_ARGS__))
/* Make a call at once, after those that are queued. */
#define CALL(r, what, name, ret, nr, ...) \
	cpimg_remote_call(r, (struct purpose){ what, name }, nr, ARGS(__VA_ARGS__), ret)
#define STEP(r, what, nr, ...) \
	cpimg_remote_step(r, (struct purpose){ what, NULL }, nr, ARGS(__VA_ARGS__))

/* restart-memory.c, restart-fill.c */
int cpimg_restart_memory(struct restart *r);
int cpimg_restart_fill(struct restart *r);
int cpimg_restart_open(struct restart *r, const char *name, int flags, int *fd);
uint64_t cpimg_restart_gap(const struct restart *r, uint64_t size, unsigned int n);

/* restart-files.c: descriptors, folders */
int cpimg_restart_files(struct restart *r);

/* restart-threads.c */
int cpimg_restart_threads(struct restart *r);
int cpimg_restart_rights(struct restart *r);
int cpimg_restart_limits(struct restart *r);

/* restart-signals.c: signals and timers */
int cpimg_restart_actions(struct restart *r);
int cpimg_restart_pending(struct restart *r, const struct cp_thread_state *thread);
int cpimg_restart_timers(struct restart *r);

/* restart-registers.c: the last steps; then it runs */
int cpimg_restart_fix(struct restart *r);
int cpimg_restart_ready(struct restart *r);
int cpimg_restart_go(struct restart *r);

/* restart-last.c: files that the program writes to are as they were */
int cpimg_restart_keep(struct restart *r);
int cpimg_restart_cut(struct restart *r);
void cpimg_restart_keep_end(struct restart *r, bool remove);

#endif /* LIBCPIMG_RESTART_H */
