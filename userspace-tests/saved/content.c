// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 --disk 32 */
/*
 * Every byte of DATA is the byte of memory, whatever kind of memory it is.
 * Those that need a guest of their own (swap, huge pages, KSM) have their own
 * programs.
 */
#include <sys/mount.h>
#include <sys/shm.h>

#include "cp_test.h"
#include "harness.h"

#define PAGES	16

static char initialised[2 * PAGE] __attribute__((aligned(PAGE))) = { 1 };
static char bss[4 * PAGE] __attribute__((aligned(PAGE)));

FIXTURE(content) {
	struct cpimg	*img;
	int		fd;
	char		path[64];
};

FIXTURE_SETUP(content)
{
	self->fd = -1;
	snprintf(self->path, sizeof(self->path), "/dev/shm/content.%d", getpid());
}

FIXTURE_TEARDOWN(content)
{
	cpimg_close(self->img);
	if (self->fd >= 0)
		close(self->fd);
	unlink(self->path);
}

/* A file of PAGES pages, filled. */
static int make_file(const char *path, unsigned int seed)
{
	static uint64_t buf[PAGES * PAGE / 8];
	int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);

	cp_fill(buf, sizeof(buf), seed);
	if (fd >= 0 && write(fd, buf, sizeof(buf)) != sizeof(buf)) {
		close(fd);
		return -1;
	}
	return fd;
}

TEST_F(content, anonymous)
{
	char *mem = cp_map(256 * PAGE);

	cp_fill(mem, 256 * PAGE, 1);
	TAKE(mem, 256 * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, mem, 256 * PAGE));
	EXPECT_EQ(1, cpimg_note(self->img)->runs);
	EXPECT_EQ(256, cpimg_note(self->img)->pages_data);
}

TEST_F(content, anonymous_more_than_a_window)
{
	/* More than any kernel collects at once, and not a round number. */
	size_t len = ((cp_debug_kernel() ? 9UL : 40UL) << 20) + 3 * PAGE;
	char *mem = cp_map(len);

	cp_fill(mem, len, 2);
	TAKE(mem, len);
	EXPECT_OK(cp_same_bytes(self->img, mem, len));
	EXPECT_EQ(len / PAGE, cpimg_note(self->img)->pages_data);
}

TEST_F(content, read_only_after_writing)
{
	char *mem = cp_map(PAGES * PAGE);

	cp_fill(mem, PAGES * PAGE, 3);
	ASSERT_EQ(0, mprotect(mem, PAGES * PAGE, PROT_READ));
	TAKE(mem, PAGES * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, mem, PAGES * PAGE));
	EXPECT_EQ(PROT_READ, cpimg_find(self->img, (uintptr_t)mem)->prot);
}

TEST_F(content, stack)
{
	volatile uint64_t deep[8 * PAGE / 8];
	uintptr_t first = ((uintptr_t)deep + PAGE - 1) & -PAGE;
	size_t len = 6 * PAGE;

	cp_fill((void *)deep, sizeof(deep), 4);
	TAKE((void *)first, len);
	EXPECT_OK(cp_same_bytes(self->img, (void *)first, len));
}

TEST_F(content, heap)
{
	char *mem = malloc(40 * 1000), *old = cp_brk(PAGES * PAGE);
	uintptr_t brk = ((uintptr_t)old + PAGE - 1) & -PAGE;

	cp_fill(mem, 40 * 1000, 5);
	cp_fill((void *)brk, (PAGES - 1) * PAGE, 6);
	TAKE(mem, 40 * 1000);
	EXPECT_OK(cp_same_bytes(self->img, mem, 40 * 1000));
	TAKE((void *)brk, (PAGES - 1) * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, (void *)brk, (PAGES - 1) * PAGE));
	free(mem);
}

TEST_F(content, data_and_bss)
{
	cp_fill(initialised, sizeof(initialised), 7);
	cp_fill(bss, sizeof(bss), 8);
	TAKE(initialised, sizeof(initialised));
	EXPECT_OK(cp_same_bytes(self->img, initialised, sizeof(initialised)));
	TAKE(bss, sizeof(bss));
	EXPECT_OK(cp_same_bytes(self->img, bss, sizeof(bss)));
}

/* A page that fork() shares, and one that was copied since. */
TEST_F(content, copy_on_write_on_both_sides)
{
	char *mem = cp_map(PAGES * PAGE);
	int pipes[2], status;
	pid_t pid;

	cp_fill(mem, PAGES * PAGE, 9);
	ASSERT_EQ(0, pipe(pipes));
	pid = fork();
	if (!pid) {
		const char *why = NULL;
		char c;

		cp_fill(mem + 4 * PAGE, 4 * PAGE, 10);
		self->img = cp_take(mem, PAGES * PAGE);
		if (!self->img)
			_exit(2);
		why = cp_same_bytes(self->img, mem, PAGES * PAGE);
		if (why)
			fprintf(stderr, "# child: %s\n", why);
		if (read(pipes[0], &c, 1) != 1)
			_exit(3);
		_exit(!!why);
	}
	cp_fill(mem, 2 * PAGE, 11);
	TAKE(mem, PAGES * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, mem, PAGES * PAGE));
	ASSERT_EQ(1, write(pipes[1], "x", 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(content, file_private_clean_and_written)
{
	char *mem;

	self->fd = make_file(self->path, 12);
	ASSERT_LE(0, self->fd);
	mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		   self->fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	/* Half of it read in, a quarter written, the rest never touched. */
	for (int i = 0; i < PAGES / 2; i++)
		((volatile char *)mem)[i * PAGE];
	cp_fill(mem, PAGES / 4 * PAGE, 13);
	TAKE(mem, PAGES * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, mem, PAGES / 4 * PAGE));
	/* Clean pages may be here or in the file; if here, they are right. */
	for (int i = PAGES / 4; i < PAGES; i++) {
		const struct cpimg_run *run;

		run = cpimg_find(self->img, (uintptr_t)mem + i * PAGE);
		ASSERT_NE(NULL, run);
		if (run->cls == CPIMG_DATA)
			EXPECT_OK(cp_same_bytes(self->img, mem + i * PAGE, PAGE));
		else
			EXPECT_OK(cp_is(self->img, mem + i * PAGE, PAGE,
					CPIMG_HOLE, CP_HOLE_FILE));
	}
}

/* A full image does not lean on files: what was read in is DATA. */
TEST_F(content, file_private_read_in)
{
	char *mem;

	self->fd = make_file(self->path, 14);
	mem = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE, self->fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	for (int i = 0; i < PAGES; i++)
		((volatile char *)mem)[i * PAGE];
	TAKE(mem, PAGES * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, mem, PAGES * PAGE));
}

TEST_F(content, file_private_on_a_disk)
{
	char *mem;

	strcpy(self->path, "/disk/content");
	self->fd = make_file(self->path, 15);
	if (self->fd < 0)
		SKIP(return, "no /disk: %s", strerror(errno));
	mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		   self->fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	for (int i = 0; i < PAGES; i++)
		((volatile char *)mem)[i * PAGE];
	cp_fill(mem + 3 * PAGE, 5 * PAGE, 16);
	TAKE(mem, PAGES * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, mem, PAGES * PAGE));
}

TEST_F(content, file_shared_on_a_disk)
{
	char *mem;

	strcpy(self->path, "/disk/content");
	self->fd = make_file(self->path, 17);
	if (self->fd < 0)
		SKIP(return, "no /disk: %s", strerror(errno));
	mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
		   self->fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	cp_fill(mem, PAGES * PAGE, 18);
	TAKE(mem, PAGES * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, mem, PAGES * PAGE));
}

TEST_F(content, shared_anonymous)
{
	char *mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cp_fill(mem, PAGES * PAGE, 19);
	TAKE(mem, PAGES * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, mem, PAGES * PAGE));
}

TEST_F(content, tmpfs_shared)
{
	char *mem = cp_memfd("content", PAGES * PAGE, 20, &self->fd);

	ASSERT_NE(NULL, mem);
	TAKE(mem, PAGES * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, mem, PAGES * PAGE));
}

TEST_F(content, system_v_shared_memory)
{
	int id = shmget(IPC_PRIVATE, PAGES * PAGE, IPC_CREAT | 0600);
	char *mem;

	if (id < 0)
		SKIP(return, "no shmget(): %s", strerror(errno));
	mem = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL);
	ASSERT_NE(MAP_FAILED, mem);
	cp_fill(mem, PAGES * PAGE, 21);
	TAKE(mem, PAGES * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, mem, PAGES * PAGE));
}

/*
 * Shared memory that another mapping filled: no entry of this page table knows
 * of it, and still it is what a read would find.
 */
TEST_F(content, tmpfs_not_in_this_page_table)
{
	char *mem, *again = cp_memfd("content", PAGES * PAGE, 22, &self->fd);

	ASSERT_NE(NULL, again);
	mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
		   self->fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	TAKE(mem, PAGES * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, mem, PAGES * PAGE));
}

/* The same, of anonymous shared memory that a child filled. */
TEST_F(content, shared_anonymous_filled_by_a_child)
{
	char *mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = fork();

	if (!pid) {
		cp_fill(mem, PAGES / 2 * PAGE, 23);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	TAKE(mem, PAGES * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, mem, PAGES / 2 * PAGE));
	/* Nobody wrote there: it may be a hole, but not another's bytes. */
	for (int i = PAGES / 2; i < PAGES; i++) {
		char byte;

		ASSERT_EQ(0, cpimg_pread(self->img, (uintptr_t)mem + i * PAGE,
					 &byte, 1, NULL));
		EXPECT_EQ(0, byte);
	}
}

/* Private over shared-memory pages: DATA or the file, never zeros. */
TEST_F(content, private_over_tmpfs_not_in_this_page_table)
{
	char *mem, *again = cp_memfd("content", PAGES * PAGE, 24, &self->fd);

	ASSERT_NE(NULL, again);
	mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		   self->fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	cp_fill(mem, PAGE, 25);
	TAKE(mem, PAGES * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, mem, PAGE));
	for (int i = 1; i < PAGES; i++) {
		const struct cpimg_run *run;

		run = cpimg_find(self->img, (uintptr_t)mem + i * PAGE);
		ASSERT_NE(NULL, run);
		if (run->cls == CPIMG_DATA)
			EXPECT_OK(cp_same_bytes(self->img, mem + i * PAGE, PAGE));
		else
			EXPECT_OK(cp_is(self->img, mem + i * PAGE, PAGE,
					CPIMG_HOLE, CP_HOLE_FILE));
	}
}

TEST_F(content, moved_by_mremap)
{
	char *mem = cp_map(PAGES * PAGE), *to = cp_map(2 * PAGES * PAGE);

	cp_fill(mem, PAGES * PAGE, 26);
	mem = mremap(mem, PAGES * PAGE, 2 * PAGES * PAGE,
		     MREMAP_MAYMOVE | MREMAP_FIXED, to);
	ASSERT_EQ(to, mem);
	TAKE(mem, 2 * PAGES * PAGE);
	EXPECT_OK(cp_same_bytes(self->img, mem, PAGES * PAGE));
	EXPECT_OK(cp_is(self->img, mem + PAGES * PAGE, PAGES * PAGE, CPIMG_HOLE,
			CP_HOLE_ZERO));
}

TEST_HARNESS_MAIN
