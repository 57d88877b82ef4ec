#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The reader's own tests once more, on the host, where the address and undefined
# behaviour sanitizers look on: wrong files must not make it touch wrong memory.
. "$(dirname "$0")/lib/host.sh"

here=$(dirname "$0")
selftests=$(find "${BUILD:?}"/*/linux/tools/testing/selftests -maxdepth 0 2>/dev/null | head -n 1)
program=$RUN_DIR/reader

if ! gcc -std=gnu11 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-I"$here/../userspace-tools/include" -I"$here/../userspace-tools" -I"$selftests" -I"$here/lib" \
	"$here/reader.c" "$here/lib/compose.c" "$here"/../userspace-tools/libcpimg*.c -lelf -lz \
	-o "$program" >"$RUN_DIR/build.log" 2>&1; then
	echo "1..1"
	echo "not ok 1 the reader builds with the sanitizers: $RUN_DIR/build.log"
	sed 's/^/# /' "$RUN_DIR/build.log" | head -n 20
	exit 1
fi
TMPDIR=$RUN_DIR exec "$program"
