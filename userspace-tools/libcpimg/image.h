/* SPDX-License-Identifier: GPL-2.0 */
/* An image as the files see it that open it, check it and answer for it. */
#ifndef LIBCPIMG_IMAGE_H
#define LIBCPIMG_IMAGE_H

#include <inttypes.h>

#include "internal.h"

struct cpimg {
	char			*path;
	int			fd;		/* -1: closed for now */
	struct cpimg_identity	identity;
	struct cpimg_cache	*cache;		/* NULL: the file stays open */
	int			folder;		/* to open it again, with the cache */
	unsigned int		held;		/* by how many, under the cache's lock */
	int			bits;
	unsigned int		machine;
	uint64_t		file_size;
	struct cp_note		note;
	unsigned char		*notes;		/* NULL: to be read again */
	size_t			notes_size;
	uint64_t		notes_at;	/* in the file */
	uint32_t		notes_crc;
	size_t			crc_at;		/* of cp_note.crc in the notes */
	size_t			files_at;	/* of struct cp_files there, 0: none */
	struct cpimg_run	*runs;
	size_t			nr_runs;
	struct cp_span		*areas;		/* @range, if there is one */
	size_t			nr_areas;
	struct cp_span		range;
};

static inline int bad(const struct cpimg *img, struct cpimg_error *err,
	       const char *field, uint64_t value, const char *what)
{
	return cpimg_fail(err, CPIMG_ERR_FORMAT, "%s: %s is 0x%" PRIx64 ": %s",
			  img->path, field, value, what);
}

/* [@offset, @offset + @size) lies in the file */
static inline bool in_file(const struct cpimg *img, uint64_t offset, uint64_t size)
{
	return size <= img->file_size && offset <= img->file_size - size;
}

/* io.c */
int cpimg_open_file(struct cpimg *img, int folder, struct cpimg_error *err);

/* check.c */
int cpimg_check(struct cpimg *img, int flags, struct cpimg_error *err);

/* notes.c */
int cpimg_read_notes(struct cpimg *img, unsigned char **notes,
		     struct cpimg_error *err);
const unsigned char *cpimg_notes(const struct cpimg *img);
bool cpimg_parse_note(const unsigned char *notes, size_t size, size_t *pos,
		      struct cpimg_elfnote *out);

/* areas.c */
int cpimg_check_areas(struct cpimg *img, const struct cpimg_elfnote *en,
		      struct cpimg_error *err);
void cpimg_free_areas(struct cpimg *img);

/* files.c */
int cpimg_check_files(struct cpimg *img, const struct cpimg_elfnote *en,
		      struct cpimg_error *err);

#endif /* LIBCPIMG_IMAGE_H */
