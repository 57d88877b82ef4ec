#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# files.c and images/file_moments.c with files of the host's, which may change them at any time.
set -eu
mkdir -p "$RUN_DIR/files" "$RUN_DIR/cached"
guest=("$GUEST" --kernel "$CP_VARIANT" --mem 384 --smp 2 --9p "kinds:$RUN_DIR/files"
       --9p "cached:$RUN_DIR/cached")
number=0 failed=0
check() {	# WHAT PROGRAM ARGUMENTS...
	local what=$1 status=0
	shift
	number=$((number + 1))
	"${guest[@]}" "$@" | sed 's/^/# /' || status=${PIPESTATUS[0]}
	if [ "$status" = 0 ]; then
		echo "ok $number $what"
	else
		echo "not ok $number $what"
		failed=1
	fi
}
echo 1..2
check 'what a mapping is in an image' /tests/files -v ninep -v ninep_mmap
check 'what comes back of it' /tests/file_moments -v private_ninep -v shared_ninep \
	-v private_ninep_mmap -v shared_ninep_mmap
exit $failed
