// SPDX-License-Identifier: GPL-2.0
/*
 * damage IMAGE: cut each file of a chain off at every byte of its notes and program
 * headers, and flip each of their bits and of the header's. The chain must then be
 * refused, or say what it said. The files are left as they were, but for a crash.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cpimg.h>
#include <zlib.h>

struct file {
	char		*path;
	unsigned char	*bytes;
	size_t		size;
	size_t		header;		/* bytes of the ELF header */
	size_t		tables;		/* where notes and program headers start */
};

static const char *image;
static uint64_t right;			/* answer */
static unsigned long refused, same, wrong;

static void die(const char *what)
{
	fprintf(stderr, "damage: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t mix(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * 0x9e3779b97f4a7c15 + (sum >> 29);
}

/* All that a checkpoint of the chain says of memory, as one number. */
static bool answer_at(const struct cpimg_chain *chain, size_t index, uint64_t *sum)
{
	const struct cp_note *n = cpimg_note(cpimg_chain_image(chain, index));
	struct cpimg_piece p = { .end = n->start };
	static unsigned char buf[1 << 20];

	*sum = mix(*sum, crc32(0, (const void *)n, offsetof(struct cp_note, crc)));
	while (p.end < n->end) {
		if (cpimg_chain_resolve(chain, index, p.end, &p, NULL))
			return false;
		*sum = mix(*sum, p.start);
		*sum = mix(*sum, p.cls | p.reason << 8 | (uint64_t)p.prot << 40);
		for (uint64_t at = p.start, len; p.cls == CPIMG_DATA && at < p.end;
		     at += len) {
			len = p.end - at < sizeof(buf) ? p.end - at : sizeof(buf);
			if (cpimg_chain_read(chain, index, at, buf, len, NULL))
				return false;
			*sum = mix(*sum, crc32(0, buf, len));
		}
	}
	return true;
}

static bool answer(uint64_t *sum)
{
	struct cpimg_error err;
	struct cpimg_chain *chain = cpimg_chain_open(image, NULL, 0, &err);
	bool good = chain && !cpimg_chain_verify(chain, &err);

	*sum = 0;
	for (size_t i = 0; good && i < cpimg_chain_length(chain); i++)
		good = answer_at(chain, i, sum);
	cpimg_chain_close(chain);
	return good;
}

static void judge(const struct file *f, const char *what, size_t at)
{
	uint64_t sum;

	if (!answer(&sum)) {
		refused++;
	} else if (sum == right) {
		same++;
	} else {
		wrong++;
		printf("# %s: %s %zu: another answer\n", f->path, what, at);
	}
}

static size_t flip(const struct file *f, int fd, size_t from, size_t to)
{
	for (size_t at = from; at < to; at++) {
		for (int bit = 0; bit < 8; bit++) {
			unsigned char b = f->bytes[at] ^ 1 << bit;

			if (pwrite(fd, &b, 1, at) != 1)
				die(f->path);
			judge(f, "flipped a bit of byte", at);
		}
		if (pwrite(fd, &f->bytes[at], 1, at) != 1)
			die(f->path);
	}
	return 8 * (to - from);
}

static size_t cut(const struct file *f, int fd)
{
	size_t cuts = 0;

	for (size_t len = f->size; len--; cuts++) {
		/* within the data a cut a page is enough */
		if (len < f->tables && len > f->header)
			len -= len % 4096 ? len % 4096 : 1;
		if (ftruncate(fd, len))
			die(f->path);
		judge(f, "cut off at", len);
	}
	if (pwrite(fd, f->bytes, f->size, 0) != (ssize_t)f->size)
		die(f->path);
	return cuts;
}

static void load(struct file *f, const char *path)
{
	struct stat st;
	Elf64_Ehdr e;
	Elf32_Ehdr e32;
	int fd = open(path, O_RDONLY);

	f->path = strdup(path);
	if (fd < 0 || fstat(fd, &st))
		die(path);
	f->size = st.st_size;
	f->bytes = malloc(f->size);
	if (read(fd, f->bytes, f->size) != (ssize_t)f->size)
		die(path);
	close(fd);
	memcpy(&e, f->bytes, sizeof(e));
	memcpy(&e32, f->bytes, sizeof(e32));
	/* the first program header says where the notes are */
	if (e.e_ident[EI_CLASS] == ELFCLASS64) {
		Elf64_Phdr p;

		memcpy(&p, f->bytes + e.e_phoff, sizeof(p));
		f->header = sizeof(e);
		f->tables = p.p_offset;
	} else {
		Elf32_Phdr p;

		memcpy(&p, f->bytes + e32.e_phoff, sizeof(p));
		f->header = sizeof(e32);
		f->tables = p.p_offset;
	}
}

static void damage(const char *path)
{
	struct file f;
	size_t cuts, flips;
	int fd = open(path, O_RDWR);

	if (fd < 0)
		die(path);
	load(&f, path);
	cuts = cut(&f, fd);
	flips = flip(&f, fd, 0, f.header) + flip(&f, fd, f.tables, f.size);
	printf("# %s: cut off %zu times, %zu bits flipped\n", path, cuts, flips);
	close(fd);
	free(f.bytes);
	free(f.path);
}

int main(int argc, char **argv)
{
	struct cpimg_chain *chain;
	struct cpimg_error err;
	uint64_t after;
	size_t count;
	char **paths;

	if (argc != 2)
		return 2;
	image = argv[1];
	chain = cpimg_chain_open(image, NULL, 0, &err);
	if (!chain || !answer(&right)) {
		fprintf(stderr, "damage: %s\n", chain ? image : err.text);
		return 2;
	}
	count = cpimg_chain_length(chain);
	paths = calloc(count, sizeof(*paths));
	for (size_t i = 0; i < count; i++)
		paths[i] = strdup(cpimg_path(cpimg_chain_image(chain, i)));
	cpimg_chain_close(chain);
	for (size_t i = 0; i < count; i++) {
		damage(paths[i]);
		free(paths[i]);
	}
	free(paths);
	printf("# refused %lu, the same answer %lu, a wrong one %lu\n", refused, same,
	       wrong);
	/* A test that never damaged anything would not say so otherwise. */
	return wrong || !refused || !answer(&after) || after != right;
}
