// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 --smp 2 --timeout 900 */
/*
 * What speaks against a restart is told in a line, nothing is left of the attempt, and no
 * file has changed. A damaged image does no more than that.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <time.h>

#include "restarted.h"

FIXTURE(stays_dead) {
	pid_t			pid;
	struct cp_result	result;
	struct cpimg_chain	*chain;
	struct cp_restart	how;
	struct cpimg_error	err;
	struct stat		log;
};

FIXTURE_SETUP(stays_dead)
{
	NEEDS_CP_CHECKPOINT();
	snprintf(folder, sizeof(folder), "/tmp/goes_on.%d", getpid());
	ASSERT_EQ(0, mkdir(folder, 0700));
	touch("input", "something to read");
	self->how.size = sizeof(self->how);
}

FIXTURE_TEARDOWN(stays_dead)
{
	cpimg_chain_close(self->chain);
	if (self->pid > 0)
		cp_kill(self->pid);
}

/* It has files open, and has written since it was saved. */
#define SAVE_AND_KILL() do { \
	START("files"); \
	SAVE(0); \
	touch("saved", ""); \
	usleep(100000); \
	cp_kill(self->pid); \
	/* Or it would write again once it is back. */ \
	unlink(in("saved")); \
	ASSERT_EQ(0, stat(in("log"), &self->log)); \
	OPEN(self->result.name); \
} while (0)

/* Refused with such a text; no process is there, and what was written is as it is. */
#define STAYS_DEAD(why) do { \
	struct stat now_; \
	char cut_[64]; \
	self->err.text[0] = 0; \
	ASSERT_EQ(-1, cp_restart(self->chain, cpimg_chain_length(self->chain) - 1, \
				 &self->how, &self->err)); \
	EXPECT_NE(NULL, strstr(self->err.text, why)) TH_LOG("%s", self->err.text); \
	EXPECT_EQ(NULL, strchr(self->err.text, '\n')); \
	EXPECT_EQ(-1, kill(self->pid, 0)); \
	EXPECT_EQ(-1, waitpid(-1, NULL, __WALL)); \
	EXPECT_EQ(ECHILD, errno); \
	EXPECT_EQ(0, stat(in("log"), &now_)); \
	EXPECT_EQ(self->log.st_size, now_.st_size); \
	snprintf(cut_, sizeof(cut_), "log.cut-%d-1", self->pid); \
	EXPECT_EQ(-1, access(in(cut_), F_OK)); \
} while (0)

/* And then, once that is put right, it does go on. */
#define GOES_ON() do { \
	RESTART(); \
	ENDS_WELL(); \
} while (0)

TEST_F(stays_dead, its_id_is_taken)
{
	START("memory");
	SAVE(0);
	OPEN(self->result.name);
	ASSERT_EQ(-1, cp_restart(self->chain, cpimg_chain_length(self->chain) - 1,
				 &self->how, &self->err));
	EXPECT_NE(NULL, strstr(self->err.text, "is taken")) TH_LOG("%s", self->err.text);
	EXPECT_EQ(0, kill(self->pid, 0));
	ENDS_WELL();
}

TEST_F(stays_dead, its_input_has_changed)
{
	struct timespec times[2];
	struct stat st;

	ASSERT_EQ(0, stat(in("input"), &st));
	SAVE_AND_KILL();
	touch("input", "another thing, longer than that");
	STAYS_DEAD("input: size is 31, and was 17 at the checkpoint");
	touch("input", "SOMETHING TO READ");
	STAYS_DEAD("input: mtime");
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	ASSERT_EQ(0, utimensat(AT_FDCWD, in("input"), times, 0));
	GOES_ON();
}

TEST_F(stays_dead, a_file_is_missing)
{
	SAVE_AND_KILL();
	ASSERT_EQ(0, rename(in("input"), in("elsewhere")));
	STAYS_DEAD("input: opening: No such file or directory");
	ASSERT_EQ(0, rename(in("elsewhere"), in("input")));
	GOES_ON();
}

TEST_F(stays_dead, what_it_wrote_is_gone)
{
	SAVE_AND_KILL();
	ASSERT_EQ(0, truncate(in("log"), 1));
	self->log.st_size = 1;
	STAYS_DEAD("log: size is 1, and was");
}

TEST_F(stays_dead, a_table_that_is_mapped_is_shorter)
{
	SAVE_AND_KILL();
	ASSERT_EQ(0, truncate(in("table"), 4096));
	STAYS_DEAD("table: size is 4096, and was 8192");
}

TEST_F(stays_dead, descriptors_that_are_not_allowed)
{
	struct rlimit limit = { 64, 64 }, was;

	SAVE_AND_KILL();
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &was));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	STAYS_DEAD("descriptor 100 is open: more than RLIMIT_NOFILE, 64, allows");
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &was));
	GOES_ON();
}

TEST_F(stays_dead, another_users)
{
	SAVE_AND_KILL();
	ASSERT_EQ(0, setresgid(7, 7, 7));
	STAYS_DEAD("is of group 0, and this of 7");
	ASSERT_EQ(0, setresgid(0, 0, 0));
	GOES_ON();
}

TEST_F(stays_dead, an_image_of_memory_alone)
{
	struct cp_args args = { .flags = CP_MOMENT, .dirfd = AT_FDCWD, .result_size = sizeof(self->result),
				.result = (uintptr_t)&self->result };

	START("memory");
	ASSERT_EQ(0, chdir(folder));
	args.pidfd = cp_pidfd(self->pid);
	ASSERT_EQ(0, cp_checkpoint(&args, sizeof(args))) TH_LOG("%m");
	cp_kill(self->pid);
	OPEN(self->result.name);
	ASSERT_EQ(-1, cp_restart(self->chain, 0, NULL, &self->err));
	EXPECT_NE(NULL, strstr(self->err.text, "only memory is in the image"))
		TH_LOG("%s", self->err.text);
}

/* The file of the image, changed in place; its own checksum is not looked at then. */
static int change(const char *name, off_t at, unsigned char *byte, unsigned char to)
{
	int fd = open(in(name), O_RDWR), bad;

	bad = pread(fd, byte, 1, at) != 1 || pwrite(fd, &to, 1, at) != 1;
	close(fd);
	return bad;
}

/* Where the file of the image has these bytes, or 0. */
static off_t find_bytes(const char *name, const void *bytes, size_t len)
{
	int fd = open(in(name), O_RDONLY);
	char *all = MAP_FAILED, *at = NULL;
	struct stat st;

	if (!fstat(fd, &st))
		all = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (all != MAP_FAILED) {
		at = memmem(all, st.st_size, bytes, len);
		munmap(all, st.st_size);
	}
	close(fd);
	return at ? at - all : 0;
}

/* Of the vdso that is here, in hexadecimal digits: its notes are in its first page. */
static const char *vdso_id(void)
{
	const char *vdso = (const char *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *ehdr = (const void *)vdso;
	const Elf64_Phdr *phdr = (const void *)(vdso + ehdr->e_phoff);
	static char digits[64];

	for (int i = 0; i < ehdr->e_phnum; i++, phdr++) {
		const char *at = vdso + phdr->p_offset, *end = at + phdr->p_filesz;

		while (phdr->p_type == PT_NOTE && at < end) {
			const Elf64_Nhdr *note = (const void *)at;
			const char *name = at + sizeof(*note);
			const unsigned char *id = (const void *)(name + (note->n_namesz + 3) / 4 * 4);

			if (note->n_type == NT_GNU_BUILD_ID && !strcmp(name, "GNU"))
				for (unsigned int k = 0; k < note->n_descsz && k < 31; k++)
					sprintf(digits + 2 * k, "%02x", id[k]);
			at = (const char *)id + (note->n_descsz + 3) / 4 * 4;
		}
	}
	return digits;
}

TEST_F(stays_dead, another_build_of_the_vdso)
{
	const char *id = vdso_id();
	unsigned char byte;
	off_t at;

	SAVE_AND_KILL();
	ASSERT_EQ(40, (int)strlen(id));
	at = find_bytes(self->result.name, id, strlen(id) + 1);
	ASSERT_NE(0, at);
	cpimg_chain_close(self->chain);
	ASSERT_EQ(0, change(self->result.name, at + 39, &byte, id[39] == '0' ? '1' : '0'));
	self->chain = cpimg_chain_open(in(self->result.name), NULL, CPIMG_NO_CRC, &self->err);
	ASSERT_NE(NULL, self->chain) TH_LOG("%s", self->err.text);
	STAYS_DEAD("its vdso");
	cpimg_chain_close(self->chain);
	ASSERT_EQ(0, change(self->result.name, at + 39, &byte, byte));
	OPEN(self->result.name);
	GOES_ON();
}

/* The last step that can fail: registers that the processor does not take. */
TEST_F(stays_dead, registers_that_cannot_be)
{
	struct cpimg_elfnote en;
	unsigned char byte;
	off_t at;

	SAVE_AND_KILL();
	ASSERT_TRUE(cpimg_find_note(cpimg_chain_image(self->chain, cpimg_chain_length(self->chain) - 1),
				    "LINUX", NT_X86_XSTATE, &en));
	/* the header behind the 512 bytes of FXSAVE: its reserved bytes are 0 */
	at = find_bytes(self->result.name, en.desc, 832);
	ASSERT_NE(0, at);
	cpimg_chain_close(self->chain);
	ASSERT_EQ(0, change(self->result.name, at + 512 + 40, &byte, 0x55));
	self->chain = cpimg_chain_open(in(self->result.name), NULL, CPIMG_NO_CRC, &self->err);
	ASSERT_NE(NULL, self->chain) TH_LOG("%s", self->err.text);
	STAYS_DEAD("NT_X86_XSTATE");
	cpimg_chain_close(self->chain);
	ASSERT_EQ(0, change(self->result.name, at + 512 + 40, &byte, byte));
	OPEN(self->result.name);
	GOES_ON();
}

/* Bits of notes and program headers: refused, or a process that is something else. */
TEST_F(stays_dead, damaged)
{
	unsigned int seed = time(NULL), refused = 0, made = 0, not_opened = 0;
	struct stat st;
	off_t notes;

	TH_LOG("seed %u", seed);
	START("threads");
	SAVE(0);
	cp_kill(self->pid);
	ASSERT_EQ(0, stat(in(self->result.name), &st));
	OPEN(self->result.name);
	{
		const struct cpimg *img = cpimg_chain_image(self->chain, cpimg_chain_length(self->chain) - 1);
		size_t count;
		const struct cpimg_run *run = cpimg_runs(img, &count);

		notes = 4096;
		for (; count; count--, run++)
			if (run->cls == CPIMG_DATA && (off_t)(run->offset + run->end - run->start) > notes)
				notes = run->offset + run->end - run->start;
	}
	for (int i = 0; i < 300; i++) {
		off_t at = notes + rand_r(&seed) % (st.st_size - notes);
		unsigned char byte, other;
		int fd = open(in(self->result.name), O_RDONLY);
		pid_t pid;

		ASSERT_EQ(1, pread(fd, &byte, 1, at));
		close(fd);
		other = byte ^ 1 << rand_r(&seed) % 8;
		cpimg_chain_close(self->chain);
		ASSERT_EQ(0, change(self->result.name, at, &byte, other));
		self->chain = cpimg_chain_open(in(self->result.name), NULL, CPIMG_NO_CRC, &self->err);
		if (!self->chain) {
			not_opened++;
		} else {
			pid = cp_restart(self->chain, cpimg_chain_length(self->chain) - 1, NULL, &self->err);
			if (pid > 0) {
				made++;
				cp_kill(pid);
			} else {
				refused++;
				ASSERT_NE(0, (int)strlen(self->err.text));
				ASSERT_EQ(NULL, strchr(self->err.text, '\n'));
			}
		}
		ASSERT_EQ(-1, waitpid(-1, NULL, __WALL));
		ASSERT_EQ(0, change(self->result.name, at, &other, byte));
	}
	TH_LOG("%u not opened, %u refused, %u made", not_opened, refused, made);
	EXPECT_LT(0, (int)refused);
	EXPECT_LT(0, (int)made);
	cpimg_chain_close(self->chain);
	OPEN(self->result.name);
	GOES_ON();
}

TEST_HARNESS_MAIN
