// SPDX-License-Identifier: GPL-2.0
/*
 * cpimg verify: a whole chain. Opening it has checked headers, notes, counts, CRC
 * and ids; here come the SAME runs, the sizes of the files and their data, and the
 * files that holes read from.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "cmd.h"

#define PIECE	(4U << 20)

struct verify {
	char		**images;
	int		count;
	const char	*dir;
	const char	*root;		/* where the files of the program are */
	bool		quick;
	bool		no_files;
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

/* One file, at @addr; @known: the image says what tells it from others. */
static int check_file(const struct verify *v, const struct cpimg_piece *p,
		      const struct cpimg_mapped *m, bool known)
{
	struct cpimg_error err;
	char *path;
	int bad;

	if (!known)
		return problem("%s: 0x%" PRIx64 " is to be read from a file, and the image does not say %s (--no-files: leave that out)",
			       cpimg_path(p->img), p->start, cpimg_has_files(p->img) ?
			       "which" : "what tells it from others");
	if (asprintf(&path, "%s%s", v->root ? v->root : "", m->name) < 0)
		return problem("no memory");
	bad = cpimg_check_file(m, path, &err);
	if (bad)
		problem("%s: 0x%" PRIx64 " is to be read from %s", cpimg_path(p->img),
			p->start, err.text);
	free(path);
	return bad ? CMD_PROBLEM : CMD_OK;
}

/* The files of all holes: each once in a row. @bytes: what they hold. */
static int check_files(const struct verify *v, const struct view *view, uint64_t *bytes)
{
	struct cpimg_mapped last = { 0 };
	const struct cpimg *unknown = NULL;
	int status = CMD_OK;

	*bytes = 0;
	for (size_t i = 0; i < view->list.count; i++) {
		struct cpimg_piece p = view->list.piece[i];
		struct cpimg_mapped m = { 0 };
		uint64_t end = p.end;

		if (p.cls != CPIMG_HOLE || p.reason != CP_HOLE_FILE)
			continue;
		*bytes += p.end - p.start;
		for (; p.start < end; p.start = p.end) {
			bool known = cpimg_mapped_file(p.img, p.start, &m) &&
				     m.file.flags & CP_FILE_STAYS;

			p.end = known && m.end < end ? m.end : end;
			if (known ? last.name && same_mapped(&m, &last) : p.img == unknown)
				continue;
			last = m;
			if (!known)
				unknown = p.img;
			status |= check_file(v, &p, &m, known);
		}
	}
	return status;
}

static int verify_chain(const struct verify *v, const char *path)
{
	struct cpimg_error err;
	struct cpimg_chain *chain = cpimg_chain_open(path, v->dir, 0, &err);
	struct view view = { .chain = chain };
	uint64_t bytes = 0, in_files = 0;
	int status;

	if (!chain)
		return problem_of(&err);
	view.index = cpimg_chain_length(chain) - 1;
	status = verify_images(chain, v->quick, &err);
	if (cpimg_chain_verify(chain, &err) || view_data(&view, &bytes, &err))
		status |= problem_of(&err);
	else if (!v->no_files)
		status |= check_files(v, &view, &in_files);
	if (!status) {
		put_escaped(stdout, path, FOR_TEXT);
		printf(": good: %zu image%s, %s of memory with bytes",
		       cpimg_chain_length(chain),
		       cpimg_chain_length(chain) == 1 ? "" : "s", HUMAN(bytes));
		if (in_files)
			printf(", %s in files that are what they were", HUMAN(in_files));
		puts("");
	}
	view_close(&view);
	cpimg_chain_close(chain);
	return status;
}

static const struct argp_option options[] = {
	{ "quick", 'q', 0, 0, "do not read the data", 0 },
	{ "root", 'r', "FOLDER", 0,
	  "the program's files, which holes are read from, are below this", 0 },
	{ "no-files", 'n', 0, 0, "do not compare the program's files", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct verify *v = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &v->dir;
		return 0;
	case 'q':
		v->quick = true;
		return 0;
	case 'r':
		v->root = arg;
		return 0;
	case 'n':
		v->no_files = true;
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
	"Check the chains that end in these images: every file complete, every checksum and id right, every page found, every byte readable, and the files that memory is to be read from the same as at the checkpoint.",
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
