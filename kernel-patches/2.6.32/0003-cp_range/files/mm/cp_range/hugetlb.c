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
				  struct page *head, unsigned long addr,
				  unsigned long end)
{
	struct hstate *h = hstate_vma(vma);
	struct page *page = head + ((addr & ~huge_page_mask(h)) >> PAGE_SHIFT);

	for (; addr < end && dump->nr_bounce < CP_BOUNCE_PAGES; addr += PAGE_SIZE)
		cp_bounce(dump, vma, addr, page++);
	return addr;
}

/* Nothing in the page table; the file may have the page all the same. */
static unsigned long cp_huge_none(struct cp_dump *dump, struct vm_area_struct *vma,
				  unsigned long addr, unsigned long end)
{
	struct address_space *mapping = vma->vm_file->f_mapping;
	struct hstate *h = hstate_vma(vma);
	struct page *page;
	pgoff_t index;

	/* The index in the page cache counts huge pages. */
	index = ((addr - vma->vm_start) >> huge_page_shift(h)) +
		(vma->vm_pgoff >> huge_page_order(h));
	if (((loff_t)index << huge_page_shift(h)) >= i_size_read(mapping->host)) {
		cp_run_add(&dump->runs, vma, addr, end, CP_SKIPPED, CP_SKIP_FAULT);
		return end;
	}
	page = find_lock_page(mapping, index);
	if (!page) {
		cp_run_add(&dump->runs, vma, addr, end, CP_HOLE, CP_HOLE_ZERO);
		return end;
	}
	/* Locked, it stays in the file; no reference outlives the copy. */
	addr = cp_copy_huge(dump, vma, page, addr, end);
	unlock_page(page);
	put_page(page);
	return addr;
}

static unsigned long cp_huge_one(struct cp_dump *dump, struct vm_area_struct *vma,
				 unsigned long addr, unsigned long end)
{
	struct hstate *h = hstate_vma(vma);
	struct mm_struct *mm = vma->vm_mm;
	pte_t entry, *pte;

	pte = huge_pte_offset(mm, addr & huge_page_mask(h));
	if (!pte)
		return cp_huge_none(dump, vma, addr, end);

	spin_lock(&mm->page_table_lock);
	entry = huge_ptep_get(pte);
	if (pte_present(entry)) {
		addr = cp_copy_huge(dump, vma, pte_page(entry), addr, end);
		spin_unlock(&mm->page_table_lock);
		return addr;
	}
	spin_unlock(&mm->page_table_lock);

	if (huge_pte_none(entry))
		return cp_huge_none(dump, vma, addr, end);
	/* Neither there nor none: a memory error took it. */
	cp_run_add(&dump->runs, vma, addr, end, CP_SKIPPED, CP_SKIP_POISON);
	return end;
}

/*
 * Where there is no page table for 1 GiB and the file has no page, one look is for all.
 */
static unsigned long cp_huge_hole_end(struct vm_area_struct *vma,
				      unsigned long addr, unsigned long end)
{
	struct address_space *mapping = vma->vm_file->f_mapping;
	pgd_t *pgd = pgd_offset(vma->vm_mm, addr);

	if (mapping->nrpages)
		return addr;
	if (pgd_none(*pgd))
		return pgd_addr_end(addr, end);
	if (pud_none(*pud_offset(pgd, addr)))
		return pud_addr_end(addr, end);
	return addr;
}

/**
 * cp_walk_hugetlb_range() - the walk over a mapping of huge pages
 * @walk: the walk
 * @addr: first address
 * @end: end address
 *
 * Return: as walk_page_range_vma().
 */
int cp_walk_hugetlb_range(struct mm_walk *walk, unsigned long addr,
			  unsigned long end)
{
	struct vm_area_struct *vma = walk->vma;
	struct cp_dump *dump = walk->private;
	struct hstate *h = hstate_vma(vma);
	int ret = cp_bounce_init(dump);

	while (!ret && addr < end) {
		unsigned long next, hole;
		loff_t size = i_size_read(vma->vm_file->f_mapping->host);

		dump->addr = addr;
		if (fatal_signal_pending(current))
			return -EINTR;
		if (dump->window.pages + PTRS_PER_PTE > CP_WINDOW_PAGES ||
		    dump->nr_bounce == CP_BOUNCE_PAGES ||
		    (addr != dump->locked_at &&
		     (mmap_lock_is_contended(walk->mm) || need_resched())))
			return CP_WALK_STOP;
		ret = cp_runs_reserve(&dump->runs);
		if (ret)
			return ret;

		hole = cp_huge_hole_end(vma, addr, end);
		next = min((addr & huge_page_mask(h)) + huge_page_size(h), end);
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
