// SPDX-License-Identifier: GPL-2.0
/*
 * again TIMES PROGRAM: run it, and then, as often, with the name of the newest image
 * that it has left as its argument. Exit status 0 if it succeeded each time.
 */
#include <cpimg.h>

#include "cp_test.h"

int main(int argc, char **argv)
{
	struct cpimg_error err;
	char *image = NULL;

	if (argc != 3)
		return 2;
	for (int i = 0; i <= atoi(argv[1]); i++) {
		int status, pid = fork();

		if (!pid) {
			execl(argv[2], argv[2], image, NULL);
			perror(argv[2]);
			_exit(127);
		}
		if (waitpid(pid, &status, 0) != pid || status)
			return 1;
		free(image);
		image = cpimg_newest("/tmp", pid, &err);
		if (!image) {
			fprintf(stderr, "again: %s\n", err.text);
			return 1;
		}
		printf("again: %s\n", image);
		fflush(stdout);
	}
	return 0;
}
