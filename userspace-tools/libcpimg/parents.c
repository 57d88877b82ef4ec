// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - the images that one image needs: find them, by their names or their ids
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "chain.h"

/* While a chain is being opened: what is known of the files beside it. */
struct named_id {
	uint8_t		id[CP_ID_SIZE];
	size_t		folder;
	char		*name;
};

struct search {
	struct cpimg_chain	*chain;
	int			flags;
	bool			indexed;
	struct named_id		*ids;		/* sorted */
	size_t			nr_ids;
	size_t			space;
	uint32_t		*seen;		/* images by id: a hash table, index + 1 */
	size_t			nr_seen;	/* its size, a power of two */
};

static int append(struct cpimg_chain *chain, struct cpimg *img,
		  struct cpimg_error *err)
{
	struct cpimg **more;

	if (chain->length == chain->space) {
		chain->space = chain->space ? 2 * chain->space : 16;
		more = realloc(chain->img, chain->space * sizeof(*more));
		if (!more)
			return cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory",
					  cpimg_path(img));
		chain->img = more;
	}
	chain->img[chain->length++] = img;
	return 0;
}

/*
 * Folders
 */

/* @path is freed, or kept. */
static int add_folder(struct cpimg_chain *chain, char *path, struct cpimg_error *err)
{
	int fd = path ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd < 0) {
		cpimg_fail(err, CPIMG_ERR_SYS, "%s: opening: %s",
			   path ? path : "a folder", strerror(path ? errno : ENOMEM));
		free(path);
		return -1;
	}
	chain->folder[chain->nr_folders] = fd;
	chain->folder_name[chain->nr_folders++] = path;
	return 0;
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return strndup(path, slash == path ? 1 : slash - path);
}

/*
 * The first is that of the image. Parents lie in @dir, or beside the image, or, if
 * that is a symbolic link, beside what it leads to.
 */
static int add_folders(struct cpimg_chain *chain, const char *path, const char *dir,
		       struct cpimg_error *err)
{
	char *real, *folder;

	if (add_folder(chain, folder_of(path), err))
		return -1;
	if (dir)
		return add_folder(chain, strdup(dir), err);
	real = realpath(path, NULL);
	folder = realpath(chain->folder_name[0], NULL);
	if (real && folder) {
		char *other = folder_of(real);

		if (other && strcmp(other, folder))
			/* what is not there cannot be needed */
			add_folder(chain, strdup(other), NULL);
		free(other);
	}
	free(real);
	free(folder);
	return 0;
}

/* Where parents may lie is from here on. */
static size_t first_folder(const struct cpimg_chain *chain, bool dir)
{
	return dir ? chain->nr_folders - 1 : 0;
}

/* For free(): a name as a person would write it. */
static char *path_in(const struct cpimg_chain *chain, size_t folder, const char *name)
{
	const char *in = chain->folder_name[folder];
	const char *first = cpimg_path(chain->img[0]);
	char *path;

	/* as the first was given: "a", not "./a" */
	if (!folder && !strchr(first, '/'))
		return strdup(name);
	if (asprintf(&path, "%s%s%s", in, in[strlen(in) - 1] == '/' ? "" : "/", name) < 0)
		return NULL;
	return path;
}

/*
 * Images by their ids, for those that do not have their names any more
 */

static int by_id(const void *a, const void *b)
{
	return memcmp(((const struct named_id *)a)->id,
		      ((const struct named_id *)b)->id, CP_ID_SIZE);
}

static void add_id(struct search *s, size_t folder, const char *name)
{
	int fd = openat(s->chain->folder[folder], name,
			O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct cp_note note;
	struct stat st;
	bool found = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) &&
		     cpimg_peek(fd, &note) == 1;

	if (fd >= 0)
		close(fd);
	if (!found)
		return;
	if (s->nr_ids == s->space) {
		size_t space = s->space ? 2 * s->space : 64;
		void *more = realloc(s->ids, space * sizeof(*s->ids));

		if (!more)
			return;
		s->ids = more;
		s->space = space;
	}
	memcpy(s->ids[s->nr_ids].id, note.id, CP_ID_SIZE);
	s->ids[s->nr_ids].folder = folder;
	s->ids[s->nr_ids].name = strdup(name);
	if (s->ids[s->nr_ids].name)
		s->nr_ids++;
}

static void add_ids(struct search *s, size_t folder)
{
	/* O_PATH reads no folder; its files may be of any kind. */
	int fd = openat(s->chain->folder[folder], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir))) {
		if (entry->d_type == DT_REG || entry->d_type == DT_LNK ||
		    entry->d_type == DT_UNKNOWN)
			add_id(s, folder, entry->d_name);
	}
	closedir(dir);
}

static void index_folders(struct search *s, bool dir)
{
	s->indexed = true;
	for (size_t i = first_folder(s->chain, dir); i < s->chain->nr_folders; i++)
		add_ids(s, i);
	if (s->nr_ids)
		qsort(s->ids, s->nr_ids, sizeof(*s->ids), by_id);
}

/*
 * Has the image been met already? If not, it is kept in mind as @index of the chain.
 * Return: 1 yes, 0 no, -1 no memory.
 */
static int met(struct search *s, const struct cp_note *note, size_t index)
{
	struct cpimg **img = s->chain->img;
	uint64_t hash;
	size_t at;

	if (2 * (index + 1) > s->nr_seen) {
		size_t size = s->nr_seen ? 2 * s->nr_seen : 64;
		uint32_t *seen = calloc(size, sizeof(*seen));

		if (!seen)
			return -1;
		free(s->seen);
		s->seen = seen;
		s->nr_seen = size;
		for (size_t i = 0; i < index; i++)
			met(s, cpimg_note(img[i]), i);
	}
	memcpy(&hash, note->id, sizeof(hash));
	hash *= 0x9e3779b97f4a7c15;	/* ids are random, unless somebody made them */
	for (at = hash >> 32 & (s->nr_seen - 1); s->seen[at];
	     at = (at + 1) & (s->nr_seen - 1)) {
		const struct cp_note *other = cpimg_note(img[s->seen[at] - 1]);

		if (!memcmp(other->id, note->id, CP_ID_SIZE))
			return 1;
	}
	s->seen[at] = index + 1;
	return 0;
}

static void end_search(struct search *s)
{
	for (size_t i = 0; i < s->nr_ids; i++)
		free(s->ids[i].name);
	free(s->ids);
	free(s->seen);
}

/* @parent is what @child, the last of the chain so far, was made against. */
static int check_parent(const struct cpimg *child, const struct cpimg *parent,
			struct cpimg_error *err)
{
	const struct cp_note *c = cpimg_note(child), *p = cpimg_note(parent);

	if (memcmp(c->parent_id, p->id, sizeof(p->id)))
		return cpimg_fail(err, CPIMG_ERR_CHAIN,
			"%s: its id is not the parent_id of %s: another image of that name",
			cpimg_path(parent), cpimg_path(child));
	if (c->page_size != p->page_size)
		return cpimg_fail(err, CPIMG_ERR_CHAIN,
			"%s: note.page_size is %" PRIu64 ": that of %s is %" PRIu64,
			cpimg_path(parent), (uint64_t)p->page_size,
			cpimg_path(child), (uint64_t)c->page_size);
	if (cpimg_bits(child) != cpimg_bits(parent))
		return cpimg_fail(err, CPIMG_ERR_CHAIN,
			"%s: %d bits: %s has %d", cpimg_path(parent),
			cpimg_bits(parent), cpimg_path(child), cpimg_bits(child));
	return 0;
}

/* The parent of @child, if that is what is in a folder under that name. */
static struct cpimg *try_parent(struct search *s, const struct cpimg *child,
				size_t folder, const char *name,
				struct cpimg_error *err)
{
	char *path = path_in(s->chain, folder, name);
	struct cpimg *parent;

	if (!path) {
		cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory", cpimg_path(child));
		return NULL;
	}
	parent = cpimg_open_at(s->chain->folder[folder], path, s->flags, err);
	free(path);
	if (!parent) {
		char why[300];

		/* Which file is bad is known; say who needs it, too. */
		if (err) {
			snprintf(why, sizeof(why), "%.299s", err->text);
			cpimg_fail(err, err->code, "%s (the parent of %.150s)",
				   why, cpimg_path(child));
		}
		return NULL;
	}
	if (check_parent(child, parent, err)) {
		cpimg_close(parent);
		return NULL;
	}
	if (cpimg_keep(parent, &s->chain->cache, s->chain->folder[folder], err)) {
		cpimg_close(parent);
		return NULL;
	}
	return parent;
}

/* By its name, or else by its id: images can have been renamed. */
static struct cpimg *open_parent(struct search *s, const struct cpimg *child,
				 bool dir, struct cpimg_error *err)
{
	const struct cp_note *note = cpimg_note(child);
	struct cpimg_error first = { .code = CPIMG_OK }, later;
	struct named_id key, *found;
	struct cpimg *parent;

	for (size_t i = first_folder(s->chain, dir); i < s->chain->nr_folders; i++) {
		parent = try_parent(s, child, i, note->parent,
				    first.code ? &later : &first);
		if (parent)
			return parent;
	}
	if (!s->indexed)
		index_folders(s, dir);
	memcpy(key.id, note->parent_id, CP_ID_SIZE);
	found = s->nr_ids ? bsearch(&key, s->ids, s->nr_ids, sizeof(key), by_id) : NULL;
	while (found && found > s->ids && !by_id(found - 1, &key))
		found--;
	for (; found && found < s->ids + s->nr_ids && !by_id(found, &key); found++) {
		parent = try_parent(s, child, found->folder, found->name, &later);
		if (parent)
			return parent;
	}
	/* What is said is about the name that the image gives. */
	if (err)
		*err = first;
	return NULL;
}

/* As many files as may be open, and some for the program. */
static unsigned int most_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur / 4 > CPIMG_MAX_OPEN)
		return CPIMG_MAX_OPEN;
	return limit.rlim_cur / 4 > 1 ? limit.rlim_cur / 4 : 1;
}

/* From @path to the full one: the newest first. */
static int open_all(struct search *s, const char *path, const char *dir,
		    struct cpimg_error *err)
{
	struct cpimg_chain *chain = s->chain;
	struct cpimg *img = cpimg_open(path, s->flags, err), *child;

	if (!img)
		return -1;
	if (append(chain, img, err)) {
		cpimg_close(img);
		return -1;
	}
	if (add_folders(chain, path, dir, err) ||
	    cpimg_keep(img, &chain->cache, chain->folder[0], err))
		return -1;
	while (cpimg_note(img)->kind != CP_KIND_FULL) {
		child = img;
		switch (met(s, cpimg_note(child), chain->length - 1)) {
		case 1:
			return cpimg_fail(err, CPIMG_ERR_CHAIN,
				"%s: is its own ancestor, by way of %s",
				cpimg_path(child),
				cpimg_path(chain->img[chain->length - 2]));
		case -1:
			return cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory", path);
		}
		img = open_parent(s, child, dir, err);
		if (!img)
			return -1;
		if (append(chain, img, err)) {
			/* it is in the cache already */
			cpimg_close(img);
			chain->cache.count--;
			return -1;
		}
	}
	return 0;
}

/**
 * cpimg_chain_open() - open an image and all that it needs
 * @path: the newest image, or a symbolic link to it
 * @dir: the folder of the others; NULL: the one @path is in, and, of a symbolic
 *	 link, the one that it leads to
 * @flags: as for cpimg_open()
 * @err: what went wrong; may be NULL
 *
 * Parents are looked for under the names that the images give, and, where these do
 * not lead to them, by their ids among all files of the folder. Of a long chain not
 * all files stay open: those that were closed are opened again when they are needed,
 * and must not have been replaced.
 *
 * Return: the chain, for cpimg_chain_close(), or NULL.
 */
struct cpimg_chain *cpimg_chain_open(const char *path, const char *dir,
				     int flags, struct cpimg_error *err)
{
	struct cpimg_chain *chain = calloc(1, sizeof(*chain));
	struct search s = { .chain = chain, .flags = flags };
	struct cpimg *img;
	int bad;

	if (err)
		*err = (struct cpimg_error) { .code = CPIMG_OK };
	if (!chain) {
		cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory", path);
		return NULL;
	}
	pthread_mutex_init(&chain->cache.lock, NULL);
	chain->cache.most = most_files();
	bad = open_all(&s, path, dir, err);
	end_search(&s);
	if (bad) {
		cpimg_chain_close(chain);
		return NULL;
	}
	/* Found newest first, kept oldest first. */
	for (size_t i = 0, j = chain->length - 1; i < j; i++, j--) {
		img = chain->img[i];
		chain->img[i] = chain->img[j];
		chain->img[j] = img;
	}
	return chain;
}
