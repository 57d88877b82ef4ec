# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# What the scripts share: where things lie, and how they talk. Sourced, not run.

set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() {
	printf '%s\n' "$*" >&2
}

# The libraries that programs of this machine are linked with.
libraries_of() {	# PROGRAM...
	ldd "$@" | sed -nE 's/^[[:space:]](.* => )?(\/[^ ]+) \(.*/\2/p' | sort -u
}

# What was tried, on what, what went wrong, what to do.
die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit "${die_status:-1}"
}

# Kbuild refuses a space or a colon in its paths, all links resolved, and make cannot
# have them in a target's name; nobody wants to find out about the other ones.
plain() {	# PATH
	[[ $1 != *[[:space:]]* && $1 != *[]\[:\$\#%\"\'\`\\\;\&\|\<\>\(\)\{\}*?!^=,~]* ]]
}

# The folder that stands for a BUILD whose path is not plain.
elsewhere() {	# PATH
	local base name
	name=cp_range/$(cksum <<<"$1" | cut -d' ' -f1)
	for base in "${XDG_CACHE_HOME:-}" "${HOME:-}/.cache" "/var/tmp/cp_range-$(id -u)"; do
		[[ $base == /?* ]] || continue
		base=$(realpath -m -- "$base")
		(umask 077; mkdir -p -- "$base") 2>/dev/null || continue
		if plain "$base" && [ -O "$base" ] && [ -w "$base" ]; then
			printf '%s\n' "$base/$name"
			return
		fi
	done
	die "there is no folder with a plain name to build in (tried XDG_CACHE_HOME, ~/.cache, /var/tmp); set BUILD= to one"
}

# Where things are built, its links resolved: PATH, or else what PATH is made a link to.
build_folder() {	# PATH
	local path to
	path=$(realpath -m -- "$1")
	if ! plain "$path"; then
		[ ! -e "$path" ] || rmdir -- "$path" 2>/dev/null ||
			die "the kernel cannot be built in '$path', because of its name, and there are files in it, so that it is not made a link to another folder; move it away, or set BUILD= to another"
		to=$(elsewhere "$path")
		say "The kernel cannot be built in '$path', because of its name: this is a link to $to"
		mkdir -p -- "$(dirname -- "$path")"
		ln -s -- "$to" "$path"
		path=$to
	fi
	mkdir -p -- "$path" || die "the folder to build in cannot be made; set BUILD= to another"
	printf '%s\n' "$path"
}

default_kernel=$(sed -n 's/^DEFAULT_KERNEL := //p' "$top/Makefile")
KERNEL=${KERNEL:-$default_kernel}
build_link=$(realpath -ms -- "${BUILD:-$top/build}")
BUILD=$(build_folder "$build_link")
JOBS=${JOBS:-$(nproc)}
V=${V:-0}

patches=$top/kernel-patches/$KERNEL	# the series and what belongs to it
[ -d "$patches" ] || die "there is no $patches: KERNEL=$KERNEL is not known here"
work=$BUILD/$KERNEL			# everything made for this kernel
ARCH=${ARCH:-x86_64}			# what kernel.sh builds for
kernels=$work				# a folder for each variant of it
tests=$BUILD/tests			# programs for its guests
case $ARCH in
x86_64)	arch=$ARCH ;;
i386 | i386-pae) arch=i386 kernels=$work/$ARCH tests=$BUILD/tests-i386 ;;
*)	die "ARCH=$ARCH: want x86_64, i386 or i386-pae" ;;
esac
[ -f "$patches/$ARCH.config" ] || [ "$ARCH" = x86_64 ] ||
	die "ARCH=$ARCH: Linux $KERNEL is built for x86_64 only here"
linux=$work/linux			# the source, with the series pushed
queue=$patches				# the patches and their file "series"
[ -f "$queue/series" ] || queue=$work/series	# made by series.sh out of steps
export pushed=$work/pushed		# the patches as they were when pushed

PATH=$PATH:/usr/sbin:/sbin		# mkswap, mke2fs
export PATH LC_ALL=C

# In a hook of git's: repositories that are made here are not that one.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE

# Quilt as this repository wants it, whatever ~/.quiltrc says.
export QUILTRC=$top/scripts/quiltrc
export QUILT_PATCHES=$queue QUILT_SERIES=$queue/series

if [ -t 2 ]; then on_terminal=1; else on_terminal=; fi

# One step of what was asked for: "[2/6] text". The Makefile exports STEPS.
step() {
	local name=$1 i=0 n=0 s
	shift
	for s in ${STEPS:-}; do
		n=$((n + 1))
		[ "$s" != "$name" ] || i=$n
	done
	if [ "$i" -gt 0 ]; then
		say "[$i/$n] $*"
	else
		say "$*"
	fi
}

elapsed() {
	printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60))
}

# progress WHAT TOTAL UNIT: counts the lines on stdin. On a terminal one line that
# is written over, else a line every 20 seconds. TOTAL 0: not known.
progress() {
	local what=$1 total=$2 unit=$3 n=0 next=1 of='' end=''
	while IFS= read -r _; do
		n=$((n + 1))
		[ "$SECONDS" -ge "$next" ] || continue
		if [ "$total" -gt 0 ]; then
			of=" of about $total"
			[ "$n" -le "$total" ] || of=" ($total expected)"
		fi
		if [ "$on_terminal" ]; then
			printf '\r  %s: %d%s %s, %s\033[K' "$what" "$n" "$of" "$unit" "$(elapsed)" >&2
			end='\r\033[K' next=$((SECONDS + 1))
		else
			say "  $what: $n$of $unit, $(elapsed)"
			next=$((SECONDS + 20))
		fi
	done
	printf '%b' "$end" >&2
}

# logged LOG WHAT COMMAND...: all output into LOG; its end is shown on failure.
logged() {
	local log=$1 what=$2
	shift 2
	mkdir -p "$(dirname "$log")"
	if [ "$V" = 1 ]; then
		"$@" 2>&1 | tee "$log" >&2
	elif ! "$@" >"$log" 2>&1; then
		tail -n 25 "$log" >&2
		die "$what failed; all of its output is in $log"
	fi
}

# guests_of FILE: the options of guest.sh that a test asks for, a line for each guest.
guests_of() {
	sed -n 's|^[/ ]\*\+ *guest: *\([^*]*\)\(\*/\)\?$|\1|p' "$1"
}

# What runs before there is anything in the guest: init and the shell.
compile_for_guest() {	# SOURCE PROGRAM
	if [ "$arch" = i386 ]; then
		"$BUILD/i386/musl-gcc" -static -O2 -Wall -Wextra -o "$2" "$1"
	else
		musl-gcc -static -O2 -Wall -Wextra -o "$2" "$1"
	fi
}

# setting NAME: a value of kernel-patches/<version>/source
setting() {
	sed -n "s/^$1=//p" "$patches/source"
}

# The patches named in a series file, without comments.
series_of() {
	[ ! -f "$1" ] || sed 's/[[:space:]]*#.*//; s/[[:space:]]*$//; /^$/d' "$1"
}

# originals FOLDER SEEN [N]: what the patches touch, but for the first N, as it was before
# them: quilt kept a copy, empty when there was nothing. SEEN gets the names of all of them.
originals() {
	local patch file
	rm -rf "$1"
	mkdir -p "$1"
	: >"$2"
	for patch in $(series_of "$queue/series" | tail -n +$((1 + ${3:-0}))); do
		(cd "$linux/.pc/$patch" && find . -type f ! -name .timestamp) |
		while read -r file; do
			if ! grep -qxF "$file" "$2"; then
				echo "$file" >>"$2"
				[ -s "$linux/.pc/$patch/$file" ] || continue
				mkdir -p "$1/$(dirname "$file")"
				cp -p "$linux/.pc/$patch/$file" "$1/$file"
			fi
		done
	done
}

# plain_copy FOLDER ORIGINALS SEEN: the source without the series, of hard links
plain_copy() {
	local file
	rm -rf "$1"
	cp -al "$linux" "$1"
	rm -rf "$1/.pc"
	while read -r file; do
		rm -f "$1/$file"
		[ ! -f "$2/$file" ] || cp -p "$2/$file" "$1/$file"
	done <"$3"
}

# The C compiler for a kernel. The fixed names and times are what makes one build
# equal the next, for ccache.
kernel_make() {
	local cc=gcc
	! command -v ccache >/dev/null || cc='ccache gcc'
	CCACHE_BASEDIR=$BUILD \
	KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970' \
	KBUILD_BUILD_USER=cp_range KBUILD_BUILD_HOST=localhost \
	KBUILD_BUILD_VERSION=1 \
	make -C "$linux" -j"$JOBS" ARCH="$arch" CC="$cc" HOSTCC="$cc" "$@"
}

