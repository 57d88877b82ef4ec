/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * cp_range(), inc_cp_range(), cp_checkpoint() - a program's memory is saved
 *
 * The image is an ELF core file, <pid>-cp<n> in /tmp or in the folder asked for:
 *
 *	offset 0	ELF header, written last: a file without it is no image
 *	4096		the bytes of the DATA runs, in address order
 *	then		the notes (one PT_NOTE)
 *	then		the program headers: PT_NOTE, then one a run, in
 *			address order
 *	then		past 65,534 program headers, one section header (PN_XNUM)
 *
 * Every mapped address of the requested ranges is in exactly one run, and a run
 * never crosses a mapping:
 *
 *	DATA	 PT_LOAD, p_filesz == p_memsz: the bytes are in this image
 *	HOLE	 PT_LOAD, p_filesz == 0: mapped, nothing of its own; p_paddr is
 *		 one of CP_HOLE_*. What reads from a file is in a mapping that
 *		 the note CP_FILES_TYPE lists, of a file that it identifies
 *	SAME	 PT_CP_SAME, p_filesz == 0: as in the parent image, or, where the
 *		 parent's range leaves the address out, in the nearest older one
 *	SKIPPED	 PT_CP_SKIPPED, p_filesz == 0: left out; p_paddr is one of
 *		 CP_SKIP_*
 *
 * p_flags are the mapping's protection. The class of the file (32 or 64 bit) is
 * that of the program.
 */
#ifndef _UAPI_LINUX_CP_RANGE_H
#define _UAPI_LINUX_CP_RANGE_H

#include <linux/types.h>

/* flags of struct cp_args */
#define CP_INCREMENTAL		(1 << 0)	/* as inc_cp_range(), else as cp_range() */
#define CP_MOMENT		(1 << 1)	/* the image is one moment of all threads */
#define CP_DIRECT		(1 << 2)	/* pages by direct I/O, if that can be */
#define CP_PROCESS		(1 << 3)	/* with all that a restart takes */

/* For dirfd of struct cp_args: /tmp, as the other calls have it. */
#define CP_DIR_TMP		(-600)

/* The most ranges in a call, and the longest time to stand still for. */
#define CP_MAX_RANGES		65536
#define CP_MAX_STOP_NS		10000000000ULL

/**
 * struct cp_span - addresses to be saved, [start, end)
 * @start:	the first of them
 * @end:	the end
 *
 * Rounded outwards to whole pages, then clamped to the program's addresses, as by
 * cp_range(). Ranges may come in any order, touch and overlap.
 */
struct cp_span {
	__u64	start;
	__u64	end;
};

/**
 * struct cp_args - what cp_checkpoint() is asked for
 * @flags:	CP_INCREMENTAL, CP_MOMENT, CP_DIRECT, CP_PROCESS (only with CP_MOMENT,
 *		and of all of the memory)
 * @pidfd:	the process whose memory is saved, -1 for the caller
 * @dirfd:	the folder of the image; AT_FDCWD; or CP_DIR_TMP
 * @ranges:	pointer to an array of struct cp_span, 0 for all of the memory
 * @nr_ranges:	how many there are, CP_MAX_RANGES at most; 0 with a @ranges of 0
 * @max_stop_ns: of CP_MOMENT: no longer may the threads stand still, nor longer
 *		than CP_MAX_STOP_NS; 0 for a second
 * @max_bytes:	of CP_MOMENT: no more memory may be used to copy pages to; 0
 *		for 64 MiB
 * @result:	pointer to a struct cp_result that is filled in, or 0
 * @result_size: its size as the caller knows it; 0 with a @result of 0
 *
 * What later versions append is 0 where it is not asked for.
 */
struct cp_args {
	__aligned_u64	flags;
	__s32		pidfd;
	__s32		dirfd;
	__aligned_u64	ranges;
	__aligned_u64	nr_ranges;
	__aligned_u64	max_stop_ns;
	__aligned_u64	max_bytes;
	__aligned_u64	result;
	__aligned_u64	result_size;
};

#define CP_ARGS_SIZE_VER0	64	/* the size of the first struct cp_args */

/* Why an image is not of the moment that was asked for. */
enum cp_missed {
	CP_MISSED_NOTHING	= 0,	/* it is, or none was asked for */
	CP_MISSED_POOL		= 1,	/* more pages to copy than there was room for */
	CP_MISSED_TIME		= 2,	/* @max_stop_ns were over */
	CP_MISSED_BROKEN	= 3,	/* a thread could not be held back so long */
	CP_MISSED_READ		= 4,	/* a page had to be read from a disk */
	CP_MISSED_MEMORY	= 5,	/* memory was short */
	CP_MISSED_TRACKING	= 6,	/* changes could not be tracked this time */
	CP_MISSED_ERROR		= 7,	/* no second image: see @error of the result */
};

/*
 * Why a program cannot be restarted from an image. In brackets what @refused_at of
 * struct cp_result is.
 */
enum cp_refused {
	CP_REFUSED_NOTHING	= 0,
	CP_REFUSED_BUSY		= 1,	/* [thread] it did not stand still in time */
	CP_REFUSED_TRACED	= 2,	/* [thread] a debugger has it */
	CP_REFUSED_VFORK	= 3,	/* [thread] it waits for the child of a vfork() */
	CP_REFUSED_SHARED	= 4,	/* [process] another one uses the memory */
	CP_REFUSED_CHILDREN	= 5,	/* [process] it has a child */
	CP_REFUSED_LEADER	= 6,	/* its first thread has ended */
	CP_REFUSED_THREADS	= 7,	/* more threads than there was room for */
	CP_REFUSED_ABI		= 8,	/* it is not a 64-bit program of x86-64 */
	CP_REFUSED_SECCOMP	= 9,	/* [thread] its system calls are filtered */
	CP_REFUSED_SCHED	= 10,	/* [thread] SCHED_DEADLINE, or by sched_ext */
	CP_REFUSED_PERF		= 11,	/* [thread] perf counts its events */
	CP_REFUSED_UPROBE	= 12,	/* it has met uprobes */
	CP_REFUSED_SHSTK	= 13,	/* [thread] it has a shadow stack */
	CP_REFUSED_LDT		= 14,	/* it has an LDT, or I/O ports */
	CP_REFUSED_LAM		= 15,	/* it has tagged addresses */
	CP_REFUSED_PENDING	= 16,	/* [signal] too many are pending, or of a kind */
	CP_REFUSED_TIMER	= 17,	/* [timer id] it cannot be set again */
	CP_REFUSED_SYSV_SEM	= 18,	/* it has SysV semaphores to undo */
	CP_REFUSED_SYSV_SHM	= 19,	/* [address] SysV shared memory */
	CP_REFUSED_MAPPING	= 20,	/* [address] device memory, or the like */
	CP_REFUSED_LEFT_OUT	= 21,	/* [address] the image leaves it out */
	CP_REFUSED_GUARDED	= 22,	/* [address] not readable, and has contents */
	CP_REFUSED_UFFD		= 23,	/* [address] userfaultfd has it */
	CP_REFUSED_DELETED	= 24,	/* [address] the mapped file has no name */
	CP_REFUSED_AIO		= 25,	/* it has an AIO context */
	CP_REFUSED_IO_URING	= 26,	/* [thread] it has an io_uring */
	CP_REFUSED_SOCKET	= 27,	/* [descriptor] a socket */
	CP_REFUSED_DEVICE	= 28,	/* [descriptor] a device */
	CP_REFUSED_KIND		= 29,	/* [descriptor] epoll, inotify, a pidfd ... */
	CP_REFUSED_UNLINKED	= 30,	/* [descriptor] a file without a name */
	CP_REFUSED_PIPE		= 31,	/* [descriptor] a pipe of others, named, of packets */
	CP_REFUSED_LOCK		= 32,	/* [descriptor] it is locked, leased, or has an owner */
	CP_REFUSED_FILES	= 33,	/* [thread] it has descriptors of its own */
	CP_REFUSED_NAME		= 34,	/* [descriptor, or -1] a name too long to tell */
	CP_REFUSED_OUTSIDE	= 35,	/* [address] shared memory that others have, too */
};

#define CP_ID_SIZE		16
#define CP_NAME_SIZE		40

/**
 * struct cp_result - what cp_checkpoint() has done
 * @flags:	of CP_INCREMENTAL, CP_MOMENT, CP_DIRECT, CP_PROCESS those that the
 *		image has come to be
 * @n:		the <n> of its name
 * @kind:	enum cp_kind
 * @reason:	enum cp_reason
 * @missed:	enum cp_missed
 * @threads:	how many threads' registers it has
 * @images:	how many images the call has made: this is the last of them
 * @error:	of CP_MISSED_ERROR, the errno that there would have been
 * @pages_data:	pages in DATA runs
 * @pages_same:	pages in SAME runs
 * @pages_hole:	pages in HOLE runs
 * @pages_skipped: pages in SKIPPED runs
 * @bytes:	the size of the file
 * @stop_ns:	for how long the threads stood still, in all of the call: nobody could
 *		change mappings, nor fault, by then
 * @id:		its random id
 * @name:	its file name, without the folder
 * @refused:	of CP_PROCESS, enum cp_refused: why a restart is not possible
 * @reserved:	0
 * @refused_at:	which descriptor, thread or address that is
 *
 * All zeros if the call fails.
 */
struct cp_result {
	__u64	flags;
	__u64	n;
	__u32	kind;
	__u32	reason;
	__u32	missed;
	__u32	threads;
	__u32	images;
	__u32	error;
	__u64	pages_data;
	__u64	pages_same;
	__u64	pages_hole;
	__u64	pages_skipped;
	__u64	bytes;
	__u64	stop_ns;
	__u8	id[CP_ID_SIZE];
	char	name[CP_NAME_SIZE];
	__u32	refused;
	__u32	reserved;
	__u64	refused_at;
};

#define CP_RESULT_SIZE_VER0	144	/* the size of the first struct cp_result */

/* The owner and the type of the note that struct cp_note is the content of. */
#define CP_NOTE_OWNER		"CP_RANGE"
#define CP_NOTE_TYPE		0x43505247	/* "CPRG" */
#define CP_NOTE_VERSION		2
#define CP_NOTE_SIZE_VER1	208	/* a note of version 1 ends with @reserved */

/* Program header types, in the range that ELF leaves to operating systems. */
#define PT_CP_SAME		0x6c637001
#define PT_CP_SKIPPED		0x6c637002

/* Why a HOLE has no bytes: p_paddr of a PT_LOAD without them. */
enum cp_hole {
	CP_HOLE_ZERO		= 0,	/* reads as zeros */
	CP_HOLE_FILE		= 1,	/* reads from the file, see struct cp_file */
};

/* Why a run is left out: p_paddr of a PT_CP_SKIPPED. */
enum cp_skip {
	CP_SKIP_IO		= 1,	/* VM_IO: device memory */
	CP_SKIP_PFNMAP		= 2,	/* VM_PFNMAP: no struct page behind it */
	CP_SKIP_LOCKED		= 3,	/* VM_LOCKED: mlock() keeps it off disk */
	CP_SKIP_NOREAD		= 4,	/* no VM_READ, or a protection key says no */
	CP_SKIP_DONTCOPY	= 5,	/* VM_DONTCOPY: MADV_DONTFORK */
	CP_SKIP_DONTDUMP	= 6,	/* VM_DONTDUMP: MADV_DONTDUMP */
	CP_SKIP_SECRET		= 7,	/* memfd_secret(), even when munlocked */
	CP_SKIP_POISON		= 8,	/* hardware-poisoned or UFFDIO_POISON */
	CP_SKIP_RESERVED	= 9,	/* PG_reserved: the kernel's own page */
	CP_SKIP_OFFLINE		= 10,	/* PG_offline: taken by a balloon */
	CP_SKIP_SPECIAL		= 11,	/* an entry without a struct page */
	CP_SKIP_FAULT		= 12,	/* SIGBUS on a read: past the end of the */
					/* file, or it could not be read */
};

enum cp_kind {
	CP_KIND_FULL		= 1,
	CP_KIND_INCREMENTAL	= 2,
};

/* Why an image is of its kind. */
enum cp_reason {
	CP_REASON_CP_RANGE	= 1,	/* full: cp_range() was called */
	CP_REASON_FIRST		= 2,	/* full: the caller's counter was 0 */
	CP_REASON_NO_CHAIN	= 3,	/* full: first of this address space (exec) */
	CP_REASON_BROKEN	= 4,	/* full: the last checkpoint failed */
	CP_REASON_OTHER_PROCESS	= 5,	/* full: another process began the chain */
	CP_REASON_CHAIN		= 6,	/* incremental */
	CP_REASON_NO_TRACKING	= 7,	/* full: changes cannot be tracked here */
	CP_REASON_PARENT_GONE	= 8,	/* full: images of the chain were removed */
	CP_REASON_OTHER_FOLDER	= 9,	/* full: the chain is in another folder */
	CP_REASON_OTHER_USER	= 10,	/* full: the chain is another user's */
};

/* flags of struct cp_note */
#define CP_NOTE_MOMENT		1	/* all of it is from one moment */
#define CP_NOTE_PROCESS		2	/* and has all that a restart takes */

/**
 * struct cp_note - what an image says of itself
 * @version:	 CP_NOTE_VERSION
 * @size:	 bytes of this structure; later versions only append
 * @kind:	 enum cp_kind
 * @reason:	 enum cp_reason
 * @pid:	 process id (tgid), as the caller sees it
 * @tid:	 thread id of the caller, as it sees it, or, of another process, as
 *		 @pid; the <pid> of the name
 * @n:		 the caller's counter before this checkpoint; the <n> of the name
 * @req_start:	 the first address asked for: first argument of cp_range()
 * @req_end:	 and the end of what was asked for: the second
 * @start:	 the range looked at, in whole pages: first byte
 * @end:	 and the byte after the last; if there are several ranges, the note
 *		 CP_AREAS_TYPE has them, and what is between was not looked at
 * @page_size:	 bytes a page
 * @realtime_ns: time of the call, in ns since 1970 UTC
 * @monotonic_ns: the same, CLOCK_MONOTONIC
 * @pages_data:	 pages in DATA runs
 * @pages_same:	 pages in SAME runs
 * @pages_hole:	 pages in HOLE runs
 * @pages_skipped: pages in SKIPPED runs
 * @runs:	 number of runs: program headers less the PT_NOTE
 * @id:		 random, this image's own
 * @parent_id:	 the parent's @id, zeros in a full image
 * @parent:	 the parent's file name without its folder, NUL padded; empty in a
 *		 full image
 * @crc:	 CRC-32 (IEEE 802.3, as zlib's crc32()) of the notes with this
 *		 field as 0, then the program headers, then the section header if
 *		 there is one
 * @reserved:	 0
 * @flags:	 CP_NOTE_*
 * @threads:	 how many threads' registers are in the image
 * @nr_areas:	 how many ranges were looked at
 * @stop_ns:	 for how long the threads stood still for it
 * @own_pid:	 process id, as the process itself sees it
 * @reserved2:	 0
 *
 * A note of version 1 ends with @reserved, and one range was looked at.
 */
struct cp_note {
	__u32	version;
	__u32	size;
	__u32	kind;
	__u32	reason;
	__u32	pid;
	__u32	tid;
	__u64	n;
	__u64	req_start;
	__u64	req_end;
	__u64	start;
	__u64	end;
	__u64	page_size;
	__u64	realtime_ns;
	__u64	monotonic_ns;
	__u64	pages_data;
	__u64	pages_same;
	__u64	pages_hole;
	__u64	pages_skipped;
	__u64	runs;
	__u8	id[CP_ID_SIZE];
	__u8	parent_id[CP_ID_SIZE];
	char	parent[CP_NAME_SIZE];
	__u32	crc;
	__u32	reserved;
	__u64	flags;
	__u32	threads;
	__u32	nr_areas;
	__u64	stop_ns;
	__u32	own_pid;
	__u32	reserved2;
};

/*
 * A note of the same owner whose content is an array of struct cp_span: the ranges
 * that were looked at, in whole pages and in address order, with gaps between. It is
 * there if they are more than one.
 */
#define CP_AREAS_TYPE		0x43504152	/* "CPAR" */

/* A third note of the same owner: the files that memory is mapped from. */
#define CP_FILES_TYPE		0x43504649	/* "CPFI" */
#define CP_FILES_VERSION	1

/**
 * struct cp_files - the head of the note about mapped files
 * @version:	CP_FILES_VERSION
 * @file_size:	bytes of a struct cp_file; later versions only append to it
 * @map_size:	bytes of a struct cp_map, likewise
 * @nr_files:	how many files follow,
 * @nr_maps:	and how many mappings after them,
 * @names_size:	and how many bytes of names after these
 *
 * The note is there if the range touches a mapping of a file, and lists those.
 */
struct cp_files {
	__u32	version;
	__u32	file_size;
	__u32	map_size;
	__u32	nr_files;
	__u32	nr_maps;
	__u32	names_size;
};

#define CP_BUILD_ID_SIZE	20

/* flags of struct cp_file */
#define CP_FILE_STAYS		1	/* HOLE runs may read from it */

/**
 * struct cp_file - which file it was, for a reader to tell another or a changed one
 * @ino:	inode number, as stat(2) has it for the name
 * @size:	bytes
 * @mtime_sec:	time of the last change of its bytes
 * @ctime_sec:	time of the last change of any kind
 * @mtime_nsec:	and their nanoseconds
 * @ctime_nsec:	likewise
 * @dev_major:	the device; its numbers may be others after a reboot
 * @dev_minor:	likewise
 * @flags:	CP_FILE_*
 * @name:	where its name begins in the names: NUL-terminated, as
 *		/proc/PID/maps has it, " (deleted)" at the end included
 * @build_id_size: bytes of @build_id, 0 if none is known
 * @build_id:	of an ELF file
 */
struct cp_file {
	__u64	ino;
	__u64	size;
	__s64	mtime_sec;
	__s64	ctime_sec;
	__u32	mtime_nsec;
	__u32	ctime_nsec;
	__u32	dev_major;
	__u32	dev_minor;
	__u32	flags;
	__u32	name;
	__u32	build_id_size;
	__u8	build_id[CP_BUILD_ID_SIZE];
};

/**
 * struct cp_map - a mapping of a file, in address order
 * @start:	first address of it, which may lie outside of the image's range
 * @end:	its end
 * @offset:	bytes in the file where @start is
 * @file:	which of the files
 * @reserved:	0
 */
struct cp_map {
	__u64	start;
	__u64	end;
	__u64	offset;
	__u32	file;
	__u32	reserved;
};

/*
 * What CP_PROCESS adds: notes of the same owner, each with a struct cp_table, then
 * entries, then what belongs to them. All is from the moment of the image. Process and
 * thread ids are as the process itself sees them; names are as it sees them, too.
 */
#define CP_PROCESS_TYPE		0x43505052	/* "CPPR": one struct cp_process, names */
#define CP_THREADS_TYPE		0x43505448	/* "CPTH": struct cp_thread_state, the */
						/* threads in the order of NT_PRSTATUS */
#define CP_VMAS_TYPE	0x43504d41	/* "CPMA": struct cp_vma, names */
#define CP_OPEN_TYPE		0x43504f50	/* "CPOP": struct cp_open, names and bytes */
#define CP_DESCRIPTORS_TYPE	0x43504644	/* "CPFD": struct cp_descriptor */
#define CP_ACTIONS_TYPE		0x43505341	/* "CPSA": struct cp_action, of signal 1, 2 ... */
#define CP_PENDING_TYPE		0x43505053	/* "CPPS": struct cp_pending, oldest first */
#define CP_TIMERS_TYPE		0x4350544d	/* "CPTM": struct cp_timer, by id */
#define CP_TABLE_VERSION	1

/**
 * struct cp_table - the head of such a note
 * @version:	CP_TABLE_VERSION
 * @entry_size:	bytes of an entry; later versions only append to it
 * @nr:		how many entries follow,
 * @names_size:	and how many bytes after them
 */
struct cp_table {
	__u32	version;
	__u32	entry_size;
	__u32	nr;
	__u32	names_size;
};

#define CP_NO_NAME	0xffffffffU	/* where a name would begin: there is none */

/* A timer of the process: ns that are left, 0 if it is not set, and ns to repeat after */
struct cp_interval {
	__u64	left;
	__u64	interval;
};

struct cp_limit {
	__u64	cur;
	__u64	max;
};

#define CP_NR_LIMITS	16

/* flags of struct cp_process */
#define CP_PROCESS_NO_THP	1	/* prctl(PR_SET_THP_DISABLE) */
#define CP_PROCESS_STOPPED	2	/* by a signal: SIGSTOP and the like */
#define CP_PROCESS_SUBREAPER	4	/* prctl(PR_SET_CHILD_SUBREAPER) */
#define CP_PROCESS_TTY		8	/* it has a controlling terminal */

/**
 * struct cp_process - what the process has but once
 * @flags:	CP_PROCESS_*
 * @pid:	its id,
 * @pgid:	that of its process group,
 * @sid:	and of its session, 0 if that is in no namespace of its own
 * @umask:	as umask(2)
 * @dumpable:	as PR_GET_DUMPABLE
 * @dump_filter: as /proc/PID/coredump_filter
 * @pkeys:	which protection keys are in use, a bit each
 * @execute_only_pkey: of mappings that are only executable; -1: none yet
 * @membarrier:	what it has registered for, as MEMBARRIER_CMD_GET_REGISTRATIONS
 * @start_code:	and up to @env_end: as PR_SET_MM_MAP has it
 * @end_code:	likewise
 * @start_data:	likewise
 * @end_data:	likewise
 * @start_brk:	likewise
 * @brk:	likewise
 * @start_stack: likewise
 * @arg_start:	likewise
 * @arg_end:	likewise
 * @env_start:	likewise
 * @env_end:	likewise
 * @itimer:	ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF
 * @limit:	RLIMIT_*
 * @exe:	where the name of its program begins in the names,
 * @cwd:	of its working directory,
 * @root:	and of its root directory
 * @next_timer:	the id of the timer that is made next, if none has it
 * @exe_ino:	inode number of the program,
 * @exe_size:	its bytes,
 * @exe_mtime_sec: and when they last changed
 * @exe_mtime_nsec: and the nanoseconds
 * @reserved:	0
 * @xfeatures:	state components of the processor that it has asked for and may use
 */
struct cp_process {
	__u32	flags;
	__u32	pid;
	__u32	pgid;
	__u32	sid;
	__u32	umask;
	__u32	dumpable;
	__u32	dump_filter;
	__u32	pkeys;
	__s32	execute_only_pkey;
	__u32	membarrier;
	__u64	start_code;
	__u64	end_code;
	__u64	start_data;
	__u64	end_data;
	__u64	start_brk;
	__u64	brk;
	__u64	start_stack;
	__u64	arg_start;
	__u64	arg_end;
	__u64	env_start;
	__u64	env_end;
	struct cp_interval itimer[3];
	struct cp_limit	limit[CP_NR_LIMITS];
	__u32	exe;
	__u32	cwd;
	__u32	root;
	__u32	next_timer;
	__u64	exe_ino;
	__u64	exe_size;
	__s64	exe_mtime_sec;
	__u32	exe_mtime_nsec;
	__u32	reserved;
	__u64	xfeatures;
};

/* flags of struct cp_thread_state */
#define CP_THREAD_NO_NEW_PRIVS	1
#define CP_THREAD_CALLER	2	/* it is in cp_checkpoint(), which is to return 1 */
#define CP_THREAD_RESET_ON_FORK	4	/* SCHED_RESET_ON_FORK */

#define CP_CPUS_SIZE		128

/**
 * struct cp_thread_state - what each thread has besides registers
 * @flags:	CP_THREAD_*
 * @tid:	its id; that of the first is the process's
 * @blocked:	the signals that are blocked, signal 1 the lowest bit
 * @sas_sp:	the alternate stack, as sigaltstack(2): where it begins,
 * @sas_size:	its bytes,
 * @sas_flags:	and flags
 * @personality: as personality(2)
 * @clear_child_tid: as set_tid_address(2)
 * @robust_list: as set_robust_list(2)
 * @rseq:	as rseq(2): where,
 * @rseq_len:	its length,
 * @rseq_sig:	and its signature; @rseq is 0 if there is none
 * @timer_slack_ns: as PR_GET_TIMERSLACK
 * @policy:	SCHED_*
 * @nice:	-20 to 19
 * @rt_priority: of SCHED_FIFO and SCHED_RR
 * @pdeath_signal: as PR_GET_PDEATHSIG
 * @comm:	its name
 * @uid:	real, effective, saved, of the file system; in its user namespace
 * @gid:	the same of the group
 * @cap_effective: capabilities
 * @cap_permitted: likewise
 * @cap_inheritable: likewise
 * @cap_bounding: likewise
 * @cap_ambient: likewise
 * @securebits:	as PR_GET_SECUREBITS
 * @ioprio:	as ioprio_get(2), 0 if it was not set
 * @cpus:	where it may run, processor 0 the lowest bit
 */
struct cp_thread_state {
	__u32	flags;
	__u32	tid;
	__u64	blocked;
	__u64	sas_sp;
	__u64	sas_size;
	__u32	sas_flags;
	__u32	personality;
	__u64	clear_child_tid;
	__u64	robust_list;
	__u64	rseq;
	__u32	rseq_len;
	__u32	rseq_sig;
	__u64	timer_slack_ns;
	__u32	policy;
	__s32	nice;
	__u32	rt_priority;
	__u32	pdeath_signal;
	char	comm[16];
	__u32	uid[4];
	__u32	gid[4];
	__u64	cap_effective;
	__u64	cap_permitted;
	__u64	cap_inheritable;
	__u64	cap_bounding;
	__u64	cap_ambient;
	__u32	securebits;
	__u32	ioprio;
	__u8	cpus[CP_CPUS_SIZE];
};

/* flags of struct cp_vma */
#define CP_VMA_READ		0x0001
#define CP_VMA_WRITE	0x0002
#define CP_VMA_EXEC		0x0004
#define CP_VMA_SHARED	0x0008	/* MAP_SHARED */
#define CP_VMA_MAYWRITE	0x0010	/* it may be made writable */
#define CP_VMA_GROWSDOWN	0x0020	/* MAP_GROWSDOWN */
#define CP_VMA_NORESERVE	0x0040	/* MAP_NORESERVE */
#define CP_VMA_LOCKED	0x0080	/* mlock2(2) */
#define CP_VMA_LOCKONFAULT	0x0100	/* MLOCK_ONFAULT */
#define CP_VMA_DONTFORK	0x0200	/* madvise(2), as what follows */
#define CP_VMA_DONTDUMP	0x0400
#define CP_VMA_WIPEONFORK	0x0800
#define CP_VMA_HUGEPAGE	0x1000
#define CP_VMA_NOHUGEPAGE	0x2000
#define CP_VMA_MERGEABLE	0x4000
#define CP_VMA_SEQUENTIAL	0x8000
#define CP_VMA_RANDOM	0x10000
#define CP_VMA_SEALED	0x20000	/* mseal(2) */

enum cp_vma_kind {
	CP_VMA_ANON		= 1,	/* anonymous, and the heap and the stack */
	CP_VMA_FILE		= 2,	/* of a file of the note CP_FILES_TYPE */
	CP_VMA_ANON_SHARED	= 3,	/* MAP_SHARED | MAP_ANONYMOUS, listed there too */
	CP_VMA_VDSO		= 4,
	CP_VMA_VVAR		= 5,
	CP_VMA_HUGETLB		= 6,	/* MAP_HUGETLB | MAP_ANONYMOUS */
};

/**
 * struct cp_vma - a mapping, in address order
 * @start:	first address
 * @end:	its end
 * @flags:	CP_VMA_*
 * @kind:	enum cp_vma_kind
 * @pkey:	its protection key
 * @name:	of PR_SET_VMA_ANON_NAME: where it begins in the names, or CP_NO_NAME; of
 *		CP_VMA_VDSO: its build-id in hexadecimal digits
 * @page_shift:	of the pages of CP_VMA_HUGETLB, else 0
 */
struct cp_vma {
	__u64	start;
	__u64	end;
	__u64	flags;
	__u32	kind;
	__u32	pkey;
	__u32	name;
	__u32	page_shift;
};

enum cp_open_kind {
	CP_OPEN_FILE		= 1,	/* a regular file */
	CP_OPEN_FOLDER		= 2,	/* a directory */
	CP_OPEN_DEVICE		= 3,	/* /dev/null, zero, full, random, urandom */
	CP_OPEN_TTY		= 4,	/* a terminal */
	CP_OPEN_PIPE		= 5,	/* an end, or both, of a pipe that nobody else has */
	CP_OPEN_STREAM		= 6,	/* a pipe or a socket of others, that is one of */
					/* the descriptors 0 to 2 */
};

/**
 * struct cp_open - an open file (which several descriptors can share)
 * @kind:	enum cp_open_kind
 * @flags:	O_*, as F_GETFL has them
 * @pos:	where it is read and written
 * @ino:	inode number; of a pipe the same for both ends
 * @size:	bytes of the file; of a pipe its room
 * @mtime_sec:	when they last changed
 * @ctime_sec:	when anything of the file last changed
 * @mtime_nsec:	and the nanoseconds
 * @ctime_nsec:	likewise
 * @dev_major:	the device it is on; of a device, its own numbers
 * @dev_minor:	likewise
 * @name:	where its name begins in the names; CP_NO_NAME: it has none
 * @bytes:	what is in a pipe: where it begins in the names,
 * @nr_bytes:	and how much that is, for one of its ends only
 * @reserved:	0
 */
struct cp_open {
	__u32	kind;
	__u32	flags;
	__u64	pos;
	__u64	ino;
	__u64	size;
	__s64	mtime_sec;
	__s64	ctime_sec;
	__u32	mtime_nsec;
	__u32	ctime_nsec;
	__u32	dev_major;
	__u32	dev_minor;
	__u32	name;
	__u32	bytes;
	__u32	nr_bytes;
	__u32	reserved;
};

#define CP_DESCRIPTOR_CLOEXEC	1

/* A descriptor: its number, which of the open files it is, and CP_DESCRIPTOR_* */
struct cp_descriptor {
	__u32	fd;
	__u32	open;
	__u32	flags;
	__u32	reserved;
};

/* What is done on a signal, as rt_sigaction(2) has it */
struct cp_action {
	__u64	handler;
	__u64	flags;
	__u64	restorer;
	__u64	mask;
};

/* A signal that waits, of a thread, or of the process if @tid is 0; @info as siginfo_t */
struct cp_pending {
	__u32	tid;
	__u32	signo;
	__u8	info[128];
};

/**
 * struct cp_timer - a timer of timer_create(2)
 * @id:		its id
 * @clock:	CLOCK_*
 * @notify:	SIGEV_*
 * @signo:	the signal
 * @value:	sigev_value
 * @tid:	of SIGEV_THREAD_ID, or of the clock of a thread
 * @overrun:	of the last signal, as timer_getoverrun(2)
 * @left:	ns till it expires, 0: it is not set
 * @interval:	ns after which it expires again
 */
struct cp_timer {
	__s32	id;
	__s32	clock;
	__s32	notify;
	__s32	signo;
	__u64	value;
	__u32	tid;
	__u32	overrun;
	__u64	left;
	__u64	interval;
};

#endif /* _UAPI_LINUX_CP_RANGE_H */
