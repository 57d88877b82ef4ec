/* SPDX-License-Identifier: GPL-2.0 */
/* Programs that are saved, killed and restarted: helpers/goes_on.c does something. */
#ifndef RESTARTED_H
#define RESTARTED_H

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cpimg.h>

#include "harness.h"
#include "moment.h"
#include "needs.h"

/* One for each test. */
static char folder[32];

static const char *in(const char *name)
{
	static char path[2][256];
	static int which;

	which = !which;
	snprintf(path[which], sizeof(path[which]), "%s/%s", folder, name);
	return path[which];
}

static void touch(const char *name, const char *text)
{
	int fd = open(in(name), O_CREAT | O_WRONLY | O_TRUNC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		abort();
	close(fd);
}

/* Up to 20 s. */
static bool appears(const char *name)
{
	for (int i = 0; i < 4000; i++) {
		if (!access(in(name), F_OK))
			return true;
		usleep(5000);
	}
	return false;
}


/* @user: whose it is */
static pid_t start(const char *act, uid_t user)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	if (user && (setresgid(user, user, user) || setresuid(user, user, user)))
		_exit(126);
	execl("/tests/goes_on", "goes_on", act, folder, NULL);
	_exit(127);
}

static long save(pid_t pid, unsigned int flags, struct cp_result *result)
{
	int dir = open(folder, O_PATH | O_DIRECTORY), fd = cp_pidfd(pid);
	struct cp_args args = {
		.flags = CP_MOMENT | CP_PROCESS | flags, .pidfd = fd, .dirfd = dir,
		.max_stop_ns = CP_MAX_STOP_NS,
		.result = (uintptr_t)result, .result_size = sizeof(*result),
	};
	long ret = cp_checkpoint(&args, sizeof(args));

	close(fd);
	close(dir);
	return ret;
}

#define START(act)	START_AS(act, 0)
#define START_AS(act, user) do { \
	self->pid = start(act, user); \
	ASSERT_LT(0, self->pid); \
	ASSERT_TRUE(appears("ready")); \
	usleep(100000); \
} while (0)

#define SAVE(more) do { \
	ASSERT_EQ(0, save(self->pid, more, &self->result)) TH_LOG("%m"); \
	ASSERT_EQ(0, self->result.refused) \
		TH_LOG("%s, at %llx", cpimg_refused_name(self->result.refused), \
		       (unsigned long long)self->result.refused_at); \
	ASSERT_TRUE(self->result.flags & CP_PROCESS); \
} while (0)

#define OPEN(name) do { \
	self->chain = cpimg_chain_open(in(name), NULL, 0, &self->err); \
	ASSERT_NE(NULL, self->chain) TH_LOG("%s", self->err.text); \
} while (0)

#define RESTART() do { \
	pid_t pid_ = self->pid; \
	self->pid = cp_restart(self->chain, cpimg_chain_length(self->chain) - 1, \
			       &self->how, &self->err); \
	ASSERT_EQ(pid_, self->pid) TH_LOG("%s", self->err.text); \
} while (0)

/* It comes to its end, and says that all was as it should be. */
#define ENDS_WELL() do { \
	int status_; \
	touch("go", ""); \
	ASSERT_EQ(self->pid, waitpid(self->pid, &status_, 0)); \
	self->pid = 0; \
	ASSERT_EQ(0, status_); \
} while (0)

#endif /* RESTARTED_H */
