/*
 * cp_range: what the source, which is that of a later kernel, needs and 2.6.32 has
 * under another name, in another form, or not at all.
 *
 * Included before anything else in each file of this folder.
 */
#ifndef _MM_CP_RANGE_COMPAT_H
#define _MM_CP_RANGE_COMPAT_H

#include <linux/kernel.h>
#include <linux/backing-dev.h>
#include <linux/bio.h>
#include <linux/elf.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/hash.h>
#include <linux/highmem.h>
#include <linux/hugetlb.h>
#include <linux/ksm.h>
#include <linux/list.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/pagemap.h>
#include <linux/pid_namespace.h>
#include <linux/radix-tree.h>
#include <linux/regset.h>
#include <linux/rmap.h>
#include <linux/sched.h>
#include <linux/security.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/uio.h>
#include <linux/vmalloc.h>
#include <crypto/hash.h>
#include <asm/asm.h>
#include <asm/tlbflush.h>

/* The language */

#ifndef IS_ERR_OR_NULL
#define IS_ERR_OR_NULL(p)	(!(p) || IS_ERR(p))
#endif

#define READ_ONCE(x)		ACCESS_ONCE(x)
#define WRITE_ONCE(x, value)	(ACCESS_ONCE(x) = (value))
#define data_race(x)		(x)
#ifndef fallthrough
#define fallthrough		do { } while (0)
#endif

#define CP_ARG_IF_1		0,
#define CP_ARG_SECOND(a, b, ...) b
#define CP_IS_1_(arg_or_junk)	CP_ARG_SECOND(arg_or_junk 1, 0)
#define CP_IS_1(value)		CP_IS_1_(CP_ARG_IF_##value)
#define CP_IS_ENABLED(option)	CP_IS_1(option)
#undef IS_ENABLED
#define IS_ENABLED(option)	CP_IS_ENABLED(option)

#define min3(a, b, c)		min(min(a, b), c)
#define DIV_ROUND_UP_ULL(n, d)	(((u64)(n) + (d) - 1) / (d))
#ifndef ALIGN_DOWN
#define ALIGN_DOWN(x, a)	((x) & ~((a) - 1))
#endif
#define PAGE_ALIGN_DOWN(addr)	((addr) & PAGE_MASK)
#ifndef U32_MAX
#define U32_MAX			((u32)~0U)
#endif
#undef strscpy
#define strscpy(to, from)	strlcpy(to, from, sizeof(to))
#define untagged_addr(addr)	(addr)
typedef unsigned long vm_flags_t;
typedef int vm_fault_t;

#ifndef BITMAP_FIRST_WORD_MASK
#define BITMAP_FIRST_WORD_MASK(start) (~0UL << ((start) % BITS_PER_LONG))
#endif

/* Lists */

#define list_next_entry(at, node) list_entry((at)->node.next, typeof(*(at)), node)
#define list_last_entry(head, type, member) \
	list_entry((head)->prev, type, member)
#define list_first_entry_or_null(head, type, member) \
	(list_empty(head) ? NULL : list_first_entry(head, type, member))

#define DECLARE_HASHTABLE(name, bits)	struct hlist_head name[1 << (bits)]

static inline void cp_hash_init(struct hlist_head *table, unsigned int nr)
{
	while (nr--)
		INIT_HLIST_HEAD(&table[nr]);
}
#define hash_init(table)	cp_hash_init(table, ARRAY_SIZE(table))
#define cp_hash_of(table, key)	(&(table)[hash_long(key, ilog2(ARRAY_SIZE(table)))])
#define hash_add(table, node, key) hlist_add_head(node, cp_hash_of(table, key))

#define cp_hash_entry(first, type, member) \
	((first) ? hlist_entry(first, type, member) : NULL)
#define hash_for_each_possible(table, obj, member, key) \
	for (obj = cp_hash_entry(cp_hash_of(table, key)->first, typeof(*obj), member); \
	     obj; \
	     obj = cp_hash_entry(obj->member.next, typeof(*obj), member))

/* Atomics */

#define smp_mb__after_atomic()	smp_mb__after_clear_bit()

static inline void atomic_long_or(unsigned long mask, atomic_long_t *v)
{
	asm volatile(LOCK_PREFIX __ASM_SIZE(or) " %1,%0"
		     : "+m" (v->counter) : "r" (mask) : "memory");
}

static inline void atomic_long_andnot(unsigned long mask, atomic_long_t *v)
{
	asm volatile(LOCK_PREFIX __ASM_SIZE(and) " %1,%0"
		     : "+m" (v->counter) : "r" (~mask) : "memory");
}

/* Memory: nothing that the kernel keeps for a program is charged to a cgroup here */

#define GFP_KERNEL_ACCOUNT	GFP_KERNEL
#define SLAB_ACCOUNT		0
#define XA_FLAGS_ACCOUNT	0

void *kvmalloc(size_t size, gfp_t gfp);
void kvfree(const void *p);

#define kvzalloc(size, gfp)	kvmalloc(size, (gfp) | __GFP_ZERO)
static inline void *kvmalloc_array(size_t n, size_t size, gfp_t gfp)
{
	return size && n > ULONG_MAX / size ? NULL : kvmalloc(n * size, gfp);
}

/* A structure that kfree() can take, after a grace period. */
struct cp_group;
void cp_group_free_rcu(struct cp_group *group);
struct cp_mm;
void cp_mm_free_rcu(struct cp_mm *cm);
#define kfree_rcu(ptr, member) _Generic((ptr), \
	struct cp_group * : cp_group_free_rcu, struct cp_mm * : cp_mm_free_rcu)(ptr)

/* The part of xarray.h that is used, upon a radix tree of items that know their index. */
struct xarray {
	struct radix_tree_root root;
};
#define xa_init_flags(xa, flags) INIT_RADIX_TREE(&(xa)->root, GFP_NOWAIT)
#define xa_err(p)		(IS_ERR(p) ? PTR_ERR(p) : 0)
void *xa_load(struct xarray *xa, unsigned long index);
void *xa_store(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp);
void *xa_erase(struct xarray *xa, unsigned long index);
void *cp_xa_next(struct xarray *xa, unsigned long *index, unsigned long last);
void *cp_xa_after(struct xarray *xa, unsigned long *index, unsigned long last);
#define xa_for_each_range(xa, index, entry, start, last) \
	for (index = (start), entry = cp_xa_next(xa, &index, last); entry; \
	     entry = cp_xa_after(xa, &index, last))
#define xa_for_each(xa, index, entry) \
	xa_for_each_range(xa, index, entry, 0, ULONG_MAX)

/* The pages of a file, those of shared memory that are in swap included. */
#define i_pages			page_tree
#define XA_PRESENT		0
#define xa_find(pages, index, max, filter) \
	cp_find_page(container_of(pages, struct address_space, page_tree), index, max)
bool cp_find_page(struct address_space *mapping, unsigned long *index, unsigned long max);

/* Pages: folios of one page each, hugetlb apart */

struct folio {
	struct page page;
};
#define page_folio(p)		((struct folio *)compound_head(p))
#define folio_page(folio, n)	(&(folio)->page + (n))
#define folio_file_page(folio, index) (&(folio)->page)
#define folio_get(folio)	get_page(&(folio)->page)
#define folio_put(folio)	put_page(&(folio)->page)
#define folio_unlock(folio)	unlock_page(&(folio)->page)
#define folio_nr_pages(folio)	1
#define folio_ref_count(folio)	page_count(&(folio)->page)
#define folio_mapcount(folio)	page_mapcount(&(folio)->page)
#define folio_test_large(folio)	false
#define folio_entire_mapcount(folio) 0
#define folio_test_anon(folio)	PageAnon(&(folio)->page)
#define folio_test_ksm(folio)	PageKsm(&(folio)->page)
#define folio_test_dirty(folio)	PageDirty(&(folio)->page)
#define folio_test_uptodate(folio) PageUptodate(&(folio)->page)
#define folio_test_swapcache(folio) PageSwapCache(&(folio)->page)
#define folio_is_zone_device(folio) false
#define folio_mark_dirty(folio)	set_page_dirty(&(folio)->page)

static inline struct folio *
filemap_get_folio(struct address_space *mapping, unsigned long index)
{
	void *found = find_get_page(mapping, index);

	return found ?: ERR_PTR(-ENOENT);
}

static inline struct folio *read_mapping_folio(struct address_space *mapping,
					       pgoff_t index, struct file *file)
{
	return (struct folio *)read_mapping_page(mapping, index, file);
}

static inline int folio_wait_locked_killable(struct folio *folio)
{
	int err = lock_page_killable(&folio->page);

	if (!err)
		unlock_page(&folio->page);
	return err;
}

#define kmap_local_page(page)	kmap_atomic(page, KM_USER0)
#define kunmap_local(addr)	kunmap_atomic((void *)(addr), KM_USER0)
void memcpy_from_folio(void *to, struct folio *folio, size_t offset, size_t len);

#define is_zero_pfn(pfn)	((pfn) == page_to_pfn(ZERO_PAGE(0)))

/* Page tables */

#define ptep_get(ptep)		(*(ptep))
#define ptep_get_lockless(ptep)	(*(ptep))
#define pudp_get(pudp)		(*(pudp))
#define pud_leaf(pud)		pud_large(pud)
#define _PAGE_DIRTY_BITS	_PAGE_DIRTY
#define flush_tlb_batched_pending(mm) do { } while (0)

/* There are no huge pages that programs do not ask for. */
#define pmd_trans_huge_lock(pmd, vma) ((spinlock_t *)NULL)
#define vm_normal_page_pmd(vma, addr, pmd) ((struct page *)NULL)
#define is_huge_zero_pmd(pmd)	false

/* Of a nonlinear mapping, not of swap: its page is brought in like one. */
#define pte_to_swp_entry(pte) \
	(pte_file(pte) ? swp_entry(0, 0) : pte_to_swp_entry(pte))
#define is_poisoned_swp_entry(swap) false
#define is_pte_marker_entry(swap) false

/* As ptep_set_wrprotect() does: the bit is in the low word wherever there are two. */
static inline void cp_clear_dirty(struct mm_struct *mm, unsigned long addr,
				  pte_t *ptep, struct folio *folio)
{
	/* What the bit told reclaim, the page tells it now. */
	if (!folio_test_dirty(folio))
		folio_mark_dirty(folio);
	clear_bit(_PAGE_BIT_DIRTY, (unsigned long *)&ptep->pte);
	pte_update(mm, addr, ptep);
}

/* The entry of a page table, or NULL. */
static inline pmd_t *mm_find_pmd(struct mm_struct *mm, unsigned long at)
{
	pgd_t *top = pgd_offset(mm, at);
	pud_t *upper = pgd_present(*top) ? pud_offset(top, at) : NULL;
	pmd_t *lower = upper && pud_present(*upper) ? pmd_offset(upper, at) : NULL;

	return lower && pmd_present(*lower) ? lower : NULL;
}

enum page_walk_action {
	ACTION_SUBTREE,
	ACTION_CONTINUE,
	ACTION_AGAIN,
};
#define PGWALK_RDLOCK		0
#define mm_walk			cp_mm_walk	/* there is another */
#define mm_walk_ops		cp_mm_walk_ops
struct mm_walk;
struct mm_walk_ops {
	int (*pud_entry)(pud_t *pud, ulong from, ulong to, struct mm_walk *walk);
	int (*pmd_entry)(pmd_t *pmd, ulong from, ulong to, struct mm_walk *walk);
	int (*pte_hole)(ulong from, ulong to, int depth, struct mm_walk *walk);
	int (*hugetlb_entry)(pte_t *pte, ulong mask, ulong from, ulong to,
			     struct mm_walk *walk);
	int walk_lock;
};

/* What a callback gets, and what it asks for in return. */
struct mm_walk {
	const struct mm_walk_ops *ops;
	struct vm_area_struct *vma;
	enum page_walk_action action;
	struct mm_struct *mm;		/* of @vma */
	void *private;
};
int walk_page_range_vma(struct vm_area_struct *vma, ulong at, ulong limit,
			const struct mm_walk_ops *ops, void *private);

/*
 * Where a table ends. With two levels the kernel's own answer is the limit, for they rely
 * on having been asked about each level above, which is not done here.
 */
static inline ulong cp_table_end(ulong at, ulong size, ulong limit)
{
	return min(at | (size - 1), limit - 1) + 1;
}
#undef pud_addr_end
#define pud_addr_end(at, limit)	cp_table_end(at, PUD_SIZE, limit)
#undef pmd_addr_end
#define pmd_addr_end(at, limit)	cp_table_end(at, PMD_SIZE, limit)

/* Mappings */

#define VM_SHADOW_STACK		0
#define vma_is_anonymous(vma)	(!(vma)->vm_ops)

/* Here it cannot be given up for a signal; nobody holds it for longer than a fault. */
static inline int mmap_read_lock_killable(struct mm_struct *mm)
{
	down_read(&mm->mmap_sem);
	return 0;
}
#define mmap_read_unlock(mm)	up_read(&(mm)->mmap_sem)
#define mmap_lock_is_contended(mm) (!list_empty(&(mm)->mmap_sem.wait_list))

struct vma_iterator {
	struct mm_struct *mm;	/* whose mappings */
	unsigned long addr;
};
#define vma_iter_init(vmi, m, a) (*(vmi) = (struct vma_iterator) { .mm = m, .addr = a })
#define for_each_vma(vmi, vma) \
	for (vma = find_vma((vmi).mm, (vmi).addr); vma; vma = vma->vm_next)
#define for_each_vma_range(vmi, vma, end) \
	for (vma = find_vma((vmi).mm, (vmi).addr); vma && vma->vm_start < (end); \
	     vma = vma->vm_next)

static inline struct vm_area_struct *vma_lookup(struct mm_struct *mm, ulong at)
{
	struct vm_area_struct *next = find_vma(mm, at);

	return next && next->vm_start <= at ? next : NULL;
}

/* A fault waits for what it needs: it cannot be told not to. */
#define FAULT_FLAG_ALLOW_RETRY	0
#define FAULT_FLAG_RETRY_NOWAIT	0
#define FAULT_FLAG_REMOTE	0
#define VM_FAULT_RETRY		0
#define VM_FAULT_COMPLETED	0
#define VM_FAULT_HWPOISON_LARGE	0
#define handle_mm_fault(vma, addr, flags, regs) \
	handle_mm_fault((vma)->vm_mm, vma, addr, flags)
#define cp_bring_wait(pte)	0

/* Secondary MMUs */

struct mmu_notifier_range {
	unsigned long start, end;
	struct mm_struct *mm;		/* whose */
};
#define mmu_notifier_range_init(range, event, flags, m, s, e) \
	(*(range) = (struct mmu_notifier_range) { .mm = m, .start = s, .end = e })
#define mmu_notifier_invalidate_range_start(range) \
	mmu_notifier_invalidate_range_start((range)->mm, (range)->start, (range)->end)
#define mmu_notifier_invalidate_range_end(range) \
	mmu_notifier_invalidate_range_end((range)->mm, (range)->start, (range)->end)

/* hooks.c is tracked all the time */
#define DEFINE_STATIC_KEY_DEFERRED_FALSE(name, timeout) struct cp_no_key

/* Files */

#define F2FS_SUPER_MAGIC	(-1)		/* not there */
#undef BTRFS_SUPER_MAGIC
#define BTRFS_SUPER_MAGIC	(-2)		/* young there, and not tried */
#define XFS_SUPER_MAGIC		0x58465342	/* "XFSB" */
#ifndef EXT4_SUPER_MAGIC
#define EXT4_SUPER_MAGIC	0xef53
#endif

#define file_inode(file)	((file)->f_path.dentry->d_inode)
#define file_user_path(file)	(&(file)->f_path)
#define d_inode(dentry)		((dentry)->d_inode)
#define d_backing_inode(dentry)	((dentry)->d_inode)
#define inode_lock_nested(inode, sub) mutex_lock_nested(&(inode)->i_mutex, sub)
#define inode_unlock(inode)	mutex_unlock(&(inode)->i_mutex)
#define inode_is_open_for_write(inode) (atomic_read(&(inode)->i_writecount) > 0)
#define mapping_can_writeback(mapping) mapping_cap_writeback_dirty(mapping)
#define IS_DAX(inode)		((inode)->i_mapping->a_ops->get_xip_mem != NULL)
#define read_folio		readpage
#define vfs_unlink(idmap, dir, dentry, deleg) vfs_unlink(dir, dentry)
#define vfs_getattr(path, stat, mask, flags) \
	vfs_getattr((path)->mnt, (path)->dentry, stat)
#define generic_fillattr(idmap, mask, inode, stat) generic_fillattr(inode, stat)
#define security_path_unlink(dir, dentry) \
	security_path_unlink((struct path *)(dir), dentry)

#undef get_file
static inline struct file *get_file(struct file *file)
{
	atomic_long_inc(&file->f_count);
	return file;
}

#define timespec64		timespec
#define timespec64_compare	timespec_compare
#define ktime_get_coarse_real_ts64(ts) (*(ts) = current_kernel_time())
#define timestamp_truncate(ts, inode) timespec_trunc(ts, (inode)->i_sb->s_time_gran)
#define ktime_get_real_ns()	ktime_to_ns(ktime_get_real())
#define ktime_get_ns()		ktime_to_ns(ktime_get())

bool shmem_mapping(struct address_space *mapping);
int cp_shmem_read(struct inode *inode, pgoff_t index, struct page **page);
#define SGP_READ		0
#define shmem_get_folio(inode, index, end, foliop, sgp) \
	cp_shmem_read(inode, index, (struct page **)(foliop))
bool cp_shmem_find_swapped(struct inode *inode, unsigned long *index, unsigned long max);

struct cp_mapped;
bool cp_name_leads_to(const struct cp_mapped *file);
struct cp_bring;
long cp_bring_seek(struct cp_bring *bring, struct file *file, pgoff_t index,
		   unsigned long nr);

/* Writing: pages or bytes of the kernel's, by way of an array of iovec */
struct cp_iov_iter {
	const struct bio_vec *bvec;	/* NULL: bytes at @base */
	const char *base;
	size_t offset;			/* in the first of @bvec */
	size_t count;
};
#define iov_iter		cp_iov_iter
#define ITER_SOURCE		0
#define iov_iter_count(i)	((i)->count)
#define iov_iter_bvec(i, dir, bv, nr, len) \
	(*(i) = (struct cp_iov_iter) { .bvec = bv, .count = len })
#define iov_iter_kvec(i, dir, vec, nr, len) \
	(*(i) = (struct cp_iov_iter) { .base = (vec)->iov_base, .count = len })
#define iov_iter_advance	cp_iov_iter_advance
void cp_iov_iter_advance(struct cp_iov_iter *i, size_t len);
ssize_t vfs_iter_write(struct file *file, struct cp_iov_iter *i, loff_t *pos,
		       int flags);

static inline void bvec_set_page(struct bio_vec *bv, struct page *of, u32 len, u32 at)
{
	*bv = (struct bio_vec) { .bv_page = of, .bv_offset = at, .bv_len = len };
}
#define bvec_set_virt(bv, addr, len) \
	bvec_set_page(bv, virt_to_page(addr), len, offset_in_page(addr))
#ifndef offset_in_page
#define offset_in_page(at)	((unsigned long)(at) % PAGE_SIZE)
#endif

/* No crc32 among the hashes here: crc32_le() it is. */
#define crypto_alloc_shash(name, type, mask) ((struct crypto_shash *)ERR_PTR(-ENOENT))
#define crypto_shash_setkey(tfm, key, len) ((void)(key), 0)
#define crypto_free_shash(tfm)	do { } while (0)
#define crypto_shash_descsize(tfm) 0
#define crypto_shash_init(desc)	0
#define crypto_shash_update(desc, data, len) 0
#define crypto_shash_final(desc, out) (memset(out, 0, sizeof(u32)), 0)

/* The process */

#define SUID_DUMP_USER		1
#define rlimit(nr)		(current->signal->rlim[nr].rlim_cur)
#define from_kuid_munged(ns, uid) (uid)
#define from_kgid_munged(ns, gid) (gid)

/* Notes: prstatus with its first part as a structure of its own, laid out the same */

#define elf_prstatus		kernel_elf_prstatus
#define compat_elf_prstatus	kernel_compat_elf_prstatus
#include <linux/elfcore.h>
#ifdef CONFIG_COMPAT
#include <linux/elfcore-compat.h>
#endif
#undef elf_prstatus
#undef compat_elf_prstatus

#ifndef NT_FILE
#define NT_FILE			0x46494c45
#endif
#ifndef PN_XNUM
#define PN_XNUM			0xffff
#endif

/* That of elf.h has no tag. */
struct elf32_shdr {
	u32 sh_name, sh_type, sh_flags, sh_addr, sh_offset, sh_size, sh_link, sh_info,
	    sh_addralign, sh_entsize;
};

#define CP_PRSTATUS(prefix, siginfo, ulong, pid, timeval, gregset, integer) \
struct prefix##elf_prstatus_common { \
	struct siginfo pr_info; \
	short pr_cursig; \
	ulong pr_sigpend, pr_sighold; \
	pid pr_pid, pr_ppid, pr_pgrp, pr_sid; \
	struct timeval pr_utime, pr_stime, pr_cutime, pr_cstime; \
}; \
struct prefix##elf_prstatus { \
	struct prefix##elf_prstatus_common common; \
	gregset pr_reg; \
	integer pr_fpvalid; \
}

CP_PRSTATUS(, elf_siginfo, unsigned long, pid_t, timeval, elf_gregset_t, int);
#ifdef CONFIG_COMPAT
CP_PRSTATUS(compat_, compat_elf_siginfo, compat_ulong_t, compat_pid_t,
	    compat_timeval, compat_elf_gregset_t, compat_int_t);

static inline struct compat_timeval ns_to_old_timeval32(u64 time)
{
	struct timeval native;

	cputime_to_timeval((cputime_t)time, &native);
	return (struct compat_timeval) {
		.tv_sec = native.tv_sec, .tv_usec = native.tv_usec,
	};
}
#endif

/* Times of processes come as cputime_t, and are handed on as such. */
static inline struct timeval ns_to_timeval_of_cputime(u64 time)
{
	struct timeval as_timeval;

	cputime_to_timeval((cputime_t)time, &as_timeval);
	return as_timeval;
}
#define ns_to_kernel_old_timeval ns_to_timeval_of_cputime

#define task_cputime(task, user, system) do { \
	*(user) = task_utime(task); \
	*(system) = task_stime(task); \
} while (0)

int regset_get(struct task_struct *task, const struct user_regset *regset,
	       unsigned int size, void *data);
int regset_get_alloc(struct task_struct *task, const struct user_regset *regset,
		     unsigned int size, void **data);

struct cp_dump;
int cp_fill_notes(struct cp_dump *dump);

/* hugetlb.c */
#ifdef CONFIG_HUGETLB_PAGE
int cp_walk_hugetlb_range(struct mm_walk *walk, ulong addr, ulong limit);
#else
static inline int cp_walk_hugetlb_range(struct mm_walk *walk, ulong addr, ulong limit)
{
	return 0;
}
#endif

#ifdef CP_OWN_HUGETLB
#undef CONFIG_HUGETLB_PAGE
#endif

#endif /* _MM_CP_RANGE_COMPAT_H */
