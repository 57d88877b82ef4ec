#ifndef _LINUX_CP_RANGE_H
#define _LINUX_CP_RANGE_H

#include <linux/kernel.h>
#include <linux/mm_types.h>
#include <linux/sched.h>

#ifdef CONFIG_CP_RANGE
void __cp_range_gup_write(struct mm_struct *mm, unsigned long from,
			  unsigned long pages);
void __cp_range_unmap(struct cp_mm *cm, unsigned long from, unsigned long to,
		      int in_progress);
void cp_range_mm_exit(struct mm_struct *mm);

static inline void cp_range_mm_init(struct mm_struct *mm)
{
	mm->cp_mm = NULL;
}

/* A new task has made no checkpoint. */
static inline void cp_range_fork(struct task_struct *task)
{
	task->checkpoints = 0;
	task->cp_unmaps = 0;
}

/*
 * A thread that calls execve() takes over the leader's pid, which is in the
 * names of the leader's images: it must not use their numbers again.
 */
static inline void cp_range_de_thread(struct task_struct *task,
				      const struct task_struct *leader)
{
	task->checkpoints = max(task->checkpoints, leader->checkpoints);
}

/*
 * get_user_pages() has taken references to pages, to write to them. Its fast path
 * calls before interrupts go on: till then no flush of the TLB is through, so that the
 * checkpoint, which flushes before it sets a bit and looks at the references, sees
 * these, or its bits are cleared here.
 */
static inline void cp_range_gup_write(struct mm_struct *mm, unsigned long from,
				      unsigned long pages)
{
	if (unlikely(mm && mm->cp_mm) && pages)
		__cp_range_gup_write(mm, from, pages);
}

/*
 * Pages of a range are going to be unmapped, replaced or moved. If the first checkpoint
 * comes between start and end, the start was not counted, and the end must not be: the
 * task knows how many of its ranges are.
 */
static inline void cp_range_unmap_start(struct mm_struct *mm,
					unsigned long from, unsigned long to)
{
	struct cp_mm *cm = ACCESS_ONCE(mm->cp_mm);

	if (unlikely(cm)) {
		current->cp_unmaps++;
		__cp_range_unmap(cm, from, to, 1);
	}
}

static inline void cp_range_unmap_end(struct mm_struct *mm,
				      unsigned long from, unsigned long to)
{
	if (unlikely(current->cp_unmaps)) {
		current->cp_unmaps--;
		__cp_range_unmap(mm->cp_mm, from, to, -1);
	}
}

/* A page is unmapped or replaced, its page table locked. */
static inline void cp_range_unmap_page(struct mm_struct *mm, unsigned long addr)
{
	struct cp_mm *cm = ACCESS_ONCE(mm->cp_mm);

	if (unlikely(cm))
		__cp_range_unmap(cm, addr, addr + PAGE_SIZE, 0);
}
#else
static inline void cp_range_mm_init(struct mm_struct *mm) { }
static inline void cp_range_mm_exit(struct mm_struct *mm) { }
static inline void cp_range_fork(struct task_struct *task) { }
static inline void cp_range_de_thread(struct task_struct *task,
				      const struct task_struct *leader) { }
static inline void cp_range_gup_write(struct mm_struct *mm, unsigned long from,
				      unsigned long pages) { }
static inline void cp_range_unmap_start(struct mm_struct *mm,
					unsigned long from, unsigned long to) { }
static inline void cp_range_unmap_end(struct mm_struct *mm,
				      unsigned long from, unsigned long to) { }
static inline void cp_range_unmap_page(struct mm_struct *mm, unsigned long addr) { }
#endif

#endif /* _LINUX_CP_RANGE_H */
