#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Other people's tests: the kernel's own selftests of what the series touches, each in
# a fresh guest, on the kernel with the series and on one without it. What counts is
# that the two say the same, line by line of TAP and by exit status; what fails on both
# lacks something in the guest.
#
#	ONLY="mm/cow proc/read"		just these
#
# A program whose results differ runs again, twice on both: some of them race.
. "$(dirname "$0")/lib.sh"

folders=(mm proc ptrace pidfd exec futex/functional)
out=$BUILD/selftests
tests=$out/tools/testing/selftests
kernels='plain normal'

# Those that want to be told what to do, and those that never end.
declare -A args=(
	[mm/uffd-stress]='anon 20 16' [mm/transhuge-stress]='-d 2' [mm/ksm_tests]='-M'
	[mm/virtual_address_range]=- [mm/thuge-gen]=-
)

build() {
	local folder
	mkdir -p "$out/include"
	# they write beside their sources, and look for headers in the tree
	rsync -a --delete --exclude='/*/testing/kunit' "$linux/tools" "$out/"
	rsync -a "$linux/include" "$out/"
	rsync -aR "$linux/./mm/gup_test.h" "$linux/./lib/test_hmm_uapi.h" "$out/"
	for folder in "${folders[@]}"; do
		mkdir -p "$out/bin/$folder"
		make -k -j"$JOBS" -C "$tests/$folder" top_srcdir="$out" \
			KHDR_INCLUDES="-isystem $work/headers/include" \
			LDFLAGS='-static -pthread' EXTRA_CFLAGS=-DKSFT_SKIP=4 OUTPUT="$out/bin/$folder" \
			>"$out/build.${folder%/*}.log" 2>&1 || true
		[ "$(programs "$folder")" ] ||
			die "no program of $folder was built; see $out/build.${folder%/*}.log"
	done
}

programs() {	# FOLDER...
	local program
	(cd "$out/bin" && find "$@" -type f -executable -size +100k | sort) |
		while read -r program; do
			# the guest has no loader
			LC_ALL=C readelf -lW "$out/bin/$program" 2>/dev/null | grep -q INTERP || echo "$program"
		done
}

# The lines that count of one run.
run_one() {	# KERNEL PROGRAM
	local status=0 log=$out/$1/${2//\//.}
	# shellcheck disable=SC2086	# a list
	"$top/scripts/guest.sh" --kernel "$1" --mem 3072 --smp 2 --swap 256 --timeout 600 \
		--append hugepages=64 --allow . --log "$log.kernel" --share "$out/bin" \
		/tests/in_folder "/host/${2%/*}" "./${2##*/}" ${args[$2]:-} \
		>"$log" 2>&1 || status=$?
	tr -d '\r' <"$log" | grep -E '^ *(not )?ok |^# Totals' |
		sed -E 's/0x[0-9a-f]+/0x/g; s/[0-9.]+ (ms|us|ns|s|seconds|MiB\/s)\b/N \1/g'
	grep -oE '(WARNING|BUG|Oops|unable to handle)[: ].*' "$log.kernel" | sed 's/0x[0-9a-f]*//g' | sort -u
	echo "exit status $status"
}

# The different results of a kernel, all runs of the program taken.
results() {	# KERNEL PROGRAM
	sort -u "$out/$1/sums.${2//\//.}"
}

same() {	# PROGRAM: run it on both; are they alike, in any run so far?
	local kernel file=${1//\//.}
	for kernel in $kernels; do
		run_one "$kernel" "$1" >"$out/$kernel/$file.lines"
		cksum <"$out/$kernel/$file.lines" >>"$out/$kernel/sums.$file"
	done
	[ "$(comm -12 <(results plain "$1") <(results normal "$1"))" ]
}

"$top/scripts/deps.sh" selftests
step selftests "The kernel's own selftests, with the series and without"
# The guest ends at ^C as well, in its own way, which is no result of its program.
trap 'exit 130' INT
mkdir -p "$out/plain" "$out/normal"
rm -f "$out"/plain/* "$out"/normal/*
build
read -ra list <<<"${ONLY:-$(programs "${folders[@]}" | tr '\n' ' ')}"
say "  ${#list[@]} programs"
number=0 equal=0 skipped=() differ=() again=()
: >"$out/table.txt"
for program in "${list[@]}"; do
	number=$((number + 1))
	if [ "${args[$program]:-}" = - ]; then
		skipped+=("$program")
		continue
	fi
	verdict=DIFFERENT
	for run in 1 2 3; do
		same "$program" || continue
		# not there; or the guest died or hung, of which the other says nothing
		if grep -Eq '^exit status 12[57]' "$out/normal/${program//\//.}.lines"; then
			verdict="NOT RUN"
			break
		fi
		verdict="the same"
		equal=$((equal + 1))
		[ $run = 1 ] || again+=("$program")
		break
	done
	[ "$verdict" = "the same" ] || differ+=("$program")
	result=$out/normal/${program//\//.}.lines
	printf '%-40s %-10s %4d ok, %3d not ok, %s\n' "$program" "$verdict" \
		"$(grep -c '^ *ok ' "$result" || true)" "$(grep -c '^ *not ok ' "$result" || true)" \
		"$(tail -n 1 "$result")" | tee -a "$out/table.txt"
done
say "$equal of $number programs give the same (${again[*]:-none} only when run again); left out: ${skipped[*]:-none}"
say "what they said is in $out/plain and $out/normal ($(elapsed))"
[ "${#differ[@]}" = 0 ] || die "with the series these differ, or did not run to their end: ${differ[*]}"
