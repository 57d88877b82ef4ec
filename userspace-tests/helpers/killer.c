// SPDX-License-Identifier: GPL-2.0
/*
 * killer [--undisturbed] [--under 'CPRUN ...'] [--seed N] [--result FILE]... NAME [KILL:MS]...
 *	-- COMMAND...
 *
 * Runs a command of the system on /disk, as its user 1000, in /jobs/NAME: undisturbed, which
 * leaves its results in /jobs/NAME.good; or under cprun, which is killed, and started again
 * by the same command, until the program has ended and there are no more KILLs. What it
 * leaves has to be what is in /jobs/NAME.good. MS milliseconds after cprun has started
 *
 *	cprun		cprun is killed,
 *	space		process 1 of its space,
 *	program		the program,
 *	checkpoint	cprun, while a checkpoint is being made, the next one that begins,
 *	saver		who makes that, which the program outlives; cprun a second later
 *	full		cprun, once the images' disk, /images, has been full for two seconds
 *	power		the power is cut: the line "power cut" asks for it
 *	power-checkpoint	likewise, while a checkpoint is being made
 *	power-full	likewise, once the images' disk is full
 *
 * Exit status 0: all as it should be; 1: not, and it was said why; 2: it could not be tried.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cp_test.h"

#define USER		1000
#define MAX_RESULTS	8
#define CP_CHECKPOINT	"602 "		/* as /proc/PID/syscall has it */
#define FILL		"/images/fill"
#define LEFT		"/images/left"
#define LIMIT		900		/* seconds that a program has to end */

static char *const guest_env[] = {
	"PATH=/usr/bin:/bin", "HOME=/tmp", "LC_ALL=C.UTF-8", NULL
};

static const char *name, *results[MAX_RESULTS];
static char *cprun[16], home[128], good[128];
static char **command;
static int nresults, ncprun;

struct run {
	pid_t	pid;		/* cprun, */
	int	from;		/* what it and the program say on standard error */
	double	began;
	int	status;		/* once it has ended: -1 before */
	char	line[1024];
	size_t	len;
	long	out;		/* bytes of the standard output, before */
	bool	refused;	/* there is no room for it */
};

__attribute__((noreturn, format(printf, 2, 3)))
static void end(int status, const char *fmt, ...)
{
	va_list ap;

	printf("killer: ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	exit(status);
}

#define TRY(what) do { \
	if (!(what)) \
		end(2, "line %d: %s: %s", __LINE__, #what, strerror(errno)); \
} while (0)

/* The disk becomes the root, as by switch_root(8): user namespaces may be made there. */
static void change_root(void)
{
	static const char *const along[] = { "/proc", "/sys", "/dev", "/tmp" };

	/* init goes on with what it has */
	TRY(!unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	for (size_t i = 0; i < sizeof(along) / sizeof(*along); i++) {
		char to[64];

		snprintf(to, sizeof(to), "/disk%s", along[i]);
		TRY(!mount(along[i], to, NULL, MS_MOVE, NULL));
	}
	TRY(!mount("/disk2", "/disk/images", NULL, MS_MOVE, NULL));
	TRY(!chdir("/disk") && !mount("/disk", "/", NULL, MS_MOVE, NULL));
	TRY(!chroot(".") && !chdir("/"));
	TRY(!chmod("/images", 0777));
}

static void make_home(const char *dir)
{
	TRY(!mkdir(dir, 0755) || errno == EEXIST);
	TRY(!chown(dir, USER, USER));
}

/* The program's standard output is a file, which it appends to. */
static pid_t start(char *const *argv, int err)
{
	pid_t pid = fork();
	int out, in;

	TRY(pid >= 0 && err > 2);
	if (pid)
		return pid;
	TRY(!chdir(home) && !setgid(USER) && !setuid(USER));
	in = open("/dev/null", O_RDONLY);
	out = open("out", O_WRONLY | O_CREAT | O_APPEND, 0644);
	TRY(in >= 0 && out >= 0);
	dup2(in, 0);
	dup2(out, 1);
	dup2(err, 2);
	for (int fd = 3; fd < 64; fd++)
		close(fd);
	setsid();
	execve(argv[0], argv, guest_env);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/*
 * A program that begins anew, as there is no image yet, appends to what the one before it
 * has left: that is not of its result. Kept on the disk, for after a power cut.
 */
static void note_left(long bytes)
{
	FILE *file = fopen(LEFT, "w");

	TRY(file && fprintf(file, "%ld\n", bytes) > 0 && !fflush(file) &&
	    !fsync(fileno(file)) && !fclose(file));
}

static long left_before(void)
{
	FILE *file = fopen(LEFT, "r");
	long bytes;

	if (!file)
		return 0;
	TRY(fscanf(file, "%ld", &bytes) == 1);
	fclose(file);
	return bytes;
}

static long size_of_out(void)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/out", home);
	return stat(path, &st) ? 0 : st.st_size;
}

static void begin(struct run *r)
{
	char *argv[64];
	int n = 0, pipe[2];

	for (int i = 0; i < ncprun; i++)
		argv[n++] = cprun[i];
	for (char **arg = command; *arg; arg++) {
		TRY(n < 63);
		argv[n++] = *arg;
	}
	argv[n] = NULL;
	TRY(!pipe2(pipe, O_CLOEXEC));
	*r = (struct run) {
		.pid = start(argv, pipe[1]), .from = pipe[0], .began = cp_now(), .status = -1,
		.out = size_of_out(),
	};
	close(pipe[1]);
	fcntl(r->from, F_SETFL, O_NONBLOCK);
}

static void heard(struct run *r, const char *line)
{
	printf("%7.2f %s\n", cp_now() - r->began, line);
	if (strstr(line, "begins anew"))
		note_left(r->out);
	r->refused |= !!strstr(line, strerror(ENOSPC));
}

static void listen_to(struct run *r)
{
	char buf[512];
	ssize_t n;

	while ((n = read(r->from, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] != '\n' && r->len < sizeof(r->line) - 1) {
				r->line[r->len++] = buf[i];
				continue;
			}
			r->line[r->len] = 0;
			heard(r, r->line);
			r->len = 0;
		}
	}
	fflush(stdout);
}

static bool has_ended(struct run *r)
{
	int status;

	if (r->status < 0 && waitpid(r->pid, &status, WNOHANG) == r->pid)
		r->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	listen_to(r);
	if (r->status < 0)
		return false;
	if (r->from >= 0)
		close(r->from);
	r->from = -1;
	return true;
}

/* True: it ended before. */
static bool let_run(struct run *r, double seconds)
{
	double until = cp_now() + seconds;

	while (!has_ended(r)) {
		struct pollfd wait = { .fd = r->from, .events = POLLIN };
		double left = until - cp_now();

		if (left <= 0)
			return false;
		/* its end is no event of the pipe's while the program has that */
		poll(&wait, 1, left > 0.02 ? 20 : (int)(left * 1000) + 1);
	}
	return true;
}

/* A line of a file of /proc, or nothing. */
static const char *of_proc(pid_t pid, const char *file, char *buf, size_t size)
{
	char path[64];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, buf, size - 1);
		close(fd);
	}
	buf[n > 0 ? n : 0] = 0;
	return buf;
}

static pid_t parent_of(pid_t pid)
{
	char buf[512], *p;
	int parent = 0;

	p = strrchr(of_proc(pid, "stat", buf, sizeof(buf)), ')');
	if (p && sscanf(p, ") %*c %d", &parent) != 1)
		parent = 0;
	return parent;
}

/* The first process for which @is is true, or 0. */
static pid_t find(bool (*is)(pid_t pid, pid_t of), pid_t of)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	pid_t found = 0;

	TRY(dir);
	while (!found && (entry = readdir(dir))) {
		pid_t pid = atoi(entry->d_name);

		if (pid > 0 && is(pid, of))
			found = pid;
	}
	closedir(dir);
	return found;
}

static bool is_child(pid_t pid, pid_t of)
{
	return parent_of(pid) == of;
}

static bool is_saving(pid_t pid, pid_t of)
{
	char buf[256];

	(void)of;
	return !strncmp(of_proc(pid, "syscall", buf, sizeof(buf)), CP_CHECKPOINT,
			strlen(CP_CHECKPOINT));
}

/* The program is process 2 of the space. */
static bool is_second(pid_t pid, pid_t of)
{
	char buf[4096], *p;
	int outer, inner;

	if (parent_of(pid) != of)
		return false;
	p = strstr(of_proc(pid, "status", buf, sizeof(buf)), "\nNSpid:");
	return p && sscanf(p, "\nNSpid: %d %d", &outer, &inner) == 2 && inner == 2;
}

/* Of what is said to be in a state, for who has to find out why. */
static void show_processes(pid_t of)
{
	static const char *const files[] = { "comm", "wchan", "syscall", "stack" };
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		pid_t pid = atoi(entry->d_name);
		char buf[2048];

		if (pid <= 0 || pid < of || !*of_proc(pid, "cmdline", buf, sizeof(buf)))
			continue;
		printf("process %d of %d\n", pid, parent_of(pid));
		for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
			printf("  %s: %s\n", files[i], of_proc(pid, files[i], buf, sizeof(buf)));
	}
	if (dir)
		closedir(dir);
	fflush(stdout);
}

/* As full as it can be; root may take the last block, too. */
static void fill(void)
{
	static char block[1 << 16];
	int fd = open(FILL, O_WRONLY | O_CREAT | O_APPEND, 0600);
	size_t size = sizeof(block);

	TRY(fd >= 0);
	while (size >= 512) {
		if (write(fd, block, size) <= 0)
			size /= 2;
	}
	close(fd);
}

/* The process that makes an image, or 0: none did, for ten seconds, or it ended before. */
static pid_t wait_for_checkpoint(struct run *r)
{
	double until = cp_now() + 10;
	pid_t pid;

	while (cp_now() < until && !has_ended(r)) {
		pid = find(is_saving, 0);
		if (pid)
			return pid;
		usleep(1000);
	}
	return 0;
}

static void compare(void)
{
	for (int i = 0; i < nresults; i++) {
		char ours[256], theirs[256];
		FILE *a, *b;
		long at = 0;
		int x, y;

		snprintf(ours, sizeof(ours), "%s/%s", home, results[i]);
		snprintf(theirs, sizeof(theirs), "%s/%s", good, results[i]);
		a = fopen(ours, "r");
		b = fopen(theirs, "r");
		if (!a || !b)
			end(1, "FAILED: %s: %s", a ? theirs : ours, strerror(errno));
		if (!strcmp(results[i], "out"))
			fseek(a, left_before(), SEEK_SET);
		do {
			x = getc(a);
			y = getc(b);
			at++;
		} while (x == y && x != EOF);
		if (x != y)
			end(1, "FAILED: %s is not as it was undisturbed: byte %ld is %d and not %d",
			    results[i], at - 1, x, y);
		fclose(a);
		fclose(b);
	}
	printf("killer: the results are the same, %d of them\n", nresults);
}

static void remove_results(void)
{
	for (int i = 0; i < nresults; i++) {
		char path[256];

		snprintf(path, sizeof(path), "%s/%s", home, results[i]);
		unlink(path);
	}
}

static void undisturbed(void)
{
	double began = cp_now();
	pid_t pid = start(command, fcntl(1, F_DUPFD, 3));
	int status;

	TRY(waitpid(pid, &status, 0) == pid);
	if (status)
		end(2, "undisturbed, it ends with %#x", status);
	for (int i = 0; i < nresults; i++) {
		char from[256], to[256];

		snprintf(from, sizeof(from), "%s/%s", home, results[i]);
		snprintf(to, sizeof(to), "%s/%s", good, results[i]);
		TRY(!rename(from, to));
	}
	printf("undisturbed: %.1f s\n", cp_now() - began);
}

/* All of it is to be gone at once: cprun says that nothing outlives it. */
static void ended(struct run *r, const char *kill)
{
	if (!let_run(r, 60)) {
		show_processes(r->pid);
		end(1, "FAILED: %s: cprun has not ended in a minute", kill);
	}
	printf("killed: %s after %.2f s, status %d\n", kill, cp_now() - r->began, r->status);
	fflush(stdout);
}

/* It has ended by itself: there is nothing left to be killed. */
static void at_end(struct run *r)
{
	/* that it had ended could not be noted: then it goes on again */
	if (r->status == 125 && r->refused) {
		printf("refused: there is no room, status %d\n", r->status);
		return;
	}
	if (r->status)
		end(1, "FAILED: it has ended with status %d", r->status);
	printf("ended: after %.2f s\n", cp_now() - r->began);
	compare();
	remove_results();
	note_left(0);
}

/* A start that finds no room may say so; else it goes on as usual. */
static void start_without_room(void)
{
	struct run r;

	begin(&r);
	if (let_run(&r, 2)) {
		if (!r.status) {
			at_end(&r);
		} else if (!r.refused) {
			end(1, "FAILED: without room, it ends with status %d", r.status);
		} else {
			printf("refused: there is no room, status %d\n", r.status);
		}
	} else {
		kill(r.pid, SIGKILL);
		ended(&r, "cprun, started without room,");
	}
	unlink(FILL);
}

static void cut_power(struct run *r, const char *kill)
{
	printf("killed: %s after %.2f s\npower cut\n", kill, cp_now() - r->began);
	fflush(stdout);
	let_run(r, 60);
	end(2, "the power was not cut");
}

/* False: it ended before, and is to be killed another time. */
static bool kill_it(struct run *r, const char *what, double after)
{
	bool power = !strncmp(what, "power", 5);
	const char *when = power ? what + 5 + (what[5] == '-') : what;
	pid_t whom = r->pid, first;

	if (let_run(r, after))
		return false;
	first = find(is_child, r->pid);
	if (!strcmp(when, "space")) {
		whom = first;
	} else if (!strcmp(when, "program")) {
		whom = first ? find(is_second, first) : 0;
	} else if (!strcmp(when, "checkpoint") || !strcmp(when, "saver")) {
		pid_t saver = wait_for_checkpoint(r);

		if (!saver && has_ended(r))
			return false;
		printf("in a checkpoint: %s\n", saver ? "yes" : "no");
		/* anywhere in it; most of them are short */
		usleep(random() % 8 * (random() % 2500));
		if (!strcmp(when, "saver") && saver) {
			kill(saver, SIGKILL);
			if (let_run(r, 1))
				return false;
		}
	} else if (!strcmp(when, "full")) {
		fill();
		if (let_run(r, 2)) {
			unlink(FILL);
			return false;
		}
	}
	if (power)
		cut_power(r, what);
	if (!whom || kill(whom, SIGKILL)) {
		/* not there yet: then all of it */
		whom = r->pid;
		kill(whom, SIGKILL);
	}
	ended(r, what);
	if (!strcmp(when, "full"))
		start_without_room();
	return true;
}

static const struct option options[] = {
	{ "undisturbed", no_argument, NULL, 'u' },
	{ "under", required_argument, NULL, 'c' },
	{ "result", required_argument, NULL, 'r' },
	{ "seed", required_argument, NULL, 's' },
	{ }
};

int main(int argc, char **argv)
{
	bool alone = false;
	struct run r;
	int c, i;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	while ((c = getopt_long(argc, argv, "+", options, NULL)) >= 0) {
		switch (c) {
		case 'u':
			alone = true;
			break;
		case 'c':
			for (char *word = strtok(optarg, " "); word; word = strtok(NULL, " ")) {
				TRY(ncprun < 16);
				cprun[ncprun++] = word;
			}
			break;
		case 'r':
			TRY(nresults < MAX_RESULTS);
			results[nresults++] = optarg;
			break;
		case 's':
			srandom(atoi(optarg));
			break;
		default:
			return 2;
		}
	}
	for (i = optind; i < argc && strcmp(argv[i], "--"); i++)
		;
	if (optind >= i || i + 1 >= argc)
		end(2, "NAME, KILLS, --, COMMAND: which?");
	name = argv[optind];
	command = argv + i + 1;
	argv[i] = NULL;
	snprintf(home, sizeof(home), "/jobs/%s", name);
	snprintf(good, sizeof(good), "/jobs/%s.good", name);
	change_root();
	make_home(home);
	make_home(good);
	if (alone) {
		undisturbed();
		return 0;
	}
	/* from before the power was cut */
	if (!access(FILL, F_OK))
		start_without_room();
	for (i = optind + 1; argv[i]; ) {
		char *ms = strchr(argv[i], ':');

		TRY(ms);
		*ms = 0;
		begin(&r);
		if (kill_it(&r, argv[i], atoi(ms + 1) / 1000.0)) {
			i++;
		} else {
			*ms = ':';
			at_end(&r);
		}
	}
	begin(&r);
	if (!let_run(&r, LIMIT)) {
		show_processes(r.pid);
		end(1, "FAILED: it has not ended in %d s", LIMIT);
	}
	at_end(&r);
	return 0;
}
