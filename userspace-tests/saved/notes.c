// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 */
/* The notes: ours has what it promises, the standard ones what a debugger needs. */
#include <elf.h>
#include <sys/procfs.h>
#include <sys/user.h>
#include <time.h>

#include "cp_test.h"
#include "harness.h"
#include "needs.h"

#ifndef NT_FILE
#define NT_FILE		0x46494c45
#endif
#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE	0x202
#endif

static char page[3 * PAGE] __attribute__((aligned(PAGE)));

static uint64_t ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

TEST(cp_note_says_what_was_done)
{
	static const unsigned char no_id[CP_ID_SIZE];
	uint64_t wall = ns(CLOCK_REALTIME), mono = ns(CLOCK_MONOTONIC);
	const struct cp_note *n;
	struct cpimg *img;

	cp_fill(page, sizeof(page), 1);
	img = cp_take(page + 10, PAGE);
	ASSERT_NE(NULL, img);
	n = cpimg_note(img);
	/* Version 2 came with cp_checkpoint(). */
	if (cp_lacks_call("cp_checkpoint()", __NR_cp_checkpoint)) {
		EXPECT_EQ(1, n->version);
		EXPECT_EQ(CP_NOTE_SIZE_VER1, n->size);
	} else {
		EXPECT_EQ(CP_NOTE_VERSION, n->version);
		EXPECT_EQ(sizeof(*n), n->size);
	}
	EXPECT_EQ(CP_KIND_FULL, n->kind);
	EXPECT_EQ(CP_REASON_CP_RANGE, n->reason);
	EXPECT_EQ(getpid(), n->pid);
	EXPECT_EQ(getpid(), n->tid);
	EXPECT_EQ(0, n->n);
	EXPECT_EQ((uintptr_t)page + 10, n->req_start);
	EXPECT_EQ((uintptr_t)page + 10 + PAGE, n->req_end);
	EXPECT_EQ((uintptr_t)page, n->start);
	EXPECT_EQ((uintptr_t)page + 2 * PAGE, n->end);
	EXPECT_EQ(PAGE, n->page_size);
	EXPECT_EQ(2, n->pages_data);
	EXPECT_EQ(0, n->pages_same + n->pages_hole + n->pages_skipped);
	EXPECT_EQ(0, memcmp(n->parent_id, no_id, CP_ID_SIZE));
	EXPECT_NE(0, memcmp(n->id, no_id, CP_ID_SIZE));
	EXPECT_EQ(0, n->reserved);
	for (size_t i = 0; i < CP_NAME_SIZE; i++) {
		EXPECT_EQ(0, n->parent[i]);
	}

	EXPECT_LE(wall, n->realtime_ns);
	EXPECT_GE(ns(CLOCK_REALTIME), n->realtime_ns);
	EXPECT_LE(mono, n->monotonic_ns);
	EXPECT_GE(ns(CLOCK_MONOTONIC), n->monotonic_ns);
	cpimg_close(img);
}

TEST(ids_are_all_different)
{
	static unsigned char ids[64][CP_ID_SIZE];

	for (int i = 0; i < 64; i++) {
		struct cpimg *img = cp_take(page, PAGE);

		ASSERT_NE(NULL, img);
		memcpy(ids[i], cpimg_note(img)->id, CP_ID_SIZE);
		cpimg_close(img);
		for (int j = 0; j < i; j++) {
			ASSERT_NE(0, memcmp(ids[i], ids[j], CP_ID_SIZE))
				TH_LOG("images %d and %d", j, i);
		}
	}
}

/* The image of the first call, just made, and the registers in it. NULL: there is none. */
static struct cpimg *image_of_call(struct __test_metadata *_metadata,
				   struct user_regs_struct *regs)
{
	struct cpimg *img = cp_open(getpid(), 0);
	struct elf_prstatus st;

	unlink(cp_name(getpid(), 0));
	if (!img || !cp_prstatus(img, &st)) {
		cpimg_close(img);
		return NULL;
	}
	memcpy(regs, &st.pr_reg, sizeof(*regs));
	EXPECT_EQ(getpid(), st.pr_pid);
	EXPECT_EQ(getppid(), st.pr_ppid);
	EXPECT_EQ(getpgrp(), st.pr_pgrp);
	EXPECT_EQ(getsid(0), st.pr_sid);
	return img;
}

#ifdef __x86_64__
/* Registers that have known values, and the addresses they should have. */
TEST(registers_are_those_of_the_call)
{
	static const double marks[2] = { 2.718281828, 3.141592654 };
	struct user_regs_struct regs;
	struct user_fpregs_struct fp;
	struct cpimg_elfnote en;
	uint64_t sp, ip;
	long ret = 600;
	struct cpimg *img;

	asm volatile("movups %[marks], %%xmm9\n\t"
		     "mov $0x1111, %%rbx\n\t"
		     "mov $0x2222, %%r12\n\t"
		     "mov $0x3333, %%r13\n\t"
		     "mov $0x4444, %%r14\n\t"
		     "mov $0x5555, %%r15\n\t"
		     "mov $0x6666, %%edx\n\t"
		     "mov $0x7777, %%r8d\n\t"
		     "mov $0x8888, %%r9d\n\t"
		     "mov $0x9999, %%r10d\n\t"
		     "mov %%rsp, %[sp]\n\t"
		     "syscall\n"
		     "1:	lea 1b(%%rip), %[ip]"
		     : "+a" (ret), [sp] "=&m" (sp), [ip] "=r" (ip)
		     : "D" (page), "S" (page + PAGE), [marks] "m" (marks)
		     : "rbx", "r12", "r13", "r14", "r15", "rdx", "r8", "r9",
		       "r10", "rcx", "r11", "xmm9", "memory");
	ASSERT_EQ(0, ret);
	img = image_of_call(_metadata, &regs);
	ASSERT_NE(NULL, img);
	EXPECT_EQ(0x1111, regs.rbx);
	EXPECT_EQ(0x2222, regs.r12);
	EXPECT_EQ(0x3333, regs.r13);
	EXPECT_EQ(0x4444, regs.r14);
	EXPECT_EQ(0x5555, regs.r15);
	EXPECT_EQ(0x6666, regs.rdx);
	EXPECT_EQ(0x7777, regs.r8);
	EXPECT_EQ(0x8888, regs.r9);
	EXPECT_EQ(0x9999, regs.r10);
	EXPECT_EQ((uintptr_t)page, regs.rdi);
	EXPECT_EQ((uintptr_t)page + PAGE, regs.rsi);
	EXPECT_EQ(600, regs.orig_rax);
	EXPECT_EQ(sp, regs.rsp);
	EXPECT_EQ(ip, regs.rip);
	EXPECT_EQ(3, regs.cs & 3);

	ASSERT_TRUE(cpimg_find_note(img, "CORE", NT_FPREGSET, &en));
	ASSERT_EQ(sizeof(fp), en.size);
	memcpy(&fp, en.desc, sizeof(fp));
	EXPECT_EQ(0, memcmp((char *)fp.xmm_space + 9 * 16, marks, sizeof(marks)));
	cpimg_close(img);
}

/* A 64-bit program may use the 32-bit entry; it stays a 64-bit program. */
TEST(of_a_64_bit_program_by_the_32_bit_entry)
{
	struct user_regs_struct regs;
	struct cpimg *img;
	long ret = 600;

	/* Linked statically and not position-independent: it lies below 4 GB. */
	if ((uintptr_t)page + sizeof(page) > 0xffffffff)
		SKIP(return, "the program lies too high");
	cp_fill(page, sizeof(page), 2);
	asm volatile("int $0x80"
		     : "+a" (ret)
		     : "b" (page), "c" (page + PAGE)
		     : "r8", "r9", "r10", "r11", "memory");
	if ((int)ret == -ENOSYS)
		SKIP(return, "no 32-bit system calls");
	ASSERT_EQ(0, (int)ret);
	img = image_of_call(_metadata, &regs);
	ASSERT_NE(NULL, img);
	EXPECT_EQ(64, cpimg_bits(img));
	EXPECT_OK(cp_same_bytes(img, page, PAGE));
	EXPECT_EQ((uintptr_t)page, regs.rbx);
	EXPECT_EQ(600, regs.orig_rax);
	cpimg_close(img);
}
#else
/* The same of 32 bits: two of them hold the arguments. */
TEST(registers_are_those_of_the_call)
{
	static const double marks[2] = { 2.718281828, 3.141592654 };
	struct user_regs_struct regs;
	struct cpimg_elfnote en;
	uint32_t sp, ip;
	long ret = 600;
	struct cpimg *img;

	asm volatile("movups %[marks], %%xmm5\n\t"
		     "mov $0x2222, %%edx\n\t"
		     "mov $0x3333, %%esi\n\t"
		     "mov $0x4444, %%edi\n\t"
		     "mov %%esp, %[sp]\n\t"
		     "int $0x80\n"
		     "1:	movl $1b, %[ip]"
		     : "+a" (ret), [sp] "=&m" (sp), [ip] "=&m" (ip)
		     : "b" (page), "c" (page + PAGE), [marks] "m" (marks)
		     : "edx", "esi", "edi", "memory");
	ASSERT_EQ(0, ret);
	img = image_of_call(_metadata, &regs);
	ASSERT_NE(NULL, img);
	EXPECT_EQ((uintptr_t)page, regs.ebx);
	EXPECT_EQ((uintptr_t)page + PAGE, regs.ecx);
	EXPECT_EQ(0x2222, regs.edx);
	EXPECT_EQ(0x3333, regs.esi);
	EXPECT_EQ(0x4444, regs.edi);
	EXPECT_EQ(600, regs.orig_eax);
	EXPECT_EQ(sp, regs.esp);
	EXPECT_EQ(ip, regs.eip);
	EXPECT_EQ(3, regs.xcs & 3);

	/* Eight registers of 16 bytes, after what the older unit has. */
	ASSERT_TRUE(cpimg_find_note(img, "LINUX", NT_PRXFPREG, &en));
	ASSERT_EQ(512, en.size);
	EXPECT_EQ(0, memcmp((const char *)en.desc + 160 + 5 * 16, marks, sizeof(marks)));
	cpimg_close(img);
}
#endif

FIXTURE(process) {
	int		pid;
	struct cpimg	*img;
};

FIXTURE_VARIANT(process) {
	const char	*program;
	int		bits;
};

FIXTURE_VARIANT_ADD(process, static) { "standstill", sizeof(void *) * 8 };
FIXTURE_VARIANT_ADD(process, dynamic) { "standstill_dyn", sizeof(void *) * 8 };
FIXTURE_VARIANT_ADD(process, i386) { "standstill_32", 32 };

FIXTURE_SETUP(process)
{
	const char *argv[] = { cp_helper(variant->program), "asm", "all", NULL };

	self->pid = -1;
	if (access(argv[0], X_OK))
		SKIP(return, "%s: %s", argv[0], strerror(errno));
	self->pid = cp_exec_stopped(argv);
	ASSERT_LT(0, self->pid) TH_LOG("%s does not run", argv[0]);
	self->img = cp_open(self->pid, 0);
	unlink(cp_name(self->pid, 0));
	ASSERT_NE(NULL, self->img);
}

FIXTURE_TEARDOWN(process)
{
	cpimg_close(self->img);
	if (self->pid > 0)
		cp_kill(self->pid);
}

static uint64_t word(const struct cpimg_elfnote *en, size_t i, int bits)
{
	uint64_t wide = 0;
	uint32_t narrow = 0;

	if ((i + 1) * bits / 8 > en->size)
		return ~0ULL;
	if (bits == 64)
		memcpy(&wide, (const char *)en->desc + i * 8, 8);
	else
		memcpy(&narrow, (const char *)en->desc + i * 4, 4);
	return wide + narrow;
}

TEST_F(process, auxv_is_the_processs)
{
	struct cpimg_elfnote en;
	size_t word_size = variant->bits / 8;
	char auxv[4096], path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/auxv", self->pid);
	fd = open(path, O_RDONLY);
	n = read(fd, auxv, sizeof(auxv));
	close(fd);
	ASSERT_LT(0, n);
	ASSERT_TRUE(cpimg_find_note(self->img, "CORE", NT_AUXV, &en));
	/* Of a 32-bit process /proc shows some zeros more. */
	ASSERT_LE(en.size, n);
	if (variant->bits == 64) {
		EXPECT_EQ(n, en.size);
	}
	EXPECT_EQ(0, memcmp(auxv, en.desc, en.size));
	for (size_t i = 0; i < en.size / word_size; i += 2) {
		/* AT_NULL ends it, and only there. */
		EXPECT_EQ(i + 2 == en.size / word_size,
			  word(&en, i, variant->bits) == AT_NULL);
	}
}

/* Ours has it on kernels, too, whose core dumps do not: before 3.7. */
#define FIND_FILES(img, en)	ASSERT_TRUE(cpimg_find_note(img, "CORE", NT_FILE, en))

TEST_F(process, files_are_the_mapped_ones)
{
	struct cpimg_elfnote en;
	const char *name, *end;
	uint64_t count, i = 0;
	char path[64], line[512];
	FILE *f;

	FIND_FILES(self->img, &en);
	count = word(&en, 0, variant->bits);
	ASSERT_LT(0, count);
	EXPECT_EQ(PAGE, word(&en, 1, variant->bits));
	name = (const char *)en.desc + (2 + 3 * count) * variant->bits / 8;
	end = (const char *)en.desc + en.size;

	snprintf(path, sizeof(path), "/proc/%d/maps", self->pid);
	f = fopen(path, "r");
	while (fgets(line, sizeof(line), f)) {
		uint64_t from, to, offset;
		char *slash = strchr(line, '/');

		if (!slash)
			continue;
		*strchr(slash, '\n') = 0;
		ASSERT_EQ(3, sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64,
				    &from, &to, &offset));
		ASSERT_GT(count, i) TH_LOG("missing: %s", line);
		EXPECT_EQ(from, word(&en, 2 + 3 * i, variant->bits));
		EXPECT_EQ(to, word(&en, 3 + 3 * i, variant->bits));
		EXPECT_EQ(offset / PAGE, word(&en, 4 + 3 * i, variant->bits));
		ASSERT_GT(end, name);
		ASSERT_NE(NULL, memchr(name, 0, end - name));
		EXPECT_STREQ(slash, name);
		name += strlen(name) + 1;
		i++;
	}
	fclose(f);
	EXPECT_EQ(count, i);
}

TEST_F(process, psinfo_is_the_processs)
{
	struct cpimg_elfnote en;
	/* struct elf_prpsinfo: where pr_pid, pr_fname and pr_psargs are */
	size_t pid_at = variant->bits == 64 ? 24 : 12;
	size_t name_at = variant->bits == 64 ? 40 : 28;
	size_t args_at = name_at + 16;
	char args[81] = "", name[17] = "", expected[256];
	int pid;

	ASSERT_TRUE(cpimg_find_note(self->img, "CORE", NT_PRPSINFO, &en));
	ASSERT_EQ(args_at + 80, en.size);
	memcpy(&pid, (const char *)en.desc + pid_at, sizeof(pid));
	memcpy(name, (const char *)en.desc + name_at, 16);
	memcpy(args, (const char *)en.desc + args_at, 80);
	EXPECT_EQ(self->pid, pid);
	EXPECT_EQ(0, strncmp(name, variant->program, 15)) TH_LOG("\"%s\"", name);
	snprintf(expected, sizeof(expected), "%s asm all", cp_helper(variant->program));
	/* Some kernels leave a space at the end. */
	EXPECT_EQ(0, strncmp(expected, args, strlen(expected))) TH_LOG("\"%s\"", args);
}

/* Only i386's own layout is looked at here; 64 bits are looked at above. */
TEST_F(process, registers_are_of_its_class)
{
	struct cpimg_elfnote en;
	uint32_t r[17];
	const struct cpimg_run *run;

	ASSERT_TRUE(cpimg_find_note(self->img, "CORE", NT_PRSTATUS, &en));
	if (variant->bits == 64) {
		EXPECT_EQ(336, en.size);
		return;
	}
	ASSERT_EQ(144, en.size);
	memcpy(r, (const char *)en.desc + 72, sizeof(r));
	EXPECT_EQ(0, r[0]) TH_LOG("ebx");
	EXPECT_EQ(0xffffffff, r[1]) TH_LOG("ecx");
	EXPECT_EQ(600, r[11]) TH_LOG("orig_eax");
	run = cpimg_find(self->img, r[12]);
	ASSERT_NE(NULL, run) TH_LOG("eip 0x%x", r[12]);
	EXPECT_TRUE(run->prot & PROT_EXEC) TH_LOG("eip 0x%x", r[12]);
	run = cpimg_find(self->img, r[15]);
	ASSERT_NE(NULL, run) TH_LOG("esp 0x%x", r[15]);
	EXPECT_EQ(PROT_READ | PROT_WRITE, run->prot & (PROT_READ | PROT_WRITE));
	EXPECT_EQ(CPIMG_DATA, run->cls);
}

/* Into a new folder with a long name, or out of it and away with it. */
static int long_folder(bool into)
{
	char name[251];

	memset(name, 'd', 250);
	name[250] = '\0';
	return into ? mkdir(name, 0700) || chdir(name) : chdir("..") || rmdir(name);
}

/* As long as a name gets, again and again. */
TEST(files_with_long_names_are_all_there)
{
	enum { LEVELS = 14, MAPPINGS = 2000 };	/* names of 3,500 characters */
	struct cpimg_elfnote en;
	const char *name, *end;
	unsigned int long_ones = 0;
	struct cpimg *img;
	uint64_t count;
	int fd;

	ASSERT_EQ(0, chdir("/tmp"));
	for (int i = 0; i < LEVELS; i++)
		ASSERT_EQ(0, long_folder(true)) TH_LOG("%m");
	fd = open("file", O_CREAT | O_RDWR, 0600);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, PAGE));
	for (int i = 0; i < MAPPINGS; i++)
		ASSERT_NE(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0));
	cp_fill(page, sizeof(page), 1);
	img = cp_take(page, sizeof(page));
	ASSERT_NE(NULL, img);
	EXPECT_OK(cp_same_bytes(img, page, sizeof(page)));
	unlink("file");
	for (int i = 0; i < LEVELS; i++)
		long_folder(false);

	FIND_FILES(img, &en);
	count = word(&en, 0, sizeof(long) * 8);
	EXPECT_LE(MAPPINGS, count);
	/* As many names as it says, the last one whole. */
	name = (const char *)en.desc + (2 + 3 * count) * sizeof(long);
	end = (const char *)en.desc + en.size;
	for (; count; count--) {
		ASSERT_GT(end, name);
		ASSERT_NE(NULL, memchr(name, 0, end - name));
		long_ones += strlen(name) > LEVELS * 250;
		name += strlen(name) + 1;
	}
	EXPECT_EQ(end, name);
	EXPECT_LE(MAPPINGS, long_ones);
	cpimg_close(img);
}

TEST_HARNESS_MAIN
