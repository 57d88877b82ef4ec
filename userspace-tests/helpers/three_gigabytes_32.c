// SPDX-License-Identifier: GPL-2.0
/*
 * A 32-bit program that saves 0 to 3 GB and looks at the image itself, so that it needs
 * no other program: it can be the only one of an i386 guest (then it is init).
 *
 * The first cp_range ever made read each address itself. It died at 003a6000, "Unable to
 * handle kernel paging request", in a library's text that no page table had. Here are
 * all kinds of addresses that are mapped and cannot just be read, one kind there.
 */
#define PAGE		4096
#define THE_ADDRESS	((char *)0x003a6000)
#define THREE_GB	0xc0000000UL
#define PT_LOAD		1
#define PT_CP_SAME	0x6c637001
#define PT_CP_SKIPPED	0x6c637002

struct ehdr32 {
	unsigned char ident[16];
	unsigned short type, machine;
	unsigned int version, entry, phoff, shoff, flags;
	unsigned short ehsize, phentsize, phnum;
};

struct phdr32 {
	unsigned int type, offset, vaddr, paddr, filesz, memsz, flags, align;
};

static const char *what;
static int is_init, failed, checks;
static char maps[65536];

static void check(int good, const char *name)
{
	checks++;
	if (good)
		return;
	failed++;
	printf("# %s: %s\n", what, name);
}

/* Below 3 GB, on a 64-bit kernel too; NULL: after the last one. */
static char *map(char *at, int pages, int prot, int flags, int fd)
{
	static char *next = (char *)0x40000000;
	char *mem = mmap(at ? at : next, pages * PAGE, prot, flags | MAP_FIXED, fd, 0);

	next += (pages + 16) * PAGE;

	if (mem == MAP_FAILED)
		printf("# mmap of %d pages failed, errno %d\n", pages, errno);
	return mem;
}

/* The whole of the file under the name, mapped; its size. */
static char *image(int n, unsigned int *size)
{
	char name[40], *mem;
	int fd;

	strlcpy(name, "/tmp/", sizeof(name));
	strlcat(name, itoa(getpid()), sizeof(name));
	strlcat(name, "-cp", sizeof(name));
	strlcat(name, itoa(n), sizeof(name));
	fd = open(name, O_RDONLY);
	if (fd < 0)
		return NULL;
	*size = lseek(fd, 0, SEEK_END);
	mem = mmap(NULL, *size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	unlink(name);
	return mem == MAP_FAILED ? NULL : mem;
}

static void read_maps(void)
{
	int fd = open("/proc/self/maps", O_RDONLY), n, len = 0;

	while (fd >= 0 && (n = read(fd, maps + len, sizeof(maps) - 1 - len)) > 0)
		len += n;
	maps[len] = 0;
	close(fd);
}

static unsigned long number(const char **text)
{
	unsigned long n = 0;

	for (;; ++*text) {
		char c = **text;

		if (c >= '0' && c <= '9')
			n = n << 4 | (c - '0');
		else if (c >= 'a' && c <= 'f')
			n = n << 4 | (c - 'a' + 10);
		else
			return n;
	}
}

/* Each mapped address is in exactly one run. */
static void check_runs(const struct phdr32 *run, int nr)
{
	unsigned long end = 0, mapped = 0, covered = 0;
	const char *at = maps;
	int i;

	for (i = 0; i < nr; i++) {
		check(run[i].vaddr >= end, "runs overlap");
		end = run[i].vaddr + run[i].memsz;
		check(end <= THREE_GB, "a run lies beyond 3 GB");
	}
	check(*at != 0, "no /proc/self/maps");
	while (*at) {
		unsigned long from = number(&at), to = (at++, number(&at));

		if (to > THREE_GB)
			to = THREE_GB;
		if (from < to) {
			mapped += (to - from) / PAGE;
			for (i = 0; i < nr; i++) {
				unsigned long a = run[i].vaddr, b = a + run[i].memsz;

				a = a < from ? from : a;
				b = b > to ? to : b;
				if (a < b)
					covered += (b - a) / PAGE;
			}
		}
		while (*at && *at++ != '\n')
			;
	}
	check(mapped == covered, "pages are mapped that are in no run");
	printf("# %s: %lu pages are mapped, %lu are in %d runs\n", what, mapped, covered, nr);
}

static const struct phdr32 *run_of(const struct phdr32 *run, int nr, const char *addr)
{
	unsigned long a = (unsigned long)addr;

	for (; nr; nr--, run++)
		if (a >= run->vaddr && a - run->vaddr < run->memsz)
			return run;
	return NULL;
}

static struct kind {
	const char *name;
	char *mem;
	int pages;
	unsigned int type;	/* PT_LOAD or PT_CP_SKIPPED */
	int bytes;		/* they are in the image, as they are in memory */
} kinds[] = {
	{ .name = "at 003a6000, a file's, in no page table" },
	{ .name = "never touched" },
	{ .name = "touched" },
	{ .name = "discarded" },
	{ .name = "without access" },
	{ .name = "locked" },
	{ .name = "past the end of the file" },
	{ .name = "cut off a file" },
	{ .name = "shared" },
	{ .name = "every other page touched" },
	{ .name = "of several page tables" },
};

static void make_kinds(void)
{
	int rw = PROT_READ | PROT_WRITE, anon = MAP_PRIVATE | MAP_ANONYMOUS, i;
	int exe = open("/proc/self/exe", O_RDONLY);
	int fd = open("/tmp/short", O_RDWR | O_CREAT | O_TRUNC, 0600);
	int cut = open("/tmp/cut", O_RDWR | O_CREAT | O_TRUNC, 0600);
	struct kind *k = kinds;

	check(exe >= 0 && fd >= 0 && cut >= 0, "no files to map");
	/* The file's first page is an ELF header: its bytes are always there. */
	k->mem = map(THE_ADDRESS, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, exe);
	k->type = PT_LOAD, k->bytes = 1, k++->pages = 1;
	k->mem = map(NULL, 16384, rw, anon, -1);
	k->type = PT_LOAD, k++->pages = 16384;
	k->mem = map(NULL, 300, rw, anon, -1);
	for (i = 0; i < 300; i++)
		memset(k->mem + i * PAGE, i % 255 + 1, PAGE);
	k->type = PT_LOAD, k->bytes = 1, k++->pages = 300;
	k->mem = map(NULL, 20, rw, anon, -1);
	memset(k->mem, 'd', 20 * PAGE);
	my_syscall3(__NR_madvise, k->mem, 20 * PAGE, 4 /* MADV_DONTNEED */);
	k->type = PT_LOAD, k++->pages = 20;
	k->mem = map(NULL, 20, rw, anon, -1);
	memset(k->mem, 'n', 20 * PAGE);
	my_syscall3(__NR_mprotect, k->mem, 20 * PAGE, PROT_NONE);
	k->type = PT_CP_SKIPPED, k++->pages = 20;
	k->mem = map(NULL, 4, rw, anon, -1);
	memset(k->mem, 'l', 4 * PAGE);
	check(!my_syscall2(__NR_mlock, k->mem, 4 * PAGE), "mlock() failed");
	k->type = PT_CP_SKIPPED, k++->pages = 4;
	write(fd, "short", 5);
	k->mem = map(NULL, 4, rw, MAP_PRIVATE, fd) + PAGE;
	k->type = PT_CP_SKIPPED, k++->pages = 3;
	for (i = 0; i < 4 * PAGE; i += 4)
		write(cut, "cut ", 4);
	k->mem = map(NULL, 4, rw, MAP_SHARED, cut) + 2 * PAGE;
	k->mem[PAGE] = 'x';
	my_syscall2(__NR_ftruncate, cut, 2 * PAGE);
	k->type = PT_CP_SKIPPED, k++->pages = 2;
	k->mem = map(NULL, 30, rw, MAP_SHARED | MAP_ANONYMOUS, -1);
	memset(k->mem, 's', 30 * PAGE);
	k->type = PT_LOAD, k->bytes = 1, k++->pages = 30;
	k->mem = map(NULL, 100, rw, anon, -1);
	for (i = 0; i < 100; i += 2)
		k->mem[i * PAGE] = i % 255 + 1;
	k->type = PT_LOAD, k++->pages = 100;
	/* With two levels of tables nothing but the walk's own care ends it at each. */
	k->mem = map(NULL, 2600, rw, anon, -1);
	for (i = 0; i < 2600; i++)
		memset(k->mem + i * PAGE, i / 7 % 255 + 1, PAGE);
	k->type = PT_LOAD, k->bytes = 1, k++->pages = 2600;
	close(exe);
	close(fd);
	close(cut);
}

static void check_kinds(const char *img, const struct phdr32 *run, int nr, int full)
{
	unsigned int i;
	int page;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct kind *k = &kinds[i];

		for (page = 0; page < k->pages; page++) {
			const char *addr = k->mem + page * PAGE;
			const struct phdr32 *r = run_of(run, nr, addr);

			if (r && r->type == PT_CP_SAME && !full)
				continue;
			if (r && r->type == k->type && !k->bytes)
				continue;
			if (r && r->type == k->type && r->filesz &&
			    !memcmp(img + r->offset + ((unsigned long)addr - r->vaddr),
				    addr, PAGE))
				continue;
			printf("# %s: page %d, %s: %s\n", what, page, k->name,
			       !r ? "in no run" : r->type != k->type ?
			       "in a run of another kind" : "without its bytes");
			failed++;
			break;
		}
		checks++;
	}
}

static void look(int n, const char *name, int full)
{
	const struct ehdr32 *ehdr;
	const struct phdr32 *run;
	unsigned int size;
	char *img = image(n, &size);

	what = name;
	check(!!img, "there is no image");
	if (!img)
		return;
	ehdr = (struct ehdr32 *)img;
	check(!memcmp(ehdr->ident, "\177ELF\1\1\1", 7) && ehdr->type == 4 &&
	      ehdr->machine == 3, "not an ELF core file of i386");
	run = (struct phdr32 *)(img + ehdr->phoff);
	check(ehdr->phnum > 1 && run->type == 4, "no notes before the runs");
	if (ehdr->phnum > 1) {
		check_runs(run + 1, ehdr->phnum - 1);
		check_kinds(img, run + 1, ehdr->phnum - 1, full);
	}
	munmap(img, size);
}

static void end_guest(int status)
{
	char byte = status;
	int fd = open("/dev/port", O_WRONLY);

	if (fd < 0) {
		mknod("/port", S_IFCHR | 0600, makedev(1, 4));
		fd = open("/port", O_WRONLY);
	}
	lseek(fd, 0x501, SEEK_SET);
	write(fd, &byte, 1);
	reboot(LINUX_REBOOT_CMD_POWER_OFF);
}

int main(void)
{
	long ret;

	is_init = getpid() == 1;
	if (is_init) {
		mkdir("/proc", 0755);
		mkdir("/tmp", 01777);
		mount("proc", "/proc", "proc", 0, NULL);
		mount("tmpfs", "/tmp", "tmpfs", 0, NULL);
	}
	what = "before";
	make_kinds();

	read_maps();
	ret = my_syscall2(600, 0, THREE_GB);
	what = "cp_range(0, 3 GB)";
	check(!ret, "it failed");
	if (ret)
		printf("# errno %ld\n", -ret);
	look(0, what, 1);

	kinds[2].mem[17 * PAGE] = 'w';
	read_maps();
	ret = my_syscall2(601, 0, THREE_GB);
	what = "inc_cp_range(0, 3 GB)";
	check(!ret, "it failed");
	look(1, what, 0);

	printf("%s 1 - 0 to 3 GB of a 32-bit program, %d checks, %d failed\n",
	       failed ? "not ok" : "ok", checks, failed);
	if (is_init)
		end_guest(!!failed);
	return !!failed;
}
