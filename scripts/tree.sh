#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Unpacks the kernel source and pushes the series with quilt. Run again, it pops
# to the first patch that changed and pushes from there; files that come out as
# they were keep their times, so that little is built again. FORCE=1 begins anew,
# whatever was edited.
#
# tree.sh series OUT: only the patches, for whoever has a tree of one's own
. "$(dirname "$0")/lib.sh"

from=$work/linux.from		# what the tree was unpacked from
popped=$work/popped		# files of the popped patches, with their times

# Two makes at once must not push and pop in one tree.
mkdir -p "$work"
exec 9>"$work/tree.lock"
flock 9

if [ "${1:-}" = series ]; then
	[ "${2:-}" ] || die "where do the patches go? Say OUT=, a folder"
	step series "The patches for Linux $KERNEL, in $2"
else
	step tree "Linux $KERNEL source with the series pushed, in $linux"
fi

source=${LINUX_SRC:-$(setting tarball)}
# no package has it: the user brings it
[ "$source" ] || die "$(setting get); then run this again with LINUX_SRC= the tarball or a tree of it"
[ -e "$source" ] || die "there is no kernel source at $source; run 'make deps', or set LINUX_SRC= to a tree or a tarball"
identity="$source $(stat -c '%s %Y' "$source")"
[ ! -d "$source" ] || identity="$source"

edited() {
	[ -f "$pushed/.stamp" ] &&
	find "$linux" -name .pc -prune -o -type f -newer "$pushed/.stamp" -print |
		grep -m1 .
}

refuse_if_edited() {
	local file
	[ -z "${FORCE:-}" ] || return 0
	! file=$(edited) ||
		die "$file was edited since the series was pushed; run 'make refresh' to put it into its patch, or 'make tree FORCE=1' to throw it away"
}

# With times of now: an older time than that of the objects would not be built.
unpack() {
	local new=$linux.new mib
	refuse_if_edited
	say "  unpacking $source, once"
	rm -rf "$new" "$linux" "$pushed" "$popped"
	mkdir -p "$new"
	if [ -d "$source" ]; then
		tar -C "$source" --exclude=./.git --exclude=./.pc -cf - . | tar -C "$new" -xmf -
		make -s -C "$new" mrproper
	else
		mib=$(xz --robot -l "$source" 2>/dev/null |
			awk '/^totals/ { print int($5 / 1048576) }') || mib=0
		# a checkpoint each MiB
		tar -C "$new" --strip-components=1 -xmf "$source" --checkpoint=100 \
			--checkpoint-action='exec=echo' |
			progress unpacking "${mib:-0}" MiB
	fi
	[ -f "$new/Kbuild" ] || die "$source holds no kernel source"
	mv "$new" "$linux"
	echo "$identity" >"$from"
}

# The number of patches, from the bottom, that are pushed as they are now.
count_good() {
	local n=0 patch
	while read -r patch <&3 && read -r was <&4; do
		[ "$patch" = "$was" ] || break
		cmp -s "$queue/$patch" "$pushed/$patch" || break
		n=$((n + 1))
	done 3< <(series_of "$queue/series") 4< <(applied)
	echo "$n"
}

applied() {
	[ ! -f "$linux/.pc/applied-patches" ] || cat "$linux/.pc/applied-patches"
}

# Where quilt finds the patches: it remembers that in the tree, whatever the
# environment says.
point_quilt() {
	mkdir -p "$linux/.pc"
	echo 2 >"$linux/.pc/.version"
	echo "$1" >"$linux/.pc/.quilt_patches"
	echo "$1/series" >"$linux/.pc/.quilt_series"
}

pop_to() {
	local n=$1 patch file
	mapfile -t patch < <(applied)
	[ "${#patch[@]}" -gt "$n" ] || return 0
	refuse_if_edited
	say "  popping $((${#patch[@]} - n)) of ${#patch[@]} patches"
	point_quilt "$pushed"
	while [ "${#patch[@]}" -gt "$n" ]; do
		local last=${patch[-1]}
		(cd "$linux/.pc/$last" && find . -type f ! -name .timestamp) |
		while read -r file; do
			if [ ! -f "$linux/$file" ] || [ -e "$popped/$file" ]; then
				continue
			fi
			mkdir -p "$popped/$(dirname "$file")"
			cp -p "$linux/$file" "$popped/$file"
		done
		(cd "$linux" && quilt pop -q -f) >/dev/null
		rm -f "$pushed/$last"
		unset 'patch[-1]'
	done
}

push_all() {
	local i=0 n patch log=$work/push.log
	n=$(series_of "$queue/series" | wc -l)
	for patch in $(series_of "$queue/series"); do
		i=$((i + 1))
		[ "$i" -gt "$1" ] || continue
		say "  pushing $i of $n: $patch"
		(cd "$linux" && quilt push -q) >"$log" 2>&1 || {
			cat "$log" >&2
			die "$patch does not apply to $linux; mend it there ('quilt push -f', edit, 'quilt refresh') or in $patches"
		}
		cp "$queue/$patch" "$pushed/"
	done
}

keep_times() {
	[ -d "$popped" ] || return 0
	local file
	(cd "$popped" && find . -type f) | while read -r file; do
		! cmp -s "$popped/$file" "$linux/$file" ||
			touch -r "$popped/$file" "$linux/$file"
	done
	rm -rf "$popped"
}

# The patches of a kernel that has steps, for this very source.
make_series() {
	local made=$work/series.made now
	# files may come out of the patches of the default kernel
	now=$(echo "$identity"; cd "$top" &&
		find scripts/series.sh "$patches" "kernel-patches/$default_kernel" -type f -print0 |
		sort -z | xargs -0 cksum)
	if [ "${FORCE:-}" ] || [ "$now" != "$(cat "$made" 2>/dev/null)" ] || [ ! -f "$queue/series" ]; then
		rm -f "$made"
		"$top/scripts/series.sh" "$source" "$queue"
		echo "$now" >"$made"
	fi
}

if [ "${1:-}" = series ]; then
	if [ "$queue" = "$patches" ]; then
		mkdir -p "$2"
		cp -t "$2" "$queue/series" "$queue"/*.patch
	else
		"$top/scripts/series.sh" "$source" "$2"
	fi
	exit
fi
[ "$queue" = "$patches" ] || make_series
if [ "${FORCE:-}" ] || [ ! -d "$linux" ] || [ "$(cat "$from" 2>/dev/null)" != "$identity" ]; then
	unpack
fi

mkdir -p "$pushed"
good=$(count_good)
total=$(series_of "$queue/series" | wc -l)
if [ "$good" = "$total" ] && [ "$good" = "$(applied | wc -l)" ] && [ -f "$pushed/.stamp" ]; then
	point_quilt "$queue"
	say "  unchanged: $total patches pushed"
	exit 0
fi
pop_to "$good"
point_quilt "$queue"
push_all "$good"
keep_times
cp "$queue/series" "$pushed/series"
touch "$pushed/.stamp"
say "  $total patches pushed ($(elapsed))"
