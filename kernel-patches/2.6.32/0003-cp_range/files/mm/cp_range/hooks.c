/*
 * cp_range: who tells the saved map of changes, in a kernel whose notifiers do not
 * say what an event is about.
 *
 * The calls stand beside those of MMU notifiers, but for fork() and mprotect(), which
 * change no contents and keep dirty bits. Ranges that are in progress count, since
 * what is done to their entries comes between start and end. Single pages are told of
 * under the page table lock, under which bits are set, and are cleared plainly.
 */
#include <linux/cp_range.h>

#include "internal.h"

bool cp_can_track(struct mm_struct *mm)
{
	return true;
}

static void cp_wait_for(spinlock_t *lock)
{
	spin_lock(lock);
	/* Whoever had it before has let it go. */
	spin_unlock(lock);
}

/**
 * cp_track_begin() - begin to track an address space, if that was not done
 * @cm: the address space, its lock held
 * @mm: the same
 *
 * Reports come from when mm->cp_mm was set. Ranges that were in progress then were not
 * counted: they are waited for, those of truncation by their lock, all others by the
 * mmap lock.
 *
 * Return: 0.
 */
int cp_track_begin(struct cp_mm *cm, struct mm_struct *mm)
{
	struct vm_area_struct *vma;

	if (cm->tracked)
		return 0;
	down_write(&mm->mmap_sem);
	for (vma = mm->mmap; vma != NULL; vma = vma->vm_next)
		if (vma->vm_file != NULL)
			cp_wait_for(&vma->vm_file->f_mapping->i_mmap_lock);
	up_write(&mm->mmap_sem);
	cm->tracked = true;
	return 0;
}

/*
 * No other task has the address space by now, none of its pages is mapped, and what
 * was reported has been looked at under locks that are let go.
 */
void cp_track_end(struct cp_mm *cm)
{
	cp_mm_free(cm);
}

/**
 * __cp_range_unmap() - the pages of a range change, or are going to
 * @cm: what the address space keeps
 * @start: first address
 * @end: end address
 * @in_progress: 1: from now on; -1: no longer; 0: a page, its page table locked
 *
 * Called in reclaim and under spinlocks: a leaf.
 */
void __cp_range_unmap(struct cp_mm *cm, unsigned long start, unsigned long end,
		      int in_progress)
{
	if (in_progress < 0) {
		spin_lock(&cm->inv_lock);
		WARN_ON_ONCE(!cm->inv_nr--);
		spin_unlock(&cm->inv_lock);
		return;
	}
	if (in_progress) {
		spin_lock(&cm->inv_lock);
		if (!cm->inv_nr++) {
			cm->inv_start = start;
			cm->inv_end = end;
		} else {
			cm->inv_start = min(cm->inv_start, start);
			cm->inv_end = max(cm->inv_end, end);
		}
		spin_unlock(&cm->inv_lock);
	}
	cp_track_clear(cm, start, end);
}
