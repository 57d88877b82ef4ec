// SPDX-License-Identifier: GPL-2.0
/*
 * Which symbols of a program changed bytes belong to. Where the program was
 * loaded is found in the image's notes.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gelf.h>

#include "cmd.h"

struct symbols {
	struct symbol	*sym;		/* by address, none within another */
	size_t		count, space;
	uint64_t	outside;	/* bytes changed in no symbol */
};

struct program {
	const char	*path;
	Elf		*elf;
	GElf_Ehdr	ehdr;
};

/* The address that the file's first PT_LOAD asks for, as a page's. */
static bool first_load(const struct program *p, uint64_t *vaddr)
{
	size_t count;
	GElf_Phdr ph;

	if (elf_getphdrnum(p->elf, &count))
		return false;
	for (size_t i = 0; i < count && gelf_getphdr(p->elf, i, &ph); i++) {
		if (ph.p_type != PT_LOAD)
			continue;
		*vaddr = (ph.p_vaddr - ph.p_offset) & ~(uint64_t)4095;
		return true;
	}
	return false;
}

static bool names_program(const struct file_map *file, const struct program *p)
{
	return !strcmp(base_name(file->name), base_name(p->path));
}

/* With @bias, every PT_LOAD begins where the image says that the file is mapped. */
static bool fits(const struct program *p, const struct file_map *files, size_t count,
		 uint64_t bias)
{
	size_t nr, i;
	GElf_Phdr ph;

	if (elf_getphdrnum(p->elf, &nr))
		return false;
	for (size_t k = 0; k < nr && gelf_getphdr(p->elf, k, &ph); k++) {
		uint64_t addr = ph.p_vaddr + bias;

		if (ph.p_type != PT_LOAD || !ph.p_filesz)
			continue;
		for (i = 0; i < count; i++) {
			if (addr >= files[i].start && addr < files[i].end &&
			    names_program(&files[i], p))
				break;
		}
		if (i == count)
			return false;
	}
	return true;
}

/*
 * What to add to the file's addresses. The auxiliary vector knows it of the program,
 * and the mapped files of libraries; a program may also map its own file as data. One
 * that has another name here is taken for the program.
 */
static bool find_bias(const struct program *p, const struct cpimg *img,
		      uint64_t *bias)
{
	struct process proc = process_of(img);
	uint64_t by_entry = proc.entry - p->ehdr.e_entry, vaddr;
	bool entry = proc.entry && p->ehdr.e_entry && !(by_entry & 4095);
	size_t count;
	struct file_map *files = files_of(img, &count);
	bool found = p->ehdr.e_type == ET_EXEC;

	*bias = 0;
	if (!found && entry) {
		*bias = by_entry;
		found = fits(p, files, count, *bias);
	}
	for (size_t i = 0; !found && first_load(p, &vaddr) && i < count; i++) {
		*bias = files[i].start - vaddr;
		found = !files[i].offset && names_program(&files[i], p) &&
			fits(p, files, count, *bias);
	}
	free(files);
	if (found || !entry)
		return found;
	*bias = by_entry;
	return true;
}

static bool add_symbol(struct symbols *s, const char *name, uint64_t start,
		       uint64_t size)
{
	char *copy;

	if (s->count == s->space) {
		size_t space = s->space ? 2 * s->space : 256;
		void *more = realloc(s->sym, space * sizeof(*s->sym));

		if (!more)
			return false;
		s->sym = more;
		s->space = space;
	}
	copy = strdup(name);
	if (!copy)
		return false;
	s->sym[s->count++] = (struct symbol) {
		.name = copy, .start = start, .end = start + size,
	};
	return true;
}

static bool wanted(const GElf_Sym *sym)
{
	unsigned int type = GELF_ST_TYPE(sym->st_info);

	return (type == STT_OBJECT || type == STT_FUNC || type == STT_COMMON) &&
	       sym->st_shndx != SHN_UNDEF && sym->st_size &&
	       sym->st_value + sym->st_size > sym->st_value;
}

static bool add_table(struct symbols *s, const struct program *p, Elf_Scn *scn,
		      const GElf_Shdr *sh, uint64_t bias)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	GElf_Sym sym;

	for (int i = 0; data && gelf_getsym(data, i, &sym); i++) {
		const char *name = elf_strptr(p->elf, sh->sh_link, sym.st_name);
		uint64_t start = sym.st_value + bias;

		if (!name || !wanted(&sym) || start + sym.st_size < start)
			continue;
		if (!add_symbol(s, name, start, sym.st_size))
			return false;
	}
	return true;
}

/* The full table, or else that of the dynamic linker. */
static int add_program(struct symbols *s, const struct program *p,
		       const struct cpimg *img)
{
	static const unsigned int tables[] = { SHT_SYMTAB, SHT_DYNSYM };
	size_t before = s->count;
	uint64_t bias;

	if (!gelf_getehdr(p->elf, (GElf_Ehdr *)&p->ehdr) ||
	    (p->ehdr.e_type != ET_EXEC && p->ehdr.e_type != ET_DYN))
		return problem("%s: no program", p->path);
	if (gelf_getclass(p->elf) != (cpimg_bits(img) == 64 ? ELFCLASS64 : ELFCLASS32))
		return problem("%s: not a program of %d bits, as %s is", p->path,
			       cpimg_bits(img), cpimg_path(img));
	if (!find_bias(p, img, &bias))
		return problem("%s: %s does not say where it was loaded", p->path,
			       cpimg_path(img));
	for (size_t i = 0; i < 2 && s->count == before; i++) {
		Elf_Scn *scn = NULL;
		GElf_Shdr sh;

		while ((scn = elf_nextscn(p->elf, scn))) {
			if (!gelf_getshdr(scn, &sh) || sh.sh_type != tables[i])
				continue;
			if (!add_table(s, p, scn, &sh, bias))
				return problem("%s: no memory", p->path);
		}
	}
	return s->count > before ? 0 : problem("%s: has no symbols", p->path);
}

static int load_one(struct symbols *s, const char *path, const struct cpimg *img)
{
	struct program p = { .path = path };
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return problem("%s: opening: %s", path, strerror(errno));
	elf_version(EV_CURRENT);
	p.elf = elf_begin(fd, ELF_C_READ, NULL);
	ret = p.elf ? add_program(s, &p, img) :
	      problem("%s: %s", path, elf_errmsg(-1));
	elf_end(p.elf);
	close(fd);
	return ret;
}

static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->end > y->end ? -1 : x->end < y->end;
}

/* A second name for what is within another symbol would count twice. */
static void drop_aliases(struct symbols *s)
{
	size_t kept = 0;

	if (s->count)
		qsort(s->sym, s->count, sizeof(*s->sym), by_address);
	for (size_t i = 0; i < s->count; i++) {
		if (kept && s->sym[i].end <= s->sym[kept - 1].end)
			free((char *)s->sym[i].name);
		else
			s->sym[kept++] = s->sym[i];
	}
	s->count = kept;
}

/**
 * symbols_load() - the symbols of programs and libraries
 * @programs: their files
 * @count: how many
 * @img: an image of the process
 *
 * Return: for symbols_free(), or NULL; then problem() has said why.
 */
struct symbols *symbols_load(const char *const *programs, size_t count,
			     const struct cpimg *img)
{
	struct symbols *s = calloc(1, sizeof(*s));

	for (size_t i = 0; s && i < count; i++) {
		if (load_one(s, programs[i], img)) {
			symbols_free(s);
			return NULL;
		}
	}
	if (s)
		drop_aliases(s);
	else
		problem("no memory");
	return s;
}

/* The first symbol that ends above @addr. */
static size_t symbol_after(const struct symbols *s, uint64_t addr)
{
	size_t low = 0, high = s->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->sym[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Count each byte of [@addr, @addr + @len) that is not the same in @a and @b. */
void symbols_count(struct symbols *s, uint64_t addr, const unsigned char *a,
		   const unsigned char *b, size_t len)
{
	size_t k = symbol_after(s, addr);

	for (size_t i = 0; i < len; i++) {
		if (a[i] == b[i])
			continue;
		while (k < s->count && s->sym[k].end <= addr + i)
			k++;
		if (k < s->count && s->sym[k].start <= addr + i)
			s->sym[k].changed++;
		else
			s->outside++;
	}
}

void symbols_print(const struct symbols *s, FILE *to)
{
	fprintf(to, "\n  %-18s %10s %10s  symbol\n", "address", "changed", "of bytes");
	for (size_t i = 0; i < s->count; i++) {
		const struct symbol *sym = &s->sym[i];

		if (!sym->changed)
			continue;
		fprintf(to, "  0x%016" PRIx64 " %10" PRIu64 " %10" PRIu64 "  ",
			sym->start, sym->changed, sym->end - sym->start);
		put_escaped(to, sym->name, FOR_TEXT);
		fputc('\n', to);
	}
	fprintf(to, "  %-18s %10" PRIu64 " %10s  in no symbol\n", "", s->outside, "");
}

void symbols_free(struct symbols *s)
{
	for (size_t i = 0; s && i < s->count; i++)
		free((char *)s->sym[i].name);
	if (s)
		free(s->sym);
	free(s);
}
