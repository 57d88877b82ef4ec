/* SPDX-License-Identifier: GPL-2.0 */
/* The picture of cpimg map: where things are in it. */
#ifndef MAP_H
#define MAP_H

#include "cmd.h"

#define GAP_HEIGHT	18	/* between mappings that are no neighbours */
#define LABEL_HEIGHT	14	/* what a label needs */

/**
 * struct band - a strip of the picture: a mapping, or several small ones
 * @start: first address
 * @end: address after the last
 * @label: name, or NULL for several with different names
 * @prot: protection of the first
 * @count: how many mappings
 * @y: upper edge
 * @height: in pixels
 * @first: of those with one label, without a gap: it bears the label
 * @gap: bytes between this and the band before it, 0 if none
 */
struct band {
	uint64_t	start;
	uint64_t	end;
	const char	*label;
	uint8_t		prot;
	unsigned int	count;
	int		y;
	int		height;
	bool		first;
	uint64_t	gap;
};

/**
 * struct layout - all bands
 * @bands: in address order
 * @count: how many
 * @root: heights grow with this root of the size: 1, 2 or 3
 * @scale: pixels a byte, for @root 1
 * @bottom: below the last
 */
struct layout {
	struct band	*bands;
	size_t		count;
	int		root;
	double		scale;
	int		bottom;
};

bool layout_make(struct layout *l, const struct cpimg_chain *chain, int top);
void layout_free(struct layout *l);

#endif /* MAP_H */
