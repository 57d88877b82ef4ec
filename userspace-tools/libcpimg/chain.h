/* SPDX-License-Identifier: GPL-2.0 */
/* A chain as the files see it that find its images and answer for it. */
#ifndef LIBCPIMG_CHAIN_H
#define LIBCPIMG_CHAIN_H

#include "internal.h"

struct cpimg_chain {
	struct cpimg		**img;		/* the full one first */
	size_t			length;
	size_t			space;
	int			folder[3];	/* of the image, and where parents are */
	char			*folder_name[3];
	size_t			nr_folders;
	struct cpimg_cache	cache;
};

#endif /* LIBCPIMG_CHAIN_H */
