#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# files.c with files of the host's, which may change them at any time.
set -eu
mkdir -p "$RUN_DIR/files"
exec "$GUEST" --kernel "$CP_VARIANT" --mem 384 --smp 2 --9p "kinds:$RUN_DIR/files" \
	/tests/files -v ninep
