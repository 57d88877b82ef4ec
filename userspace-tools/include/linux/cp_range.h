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
 * @flags:	CP_INCREMENTAL, CP_MOMENT, CP_DIRECT
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

#define CP_ID_SIZE		16
#define CP_NAME_SIZE		40

/**
 * struct cp_result - what cp_checkpoint() has done
 * @flags:	of CP_INCREMENTAL, CP_MOMENT, CP_DIRECT those that the image has
 *		come to be
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

#endif /* _UAPI_LINUX_CP_RANGE_H */
