// SPDX-License-Identifier: GPL-2.0
/*
 * cpimg map: a picture of the memory, addresses going down, checkpoints across.
 *
 * A row of pixels may stand for thousands of pages. It has the colour of what most
 * of them are, and over it that of DATA, the paler the fewer pages are: not one
 * page that was saved is left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "map.h"

#define LEFT		148	/* of the first column */
#define TOP		120	/* of the first band */
#define LABEL_LETTERS	52
#define LETTER_WIDTH	6.4	/* of a label, at most, on average */
#define COLUMNS		640	/* for all columns, if they fit */
#define WIDE		56	/* a column that has room for words */
#define MAX_TICKS	64
#define LEVELS		4	/* of how many of a row's pages are DATA */

/* The styles of a row: what it mostly is, and over it the levels of DATA. */
enum style {
	STYLE_SAME,
	STYLE_HOLE,
	STYLE_SKIPPED,
	STYLE_OUTSIDE,
	STYLE_DATA,
	NR_STYLES	= STYLE_DATA + LEVELS,
	STYLE_NONE	= NR_STYLES,
};

static const struct {
	const char	*fill;
	const char	*text;
} styles[NR_STYLES] = {
	[STYLE_SAME]	= { "#a9cfe8", "SAME: unchanged since the image before" },
	[STYLE_HOLE]	= { "#e9e6df", "HOLE: nothing of its own (zeros, or the file)" },
	[STYLE_SKIPPED]	= { "#5b5665", "SKIPPED: left out on purpose" },
	[STYLE_OUTSIDE]	= { "url(#outside)", "not looked at by the call" },
	[STYLE_DATA]	= { "#f0b295", NULL },
	[STYLE_DATA + 1] = { "#e68a5c", NULL },
	[STYLE_DATA + 2] = { "#dc6a30", NULL },
	[STYLE_DATA + 3] = { "#d1490c", "DATA: saved in this image" },
};

struct map {
	const char			*image, *out, *dir;
	const struct cpimg_chain	*chain;
	size_t				images;
	struct layout			lay;
	int				column;		/* width */
	int				right;		/* of the last column */
	FILE				*to;
};

/* Bytes of each class in one row of pixels. */
struct row {
	double	bytes[CPIMG_NONE];
};

static void text_at(const struct map *m, double x, int y, const char *attributes,
		    const char *text)
{
	fprintf(m->to, "<text x=\"%.1f\" y=\"%d\" %s>", x, y, attributes);
	put_escaped(m->to, text, FOR_XML);
	fputs("</text>\n", m->to);
}

/* Seconds, in whatever people count them in. */
static const char *time_text(double s, char buf[24])
{
	if (s < 0)
		*buf = 0;
	else if (s < 100)
		snprintf(buf, 24, "+%.*f s", s < 10 ? 2 : 1, s);
	else if (s < 6000)
		snprintf(buf, 24, "+%.0f min", s / 60);
	else
		snprintf(buf, 24, "+%.1f h", s / 3600);
	return buf;
}

static double seconds(const struct map *m, size_t i)
{
	uint64_t first = cpimg_note(cpimg_chain_image(m->chain, 0))->monotonic_ns;
	uint64_t ns = cpimg_note(cpimg_chain_image(m->chain, i))->monotonic_ns;

	return ns < first ? -1 : (ns - first) / 1e9;
}

static const char *saved(const struct cpimg *img, char buf[16])
{
	const struct cp_note *n = cpimg_note(img);

	return human_size(n->pages_data * n->page_size, buf);
}

static double column_x(const struct map *m, size_t i)
{
	return LEFT + (double)i * m->column;
}

static int column_inner(const struct map *m)
{
	return m->column > 5 ? m->column - (m->column > 20 ? 4 : 1) : m->column;
}

static void head_wide(const struct map *m, size_t i)
{
	const struct cpimg *img = cpimg_chain_image(m->chain, i);
	const struct cp_note *n = cpimg_note(img);
	double x = column_x(m, i) + column_inner(m) / 2.0;
	char text[64];

	snprintf(text, sizeof(text), "%" PRIu64 "%s", (uint64_t)n->n,
		 n->kind == CP_KIND_FULL ? " full" : "");
	text_at(m, x, TOP - 38, "class=\"n\"", text);
	text_at(m, x, TOP - 24, "class=\"m\"", saved(img, text));
	text_at(m, x, TOP - 10, "class=\"m g\"", time_text(seconds(m, i), text));
}

/* Words that stand upright; too narrow for all of them: every so often. */
static void head_narrow(const struct map *m, size_t i)
{
	const struct cpimg *img = cpimg_chain_image(m->chain, i);
	const struct cp_note *n = cpimg_note(img);
	double x = column_x(m, i) + column_inner(m) / 2.0 + 3;
	size_t every = m->column >= 9 ? 1 : (8 + m->column) / m->column;
	char size[16];

	if (i % every)
		return;
	fprintf(m->to, "<text transform=\"translate(%.1f %d) rotate(-90)\" class=\"u\">"
		"<tspan class=\"n\">%" PRIu64 "</tspan> %s%s</text>\n", x, TOP - 6,
		(uint64_t)n->n, saved(img, size),
		n->kind == CP_KIND_FULL ? " full" : "");
}

static void draw_heads(const struct map *m)
{
	for (size_t i = 0; i < m->images; i++) {
		if (m->column >= WIDE)
			head_wide(m, i);
		else
			head_narrow(m, i);
	}
	text_at(m, LEFT - 10, TOP - 38, "class=\"e g\"", "checkpoint");
	if (m->column >= WIDE) {
		text_at(m, LEFT - 10, TOP - 24, "class=\"e g\"", "bytes saved");
		text_at(m, LEFT - 10, TOP - 10, "class=\"e g\"", "time");
	} else {
		text_at(m, LEFT - 10, TOP - 24, "class=\"e g\"", "and bytes saved");
	}
}

/* How much of [@start, @end) each row of a band gets. */
static void fill_rows(const struct band *b, struct row *rows, uint64_t start,
		      uint64_t end, enum cpimg_class cls)
{
	double unit = (double)(b->end - b->start) / b->height;
	double from = (start - b->start) / unit, to = (end - b->start) / unit;

	for (int i = (int)from; i < b->height && i < to; i++) {
		double low = from > i ? from : i, high = to < i + 1 ? to : i + 1;

		if (high > low)
			rows[i].bytes[cls] += (high - low) * unit;
	}
}

/*
 * Not at halves, thirds and the like, which every other page would make: the rows
 * would fall on both sides in turn.
 */
static int data_level(double part)
{
	static const double limits[LEVELS - 1] = { 0.15, 0.6, 0.999 };
	int level = 0;

	while (level < LEVELS - 1 && part > limits[level])
		level++;
	return level;
}

static enum style style_of(const struct cpimg *img, const struct band *b, int i,
			   const struct row *row)
{
	static const struct {
		enum cpimg_class	cls;
		enum style		style;
	} ground[] = {
		{ CPIMG_SAME, STYLE_SAME },
		{ CPIMG_HOLE, STYLE_HOLE },
		{ CPIMG_SKIPPED, STYLE_SKIPPED },
	};
	double unit = (double)(b->end - b->start) / b->height, most = 0;
	enum style style = STYLE_NONE;

	if (row->bytes[CPIMG_DATA] > 0)
		return STYLE_DATA + data_level(row->bytes[CPIMG_DATA] / unit);
	for (size_t k = 0; k < sizeof(ground) / sizeof(ground[0]); k++) {
		if (row->bytes[ground[k].cls] > most) {
			most = row->bytes[ground[k].cls];
			style = ground[k].style;
		}
	}
	if (style == STYLE_NONE &&
	    !cpimg_covers(img, b->start + (uint64_t)((i + 0.5) * unit)))
		style = STYLE_OUTSIDE;
	return style;
}

/* The path of a rectangle, @x is where the column begins. */
static void draw_rows(FILE *to, int y, int height, int width)
{
	fprintf(to, "M0 %dh%dv%dh-%dz", y, width, height, width);
}

static void draw_band(const struct cpimg *img, const struct band *b,
		      const struct row *rows, FILE *const to[NR_STYLES], int width)
{
	enum style last = STYLE_NONE;
	int from = 0;

	for (int i = 0; i <= b->height; i++) {
		enum style style = i < b->height ? style_of(img, b, i, &rows[i]) :
				   STYLE_NONE;

		if (style == last && i < b->height)
			continue;
		if (last != STYLE_NONE)
			draw_rows(to[last], b->y + from, i - from, width);
		last = style;
		from = i;
	}
}

/* All runs of an image, each into the rows of its bands. */
static bool draw_runs(const struct map *m, const struct cpimg *img,
		      FILE *const to[NR_STYLES])
{
	size_t count, k = 0;
	const struct cpimg_run *run = cpimg_runs(img, &count);

	for (size_t i = 0; i < m->lay.count; i++) {
		const struct band *b = &m->lay.bands[i];
		struct row *rows = calloc(b->height, sizeof(*rows));

		if (!rows)
			return false;
		while (k && run[k - 1].end > b->start)
			k--;
		for (; k < count && run[k].start < b->end; k++) {
			uint64_t start = run[k].start > b->start ? run[k].start : b->start;
			uint64_t end = run[k].end < b->end ? run[k].end : b->end;

			if (start < end)
				fill_rows(b, rows, start, end, run[k].cls);
		}
		draw_band(img, b, rows, to, column_inner(m));
		free(rows);
	}
	return true;
}

static void column_title(const struct map *m, size_t i)
{
	const struct cpimg *img = cpimg_chain_image(m->chain, i);
	char text[24];

	fputs("<title>", m->to);
	put_escaped(m->to, base_name(cpimg_path(img)), FOR_XML);
	fprintf(m->to, ": %s saved, %s</title>\n", saved(img, text),
		time_text(seconds(m, i), text));
}

/* A column: the rows of each style in one path. */
static bool draw_column(const struct map *m, size_t i)
{
	FILE *to[NR_STYLES] = { NULL };
	char *path[NR_STYLES] = { NULL };
	size_t size[NR_STYLES];
	bool good = true;

	for (int s = 0; s < NR_STYLES; s++) {
		to[s] = open_memstream(&path[s], &size[s]);
		good = good && to[s];
	}
	good = good && draw_runs(m, cpimg_chain_image(m->chain, i), to);
	fprintf(m->to, "<g transform=\"translate(%.0f 0)\">\n", column_x(m, i));
	column_title(m, i);
	for (int s = 0; s < NR_STYLES; s++) {
		if (to[s] && fclose(to[s]))
			good = false;
		if (good && size[s])
			fprintf(m->to, "<path class=\"s%d\" d=\"%s\"/>\n", s, path[s]);
		free(path[s]);
	}
	fputs("</g>\n", m->to);
	return good;
}

/* The label with its end, which says more, if it is too long. */
static void put_label(const struct map *m, const char *label, size_t letters)
{
	size_t len = strlen(label);

	if (len > letters) {
		label += len - letters;
		/* not in the middle of a letter */
		while ((*label & 0xc0) == 0x80)
			label++;
		fputs("\xe2\x80\xa6", m->to);
	}
	put_escaped(m->to, label, FOR_XML);
}

/* Name, size and protection of the bands from @i on that share a label. */
static void draw_label(const struct map *m, size_t i)
{
	const struct band *b = &m->lay.bands[i];
	uint64_t size = 0;
	size_t next = i;
	int height = 0;

	do {
		size += m->lay.bands[next].end - m->lay.bands[next].start;
		height += m->lay.bands[next].height;
		next++;
	} while (next < m->lay.count && !m->lay.bands[next].first);

	fprintf(m->to, "<text x=\"%d\" y=\"%d\" class=\"l\">", m->right + 12,
		b->y + (height < 24 ? height / 2 + 4 : 14));
	if (b->label)
		put_label(m, b->label, LABEL_LETTERS);
	else
		fprintf(m->to, "%u mappings", b->count);
	fprintf(m->to, " <tspan class=\"g\">%s%s%s</tspan></text>\n", HUMAN(size),
		next == i + 1 && b->count == 1 ? " " : "",
		next == i + 1 && b->count == 1 ? PROT(b->prot) : "");
	fprintf(m->to, "<path d=\"M%d %dh4v%dh-4\" class=\"k\"/>\n", m->right + 3,
		b->y + 1, height - 2);
}

/* Marks within a tall band, in steps that are a power of two. */
static void draw_ticks(const struct map *m, const struct band *b)
{
	double unit = (double)(b->end - b->start) / b->height;
	uint64_t step = 4096;
	char size[16], text[24];

	while (step < 36 * unit && step < 1ULL << 60)
		step *= 2;
	for (int i = 1; i < MAX_TICKS && i * step < b->end - b->start; i++) {
		int y = b->y + (int)(i * step / unit);

		if (y > b->y + b->height - 6)
			break;
		if (y < b->y + 14)
			continue;
		snprintf(text, sizeof(text), "+%s", human_size(i * step, size));
		text_at(m, LEFT - 12, y + 3, "class=\"t\"", text);
		fprintf(m->to, "<path d=\"M%d %dh6\" class=\"k\"/>\n", LEFT - 8, y);
	}
}

/* Nothing was there, or nobody knows: no image looked. */
static const char *gap_text(const struct map *m, uint64_t start, uint64_t end)
{
	bool seen = false, unseen = false;

	for (uint64_t next; start < end && !(seen && unseen); start = next) {
		uint64_t known = start;

		next = end;
		for (size_t i = 0; i < m->images; i++) {
			const struct cpimg *img = cpimg_chain_image(m->chain, i);
			uint64_t stop = end;

			if (cpimg_looked_at(img, start, &stop))
				known = higher(known, stop);
			else
				next = lower(next, stop);
		}
		seen |= known > start;
		unseen |= known == start;
		next = known > start ? known : next;
	}
	return !unseen ? "not mapped" : seen ? "in part not looked at" : "not looked at";
}

/* Where memory was left out of the picture. */
static void draw_gap(const struct map *m, const struct band *b)
{
	int y = b->y - GAP_HEIGHT / 2;

	fprintf(m->to, "<path d=\"M%d %dH%d\" class=\"gap\"/>\n", LEFT, y, m->right);
	fprintf(m->to, "<text x=\"%d\" y=\"%d\" class=\"t i\">%s %s</text>\n",
		LEFT - 12, y + 3, HUMAN(b->gap), gap_text(m, b->start - b->gap, b->start));
}

static void draw_axis(const struct map *m)
{
	char text[32];

	for (size_t i = 0; i < m->lay.count; i++) {
		const struct band *b = &m->lay.bands[i];

		if (b->gap)
			draw_gap(m, b);
		if (b->first) {
			snprintf(text, sizeof(text), "%" PRIx64, b->start);
			text_at(m, LEFT - 12, b->y + 10, "class=\"a\"", text);
			draw_label(m, i);
		}
		if (b->first && i && !b->gap)
			fprintf(m->to, "<path d=\"M%d %dH%d\" class=\"w\"/>\n", LEFT,
				b->y, m->right);
		/* in a group they would count from the start of one of it */
		if (b->height >= 48 && b->first &&
		    (i + 1 == m->lay.count || b[1].first))
			draw_ticks(m, b);
	}
}

static void draw_key(const struct map *m, int x, int y, const char *fill,
		     const char *text)
{
	fprintf(m->to, "<rect x=\"%d\" y=\"%d\" width=\"14\" height=\"11\" fill=\"%s\" class=\"b\"/>\n",
		x, y - 10, fill);
	text_at(m, x + 20, y, "class=\"l\"", text);
}

/* A bar of a round number of bytes, or words where heights are not to scale. */
static void draw_scale(const struct map *m, int x, int y)
{
	static const char *const words[] = {
		[2] = "Heights grow with the square root of the size.",
		[3] = "Heights grow with the cube root of the size.",
	};
	uint64_t bytes = 4096;
	char size[16], text[96];

	if (m->lay.root > 1) {
		text_at(m, x, y, "class=\"l\"", words[m->lay.root]);
	} else {
		while (2 * bytes * m->lay.scale < 40)
			bytes *= 2;
		fprintf(m->to, "<path d=\"M%d %.1fh8M%d %.1fv%.1fM%d %dh8\" class=\"k\"/>\n",
			x, y - bytes * m->lay.scale, x + 4,
			y - bytes * m->lay.scale, bytes * m->lay.scale, x, y);
		snprintf(text, sizeof(text), "is %s; small mappings are drawn taller.",
			 human_size(bytes, size));
		text_at(m, x + 20, y - 4, "class=\"l\"", text);
	}
	text_at(m, x, y + 18, "class=\"l\"",
		"Gaps between mappings are cut out; ticks count from the start of a mapping.");
}

static void draw_legend(const struct map *m)
{
	int y = m->lay.bottom + 36;

	draw_key(m, LEFT, y, styles[NR_STYLES - 1].fill, styles[NR_STYLES - 1].text);
	for (int i = 0; i < LEVELS - 1; i++)
		fprintf(m->to, "<rect x=\"%d\" y=\"%d\" width=\"14\" height=\"11\" fill=\"%s\" class=\"b\"/>\n",
			LEFT + 176 + 14 * i, y - 10, styles[NR_STYLES - 2 - i].fill);
	text_at(m, LEFT + 176 + 14 * LEVELS - 8, y, "class=\"l\"",
		"less than all of a row's pages");
	draw_key(m, LEFT, y + 18, styles[STYLE_SAME].fill, styles[STYLE_SAME].text);
	draw_key(m, LEFT, y + 36, styles[STYLE_HOLE].fill, styles[STYLE_HOLE].text);
	draw_key(m, LEFT, y + 54, styles[STYLE_SKIPPED].fill, styles[STYLE_SKIPPED].text);
	draw_key(m, LEFT + 310, y + 18, "#ffffff", "not mapped");
	draw_key(m, LEFT + 310, y + 36, styles[STYLE_OUTSIDE].fill,
		 styles[STYLE_OUTSIDE].text);
	draw_scale(m, LEFT, y + 54 + (m->lay.root > 1 ? 30 : 60));
}

static void draw_style(const struct map *m)
{
	fputs("<style>\n"
	      "text { font: 11px Helvetica, Arial, 'DejaVu Sans', sans-serif; fill: #222 }\n"
	      ".h { font-size: 16px; font-weight: bold }\n"
	      ".n { font-weight: bold }\n"
	      ".n, .m { text-anchor: middle }\n"
	      ".u { font-size: 9px; text-anchor: start }\n"
	      ".u .n { text-anchor: start }\n"
	      ".e, .t { text-anchor: end }\n"
	      ".t { font-size: 9px; fill: #777 }\n"
	      ".i { font-style: italic }\n"
	      ".g { fill: #777 }\n"
	      ".a { font: 11px 'DejaVu Sans Mono', Menlo, monospace; text-anchor: end }\n"
	      ".k { fill: none; stroke: #999 }\n"
	      ".b { stroke: #999; stroke-width: .5 }\n"
	      ".w { fill: none; stroke: #fff }\n"
	      ".gap { fill: none; stroke: #bbb; stroke-dasharray: 2 4 }\n", m->to);
	for (int s = 0; s < NR_STYLES; s++)
		fprintf(m->to, ".s%d { fill: %s }\n", s, styles[s].fill);
	fputs("path { shape-rendering: crispEdges }\n"
	      "</style>\n"
	      "<defs><pattern id=\"outside\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\">"
	      "<rect width=\"5\" height=\"5\" fill=\"#fff\"/>"
	      "<path d=\"M-1 1l2 -2M0 5l5 -5M4 6l2 -2\" stroke=\"#ccc\" style=\"shape-rendering: auto\"/></pattern></defs>\n",
	      m->to);
}

static void draw_title(const struct map *m)
{
	const struct cpimg *last = cpimg_chain_image(m->chain, m->images - 1);
	struct process p = process_of(last);
	char text[160], span[24];
	uint64_t bytes = 0;

	snprintf(text, sizeof(text), "%s%sprocess %u", p.name, *p.name ? ", " : "",
		 cpimg_note(last)->pid);
	text_at(m, 16, 28, "class=\"h\"", text);
	for (size_t i = 0; i < m->images; i++) {
		const struct cp_note *n = cpimg_note(cpimg_chain_image(m->chain, i));

		bytes += n->pages_data * n->page_size;
	}
	time_text(m->images > 1 ? seconds(m, m->images - 1) : -1, span);
	snprintf(text, sizeof(text), "%zu checkpoint%s%s%s, %s saved. Addresses go down, time goes to the right.",
		 m->images, m->images == 1 ? "" : "s", *span ? " in " : "",
		 span + (*span == '+'), HUMAN(bytes));
	text_at(m, 16, 46, "class=\"g\"", text);
}

/* Room for the longest label, and for the legend. */
static int picture_width(const struct map *m)
{
	size_t letters = 0;
	int width;

	for (size_t i = 0; i < m->lay.count; i++) {
		const char *label = m->lay.bands[i].label;
		size_t n = label ? strlen(label) : 0;

		n = n > LABEL_LETTERS ? LABEL_LETTERS : n;
		letters = n > letters ? n : letters;
	}
	width = m->right + 24 + (letters + strlen(" 1023 MiB rw-")) * LETTER_WIDTH;
	return width > LEFT + COLUMNS ? width : LEFT + COLUMNS;
}

static bool draw(const struct map *m)
{
	int width = picture_width(m);
	int height = m->lay.bottom + (m->lay.root > 1 ? 150 : 180);
	bool good = true;

	fprintf(m->to, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n"
		"<title>Memory over the checkpoints, by cpimg map</title>\n",
		width, height, width, height);
	draw_style(m);
	fprintf(m->to, "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", width, height);
	draw_title(m);
	draw_heads(m);
	for (size_t i = 0; good && i < m->images; i++)
		good = draw_column(m, i);
	draw_axis(m);
	draw_legend(m);
	fputs("</svg>\n", m->to);
	return good;
}

static int map_chain(struct map *m)
{
	const char *name = m->out ? m->out : "standard output";
	int fd, status = CMD_OK;

	m->images = cpimg_chain_length(m->chain);
	m->column = COLUMNS / m->images;
	m->column = m->column > 96 ? 96 : m->column < 3 ? 3 : m->column;
	m->right = LEFT + m->images * m->column;
	m->to = stdout;
	if (!layout_make(&m->lay, m->chain, TOP))
		return problem("no memory");
	if (m->out) {
		fd = open(m->out, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0666);
		m->to = fd < 0 ? NULL : fdopen(fd, "w");
		if (!m->to)
			status = problem("%s: creating: %s", name, strerror(errno));
	}
	if (m->to && !draw(m))
		status = problem("no memory");
	if (m->to && close_output(m->to, name))
		status = CMD_PROBLEM;
	layout_free(&m->lay);
	return status;
}

static const struct argp_option options[] = {
	{ "output", 'o', "FILE", 0, "not to standard output", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct map *m = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &m->dir;
		return 0;
	case 'o':
		m->out = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (m->image)
			argp_usage(state);
		m->image = arg;
		return 0;
	case ARGP_KEY_END:
		if (!m->image)
			argp_usage(state);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	options, parse, "IMAGE",
	"Draw the chain that ends in IMAGE as SVG: which memory was saved at which checkpoint.",
	dir_children, 0, 0,
};

int cmd_map(int argc, char **argv)
{
	struct map m = { 0 };
	struct cpimg_chain *chain;
	struct cpimg_error err;
	int status;

	argp_parse(&argp, argc, argv, 0, 0, &m);
	chain = cpimg_chain_open(m.image, m.dir, 0, &err);
	if (!chain)
		return problem_of(&err);
	m.chain = chain;
	status = map_chain(&m);
	cpimg_chain_close(chain);
	return status;
}
