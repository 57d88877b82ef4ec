#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Fuzzes the reader of images, and cpimg, for MINUTES (default 10), with libFuzzer and
# the address and undefined behaviour sanitizers. What was interesting is kept in
# build/fuzz/corpus for the next time; an input that fails stays in build/fuzz.
. "$(dirname "$0")/lib.sh"

minutes=${MINUTES:-10}
out=$BUILD/fuzz
tests=$top/userspace-tests
tools=$top/userspace-tools

[[ $minutes =~ ^[1-9][0-9]*$ ]] || die "MINUTES=$minutes is no number from 1 on"
step fuzz "Fuzzing the reader for $minutes minutes, in $out"
command -v clang >/dev/null || die "there is no clang: apt-get install clang"

mkdir -p "$out/corpus" "$out/seeds"
includes=(-I"$tools/include" -I"$tests/lib" -D_GNU_SOURCE)
flags=(-std=gnu11 -O1 -g -fno-sanitize-recover=undefined -fprofile-instr-generate -fcoverage-mapping)
logged "$out/build.log" "compiling the seeds" \
	gcc -std=gnu11 -O1 "${includes[@]}" "$tests/fuzz/seeds.c" "$tests/lib/compose.c" -lz -o "$out/make-seeds"
logged "$out/build.log" "compiling the tools" \
	make -j"$JOBS" -C "$tools" OUT="$out/tools" CC=clang \
		CFLAGS="${flags[*]} -fsanitize=fuzzer-no-link,address,undefined"
mapfile -t objects < <(find "$out/tools/obj/cpimg" -name '*.o' ! -name main.o)
logged "$out/build.log" "compiling the target" \
	clang "${flags[@]}" -fsanitize=fuzzer,address,undefined "${includes[@]}" \
	"$tests/fuzz/reader.c" "${objects[@]}" "$out/tools/libcpimg.a" -lelf -lz -lm -o "$out/reader"
"$out/make-seeds" "$out/seeds"

cd "$out"
status=0
LLVM_PROFILE_FILE=$out/reader.profraw ASAN_OPTIONS=detect_leaks=1 \
	./reader -max_total_time=$((60 * minutes)) -max_len=8192 -timeout=10 \
	-rss_limit_mb=2048 -close_fd_mask=3 -print_final_stats=1 corpus seeds \
	>log 2>&1 || status=$?
grep -E 'stat::(number_of_executed|average_exec)' log || true
grep -E '^#[0-9].*(DONE|NEW|REDUCE|pulse)' log | tail -n 1

profdata=$(command -v llvm-profdata || find /usr/lib/llvm-*/bin -name llvm-profdata 2>/dev/null | sort -V | tail -n 1)
if [ "$profdata" ] && [ -s reader.profraw ]; then
	"$profdata" merge -sparse reader.profraw -o reader.profdata
	"$(dirname "$(readlink -f "$profdata")")/llvm-cov" report ./reader \
		-instr-profile=reader.profdata >coverage 2>/dev/null || true
	awk '$10 ~ /%/ { sub(/.*\//, "", $1); printf "  %-20s lines covered %s\n", $1, $10 }' coverage
fi
if [ "$status" != 0 ]; then
	grep -E 'ERROR|SUMMARY|runtime error|Test unit written' log >&2 || tail -n 20 log >&2
	die "the reader failed; the input and the log are in $out"
fi
say "Nothing found ($(elapsed))."
