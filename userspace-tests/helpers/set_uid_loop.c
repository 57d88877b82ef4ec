// SPDX-License-Identifier: GPL-2.0
/*
 * set_uid_loop PLAIN SET-UID: becomes the other of the two programs by execve(), again and
 * again, with the same pid; both are copies of this one. While it has root's rights its
 * memory has a secret. As PLAIN it has the rights of its caller and nothing else.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "set_uid_loop.h"

static volatile uint64_t page[512];

static void rest(void)
{
	struct timespec now, nap = { 0, 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);
	nap.tv_nsec = now.tv_nsec / 64 % 1000 * 2000;
	nanosleep(&nap, NULL);
}

int main(int argc, char **argv)
{
	uid_t user = getuid();
	int root = !geteuid() && user;

	if (argc != 3)
		return 2;
	for (unsigned int i = 0; i < 512; i++)
		page[i] = root ? set_uid_secret(i) : 1;
	rest();
	if (root && setresuid(user, user, user))
		return 1;
	rest();
	execv(root ? argv[1] : argv[2], argv);
	return 1;
}
