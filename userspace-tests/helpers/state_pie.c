// SPDX-License-Identifier: GPL-2.0
/*
 * state_pie HOW save|IMAGE: a position independent program saves its state, or has it
 * put back from an image. HOW: "variable", where it lies elsewhere each time; "fixed",
 * at an address of its own; "personality", with randomization off. Says what came of
 * it; exit status 0 if its state is what it was, 3 if cp_restore() refused.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <unistd.h>

#include "cp_test.h"

struct state {
	long	step;
	double	field[4096];
};

static struct state variable;

static struct state *place(const char *how)
{
	if (strcmp(how, "fixed"))
		return &variable;
	return mmap(CP_FAR(0x20), sizeof(struct state), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

static int save(struct state *state)
{
	state->step = 42;
	for (int i = 0; i < 4096; i++)
		state->field[i] = i;
	printf("%p saved by %d\n", (void *)state, getpid());
	fflush(stdout);
	return inc_cp_range(0, (void *)~0UL) ? 1 : 0;
}

static int restore(struct state *state, const char *image)
{
	struct cpimg_error err;
	struct cpimg_chain *chain = cpimg_chain_open(image, NULL, 0, &err);

	if (!chain) {
		printf("%s\n", err.text);
		return 1;
	}
	if (cp_restore(chain, cpimg_chain_length(chain) - 1, state, state + 1, NULL, &err)) {
		printf("%p refused: %s\n", (void *)state, err.text);
		return 3;
	}
	printf("%p restored: step %ld\n", (void *)state, state->step);
	for (int i = 0; i < 4096; i++) {
		if (state->field[i] != i)
			return 1;
	}
	return state->step != 42;
}

int main(int argc, char **argv)
{
	struct state *state;

	if (argc != 3)
		return 2;
	if (!strcmp(argv[1], "personality")) {
		int persona = personality(0xffffffff);

		if (!(persona & ADDR_NO_RANDOMIZE)) {
			personality(persona | ADDR_NO_RANDOMIZE);
			execv("/proc/self/exe", argv);
			return 1;
		}
	}
	state = place(argv[1]);
	if (state == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	return strcmp(argv[2], "save") ? restore(state, argv[2]) : save(state);
}
