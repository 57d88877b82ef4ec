// SPDX-License-Identifier: GPL-2.0
/*
 * What a checkpoint is asked for, and who asks. The parent of a run waits for it to end,
 * and saves it meanwhile when it is asked to: what it is asked for stands in memory that
 * the two share.
 */
#include <poll.h>
#include <sys/socket.h>

#include "asked.h"
#include "moment.h"

static const char *const folder_name[NR_FOLDERS] = { "/tmp", "/tmp/other", "/disk2" };
static int folder_fd[NR_FOLDERS];

static struct shared {
	struct cp_args		args;
	struct cp_span		span[MOST_SPANS];
	struct cp_result	result;
	long			ret;
	int			err;
	bool			serves;
} *shared;

static int pair[2] = { -1, -1 };

/* Before there is a run: parent and child have the same descriptors and addresses. */
void asked_init(void)
{
	int fd;

	mkdir(folder_name[FOLDER_OTHER], 0700);
	for (unsigned int i = FOLDER_OTHER; i < NR_FOLDERS; i++)
		folder_fd[i] = open(folder_name[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
	folder_fd[FOLDER_TMP] = CP_DIR_TMP;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
	fd = cp_pidfd(getpid());
	shared->serves = fd >= 0;
	close(fd);
}

bool asked_has(unsigned int folder)
{
	return folder == FOLDER_TMP || folder_fd[folder] >= 0;
}

/* Whether this kernel has that. */
bool asked_can(enum way way)
{
	static int lacks = -1;

	if (lacks < 0)
		lacks = !!cp_lacks_call("cp_checkpoint()", __NR_cp_checkpoint);
	return way == WAY_RANGE || (!lacks && (way == WAY_OWN || shared->serves));
}

void asked_name(char *name, unsigned int folder, int tid, unsigned long n)
{
	sprintf(name, "%s/%d-cp%lu", folder_name[folder], tid, n);
}

static void fill_args(struct cp_args *args, const struct asked *asked,
		      const struct cp_span *span, struct cp_result *result)
{
	*args = (struct cp_args) {
		.flags = asked->flags,
		.pidfd = -1,
		.dirfd = folder_fd[asked->folder],
		.ranges = (uintptr_t)span,
		.nr_ranges = asked->nr,
		.max_stop_ns = asked->max_stop_ns,
		.max_bytes = asked->max_bytes,
		.result = (uintptr_t)result,
		.result_size = sizeof(*result),
	};
}

static long by_parent(const struct asked *asked, struct cp_result *result)
{
	char c = 0;

	memcpy(shared->span, asked->span, sizeof(shared->span));
	fill_args(&shared->args, asked, shared->span, &shared->result);
	if (write(pair[1], &c, 1) != 1 || read(pair[1], &c, 1) != 1)
		fail("the parent does not answer: %s", strerror(errno));
	*result = shared->result;
	errno = shared->err;
	return shared->ret;
}

/* By the calling thread, or for it. Of WAY_RANGE nothing is in @result. */
long asked_call(const struct asked *asked, struct cp_result *result)
{
	void *start = (void *)(uintptr_t)asked->span[0].start;
	void *end = (void *)(uintptr_t)asked->span[0].end;
	struct cp_args args;

	switch (asked->way) {
	case WAY_RANGE:
		return asked->flags & CP_INCREMENTAL ? inc_cp_range(start, end) :
						       cp_range(start, end);
	case WAY_OWN:
		fill_args(&args, asked, asked->span, result);
		return cp_checkpoint(&args, sizeof(args));
	case WAY_PARENT:
		return by_parent(asked, result);
	}
	return -1;
}

static int by_start(const void *a, const void *b)
{
	const struct cp_span *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/*
 * The areas that its image should have: whole pages, in order, apart from each other.
 * Return: how many.
 */
unsigned int asked_areas(const struct asked *asked, struct cp_span *area)
{
	unsigned int nr = 0, at;

	for (unsigned int i = 0; i < asked->nr; i++) {
		struct cp_span a = {
			asked->span[i].start & ~(PAGE - 1),
			(asked->span[i].end + PAGE - 1) & ~(PAGE - 1),
		};

		/* Those that it touches become part of it. */
		for (at = 0; at < nr;) {
			if (area[at].end < a.start || area[at].start > a.end) {
				at++;
				continue;
			}
			a.start = area[at].start < a.start ? area[at].start : a.start;
			a.end = area[at].end > a.end ? area[at].end : a.end;
			area[at] = area[--nr];
		}
		area[nr++] = a;
	}
	qsort(area, nr, sizeof(*area), by_start);
	return nr;
}

/* All of them, whoever made them. */
void asked_remove_images(void)
{
	for (unsigned int i = 0; i < NR_FOLDERS; i++)
		chain_remove_in(folder_name[i]);
}

/* fork(): the child can ask its parent, which is to serve then. */
int asked_fork(void)
{
	int pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		fail("socketpair: %s", strerror(errno));
	fflush(NULL);
	pid = fork();
	close(pair[!pid ? 0 : 1]);
	return pid;
}

/* Save the child @pid whenever it asks for it, till it ends. */
void asked_serve(int pid)
{
	struct pollfd fds[2] = {
		{ .fd = pair[0], .events = POLLIN },
		{ .fd = cp_pidfd(pid), .events = POLLIN },
	};
	char c;

	/* Its children have the other end of the pair, too: so its pidfd says that it ended. */
	while (fds[1].fd >= 0 && poll(fds, 2, -1) > 0 && !fds[1].revents &&
	       read(pair[0], &c, 1) == 1) {
		shared->args.pidfd = fds[1].fd;
		shared->ret = cp_checkpoint(&shared->args, sizeof(shared->args));
		shared->err = errno;
		if (write(pair[0], &c, 1) != 1)
			break;
	}
	close(pair[0]);
	if (fds[1].fd >= 0)
		close(fds[1].fd);
}
