// SPDX-License-Identifier: GPL-2.0
/*
 * CRIU dumps a process from outside, so the process that saves itself asks its
 * parent for it. They talk by eventfds, which CRIU knows how to dump. Images are in
 * /tmp/criu-<n>; an incremental one needs all that went before it.
 */
#include <dirent.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "cp_test.h"
#include "schemes.h"
#include "schemes_peers.h"

#define CRIU	"/usr/sbin/criu"

enum request { DUMP = 1, DISCARD, DUMP_NO_MORE };

static const char *folder(unsigned long n, bool relative)
{
	static char name[2][32];

	snprintf(name[relative], sizeof(name[relative]), "%scriu-%lu",
		 relative ? "../" : "/tmp/", n);
	return name[relative];
}

/* Ask the server, wait for the answer. */
static bool ask(struct saver *saver, uint64_t request)
{
	uint64_t answer = 0;
	ssize_t n;

	if (write(saver->ask, &request, 8) != 8)
		return false;
	/* CRIU stops us in read(), which then ends early */
	do
		n = read(saver->answer, &answer, 8);
	while (n < 0 && errno == EINTR);
	if (n != 8)
		return false;
	if (answer != 1)
		errno = ENOTSUP;
	return answer == 1;
}

bool criu_begin(struct saver *saver)
{
	/* an image that all the others build on */
	if (!criu_save(saver))
		return false;
	criu_discard(saver);
	return true;
}

bool criu_save(struct saver *saver)
{
	saver->path[0] = 0;
	if (access(CRIU, X_OK))
		return false;
	return ask(saver, DUMP);
}

static double size_of(const char *dir)
{
	double bytes = 0;
	DIR *d = opendir(dir);
	struct dirent *entry;
	struct stat st;

	while (d && (entry = readdir(d)))
		if (!fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
		    S_ISREG(st.st_mode))
			bytes += st.st_size;
	if (d)
		closedir(d);
	return bytes;
}

void criu_discard(struct saver *saver)
{
	saver->bytes = size_of(folder(saver->n++, false));
	ask(saver, DISCARD);
}

void criu_end(struct saver *saver)
{
	ask(saver, DUMP_NO_MORE);
}

static void remove_folder(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		unlinkat(dirfd(d), entry->d_name, 0);
	if (d)
		closedir(d);
	rmdir(dir);
}

/* What CRIU has to say when it fails, as remarks among the results. */
static void show_log(unsigned long n)
{
	char line[256];
	FILE *f;

	snprintf(line, sizeof(line), "%s/log", folder(n, false));
	f = fopen(line, "re");
	while (f && fgets(line, sizeof(line), f))
		printf("# criu: %s", line);
	fflush(stdout);
	if (f)
		fclose(f);
}

static bool dump(pid_t pid, unsigned long n, size_t how)
{
	const char *argv[20];
	char tree[16];
	int i = 0, status;
	pid_t criu;

	snprintf(tree, sizeof(tree), "%d", pid);
	remove_folder(folder(n, false));
	mkdir(folder(n, false), 0700);
	argv[i++] = CRIU;
	argv[i++] = how & CRIU_DUMP ? "dump" : "pre-dump";
	argv[i++] = "--tree";
	argv[i++] = tree;
	argv[i++] = "--images-dir";
	argv[i++] = folder(n, false);
	argv[i++] = "--log-file";
	argv[i++] = "log";
	argv[i++] = "-v1";
	if (how & CRIU_DUMP) {
		argv[i++] = "--leave-running";
		argv[i++] = "--shell-job";
		argv[i++] = "--manage-cgroups=ignore";
	}
	if (how & CRIU_TRACK)
		argv[i++] = "--track-mem";
	if ((how & CRIU_TRACK) && n) {
		argv[i++] = "--prev-images-dir";
		argv[i++] = folder(n - 1, true);
	}
	argv[i] = NULL;
	criu = fork();
	if (!criu) {
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	if (criu > 0 && waitpid(criu, &status, 0) == criu && !status)
		return true;
	printf("# criu: status 0x%x\n", status);
	show_log(n);
	return false;
}

/* Wait for a request. Return: false when there will be none, @worker is gone. */
static bool next_request(struct saver *saver, pid_t worker, uint64_t *request)
{
	struct pollfd asked = { .fd = saver->ask, .events = POLLIN };
	siginfo_t info = { .si_pid = 0 };

	while (poll(&asked, 1, 1000) <= 0) {
		waitid(P_PID, worker, &info, WEXITED | WNOHANG | WNOWAIT);
		if (info.si_pid)
			return false;
	}
	return read(saver->ask, request, 8) == 8;
}

/* Do what @worker asks for until it has had enough. */
void criu_serve(struct saver *saver, pid_t worker)
{
	size_t how = saver->scheme->arg;
	unsigned long n = 0;
	uint64_t request, answer;

	while (next_request(saver, worker, &request)) {
		answer = 1;
		if (request == DUMP)
			answer = 2 - dump(worker, n, how);
		else if (request == DISCARD && !(how & CRIU_TRACK))
			remove_folder(folder(n, false));
		if (request == DISCARD)
			n++;
		write(saver->answer, &answer, 8);
		if (request == DUMP_NO_MORE)
			break;
	}
	for (unsigned long i = 0; i <= n; i++)
		remove_folder(folder(i, false));
}
