// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - the notes of an image: kept, or read again, and gone through
 */
#include <stdlib.h>
#include <string.h>

#include <elf.h>
#include <zlib.h>

#include "image.h"

/* For free(). Return: 0, or -1. */
int cpimg_read_notes(struct cpimg *img, unsigned char **notes,
		     struct cpimg_error *err)
{
	*notes = malloc(img->notes_size + 1);
	if (!*notes)
		return cpimg_fail(err, CPIMG_ERR_SYS,
				  "%s: no memory for %zu bytes of notes",
				  img->path, img->notes_size);
	if (!cpimg_pread_file(img, img->notes_at, *notes, img->notes_size, err))
		return 0;
	free(*notes);
	*notes = NULL;
	return -1;
}

/* The notes, read again if need be; NULL: they cannot be. */
const unsigned char *cpimg_notes(const struct cpimg *img)
{
	struct cpimg *i = (struct cpimg *)img;
	unsigned char *notes;

	if (!i->cache)
		return i->notes;
	pthread_mutex_lock(&i->cache->lock);
	notes = i->notes;
	pthread_mutex_unlock(&i->cache->lock);
	if (notes || cpimg_read_notes(i, &notes, NULL))
		return notes;
	if (crc32(0, notes, i->notes_size) != i->notes_crc) {
		free(notes);
		return NULL;
	}
	pthread_mutex_lock(&i->cache->lock);
	if (i->notes)
		free(notes);	/* another thread was first */
	else
		i->notes = notes;
	notes = i->notes;
	pthread_mutex_unlock(&i->cache->lock);
	return notes;
}

/* One note at @pos of @notes, which need not be aligned. */
bool cpimg_parse_note(const unsigned char *notes, size_t size, size_t *pos,
		      struct cpimg_elfnote *out)
{
	Elf32_Nhdr nh;
	size_t left = size - *pos, name, desc;
	const unsigned char *p = notes + *pos;

	if (left < sizeof(nh))
		return false;
	memcpy(&nh, p, sizeof(nh));
	left -= sizeof(nh);
	p += sizeof(nh);
	name = ((size_t)nh.n_namesz + 3) & ~(size_t)3;
	desc = ((size_t)nh.n_descsz + 3) & ~(size_t)3;
	if (!nh.n_namesz || name > left || desc > left - name ||
	    p[nh.n_namesz - 1])
		return false;
	out->owner = (const char *)p;
	out->type = nh.n_type;
	out->size = nh.n_descsz;
	out->desc = p + name;
	*pos += sizeof(nh) + name + desc;
	return true;
}

/**
 * cpimg_next_note() - go through the notes
 * @img: the image
 * @pos: 0 for the first
 * @out: the note
 *
 * Return: false after the last.
 */
bool cpimg_next_note(const struct cpimg *img, size_t *pos,
		     struct cpimg_elfnote *out)
{
	const unsigned char *notes = cpimg_notes(img);

	return notes && *pos < img->notes_size &&
	       cpimg_parse_note(notes, img->notes_size, pos, out);
}

/**
 * cpimg_find_note() - the first note of an owner and type
 * @img: the image
 * @owner: "CORE", "LINUX", ...
 * @type: NT_PRSTATUS, ...
 * @out: the note
 *
 * Return: whether there is one.
 */
bool cpimg_find_note(const struct cpimg *img, const char *owner, uint32_t type,
		     struct cpimg_elfnote *out)
{
	size_t pos = 0;

	while (cpimg_next_note(img, &pos, out)) {
		if (out->type == type && !strcmp(out->owner, owner))
			return true;
	}
	return false;
}

/* The notes as they are in the file. */
const void *cpimg_raw_notes(const struct cpimg *img, size_t *size)
{
	*size = img->notes_size;
	return cpimg_notes(img);
}
