// SPDX-License-Identifier: GPL-2.0
/*
 * tellers FOLDER [NAME...]: each program of the tests of cpimg, or those that are
 * named, leaves its images in a folder of its own below, so that one guest is enough.
 */
#include <glob.h>

#include "cp_test.h"

struct teller {
	const char	*folder;
	const char	*program;
	const char	*arg;		/* NULL: the folder */
};

static const struct teller tellers[] = {
	{ "story", "story", NULL },
	{ "story_32", "story_32", NULL },
	{ "story_dyn", "story_dyn", NULL },
	{ "long", "saga", "long" },
	{ "vast", "saga", "vast" },
};

static const char *root;

static void remove_images(void)
{
	glob_t found;

	if (glob("/tmp/*-cp*", 0, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		unlink(found.gl_pathv[i]);
	globfree(&found);
}

static void tell(void *arg)
{
	const struct teller *t = arg;
	char folder[256], keep[256];

	snprintf(folder, sizeof(folder), "%s/%s", root, t->folder);
	snprintf(keep, sizeof(keep), "%s", cp_helper("keep_images"));
	mkdir(folder, 0755);
	execl(keep, keep, folder, cp_helper(t->program), t->arg ? t->arg : folder,
	      NULL);
	perror(keep);
	_exit(127);
}

static bool wanted(const struct teller *t, char **names)
{
	if (!*names)
		return true;
	while (*names && strcmp(*names, t->folder))
		names++;
	return *names;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	root = argv[1];
	for (size_t i = 0; i < sizeof(tellers) / sizeof(tellers[0]); i++) {
		int status;

		if (!wanted(&tellers[i], argv + 2))
			continue;
		status = cp_run(tell, (void *)&tellers[i]);
		if (status) {
			fprintf(stderr, "tellers: %s: wait status %#x\n",
				tellers[i].folder, status);
			return 1;
		}
		remove_images();
	}
	return 0;
}
