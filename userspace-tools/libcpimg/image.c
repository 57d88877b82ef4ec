// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - one image: open it, and answer what is asked of it
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image.h"

struct cpimg *cpimg_open_at(int folder, const char *path, int flags,
			    struct cpimg_error *err)
{
	struct cpimg *img = calloc(1, sizeof(*img));

	if (err)
		*err = (struct cpimg_error) { .code = CPIMG_OK };
	if (img) {
		img->fd = -1;
		img->path = strdup(path);
	}
	if (!img || !img->path) {
		cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory", path);
		cpimg_close(img);
		return NULL;
	}
	if (!cpimg_open_file(img, folder, err) && !cpimg_check(img, flags, err))
		return img;
	cpimg_close(img);
	return NULL;
}

/**
 * cpimg_open() - open an image and check it
 * @path: the file
 * @flags: 0 or CPIMG_NO_CRC
 * @err: what went wrong; may be NULL
 *
 * Return: the image, for cpimg_close(), or NULL.
 */
struct cpimg *cpimg_open(const char *path, int flags, struct cpimg_error *err)
{
	return cpimg_open_at(AT_FDCWD, path, flags, err);
}

/**
 * cpimg_close() - let go of an image
 * @img: the image, or NULL; not one of a chain
 */
void cpimg_close(struct cpimg *img)
{
	if (!img)
		return;
	if (img->fd >= 0)
		close(img->fd);
	free(img->path);
	free(img->notes);
	free(img->runs);
	cpimg_free_areas(img);
	free(img);
}

/* The memory that the open image itself lies in. Return: true if @fn has. */
bool cpimg_memory(const struct cpimg *img, cpimg_memory_fn *fn, const void *arg)
{
	return fn(img, sizeof(*img), arg) ||
	       fn(img->path, strlen(img->path) + 1, arg) ||
	       (img->notes && fn(img->notes, img->notes_size + 1, arg)) ||
	       fn(img->runs, (img->nr_runs + 1) * sizeof(*img->runs), arg) ||
	       fn(img->areas, img->nr_areas * sizeof(*img->areas), arg);
}

/** cpimg_path() - the name the image was opened under */
const char *cpimg_path(const struct cpimg *img)
{
	return img->path;
}

/** cpimg_note() - what the image says of itself */
const struct cp_note *cpimg_note(const struct cpimg *img)
{
	return &img->note;
}

/**
 * cpimg_fd() - the open file, to read DATA straight into place
 * @img: the image
 *
 * It stays open from now on: of a chain that has more images than the process may
 * have files, not all can be asked for.
 *
 * Return: the descriptor, which is the image's, or -1 if it cannot be opened again.
 */
int cpimg_fd(const struct cpimg *img)
{
	return cpimg_hold(img, NULL);
}

/** cpimg_bits() - 32 or 64, as the program was */
int cpimg_bits(const struct cpimg *img)
{
	return img->bits;
}

/** cpimg_machine() - EM_X86_64, EM_386, ... */
unsigned int cpimg_machine(const struct cpimg *img)
{
	return img->machine;
}

/** cpimg_file_size() - bytes of the file when it was opened */
uint64_t cpimg_file_size(const struct cpimg *img)
{
	return img->file_size;
}

/**
 * cpimg_runs() - the runs, in address order
 * @img: the image
 * @count: how many
 */
const struct cpimg_run *cpimg_runs(const struct cpimg *img, size_t *count)
{
	*count = img->nr_runs;
	return img->runs;
}

/* The first run that ends above @addr, or the number of runs. */
size_t cpimg_index_after(const struct cpimg *img, uint64_t addr)
{
	size_t low = 0, high = img->nr_runs;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (img->runs[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/**
 * cpimg_find() - the run that holds an address
 * @img: the image
 * @addr: the address
 *
 * Return: the run, or NULL if nothing was mapped there or the image did not look
 * there, which cpimg_covers() tells apart.
 */
const struct cpimg_run *cpimg_find(const struct cpimg *img, uint64_t addr)
{
	size_t i = cpimg_index_after(img, addr);

	if (i == img->nr_runs || img->runs[i].start > addr)
		return NULL;
	return &img->runs[i];
}

/* @len bytes at @addr, all of them in @run */
int cpimg_read_run(const struct cpimg *img, const struct cpimg_run *run,
		   uint64_t addr, void *buf, size_t len,
		   struct cpimg_error *err)
{
	struct cpimg_mapped mapped;

	if (run->cls == CPIMG_DATA)
		return cpimg_pread_file(img, run->offset + (addr - run->start),
					buf, len, err);
	if (run->cls == CPIMG_HOLE && run->reason == CP_HOLE_ZERO) {
		memset(buf, 0, len);
		return 0;
	}
	if (run->cls == CPIMG_HOLE && cpimg_mapped_file(img, addr, &mapped))
		return cpimg_fail(err, CPIMG_ERR_NODATA,
			"%s: the image has no bytes at 0x%" PRIx64 ": they are in %.200s at 0x%" PRIx64,
			img->path, addr, mapped.name,
			mapped.offset + (addr - mapped.start));
	return cpimg_fail(err, CPIMG_ERR_NODATA,
			  "%s: the image has no bytes at 0x%" PRIx64 ": %s%s%s",
			  img->path, addr, cpimg_class_name(run->cls),
			  run->cls == CPIMG_SAME ? "" : ", ",
			  run->cls == CPIMG_HOLE ? cpimg_hole_name(run->reason) :
			  run->cls == CPIMG_SKIPPED ? cpimg_skip_name(run->reason) :
			  "");
}

/**
 * cpimg_pread() - bytes of this image alone
 * @img: the image
 * @addr: address of the first
 * @buf: where they go
 * @len: how many
 * @err: what went wrong; may be NULL
 *
 * Return: 0, or -1 if not all of them are here; @buf is then undefined.
 */
int cpimg_pread(const struct cpimg *img, uint64_t addr, void *buf, size_t len,
		struct cpimg_error *err)
{
	char *to = buf;

	while (len) {
		const struct cpimg_run *run = cpimg_find(img, addr);
		size_t n;

		if (!run)
			return cpimg_fail(err, CPIMG_ERR_NODATA,
				"%s: the image has no bytes at 0x%" PRIx64 ": %s",
				img->path, addr, cpimg_covers(img, addr) ?
				"not mapped" : "outside its range");
		n = run->end - addr < len ? run->end - addr : len;
		if (cpimg_read_run(img, run, addr, to, n, err))
			return -1;
		to += n;
		addr += n;
		len -= n;
	}
	return 0;
}
