// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - mapped files: what an image says of them, and are they still that?
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gelf.h>
#include <libelf.h>

#include "image.h"

#ifndef NT_GNU_BUILD_ID
#define NT_GNU_BUILD_ID	3
#endif

/* Where the parts of struct cp_files are in its note. */
struct files {
	struct cp_files		head;
	const unsigned char	*file;
	const unsigned char	*map;
	const char		*names;
};

static struct files files_in(const unsigned char *desc)
{
	struct files f;

	memcpy(&f.head, desc, sizeof(f.head));
	f.file = desc + sizeof(f.head);
	f.map = f.file + (size_t)f.head.nr_files * f.head.file_size;
	f.names = (const char *)f.map + (size_t)f.head.nr_maps * f.head.map_size;
	return f;
}

static struct cp_file file_in(const struct files *f, size_t i)
{
	struct cp_file file;

	memcpy(&file, f->file + i * f->head.file_size, sizeof(file));
	return file;
}

static struct cp_map map_in(const struct files *f, size_t i)
{
	struct cp_map map;

	memcpy(&map, f->map + i * f->head.map_size, sizeof(map));
	return map;
}

static int check_rows(struct cpimg *img, const struct files *f,
		      struct cpimg_error *err)
{
	uint64_t last = 0;

	for (size_t i = 0; i < f->head.nr_files; i++) {
		struct cp_file file = file_in(f, i);

		if (file.name >= f->head.names_size)
			return bad(img, err, "name of a file", file.name,
				   "not in the names");
		if (file.build_id_size > sizeof(file.build_id))
			return bad(img, err, "build_id_size of a file",
				   file.build_id_size, "too large");
	}
	for (size_t i = 0; i < f->head.nr_maps; i++) {
		struct cp_map map = map_in(f, i);

		if (map.file >= f->head.nr_files)
			return bad(img, err, "file of a map", map.file, "not in the files");
		if (map.start >= map.end)
			return bad(img, err, "start of a map", map.start,
				   "not below its end");
		if (map.start < last)
			return bad(img, err, "start of a map", map.start,
				   "not above the map before it");
		last = map.end;
	}
	return 0;
}

/* The CP_FILES note, while the image is being checked. */
int cpimg_check_files(struct cpimg *img, const struct cpimg_elfnote *en,
		      struct cpimg_error *err)
{
	struct cp_files h;
	struct files f;
	uint64_t size;

	if (en->size < sizeof(h))
		return bad(img, err, "size of the CP_FILES note", en->size,
			   "too small");
	memcpy(&h, en->desc, sizeof(h));
	if (h.version < CP_FILES_VERSION)
		return bad(img, err, "version of the CP_FILES note", h.version,
			   "unknown");
	if (h.file_size < sizeof(struct cp_file))
		return bad(img, err, "file_size", h.file_size, "too small");
	if (h.map_size < sizeof(struct cp_map))
		return bad(img, err, "map_size", h.map_size, "too small");
	/* each product has at most 64 bits, and so has the sum if they fit */
	size = en->size - sizeof(h);
	if ((uint64_t)h.nr_files * h.file_size > size)
		return bad(img, err, "nr_files", h.nr_files, "more than the note has");
	size -= (uint64_t)h.nr_files * h.file_size;
	if ((uint64_t)h.nr_maps * h.map_size > size)
		return bad(img, err, "nr_maps", h.nr_maps, "more than the note has");
	size -= (uint64_t)h.nr_maps * h.map_size;
	if (h.names_size > size)
		return bad(img, err, "names_size", h.names_size, "more than the note has");
	f = files_in(en->desc);
	if (h.names_size && f.names[h.names_size - 1])
		return bad(img, err, "names_size", h.names_size,
			   "the last name has no end");
	img->files_at = (const unsigned char *)en->desc - img->notes;
	return check_rows(img, &f, err);
}

/**
 * cpimg_mapped_file() - which file was mapped at an address
 * @img: the image
 * @addr: the address
 * @out: the mapping and its file; @out->name is the image's
 *
 * Of a hole that reads from a file it is the image that has the hole that is to be
 * asked.
 *
 * Return: false if no file was mapped there, or the image does not say.
 */
bool cpimg_mapped_file(const struct cpimg *img, uint64_t addr,
		       struct cpimg_mapped *out)
{
	const unsigned char *notes = img->files_at ? cpimg_notes(img) : NULL;
	size_t low = 0, high;
	struct cp_map map;
	struct files f;

	if (!notes)
		return false;
	f = files_in(notes + img->files_at);
	for (high = f.head.nr_maps; low < high;) {
		size_t mid = low + (high - low) / 2;

		map = map_in(&f, mid);
		if (map.end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == f.head.nr_maps)
		return false;
	map = map_in(&f, low);
	if (map.start > addr)
		return false;
	*out = (struct cpimg_mapped) {
		.start = map.start, .end = map.end, .offset = map.offset,
		.file = file_in(&f, map.file),
	};
	out->name = f.names + out->file.name;
	return true;
}

/** cpimg_has_files() - does the image say which files memory was mapped from? */
bool cpimg_has_files(const struct cpimg *img)
{
	return img->files_at;
}

static bool find_build_id(Elf *elf, unsigned char id[CP_BUILD_ID_SIZE], size_t *size)
{
	size_t count;
	GElf_Phdr ph;

	if (elf_kind(elf) != ELF_K_ELF || elf_getphdrnum(elf, &count))
		return false;
	for (size_t i = 0; i < count; i++) {
		size_t at = 0, name, desc;
		Elf_Data *data;
		GElf_Nhdr nh;

		if (!gelf_getphdr(elf, i, &ph) || ph.p_type != PT_NOTE ||
		    ph.p_filesz > 1 << 20)
			continue;
		data = elf_getdata_rawchunk(elf, ph.p_offset, ph.p_filesz,
					    ph.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
		while (data && (at = gelf_getnote(data, at, &nh, &name, &desc))) {
			const char *owner = (const char *)data->d_buf + name;

			if (nh.n_type != NT_GNU_BUILD_ID || nh.n_namesz != 4 ||
			    memcmp(owner, "GNU", 4) || !nh.n_descsz ||
			    nh.n_descsz > CP_BUILD_ID_SIZE)
				continue;
			*size = nh.n_descsz;
			memcpy(id, (const char *)data->d_buf + desc, *size);
			return true;
		}
	}
	return false;
}

/* The file has the build-id that it had. */
static bool same_build_id(const char *path, const struct cp_file *then)
{
	unsigned char id[CP_BUILD_ID_SIZE];
	size_t size = 0;
	bool found = false;
	Elf *elf;
	int fd;

	if (!then->build_id_size || elf_version(EV_CURRENT) == EV_NONE)
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_READ, NULL);
	if (elf) {
		found = find_build_id(elf, id, &size);
		elf_end(elf);
	}
	if (fd >= 0)
		close(fd);
	return found && size == then->build_id_size &&
	       !memcmp(id, then->build_id, size);
}

static int differs(const char *path, const char *field, int64_t now, int64_t then,
		   struct cpimg_error *err)
{
	return cpimg_fail(err, CPIMG_ERR_FILE,
		"%.300s: %s is %" PRId64 ", and was %" PRId64 " at the checkpoint",
		path, field, now, then);
}

/**
 * cpimg_check_file() - is a file still what memory was mapped from?
 * @mapped: what was mapped, from cpimg_mapped_file()
 * @path: where the file is now; NULL: where it was
 * @err: which field differs; may be NULL
 *
 * It is if inode, size, mtime and ctime are what they were; or size, mtime and
 * build-id, as of a package that was installed again, or on another machine. Device
 * numbers are not compared: they can change with a reboot.
 *
 * Return: 0, or -1.
 */
int cpimg_check_file(const struct cpimg_mapped *mapped, const char *path,
		     struct cpimg_error *err)
{
	const struct cp_file *then = &mapped->file;
	struct stat st;

	if (!path)
		path = mapped->name;
	if (stat(path, &st))
		return cpimg_fail(err, CPIMG_ERR_FILE, "%.300s: %s", path,
				  strerror(errno));
	if (!S_ISREG(st.st_mode))
		return cpimg_fail(err, CPIMG_ERR_FILE, "%.300s: not a regular file",
				  path);
	if ((uint64_t)st.st_size != then->size)
		return differs(path, "size", st.st_size, then->size, err);
	if (st.st_mtim.tv_sec != then->mtime_sec)
		return differs(path, "mtime", st.st_mtim.tv_sec,
			       then->mtime_sec, err);
	if (st.st_mtim.tv_nsec != then->mtime_nsec)
		return differs(path, "mtime, in ns of its second,",
			       st.st_mtim.tv_nsec, then->mtime_nsec, err);
	if (st.st_ino == then->ino && st.st_ctim.tv_sec == then->ctime_sec &&
	    st.st_ctim.tv_nsec == then->ctime_nsec)
		return 0;
	if (same_build_id(path, then))
		return 0;
	if (st.st_ino != then->ino)
		return differs(path, "inode", st.st_ino, then->ino, err);
	if (st.st_ctim.tv_sec != then->ctime_sec)
		return differs(path, "ctime", st.st_ctim.tv_sec,
			       then->ctime_sec, err);
	return differs(path, "ctime, in ns of its second,",
		       st.st_ctim.tv_nsec, then->ctime_nsec, err);
}
