// SPDX-License-Identifier: GPL-2.0
/*
 * Writes an image as the kernel does: the data, the notes, the program headers,
 * and when all of that is on the disk the ELF header, without which it is none.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>

#include "cmd.h"
#include "../libcpimg.h"

#define PIECE	(4U << 20)	/* bytes copied at once */

struct writer {
	int			fd;
	char			*path;
	int			bits;
	uint64_t		at;		/* where data goes next */
	struct cpimg_run	*runs;
	size_t			nr_runs, space;
	unsigned char		*buf;
};

/* The two classes of ELF, so that the code below needs only one form of each. */
union ehdr {
	Elf32_Ehdr	e32;
	Elf64_Ehdr	e64;
};

static int sys_fail(const struct writer *w, struct cpimg_error *err,
		    const char *what)
{
	return cpimg_fail(err, CPIMG_ERR_SYS, "%s: %s: %s", w->path, what,
			  strerror(errno));
}

static int put(struct writer *w, uint64_t at, const void *from, size_t len,
	       struct cpimg_error *err)
{
	const char *p = from;

	while (len) {
		ssize_t n = pwrite(w->fd, p, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return sys_fail(w, err, "writing");
		p += n;
		at += n;
		len -= n;
	}
	return 0;
}

/**
 * writer_open() - begin a new image
 * @path: the file, which must not be there yet
 * @like: an image with pages of the same size
 * @err: what went wrong
 *
 * Return: for writer_commit() or writer_abandon(), or NULL.
 */
struct writer *writer_open(const char *path, const struct cpimg *like,
			   struct cpimg_error *err)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (w) {
		w->at = cpimg_note(like)->page_size;
		w->bits = cpimg_bits(like);
		w->path = strdup(path);
		w->buf = malloc(PIECE);
	}
	if (!w || !w->path || !w->buf) {
		cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory", path);
		goto fail;
	}
	w->fd = open(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_RDWR, 0600);
	if (w->fd >= 0)
		return w;
	sys_fail(w, err, "creating");
fail:
	if (w) {
		free(w->buf);
		free(w->path);
	}
	free(w);
	return NULL;
}

static void writer_free(struct writer *w)
{
	close(w->fd);
	free(w->runs);
	free(w->buf);
	free(w->path);
	free(w);
}

/* Remove what was written. */
void writer_abandon(struct writer *w)
{
	unlink(w->path);
	writer_free(w);
}

static int copy_data(struct writer *w, const struct cpimg_piece *p,
		     struct progress *progress, struct cpimg_error *err)
{
	for (uint64_t at = p->start, n; at < p->end; at += n) {
		n = p->end - at < PIECE ? p->end - at : PIECE;
		if (cpimg_pread(p->img, at, w->buf, n, err) ||
		    put(w, w->at, w->buf, n, err))
			return -1;
		w->at += n;
		if (progress_step(progress, n))
			return cpimg_fail(err, CPIMG_ERR_SYS, "%s: interrupted",
					  w->path);
	}
	return 0;
}

/**
 * writer_add() - one more run, above those before it
 * @w: the new image
 * @piece: what it is, and where its bytes are; not CPIMG_NONE
 * @merge: it may become one with the run before it, if they are alike
 * @progress: is told of the bytes copied; may be NULL
 * @err: what went wrong
 *
 * Return: 0 or -1.
 */
int writer_add(struct writer *w, const struct cpimg_piece *piece, bool merge,
	       struct progress *progress, struct cpimg_error *err)
{
	struct cpimg_run *last = w->nr_runs ? &w->runs[w->nr_runs - 1] : NULL;
	uint64_t most = w->bits == 32 ? UINT32_MAX : UINT64_MAX;	/* p_memsz */

	if (merge && last && last->end == piece->start && last->cls == piece->cls &&
	    last->reason == piece->reason && last->prot == piece->prot &&
	    piece->end - last->start <= most) {
		last->end = piece->end;
	} else {
		if (w->nr_runs == w->space) {
			size_t space = w->space ? 2 * w->space : 64;
			void *more = realloc(w->runs, space * sizeof(*w->runs));

			if (!more)
				return cpimg_fail(err, CPIMG_ERR_SYS,
						  "%s: no memory for %zu runs",
						  w->path, space);
			w->runs = more;
			w->space = space;
		}
		w->runs[w->nr_runs++] = (struct cpimg_run) {
			.start = piece->start, .end = piece->end,
			.offset = w->at, .reason = piece->reason,
			.cls = piece->cls, .prot = piece->prot,
		};
	}
	return piece->cls == CPIMG_DATA ? copy_data(w, piece, progress, err) : 0;
}

/* What the new image says of itself: the old one's words, but for the chain. */
static struct cp_note new_note(const struct writer *w, const struct view *of)
{
	struct cp_note n = *cpimg_note(view_image(of));
	uint64_t pages[CPIMG_NONE] = { 0 }, start, end;

	for (size_t i = 0; i < w->nr_runs; i++)
		pages[w->runs[i].cls] += (w->runs[i].end - w->runs[i].start) /
					 n.page_size;
	view_range(of, &start, &end);
	n.start = start;
	n.end = end;
	if (n.kind == CP_KIND_INCREMENTAL)
		n.reason = CPIMG_REASON_FLATTENED;
	n.kind = CP_KIND_FULL;
	n.runs = w->nr_runs;
	n.pages_data = pages[CPIMG_DATA];
	n.pages_same = 0;
	n.pages_hole = pages[CPIMG_HOLE];
	n.pages_skipped = pages[CPIMG_SKIPPED];
	memset(n.parent_id, 0, sizeof(n.parent_id));
	memset(n.parent, 0, sizeof(n.parent));
	n.crc = 0;
	return n;
}

static void put_phdr(unsigned char *to, int bits, const Elf64_Phdr *p)
{
	Elf32_Phdr q = {
		.p_type = p->p_type, .p_flags = p->p_flags, .p_offset = p->p_offset,
		.p_vaddr = p->p_vaddr, .p_paddr = p->p_paddr,
		.p_filesz = p->p_filesz, .p_memsz = p->p_memsz,
		.p_align = p->p_align,
	};

	if (bits == 64)
		memcpy(to, p, sizeof(*p));
	else
		memcpy(to, &q, sizeof(q));
}

static Elf64_Phdr run_header(const struct cpimg_run *run, uint64_t page)
{
	static const uint32_t types[] = {
		[CPIMG_DATA] = PT_LOAD, [CPIMG_HOLE] = PT_LOAD,
		[CPIMG_SAME] = PT_CP_SAME, [CPIMG_SKIPPED] = PT_CP_SKIPPED,
	};
	uint64_t size = run->end - run->start;

	return (Elf64_Phdr) {
		.p_type = types[run->cls],
		.p_flags = (run->prot & PROT_READ ? PF_R : 0) |
			   (run->prot & PROT_WRITE ? PF_W : 0) |
			   (run->prot & PROT_EXEC ? PF_X : 0),
		.p_offset = run->offset, .p_vaddr = run->start,
		.p_paddr = run->reason,
		.p_filesz = run->cls == CPIMG_DATA ? size : 0,
		.p_memsz = size, .p_align = page,
	};
}

/* Program headers, and the section header if there must be one; for free(). */
static unsigned char *headers(const struct writer *w, uint64_t page,
			      size_t notes_size, size_t *size)
{
	int bits = w->bits;
	size_t one = bits == 64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	size_t count = w->nr_runs + 1;
	Elf64_Phdr note = {
		.p_type = PT_NOTE, .p_offset = w->at, .p_filesz = notes_size,
		.p_align = 4,
	};
	unsigned char *all = malloc(count * one + sizeof(Elf64_Shdr));

	*size = count * one;
	if (!all)
		return NULL;
	put_phdr(all, bits, &note);
	for (size_t i = 0; i < w->nr_runs; i++) {
		Elf64_Phdr p = run_header(&w->runs[i], page);

		put_phdr(all + (i + 1) * one, bits, &p);
	}
	if (count >= PN_XNUM && bits == 64) {
		Elf64_Shdr s = { .sh_size = 1, .sh_info = count };

		memcpy(all + *size, &s, sizeof(s));
		*size += sizeof(s);
	} else if (count >= PN_XNUM) {
		Elf32_Shdr s = { .sh_size = 1, .sh_info = count };

		memcpy(all + *size, &s, sizeof(s));
		*size += sizeof(s);
	}
	return all;
}

/* The old header, whose machine and OS stay, with the new places. */
static void make_ehdr(union ehdr *h, int bits, uint64_t phoff, size_t count)
{
	bool xnum = count >= PN_XNUM;

#define FILL(e, phdr, shdr) do { \
	(e).e_entry = 0; \
	(e).e_phoff = phoff; \
	(e).e_phentsize = sizeof(phdr); \
	(e).e_phnum = xnum ? PN_XNUM : count; \
	(e).e_shoff = xnum ? phoff + count * sizeof(phdr) : 0; \
	(e).e_shentsize = xnum ? sizeof(shdr) : 0; \
	(e).e_shnum = xnum; \
	(e).e_shstrndx = 0; \
	(e).e_ehsize = sizeof(e); \
} while (0)
	if (bits == 64)
		FILL(h->e64, Elf64_Phdr, Elf64_Shdr);
	else
		FILL(h->e32, Elf32_Phdr, Elf32_Shdr);
#undef FILL
}

/* Make the name of a file durable. 0, or -1 and errno. */
int sync_folder(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	/* Not every file system has this for folders. */
	int bad = fd < 0 || (fsync(fd) && errno != EINVAL);

	if (fd >= 0)
		close(fd);
	free(copy);
	return bad ? -1 : 0;
}

static int put_tables(struct writer *w, const struct view *of,
		      unsigned char *notes, size_t notes_size, size_t note_at,
		      uint64_t *phoff, struct cpimg_error *err)
{
	unsigned char *table;
	struct cp_note n = new_note(w, of);
	size_t size;
	int ret;

	table = headers(w, n.page_size, notes_size, &size);
	if (!table)
		return cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory", w->path);
	memcpy(notes + note_at, &n, sizeof(n));
	n.crc = crc32(crc32(0, notes, notes_size), table, size);
	memcpy(notes + note_at, &n, sizeof(n));
	*phoff = (w->at + notes_size + 7) & ~(uint64_t)7;
	ret = put(w, w->at, notes, notes_size, err) ||
	      put(w, *phoff, table, size, err) ? -1 : 0;
	free(table);
	return ret;
}

/* At most, and in an image of 32 bits. */
static uint64_t end_of_tables(const struct writer *w, size_t notes_size)
{
	return w->at + notes_size + 8 + sizeof(Elf32_Shdr) +
	       (w->nr_runs + 1) * sizeof(Elf32_Phdr);
}

/**
 * writer_commit() - make it an image, on the disk
 * @w: with all runs; is freed if this succeeds
 * @of: what was written: its newest image gives notes and header
 * @err: what went wrong
 *
 * Return: 0, or -1; then writer_abandon() is for the caller to do.
 */
int writer_commit(struct writer *w, const struct view *of,
		  struct cpimg_error *err)
{
	const struct cpimg *img = view_image(of);
	union ehdr h;
	size_t notes_size, note_at, size;
	const void *old = cpimg_raw_notes(img, &notes_size, &note_at);
	unsigned char *notes = malloc(notes_size);
	uint64_t phoff = 0;
	int bad;

	if (!notes)
		return cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory", w->path);
	if (cpimg_bits(img) == 32 && end_of_tables(w, notes_size) > UINT32_MAX) {
		free(notes);
		return cpimg_fail(err, CPIMG_ERR_SYS,
				  "%s: would be over 4 GiB, which offsets of 32 bits cannot say",
				  w->path);
	}
	memcpy(notes, old, notes_size);
	bad = put_tables(w, of, notes, notes_size, note_at, &phoff, err);
	free(notes);
	size = cpimg_bits(img) == 64 ? sizeof(h.e64) : sizeof(h.e32);
	if (bad || cpimg_pread_file(img, 0, &h, size, err))
		return -1;
	make_ehdr(&h, cpimg_bits(img), phoff, w->nr_runs + 1);
	if (fsync(w->fd))
		return sys_fail(w, err, "fsync");
	if (put(w, 0, &h, size, err))
		return -1;
	if (fsync(w->fd))
		return sys_fail(w, err, "fsync");
	if (sync_folder(w->path))
		return sys_fail(w, err, "fsync of its folder");
	writer_free(w);
	return 0;
}

/* Are two runs of one image neighbours only because they are of two mappings? */
static bool mapping_ends(const struct cpimg *img, uint64_t addr)
{
	const struct cpimg_run *below = addr ? cpimg_find(img, addr - 1) : NULL;
	const struct cpimg_run *above = cpimg_find(img, addr);

	return below && above && below != above && below->cls == above->cls &&
	       below->reason == above->reason;
}

static int add_all(struct writer *w, const struct view *v,
		   struct progress *progress, struct cpimg_error *err)
{
	const struct cpimg *img = view_image(v);
	struct cpimg_piece p;
	size_t nr_maps;
	struct mapping *maps = mappings_of(img, &nr_maps);
	uint64_t end;
	int ret = 0;

	view_range(v, &p.end, &end);
	while (!ret && p.end < end) {
		const struct mapping *map;

		ret = view_resolve(v, p.end, &p, err);
		if (ret || p.cls == CPIMG_NONE)
			continue;
		map = mapping_at(maps, nr_maps, p.start);
		ret = writer_add(w, &p, !mapping_ends(img, p.start) &&
				 !(map && map->start == p.start), progress, err);
	}
	free(maps);
	return ret;
}

/* Give the new file to whom the old one belongs, which takes root. */
static int keep_owner(struct writer *w, const struct cpimg *img,
		      struct cpimg_error *err)
{
	struct stat old, new;

	if (fstat(cpimg_fd(img), &old) || fstat(w->fd, &new))
		return sys_fail(w, err, "fstat");
	if (old.st_uid == new.st_uid && old.st_gid == new.st_gid)
		return 0;
	if (fchown(w->fd, old.st_uid, old.st_gid))
		return sys_fail(w, err, "giving it to the owner of the old one");
	return 0;
}

/* What is no image after all must not be left there. */
static int read_back(const char *path, struct cpimg_error *err)
{
	struct cpimg *img = cpimg_open(path, 0, err);

	if (!img)
		unlink(path);
	cpimg_close(img);
	return img ? 0 : -1;
}

/**
 * write_flat() - write what a view shows as one full image
 * @v: the view
 * @path: the new file, which must not be there yet
 * @replaces: it is to belong to whom the view's newest image belongs
 * @err: what went wrong; there is no file then
 *
 * Its id is that of the image it replaces: it is the same checkpoint.
 *
 * Return: 0 or -1.
 */
int write_flat(const struct view *v, const char *path, bool replaces,
	       struct cpimg_error *err)
{
	struct progress progress;
	struct writer *w;
	uint64_t bytes;
	int ret;

	if (view_data(v, &bytes, err))
		return -1;
	w = writer_open(path, view_image(v), err);
	if (!w)
		return -1;
	progress_start(&progress, "writing", bytes);
	ret = (replaces && keep_owner(w, view_image(v), err)) ||
	      add_all(w, v, &progress, err) || writer_commit(w, v, err);
	progress_end(&progress);
	if (ret) {
		writer_abandon(w);
		return -1;
	}
	return read_back(path, err);
}

/* Where an image's tables end, and so the file; 0 and @err if that is not known. */
uint64_t image_end(const struct cpimg *img, struct cpimg_error *err)
{
	union ehdr h;
	size_t size = cpimg_bits(img) == 64 ? sizeof(h.e64) : sizeof(h.e32);
	uint64_t phdrs, shdr;

	if (cpimg_pread_file(img, 0, &h, size, err))
		return 0;
	if (size == sizeof(h.e64)) {
		phdrs = h.e64.e_phoff + (cpimg_note(img)->runs + 1) * sizeof(Elf64_Phdr);
		shdr = h.e64.e_shoff ? h.e64.e_shoff + sizeof(Elf64_Shdr) : 0;
	} else {
		phdrs = h.e32.e_phoff + (cpimg_note(img)->runs + 1) * sizeof(Elf32_Phdr);
		shdr = h.e32.e_shoff ? h.e32.e_shoff + sizeof(Elf32_Shdr) : 0;
	}
	return phdrs > shdr ? phdrs : shdr;
}
