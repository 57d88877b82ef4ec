// SPDX-License-Identifier: GPL-2.0
/*
 * steady LOG STEPS MS [socket]: a computation of two threads that knows nothing of images.
 * Each step takes so many milliseconds and a line in LOG, and depends on all those before it: the
 * number that it says in the end is right only if none was lost, done twice or torn. With a
 * socket it cannot be restarted, and says so when it gets a SIGTERM.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORDS	(128UL << 10)

static uint64_t memory[2][WORDS];
static pthread_barrier_t begin, end;

static void half_step(uint64_t *mem, const uint64_t *other, unsigned long step)
{
	uint64_t x = step + other[step % WORDS];

	/* a part of it: the next image is to be smaller than the first */
	for (unsigned long i = step * 1024; i < step * 1024 + 4096; i++) {
		x = x * 6364136223846793005ULL + mem[i % WORDS] + 1;
		mem[i % WORDS] = x;
	}
}

static unsigned long step;

static void *worker(void *arg)
{
	(void)arg;
	for (;;) {
		pthread_barrier_wait(&begin);
		half_step(memory[1], memory[0], 2 * step + 1);
		pthread_barrier_wait(&end);
	}
	return NULL;
}

static uint64_t sum(void)
{
	uint64_t all = 0;

	for (unsigned long i = 0; i < 2 * WORDS; i++)
		all = all * 31 + memory[i / WORDS][i % WORDS];
	return all;
}

static void on_term(int sig)
{
	static const char text[] = "got it\n";

	(void)sig;
	_exit(write(STDOUT_FILENO, text, sizeof(text) - 1) < 0 ? 2 : 3);
}

int main(int argc, char **argv)
{
	pthread_t thread;
	unsigned long steps, ms;
	char line[64];
	int log;

	if (argc < 4)
		return 2;
	if (argc > 4) {
		signal(SIGTERM, on_term);
		if (socket(AF_UNIX, SOCK_STREAM, 0) < 0)
			return 2;
	}
	steps = strtoul(argv[2], NULL, 10);
	ms = strtoul(argv[3], NULL, 10);
	log = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (log < 0) {
		perror(argv[1]);
		return 2;
	}
	pthread_barrier_init(&begin, NULL, 2);
	pthread_barrier_init(&end, NULL, 2);
	if (pthread_create(&thread, NULL, worker, NULL))
		return 2;
	for (step = 0; step < steps; step++) {
		pthread_barrier_wait(&begin);
		/* its own half of the other is not read while that is written */
		pthread_barrier_wait(&end);
		half_step(memory[0], memory[1], 2 * step);
		if (write(log, line, snprintf(line, sizeof(line), "step %lu\n", step)) < 0)
			return 2;
		usleep(ms * 1000);
	}
	printf("result %llx after %lu steps\n", (unsigned long long)sum(), steps);
	return 0;
}
