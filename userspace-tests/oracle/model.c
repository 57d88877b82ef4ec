// SPDX-License-Identifier: GPL-2.0
/* The oracle's model. It does nothing to memory, and knows nobody who does. */
#include "model.h"

struct page pages[MAX_PAGES];
struct file files[NR_FILES];

static unsigned char *own;			/* bytes of private pages */
static uint64_t last_version;

uint64_t rnd(struct rng *r)
{
	uint64_t z = (r->state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

uint64_t below(struct rng *r, uint64_t n)
{
	return rnd(r) % n;
}

/* true once in @in times */
bool chance(struct rng *r, unsigned int in)
{
	return !below(r, in);
}

void rng_fill(uint64_t seed, void *to, size_t len)
{
	uint64_t x = seed * 2 + 1, *p = to;
	size_t i;

	for (i = 0; i < len / 8; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = x;
	}
	memcpy((char *)to + i * 8, &x, len % 8);
}

/* The libc's memcmp() goes byte by byte. */
bool same_page(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	uint64_t differ = 0;

	for (unsigned int i = 0; i < PAGE / 8 && !differ; i += 8)
		for (unsigned int j = i; j < i + 8; j++)
			differ |= x[j] ^ y[j];
	return !differ;
}

/* Memory that no checkpoint is asked for. */
void *model_outside(size_t len)
{
	void *mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		fail("mmap of %zu bytes for the model: %s", len, strerror(errno));
	return mem;
}

void model_init(void)
{
	own = model_outside(opt.pages * PAGE);
	for (unsigned int i = 0; i < MAX_PAGES; i++)
		pages[i].file = NO_FILE;
}

unsigned char *model_file(unsigned int file, unsigned int index)
{
	return files[file].bytes + index * PAGE;
}

static bool holds_file(const struct page *p)
{
	return p->file != NO_FILE && !(p->flags & P_COW);
}

/* There is nothing in the file: SIGBUS, whoever touches it. */
bool past_end(const struct page *p)
{
	return holds_file(p) && p->index >= files[p->file].pages;
}

/* What the page should hold now. */
unsigned char *model_bytes(unsigned int page)
{
	const struct page *p = &pages[page];

	return holds_file(p) ? model_file(p->file, p->index) : own + page * PAGE;
}

/* The place for a private page's bytes. */
unsigned char *model_own(unsigned int page)
{
	return own + page * PAGE;
}

uint64_t model_version(unsigned int page)
{
	const struct page *p = &pages[page];

	return holds_file(p) ? files[p->file].version[p->index] : p->version;
}

void model_touch(struct range at)
{
	for (unsigned int i = 0; i < at.nr; i++)
		pages[at.page + i].flags &= ~P_WAS_SAVED;
}

void model_touch_all(void)
{
	model_touch((struct range) { 0, opt.pages });
}

void model_changed(unsigned int page)
{
	struct page *p = &pages[page];

	p->flags &= ~P_WAS_SAVED;
	if (holds_file(p))
		files[p->file].version[p->index] = ++last_version;
	else
		p->version = ++last_version;
}

void model_file_changed(unsigned int file, unsigned int index)
{
	files[file].version[index] = ++last_version;
}

/* A private page becomes its own copy before it is written. */
static void cow_page(unsigned int page)
{
	struct page *p = &pages[page];

	if (p->file == NO_FILE || p->flags & (P_SHARED | P_COW) || past_end(p))
		return;
	memcpy(model_own(page), model_file(p->file, p->index), PAGE);
	p->flags |= P_COW;
	p->version = ++last_version;
}

/* Brought in for writing: private pages of files become copies. */
void model_cow(struct range at)
{
	for (unsigned int i = at.page; i < at.page + at.nr; i++)
		cow_page(i);
}

/* An anonymous page loses its bytes. */
void model_zero(unsigned int page)
{
	memset(model_own(page), 0, PAGE);
	pages[page].flags &= ~P_FREED;
	model_changed(page);
}

/*
 * After MADV_FREE a page is as it was, or zeros, till it is written; then this
 * tells which. The memory has been written already, [@from, @to) of the page.
 */
static void settle_page(unsigned int page, unsigned int from, unsigned int to)
{
	const unsigned char *mem = page_addr(page);
	unsigned char *model = model_own(page);
	static const unsigned char zeros[PAGE] __attribute__((aligned(8)));

	pages[page].flags &= ~P_FREED;
	if (!memcmp(mem, model, from) && !memcmp(mem + to, model + to, PAGE - to))
		return;
	if (memcmp(mem, zeros, from) || memcmp(mem + to, zeros, PAGE - to))
		fail("page %u (%p): after MADV_FREE and a write it is neither old nor zeros",
		     page, mem);
	memset(model, 0, PAGE);
}

/* The program, or somebody for it, has written @len bytes at @addr. */
void model_write(unsigned char *addr, const void *from, size_t len)
{
	while (len) {
		unsigned int page = (addr - ARENA) / PAGE;
		unsigned int offset = (addr - ARENA) % PAGE;
		size_t n = PAGE - offset < len ? PAGE - offset : len;

		if (pages[page].flags & P_FREED)
			settle_page(page, offset, offset + n);
		cow_page(page);
		memcpy(model_bytes(page) + offset, from, n);
		model_changed(page);
		from = (const char *)from + n;
		addr += n;
		len -= n;
	}
}

/* What MADV_FREE left open is found out by looking. */
void model_settle(struct range at)
{
	static const unsigned char zeros[PAGE] __attribute__((aligned(8)));

	for (unsigned int i = at.page; i < at.page + at.nr; i++) {
		if (!(pages[i].flags & P_FREED) || !(pages[i].prot & PROT_READ))
			continue;
		if (same_page(page_addr(i), model_own(i)))
			continue;
		if (!same_page(page_addr(i), zeros))
			fail("page %u (%p): after MADV_FREE it is neither old nor zeros",
			     i, page_addr(i));
		model_zero(i);
	}
}

void model_map(struct range at, int prot, int flags, unsigned int file,
	       unsigned int index)
{
	for (unsigned int i = 0; i < at.nr; i++) {
		struct page *p = &pages[at.page + i];

		p->flags = P_MAPPED | flags;
		p->prot = prot;
		p->file = file;
		p->index = index + i;
		if (file == NO_FILE)
			model_zero(at.page + i);
	}
}

void model_unmap(struct range at)
{
	for (unsigned int i = 0; i < at.nr; i++) {
		pages[at.page + i].flags = 0;
		pages[at.page + i].file = NO_FILE;
	}
}

/* The file is shorter: what went, private copies too, does not come back. */
void model_cut(unsigned int file, unsigned int from)
{
	struct file *f = &files[file];

	for (unsigned int i = from; i < f->pages; i++) {
		memset(model_file(file, i), 0, PAGE);
		model_file_changed(file, i);
	}
	f->pages = from < f->pages ? from : f->pages;
	for (unsigned int i = 0; i < opt.pages; i++) {
		struct page *p = &pages[i];

		if (p->flags & P_MAPPED && p->file == file && p->index >= from)
			p->flags &= ~(P_COW | P_WAS_SAVED);
	}
}

/* Hold memory itself against the model: so that a mismatch is the image's fault. */
void model_audit(void)
{
	for (unsigned int i = 0; i < opt.pages; i++) {
		const unsigned char *mem = page_addr(i), *model;
		size_t at = 0;

		if (!is_readable(&pages[i]))
			continue;
		model_settle((struct range) { i, 1 });
		model = model_bytes(i);
		if (same_page(mem, model))
			continue;
		while (mem[at] == model[at])
			at++;
		fail("MEMORY IS WRONG: page %u at %p has 0x%02x, expected 0x%02x",
		     i, mem + at, mem[at], model[at]);
	}
	model_touch_all();
}

/* Why an image leaves the page out; in the order of the kernel's table. */
unsigned int skip_reason(const struct page *p)
{
	return p->flags & P_LOCKED ? CP_SKIP_LOCKED :
	       !(p->prot & PROT_READ) ? CP_SKIP_NOREAD :
	       p->flags & P_DONTFORK ? CP_SKIP_DONTCOPY :
	       p->flags & P_DONTDUMP ? CP_SKIP_DONTDUMP :
	       past_end(p) ? CP_SKIP_FAULT : 0;
}

/* For each file: nobody can change it, and its name leads to it. */
void who_stays(bool stays[NR_FILES])
{
	for (unsigned int i = 0; i < NR_FILES; i++)
		stays[i] = files[i].used && files[i].named && files[i].local &&
			   files[i].writer < 0 && i != FILE_RW;
	for (unsigned int i = 0; i < opt.pages; i++) {
		const struct page *p = &pages[i];

		if ((p->flags & (P_MAPPED | P_SHARED | P_RO)) == (P_MAPPED | P_SHARED) &&
		    p->file != NO_FILE)
			stays[p->file] = false;
	}
}

bool is_readable(const struct page *p)
{
	return p->flags & P_MAPPED && p->prot & PROT_READ && !past_end(p);
}

bool is_writable(const struct page *p)
{
	return p->flags & P_MAPPED && p->prot & PROT_WRITE && !past_end(p);
}

/* Private and anonymous, in small pages. */
bool is_anon(const struct page *p)
{
	return (p->flags & (P_MAPPED | P_HUGETLB)) == P_MAPPED &&
	       p->file == NO_FILE;
}

/* What can be cut at any page. */
bool is_plain(const struct page *p)
{
	return (p->flags & (P_MAPPED | P_HUGETLB)) == P_MAPPED;
}

bool is_free(const struct page *p)
{
	return !(p->flags & P_HUGETLB);
}

static unsigned int pick_length(struct rng *r, unsigned int most)
{
	static const unsigned int limits[] = { 1, 1, 1, 2, 4, 8, 16, 64, 256, 512 };
	unsigned int limit = chance(r, 64) ? 1536 : limits[below(r, 10)];

	return 1 + below(r, limit < most ? limit : most);
}

/* A stretch where every page passes the test, at most @most pages of it. */
bool pick(struct rng *r, page_test test, unsigned int most, struct range *at)
{
	unsigned int length = pick_length(r, most);
	unsigned int i = below(r, opt.pages), tries = opt.pages;

	/* Now and then where page tables and huge pages begin. */
	if (length >= 64 && chance(r, 2))
		i &= ~(HUGE_PAGES - 1);
	while (tries-- && !test(&pages[i]))
		i = (i + 1) % opt.pages;
	if (!test(&pages[i]))
		return false;
	at->page = i;
	for (at->nr = 0; at->nr < length && i < opt.pages && test(&pages[i]); i++)
		at->nr++;
	return true;
}

/* The same, of one mapping as far as the model can tell. */
bool pick_alike(struct rng *r, page_test test, unsigned int most,
		struct range *at)
{
	const uint16_t mask = P_SHARED | P_LOCKED | P_DONTFORK | P_DONTDUMP | P_WP |
			      P_RO;
	const struct page *first;

	if (!pick(r, test, most, at))
		return false;
	first = &pages[at->page];
	for (unsigned int i = 1; i < at->nr; i++) {
		const struct page *p = first + i;

		if ((p->flags & mask) != (first->flags & mask) ||
		    p->prot != first->prot || p->file != first->file ||
		    (p->file != NO_FILE && p->index != first->index + i))
			at->nr = i;
	}
	return true;
}

/* The pages of a huge one. */
bool pick_huge(struct rng *r, page_test test, struct range *at)
{
	unsigned int nr = opt.pages / HUGE_PAGES, i = below(r, nr), j;

	for (unsigned int tries = 0; tries < nr; tries++, i = (i + 1) % nr) {
		for (j = 0; j < HUGE_PAGES && test(&pages[i * HUGE_PAGES + j]); j++)
			;
		if (j == HUGE_PAGES) {
			*at = (struct range) { i * HUGE_PAGES, HUGE_PAGES };
			return true;
		}
	}
	return false;
}
