#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# behind.c with a folder of the host's: O_DIRECT reads from 9p are written by the
# kernel into pages that are not pinned, only referenced.
set -eu
exec "$GUEST" --kernel "$CP_VARIANT" --mem 384 --smp 2 --share "$RUN_DIR" \
	/tests/behind -t direct_reads_from_9p
