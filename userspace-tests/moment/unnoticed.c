// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --smp 2 --timeout 400 */
/*
 * Nobody notices: no system call ends early, no signal comes, and what waits for a time
 * waits for that.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "harness.h"
#include "moment.h"

#define LEN	(64 * PAGE)

static int pipes[2], sockets[2], listening, poller, queue, semaphore, locked, word;

#define BLOCKS(name, call) \
	static long name(void) { return call; }

static char byte;
static struct pollfd poll_fd;
static struct epoll_event event;
static struct { long type; char text[8]; } msg;
static struct sembuf down = { 0, -1, 0 };
static struct iovec vec = { &byte, 1 };
static struct msghdr header = { .msg_iov = &vec, .msg_iovlen = 1 };
static sigset_t usr1;

static long do_select(void)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(pipes[0], &set);
	return select(pipes[0] + 1, &set, NULL, NULL, NULL);
}

BLOCKS(do_read, read(pipes[0], &byte, 1))
BLOCKS(do_readv, readv(pipes[0], &vec, 1))
BLOCKS(do_poll, poll(&poll_fd, 1, -1))
BLOCKS(do_poll_time, poll(&poll_fd, 1, 1000000))
BLOCKS(do_epoll, epoll_wait(poller, &event, 1, -1))
BLOCKS(do_accept, accept(listening, NULL, NULL))
BLOCKS(do_recv, recv(sockets[0], &byte, 1, 0))
BLOCKS(do_recvmsg, recvmsg(sockets[0], &header, 0))
BLOCKS(do_futex, syscall(SYS_futex, &word, 0, 0, NULL, NULL, 0))
BLOCKS(do_msgrcv, msgrcv(queue, &msg, sizeof(msg.text), 0, 0))
BLOCKS(do_semop, semop(semaphore, &down, 1))
BLOCKS(do_flock, flock(locked, LOCK_EX))
BLOCKS(do_pause, pause())
BLOCKS(do_sigwait, sigwaitinfo(&usr1, NULL))
BLOCKS(do_sleep, nanosleep(&((struct timespec){ 1000000, 0 }), NULL))
BLOCKS(do_clock_sleep, clock_nanosleep(CLOCK_MONOTONIC, 0,
				       &((struct timespec){ 1000000, 0 }), NULL))

static const struct call {
	const char *name;
	long (*call)(void);
} calls[] = {
	{ "read", do_read }, { "readv", do_readv }, { "poll", do_poll },
	{ "poll with a time", do_poll_time }, { "select", do_select },
	{ "epoll_wait", do_epoll }, { "accept", do_accept }, { "recv", do_recv },
	{ "recvmsg", do_recvmsg }, { "futex", do_futex }, { "msgrcv", do_msgrcv },
	{ "semop", do_semop }, { "flock", do_flock }, { "pause", do_pause },
	{ "sigwaitinfo", do_sigwait }, { "nanosleep", do_sleep },
	{ "clock_nanosleep", do_clock_sleep },
};

#define NR	(sizeof(calls) / sizeof(*calls))

static volatile int came_back[NR];

static void *block(void *arg)
{
	const struct call *call = arg;
	long ret;

	errno = 0;
	ret = call->call();
	came_back[call - calls] = ret < 0 ? errno : -1;
	return NULL;
}

TEST(no_system_call_ends_early)
{
	const int rounds = cp_debug_kernel() ? 50 : 200;
	struct sockaddr_un where = { .sun_family = AF_UNIX, .sun_path = "/tmp/socket" };
	pthread_t t[NR];
	struct chain c = { 0 };
	struct cp_result r;
	int reached = 0;
	char *mem = cp_map(LEN);

	NEEDS_CP_CHECKPOINT();
	cp_fill(mem, LEN, 1);
	ASSERT_EQ(0, pipe(pipes));
	poll_fd = (struct pollfd){ .fd = pipes[0], .events = POLLIN };
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	listening = socket(AF_UNIX, SOCK_STREAM, 0);
	ASSERT_EQ(0, bind(listening, (struct sockaddr *)&where, sizeof(where)));
	ASSERT_EQ(0, listen(listening, 1));
	poller = epoll_create1(0);
	event = (struct epoll_event){ .events = EPOLLIN };
	ASSERT_EQ(0, epoll_ctl(poller, EPOLL_CTL_ADD, pipes[0], &event));
	queue = msgget(IPC_PRIVATE, 0600);
	semaphore = semget(IPC_PRIVATE, 1, 0600);
	locked = open("/tmp/lock", O_RDWR | O_CREAT, 0600);
	ASSERT_EQ(0, flock(open("/tmp/lock", O_RDWR), LOCK_EX));
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);

	for (size_t i = 0; i < NR; i++) {
		ASSERT_EQ(0, pthread_create(&t[i], NULL, block, (void *)&calls[i]));
	}
	usleep(200000);
	for (int i = 0; i < rounds; i++) {
		mem[i % 64 * PAGE]++;
		ASSERT_OK(chain_moment(&c, mem, LEN, &r));
		reached += !!(r.flags & CP_MOMENT);
		EXPECT_EQ(NR + 1, r.threads);
		if (i % 64 == 63)
			chain_remove();
	}
	TH_LOG("%d of %d moments", reached, rounds);
	EXPECT_LT(rounds * 9 / 10, reached);
	for (size_t i = 0; i < NR; i++) {
		EXPECT_EQ(0, came_back[i]) TH_LOG("%s: %s", calls[i].name,
						  came_back[i] < 0 ? "came back" :
						  strerror(came_back[i]));
	}
	msgctl(queue, IPC_RMID, NULL);
	semctl(semaphore, 0, IPC_RMID);
	chain_close(&c);
	chain_remove();
}

TEST_HARNESS_MAIN
