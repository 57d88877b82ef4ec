// SPDX-License-Identifier: GPL-2.0
/*
 * survive [OPTIONS] PROGRAM [ARGS]: kill a program again and again, at moments that
 * nobody can foresee, start it again each time, and see whether it ends with what
 * it would have ended with undisturbed.
 *
 * PROGRAM takes --every N (0: no checkpoints) and --out FILE. Lines of its output
 * that begin with a dot say what it is at: ".saving", ".saved".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cp_test.h"

#define IMAGES		"/tmp/*-cp[0-9]*"
#define FILLER		"/tmp/filler"
#define LAST_PID	"/proc/sys/kernel/ns_last_pid"	/* not before Linux 3.3 */
#define MAX_ARGS	32

static int opt_kills = 3, opt_apart = 20, opt_rough, opt_quiet;
static unsigned int seed;
static const char *opt_every = "20", *opt_share;

static char **program;
static int program_args;

/* What came of it */
static int kills, kills_saving, rounds, no_room, no_result, damaged;
static int same_ids, in_the_way;
static int restored;

/* What the program said last: why it failed, if it did */
static char last_line[4096];

static unsigned int chance(unsigned int n)
{
	return n ? rand_r(&seed) % n : 0;
}

/*
 * One life of the program
 */

static void take_line(const char *line, bool *saving)
{
	if (*line == '.') {
		*saving = !strcmp(line, ".saving");
		return;
	}
	strcpy(last_line, line);
	if (strstr(line, "No space left"))
		no_room++;
	if (strstr(line, "left by an earlier process"))
		in_the_way++;
	if (!strncmp(line, "restored step", 13))
		restored++;
	if (!opt_quiet) {
		printf("  %s\n", line);
		fflush(stdout);
	}
}

/*
 * Take lines from @fd, @most of them (-1: all) and at most until @deadline. Return:
 * how many, or -1 at the end of all.
 */
static int listen_to(int fd, int most, double deadline, bool *saving)
{
	static char buf[4096];
	static size_t used;
	int lines = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		double left = deadline - cp_now();
		char *end;
		ssize_t n;

		while ((end = memchr(buf, '\n', used))) {
			if (lines == most)
				return lines;
			*end++ = 0;
			take_line(buf, saving);
			lines++;
			used -= end - buf;
			memmove(buf, end, used);
		}
		if (lines == most || left <= 0)
			return lines;
		if (used == sizeof(buf))
			used = 0;
		if (poll(&p, 1, left * 1000 + 1) <= 0)
			continue;
		n = read(fd, buf + used, sizeof(buf) - used);
		if (n <= 0) {
			used = 0;
			return -1;
		}
		used += n;
	}
}

static pid_t start(const char *every, const char *out, int *fd)
{
	char *argv[MAX_ARGS + 5];
	int n = program_args, pipefd[2];
	pid_t pid;

	if (pipe(pipefd))
		return -1;
	memcpy(argv, program, n * sizeof(*argv));
	argv[n++] = "--every";
	argv[n++] = (char *)every;
	argv[n++] = "--out";
	argv[n++] = (char *)out;
	argv[n] = NULL;
	pid = fork();
	if (!pid) {
		dup2(pipefd[1], STDOUT_FILENO);
		close(pipefd[0]);
		close(pipefd[1]);
		execvp(argv[0], argv);
		fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(pipefd[1]);
	*fd = pipefd[0];
	return pid;
}

/*
 * Run it until it has said @lines lines (-1: to its end), and a moment longer; then
 * kill it. That does not depend on how fast the machine is. Return: 1 if it was
 * killed, 0 if it had ended before that, -1 if it failed.
 */
static int live(const char *every, const char *out, int lines)
{
	static double a_line = 0.1;	/* how long one takes */
	double begun = cp_now();
	bool saving = false;
	int fd, status, n;
	pid_t pid = start(every, out, &fd);

	if (pid < 0) {
		perror("survive");
		return -1;
	}
	n = listen_to(fd, lines, begun + 1e6, &saving);
	if (n > 0)
		a_line = (cp_now() - begun) / n;
	/* Half of the time at once: what is short, as a checkpoint, is met as well. */
	if (n >= 0)
		n = listen_to(fd, -1, cp_now() + a_line * chance(1000) /
			      (chance(2) ? 1000 : 100000), &saving);
	if (n >= 0) {
		kill(pid, SIGKILL);
		listen_to(fd, -1, cp_now() + 60, &saving);
	}
	close(fd);
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
		kills++;
		kills_saving += saving;
		return 1;
	}
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	printf("%s ended with status 0x%x; the last that it said: %s\n", program[0],
	       status, last_line);
	return -1;
}

/*
 * What else may happen to it
 */

/* The disk is full: a few pages are left. */
static void fill_disk(void)
{
	struct statvfs st;
	int fd = open(FILLER, O_CREAT | O_WRONLY, 0600);
	off_t room;

	if (fd < 0 || statvfs("/tmp", &st))
		return;
	room = (off_t)st.f_bavail * st.f_bsize - (off_t)chance(64) * 4096;
	/* a tmpfs before Linux 3.5 has to be written to */
	if (room > 0 && posix_fallocate(fd, 0, room)) {
		static const char zeros[65536];

		while (room > 0 && write(fd, zeros, room < (off_t)sizeof(zeros) ?
					 (size_t)room : sizeof(zeros)) > 0)
			room -= sizeof(zeros);
	}
	close(fd);
}

/*
 * The machine went down while the newest image was written: its header is not
 * there, or the file ends too soon. Nobody can use it any more, and no program
 * dares to remove it: before the next one is damaged somebody has cleaned up.
 */
static void damage_newest(void)
{
	static const char nothing[64];
	static char last[512];
	const char *newest = NULL;
	struct timespec time = { 0 };
	struct stat st;
	glob_t found;
	int fd;

	if (glob(IMAGES, 0, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		if (stat(found.gl_pathv[i], &st))
			continue;
		if (newest && (st.st_mtim.tv_sec < time.tv_sec ||
			       (st.st_mtim.tv_sec == time.tv_sec &&
				st.st_mtim.tv_nsec < time.tv_nsec)))
			continue;
		newest = found.gl_pathv[i];
		time = st.st_mtim;
	}
	fd = newest ? open(newest, O_WRONLY) : -1;
	if (fd >= 0) {
		if (*last && strcmp(last, newest))
			unlink(last);
		snprintf(last, sizeof(last), "%s", newest);
		fstat(fd, &st);
		if (chance(2))
			damaged += pwrite(fd, nothing, sizeof(nothing), 0) > 0;
		else
			damaged += !ftruncate(fd, chance(st.st_size));
		close(fd);
	}
	globfree(&found);
}

static void next_id(int id)
{
	int fd = open(LAST_PID, O_WRONLY);

	if (fd < 0)
		return;
	same_ids += dprintf(fd, "%d", id - 1) > 0;
	close(fd);
}

/* The next process gets the id of one that has left images. */
static void same_id_again(void)
{
	glob_t found;

	if (glob(IMAGES, 0, NULL, &found))
		return;
	next_id(atoi(found.gl_pathv[chance(found.gl_pathc)] + strlen("/tmp/")));
	globfree(&found);
}

/* Or of one whose first image was never finished: it has the name of the next. */
static void leave_unfinished(void)
{
	int id = 10000 + chance(10000), fd;
	char name[64];

	snprintf(name, sizeof(name), "/tmp/%d-cp0", id);
	fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
	if (fd < 0)
		return;
	if (!ftruncate(fd, 4096 * (1 + chance(8))))
		next_id(id);
	close(fd);
}

static void remove_images(void)
{
	static const char *const where[] = { IMAGES, "/tmp/heat.old/*" };
	glob_t found;

	for (int i = 0; i < 2; i++) {
		if (glob(where[i], 0, NULL, &found))
			continue;
		for (size_t j = 0; j < found.gl_pathc; j++)
			unlink(found.gl_pathv[j]);
		globfree(&found);
	}
}

/*
 * Results
 */

static bool same_files(const char *a, const char *b)
{
	static char x[1 << 16], y[1 << 16];
	FILE *f = fopen(a, "r"), *g = fopen(b, "r");
	size_t n, m, all = 0;
	bool same = f && g;

	while (same) {
		n = fread(x, 1, sizeof(x), f);
		m = fread(y, 1, sizeof(y), g);
		if (n != m || memcmp(x, y, n))
			same = false;
		if (!n)
			break;
		all += n;
	}
	if (f)
		fclose(f);
	if (g)
		fclose(g);
	return same && all;
}

static int share_all(void)
{
	static const char *const where[] = { IMAGES, "/tmp/*.ppm" };
	char to[512];
	glob_t found;
	int ret = 0;

	for (int i = 0; i < 2; i++) {
		if (glob(where[i], 0, NULL, &found))
			continue;
		for (size_t j = 0; j < found.gl_pathc; j++) {
			snprintf(to, sizeof(to), "%s%s", opt_share,
				 strrchr(found.gl_pathv[j], '/'));
			if (cp_copy(found.gl_pathv[j], to)) {
				printf("%s to %s: %s\n", found.gl_pathv[j], to,
				       strerror(errno));
				ret = -1;
			}
		}
		globfree(&found);
	}
	return ret;
}

static int options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "kills", 1, NULL, 'k' },	{ "seed", 1, NULL, 's' },
		{ "every", 1, NULL, 'e' },	{ "share", 1, NULL, 'd' },
		{ "apart", 1, NULL, 'a' },
		{ "rough", 0, &opt_rough, 1 },	{ "quiet", 0, &opt_quiet, 1 },
		{ }
	};
	int c;

	seed = time(NULL) ^ getpid();
	while ((c = getopt_long(argc, argv, "+", known, NULL)) != -1) {
		switch (c) {
		case 'k':
			opt_kills = atoi(optarg);
			break;
		case 's':
			seed = strtoul(optarg, NULL, 0);
			break;
		case 'e':
			opt_every = optarg;
			break;
		case 'a':
			opt_apart = atoi(optarg);
			break;
		case 'd':
			opt_share = optarg;
			break;
		case 0:
			break;
		default:
			return -1;
		}
	}
	program = argv + optind;
	program_args = argc - optind;
	return program_args > 0 && program_args <= MAX_ARGS ? 0 : -1;
}

/*
 * It came to its end, and there was no room for the result. Return: whether that
 * is so, and there is room now. Images may have filled the disk as well.
 */
static bool room_was_made(void)
{
	if (!strstr(last_line, "/tmp/result: No space left"))
		return false;
	no_result++;
	if (unlink(FILLER))
		remove_images();
	return true;
}

/* Until it has been killed often enough and then ended by itself. */
static int kill_it(void)
{
	int ret;

	while (kills < opt_kills) {
		ret = live(opt_every, "/tmp/result", chance(opt_apart));
		if (ret < 0 && room_was_made())
			continue;
		unlink(FILLER);
		if (ret < 0)
			return -1;
		if (!ret) {
			/* It had an easy life: once more. */
			rounds++;
			if (!same_files("/tmp/alone", "/tmp/result"))
				return printf("the results differ\n"), -1;
			remove_images();
			continue;
		}
		if (!opt_quiet)
			printf("(kill -9: %d of %d)\n", kills, opt_kills);
		if (!opt_rough)
			continue;
		if (!chance(4))
			damage_newest();
		if (kills % 6 == 0)
			leave_unfinished();
		else if (!chance(3))
			same_id_again();
		if (!chance(3))
			fill_disk();
	}
	unlink(FILLER);
	rounds++;
	ret = live(opt_every, "/tmp/result", -1);
	if (ret < 0 && room_was_made())
		ret = live(opt_every, "/tmp/result", -1);
	return ret;
}

int main(int argc, char **argv)
{
	unsigned int first;
	double alone;

	if (options(argc, argv)) {
		fprintf(stderr, "usage: survive [--kills N] [--apart LINES] [--every N] [--seed N] [--rough] [--quiet]\n"
			"               [--share FOLDER] PROGRAM [ARGS]\n"
			"--apart: of output, at most, from one kill to the next\n"
			"--rough: with full disks, damaged images, and process ids that come again\n");
		return 2;
	}
	first = seed;
	alone = cp_now();
	if (live("0", "/tmp/alone", -1))
		return 1;
	alone = cp_now() - alone;
	printf("undisturbed and without checkpoints it takes %.1f s (seed %u)\n",
	       alone, first);
	fflush(stdout);
	if (kill_it())
		return 1;
	printf("killed %d times, %d of them in a checkpoint; restored %d times\n",
	       kills, kills_saving, restored);
	if (opt_rough) {
		printf("%d checkpoints and %d results met a full disk, %d images were damaged\n",
		       no_room, no_result, damaged);
		printf("%d process ids came again, %d times with a file in the way; %d rounds\n",
		       same_ids, in_the_way, rounds);
	}
	if (!same_files("/tmp/alone", "/tmp/result"))
		return printf("the results differ\n"), 1;
	if (opt_rough && kills >= 50 && !(restored && kills_saving && no_room &&
					 damaged &&
					 ((same_ids && in_the_way) || access(LAST_PID, F_OK))))
		return printf("that was not rough: something never happened\n"), 1;
	printf("the result is the same to the last bit\n");
	return opt_share ? share_all() : 0;
}
