// SPDX-License-Identifier: GPL-2.0
/*
 * One image, made safe, in a process of its own: process 1 has to hear of signals
 * meanwhile, and by killing this one it ends a save that takes too long. What is needed no
 * longer goes only when the new image is on the disk.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cprun.h"

#define LEAST_POOL	(64ULL << 20)	/* what the kernel takes by itself */

/* For pages that the program changes while it is saved: a quarter of what is free. */
static uint64_t pool_bytes(void)
{
	FILE *from = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];

	while (from && fgets(line, sizeof(line), from)) {
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			break;
	}
	if (from)
		fclose(from);
	return higher(kib * 1024 / 4, LEAST_POOL);
}

static int take(const struct saving *s, struct cp_result *r)
{
	struct cp_args args = {
		.flags = (s->full ? 0 : CP_INCREMENTAL) | CP_MOMENT | CP_PROCESS,
		.pidfd = s->pidfd,
		.dirfd = s->job->folder_fd,
		.max_stop_ns = s->stop_ns,
		.max_bytes = pool_bytes(),
		.result = (uintptr_t)r,
		.result_size = sizeof(*r),
	};

	memset(r, 0, sizeof(*r));
	return cp_checkpoint(&args, sizeof(args)) ? errno : 0;
}

/**
 * check_kernel() - can this kernel save what a restart takes?
 *
 * Return: 0, or the errno that says no.
 */
int check_kernel(void)
{
	/* without a folder it gets no further than to the flags */
	struct cp_args args = {
		.flags = CP_INCREMENTAL | CP_MOMENT | CP_PROCESS,
		.pidfd = -1,
		.dirfd = -1,
	};

	if (!cp_checkpoint(&args, sizeof(args)) || errno == EBADF)
		return 0;
	return errno;
}

/* Its memory is saved, with all that a restart takes. */
bool is_restartable(const struct saved *s)
{
	return !s->error && s->r.missed != CP_MISSED_ERROR && s->r.flags & CP_PROCESS;
}

/* It is on the disk; where that is memory, there is no more to be had. */
bool is_safe(const struct saved *s)
{
	return is_restartable(s) && (!s->sync_error || s->sync_error == EOPNOTSUPP);
}

static char *image_path(const struct job *job, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", job->folder, name) < 0 ? NULL : path;
}

/* File systems that were made safe for this image. */
struct places {
	dev_t	dev[32];
	size_t	count;
};

/* The file system of @path, once. A name that is gone has nothing to be found again by. */
static int sync_place(struct places *places, const char *path)
{
	struct stat st;
	int fd, error;

	if (stat(path, &st) || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
		return 0;
	for (size_t i = 0; i < places->count; i++) {
		if (places->dev[i] == st.st_dev)
			return 0;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == EACCES)
		fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT ? 0 : errno;
	error = syncfs(fd) ? errno : 0;
	close(fd);
	if (places->count < sizeof(places->dev) / sizeof(*places->dev))
		places->dev[places->count++] = st.st_dev;
	return error;
}

/* Where the program has files open for writing. */
static int sync_open(struct places *places, pid_t program)
{
	char path[300];
	struct dirent *entry;
	int error = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", program);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		struct stat st;
		int bad;

		snprintf(path, sizeof(path), "/proc/%d/fd/%s", program, entry->d_name);
		/* the link's own mode says what it may do */
		if (lstat(path, &st) || !S_ISLNK(st.st_mode) || !(st.st_mode & 0200))
			continue;
		bad = sync_place(places, path);
		if (bad)
			error = bad;
	}
	if (dir)
		closedir(dir);
	return error;
}

/* And where it has mapped some, and may have closed them. */
static int sync_mapped(struct places *places, pid_t program)
{
	char path[64], *line = NULL;
	size_t size = 0;
	int error = 0;
	FILE *from;

	snprintf(path, sizeof(path), "/proc/%d/maps", program);
	from = fopen(path, "re");
	while (from && getline(&line, &size, from) > 0) {
		char *name = strchr(line, '/'), perms[5];
		int bad;

		if (!name || sscanf(line, "%*s %4s", perms) != 1 || perms[1] != 'w' ||
		    perms[3] != 's')
			continue;
		name[strcspn(name, "\n")] = 0;
		bad = sync_place(places, name);
		if (bad)
			error = bad;
	}
	free(line);
	if (from)
		fclose(from);
	return error;
}

/*
 * What the program has written until the image, also to files that it has closed: after a
 * power cut an image is of no use whose files are shorter than they were. 0, or the errno.
 */
static int sync_files(const struct saving *s)
{
	struct places places = { .count = 0 };
	int started = sync_place(&places, ".");
	int opened = sync_open(&places, s->program);
	int mapped = sync_mapped(&places, s->program);

	return started ? started : opened ? opened : mapped;
}

/*
 * The program's files, the image, and its parents that are not safe yet; then the folder.
 * 0, or the errno.
 */
static int make_safe(const struct saving *s, const struct cp_result *r)
{
	int error = sync_files(s);

	for (uint64_t n = s->synced; n <= r->n; n++) {
		char name[CP_NAME_SIZE], *path;

		snprintf(name, sizeof(name), "%d-cp%llu", s->program, (unsigned long long)n);
		path = image_path(s->job, name);
		if (!path)
			return ENOMEM;
		/* an older one may have gone: it was made part of a newer one */
		if (cp_sync_path(path) && (errno != ENOENT || n == r->n))
			error = errno;
		free(path);
	}
	return cp_sync_path(s->job->folder) && !error ? errno : error;
}

/* Of this generation, what is before the chain. */
static void remove_before(const struct job *job, uint64_t first)
{
	DIR *dir = opendir(job->folder);
	struct dirent *entry;
	uint64_t n;

	while (dir && (entry = readdir(dir))) {
		if (cpimg_is_image_name(entry->d_name, &n) && n < first &&
		    unlinkat(dirfd(dir), entry->d_name, 0))
			problem("%s/%s: removing: %s", job->folder, entry->d_name,
				strerror(errno));
	}
	if (dir)
		closedir(dir);
}

/* How long the chain is, and its bytes. Only headers are read. */
static void look_at_chain(const struct saving *s, struct saved *out, uint64_t *first)
{
	char *path = image_path(s->job, out->r.name);
	struct cpimg_error err = { .text = "no memory" };
	struct cpimg_chain *chain = path ? cpimg_chain_open(path, NULL, 0, &err) : NULL;

	free(path);
	if (!chain) {
		problem_of(&err);
		return;
	}
	out->length = cpimg_chain_length(chain);
	for (size_t i = out->length; i--;) {
		const struct cpimg *img = cpimg_chain_image(chain, i);

		*(i ? &out->rest : &out->full) += cpimg_file_size(img);
		if (!(cpimg_note(img)->flags & CP_NOTE_PROCESS))
			continue;
		if (++out->restartable == s->job->keep)
			out->keep = out->length - i;
	}
	*first = cpimg_note(cpimg_chain_image(chain, 0))->n;
	cpimg_chain_close(chain);
}

/**
 * save() - make an image, and make it safe
 * @s: what is to be done
 * @out: what came of it
 */
void save(const struct saving *s, struct saved *out)
{
	uint64_t first = 0;

	memset(out, 0, sizeof(*out));
	out->error = take(s, &out->r);
	if (out->error)
		return;
	out->r.name[CP_NAME_SIZE - 1] = 0;
	/* what it does from here on is lost: let it do nothing that others see */
	if (s->last && is_restartable(out))
		kill(s->program, SIGSTOP);
	out->sync_error = make_safe(s, &out->r);
	look_at_chain(s, out, &first);
	/* two: should this one be damaged, there is another to go back to */
	if (s->remove && out->restartable >= 2 && is_safe(out)) {
		remove_before(s->job, first);
		job_remove_older(s->job);
	}
}
