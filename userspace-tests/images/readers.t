#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Programs that know nothing of us read an image: readelf, eu-readelf, gdb,
# pyelftools. What they print is what the program was at the moment of the call.
. "$(dirname "$0")/../lib/host.sh"

plan 31

# check NAME PROGRAM BITS
check() {
	local image=$RUN_DIR/$1 program=$TESTS_DIR/$2 class=ELF$3 machine
	case $3 in
	64) machine='X86-64' ;;
	32) machine='Intel 80386' ;;
	esac

	saw=$RUN_DIR/$1.readelf
	readelf -hlnW "$image" >"$saw" 2>"$saw.err" && [ ! -s "$saw.err" ]
	ok "$1: readelf has nothing to complain about"
	has "Class: +$class" && has 'Type: +CORE' && has "Machine: .*$machine"
	ok "$1: readelf: class, type and machine"
	has 'LOAD +0x001000 ' && has '^  NOTE ' && has '(LOOS\+0xc637002|<unknown>: 6c637002)'
	ok "$1: readelf: data at the second page, notes, skipped runs"
	has 'CORE .*NT_PRSTATUS' && has 'CORE .*NT_PRPSINFO' && has 'CORE .*NT_AUXV' &&
		has 'CORE .*NT_FILE' && has 'CORE .*NT_FPREGSET' &&
		has 'CP_RANGE .*(0x)?43505247'
	ok "$1: readelf: the notes"
	saw=$RUN_DIR/$1.eu-readelf
	if command -v eu-readelf >/dev/null; then
		eu-readelf -a "$image" >"$saw" 2>"$saw.err" && [ ! -s "$saw.err" ] &&
			has 'PRSTATUS' && has "fname: $(echo "$2" | cut -c1-15)" &&
			has "(orig_rax|orig_eax): +600" && has " /tests/$2$"
		ok "$1: eu-readelf -a: no complaint, the program, its file, the system call"
	else
		skip "$1: eu-readelf" "not installed"
	fi

	saw=$RUN_DIR/$1.gdb
	timeout 120 gdb -nx -batch "$program" -c "$image" \
		-ex 'print ship' -ex 'print cargo[12345]' -ex 'print hold[1000]' \
		-ex 'backtrace' -ex 'info registers' -ex 'frame function voyage' \
		-ex 'print sailed' -ex 'info files' >"$saw" 2>&1 &&
		has 'name = 0x[0-9a-f]+ .*"Beagle", tons = 242, log = \{1831, 1832, 1833, 1836\}'
	ok "$1: gdb: a structure and the string it points to"
	has "= $(((1 + 12345 * 2654435761) % 4294967296))$" && has "104 'h'"
	ok "$1: gdb: an array, and the heap"
	grep -E '^#[0-9]+' "$saw" | tr '\n' ' ' |
		grep -Eq 'harbour \(.* voyage \(.* main \(' && has '= 4711$'
	ok "$1: gdb: the backtrace of the call, and a variable on the stack"
	# The program's file is here, not where the guest had it.
	! grep -v "open file /tests/$2 during file-backed mapping" "$saw" |
		grep -Eiq '(warning|unexpected|cannot|corrupt|failed|not a core)'
	ok "$1: gdb: no warning"
}

export_image static -- standstill asm all || no_image
check static standstill 64
export_image dynamic -- standstill_dyn asm all || no_image
check dynamic standstill_dyn 64
export_image i386 -- standstill_32 asm all || no_image
check i386 standstill_32 32

saw=$RUN_DIR/i386.gdb
has '^ebx +0x0 ' && has '^ecx +0xffffffff ' && has '^eip .*<(harbour|stand_still)\+'
ok "i386: gdb: the registers"

saw=$RUN_DIR/dynamic.gdb
has 'ld-musl-x86_64'
ok "dynamic: gdb: the libraries"

# As most programs call. What lies above is for gdb only where the libc has its
# unwind tables: Debian's musl has none.
if export_image by_libc -- standstill_dyn libc all; then
	saw=$RUN_DIR/by_libc.gdb
	timeout 120 gdb -nx -batch "$TESTS_DIR/standstill_dyn" \
		-c "$RUN_DIR/by_libc" -ex 'print ship.log' -ex 'backtrace' >"$saw" 2>&1 &&
		has '1831, 1832' && has '^#0 .*syscall'
fi
ok "dynamic by libc: gdb: stands in the libc's syscall()"

# Debian's packages are for Debian's python, which may not be the first in PATH.
if $python -c 'import elftools' 2>/dev/null; then
	saw=$RUN_DIR/pyelftools
	$python - "$RUN_DIR/static" >"$saw" 2>&1 <<'END'
import sys
from elftools.elf.elffile import ELFFile

elf = ELFFile(open(sys.argv[1], 'rb'))
assert elf['e_type'] == 'ET_CORE', elf['e_type']
kinds = [s['p_type'] for s in elf.iter_segments()]
assert kinds[0] == 'PT_NOTE', kinds[0]
notes = {n['n_name'] for s in elf.iter_segments() if s['p_type'] == 'PT_NOTE'
         for n in s.iter_notes()}
assert 'CP_RANGE' in notes, notes
data = [s for s in elf.iter_segments() if s['p_type'] == 'PT_LOAD' and s['p_filesz']]
assert data and any(b'Beagle' in s.data() for s in data)
END
	ok "pyelftools reads it"
else
	skip "pyelftools reads it" "not installed"
fi
