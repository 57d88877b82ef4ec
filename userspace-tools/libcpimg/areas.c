// SPDX-License-Identifier: GPL-2.0
/*
 * libcpimg - the areas of an image: which addresses it looked at. Of what lies between
 * them it knows nothing, not even that nothing was mapped there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"

static int check_area(const struct cpimg *img, size_t i, struct cpimg_error *err)
{
	const struct cp_span *area = &img->areas[i];
	uint64_t mask = img->note.page_size - 1;
	char field[48];

	snprintf(field, sizeof(field), "start of area %zu", i);
	if (area->start & mask)
		return bad(img, err, field, area->start, "not a page's");
	if (i && area->start < area[-1].end)
		return bad(img, err, field, area->start, "not above the area before it");
	if (i && area->start == area[-1].end)
		return bad(img, err, field, area->start,
			   "no gap between it and the area before it");
	if (area->start >= area->end)
		return bad(img, err, field, area->start, "not below its end");
	snprintf(field, sizeof(field), "end of area %zu", i);
	if (area->end & mask)
		return bad(img, err, field, area->end, "not a page's");
	return 0;
}

static int check_areas(const struct cpimg *img, struct cpimg_error *err)
{
	size_t last = img->nr_areas - 1;

	for (size_t i = 0; i <= last; i++) {
		if (check_area(img, i, err))
			return -1;
	}
	if (img->areas[0].start != img->note.start)
		return bad(img, err, "start of area 0", img->areas[0].start,
			   "not note.start");
	if (img->areas[last].end != img->note.end)
		return bad(img, err, "end of the last area", img->areas[last].end,
			   "not note.end");
	return 0;
}

/* The CP_AREAS note, or NULL; the image's own was checked. */
int cpimg_check_areas(struct cpimg *img, const struct cpimg_elfnote *en,
		      struct cpimg_error *err)
{
	const struct cp_note *n = &img->note;
	size_t count;

	if (!n->nr_areas)
		return bad(img, err, "note.nr_areas", n->nr_areas,
			   "an image is of one range at least");
	if (!en && n->nr_areas > 1)
		return bad(img, err, "note.nr_areas", n->nr_areas,
			   "several ranges, and no CP_AREAS note");
	if (en && n->nr_areas == 1)
		return bad(img, err, "note.nr_areas", n->nr_areas,
			   "one range, and a CP_AREAS note");
	if (!en) {
		img->range = (struct cp_span) { n->start, n->end };
		img->areas = &img->range;
		img->nr_areas = 1;
		return 0;
	}
	count = en->size / sizeof(*img->areas);
	if (en->size % sizeof(*img->areas))
		return bad(img, err, "size of the CP_AREAS note", en->size,
			   "not a number of ranges");
	if (count != n->nr_areas)
		return cpimg_fail(err, CPIMG_ERR_FORMAT,
				  "%s: note.nr_areas is %u: the CP_AREAS note has %zu",
				  img->path, n->nr_areas, count);
	img->areas = malloc(en->size);
	if (!img->areas)
		return cpimg_fail(err, CPIMG_ERR_SYS, "%s: no memory for %zu areas",
				  img->path, count);
	memcpy(img->areas, en->desc, en->size);
	img->nr_areas = count;
	return check_areas(img, err);
}

void cpimg_free_areas(struct cpimg *img)
{
	if (img->areas != &img->range)
		free(img->areas);
}

/**
 * cpimg_areas() - the ranges that the image looked at
 * @img: the image
 * @count: how many, 1 at least
 *
 * Of addresses in one of them in which no run is, nothing was mapped there. Of those
 * between them nothing is known, as of those beside them.
 *
 * Return: the ranges, in whole pages and in address order, with gaps between. They are
 * the image's.
 */
const struct cp_span *cpimg_areas(const struct cpimg *img, size_t *count)
{
	*count = img->nr_areas;
	return img->areas;
}

/* The first area that ends above @addr, or the number of areas. */
size_t cpimg_area_after(const struct cpimg *img, uint64_t addr)
{
	size_t low = 0, high = img->nr_areas;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (img->areas[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/*
 * Is the address in one of the areas? The answer holds up to *@end, which is only ever
 * lowered.
 */
bool cpimg_looked_at(const struct cpimg *img, uint64_t addr, uint64_t *end)
{
	size_t i = cpimg_area_after(img, addr);

	if (i == img->nr_areas)
		return false;
	if (img->areas[i].start > addr) {
		*end = lower(*end, img->areas[i].start);
		return false;
	}
	*end = lower(*end, img->areas[i].end);
	return true;
}

/** cpimg_covers() - is the address in a range that the image looked at? */
bool cpimg_covers(const struct cpimg *img, uint64_t addr)
{
	uint64_t end = UINT64_MAX;

	return cpimg_looked_at(img, addr, &end);
}

/* Has one of the areas a part of [@start, @end), which is not empty? */
bool cpimg_touches(const struct cpimg *img, uint64_t start, uint64_t end)
{
	size_t i = cpimg_area_after(img, start);

	return i < img->nr_areas && img->areas[i].start < end;
}
