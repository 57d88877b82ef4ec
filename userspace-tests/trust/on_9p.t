#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# /tmp on 9p, with each of its cache modes: calls end, and the images are right. See
# helpers/on_9p.c.
set -eu
mkdir -p "$RUN_DIR/images"
exec "$GUEST" --kernel "$CP_VARIANT" --mem 384 --smp 2 --timeout 900 --9p "images:$RUN_DIR/images" \
	/tests/on_9p
