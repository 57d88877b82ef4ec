// SPDX-License-Identifier: GPL-2.0
/*
 * cpimg prune: make a chain shorter. One image becomes full and takes its own
 * place; what is older is then needed no more.
 *
 * At no moment is there a chain that cannot be read: the new file is complete, on
 * the disk and compared before it is renamed, and the rename is on the disk before
 * anything is removed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"

struct prune {
	const char	*image, *dir;
	uint64_t	keep;
	bool		dry;
};

static int on_change(void *ctx, uint64_t start, uint64_t end, enum change change,
		     const struct cpimg_piece *a, const struct cpimg_piece *b,
		     const unsigned char *bytes_a, const unsigned char *bytes_b)
{
	(void)end;
	(void)change;
	(void)a;
	(void)b;
	(void)bytes_a;
	(void)bytes_b;
	*(uint64_t *)ctx = start;
	return 1;
}

/* The new file says what the chain says. */
static int compare_flat(const struct view *v, const char *path,
			struct cpimg_error *err)
{
	struct cpimg_chain *chain = cpimg_chain_open(path, NULL, 0, err);
	struct view flat = { .chain = chain };
	struct progress progress;
	uint64_t bytes, where;
	int ret;

	if (!chain)
		return problem_of(err);
	if (cpimg_chain_length(chain) != 1 || view_data(&flat, &bytes, err)) {
		cpimg_chain_close(chain);
		return problem("%s: not a full image", path);
	}
	progress_start(&progress, "comparing", bytes);
	ret = compare_views(v, &flat, &progress, on_change, &where, err);
	progress_end(&progress);
	cpimg_chain_close(chain);
	if (ret > 0)
		return problem("%s: not what the chain says at 0x%llx", path,
			       (unsigned long long)where);
	return ret ? problem_of(err) : 0;
}

static size_t index_of(const struct cpimg_chain *chain, const struct cpimg *img)
{
	size_t i = 0;

	while (cpimg_chain_image(chain, i) != img)
		i++;
	return i;
}

/* @base finds for all of @p what the chain has found. */
static int check_piece(const struct view *base, const struct cpimg_piece *p,
		       struct cpimg_error *err)
{
	struct cpimg_piece q = { .end = p->start };

	while (q.end < p->end) {
		if (view_resolve(base, q.end, &q, err))
			return problem_of(err);
		if (q.run != p->run)
			return problem("%s: would not have 0x%llx, which newer images need",
				       cpimg_path(view_image(base)),
				       (unsigned long long)q.start);
	}
	return 0;
}

/* What image @newer has from @base or from before it will still be found. */
static int check_newer(const struct view *base, size_t newer,
		       struct cpimg_error *err)
{
	struct view v = { .chain = base->chain, .index = newer };
	struct cpimg_piece p;
	uint64_t end;

	view_range(&v, &p.end, &end);
	while (p.end < end) {
		if (view_resolve(&v, p.end, &p, err))
			return problem_of(err);
		if (p.img && index_of(v.chain, p.img) <= base->index &&
		    check_piece(base, &p, err))
			return CMD_PROBLEM;
	}
	return 0;
}

/* The name still stands for the file that was opened. */
static bool still_there(const struct cpimg *img)
{
	struct stat named, open;

	return !lstat(cpimg_path(img), &named) && !fstat(cpimg_fd(img), &open) &&
	       named.st_dev == open.st_dev && named.st_ino == open.st_ino;
}

static int remove_older(const struct view *base)
{
	int status = CMD_OK;

	/* the newest first: what is left is a chain from the full image on */
	for (size_t i = base->index; i--;) {
		const struct cpimg *img = cpimg_chain_image(base->chain, i);

		if (!still_there(img))
			status = problem("%s: is another file by now: not removed",
					 cpimg_path(img));
		else if (unlink(cpimg_path(img)))
			status = problem("%s: removing: %s", cpimg_path(img),
					 strerror(errno));
	}
	return status;
}

/* Put the full image at @path in the place of the one it was made of. */
static int replace(const struct view *base, const char *path)
{
	const struct cpimg *img = view_image(base);

	if (!still_there(img))
		return problem("%s: is another file by now: nothing was changed",
			       cpimg_path(img));
	if (rename(path, cpimg_path(img)))
		return problem("%s to %s: renaming: %s", path, cpimg_path(img),
			       strerror(errno));
	return CMD_OK;
}

static int prune_to(const struct view *base)
{
	const char *name = cpimg_path(view_image(base));
	size_t length = cpimg_chain_length(base->chain);
	struct cpimg_error err;
	char *path;
	int status = CMD_OK;

	if (asprintf(&path, "%s.new", name) < 0)
		return problem("no memory");
	if (write_flat(base, path, true, &err)) {
		free(path);
		return problem_of(&err);
	}
	for (size_t i = base->index + 1; !status && i < length; i++)
		status = check_newer(base, i, &err);
	if (status || compare_flat(base, path, &err) || replace(base, path)) {
		unlink(path);
		free(path);
		return CMD_PROBLEM;
	}
	free(path);
	if (sync_folder(name))
		return problem("%s: fsync of its folder: %s", name, strerror(errno));
	return remove_older(base);
}

static void say_plan(const struct view *base, bool dry)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < base->index; i++) {
		const struct cpimg *img = cpimg_chain_image(base->chain, i);

		bytes += cpimg_file_size(img);
		if (!dry)
			continue;
		fputs("would remove ", stdout);
		put_escaped(stdout, cpimg_path(img), FOR_TEXT);
		puts("");
	}
	put_escaped(stdout, cpimg_path(view_image(base)), FOR_TEXT);
	printf(": %s full; %zu older image%s of %s %s\n",
	       dry ? "would become" : "is now", base->index,
	       base->index == 1 ? "" : "s", HUMAN(bytes),
	       dry ? "would go" : "removed");
}

static const struct argp_option options[] = {
	{ "keep", 'k', "N", 0, "leave a chain of N images (1)", 0 },
	{ "dry-run", 'n', 0, 0, "only say what would be done", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct prune *p = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &p->dir;
		return 0;
	case 'k':
		if (!parse_number(arg, &p->keep) || !p->keep)
			argp_error(state, "--keep: '%s' is no number from 1 on", arg);
		return 0;
	case 'n':
		p->dry = true;
		return 0;
	case ARGP_KEY_ARG:
		if (p->image)
			argp_usage(state);
		p->image = arg;
		return 0;
	case ARGP_KEY_END:
		if (!p->image)
			argp_usage(state);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	options, parse, "IMAGE",
	"Make the chain that ends in IMAGE shorter: the oldest image to be kept becomes a full one, is compared with the chain, and only then those before it are removed. Newer images, also those still to come, fit as before.",
	dir_children, 0, 0,
};

int cmd_prune(int argc, char **argv)
{
	struct prune p = { .keep = 1 };
	struct cpimg_error err;
	struct view base = { .older = true };
	struct cpimg_chain *chain;
	size_t length;
	int status = CMD_OK;

	argp_parse(&argp, argc, argv, 0, 0, &p);
	catch_signals();
	chain = cpimg_chain_open(p.image, p.dir, 0, &err);
	if (!chain)
		return problem_of(&err);
	length = cpimg_chain_length(chain);
	base.chain = chain;
	base.index = p.keep < length ? length - p.keep : 0;
	if (cpimg_chain_verify(chain, &err)) {
		status = problem_of(&err);
	} else if (!base.index) {
		put_escaped(stdout, p.image, FOR_TEXT);
		printf(": a chain of %zu already\n", length);
	} else {
		if (!p.dry)
			status = prune_to(&base);
		if (!status)
			say_plan(&base, p.dry);
	}
	cpimg_chain_close(chain);
	return close_output(stdout, "standard output") ? CMD_PROBLEM : status;
}
