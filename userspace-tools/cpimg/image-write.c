// SPDX-License-Identifier: GPL-2.0
/*
 * Writes an image as the kernel does: the data, the notes, the program headers,
 * and when all of that is on the disk the ELF header, without which it is none.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>

#include "cmd.h"

#define PIECE	(4U << 20)	/* bytes copied at once */

struct writer {
	int			fd;
	const char		*path;		/* for messages */
	int			bits;
	uint64_t		at;		/* where data goes next */
	struct cpimg_run	*runs;
	size_t			nr_runs, space;
	unsigned char		*buf;
	struct out_file		**files;	/* those that its runs refer to */
	size_t			nr_files, files_space;
	void			*file_tree;	/* to find them again */
	struct cp_map		*maps;
	size_t			nr_maps, maps_space;
	uint64_t		names_size;
	struct cp_span		*areas;		/* that the new image knows of */
	size_t			nr_areas;
	const struct cpimg	*process;	/* a restart takes all files that it has mapped */
};

/* A file of the CP_FILES note. */
struct out_file {
	struct cp_file	file;
	const char	*name;		/* the images' */
	uint32_t	index;
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

static int no_memory(const struct writer *w, struct cpimg_error *err)
{
	return cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory", w->path);
}

static void leave(void *file)
{
	(void)file;		/* the array has it, too */
}

static void writer_free(struct writer *w)
{
	tdestroy(w->file_tree, leave);
	for (size_t i = 0; i < w->nr_files; i++)
		free(w->files[i]);
	free(w->files);
	free(w->maps);
	free(w->areas);
	free(w->runs);
	free(w->buf);
}

/* One more of @size bytes at the end of an array, or NULL. */
static void *more(void *array, size_t count, size_t *space, size_t size)
{
	if (count < *space)
		return array;
	*space = *space ? 2 * *space : 64;
	return realloc(array, *space * size);
}

/*
 * The files that holes read from
 */

static int by_file(const void *a, const void *b)
{
	const struct out_file *x = a, *y = b;
	struct cp_file f = x->file, g = y->file;
	int order;

	f.name = 0;
	g.name = 0;
	order = memcmp(&f, &g, sizeof(f));
	return order ? order : strcmp(x->name, y->name);
}

static int add_file(struct writer *w, const struct cpimg_mapped *m, uint32_t *index)
{
	struct out_file key = { .file = m->file, .name = m->name }, *new;
	void *found = tfind(&key, &w->file_tree, by_file), *files;

	if (found) {
		*index = (*(struct out_file **)found)->index;
		return 0;
	}
	files = more(w->files, w->nr_files, &w->files_space, sizeof(*w->files));
	if (!files)
		return -1;
	w->files = files;
	new = malloc(sizeof(*new));
	if (!new)
		return -1;
	*new = key;
	new->index = w->nr_files;
	new->file.name = w->names_size;
	w->files[w->nr_files++] = new;
	w->names_size += strlen(new->name) + 1;
	*index = new->index;
	return tsearch(new, &w->file_tree, by_file) ? 0 : -1;
}

/*
 * A run that has no bytes because a file has them, or has not: which file, as @img says,
 * goes into the new image, too. *@goes_on: it is the same mapping as that of the run before.
 */
static int add_maps(struct writer *w, const struct cpimg *img,
		    const struct cpimg_piece *p, bool *goes_on, struct cpimg_error *err)
{
	struct cpimg_mapped m;

	for (uint64_t at = p->start; at < p->end; at = m.end) {
		struct cp_map *last = w->nr_maps ? &w->maps[w->nr_maps - 1] : NULL;
		struct cp_map map = { .start = at };
		void *maps;

		if (!cpimg_mapped_file(img, at, &m))
			return 0;
		map.end = m.end < p->end ? m.end : p->end;
		map.offset = m.offset + (at - m.start);
		if (add_file(w, &m, &map.file))
			return no_memory(w, err);
		if (last && last->end == at && last->file == map.file &&
		    last->offset + (last->end - last->start) == map.offset) {
			last->end = map.end;
			continue;
		}
		*goes_on = false;
		maps = more(w->maps, w->nr_maps, &w->maps_space, sizeof(*w->maps));
		if (!maps)
			return no_memory(w, err);
		w->maps = maps;
		w->maps[w->nr_maps++] = map;
	}
	return 0;
}

static bool has_file(const struct cpimg_piece *p)
{
	return (p->cls == CPIMG_HOLE && p->reason == CP_HOLE_FILE) ||
	       (p->cls == CPIMG_SKIPPED && p->reason == CP_SKIP_FAULT);
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

/*
 * One more run, above those before it: @piece, which is not CPIMG_NONE. It may become
 * one with the run before it, if they are alike and that is allowed by @merge.
 */
static int writer_add(struct writer *w, const struct cpimg_piece *piece, bool merge,
		      struct progress *progress, struct cpimg_error *err)
{
	struct cpimg_run *last = w->nr_runs ? &w->runs[w->nr_runs - 1] : NULL;
	uint64_t most = w->bits == 32 ? UINT32_MAX : UINT64_MAX;	/* p_memsz */

	if (has_file(piece) && add_maps(w, piece->img, piece, &merge, err))
		return -1;
	if (!has_file(piece) && w->process && add_maps(w, w->process, piece, &merge, err))
		return -1;
	if (merge && last && last->end == piece->start && last->cls == piece->cls &&
	    last->reason == piece->reason && last->prot == piece->prot &&
	    piece->end - last->start <= most) {
		last->end = piece->end;
	} else {
		void *runs = more(w->runs, w->nr_runs, &w->space, sizeof(*w->runs));

		if (!runs)
			return no_memory(w, err);
		w->runs = runs;
		w->runs[w->nr_runs++] = (struct cpimg_run) {
			.start = piece->start, .end = piece->end,
			.offset = w->at, .reason = piece->reason,
			.cls = piece->cls, .prot = piece->prot,
		};
	}
	return piece->cls == CPIMG_DATA ? copy_data(w, piece, progress, err) : 0;
}

/* It is of one moment no more, if older images are in it. */
static bool same_areas(const struct writer *w, const struct cpimg *img)
{
	size_t count;
	const struct cp_span *areas = cpimg_areas(img, &count);

	return count == w->nr_areas && !memcmp(areas, w->areas, count * sizeof(*areas));
}

/* What the new image says of itself: the old one's words, but for the chain. */
static struct cp_note new_note(const struct writer *w, const struct view *of)
{
	struct cp_note n = *cpimg_note(view_image(of));
	uint64_t pages[CPIMG_NONE] = { 0 };

	for (size_t i = 0; i < w->nr_runs; i++)
		pages[w->runs[i].cls] += (w->runs[i].end - w->runs[i].start) /
					 n.page_size;
	/* A note of an older version has come to have all that we know. */
	if (n.version < CP_NOTE_VERSION) {
		n.version = CP_NOTE_VERSION;
		n.size = sizeof(n);
	}
	n.start = w->areas[0].start;
	n.end = w->areas[w->nr_areas - 1].end;
	n.nr_areas = w->nr_areas;
	if (!same_areas(w, view_image(of)))
		n.flags &= ~(uint64_t)(CP_NOTE_MOMENT | CP_NOTE_PROCESS);
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

/*
 * The notes
 */

/* Note @type of "CP_RANGE", of @size bytes, at @to; its content, if it is given. */
static size_t put_note_head(unsigned char *to, uint32_t type, size_t size)
{
	Elf32_Nhdr nh = { sizeof(CP_NOTE_OWNER), size, type };

	memcpy(to, &nh, sizeof(nh));
	memcpy(to + sizeof(nh), CP_NOTE_OWNER, sizeof(CP_NOTE_OWNER));
	return sizeof(nh) + ((sizeof(CP_NOTE_OWNER) + 3) & ~3);
}

static uint64_t files_size(const struct writer *w)
{
	return sizeof(struct cp_files) + w->nr_files * sizeof(struct cp_file) +
	       w->nr_maps * sizeof(struct cp_map) + w->names_size;
}

/* The CP_FILES note; @to has zeros. Its size with all that fills it up. */
static size_t put_files(const struct writer *w, unsigned char *to)
{
	struct cp_files head = {
		.version = CP_FILES_VERSION, .file_size = sizeof(struct cp_file),
		.map_size = sizeof(struct cp_map), .nr_files = w->nr_files,
		.nr_maps = w->nr_maps, .names_size = w->names_size,
	};
	size_t at = put_note_head(to, CP_FILES_TYPE, files_size(w));
	unsigned char *p = to + at;

	memcpy(p, &head, sizeof(head));
	p += sizeof(head);
	for (size_t i = 0; i < w->nr_files; i++, p += sizeof(struct cp_file))
		memcpy(p, &w->files[i]->file, sizeof(struct cp_file));
	if (w->nr_maps)
		memcpy(p, w->maps, w->nr_maps * sizeof(*w->maps));
	p += w->nr_maps * sizeof(*w->maps);
	for (size_t i = 0; i < w->nr_files; i++)
		p = (unsigned char *)stpcpy((char *)p, w->files[i]->name) + 1;
	return at + ((files_size(w) + 3) & ~3);
}

/* The CP_AREAS note, of which there is none for one area. */
static uint64_t areas_size(const struct writer *w)
{
	return w->nr_areas > 1 ? w->nr_areas * (uint64_t)sizeof(*w->areas) : 0;
}

static size_t put_areas(const struct writer *w, unsigned char *to)
{
	size_t size = areas_size(w), at;

	if (!size)
		return 0;
	at = put_note_head(to, CP_AREAS_TYPE, size);
	memcpy(to + at, w->areas, size);
	return at + size;
}

/* struct cp_note, to be filled in; an older kernel's may be shorter than ours. */
static size_t put_own(const struct cpimg_elfnote *old, unsigned char *to, size_t *own)
{
	size_t size = higher(old->size, sizeof(struct cp_note));

	*own = put_note_head(to, CP_NOTE_TYPE, size);
	memcpy(to + *own, old->desc, old->size);
	return *own + ((size + 3) & ~(size_t)3);
}

/*
 * Those of @img, for free(), but for files and areas, which are those of the new one.
 * @own: where struct cp_note is.
 */
static unsigned char *make_notes(const struct writer *w, const struct cpimg *img,
				 size_t *size, size_t *own, struct cpimg_error *err)
{
	size_t old_size, pos = 0, from = 0, at;
	const unsigned char *old = cpimg_raw_notes(img, &old_size);
	struct cpimg_elfnote en;
	unsigned char *notes;

	if (!old) {
		cpimg_fail(err, CPIMG_ERR_SYS, "%s: its notes cannot be read again",
			   cpimg_path(img));
		return NULL;
	}
	if (files_size(w) > UINT32_MAX - 64 || areas_size(w) > UINT32_MAX - 64) {
		cpimg_fail(err, CPIMG_ERR_SYS, "%s: more %s than a note can have",
			   w->path, files_size(w) > UINT32_MAX - 64 ? "files" : "areas");
		return NULL;
	}
	notes = calloc(1, old_size + files_size(w) + areas_size(w) +
		       sizeof(struct cp_note) + 128);
	if (!notes) {
		no_memory(w, err);
		return NULL;
	}
	*size = 0;
	for (; cpimg_next_note(img, &pos, &en); from = pos) {
		bool ours = !strcmp(en.owner, CP_NOTE_OWNER);

		if (ours && (en.type == CP_FILES_TYPE || en.type == CP_AREAS_TYPE))
			continue;
		if (!ours || en.type != CP_NOTE_TYPE) {
			memcpy(notes + *size, old + from, pos - from);
			*size += pos - from;
			continue;
		}
		if (w->nr_maps)
			*size += put_files(w, notes + *size);
		*size += put_areas(w, notes + *size);
		at = *size;
		*size += put_own(&en, notes + at, own);
		*own += at;
	}
	return notes;
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

/* All runs are there: make it an image, on the disk. @of gives notes and header. */
static int writer_end(struct writer *w, const struct view *of, struct cpimg_error *err)
{
	const struct cpimg *img = view_image(of);
	union ehdr h;
	size_t notes_size, note_at = 0, size;
	unsigned char *notes = make_notes(w, img, &notes_size, &note_at, err);
	uint64_t phoff = 0;
	int bad;

	if (!notes)
		return -1;
	if (cpimg_bits(img) == 32 && end_of_tables(w, notes_size) > UINT32_MAX) {
		free(notes);
		return cpimg_fail(err, CPIMG_ERR_SYS,
				  "%s: would be over 4 GiB, which offsets of 32 bits cannot say",
				  w->path);
	}
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
	return fsync(w->fd) ? sys_fail(w, err, "fsync") : 0;
}

/* Are two runs of one image neighbours only because they are of two mappings? */
static bool mapping_ends(const struct cpimg *img, uint64_t addr)
{
	const struct cpimg_run *below = addr ? cpimg_find(img, addr - 1) : NULL;
	const struct cpimg_run *above = cpimg_find(img, addr);

	return below && above && below != above && below->cls == above->cls &&
	       below->reason == above->reason;
}

static int add_all(struct writer *w, struct view *v, struct progress *progress,
		   struct cpimg_error *err)
{
	const struct cpimg *img = view_image(v);
	size_t nr_maps;
	struct mapping *maps = mappings_of(img, &nr_maps);
	int ret = 0;

	for (size_t i = 0; !ret && i < v->list.count; i++) {
		const struct cpimg_piece *p = &v->list.piece[i];
		const struct mapping *map;

		if (p->cls == CPIMG_NONE)
			continue;
		map = mapping_at(maps, nr_maps, p->start);
		ret = writer_add(w, p, !mapping_ends(img, p->start) &&
				 !(map && map->start == p->start), progress, err);
	}
	free(maps);
	return ret;
}

/* Give the new file to whom the old one belongs, which takes root. */
static int keep_owner(struct writer *w, const struct cpimg *img,
		      struct cpimg_error *err)
{
	struct stat old, new;
	int fd = cpimg_hold(img, err), bad;

	if (fd < 0)
		return -1;
	bad = fstat(fd, &old);
	cpimg_release(img);
	if (bad || fstat(w->fd, &new))
		return sys_fail(w, err, "fstat");
	if (old.st_uid == new.st_uid && old.st_gid == new.st_gid)
		return 0;
	if (fchown(w->fd, old.st_uid, old.st_gid))
		return sys_fail(w, err, "giving it to the owner of the old one");
	return 0;
}

/**
 * write_flat() - write what a view shows as one full image
 * @v: the view
 * @f: the new file; is for the caller to commit or to abandon
 * @err: what went wrong
 *
 * Its id is that of the image it was made of: it is the same checkpoint. Where it is to
 * replace that, it belongs to the same owner.
 *
 * Return: 0 or -1.
 */
int write_flat(struct view *v, struct new_file *f, struct cpimg_error *err)
{
	const struct cpimg *like = view_image(v);
	struct writer w = {
		.fd = f->fd, .path = f->path, .bits = cpimg_bits(like),
		.at = cpimg_note(like)->page_size, .buf = malloc(PIECE),
		.process = cpimg_note(like)->flags & CP_NOTE_PROCESS ? like : NULL,
	};
	struct progress progress;
	struct cpimg *img;
	uint64_t bytes;
	int ret;

	if (!w.buf)
		return no_memory(&w, err);
	if (view_data(v, &bytes, err)) {
		writer_free(&w);
		return -1;
	}
	w.areas = view_areas(v, &w.nr_areas);
	if (!w.areas) {
		no_memory(&w, err);
		writer_free(&w);
		return -1;
	}
	progress_start(&progress, "writing", bytes);
	ret = (f->replaces && keep_owner(&w, like, err)) ||
	      add_all(&w, v, &progress, err) || writer_end(&w, v, err);
	progress_end(&progress);
	writer_free(&w);
	if (ret)
		return -1;
	/* What is no image after all gets no name. */
	img = cpimg_open(new_file_name(f), 0, err);
	cpimg_close(img);
	return img ? 0 : -1;
}

/* A new file with what the view shows. */
int flatten_to(struct view *v, const char *path, struct cpimg_error *err)
{
	struct new_file f;

	if (new_file_open(&f, path, false))
		return cpimg_fail(err, CPIMG_ERR_SYS, "%s: creating: %s", path,
				  strerror(errno));
	if (!write_flat(v, &f, err)) {
		if (!new_file_commit(&f))
			return 0;
		cpimg_fail(err, CPIMG_ERR_SYS, "%s: creating: %s", path,
			   strerror(errno));
	}
	new_file_abandon(&f);
	return -1;
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
