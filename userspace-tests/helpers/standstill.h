/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A program that saves its whole address space and then stands still, so that
 * somebody else can hold its memory against the image, or a debugger find what
 * is said here. Between the call and the standstill it writes nothing.
 *
 * standstill asm|libc END: END is all (~0UL) or 4g (0xffffffff)
 */

struct ship {
	const char	*name;
	int		tons;
	long		log[4];
};

struct ship ship = { "Beagle", 242, { 1831, 1832, 1833, 1836 } };
volatile unsigned int cargo[64 * 1024];
volatile double draught = 3.5;
char *volatile hold;

static void load(unsigned int seed)
{
	/* of a program that never used them, a kernel may have no such registers */
	draught *= seed;
	for (unsigned int i = 0; i < sizeof(cargo) / sizeof(cargo[0]); i++)
		cargo[i] = seed + i * 2654435761u;
}

/* Calls cp_range(0, @end), then sleeps for ever, in registers only. */
static void stand_still(unsigned long end)
{
#ifdef __x86_64__
	asm volatile("mov $600, %%eax\n\t"
		     "xor %%edi, %%edi\n\t"
		     "syscall\n"
		     "1:	mov $34, %%eax\n\t"
		     "syscall\n\t"
		     "jmp 1b"
		     : : "S" (end) : "rax", "rdi", "rcx", "r11", "memory");
#else
	asm volatile("mov $600, %%eax\n\t"
		     "xor %%ebx, %%ebx\n\t"
		     "int $0x80\n"
		     "1:	mov $29, %%eax\n\t"
		     "int $0x80\n\t"
		     "jmp 1b"
		     : : "c" (end) : "eax", "ebx", "memory");
#endif
}

__attribute__((noinline)) void harbour(int by_libc, unsigned long end)
{
#ifdef CP_RANGE_BY_LIBC
	if (by_libc) {
		if (cp_range(0, (void *)end))
			_exit(1);
		return;
	}
#endif
	(void)by_libc;
	stand_still(end);
}

__attribute__((noinline)) void voyage(int by_libc, unsigned long end, int miles)
{
	volatile int sailed = miles;

	harbour(by_libc, end);
	ship.tons += sailed;
}
