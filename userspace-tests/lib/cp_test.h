/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests share. The checks return NULL or a line that says what they
 * saw, in a buffer of their own: ASSERT_OK(check(...)) prints it.
 */
#ifndef CP_TEST_H
#define CP_TEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cp_range.h>
#include <cpimg.h>

#include "far.h"

#define PAGE		4096UL
/* A huge page, and what a page table is for; of i386 those without PAE. */
#define HUGE		(sizeof(void *) == 8 ? 2UL << 20 : 4UL << 20)

/* As much as one would not walk page by page; of 32 bits, what there is room for. */
#define TEBIBYTE	(sizeof(size_t) == 8 ? (size_t)(1ULL << 40) : (size_t)1 << 30)

/* What loads the _dyn programs */
#ifdef __x86_64__
#define CP_LOADER	"/lib/ld-musl-x86_64.so.1"
#else
#define CP_LOADER	"/lib/ld-musl-i386.so.1"
#endif

/* Newer than the libc's headers; the numbers are the kernel's for good. */
#ifndef MADV_HWPOISON
#define MADV_HWPOISON		100
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MADV_COLD
#define MADV_COLD		20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT		21
#endif

#define CP_KSM	"/sys/kernel/mm/ksm/"

#define ASSERT_OK(check) do { \
	const char *why_ = (check); \
	ASSERT_EQ(NULL, why_) TH_LOG("%s", why_); \
} while (0)

#define EXPECT_OK(check) do { \
	const char *why_ = (check); \
	EXPECT_EQ(NULL, why_) TH_LOG("%s", why_); \
} while (0)

struct elf_prstatus;

int cp_gettid(void);
const char *cp_name(int tid, unsigned long n);
struct cpimg *cp_open(int tid, unsigned long n);
struct cpimg *cp_take(void *start, size_t len);
bool cp_prstatus(const struct cpimg *img, struct elf_prstatus *st);
void *cp_map(size_t len);
void *cp_map_at(void *addr, size_t len);
void *cp_brk(size_t len);
void cp_fill(void *mem, size_t len, unsigned int seed);
void *cp_memfd(const char *name, size_t len, unsigned int seed, int *fd);

const char *cp_is(const struct cpimg *img, const void *mem, size_t len,
		  enum cpimg_class cls, uint32_t reason);
const char *cp_same_bytes(const struct cpimg *img, const void *mem, size_t len);
bool cp_looked_at(const struct cpimg *img, uint64_t *start, uint64_t stop, uint64_t *end);
const char *cp_check_maps(const struct cpimg *img, int pid);
const char *cp_check_process(const struct cpimg *img, int pid);
const char *cp_no_file(int tid, unsigned long n);
int cp_open_memory(int pid, uint64_t addr);
int cp_pageout(void *mem, size_t len);

int cp_run(void (*fn)(void *arg), void *arg);
int cp_exec_stopped(const char *const argv[]);
bool cp_wait_stopped(int pid);
void cp_kill(int pid);
const char *cp_helper(const char *name);
long cp_read_number(const char *path);
int cp_write_file(const char *path, const char *text);
int cp_copy(const char *from, const char *to);
uint64_t cp_user_end(void);
double cp_now(void);
const char *cp_swap_device(void);
long cp_vmstat(const char *field);
long cp_meminfo(const char *field);
long cp_available(void);
void cp_oom_first(bool first);
int cp_hold_memory_but(long kb);
int cp_set_user(uid_t real, uid_t effective, uid_t saved);
bool cp_debug_kernel(void);
long cp_smaps(const void *mem, const char *field);
uint64_t cp_pagemap(const void *mem);
size_t cp_swapped(const void *mem, size_t len);
void cp_spread(char *mem, size_t len);
bool cp_ksm_reaches(const char *file, long pages, int seconds);
uint64_t cp_kpageflags(const void *mem);

/*
 * Save [@start, @end) and sleep for ever. Nothing is written after the call, so
 * that somebody else can hold all of the memory against the image.
 */
static inline void cp_stand_still(void *start, void *end)
{
#ifdef __x86_64__
	asm volatile("syscall\n"
		     "1:	mov $34, %%eax\n\t"
		     "syscall\n\t"
		     "jmp 1b"
		     : : "a" (600), "D" (start), "S" (end)
		     : "rcx", "r11", "memory");
#else
	asm volatile("int $0x80\n"
		     "1:	mov $29, %%eax\n\t"
		     "int $0x80\n\t"
		     "jmp 1b"
		     : : "a" (600), "b" (start), "c" (end) : "memory");
#endif
}

#endif /* CP_TEST_H */
