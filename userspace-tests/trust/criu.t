#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Debian's CRIU and we, on the same program: see helpers/with_criu.c.
. "$(dirname "$0")/../lib/host.sh"
. "$(dirname "$0")/../lib/criu.sh"

if ! with_criu "$RUN_DIR"; then
	echo "1..0 # SKIP there is no criu here; where Debian has it: apt-get install criu"
	exit 0
fi
if kernel_is_too_old; then
	echo "1..0 # SKIP the C library that criu is linked with wants Linux $wants"
	exit 0
fi
"$GUEST" --kernel "${CP_VARIANT:-normal}" --mem 512 --timeout 900 "${criu_guest[@]}" \
	/tests/with_criu
