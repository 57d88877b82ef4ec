// SPDX-License-Identifier: GPL-2.0
/*
 * from_outside SECONDS PROGRAM ARGUMENTS: a process of five threads goes on for so long,
 * 0: till PROGRAM has ended, which is run meanwhile. It knows nothing. "PID" among the
 * arguments is the process.
 *
 * The status is PROGRAM's, or 100 if the process has noticed something.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS	4
#define PAGES	64
#define STRIDE	(4096 / sizeof(uint64_t))

static volatile uint64_t memory[THREADS][PAGES * STRIDE];

static void *writer(void *arg)
{
	volatile uint64_t *mem = arg;

	for (uint64_t round = 1; ; round++)
		for (int i = 0; i < PAGES; i++)
			mem[i * STRIDE] = round;
	return NULL;
}

static int process(double seconds, int end)
{
	struct timespec left = { (time_t)seconds,
				 (long)((seconds - (time_t)seconds) * 1e9) };
	pthread_t t;
	char c;

	for (int i = 0; i < THREADS; i++) {
		if (pthread_create(&t, NULL, writer, (void *)memory[i]))
			return 1;
	}
	if (seconds ? nanosleep(&left, NULL) : read(end, &c, 1)) {
		perror("from_outside: the process was woken");
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	char pid[16];
	pid_t child, program;
	int status, how, end[2];

	if (argc < 3) {
		fputs("usage: from_outside SECONDS PROGRAM [ARGUMENT...]\n", stderr);
		return 100;
	}
	if (pipe2(end, O_CLOEXEC))
		return 100;
	child = fork();
	if (!child) {
		close(end[1]);
		exit(process(atof(argv[1]), end[0]));
	}
	usleep(100000);		/* its threads are there */
	snprintf(pid, sizeof(pid), "%d", child);
	for (int i = 3; i < argc; i++) {
		if (!strcmp(argv[i], "PID"))
			argv[i] = pid;
	}
	program = fork();
	if (!program) {
		execv(argv[2], argv + 2);
		perror(argv[2]);
		_exit(100);
	}
	if (child < 0 || program < 0 || waitpid(program, &status, 0) != program ||
	    close(end[1]) || waitpid(child, &how, 0) != child || how || !WIFEXITED(status))
		return 100;
	return WEXITSTATUS(status);
}
