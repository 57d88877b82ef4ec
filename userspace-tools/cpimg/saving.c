// SPDX-License-Identifier: GPL-2.0
/* What `cpimg save` and cprun share: times, what goes wrong, and a shorter chain. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cmd.h"

/*
 * parse_time() - a length of time
 * @text: "10", "10s", "5m", "2h"
 * @seconds: how many that are
 *
 * Return: whether it is one, of more than 0.
 */
static bool parse_time(const char *text, double *seconds)
{
	char *end;

	*seconds = strtod(text, &end);
	if (end == text || !(*seconds > 0) || *seconds > 1e9)
		return false;
	switch (*end) {
	case 'h':
		*seconds *= 60;
		/* fall through */
	case 'm':
		*seconds *= 60;
		/* fall through */
	case 's':
		end++;
	}
	return !*end;
}

/* Of an option, or the program ends: a time that parse_time() takes. */
void want_time(struct argp_state *state, const char *option, const char *text, double *seconds)
{
	if (!parse_time(text, seconds))
		argp_error(state, "--%s: '%s' is no time: 30, 10m, 2h", option, text);
}

/* Of an option, or the program ends: how many, and not none. */
void want_number(struct argp_state *state, const char *option, const char *text,
		 uint64_t *value)
{
	if (!parse_number(text, value) || !*value)
		argp_error(state, "--%s: '%s' is no number from 1 on", option, text);
}

/* Why an image is of no moment: enum cp_missed. */
const char *missed_text(unsigned int missed)
{
	static const char *const why[] = {
		[CP_MISSED_NOTHING]	= "",
		[CP_MISSED_POOL]	= "more had changed than may be copied",
		[CP_MISSED_TIME]	= "it would have stood still for too long",
		[CP_MISSED_BROKEN]	= "a thread could not be held so long",
		[CP_MISSED_READ]	= "a page had to be read from a disk",
		[CP_MISSED_MEMORY]	= "memory was short",
		[CP_MISSED_TRACKING]	= "its changes could not be tracked this time",
	};

	return missed < sizeof(why) / sizeof(*why) && why[missed] ? why[missed] :
	       "for a reason that is newer than this program";
}

/**
 * save_problem() - why cp_checkpoint() has failed
 * @text: room for one line
 * @size: its bytes
 * @pid: the process that was to be saved
 * @dir: where to
 * @error: the errno
 *
 * Return: @text.
 */
const char *save_problem(char *text, size_t size, unsigned long pid, const char *dir, int error)
{
	switch (error) {
	case ENOSYS:
		snprintf(text, size, "this kernel has no cp_checkpoint()");
		break;
	case EPERM:
		snprintf(text, size,
			 "process %lu: may not be looked at; it takes what ptrace(2) takes: the same user, or root",
			 pid);
		break;
	case ESRCH:
		snprintf(text, size, "process %lu: is gone, or has become another program", pid);
		break;
	case EOPNOTSUPP:
		snprintf(text, size,
			 "process %lu: its changes cannot be tracked, so it has no moment", pid);
		break;
	case EEXIST:
		snprintf(text, size,
			 "%s: an image of process %lu with the next number is there already",
			 dir, pid);
		break;
	default:
		snprintf(text, size, "process %lu: saving it in %s: %s", pid, dir,
			 strerror(error));
	}
	return text;
}

/**
 * prune_aside() - make a chain shorter, in a process of its own
 * @image: the newest image
 * @keep: how many to leave
 *
 * It goes through all of the chain: nobody waits for that, and it takes what others leave
 * of processors and disks. It ends when its parent does.
 *
 * Return: the process, whose exit status is that of cmd_prune(), or -1 and errno.
 */
pid_t prune_aside(const char *image, uint64_t keep)
{
	char number[32];
	char *argv[] = { "cpimg prune", "--keep", number, "--", (char *)image, NULL };
	pid_t pid;
	int null;

	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	if (nice(19) < 0)
		problem("nice: %s", strerror(errno));
	/* of ioprio_set(2): this process, the idle class; not every disk knows of it */
	syscall(SYS_ioprio_set, 1, 0, 3 << 13);
	/* what it says of its success is not asked for */
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, STDOUT_FILENO) < 0)
		_exit(problem("/dev/null: %s", strerror(errno)));
	progress_hide();
	snprintf(number, sizeof(number), "%llu", (unsigned long long)keep);
	exit(cmd_prune(5, argv));
}
