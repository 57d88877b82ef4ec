#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Puts what was edited in the tree back into the patches. A file goes to the last
# patch that touches it, so nothing has to be popped; one that no patch touches
# yet, to the patch PATCH= names, or else the last. To change an earlier patch's
# part of a file that a later one touches too, pop to it first with quilt.
. "$(dirname "$0")/lib.sh"

[ -f "$pushed/.stamp" ] || die "there is no tree at $linux; run 'make tree'"
cd "$linux"

# What is made out of steps has its source there: files of our own go back, a rule has to
# be rewritten by hand.
if [ "$queue" != "$patches" ]; then
	edited=0
	while read -r file; do
		owner=$(find "$patches" -path "*/files/$file" | sort | tail -n 1)
		[ -n "$owner" ] ||
			die "$linux/$file was edited, and comes of rules or of the default kernel's series; change those, in $patches or kernel-patches, and then 'make tree FORCE=1'"
		cp "$file" "$owner"
		say "  copied $file to $owner"
		edited=1
	done < <(find . -name .pc -prune -o -type f -newer "$pushed/.stamp" \
		! -name '*.orig' ! -name '*.rej' ! -name '*~' ! -name '.*.sw?' -printf '%P\n')
	[ "$edited" = 1 ] || say "  nothing was edited in $linux"
	touch "$pushed/.stamp"
	exit
fi

mapfile -t applied <.pc/applied-patches
[ "${#applied[@]}" -gt 0 ] ||
	die "no patch is pushed; begin one with 'cd $linux; quilt new NAME.patch', edit, and run this again"
last=${PATCH:-${applied[-1]}}

# The file as the source has it, without the series; nothing when it has none.
pristine() {
	local source
	source=$(cat "$work/linux.from")
	if [ -d "$source" ]; then
		cat "$source/$1" 2>/dev/null
	else
		# behind its name stand size and time
		source=$(sed -E 's/ [0-9]+ [0-9]+$//' <<<"$source")
		tar -xOf "$source" --wildcards "*/$1" 2>/dev/null
	fi
}

# Quilt wants to see a file before it is edited: let it.
adopt() {
	mkdir -p "$work/adopt"
	cp -p "$1" "$work/adopt/file"
	pristine "$1" >"$work/adopt/was" || true
	if [ -s "$work/adopt/was" ]; then
		cmp -s "$work/adopt/was" "$1" && return 1
		cat "$work/adopt/was" >"$1"
	else
		rm "$1"
	fi
	quilt add -P "$last" "$1" >/dev/null
	cp -p "$work/adopt/file" "$1"
}

declare -A changed=()
mapfile -t edited < <(find . -name .pc -prune -o -type f -newer "$pushed/.stamp" \
	! -name '*.orig' ! -name '*.rej' ! -name '*~' ! -name '.*.sw?' -printf '%P\n')
for file in "${edited[@]}"; do
	owner=
	for patch in "${applied[@]}"; do
		[ ! -f ".pc/$patch/$file" ] || owner=$patch
	done
	if [ -z "$owner" ]; then
		say "  $file is new to the series: looking at what it was"
		adopt "$file" || continue
		owner=$last
		say "  $file goes to $owner"
	fi
	changed[$owner]=1
done

for patch in "${applied[@]}"; do
	# a patch begun with `quilt new` has no file yet
	[ "${changed[$patch]:-}" ] || [ ! -f "$patches/$patch" ] || continue
	# -f: others of its files may be a later patch's by now; these are left alone
	quilt refresh -f "$patch" >/dev/null 2>&1 || die "quilt could not refresh $patch"
	cp "$patches/$patch" "$pushed/"
	say "  refreshed $patches/$patch"
done
cp "$patches/series" "$pushed/series"
touch "$pushed/.stamp"

header=include/uapi/linux/cp_range.h
copy=$top/userspace-tools/$header
copy=${copy/uapi\//}
if [ -f "$header" ] && ! cmp -s "$header" "$copy"; then
	cp "$header" "$copy"
	say "  copied $header to $copy"
fi
[ "${#changed[@]}" -gt 0 ] || say "  nothing was edited in $linux"
