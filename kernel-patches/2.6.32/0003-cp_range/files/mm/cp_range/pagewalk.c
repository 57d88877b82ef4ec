/*
 * cp_range: the walk over the page tables of a mapping, with the callbacks that
 * later kernels have.
 */
#include "internal.h"

/* The lowest entry that there is for an address, and up to where it speaks. */
struct cp_spot {
	pud_t *upper;
	pmd_t *lower;		/* of a page table; NULL if there is none */
	unsigned long reach;
	int depth;
};

static struct cp_spot cp_find_spot(struct mm_struct *mm, unsigned long at,
				   unsigned long limit)
{
	struct cp_spot spot = { .reach = pgd_addr_end(at, limit) };
	pgd_t *top = pgd_offset(mm, at);
	pmd_t *low;

	if (pgd_none_or_clear_bad(top))
		return spot;
	spot.depth = 2;
	spot.reach = pud_addr_end(at, limit);
	spot.upper = pud_offset(top, at);
	if (pud_none_or_clear_bad(spot.upper)) {
		spot.upper = NULL;
		return spot;
	}
	spot.depth = 3;
	spot.reach = pmd_addr_end(at, limit);
	low = pmd_offset(spot.upper, at);
	if (!pmd_none_or_clear_bad(low))
		spot.lower = low;
	return spot;
}

/**
 * walk_page_range_vma() - call back for each page table of a part of a mapping
 * @vma: the mapping, under the mmap lock
 * @at: where the part begins
 * @limit: where it ends
 * @ops: the callbacks; of an upper entry before what is below it
 * @private: for them
 *
 * Each step looks the entry up from the top, so a callback may ask for the same
 * step again, or for the rest of the upper entry to be left out.
 *
 * Return: 0, or the first other value that a callback returned.
 */
int walk_page_range_vma(struct vm_area_struct *vma, unsigned long at, unsigned long limit,
			const struct mm_walk_ops *ops, void *private)
{
	struct mm_walk walk = {
		.vma = vma, .mm = vma->vm_mm, .private = private, .ops = ops,
	};
	pud_t *told = NULL;

	if (vma->vm_flags & VM_HUGETLB)
		return cp_walk_hugetlb_range(&walk, at, limit);

	while (at < limit) {
		struct cp_spot spot = cp_find_spot(walk.mm, at, limit);
		int stop = 0;

		walk.action = ACTION_SUBTREE;
		if (spot.upper && spot.upper != told) {
			told = spot.upper;
			stop = ops->pud_entry(told, at, pud_addr_end(at, limit), &walk);
			if (!stop && walk.action == ACTION_CONTINUE) {
				at = pud_addr_end(at, limit);
				continue;
			}
		}
		if (!stop)
			stop = spot.lower ?
				ops->pmd_entry(spot.lower, at, spot.reach, &walk) :
				ops->pte_hole(at, spot.reach, spot.depth, &walk);
		if (stop)
			return stop;
		if (walk.action != ACTION_AGAIN)
			at = spot.reach;
	}
	return 0;
}
