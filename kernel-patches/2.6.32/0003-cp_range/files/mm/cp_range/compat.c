/*
 * cp_range: functions of later kernels, as far as compat.h cannot have them in line.
 */
#include "internal.h"

void *kvmalloc(size_t size, gfp_t gfp)
{
	void *p = NULL;

	if (size <= 8 * PAGE_SIZE)
		p = kmalloc(size, gfp | __GFP_NOWARN | __GFP_NORETRY);
	return p ?: __vmalloc(size, gfp | __GFP_HIGHMEM, PAGE_KERNEL);
}

void kvfree(const void *p)
{
	if (!is_vmalloc_addr(p))
		kfree(p);
	else
		vfree(p);
}

static void cp_group_free(struct rcu_head *rcu)
{
	kfree(container_of(rcu, struct cp_group, rcu));
}

void cp_group_free_rcu(struct cp_group *group)
{
	call_rcu(&group->rcu, cp_group_free);
}

static void cp_mm_free_now(struct rcu_head *rcu)
{
	kfree(container_of(rcu, struct cp_mm, rcu));
}

void cp_mm_free_rcu(struct cp_mm *cm)
{
	call_rcu(&cm->rcu, cp_mm_free_now);
}

/* Writers are kept apart by the lock of the address space, readers are under RCU. */
struct cp_xa_item {
	unsigned long index;
	void *entry;
	struct rcu_head rcu;
};

static void cp_xa_item_free(struct rcu_head *rcu)
{
	kfree(container_of(rcu, struct cp_xa_item, rcu));
}

void *xa_load(struct xarray *xa, unsigned long index)
{
	struct cp_xa_item *item;
	void *entry;

	rcu_read_lock();
	item = radix_tree_lookup(&xa->root, index);
	entry = item ? item->entry : NULL;
	rcu_read_unlock();
	return entry;
}

/* Where there is nothing yet. */
void *xa_store(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp)
{
	struct cp_xa_item *item = kmalloc(sizeof(*item), gfp);
	int err;

	if (!item)
		return ERR_PTR(-ENOMEM);
	item->index = index;
	item->entry = entry;
	err = radix_tree_preload(gfp);
	if (!err) {
		err = radix_tree_insert(&xa->root, index, item);
		radix_tree_preload_end();
	}
	if (err) {
		kfree(item);
		return ERR_PTR(err);
	}
	return NULL;
}

void *xa_erase(struct xarray *xa, unsigned long index)
{
	struct cp_xa_item *item = radix_tree_delete(&xa->root, index);
	void *entry = NULL;

	if (item) {
		entry = item->entry;
		call_rcu(&item->rcu, cp_xa_item_free);
	}
	return entry;
}

void *cp_xa_next(struct xarray *xa, unsigned long *index, unsigned long last)
{
	struct cp_xa_item *item;
	void *entry = NULL;

	rcu_read_lock();
	if (radix_tree_gang_lookup(&xa->root, (void **)&item, *index, 1) &&
	    item->index <= last) {
		*index = item->index;
		entry = item->entry;
	}
	rcu_read_unlock();
	return entry;
}

void *cp_xa_after(struct xarray *xa, unsigned long *index, unsigned long last)
{
	if (*index >= last)
		return NULL;
	++*index;
	return cp_xa_next(xa, index, last);
}

void memcpy_from_folio(void *to, struct folio *folio, size_t offset, size_t len)
{
	char *from = kmap(&folio->page);

	memcpy(to, from + offset, len);
	kunmap(&folio->page);
}

int regset_get(struct task_struct *task, const struct user_regset *regset,
	       unsigned int size, void *data)
{
	return regset->get(task, regset, 0, min(size, regset->n * regset->size),
			   data, NULL);
}

int regset_get_alloc(struct task_struct *task, const struct user_regset *regset,
		     unsigned int size, void **data)
{
	int err;

	size = min(size, regset->n * regset->size);
	*data = kvzalloc(size, GFP_KERNEL);
	if (!*data)
		return -ENOMEM;
	err = regset_get(task, regset, size, *data);
	if (err) {
		kvfree(*data);
		return err;
	}
	return size;
}

void cp_iov_iter_advance(struct cp_iov_iter *i, size_t len)
{
	i->count -= len;
	if (!i->bvec) {
		i->base += len;
		return;
	}
	len += i->offset;
	while (len && len >= i->bvec->bv_len) {
		len -= i->bvec->bv_len;
		i->bvec++;
	}
	i->offset = len;
}

/* Pieces written at once: pages in high memory are mapped for as long. */
#define CP_IOVECS	16

/* The next pieces, those of pages that follow each other in the kernel's map as one. */
static unsigned int cp_iovecs_fill(struct cp_iov_iter *i, struct iovec *vec,
				   struct page **mapped, unsigned int *nr_mapped)
{
	unsigned int nr = 0;

	while (i->count) {
		unsigned int at = i->bvec->bv_offset + i->offset;
		struct page *page = i->bvec->bv_page + at / PAGE_SIZE;
		size_t len = min_t(size_t, PAGE_SIZE - at % PAGE_SIZE,
				   i->bvec->bv_len - i->offset);
		char *addr;

		len = min(len, i->count);
		if (nr == CP_IOVECS && PageHighMem(page))
			break;
		addr = kmap(page) + at % PAGE_SIZE;
		if (nr && addr == vec[nr - 1].iov_base + vec[nr - 1].iov_len &&
		    !PageHighMem(page)) {
			vec[nr - 1].iov_len += len;
		} else if (nr == CP_IOVECS) {
			break;
		} else {
			vec[nr].iov_base = addr;
			vec[nr++].iov_len = len;
			if (PageHighMem(page))
				mapped[(*nr_mapped)++] = page;
		}
		cp_iov_iter_advance(i, len);
	}
	return nr;
}

/* Some of the bytes, as write(2) might. */
ssize_t vfs_iter_write(struct file *file, struct cp_iov_iter *i, loff_t *pos,
		       int flags)
{
	struct page *mapped[CP_IOVECS];
	struct iovec vec[CP_IOVECS];
	unsigned int nr, nr_mapped = 0;
	mm_segment_t caller = get_fs();
	ssize_t ret;

	if (i->bvec) {
		nr = cp_iovecs_fill(i, vec, mapped, &nr_mapped);
	} else {
		vec[0].iov_base = (void *)i->base;
		vec[0].iov_len = i->count;
		nr = 1;
	}
	set_fs(KERNEL_DS);
	ret = vfs_writev(file, (struct iovec __user *)vec, nr, pos);
	set_fs(caller);
	while (nr_mapped)
		kunmap(mapped[--nr_mapped]);
	return ret;
}

/* The notes, by the structures of the caller's word size. */
int cp_fill_notes(struct cp_dump *dump)
{
#ifdef CONFIG_COMPAT
	if (task_user_regset_view(current)->e_machine != ELF_ARCH) {
		dump->elf32 = true;
		return cp_notes_fill_compat(dump);
	}
#endif
	dump->elf32 = BITS_PER_LONG == 32;
	return cp_notes_fill(dump);
}
