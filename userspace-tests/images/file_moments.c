// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 512 --smp 2 --swap 64 --disk 64 --disk xfs:300 --timeout 600 */
/*
 * Memory that is mapped from a file, restored by another process: the bytes of the
 * moment, or a refusal that names the file. Never other bytes and a success.
 *
 * All file systems of the guest, shared and private, what may happen to a file before
 * the checkpoint or between it and the restore, full and incremental. What memory was
 * at the moment the program itself has kept, page by page, or that it gave SIGBUS.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <sys/mount.h>

#include "harness.h"
#include "kinds.h"
#include "mapped.h"

#define RW		(PROT_READ | PROT_WRITE)
#define AT		CP_FAR(0x30)
#define FILE_PAGES	8
#define PAGES		12		/* some past the end */
#define LEN		(PAGES * PAGE)

/* What the program that is saved and the one that restores know of each other. */
static struct {
	int		tid;
	unsigned long	n;		/* of the image */
	unsigned int	valid;		/* pages before the first that gives SIGBUS */
	bool		shorter;	/* the file is, by the time of the restore */
	char		bytes[LEN];	/* of the moment */
	char		why[1024];	/* something else went wrong */
	char		refused[1024];
} *truth;

struct moment {
	enum kind_nr	kind;
	bool		shared;
	bool		incremental;
	bool		later;		/* it happens after the checkpoint */
	const struct event *event;
	char		file[32];	/* in the kind's folder */
	char		name[128];
};

/**
 * struct event - what happens to a mapped file
 * @name: what
 * @fn: does it, in the program if @mem is not NULL and else in another process. Return:
 *	NULL, or why it cannot be had there.
 * @own: the program does it, to its own mapping
 */
struct event {
	const char	*name;
	const char	*(*fn)(const struct moment *m, char *mem);
	bool		own;
};

static sigjmp_buf bus;

static void on_bus(int sig)
{
	siglongjmp(bus, sig);
}

/* Whether the page can be read; its bytes go to @to. */
static bool read_page(const char *page, char *to)
{
	volatile bool good = false;

	if (!sigsetjmp(bus, 1)) {
		memcpy(to, page, PAGE);
		/* not before it is done */
		asm volatile("" : : : "memory");
		good = true;
	}
	return good;
}

static const char *untouched(const struct moment *m, char *mem)
{
	(void)m;
	(void)mem;
	return NULL;
}

static const char *is_read(const struct moment *m, char *mem)
{
	(void)m;
	for (int i = 0; i < FILE_PAGES; i += 2)
		*(volatile char *)(mem + i * PAGE);
	return NULL;
}

static const char *is_written(const struct moment *m, char *mem)
{
	(void)m;
	for (int i = 1; i < FILE_PAGES; i += 3)
		memset(mem + i * PAGE + 10, 'w', 100);
	return NULL;
}

/* Out of our page table, and of memory where it can be had again. */
static const char *is_reclaimed(const struct moment *m, char *mem)
{
	is_read(m, mem);
	is_written(m, mem);
	msync(mem, FILE_PAGES * PAGE, MS_SYNC);
	if (madvise(mem, FILE_PAGES * PAGE, MADV_PAGEOUT))
		return strerror(errno);
	cp_write_file("/proc/sys/vm/drop_caches", "3");
	return NULL;
}

static const char *is_truncated(const struct moment *m, char *mem)
{
	(void)mem;
	return truncate(m->name, 3 * PAGE + 500) ? strerror(errno) : NULL;
}

static const char *is_extended(const struct moment *m, char *mem)
{
	(void)mem;
	return truncate(m->name, 10 * PAGE) ? strerror(errno) : NULL;
}

static const char *write_to(const char *name, int flags, size_t from, size_t len)
{
	static char bytes[FILE_PAGES * PAGE];
	int fd = open(name, O_WRONLY | O_CLOEXEC | flags, 0644);
	ssize_t n;

	memset(bytes, 'o', sizeof(bytes));
	n = fd < 0 ? -1 : pwrite(fd, bytes, len, from);
	if (fd >= 0 && close(fd))
		n = -1;
	return n == (ssize_t)len ? NULL : strerror(errno);
}

static const char *is_replaced(const struct moment *m, char *mem)
{
	char name[160];
	const char *why;

	(void)mem;
	snprintf(name, sizeof(name), "%s.new", m->name);
	why = write_to(name, O_CREAT, 0, FILE_PAGES * PAGE);
	return why ?: rename(name, m->name) ? strerror(errno) : NULL;
}

static const char *is_unlinked(const struct moment *m, char *mem)
{
	(void)mem;
	return unlink(m->name) ? strerror(errno) : NULL;
}

/* The name goes, and the file stays. */
static const char *is_linked(const struct moment *m, char *mem)
{
	char name[160];

	(void)mem;
	snprintf(name, sizeof(name), "%s.link", m->name);
	if (link(m->name, name))
		return "no links there";
	return unlink(m->name) ? strerror(errno) : NULL;
}

static const char *has_link(const struct moment *m, char *mem)
{
	char name[160];

	(void)mem;
	snprintf(name, sizeof(name), "%s.link", m->name);
	return link(m->name, name) ? "no links there" : NULL;
}

static const char *is_written_by_another(const struct moment *m, char *mem)
{
	(void)mem;
	return write_to(m->name, 0, PAGE + 5, 3 * PAGE);
}

/* And looks as before, but for its ctime. */
static const char *is_written_secretly(const struct moment *m, char *mem)
{
	struct timespec times[2];
	const char *why;
	struct stat st;

	if (stat(m->name, &st))
		return strerror(errno);
	why = is_written_by_another(m, mem);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	return why ?: utimensat(AT_FDCWD, m->name, times, 0) ? strerror(errno) : NULL;
}

/* Where it is served from, which no client is told. */
static const char *is_written_remotely(const struct moment *m, char *mem)
{
	char name[160];

	(void)mem;
	if (m->kind != KIND_FUSE && m->kind != KIND_NFS)
		return "nothing is remote there";
	snprintf(name, sizeof(name), "%s.served/%s", kinds[m->kind].folder, m->file);
	return write_to(name, 0, PAGE + 5, 3 * PAGE);
}

/* Its bytes are the same, and nothing else. */
static const char *is_copied_over(const struct moment *m, char *mem)
{
	char name[160];

	(void)mem;
	snprintf(name, sizeof(name), "%s.copy", m->name);
	if (cp_copy(m->name, name))
		return strerror(errno);
	return rename(name, m->name) ? strerror(errno) : NULL;
}

static const struct event events[] = {
	{ "untouched", untouched, true },
	{ "read", is_read, true },
	{ "written", is_written, true },
	{ "reclaimed", is_reclaimed, true },
	{ "truncated", is_truncated, false },
	{ "extended", is_extended, false },
	{ "replaced by rename", is_replaced, false },
	{ "replaced by a copy", is_copied_over, false },
	{ "unlinked", is_unlinked, false },
	{ "unlinked, a link is left", is_linked, false },
	{ "hard-linked", has_link, false },
	{ "written by another", is_written_by_another, false },
	{ "written by another, mtime set back", is_written_secretly, false },
	{ "written remotely", is_written_remotely, false },
};

static char *map_it(const struct moment *m)
{
	int fd = open(m->name, (m->shared ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	char *mem = fd < 0 ? MAP_FAILED : mmap(AT, LEN, RW, MAP_FIXED_NOREPLACE |
					       (m->shared ? MAP_SHARED : MAP_PRIVATE), fd, 0);
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return mem == MAP_FAILED ? NULL : mem;
}

/* By a process of its own, if the program does not do it. Return: why it cannot be. */
static const char *happen(const struct moment *m, char *mem)
{
	const char *why;
	int status;
	pid_t pid;

	truth->refused[0] = 0;
	if (m->event->own) {
		why = m->event->fn(m, mem);
		kind_settle();
		return why;
	}
	pid = fork();
	if (!pid) {
		why = m->event->fn(m, NULL);
		snprintf(truth->refused, sizeof(truth->refused), "%s", why ?: "");
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		return "it crashed";
	kind_settle();
	return truth->refused[0] ? truth->refused : NULL;
}

/* Exit status of the program that is saved. */
enum { SAVED, CANNOT_BE, WENT_WRONG };

#define WRONG(...) do { \
	snprintf(truth->why, sizeof(truth->why), __VA_ARGS__); \
	_exit(WENT_WRONG); \
} while (0)

#define CANNOT(...) do { \
	snprintf(truth->why, sizeof(truth->why), __VA_ARGS__); \
	_exit(CANNOT_BE); \
} while (0)

static void is_saved(void *arg)
{
	const struct moment *m = arg;
	char *mem = map_it(m);
	const char *why;

	if (!mem)
		CANNOT("mmap: %s", strerror(errno));
	truth->tid = getpid();
	truth->n = 0;
	/* The chain's beginning: some pages are in it, some are not. */
	if (m->incremental) {
		*(volatile char *)mem;
		*(volatile char *)(mem + 5 * PAGE);
		if (inc_cp_range(mem, mem + LEN))
			WRONG("inc_cp_range: %s", strerror(errno));
		truth->n++;
	}
	if (!m->later) {
		why = happen(m, mem);
		if (why)
			CANNOT("%s", why);
	}
	if (m->incremental ? inc_cp_range(mem, mem + LEN) : cp_range(mem, mem + LEN))
		WRONG("%s: %s", m->incremental ? "inc_cp_range" : "cp_range",
		      strerror(errno));
	/* Nobody does anything: this is what memory was. */
	for (truth->valid = 0; truth->valid < PAGES; truth->valid++)
		if (!read_page(mem + truth->valid * PAGE,
			       truth->bytes + truth->valid * PAGE))
			break;
	if (m->later) {
		why = happen(m, mem);
		if (why)
			CANNOT("%s", why);
	} else if (!m->event->own && m->shared) {
		/* The program goes on, and the file with it. */
		for (unsigned int i = 0; i < truth->valid; i++)
			mem[i * PAGE] ^= 0x55;
		msync(mem, truth->valid * PAGE, MS_SYNC);
	}
	_exit(SAVED);
}

/* Exit status of the program that restores */
enum { RESTORED, REFUSED, OTHER_BYTES };

static void is_restored(void *arg)
{
	static char page[PAGE];
	const struct moment *m = arg;
	struct cp_restored done = { 0 };
	struct cpimg_error err = { 0 };
	struct cpimg_chain *chain;
	struct stat st;
	char *mem;
	int gone;

	truth->why[0] = 0;
	/* It maps its state where it was; what is gone it makes anew. */
	gone = stat(m->name, &st);
	if (gone)
		close(open(m->name, O_CREAT | O_RDWR, 0644));
	if ((gone || m->shared) && !stat(m->name, &st) &&
	    st.st_size < (off_t)(truth->valid * PAGE) &&
	    truncate(m->name, truth->valid * PAGE))
		WRONG("truncate: %s", strerror(errno));
	truth->shorter = !stat(m->name, &st) &&
			 st.st_size <= (off_t)((truth->valid - 1) * PAGE);
	mem = map_it(m);
	if (!mem)
		WRONG("mapping %s again: %s", m->name, strerror(errno));
	chain = cpimg_chain_open(cp_name(truth->tid, truth->n), NULL, 0, &err);
	if (!chain)
		WRONG("%s", err.text);
	if (cp_restore(chain, cpimg_chain_length(chain) - 1, mem,
		       mem + truth->valid * PAGE, &done, &err)) {
		snprintf(truth->refused, sizeof(truth->refused), "%s", err.text);
		if (done.touched)
			WRONG("refused, with memory touched: %s", err.text);
		_exit(REFUSED);
	}
	for (unsigned int i = 0; i < truth->valid; i++) {
		const char *was = truth->bytes + i * PAGE;
		unsigned int at = 0;

		if (!read_page(mem + i * PAGE, page)) {
			snprintf(truth->why, sizeof(truth->why),
				 "page %u gives SIGBUS, after a success", i);
			_exit(OTHER_BYTES);
		}
		while (at < PAGE && page[at] == was[at])
			at++;
		if (at < PAGE) {
			snprintf(truth->why, sizeof(truth->why),
				 "page %u has 0x%02x at 0x%x, it was 0x%02x, after a success (%llu bytes of images, %llu left to files, %llu zeros)",
				 i, (unsigned char)page[at], at, (unsigned char)was[at],
				 (unsigned long long)done.data,
				 (unsigned long long)done.file,
				 (unsigned long long)done.zeros);
			_exit(OTHER_BYTES);
		}
	}
	_exit(RESTORED);
}

static int status_of(void (*fn)(void *arg), const struct moment *m)
{
	int status = cp_run(fn, (void *)m);

	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

FIXTURE(file_moments) {
};

FIXTURE_VARIANT(file_moments) {
	enum kind_nr	kind;
	bool		shared;
};

#define KIND(name, nr) \
	FIXTURE_VARIANT_ADD(file_moments, private_ ## name) { nr, false }; \
	FIXTURE_VARIANT_ADD(file_moments, shared_ ## name) { nr, true }

KIND(tmpfs, KIND_TMPFS);
KIND(ext4, KIND_EXT4);
KIND(xfs, KIND_XFS);
KIND(lower, KIND_LOWER);
KIND(upper, KIND_UPPER);
KIND(lower_of_tmpfs, KIND_MEMORY_LOWER);
KIND(ninep, KIND_9P);
KIND(ninep_mmap, KIND_9P_MMAP);
KIND(fuse, KIND_FUSE);
KIND(nfs, KIND_NFS);

FIXTURE_SETUP(file_moments)
{
	const char *why = kind_begin(variant->kind);

	if (why)
		SKIP(return, "the guest has no %s: %s", kinds[variant->kind].name, why);
	signal(SIGBUS, on_bus);
	cp_write_file("/sys/kernel/debug/fault_around_bytes", "4096");
	truth = mmap(NULL, sizeof(*truth), RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, truth);
}

FIXTURE_TEARDOWN(file_moments)
{
	chain_remove();
}

TEST_F(file_moments, come_back_or_are_refused)
{
	unsigned int restored = 0, refused = 0, cannot = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(events) * 4; i++) {
		struct moment m = {
			.kind = variant->kind, .shared = variant->shared,
			.event = &events[i / 4], .incremental = i & 1, .later = i & 2,
		};
		char what[256];
		int status;

		if (m.later && m.event->own && m.event->fn != is_written)
			continue;	/* nothing that the file would know of */
		snprintf(m.file, sizeof(m.file), "f%u", i);
		snprintf(m.name, sizeof(m.name), "%s", kind_path(m.kind, m.file));
		snprintf(what, sizeof(what), "%s, %s, %s, %s %s", kinds[m.kind].name,
			 m.shared ? "shared" : "private", m.event->name,
			 m.later ? "after" : "before", m.incremental ? "an incremental image" :
			 "a full image");
		ASSERT_EQ(0, kind_make(m.kind, m.file, FILE_PAGES * PAGE, i))
			TH_LOG("%s: %m", what);
		memset(truth, 0, sizeof(*truth));
		status = status_of(is_saved, &m);
		if (status == CANNOT_BE) {
			TH_LOG("cannot be: %s: %s", what, truth->why);
			cannot++;
			continue;
		}
		EXPECT_EQ(SAVED, status) TH_LOG("%s: %s", what, truth->why);
		if (status != SAVED)
			continue;
		status = status_of(is_restored, &m);
		restored += status == RESTORED;
		refused += status == REFUSED;
		if (status == REFUSED) {
			/* Nothing happened since: there is no reason to. */
			EXPECT_TRUE(m.later || truth->shorter)
				TH_LOG("%s: refused: %s", what, truth->refused);
			EXPECT_NE(NULL, strstr(truth->refused, m.name))
				TH_LOG("%s: %s", what, truth->refused);
		} else {
			EXPECT_EQ(RESTORED, status) TH_LOG("%s: %s", what, truth->why);
		}
		chain_remove();
	}
	TH_LOG("%s, %s: %u restored, %u refused, %u cannot be", kinds[variant->kind].name,
	       variant->shared ? "shared" : "private", restored, refused, cannot);
	EXPECT_LT(0, restored + cannot);
}

TEST_HARNESS_MAIN
