/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The model: what each page of the arena, and of the files that are mapped there, is and
 * holds. It stands outside the range that is checkpointed.
 */
#ifndef MODEL_H
#define MODEL_H

#include "cp_test.h"
#include "log.h"

#define ARENA		((unsigned char *)CP_FAR(0x10))
#define MAX_PAGES	16384U		/* 64 MiB */
#define FILE_PAGES	512U		/* of a file at most */
#define HUGE_PAGES	((unsigned int)(HUGE / PAGE))

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

extern struct page pages[MAX_PAGES];
extern struct file files[NR_FILES];

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
static inline uint64_t at_addr(struct range at)
{
	return (uintptr_t)page_addr(at.page);
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
void who_stays(bool stays[NR_FILES]);

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

#endif /* MODEL_H */
