#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the oracle with random seeds, as long as one likes:
#
#	make soak MINUTES=30
#
# One guest after the other, with 1, 2 and 4 processors, with and without threads
# that write and KSM. Seeds that fail are named, and how to run them again; their
# output stays in build/run/soak. CP_VARIANT=debug takes the debug kernel; OPS=N
# sets the operations a seed, FIRST=N the first seed.
. "$(dirname "$0")/lib.sh"

step soak "The oracle with random seeds"

minutes=${MINUTES:-10}
variant=${CP_VARIANT:-normal}
seed=${FIRST:-$((RANDOM * 32768 + RANDOM))}
if [ "$variant" = debug ]; then ops=${OPS:-2500}; else ops=${OPS:-20000}; fi

out=$BUILD/run/soak
mkdir -p "$out"
end=$((SECONDS + minutes * 60))
total=0 runs=0 failed=()

# Processors, then options of the oracle.
configs=(
	'1 '
	'2 --threads 2'
	'4 --threads 3 --ksm'
	'1 --ksm'
	'2 '
	'4 --threads 2'
)

while [ $SECONDS -lt $end ]; do
	config=${configs[runs % ${#configs[@]}]}
	smp=${config%% *} more=${config#* }
	log=$out/$seed.log
	guest=(--kernel "$variant" --mem 384 --smp "$smp" --swap 256 --disk 64 --timeout 1800)
	# shellcheck disable=SC2206	# a list
	oracle=(/tests/oracle --seed "$seed" --ops "$ops" $more)
	status=0
	"$top/scripts/guest.sh" "${guest[@]}" -- "${oracle[@]}" >"$log" 2>&1 || status=$?
	runs=$((runs + 1))
	if [ $status = 0 ]; then
		total=$((total + $(sed -n 's/^# seed [0-9]*: \([0-9]*\) operations, .*/\1/p' "$log" | tail -1)))
		rm -f "$log"
	else
		failed+=("$seed")
		echo "FAILED, status $status: scripts/guest.sh ${guest[*]} -- ${oracle[*]}"
		echo "        see $log"
	fi
	echo "[$((SECONDS / 60)) of $minutes min] $runs seeds, $total operations, ${#failed[@]} failed; last: seed $seed, $smp CPU${more:+, $more}"
	seed=$((seed + 1))
done

[ "${#failed[@]}" = 0 ] || { echo "Seeds that failed: ${failed[*]}"; exit 1; }
echo "No seed failed."
