#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# An image of 70,001 runs, whose program headers e_phnum cannot count, read by
# programs that know nothing of us.
. "$(dirname "$0")/../lib/host.sh"

runs=70001
image=$RUN_DIR/many

plan 8

export_image many --mem 640 -- runs $runs || no_image

saw=$RUN_DIR/readelf
readelf -hlW "$image" >"$saw" 2>"$saw.err" && [ ! -s "$saw.err" ]
ok "readelf has nothing to complain about"
has "Number of program headers: +65535 \($((runs + 1))\)" && [ "$(number '^  LOAD ')" = $runs ]
ok "readelf finds $((runs + 1)) program headers"

saw=$RUN_DIR/eu-readelf
if command -v eu-readelf >/dev/null; then
	eu-readelf -hl "$image" >"$saw" 2>"$saw.err" && [ ! -s "$saw.err" ] &&
		[ "$(number '^  LOAD ')" = $runs ]
	ok "eu-readelf finds as many"
else
	skip "eu-readelf finds as many" "not installed"
fi

saw=$RUN_DIR/gdb
# The range is the alternating pages only; their third run holds 3.
first=$(sed -n 's/^  LOAD  *0x[0-9a-f]*  *\(0x[0-9a-f]*\).*/\1/p' "$RUN_DIR/readelf" | head -n 1)
# shellcheck disable=SC2016	# $rip is gdb's
timeout 300 gdb -nx -batch -c "$image" -ex "x/1dw $first + 8192" \
	-ex "x/1dw $first + $(((runs - 1) * 4096))" -ex 'print $rip' >"$saw" 2>&1 &&
	has ':[[:space:]]3$' && has ":[[:space:]]$runs\$"
ok "gdb finds the memory of the third and the last"
has '^.1 = .*0x'
ok "gdb finds the registers"

# cpimg writes as many, and draws them.
cpimg=${BUILD:?}/tools/cpimg
saw=$RUN_DIR/cpimg
rm -f "$RUN_DIR/flat"
"$cpimg" flatten "$image" "$RUN_DIR/flat" >"$saw" 2>&1 && "$cpimg" verify "$RUN_DIR/flat" >>"$saw" 2>&1 &&
	"$cpimg" diff "$image" "$RUN_DIR/flat" >>"$saw" 2>&1 && has 'good: 1 image' && has 'differ: 0$'
ok "cpimg flattens it: the same memory"
saw=$RUN_DIR/readelf
readelf -hlW "$RUN_DIR/flat" >"$saw" 2>"$saw.err" && [ ! -s "$saw.err" ] &&
	has "Number of program headers: +65535 \($((runs + 1))\)" && [ "$(number '^  LOAD ')" = $runs ]
ok "readelf finds $((runs + 1)) program headers in that, too"
saw=$RUN_DIR/map
"$cpimg" map -o "$RUN_DIR/many.svg" "$image" >"$saw" 2>&1 && grep -c '<path' "$RUN_DIR/many.svg" >"$saw" &&
	[ "$(stat -c %s "$RUN_DIR/many.svg")" -lt 100000 ]
ok "cpimg draws it in less than 100 kB"
rm -f "$RUN_DIR/flat"
