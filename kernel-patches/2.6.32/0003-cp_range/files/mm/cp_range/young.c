/*
 * cp_range: no page table is passed over here for not having been used.
 *
 * pmd_bad() of this kernel wants the accessed bit of an entry that points to a page
 * table to be set: it cannot be cleared to see who sets it again.
 */
#include "internal.h"

void cp_young_clear(struct cp_dump *dump, struct vm_area_struct *vma,
		    pud_t *pud, unsigned long addr)
{
}

unsigned long cp_young_next(struct cp_dump *dump, unsigned long addr)
{
	return addr;
}
