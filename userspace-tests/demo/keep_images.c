// SPDX-License-Identifier: GPL-2.0
/*
 * Runs the demo in the guest and copies the image it left in /tmp to the folder
 * given, which is the host's.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int copy(const char *from, const char *to)
{
	static char buf[1 << 20];
	ssize_t n;
	int in, out;

	in = open(from, O_RDONLY);
	if (in < 0)
		return -1;
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (out < 0)
		return -1;
	while ((n = read(in, buf, sizeof(buf))) > 0)
		if (write(out, buf, n) != n)
			return -1;
	close(in);
	return n ? -1 : close(out);
}

int main(int argc, char **argv)
{
	char from[64], to[256];
	int status;
	pid_t pid;

	if (argc != 2)
		return 2;
	pid = fork();
	if (!pid) {
		execl("/tests/demo", "demo", NULL);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		return 1;
	snprintf(from, sizeof(from), "/tmp/%d-cp0", pid);
	snprintf(to, sizeof(to), "%s/%d-cp0", argv[1], pid);
	if (copy(from, to)) {
		perror(from);
		return 1;
	}
	return 0;
}
