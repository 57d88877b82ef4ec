// SPDX-License-Identifier: GPL-2.0
/*
 * PID 1 of a guest: set the place up, run one program, tell its status, stop.
 *
 * What to do stands in /guest.conf, one thing a line, written by guest.sh:
 *
 *	swap DEV	swap on /dev/DEV
 *	slow DEV	/dev/slow is /dev/DEV
 *	disk DEV TYPE DIR	mount the file system of /dev/DEV on DIR
 *	share		mount the host's folder on /host
 *	tty		the program talks to a person: leave the terminal cooked
 *	kmemleak	look for leaked kernel memory when the program has ended
 *	apparmor	load the policy /apparmor.policy
 *	coverage	give gcov's counts to the host when the program has ended
 *	arg ARG		the program, then its arguments
 *
 * The program talks on ttyS1; the kernel log and the lines "guest: ..." go to
 * ttyS0. Only system calls that any kernel since 2.6.32 has.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define EXIT_PORT	0x501	/* QEMU's isa-debug-exit */
#define KMEMLEAK	"/sys/kernel/debug/kmemleak"
#define GCOV		"/sys/kernel/debug/gcov"
#define APPARMOR	"/sys/kernel/security/apparmor/.replace"
#define POLICY		"/apparmor.policy"
#define POLICY_SIZE	(1 << 20)
#define ADDED		"/.tmp"	/* what the archive has below /tmp */
#define MAX_ARGS	64
#define CONF_SIZE	16384

static const struct {
	const char *type, *where, *options;
} mounts[] = {
	{ "proc",	"/proc",		NULL },
	{ "sysfs",	"/sys",			NULL },
	{ "devpts",	"/dev/pts",		"mode=620,ptmxmode=666" },
	{ "tmpfs",	"/dev/shm",		"mode=1777" },
	{ "tmpfs",	"/tmp",			"mode=1777,size=90%" },
	{ "debugfs",	"/sys/kernel/debug",	NULL },
	{ "tracefs",	"/sys/kernel/tracing",	NULL },
	{ "securityfs",	"/sys/kernel/security",	NULL },
	{ "fusectl",	"/sys/fs/fuse/connections", NULL },
	{ "cgroup2",	"/sys/fs/cgroup",	NULL },
};

/* For a kernel without devtmpfs. */
static const struct {
	const char *name;
	int major, minor;
} nodes[] = {
	{ "/dev/mem", 1, 1 },	{ "/dev/null", 1, 3 },	{ "/dev/port", 1, 4 },
	{ "/dev/zero", 1, 5 },	{ "/dev/kmsg", 1, 11 },	{ "/dev/tty", 5, 0 },
	{ "/dev/console", 5, 1 },	{ "/dev/ptmx", 5, 2 },
	{ "/dev/ttyS0", 4, 64 },	{ "/dev/ttyS1", 4, 65 },
};

static char *args[MAX_ARGS + 1];
static int nargs, tty, kmemleak, coverage;

/* A line in the kernel log, whole: the console could mix it with the kernel's. */
static void say(const char *fmt, ...)
{
	char line[512];
	int fd, len;
	va_list ap;

	len = snprintf(line, sizeof(line), "<3>guest: ");
	va_start(ap, fmt);
	vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
	va_end(ap);
	strcat(line, "\n");
	fd = open("/dev/kmsg", O_WRONLY);
	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		fprintf(stderr, "%s", line + 3);
	if (fd >= 0)
		close(fd);
}

/* QEMU ends with 2 * status + 1, of which the host sees eight bits. */
static void __attribute__((noreturn)) stop(int status)
{
	unsigned char byte = status;
	int fd;

	sync();
	tcdrain(STDERR_FILENO);
	fd = open("/dev/port", O_WRONLY);
	if (fd < 0 || pwrite(fd, &byte, 1, EXIT_PORT) != 1)
		say("cannot write to port %#x: %s", EXIT_PORT, strerror(errno));
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void __attribute__((noreturn)) die(const char *what, const char *name)
{
	say("failed: %s %s: %s", what, name, strerror(errno));
	stop(1);
}

static void make_nodes(void)
{
	size_t i;

	for (i = 0; i < sizeof(nodes) / sizeof(*nodes); i++)
		mknod(nodes[i].name, S_IFCHR | 0666,
		      makedev(nodes[i].major, nodes[i].minor));
}

static void copy(const char *from, const char *to, mode_t mode)
{
	char buf[4096];
	ssize_t n;
	int in, out;

	in = open(from, O_RDONLY);
	if (in < 0)
		die("open", from);
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC, mode);
	if (out < 0)
		die("open", to);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		if (write(out, buf, n) != n)
			die("write", to);
	if (n < 0)
		die("read", from);
	close(in);
	close(out);
}

static int take_along(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	const char *to = path + strlen(ADDED);
	char name[4096];

	if (!ftw->level)
		return 0;
	snprintf(name, sizeof(name), "/tmp%s", to);
	if (type == FTW_D) {
		mkdir(name, 0755);
	} else {
		copy(path, name, st->st_mode & 0777);
		unlink(path);
	}
	return 0;
}

/* What this kernel does not have is not mounted; a program that needs it says so. */
static void mount_all(void)
{
	size_t i;
	int added;

	/* the tmpfs there shall not hide what guest.sh added */
	added = !rename("/tmp", ADDED);
	mkdir("/dev", 0755);
	if (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) && errno != EBUSY)
		make_nodes();
	for (i = 0; i < sizeof(mounts) / sizeof(*mounts); i++) {
		mkdir(mounts[i].where, 0755);
		mount(mounts[i].type, mounts[i].where, mounts[i].type, 0,
		      mounts[i].options);
	}
	if (added && nftw(ADDED, take_along, 16, FTW_PHYS))
		die("copy", ADDED);
	/* pipes and here-documents of scripts look for it */
	symlink("/proc/self/fd", "/dev/fd");
}

/* A folder of the host. */
static void mount_host(const char *tag, const char *where)
{
	mkdir(where, 0755);
	if (mount(tag, where, "9p", 0,
		  "trans=virtio,version=9p2000.L,msize=262144") &&
	    mount(tag, where, "9p", 0, "trans=virtio,version=9p2000.u"))
		die("mount", where);
}

static void swap_on(const char *dev)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/%s", dev);
	if (swapon(path, 0))
		die("swapon", path);
}

static void name_slow(const char *dev)
{
	if (symlink(dev, "/dev/slow"))
		die("symlink", "/dev/slow");
}

/* "DEV TYPE DIR" */
static void mount_disk(char *line)
{
	char *dev = strsep(&line, " "), *type = strsep(&line, " ");
	char path[64];

	snprintf(path, sizeof(path), "/dev/%s", dev);
	mkdir(line, 0755);
	if (mount(path, line, type, 0, NULL))
		die("mount", path);
}

/* AppArmor wants all of it in one write. */
static void load_policy(void)
{
	static char policy[POLICY_SIZE];
	ssize_t len;
	int fd;

	fd = open(POLICY, O_RDONLY);
	if (fd < 0)
		die("open", POLICY);
	len = read(fd, policy, sizeof(policy));
	if (len < 0 || len == sizeof(policy))
		die("read", POLICY);
	close(fd);
	fd = open(APPARMOR, O_WRONLY);
	/* A kernel without it: the program notices. */
	if (fd < 0 && errno == ENOENT)
		return;
	if (fd < 0 || write(fd, policy, len) != len)
		die("load " POLICY " by", APPARMOR);
	close(fd);
}

static void read_conf(void)
{
	static char conf[CONF_SIZE];
	char *line, *value, *next = conf;
	int fd;

	fd = open("/guest.conf", O_RDONLY);
	if (fd < 0 || read(fd, conf, sizeof(conf) - 1) < 0)
		die("read", "/guest.conf");
	close(fd);

	while ((line = strsep(&next, "\n"))) {
		value = strchr(line, ' ');
		if (value)
			*value++ = 0;
		if (!strcmp(line, "swap"))
			swap_on(value);
		else if (!strcmp(line, "slow"))
			name_slow(value);
		else if (!strcmp(line, "disk"))
			mount_disk(value);
		else if (!strcmp(line, "share"))
			mount_host("host", "/host");
		else if (!strcmp(line, "apparmor"))
			load_policy();
		else if (!strcmp(line, "tty"))
			tty = 1;
		else if (!strcmp(line, "kmemleak"))
			kmemleak = 1;
		else if (!strcmp(line, "coverage"))
			coverage = 1;
		else if (!strcmp(line, "arg")) {
			if (nargs == MAX_ARGS) {
				errno = E2BIG;
				die("take", value);
			}
			args[nargs++] = value;
		}
	}
}

/* The program's bytes go through as they are: no newline is made two. */
static int open_output(void)
{
	struct termios t;
	int fd;

	fd = open("/dev/ttyS1", O_RDWR | O_NOCTTY);
	if (fd < 0)
		die("open", "/dev/ttyS1");
	if (!tty && !tcgetattr(fd, &t)) {
		t.c_oflag &= ~OPOST;
		t.c_lflag &= ~(ECHO | ICANON | ISIG);
		tcsetattr(fd, TCSANOW, &t);
	}
	return fd;
}

static void __attribute__((noreturn)) run(int out)
{
	static char *env[] = {
		"PATH=/tests:/bin", "HOME=/", "TERM=vt100", NULL
	};
	int in;

	setsid();
	if (tty)
		ioctl(out, TIOCSCTTY, 0);
	in = tty ? out : open("/dev/null", O_RDONLY);
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	if (in > STDERR_FILENO)
		close(in);
	if (out > STDERR_FILENO)
		close(out);
	environ = env;
	execvp(args[0], args);
	fprintf(stderr, "%s: %s\n", args[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* Reaps whatever the program left behind until the program itself ends. */
static int wait_for(pid_t program)
{
	int status;
	pid_t pid;

	do
		pid = waitpid(-1, &status, 0);
	while (pid != program);

	if (WIFSIGNALED(status)) {
		say("%s was killed by signal %d (%s)", args[0],
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
		return 128 + WTERMSIG(status);
	}
	return WEXITSTATUS(status);
}

/*
 * kmemleak only reports what is older than five seconds, and only when two
 * looks agree.
 */
static void scan_kmemleak(void)
{
	char buf[4096];
	ssize_t n;
	int i, fd;

	fd = open(KMEMLEAK, O_RDWR);
	if (fd < 0)
		die("open", KMEMLEAK);
	sleep(6);
	for (i = 0; i < 2; i++) {
		if (write(fd, "scan", 4) != 4)
			die("scan", KMEMLEAK);
	}
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		write(STDERR_FILENO, buf, n);
	close(fd);
}

/* The files that are profiled are all of one folder: their names will do. */
static int save_counts(const char *path, const struct stat *st, int type,
		       struct FTW *ftw)
{
	const char *name = path + ftw->base;
	size_t len = strlen(name);
	char to[256];

	(void)st;
	if (type != FTW_F || len < 5 || strcmp(name + len - 5, ".gcda"))
		return 0;
	snprintf(to, sizeof(to), "/coverage/%s", name);
	copy(path, to, 0644);
	return 0;
}

static void save_coverage(void)
{
	mount_host("coverage", "/coverage");
	if (nftw(GCOV, save_counts, 16, FTW_PHYS))
		die("look into", GCOV);
}

int main(void)
{
	int out, status = 0;
	pid_t pid;

	umask(022);
	mount_all();
	while (open("/dev/console", O_RDWR) < STDERR_FILENO)
		;
	read_conf();
	out = open_output();

	if (nargs) {
		say("runs %s", args[0]);
		pid = fork();
		if (pid < 0)
			die("fork for", args[0]);
		if (!pid)
			run(out);
		status = wait_for(pid);
		kill(-1, SIGKILL);
		while (waitpid(-1, NULL, 0) > 0)
			;
	}
	tcdrain(out);
	if (kmemleak)
		scan_kmemleak();
	if (coverage)
		save_coverage();
	say("exit status %d", status);
	stop(status);
}
