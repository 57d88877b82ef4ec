// SPDX-License-Identifier: GPL-2.0
/* cpimg - look at, check and shorten the images of cp_range(). */
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

#ifndef VERSION
#define VERSION "unknown"
#endif

const char *argp_program_version = "cpimg " VERSION;

static const struct {
	const char	*name;
	int		(*run)(int argc, char **argv);
	const char	*what;
} commands[] = {
	{ "save", cmd_save, "save another process, once or again and again" },
	{ "restart", cmd_restart, "let a program go on from its image" },
	{ "list", cmd_list, "which images a folder has, and which is the newest" },
	{ "show", cmd_show, "what an image is, and how much of each class it has" },
	{ "verify", cmd_verify, "check a chain: every image, every run, every byte" },
	{ "flatten", cmd_flatten, "turn a chain into one full image" },
	{ "diff", cmd_diff, "which pages differ between two checkpoints" },
	{ "extract", cmd_extract, "the bytes of an address range" },
	{ "map", cmd_map, "a picture (SVG) of the memory over the checkpoints" },
	{ "prune", cmd_prune, "shorten a chain: flatten, verify, then remove" },
};

#define NR_COMMANDS	(sizeof(commands) / sizeof(commands[0]))

static int usage(FILE *to, int status)
{
	fputs("Usage: cpimg COMMAND [OPTION...] IMAGE... | FOLDER... | PID\n"
	      "Read the images that cp_range() and inc_cp_range() write.\n\n", to);
	for (size_t i = 0; i < NR_COMMANDS; i++)
		fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].what);
	fputs("\nAn IMAGE stands for the chain that it ends. Its parents are looked for beside\n"
	      "it. 'cpimg COMMAND --help' says more, and so does cpimg(1).\n"
	      "Exit status: 0, 1 if there is a problem, 2 if the command line is wrong.\n",
	      to);
	return status;
}

static int run(size_t i, int argc, char **argv)
{
	char name[32];

	snprintf(name, sizeof(name), "cpimg %s", commands[i].name);
	argv[0] = name;
	return commands[i].run(argc, argv);
}

int main(int argc, char **argv)
{
	argp_err_exit_status = CMD_USAGE;
	if (argc < 2)
		return usage(stderr, CMD_USAGE);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-?") ||
	    (!strcmp(argv[1], "help") && argc == 2))
		return usage(stdout, CMD_OK);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		return puts(argp_program_version) == EOF;

	if (!strcmp(argv[1], "help")) {
		/* "help show" is "show --help" */
		argv[1] = argv[2];
		argv[2] = "--help";
	}
	for (size_t i = 0; i < NR_COMMANDS; i++) {
		if (!strcmp(argv[1], commands[i].name))
			return run(i, argc - 1, argv + 1);
	}
	problem("there is no command '%s'; try 'cpimg --help'", argv[1]);
	return CMD_USAGE;
}
