// SPDX-License-Identifier: GPL-2.0
/* in_folder FOLDER PROGRAM [ARGS]: for programs that look for files beside them. */
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	if (!chdir(argv[1]))
		execv(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
