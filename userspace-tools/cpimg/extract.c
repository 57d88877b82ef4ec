// SPDX-License-Identifier: GPL-2.0
/* cpimg extract: the bytes of an address range. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

#define PIECE	(1U << 20)

struct extract {
	const char	*image, *out, *dir;
	uint64_t	start, end;
	bool		zero;
};

/*
 * What no image has is an error, unless zeros may stand for it. *@missing counts
 * those.
 */
static int read_piece(const struct extract *x, struct view *v, uint64_t at,
		      char *buf, uint64_t *len, uint64_t *missing,
		      struct cpimg_error *err)
{
	struct cpimg_piece p;

	if (view_resolve(v, at, &p, err))
		return -1;
	if (p.end - at < *len)
		*len = p.end - at;
	if (p.cls == CPIMG_DATA)
		return cpimg_pread(p.img, at, buf, *len, err);
	if (!x->zero)
		return cpimg_chain_read(v->chain, v->index, at, buf, *len, err);
	memset(buf, 0, *len);
	if (p.cls != CPIMG_HOLE || p.reason != CP_HOLE_ZERO)
		*missing += *len;
	return 0;
}

static int copy(const struct extract *x, struct view *v, FILE *to,
		uint64_t *missing)
{
	struct progress progress;
	struct cpimg_error err;
	char *buf = malloc(PIECE);
	int status = buf ? CMD_OK : problem("no memory");

	progress_start(&progress, "reading", x->end - x->start);
	for (uint64_t at = x->start, n; !status && at < x->end; at += n) {
		n = x->end - at < PIECE ? x->end - at : PIECE;
		if (read_piece(x, v, at, buf, &n, missing, &err))
			status = problem_of(&err);
		else if (fwrite(buf, 1, n, to) != n)
			break;		/* close_output() says why */
		else if (progress_step(&progress, n))
			status = problem("interrupted");
	}
	progress_end(&progress);
	free(buf);
	return status;
}

/* Into a file that is there when it is whole. */
static int write_file(const struct extract *x, struct view *v, uint64_t *missing)
{
	struct new_file f;
	FILE *to;
	int fd, status;

	if (new_file_open(&f, x->out, false))
		return problem("%s: creating: %s", x->out, strerror(errno));
	fd = dup(f.fd);
	to = fd < 0 ? NULL : fdopen(fd, "w");
	if (to) {
		status = copy(x, v, to, missing);
		if (close_output(to, x->out))
			status = CMD_PROBLEM;
	} else {
		status = problem("%s: creating: %s", x->out, strerror(errno));
	}
	if (!status && new_file_commit(&f))
		status = problem("%s: creating: %s", x->out, strerror(errno));
	else if (!status)
		return CMD_OK;
	new_file_abandon(&f);
	return status;
}

static int write_out(const struct extract *x, struct view *v)
{
	uint64_t missing = 0;
	struct cpimg_error err;
	int status;

	if (view_open(v, x->start, x->end, &err))
		return problem_of(&err);
	if (x->out) {
		catch_signals();
		status = write_file(x, v, &missing);
	} else {
		status = copy(x, v, stdout, &missing);
		if (close_output(stdout, "standard output"))
			status = CMD_PROBLEM;
	}
	if (missing && !status)
		problem("zeros stand for %" PRIu64 " bytes that no image has", missing);
	return status;
}

static const struct argp_option options[] = {
	{ "output", 'o', "FILE", 0, "a new file, not standard output", 0 },
	{ "zero", 'z', 0, 0, "zeros for bytes that no image has", 0 },
	{ 0 }
};

/* END is an address, or +LENGTH. */
static void parse_end(struct extract *x, const char *arg, struct argp_state *state)
{
	bool length = *arg == '+';

	if (!parse_number(arg + length, &x->end) ||
	    (length && __builtin_add_overflow(x->start, x->end, &x->end)))
		argp_error(state, "'%s' is no address and no +length", arg);
	if (x->end <= x->start)
		argp_error(state, "the range is empty");
}

static void parse_arg(struct extract *x, char *arg, struct argp_state *state)
{
	switch (state->arg_num) {
	case 0:
		x->image = arg;
		break;
	case 1:
		if (!parse_number(arg, &x->start))
			argp_error(state, "'%s' is no address", arg);
		break;
	case 2:
		parse_end(x, arg, state);
		break;
	default:
		argp_usage(state);
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct extract *x = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &x->dir;
		return 0;
	case 'o':
		x->out = arg;
		return 0;
	case 'z':
		x->zero = true;
		return 0;
	case ARGP_KEY_ARG:
		parse_arg(x, arg, state);
		return 0;
	case ARGP_KEY_END:
		if (state->arg_num < 3)
			argp_usage(state);
		if (!x->out && isatty(STDOUT_FILENO))
			argp_error(state, "this is a terminal: use -o FILE, or a pipe to xxd");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	options, parse, "IMAGE START END|+LENGTH",
	"The bytes from address START up to END, as they were at the checkpoint. Numbers may be hexadecimal (0x...) and end in k, M, G or T.",
	dir_children, 0, 0,
};

int cmd_extract(int argc, char **argv)
{
	struct extract x = { 0 };
	struct cpimg_error err;
	struct cpimg_chain *chain;
	struct view view = { 0 };
	int status;

	argp_parse(&argp, argc, argv, 0, 0, &x);
	chain = cpimg_chain_open(x.image, x.dir, 0, &err);
	if (!chain)
		return problem_of(&err);
	view.chain = chain;
	view.index = cpimg_chain_length(chain) - 1;
	status = write_out(&x, &view);
	view_close(&view);
	cpimg_chain_close(chain);
	return status;
}
