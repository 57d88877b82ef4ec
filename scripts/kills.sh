#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Programs of this Debian, and some of our own, run under cprun in guests and are killed at
# random moments: cprun, its space, the program, while a checkpoint is being made, with a
# full disk, by a power cut. Started again by the same command they go on, and what they
# leave in the end has to be what an undisturbed run leaves:
#
#	make kills COUNT=20 PROGRAMS="python xz"
#
# SEED=N repeats a run, as far as the moments are alike. What was said stays in
# build/run/kills/PROGRAM.log.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"

count=${COUNT:-20}
seed=${SEED:-$((RANDOM * 32768 + RANDOM))}
variant=${CP_VARIANT:-normal}
out=$BUILD/run/kills
system=$out/system.img
root=$out/root

# What runs, and what it leaves; "out" is its standard output. Each takes half a minute or
# so in a guest that is emulated, in a folder beside "work", which is what it works on.
# What has no folder here is Debian's.
declare -A command results
programs=()
program() {	# NAME RESULTS PROGRAM ARGUMENTS...
	local name=$1 path=$3
	programs+=("$name")
	results[$name]=$2
	shift 3
	[[ $path == */* ]] || path=$(PATH=/usr/bin:/bin type -P "$path") || die "$name: there is no $path"
	command[$name]=$(printf '%q ' "$path" "$@")
}
program python out python3 ../work/threads.py 160
program xz out xz -T2 -9e -k --block-size=1MiB -c ../work/text
program sqlite out sqlite3 -init ../work/rows.sql db .quit
program lua out lua5.4 ../work/queens.lua 9
program gawk out gawk -f ../work/words.awk ../work/text ../work/text
program bc out bc -lq ../work/digits.bc
program openssl secret openssl enc -aes-256-cbc -pbkdf2 -iter 3000000 -S 0011223344556677 \
	-pass pass:none -in ../work/text -out secret
program cc1 large.s "$(gcc -print-prog-name=cc1)" -quiet -O2 -fpreprocessed ../work/large.i -o large.s
program solver out ../work/toil solver 30000
program writer 'appended sought mapped out' ../work/toil writer 9000
program signals out ../work/toil signals 3000

wanted=("$@")
[ "${#wanted[@]}" -gt 0 ] || wanted=("${programs[@]}")
for name in "${wanted[@]}"; do
	[ "${command[$name]:-}" ] || die "there is no program $name; there are: ${programs[*]}"
done

# What the programs are given to work on.
write_work() {	# FOLDER
	cat >"$1/threads.py" <<'END'
import hashlib, queue, sys, threading
jobs, done = queue.Queue(), {}
def work():
    while (n := jobs.get()) is not None:
        state, table = b"%d" % n, {}
        for i in range(12000):
            state = hashlib.sha256(state).digest()
            table[state[0]] = table.get(state[0], 0) + state[1]
        done[n] = sum(k * v for k, v in table.items())
        print("done", n, flush=True) if threads == 1 else None
threads = 4
team = [threading.Thread(target=work) for _ in range(threads)]
for t in team:
    t.start()
for n in range(int(sys.argv[1])):
    jobs.put(n)
for t in team:
    jobs.put(None)
for t in team:
    t.join()
for n in sorted(done):
    print(n, done[n])
END
	cat >"$1/rows.sql" <<'END'
PRAGMA journal_mode=DELETE;
PRAGMA cache_size=50;
CREATE TABLE IF NOT EXISTS numbers(n INTEGER PRIMARY KEY, square INTEGER, text TEXT);
END
	awk 'BEGIN {
		for (i = 0; i < 400; i++)
			printf "INSERT OR REPLACE INTO numbers WITH RECURSIVE c(x) AS (SELECT %d UNION ALL SELECT x + 1 FROM c WHERE x < %d) SELECT x, x * x, hex(x * 7919) FROM c;\n", i * 500, i * 500 + 499
		print "SELECT count(*), sum(square), max(text) FROM numbers;"
		print "PRAGMA integrity_check;"
	}' >>"$1/rows.sql"
	cat >"$1/queens.lua" <<'END'
local n, found = tonumber(arg[1]), 0
local function place(row, cols, left, right, path)
	if row > n then found = found + 1; print(found, path) return end
	for c = 1, n do
		if not cols[c] and not left[row + c] and not right[row - c] then
			cols[c], left[row + c], right[row - c] = true, true, true
			place(row + 1, cols, left, right, path .. c)
			cols[c], left[row + c], right[row - c] = nil, nil, nil
		end
	end
end
for round = 1, 200 do place(1, {}, {}, {}, "") end
END
	cat >"$1/words.awk" <<'WORDS'
{ for (i = 1; i <= NF; i++) { seen[$i]++; sum = (sum * 31 + length($i) * seen[$i]) % 1000003 } }
NR % 5000 == 0 { print NR, sum }
END { n = asorti(seen, names); for (i = 1; i <= n; i += 97) print names[i], seen[names[i]]; print sum }
WORDS
	echo 'scale=3300; 4*a(1); scale=900; e(1)' >"$1/digits.bc"
	awk 'BEGIN {
		srand(1)
		for (i = 0; i < 60000; i++) {
			line = i
			for (j = 0; j < 12; j++)
				line = line " w" int(rand() * 40000)
			print line
		}
	}' >"$1/text"
	awk 'BEGIN {
		for (i = 0; i < 500; i++) {
			printf "int f%d(int *a, int n)\n{\n\tint s = %d;\n\n", i, i
			printf "\tfor (int i = 0; i < n; i++) {\n\t\tswitch (a[i] %% %d) {\n", i % 7 + 9
			for (j = 0; j < 9; j++)
				printf "\t\tcase %d: s = s * %d + a[(i + %d) %% n]; break;\n", j, i + j + 3, j
			print "\t\t}\n\t}"
			if (i)
				printf "\treturn s ^ f%d(a, n - 1);\n}\n\n", int(i / 2)
			else
				print "\treturn s;\n}\n"
		}
	}' >"$1/large.c"
	gcc -E -o "$1/large.i" "$1/large.c"
}

# A file or folder, to where it is here.
put() {	# PATH...
	local path
	for path; do
		mkdir -p "$root$(dirname "$path")"
		cp -aL "$path" "$root$(dirname "$path")/"
	done
}

pack() {
	local name words python files=() libraries
	rm -rf "$root"
	mkdir -p "$root"/{bin,dev,jobs/work,images,proc,sys,tmp,usr/bin}
	put "$BUILD/tools/cprun"
	mv "$root$BUILD/tools/cprun" "$root/bin/cprun"
	cp "$tests/toil" "$root/jobs/work/"
	for name in "${programs[@]}"; do
		eval "words=(${command[$name]})"
		# shellcheck disable=SC2154	# it is set there
		[[ ${words[0]} != /* ]] || files+=("${words[0]}")
	done
	put "${files[@]}"
	# its own library, without what others have put there
	python=$(/usr/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
	mkdir -p "$root${python%/*}"
	cp -a "$python" "$root${python%/*}/"
	rm -rf "$root$python"/{test,idlelib,lib2to3,ensurepip,config-*}
	mapfile -t libraries < <(libraries_of "$BUILD/tools/cprun" "${files[@]}" "$python"/lib-dynload/*.so)
	put "${libraries[@]}"
	write_work "$root/jobs/work"
	chmod -R u=rwX,go=rX "$root"
	new_ext4 "$system" 700 -d "$root"
}

# What happens, from the seed: bash begins a random sequence when RANDOM is set, and not
# in a subshell. Each kind comes as often, in some order; one in five cuts the power.
kinds=(cprun checkpoint power space checkpoint program full power-checkpoint checkpoint saver cprun full power-full)
choose() {	# INDEX; what happens goes to kills
	local i
	RANDOM=$((seed + $1))
	kills=()
	for ((i = 0; i < count; i++)); do
		kills+=("${kinds[(i + $1 * 5 + RANDOM % 3) % ${#kinds[@]}]}:$((RANDOM % 4000 + RANDOM % 2000))")
	done
}

# Guests one after the other: each but the last has its power cut.
run_program() {	# NAME
	local name=$1 words file options=() i=0 status upto log=$out/$1.log
	eval "words=(${command[$name]})"
	for file in ${results[$name]}; do
		options+=(--result "$file")
	done
	cp --sparse=always "$system" "$out/disk.img"
	new_ext4 "$out/images.img" 1000
	: >"$log"
	guest --undisturbed "${options[@]}" "$name" -- "${words[@]}" || return 1
	while :; do
		upto=()
		while [ "$i" -lt "${#kills[@]}" ]; do
			upto+=("${kills[i]}")
			i=$((i + 1))
			[[ ${kills[i - 1]} != power* ]] || break
		done
		status=0
		guest --seed $((seed + i)) --under "/bin/cprun -v --every 1 --dir /images/$name" "${options[@]}" \
			"$name" ${upto[@]+"${upto[@]}"} -- "${words[@]}" || status=$?
		[ "$status" = 124 ] || return "$status"
		# the last was a power cut: what is left is to end
	done
}

guest() {	# WORDS-OF-KILLER
	nice "$top/scripts/guest.sh" --kernel "$variant" --power-cut --mem 1024 --smp 2 --timeout 1800 \
		--disk "$out/disk.img" --disk "$out/images.img" --append no_hash_pointers -- /tests/killer "$@" \
		</dev/null >>"$log" 2>&1
}

# How often a line is in the log that was not said by what is killed.
number() {	# REGEX
	grep -Ec -- "$1" "$out/$name.log" || true
}

row() {
	printf '%-9s %6s %11s %6s %6s %8s %8s  %s\n' "$@"
}

step kills "Programs are killed, $count times each, and go on; SEED=$seed"
mkdir -p "$out"
pack
table=() failed=()
for name in "${wanted[@]}"; do
	for ((index = 0; index < ${#programs[@]}; index++)); do
		[ "${programs[index]}" != "$name" ] || break
	done
	choose "$index"
	status=0 began=$SECONDS
	run_program "$name" || status=$?
	result="the same, $(number '^killer: the results are the same') times"
	if [ "$status" != 0 ]; then
		failed+=("$name")
		result="FAILED: $(grep -E 'FAILED|killer: |guest.sh: ' "$out/$name.log" | tail -n 1)"
	fi
	# "power cut" is once a kill
	table+=("$(row "$name" "$(number '^killed: ')" "$(number '^in a checkpoint: yes')" \
		"$(number '^killed: (power-)?full')" "$(number '^killed: power')" \
		"$(number ': the program goes on from there')" "$(number 'begins anew')" "$result")")
	say "  ${table[-1]} ($((SECONDS - began)) s, undisturbed $(sed -n 's/^undisturbed: //p' "$out/$name.log"))"
done
row program kills checkpoint full power resumed anew result
printf '%s\n' "${table[@]}"
[ "${#failed[@]}" = 0 ] || die "failed: ${failed[*]}; SEED=$seed repeats it, and $out/PROGRAM.log has what was said"
say "None failed ($(elapsed))."
