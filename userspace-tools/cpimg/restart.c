// SPDX-License-Identifier: GPL-2.0
/*
 * cpimg restart: a program goes on from its image, with the process ids that it had: in a
 * pid namespace of its own, where they are free. cpimg waits for it, and ends as it ends.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd.h"

struct restart {
	const char		*image;
	const char		*dir;
	bool			here, quiet;
	struct cp_restart	how;
	struct cpimg_chain	*chain;
};

static void say(const struct restart *s)
{
	if (s->quiet)
		return;
	fputs("cpimg: ", stderr);
	put_escaped(stderr, s->image, FOR_TEXT);
	fprintf(stderr, ": goes on, with %u thread%s and %s of memory", s->how.threads,
		s->how.threads == 1 ? "" : "s", HUMAN(s->how.data));
	if (s->how.cut)
		fprintf(stderr, "; %u file%s cut back, NAME.cut-* has the rest", s->how.cut,
			s->how.cut == 1 ? "" : "s");
	fputs("\n", stderr);
}

/* The process, or -1: it was said why. */
static pid_t start(struct restart *s)
{
	struct cpimg_error err;
	pid_t pid = cp_restart(s->chain, cpimg_chain_length(s->chain) - 1, &s->how, &err);

	if (pid < 0)
		problem_of(&err);
	else
		say(s);
	return pid;
}

/* Process 1 of the new space. Return: as waitpid() says it. */
static int go_on(void *arg)
{
	pid_t pid = start(arg);

	return pid < 0 ? CMD_PROBLEM << 8 : cpimg_space_wait(pid);
}

/* Without a space of its own: the ids have to be free, and may be asked for. */
static int go_on_here(struct restart *s)
{
	pid_t pid = start(s);
	int status;

	if (pid < 0)
		return CMD_PROBLEM << 8;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return problem("waiting for process %d: %s", pid, strerror(errno)) << 8;
	}
	return status;
}

static const struct argp_option options[] = {
	{ "here", 'H', 0, 0, "in this pid namespace, if its ids are free", 0 },
	{ "limits", 'l', 0, 0, "limits (ulimit -H) that are lower here may stay so", 0 },
	{ "quiet", 'q', 0, 0, "say nothing if all is well", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct restart *s = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &s->dir;
		return 0;
	case 'H':
		s->here = true;
		return 0;
	case 'l':
		s->how.flags |= CP_RESTART_LIMITS;
		return 0;
	case 'q':
		s->quiet = true;
		return 0;
	case ARGP_KEY_ARG:
		if (s->image)
			argp_usage(state);
		s->image = arg;
		return 0;
	case ARGP_KEY_END:
		if (!s->image)
			argp_usage(state);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	options, parse, "IMAGE",
	"Let a program go on from an image that was made with CP_PROCESS, wait for it, and end as it ends.",
	dir_children, 0, 0,
};

int cmd_restart(int argc, char **argv)
{
	struct restart s = { .how.size = sizeof(s.how) };
	struct cpimg_error err;
	int status;

	argp_parse(&argp, argc, argv, 0, 0, &s);
	s.chain = cpimg_chain_open(s.image, s.dir, 0, &err);
	if (!s.chain)
		return problem_of(&err);
	status = s.here ? go_on_here(&s) : cpimg_space(go_on, &s, &err);
	cpimg_chain_close(s.chain);
	if (status < 0)
		return problem_of(&err);
	cpimg_end_as(status);
}
