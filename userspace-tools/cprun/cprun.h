/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of cprun share. */
#ifndef CPRUN_H
#define CPRUN_H

#include <sys/types.h>

#include <cp_range.h>

#include "../cpimg/cmd.h"

/* What cprun itself exits with; else it ends as PROGRAM did. */
enum {
	CPRUN_NO_RESUME		= 121,	/* there is nothing that it could go on from */
	CPRUN_KERNEL		= 122,	/* this kernel cannot save a program */
	CPRUN_OTHER		= 123,	/* the folder is of another command */
	CPRUN_BUSY		= 124,	/* another cprun has the folder */
	CPRUN_FAILED		= 125,
	CPRUN_NOT_EXECUTABLE	= 126,
	CPRUN_NOT_FOUND		= 127,
};

/**
 * struct job - a program that is run, and the folder of its images
 * @dir:	the folder, as the user names it
 * @argv:	the command; NULL: of --resume
 * @every:	seconds between two images
 * @keep:	leave so many images to go on from, when there are twice as many; 0: all
 * @full_every:	a new chain after so many incremental images; 0: as their size is
 * @verbose:	a line for each image
 * @anew:	begin anew, whatever is there
 * @made:	@dir was not there
 * @lock:	descriptor of the lock, for as long as it runs
 * @generation:	number of this run,
 * @folder:	the folder of its images,
 * @folder_fd:	and that once more
 */
struct job {
	const char	*dir;
	char		**argv;
	double		every;
	uint64_t	keep;
	uint64_t	full_every;
	bool		verbose;
	bool		anew;
	bool		made;
	int		lock;
	unsigned int	generation;
	char		*folder;
	int		folder_fd;
};

/* job.c: the folder. 0, or the status to exit with: then it was said why. */
int job_open(struct job *job);
int job_check(const struct job *job, bool *go_on);
int job_begin(struct job *job, bool go_on);
void job_undo(struct job *job);
int job_from(const struct job *job, const char *image, const uint8_t *id);
int job_done(const struct job *job);
void job_remove_older(const struct job *job);
char *generation_folder(const struct job *job, unsigned int generation);
unsigned int last_generation(const struct job *job);
bool began_anew(const struct job *job, unsigned int generation);

/**
 * struct image - a file that may be one to go on from
 * @path:	its name
 * @n:		its number in its generation
 * @generation:	that
 * @why:	what is wrong with it, or NULL
 * @process:	it has all that a restart takes
 */
struct image {
	char		*path;
	uint64_t	n;
	unsigned int	generation;
	char		*why;
	bool		process;
};

/* resume.c */
struct images {
	struct image	*image;		/* the newest first */
	size_t		count;
	size_t		process;	/* how many of them have all */
	size_t		bad;		/* in how many something is wrong */
};

int images_find(const struct job *job, struct images *images);
pid_t resume(const struct job *job, const struct images *images);

/* save.c: in a process of its own */

/**
 * struct saved - what came of it
 * @error:	errno of cp_checkpoint(), or 0
 * @sync_error:	errno of making it safe; EOPNOTSUPP: the folder is in memory
 * @r:		what the kernel says
 * @length:	images of the chain; 0: it could not be read
 * @restartable: of them, those that the program can go on from
 * @keep:	how many images there are from the oldest on that --keep wants to stay
 * @full:	bytes of the first
 * @rest:	and of those after it
 */
struct saved {
	int			error;
	int			sync_error;
	struct cp_result	r;
	uint64_t		length;
	uint64_t		restartable;
	uint64_t		keep;
	uint64_t		full;
	uint64_t		rest;
};

/**
 * struct saving - what is to be done
 * @job:	the job
 * @program:	the program,
 * @pidfd:	and that once more
 * @full:	begin a new chain
 * @last:	the program is to stop once it is saved
 * @remove:	what is needed no longer is removed
 * @synced:	images below this number are safe
 * @stop_ns:	the longest that the program may stand still
 */
struct saving {
	const struct job	*job;
	pid_t			program;
	int			pidfd;
	bool			full;
	bool			last;
	bool			remove;
	uint64_t		synced;
	uint64_t		stop_ns;
};

void save(const struct saving *s, struct saved *out);
bool is_restartable(const struct saved *s);
bool is_safe(const struct saved *s);
int check_kernel(void);

/* say.c */
struct said {
	int		what;		/* what the last save came to, 0: all is well */
	uint64_t	why;
	uint64_t	at;
	bool		memory;		/* that it is in memory was said */
};

void say_saved(const struct job *job, struct said *said, const struct saved *s);

/* streams.c */
struct streams {
	struct stream {
		int	fd;
		int	original;	/* what was @fd outside */
	}	*stream;
	size_t	count;
};

void streams_name(struct streams *s);
void streams_share(struct streams *s, int pidfd);
void streams_end(const struct streams *s);

/* run.c */
struct start {
	struct job	*job;
	struct images	images;		/* to go on from, if there are any */
};

int run(void *arg);

#endif /* CPRUN_H */
