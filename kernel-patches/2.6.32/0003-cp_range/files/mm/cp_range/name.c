/*
 * cp_range: whether the name of a mapped file leads to it.
 */
#include "internal.h"

/* A look at a path is between this kernel and its memory or disks; nobody is asked. */
static bool cp_is_local(const struct super_block *sb)
{
	switch (sb->s_magic) {
	case EXT4_SUPER_MAGIC:
	case XFS_SUPER_MAGIC:
	case TMPFS_MAGIC:
	case RAMFS_MAGIC:
		return true;
	default:
		return false;
	}
}

/* All file systems from the file's to the root: one of a server or a program may wait. */
static bool cp_path_is_local(const struct path *of)
{
	struct path path = *of;
	bool local;

	path_get(&path);
	do
		local = cp_is_local(path.mnt->mnt_sb);
	while (local && follow_up(&path));
	path_put(&path);
	return local;
}

/**
 * cp_name_leads_to() - whether the name of a mapped file leads to it now
 * @file: the file
 *
 * There is no look-up here that gives up rather than wait.
 *
 * Return: true if so; false too where somebody would have to be asked.
 */
bool cp_name_leads_to(const struct cp_mapped *file)
{
	struct path path;
	bool leads;

	if (!cp_path_is_local(file_user_path(file->file)))
		return false;
	if (kern_path(file->name, 0, &path))
		return false;
	leads = path.dentry->d_inode == file->inode;
	path_put(&path);
	return leads;
}
