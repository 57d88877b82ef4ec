/*
 * cp_range: which mappings and which pages are left out, one row a flag.
 */
#include <linux/mm.h>
#include <linux/page-flags.h>

#include "internal.h"

struct cp_vma_rule {
	vm_flags_t mask;
	vm_flags_t value;	/* left out if the masked flags are this */
	enum cp_skip reason;
};

static const struct cp_vma_rule cp_vma_rules[] = {
	/* Device memory: reading it can have side effects. */
	{ VM_IO,	VM_IO,		CP_SKIP_IO },
	/* No struct page to hold on to. */
	{ VM_PFNMAP,	VM_PFNMAP,	CP_SKIP_PFNMAP },
	/* A driver's: not for reclaim, dumps or us. Mappings of huge pages have it too. */
	{ VM_RESERVED | VM_HUGETLB, VM_RESERVED, CP_SKIP_PFNMAP },
	/* mlock() is how programs keep secrets off disk. */
	{ VM_LOCKED,	VM_LOCKED,	CP_SKIP_LOCKED },
	/* The program itself may not read it. */
	{ VM_READ,	0,		CP_SKIP_NOREAD },
	/* MADV_DONTFORK: not meant for a copy of the process. */
	{ VM_DONTCOPY,	VM_DONTCOPY,	CP_SKIP_DONTCOPY },
	/* There is no VM_DONTDUMP yet, nor memfd_secret(), nor protection keys. */
};

/**
 * cp_vma_skip() - whether a mapping is left out of the image
 * @vma: the mapping, under the mmap lock
 *
 * Return: 0 if its pages are looked at, else the reason, enum cp_skip.
 */
unsigned int cp_vma_skip(struct vm_area_struct *vma)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cp_vma_rules); i++) {
		const struct cp_vma_rule *rule = &cp_vma_rules[i];

		if ((vma->vm_flags & rule->mask) == rule->value)
			return rule->reason;
	}
	return 0;
}

/*
 * Every page flag that says something of a page's bytes or of its state. Most
 * states pass and the bytes are good throughout: to leave such a page out would
 * lose it, so it is saved.
 */
#define CP_SAVE		0

struct cp_page_rule {
	unsigned long mask;
	unsigned int verdict;	/* CP_SAVE or enum cp_skip */
};

static const struct cp_page_rule cp_page_rules[] = {
#ifdef CONFIG_MEMORY_FAILURE
	/* The bytes are gone, and reading them can stop the machine. */
	{ BIT(PG_hwpoison),	CP_SKIP_POISON },
#endif
	/* Belongs to the kernel or the firmware: the vDSO's code is one. */
	{ BIT(PG_reserved),	CP_SKIP_RESERVED },

	/* I/O, reclaim or migration at work on it: its bytes stay. */
	{ BIT(PG_locked),	CP_SAVE },
	/*
	 * To write it failed: memory has the only good copy. One that could not be
	 * read is not mapped.
	 */
	{ BIT(PG_error),	CP_SAVE },
	/* On its way to swap or to the file: the bytes stay till it is gone. */
	{ BIT(PG_writeback),	CP_SAVE },
	{ BIT(PG_reclaim),	CP_SAVE },
	/* A copy is in swap as well. */
	{ BIT(PG_swapcache),	CP_SAVE },
	/* Its place in the file system is known. */
	{ BIT(PG_mappedtodisk),	CP_SAVE },
	/* The file system keeps buffers or a mark with it. */
	{ BIT(PG_private),	CP_SAVE },
	{ BIT(PG_checked),	CP_SAVE },
	/* Part of a page of many pages; each is saved for itself. */
#ifdef CONFIG_PAGEFLAGS_EXTENDED
	{ BIT(PG_head) | BIT(PG_tail), CP_SAVE },
#else
	{ BIT(PG_compound),	CP_SAVE },
#endif
	/* The slab's own, never mapped by a program. */
	{ BIT(PG_slab),		CP_SAVE },
	/* Where it stands with reclaim. */
	{ BIT(PG_lru),		CP_SAVE },
	{ BIT(PG_active),	CP_SAVE },
	{ BIT(PG_referenced),	CP_SAVE },
	/* Mapped pages are; if not, the program reads the same bytes. */
	{ BIT(PG_uptodate),	CP_SAVE },
	/*
	 * No flags any more: PG_nosave, which hibernation keeps in a bitmap;
	 * PG_highmem, which is a zone, and kmap() reaches it.
	 */
};

/**
 * cp_page_skip() - whether a page is left out of the image
 * @page: the page, mapped and under the page table lock, or referenced
 *
 * Return: 0 if it is saved, else the reason, enum cp_skip.
 */
unsigned int cp_page_skip(struct page *page)
{
	unsigned long flags = READ_ONCE(page->flags);
	size_t i;

	if (likely(!(flags & CP_PAGE_SKIP_MASK)))
		return 0;

	for (i = 0; i < ARRAY_SIZE(cp_page_rules); i++) {
		const struct cp_page_rule *rule = &cp_page_rules[i];

		if ((flags & rule->mask) && rule->verdict != CP_SAVE)
			return rule->verdict;
	}
	return 0;
}
