#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Does the kernel build after each patch? In a tree of its own.
. "$(dirname "$0")/lib.sh"

mapfile -t series < <(series_of "$queue/series")
source=$linux
linux=$work/each/linux
out=$work/each/out

say "Building after each of ${#series[@]} patches, in $work/each"
rm -rf "$work/each"
mkdir -p "$out"
cp -a "$source" "$linux"
cd "$linux"
[ "${#series[@]}" = 0 ] || quilt pop -a -q -f >/dev/null

n=0
for patch in "${series[@]}"; do
	n=$((n + 1))
	quilt push -q >/dev/null
	# no -Werror in this tree: a warning is a failure here too
	if ! { kernel_make O="$out" KCONFIG_ALLCONFIG="$work/normal/fragment" allnoconfig &&
	       kernel_make O="$out" bzImage; } >"$out/log" 2>&1 ||
	   grep -E 'warning:' "$out/log" >&2; then
		grep -n -A5 'error:' "$out/log" | head -n 40 >&2 || true
		die "the kernel does not build cleanly after patch $n, $patch; see $out/log"
	fi
	say "  ok $n of ${#series[@]}: $patch ($(elapsed))"
done
rm -rf "$work/each"
