#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Measures checkpoints and those who make none, side by side, and makes tables and
# plots of it, in build/bench:
#
#	bench.sh		instructions, counted in one guest
#	WALL=1 bench.sh		wall clock in a guest; worth something under KVM only
#	WALL=here bench.sh	wall clock on the kernel that runs here, which has to
#				have the series
#
# REPEATS=N rounds of each by the clock (default 5). ONLY="--mib 64" and the like:
# options of userspace-tests/bench/bench.c, to measure less.
. "$(dirname "$0")/lib.sh"
. "$top/userspace-tests/lib/criu.sh"

"$top/scripts/deps.sh" bench

out=$BUILD/bench
wall=${WALL:-}
guest_mib=6144
guest=()
rm -rf "$out"
mkdir -p "$out"

# What was run, so that a figure can be had again.
run() {
	printf '%q ' "$@" >>"$out/commands"
	echo >>"$out/commands"
	"$@"
}

# Progress is lines that begin with "#"; all the others are results.
results() {	# FILE
	local line next=0
	while IFS= read -r line; do
		line=${line%$'\r'}
		printf '%s\n' "$line" >>"$1"
		case $line in
		'# '*)	[ "$SECONDS" -ge "$next" ] || continue
			say "  ${line#\# } ($(elapsed))"
			[ "$on_terminal" ] || next=$((SECONDS + 10)) ;;
		esac
	done
}

measure() {
	local program=(bench)
	# shellcheck disable=SC2206	# a list
	program+=(${ONLY:-})
	[ -z "$wall" ] || program+=(--wall "${REPEATS:-5}")
	if [ "$wall" = here ]; then
		run "$BUILD/tests/${program[0]}" "${program[@]:1}" | results "$out/raw.txt"
		return
	fi
	with_criu "$out" && guest+=("${criu_guest[@]}")
	run "$top/scripts/guest.sh" --kernel normal --mem "$guest_mib" --timeout 5400 \
		"${guest[@]}" "/tests/${program[0]}" --guest "${program[@]:1}" |
		results "$out/raw.txt"
}

# The same program on two kernels, one after the other.
bystanders() {
	local kernel name
	for kernel in normal plain; do
		name=$kernel
		[ "$kernel" = plain ] || name=patched
		run "$top/scripts/guest.sh" --kernel "$kernel" --mem 512 --icount --timeout 900 \
			/tests/bystanders | results "$out/bystanders-$name.txt"
	done
}

case $wall in
'')	how=icount guest+=(--icount) ;;
here)	how="on this machine, $(uname -r)" ;;
*)	how="in a guest ($(cat "$BUILD/accelerator" 2>/dev/null || echo 'not known yet'))"
	guest+=(--smp 2) ;;
esac
if [ "$wall" != here ]; then
	free_mib=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
	[ "$free_mib" -gt "$guest_mib" ] ||
		die "the guest takes $guest_mib MiB of memory, and $free_mib are free"
fi
printf '%s\n' "$how" >"$out/how"

step bench "All ways to save memory, side by side, $how"
measure
if [ -z "$wall" ]; then
	step bystanders "Programs that make no checkpoint, with the series and without"
	bystanders
fi
step report "Tables and plots, in $out"
run python3 "$top/scripts/bench-report.py" "$out"
sed -n '1,/^$/p; /^Goals/,/^$/p' "$out/table.txt"
say "  $out: table.txt, results.csv, $(find "$out" -name '*.svg' -printf '%f ')and the commands ($(elapsed))"
