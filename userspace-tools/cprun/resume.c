// SPDX-License-Identifier: GPL-2.0
/* Which images there are to go on from, and the first of them that will do. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cprun.h"

static int newest_first(const void *a, const void *b)
{
	const struct image *x = a, *y = b;

	if (x->generation != y->generation)
		return x->generation > y->generation ? -1 : 1;
	return x->n > y->n ? -1 : x->n < y->n;
}

/* What is wrong with it by what its folder says, or NULL; for free(). */
static char *what_is_wrong(const struct cpimg_entry *e)
{
	char *why = NULL;

	if (!e->known)
		return strdup(e->why ? e->why : "no image");
	if (e->uid != geteuid()) {
		if (asprintf(&why, "%s: belongs to user %u, not to you", e->path, e->uid) < 0)
			return NULL;
	} else if (!e->length) {
		if (asprintf(&why, "%s: images that it builds on are missing or damaged",
			     e->path) < 0)
			return NULL;
	}
	return why;
}

static int add(struct images *images, const struct cpimg_entry *e, unsigned int generation)
{
	struct image *more = reallocarray(images->image, images->count + 1, sizeof(*more));
	struct image *image;

	if (!more)
		return -1;
	images->image = more;
	image = &more[images->count];
	*image = (struct image) {
		.path = strdup(e->path),
		.generation = generation, .why = what_is_wrong(e),
	};
	if (!image->path)
		return -1;
	/* The kernel's number: damaged images have it too, in their name. */
	if (!cpimg_is_image_name(base_name(e->path), &image->n))
		image->n = 0;
	image->process = !image->why && e->note.flags & CP_NOTE_PROCESS;
	images->process += image->process;
	images->bad += !!image->why;
	images->count++;
	return 0;
}

/**
 * images_find() - the images of a job, back to where it began
 * @job: the job
 * @images: they, the newest first
 *
 * Return: 0, or the status to exit with.
 */
int images_find(const struct job *job, struct images *images)
{
	for (unsigned int g = last_generation(job); g; g--) {
		char *path = generation_folder(job, g);
		const struct cpimg_entry *entry;
		struct cpimg_folder *folder;
		struct cpimg_error err;
		size_t count;
		int bad = 0;

		if (!path)
			return CPRUN_FAILED;
		if (access(path, F_OK)) {
			/* removed: it is needed no longer */
			free(path);
			continue;
		}
		folder = cpimg_folder_open(path, &err);
		free(path);
		if (!folder) {
			problem_of(&err);
			return CPRUN_FAILED;
		}
		entry = cpimg_folder_entries(folder, &count);
		for (size_t i = 0; i < count && !bad; i++)
			bad = add(images, &entry[i], g);
		cpimg_folder_close(folder);
		if (bad) {
			problem("no memory");
			return CPRUN_FAILED;
		}
		if (began_anew(job, g))
			break;
	}
	if (images->count)
		qsort(images->image, images->count, sizeof(*images->image), newest_first);
	return 0;
}

/* The process, or -1: then it was said why not. */
static pid_t try_image(const struct job *job, const struct image *image)
{
	struct cpimg_chain *chain = NULL;
	struct cp_restart how = { .size = sizeof(how) };
	const struct cpimg *img;
	struct cpimg_error err;
	pid_t pid = -1;
	size_t last;

	chain = cpimg_chain_open(image->path, NULL, 0, &err);
	if (!chain || cpimg_chain_verify(chain, &err)) {
		problem_of(&err);
		cpimg_chain_close(chain);
		return -1;
	}
	last = cpimg_chain_length(chain) - 1;
	img = cpimg_chain_image(chain, last);
	if (!job_from(job, image->path + strlen(job->dir) + 1, cpimg_note(img)->id)) {
		pid = cp_restart(chain, last, &how, &err);
		if (pid < 0)
			problem_of(&err);
		else if (job->verbose)
			problem("%s: the program goes on from there; files that were cut back: %u",
				image->path, how.cut);
	}
	cpimg_chain_close(chain);
	return pid;
}

/**
 * resume() - start the program from the newest image that will do
 * @job: the job, in process 1 of the space
 * @images: what there is
 *
 * Return: the process, or -1: it was said why.
 */
pid_t resume(const struct job *job, const struct images *images)
{
	bool failed = false;

	for (size_t i = 0; i < images->count; i++) {
		const struct image *image = &images->image[i];
		pid_t pid;

		if (image->why) {
			problem("%s", image->why);
			failed = true;
		}
		if (!image->process)
			continue;
		if (failed)
			problem("%s: trying this one, which is older", image->path);
		pid = try_image(job, image);
		if (pid > 0)
			return pid;
		failed = true;
	}
	problem("%s: no image that the program can go on from; --new begins it anew", job->dir);
	return -1;
}
