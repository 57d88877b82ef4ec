// SPDX-License-Identifier: GPL-2.0
/* The oracle's operations on its own memory. */
#include <sys/swap.h>

#include "checkpoint.h"
#include "files.h"
#include "ops.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif

/* Write, and tell the model. */
static void put(unsigned char *addr, const unsigned char *bytes, size_t len)
{
	memcpy(addr, bytes, len);
	model_write(addr, bytes, len);
}

/* Random bytes */
void write_at(struct rng *r, unsigned char *addr, size_t len)
{
	static unsigned char bytes[64 * PAGE];

	rng_fill(rnd(r), bytes, len);
	put(addr, bytes, len);
}

bool op_write_byte(struct rng *r)
{
	struct range at;
	unsigned char *addr;

	if (!pick(r, is_writable, opt.pages, &at))
		return false;
	for (unsigned int n = 1 + below(r, 4); n; n--) {
		addr = page_addr(at.page + below(r, at.nr)) + below(r, PAGE);
		trace("write 1", (uintptr_t)addr, 1, 0);
		write_at(r, addr, 1);
	}
	return true;
}

bool op_write_words(struct rng *r)
{
	struct range at;

	if (!pick(r, is_writable, opt.pages, &at))
		return false;
	trace("write words in", at_addr(at), at.nr * PAGE, 0);
	for (unsigned int n = 1 + below(r, 12); n; n--)
		write_at(r, page_addr(at.page + below(r, at.nr)) +
			 8 * below(r, PAGE / 8), 8);
	return true;
}

bool op_write_range(struct rng *r)
{
	struct range at;
	size_t from = 0, len;

	if (!pick(r, is_writable, chance(r, 8) ? 64 : 4, &at))
		return false;
	len = at.nr * PAGE;
	if (chance(r, 2)) {
		from = below(r, len);
		len = 1 + below(r, len - from);
	}
	trace("write", at_addr(at) + from, len, 0);
	write_at(r, page_addr(at.page) + from, len);
	return true;
}

/* A little in each of many pages. */
bool op_write_many(struct rng *r)
{
	struct range at;

	if (!pick(r, is_writable, 512, &at))
		return false;
	if (at.nr < 8 && at.page + 256 <= opt.pages) {
		for (at.nr = 0; at.nr < 256 && is_writable(&pages[at.page + at.nr]);
		     at.nr++)
			;
	}
	trace("write 8 of each page of", at_addr(at), at.nr * PAGE, 0);
	for (unsigned int i = at.page; i < at.page + at.nr; i++)
		write_at(r, page_addr(i) + 8 * below(r, PAGE / 8), 8);
	return true;
}

/* Few different contents, for KSM to find. */
bool op_write_alike(struct rng *r)
{
	static unsigned char bytes[PAGE];
	struct range at;

	if (!pick(r, is_writable, 32, &at))
		return false;
	trace("write alike", at_addr(at), at.nr * PAGE, 0);
	rng_fill(below(r, 3), bytes, PAGE);
	if (chance(r, 4))
		memset(bytes, 0, PAGE);
	for (unsigned int i = at.page; i < at.page + at.nr; i++)
		put(page_addr(i), bytes, PAGE);
	return true;
}

/* Pages of nothing but zeros, now and then but for a byte. */
bool op_write_zeros(struct rng *r)
{
	static const unsigned char zeros[PAGE];
	struct range at;

	if (!pick(r, is_writable, 128, &at))
		return false;
	trace("write zeros", at_addr(at), at.nr * PAGE, 0);
	for (unsigned int i = at.page; i < at.page + at.nr; i++) {
		put(page_addr(i), zeros, PAGE);
		if (chance(r, 8))
			write_at(r, page_addr(i) + below(r, PAGE), 1);
	}
	return true;
}

/* All pages of what may be a huge one: it may stay one then. */
bool op_write_huge(struct rng *r)
{
	struct range at;

	if (!pick_huge(r, is_writable, &at))
		return false;
	trace("write 1 of each page of", at_addr(at), at.nr * PAGE, 0);
	for (unsigned int i = at.page; i < at.page + at.nr; i++)
		write_at(r, page_addr(i) + below(r, PAGE), 1);
	return true;
}

bool op_read(struct rng *r)
{
	struct range at;

	if (!pick(r, is_readable, 64, &at))
		return false;
	trace("read", at_addr(at), at.nr * PAGE, 0);
	model_touch(at);
	for (unsigned int i = at.page; i < at.page + at.nr; i++) {
		unsigned int offset = below(r, PAGE);
		unsigned char found = page_addr(i)[offset];

		if (pages[i].flags & P_FREED ||
		    found == model_bytes(i)[offset])
			continue;
		fail("MEMORY IS WRONG: page %u at %p has 0x%02x, expected 0x%02x",
		     i, page_addr(i) + offset, found, model_bytes(i)[offset]);
	}
	return true;
}

/* By a descriptor @fd, or anonymous: -1. */
static void do_mmap(struct range at, int prot, int flags, int fd, unsigned int file,
		    unsigned int index)
{
	unsigned int kind = flags & MAP_SHARED ? P_SHARED : 0;

	if (file == NO_FILE)
		flags |= MAP_ANONYMOUS;
	else if (kind && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		kind |= P_RO;
	if (mmap(page_addr(at.page), at.nr * PAGE, prot, flags | MAP_FIXED, fd,
		 file == NO_FILE ? 0 : index * PAGE) == MAP_FAILED)
		fail("mmap(%p, 0x%lx, %d, 0x%x, file %d): %s",
		     page_addr(at.page), at.nr * PAGE, prot, flags, (int)file,
		     strerror(errno));
	model_map(at, prot, kind, file, index);
	if (flags & MAP_POPULATE && prot & PROT_WRITE)
		model_cow(at);
}

static void do_munmap(struct range at)
{
	if (munmap(page_addr(at.page), at.nr * PAGE))
		fail("munmap(%p, 0x%lx): %s", page_addr(at.page), at.nr * PAGE,
		     strerror(errno));
	model_unmap(at);
}

bool op_mmap_anon(struct rng *r)
{
	int flags = chance(r, 4) ? MAP_POPULATE : 0;
	struct range at;

	if (!pick(r, is_free, opt.pages, &at))
		return false;
	trace("mmap anonymous", at_addr(at), at.nr * PAGE, flags);
	do_mmap(at, chance(r, 8) ? PROT_READ : PROT_READ | PROT_WRITE,
		MAP_PRIVATE | flags, -1, NO_FILE, 0);
	return true;
}

bool op_mmap_file(struct rng *r)
{
	int flags = chance(r, 4) ? MAP_POPULATE : 0, prot = PROT_READ, fd;
	bool shared = chance(r, 3), writable = shared && !chance(r, 4);
	unsigned int file, index, most;
	int which = files_pick(r);
	struct range at;

	if (which < 0)
		return false;
	file = which;
	/* Now and then some of it past the end. */
	most = chance(r, 4) ? files[file].room : files[file].pages;
	if (!most || !pick(r, is_free, most, &at))
		return false;
	index = below(r, most - at.nr + 1);
	fd = files_open(&file, writable);
	if (fd < 0)
		return false;
	if ((!shared || writable) && !(shared && file == FILE_RO) && !chance(r, 4))
		prot |= PROT_WRITE;
	trace(shared ? "mmap shared file" : "mmap private file", at_addr(at),
	      at.nr * PAGE, file << 16 | index);
	do_mmap(at, prot, flags | (shared ? MAP_SHARED : MAP_PRIVATE), fd, file, index);
	files_close(file, fd);
	return true;
}

bool op_mmap_hugetlb(struct rng *r)
{
	struct range at;
	void *mem;

	if (!pick_huge(r, is_free, &at))
		return false;
	trace("mmap hugetlb", at_addr(at), at.nr * PAGE, 0);
	do_munmap(at);
	mem = mmap(page_addr(at.page), at.nr * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED, -1, 0);
	if (mem == MAP_FAILED)
		return false;
	model_map(at, PROT_READ | PROT_WRITE, P_HUGETLB, NO_FILE, 0);
	return true;
}

static bool is_hugetlb(const struct page *p)
{
	return p->flags & P_HUGETLB;
}

bool op_drop_hugetlb(struct rng *r)
{
	struct range at;

	if (!pick_huge(r, is_hugetlb, &at))
		return false;
	trace("drop hugetlb", at_addr(at), at.nr * PAGE, 0);
	/* Not by MADV_DONTNEED: the page could be somebody else's afterwards. */
	do_munmap(at);
	return true;
}

bool op_munmap(struct rng *r)
{
	struct range at;

	if (!pick(r, is_plain, 128, &at))
		return false;
	trace("munmap", at_addr(at), at.nr * PAGE, 0);
	do_munmap(at);
	return true;
}

static bool can_be_any(const struct page *p)
{
	return is_plain(p) && !(p->flags & P_RO);
}

bool op_mprotect(struct rng *r)
{
	static const int prots[] = { PROT_NONE, PROT_READ, PROT_READ,
		PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
		PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE };
	int prot = prots[below(r, 7)];
	struct range at;

	if (!pick(r, can_be_any, opt.pages, &at))
		return false;
	trace("mprotect", at_addr(at), at.nr * PAGE, prot);
	if (mprotect(page_addr(at.page), at.nr * PAGE, prot))
		fail("mprotect(%p, 0x%lx, %d): %s", page_addr(at.page),
		     at.nr * PAGE, prot, strerror(errno));
	for (unsigned int i = at.page; i < at.page + at.nr; i++) {
		/*
		 * mlock()ed pages are brought in for writing at once, or, by
		 * old kernels, not: a write makes them all alike.
		 */
		if (prot & PROT_WRITE && pages[i].flags & P_LOCKED &&
		    !past_end(&pages[i])) {
			__atomic_fetch_or(page_addr(i), 0, __ATOMIC_RELAXED);
			model_cow((struct range) { i, 1 });
		}
		pages[i].prot = prot;
		pages[i].flags &= ~P_WAS_SAVED;
	}
	return true;
}

/* The same bytes and kind at another place. */
static void move_page(unsigned int to, unsigned int from)
{
	pages[to] = pages[from];
	pages[to].flags &= ~(P_WP | P_WAS_SAVED);
	memcpy(model_own(to), model_own(from), PAGE);
}

/* What MREMAP_DONTUNMAP leaves behind. */
static void empty_page(unsigned int page)
{
	if (pages[page].file == NO_FILE)
		model_zero(page);
	else
		pages[page].flags &= ~P_COW;
}

static bool find_room(struct rng *r, struct range from, struct range *to)
{
	for (int tries = 0; tries < 8; tries++) {
		unsigned int i = below(r, opt.pages - from.nr + 1), j;

		/* The same place in another page table: it can move as a whole. */
		if (chance(r, 2))
			i = (i & ~(HUGE_PAGES - 1)) + from.page % HUGE_PAGES;
		if (i + from.nr > opt.pages)
			continue;
		if (i < from.page + from.nr && from.page < i + from.nr)
			continue;
		for (j = 0; j < from.nr && is_free(&pages[i + j]); j++)
			;
		if (j < from.nr)
			continue;
		*to = (struct range) { i, from.nr };
		return true;
	}
	return false;
}

static bool pick_to_move(struct rng *r, struct range *at)
{
	if (chance(r, 3) && pick_huge(r, is_plain, at)) {
		struct range rest = *at;

		/* One mapping's part of it. */
		for (unsigned int i = 1; i < rest.nr; i++) {
			const struct page *a = &pages[at->page], *b = a + i;

			if (b->file != a->file || b->prot != a->prot ||
			    (b->flags ^ a->flags) & (P_SHARED | P_LOCKED |
			    P_DONTFORK | P_DONTDUMP | P_WP | P_RO) ||
			    (a->file != NO_FILE && b->index != a->index + i)) {
				at->nr = i;
				break;
			}
		}
		return true;
	}
	return pick_alike(r, is_plain, opt.pages / 4, at);
}

static bool dontunmap_is_known(void)
{
	static int known = -1;
	void *mem, *to;

	if (known >= 0)
		return known;
	mem = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	to = mremap(mem, PAGE, PAGE,
		    MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, mem + PAGE);
	known = to != MAP_FAILED;
	munmap(mem, 2 * PAGE);
	return known;
}

bool op_mremap(struct rng *r)
{
	struct range from, to;
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED;

	if (!pick_to_move(r, &from) || !find_room(r, from, &to))
		return false;
	if (!(pages[from.page].flags & P_LOCKED) && chance(r, 4) &&
	    dontunmap_is_known())
		flags |= MREMAP_DONTUNMAP;
	trace("mremap", at_addr(from), at_addr(to),
	      (uint64_t)from.nr << 8 | flags);
	do_munmap(to);
	/* The model does not know where one mapping ends and the next begins. */
	if (mremap(page_addr(from.page), from.nr * PAGE, from.nr * PAGE, flags,
		   page_addr(to.page)) == MAP_FAILED) {
		if (errno != EFAULT)
			fail("mremap(%p, 0x%lx, 0x%x, %p): %s",
			     page_addr(from.page), from.nr * PAGE, flags,
			     page_addr(to.page), strerror(errno));
		return true;
	}
	for (unsigned int i = 0; i < from.nr; i++) {
		move_page(to.page + i, from.page + i);
		if (flags & MREMAP_DONTUNMAP)
			empty_page(from.page + i);
	}
	if (!(flags & MREMAP_DONTUNMAP))
		model_unmap(from);
	return true;
}

/* Grow into what is free behind, or give up the end. */
bool op_resize(struct rng *r)
{
	struct range at;
	unsigned int end, more, nr;

	if (!pick_alike(r, is_anon, 64, &at))
		return false;
	end = at.page + at.nr;
	more = 1 + below(r, 32);
	for (nr = 0; nr < more && end + nr < opt.pages &&
	     !(pages[end + nr].flags & P_MAPPED); nr++)
		;
	if (!nr && at.nr < 2)
		return false;
	trace("mremap in place", at_addr(at), at.nr, nr);
	if (mremap(page_addr(at.page), at.nr * PAGE,
		   (nr ? at.nr + nr : at.nr - 1) * PAGE, 0) == MAP_FAILED)
		return false;
	if (!nr)
		model_unmap((struct range) { end - 1, 1 });
	else
		model_map((struct range) { end, nr }, pages[at.page].prot,
			  pages[at.page].flags & (P_LOCKED | P_DONTFORK |
			  P_DONTDUMP | P_WP), NO_FILE, 0);
	return true;
}

static bool not_locked(const struct page *p)
{
	return is_plain(p) && !(p->flags & P_LOCKED);
}

static bool not_locked_anon(const struct page *p)
{
	return is_anon(p) && !(p->flags & P_LOCKED);
}

static bool is_shared_writable(const struct page *p)
{
	return not_locked(p) && p->flags & P_SHARED && !(p->flags & P_RO) &&
	       p->prot & PROT_WRITE;
}

static bool is_small_writable(const struct page *p)
{
	return is_plain(p) && is_writable(p);
}

static bool is_small_readable(const struct page *p)
{
	return is_plain(p) && is_readable(p);
}

static void after_dontneed(struct range at)
{
	for (unsigned int i = at.page; i < at.page + at.nr; i++)
		if (!(pages[i].flags & P_SHARED))
			empty_page(i);
}

static void after_free(struct range at)
{
	for (unsigned int i = at.page; i < at.page + at.nr; i++)
		pages[i].flags |= P_FREED;
}

/* A hole is punched, of which what is past the end is no part. */
static void punch(unsigned int file, unsigned int index)
{
	if (index >= files[file].pages)
		return;
	memset(model_file(file, index), 0, PAGE);
	model_file_changed(file, index);
}

static void after_remove(struct range at)
{
	for (unsigned int i = at.page; i < at.page + at.nr; i++)
		punch(pages[i].file, pages[i].index);
}

static void set_flag(struct range at, unsigned int flag)
{
	for (unsigned int i = at.page; i < at.page + at.nr; i++)
		pages[i].flags |= flag;
}

static void clear_flag(struct range at, unsigned int flag)
{
	for (unsigned int i = at.page; i < at.page + at.nr; i++)
		pages[i].flags &= ~flag;
}

static void after_dontfork(struct range at) { set_flag(at, P_DONTFORK); }
static void after_dofork(struct range at) { clear_flag(at, P_DONTFORK); }
static void after_dontdump(struct range at) { set_flag(at, P_DONTDUMP); }
static void after_dodump(struct range at) { clear_flag(at, P_DONTDUMP); }

static const struct advice {
	const char	*name;
	int		advice;
	page_test	test;
	bool		may_fail;
	void		(*after)(struct range at);
	unsigned int	weight;
} advices[] = {
	{ "MADV_DONTNEED", MADV_DONTNEED, not_locked, false, after_dontneed, 8 },
	{ "MADV_FREE", MADV_FREE, not_locked_anon, false, after_free, 5 },
	{ "MADV_PAGEOUT", MADV_PAGEOUT, not_locked, true, NULL, 8 },
	{ "MADV_COLD", MADV_COLD, not_locked, false, NULL, 2 },
	{ "MADV_HUGEPAGE", MADV_HUGEPAGE, is_plain, true, NULL, 3 },
	{ "MADV_NOHUGEPAGE", MADV_NOHUGEPAGE, is_plain, true, NULL, 1 },
	{ "MADV_POPULATE_READ", MADV_POPULATE_READ, is_small_readable, false, NULL, 3 },
	{ "MADV_POPULATE_WRITE", MADV_POPULATE_WRITE, is_small_writable, false, model_cow, 3 },
	{ "MADV_REMOVE", MADV_REMOVE, is_shared_writable, false, after_remove, 2 },
	{ "MADV_DONTFORK", MADV_DONTFORK, is_plain, false, after_dontfork, 1 },
	{ "MADV_DOFORK", MADV_DOFORK, is_plain, false, after_dofork, 2 },
	{ "MADV_DONTDUMP", MADV_DONTDUMP, is_plain, false, after_dontdump, 1 },
	{ "MADV_DODUMP", MADV_DODUMP, is_plain, false, after_dodump, 2 },
	{ "MADV_MERGEABLE", MADV_MERGEABLE, is_anon, true, NULL, 3 },
	{ "MADV_UNMERGEABLE", MADV_UNMERGEABLE, is_anon, true, NULL, 1 },
};

/* Old kernels take the private copies of the pages too: no concern of ours. */
static bool remove_takes_copies(void)
{
	char name[] = "/dev/shm/oracle.XXXXXX", *shared, *own;
	int fd = mkstemp(name);
	bool takes;

	unlink(name);
	if (fd < 0 || ftruncate(fd, PAGE))
		fail("/dev/shm: %s", strerror(errno));
	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	own = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	*own = 'x';
	takes = !madvise(shared, PAGE, MADV_REMOVE) && *own != 'x';
	munmap(shared, PAGE);
	munmap(own, PAGE);
	close(fd);
	return takes;
}

/* Whether the kernel has heard of it; some is for one kind of memory only. */
static bool is_known(const struct advice *a)
{
	static signed char known[sizeof(advices) / sizeof(advices[0])];
	static const int kinds[] = { MAP_PRIVATE, MAP_SHARED };
	static bool removes_checked;
	signed char *k = &known[a - advices];

	for (int i = 0; !*k && i < 2; i++) {
		void *mem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				 kinds[i] | MAP_ANONYMOUS, -1, 0);

		if (!madvise(mem, PAGE, a->advice) || errno != EINVAL)
			*k = 1;
		munmap(mem, PAGE);
	}
	if (!*k || (a->advice == MADV_REMOVE && *k > 0 && !removes_checked &&
		    remove_takes_copies()))
		*k = -1;
	removes_checked |= a->advice == MADV_REMOVE;
	return *k > 0;
}

bool op_madvise(struct rng *r)
{
	const struct advice *a = advices;
	unsigned int total = 0, n;
	struct range at;

	for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++)
		total += advices[i].weight;
	for (n = below(r, total); n >= a->weight; a++)
		n -= a->weight;
	if (!is_known(a) || (a->advice == MADV_MERGEABLE && !opt.ksm))
		return false;
	if (!pick(r, a->test, opt.pages / 2, &at))
		return false;
	trace(a->name, at_addr(at), at.nr * PAGE, 0);
	if (madvise(page_addr(at.page), at.nr * PAGE, a->advice) && !a->may_fail) {
		/* MADV_REMOVE, of a file system that cannot */
		if (errno == ENOSYS)
			return false;
		fail("%s(%p, 0x%lx): %s", a->name, page_addr(at.page),
		     at.nr * PAGE, strerror(errno));
	}
	model_touch(at);
	if (a->after)
		a->after(at);
	return true;
}

bool op_collapse(struct rng *r)
{
	struct range at;

	if (!pick_huge(r, is_plain, &at))
		return false;
	if (chance(r, 2))
		madvise(page_addr(at.page), at.nr * PAGE, MADV_HUGEPAGE);
	trace("MADV_COLLAPSE", at_addr(at), at.nr * PAGE, 0);
	madvise(page_addr(at.page), at.nr * PAGE, MADV_COLLAPSE);
	model_touch(at);
	return true;
}

/* A fresh huge page, half of the time discarded lazily, which leaves it clean. */
bool op_huge_page(struct rng *r)
{
	struct range at;

	if (!pick_huge(r, is_free, &at))
		return false;
	trace("huge page", at_addr(at), at.nr * PAGE, 0);
	do_mmap(at, PROT_READ | PROT_WRITE, MAP_PRIVATE, -1, NO_FILE, 0);
	madvise(page_addr(at.page), at.nr * PAGE, MADV_HUGEPAGE);
	write_at(r, page_addr(at.page + below(r, at.nr)), PAGE);
	if (chance(r, 2)) {
		trace("MADV_FREE", at_addr(at), at.nr * PAGE, 0);
		if (!madvise(page_addr(at.page), at.nr * PAGE, MADV_FREE))
			after_free(at);
	}
	return true;
}

bool op_mlock(struct rng *r)
{
	struct range at;

	if (!pick(r, is_small_readable, 64, &at))
		return false;
	trace("mlock", at_addr(at), at.nr * PAGE, 0);
	if (mlock(page_addr(at.page), at.nr * PAGE))
		fail("mlock(%p, 0x%lx): %s", page_addr(at.page), at.nr * PAGE,
		     strerror(errno));
	set_flag(at, P_LOCKED);
	for (unsigned int i = at.page; i < at.page + at.nr; i++)
		if (pages[i].prot & PROT_WRITE)
			model_cow((struct range) { i, 1 });
	return true;
}

bool op_munlock(struct rng *r)
{
	struct range at;

	if (!pick(r, is_plain, opt.pages, &at))
		return false;
	trace("munlock", at_addr(at), at.nr * PAGE, 0);
	if (munlock(page_addr(at.page), at.nr * PAGE))
		fail("munlock(%p, 0x%lx): %s", page_addr(at.page), at.nr * PAGE,
		     strerror(errno));
	clear_flag(at, P_LOCKED);
	return true;
}

static bool is_shared(const struct page *p)
{
	return is_plain(p) && p->flags & P_SHARED;
}

bool op_msync(struct rng *r)
{
	struct range at;

	if (!pick(r, is_shared, opt.pages, &at))
		return false;
	trace("msync", at_addr(at), at.nr * PAGE, 0);
	if (msync(page_addr(at.page), at.nr * PAGE, chance(r, 2) ? MS_SYNC : MS_ASYNC))
		fail("msync(%p, 0x%lx): %s", page_addr(at.page), at.nr * PAGE,
		     strerror(errno));
	return true;
}

bool op_drop_caches(struct rng *r)
{
	trace("drop caches", 0, 0, 0);
	if (chance(r, 2))
		sync();
	cp_write_file("/proc/sys/vm/drop_caches", "1");
	return true;
}

/* To other frames, each page as by an error that was corrected: a few, they are gone. */
bool op_soft_offline(struct rng *r)
{
	struct range at;

	if (!pick(r, is_small_readable, 3, &at))
		return false;
	trace("MADV_SOFT_OFFLINE", at_addr(at), at.nr * PAGE, 0);
	madvise(page_addr(at.page), at.nr * PAGE, MADV_SOFT_OFFLINE);
	model_touch(at);
	return true;
}

/* All of what is in swap comes back, if there is room for it. */
bool op_swapoff(struct rng *r)
{
	const char *device = cp_swap_device();

	(void)r;
	if (!device)
		return false;
	trace("swapoff", 0, 0, 0);
	if (!swapoff(device) && swapon(device, 0))
		fail("swapon(%s): %s", device, strerror(errno));
	return true;
}

bool op_audit(struct rng *r)
{
	(void)r;
	trace("audit", 0, 0, 0);
	model_audit();
	return true;
}

/*
 * Nobody writes, all is on the disks, and a tick of the clock has gone by: what can be
 * left to files is. Then one of them changes.
 */
bool op_rest(struct rng *r)
{
	trace("rest", 0, 0, 0);
	sync();
	usleep(10000);
	checkpoint_all();
	for (unsigned int n = below(r, 4); n; n--) {
		op_file_close(r);
		op_file_write(r);
		op_file_replace(r);
	}
	checkpoint_look_back(r);
	if (chance(r, 2))
		checkpoint_all();
	return true;
}

/* What there is at the beginning: 2 MiB of each kind in turn. */
void ops_init(void)
{
	struct rng r = { .state = opt.seed };

	for (unsigned int i = 0; i < opt.pages; i += 512) {
		struct range at = { i, opt.pages - i < 512 ? opt.pages - i : 512 };
		unsigned int kind = opt.plain || opt.only ? 0 : below(&r, 6);

		if (kind == 1 || kind == 2) {
			unsigned int file = kind == 1 ? below(&r, NR_FIXED) : FILE_MEM;
			int fd = files_open(&file, false);

			do_mmap(at, PROT_READ | PROT_WRITE,
				kind == 1 ? MAP_PRIVATE : MAP_SHARED, fd, file, 0);
		} else {
			do_mmap(at, PROT_READ | PROT_WRITE, MAP_PRIVATE, -1, NO_FILE, 0);
		}
		if (kind >= 4)
			madvise(page_addr(i), at.nr * PAGE, MADV_HUGEPAGE);
	}
}
