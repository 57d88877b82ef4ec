#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a reviewer would run before reading: style, warnings, does it apply.
# All checks run; the exit status says whether each was clean.
. "$(dirname "$0")/lib.sh"
. "$top/scripts/verdict.sh"

"$top/scripts/deps.sh" check

out=$work/check
mapfile -t series < <(series_of "$queue/series")
rm -rf "$out"
mkdir -p "$out"

check_shell() {
	(cd "$top" && shellcheck -x -P SCRIPTDIR scripts/*.sh .ci/run userspace-tests/*/*.t \
		userspace-tests/lib/*.sh userspace-tools/completion/* userspace-tools/examples/*.sbatch) >"$out/shellcheck" 2>&1 || true
	verdict "shellcheck of the scripts" "$out/shellcheck"
}

check_userspace() {
	local file
	make --no-print-directory -k -j"$JOBS" -C "$top/userspace-tests" OUT="$out/tests" \
		LINUX="$linux" HEADERS="$work/headers/include" >"$out/userspace.log" 2>&1 || true
	make --no-print-directory -k -j"$JOBS" -C "$top/userspace-tools" OUT="$out/tools" \
		>>"$out/userspace.log" 2>&1 || true
	for file in init shell; do
		compile_for_guest "$top/scripts/$file.c" "$out/$file" >>"$out/userspace.log" 2>&1 || true
	done
	grep -E '(warning|error):|\*\*\*' "$out/userspace.log" >"$out/userspace" || true
	verdict "tests and tools compile without a warning" "$out/userspace"
}

# Of the tests that were just compiled; and of programs for the host, and the oracle's
# main file, which the Makefile compiles to no object.
check_rooms() {
	local file obj=$out/tests/obj
	mkdir -p "$obj"/{host,fuzz}
	(
		cd "$top/userspace-tests"
		for file in host/*.c fuzz/*.c; do
			gcc -MM -MF "$obj/${file%.c}.d" -MT "$file" -Ilib -I../userspace-tools/include "$file"
		done
		musl-gcc -c -Ilib -I../userspace-tools/include -isystem "$work/headers/include" \
			-o "$obj/oracle/oracle.o" oracle/oracle.c
		"$top/scripts/check-rooms.py" . "$obj" "$out/oracle.graph"
	) >"$out/rooms" 2>&1 || echo "not checked" >>"$out/rooms"
	verdict "no file outside lib/ for two rooms, no circle (the oracle: $out/oracle.graph)" "$out/rooms"
}

# The last run of bench/cost.c, if it was on this kernel and came to its end.
check_figures() {
	local run=$BUILD/run/cost.normal.tap
	[ "$KERNEL" = "$default_kernel" ] || return 0
	grep -qx "# Linux $KERNEL" "$run" 2>/dev/null && grep -q '^# Totals:' "$run" || run=
	"$top/scripts/check-figures.py" "$top/README.md" "$patches/0000-cover-letter.txt" \
		${run:+"$run"} >"$out/figures" 2>&1 || echo "not checked" >>"$out/figures"
	verdict "README and the cover letter say the same figures${run:+, and $run}" "$out/figures"
}

check_header() {
	local header=include/uapi/linux/cp_range.h
	local copy=$top/userspace-tools/include/linux/cp_range.h
	[ -f "$linux/$header" ] || return 0
	diff -u "$linux/$header" "$copy" >"$out/header" 2>&1 || true
	verdict "the tools' cp_range.h is the kernel's" "$out/header"
}

# A few lines of checkpatch are about what a series in a folder cannot have. It keeps
# the CamelCase names of a tree in a file where it runs, and looks for git there. And
# how TRACE_EVENT() is laid out everywhere it takes for a mistake.
check_checkpatch() {
	local patch
	mkdir -p "$out/scratch"
	for patch in "${series[@]}"; do
		(cd "$out/scratch" && "$linux/scripts/checkpatch.pl" --root="$linux" \
			--strict --terse --showfile --no-summary "$queue/$patch") 2>&1 |
			sed -E '/^include\/trace\/events\/.*(Alignment should match|Lines should not end)/d' \
				>"$out/checkpatch" || true
		verdict "checkpatch --strict $patch" "$out/checkpatch"
	done
}

# Warnings of a compiler with W=1 in the files that are touched, without line numbers.
warnings() {	# TREE O-FOLDER OPTIONS-OF-MAKE...
	local linux=$1 out_o=$2 log=$2/log targets
	shift 2
	mkdir -p "$out_o"
	cp "$work/normal/fragment" "$out_o/"
	{
		kernel_make O="$out_o" "$@" KCONFIG_ALLCONFIG="$out_o/fragment" allnoconfig &&
			kernel_make O="$out_o" "$@" prepare
	} >"$log" 2>&1 || die "configuring a kernel failed; all of its output is in $log"
	targets=$(cd "$linux" && sed -n 's|^\./\(.*\)\.c$|\1.c|p' "$out/seen" |
		grep -Ev '^(tools|samples|Documentation)/' |
		while read -r file; do [ ! -f "$file" ] || echo "${file%.c}.o"; done)
	# shellcheck disable=SC2086	# a list
	kernel_make O="$out_o" "$@" -k W=1 $targets >>"$log" 2>&1 ||
		echo "error: not everything compiled: $log" >>"$log"
	# The helpers that lock a page table bear no annotation, so that sparse finds
	# an unlock too many wherever in mm they are used.
	sed -E -e '/(warning|error):/!d' -e '/context imbalance/d' \
		-e "s|^$linux/||; s|^\.\./[^ ]*linux[^/]*/||" \
		-e 's/:[0-9]+(:[0-9]+)?:/:/' "$log" | sort -u
}

new_warnings() {	# WHO OPTIONS-OF-MAKE...
	local who=$1
	shift
	say "      compiling the touched files with $who, without and with the series"
	warnings "$out/linux" "$out/before.$who" "$@" >"$out/warnings.before"
	warnings "$linux" "$out/after.$who" "$@" >"$out/warnings.after"
	comm -13 "$out/warnings.before" "$out/warnings.after" >"$out/warnings"
}

check_warnings() {
	plain_copy "$out/linux" "$out/originals" "$out/seen"
	new_warnings gcc C=2
	verdict "sparse and W=1 say nothing new" "$out/warnings"
	new_warnings clang CC=clang
	verdict "clang and W=1 say nothing new" "$out/warnings"
	rm -rf "$out/linux"
}

# The kernel's semantic patches over the folder that is new, so that whatever they find
# is new. Two of them are for spatch with an OCaml compiler, 160 MB: one is about a
# driver; the other, about pointers compared with 0, is what sparse says too. (smatch
# is no package of Debian 12.)
check_coccinelle() {
	local folder=$linux/mm/cp_range log=$out/coccinelle.log cocci
	[ -d "$folder" ] || return 0
	say "      coccicheck of the new files"
	for cocci in $(find "$linux/scripts/coccinelle" -name '*.cocci' | sort); do
		! grep -q 'script:ocaml' "$cocci" || continue
		(cd "$linux" && srctree=$linux KBUILD_EXTMOD=$folder MODE=report J=1 COCCI=$cocci \
			scripts/coccicheck) || echo "$cocci failed"
	done >"$log" 2>&1
	grep -E "^(/[^ ]*)?/mm/cp_range/|failed$" "$log" >"$out/coccinelle" || true
	verdict "coccicheck finds nothing" "$out/coccinelle"
}

# A kernel of steps: of the source that the user has, or of none.
check_steps() {	# KERNEL SOURCE
	if [ "$2" ]; then
		KERNEL=$1 LINUX_SRC=$2 "$top/scripts/check-steps.sh" || failed=1
	else
		say "NOT RUN: whether the steps of Linux $1 fit, and have no line of its source, since" \
			"LINUX_SRC_${1//./_} is not set: $(sed -n 's/^get=//p' "$top/kernel-patches/$1/source")"
	fi
}

if [ "$queue" != "$patches" ]; then
	check_shell
	check_steps "$KERNEL" "${LINUX_SRC:-}"
	say "(Style, warnings and programs are checked with the default kernel: make check.)"
	[ "$failed" = 0 ] || die "not everything is clean; the files are in $out"
	say "All clean ($(elapsed))."
	exit
fi

check_shell
check_userspace
check_rooms
check_figures
check_header
if [ "${#series[@]}" = 0 ]; then
	say "      the series is empty: nothing more to check"
else
	originals "$out/originals" "$out/seen"
	check_checkpatch
	check_apply "$out" "$queue" "$out/originals"
	check_coccinelle
	check_warnings
fi
for folder in "$top"/kernel-patches/*/; do
	[ ! -f "$folder/series" ] || continue
	kernel=$(basename "$folder")
	name=LINUX_SRC_${kernel//./_}
	check_steps "$kernel" "${!name:-}"
done
[ "$failed" = 0 ] || die "not everything is clean; the files are in $out"
say "All clean ($(elapsed))."
