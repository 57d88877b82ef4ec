// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - files: whose core file is this, and is that mapped file what it was?
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

#include "internal.h"

#ifndef NT_GNU_BUILD_ID
#define NT_GNU_BUILD_ID	3
#endif

/* What a core file of a large program has, and no more than can be looked at. */
#define MAX_NOTES	(1U << 20)

/*
 * An ELF file of either class and byte order, without libelf, which sizes tables by
 * what a file claims.
 */
struct elf_view {
	int	fd;
	bool	wide;
	bool	big;
};

static bool read_at(const struct elf_view *v, uint64_t at, void *buf, size_t len)
{
	return at <= INT64_MAX && pread(v->fd, buf, len, at) == (ssize_t)len;
}

static uint64_t number(const struct elf_view *v, const unsigned char *p, size_t size)
{
	uint64_t n = 0;

	for (size_t i = 0; i < size; i++)
		n = n << 8 | p[v->big ? i : size - 1 - i];
	return n;
}

/* 1: the note is among them, 0: it is not, -1: cannot be told */
static int peek_notes(const struct elf_view *v, uint64_t at, uint64_t size,
		      struct cp_note *note)
{
	static const char owner[] = CP_NOTE_OWNER;
	uint64_t end;

	if (__builtin_add_overflow(at, size, &end))
		return -1;
	for (unsigned int i = 0; at < end; i++) {
		unsigned char h[12 + sizeof(owner)] = { 0 };
		uint64_t name, desc;

		if (i == MAX_NOTES || end - at < 12 || !read_at(v, at, h, 12))
			return -1;
		name = (number(v, h, 4) + 3) & ~3ULL;
		desc = (number(v, h + 4, 4) + 3) & ~3ULL;
		if (name + desc > end - at - 12)
			return -1;
		if (number(v, h, 4) == sizeof(owner) &&
		    number(v, h + 8, 4) == CP_NOTE_TYPE &&
		    number(v, h + 4, 4) >= sizeof(*note) &&
		    read_at(v, at + 12, h + 12, sizeof(owner)) &&
		    !memcmp(h + 12, owner, sizeof(owner)))
			return read_at(v, at + 12 + name, note, sizeof(*note)) ? 1 : -1;
		at += 12 + name + desc;
	}
	return 0;
}

/*
 * cpimg_peek() - struct cp_note of a file, whether or not the rest of it is sound.
 * Return: 1: here it is, 0: a core file that has none, -1: cannot be told.
 */
int cpimg_peek(int fd, struct cp_note *note)
{
	struct elf_view v = { .fd = fd };
	unsigned char h[64], p[56];
	size_t size, i, count;
	uint64_t phoff;

	memset(h, 0, sizeof(h));
	if (pread(fd, h, sizeof(h), 0) < 52 || memcmp(h, ELFMAG, SELFMAG))
		return -1;
	v.wide = h[EI_CLASS] == ELFCLASS64;
	v.big = h[EI_DATA] == ELFDATA2MSB;
	if (number(&v, h + 16, 2) != ET_CORE)
		return -1;
	size = v.wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	phoff = number(&v, h + (v.wide ? 32 : 28), v.wide ? 8 : 4);
	count = number(&v, h + (v.wide ? 56 : 44), 2);
	/* the first 65,535 are enough, notes come before memory; but there may be fewer */
	if (count == PN_XNUM &&
	    read_at(&v, number(&v, h + (v.wide ? 40 : 32), v.wide ? 8 : 4) +
		    (v.wide ? offsetof(Elf64_Shdr, sh_info) :
		     offsetof(Elf32_Shdr, sh_info)), p, 4) &&
	    number(&v, p, 4) < PN_XNUM)
		count = number(&v, p, 4);
	if (number(&v, h + (v.wide ? 54 : 42), 2) != size)
		return -1;
	for (i = 0; i < count; i++) {
		int found;

		if (!read_at(&v, phoff + i * size, p, size))
			return -1;
		if (number(&v, p, 4) != PT_NOTE)
			continue;
		found = v.wide ? peek_notes(&v, number(&v, p + 8, 8),
					    number(&v, p + 32, 8), note) :
			peek_notes(&v, number(&v, p + 4, 4), number(&v, p + 16, 4),
				   note);
		if (found)
			return found;
	}
	return 0;
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
