/*
 * cp_range: huge pages that programs ask for.
 *
 * They are copied: a reference held while the image is written would keep a page from
 * going back to its pool, and where the pool is used up the next fault of another
 * thread would be a SIGBUS.
 */
#include <linux/hugetlb.h>

#include "internal.h"

/* Copy a page to the next page of the bounce buffer and that to the window. */
static void cp_bounce(struct cp_dump *dump, struct vm_area_struct *vma,
		      unsigned long addr, struct page *from)
{
	struct page *to = dump->bounce[dump->nr_bounce];
	struct cp_entry entry = cp_entry_page(from);

	if (entry.class == CP_DATA) {
		copy_highpage(to, from);
		dump->nr_bounce++;
		get_page(to);
		cp_window_add(&dump->window, to);
	}
	cp_run_add(&dump->runs, vma, addr, addr + PAGE_SIZE,
		   entry.class, entry.detail);
}

static int cp_bounce_init(struct cp_dump *dump)
{
	unsigned int i;

	if (dump->bounce)
		return 0;
	dump->bounce = kcalloc(CP_BOUNCE_PAGES, sizeof(*dump->bounce), GFP_KERNEL);
	if (!dump->bounce)
		return -ENOMEM;
	for (i = 0; i < CP_BOUNCE_PAGES; i++) {
		dump->bounce[i] = alloc_page(GFP_KERNEL);
		if (!dump->bounce[i])
			return -ENOMEM;
	}
	return 0;
}

/* As many pages of a huge page, which cannot go away till this returns, as fit. */
static unsigned long cp_copy_huge(struct cp_dump *dump, struct vm_area_struct *vma,
				  struct page *head, unsigned long at, unsigned long limit)
{
	unsigned long inside = at & ~huge_page_mask(hstate_vma(vma));
	struct page *from = head + inside / PAGE_SIZE;

	while (at < limit && dump->nr_bounce < CP_BOUNCE_PAGES) {
		cp_bounce(dump, vma, at, from++);
		at += PAGE_SIZE;
	}
	return at;
}

/* Nothing in the page table; the file may have the page all the same. */
static unsigned long cp_huge_none(struct cp_dump *dump, struct vm_area_struct *vma,
				  unsigned long at, unsigned long limit)
{
	struct address_space *pages = vma->vm_file->f_mapping;
	unsigned int shift = huge_page_shift(hstate_vma(vma));
	u64 pos = (u64)vma->vm_pgoff * PAGE_SIZE + (at - vma->vm_start);
	struct page *head;

	pos = pos >> shift << shift;
	if (pos >= i_size_read(pages->host)) {
		cp_run_add(&dump->runs, vma, at, limit, CP_SKIPPED, CP_SKIP_FAULT);
		return limit;
	}
	/* The page cache counts huge pages here. */
	head = find_lock_page(pages, pos >> shift);
	if (!head) {
		cp_run_add(&dump->runs, vma, at, limit, CP_HOLE, CP_HOLE_ZERO);
		return limit;
	}
	/* Locked, it stays in the file; no reference outlives the copy. */
	at = cp_copy_huge(dump, vma, head, at, limit);
	unlock_page(head);
	page_cache_release(head);
	return at;
}

static unsigned long cp_huge_one(struct cp_dump *dump, struct vm_area_struct *vma,
				 unsigned long at, unsigned long limit)
{
	spinlock_t *tables = &vma->vm_mm->page_table_lock;
	pte_t *where, entry;
	bool present;

	where = huge_pte_offset(vma->vm_mm, at & huge_page_mask(hstate_vma(vma)));
	if (!where)
		return cp_huge_none(dump, vma, at, limit);

	spin_lock(tables);
	entry = huge_ptep_get(where);
	present = pte_present(entry);
	if (present)
		at = cp_copy_huge(dump, vma, pte_page(entry), at, limit);
	spin_unlock(tables);

	if (present)
		return at;
	if (huge_pte_none(entry))
		return cp_huge_none(dump, vma, at, limit);
	/* Neither there nor none: a memory error took it. */
	cp_run_add(&dump->runs, vma, at, limit, CP_SKIPPED, CP_SKIP_POISON);
	return limit;
}

/*
 * Where there is no page table for 1 GiB and the file has no page, one look is for all.
 */
static unsigned long cp_huge_hole_end(struct vm_area_struct *vma,
				      unsigned long at, unsigned long limit)
{
	pgd_t *top = pgd_offset(vma->vm_mm, at);

	if (vma->vm_file->f_mapping->nrpages != 0)
		return at;
	if (!pgd_present(*top))
		return pgd_addr_end(at, limit);
	return pud_none(*pud_offset(top, at)) ? pud_addr_end(at, limit) : at;
}

/**
 * cp_walk_hugetlb_range() - the walk over a mapping of huge pages
 * @walk: the walk
 * @addr: where it begins
 * @limit: where it ends
 *
 * Return: as walk_page_range_vma().
 */
int cp_walk_hugetlb_range(struct mm_walk *walk, ulong addr, ulong limit)
{
	struct vm_area_struct *vma = walk->vma;
	struct cp_dump *dump = walk->private;
	unsigned long size_of_one = huge_page_size(hstate_vma(vma));
	int ret = cp_bounce_init(dump);

	while (!ret && addr < limit) {
		unsigned long next, hole;
		loff_t size = i_size_read(vma->vm_file->f_mapping->host);

		dump->addr = addr;
		ret = fatal_signal_pending(current) ? -EINTR : 0;
		if (ret)
			break;
		if (dump->window.pages + PTRS_PER_PTE > CP_WINDOW_PAGES ||
		    dump->nr_bounce == CP_BOUNCE_PAGES ||
		    (addr != dump->locked_at &&
		     (mmap_lock_is_contended(walk->mm) || need_resched())))
			return CP_WALK_STOP;
		ret = cp_runs_reserve(&dump->runs);
		if (ret)
			return ret;

		hole = cp_huge_hole_end(vma, addr, limit);
		next = min((addr & -size_of_one) + size_of_one, limit);
		if (hole > next &&
		    ((loff_t)linear_page_index(vma, hole) << PAGE_SHIFT) <= size) {
			cp_run_add(&dump->runs, vma, addr, hole, CP_HOLE,
				   CP_HOLE_ZERO);
			addr = hole;
		} else {
			addr = cp_huge_one(dump, vma, addr, next);
		}
		dump->addr = addr;
	}
	return ret;
}
