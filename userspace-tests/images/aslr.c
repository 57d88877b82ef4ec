// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 */
/*
 * A position independent program lies elsewhere each time it is started. A restore of
 * what lay at another address says so, and is no success; a state that has a place of
 * its own, or a program that has switched randomization off, comes back.
 */
#include "cp_test.h"
#include "harness.h"

#define STARTS		8
#define STATE_PAGES	10	/* of the helper's, wherever in a page it begins */

/* Run the helper; its line of output, and its exit status. */
static int run(const char *how, const char *what, char line[600])
{
	const char *helper = cp_helper("state_pie");
	int out[2], pid, status;
	ssize_t n, len = 0;

	if (pipe(out))
		return -1;
	pid = fork();
	if (!pid) {
		dup2(out[1], 1);
		close(out[0]);
		close(out[1]);
		execl(helper, helper, how, what, NULL);
		_exit(127);
	}
	close(out[1]);
	while ((n = read(out[0], line + len, 599 - len)) > 0)
		len += n;
	line[len] = 0;
	close(out[0]);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The name of the image that it has made, and the address of its state. */
static const char *save(const char *how, unsigned long *addr)
{
	static char name[CP_RANGE_NAME_SIZE];
	char line[600];
	int pid;

	if (run(how, "save", line) || sscanf(line, "%lx saved by %d", addr, &pid) != 2)
		return NULL;
	return cp_image_name(name, pid, 0);
}

/*
 * Whether something of the program was there then, if only another part of it: with
 * 8 bits of chance, as on 32 bits, that is to be expected. Then it is that which is
 * restored, as cp_restore(3) says.
 */
static bool mapped_then(const char *image, unsigned long addr)
{
	struct cpimg_error err;
	struct cpimg *img = cpimg_open(image, 0, &err);
	bool is = !img;

	for (int i = 0; i < STATE_PAGES && !is; i++)
		is = cpimg_find(img, addr + i * PAGE);
	cpimg_close(img);
	return is;
}

FIXTURE(aslr) {
	char	line[600];
};

FIXTURE_SETUP(aslr)
{
	if (cp_read_number("/proc/sys/kernel/randomize_va_space") != 2)
		SKIP(return, "address space randomization is off");
}

FIXTURE_TEARDOWN(aslr)
{
}

TEST_F(aslr, a_variable_that_lies_elsewhere_is_not_restored_and_that_is_said)
{
	unsigned long then, now;
	const char *image = save("variable", &then);
	int elsewhere = 0, on_others = 0;

	ASSERT_NE(NULL, image);
	for (int i = 0; i < STARTS; i++) {
		int status = run("variable", image, self->line);

		ASSERT_EQ(1, sscanf(self->line, "%lx", &now)) TH_LOG("%s", self->line);
		if (now == then) {
			EXPECT_EQ(0, status) TH_LOG("%s", self->line);
			continue;
		}
		elsewhere++;
		if (sizeof(long) == 4 && mapped_then(image, now)) {
			on_others++;
			continue;
		}
		EXPECT_EQ(3, status) TH_LOG("%s", self->line);
		EXPECT_NE(NULL, strstr(self->line, "nothing was mapped then")) TH_LOG("%s", self->line);
		EXPECT_NE(NULL, strstr(self->line, "its state at another address")) TH_LOG("%s", self->line);
		EXPECT_NE(NULL, strstr(self->line, image));
	}
	TH_LOG("%d of %d starts elsewhere, %d of them where something else was", elsewhere,
	       STARTS, on_others);
	EXPECT_LT(0, elsewhere);
	unlink(image);
}

TEST_F(aslr, a_state_at_a_fixed_address_comes_back)
{
	unsigned long then;
	const char *image = save("fixed", &then);

	ASSERT_NE(NULL, image);
	EXPECT_EQ((uintptr_t)CP_FAR(0x20), then);
	for (int i = 0; i < STARTS; i++) {
		ASSERT_EQ(0, run("fixed", image, self->line)) TH_LOG("%s", self->line);
	}
	unlink(image);
}

TEST_F(aslr, a_program_that_switched_it_off_finds_its_variable)
{
	unsigned long then;
	const char *image = save("personality", &then);

	ASSERT_NE(NULL, image);
	for (int i = 0; i < STARTS; i++) {
		ASSERT_EQ(0, run("personality", image, self->line)) TH_LOG("%s", self->line);
	}
	unlink(image);
}

TEST_HARNESS_MAIN
