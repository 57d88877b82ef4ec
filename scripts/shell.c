// SPDX-License-Identifier: GPL-2.0
/*
 * A shell to look around in a guest when there is no busybox-static: words, cd,
 * cat, ls, exit and programs, no more.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS	32

static void ls(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);

	if (!dir) {
		perror(path);
		return;
	}
	while ((entry = readdir(dir)))
		puts(entry->d_name);
	closedir(dir);
}

static void cat(const char *path)
{
	char buf[4096];
	size_t n;
	FILE *file = fopen(path, "r");

	if (!file) {
		perror(path);
		return;
	}
	while ((n = fread(buf, 1, sizeof(buf), file)) > 0)
		fwrite(buf, 1, n, stdout);
	fclose(file);
}

static void run(char **words)
{
	int status;

	if (!fork()) {
		execvp(words[0], words);
		fprintf(stderr, "%s: %s\n", words[0], strerror(errno));
		_exit(127);
	}
	wait(&status);
	if (WIFSIGNALED(status))
		printf("killed by signal %d\n", WTERMSIG(status));
	else if (status)
		printf("status %d\n", WEXITSTATUS(status));
}

int main(void)
{
	char line[1024], *words[WORDS + 1];
	int n;

	puts("words, ls, cat, cd, exit; the test programs are in /tests");
	while (printf("# "), fflush(stdout), fgets(line, sizeof(line), stdin)) {
		words[0] = strtok(line, " \t\n");
		for (n = 0; words[n] && n < WORDS; )
			words[++n] = strtok(NULL, " \t\n");
		if (!n)
			continue;
		if (!strcmp(words[0], "exit"))
			break;
		if (!strcmp(words[0], "cd"))
			n = chdir(words[1] ? words[1] : "/") && puts("no such folder");
		else if (!strcmp(words[0], "ls"))
			ls(words[1] ? words[1] : ".");
		else if (!strcmp(words[0], "cat") && words[1])
			cat(words[1]);
		else
			run(words);
	}
	return 0;
}
