/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Ways to save the memory of a program, ours and those of others, each written as
 * well as those who use it would. All of them put the bytes into a file on tmpfs.
 * Only ours says in the file where each page belongs: the others are spared that.
 */
#ifndef SCHEMES_H
#define SCHEMES_H

#include <sys/types.h>

#include "workload.h"

struct saver;

/* What a scheme is in a comparison. */
enum role {
	OURS,
	PEER,
	FLOOR,		/* no checkpoint: the least that copying costs */
	HISTORY,	/* how it was before */
	BASE,		/* nothing is saved at all */
};

/**
 * struct scheme - a way to save memory
 * @name: one word, as in the CSV
 * @what: what it does, for a reader of the table
 * @role: ours, a peer, ...
 * @arg: for functions that serve several schemes
 * @begin: begin to track. False with errno if this kernel cannot do it.
 * @save: save what changed, or all of it; sets saver.path. False with errno.
 * @discard: throw the last save away and say how many bytes it had, where
 *	removing the file @path is not enough
 * @end: stop tracking
 * @serve: for a scheme that works from outside: called in the parent of the
 *	process that saves, returns when that is done
 *
 * Any of the functions but @save may be NULL.
 */
struct scheme {
	const char	*name, *what;
	enum role	role;
	size_t		arg;
	bool		(*begin)(struct saver *saver);
	bool		(*save)(struct saver *saver);
	void		(*discard)(struct saver *saver);
	void		(*end)(struct saver *saver);
	void		(*serve)(struct saver *saver, pid_t worker);
};

/* Pages next to each other. */
struct run {
	uint64_t start, end;
};

/**
 * struct saver - a scheme at work
 * @scheme: which
 * @arena: what is saved
 * @set: what was written since the last time; for the floors, which do not have
 *	to find out
 * @path: the file of the last save
 * @bytes: how much the last save wrote
 * @stopped: nanoseconds that the program stood still in the last save, if that
 *	is not all of it
 * @faults: what is counted in no other place, since the beginning
 *
 * The others are the scheme's own.
 */
struct saver {
	const struct scheme	*scheme;
	struct arena		arena;
	const struct page_set	*set;
	char			path[64];
	double			bytes;
	double			stopped;
	unsigned long		faults;

	unsigned long		n;
	int			uffd, pagemap, clear_refs;
	uint64_t		*entries, *dirty;
	char			*warm;
	pid_t			child;
	int			ask, answer;	/* eventfds */
};

/* The best size of write(2) on tmpfs; the bench measures the others as well. */
#define PIECE		(64UL << 10)

extern const struct scheme full_schemes[], incremental_schemes[];

const struct scheme *scheme_of(const struct scheme *table, const char *name);
void saver_init(struct saver *saver, const struct scheme *scheme,
		const struct arena *arena);
bool saver_begin(struct saver *saver);
double saver_save(struct saver *saver);
void saver_end(struct saver *saver);

/* For the schemes themselves. */
int saver_file(struct saver *saver);
bool save_runs(int fd, const struct run *runs, size_t nr, size_t piece);

#endif /* SCHEMES_H */
