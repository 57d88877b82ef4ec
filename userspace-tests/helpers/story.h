/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A program that tells a story in checkpoints, and what was true at each of them:
 * the tools are held to it on the host.
 *
 *	field	FIELD_PAGES at FIELD; page p at checkpoint k is in the file field<k>
 *	ledger	a symbol, and an array of pages
 *	chapter	a symbol: the number of the checkpoint
 *
 *	0	full: the first half of the field is written
 *	1	pages 3 and 7 to 9 are written, and page 2 of the ledger
 *	2	of the field only; page 100
 *	3	20 to 29 are discarded, 200 is written, OLD is unmapped, NEW mapped
 *	4	nothing but what the program itself needs
 */
#define PAGE		4096UL
#define FIELD		((unsigned char *)0x20000000)
#define FIELD_PAGES	256
#define SECRET		((unsigned char *)0x21000000)
#define GUARD		((unsigned char *)0x21010000)
#define OLD		((unsigned char *)0x22000000)
#define NEW		((unsigned char *)0x23000000)
#define PROGRAM		((unsigned char *)0x24000000)

#ifndef MADV_DONTNEED
#define MADV_DONTNEED	4
#endif

volatile int chapter;
volatile unsigned char ledger[16][4096] __attribute__((aligned(4096)));

static void *place(void *at, unsigned long pages, int prot, int flags, int fd)
{
	return mmap(at, pages * PAGE, prot, MAP_PRIVATE | MAP_FIXED | flags, fd, 0);
}

static void plough(int from, int to)
{
	for (int page = from; page <= to; page++)
		for (unsigned long i = 0; i < PAGE; i++)
			FIELD[page * PAGE + i] = 1 + page * 7 + chapter * 31 + i;
}

static void begin(void)
{
	int fd = open("/proc/self/exe", O_RDONLY);

	place(FIELD, FIELD_PAGES, PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1);
	place(SECRET, 2, PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1);
	place(GUARD, 1, PROT_NONE, MAP_ANONYMOUS, -1);
	place(OLD, 4, PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1);
	place(PROGRAM, 4, PROT_READ, 0, fd);
	close(fd);
	syscall(__NR_mlock, SECRET, 2 * PAGE);
	SECRET[0] = 's';
	OLD[0] = 'o';
	ledger[0][0] = 'L';
	plough(0, FIELD_PAGES / 2 - 1);
}

static void tell(void)
{
	switch (chapter) {
	case 1:
		plough(3, 3);
		plough(7, 9);
		ledger[2][5] = 'x';
		break;
	case 2:
		plough(100, 100);
		break;
	case 3:
		syscall(__NR_madvise, FIELD + 20 * PAGE, 10 * PAGE, MADV_DONTNEED);
		plough(200, 200);
		munmap(OLD, 4 * PAGE);
		place(NEW, 4, PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1);
		NEW[0] = 'n';
		break;
	}
}

/*
 * In a function of its own, for a debugger to find, and without the libc's syscall(),
 * from which there may be no way back for it.
 */
__attribute__((noinline)) long save(unsigned char *from, unsigned char *to)
{
	long ret;

#ifdef __x86_64__
	asm volatile("syscall" : "=a" (ret) : "a" (601), "D" (from), "S" (to)
		     : "rcx", "r11", "memory");
#else
	asm volatile("int $0x80" : "=a" (ret) : "a" (601), "b" (from), "c" (to)
		     : "memory");
#endif
	return ret;
}

/* FOLDER/field<k> gets what the field holds now. */
static int write_truth(const char *folder)
{
	char path[256];
	int fd, i;

	for (i = 0; folder[i] && i < 200; i++)
		path[i] = folder[i];
	memcpy(path + i, "/field0", 8);
	path[i + 6] += chapter;
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
	if (fd < 0 || write(fd, FIELD, FIELD_PAGES * PAGE) != FIELD_PAGES * (long)PAGE)
		return 1;
	return close(fd);
}

/*
 * The stack may cross a page between main() and save(), and an incremental image has
 * no page that was not written: so write what is there to all of main()'s frame.
 */
static void rewrite(volatile char *frame)
{
	for (int at = -128; at <= 64; at += 64)
		frame[at] = frame[at];
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	for (begin(); chapter < 5; chapter++) {
		tell();
		rewrite(__builtin_frame_address(0));
		if (chapter == 2 ? save(FIELD, FIELD + FIELD_PAGES * PAGE) :
				   save(0, (unsigned char *)~0UL))
			return 3;
		if (write_truth(argv[1]))
			return 4;
	}
	return 0;
}
