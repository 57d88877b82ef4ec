#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# failed.sh [forget]: after the tests, for each that failed, why, once more and together.
# prove says it where it happens, which is a long way up. "forget" before them.
. "$(dirname "$0")/lib.sh"

shopt -s nullglob
all=("$BUILD/run"/*."${CP_VARIANT:-normal}.failed")
if [ "${1:-}" = forget ]; then
	rm -f "${all[@]}"
	exit
fi
for failed in "${all[@]}"; do
	of=${failed%.failed}
	say "== $(cat "$failed")"
	grep -B 12 '^not ok' "$of.tap" | tail -n 40 >&2 || tail -n 3 "$of.tap" >&2
	tail -n 15 "$of.err" >&2
	# The kernel log of a guest that died, hung or complained is named there.
	log=$(sed -n 's/.*its log is //p' "$of.err" | tail -n 1)
	if [ -f "$log" ]; then
		say "-- the end of $log:"
		tr -d '\r' <"$log" | tail -n 25 >&2
	fi
done
