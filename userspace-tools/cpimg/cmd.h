/* SPDX-License-Identifier: GPL-2.0 */
/* What the subcommands of cpimg share. */
#ifndef CMD_H
#define CMD_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <cpimg.h>

#include "../libcpimg/internal.h"

/* What cpimg exits with. */
enum {
	CMD_OK		= 0,
	CMD_PROBLEM	= 1,
	CMD_USAGE	= 2,
};

int cmd_show(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_flatten(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_extract(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_prune(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_save(int argc, char **argv);
int cmd_restart(int argc, char **argv);

/*
 * text.c: what is said, and how. Names that come from an image may have anything
 * in them, also what a terminal, JSON or XML would take for commands.
 */
enum escape {
	FOR_TEXT,
	FOR_JSON,
	FOR_XML,
};

extern const char *tool_name;	/* what problem() begins with */

void put_escaped(FILE *to, const char *text, enum escape how);
__attribute__((format(printf, 1, 2)))
int problem(const char *fmt, ...);
int problem_of(const struct cpimg_error *err);
int close_output(FILE *to, const char *path);
const char *human_size(uint64_t bytes, char buf[16]);
const char *prot_text(unsigned int prot, char buf[4]);
const char *base_name(const char *path);
bool parse_number(const char *text, uint64_t *value);

#define HUMAN(bytes)	human_size(bytes, (char [16]){ 0 })
#define PROT(prot)	prot_text(prot, (char [4]){ 0 })

/* The option of all that open chains: the children of their argp. */
extern const struct argp_child dir_children[];

/* saving.c */
void want_time(struct argp_state *state, const char *option, const char *text, double *seconds);
void want_number(struct argp_state *state, const char *option, const char *text,
		 uint64_t *value);
const char *missed_text(unsigned int missed);
const char *save_problem(char *text, size_t size, unsigned long pid, const char *dir, int error);
pid_t prune_aside(const char *image, uint64_t keep);

/* progress.c: long work says how far it is, on a terminal, and can be stopped. */
struct progress {
	const char	*what;
	uint64_t	total;
	uint64_t	done;
	double		shown;
	bool		visible;
};

void progress_hide(void);
void progress_start(struct progress *p, const char *what, uint64_t total);
bool progress_step(struct progress *p, uint64_t bytes);
void progress_end(struct progress *p);
void catch_signals(void);

/* process.c: what the notes say of the program */
struct process {
	char		name[17];	/* empty: not known */
	char		args[81];
	uint32_t	uid;
	uint64_t	sp;		/* 0: not known */
	uint64_t	pc;
	uint64_t	entry;		/* AT_ENTRY */
	uint64_t	vdso;		/* AT_SYSINFO_EHDR */
};

/**
 * struct file_map - a mapped file, from NT_FILE
 * @start: first address
 * @end: address after the last
 * @offset: of @start in the file, in bytes
 * @name: its path, in the image's notes
 */
struct file_map {
	uint64_t	start;
	uint64_t	end;
	uint64_t	offset;
	const char	*name;
};

/**
 * struct mapping - runs that lie together in one mapping, as far as can be told
 * @start: first address
 * @end: address after the last
 * @label: file name, "[stack]", "[anon]", ...; lives as long as the image
 * @prot: its protection
 */
struct mapping {
	uint64_t	start;
	uint64_t	end;
	const char	*label;
	uint8_t		prot;
};

struct process process_of(const struct cpimg *img);
struct file_map *files_of(const struct cpimg *img, size_t *count);
struct mapping *mappings_of(const struct cpimg *img, size_t *count);
const struct mapping *mapping_at(const struct mapping *maps, size_t count,
				 uint64_t addr);

/*
 * view.c: the memory at a checkpoint, and how two of them differ
 */

/**
 * struct view - memory at a checkpoint
 * @chain: the chain
 * @index: the checkpoint
 * @older: what it did not look at is as in the nearest older image
 * @listed: @list is what it says, made by the first function that needs it
 * @list: that, for view_close()
 */
struct view {
	const struct cpimg_chain	*chain;
	size_t				index;
	bool				older;
	bool				listed;
	struct cpimg_list		list;
};

enum change {
	CHANGE_BYTES,		/* the bytes differ: those are given */
	CHANGE_CLASS,		/* one of them has no bytes */
	CHANGE_APPEARED,
	CHANGE_GONE,
};

/*
 * Called for each stretch that differs, in address order. For CHANGE_BYTES it is
 * one page, and @a and @b are its bytes. Not 0: stop.
 */
typedef int change_fn(void *ctx, uint64_t start, uint64_t end,
		      enum change change, const struct cpimg_piece *a,
		      const struct cpimg_piece *b, const unsigned char *bytes_a,
		      const unsigned char *bytes_b);

const struct cpimg *view_image(const struct view *v);
int view_open(struct view *v, uint64_t start, uint64_t end,
	      struct cpimg_error *err);
void view_close(struct view *v);
void view_range(const struct view *v, uint64_t *start, uint64_t *end);
bool view_covers(const struct view *v, uint64_t addr);
struct cp_span *view_areas(const struct view *v, size_t *count);
int view_resolve(struct view *v, uint64_t addr, struct cpimg_piece *p,
		 struct cpimg_error *err);
bool same_mapped(const struct cpimg_mapped *a, const struct cpimg_mapped *b);
int view_data(struct view *v, uint64_t *bytes, struct cpimg_error *err);
int compare_views(struct view *a, struct view *b, struct progress *progress,
		  change_fn *fn, void *ctx, struct cpimg_error *err);

/*
 * new-file.c
 */

/**
 * struct new_file - a file that is being made
 * @fd: it, open for reading and writing
 * @path: its name to be
 * @temporary: its name till then, NULL: none
 * @readable: /proc's name for it
 * @replaces: something has the name, and is to be replaced
 */
struct new_file {
	int	fd;
	char	*path;
	char	*temporary;
	char	readable[32];
	bool	replaces;
};

int new_file_open(struct new_file *f, const char *path, bool replaces);
const char *new_file_name(const struct new_file *f);
int new_file_commit(struct new_file *f);
void new_file_abandon(struct new_file *f);
size_t unfinished_length(const char *name);
typedef bool unfinished_fn(const char *name, size_t len, void *arg);
void remove_unfinished(const char *folder, unfinished_fn *of, void *arg);
char *folder_of(const char *path);
int sync_folder(const char *path);

/* image-write.c */
int write_flat(struct view *v, struct new_file *f, struct cpimg_error *err);
int flatten_to(struct view *v, const char *path, struct cpimg_error *err);
uint64_t image_end(const struct cpimg *img, struct cpimg_error *err);

/* symbols.c */
struct symbol {
	const char	*name;
	uint64_t	start;
	uint64_t	end;
	uint64_t	changed;	/* bytes */
};

struct symbols;

struct symbols *symbols_load(const char *const *programs, size_t count,
			     const struct cpimg *img);
void symbols_count(struct symbols *s, uint64_t addr, const unsigned char *a,
		   const unsigned char *b, size_t len);
void symbols_print(const struct symbols *s, FILE *to);
void symbols_free(struct symbols *s);

#endif /* CMD_H */
