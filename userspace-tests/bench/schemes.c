// SPDX-License-Identifier: GPL-2.0
/* What all schemes share, and those that save everything each time. */
#include "cp_test.h"
#include "schemes.h"
#include "schemes_peers.h"

#define WARM_SIZE	(4 * MIB)
#define TARGET		"/tmp/saved"

const struct scheme *scheme_of(const struct scheme *table, const char *name)
{
	for (; table->name; table++)
		if (!strcmp(table->name, name))
			return table;
	return NULL;
}

/**
 * saver_init() - set a scheme on some memory
 * @saver: what is filled in
 * @scheme: the scheme
 * @arena: the memory, present and written
 *
 * Ours counts its images from 0: one saver of ours for each process.
 */
void saver_init(struct saver *saver, const struct scheme *scheme,
		const struct arena *arena)
{
	*saver = (struct saver) {
		.scheme = scheme,
		.arena = *arena,
		.uffd = -1, .pagemap = -1, .clear_refs = -1,
		.ask = -1, .answer = -1,
	};
	strcpy(saver->path, TARGET);
}

/**
 * saver_begin() - begin to track, where the scheme has such a thing
 * @saver: the scheme and its memory
 *
 * Return: false with errno if it cannot be had here.
 */
bool saver_begin(struct saver *saver)
{
	return !saver->scheme->begin || saver->scheme->begin(saver);
}

/* The name of an image stays: without it no chain goes on. */
static void saver_discard(const char *path)
{
	if (!strcmp(path, TARGET))
		unlink(path);
	else
		truncate(path, 0);
}

/**
 * saver_save() - save once; the file is gone afterwards
 * @saver: the scheme and its memory
 *
 * Making and closing the file is part of it, removing it is not.
 *
 * Return: nanoseconds, or -1 with errno.
 */
double saver_save(struct saver *saver)
{
	struct stat st;
	double t;

	saver->bytes = 0;
	saver->stopped = -1;
	strcpy(saver->path, TARGET);
	t = now();
	if (!saver->scheme->save(saver)) {
		int why = errno;

		unlink(saver->path);
		errno = why;
		return -1;
	}
	t = now() - t;
	if (saver->stopped < 0)
		saver->stopped = t;
	if (saver->scheme->discard) {
		saver->scheme->discard(saver);
	} else if (!stat(saver->path, &st)) {
		saver->bytes = st.st_size;
		saver_discard(saver->path);
	}
	return t;
}

void saver_end(struct saver *saver)
{
	int *fds[] = { &saver->uffd, &saver->pagemap, &saver->clear_refs };

	if (saver->scheme->end)
		saver->scheme->end(saver);
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	free(saver->warm);
	free(saver->entries);
	free(saver->dirty);
}

/* The empty file that a save goes to. Return: a descriptor, or -1 with errno. */
int saver_file(struct saver *saver)
{
	return open(saver->path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
}

/* One write(2) moves 2 GiB less a page at most. */
static bool write_all(int fd, const char *from, size_t len, size_t piece)
{
	while (len) {
		ssize_t n = write(fd, from, len < piece ? len : piece);

		if (n <= 0)
			return false;
		from += n;
		len -= n;
	}
	return true;
}

/* Write @nr runs, @piece bytes at a time at most. Return: false with errno. */
bool save_runs(int fd, const struct run *runs, size_t nr, size_t piece)
{
	for (size_t i = 0; i < nr; i++)
		if (!write_all(fd, (char *)(uintptr_t)runs[i].start,
			       runs[i].end - runs[i].start, piece))
			return false;
	return true;
}

static bool save_written(struct saver *saver)
{
	int fd = saver_file(saver);
	bool ok = fd >= 0 && write_all(fd, saver->arena.mem, saver->arena.len,
				  saver->scheme->arg);

	return !close(fd) && ok;
}

/* The program goes on as soon as fork() returns, but somebody does the work. */
static bool save_in_child(struct saver *saver)
{
	double t = now();
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(!save_written(saver));
	saver->stopped = now() - t;
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

static bool save_by_cp_range(struct saver *saver)
{
	char *mem = saver->arena.mem;

	snprintf(saver->path, sizeof(saver->path), "%s",
		 cp_name(getpid(), saver->n));
	if (cp_range(mem, mem + saver->arena.len))
		return false;
	saver->n++;
	return true;
}

static bool save_by_inc_cp_range(struct saver *saver)
{
	char *mem = saver->arena.mem;

	snprintf(saver->path, sizeof(saver->path), "%s",
		 cp_name(getpid(), saver->n));
	if (inc_cp_range(mem, mem + saver->arena.len))
		return false;
	saver->n++;
	return true;
}

/* 1 GiB at a time, so that tmpfs need not have room for all of it at once. */
static bool begin_inc_cp_range(struct saver *saver)
{
	char *mem = saver->arena.mem, *end = mem + saver->arena.len;

	for (; mem < end; mem += GIB) {
		char *part = (size_t)(end - mem) < GIB ? end : mem + GIB;

		if (inc_cp_range(mem, part))
			return false;
		saver_discard(cp_name(getpid(), saver->n++));
	}
	return true;
}

static bool begin_warm(struct saver *saver)
{
	saver->warm = malloc(WARM_SIZE);
	if (saver->warm)
		memset(saver->warm, 1, WARM_SIZE);
	return saver->warm;
}

/* The next run of the set, cut at @most pages; its first page goes to @first. */
static size_t next_run(const struct page_set *set, size_t *i, size_t most,
		       uint32_t *first)
{
	size_t nr = 1;

	*first = set->index[(*i)++];
	while (*i < set->nr && nr < most && set->index[*i] == *first + nr) {
		(*i)++;
		nr++;
	}
	return nr;
}

static bool copy_to_warm(struct saver *saver)
{
	size_t at = 0, nr;
	uint32_t first;

	for (size_t i = 0; i < saver->set->nr; at += nr * PAGE) {
		nr = next_run(saver->set, &i, PIECE / PAGE, &first);
		memcpy(saver->warm + at % (WARM_SIZE - PIECE),
		       saver->arena.mem + first * PAGE, nr * PAGE);
	}
	saver->path[0] = 0;
	saver->bytes = saver->set->nr * PAGE;
	return true;
}

static bool copy_to_mapping(struct saver *saver)
{
	size_t len = saver->set->nr * PAGE, at = 0, nr;
	int fd = saver_file(saver);
	uint32_t first;
	char *map;

	if (fd < 0 || ftruncate(fd, len))
		return false;
	if (!len)
		return !close(fd);
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return false;
	for (size_t i = 0; i < saver->set->nr; at += nr * PAGE) {
		nr = next_run(saver->set, &i, PIECE / PAGE, &first);
		memcpy(map + at, saver->arena.mem + first * PAGE, nr * PAGE);
	}
	return !munmap(map, len) && !close(fd);
}

static bool write_known(struct saver *saver)
{
	int fd = saver_file(saver);
	bool ok = fd >= 0;
	uint32_t first;

	for (size_t i = 0; ok && i < saver->set->nr; ) {
		size_t nr = next_run(saver->set, &i, SIZE_MAX, &first);

		ok = write_all(fd, saver->arena.mem + first * PAGE, nr * PAGE,
			       PIECE);
	}
	return !close(fd) && ok;
}

static bool save_nothing(struct saver *saver)
{
	saver->path[0] = 0;
	return true;
}

#define FLOORS \
	{ "memcpy", "memcpy() of the pages into a warm buffer", FLOOR, \
	  .begin = begin_warm, .save = copy_to_warm }, \
	{ "memcpy-tmpfs", "memcpy() of the pages into a mapping of tmpfs", FLOOR, \
	  .save = copy_to_mapping }

#define CRIU(_name, _what, _how) \
	{ _name, _what, PEER, _how, .begin = criu_begin, .save = criu_save, \
	  .discard = criu_discard, .end = criu_end, .serve = criu_serve }

const struct scheme full_schemes[] = {
	{ "cp_range", "cp_range()", OURS, .save = save_by_cp_range },
	{ "write", "write(2), all at once", PEER, SIZE_MAX, .save = save_written },
	{ "write-16k", "write(2), 16 KiB at a time", PEER, 16 << 10,
	  .save = save_written },
	{ "write-32k", "write(2), 32 KiB at a time", PEER, 32 << 10,
	  .save = save_written },
	{ "write-64k", "write(2), 64 KiB at a time", PEER, 64 << 10,
	  .save = save_written },
	{ "write-128k", "write(2), 128 KiB at a time", PEER, 128 << 10,
	  .save = save_written },
	{ "fork", "fork(), the child writes", PEER, PIECE, .save = save_in_child },
	CRIU("criu", "CRIU, pre-dump", 0),
	CRIU("criu-dump", "CRIU, dump", CRIU_DUMP),
	FLOORS,
	{ NULL }
};

const struct scheme incremental_schemes[] = {
	{ "inc_cp_range", "inc_cp_range()", OURS,
	  .begin = begin_inc_cp_range, .save = save_by_inc_cp_range },
	{ "wp-async", "userfaultfd WP_ASYNC, PAGEMAP_SCAN gets and clears", PEER,
	  .begin = wp_async_begin, .save = wp_async_save },
	{ "soft-dirty-scan", "soft-dirty, PAGEMAP_SCAN", PEER,
	  .begin = soft_dirty_begin, .save = soft_dirty_scan_save },
	{ "soft-dirty", "soft-dirty, /proc/self/pagemap", PEER,
	  .begin = soft_dirty_begin, .save = soft_dirty_save },
	{ "mprotect", "mprotect() and SIGSEGV", PEER,
	  .begin = mprotect_begin, .save = mprotect_save, .end = mprotect_end },
	{ "fork", "fork(), the child writes what is no longer shared", PEER,
	  .begin = fork_begin, .save = fork_save, .end = fork_end },
	CRIU("criu", "CRIU, pre-dump --track-mem", CRIU_TRACK),
	CRIU("criu-dump", "CRIU, dump --track-mem --leave-running",
	     CRIU_TRACK | CRIU_DUMP),
	{ "original", "the dirty bit is never cleared: all that was ever written",
	  HISTORY, .save = save_by_cp_range },
	{ "write-known", "write(2) of the pages, if one knew them", FLOOR,
	  .save = write_known },
	FLOORS,
	{ "untracked", "nothing is saved, nothing is tracked", BASE,
	  .save = save_nothing },
	{ NULL }
};
