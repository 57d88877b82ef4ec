// SPDX-License-Identifier: GPL-2.0
/* cpimg diff: which pages differ between two checkpoints. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

#define MAX_PROGRAMS	64

struct diff {
	const char	*images[2], *dir;
	const char	*programs[MAX_PROGRAMS];
	size_t		nr_images, nr_programs;
	bool		verbose;
};

/* Pages that differ, by what became of them. */
struct counts {
	uint64_t	bytes[CHANGE_GONE + 1];
};

/* A list of lines is kept until the mapping's own line is printed. */
struct stretch {
	uint64_t	start, end;
	enum change	change;
	char		what[48];
};

struct report {
	struct view		a, b;
	struct symbols		*symbols;
	bool			verbose;
	struct mapping		*maps[2];
	size_t			nr_maps[2];
	struct mapping		current;	/* end 0: none yet */
	struct counts		here, all;
	uint64_t		unknown;	/* bytes */
	struct stretch		*list;
	size_t			nr_list, space;
	uint64_t		page;
};

static const char *const change_names[] = {
	[CHANGE_BYTES]		= "written",
	[CHANGE_CLASS]		= "other class",
	[CHANGE_APPEARED]	= "new",
	[CHANGE_GONE]		= "gone",
};

static uint64_t sum(const struct counts *c)
{
	uint64_t all = 0;

	for (size_t i = 0; i <= CHANGE_GONE; i++)
		all += c->bytes[i];
	return all;
}

static void print_counts(const struct report *r, const struct counts *c)
{
	const char *comma = "";

	for (size_t i = 0; i <= CHANGE_GONE; i++) {
		if (!c->bytes[i])
			continue;
		printf("%s%" PRIu64 " %s", comma, c->bytes[i] / r->page,
		       change_names[i]);
		comma = ", ";
	}
}

/* The mapping is done: its line, and those of its stretches. */
static void end_mapping(struct report *r)
{
	if (!sum(&r->here))
		return;
	printf("  %012" PRIx64 "-%012" PRIx64 " %s %8" PRIu64 " of %-8" PRIu64 " ",
	       r->current.start, r->current.end, PROT(r->current.prot),
	       sum(&r->here) / r->page,
	       (r->current.end - r->current.start) / r->page);
	put_escaped(stdout, r->current.label, FOR_TEXT);
	fputs(" (", stdout);
	print_counts(r, &r->here);
	puts(")");
	for (size_t i = 0; i < r->nr_list; i++)
		printf("      %012" PRIx64 "-%012" PRIx64 " %6" PRIu64 " %s\n",
		       r->list[i].start, r->list[i].end,
		       (r->list[i].end - r->list[i].start) / r->page,
		       r->list[i].what);
	r->nr_list = 0;
	for (size_t i = 0; i <= CHANGE_GONE; i++) {
		r->all.bytes[i] += r->here.bytes[i];
		r->here.bytes[i] = 0;
	}
}

/* The mapping of @addr: of the newer checkpoint, else the older, else just this. */
static struct mapping mapping_of(const struct report *r, uint64_t addr,
				 uint64_t end)
{
	for (int i = 1; i >= 0; i--) {
		const struct mapping *m = mapping_at(r->maps[i], r->nr_maps[i], addr);

		if (m)
			return *m;
	}
	return (struct mapping) { .start = addr, .end = end, .label = "" };
}

static const char *class_text(const struct cpimg_piece *p)
{
	return p->cls == CPIMG_HOLE ? cpimg_hole_name(p->reason) :
	       p->cls == CPIMG_DATA ? "bytes" : cpimg_class_name(p->cls);
}

static void describe(struct stretch *s, const struct cpimg_piece *a,
		     const struct cpimg_piece *b)
{
	if (s->change == CHANGE_CLASS)
		snprintf(s->what, sizeof(s->what), "%s, now %s", class_text(a),
			 class_text(b));
	else if (s->change == CHANGE_BYTES && b->cls == CPIMG_HOLE)
		strcpy(s->what, "discarded: zeros now");
	else if (s->change == CHANGE_BYTES && a->cls == CPIMG_HOLE)
		strcpy(s->what, "written for the first time");
	else
		strcpy(s->what, change_names[s->change]);
}

/* Its bytes are not here. */
static bool from_file(const struct cpimg_piece *p)
{
	return p->cls == CPIMG_HOLE && p->reason == CP_HOLE_FILE;
}

static bool list_stretch(struct report *r, struct stretch s)
{
	struct stretch *last = r->nr_list ? &r->list[r->nr_list - 1] : NULL;

	if (last && last->end == s.start && !strcmp(last->what, s.what)) {
		last->end = s.end;
		return true;
	}
	if (r->nr_list == r->space) {
		size_t space = r->space ? 2 * r->space : 64;
		void *more = realloc(r->list, space * sizeof(*r->list));

		if (!more)
			return false;
		r->list = more;
		r->space = space;
	}
	r->list[r->nr_list++] = s;
	return true;
}

static int on_change(void *ctx, uint64_t start, uint64_t end, enum change change,
		     const struct cpimg_piece *a, const struct cpimg_piece *b,
		     const unsigned char *bytes_a, const unsigned char *bytes_b)
{
	struct report *r = ctx;

	/* Not mapped is one thing, not looked at another. */
	if (!view_covers(&r->a, start) || !view_covers(&r->b, start))
		return 0;
	if (change == CHANGE_CLASS && (from_file(a) || from_file(b))) {
		r->unknown += end - start;
		return 0;
	}
	if (bytes_a && r->symbols)
		symbols_count(r->symbols, start, bytes_a, bytes_b, end - start);
	/* a stretch that appears may be of several mappings */
	for (uint64_t next; start < end; start = next) {
		struct stretch s = { .start = start, .change = change };

		if (start >= r->current.end) {
			end_mapping(r);
			r->current = mapping_of(r, start, end);
		}
		next = end < r->current.end ? end : r->current.end;
		r->here.bytes[change] += next - start;
		s.end = next;
		describe(&s, a, b);
		if (r->verbose && !list_stretch(r, s))
			return 1;
	}
	return 0;
}

static int compare(struct report *r)
{
	struct progress progress;
	struct cpimg_error err;
	uint64_t bytes;
	int ret;

	if (view_data(&r->b, &bytes, &err))
		return problem_of(&err);
	progress_start(&progress, "comparing", bytes);
	/* what is printed on the way would mix with the progress */
	progress.visible = progress.visible && !r->verbose;
	ret = compare_views(&r->a, &r->b, &progress, on_change, r, &err);
	progress_end(&progress);
	if (ret < 0)
		return problem_of(&err);
	if (ret > 0)
		return problem("no memory");
	end_mapping(r);
	printf("  pages that differ: %" PRIu64, sum(&r->all) / r->page);
	if (sum(&r->all)) {
		printf(" (%s): ", HUMAN(sum(&r->all)));
		print_counts(r, &r->all);
	}
	puts("");
	if (r->unknown)
		printf("  pages not compared, which an image leaves to a mapped file: %" PRIu64 "\n",
		       r->unknown / r->page);
	if (r->symbols)
		symbols_print(r->symbols, stdout);
	return CMD_OK;
}

static int report(const struct diff *d, struct view a, struct view b)
{
	const struct cpimg *x = view_image(&a), *y = view_image(&b);
	struct report r = {
		.a = a, .b = b, .verbose = d->verbose,
		.page = cpimg_note(x)->page_size,
	};
	int status;

	if (cpimg_note(y)->page_size != r.page || cpimg_bits(x) != cpimg_bits(y))
		return problem("%s and %s are of different machines",
			       cpimg_path(x), cpimg_path(y));
	if (d->nr_programs) {
		r.symbols = symbols_load(d->programs, d->nr_programs, y);
		if (!r.symbols)
			return CMD_PROBLEM;
	}
	put_escaped(stdout, cpimg_path(x), FOR_TEXT);
	fputs(" -> ", stdout);
	put_escaped(stdout, cpimg_path(y), FOR_TEXT);
	puts(":");
	r.maps[0] = mappings_of(x, &r.nr_maps[0]);
	r.maps[1] = mappings_of(y, &r.nr_maps[1]);
	status = compare(&r);
	view_close(&r.a);
	view_close(&r.b);
	free(r.maps[0]);
	free(r.maps[1]);
	free(r.list);
	symbols_free(r.symbols);
	return status;
}

static int diff_images(const struct diff *d)
{
	struct cpimg_chain *chain[2] = { NULL, NULL };
	struct view view[2];
	struct cpimg_error err;
	int status = CMD_OK;

	for (size_t i = 0; !status && i < d->nr_images; i++) {
		chain[i] = cpimg_chain_open(d->images[i], d->dir, 0, &err);
		if (!chain[i])
			status = problem_of(&err);
		else
			view[i] = (struct view) {
				.chain = chain[i],
				.index = cpimg_chain_length(chain[i]) - 1,
				.older = true,
			};
	}
	if (!status && d->nr_images == 1) {
		view[1] = view[0];
		if (!view[0].index--)
			status = problem("%s: a full image, which has no parent: name two images",
					 d->images[0]);
	}
	if (!status)
		status = report(d, view[0], view[1]);
	cpimg_chain_close(chain[0]);
	cpimg_chain_close(chain[1]);
	return status;
}

static const struct argp_option options[] = {
	{ "symbols", 's', "PROGRAM", 0,
	  "say which of its symbols changed; also a library; may be repeated", 0 },
	{ "verbose", 'v', 0, 0, "list the pages", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct diff *d = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &d->dir;
		return 0;
	case 's':
		if (d->nr_programs == MAX_PROGRAMS)
			argp_error(state, "too many programs");
		d->programs[d->nr_programs++] = arg;
		return 0;
	case 'v':
		d->verbose = true;
		return 0;
	case ARGP_KEY_ARG:
		if (d->nr_images == 2)
			argp_usage(state);
		d->images[d->nr_images++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (!d->nr_images)
			argp_usage(state);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	options, parse, "IMAGE [NEWER-IMAGE]",
	"Which pages differ between two checkpoints, by mapping. With one IMAGE: since its parent.",
	dir_children, 0, 0,
};

int cmd_diff(int argc, char **argv)
{
	struct diff d = { 0 };
	int status;

	argp_parse(&argp, argc, argv, 0, 0, &d);
	status = diff_images(&d);
	return close_output(stdout, "standard output") ? CMD_PROBLEM : status;
}
