// SPDX-License-Identifier: GPL-2.0
/*
 * A dynamically linked program that saves all of its memory three times and
 * stands still; after the last time it writes nothing.
 */
#include <cp_range.h>

static void save_and_stand_still(void)
{
#ifdef __x86_64__
	asm volatile("mov $601, %%eax\n\t"
		     "xor %%edi, %%edi\n\t"
		     "mov $-1, %%rsi\n\t"
		     "syscall\n"
		     "1:	mov $34, %%eax\n\t"
		     "syscall\n\t"
		     "jmp 1b"
		     : : : "rax", "rdi", "rsi", "rcx", "r11", "memory");
#else
	asm volatile("mov $601, %%eax\n\t"
		     "xor %%ebx, %%ebx\n\t"
		     "mov $-1, %%ecx\n\t"
		     "int $0x80\n"
		     "1:	mov $29, %%eax\n\t"
		     "int $0x80\n\t"
		     "jmp 1b"
		     : : : "eax", "ebx", "ecx", "memory");
#endif
}

int main(void)
{
	if (inc_cp_range(0, (void *)~0UL) || inc_cp_range(0, (void *)~0UL))
		return 1;
	save_and_stand_still();
	return 0;
}
