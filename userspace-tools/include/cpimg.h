/* SPDX-License-Identifier: GPL-2.0 */
/*
 * libcpimg - read the images that cp_range(), inc_cp_range() and cp_checkpoint() write
 *
 * An image says which runs of pages a program had and holds the bytes of some;
 * a chain is an image with the parents it needs. Nothing in a file is believed:
 * a bad one gives a message that names file, field and value.
 *
 * No function here changes what an image or a chain says, and what they keep to
 * themselves has a lock: several threads may use one at once.
 */
#ifndef CPIMG_H
#define CPIMG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/cp_range.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What kind of thing went wrong. */
enum cpimg_errcode {
	CPIMG_OK		= 0,
	CPIMG_ERR_SYS,		/* the system said no: errno is in the text */
	CPIMG_ERR_INCOMPLETE,	/* no header: the checkpoint never finished */
	CPIMG_ERR_FORMAT,	/* not an image, or a damaged one */
	CPIMG_ERR_CRC,		/* notes or program headers were altered */
	CPIMG_ERR_CHAIN,	/* a parent is missing or another one */
	CPIMG_ERR_NODATA,	/* no image has the bytes that were asked for */
	CPIMG_ERR_MEMORY,	/* the caller's memory is not as it has to be */
	CPIMG_ERR_LEFT,		/* it would not all be restored */
	CPIMG_ERR_FILE,		/* a file is another one, or has changed */
	CPIMG_ERR_PROCESS,	/* it cannot be restarted: not from this image, or not here */
};

/**
 * struct cpimg_error - what went wrong
 * @code: the kind
 * @text: one line for people: file, field and value
 */
struct cpimg_error {
	enum cpimg_errcode	code;
	char			text[512];
};

enum cpimg_class {
	CPIMG_DATA	= 1,	/* the bytes are in the image */
	CPIMG_HOLE,		/* mapped, nothing of its own: enum cp_hole */
	CPIMG_SAME,		/* as in the parent */
	CPIMG_SKIPPED,		/* left out: enum cp_skip */
	CPIMG_NONE,		/* not mapped, or outside the image's ranges */
};

/**
 * struct cpimg_run - pages that lie together and share class and mapping
 * @start: address of the first byte
 * @end: address after the last byte
 * @offset: where a DATA run's bytes start in the file
 * @reason: enum cp_hole or enum cp_skip
 * @cls: enum cpimg_class
 * @prot: PROT_READ, PROT_WRITE, PROT_EXEC of the mapping
 */
struct cpimg_run {
	uint64_t	start;
	uint64_t	end;
	uint64_t	offset;
	uint32_t	reason;
	uint8_t		cls;
	uint8_t		prot;
};

/**
 * struct cpimg_elfnote - one note of the image
 * @owner: its owner, NUL terminated
 * @type: NT_PRSTATUS and the like
 * @size: bytes of @desc
 * @desc: the content
 */
struct cpimg_elfnote {
	const char	*owner;
	uint32_t	type;
	size_t		size;
	const void	*desc;
};

/**
 * struct cpimg_mapped - a mapping of a file, as it was at the checkpoint
 * @start: first address
 * @end: address after the last
 * @offset: bytes in the file where @start is
 * @name: the file's name, as /proc/PID/maps had it, nothing escaped
 * @file: what tells it from others, and from itself changed
 */
struct cpimg_mapped {
	uint64_t	start;
	uint64_t	end;
	uint64_t	offset;
	const char	*name;
	struct cp_file	file;
};

/*
 * note.reason of a full image that was put together from a chain. The kernel's
 * reasons, enum cp_reason, are below.
 */
#define CPIMG_REASON_FLATTENED	0x100

struct cpimg;
struct cpimg_chain;

/* Take an image whose CRC is wrong, to look at what is left of it. */
#define CPIMG_NO_CRC	1

/*
 * One image
 */

struct cpimg *cpimg_open(const char *path, int flags, struct cpimg_error *err);
void cpimg_close(struct cpimg *img);

const char *cpimg_path(const struct cpimg *img);
const struct cp_note *cpimg_note(const struct cpimg *img);
int cpimg_fd(const struct cpimg *img);
int cpimg_bits(const struct cpimg *img);
unsigned int cpimg_machine(const struct cpimg *img);
uint64_t cpimg_file_size(const struct cpimg *img);

const struct cpimg_run *cpimg_runs(const struct cpimg *img, size_t *count);
const struct cpimg_run *cpimg_find(const struct cpimg *img, uint64_t addr);
const struct cp_span *cpimg_areas(const struct cpimg *img, size_t *count);
bool cpimg_covers(const struct cpimg *img, uint64_t addr);
bool cpimg_next_note(const struct cpimg *img, size_t *pos,
		     struct cpimg_elfnote *out);
bool cpimg_find_note(const struct cpimg *img, const char *owner, uint32_t type,
		     struct cpimg_elfnote *out);
int cpimg_pread(const struct cpimg *img, uint64_t addr, void *buf, size_t len,
		struct cpimg_error *err);

bool cpimg_has_files(const struct cpimg *img);
bool cpimg_mapped_file(const struct cpimg *img, uint64_t addr,
		       struct cpimg_mapped *out);
int cpimg_check_file(const struct cpimg_mapped *mapped, const char *path,
		     struct cpimg_error *err);

const char *cpimg_class_name(enum cpimg_class cls);
const char *cpimg_reason_name(uint32_t reason);
const char *cpimg_hole_name(uint32_t reason);
const char *cpimg_skip_name(uint32_t reason);
const char *cpimg_refused_name(uint32_t refused);

/*
 * A chain: image 0 is the full one, the last the one that was asked for
 */

/**
 * struct cpimg_piece - what a chain says of an address
 * @start: the address that was asked for
 * @end: up to here the answer is the same
 * @img: the image that has it; NULL if none
 * @run: its run; NULL if CPIMG_NONE
 * @offset: where @start's byte is in @img's file, if DATA
 * @reason: enum cp_hole or enum cp_skip
 * @cls: never CPIMG_SAME
 * @prot: of the mapping at the time of the checkpoint that was asked for
 */
struct cpimg_piece {
	uint64_t		start;
	uint64_t		end;
	const struct cpimg	*img;
	const struct cpimg_run	*run;
	uint64_t		offset;
	uint32_t		reason;
	uint8_t			cls;
	uint8_t			prot;
};

struct cpimg_chain *cpimg_chain_open(const char *path, const char *dir,
				     int flags, struct cpimg_error *err);
void cpimg_chain_close(struct cpimg_chain *chain);
size_t cpimg_chain_length(const struct cpimg_chain *chain);
const struct cpimg *cpimg_chain_image(const struct cpimg_chain *chain,
				      size_t index);
int cpimg_chain_resolve(const struct cpimg_chain *chain, size_t index,
			uint64_t addr, struct cpimg_piece *piece,
			struct cpimg_error *err);
int cpimg_chain_read(const struct cpimg_chain *chain, size_t index,
		     uint64_t addr, void *buf, size_t len,
		     struct cpimg_error *err);
int cpimg_chain_verify(const struct cpimg_chain *chain,
		       struct cpimg_error *err);

/*
 * A folder of images
 */

#define CPIMG_NO_ENTRY	((size_t)-1)

/**
 * struct cpimg_entry - an image of a folder
 * @path: its name, with the folder
 * @known: it is an image; else @error says what is wrong
 * @note: what it says of itself, if it is known, or if that much can be read
 * @error: enum cpimg_errcode
 * @why: a line for people, or NULL
 * @size: bytes of the file
 * @uid: whom it belongs to
 * @dev: its device
 * @ino: its inode
 * @link: it is a symbolic link, to an image elsewhere
 * @parent: index of its parent, or CPIMG_NO_ENTRY
 * @children: how many have it for a parent
 * @length: images of its chain, itself included; 0: not all of them are here
 */
struct cpimg_entry {
	char		*path;
	bool		known;
	struct cp_note	note;
	enum cpimg_errcode error;
	char		*why;
	uint64_t	size;
	uint32_t	uid;
	uint64_t	dev;
	uint64_t	ino;
	bool		link;
	size_t		parent;
	size_t		children;
	size_t		length;
};

struct cpimg_folder;

struct cpimg_folder *cpimg_folder_open(const char *path, struct cpimg_error *err);
void cpimg_folder_close(struct cpimg_folder *folder);
const struct cpimg_entry *cpimg_folder_entries(const struct cpimg_folder *folder,
					       size_t *count);
char *cpimg_newest(const char *folder, unsigned int pid, struct cpimg_error *err);

/*
 * Back into memory
 */

/*
 * What cp_restore() may leave as it is without an error.
 */
#define CP_RESTORE_SKIPPED	1	/* what the image leaves out */
#define CP_RESTORE_UNMAPPED	2	/* what was not mapped then, and is now */
#define CP_RESTORE_FILES	4	/* holes of files that are others, or changed */
#define CP_RESTORE_OUTSIDE	8	/* what the image did not look at, between areas */

/**
 * struct cp_restored - what cp_restore() may do, and did, in bytes
 * @flags: in: CP_RESTORE_*
 * @left: in: asked, before memory is touched, of each piece that would be left as it
 *	  is and that no flag allows: CPIMG_SKIPPED, CPIMG_NONE, of which
 *	  cpimg_covers() says whether it was not mapped or not looked at, or
 *	  CPIMG_HOLE with CP_HOLE_FILE; 0: leave it, anything else: an error. NULL:
 *	  it is an error
 * @arg: in: for @left
 * @data: read from images
 * @zeros: holes that read as zeros again
 * @file: holes that read from the mapped file again
 * @changed: holes of other files, left as they are
 * @skipped: the image leaves them out: left as they are
 * @unmapped: not mapped at the checkpoint, and mapped now: left as they are
 * @outside: between the areas of the image: left as they are, whatever they are
 * @touched: memory was touched: after an error, some of it is restored
 */
struct cp_restored {
	unsigned int	flags;
	int		(*left)(const struct cpimg_piece *piece, void *arg);
	void		*arg;
	uint64_t	data;
	uint64_t	zeros;
	uint64_t	file;
	uint64_t	changed;
	uint64_t	skipped;
	uint64_t	unmapped;
	uint64_t	outside;
	bool		touched;
};

int cp_restore(const struct cpimg_chain *chain, size_t index, void *start,
	       void *end, struct cp_restored *done, struct cpimg_error *err);

/*
 * A process from its image
 */

/* Hard limits (setrlimit(2)) that are lower here than they were stay so: else an error. */
#define CP_RESTART_LIMITS	1

/**
 * struct cp_restart - what cp_restart() may do, and did
 * @size: in: bytes of this structure, as the caller knows it
 * @flags: in: CP_RESTART_*
 * @threads: how many threads it has
 * @cut: how many files were cut back to what they were
 * @data: bytes of memory that were read
 */
struct cp_restart {
	size_t		size;
	unsigned int	flags;
	unsigned int	threads;
	unsigned int	cut;
	uint64_t	data;
};

pid_t cp_restart(const struct cpimg_chain *chain, size_t index, struct cp_restart *how,
		 struct cpimg_error *err);

#ifdef __cplusplus
}
#endif

#endif /* CPIMG_H */
