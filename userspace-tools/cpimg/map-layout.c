// SPDX-License-Identifier: GPL-2.0
/* Where the mappings of all images go in the picture, one below the other. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "map.h"

#define MAX_BANDS	120
#define MIN_HEIGHT	4	/* of a band */
#define FREE_HEIGHT	420	/* to share beyond what each must have */

/* The mappings of one image. */
struct maps {
	struct mapping	*map;
	size_t		count;
};

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Every address at which any image's mapping begins or ends; for free(). */
static uint64_t *edges_of(const struct maps *maps, size_t images, size_t *count)
{
	size_t n = 0, kept = 0;
	uint64_t *edges;

	for (size_t i = 0; i < images; i++)
		n += 2 * maps[i].count;
	edges = malloc((n + 1) * sizeof(*edges));
	if (!edges)
		return NULL;
	n = 0;
	for (size_t i = 0; i < images; i++) {
		for (size_t k = 0; k < maps[i].count; k++) {
			edges[n++] = maps[i].map[k].start;
			edges[n++] = maps[i].map[k].end;
		}
	}
	qsort(edges, n, sizeof(*edges), by_value);
	for (size_t i = 0; i < n; i++) {
		if (!kept || edges[kept - 1] != edges[i])
			edges[kept++] = edges[i];
	}
	*count = kept;
	return edges;
}

/* The newest image that has something there says what it is. */
static const struct mapping *newest_at(const struct maps *maps, size_t images,
				       uint64_t addr)
{
	const struct mapping *m = NULL;

	while (!m && images--)
		m = mapping_at(maps[images].map, maps[images].count, addr);
	return m;
}

static bool same_label(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

/* One band for each mapping. */
static void add_bands(struct layout *l, const struct maps *maps, size_t images,
		      const uint64_t *edges, size_t nr_edges)
{
	for (size_t i = 0; i + 1 < nr_edges; i++) {
		const struct mapping *m = newest_at(maps, images, edges[i]);
		struct band *last = l->count ? &l->bands[l->count - 1] : NULL;

		if (!m)
			continue;
		if (last && last->end == edges[i] && last->prot == m->prot &&
		    same_label(last->label, m->label)) {
			last->end = edges[i + 1];
			continue;
		}
		l->bands[l->count++] = (struct band) {
			.start = edges[i], .end = edges[i + 1],
			.label = m->label, .prot = m->prot, .count = 1,
		};
	}
}

/* Neighbours with at most @gap bytes between them become one. */
static void join_bands(struct layout *l, uint64_t gap)
{
	size_t kept = 1;

	for (size_t i = 1; i < l->count; i++) {
		struct band *last = &l->bands[kept - 1], *b = &l->bands[i];

		if (b->start - last->end > gap) {
			l->bands[kept++] = *b;
			continue;
		}
		if (!same_label(last->label, b->label))
			last->label = NULL;
		last->end = b->end;
		last->count += b->count;
	}
	l->count = kept;
}

static void group_bands(struct layout *l)
{
	for (size_t i = 0; i < l->count; i++) {
		struct band *b = &l->bands[i], *last = b - 1;

		b->gap = i ? b->start - last->end : 0;
		b->first = !i || b->gap || !b->label ||
			   !same_label(b->label, last->label);
	}
}

static double weight(const struct band *b, int root)
{
	double size = b->end - b->start;

	return root == 1 ? size : root == 2 ? sqrt(size) : cbrt(size);
}

static int height_at(const struct band *b, int root, double scale)
{
	double h = weight(b, root) * scale;

	/* find_scale() begins far beyond what can be drawn */
	return h < MIN_HEIGHT ? MIN_HEIGHT : h > 1e6 ? 1e6 : (int)(h + 0.5);
}

/* What all bands take. */
static double total_height(const struct layout *l, int root, double scale)
{
	double sum = 0;

	for (size_t i = 0; i < l->count; i++)
		sum += height_at(&l->bands[i], root, scale);
	return sum;
}

/* The scale with which they fill the height that there is. */
static double find_scale(const struct layout *l, int root)
{
	double want = FREE_HEIGHT + (double)l->count * MIN_HEIGHT;
	double low = 0, high = want;

	for (int i = 0; i < 100; i++) {
		double mid = (low + high) / 2;

		if (total_height(l, root, mid) < want)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* Large mappings are tall enough to see where in them something happened. */
static bool legible(const struct layout *l, int root, double scale)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct band *b = &l->bands[i];
		uint64_t size = b->end - b->start;
		int least = size >= 16U << 20 ? 40 : size >= 256U << 10 ? 10 : 0;

		if (height_at(b, root, scale) < least)
			return false;
	}
	return true;
}

/* To scale if that can be read; else what is large is drawn smaller. */
static void choose_scale(struct layout *l)
{
	for (l->root = 1;; l->root++) {
		l->scale = find_scale(l, l->root);
		if (l->root == 3 || legible(l, l->root, l->scale))
			return;
	}
}

/* Those that share a label must have room for it. */
static void place_bands(struct layout *l, int top)
{
	int y = top;

	for (size_t i = 0; i < l->count;) {
		size_t next = i;
		int height = 0;

		y += l->bands[i].gap ? GAP_HEIGHT : 0;
		do {
			struct band *b = &l->bands[next++];

			b->y = y + height;
			b->height = height_at(b, l->root, l->scale);
			height += b->height;
		} while (next < l->count && !l->bands[next].first);
		if (height < LABEL_HEIGHT) {
			l->bands[next - 1].height += LABEL_HEIGHT - height;
			height = LABEL_HEIGHT;
		}
		y += height;
		i = next;
	}
	l->bottom = y;
}

/**
 * layout_make() - give every mapping its place
 * @l: the result, for layout_free()
 * @chain: its images
 * @top: where the first begins
 *
 * Return: false if there is no memory.
 */
bool layout_make(struct layout *l, const struct cpimg_chain *chain, int top)
{
	size_t images = cpimg_chain_length(chain), nr_edges = 0;
	struct maps *maps = calloc(images, sizeof(*maps));
	uint64_t *edges = NULL;

	*l = (struct layout) { .root = 1, .bottom = top };
	for (size_t i = 0; maps && i < images; i++)
		maps[i].map = mappings_of(cpimg_chain_image(chain, i),
					  &maps[i].count);
	if (maps)
		edges = edges_of(maps, images, &nr_edges);
	if (edges)
		l->bands = calloc(nr_edges + 1, sizeof(*l->bands));
	if (l->bands && nr_edges) {
		add_bands(l, maps, images, edges, nr_edges);
		for (uint64_t gap = 0; l->count > MAX_BANDS; gap = gap ? 4 * gap : 4096)
			join_bands(l, gap);
		group_bands(l);
		choose_scale(l);
		place_bands(l, top);
	}
	for (size_t i = 0; maps && i < images; i++)
		free(maps[i].map);
	free(maps);
	free(edges);
	return l->bands;
}

void layout_free(struct layout *l)
{
	free(l->bands);
}
