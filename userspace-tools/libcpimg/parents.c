// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - chains: the images that one image needs, and what they say together
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

#include "internal.h"

struct cpimg_chain {
	struct cpimg		**img;		/* the full one first */
	size_t			length;
	size_t			space;
	int			folder[3];	/* of the image, and where parents are */
	char			*folder_name[3];
	size_t			nr_folders;
	struct cpimg_cache	cache;
};

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

/**
 * cpimg_chain_close() - let go of a chain and its images
 * @chain: the chain, or NULL
 */
void cpimg_chain_close(struct cpimg_chain *chain)
{
	if (!chain)
		return;
	for (size_t i = 0; i < chain->length; i++)
		cpimg_close(chain->img[i]);
	for (size_t i = 0; i < chain->nr_folders; i++) {
		close(chain->folder[i]);
		free(chain->folder_name[i]);
	}
	pthread_mutex_destroy(&chain->cache.lock);
	free(chain->img);
	free(chain);
}

/* Something of the open chain itself lies in [@start, @end) */
bool cpimg_chain_overlaps(const struct cpimg_chain *chain, uint64_t start,
			  uint64_t end)
{
	uintptr_t at = (uintptr_t)chain, list = (uintptr_t)chain->img;

	if ((at < end && start < at + sizeof(*chain)) ||
	    (list < end && start < list + chain->space * sizeof(*chain->img)))
		return true;
	for (size_t i = 0; i < chain->length; i++) {
		if (cpimg_overlaps(chain->img[i], start, end))
			return true;
	}
	return false;
}

/** cpimg_chain_length() - number of images, at least 1 */
size_t cpimg_chain_length(const struct cpimg_chain *chain)
{
	return chain->length;
}

/** cpimg_chain_image() - image @index of the chain, 0 is the full one, or NULL */
const struct cpimg *cpimg_chain_image(const struct cpimg_chain *chain,
				      size_t index)
{
	return index < chain->length ? chain->img[index] : NULL;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* How far, from @addr, an image's range says the same: in it or out of it. */
static uint64_t range_limit(const struct cpimg *img, uint64_t addr)
{
	const struct cp_note *n = cpimg_note(img);

	if (addr < n->start)
		return n->start;
	return addr < n->end ? n->end : UINT64_MAX;
}

static void fill(struct cpimg_piece *p, const struct cpimg *img,
		 const struct cpimg_run *run)
{
	p->img = img;
	p->run = run;
	p->cls = run->cls;
	p->reason = run->reason;
	p->end = lower(p->end, run->end);
	if (run->cls == CPIMG_DATA)
		p->offset = run->offset + (p->start - run->start);
}

/* @addr is SAME in image @index: go up until an image knows better. */
static int resolve_same(const struct cpimg_chain *chain, size_t index,
			uint64_t addr, struct cpimg_piece *p,
			struct cpimg_error *err)
{
	const char *path = cpimg_path(chain->img[index]);

	while (index--) {
		const struct cpimg *img = chain->img[index];
		const struct cpimg_run *run;

		p->end = lower(p->end, range_limit(img, addr));
		if (!cpimg_covers(img, addr))
			continue;
		run = cpimg_find(img, addr);
		if (!run)
			return cpimg_fail(err, CPIMG_ERR_CHAIN,
				"%s: SAME at 0x%" PRIx64 ": not mapped in %s",
				path, addr, cpimg_path(img));
		if (run->cls == CPIMG_SKIPPED)
			return cpimg_fail(err, CPIMG_ERR_CHAIN,
				"%s: SAME at 0x%" PRIx64 ": skipped in %s (%s)",
				path, addr, cpimg_path(img),
				cpimg_skip_name(run->reason));
		if (run->cls != CPIMG_SAME) {
			fill(p, img, run);
			return 0;
		}
		p->end = lower(p->end, run->end);
	}
	return cpimg_fail(err, CPIMG_ERR_CHAIN,
			  "%s: SAME at 0x%" PRIx64 ": in no older image's range",
			  path, addr);
}

/**
 * cpimg_chain_resolve() - what an address was at a checkpoint
 * @chain: the chain
 * @index: the checkpoint: 0 to cpimg_chain_length() - 1
 * @addr: the address
 * @piece: the answer, and up to where it holds
 * @err: what went wrong; may be NULL
 *
 * Go through a range by asking again at @piece->end.
 *
 * Return: 0, or -1 if the chain contradicts itself here.
 */
int cpimg_chain_resolve(const struct cpimg_chain *chain, size_t index,
			uint64_t addr, struct cpimg_piece *piece,
			struct cpimg_error *err)
{
	const struct cpimg *img;
	const struct cpimg_run *runs;
	size_t i, count;

	if (index >= chain->length)
		return cpimg_fail(err, CPIMG_ERR_CHAIN,
				  "%s: checkpoint %zu of a chain of %zu",
				  cpimg_path(chain->img[chain->length - 1]),
				  index, chain->length);
	img = chain->img[index];
	*piece = (struct cpimg_piece) {
		.start	= addr,
		.end	= range_limit(img, addr),
		.cls	= CPIMG_NONE,
	};
	runs = cpimg_runs(img, &count);
	i = cpimg_index_after(img, addr);
	if (!cpimg_covers(img, addr) || i == count)
		return 0;
	if (runs[i].start > addr) {
		piece->end = lower(piece->end, runs[i].start);
		return 0;
	}
	piece->prot = runs[i].prot;
	if (runs[i].cls != CPIMG_SAME) {
		fill(piece, img, &runs[i]);
		return 0;
	}
	piece->end = lower(piece->end, runs[i].end);
	return resolve_same(chain, index, addr, piece, err);
}

/**
 * cpimg_chain_read() - bytes as they were at a checkpoint
 * @chain: the chain
 * @index: the checkpoint
 * @addr: address of the first
 * @buf: where they go
 * @len: how many
 * @err: what went wrong; may be NULL
 *
 * Return: 0, or -1 if not all are known; @buf is then undefined.
 */
int cpimg_chain_read(const struct cpimg_chain *chain, size_t index,
		     uint64_t addr, void *buf, size_t len,
		     struct cpimg_error *err)
{
	char *to = buf;

	while (len) {
		struct cpimg_piece p;
		size_t n;

		if (cpimg_chain_resolve(chain, index, addr, &p, err))
			return -1;
		if (p.cls == CPIMG_NONE)
			return cpimg_fail(err, CPIMG_ERR_NODATA,
				"%s: the image has no bytes at 0x%" PRIx64 ": not mapped, or outside its range",
				cpimg_path(chain->img[index]), addr);
		n = lower(p.end - addr, len);
		if (cpimg_read_run(p.img, p.run, addr, to, n, err))
			return -1;
		to += n;
		addr += n;
		len -= n;
	}
	return 0;
}

/*
 * From the oldest image to the newest: what is known of memory after each
 */

struct known {
	uint64_t		start;
	uint64_t		end;
	const struct cpimg	*img;	/* that has the run; NULL: not mapped */
	const struct cpimg_run	*run;	/* SAME: it leads nowhere */
	uint8_t			prot;	/* in the newest image */
};

struct memory {
	struct known	*known;		/* in address order */
	size_t		count;
	size_t		space;
};

static int know(struct memory *m, const struct known *k)
{
	struct known *last = m->count ? &m->known[m->count - 1] : NULL;

	if (k->start == k->end)
		return 0;
	if (last && last->end == k->start && last->run == k->run &&
	    last->prot == k->prot) {
		last->end = k->end;
		return 0;
	}
	if (m->count == m->space) {
		size_t space = m->space ? 2 * m->space : 256;
		void *more = realloc(m->known, space * sizeof(*m->known));

		if (!more)
			return -1;
		m->known = more;
		m->space = space;
	}
	m->known[m->count++] = *k;
	return 0;
}

/* What was known of [@start, @end) stays. @*at: the first that ends above @start. */
static int still_know(struct memory *new, const struct memory *old, size_t *at,
		      uint64_t start, uint64_t end)
{
	while (*at < old->count && old->known[*at].end <= start)
		++*at;
	for (size_t i = *at; i < old->count && old->known[i].start < end; i++) {
		struct known k = old->known[i];

		k.start = k.start > start ? k.start : start;
		k.end = lower(k.end, end);
		if (know(new, &k))
			return -1;
	}
	return 0;
}

/*
 * [@run->start, @run->end) is as before: that has to be known, and mapped. @*bad: the
 * first address of which it is not.
 */
static int know_same(struct memory *new, const struct memory *old, size_t *at,
		     const struct cpimg *img, const struct cpimg_run *run, uint64_t *bad)
{
	struct known k = { .img = img, .run = run, .prot = run->prot };
	uint64_t next = run->start;

	while (*at < old->count && old->known[*at].end <= run->start)
		++*at;
	for (size_t i = *at; next < run->end; i++) {
		const struct known *o = i < old->count ? &old->known[i] : NULL;
		struct known part = k;
		bool good = o && o->start <= next && o->run &&
			    o->run->cls != CPIMG_SKIPPED && o->run->cls != CPIMG_SAME;

		part.start = next;
		part.end = !o ? run->end : o->start > next ? lower(o->start, run->end) :
			   lower(o->end, run->end);
		if (good) {
			part.img = o->img;
			part.run = o->run;
		} else if (*bad == UINT64_MAX) {
			*bad = next;
		}
		if (know(new, &part))
			return -1;
		/* a gap before it: once more, now at its start */
		if (o && o->start > next)
			i--;
		next = part.end;
	}
	return 0;
}

/* @new: what is known after @img if @old was before it. 0, or -1: no memory. */
static int take_image(struct memory *new, const struct memory *old,
		      const struct cpimg *img, uint64_t *bad)
{
	const struct cp_note *note = cpimg_note(img);
	uint64_t next = note->start;
	size_t count, at = 0;
	const struct cpimg_run *run = cpimg_runs(img, &count);

	new->count = 0;
	if (still_know(new, old, &at, 0, note->start))
		return -1;
	for (; count; count--, run++) {
		struct known gap = { .start = next, .end = run->start };
		struct known k = {
			run->start, run->end, img, run, run->prot,
		};

		if (know(new, &gap) ||
		    (run->cls == CPIMG_SAME ?
		     know_same(new, old, &at, img, run, bad) : know(new, &k)))
			return -1;
		next = run->end;
	}
	if (know(new, &(struct known) { .start = next, .end = note->end }))
		return -1;
	return still_know(new, old, &at, note->end, UINT64_MAX);
}

static int list_piece(struct cpimg_list *list, const struct known *k, uint64_t start,
		      uint64_t end)
{
	struct cpimg_piece *p = &list->piece[list->count++];

	*p = (struct cpimg_piece) {
		.start = k->start > start ? k->start : start,
		.end = lower(k->end, end), .cls = CPIMG_NONE,
	};
	if (!k->run)
		return 0;
	p->img = k->img;
	p->run = k->run;
	p->cls = k->run->cls;
	p->reason = k->run->reason;
	p->prot = k->prot;
	if (p->cls == CPIMG_DATA)
		p->offset = k->run->offset + (p->start - k->run->start);
	return p->cls == CPIMG_SAME ? -1 : 0;
}

static int list_all(const struct cpimg_chain *chain, size_t index,
		    const struct memory *m, uint64_t start, uint64_t end,
		    struct cpimg_list *list, struct cpimg_error *err)
{
	list->piece = malloc((m->count + 1) * sizeof(*list->piece));
	if (!list->piece)
		return cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory for %zu pieces",
				  cpimg_path(chain->img[index]), m->count);
	for (size_t i = 0; i < m->count; i++) {
		const struct known *k = &m->known[i];
		struct cpimg_piece p;

		if (k->end <= start || k->start >= end)
			continue;
		if (!list_piece(list, k, start, end))
			continue;
		/* It says what is the matter. */
		if (!cpimg_chain_resolve(chain, index, list->piece[list->count - 1].start,
					 &p, err))
			cpimg_fail(err, CPIMG_ERR_CHAIN,
				   "%s: SAME at 0x%" PRIx64 ": no older image has it",
				   cpimg_path(k->img), k->start);
		cpimg_list_free(list);
		return -1;
	}
	return 0;
}

/*
 * cpimg_chain_list() - all that a chain says of [@start, @end) at a checkpoint
 * @chain: the chain
 * @index: the checkpoint
 * @older: what its range leaves out is as in the nearest older image
 * @start: first address
 * @end: address after the last
 * @list: the pieces, for cpimg_list_free(), those that were not mapped included: what
 *	  is in no piece is in no image's range
 * @err: what went wrong; may be NULL
 *
 * Its time grows with the runs of all images, and the pieces times the images; not
 * with the depth at which each piece is found, as that of cpimg_chain_resolve().
 *
 * Return: 0, or -1 if the chain contradicts itself there.
 */
int cpimg_chain_list(const struct cpimg_chain *chain, size_t index, bool older,
		     uint64_t start, uint64_t end, struct cpimg_list *list,
		     struct cpimg_error *err)
{
	const struct cp_note *note = cpimg_note(chain->img[index]);
	struct memory m[2] = { { 0 } };
	uint64_t bad = UINT64_MAX;
	int ret = 0;

	*list = (struct cpimg_list) { 0 };
	for (size_t i = 0; !ret && i <= index; i++)
		ret = take_image(&m[i % 2], &m[(i + 1) % 2], chain->img[i], &bad);
	if (ret)
		ret = cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory",
				 cpimg_path(chain->img[index]));
	if (!older) {
		start = start > note->start ? start : note->start;
		end = lower(end, note->end);
	}
	if (!ret && start < end)
		ret = list_all(chain, index, &m[index % 2], start, end, list, err);
	free(m[0].known);
	free(m[1].known);
	return ret;
}

void cpimg_list_free(struct cpimg_list *list)
{
	free(list->piece);
	*list = (struct cpimg_list) { 0 };
}

/*
 * cpimg_chain_verify_from() - the same as cpimg_chain_verify(), if image @index were
 * the full image @full and began the chain
 */
int cpimg_chain_verify_from(const struct cpimg_chain *chain, size_t index,
			    const struct cpimg *full, struct cpimg_error *err)
{
	struct memory m[2] = { { 0 } };
	uint64_t bad = UINT64_MAX;
	struct cpimg_piece p;
	int ret = 0;

	for (size_t i = index; !ret && i < chain->length; i++) {
		const struct cpimg *img = i == index ? full : chain->img[i];

		if (take_image(&m[i % 2], &m[(i + 1) % 2], img, &bad))
			ret = cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory",
					 cpimg_path(img));
		else if (bad == UINT64_MAX)
			continue;
		else if (full != chain->img[index] ||
			 !cpimg_chain_resolve(chain, i, bad, &p, err))
			ret = cpimg_fail(err, CPIMG_ERR_CHAIN,
				"%s: SAME at 0x%" PRIx64 ": no older image has it",
				cpimg_path(img), bad);
		else
			ret = -1;
	}
	free(m[0].known);
	free(m[1].known);
	return ret;
}

/**
 * cpimg_chain_verify() - every SAME of every image reaches something
 * @chain: the chain
 * @err: the first that does not; may be NULL
 *
 * Return: 0 or -1.
 */
int cpimg_chain_verify(const struct cpimg_chain *chain,
		       struct cpimg_error *err)
{
	return cpimg_chain_verify_from(chain, 0, chain->img[0], err);
}
