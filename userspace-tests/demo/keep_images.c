// SPDX-License-Identifier: GPL-2.0
/*
 * keep_images FOLDER PROGRAM [ARGS]: run a program and copy the images that it
 * left in /tmp to a folder, which is the host's. A guest's /tmp goes with it.
 */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cp_test.h"

int main(int argc, char **argv)
{
	char to[512];
	glob_t found;
	int status;
	pid_t pid;

	if (argc < 3) {
		fprintf(stderr, "usage: keep_images FOLDER PROGRAM [ARGS]\n");
		return 2;
	}
	pid = fork();
	if (!pid) {
		execvp(argv[2], argv + 2);
		fprintf(stderr, "%s: %s\n", argv[2], strerror(errno));
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid)
		return 1;

	if (glob("/tmp/*-cp*", 0, NULL, &found)) {
		fprintf(stderr, "%s left no image in /tmp\n", argv[2]);
		return 1;
	}
	for (size_t i = 0; i < found.gl_pathc; i++) {
		snprintf(to, sizeof(to), "%s/%s", argv[1],
			 strrchr(found.gl_pathv[i], '/') + 1);
		if (cp_copy(found.gl_pathv[i], to)) {
			fprintf(stderr, "%s to %s: %s\n", found.gl_pathv[i], to,
				strerror(errno));
			return 1;
		}
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
