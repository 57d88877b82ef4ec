// SPDX-License-Identifier: GPL-2.0
/*
 * crashed FOLDER PID FIRST SYNCED SAVED: what is left of the images of
 * helpers/sync_loop.c, the numbers as in lib/crash.h. One line for each image that
 * there is, or has to be:
 *
 *	complete		every page of its chain is right
 *	told apart		the reader refuses it
 *	looks complete		the reader takes it, and a page is wrong
 *
 * with ", SAVED" if cp_range() had returned, ", SYNCED" if cp_sync() had.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cpimg.h>

#include "crash.h"

/* The page as it was at image @n, or why it is not. */
static const char *check_page(const struct cpimg_chain *chain, uint64_t page, uint64_t n)
{
	uint64_t words[CRASH_WORDS];
	static char why[600];
	struct cpimg_error err;

	while (!crash_changes(page, n))
		n--;
	if (cpimg_chain_read(chain, cpimg_chain_length(chain) - 1,
			     (uintptr_t)CRASH_MEM + page * sizeof(words), words,
			     sizeof(words), &err)) {
		snprintf(why, sizeof(why), "page %lu: %s", page, err.text);
		return why;
	}
	for (unsigned int i = 0; i < CRASH_WORDS; i++) {
		if (words[i] == crash_word(page, n, i))
			continue;
		snprintf(why, sizeof(why), "page %lu, word %u is %#lx", page, i, words[i]);
		return why;
	}
	return NULL;
}

static const char *check(const struct cpimg_chain *chain, uint64_t n)
{
	const char *why = NULL;

	for (uint64_t page = 0; page < CRASH_PAGES && !why; page++)
		why = check_page(chain, page, n);
	return why;
}

int main(int argc, char **argv)
{
	uint64_t first, synced, saved;

	if (argc != 6)
		return 2;
	first = strtoul(argv[3], NULL, 0);
	synced = strtoul(argv[4], NULL, 0);
	saved = strtoul(argv[5], NULL, 0);
	/* One more may have been under way, and one chain about to be removed. */
	for (uint64_t n = first < 2 * CRASH_CHAIN ? 0 : first - 2 * CRASH_CHAIN;
	     n <= saved; n++) {
		const char *stage = n < first || n >= saved ? "" :
				    n < synced ? ", SYNCED" : ", SAVED";
		struct cpimg_chain *chain;
		struct cpimg_error err;
		const char *why;
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s-cp%lu", argv[1], argv[2], n);
		if (!*stage && access(path, F_OK))
			continue;
		chain = cpimg_chain_open(path, NULL, 0, &err);
		why = chain ? check(chain, n) : err.text;
		printf("%s%s%s%s\n", !chain ? "told apart" : why ? "looks complete" :
		       "complete", stage, why ? ": " : "", why ?: "");
		cpimg_chain_close(chain);
	}
	return 0;
}
