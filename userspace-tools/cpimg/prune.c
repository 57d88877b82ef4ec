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

/* What was not looked at is not said to have been unmapped, nor the other way round. */
static int compare_areas(const struct view *v, const struct cpimg *flat)
{
	size_t count, flat_count;
	const struct cp_span *in_flat = cpimg_areas(flat, &flat_count);
	struct cp_span *areas = view_areas(v, &count);
	int status = CMD_OK;

	if (!areas)
		status = problem("no memory");
	else if (count != flat_count || memcmp(areas, in_flat, count * sizeof(*areas)))
		status = problem("%s: the new file does not have the ranges that the chain has",
				 cpimg_path(view_image(v)));
	free(areas);
	return status;
}

/* The new file says what the chain says. */
static int compare_flat(struct view *v, const struct cpimg_chain *chain)
{
	struct view flat = { .chain = chain };
	struct cpimg_error err;
	struct progress progress;
	uint64_t bytes, where;
	int ret;

	if (compare_areas(v, cpimg_chain_image(chain, 0)))
		return CMD_PROBLEM;
	if (view_data(&flat, &bytes, &err))
		return problem_of(&err);
	progress_start(&progress, "comparing", bytes);
	ret = compare_views(v, &flat, &progress, on_change, &where, &err);
	progress_end(&progress);
	view_close(&flat);
	if (ret > 0)
		return problem("%s: the new file is not what the chain says at 0x%llx",
			       cpimg_path(view_image(v)), (unsigned long long)where);
	return ret ? problem_of(&err) : 0;
}

/* The new file says what the chain says, and newer images find in it what they need. */
static int check_flat(struct view *base, const char *path)
{
	struct cpimg_error err;
	struct cpimg_chain *flat = cpimg_chain_open(path, NULL, 0, &err);
	int status;

	if (!flat)
		return problem_of(&err);
	if (cpimg_chain_length(flat) != 1)
		status = problem("%s: not a full image", path);
	else
		status = compare_flat(base, flat);
	if (!status && cpimg_chain_verify_from(base->chain, base->index,
					       cpimg_chain_image(flat, 0), &err))
		status = problem_of(&err);
	cpimg_chain_close(flat);
	return status;
}

/* The name still stands for the file that was opened. */
static bool still_there(const struct cpimg *img)
{
	struct stat named;

	return !stat(cpimg_path(img), &named) && cpimg_is_file(img, &named);
}

/* Remove an image, and the symbolic link that led to it. 0, or -1 and errno. */
static int remove_image(const char *path)
{
	char *real = realpath(path, NULL);
	struct stat st;
	int bad;

	if (!real)
		return -1;
	bad = unlink(real);
	free(real);
	if (!bad && !lstat(path, &st))
		bad = unlink(path);
	return bad;
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
		else if (remove_image(cpimg_path(img)))
			status = problem("%s: removing: %s", cpimg_path(img),
					 strerror(errno));
	}
	return status;
}

/* A full image, with a new inode, takes the place of the one that it was made of. */
static int replace(struct view *base, const char *path)
{
	struct cpimg_error err;
	struct new_file f;
	int status = CMD_OK;

	if (new_file_open(&f, path, true))
		return problem("%s: creating what is to replace it: %s", path,
			       strerror(errno));
	if (write_flat(base, &f, &err))
		status = problem_of(&err);
	else
		status = check_flat(base, new_file_name(&f));
	if (!status && !still_there(view_image(base)))
		status = problem("%s: is another file by now: nothing was changed",
				 path);
	if (!status && !new_file_commit(&f))
		return CMD_OK;
	if (!status)
		status = problem("%s: replacing it: %s", path, strerror(errno));
	new_file_abandon(&f);
	return status;
}

static bool of_chain(const char *name, size_t len, void *arg)
{
	const struct cpimg_chain *chain = arg;

	for (size_t i = 0; i < cpimg_chain_length(chain); i++) {
		const char *image = base_name(cpimg_path(cpimg_chain_image(chain, i)));

		if (strlen(image) == len && !strncmp(image, name, len))
			return true;
	}
	return false;
}

/* One that was killed may have been asked to keep another number. */
static void clean(const struct view *base, const char *path)
{
	char *folder = folder_of(path);

	if (folder)
		remove_unfinished(folder, of_chain, (void *)base->chain);
	free(folder);
}

static int prune_to(struct view *base)
{
	/* A symbolic link stays, and what it leads to is replaced. */
	char *path = realpath(cpimg_path(view_image(base)), NULL);
	int status;

	if (!path)
		return problem("%s: %s", cpimg_path(view_image(base)), strerror(errno));
	clean(base, path);
	status = replace(base, path);
	free(path);
	return status ? status : remove_older(base);
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
		want_number(state, "keep", arg, &p->keep);
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
	view_close(&base);
	cpimg_chain_close(chain);
	return close_output(stdout, "standard output") ? CMD_PROBLEM : status;
}
