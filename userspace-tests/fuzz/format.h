/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the fuzzer's inputs look like. The pages of an image say nothing to a reader,
 * so they are left out: an input is
 *
 *	1 byte		flags: FUZZ_*
 *	then for each image, the oldest first
 *	1 byte		pages of data
 *	2 bytes		size of the tables, little endian
 *	64 bytes	the first of the file
 *	the tables	notes, program headers, section header: they follow the data
 */
#ifndef FORMAT_H
#define FORMAT_H

#define FUZZ_CRC	1	/* the checksums matter */
#define FUZZ_REPAIR	2	/* counts, ids and checksums are set right */
#define FUZZ_COMMANDS	4	/* not only the library: what cpimg prints and draws */

#define FUZZ_IMAGES	3	/* at most */
#define FUZZ_HEADER	64

#endif /* FORMAT_H */
