// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 --disk 128 --disk xfs:300 */
/*
 * What cp_checkpoint() can be asked for: a folder, ranges, a result. Bad arguments have
 * an errno of their own, and cost nothing.
 */
#include "harness.h"
#include "moment.h"
#include "needs.h"

#define LEN	(64 * PAGE)
#define FOLDER	"/tmp/asked"

FIXTURE(asked) {
	char			*mem;
	struct chain		c;
	struct cp_args		args;
	struct cp_result	result;
};

FIXTURE_SETUP(asked)
{
	NEEDS_CP_CHECKPOINT();
	self->mem = cp_map(LEN);
	cp_fill(self->mem, LEN, 1);
	self->args = (struct cp_args)CP_ARGS_OWN;
	self->args.result = (uintptr_t)&self->result;
	self->args.result_size = sizeof(self->result);
	mkdir(FOLDER, 0755);
}

FIXTURE_TEARDOWN(asked)
{
	chain_close(&self->c);
	chain_remove();
}

#define ASK()	cp_checkpoint(&self->args, sizeof(self->args))

/* Refused with that error: there is no file, and the counter has not moved. */
#define REFUSED(error, call) do { \
	errno = 0; \
	EXPECT_EQ(-1, call); \
	EXPECT_EQ(error, errno) TH_LOG("%s: %m", #call); \
	EXPECT_OK(cp_no_file(getpid(), 0)); \
} while (0)

TEST_F(asked, all_of_the_memory)
{
	struct cpimg *img;
	int pid, status;

	/* One that maps nothing more till it has been looked at */
	pid = fork();
	if (!pid) {
		if (ASK())
			_exit(errno);
		raise(SIGSTOP);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status)) TH_LOG("status %#x", status);
	img = cp_open(pid, 0);
	ASSERT_NE(NULL, img);
	EXPECT_OK(cp_same_bytes(img, self->mem, LEN));
	EXPECT_OK(cp_check_maps(img, pid));
	cp_kill(pid);
	EXPECT_EQ(CP_KIND_FULL, cpimg_note(img)->kind);
	cpimg_close(img);
}

TEST_F(asked, the_result_is_what_the_image_says)
{
	const struct cp_note *note;
	struct stat st;

	self->args.flags = CP_INCREMENTAL;
	for (int i = 0; i < 3; i++) {
		self->mem[i * PAGE]++;
		ASSERT_OK(chain_ask(&self->c, &self->args, self->mem, LEN, &self->result));
		note = cpimg_note(self->c.img);
		EXPECT_EQ(i, self->result.n);
		EXPECT_EQ(note->n, self->result.n);
		EXPECT_EQ(note->kind, self->result.kind);
		EXPECT_EQ(note->reason, self->result.reason);
		EXPECT_EQ(i ? CP_KIND_INCREMENTAL : CP_KIND_FULL, self->result.kind);
		EXPECT_EQ(i ? (__u64)CP_INCREMENTAL : 0, self->result.flags);
		EXPECT_EQ(note->pages_data, self->result.pages_data);
		EXPECT_EQ(note->pages_same, self->result.pages_same);
		EXPECT_EQ(note->pages_hole, self->result.pages_hole);
		EXPECT_EQ(note->pages_skipped, self->result.pages_skipped);
		EXPECT_EQ(LEN / PAGE, self->result.pages_data + self->result.pages_same);
		EXPECT_EQ(0, memcmp(note->id, self->result.id, CP_ID_SIZE));
		EXPECT_EQ(1, self->result.images);
		EXPECT_EQ(1, self->result.threads);
		EXPECT_EQ(0, self->result.stop_ns);
		ASSERT_EQ(0, stat(cpimg_path(self->c.img), &st));
		EXPECT_EQ(st.st_size, self->result.bytes);
		EXPECT_STREQ(strrchr(cpimg_path(self->c.img), '/') + 1, self->result.name);
	}
}

TEST_F(asked, a_result_of_another_size)
{
	struct {
		struct cp_result result;
		char more[64];
	} r;

	memset(&r, 'x', sizeof(r));
	self->args.result = (uintptr_t)&r;
	self->args.result_size = CP_RESULT_SIZE_VER0 - 1;
	REFUSED(EINVAL, ASK());
	self->args.result_size = PAGE + 1;
	REFUSED(E2BIG, ASK());
	self->args.result_size = 0;
	REFUSED(EINVAL, ASK());
	self->args.result_size = sizeof(r);
	ASSERT_EQ(0, ASK()) TH_LOG("%m");
	EXPECT_EQ(1, r.result.images);
	for (size_t i = 0; i < sizeof(r.more); i++)
		EXPECT_EQ(0, r.more[i]);
}

TEST_F(asked, a_bad_address)
{
	char *two = cp_map(2 * PAGE);
	void *nowhere = two + PAGE;

	munmap(nowhere, PAGE);
	REFUSED(EFAULT, cp_checkpoint(nowhere, sizeof(self->args)));
	REFUSED(EFAULT, cp_checkpoint((void *)((char *)nowhere - 8), sizeof(self->args)));
	self->args.result = (uintptr_t)nowhere;
	REFUSED(EFAULT, ASK());
	self->args.result = (uintptr_t)nowhere - 8;
	REFUSED(EFAULT, ASK());
	mprotect(two, PAGE, PROT_READ);
	self->args.result = (uintptr_t)two;
	REFUSED(EFAULT, ASK());
	self->args.result = (uintptr_t)&self->result;
	self->args.ranges = (uintptr_t)nowhere;
	self->args.nr_ranges = 1;
	REFUSED(EFAULT, ASK());
}

TEST_F(asked, arguments_of_another_size)
{
	struct {
		struct cp_args args;
		__u64 more[2];
	} a = { .args = self->args };

	REFUSED(EINVAL, cp_checkpoint(&a.args, 0));
	REFUSED(EINVAL, cp_checkpoint(&a.args, CP_ARGS_SIZE_VER0 - 1));
	REFUSED(E2BIG, cp_checkpoint(&a.args, PAGE + 1));
	a.more[1] = 1;
	REFUSED(E2BIG, cp_checkpoint(&a.args, sizeof(a)));
	a.more[1] = 0;
	EXPECT_EQ(0, cp_checkpoint(&a.args, sizeof(a))) TH_LOG("%m");
}

TEST_F(asked, flags_that_nobody_knows)
{
	for (int bit = 0; bit < 64; bit++) {
		self->args.flags = 1ULL << bit;
		if (self->args.flags & (CP_INCREMENTAL | CP_MOMENT | CP_DIRECT))
			continue;
		REFUSED(EINVAL, ASK());
	}
}

TEST_F(asked, of_a_moment_without_one)
{
	self->args.max_stop_ns = 1;
	REFUSED(EINVAL, ASK());
	self->args.max_stop_ns = 0;
	self->args.max_bytes = 1;
	REFUSED(EINVAL, ASK());
	self->args.flags = CP_MOMENT;
	self->args.max_stop_ns = CP_MAX_STOP_NS + 1;
	REFUSED(EINVAL, ASK());
}

TEST_F(asked, no_process)
{
	int fd = open("/", O_RDONLY);

	self->args.pidfd = -2;
	REFUSED(EBADF, ASK());
	self->args.pidfd = fd;		/* not a pidfd */
	REFUSED(EBADF, ASK());
	close(fd);
	REFUSED(EBADF, ASK());
	self->args.pidfd = INT32_MIN;
	REFUSED(EBADF, ASK());
}

static const char *image_in(const char *folder, const struct cp_result *result)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, result->name);
	return path;
}

TEST_F(asked, a_folder)
{
	struct cpimg_error err;
	struct cpimg *img;

	self->args.dirfd = open(FOLDER, O_PATH | O_DIRECTORY);
	ASSERT_LE(0, self->args.dirfd);
	ASSERT_EQ(0, ASK()) TH_LOG("%m");
	EXPECT_OK(cp_no_file(getpid(), 0));
	img = cpimg_open(image_in(FOLDER, &self->result), 0, &err);
	ASSERT_NE(NULL, img) TH_LOG("%s", err.text);
	EXPECT_OK(cp_same_bytes(img, self->mem, LEN));
	cpimg_close(img);
	ASSERT_EQ(0, unlink(image_in(FOLDER, &self->result)));

	/* The working directory */
	ASSERT_EQ(0, chdir(FOLDER));
	self->args.dirfd = AT_FDCWD;
	ASSERT_EQ(0, ASK()) TH_LOG("%m");
	EXPECT_EQ(1, self->result.n);
	EXPECT_EQ(0, access(image_in(FOLDER, &self->result), F_OK));
	unlink(image_in(FOLDER, &self->result));
	chdir("/");
}

TEST_F(asked, no_folder)
{
	int file = open("/tmp/file", O_RDWR | O_CREAT, 0600);

	self->args.dirfd = file;
	REFUSED(ENOTDIR, ASK());
	close(file);
	REFUSED(EBADF, ASK());
	self->args.dirfd = -1;
	REFUSED(EBADF, ASK());
	/* One that was removed */
	self->args.dirfd = open(FOLDER, O_RDONLY | O_DIRECTORY);
	rmdir(FOLDER);
	REFUSED(ENOENT, ASK());
	close(self->args.dirfd);
	unlink("/tmp/file");
	/* One that cannot be written to */
	self->args.dirfd = open("/proc", O_RDONLY | O_DIRECTORY);
	errno = 0;
	EXPECT_EQ(-1, ASK());
	TH_LOG("/proc: %m");
	EXPECT_NE(0, errno);
	close(self->args.dirfd);
}

static void without_rights(void *arg)
{
	struct cp_args args = CP_ARGS_OWN;

	args.dirfd = open(FOLDER, O_PATH | O_DIRECTORY);
	if (cp_set_user(1000, 1000, 1000))
		_exit(200);
	_exit(cp_checkpoint(&args, sizeof(args)) ? errno : 0);
}

TEST_F(asked, a_folder_of_somebody_else)
{
	int status = cp_run(without_rights, NULL);

	EXPECT_EQ(EACCES, WEXITSTATUS(status));
}

TEST_F(asked, the_chain_stays_in_its_folder)
{
	struct chain *c = &self->c;

	self->args.flags = CP_INCREMENTAL;
	ASSERT_OK(chain_ask(c, &self->args, self->mem, LEN, &self->result));
	ASSERT_OK(chain_ask(c, &self->args, self->mem, LEN, &self->result));
	EXPECT_EQ(CP_KIND_INCREMENTAL, self->result.kind);
	/* The other calls go on with it. */
	ASSERT_OK(chain_inc(c, self->mem, LEN));
	EXPECT_OK(chain_is(c, CP_KIND_INCREMENTAL, CP_REASON_CHAIN));

	self->args.dirfd = open(FOLDER, O_PATH | O_DIRECTORY);
	self->args.ranges = self->args.nr_ranges = 0;
	ASSERT_EQ(0, ASK()) TH_LOG("%m");
	EXPECT_EQ(CP_KIND_FULL, self->result.kind);
	EXPECT_EQ(CP_REASON_OTHER_FOLDER, self->result.reason);
	EXPECT_EQ(3, self->result.n);
	ASSERT_EQ(0, ASK()) TH_LOG("%m");
	EXPECT_EQ(CP_KIND_INCREMENTAL, self->result.kind);
	EXPECT_EQ(CP_REASON_CHAIN, self->result.reason);

	c->n = 5;
	ASSERT_OK(chain_inc(c, self->mem, LEN));
	EXPECT_OK(chain_is(c, CP_KIND_FULL, CP_REASON_OTHER_FOLDER));
}

/* What of the pages was written, by the number of the page. */
static const char *pages_are(const struct chain *c, const char *mem, const char *classes)
{
	static char seen[65];
	size_t i;

	for (i = 0; classes[i]; i++) {
		const struct cpimg_run *run = cpimg_find(c->img, (uintptr_t)mem + i * PAGE);

		seen[i] = !run ? '-' : run->cls == CPIMG_DATA ? 'D' :
			  run->cls == CPIMG_SAME ? 'S' : '?';
	}
	seen[i] = 0;
	return strcmp(seen, classes) ? seen : NULL;
}

#define SPAN(from, to) { (uintptr_t)self->mem + (from), (uintptr_t)self->mem + (to) }
#define RANGES(...) do { \
	struct cp_span span_[] = { __VA_ARGS__ }; \
	self->args.ranges = (uintptr_t)span_; \
	self->args.nr_ranges = sizeof(span_) / sizeof(*span_); \
	ASSERT_EQ(0, ASK()) TH_LOG("%m"); \
	ASSERT_OK(chain_open(&self->c, getpid(), self->result.n)); \
} while (0)

TEST_F(asked, some_ranges)
{
	RANGES(SPAN(6 * PAGE, 7 * PAGE), SPAN(PAGE, 2 * PAGE), SPAN(3 * PAGE, 4 * PAGE));
	EXPECT_OK(pages_are(&self->c, self->mem, "-D-D--D-"));
	/* Parts of pages, that touch once they are whole pages */
	RANGES(SPAN(10, 20), SPAN(30, 40), SPAN(PAGE - 1, PAGE + 1), SPAN(4 * PAGE, 6 * PAGE));
	EXPECT_OK(pages_are(&self->c, self->mem, "DD--DD--"));
	/* One in the other */
	RANGES(SPAN(PAGE, 7 * PAGE), SPAN(2 * PAGE, 3 * PAGE));
	EXPECT_OK(pages_are(&self->c, self->mem, "-DDDDDD-"));
	EXPECT_OK(cp_same_bytes(self->c.img, self->mem + PAGE, 6 * PAGE));
}

TEST_F(asked, some_ranges_and_others_later)
{
	self->args.flags = CP_INCREMENTAL;
	RANGES(SPAN(0, 8 * PAGE));
	for (int i = 0; i < 8; i++)
		self->mem[i * PAGE]++;
	/* What is between was not looked at: it is still to be saved. */
	RANGES(SPAN(0, 2 * PAGE), SPAN(4 * PAGE, 6 * PAGE));
	EXPECT_OK(pages_are(&self->c, self->mem, "DD--DD--"));
	RANGES(SPAN(0, 8 * PAGE));
	EXPECT_OK(pages_are(&self->c, self->mem, "SSDDSSDD"));
	EXPECT_OK(chain_matches(&self->c, self->mem, 8 * PAGE));
	RANGES(SPAN(0, PAGE), SPAN(7 * PAGE, 8 * PAGE));
	EXPECT_OK(pages_are(&self->c, self->mem, "S------S"));
	RANGES(SPAN(0, 8 * PAGE));
	EXPECT_OK(pages_are(&self->c, self->mem, "SSSSSSSS"));
	EXPECT_OK(chain_matches(&self->c, self->mem, 8 * PAGE));
}

TEST_F(asked, no_ranges)
{
	struct cp_span span[2] = { SPAN(0, PAGE), SPAN(PAGE, PAGE) };

	self->args.ranges = (uintptr_t)span;
	REFUSED(EINVAL, ASK());
	self->args.nr_ranges = 2;
	REFUSED(EINVAL, ASK());
	span[1].start = ~0ULL - PAGE;
	span[1].end = ~0ULL;
	REFUSED(EINVAL, ASK());
	self->args.ranges = 0;
	REFUSED(EINVAL, ASK());
	self->args.ranges = (uintptr_t)span;
	self->args.nr_ranges = CP_MAX_RANGES + 1;
	REFUSED(EINVAL, ASK());
	self->args.nr_ranges = ~0ULL;
	REFUSED(EINVAL, ASK());
}

TEST_F(asked, as_many_ranges_as_there_can_be)
{
	const size_t nr = CP_MAX_RANGES;
	struct cp_span *span = malloc(nr * sizeof(*span));
	char *mem = mmap(NULL, 2 * nr * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ASSERT_NE(MAP_FAILED, mem);
	for (size_t i = 0; i < nr; i++) {
		if (i % 64 == 0)
			mem[2 * i * PAGE] = 1;
		span[i].start = (uintptr_t)mem + 2 * (nr - 1 - i) * PAGE;
		span[i].end = span[i].start + 1;
	}
	self->args.ranges = (uintptr_t)span;
	self->args.nr_ranges = nr;
	ASSERT_EQ(0, ASK()) TH_LOG("%m");
	EXPECT_EQ(nr / 64, self->result.pages_data);
	EXPECT_EQ(nr - nr / 64, self->result.pages_hole);
	ASSERT_OK(chain_open(&self->c, getpid(), 0));
	EXPECT_EQ(nr, cpimg_note(self->c.img)->nr_areas);
}

TEST_HARNESS_MAIN
