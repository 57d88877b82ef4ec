// SPDX-License-Identifier: GPL-2.0
/* What an image says of mapped files, and the memory that it leaves to them. */
#include <sys/sysmacros.h>

#include "mapped.h"
#include "say.h"

static const char *parts(const struct cp_files *files, size_t at, size_t nr, size_t size)
{
	return (const char *)files + at + nr * size;
}

/* The note, when all of it is there and every name in it ends. */
const char *mapped_files(const struct cpimg *img, const struct cp_files **files,
			 size_t *size)
{
	const struct cp_files *f;
	struct cpimg_elfnote en;
	size_t whole;

	*files = NULL;
	if (!cpimg_find_note(img, CP_NOTE_OWNER, CP_FILES_TYPE, &en))
		return say("%s does not say which files are mapped", cpimg_path(img));
	f = en.desc;
	if (en.size < sizeof(*f) || f->version != CP_FILES_VERSION ||
	    f->file_size < sizeof(struct cp_file) || f->map_size < sizeof(struct cp_map))
		return say("%s: note of files: %zu bytes, version %u, %u a file, %u a mapping",
			   cpimg_path(img), en.size, f->version, f->file_size, f->map_size);
	whole = sizeof(*f) + (size_t)f->nr_files * f->file_size +
		(size_t)f->nr_maps * f->map_size + f->names_size;
	if (en.size < whole || en.size > whole + 3)
		return say("%s: note of files has %zu bytes, its parts %zu",
			   cpimg_path(img), en.size, whole);
	if (f->nr_files && (!f->names_size || ((const char *)f)[whole - 1]))
		return say("%s: note of files: the last name has no end", cpimg_path(img));
	*files = f;
	*size = en.size;
	return NULL;
}

static const char *fill(const struct cp_files *f, unsigned int nth, struct mapped *out)
{
	size_t maps = sizeof(*f) + (size_t)f->nr_files * f->file_size;
	const struct cp_map *map = (const void *)parts(f, maps, nth, f->map_size);

	if (map->file >= f->nr_files)
		return say("mapping %u is of file %u of %u", nth, map->file, f->nr_files);
	out->start = map->start;
	out->end = map->end;
	out->offset = map->offset;
	out->file = (const void *)parts(f, sizeof(*f), map->file, f->file_size);
	if (out->file->name >= f->names_size)
		return say("file %u: its name is at %u of %u", map->file,
			   out->file->name, f->names_size);
	out->name = parts(f, maps, f->nr_maps, f->map_size) + out->file->name;
	return NULL;
}

/* The @nth mapping of the image. */
const char *mapped_nth(const struct cpimg *img, unsigned int nth, struct mapped *out)
{
	const struct cp_files *files;
	size_t size;
	const char *why = mapped_files(img, &files, &size);

	if (why)
		return why;
	if (nth >= files->nr_maps)
		return say("%s: mapping %u of %u", cpimg_path(img), nth, files->nr_maps);
	return fill(files, nth, out);
}

/* The mapping at @mem. */
const char *mapped_at(const struct cpimg *img, const void *mem, struct mapped *out)
{
	const struct cp_files *files;
	unsigned int low = 0, high;
	size_t size;
	const char *why = mapped_files(img, &files, &size);

	if (why)
		return why;
	/* In address order: the first that ends behind it. */
	for (high = files->nr_maps; low < high; ) {
		unsigned int middle = low + (high - low) / 2;

		why = fill(files, middle, out);
		if (why)
			return why;
		if (out->end <= (uintptr_t)mem)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < files->nr_maps) {
		why = fill(files, low, out);
		if (why || (out->start <= (uintptr_t)mem && (uintptr_t)mem < out->end))
			return why;
	}
	return say("%s has no mapping of a file at %p, of %u", cpimg_path(img), mem,
		   files->nr_maps);
}

/* Every field is what stat(2) gives. */
const char *mapped_is_file(const struct cp_file *file, const struct stat *st)
{
	if (file->ino != st->st_ino)
		return say("inode %llu, stat says %llu", (unsigned long long)file->ino,
			   (unsigned long long)st->st_ino);
	if (file->size != (uint64_t)st->st_size)
		return say("size %llu, stat says %llu", (unsigned long long)file->size,
			   (unsigned long long)st->st_size);
	if (file->dev_major != major(st->st_dev) || file->dev_minor != minor(st->st_dev))
		return say("device %u:%u, stat says %u:%u", file->dev_major,
			   file->dev_minor, major(st->st_dev), minor(st->st_dev));
	if (file->mtime_sec != st->st_mtim.tv_sec ||
	    file->mtime_nsec != (uint32_t)st->st_mtim.tv_nsec)
		return say("mtime %lld.%09u, stat says %lld.%09ld",
			   (long long)file->mtime_sec, file->mtime_nsec,
			   (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	if (file->ctime_sec != st->st_ctim.tv_sec ||
	    file->ctime_nsec != (uint32_t)st->st_ctim.tv_nsec)
		return say("ctime %lld.%09u, stat says %lld.%09ld",
			   (long long)file->ctime_sec, file->ctime_nsec,
			   (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
	return NULL;
}

/*
 * What a hole that reads from a file is, as a reader finds it out: from the file that
 * the image names, if it is the same still.
 */
const char *mapped_read(const struct cpimg *img, uint64_t addr, void *buf, size_t len)
{
	struct mapped m;
	struct stat st;
	const char *why = mapped_at(img, (void *)(uintptr_t)addr, &m);
	ssize_t n;
	int fd;

	if (why)
		return why;
	if (!(m.file->flags & CP_FILE_STAYS))
		return say("0x%" PRIx64 " is left to %s, which is not said to stay", addr,
			   m.name);
	if (len > m.end - addr)
		return say("0x%" PRIx64 ", %zu bytes: not in one mapping", addr, len);
	fd = open(m.name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return say("0x%" PRIx64 " is left to %s: %s", addr, m.name, strerror(errno));
	/* The last page goes on with zeros. */
	memset(buf, 0, len);
	n = fstat(fd, &st) ? -1 : pread(fd, buf, len, m.offset + (addr - m.start));
	close(fd);
	if (n < 0)
		return say("reading %s: %s", m.name, strerror(errno));
	why = mapped_is_file(m.file, &st);
	if (why) {
		char saw[256];

		snprintf(saw, sizeof(saw), "%s", why);
		return say("0x%" PRIx64 " is left to %s, which is another now: %s", addr,
			   m.name, saw);
	}
	return NULL;
}

/*
 * The chain's newest checkpoint is @bytes at @mem: of images, zeros, or in files that
 * are what they were.
 */
const char *mapped_matches(const struct chain *c, const void *mem, const void *bytes,
			   size_t len)
{
	static __thread char found[PAGE];
	size_t index = cpimg_chain_length(c->all) - 1;
	struct cpimg_piece piece;
	struct cpimg_error err;

	for (size_t at = 0; at < len; at += PAGE) {
		uint64_t addr = (uintptr_t)mem + at;
		const char *want = (const char *)bytes + at, *why;
		size_t i = 0;

		if (cpimg_chain_resolve(c->all, index, addr, &piece, &err))
			return say("%s", err.text);
		if (piece.cls == CPIMG_HOLE && piece.reason == CP_HOLE_FILE) {
			why = mapped_read(piece.img, addr, found, PAGE);
			if (why)
				return why;
		} else if (piece.cls == CPIMG_DATA || piece.cls == CPIMG_HOLE) {
			if (cpimg_pread(piece.img, addr, found, PAGE, &err))
				return say("%s", err.text);
		} else {
			return say("page %lu is %s %u", at / PAGE,
				   cpimg_class_name(piece.cls), piece.reason);
		}
		while (i < PAGE && found[i] == want[i])
			i++;
		if (i < PAGE)
			return say("page %lu of %lu: %s%s of %s has 0x%02x at 0x%zx, memory had 0x%02x",
				   at / PAGE, len / PAGE, cpimg_class_name(piece.cls),
				   piece.cls == CPIMG_HOLE && piece.reason ? " (the file)" : "",
				   cpimg_path(piece.img), (unsigned char)found[i], i,
				   (unsigned char)want[i]);
	}
	return NULL;
}

/*
 * The mappings of files are those that /proc/PID/maps has in the image's ranges, with
 * its names. @pid must stand still.
 */
const char *mapped_is_maps(const struct cpimg *img, int pid)
{
	char path[64], line[8192];
	const char *why = NULL;
	unsigned int n = 0;
	struct mapped m;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return say("%s: %s", path, strerror(errno));
	while (!why && fgets(line, sizeof(line), f)) {
		unsigned long long start, end, offset, ino;
		unsigned int major, minor;
		uint64_t from, to;
		int name = 0;

		if (sscanf(line, "%llx-%llx %*s %llx %x:%x %llu %n", &start, &end, &offset,
			   &major, &minor, &ino, &name) != 6 || !name)
			why = say("%s: %s", path, line);
		line[strcspn(line, "\n")] = 0;
		/* Anonymous memory, vdso, ... */
		from = start;
		if (why || !(major || minor || ino) || !cp_looked_at(img, &from, end, &to))
			continue;
		why = mapped_nth(img, n++, &m);
		if (!why && (m.start != start || m.end != end || m.offset != offset))
			why = say("mapping %u is 0x%llx-0x%llx, offset 0x%llx, not as in %s",
				  n - 1, (unsigned long long)m.start,
				  (unsigned long long)m.end,
				  (unsigned long long)m.offset, line);
		else if (!why && strcmp(m.name, line + name))
			why = say("mapping %u is of %s, not as in %s", n - 1, m.name, line);
	}
	fclose(f);
	if (!why && !mapped_nth(img, n, &m))
		why = say("mapping %u, 0x%llx-0x%llx of %s, is not in %s", n,
			  (unsigned long long)m.start, (unsigned long long)m.end, m.name,
			  path);
	return why;
}
