// SPDX-License-Identifier: GPL-2.0
/*
 * big [MIB]: fill so much memory, save it to /disk, hold the image against it,
 * and say how long it took and how much the kernel took for itself. Not part of
 * the tests for its size:
 *
 *	guest.sh --mem 6144 --disk 4608 --timeout 900 /tests/big 4096
 */
#include <sys/mount.h>

#include "cp_test.h"

/* What the kernel holds besides pages of files and programs, in kB */
static long kernel_kb(void)
{
	static const char *const fields[] = {
		"SUnreclaim:", "KernelStack:", "VmallocUsed:", "Percpu:",
	};
	char line[128];
	FILE *f = fopen("/proc/meminfo", "r");
	long kb = 0;

	while (f && fgets(line, sizeof(line), f)) {
		for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
			if (!strncmp(line, fields[i], strlen(fields[i])))
				kb += atol(line + strlen(fields[i]));
		}
	}
	if (f)
		fclose(f);
	return kb;
}

/* Looks every 20 ms; the largest is in *@peak. */
static pid_t watch(volatile long *peak)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	for (;;) {
		long kb = kernel_kb();

		if (kb > *peak)
			*peak = kb;
		usleep(20000);
	}
}

int main(int argc, char **argv)
{
	size_t len = (argc > 1 ? atol(argv[1]) : 4096) << 20;
	volatile long *peak = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct cpimg *img;
	const char *why;
	long before;
	double start;
	pid_t pid;
	char *mem;

	if (mount("/disk", "/tmp", NULL, MS_BIND, NULL)) {
		perror("# /disk on /tmp");
		return 4;
	}
	mem = cp_map(len);
	if (!mem) {
		perror("# memory");
		return 1;
	}
	cp_fill(mem, len, 1);
	printf("# %zu MiB filled\n", len >> 20);
	before = kernel_kb();
	pid = watch(peak);
	start = cp_now();
	if (cp_range(NULL, (void *)~0UL)) {
		perror("# cp_range");
		cp_kill(pid);
		return 1;
	}
	printf("# saved in %.1f s; the kernel had %ld kB before, %ld kB at most meanwhile\n",
	       cp_now() - start, before, *peak);
	cp_kill(pid);
	img = cp_open(getpid(), 0);
	if (!img)
		return 1;
	why = cp_same_bytes(img, mem, len);
	printf("# image: %llu pages of data, %llu runs\n",
	       (unsigned long long)cpimg_note(img)->pages_data,
	       (unsigned long long)cpimg_note(img)->runs);
	printf("TAP version 13\n1..1\n%s 1 every byte of %zu MiB%s%s\n",
	       why ? "not ok" : "ok", len >> 20, why ? ": " : "", why ? why : "");
	cpimg_close(img);
	return !!why;
}
