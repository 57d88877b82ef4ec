#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The headers that programs include: C and C++, strict, without the rest of the
# tree; and the note has one layout for 32 and 64 bits.
. "$(dirname "$0")/../lib/host.sh"

include=$tools/include
saw=$RUN_DIR/output

plan 8

compile() {	# COMPILER OPTIONS: stdin compiles, with no warning
	"$@" -Wall -Wextra -Werror -I"$include" -fsyntax-only - >"$saw" 2>&1
}

call='
#include <cp_range.h>
#include <cpimg.h>
int main(void)
{
	char c[CP_RANGE_NAME_SIZE];
	struct cp_args args = { CP_INCREMENTAL | CP_MOMENT, -1, CP_DIR_TMP, 0, 0, 0, 0, 0, 0 };
	return (int)(cp_range(c, c + 1) + inc_cp_range(c, c + 1)) + cp_sync(1, 0) +
	       (int)cp_checkpoint(&args, sizeof(args)) + cp_image_name(c, 1, 0)[0];
}'

for std in c99 c11 gnu17; do
	compile gcc -std=$std -pedantic -x c <<<"$call"
	ok "C: $std"
done
for std in c++98 c++11 c++20; do
	compile g++ -std=$std -x c++ <<<"$call"
	ok "C++: $std"
done

layout='
#include <linux/cp_range.h>
#include <stddef.h>
#define AT(field, offset) _Static_assert(offsetof(struct cp_note, field) == offset, #field)
#define AR(field, offset) _Static_assert(offsetof(struct cp_result, field) == offset, #field)
AT(n, 24); AT(req_start, 32); AT(page_size, 64); AT(pages_data, 88); AT(runs, 120);
AT(id, 128); AT(parent_id, 144); AT(parent, 160); AT(crc, 200);
AT(flags, 208); AT(threads, 216); AT(nr_areas, 220); AT(stop_ns, 224); AT(own_pid, 232);
_Static_assert(CP_NOTE_SIZE_VER1 == 208 && sizeof(struct cp_note) == 240, "size");
_Static_assert(sizeof(struct cp_args) == CP_ARGS_SIZE_VER0, "arguments");
AR(id, 88); AR(name, 104); AR(refused, CP_RESULT_SIZE_VER0); AR(refused_at, 152);
_Static_assert(sizeof(struct cp_result) == 160, "result");
_Static_assert(sizeof(struct cp_span) == 16, "range");'

for bits in 64 32; do
	# Only types are needed, so no 32-bit libc is.
	compile gcc -m$bits -isystem "/usr/include/$(gcc -print-multiarch)" -x c <<<"$layout"
	ok "the note's layout: $bits bits"
done
