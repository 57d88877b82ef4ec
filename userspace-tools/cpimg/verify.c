// SPDX-License-Identifier: GPL-2.0
/*
 * cpimg verify: a whole chain. Opening it has checked headers, notes, counts, CRC
 * and ids; here come the SAME runs, the sizes of the files and their data.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "cmd.h"

#define PIECE	(4U << 20)

struct verify {
	char		**images;
	int		count;
	const char	*dir;
	bool		quick;
};

/* Cut off is seen when it is opened; something behind the end is not ours. */
static int check_size(const struct cpimg *img, struct cpimg_error *err)
{
	uint64_t end = image_end(img, err);

	if (!end)
		return problem_of(err);
	if (end == cpimg_file_size(img))
		return CMD_OK;
	return problem("%s: file size is %" PRIu64 ": the image ends at %" PRIu64,
		       cpimg_path(img), cpimg_file_size(img), end);
}

static int read_data(const struct cpimg *img, struct progress *progress,
		     struct cpimg_error *err)
{
	size_t count;
	const struct cpimg_run *run = cpimg_runs(img, &count);
	char *buf = malloc(PIECE);
	int ret = buf ? 0 : problem("no memory");

	for (; !ret && count; count--, run++) {
		for (uint64_t at = run->start, n; at < run->end; at += n) {
			n = run->end - at < PIECE ? run->end - at : PIECE;
			if (run->cls != CPIMG_DATA)
				continue;
			if (cpimg_pread(img, at, buf, n, err)) {
				ret = problem_of(err);
				break;
			}
			progress_step(progress, n);
		}
	}
	free(buf);
	return ret;
}

static int verify_images(const struct cpimg_chain *chain, bool quick,
			 struct cpimg_error *err)
{
	uint64_t bytes = 0;
	struct progress progress;
	int status = CMD_OK;

	for (size_t i = 0; i < cpimg_chain_length(chain); i++) {
		const struct cpimg *img = cpimg_chain_image(chain, i);

		bytes += cpimg_note(img)->pages_data * cpimg_note(img)->page_size;
	}
	progress_start(&progress, "reading", bytes);
	for (size_t i = 0; i < cpimg_chain_length(chain); i++) {
		const struct cpimg *img = cpimg_chain_image(chain, i);

		status |= check_size(img, err);
		if (!quick)
			status |= read_data(img, &progress, err);
	}
	progress_end(&progress);
	return status;
}

static int verify_chain(const struct verify *v, const char *path)
{
	struct cpimg_error err;
	struct cpimg_chain *chain = cpimg_chain_open(path, v->dir, 0, &err);
	struct view view = { .chain = chain };
	uint64_t bytes;
	int status;

	if (!chain)
		return problem_of(&err);
	view.index = cpimg_chain_length(chain) - 1;
	status = verify_images(chain, v->quick, &err);
	if (cpimg_chain_verify(chain, &err) || view_data(&view, &bytes, &err))
		status |= problem_of(&err);
	if (!status) {
		put_escaped(stdout, path, FOR_TEXT);
		printf(": good: %zu image%s, %s of memory with bytes\n",
		       cpimg_chain_length(chain),
		       cpimg_chain_length(chain) == 1 ? "" : "s", HUMAN(bytes));
	}
	cpimg_chain_close(chain);
	return status;
}

static const struct argp_option options[] = {
	{ "quick", 'q', 0, 0, "do not read the data", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct verify *v = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &v->dir;
		return 0;
	case 'q':
		v->quick = true;
		return 0;
	case ARGP_KEY_ARGS:
		v->images = state->argv + state->next;
		v->count = state->argc - state->next;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	options, parse, "IMAGE...",
	"Check the chains that end in these images: every file complete, every checksum and id right, every page found, every byte readable.",
	dir_children, 0, 0,
};

int cmd_verify(int argc, char **argv)
{
	struct verify v = { 0 };
	int status = CMD_OK;

	argp_parse(&argp, argc, argv, 0, 0, &v);
	for (int i = 0; i < v.count; i++)
		status |= verify_chain(&v, v.images[i]);
	return close_output(stdout, "standard output") ? CMD_PROBLEM : status;
}
