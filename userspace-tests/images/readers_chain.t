#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Programs that know nothing of us read a chain: its full image, an incremental one
# and what cpimg flatten makes of it. readelf, eu-readelf, gdb, pyelftools; what they
# print is what helpers/story.h wrote at that checkpoint.
. "$(dirname "$0")/../lib/host.sh"

cpimg=${BUILD:?}/tools/cpimg

plan 36

rm -rf "$RUN_DIR"/story*
"$GUEST" --kernel "$CP_VARIANT" --timeout 600 --share "$RUN_DIR" /tests/tellers /host story story_32 story_dyn >&2 || no_image

# How many of an image's runs are of that class.
runs() {	# IMAGE CLASS
	"$cpimg" show -v "$1" | grep -Ec "^  [0-9a-f]{16}-[0-9a-f]{16} .* $2 "
}

# check NAME IMAGE PROGRAM BITS CHECKPOINT
check() {
	local name=$1 image=$2 program=$3 bits=$4 k=$5 same=0 skipped
	saw=$RUN_DIR/$name.readelf
	readelf -hlnW "$image" >"$saw" 2>"$saw.err" && [ ! -s "$saw.err" ] &&
		has "Class: +ELF$bits" && has 'Type: +CORE' &&
		has 'CORE .*NT_PRSTATUS' && has 'CORE .*NT_FILE' && has 'CP_RANGE .*(0x)?43505247'
	ok "$name: readelf: no complaint, the class, the notes"
	case $name in *incremental) same=$(runs "$image" SAME) && [ "$same" -gt 3 ] ;; esac &&
		[ "$(number '^  (LOOS\+0xc637001|<unknown>: 6c637001)')" = "$same" ] &&
		skipped=$(runs "$image" SKIPPED) && [ "$skipped" -ge 3 ] &&
		[ "$(number '^  (LOOS\+0xc637002|<unknown>: 6c637002)')" = "$skipped" ] &&
		[ "$(number '^  LOAD ')" = $(($(runs "$image" DATA) + $(runs "$image" HOLE))) ]
	ok "$name: readelf: LOAD, SAME and SKIPPED, as many as there are"

	saw=$RUN_DIR/$name.eu-readelf
	if command -v eu-readelf >/dev/null; then
		eu-readelf -a "$image" >"$saw" 2>"$saw.err" && [ ! -s "$saw.err" ] &&
			has "fname: $program" && has '(orig_rax|orig_eax): +601' && has " /tests/$program$" &&
			[ "$(number '^  LOAD ')" -gt 5 ]
		ok "$name: eu-readelf -a: no complaint, the program, the system call"
	else
		skip "$name: eu-readelf -a" "not installed"
	fi

	saw=$RUN_DIR/$name.gdb
	timeout 120 gdb -nx -batch "$TESTS_DIR/$program" -c "$image" -ex 'print chapter' \
		-ex 'backtrace' -ex 'x/1xb 0x20000000 + 3 * 4096' -ex 'print ledger[2][5]' \
		>"$saw" 2>&1 || true
	has "^.1 = $k$" && has '^#[0-9] .*save \(from=' && has '^#[0-9] .*main \('
	ok "$name: gdb: the variable of that moment, and the backtrace"
	if [ "$same" = 0 ]; then
		# page 3 of the field: as written at checkpoint 0 or 1
		has "0x20003000:[[:space:]]+0x$(printf %02x $((1 + 21 + (k > 0) * 31)))$" &&
			has "= $([ "$k" = 0 ] && echo "0 '.000'" || echo "120 'x'")"
		ok "$name: gdb: memory that was written at an older checkpoint, too"
	else
		has 'Cannot access memory at address 0x20003000'
		ok "$name: gdb: of what did not change the image has nothing, which gdb says"
	fi
}

# pyelftools finds the field: page by page, what the program had.
fields() {	# IMAGE FIELD-FILE PAGES-AT-LEAST
	$python - "$@" <<'END'
import sys
from elftools.elf.elffile import ELFFile
image, truth, least = sys.argv[1], open(sys.argv[2], 'rb').read(), int(sys.argv[3])
elf, base, seen = ELFFile(open(image, 'rb')), 0x20000000, 0
assert elf['e_type'] == 'ET_CORE'
assert 'CP_RANGE' in {n['n_name'] for s in elf.iter_segments()
                      if s['p_type'] == 'PT_NOTE' for n in s.iter_notes()}
for s in elf.iter_segments():
    at = s['p_vaddr'] - base
    if s['p_type'] != 'PT_LOAD' or not 0 <= at < len(truth):
        continue
    data = s.data().ljust(s['p_memsz'], b'\0')
    assert data == truth[at:at + s['p_memsz']], hex(s['p_vaddr'])
    seen += s['p_memsz'] // 4096
print(seen)
assert seen >= least
END
}

for program in story story_32; do
	bits=64
	[ $program = story ] || bits=32
	set -- "$RUN_DIR/$program"/*-cp0
	base=${1%0}
	rm -f "$RUN_DIR/$program.flat"
	"$cpimg" flatten "${base}3" "$RUN_DIR/$program.flat" || no_image
	check $program.full "${base}0" $program $bits 0
	check $program.incremental "${base}3" $program $bits 3
	check $program.flattened "$RUN_DIR/$program.flat" $program $bits 3
	if $python -c 'import elftools' 2>/dev/null; then
		saw=$RUN_DIR/pyelftools
		{ fields "${base}0" "$RUN_DIR/$program/field0" 256 &&
			fields "${base}3" "$RUN_DIR/$program/field3" 1 &&
			fields "$RUN_DIR/$program.flat" "$RUN_DIR/$program/field3" 256; } >"$saw" 2>&1
		ok "$program: pyelftools: the bytes of full, incremental and flattened"
	else
		skip "$program: pyelftools" "not installed"
	fi
done

# Which programs and libraries, and which builds of them: debuggers look for their symbols
# by that. It is in the first page of each, which every image has.
build_id() {	# FILE
	readelf -n "$1" | sed -n 's/.*Build ID: //p'
}
if command -v eu-unstrip >/dev/null; then
	set -- "$RUN_DIR/story_dyn"/*-cp0
	base=${1%0}
	rm -f "$RUN_DIR/story_dyn.flat"
	"$cpimg" flatten "${base}3" "$RUN_DIR/story_dyn.flat" || no_image
	for image in "$1" "${base}1" "${base}3" "$RUN_DIR/story_dyn.flat"; do
		saw=$RUN_DIR/unstrip
		eu-unstrip -n --core="$image" >"$saw" 2>&1
		[ "$(number "$(build_id "$TESTS_DIR/story_dyn")@.* /tests/story_dyn$")" = 2 ] &&
			has "$(build_id "$BUILD/initramfs/lib/ld-musl-x86_64.so.1")@"
		ok "$(basename "$image" | sed 's/.*-//'): eu-unstrip finds the build-ids of program and loader"
	done
else
	for image in cp0 cp1 cp3 flat; do
		skip "$image: eu-unstrip finds the build-ids of program and loader" "not installed"
	done
fi
