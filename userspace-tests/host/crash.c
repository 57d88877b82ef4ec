// SPDX-License-Identifier: GPL-2.0
/*
 * crash LOG DISK SEED: the power fails at a moment that SEED chooses. DISK, as it was
 * before the guest started, becomes what a disk with a volatile cache may then have:
 * all that was written before the last flush, and of what was written since nothing,
 * all, or some at random: writes, or single sectors. LOG is of QEMU's blklogwrites,
 * the format of dm-log-writes: Documentation/admin-guide/device-mapper/log-writes.rst
 *
 * Says: PID FIRST SYNCED SAVED of the last mark (lib/crash.h) that the disk had taken,
 * then how many sectors were lost, of how many not flushed. Every other seed chooses a
 * moment right after a mark: the first at which what it promises must hold.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crash.h"

#define LOG_MAGIC	0x6a736677736872ULL
#define FLUSH		1
#define FUA		2
#define DISCARD		4
#define SECTOR		512

struct super {
	uint64_t	magic, version, nr_entries;
	uint32_t	sector_size;
};

/* Fills a sector; its data follows. In the order in which writes were completed. */
struct entry {
	uint64_t	sector, nr_sectors, flags, data_len;
};

struct file {
	char	*bytes;
	size_t	size;
};

static struct file log_file, disk;
static struct entry **entries;
static size_t nr_entries;

static void die(const char *name, const char *why)
{
	fprintf(stderr, "crash: %s: %s\n", name, why);
	exit(2);
}

static struct file map_file(const char *name, int flags, int prot)
{
	int fd = open(name, flags);
	struct file f = { MAP_FAILED, 0 };
	struct stat st;

	if (fd >= 0 && !fstat(fd, &st)) {
		f.size = st.st_size;
		f.bytes = mmap(NULL, f.size, prot, MAP_SHARED, fd, 0);
		close(fd);
	}
	if (f.bytes == MAP_FAILED)
		die(name, strerror(errno));
	return f;
}

static void read_log(const char *name)
{
	const struct super *s = (void *)log_file.bytes;
	size_t at = SECTOR;

	if (log_file.size < SECTOR || le64toh(s->magic) != LOG_MAGIC ||
	    le64toh(s->version) != 1 || le32toh(s->sector_size) != SECTOR)
		die(name, "is no log of writes");
	nr_entries = le64toh(s->nr_entries);
	if (!nr_entries || nr_entries > log_file.size / SECTOR)
		die(name, "has no entries");
	entries = calloc(nr_entries, sizeof(*entries));
	for (size_t i = 0; i < nr_entries; i++) {
		struct entry *e = entries[i] = (void *)(log_file.bytes + at);
		uint64_t n;

		if (at > log_file.size - SECTOR)
			die(name, "ends too early");
		n = le64toh(e->flags) & DISCARD ? 0 : le64toh(e->nr_sectors);
		if (n > (log_file.size - at) / SECTOR - 1 ||
		    n > disk.size / SECTOR || le64toh(e->sector) > disk.size / SECTOR - n)
			die(name, "has an entry that does not fit");
		at += (1 + n) * SECTOR;
	}
}

static const char *data_of(const struct entry *e)
{
	return (const char *)e + SECTOR;
}

static const struct crash_mark *mark_of(const struct entry *e)
{
	const struct crash_mark *m = (const void *)data_of(e);

	return !(le64toh(e->flags) & DISCARD) && le64toh(e->nr_sectors) &&
	       !memcmp(m->magic, CRASH_MAGIC, sizeof(m->magic)) ? m : NULL;
}

static size_t after_a_mark(void)
{
	size_t marks = 0, which;

	for (size_t i = 0; i < nr_entries; i++)
		marks += !!mark_of(entries[i]);
	if (!marks)
		die("the log", "has no marks");
	which = random() % marks;
	for (size_t i = 0; i < nr_entries; i++)
		if (mark_of(entries[i]) && !which--)
			return i + 1;
	return nr_entries;
}

/* What becomes of writes that no flush came after. */
enum fate { LOST, KEPT, SOME_WRITES, SOME_SECTORS };

static bool coin(void)
{
	return random() >> 7 & 1;
}

/* Return: how many sectors were lost. */
static uint64_t apply(const struct entry *e, enum fate fate)
{
	uint64_t lost = 0;
	bool keep = fate == KEPT || (fate == SOME_WRITES && coin());

	if (le64toh(e->flags) & DISCARD)
		return 0;
	for (uint64_t i = 0; i < le64toh(e->nr_sectors); i++) {
		if (keep || (fate == SOME_SECTORS && coin()))
			memcpy(disk.bytes + (le64toh(e->sector) + i) * SECTOR,
			       data_of(e) + i * SECTOR, SECTOR);
		else
			lost++;
	}
	return lost;
}

int main(int argc, char **argv)
{
	static const struct crash_mark none;
	const struct crash_mark *mark = &none, *m;
	size_t moment, flushed = 0;
	uint64_t lost = 0, unflushed = 0;
	unsigned long seed;
	enum fate fate;

	if (argc != 4)
		die("usage", "crash LOG DISK SEED");
	log_file = map_file(argv[1], O_RDONLY, PROT_READ);
	disk = map_file(argv[2], O_RDWR, PROT_READ | PROT_WRITE);
	read_log(argv[1]);

	seed = strtoul(argv[3], NULL, 0);
	srandom(seed);
	moment = seed % 2 ? after_a_mark() : random() % (nr_entries + 1);
	fate = random() % 4;
	for (size_t i = 0; i < moment; i++) {
		if (le64toh(entries[i]->flags) & FLUSH)
			flushed = i;
		m = mark_of(entries[i]);
		mark = m ?: mark;
	}
	for (size_t i = 0; i < moment; i++) {
		bool safe = i < flushed || le64toh(entries[i]->flags) & FUA;

		unflushed += safe ? 0 : le64toh(entries[i]->nr_sectors);
		lost += apply(entries[i], safe ? KEPT : fate);
	}
	printf("%lu %lu %lu %lu  %lu of %lu sectors lost, at write %zu of %zu\n", mark->pid,
	       mark->first, mark->synced, mark->saved, lost, unflushed, moment, nr_entries);
	return 0;
}
