/*
 * cp_range: what it asks of shared memory, at the end of mm/shmem.c.
 */

#if defined(CONFIG_CP_RANGE) && defined(CONFIG_SHMEM)
bool shmem_mapping(struct address_space *mapping)
{
	return mapping->a_ops == &shmem_aops;
}

/*
 * The page of a file, as a read finds it, locked; NULL for a hole.
 */
int cp_shmem_read(struct inode *inode, pgoff_t index, struct page **page)
{
	*page = NULL;
	return shmem_getpage(inode, index, page, SGP_READ, NULL);
}

#define CP_SHMEM_STEPS	1024

/*
 * The next page that is in swap, from *index to max. Looks at no more than some
 * entries; if there were more, at the first of these there may be one.
 */
bool cp_shmem_find_swapped(struct inode *inode, unsigned long *index, unsigned long max)
{
	struct shmem_inode_info *const info = SHMEM_I(inode);
	bool found = false;
	unsigned long at = *index;
	unsigned int steps = 0;

	spin_lock(&info->lock);
	if (info->swapped && info->next_index)
		max = min(max, info->next_index - 1);
	else
		at = max + 1;
	while (!found && at <= max && at + 1 && steps++ < CP_SHMEM_STEPS) {
		swp_entry_t *entry = shmem_swp_entry(info, at, NULL);

		if (entry) {
			found = entry->val != 0;
			shmem_swp_unmap(entry);
			at += !found;
		} else if (at < SHMEM_NR_DIRECT) {
			at++;
		} else {
			/* Its page of entries is not there, so none of them is. */
			at -= SHMEM_NR_DIRECT;
			at += ENTRIES_PER_PAGE - at % ENTRIES_PER_PAGE;
			at += SHMEM_NR_DIRECT;
		}
	}
	spin_unlock(&info->lock);
	*index = at;
	return found || at <= max;
}
#endif
