// SPDX-License-Identifier: GPL-2.0
/*
 * watch [-k FILE] [-i INPUT] [-e NAME=VALUE] PROGRAM ARGS: run a program that saves all of its
 * memory, and hold each checkpoint against it. The program is stopped where the
 * system call returns, so nothing has changed since: what is rebuilt from the chain
 * must be what it has, to the byte. -k: keep the first image as FILE; -e: in its
 * environment.
 */
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>

#include "chain.h"

#ifdef __x86_64__
#define REG_CALL(regs)		((regs).orig_rax)
#define REG_RESULT(regs)	((regs).rax)
#else
#define REG_CALL(regs)		((regs).orig_eax)
#define REG_RESULT(regs)	((regs).eax)
#endif

static struct chain chain;
static const char *keep;
static uint64_t saved, same, image_bytes;

static const char *check(int pid)
{
	const struct cp_note *note;
	const char *why = chain_open(&chain, pid, chain.n++);

	if (why)
		return why;
	note = cpimg_note(chain.img);
	saved += note->pages_data;
	same += note->pages_same;
	image_bytes += cpimg_file_size(chain.img);
	if (chain.n == 1 && keep && cp_copy(cpimg_path(chain.img), keep))
		return "the first image cannot be kept";
	if (chain.n > 1)
		why = chain_is(&chain, CP_KIND_INCREMENTAL, CP_REASON_CHAIN);
	if (!why)
		why = cp_check_maps(chain.img, pid);
	if (!why)
		why = chain_matches_process(&chain, pid);
	return why;
}

/* From stop to stop, until it ends. Return: its status, or -1. */
static int follow(int pid)
{
	struct user_regs_struct regs;
	bool inside = false;
	const char *why;
	int status, sig = 0;

	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -1;
	ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	for (;;) {
		ptrace(PTRACE_SYSCALL, pid, 0, sig);
		if (waitpid(pid, &status, 0) != pid)
			return -1;
		if (!WIFSTOPPED(status))
			return status;
		sig = WSTOPSIG(status);
		if (sig != (SIGTRAP | 0x80))
			continue;
		sig = 0;
		inside = !inside;
		if (inside || ptrace(PTRACE_GETREGS, pid, 0, &regs))
			continue;
		if (REG_CALL(regs) != __NR_inc_cp_range)
			continue;
		why = REG_RESULT(regs) ? strerror(-(int)REG_RESULT(regs)) : check(pid);
		if (why) {
			fprintf(stderr, "# checkpoint %lu: %s\n", chain.n, why);
			return -1;
		}
	}
}

int main(int argc, char **argv)
{
	const char *input = "/dev/null";
	int c, pid, status;

	while ((c = getopt(argc, argv, "+k:i:e:")) != -1) {
		if (c == 'k')
			keep = optarg;
		else if (c == 'i')
			input = optarg;
		else if (c == 'e')
			putenv(optarg);
		else
			return 2;
	}
	if (optind == argc) {
		fprintf(stderr, "usage: watch [-k FILE] [-i INPUT] [-e NAME=VALUE] PROGRAM [ARGS]\n");
		return 2;
	}
	pid = fork();
	if (!pid) {
		int in = open(input, O_RDONLY);

		dup2(in, STDIN_FILENO);
		close(in);
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execvp(argv[optind], argv + optind);
		perror(argv[optind]);
		_exit(127);
	}
	status = follow(pid);
	fprintf(stderr, "# %lu checkpoints, %llu pages saved, %llu the same, %llu KiB of images\n",
		chain.n, (unsigned long long)saved, (unsigned long long)same,
		(unsigned long long)image_bytes >> 10);
	if (status || chain.n < 2)
		fprintf(stderr, "# status 0x%x\n", status);
	return status || chain.n < 2;
}
