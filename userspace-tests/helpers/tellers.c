// SPDX-License-Identifier: GPL-2.0
/*
 * tellers FOLDER [NAME...]: each program of the tests of cpimg, or those that are
 * named, leaves its images in a folder of its own below, so that one guest is enough.
 * Where there is a disk, they run from it: what they do not write is then left to their
 * files. These have the times of the start of 2020.
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

static const char *on_disk(const char *program)
{
	static char path[256];
	struct timespec times[2] = { { 1577836800, 0 }, { 1577836800, 0 } };

	snprintf(path, sizeof(path), "/disk/%s", program);
	if (!strcmp(cp_helper(program), path))
		return path;	/* it is there, with times of its own */
	if (access("/disk/lost+found", F_OK) || cp_copy(cp_helper(program), path) ||
	    chmod(path, 0755) || utimensat(AT_FDCWD, path, times, 0))
		return cp_helper(program);
	/* a file that has just changed is not relied on */
	sync();
	usleep(50000);
	return path;
}

static void tell(void *arg)
{
	const struct teller *t = arg;
	char folder[256], keep[256];

	snprintf(folder, sizeof(folder), "%s/%s", root, t->folder);
	snprintf(keep, sizeof(keep), "%s", cp_helper("keep_images"));
	mkdir(folder, 0755);
	execl(keep, keep, folder, on_disk(t->program), t->arg ? t->arg : folder, NULL);
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
