// SPDX-License-Identifier: GPL-2.0
/*
 * sync_loop IMAGES SEED: chains of incremental checkpoints in a /tmp that is on
 * /disk. Now and then the images are synced; when a newer chain is, the one before
 * is removed, so that its blocks are used again. What is done is told by marks that
 * go straight to the disk: see lib/crash.h.
 */
#include <sys/mount.h>

#include "cp_test.h"
#include "crash.h"

static struct crash_mark *mark;
static int mark_fd;

/* Returns when the disk has taken it; whether that outlives a crash is no matter. */
static bool put_mark(void)
{
	return pwrite(mark_fd, mark, PAGE, 0) == PAGE;
}

static bool init(void)
{
	const char *name = "/disk/mark";
	int fd;

	mark = cp_map(PAGE);
	/* Blocks of its own, or O_DIRECT would not be all there is to a mark. */
	fd = open(name, O_CREAT | O_WRONLY, 0600);
	if (!mark || fd < 0 || write(fd, mark, PAGE) != PAGE || fsync(fd) || close(fd))
		return false;
	mark_fd = open(name, O_WRONLY | O_DIRECT | O_CLOEXEC);
	memcpy(mark->magic, CRASH_MAGIC, sizeof(mark->magic));
	mark->pid = getpid();
	/* Much of what nobody has synced yet is on its way to the disk, too. */
	cp_write_file("/proc/sys/vm/dirty_writeback_centisecs", "3");
	cp_write_file("/proc/sys/vm/dirty_expire_centisecs", "5");
	return mark_fd >= 0 && !mount("/disk", "/tmp", NULL, MS_BIND, NULL) &&
	       cp_map_at(CRASH_MEM, CRASH_PAGES * PAGE);
}

static bool save(uint64_t n)
{
	char *end = CRASH_MEM + CRASH_PAGES * PAGE;

	for (uint64_t page = 0; page < CRASH_PAGES; page++) {
		uint64_t *words = (uint64_t *)(CRASH_MEM + page * PAGE);

		for (unsigned int i = 0; crash_changes(page, n) && i < CRASH_WORDS; i++)
			words[i] = crash_word(page, n, i);
	}
	if (n % CRASH_CHAIN ? inc_cp_range(CRASH_MEM, end) : cp_range(CRASH_MEM, end))
		return false;
	mark->saved = n + 1;
	return put_mark();
}

static bool sync_all(void)
{
	for (uint64_t n = mark->synced; n < mark->saved; n++)
		if (cp_sync(getpid(), n))
			return false;
	mark->synced = mark->saved;
	return put_mark();
}

/* The chains before the newest, which is synced. */
static bool remove_old(void)
{
	uint64_t n = mark->first;

	mark->first = (mark->saved - 1) / CRASH_CHAIN * CRASH_CHAIN;
	if (!put_mark())
		return false;
	for (; n < mark->first; n++)
		if (unlink(cp_name(getpid(), n)))
			return false;
	return true;
}

int main(int argc, char **argv)
{
	uint64_t images = argc > 1 ? strtoul(argv[1], NULL, 0) : 10;
	bool good;

	srand(argc > 2 ? strtoul(argv[2], NULL, 0) : 1);
	good = init();
	for (uint64_t n = 0; good && n < images; n++) {
		good = save(n);
		if (good && rand() % 4 == 0)
			good = sync_all() && remove_old();
		usleep(rand() % 20000);
	}
	if (!good)
		printf("# sync_loop, image %" PRIu64 ": %m\n", mark->saved);
	return !good;
}
