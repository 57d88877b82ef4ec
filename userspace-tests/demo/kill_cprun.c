// SPDX-License-Identifier: GPL-2.0
/*
 * kill_cprun KILLS CPRUN FOLDER STEPS: the program "unaware" runs undisturbed, then under
 * CPRUN, which is killed so many times at moments that nobody can foresee and started again
 * by the same command. What it says and what it wrote have to be the same. FOLDER gets all.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cp_test.h"

#define PROGRAM	"/tests/unaware"
#define LONGEST	120.0	/* seconds till the log has a line more, or there is an image */

static const char *steps;

/* The content of a file, for free(); NULL if there is none. */
static char *content(const char *name, size_t *len)
{
	int fd = open(name, O_RDONLY);
	struct stat st;
	char *all = NULL;

	*len = 0;
	if (fd >= 0 && !fstat(fd, &st))
		all = malloc(st.st_size + 1);
	if (all) {
		ssize_t n = read(fd, all, st.st_size);

		*len = n < 0 ? 0 : n;
		all[*len] = 0;
	}
	if (fd >= 0)
		close(fd);
	return all;
}

static bool same(const char *a, const char *b)
{
	size_t la, lb;
	char *ca = content(a, &la), *cb = content(b, &lb);
	bool good = ca && cb && la && la == lb && !memcmp(ca, cb, la);

	free(ca);
	free(cb);
	return good;
}

static unsigned int lines(const char *name)
{
	size_t len;
	char *all = content(name, &len), *at = all;
	unsigned int n = 0;

	while (at && (at = strchr(at, '\n'))) {
		at++;
		n++;
	}
	free(all);
	return n;
}

/* @cprun: NULL, it runs alone; its output goes to @out, at the end of that. */
static pid_t start(const char *cprun, const char *log, const char *out)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	int fd = open(out, O_WRONLY | O_CREAT | O_APPEND, 0644);

	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0)
		_exit(126);
	close(fd);
	if (cprun)
		execl(cprun, "cprun", "--every", "1", "--dir", "job", "--verbose", PROGRAM,
		      log, steps, NULL);
	else
		execl(PROGRAM, "unaware", log, steps, NULL);
	_exit(127);
}

static bool ends_well(pid_t pid, const char *what)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror(what);
		return false;
	}
	if (!status)
		return true;
	fprintf(stderr, "kill_cprun: %s: ended with status %#x\n", what, status);
	return false;
}

/* Some steps after it could go on from an image of this start, the @nth. */
static bool killed(pid_t pid, unsigned int nth)
{
	char image[64];
	double begin = cp_now();
	unsigned int had, at;
	int status;

	snprintf(image, sizeof(image), "job/%04u/2-cp1", nth);
	while (access(image, F_OK)) {
		if (cp_now() - begin > LONGEST || waitpid(pid, &status, WNOHANG) == pid) {
			fprintf(stderr, "kill_cprun: there is no %s\n", image);
			return false;
		}
		usleep(20000);
	}
	usleep(rand() % 1500000);
	had = lines("log");
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	if (!WIFSIGNALED(status)) {
		fprintf(stderr, "kill_cprun: it ended before that\n");
		return false;
	}
	at = lines("log");
	printf("kill -9, after step %u%s\n", had, at > had ? ", while it wrote" : "");
	return true;
}

int main(int argc, char **argv)
{
	unsigned int kills = argc == 5 ? strtoul(argv[1], NULL, 10) : 0;

	if (!kills) {
		fprintf(stderr, "usage: kill_cprun KILLS CPRUN FOLDER STEPS\n");
		return 2;
	}
	steps = argv[4];
	srand(cp_now() * 1e6);
	if (chdir(argv[3])) {
		perror(argv[3]);
		return 1;
	}
	printf("undisturbed:\n");
	if (!ends_well(start(NULL, "log", "alone.out"), PROGRAM) ||
	    rename("log", "alone.log"))
		return 1;
	for (unsigned int i = 1; i <= kills + 1; i++) {
		pid_t pid;

		printf("$ cprun --every 1 --dir job --verbose unaware log %s\n", steps);
		pid = start(argv[2], "log", "out");
		if (i <= kills ? !killed(pid, i) : !ends_well(pid, "cprun"))
			return 1;
	}
	if (!same("out", "alone.out") || !same("log", "alone.log")) {
		fprintf(stderr, "kill_cprun: its result or its log is another\n");
		return 1;
	}
	printf("killed %u times: its result and all %u lines of its log are those of the undisturbed run\n",
	       kills, lines("log"));
	return 0;
}
