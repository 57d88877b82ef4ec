// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --smp 2 --slow 64 --timeout 400 */
/*
 * The program does not stand still for a file system: however long that takes to write the
 * image, or to read what is to be saved, and be it the program itself that serves it.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "harness.h"
#include "moment.h"
#include "needs.h"

#define WORDS	64
#define SHARED	(2048 * PAGE)	/* copied in every stop, then written */
#define BEHIND	"/tmp/behind"
#define FUSE	"/tmp/fuse"
#define STALL	BEHIND "/.stall"
#define SECONDS	10

/* The emulator may keep a thread from its processor for some time, at the most so long. */
#define SOON	2.0

static volatile bool stop;
static volatile double longest;	/* between two words that were written */

static void *writer(void *arg)
{
	char *mem = arg;
	double last = cp_now();

	for (uint64_t round = 1; !stop; round++)
		for (size_t i = 0; i < WORDS; i++) {
			double now;

			*(volatile uint64_t *)(mem + i * PAGE) = round;
			now = cp_now();
			if (now - last > longest)
				longest = now - last;
			last = now;
		}
	return NULL;
}

/* Let writes into FUSE wait, from now on, for @seconds. */
static bool stall(unsigned int seconds)
{
	int fd = open(STALL, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	bool written = fd >= 0 && write(fd, "write", 5) == 5;

	close(fd);
	if (!written)
		return false;
	sleep(seconds);
	return !unlink(STALL);
}

/* Of the first image, and again of the second, as soon as that has a name. */
static void *staller(void *arg)
{
	char second[64];

	(void)arg;
	snprintf(second, sizeof(second), BEHIND "/%d-cp1", getpid());
	if (!stall(SECONDS))
		return "the first image is not stalled";
	for (int i = 0; access(second, F_OK); i++) {
		if (i == 20000)
			return "there is no second image";
		usleep(500);
	}
	return stall(SECONDS) ? NULL : "the second image is not stalled";
}

static bool mount_fuse(void)
{
	int status, pid;

	mkdir(BEHIND, 0777);
	mkdir(FUSE, 0777);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		execl(cp_helper("fuse_serve"), "fuse_serve", BEHIND, FUSE, NULL);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && !status;
}

/* Who serves it */
static int server(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int pid = -1;

	while (dir && (entry = readdir(dir))) {
		char path[300], comm[32] = "";
		FILE *f;

		if (!isdigit((unsigned char)*entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		f = fopen(path, "r");
		if (f && fgets(comm, sizeof(comm), f) && !strcmp(comm, "fuse_serve\n"))
			pid = atoi(entry->d_name);
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
	return pid;
}

FIXTURE(slow) {
	char			*mem;
	pthread_t		t;
	struct cp_args		args;
	struct cp_result	result;
};

FIXTURE_SETUP(slow)
{
	NEEDS_CP_CHECKPOINT();
	self->mem = map_in_order(WORDS);
	self->args = (struct cp_args)CP_ARGS_OWN;
	self->args.flags = CP_INCREMENTAL | CP_MOMENT;
	self->args.result = (uintptr_t)&self->result;
	self->args.result_size = sizeof(self->result);
	stop = false;
	longest = 0;
	if (!mount_fuse())
		SKIP(return, "no FUSE");
	self->args.dirfd = open(FUSE, O_PATH | O_DIRECTORY);
	ASSERT_LE(0, self->args.dirfd);
	ASSERT_EQ(0, pthread_create(&self->t, NULL, writer, self->mem));
}

FIXTURE_TEARDOWN(slow)
{
	stop = true;
	if (self->t)
		pthread_join(self->t, NULL);
	close(self->args.dirfd);
	umount2(FUSE, MNT_DETACH);
	chain_remove();
}

#define OPEN(name) ({ \
	struct cpimg_error err_; \
	struct cpimg_chain *all_ = cpimg_chain_open(name, NULL, 0, &err_); \
	\
	ASSERT_NE(NULL, all_) TH_LOG("%s", err_.text); \
	all_; \
})

TEST_F(slow, to_be_written)
{
	char *shared = mmap(NULL, SHARED, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);
	struct cp_span span[2] = {
		{ (uintptr_t)self->mem, (uintptr_t)self->mem + WORDS * PAGE },
		{ (uintptr_t)shared, (uintptr_t)shared + SHARED },
	};
	struct chain c = { 0 };
	pthread_t staller_thread;
	char path[64];
	double took;
	void *why;

	ASSERT_NE(MAP_FAILED, shared);
	cp_fill(shared, SHARED, 1);
	self->args.ranges = (uintptr_t)span;
	self->args.nr_ranges = 2;
	ASSERT_EQ(0, pthread_create(&staller_thread, NULL, staller, NULL));
	for (int i = 0; access(STALL, F_OK) && i < 2000; i++)
		usleep(500);
	took = cp_now();
	ASSERT_EQ(0, cp_checkpoint(&self->args, sizeof(self->args))) TH_LOG("%m");
	took = cp_now() - took;
	pthread_join(staller_thread, &why);
	ASSERT_EQ(NULL, why) TH_LOG("%s", (char *)why);
	TH_LOG("the call took %.1f s; the program stood still for %.2f ms, and at most %.2f ms without a word",
	       took, self->result.stop_ns / 1e6, longest * 1e3);
	/* Both images were held up. */
	EXPECT_LT(2 * SECONDS - 1, took);
	EXPECT_TRUE(self->result.flags & CP_MOMENT) TH_LOG("missed for %u", self->result.missed);
	EXPECT_EQ(2, self->result.images);
	EXPECT_GT(SOON * 1e9, self->result.stop_ns);
	EXPECT_GT(SOON, longest);
	snprintf(path, sizeof(path), BEHIND "/%s", self->result.name);
	c.all = OPEN(path);
	c.img = cpimg_chain_image(c.all, cpimg_chain_length(c.all) - 1);
	EXPECT_OK(is_in_order(&c, self->mem, WORDS));
	EXPECT_OK(chain_matches(&c, shared, SHARED));
	chain_close(&c);
}

/* It writes nothing while it stands still, or it would wait for itself. */
TEST_F(slow, that_the_program_serves)
{
	struct cpimg_chain *all;
	char path[64];

	self->args.pidfd = cp_pidfd(server());
	ASSERT_LE(0, self->args.pidfd) TH_LOG("%m");
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, cp_checkpoint(&self->args, sizeof(self->args))) TH_LOG("%m");
		EXPECT_TRUE(self->result.flags & CP_MOMENT)
			TH_LOG("missed for %u", self->result.missed);
		EXPECT_GT(SOON * 1e9, self->result.stop_ns);
		snprintf(path, sizeof(path), BEHIND "/%s", self->result.name);
		all = OPEN(path);
		cpimg_chain_close(all);
	}
	close(self->args.pidfd);
}

static void *forget(void *arg)
{
	int fd = *(int *)arg;

	while (!stop) {
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		sched_yield();
	}
	return NULL;
}

/*
 * A disk that takes a second for each 64 KiB, and what was read is forgotten again. Whether
 * that is in time for the stop is chance: calls are made till it once was.
 */
TEST_F(slow, to_be_read)
{
	const size_t len = 32 * PAGE;
	int fd = open("/dev/slow", O_RDONLY);
	char *shared = mmap(NULL, SHARED, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);
	struct cp_span span[3];
	double took, until;
	pthread_t forgets;
	int calls = 0;
	char *slow;

	if (fd < 0)
		SKIP(return, "no /dev/slow");
	ASSERT_NE(MAP_FAILED, shared);
	cp_fill(shared, SHARED, 1);
	slow = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, slow);
	span[0] = (struct cp_span){ (uintptr_t)slow, (uintptr_t)slow + len };
	/* takes some time to be saved, after what was read and before the stop */
	span[1] = (struct cp_span){ (uintptr_t)shared, (uintptr_t)shared + SHARED };
	span[2] = (struct cp_span){ (uintptr_t)self->mem, (uintptr_t)self->mem + WORDS * PAGE };
	self->args.ranges = (uintptr_t)span;
	self->args.nr_ranges = 3;
	self->args.dirfd = CP_DIR_TMP;
	ASSERT_EQ(0, pthread_create(&forgets, NULL, forget, &fd));
	until = cp_now() + 180;
	do {
		took = cp_now();
		ASSERT_EQ(0, cp_checkpoint(&self->args, sizeof(self->args))) TH_LOG("%m");
		took = cp_now() - took;
		EXPECT_GT(SOON * 1e9, self->result.stop_ns);
		EXPECT_EQ(!self->result.missed, !!(self->result.flags & CP_MOMENT));
		calls++;
	} while (!self->result.missed && cp_now() < until);
	TH_LOG("the call took %.1f s, missed for %u, %u images; the program stood still for %.2f ms, and at most %.2f ms without a word in %d calls",
	       took, self->result.missed, self->result.images, self->result.stop_ns / 1e6,
	       longest * 1e3, calls);
	EXPECT_LT(2, took);
	EXPECT_EQ(CP_MISSED_READ, self->result.missed);
	EXPECT_GT(SOON, longest);
	stop = true;
	pthread_join(forgets, NULL);
	munmap(slow, len);
	munmap(shared, SHARED);
	close(fd);
}

TEST_HARNESS_MAIN
