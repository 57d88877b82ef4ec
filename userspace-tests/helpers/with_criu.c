// SPDX-License-Identifier: GPL-2.0
/*
 * CRIU and we in turn, on one program: a worker that writes a fifth of its memory,
 * saves it and rebuilds it from the chain, a step at a time, while CRIU dumps it,
 * with soft-dirty bits, and restores it. Neither may take from the other what it
 * needs to know of the changes. Started by trust/criu.t, which brings CRIU along.
 */
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "chain.h"
#include "harness.h"

#define CRIU	"/usr/sbin/criu"
#define MEM	((char *)0x100000000000UL)
#define PAGES	2048UL

/* What a page holds follows from its number and the step. */
static bool writes(unsigned int step, size_t page)
{
	return !step || (page * 2654435761U ^ step * 40503U) / 7 % 5 == 0;
}

static unsigned int seed_of(unsigned int step, size_t page)
{
	while (!writes(step, page))
		step--;
	return step * PAGES + page + 1;
}

static const char *look_at_memory(unsigned int step)
{
	static unsigned char want[PAGE];
	static char why[64];

	for (size_t page = 0; page < PAGES; page++) {
		cp_fill(want, PAGE, seed_of(step, page));
		if (!memcmp(want, MEM + page * PAGE, PAGE))
			continue;
		snprintf(why, sizeof(why), "page %zu is not of step %u", page, step);
		return why;
	}
	return NULL;
}

static const char *save(struct chain *c, bool restored)
{
	const char *why;

	if (restored) {
		/* Another process of the same number: its images are in the way. */
		c->n = 0;
		if (!inc_cp_range(MEM, MEM + PAGES * PAGE) || errno != EEXIST)
			return "an image of before was overwritten";
		chain_remove();
	}
	why = chain_inc(c, MEM, PAGES * PAGE);
	if (!why)
		why = chain_matches(c, MEM, PAGES * PAGE);
	if (!why)
		why = restored ? chain_is(c, CP_KIND_FULL, CP_REASON_FIRST) :
		      chain_is(c, c->n == 1 ? CP_KIND_FULL : CP_KIND_INCREMENTAL,
			       c->n == 1 ? CP_REASON_FIRST : CP_REASON_CHAIN);
	return why;
}

/* The two talk by files, which stay out of CRIU's way. */
static void say(const char *name, const char *text)
{
	char tmp[32];

	snprintf(tmp, sizeof(tmp), "%s.new", name);
	unlink(tmp);
	close(open(tmp, O_CREAT | O_EXCL | O_WRONLY, 0600));
	cp_write_file(tmp, text);
	rename(tmp, name);
}

static bool hear(const char *name, char *text, size_t size)
{
	int fd = open(name, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	unlink(name);
	text[n < 0 ? 0 : n] = 0;
	return true;
}

static void work(void)
{
	unsigned int step, restored;
	struct chain c = { 0 };
	const char *why = NULL;
	char order[32];
	int null;

	setsid();
	null = open("/dev/null", O_RDWR);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	for (int fd = 3; fd < 64; fd++)
		close(fd);
	if (cp_map_at(MEM, PAGES * PAGE) != MEM)
		_exit(1);
	for (;;) {
		while (!hear("/tmp/order", order, sizeof(order)))
			usleep(1000);
		if (sscanf(order, "%u %u", &step, &restored) != 2)
			_exit(2);
		if (step)
			why = look_at_memory(step - 1);
		for (size_t page = 0; page < PAGES; page++)
			if (writes(step, page))
				cp_fill(MEM + page * PAGE, PAGE, seed_of(step, page));
		/* CRIU sees steps that were saved and some that were not. */
		if (!why && (restored || step % 3))
			why = save(&c, restored);
		say("/tmp/answer", why ? why : "ok");
	}
}

FIXTURE(both) {
	pid_t worker;
	unsigned int step;
	unsigned int dumps;
};

/* CRIU looks at what the kernel can do by talking to itself over the network. */
__attribute__((constructor))
static void network(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	ioctl(fd, SIOCSIFFLAGS, &lo);
	close(fd);
}

FIXTURE_SETUP(both)
{
	self->step = 1;		/* step 0 writes all and is not saved */
	self->worker = fork();
	if (!self->worker)
		work();
	say("/tmp/order", "0 0");
}

FIXTURE_TEARDOWN(both)
{
	cp_kill(self->worker);
	chain_remove();
}

/* Wait for the last step, then run a step. */
static const char *finish(struct _test_data_both *self)
{
	static char answer[1024];
	int status;

	while (!hear("/tmp/answer", answer, sizeof(answer))) {
		if (waitpid(self->worker, &status, WNOHANG) == self->worker)
			return "the worker died";
		usleep(1000);
	}
	return strcmp(answer, "ok") ? answer : NULL;
}

static const char *next(struct _test_data_both *self, bool restored)
{
	char order[32];

	snprintf(order, sizeof(order), "%u %d", self->step++, restored);
	say("/tmp/order", order);
	return finish(self);
}

static void show(const char *file)
{
	char line[256];
	FILE *f = fopen(file, "re");

	while (f && fgets(line, sizeof(line), f))
		printf("# criu: %s", line);
	if (f)
		fclose(f);
}

/* criu WHAT in the images' folder of this number, with up to six words more. */
static int criu(const char *what, unsigned int n, const char *const more[6])
{
	const char *argv[16] = { CRIU, what, "--log-file", "log", "-v2" };
	char dir[32], log[64];
	int status = -1, i = 5;
	pid_t pid;

	snprintf(dir, sizeof(dir), "/tmp/criu%u", n);
	snprintf(log, sizeof(log), "%s/log", dir);
	mkdir(dir, 0700);
	argv[i++] = "--images-dir";
	argv[i++] = dir;
	for (int j = 0; j < 6 && more[j]; j++)
		argv[i++] = more[j];
	pid = fork();
	if (!pid) {
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	if (status)
		show(log);
	return status;
}

/* "pre-dump", or "dump", after which the worker is no more. */
static int dump(struct _test_data_both *self, const char *how)
{
	char tree[16], prev[32];
	const char *more[6] = { "--tree", tree, "--track-mem" };

	snprintf(tree, sizeof(tree), "%d", self->worker);
	snprintf(prev, sizeof(prev), "../criu%u", self->dumps - 1);
	if (self->dumps) {
		more[3] = "--prev-images-dir";
		more[4] = prev;
	}
	return criu(how, self->dumps++, more);
}

static int restore(struct _test_data_both *self)
{
	static const char *const more[6] = { "--restore-detached", "--restore-sibling" };
	int status = 0;

	waitpid(self->worker, &status, 0);
	if (!WIFSIGNALED(status))
		return -1;
	status = criu("restore", self->dumps - 1, more);
	self->dumps = 0;	/* no chain over a restore */
	return status;
}

TEST_F(both, pre_dumps_between_checkpoints)
{
	ASSERT_OK(finish(self));
	for (int i = 0; i < 12; i++) {
		ASSERT_EQ(0, dump(self, "pre-dump"));
		ASSERT_OK(next(self, false));
		if (i % 2)
			ASSERT_OK(next(self, false));
	}
}

TEST_F(both, killed_and_restored)
{
	ASSERT_OK(finish(self));
	for (int i = 0; i < 4; i++) {
		ASSERT_OK(next(self, false));
		ASSERT_OK(next(self, false));
		/* Pages of three images: of CRIU's bits the last must be right too. */
		for (int j = 0; j < i; j++) {
			ASSERT_EQ(0, dump(self, "pre-dump"));
			ASSERT_OK(next(self, false));
		}
		ASSERT_EQ(0, dump(self, "dump"));
		ASSERT_EQ(0, restore(self));
		ASSERT_OK(next(self, true));
		ASSERT_OK(next(self, false));
	}
}

/* All of what "criu check" wants would take network devices, which this kernel lacks. */
TEST(criu_check)
{
	static const char *const feature[6] = { "--feature", "mem_dirty_track" };

	ASSERT_EQ(0, criu("check", 99, feature));
}

TEST_HARNESS_MAIN
