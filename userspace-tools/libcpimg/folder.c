// SPDX-License-Identifier: GPL-2.0
/* libcpimg - folders: which images there are, and how they hang together */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

struct cpimg_folder {
	struct cpimg_entry	*entry;		/* the newest first */
	size_t			count;
	size_t			space;
};

/**
 * cpimg_is_image_name() - would the kernel give an image that name?
 * @name: without a folder
 * @n: the number in it, if it is one; may be NULL
 *
 * Return: true if so.
 */
bool cpimg_is_image_name(const char *name, uint64_t *n)
{
	size_t digits = strspn(name, "0123456789");

	if (!digits || strncmp(name + digits, "-cp", 3))
		return false;
	name += digits + 3;
	digits = strspn(name, "0123456789");
	if (n)
		*n = strtoull(name, NULL, 10);
	return digits && !name[digits];
}

static void set_error(struct cpimg_entry *e, const struct cpimg_error *err)
{
	e->error = err->code;
	e->why = strdup(err->text);
}

/* One file: 0, whether or not it is an image, or -1: no memory. */
static int add_file(struct cpimg_folder *f, int folder, const char *in, const char *name)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct cpimg_entry *e, new = { .parent = CPIMG_NO_ENTRY };
	struct cpimg_error err;
	struct stat st, link;
	struct cpimg *img;
	int peek;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		/* It may be an image all the same: somebody else's. */
		if (fd < 0 && cpimg_is_image_name(name, NULL) && errno == EACCES)
			goto add;
		if (fd >= 0)
			close(fd);
		return 0;
	}
	peek = cpimg_peek(fd, &new.note);
	close(fd);
	if (peek != 1 && !cpimg_is_image_name(name, NULL))
		return 0;
	new.size = st.st_size;
	new.uid = st.st_uid;
	new.dev = st.st_dev;
	new.ino = st.st_ino;
	new.link = !fstatat(folder, name, &link, AT_SYMLINK_NOFOLLOW) &&
		   S_ISLNK(link.st_mode);
add:
	if (f->count == f->space) {
		size_t space = f->space ? 2 * f->space : 64;
		void *more = realloc(f->entry, space * sizeof(*f->entry));

		if (!more)
			return -1;
		f->entry = more;
		f->space = space;
	}
	if (asprintf(&new.path, "%s%s%s", in, in[strlen(in) - 1] == '/' ? "" : "/",
		     name) < 0)
		return -1;
	img = cpimg_open(new.path, 0, &err);
	if (img) {
		new.note = *cpimg_note(img);
		new.known = true;
	} else {
		set_error(&new, &err);
	}
	cpimg_close(img);
	e = &f->entry[f->count++];
	*e = new;
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	const struct cpimg_entry *x = a, *y = b;

	if (x->known != y->known)
		return x->known ? -1 : 1;
	if (x->note.realtime_ns != y->note.realtime_ns)
		return x->note.realtime_ns > y->note.realtime_ns ? -1 : 1;
	if (x->note.n != y->note.n)
		return x->note.n > y->note.n ? -1 : 1;
	return strcmp(x->path, y->path);
}

/* A symbolic link to what is here under its own name is no second image. */
static int by_file(const void *a, const void *b)
{
	const struct cpimg_entry *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return x->link - y->link;
}

static void drop_links(struct cpimg_folder *f)
{
	size_t kept = 0;

	if (f->count)
		qsort(f->entry, f->count, sizeof(*f->entry), by_file);
	for (size_t i = 0; i < f->count; i++) {
		struct cpimg_entry *e = &f->entry[i];
		struct cpimg_entry *last = kept ? &f->entry[kept - 1] : NULL;

		if (last && e->link && e->ino && e->ino == last->ino &&
		    e->dev == last->dev) {
			free(e->path);
			free(e->why);
			continue;
		}
		f->entry[kept++] = *e;
	}
	f->count = kept;
}

struct by_id {
	const uint8_t	*id;
	size_t		index;
};

static int by_id(const void *a, const void *b)
{
	const struct by_id *x = a, *y = b;

	return memcmp(x->id, y->id, CP_ID_SIZE);
}

static const char *base(const char *path)
{
	return strrchr(path, '/') + 1;
}

/* The parent of each: by its id, and of several copies that with the right name. */
static int find_parents(struct cpimg_folder *f)
{
	struct by_id *ids = malloc((f->count + 1) * sizeof(*ids)), key, *found;
	size_t count = 0;

	if (!ids)
		return -1;
	for (size_t i = 0; i < f->count; i++) {
		if (f->entry[i].known)
			ids[count++] = (struct by_id) { f->entry[i].note.id, i };
	}
	qsort(ids, count, sizeof(*ids), by_id);
	for (size_t i = 0; i < f->count; i++) {
		struct cpimg_entry *e = &f->entry[i];

		if (!e->known || e->note.kind != CP_KIND_INCREMENTAL)
			continue;
		key.id = e->note.parent_id;
		found = bsearch(&key, ids, count, sizeof(*ids), by_id);
		while (found && found > ids && !by_id(found - 1, &key))
			found--;
		for (; found && found < ids + count && !by_id(found, &key); found++) {
			if (e->parent == CPIMG_NO_ENTRY ||
			    !strcmp(base(f->entry[found->index].path), e->note.parent))
				e->parent = found->index;
		}
	}
	free(ids);
	return 0;
}

/* How many images each needs; 0: not all of them are here. */
static int find_lengths(struct cpimg_folder *f)
{
	enum { UNKNOWN, BEING_LOOKED_AT, KNOWN };
	unsigned char *state = calloc(1, f->count + 1);

	if (!state)
		return -1;
	for (size_t i = 0; i < f->count; i++) {
		size_t at = i, depth = 0, length, top = i;
		bool whole;

		/* up to one that is known, or to the end of it */
		while (at != CPIMG_NO_ENTRY && state[at] == UNKNOWN) {
			state[at] = BEING_LOOKED_AT;
			top = at;
			at = f->entry[at].parent;
			depth++;
		}
		if (!depth)
			continue;
		whole = at != CPIMG_NO_ENTRY ?
			state[at] == KNOWN && f->entry[at].length :
			f->entry[top].known && f->entry[top].note.kind == CP_KIND_FULL;
		length = at != CPIMG_NO_ENTRY ? f->entry[at].length : 0;
		/* and down again */
		for (at = i; depth; depth--) {
			f->entry[at].length = whole ? length + depth : 0;
			state[at] = KNOWN;
			at = f->entry[at].parent;
		}
	}
	free(state);
	for (size_t i = 0; i < f->count; i++) {
		if (f->entry[i].parent != CPIMG_NO_ENTRY)
			f->entry[f->entry[i].parent].children++;
	}
	return 0;
}

/**
 * cpimg_folder_open() - the images of a folder
 * @path: the folder
 * @err: what went wrong; may be NULL
 *
 * Files that are no images are passed over, unless their name is one that the kernel
 * gives to images: then they are entries with an error. Each image is opened and
 * checked as by cpimg_open(); its data is not read.
 *
 * Return: the images, for cpimg_folder_close(), or NULL.
 */
struct cpimg_folder *cpimg_folder_open(const char *path, struct cpimg_error *err)
{
	struct cpimg_folder *f = calloc(1, sizeof(*f));
	DIR *dir = opendir(path);
	struct dirent *entry;
	int bad = !f;

	if (err)
		*err = (struct cpimg_error) { .code = CPIMG_OK };
	if (!dir) {
		cpimg_fail(err, CPIMG_ERR_SYS, "%s: opening: %s", path, strerror(errno));
		free(f);
		return NULL;
	}
	while (!bad && (entry = readdir(dir))) {
		if (entry->d_type == DT_REG || entry->d_type == DT_LNK ||
		    entry->d_type == DT_UNKNOWN)
			bad = add_file(f, dirfd(dir), path, entry->d_name);
	}
	closedir(dir);
	if (!bad) {
		drop_links(f);
		if (f->count)
			qsort(f->entry, f->count, sizeof(*f->entry), newest_first);
		bad = find_parents(f) || find_lengths(f);
	}
	if (bad) {
		cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory", path);
		cpimg_folder_close(f);
		return NULL;
	}
	return f;
}

/**
 * cpimg_folder_close() - let go of them
 * @folder: the images, or NULL
 */
void cpimg_folder_close(struct cpimg_folder *folder)
{
	if (!folder)
		return;
	for (size_t i = 0; i < folder->count; i++) {
		free(folder->entry[i].path);
		free(folder->entry[i].why);
	}
	free(folder->entry);
	free(folder);
}

/**
 * cpimg_folder_entries() - the images, the newest first, then those with errors
 * @folder: the folder
 * @count: how many
 */
const struct cpimg_entry *cpimg_folder_entries(const struct cpimg_folder *folder,
					       size_t *count)
{
	*count = folder->count;
	return folder->entry;
}

/**
 * cpimg_newest() - the newest image of a process that all of its chain is there of
 * @folder: where images are, as "/tmp"
 * @pid: the process that made it; 0: any
 * @err: what went wrong; may be NULL
 *
 * A program with many threads does not know which of them made the last checkpoint,
 * and after a crash nobody does. Only files of the caller's (effective) user are
 * believed: others can put what they like into /tmp. Of images with the same process
 * id, that of an earlier process can be older, but not newer.
 *
 * Return: its path, for free(); NULL: there is none, or @err says what is the matter.
 */
char *cpimg_newest(const char *folder, unsigned int pid, struct cpimg_error *err)
{
	struct cpimg_folder *f = cpimg_folder_open(folder, err);
	char *path = NULL;

	if (!f)
		return NULL;
	for (size_t i = 0; !path && i < f->count; i++) {
		const struct cpimg_entry *e = &f->entry[i];

		if (e->length && e->uid == geteuid() && (!pid || e->note.pid == pid))
			path = strdup(e->path);
	}
	if (!path && pid)
		cpimg_fail(err, CPIMG_ERR_NODATA,
			   "%s: no image of process %u, with all of its chain, that belongs to you",
			   folder, pid);
	else if (!path)
		cpimg_fail(err, CPIMG_ERR_NODATA,
			   "%s: no image, with all of its chain, that belongs to you",
			   folder);
	cpimg_folder_close(f);
	return path;
}
