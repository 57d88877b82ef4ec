/*
 * cp_range: the walk over the page tables of a mapping, with the callbacks that
 * later kernels have.
 */
#include "internal.h"

static int cp_walk_pmds(pud_t *pud, unsigned long addr, unsigned long end,
			struct mm_walk *walk)
{
	pmd_t *pmd = pmd_offset(pud, addr);
	unsigned long next;
	int ret;

	for (; addr < end; pmd++, addr = next) {
		next = pmd_addr_end(addr, end);
		do {
			walk->action = ACTION_SUBTREE;
			if (pmd_none_or_clear_bad(pmd))
				ret = walk->ops->pte_hole(addr, next, 3, walk);
			else
				ret = walk->ops->pmd_entry(pmd, addr, next, walk);
			if (ret)
				return ret;
		} while (walk->action == ACTION_AGAIN);
	}
	return 0;
}

static int cp_walk_puds(pgd_t *pgd, unsigned long addr, unsigned long end,
			struct mm_walk *walk)
{
	pud_t *pud = pud_offset(pgd, addr);
	unsigned long next;
	int ret = 0;

	for (; !ret && addr < end; pud++, addr = next) {
		next = pud_addr_end(addr, end);
		if (pud_none_or_clear_bad(pud)) {
			ret = walk->ops->pte_hole(addr, next, 2, walk);
			continue;
		}
		walk->action = ACTION_SUBTREE;
		ret = walk->ops->pud_entry(pud, addr, next, walk);
		if (!ret && walk->action == ACTION_SUBTREE)
			ret = cp_walk_pmds(pud, addr, next, walk);
	}
	return ret;
}

/**
 * walk_page_range_vma() - call back for each page table of a part of a mapping
 * @vma: the mapping, under the mmap lock
 * @start: first address
 * @end: end address
 * @ops: the callbacks
 * @private: for them
 *
 * Return: 0, or the first other value that a callback returned.
 */
int walk_page_range_vma(struct vm_area_struct *vma, unsigned long start,
			unsigned long end, const struct mm_walk_ops *ops,
			void *private)
{
	struct mm_walk walk = {
		.ops = ops, .mm = vma->vm_mm, .vma = vma, .private = private,
	};
	unsigned long next;
	pgd_t *pgd;
	int ret = 0;

	if (is_vm_hugetlb_page(vma))
		return cp_walk_hugetlb_range(&walk, start, end);

	pgd = pgd_offset(vma->vm_mm, start);
	for (; !ret && start < end; pgd++, start = next) {
		next = pgd_addr_end(start, end);
		if (pgd_none_or_clear_bad(pgd))
			ret = ops->pte_hole(start, next, 0, &walk);
		else
			ret = cp_walk_puds(pgd, start, next, &walk);
	}
	return ret;
}
