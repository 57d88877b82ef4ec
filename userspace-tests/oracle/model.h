/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The oracle: a program that does at random what can be done to memory, keeps a
 * model of it outside the range it checkpoints, and holds every chain of images
 * against the model.
 *
 *	oracle.c	options, the loop, shrinking of what failed
 *	model.c		the model: what each page of the arena is and holds
 *	check.c		checkpoints, and images against the model
 *	files.c		files that memory is mapped from, and what befalls them
 *	ops.c		the operations of this process
 *	more.c		those that take a second process or another interface
 *	writers.c	threads that write while all that goes on
 */
#ifndef ORACLE_H
#define ORACLE_H

#include "cp_test.h"

#define ARENA		((unsigned char *)0x100000000000UL)
#define MAX_PAGES	16384U		/* 64 MiB */
#define FILE_PAGES	512U		/* of a file at most */

/* Not in the musl's headers of old. */
#ifndef MADV_COLD
#define MADV_COLD	20
#endif

/*
 * What is mapped; the index of the file too. There are three for good: one that nobody
 * writes to, one that is always open for writing, shared memory without a name. Others
 * come and go.
 */
enum { FILE_RO, FILE_RW, FILE_MEM, NR_FIXED, NR_FILES = 24, NO_FILE = 0xff };

/* struct page.flags */
#define P_MAPPED	1	/* something is */
#define P_SHARED	2	/* MAP_SHARED */
#define P_COW		4	/* of a private file mapping: written, its own copy */
#define P_FREED		8	/* MADV_FREE: the old bytes or zeros */
#define P_LOCKED	16
#define P_DONTFORK	32
#define P_DONTDUMP	64
#define P_HUGETLB	128
#define P_WP		256	/* userfaultfd write-protects it, asynchronously */
#define P_WAS_SAVED	512	/* in the chain, and not touched since */
#define P_RO		1024	/* MAP_SHARED, by a descriptor for reading only */

/* A page of the arena as it should be. */
struct page {
	uint16_t	flags;
	uint8_t		prot;
	uint8_t		file;
	uint32_t	index;		/* in the file */
	uint64_t	version;	/* of the bytes: no two contents share one */
	uint64_t	good_version;	/* which of them a chain was found to hold */
	uint64_t	good_place;	/* and where */
};

/* A file: what it is called says nothing of a mapping that was there before. */
struct file {
	bool		used;
	bool		named;		/* its name leads to it */
	bool		lower;		/* of an overlay: writing makes another file */
	bool		local;		/* on a disk of this machine */
	int		fd;		/* stays open, or -1 */
	int		writer;		/* open for writing for a while, or -1 */
	unsigned int	pages;		/* its size; no more than room */
	unsigned int	room;
	char		name[96];
	unsigned char	*bytes;
	uint64_t	version[FILE_PAGES];
};

struct rng {
	uint64_t	state;
};

/* A stretch of the arena. */
struct range {
	unsigned int	page;
	unsigned int	nr;
};

struct options {
	uint64_t	seed;
	unsigned long	ops;
	unsigned int	seconds;
	unsigned int	pages;		/* of the arena */
	unsigned int	writers;	/* threads that write all the time */
	unsigned int	every;		/* check every that many checkpoints */
	bool		plain;		/* only writes and reads: be exact */
	bool		ksm;
	bool		quiet;
	bool		shrink;
	const char	*only;		/* name of the only operation besides write */
	const char	*without;	/* none of these operations */
	unsigned char	*keep;		/* one byte an operation: do it */
};

struct stats {
	unsigned long	done;
	unsigned long	full;
	unsigned long	incremental;
	unsigned long	failed;		/* on purpose */
	unsigned long	data;
	unsigned long	same;
	unsigned long	hole;
	unsigned long	skipped;
	unsigned long	again;		/* saved though not touched */
	unsigned long	compared;
	unsigned long	left;		/* to files */
	unsigned long	refused;	/* files that have changed since */
};

extern struct options opt;
extern struct stats stats;
extern struct page pages[MAX_PAGES];
extern unsigned long op_now;

/* oracle.c */
void trace(const char *what, uint64_t a, uint64_t b, uint64_t c);
void fail(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* model.c */
uint64_t rnd(struct rng *r);
uint64_t below(struct rng *r, uint64_t n);
bool chance(struct rng *r, unsigned int in);
void rng_fill(uint64_t seed, void *to, size_t len);
bool same_page(const void *a, const void *b);

void model_init(void);
unsigned char *model_file(unsigned int file, unsigned int index);
static inline unsigned char *page_addr(unsigned int page)
{
	return ARENA + page * PAGE;
}
unsigned char *model_bytes(unsigned int page);
unsigned char *model_own(unsigned int page);
uint64_t model_version(unsigned int page);
void model_touch(struct range at);
void model_touch_all(void);
void model_cow(struct range at);
void model_changed(unsigned int page);
void model_file_changed(unsigned int file, unsigned int index);
void model_zero(unsigned int page);
void model_write(unsigned char *addr, const void *from, size_t len);
void model_settle(struct range at);
void model_map(struct range at, int prot, int flags, unsigned int file,
	       unsigned int index);
void model_unmap(struct range at);
void model_cut(unsigned int file, unsigned int pages);
void *model_outside(size_t len);
bool past_end(const struct page *p);
void model_audit(void);
unsigned int skip_reason(const struct page *p);

typedef bool (*page_test)(const struct page *p);
bool is_readable(const struct page *p);
bool is_writable(const struct page *p);
bool is_anon(const struct page *p);
bool is_plain(const struct page *p);
bool is_free(const struct page *p);
bool pick(struct rng *r, page_test test, unsigned int most, struct range *at);
bool pick_alike(struct rng *r, page_test test, unsigned int most,
		struct range *at);
bool pick_huge(struct rng *r, page_test test, struct range *at);

/* check.c */
void check_init(void);
void checkpoint(struct rng *r);
void checkpoint_all(void);
void checkpoint_with_limit(struct rng *r);
void check_leave_out(struct range at);

void checkpoint_look_back(struct rng *r);
void checkpoint_lose(struct rng *r);

/* files.c */
extern struct file files[NR_FILES];
void files_init(void);
int files_pick(struct rng *r);
int files_open(unsigned int *file, bool writable);
void files_close(unsigned int file, int fd);
void files_who_stays(bool stays[NR_FILES]);
bool op_file_new(struct rng *r);
bool op_file_write(struct rng *r);
bool op_file_close(struct rng *r);
bool op_file_truncate(struct rng *r);
bool op_file_cut(struct rng *r);
bool op_file_grow(struct rng *r);
bool op_file_unlink(struct rng *r);
bool op_file_replace(struct rng *r);
bool op_file_link(struct rng *r);
bool op_file_chmod(struct rng *r);

/* ops.c */
bool do_op(struct rng *r);
void write_at(struct rng *r, unsigned char *addr, size_t len);
void ops_init(void);

/* more.c */
void more_init(void);
void more_exit(void);
bool op_fork(struct rng *r);
bool op_child_ends(struct rng *r);
bool op_vm_writev(struct rng *r);
bool op_proc_mem(struct rng *r);
bool op_clear_refs(struct rng *r);
bool op_pagemap_scan(struct rng *r);
bool op_direct_read(struct rng *r);
bool op_vmsplice_out(struct rng *r);
bool op_vmsplice_in(struct rng *r);
bool op_io_uring(struct rng *r);
bool op_uffd_copy(struct rng *r);
bool op_uffd_move(struct rng *r);
bool op_uffd_wp(struct rng *r);
bool op_compact(struct rng *r);

/* writers.c */
void writers_start(unsigned int nr);
void writers_before(void);
void writers_after(void);
void writers_check(const struct cpimg_chain *chain, uint64_t start, uint64_t end);
void writers_stop(void);
void writers_disturb(struct rng *r);
extern unsigned int writers_pages;

#endif /* ORACLE_H */
