/* SPDX-License-Identifier: GPL-2.0 */
/* Images put together by hand, right ones and wrong ones: no kernel is needed. */
#ifndef COMPOSE_H
#define COMPOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/cp_range.h>

#define PAGE	4096
#define RUNS	8

struct other_note {
	const char	*owner;
	uint32_t	type;
	const void	*desc;
	size_t		size;
};

struct piece {
	uint64_t	page;		/* address in pages */
	uint64_t	pages;
	uint32_t	type;
	uint32_t	reason;
	char		fill;		/* DATA if not 0 */
};

/* What an image is composed of. Everything can be made wrong by hand. */
struct plan {
	int		bits;
	bool		xnum;
	struct cp_note	note;
	size_t		note_size;	/* of its content; 0: as it is */
	const struct cp_span *area;	/* the CP_AREAS note; NULL: none */
	int		nr_areas;
	int		nr;
	struct piece	run[RUNS];
	const struct other_note *more;	/* notes, in the place of two dull ones */
	int		nr_more;
};

struct image {
	unsigned char	bytes[32 * PAGE];
	size_t		size;
	size_t		notes;		/* offsets */
	size_t		cp_note;
	size_t		phdrs;
	size_t		nr_phdrs;
	size_t		shdr;		/* 0: none */
	bool		wide;		/* 64 bits */
};

#define DATA(at, n, c)		{ at, n, PT_LOAD, 0, c }
#define HOLE(at, n, why)	{ at, n, PT_LOAD, why, 0 }
#define SAME(at, n)		{ at, n, PT_CP_SAME, 0, 0 }
#define SKIPPED(at, n, why)	{ at, n, PT_CP_SKIPPED, why, 0 }

/* From page to page, not that included. */
#define AREA(from, to)		{ (from) * PAGE, (to) * PAGE }

struct plan plan(int bits, int n, int parent, uint64_t from, uint64_t to, int nr,
		 const struct piece *runs);
void count(struct plan *plan);
void set_areas(struct plan *plan, const struct cp_span *areas, int nr);
void set_version1(struct plan *plan);
void compose(struct image *im, const struct plan *plan);
void set_crc(struct image *im);

#endif /* COMPOSE_H */
