#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# All that is random, with seed after seed and in guests of all kinds, as long as one
# likes:
#
#	make soak MINUTES=30			# on the debug kernel: CP_VARIANT=debug
#
# A seed is one guest: it says which program runs (the oracle mostly), with how many
# processors, how the kernel is preempted (kernels with CONFIG_PREEMPT_DYNAMIC, as the
# debug one is) and whether huge pages come by themselves. Every seed leaves a line in
# build/run/soak/seeds: the next run goes on from there, and all of them together are
# the table at the end; MINUTES=0 prints just that. The output of one that fails stays
# there too. OPS=N sets the operations of a seed, FIRST=N the first seed.
. "$(dirname "$0")/lib.sh"

minutes=${MINUTES:-10}
variant=${CP_VARIANT:-normal}
out=$BUILD/run/soak
seeds=$out/seeds
mkdir -p "$out"
[ -f "$seeds" ] ||
	echo '# seed kernel processors preempt huge-pages program done seconds status' >"$seeds"
last=$(awk '!/^#/ { n = $1 } END { print n }' "$seeds")
seed=${FIRST:-$((${last:-$((RANDOM * 32768 + RANDOM))} + 1))}

# Something random is to be found again, so it comes from the seed: not out of a
# subshell, where bash begins a random sequence of its own.
one_of() {	# VARIABLE VALUE...
	local name=$1
	shift $((1 + RANDOM % ($# - 1)))
	printf -v "$name" %s "$1"
}

# With the memory and disks that the test has; how many processors is what is random.
machine_of() {	# ROOM/NAME
	read -ra machine < <(guests_of "$top/userspace-tests/$1.c")
	program=("/tests/${1##*/}")
}

choose() {
	local ops=$1
	RANDOM=$seed
	one_of smp 1 2 4
	one_of thp always madvise never
	preempt=-
	guest=(--kernel "$variant" --smp "$smp" --timeout 3600
	       --append "transparent_hugepage=$thp")
	if grep -q '^CONFIG_PREEMPT_DYNAMIC=y' "$kernels/$variant/.config" 2>/dev/null; then
		one_of preempt none voluntary full
		guest+=(--append "preempt=$preempt")
	fi
	case $((RANDOM % 10)) in
	0)	machine_of trust/random_calls
		program+=("$ops" "$seed") ;;
	1)	machine_of trust/survives ;;
	*)	machine_of oracle/oracle
		program+=(--seed "$seed" --ops "$ops")
		[ "$smp" = 1 ] || program+=(--threads $((RANDOM % smp)))
		[ $((RANDOM % 3)) != 0 ] || program+=(--ksm) ;;
	esac
	guest=("${machine[@]}" "${guest[@]}")
}

# What the programs say they have done.
done_by() {	# LOG
	sed -n -e 's/^# seed [0-9]*: \([0-9]*\) operations, .*/\1/p' \
		-e 's/^# \([0-9]*\) calls, .* images checked.*/\1/p' \
		-e 's/^ok .*fifty_kills.*/50/p' "$1" | tail -n 1
}

# One row for each kernel, program, and kind of guest; a seed counts in five of them.
table() {
	awk '
	function count(order, row) {
		row = order row
		seeds[row]++; time[row] += $8 / 60; failed[row] += $9 != 0
		if ($6 == "oracle") operations[row] += $7
	}
	!/^#/	{
		sub(".*/", "", $6)
		count(1, $2 " kernel"); count(2, $6); count(3, $3 " CPU")
		if ($4 != "-") count(4, "preempt=" $4)
		count(5, "huge pages " $5); count(9, "all")
	}
	END	{
		printf "%-24s %6s %20s %8s %7s\n", "", "seeds", "oracle operations",
			"minutes", "failed"
		for (row in seeds)
			printf "%s%-23s %6d %20d %8.1f %7d\n", substr(row, 1, 1),
				substr(row, 2), seeds[row], operations[row], time[row],
				failed[row] | "sort | cut -c 2-"
	}' "$seeds"
}

step soak "All that is random, $minutes minutes on the $variant kernel"
# The guest ends at ^C as well, in its own way, which is no result of its seed.
trap 'echo; table; exit 130' INT
end=$((SECONDS + minutes * 60)) failed=()
for ((; SECONDS < end; seed++)); do
	if [ "$variant" = debug ]; then choose "${OPS:-2500}"; else choose "${OPS:-20000}"; fi
	log=$out/$seed.log
	status=0 began=$SECONDS
	"$top/scripts/guest.sh" "${guest[@]}" -- "${program[@]}" >"$log" 2>&1 || status=$?
	count=$(done_by "$log") took=$((SECONDS - began))
	echo "$seed $variant $smp $preempt $thp ${program[0]} ${count:-0} $took $status" >>"$seeds"
	if [ "$status" = 0 ]; then
		rm -f "$log"
	else
		failed+=("$seed")
		echo "FAILED, status $status: scripts/guest.sh ${guest[*]@Q} -- ${program[*]}"
		echo "        see $log"
	fi
	echo "[$((SECONDS / 60)) of $minutes min] seed $seed: ${program[*]#/tests/}, $smp CPU," \
		"preempt $preempt, huge pages $thp: ${count:-0} in $took s; ${#failed[@]} failed"
done
table
[ "${#failed[@]}" = 0 ] || { echo "Seeds that failed: ${failed[*]}"; exit 1; }
echo "No seed failed."
