// SPDX-License-Identifier: GPL-2.0
/*
 * kill_at N PROGRAM ARGS: run it, and kill it at its N-th stop, each system call being
 * two: before it and after. Exit status 0 if it was killed, 3 if it ended before.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long left = argc > 2 ? atol(argv[1]) : 0;
	int pid, status;

	if (left < 1)
		return 2;
	pid = fork();
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		execv(argv[2], argv + 2);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return 2;
	ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
	while (!ptrace(PTRACE_SYSCALL, pid, 0, 0) && waitpid(pid, &status, 0) == pid) {
		if (WIFEXITED(status))
			return WEXITSTATUS(status) == 127 ? 2 : 3;
		if (WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80) && !--left) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return !WIFSIGNALED(status);
		}
	}
	return 2;
}
