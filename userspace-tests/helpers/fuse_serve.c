// SPDX-License-Identifier: GPL-2.0
/*
 * fuse_serve [OPTIONS] FOLDER MOUNTPOINT: FOLDER once more, by FUSE. Returns when it is
 * mounted; a child serves until it is unmounted.
 *
 *	-t SECONDS	what the kernel knows of names and files holds that long (default 0)
 *	-k		pages outlive the last close (FOPEN_KEEP_CACHE)
 *	-d		no page cache for reads and writes (FOPEN_DIRECT_IO), mmap() goes
 *	-w		writes stay in the page cache at first (FUSE_WRITEBACK_CACHE)
 *	-D		deaf: a request that is held stays so, whoever is killed
 *
 * What is done to a file in FOLDER is done behind the kernel's back: it learns of it
 * when it asks again.
 *
 * A request stalls while FOLDER/.stall names its kind: "read", "write", "getattr",
 * "lookup", "open", "release", "fsync" and so on, several with a space between, or
 * "all". It is taken and not answered, others are. An empty .stall: no request is even
 * taken.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_WRITE	(128U << 10)
#define MAX_READ	(1U << 20)
#define REQUEST_SIZE	(MAX_WRITE + 4096)
#define STALL		".stall"
#define POLL_MS		5

/* A file that the kernel knows; its address is the kernel's number of it. */
struct node {
	struct node *next;
	uint64_t ino, dev, lookups;
	int fd;			/* O_PATH: whatever its name is by now */
};

struct held {
	struct held *next;
	struct fuse_in_header in;	/* the whole request */
};

static struct node root = { .lookups = 1 };
static struct node *nodes = &root;
static struct held *held;
static unsigned int timeout;
static uint32_t open_flags;
static bool writeback, deaf;
static int dev;
static char reply_buf[MAX_READ];

static struct node *node_of(uint64_t id)
{
	return id == FUSE_ROOT_ID ? &root : (struct node *)(uintptr_t)id;
}

/* The name by which an O_PATH descriptor opens. */
static const char *path_of(const struct node *node)
{
	static char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", node->fd);
	return path;
}

static void answer(uint64_t unique, int error, const void *data, size_t len)
{
	struct fuse_out_header out = {
		.len = sizeof(out) + len, .error = -error, .unique = unique
	};
	struct iovec iov[] = { { &out, sizeof(out) }, { (void *)data, len } };

	/* ENOENT: it was interrupted meanwhile, and has its answer */
	if (writev(dev, iov, 2) < 0 && errno != ENOENT && errno != ENODEV)
		perror("fuse_serve: answering");
}

static void fill_attr(struct fuse_attr *attr, const struct stat *st)
{
	*attr = (struct fuse_attr){
		.ino = st->st_ino, .size = st->st_size, .blocks = st->st_blocks,
		.atime = st->st_atim.tv_sec, .atimensec = st->st_atim.tv_nsec,
		.mtime = st->st_mtim.tv_sec, .mtimensec = st->st_mtim.tv_nsec,
		.ctime = st->st_ctim.tv_sec, .ctimensec = st->st_ctim.tv_nsec,
		.mode = st->st_mode, .nlink = st->st_nlink, .uid = st->st_uid,
		.gid = st->st_gid, .rdev = st->st_rdev, .blksize = st->st_blksize,
	};
}

static int stat_node(const struct node *node, struct stat *st)
{
	return fstatat(node->fd, "", st, AT_EMPTY_PATH);
}

/* The entry of NAME, which the kernel may now use until it forgets it. */
static int look_up(const struct node *parent, const char *name, struct fuse_entry_out *out)
{
	struct node *node;
	struct stat st;
	int fd = openat(parent->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno;
	if (fstatat(fd, "", &st, AT_EMPTY_PATH)) {
		close(fd);
		return EIO;
	}
	for (node = nodes; node; node = node->next)
		if (node->ino == st.st_ino && node->dev == st.st_dev)
			break;
	if (node) {
		close(fd);
	} else {
		node = calloc(1, sizeof(*node));
		if (!node)
			return ENOMEM;
		*node = (struct node){ nodes, st.st_ino, st.st_dev, 0, fd };
		nodes = node;
	}
	node->lookups++;
	*out = (struct fuse_entry_out){
		.nodeid = node == &root ? FUSE_ROOT_ID : (uintptr_t)node,
		.entry_valid = timeout, .attr_valid = timeout,
	};
	fill_attr(&out->attr, &st);
	return 0;
}

static void forget(uint64_t id, uint64_t lookups)
{
	struct node **link = &nodes, *node = node_of(id);

	node->lookups -= lookups;
	if (node == &root || node->lookups)
		return;
	while (*link != node)
		link = &(*link)->next;
	*link = node->next;
	close(node->fd);
	free(node);
}

static void do_init(uint64_t unique, const struct fuse_init_in *in)
{
	uint64_t offered = in->flags | (uint64_t)in->flags2 << 32;
	uint64_t flags = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC |
		FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV | FUSE_MAX_PAGES |
		FUSE_INIT_EXT | FUSE_DIRECT_IO_ALLOW_MMAP |
		(writeback ? FUSE_WRITEBACK_CACHE : 0);
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = in->max_readahead, .max_background = 16,
		.congestion_threshold = 12, .max_write = MAX_WRITE, .time_gran = 1,
		.max_pages = MAX_WRITE / 4096,
	};

	flags &= offered;
	out.flags = flags;
	out.flags2 = flags >> 32;
	if (in->minor < out.minor)
		out.minor = in->minor;
	/* before 7.23 the kernel takes no more than it knows */
	answer(unique, 0, &out, in->minor < 23 ? FUSE_COMPAT_22_INIT_OUT_SIZE : sizeof(out));
}

static int get_attr(const struct node *node, struct fuse_attr_out *out)
{
	struct stat st;

	if (stat_node(node, &st))
		return errno;
	*out = (struct fuse_attr_out){ .attr_valid = timeout };
	fill_attr(&out->attr, &st);
	return 0;
}

static struct timespec time_in(uint32_t valid, uint32_t set, uint32_t now, uint64_t sec,
			       uint32_t nsec)
{
	if (!(valid & set))
		return (struct timespec){ .tv_nsec = UTIME_OMIT };
	return valid & now ? (struct timespec){ .tv_nsec = UTIME_NOW } :
			     (struct timespec){ sec, nsec };
}

static int set_attr(const struct node *node, const struct fuse_setattr_in *in)
{
	struct timespec times[] = {
		time_in(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
		time_in(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec),
	};

	if (in->valid & FATTR_MODE && chmod(path_of(node), in->mode & 07777))
		return errno;
	if (in->valid & (FATTR_UID | FATTR_GID) &&
	    fchownat(node->fd, "", in->valid & FATTR_UID ? in->uid : (uid_t)-1,
		     in->valid & FATTR_GID ? in->gid : (gid_t)-1, AT_EMPTY_PATH))
		return errno;
	if (in->valid & FATTR_SIZE && truncate(path_of(node), in->size))
		return errno;
	if (in->valid & (FATTR_ATIME | FATTR_MTIME) &&
	    utimensat(AT_FDCWD, path_of(node), times, 0))
		return errno;
	return 0;
}

/* With the page cache in front, it reads what it is about to write a part of. */
static int open_node(const struct node *node, int flags, struct fuse_open_out *out)
{
	int fd;

	flags &= ~(O_NOFOLLOW | O_CREAT | O_EXCL | O_DIRECT);
	if (writeback) {
		if ((flags & O_ACCMODE) == O_WRONLY)
			flags = (flags & ~O_ACCMODE) | O_RDWR;
		flags &= ~O_APPEND;
	}
	fd = open(path_of(node), flags | O_CLOEXEC);
	if (fd < 0)
		return errno;
	*out = (struct fuse_open_out){ .fh = fd, .open_flags = open_flags };
	return 0;
}

static int create(const struct node *parent, const struct fuse_create_in *in,
		  const char *name, struct fuse_entry_out *entry, struct fuse_open_out *out,
		  const struct fuse_in_header *header)
{
	int error, fd = openat(parent->fd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC,
			       in->mode & 07777);

	if (fd < 0)
		return errno;
	fchown(fd, header->uid, header->gid);
	close(fd);
	error = look_up(parent, name, entry);
	return error ? error : open_node(node_of(entry->nodeid), in->flags, out);
}

static void read_folder(uint64_t unique, const struct node *node, uint64_t offset,
			uint32_t size)
{
	DIR *dir = fdopendir(open(path_of(node), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;
	uint64_t n = 0;
	size_t len = 0;

	if (!dir) {
		answer(unique, errno, NULL, 0);
		return;
	}
	memset(reply_buf, 0, size);
	while ((entry = readdir(dir))) {
		struct fuse_dirent *to = (void *)(reply_buf + len);
		size_t name = strlen(entry->d_name);
		size_t room = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + name);

		if (n++ < offset)
			continue;
		if (len + room > size)
			break;
		to->ino = entry->d_ino;
		to->off = n;
		to->namelen = name;
		to->type = entry->d_type;
		memcpy(to->name, entry->d_name, name);
		len += room;
	}
	closedir(dir);
	answer(unique, 0, reply_buf, len);
}

static void do_statfs(uint64_t unique, const struct node *node)
{
	struct fuse_statfs_out out = { 0 };
	struct statfs st;

	if (statfs(path_of(node), &st)) {
		answer(unique, errno, NULL, 0);
		return;
	}
	out.st = (struct fuse_kstatfs){
		.blocks = st.f_blocks, .bfree = st.f_bfree, .bavail = st.f_bavail,
		.files = st.f_files, .ffree = st.f_ffree, .bsize = st.f_bsize,
		.namelen = NAME_MAX, .frsize = st.f_bsize,
	};
	answer(unique, 0, &out, sizeof(out));
}

static void answer_error(uint64_t unique, int failed)
{
	answer(unique, failed ? errno : 0, NULL, 0);
}

static void interrupt(const struct fuse_interrupt_in *in)
{
	struct held **link, *one;

	for (link = &held; (one = *link); link = &one->next) {
		if (one->in.unique != in->unique)
			continue;
		*link = one->next;
		answer(in->unique, EINTR, NULL, 0);
		free(one);
		return;
	}
}

static void forget_many(const struct fuse_batch_forget_in *in)
{
	const struct fuse_forget_one *one = (const void *)(in + 1);

	for (uint32_t i = 0; i < in->count; i++)
		forget(one[i].nodeid, one[i].nlookup);
}

static void serve(const struct fuse_in_header *in)
{
	const struct node *node = node_of(in->nodeid);
	const void *arg = in + 1;
	const char *name = arg;
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} made;
	struct fuse_attr_out attr;
	ssize_t n;
	int error = 0;

	switch (in->opcode) {
	case FUSE_INIT:
		do_init(in->unique, arg);
		break;
	case FUSE_FORGET:
		forget(in->nodeid, ((const struct fuse_forget_in *)arg)->nlookup);
		break;
	case FUSE_BATCH_FORGET:
		forget_many(arg);
		break;
	case FUSE_INTERRUPT:
		if (!deaf)
			interrupt(arg);
		break;
	case FUSE_LOOKUP:
		error = look_up(node, name, &made.entry);
		answer(in->unique, error, &made.entry, error ? 0 : sizeof(made.entry));
		break;
	case FUSE_SETATTR:
		error = set_attr(node, arg);
		/* fall through */
	case FUSE_GETATTR:
		if (!error)
			error = get_attr(node, &attr);
		answer(in->unique, error, &attr, error ? 0 : sizeof(attr));
		break;
	case FUSE_OPENDIR:
		made.open = (struct fuse_open_out){ 0 };
		answer(in->unique, 0, &made.open, sizeof(made.open));
		break;
	case FUSE_OPEN:
		error = open_node(node, ((const struct fuse_open_in *)arg)->flags, &made.open);
		answer(in->unique, error, &made.open, error ? 0 : sizeof(made.open));
		break;
	case FUSE_CREATE:
		error = create(node, arg, name + sizeof(struct fuse_create_in), &made.entry,
			       &made.open, in);
		answer(in->unique, error, &made, error ? 0 : sizeof(made));
		break;
	case FUSE_READ: {
		const struct fuse_read_in *want = arg;
		size_t size = want->size < MAX_READ ? want->size : MAX_READ;

		n = pread(want->fh, reply_buf, size, want->offset);
		answer(in->unique, n < 0 ? errno : 0, reply_buf, n < 0 ? 0 : n);
		break;
	}
	case FUSE_WRITE: {
		const struct fuse_write_in *want = arg;
		struct fuse_write_out out = { 0 };

		n = pwrite(want->fh, want + 1, want->size, want->offset);
		out.size = n;
		answer(in->unique, n < 0 ? errno : 0, &out, n < 0 ? 0 : sizeof(out));
		break;
	}
	case FUSE_READDIR: {
		const struct fuse_read_in *want = arg;

		read_folder(in->unique, node, want->offset, want->size);
		break;
	}
	case FUSE_RELEASE:
		answer_error(in->unique, close(((const struct fuse_release_in *)arg)->fh));
		break;
	case FUSE_FLUSH:
	case FUSE_RELEASEDIR:
	case FUSE_FSYNCDIR:
		answer(in->unique, 0, NULL, 0);
		break;
	case FUSE_FSYNC:
		answer_error(in->unique, fsync(((const struct fuse_fsync_in *)arg)->fh));
		break;
	case FUSE_FALLOCATE: {
		const struct fuse_fallocate_in *want = arg;

		answer_error(in->unique, fallocate(want->fh, want->mode, want->offset, want->length));
		break;
	}
	case FUSE_LSEEK: {
		const struct fuse_lseek_in *want = arg;
		struct fuse_lseek_out out;

		out.offset = lseek(want->fh, want->offset, want->whence);
		error = out.offset == (uint64_t)-1 ? errno : 0;
		answer(in->unique, error, &out, error ? 0 : sizeof(out));
		break;
	}
	case FUSE_UNLINK:
		answer_error(in->unique, unlinkat(node->fd, name, 0));
		break;
	case FUSE_RMDIR:
		answer_error(in->unique, unlinkat(node->fd, name, AT_REMOVEDIR));
		break;
	case FUSE_MKDIR: {
		const struct fuse_mkdir_in *want = arg;

		name += sizeof(*want);
		error = mkdirat(node->fd, name, want->mode) ? errno : 0;
		if (!error)
			error = look_up(node, name, &made.entry);
		answer(in->unique, error, &made.entry, error ? 0 : sizeof(made.entry));
		break;
	}
	case FUSE_LINK: {
		const struct fuse_link_in *want = arg;

		name += sizeof(*want);
		error = linkat(AT_FDCWD, path_of(node_of(want->oldnodeid)), node->fd, name,
			       AT_SYMLINK_FOLLOW) ? errno : 0;
		if (!error)
			error = look_up(node, name, &made.entry);
		answer(in->unique, error, &made.entry, error ? 0 : sizeof(made.entry));
		break;
	}
	case FUSE_RENAME:
	case FUSE_RENAME2: {
		const struct fuse_rename2_in *want = arg;
		bool two = in->opcode == FUSE_RENAME2;

		name += two ? sizeof(*want) : sizeof(struct fuse_rename_in);
		answer_error(in->unique,
			     syscall(SYS_renameat2, node->fd, name,
				     node_of(want->newdir)->fd, name + strlen(name) + 1,
				     two ? want->flags : 0));
		break;
	}
	case FUSE_STATFS:
		do_statfs(in->unique, node);
		break;
	case FUSE_DESTROY:
		break;
	default:
		answer(in->unique, ENOSYS, NULL, 0);
	}
}

static const char *kind(uint32_t opcode)
{
	static const char *const kinds[] = {
		[FUSE_LOOKUP] = "lookup", [FUSE_GETATTR] = "getattr",
		[FUSE_SETATTR] = "setattr", [FUSE_UNLINK] = "unlink",
		[FUSE_RENAME] = "rename", [FUSE_RENAME2] = "rename", [FUSE_OPEN] = "open",
		[FUSE_READ] = "read", [FUSE_WRITE] = "write", [FUSE_STATFS] = "statfs",
		[FUSE_RELEASE] = "release", [FUSE_FSYNC] = "fsync", [FUSE_FLUSH] = "flush",
		[FUSE_CREATE] = "create", [FUSE_LSEEK] = "lseek",
		[FUSE_FALLOCATE] = "fallocate", [FUSE_READDIR] = "readdir",
	};

	return opcode < sizeof(kinds) / sizeof(*kinds) ? kinds[opcode] : NULL;
}

/* What FOLDER/.stall says. Return: how much, or -1 where there is none. */
static ssize_t read_stall(char *text, size_t size)
{
	int fd = openat(root.fd, STALL, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, text, size - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	return n;
}

static bool stalls(const struct fuse_in_header *in)
{
	const char *name = kind(in->opcode);
	char text[256], *word, *next = text;

	if (!name || read_stall(text, sizeof(text)) <= 0)
		return false;
	while ((word = strsep(&next, " \n")))
		if (!strcmp(word, name) || !strcmp(word, "all"))
			return true;
	return false;
}

static bool hold(const struct fuse_in_header *in)
{
	struct held *one = malloc(sizeof(*one) + in->len);

	if (!one)
		return false;
	memcpy(&one->in, in, in->len);
	one->next = held;
	held = one;
	return true;
}

static void serve_held(void)
{
	struct held **link = &held, *one;

	while ((one = *link)) {
		if (stalls(&one->in)) {
			link = &one->next;
			continue;
		}
		*link = one->next;
		serve(&one->in);
		free(one);
	}
}

static int loop(void)
{
	static char request[REQUEST_SIZE] __attribute__((aligned(8)));
	const struct fuse_in_header *in = (const void *)request;
	struct pollfd fds = { .fd = dev, .events = POLLIN };
	char text[2];

	for (;;) {
		bool idle = !read_stall(text, sizeof(text));

		serve_held();
		fds.events = idle ? 0 : POLLIN;
		if (!poll(&fds, 1, held || idle ? POLL_MS : 100) || idle) {
			if (fds.revents & (POLLERR | POLLHUP))
				return 0;
			continue;
		}
		if (read(dev, request, sizeof(request)) < 0) {
			if (errno == ENODEV)	/* unmounted */
				return 0;
			if (errno != EINTR && errno != EAGAIN && errno != ENOENT) {
				perror("fuse_serve: /dev/fuse");
				return 1;
			}
			continue;
		}
		if (!stalls(in) || !hold(in))
			serve(in);
	}
}

static bool mount_it(const char *folder, const char *where)
{
	char options[128];
	struct stat st;

	root.fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root.fd < 0 || stat_node(&root, &st)) {
		perror(folder);
		return false;
	}
	root.ino = st.st_ino;
	root.dev = st.st_dev;
	dev = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (dev < 0) {
		perror("/dev/fuse");
		return false;
	}
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=%o,user_id=%u,group_id=%u,allow_other,default_permissions",
		 dev, st.st_mode & S_IFMT, getuid(), getgid());
	if (mount("fuse_serve", where, "fuse.serve", MS_NODEV | MS_NOSUID, options)) {
		perror(where);
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	int c, null;

	while ((c = getopt(argc, argv, "t:kdwD")) != -1) {
		switch (c) {
		case 't':
			timeout = atoi(optarg);
			break;
		case 'k':
			open_flags |= FOPEN_KEEP_CACHE;
			break;
		case 'd':
			open_flags |= FOPEN_DIRECT_IO;
			break;
		case 'w':
			writeback = true;
			break;
		case 'D':
			deaf = true;
			break;
		default:
			argc = 0;
		}
	}
	if (argc - optind != 2) {
		fprintf(stderr, "usage: fuse_serve [-t SECONDS] [-kdwD] FOLDER MOUNTPOINT\n");
		return 2;
	}
	if (!mount_it(argv[optind], argv[optind + 1]))
		return 1;
	switch (fork()) {
	case -1:
		perror("fuse_serve: fork");
		return 1;
	case 0:
		break;
	default:
		return 0;
	}
	/* whoever waits for the end of our output shall not wait for this */
	setsid();
	null = open("/dev/null", O_RDWR);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	umask(0);
	return loop();
}
