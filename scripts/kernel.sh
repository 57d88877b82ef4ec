#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Configures and builds a kernel: kernel.sh normal|debug|off|plain|coverage
# "off" is the normal one without CONFIG_CP_RANGE, "plain" one without the series,
# "coverage" counts which lines of the series' own folder run.
. "$(dirname "$0")/lib.sh"

variant=${1:?normal, debug, off, plain or coverage}
out=$kernels/$variant
log=$out/build.log
image=$out/arch/x86/boot/bzImage
case $variant in
off|plain) kind=normal ;;
*)	kind=$variant ;;
esac

fragments() {
	cat "$patches/config"
	[ "$ARCH" = x86_64 ] || cat "$patches/$ARCH.config"
	case $variant in
	normal)	;;
	debug|coverage) cat "$patches/$variant.config" ;;
	off|plain) echo CONFIG_CP_RANGE=n ;;
	*)	die "no such kernel: $variant" ;;
	esac
}

# What is asked for and depends on something missing vanishes without a word.
verify_config() {
	local line name bad=
	while read -r line; do
		name=${line%%=*}
		case $line in
		*=n)	grep -q "^$name=" "$out/.config" || continue ;;
		*)	grep -qxF "$line" "$out/.config" && continue ;;
		esac
		if [ "$name" = CONFIG_CP_RANGE ] && [ -z "$(series_of "$queue/series")" ]; then
			say "  the series is empty: no $name"
			continue
		fi
		bad="$bad $line"
	done <"$out/fragment"
	[ -z "$bad" ] ||
		die "asked for, but not so in $out/.config (does it depend on something that is off?):$bad"
}

configure() {
	# the last line about an option counts
	fragments | tac | awk -F= '/^CONFIG_/ && !seen[$1]++' | tac >"$out/fragment"
	logged "$out/config.log" "configuring $variant" \
		kernel_make O="$out" KCONFIG_ALLCONFIG="$out/fragment" allnoconfig
	verify_config
}

# How many objects a full build makes: as the last one did, or our guess.
expected() {
	cat "$out/objects" 2>/dev/null || setting "objects_${kind}"
}

# Only the new files are profiled: make looks at this anew in each folder ($(obj)),
# so that no Makefile of the kernel need be changed.
profile=()
# shellcheck disable=SC2016	# for make
[ "$variant" != coverage ] || profile=('GCOV_PROFILE=$(if $(filter mm/cp_range,$(obj)),y)')

build() {
	local total=0
	[ -f "$out/vmlinux" ] || total=$(expected)
	if [ "$V" = 1 ]; then
		kernel_make O="$out" "${profile[@]}" V=1 bzImage 2>&1 | tee "$log" >&2
		return
	fi
	kernel_make O="$out" "${profile[@]}" bzImage 2>&1 | tee "$log" |
		{ grep --line-buffered '^  [A-Z]' || true; } | progress "$variant kernel" "$total" objects
}

mkdir -p "$out"
if [ "$variant" = plain ]; then
	originals "$out/originals" "$out/touched" "$(setting not_of_the_feature)"
	plain_copy "$out/linux" "$out/originals" "$out/touched"
	linux=$out/linux
fi
name=kernel-$variant
step "${name%-normal}" "Kernel $KERNEL ($variant, $ARCH), in $out"
configure
before=$(stat -c %Y "$image" 2>/dev/null) || before=
if ! build; then
	grep -n -A5 -E 'error:|Error [0-9]|undefined reference' "$log" | head -n 40 >&2 || true
	die "building the $variant kernel failed; all of its output is in $log"
fi
objects=$(grep -c '^  [A-Z]' "$log") || true
# a build that goes on after an interrupted one does not count
if [ -z "$before" ] && [ "$objects" -gt $(($(expected) * 9 / 10)) ]; then
	echo "$objects" >"$out/objects"
fi
if [ "$before" = "$(stat -c %Y "$image")" ]; then
	say "  unchanged ($(elapsed))"
else
	say "  built $image: $objects steps, $(elapsed)"
fi
