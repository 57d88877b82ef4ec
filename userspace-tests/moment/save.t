#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# `cpimg save`, this machine's cpimg in a guest, saves a process of five threads that
# knows nothing of it: once, and again and again till it ends.
. "$(dirname "$0")/../lib/host.sh"

plan_with_tools 17

cpimg=$RUN_DIR/tools/cpimg
folder=$RUN_DIR/images

save() {	# SECONDS ARGUMENTS-OF-SAVE
	local seconds=$1
	shift
	rm -rf "$folder"
	mkdir "$folder"
	"$GUEST" --kernel "${CP_VARIANT:-normal}" --mem 512 --smp 2 --timeout 600 \
		--share "$folder" --with "$cpimg:/cpimg" -- /tests/from_outside "$seconds" \
		/cpimg save --dir /host "$@" >"$saw" 2>&1
}

images() {	# how many
	find "$folder" -name '*-cp*' | wc -l
}

saw=$RUN_DIR/once
save 0 PID
ok "save: it goes on, and notices nothing"
has '^/host/[0-9]*-cp1: incremental, .*, one moment of 5 threads, stood still for [0-9.]+ ms$' &&
	[ "$(images)" = 2 ]
ok "save: two images, the second of one moment"
newest=$(find "$folder" -name '*-cp1')
saw=$RUN_DIR/verify
"$cpimg" verify "$newest" >"$saw" 2>&1
ok "save: the chain is whole"
saw=$RUN_DIR/gdb
rm -f "$RUN_DIR/flat"; "$cpimg" flatten "$newest" "$RUN_DIR/flat" >"$saw" 2>&1 &&
	timeout 120 gdb -nx -batch -iex "set debuginfod enabled off" \
		"$TESTS_DIR/from_outside" -c "$RUN_DIR/flat" -ex 'info threads' \
		-ex 'thread apply all backtrace' >"$saw" 2>&1
[ "$(number '^\*? +[1-5] +.*LWP')" = 5 ]
ok "gdb: five threads"
[ "$(number '^#[0-9]+ .* writer \(')" = 4 ] && has '^#[0-9]+ .* read \('
ok "gdb: and where each of them is"

# Each writer's pages have one number, and from some page on the one before it.
saw=$RUN_DIR/torn
gdb -nx -batch -iex "set debuginfod enabled off" "$TESTS_DIR/from_outside" \
	-c "$RUN_DIR/flat" -ex 'python
mem = gdb.lookup_static_symbol("memory").value()
for thread in range(4):
    words = [int(mem[thread][page * 512]) for page in range(64)]
    whole = words == sorted(words, reverse=True) and words[0] - words[-1] <= 1
    print("thread", thread, words[0], words[-1], "whole" if whole and words[0] else "TORN")
' >"$saw" 2>&1
[ "$(number '^thread [0-3] .* whole$')" = 4 ]
ok "what the four of them wrote is of one moment"

saw=$RUN_DIR/every
save 15 --every 0.5 --keep 3 PID
ok "--every --keep: till it ends"
[ "$(number 'one moment of 5 threads')" -ge 3 ]
ok "--every: three moments and more"
left=$(images)
echo "# $left images are left"
[ "$left" -ge 3 ] && [ "$left" -lt 6 ]
ok "--keep: not twice as many images"
newest=$(find "$folder" -name '*-cp*' | sort -V | tail -n 1)
saw=$RUN_DIR/verify
"$cpimg" verify "$newest" >"$saw" 2>&1
ok "--keep: the chain is whole"

saw=$RUN_DIR/loose
save 0 --loose PID
ok "--loose: it goes on, and notices nothing"
has '^/host/[0-9]*-cp0: full, ' && ! has 'moment' && [ "$(images)" = 1 ]
ok "--loose: one image, of no moment"
"$cpimg" show "$folder"/*-cp0 >"$RUN_DIR/show" 2>&1
saw=$RUN_DIR/show
[ "$(readelf -n "$folder"/*-cp0 2>/dev/null | grep -c NT_PRSTATUS)" = 5 ]
ok "--loose: with the registers of five threads"

saw=$RUN_DIR/nobody
save 0 4999
[ $? = 1 ] && has 'process 4999: No such process' && [ "$(images)" = 0 ]
ok "a process that is not there"
saw=$RUN_DIR/kernel
save 0 2
[ $? = 1 ] && has "^cpimg: process 2: " && [ "$(images)" = 0 ]
ok "a thread of the kernel"
saw=$RUN_DIR/usage
good=true
for bad in "" "1 2" "--every x 1" "--keep 0 1" "--stop 0 1" "nobody" "0" "--what 1"; do
	# shellcheck disable=SC2086
	"$cpimg" save $bad >"$saw" 2>&1
	[ $? = 2 ] || { echo "# save $bad: not an error of usage"; good=false; }
done
$good
ok "what cannot be asked for"
