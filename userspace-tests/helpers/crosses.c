// SPDX-License-Identifier: GPL-2.0
/*
 * crosses save FOLDER, crosses go_on FOLDER PID: a program whose images cross from one
 * kernel to another. "save" leaves three of them in FOLDER, the last two incremental;
 * "go_on" restores the newest of PID there, compares all of its memory, and makes a chain
 * of its own of it. Run by images/crosses.t.
 */
#define _GNU_SOURCE
#include <cpimg.h>

#include "cp_test.h"

#define AT	CP_FAR(0x60)
#define PAGES	4096UL
#define ROUNDS	3

/* What page @page begins with after round @round; 0: nobody has written to it. */
static unsigned long value(unsigned long page, int round)
{
	unsigned long last = 0;

	if (page % 16 == 5)		/* a hole */
		return 0;
	for (int r = 0; r <= round; r++) {
		if (!r || page * 31 % 11 == (unsigned long)r)
			last = (page << 8) | (r + 1);
		if (page / 64 == 3 && r == 1)	/* given back */
			last = 0;
	}
	return last;
}

static void write_round(int round)
{
	for (unsigned long page = 0; page < PAGES; page++) {
		unsigned long *word = (unsigned long *)(AT + page * PAGE);

		if (!value(page, round) || (round && value(page, round) == value(page, round - 1)))
			continue;
		for (unsigned int i = 0; i < PAGE / sizeof(*word); i++)
			word[i] = value(page, round) * (i + 1);
	}
}

static int is_round(int round)
{
	for (unsigned long page = 0; page < PAGES; page++) {
		unsigned long *word = (unsigned long *)(AT + page * PAGE);

		for (unsigned int i = 0; i < PAGE / sizeof(*word); i++) {
			if (word[i] != value(page, round) * (i + 1)) {
				printf("page %lu, word %u: %#lx, not %#lx\n", page, i, word[i],
				       value(page, round) * (i + 1));
				return 0;
			}
		}
	}
	return 1;
}

static int save(const char *folder)
{
	for (int round = 0; round < ROUNDS; round++) {
		char to[4096];

		write_round(round);
		if (round == 1 && madvise(AT + 3 * 64 * PAGE, 64 * PAGE, MADV_DONTNEED))
			return 1;
		if (inc_cp_range(AT, AT + PAGES * PAGE)) {
			perror("inc_cp_range");
			return 1;
		}
		snprintf(to, sizeof(to), "%s/%d-cp%d", folder, getpid(), round);
		if (cp_copy(cp_name(getpid(), round), to)) {
			perror(to);
			return 1;
		}
	}
	printf("saved by %d\n", getpid());
	return 0;
}

static int go_on(const char *folder, int pid)
{
	struct cpimg_error err = { .code = CPIMG_OK };
	struct cpimg_chain *chain = NULL;
	char *image = cpimg_newest(folder, pid, &err);

	if (image)
		chain = cpimg_chain_open(image, NULL, 0, &err);
	if (!chain || cp_restore(chain, cpimg_chain_length(chain) - 1, AT,
				 AT + PAGES * PAGE, NULL, &err)) {
		printf("%s\n", err.text);
		return 1;
	}
	if (!is_round(ROUNDS - 1))
		return 1;
	printf("restored %s, %zu images\n", image, cpimg_chain_length(chain));
	cpimg_chain_close(chain);
	/* restored memory is tracked as any is */
	if (inc_cp_range(AT, AT + PAGES * PAGE))
		return 1;
	AT[7 * PAGE]++;
	return inc_cp_range(AT, AT + PAGES * PAGE) ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc < 3 || (argc < 4 && strcmp(argv[1], "save")))
		return 2;
	if (mmap(AT, PAGES * PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	return strcmp(argv[1], "save") ? go_on(argv[2], atoi(argv[3])) : save(argv[2]);
}
