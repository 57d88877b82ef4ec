// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - one image: check all of it that can be checked, then answer
 *
 * The checks go from the outside in, each one only uses what those before it
 * have found sound.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gelf.h>
#include <libelf.h>
#include <zlib.h>

#include "internal.h"

/*
 * A sparse file can claim any size. These are far beyond what a kernel writes
 * and still small enough to allocate.
 */
#define MAX_RUNS	(1U << 26)
#define MAX_NOTES	(256U << 20)

#define MIN_PAGE	4096
#define MAX_PAGE	(1U << 20)

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
};

/* Where the tables lie, known while an image is being opened. */
struct layout {
	uint64_t	phoff;
	size_t		phentsize;
	size_t		phnum;
	uint64_t	shoff;
	size_t		shentsize;
};

/* Always -1, so that callers can return it. */
int cpimg_fail(struct cpimg_error *err, enum cpimg_errcode code,
	       const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -1;
	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return -1;
}

static int bad(const struct cpimg *img, struct cpimg_error *err,
	       const char *field, uint64_t value, const char *what)
{
	return cpimg_fail(err, CPIMG_ERR_FORMAT, "%s: %s is 0x%" PRIx64 ": %s",
			  img->path, field, value, what);
}

static const char *base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* [@offset, @offset + @size) lies in the file */
static bool in_file(const struct cpimg *img, uint64_t offset, uint64_t size)
{
	return size <= img->file_size && offset <= img->file_size - size;
}

static int read_file(const struct cpimg *img, int fd, uint64_t offset, void *buf,
		     size_t len, struct cpimg_error *err)
{
	char *to = buf;

	while (len) {
		ssize_t n = pread(fd, to, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cpimg_fail(err, CPIMG_ERR_SYS,
				"%s: reading %zu bytes at 0x%" PRIx64 ": %s",
				img->path, len, offset, strerror(errno));
		if (!n)
			return cpimg_fail(err, CPIMG_ERR_FORMAT,
				"%s: ends at 0x%" PRIx64 ", %zu bytes too early",
				img->path, offset, len);
		to += n;
		offset += n;
		len -= n;
	}
	return 0;
}

int cpimg_pread_file(const struct cpimg *img, uint64_t offset, void *buf,
		     size_t len, struct cpimg_error *err)
{
	int fd = cpimg_hold(img, err), ret;

	if (fd < 0)
		return -1;
	ret = read_file(img, fd, offset, buf, len, err);
	cpimg_release(img);
	return ret;
}

static int open_file(struct cpimg *img, int folder, struct cpimg_error *err)
{
	struct stat st;

	/* A FIFO under the name must not hang us. */
	img->fd = openat(folder, folder == AT_FDCWD ? img->path : base(img->path),
			 O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (img->fd < 0 || fstat(img->fd, &st))
		return cpimg_fail(err, CPIMG_ERR_SYS, "%s: opening: %s",
				  img->path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return bad(img, err, "file type", st.st_mode & S_IFMT,
			   "not an image: not a regular file");
	img->file_size = st.st_size;
	img->identity = (struct cpimg_identity) {
		st.st_dev, st.st_ino, st.st_size, st.st_mtim,
	};
	return 0;
}

/* The file that was opened, and nobody has written to it since. */
bool cpimg_is_file(const struct cpimg *img, const struct stat *st)
{
	const struct cpimg_identity *id = &img->identity;

	return st->st_dev == id->dev && st->st_ino == id->ino &&
	       st->st_size == id->size && st->st_mtim.tv_sec == id->mtime.tv_sec &&
	       st->st_mtim.tv_nsec == id->mtime.tv_nsec;
}

/* Both were opened as the same file. */
bool cpimg_same_file(const struct cpimg *a, const struct cpimg *b)
{
	return a->identity.dev == b->identity.dev && a->identity.ino == b->identity.ino;
}

/*
 * Files that are open, and those that are not. Locked: the cache.
 */

/* Close a file that nobody holds. */
static bool close_one(struct cpimg_cache *c)
{
	for (unsigned int i = 0; i < c->count; i++) {
		unsigned int at = (c->next + i) % c->count;
		struct cpimg *img = c->open[at];

		if (img->held)
			continue;
		close(img->fd);
		img->fd = -1;
		c->open[at] = c->open[--c->count];
		c->next = at;
		return true;
	}
	return false;
}

static int open_again(struct cpimg *img, struct cpimg_error *err)
{
	struct cpimg_cache *c = img->cache;
	struct stat st;
	int fd;

	if (c->count >= c->most && !close_one(c))
		return cpimg_fail(err, CPIMG_ERR_SYS,
				  "%s: opening: %u files of the chain are in use",
				  img->path, c->count);
	do
		fd = openat(img->folder, base(img->path),
			    O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	while (fd < 0 && errno == EMFILE && close_one(c));
	if (fd < 0)
		return cpimg_fail(err, CPIMG_ERR_SYS, "%s: opening it again: %s",
				  img->path, strerror(errno));
	if (fstat(fd, &st) || !cpimg_is_file(img, &st)) {
		close(fd);
		return cpimg_fail(err, CPIMG_ERR_CHAIN,
			"%s: is another file by now, or was written to: open the chain again",
			img->path);
	}
	img->fd = fd;
	c->open[c->count++] = img;
	return 0;
}

/*
 * cpimg_hold() - the open file of an image, which stays open until cpimg_release().
 * Neither allocates memory. Return: its descriptor, or -1.
 */
int cpimg_hold(const struct cpimg *img, struct cpimg_error *err)
{
	/* What an image says does not change by that. */
	struct cpimg *i = (struct cpimg *)img;
	int fd = -1;

	if (!i->cache)
		return i->fd;
	pthread_mutex_lock(&i->cache->lock);
	if (i->fd >= 0 || !open_again(i, err)) {
		i->held++;
		fd = i->fd;
	}
	pthread_mutex_unlock(&i->cache->lock);
	return fd;
}

void cpimg_release(const struct cpimg *img)
{
	struct cpimg *i = (struct cpimg *)img;

	if (!i->cache)
		return;
	pthread_mutex_lock(&i->cache->lock);
	i->held--;
	pthread_mutex_unlock(&i->cache->lock);
}

/* The notes of an image of a chain are kept only where somebody has asked for them. */
static void drop_notes(struct cpimg *img)
{
	free(img->notes);
	img->notes = NULL;
}

/*
 * From now on the cache may close the file, and open it again in that folder, which
 * stays the caller's. Nobody else uses the image or the cache yet.
 */
int cpimg_keep(struct cpimg *img, struct cpimg_cache *cache, int folder,
	       struct cpimg_error *err)
{
	if (cache->count >= cache->most && !close_one(cache))
		return cpimg_fail(err, CPIMG_ERR_SYS, "%s: too many open files",
				  img->path);
	drop_notes(img);
	img->folder = folder;
	img->cache = cache;
	cache->open[cache->count++] = img;
	return 0;
}

static int read_notes(struct cpimg *img, unsigned char **notes,
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
static const unsigned char *notes_of(const struct cpimg *img)
{
	struct cpimg *i = (struct cpimg *)img;
	unsigned char *notes;

	if (!i->cache)
		return i->notes;
	pthread_mutex_lock(&i->cache->lock);
	notes = i->notes;
	pthread_mutex_unlock(&i->cache->lock);
	if (notes || read_notes(i, &notes, NULL))
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

static int not_ours(const struct cpimg *img, struct cpimg_error *err)
{
	return cpimg_fail(err, CPIMG_ERR_FORMAT,
			  "%s: a core file, but not written by cp_range: it has no note of that name",
			  img->path);
}

/* libelf sizes a table by the number of sections before anybody can look at it. */
static int check_sections(const struct cpimg *img, unsigned int type,
			  unsigned int shnum, uint64_t shoff,
			  struct cpimg_error *err)
{
	if (type != ET_CORE)
		return bad(img, err, "e_type", type, "not an image: not a core file");
	if (shnum > 1 || (shoff && !shnum))
		return bad(img, err, "e_shnum", shnum,
			   "an image has at most one section header");
	return 0;
}

/*
 * What libelf would trip over or not care about. The header is written last, so
 * a file that begins with zeros, or has nothing yet, was left by a checkpoint
 * that did not finish.
 */
static int check_header(struct cpimg *img, struct cpimg_error *err)
{
	static const unsigned char nothing[sizeof(Elf64_Ehdr)];
	union {
		unsigned char	ident[EI_NIDENT];
		Elf32_Ehdr	e32;
		Elf64_Ehdr	e64;
		unsigned char	bytes[sizeof(Elf64_Ehdr)];
	} h = { .bytes = { 0 } };
	size_t len = sizeof(h.e64);

	if (img->file_size < len)
		len = img->file_size;
	if (cpimg_pread_file(img, 0, &h, len, err))
		return -1;
	if (!memcmp(h.bytes, nothing, len))
		return cpimg_fail(err, CPIMG_ERR_INCOMPLETE,
			"%s: not an image: header was never written (the checkpoint did not finish)",
			img->path);
	if (memcmp(h.ident, ELFMAG, SELFMAG))
		return cpimg_fail(err, CPIMG_ERR_FORMAT,
			"%s: magic is %02x %02x %02x %02x: not an image: not an ELF file",
			img->path, h.bytes[0], h.bytes[1], h.bytes[2], h.bytes[3]);
	if (h.ident[EI_DATA] !=
	    (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB))
		return bad(img, err, "EI_DATA", h.ident[EI_DATA],
			   "not this machine's byte order");
	if (h.ident[EI_VERSION] != EV_CURRENT)
		return bad(img, err, "EI_VERSION", h.ident[EI_VERSION],
			   "unknown");
	if (h.ident[EI_CLASS] == ELFCLASS64) {
		img->bits = 64;
		if (len < sizeof(h.e64))
			return bad(img, err, "file size", len, "shorter than a header");
		return check_sections(img, h.e64.e_type, h.e64.e_shnum,
				      h.e64.e_shoff, err);
	}
	if (h.ident[EI_CLASS] == ELFCLASS32) {
		img->bits = 32;
		if (len < sizeof(h.e32))
			return bad(img, err, "file size", len, "shorter than a header");
		return check_sections(img, h.e32.e_type, h.e32.e_shnum,
				      h.e32.e_shoff, err);
	}
	return bad(img, err, "EI_CLASS", h.ident[EI_CLASS], "unknown");
}

static int check_layout(struct cpimg *img, Elf *elf, struct layout *lay,
			struct cpimg_error *err)
{
	GElf_Ehdr eh;

	if (!gelf_getehdr(elf, &eh))
		return cpimg_fail(err, CPIMG_ERR_FORMAT, "%s: ELF header: %s",
				  img->path, elf_errmsg(-1));
	img->machine = eh.e_machine;
	if (eh.e_version != EV_CURRENT)
		return bad(img, err, "e_version", eh.e_version, "unknown");

	lay->phoff = eh.e_phoff;
	lay->phentsize = gelf_fsize(elf, ELF_T_PHDR, 1, EV_CURRENT);
	lay->shoff = eh.e_shoff;
	lay->shentsize = gelf_fsize(elf, ELF_T_SHDR, 1, EV_CURRENT);
	if (eh.e_phentsize != lay->phentsize)
		return bad(img, err, "e_phentsize", eh.e_phentsize,
			   "not a program header's size");
	if (lay->shoff && eh.e_shentsize != lay->shentsize)
		return bad(img, err, "e_shentsize", eh.e_shentsize,
			   "not a section header's size");
	if (lay->shoff && !in_file(img, lay->shoff, lay->shentsize))
		return bad(img, err, "e_shoff", lay->shoff,
			   "the section header is not in the file");
	if (eh.e_phnum == PN_XNUM && !lay->shoff)
		return bad(img, err, "e_phnum", eh.e_phnum,
			   "PN_XNUM, and no section header that says how many");
	if (!in_file(img, lay->phoff, lay->phentsize))
		return bad(img, err, "e_phoff", lay->phoff,
			   "the program headers are not in the file");
	if (elf_getphdrnum(elf, &lay->phnum))
		return cpimg_fail(err, CPIMG_ERR_FORMAT,
				  "%s: number of program headers: %s",
				  img->path, elf_errmsg(-1));
	if (!lay->phnum || lay->phnum - 1 > MAX_RUNS)
		return bad(img, err, "number of program headers", lay->phnum,
			   "an image has a PT_NOTE, and at most 64 M runs");
	if (!in_file(img, lay->phoff, (uint64_t)lay->phnum * lay->phentsize))
		return bad(img, err, "e_phoff", lay->phoff,
			   "the program headers are not in the file");
	return 0;
}

/* One note at @pos of @notes, which need not be aligned. */
static bool parse_note(const unsigned char *notes, size_t size, size_t *pos,
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

static bool is_cp_note(const struct cpimg_elfnote *n)
{
	return n->type == CP_NOTE_TYPE && !strcmp(n->owner, CP_NOTE_OWNER);
}

static int check_cp_note(struct cpimg *img, const struct cpimg_elfnote *en,
			 struct cpimg_error *err)
{
	struct cp_note *n = &img->note;
	static const unsigned char no_id[CP_ID_SIZE];
	bool inc;

	if (en->size < sizeof(*n))
		return bad(img, err, "size of the CP_RANGE note", en->size,
			   "too small");
	memcpy(n, en->desc, sizeof(*n));
	img->crc_at = (const unsigned char *)en->desc - img->notes +
		      offsetof(struct cp_note, crc);

	if (n->version < CP_NOTE_VERSION)
		return bad(img, err, "note.version", n->version, "unknown");
	if (n->size < sizeof(*n) || n->size > en->size)
		return bad(img, err, "note.size", n->size,
			   "not the size of the note");
	if (n->kind != CP_KIND_FULL && n->kind != CP_KIND_INCREMENTAL)
		return bad(img, err, "note.kind", n->kind, "unknown");
	if (n->page_size < MIN_PAGE || n->page_size > MAX_PAGE ||
	    n->page_size & (n->page_size - 1))
		return bad(img, err, "note.page_size", n->page_size,
			   "not the size of a page");
	if (n->start & (n->page_size - 1))
		return bad(img, err, "note.start", n->start, "not a page's");
	if (n->end & (n->page_size - 1))
		return bad(img, err, "note.end", n->end, "not a page's");
	if (n->start >= n->end)
		return bad(img, err, "note.start", n->start,
			   "not below note.end");
	if (!memchr(n->parent, 0, sizeof(n->parent)))
		return bad(img, err, "note.parent",
			   (unsigned char)n->parent[sizeof(n->parent) - 1],
			   "the name has no end");

	inc = n->kind == CP_KIND_INCREMENTAL;
	if (inc == !n->parent[0])
		return bad(img, err, "note.kind", n->kind, inc ?
			   "incremental, and no parent's name" :
			   "full, with a parent's name");
	if (inc == !memcmp(n->parent_id, no_id, sizeof(no_id)))
		return bad(img, err, "note.kind", n->kind, inc ?
			   "incremental, and no parent's id" :
			   "full, with a parent's id");
	/* The name is put behind a folder: it must not lead out of it. */
	if (strchr(n->parent, '/') || !strcmp(n->parent, ".") ||
	    !strcmp(n->parent, ".."))
		return cpimg_fail(err, CPIMG_ERR_FORMAT,
				  "%s: note.parent is \"%s\": not a file name",
				  img->path, n->parent);
	return 0;
}

static bool is_files_note(const struct cpimg_elfnote *n)
{
	return n->type == CP_FILES_TYPE && !strcmp(n->owner, CP_NOTE_OWNER);
}

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

static int check_files(struct cpimg *img, const struct files *f,
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

static int check_files_note(struct cpimg *img, const struct cpimg_elfnote *en,
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
	return check_files(img, &f, err);
}

static int check_notes(struct cpimg *img, Elf *elf, struct cpimg_error *err)
{
	struct cpimg_elfnote en;
	bool found = false;
	GElf_Phdr ph;
	size_t pos = 0;

	if (!gelf_getphdr(elf, 0, &ph))
		return cpimg_fail(err, CPIMG_ERR_FORMAT,
				  "%s: program header 0: %s", img->path,
				  elf_errmsg(-1));
	if (ph.p_type != PT_NOTE)
		return bad(img, err, "p_type of program header 0", ph.p_type,
			   "not PT_NOTE");
	if (!in_file(img, ph.p_offset, ph.p_filesz))
		return bad(img, err, "p_offset of PT_NOTE", ph.p_offset,
			   "the notes are not in the file");
	if (ph.p_filesz > MAX_NOTES)
		return bad(img, err, "p_filesz of PT_NOTE", ph.p_filesz,
			   "more than 256 MiB");

	img->notes_at = ph.p_offset;
	img->notes_size = ph.p_filesz;
	if (read_notes(img, &img->notes, err))
		return -1;

	while (pos < img->notes_size) {
		if (!parse_note(img->notes, img->notes_size, &pos, &en))
			return bad(img, err, "note offset", pos,
				   "a note's name or content does not fit");
		if (is_files_note(&en)) {
			if (img->files_at)
				return bad(img, err, "note offset", pos,
					   "a second CP_FILES note");
			if (check_files_note(img, &en, err))
				return -1;
		}
		if (!is_cp_note(&en))
			continue;
		if (found)
			return bad(img, err, "note offset", pos,
				   "a second CP_RANGE note");
		found = true;
		if (check_cp_note(img, &en, err))
			return -1;
	}
	if (!found)
		return not_ours(img, err);
	return 0;
}

static int check_run(struct cpimg *img, const GElf_Phdr *ph, size_t i,
		     struct cpimg_run *run, struct cpimg_error *err)
{
	uint64_t mask = img->note.page_size - 1;
	char field[64];

	/* The name of a field of this header, for a message. */
#define F(name) (snprintf(field, sizeof(field), name " of program header %zu", i), field)
	run->start = ph->p_vaddr;
	run->end = ph->p_vaddr + ph->p_memsz;
	run->offset = ph->p_offset;
	run->reason = 0;
	run->prot = (ph->p_flags & PF_R ? PROT_READ : 0) |
		    (ph->p_flags & PF_W ? PROT_WRITE : 0) |
		    (ph->p_flags & PF_X ? PROT_EXEC : 0);

	if (run->start & mask)
		return bad(img, err, F("p_vaddr"), run->start, "not a page's");
	if (!ph->p_memsz || ph->p_memsz & mask || run->end < run->start)
		return bad(img, err, F("p_memsz"), ph->p_memsz,
			   "not a number of pages");
	if (run->start < img->note.start || run->end > img->note.end)
		return bad(img, err, F("p_vaddr"), run->start,
			   "the run is not in the image's range");
	if (ph->p_filesz && (ph->p_type != PT_LOAD || ph->p_filesz != ph->p_memsz))
		return bad(img, err, F("p_filesz"), ph->p_filesz,
			   "neither 0 nor p_memsz of a PT_LOAD");

	switch (ph->p_type) {
	case PT_LOAD:
		if (ph->p_filesz) {
			run->cls = CPIMG_DATA;
			return 0;
		}
		run->cls = CPIMG_HOLE;
		if (ph->p_paddr > CP_HOLE_FILE)
			return bad(img, err, F("p_paddr"), ph->p_paddr,
				   "no reason for a hole");
		break;
	case PT_CP_SAME:
		run->cls = CPIMG_SAME;
		if (img->note.kind != CP_KIND_INCREMENTAL)
			return bad(img, err, F("p_type"), ph->p_type,
				   "SAME, in a full image");
		return 0;
	case PT_CP_SKIPPED:
		run->cls = CPIMG_SKIPPED;
		if (!ph->p_paddr || ph->p_paddr > UINT32_MAX)
			return bad(img, err, F("p_paddr"), ph->p_paddr,
				   "no reason to skip");
		break;
	default:
		return bad(img, err, F("p_type"), ph->p_type, "not a run");
	}
	run->reason = ph->p_paddr;
	return 0;
#undef F
}

static int check_data(struct cpimg *img, const struct cpimg_run *run,
		      uint64_t *next, struct cpimg_error *err)
{
	uint64_t size = run->end - run->start;

	if (run->offset & (img->note.page_size - 1))
		return bad(img, err, "p_offset of a DATA run", run->offset,
			   "not page aligned");
	if (run->offset < *next)
		return bad(img, err, "p_offset of a DATA run", run->offset,
			   "in the header or in the run before it");
	if (!in_file(img, run->offset, size) ||
	    run->offset + size > img->notes_at)
		return bad(img, err, "p_offset of a DATA run", run->offset,
			   "the run reaches beyond the data");
	*next = run->offset + size;
	return 0;
}

static int check_counts(struct cpimg *img, const uint64_t *bytes,
			struct cpimg_error *err)
{
	const struct {
		const char	*field;
		uint64_t	claimed;
		uint64_t	seen;
	} rows[] = {
		{ "note.runs", img->note.runs, img->nr_runs },
#define PAGES(field, cls) { "note." #field, img->note.field, \
			    bytes[cls] / img->note.page_size }
		PAGES(pages_data, CPIMG_DATA),
		PAGES(pages_same, CPIMG_SAME),
		PAGES(pages_hole, CPIMG_HOLE),
		PAGES(pages_skipped, CPIMG_SKIPPED),
#undef PAGES
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].claimed == rows[i].seen)
			continue;
		return cpimg_fail(err, CPIMG_ERR_FORMAT,
			"%s: %s is %" PRIu64 ": the program headers have %" PRIu64,
			img->path, rows[i].field, rows[i].claimed, rows[i].seen);
	}
	return 0;
}

static int read_runs(struct cpimg *img, Elf *elf, const struct layout *lay,
		     struct cpimg_error *err)
{
	uint64_t bytes[CPIMG_NONE] = { 0 };
	uint64_t next = MIN_PAGE, last = 0;

	img->nr_runs = lay->phnum - 1;
	img->runs = calloc(img->nr_runs + 1, sizeof(*img->runs));
	if (!img->runs)
		return cpimg_fail(err, CPIMG_ERR_SYS,
				  "%s: no memory for %zu runs", img->path,
				  img->nr_runs);

	for (size_t i = 1; i <= img->nr_runs; i++) {
		struct cpimg_run *run = &img->runs[i - 1];
		GElf_Phdr ph;

		if (!gelf_getphdr(elf, i, &ph))
			return cpimg_fail(err, CPIMG_ERR_FORMAT,
					  "%s: program header %zu: %s",
					  img->path, i, elf_errmsg(-1));
		if (check_run(img, &ph, i, run, err))
			return -1;
		if (run->start < last)
			return bad(img, err, "p_vaddr", run->start,
				   "not above the run before it");
		last = run->end;
		if (run->cls == CPIMG_DATA && check_data(img, run, &next, err))
			return -1;
		bytes[run->cls] += run->end - run->start;
	}
	return check_counts(img, bytes, err);
}

static int check_crc(struct cpimg *img, const struct layout *lay, int flags,
		     struct cpimg_error *err)
{
	static const unsigned char zero[sizeof(img->note.crc)];
	size_t after = img->crc_at + sizeof(zero);
	unsigned char buf[16384];
	unsigned long crc;
	uint64_t at = lay->phoff, left = (uint64_t)lay->phnum * lay->phentsize;

	img->notes_crc = crc32(0, img->notes, img->notes_size);
	if (flags & CPIMG_NO_CRC)
		return 0;
	crc = crc32(0, img->notes, img->crc_at);
	crc = crc32(crc, zero, sizeof(zero));
	crc = crc32(crc, img->notes + after, img->notes_size - after);
	while (left) {
		size_t n = left < sizeof(buf) ? left : sizeof(buf);

		if (cpimg_pread_file(img, at, buf, n, err))
			return -1;
		crc = crc32(crc, buf, n);
		at += n;
		left -= n;
	}
	if (lay->shoff) {
		if (cpimg_pread_file(img, lay->shoff, buf, lay->shentsize, err))
			return -1;
		crc = crc32(crc, buf, lay->shentsize);
	}
	if (crc != img->note.crc)
		return cpimg_fail(err, CPIMG_ERR_CRC,
			"%s: note.crc is 0x%08x: notes and program headers have 0x%08lx: the file was altered",
			img->path, img->note.crc, crc);
	return 0;
}

static int parse(struct cpimg *img, int flags, struct cpimg_error *err)
{
	struct layout lay = { 0 };
	Elf *elf;
	int ret;

	if (elf_version(EV_CURRENT) == EV_NONE)
		return cpimg_fail(err, CPIMG_ERR_SYS, "libelf: %s", elf_errmsg(-1));
	/* Not mapped: a file that shrinks must not become a SIGBUS. */
	elf = elf_begin(img->fd, ELF_C_READ, NULL);
	if (!elf)
		return cpimg_fail(err, CPIMG_ERR_FORMAT, "%s: ELF header: %s",
				  img->path, elf_errmsg(-1));
	ret = check_layout(img, elf, &lay, err) ||
	      check_notes(img, elf, err) ||
	      read_runs(img, elf, &lay, err) ||
	      check_crc(img, &lay, flags, err);
	elf_end(elf);
	return ret;
}

static bool is_core(int fd)
{
	unsigned char ident[EI_NIDENT + 2];
	int big;

	if (pread(fd, ident, sizeof(ident), 0) != sizeof(ident) ||
	    memcmp(ident, ELFMAG, SELFMAG))
		return false;
	/* e_type is at the same place in all ELF files */
	big = ident[EI_DATA] == ELFDATA2MSB;
	return ident[EI_NIDENT + big] == ET_CORE && !ident[EI_NIDENT + !big];
}

struct cpimg *cpimg_open_at(int folder, const char *path, int flags,
			    struct cpimg_error *err)
{
	struct cpimg *img = calloc(1, sizeof(*img));
	struct cp_note note;

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
	if (!open_file(img, folder, err) && !check_header(img, err) &&
	    !parse(img, flags, err))
		return img;
	/* Somebody else's core file has no fields that could be wrong. */
	if (err && err->code == CPIMG_ERR_FORMAT && img->fd >= 0 &&
	    is_core(img->fd) && !cpimg_peek(img->fd, &note))
		not_ours(img, err);
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
	free(img);
}

static bool within(const void *mem, size_t size, uint64_t start, uint64_t end)
{
	return (uintptr_t)mem < end && start < (uintptr_t)mem + size;
}

/* Something of the open image itself lies in [@start, @end) */
bool cpimg_overlaps(const struct cpimg *img, uint64_t start, uint64_t end)
{
	return within(img, sizeof(*img), start, end) ||
	       within(img->path, strlen(img->path) + 1, start, end) ||
	       (img->notes && within(img->notes, img->notes_size + 1, start, end)) ||
	       within(img->runs, (img->nr_runs + 1) * sizeof(*img->runs),
		      start, end);
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
 * Return: the run, or NULL if nothing was mapped there or the image's range
 * leaves the address out.
 */
const struct cpimg_run *cpimg_find(const struct cpimg *img, uint64_t addr)
{
	size_t i = cpimg_index_after(img, addr);

	if (i == img->nr_runs || img->runs[i].start > addr)
		return NULL;
	return &img->runs[i];
}

/** cpimg_covers() - is the address in the range that the image looked at? */
bool cpimg_covers(const struct cpimg *img, uint64_t addr)
{
	return addr >= img->note.start && addr < img->note.end;
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
	const unsigned char *notes = notes_of(img);

	return notes && *pos < img->notes_size &&
	       parse_note(notes, img->notes_size, pos, out);
}

/* The notes as they are in the file, and where among them struct cp_note is. */
const void *cpimg_raw_notes(const struct cpimg *img, size_t *size, size_t *own)
{
	*size = img->notes_size;
	*own = img->crc_at - offsetof(struct cp_note, crc);
	return notes_of(img);
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
	const unsigned char *notes = img->files_at ? notes_of(img) : NULL;
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

/** cpimg_class_name() - DATA, HOLE, ... */
const char *cpimg_class_name(enum cpimg_class cls)
{
	static const char *const names[] = {
		[CPIMG_DATA]	= "DATA",
		[CPIMG_HOLE]	= "HOLE",
		[CPIMG_SAME]	= "SAME",
		[CPIMG_SKIPPED]	= "SKIPPED",
		[CPIMG_NONE]	= "not mapped",
	};

	return cls && cls <= CPIMG_NONE ? names[cls] : "unknown";
}

/** cpimg_reason_name() - why an image is full or incremental */
const char *cpimg_reason_name(uint32_t reason)
{
	static const char *const names[] = {
		[CP_REASON_CP_RANGE]		= "cp_range() was called",
		[CP_REASON_FIRST]		= "the first checkpoint",
		[CP_REASON_NO_CHAIN]		= "the first of this address space",
		[CP_REASON_BROKEN]		= "the last checkpoint failed",
		[CP_REASON_OTHER_PROCESS]	= "another process began the chain",
		[CP_REASON_CHAIN]		= "what changed since the parent",
		[CP_REASON_NO_TRACKING]		= "changes cannot be tracked here",
		[CP_REASON_PARENT_GONE]		= "an image of the chain has lost its name",
	};

	if (reason == CPIMG_REASON_FLATTENED)
		return "flattened from a chain";
	if (reason >= sizeof(names) / sizeof(names[0]) || !names[reason])
		return "unknown reason";
	return names[reason];
}

/** cpimg_hole_name() - what a hole reads as */
const char *cpimg_hole_name(uint32_t reason)
{
	return reason == CP_HOLE_ZERO ? "zeros" :
	       reason == CP_HOLE_FILE ? "the mapped file" : "unknown";
}

/** cpimg_skip_name() - why a run was left out */
const char *cpimg_skip_name(uint32_t reason)
{
	static const char *const names[] = {
		[CP_SKIP_IO]		= "device memory",
		[CP_SKIP_PFNMAP]	= "no struct page",
		[CP_SKIP_LOCKED]	= "mlocked",
		[CP_SKIP_NOREAD]	= "not readable",
		[CP_SKIP_DONTCOPY]	= "MADV_DONTFORK",
		[CP_SKIP_DONTDUMP]	= "MADV_DONTDUMP",
		[CP_SKIP_SECRET]	= "memfd_secret",
		[CP_SKIP_POISON]	= "poisoned",
		[CP_SKIP_RESERVED]	= "reserved page",
		[CP_SKIP_OFFLINE]	= "offline page",
		[CP_SKIP_SPECIAL]	= "special entry",
		[CP_SKIP_FAULT]		= "cannot be read",
	};

	if (reason >= sizeof(names) / sizeof(names[0]) || !names[reason])
		return "unknown reason";
	return names[reason];
}
