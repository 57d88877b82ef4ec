// SPDX-License-Identifier: GPL-2.0
/*
 * unaware LOG STEPS: a computation of four threads that knows nothing of images. Each step
 * is a line in LOG and depends on all steps before it, of all threads: the number it says in
 * the end is right only if no step was lost, done twice or torn.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS	4
#define WORDS	(256UL << 10)	/* of each thread: 2 MiB */
#define STRIDE	4096		/* words that a step changes */

static uint64_t memory[THREADS][WORDS];
static pthread_barrier_t computed, told;
static unsigned long steps;

/* What another thread wrote in the step before is read, and what is its own is written. */
static void compute(unsigned int me, unsigned long step)
{
	const uint64_t *other = memory[(me + 1) % THREADS];
	uint64_t x = other[(step - 1) * STRIDE % WORDS], *mine = memory[me];

	for (unsigned long i = 0; i < STRIDE; i++) {
		uint64_t *word = &mine[(step * STRIDE + i) % WORDS];

		x = x * 6364136223846793005ULL + *word + me + 1;
		*word = x;
	}
}

static void *work(void *arg)
{
	for (unsigned long step = 1; step <= steps; step++) {
		compute((uintptr_t)arg, step);
		pthread_barrier_wait(&computed);
		/* thread 0 writes its line */
		pthread_barrier_wait(&told);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	uint64_t sum = 0;
	FILE *log;

	steps = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	if (!steps) {
		fprintf(stderr, "usage: unaware LOG STEPS\n");
		return 2;
	}
	log = fopen(argv[1], "w");
	if (!log) {
		perror(argv[1]);
		return 1;
	}
	pthread_barrier_init(&computed, NULL, THREADS);
	pthread_barrier_init(&told, NULL, THREADS);
	for (uintptr_t i = 1; i < THREADS; i++) {
		if (pthread_create(&thread, NULL, work, (void *)i))
			return 1;
		pthread_detach(thread);
	}
	for (unsigned long step = 1; step <= steps; step++) {
		compute(0, step);
		pthread_barrier_wait(&computed);
		fprintf(log, "step %lu: %016llx\n", step,
			(unsigned long long)memory[step % THREADS][step * STRIDE % WORDS]);
		fflush(log);
		usleep(50000);
		pthread_barrier_wait(&told);
	}
	for (unsigned long i = 0; i < THREADS * WORDS; i++)
		sum = sum * 31 + memory[i / WORDS][i % WORDS];
	printf("unaware: %lu steps, result %016llx\n", steps, (unsigned long long)sum);
	return fclose(log) != 0;
}
