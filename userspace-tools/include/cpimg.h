/* SPDX-License-Identifier: GPL-2.0 */
/*
 * libcpimg - read the images that cp_range() and inc_cp_range() write
 *
 * An image says which runs of pages a program had and holds the bytes of some;
 * a chain is an image with the parents it needs. Nothing in a file is believed:
 * a bad one gives a message that names file, field and value.
 *
 * No function here changes what it was given, so several threads may use one
 * image or chain at once.
 */
#ifndef CPIMG_H
#define CPIMG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
	CPIMG_NONE,		/* not mapped, or outside the image's range */
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
bool cpimg_covers(const struct cpimg *img, uint64_t addr);
bool cpimg_next_note(const struct cpimg *img, size_t *pos,
		     struct cpimg_elfnote *out);
bool cpimg_find_note(const struct cpimg *img, const char *owner, uint32_t type,
		     struct cpimg_elfnote *out);
int cpimg_pread(const struct cpimg *img, uint64_t addr, void *buf, size_t len,
		struct cpimg_error *err);

const char *cpimg_class_name(enum cpimg_class cls);
const char *cpimg_reason_name(uint32_t reason);
const char *cpimg_hole_name(uint32_t reason);
const char *cpimg_skip_name(uint32_t reason);

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
 * Back into memory
 */

/**
 * struct cp_restored - what cp_restore() did, in bytes
 * @left: in: called before memory is touched, for each piece that is left as it is
 *	  (CPIMG_SKIPPED, CPIMG_NONE); not 0 stops it there; may be NULL
 * @arg: in: for @left
 * @data: read from images
 * @zeros: holes that read as zeros again
 * @file: holes that read from the mapped file again
 * @skipped: the images leave them out: left as they are
 * @unmapped: not mapped at the checkpoint: left as they are
 * @touched: memory was touched: after an error, some of it is restored
 */
struct cp_restored {
	int		(*left)(const struct cpimg_piece *piece, void *arg);
	void		*arg;
	uint64_t	data;
	uint64_t	zeros;
	uint64_t	file;
	uint64_t	skipped;
	uint64_t	unmapped;
	bool		touched;
};

int cp_restore(const struct cpimg_chain *chain, size_t index, void *start,
	       void *end, struct cp_restored *done, struct cpimg_error *err);

#ifdef __cplusplus
}
#endif

#endif /* CPIMG_H */
