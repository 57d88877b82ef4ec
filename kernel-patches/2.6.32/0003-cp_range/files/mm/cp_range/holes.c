/*
 * cp_range: which pages of a file may have bytes.
 */
#include <linux/fiemap.h>

#include "internal.h"

/* Pages asked for at once, since ext2 and ext3 look at a hole block by block. */
#define CP_FIEMAP_PAGES		16384

/*
 * XFS counts the hole before an extent as one of what it may tell of, and does not tell of
 * it: asked for a single extent, it says that there is none. What it has not got blocks for
 * it may pass over all the same; that is in the page cache, see cp_bring_hole().
 */
#define CP_FIEMAP_EXTENTS	2

/* XFS goes by extents, in files of a size that would take a million steps. */
static unsigned long cp_fiemap_pages(const struct inode *inode)
{
	return inode->i_sb->s_magic == XFS_SUPER_MAGIC ? ULONG_MAX >> PAGE_SHIFT :
							 CP_FIEMAP_PAGES;
}

/**
 * cp_bring_seek() - whether a file has blocks for pages
 * @bring: not used
 * @file: the file
 * @index: the first page
 * @nr: how many
 *
 * Return: how many pages from @index on, @nr at most, have none; or, as a negative
 * number, how many may have some.
 */
long cp_bring_seek(struct cp_bring *bring, struct file *file, pgoff_t index,
		   unsigned long nr)
{
	struct inode *const inode = file->f_mapping->host;
	struct fiemap_extent extent[CP_FIEMAP_EXTENTS] = { };
	struct fiemap_extent_info info = {
		.fi_extents_max = CP_FIEMAP_EXTENTS, .fi_extents_start = extent,
	};
	u64 pos = (u64)index << PAGE_SHIFT, end;
	mm_segment_t caller = get_fs();
	int err;

	if (inode->i_op->fiemap == NULL)
		return -nr;
	nr = min(nr, cp_fiemap_pages(inode));
	set_fs(KERNEL_DS);
	err = inode->i_op->fiemap(inode, &info, pos, (u64)nr << PAGE_SHIFT);
	set_fs(caller);
	if (err)
		return -nr;
	if (!info.fi_extents_mapped)
		return nr;
	if (extent->fe_logical >= pos + PAGE_SIZE)
		return min_t(u64, (extent->fe_logical - pos) >> PAGE_SHIFT, nr);
	end = DIV_ROUND_UP_ULL(extent->fe_logical + extent->fe_length, PAGE_SIZE);
	if (end <= index)
		return -1;
	return -(long)min_t(u64, end - index, nr);
}

/**
 * cp_find_page() - the next page of a file that is in memory, or may be in swap
 * @mapping: the file's
 * @index: the first page to look at; set to that which was found
 * @max: the last
 *
 * Return: whether there is one. What is in swap is looked for in steps, so one may be
 * told of that is not there.
 */
bool cp_find_page(struct address_space *mapping, unsigned long *index, unsigned long max)
{
	unsigned long next = max, at = *index;
	struct page *cached;
	bool found = false;

	if (find_get_pages(mapping, at, 1, &cached)) {
		next = min(cached->index, max);
		found = cached->index <= max;
		page_cache_release(cached);
	}
	if (shmem_mapping(mapping) && (!found || next > at) &&
	    cp_shmem_find_swapped(mapping->host, &at, next)) {
		found = true;
		next = at;
	}
	if (found)
		*index = next;
	return found;
}
