#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The reader's own tests once more, on the host, where the address and undefined
# behaviour sanitizers look on: wrong files must not make it touch wrong memory.
. "$(dirname "$0")/../lib/host.sh"

selftests=$(find "${BUILD:?}"/*/linux/tools/testing/selftests -maxdepth 0 2>/dev/null | head -n 1)
program=$RUN_DIR/reader
lib=$RUN_DIR/tools/libcpimg.a
flags="-std=gnu11 -O1 -g $sanitize"

# shellcheck disable=SC2086	# a list
build() {
	make -s -C "$tools" OUT="${lib%/*}" CFLAGS="$flags" "$lib" &&
		gcc $flags -I"$tools/include" -I"$tools" -I"$selftests" -I"$tests/lib" \
			"$tests/images/reader.c" "$tests/lib/compose.c" "$lib" -lelf -lz -o "$program"
}
if ! build >"$RUN_DIR/build.log" 2>&1; then
	echo "1..1"
	echo "not ok 1 the reader builds with the sanitizers: $RUN_DIR/build.log"
	sed 's/^/# /' "$RUN_DIR/build.log" | head -n 20
	exit 1
fi
TMPDIR=$RUN_DIR exec "$program"
