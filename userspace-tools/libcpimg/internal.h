/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of libcpimg and cpimg share, and other programs do not see. */
#ifndef LIBCPIMG_INTERNAL_H
#define LIBCPIMG_INTERNAL_H

#include <pthread.h>
#include <sys/stat.h>

#include <cpimg.h>

static inline uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t higher(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Which file an image was opened as: another one is not taken for it later. */
struct cpimg_identity {
	dev_t		dev;
	ino_t		ino;
	off_t		size;
	struct timespec	mtime;
};

/*
 * Files of a chain that are open. A chain may have more images than a process may
 * have files: some are closed again, and opened when they are asked for.
 */
#define CPIMG_MAX_OPEN	256

struct cpimg_cache {
	pthread_mutex_t	lock;		/* of all here, and of its images' files and notes */
	struct cpimg	*open[CPIMG_MAX_OPEN];
	unsigned int	count;
	unsigned int	most;
	unsigned int	next;		/* where to look for one to close */
};

int cpimg_hold(const struct cpimg *img, struct cpimg_error *err);
void cpimg_release(const struct cpimg *img);
struct cpimg *cpimg_open_at(int folder, const char *path, int flags,
			    struct cpimg_error *err);
int cpimg_keep(struct cpimg *img, struct cpimg_cache *cache, int folder,
	       struct cpimg_error *err);
void cpimg_copy_note(struct cp_note *note, const void *from, size_t size);
int cpimg_peek(int fd, struct cp_note *note);
bool cpimg_is_file(const struct cpimg *img, const struct stat *st);
bool cpimg_same_file(const struct cpimg *a, const struct cpimg *b);
bool cpimg_is_image_name(const char *name, uint64_t *n);

/* What a chain says, in address order. */
struct cpimg_list {
	struct cpimg_piece	*piece;
	size_t			count;
};

int cpimg_chain_list(const struct cpimg_chain *chain, size_t index, bool older,
		     uint64_t start, uint64_t end, struct cpimg_list *list,
		     struct cpimg_error *err);
void cpimg_list_free(struct cpimg_list *list);
int cpimg_chain_verify_from(const struct cpimg_chain *chain, size_t index,
			    const struct cpimg *full, struct cpimg_error *err);

__attribute__((format(printf, 3, 4)))
int cpimg_fail(struct cpimg_error *err, enum cpimg_errcode code,
	       const char *fmt, ...);
int cpimg_pread_file(const struct cpimg *img, uint64_t offset, void *buf,
		     size_t len, struct cpimg_error *err);
int cpimg_read_run(const struct cpimg *img, const struct cpimg_run *run,
		   uint64_t addr, void *buf, size_t len,
		   struct cpimg_error *err);
const void *cpimg_raw_notes(const struct cpimg *img, size_t *size);
size_t cpimg_index_after(const struct cpimg *img, uint64_t addr);
size_t cpimg_area_after(const struct cpimg *img, uint64_t addr);
bool cpimg_looked_at(const struct cpimg *img, uint64_t addr, uint64_t *end);
bool cpimg_touches(const struct cpimg *img, uint64_t start, uint64_t end);

/* Calls @fn for each piece of memory of its own, till that returns true. */
typedef bool cpimg_memory_fn(const void *mem, size_t size, const void *arg);
bool cpimg_memory(const struct cpimg *img, cpimg_memory_fn *fn, const void *arg);
bool cpimg_chain_memory(const struct cpimg_chain *chain, cpimg_memory_fn *fn,
			const void *arg);

/* space.c: a pid namespace, in which an image can have its process ids again */
int cpimg_space(int (*inside)(void *arg), void *arg, struct cpimg_error *err);
void cpimg_space_child(void);
int cpimg_space_signals(void);
int cpimg_space_next(int signals);
pid_t cpimg_space_reap(pid_t program, int *status);
int cpimg_space_wait(pid_t program);
_Noreturn void cpimg_end_as(int status);

#endif /* LIBCPIMG_INTERNAL_H */
