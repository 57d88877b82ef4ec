// SPDX-License-Identifier: GPL-2.0
/* A 32-bit program with so many runs that e_phnum cannot count them. */
#define PAGE	4096
#define RUNS	65540

int main(void)
{
	char *mem = mmap(NULL, RUNS * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		return 2;
	/* Every other page; a huge one would fill the gaps. */
	my_syscall3(__NR_madvise, mem, RUNS * PAGE, 15 /* MADV_NOHUGEPAGE */);
	for (int i = 0; i < RUNS; i += 2)
		mem[i * PAGE] = 'x';
	return !!my_syscall2(600, mem, mem + RUNS * PAGE);
}
