// SPDX-License-Identifier: GPL-2.0
/* File systems that memory is mapped from. */
#define _GNU_SOURCE
#include <ftw.h>
#include <sys/mount.h>

#include "kinds.h"
#include "needs.h"

#define ROOT	"/kinds"

static char message[256];

static const char *failed(const char *what, const char *where)
{
	snprintf(message, sizeof(message), "%s %s: %s", what, where, strerror(errno));
	return message;
}

static const char *begin_tmpfs(const struct kind *kind)
{
	if (mount("none", kind->folder, "tmpfs", 0, NULL))
		return failed("mount tmpfs on", kind->folder);
	return NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	return ftw->level ? remove(path) : 0;
}

/* An empty folder of a disk that the guest has, if it is of that type. */
static const char *begin_disk(const char *disk, const char *type, const char *folder)
{
	char line[256], dir[128], where[64], is[32];
	const char *why = "no such disk";
	FILE *f = fopen("/proc/mounts", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %63s %31s", where, is) == 2 &&
		    !strcmp(where, disk) && !strcmp(is, type))
			why = NULL;
	if (f)
		fclose(f);
	if (why)
		return why;
	snprintf(dir, sizeof(dir), "%s/kinds%s", disk, strrchr(folder, '/'));
	*strrchr(dir, '/') = '.';
	if (mkdir(dir, 0755) && errno != EEXIST)
		return failed("mkdir", dir);
	if (nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT))
		return failed("empty", dir);
	if (mount(dir, folder, NULL, MS_BIND, NULL))
		return failed("mount --bind on", folder);
	return NULL;
}

static const char *begin_ext4(const struct kind *kind)
{
	return begin_disk("/disk", "ext4", kind->folder);
}

static const char *begin_xfs(const struct kind *kind)
{
	return begin_disk("/disk2", "xfs", kind->folder);
}

/* The layers of an overlay: in the folder @kind->folder.layers */
static const char *layer(const struct kind *kind, const char *which)
{
	static char path[2][96];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s.layers%s", kind->folder, which);
	return path[turn];
}

static const char *mount_overlay(const struct kind *kind)
{
	const char *layers = layer(kind, "");
	char options[512];

	snprintf(options, sizeof(options), "lowerdir=%s/l,upperdir=%s/u,workdir=%s/w",
		 layers, layers, layers);
	if (mount("none", kind->folder, "overlay", 0, options))
		return failed("mount an overlay on", kind->folder);
	return NULL;
}

static const char *begin_overlay(const struct kind *kind)
{
	static const char *const folders[] = { "", "/l", "/u", "/w" };
	const char *why = NULL;

	mkdir(layer(kind, ""), 0755);
	if (!kind->local) {
		if (mount("none", layer(kind, ""), "tmpfs", 0, NULL))
			why = failed("mount tmpfs on", layer(kind, ""));
	} else {
		why = begin_disk("/disk", "ext4", layer(kind, ""));
	}
	for (int i = 1; !why && i < 4; i++)
		if (mkdir(layer(kind, folders[i]), 0755) && errno != EEXIST)
			why = failed("mkdir", layer(kind, folders[i]));
	return why ?: mount_overlay(kind);
}

/* Servers and tags are there once: what they give stays mounted from test to test. */
static bool is_mounted(const char *folder)
{
	char line[512], where[64];
	FILE *f = fopen("/proc/mounts", "re");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%*s %63s", where) == 1 && !strcmp(where, folder);
	if (f)
		fclose(f);
	return found;
}

static const char *begin_9p(const struct kind *kind)
{
	bool cached = kind == &kinds[KIND_9P_MMAP];
	const char *lack = cp_lacks_9p_tags();

	if (lack)
		return lack;
	/* Without a cache is what one gets who does not ask. */
	if (mount(cached ? "cached" : "kinds", kind->folder, "9p", 0, cached ?
		  "trans=virtio,version=9p2000.L,msize=262144,cache=mmap" :
		  "trans=virtio,version=9p2000.L,msize=262144"))
		return failed("mount 9p on", kind->folder);
	return NULL;
}

/* A helper that serves FOLDER.served on it, and returns when that is mounted. */
static const char *served_by(const char *helper, const struct kind *kind)
{
	char served[64];
	int status;
	pid_t pid;

	snprintf(served, sizeof(served), "%s.served", kind->folder);
	if (access(cp_helper(helper), X_OK))
		return failed("there is no", helper);
	if (mkdir(served, 0755) && errno != EEXIST)
		return failed("mkdir", served);
	if (mount("none", served, "tmpfs", 0, NULL))
		return failed("mount tmpfs on", served);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		execl(cp_helper(helper), helper, served, kind->folder, NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		return "it cannot be mounted";
	return NULL;
}

static const char *begin_fuse(const struct kind *kind)
{
	const char *lack = cp_lacks_o_path();

	if (lack)
		return lack;
	return served_by("fuse_serve", kind);
}

static const char *begin_nfs(const struct kind *kind)
{
	return served_by("nfs_serve", kind);
}

const struct kind kinds[NR_KINDS] = {
	[KIND_TMPFS] = { "tmpfs", ROOT "/tmpfs", false, true, begin_tmpfs },
	[KIND_EXT4] = { "ext4", ROOT "/ext4", true, true, begin_ext4 },
	[KIND_XFS] = { "xfs", ROOT "/xfs", true, true, begin_xfs },
	[KIND_LOWER] = { "overlayfs, lower layer", ROOT "/lower", true, true, begin_overlay },
	[KIND_UPPER] = { "overlayfs, upper layer", ROOT "/upper", true, true, begin_overlay },
	[KIND_MEMORY_LOWER] = { "overlayfs on tmpfs", ROOT "/memory", false, true,
				begin_overlay },
	[KIND_9P] = { "9p", ROOT "/9p", false, false, begin_9p },
	[KIND_9P_MMAP] = { "9p, cache=mmap", ROOT "/9p.mmap", false, false, begin_9p },
	[KIND_FUSE] = { "fuse", ROOT "/fuse", false, false, begin_fuse },
	[KIND_NFS] = { "nfs", ROOT "/nfs", false, false, begin_nfs },
};

static const char *begin_served(const struct kind *kind)
{
	const char *why = is_mounted(kind->folder) ? NULL : kind->begin(kind);

	if (!why && nftw(kind->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT))
		why = failed("empty", kind->folder);
	return why;
}

/*
 * Mount it, with what else is mounted, for this process and its children only.
 * Return: NULL, or why the guest cannot have it.
 */
const char *kind_begin(enum kind_nr nr)
{
	bool served = nr == KIND_9P || nr == KIND_9P_MMAP || nr == KIND_FUSE || nr == KIND_NFS;
	const char *why = NULL;

	mkdir(ROOT, 0755);
	mkdir(kinds[nr].folder, 0755);
	if (served)
		why = begin_served(&kinds[nr]);
	if (!why && (unshare(CLONE_NEWNS) ||
		     mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)))
		why = failed("unshare", "the mounts");
	if (!why && !served)
		why = kinds[nr].begin(&kinds[nr]);
	return why;
}

/* A file there, as the program names it. */
const char *kind_path(enum kind_nr nr, const char *name)
{
	static __thread char path[4][128];
	static __thread int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", kinds[nr].folder, name);
	return path[turn];
}

/* Till what was done to files is no more of the clock's present tick. */
void kind_settle(void)
{
	usleep(30000);
}

static int make_one(const char *path, size_t len, unsigned int seed)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644);
	char *bytes = malloc(len + 8);
	ssize_t n = -1;

	if (fd >= 0) {
		cp_fill(bytes, len, seed);
		n = write(fd, bytes, len);
		if (fsync(fd) || close(fd))
			n = -1;
	}
	free(bytes);
	return n == (ssize_t)len ? 0 : -1;
}

/*
 * Files of bytes as cp_fill() has them, that nobody has open: @name, or @name0, @name1
 * and so on if @nr is not 0, with a seed of its own for each. Return: 0, or -1.
 */
int kind_make_all(enum kind_nr nr, const char *name, unsigned int files, size_t len,
		  unsigned int seed)
{
	const struct kind *kind = &kinds[nr];
	bool lower = nr == KIND_LOWER || nr == KIND_MEMORY_LOWER;
	char path[192];
	int ret = 0;

	/* What is below an overlay is to be left alone while it is mounted. */
	if (lower)
		umount2(kind->folder, MNT_DETACH);
	for (unsigned int i = 0; i < (files ?: 1); i++) {
		char which[16] = "";

		if (files)
			snprintf(which, sizeof(which), "%u", i);
		if (lower)
			snprintf(path, sizeof(path), "%s/%s%s", layer(kind, "/l"), name,
				 which);
		else
			snprintf(path, sizeof(path), "%s%s", kind_path(nr, name), which);
		ret |= make_one(path, len, seed + i);
	}
	if (lower && mount_overlay(kind))
		ret = -1;
	kind_settle();
	return ret;
}

int kind_make(enum kind_nr nr, const char *name, size_t len, unsigned int seed)
{
	return kind_make_all(nr, name, 0, len, seed);
}
