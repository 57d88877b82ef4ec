// SPDX-License-Identifier: GPL-2.0
/* cprun - run a program so that it is saved now and then, and goes on after a crash. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "cprun.h"

#ifndef VERSION
#define VERSION "unknown"
#endif

const char *argp_program_version = "cprun " VERSION;

static const struct argp_option options[] = {
	{ "every", 'e', "TIME", 0, "save it so often: 30, 10m, 2h (10m)", 0 },
	{ "dir", 'd', "DIR", 0, "the images go there (./PROGRAM.cp)", 0 },
	{ "keep", 'k', "N", 0, "of 2 N images in a chain leave N, as 'cpimg prune' does", 0 },
	{ "full-every", 'f', "N", 0, "after N incremental images a full one, and a new chain", 0 },
	{ "resume", 'r', "DIR", 0, "go on with the program of DIR", 0 },
	{ "new", 'n', 0, 0, "begin anew, even if there is something to go on from", 0 },
	{ "verbose", 'v', 0, 0, "a line for each image", 0 },
	{ 0 }
};

static void at_end(struct job *job, const struct argp_state *state, bool resume)
{
	if (!job->argv == !resume)
		argp_error(state, resume ? "--resume takes no PROGRAM: DIR/job has it" :
			   "PROGRAM is missing");
	if (resume && job->anew)
		argp_error(state, "--resume and --new: one or the other");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	static bool resume;
	struct job *job = state->input;

	switch (key) {
	case 'e':
		want_time(state, "every", arg, &job->every);
		return 0;
	case 'd':
	case 'r':
		if (job->dir)
			argp_error(state, "--dir and --resume: one of them, once");
		job->dir = arg;
		resume = key == 'r';
		return 0;
	case 'k':
		want_number(state, "keep", arg, &job->keep);
		return 0;
	case 'f':
		want_number(state, "full-every", arg, &job->full_every);
		return 0;
	case 'n':
		job->anew = true;
		return 0;
	case 'v':
		job->verbose = true;
		return 0;
	case ARGP_KEY_ARG:
		/* what follows is the program's, options too */
		job->argv = state->argv + state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		at_end(job, state, resume);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	options, parse, "PROGRAM [ARG...]\n--resume DIR",
	"Run PROGRAM, unchanged, and save it now and then; started again after a crash, it goes on from the newest image.\vThe same command started again goes on by itself; 'cprun --resume DIR' does, too. SIGUSR1: save now. SIGTERM: save and end. cprun(1) says what comes back of a program, and what cprun exits with.",
	0, 0, 0,
};

static int wrong_kernel(int error)
{
	if (error == ENOSYS)
		problem("this kernel has no cp_checkpoint(): the program is not started");
	else if (error == EINVAL)
		problem("this kernel's cp_checkpoint() saves memory, but not what a restart takes (CP_PROCESS): the program is not started");
	else
		problem("this kernel does not save programs: %s: the program is not started",
			strerror(error));
	return CPRUN_KERNEL;
}

/* Is there something to go on from? What is said to people is about what is not so. */
static int choose(struct start *start)
{
	struct job *job = start->job;
	bool go_on;
	int status = job_check(job, &go_on);

	if (status || !go_on)
		return status;
	status = images_find(job, &start->images);
	if (status || start->images.process)
		return status;
	if (start->images.bad) {
		for (size_t i = 0; i < start->images.count; i++) {
			if (start->images.image[i].why)
				problem("%s", start->images.image[i].why);
		}
		problem("%s: no image that the program can go on from%s", job->dir,
			job->argv ? "; --new begins it anew" : "");
		return CPRUN_NO_RESUME;
	}
	if (!job->argv) {
		problem("%s: nothing to resume: there is no image from which it can go on",
			job->dir);
		return CPRUN_NO_RESUME;
	}
	problem("%s: no image yet; the program begins anew", job->dir);
	return 0;
}

static int run_job(struct start *start)
{
	struct job *job = start->job;
	struct cpimg_error err;
	int status = job_begin(job, start->images.process);

	if (status)
		return status;
	status = cpimg_space(run, start, &err);
	if (status == -1) {
		problem_of(&err);
		status = -CPRUN_FAILED;
	}
	if (status < 0) {
		job_undo(job);
		return -status;
	}
	if (!status)
		return job_done(job);
	cpimg_end_as(status);
}

/* "./PROGRAM.cp", as its name is, wherever it lies. */
static const char *default_dir(const struct job *job)
{
	char *dir;

	return asprintf(&dir, "./%s.cp", base_name(job->argv[0])) < 0 ? NULL : dir;
}

int main(int argc, char **argv)
{
	struct job job = { .every = 600, .lock = -1, .folder_fd = -1 };
	struct start start = { .job = &job };
	int status;

	tool_name = "cprun";
	argp_err_exit_status = CPRUN_FAILED;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, 0, &job);
	status = check_kernel();
	if (status)
		return wrong_kernel(status);
	if (!job.dir)
		job.dir = default_dir(&job);
	if (!job.dir) {
		problem("no memory");
		return CPRUN_FAILED;
	}
	status = job_open(&job);
	if (!status)
		status = choose(&start);
	if (status || (!job.argv && !start.images.process))
		return status;
	return run_job(&start);
}
