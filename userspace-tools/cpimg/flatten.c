// SPDX-License-Identifier: GPL-2.0
/* cpimg flatten: a chain becomes one full image. */
#include <string.h>

#include "cmd.h"

struct flatten {
	const char	*image, *out, *dir;
	bool		older;
};

static const struct argp_option options[] = {
	{ "all", 'a', 0, 0,
	  "also what only older images looked at, as it was then", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct flatten *f = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &f->dir;
		return 0;
	case 'a':
		f->older = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num > 1)
			argp_usage(state);
		*(state->arg_num ? &f->out : &f->image) = arg;
		return 0;
	case ARGP_KEY_END:
		if (state->arg_num < 2)
			argp_usage(state);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	options, parse, "IMAGE NEW-IMAGE",
	"Write what the chain that ends in IMAGE says of memory as one full image, for gdb and for keeping. NEW-IMAGE must not be there yet.",
	dir_children, 0, 0,
};

int cmd_flatten(int argc, char **argv)
{
	struct flatten f = { 0 };
	struct cpimg_error err;
	struct view view = { 0 };
	struct cpimg_chain *chain;
	int status = CMD_OK;

	argp_parse(&argp, argc, argv, 0, 0, &f);
	catch_signals();
	chain = cpimg_chain_open(f.image, f.dir, 0, &err);
	if (!chain)
		return problem_of(&err);
	view.chain = chain;
	view.index = cpimg_chain_length(chain) - 1;
	view.older = f.older;
	if (flatten_to(&view, f.out, &err))
		status = problem_of(&err);
	view_close(&view);
	cpimg_chain_close(chain);
	return status;
}
