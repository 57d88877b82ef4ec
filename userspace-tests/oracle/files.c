// SPDX-License-Identifier: GPL-2.0
/*
 * The oracle's files: what memory is mapped from, on all the file systems that the guest
 * has, and what befalls files, with and without the program's doing. A file that takes
 * the name of another is another file, also when an overlay makes it by copying up.
 */
#include "files.h"
#include "kinds.h"

#define SMALL_PAGES	128U	/* of those that come and go */
#define POOL		24	/* files of a lower layer: made before it is mounted */

static const enum kind_nr wanted[] = {
	KIND_TMPFS, KIND_EXT4, KIND_XFS, KIND_UPPER, KIND_LOWER, KIND_MEMORY_LOWER,
};
#define NR_WANTED	(sizeof(wanted) / sizeof(wanted[0]))
static enum kind_nr have[NR_WANTED];
static unsigned int nr_have, pool_used[NR_KINDS];
static unsigned long names;

static bool is_lower(enum kind_nr kind)
{
	return kind == KIND_LOWER || kind == KIND_MEMORY_LOWER;
}

/* With a name, and its bytes in it; open as @flags say, if not -1. */
static void begin_fixed(unsigned int nr, const char *name, int flags, bool local)
{
	struct file *f = &files[nr];
	int fd;

	f->bytes = model_outside(FILE_PAGES * PAGE);
	f->pages = f->room = FILE_PAGES;
	rng_fill(opt.seed * 16 + nr, f->bytes, FILE_PAGES * PAGE);
	for (unsigned int i = 0; i < FILE_PAGES; i++)
		model_file_changed(nr, i);
	snprintf(f->name, sizeof(f->name), "%s", name);
	fd = open(name, O_CREAT | O_TRUNC | O_RDWR, 0600);
	if (fd < 0 || write(fd, f->bytes, FILE_PAGES * PAGE) != FILE_PAGES * PAGE ||
	    fsync(fd))
		fail("%s: %s", name, strerror(errno));
	close(fd);
	f->fd = open(name, flags | O_CLOEXEC);
	if (f->fd < 0)
		fail("%s: %s", name, strerror(errno));
	f->used = f->named = true;
	f->local = local;
	f->writer = -1;
}

static void begin_kinds(void)
{
	for (size_t i = 0; i < NR_WANTED; i++) {
		enum kind_nr kind = wanted[i];
		const char *why = kind_begin(kind);

		if (!why && is_lower(kind) &&
		    kind_make_all(kind, "pool", POOL, SMALL_PAGES * PAGE, kind * POOL))
			fail("files of %s: %s", kinds[kind].name, strerror(errno));
		if (!why)
			have[nr_have++] = kind;
		else if (!opt.quiet)
			printf("# no %s here: %s\n", kinds[kind].name, why);
	}
}

void files_init(void)
{
	bool disk = !access("/disk/lost+found", F_OK);
	const char *dir = disk ? "/disk" : "/dev/shm";
	char name[64];

	memset(files, 0, sizeof(files));
	nr_have = names = 0;
	memset(pool_used, 0, sizeof(pool_used));
	for (unsigned int i = 0; i < NR_FILES; i++)
		files[i].fd = files[i].writer = -1;
	snprintf(name, sizeof(name), "%s/oracle.ro", dir);
	begin_fixed(FILE_RO, name, O_RDONLY, disk);
	snprintf(name, sizeof(name), "%s/oracle.rw", dir);
	begin_fixed(FILE_RW, name, O_RDWR, disk);
	/* Like a memfd: nothing can be read from it by name later. */
	begin_fixed(FILE_MEM, "/dev/shm/oracle.mem", O_RDWR, false);
	unlink("/dev/shm/oracle.mem");
	files[FILE_MEM].named = false;
	if (!opt.plain)
		begin_kinds();
}

static bool is_mapped(unsigned int file)
{
	for (unsigned int i = 0; i < opt.pages; i++)
		if (pages[i].flags & P_MAPPED && pages[i].file == file)
			return true;
	return false;
}

static void forget(unsigned int file)
{
	struct file *f = &files[file];

	if (f->writer >= 0)
		close(f->writer);
	if (f->named)
		unlink(f->name);
	f->writer = -1;
	f->used = f->named = false;
}

/* Room for one more: what nothing maps is forgotten. Return: -1, there is none. */
static int new_file(void)
{
	unsigned int i, nr = NR_FILES;

	for (i = NR_FIXED; i < NR_FILES; i++) {
		if (!files[i].used)
			break;
		if (!is_mapped(i) && (nr == NR_FILES || !files[i].named))
			nr = i;
	}
	if (i == NR_FILES) {
		i = nr;
		if (i == NR_FILES)
			return -1;
		forget(i);
	}
	if (!files[i].bytes)
		files[i].bytes = model_outside(SMALL_PAGES * PAGE);
	files[i].room = SMALL_PAGES;
	files[i].fd = files[i].writer = -1;
	files[i].lower = false;
	return i;
}

static void all_changed(unsigned int file)
{
	for (unsigned int i = 0; i < files[file].pages; i++)
		model_file_changed(file, i);
}

/* What the model has goes to a file of that name, which may be there. */
static void write_file(unsigned int file, const char *name)
{
	struct file *f = &files[file];
	ssize_t len = f->pages * PAGE;
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, f->bytes, len) != len || fsync(fd) || close(fd))
		fail("%s, %zd bytes: %s", name, len, strerror(errno));
}

static void fill_file(struct rng *r, unsigned int file)
{
	files[file].pages = 1 + below(r, SMALL_PAGES);
	rng_fill(rnd(r), files[file].bytes, files[file].pages * PAGE);
	memset(files[file].bytes + files[file].pages * PAGE, 0,
	       (SMALL_PAGES - files[file].pages) * PAGE);
	all_changed(file);
}

bool op_file_new(struct rng *r)
{
	enum kind_nr kind;
	struct file *f;
	char name[32];
	int nr;

	if (!nr_have)
		return false;
	kind = have[below(r, nr_have)];
	if (is_lower(kind) && pool_used[kind] == POOL)
		return false;
	nr = new_file();
	if (nr < 0)
		return false;
	f = &files[nr];
	f->lower = is_lower(kind);
	f->local = kinds[kind].local;
	if (f->lower)
		snprintf(name, sizeof(name), "pool%u", pool_used[kind]);
	else
		snprintf(name, sizeof(name), "file%lu", names++);
	snprintf(f->name, sizeof(f->name), "%s", kind_path(kind, name));
	trace(f->lower ? "new file of a lower layer" : "new file", nr, kind, 0);
	if (f->lower) {
		f->pages = SMALL_PAGES;
		cp_fill(f->bytes, SMALL_PAGES * PAGE, kind * POOL + pool_used[kind]++);
		all_changed(nr);
	} else {
		fill_file(r, nr);
		write_file(nr, f->name);
	}
	f->used = f->named = true;
	return true;
}

/* One that can be opened. Return: -1, there is none at hand. */
int files_pick(struct rng *r)
{
	for (int tries = 0; tries < 6; tries++) {
		unsigned int i = below(r, NR_FILES);

		if (files[i].used && (files[i].named || files[i].fd >= 0))
			return i;
	}
	return -1;
}

static int pick_named(struct rng *r)
{
	int i = files_pick(r);

	return i >= (int)NR_FIXED && files[i].named ? i : -1;
}

/*
 * A change copies a file of a lower layer: what was mapped stays what it was, and the
 * name leads to the copy. Return: the file that has the name, or -1.
 */
static int copied_up(unsigned int file)
{
	struct file *old = &files[file], *f;
	int nr;

	if (!old->lower)
		return file;
	/* Else it could be forgotten, and its name with it. */
	old->named = false;
	nr = new_file();
	if (nr < 0) {
		old->named = true;
		return -1;
	}
	if (nr == (int)file) {		/* nothing maps it: it was forgotten */
		f = old;
	} else {
		f = &files[nr];
		f->pages = old->pages;
		memcpy(f->bytes, old->bytes, SMALL_PAGES * PAGE);
		memcpy(f->name, old->name, sizeof(f->name));
	}
	f->local = old->local;
	f->used = f->named = true;
	f->lower = false;
	all_changed(nr);
	trace("copied up", file, nr, 0);
	return nr;
}

/* By its name, or the descriptor that there is. @file may become another. */
int files_open(unsigned int *file, bool writable)
{
	int nr, fd;

	if (files[*file].fd >= 0)
		return files[*file].fd;
	nr = writable ? copied_up(*file) : (int)*file;
	if (nr < 0)
		return -1;
	*file = nr;
	fd = open(files[nr].name, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd < 0)
		fail("%s: %s", files[nr].name, strerror(errno));
	return fd;
}

void files_close(unsigned int file, int fd)
{
	if (fd != files[file].fd)
		close(fd);
}

/*
 * One that is open for writing; @file may become another. It may stay open for a while.
 * Return: -1, none is at hand.
 */
static int open_for_writing(struct rng *r, unsigned int *file)
{
	int nr = files_pick(r), fd;

	if (nr < 0 || nr == FILE_RO)
		return -1;
	*file = nr;
	if (files[nr].fd >= 0)
		return files[nr].fd;
	if (files[nr].writer >= 0)
		return files[nr].writer;
	fd = files_open(file, true);
	if (fd >= 0)
		files[*file].writer = fd;
	return fd;
}

static void maybe_close(struct rng *r, unsigned int file)
{
	if (files[file].writer < 0 || chance(r, 4))
		return;
	close(files[file].writer);
	files[file].writer = -1;
}

bool op_file_write(struct rng *r)
{
	unsigned int file, index, offset = below(r, PAGE);
	int fd = open_for_writing(r, &file);
	unsigned char *bytes;
	size_t len;

	if (fd < 0)
		return false;
	if (!files[file].pages) {
		maybe_close(r, file);
		return false;
	}
	index = below(r, files[file].pages);
	len = 1 + below(r, PAGE - offset);
	bytes = model_file(file, index) + offset;
	trace("pwrite", file, index * PAGE + offset, len);
	rng_fill(rnd(r), bytes, len);
	if (pwrite(fd, bytes, len, index * PAGE + offset) != (ssize_t)len)
		fail("pwrite: %s", strerror(errno));
	model_file_changed(file, index);
	maybe_close(r, file);
	return true;
}

bool op_file_close(struct rng *r)
{
	unsigned int i = below(r, NR_FILES), tries = NR_FILES;

	while (files[i].writer < 0 && --tries)
		i = (i + 1) % NR_FILES;
	if (files[i].writer < 0)
		return false;
	trace("close", i, 0, 0);
	close(files[i].writer);
	files[i].writer = -1;
	return true;
}

static void set_size(int fd, unsigned int file, unsigned int pages)
{
	if (ftruncate(fd, pages * PAGE))
		fail("ftruncate: %s", strerror(errno));
	model_cut(file, pages);
	files[file].pages = pages;
}

/* Shorter, and at once as long as before. */
bool op_file_truncate(struct rng *r)
{
	unsigned int file, pages, from;
	int fd = open_for_writing(r, &file);

	if (fd < 0)
		return false;
	pages = files[file].pages;
	from = below(r, pages + 1);
	trace("ftruncate and back", file, from, pages);
	set_size(fd, file, from);
	set_size(fd, file, pages);
	maybe_close(r, file);
	return true;
}

/* Shorter, and it stays so: who touches what is gone gets SIGBUS. */
bool op_file_cut(struct rng *r)
{
	unsigned int file, pages;
	int fd = open_for_writing(r, &file);

	if (fd < 0)
		return false;
	pages = below(r, files[file].pages + 1);
	trace("ftruncate, shorter", file, pages, files[file].pages);
	set_size(fd, file, pages);
	maybe_close(r, file);
	return true;
}

bool op_file_grow(struct rng *r)
{
	unsigned int file, pages;
	int fd = open_for_writing(r, &file);

	if (fd < 0)
		return false;
	pages = files[file].pages + below(r, files[file].room - files[file].pages + 1);
	trace("ftruncate, longer", file, pages, files[file].pages);
	set_size(fd, file, pages);
	maybe_close(r, file);
	return true;
}

bool op_file_unlink(struct rng *r)
{
	int nr = pick_named(r);

	if (nr < 0)
		return false;
	trace("unlink", nr, 0, 0);
	if (unlink(files[nr].name))
		fail("unlink %s: %s", files[nr].name, strerror(errno));
	files[nr].named = false;
	return true;
}

/* Another file takes the name, with other bytes or with the same. */
bool op_file_replace(struct rng *r)
{
	int old = pick_named(r), nr;
	char name[128];
	struct file *f;

	if (old < 0)
		return false;
	nr = new_file();
	if (nr < 0 || nr == old || !files[old].used)
		return false;
	f = &files[nr];
	if (chance(r, 3)) {
		f->pages = files[old].pages;
		memcpy(f->bytes, files[old].bytes, SMALL_PAGES * PAGE);
		all_changed(nr);
	} else {
		fill_file(r, nr);
	}
	snprintf(name, sizeof(name), "%s.new", files[old].name);
	trace("replace", old, nr, 0);
	write_file(nr, name);
	if (rename(name, files[old].name))
		fail("rename %s: %s", name, strerror(errno));
	memcpy(f->name, files[old].name, sizeof(f->name));
	f->local = files[old].local;
	f->used = f->named = true;
	files[old].named = false;
	return true;
}

/* For a moment it has two names; then the new one, or the old one, goes. */
bool op_file_link(struct rng *r)
{
	bool keep = chance(r, 2);
	int nr = pick_named(r);
	char name[128];

	if (nr >= 0)
		nr = copied_up(nr);
	if (nr < 0)
		return false;
	snprintf(name, sizeof(name), "%s.link%lu", files[nr].name, names++);
	trace(keep ? "link" : "link, and unlink the name", nr, 0, 0);
	if (link(files[nr].name, name))
		fail("link %s: %s", name, strerror(errno));
	if (!keep) {
		if (unlink(files[nr].name))
			fail("unlink %s: %s", files[nr].name, strerror(errno));
		files[nr].named = false;
	} else if (chance(r, 2)) {
		unlink(name);
	}
	return true;
}

/* Its bytes are what they were. */
bool op_file_chmod(struct rng *r)
{
	int nr = pick_named(r);

	if (nr >= 0)
		nr = copied_up(nr);
	if (nr < 0)
		return false;
	trace("chmod", nr, 0, 0);
	if (chmod(files[nr].name, 0600 | below(r, 0100)))
		fail("chmod %s: %s", files[nr].name, strerror(errno));
	return true;
}
