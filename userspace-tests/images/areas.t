#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Images of several ranges, as cp_checkpoint() makes them: what lies between was not looked
# at, and no command says of it that it was not mapped. The images are made here, no guest
# is needed; the sanitizers look on.
. "$(dirname "$0")/../lib/host.sh"

cpimg=$RUN_DIR/tools/cpimg
saw=$RUN_DIR/output
export PYTHONDONTWRITEBYTECODE=1

plan 22

run() {	# STATUS ARGUMENTS: cpimg ends with it; its words are in $saw
	local want=$1 status=0
	shift
	"$cpimg" "$@" >"$saw" 2>&1 || status=$?
	[ "$status" = "$want" ] || { echo "# exit status $status"; return 1; }
}

json() {	# EXPRESSION over j, the array; IMAGES...
	local expression=$1
	shift
	"$cpimg" show --json "$@" >"$saw" 2>&1 && $python -c '
import json, sys
j = json.load(open(sys.argv[1]))
sys.exit(not eval(sys.argv[2]))' "$saw" "($expression)"
}

reader() {	# ARGUMENTS: the reader that was written from cp_image(5) alone
	$python "$tests/images/by_the_page.py" "$@" 2>"$saw"
}

# byte IMAGE PAGE WANT: the page begins with it, says cpimg and says the other reader
byte() {
	local at=$(($2 * 4096))
	[ "$("$cpimg" extract "$1" $at +1 2>"$saw")" = "$3" ] &&
		[ "$(reader read "$1" $at $((at + 1)))" = "$3" ]
}

if ! make -s -C "$tools" OUT="$RUN_DIR/tools" CFLAGS="-std=gnu11 -O1 -g -Wall -Wextra -Werror $sanitize" \
	>"$saw" 2>&1; then
	false
	ok "cpimg builds with the sanitizers"
	exit 1
fi
cd "$RUN_DIR" || exit 1
rm -rf one two old many
mkdir one two old many

# An area is its first page and the one after its last; a run is a page, how many, its
# class and, of data, its byte.
cat >compose.py <<'END'
import struct, sys, zlib

PAGE = 4096

def image(folder, n, areas, runs, parent=None, version=2, flags=0, threads=1, stop=0, own_pid=7):
    data, phdrs, pages = b'', [], dict(DATA=0, SAME=0, HOLE=0, SKIPPED=0)
    for page, count, name, *fill in runs:
        kind = {'SAME': 0x6c637001, 'SKIPPED': 0x6c637002}.get(name, 1)
        size = count * PAGE if name == 'DATA' else 0
        phdrs.append(struct.pack('<2I6Q', kind, 6, PAGE + len(data), page * PAGE, 3 * (name == 'SKIPPED'), size,
                                 count * PAGE, PAGE))
        data += b''.join(f.encode() * size for f in fill)
        pages[name] += count
    spans = b''.join(struct.pack('<2Q', a * PAGE, b * PAGE) for a, b in areas)
    own = struct.pack('<6I13Q', version, 240 if version > 1 else 208, 2 if parent is not None else 1,
                      6 if parent is not None else 1, 7, 7, n, areas[0][0] * PAGE, areas[-1][1] * PAGE,
                      areas[0][0] * PAGE, areas[-1][1] * PAGE, PAGE, n + 1, n + 1, *(pages[c] for c in (
                          'DATA', 'SAME', 'HOLE', 'SKIPPED')), len(runs))
    own += struct.pack('<16s16s40s2I', b'id%d' % n, b'' if parent is None else b'id%d' % parent,
                       b'' if parent is None else b'7-cp%d' % parent, 0, 0)
    own += struct.pack('<Q2IQ2I', flags, threads, len(areas), stop, own_pid, 0) * (version > 1)
    def note(kind, content):
        return struct.pack('<3I12s', 9, len(content), kind, b'CP_RANGE') + content
    notes = (note(0x43504152, spans) if len(areas) > 1 else b'') + note(0x43505247, own)
    at = PAGE + len(data)
    phoff, count = at + len(notes) + -(at + len(notes)) % 8, len(phdrs) + 1
    table = struct.pack('<2I6Q', 4, 0, at, 0, 0, len(notes), 0, 4) + b''.join(phdrs)
    section = struct.pack('<2I4Q2I2Q', 0, 0, 0, 0, 0, 1, 0, count, 0, 0) if count >= 0xffff else b''
    crc = struct.pack('<I', zlib.crc32(table + section, zlib.crc32(notes)))
    in_notes = len(notes) - len(own) + 200
    notes = notes[:in_notes] + crc + notes[in_notes + 4:]
    header = b'\x7fELF\2\1\1' + bytes(9) + struct.pack(
        '<HHI3QI6H', 4, 62, 1, 0, phoff, bool(section) * (phoff + len(table)), 0, 64, 56, min(count, 0xffff),
        bool(section) * 64, bool(section), 0)
    with open(f'{folder}/7-cp{n}', 'wb') as file:
        file.write((header.ljust(PAGE, b'\0') + data + notes).ljust(phoff, b'\0') + table + section)

# everything; A and C of one moment; everything, with B as it was in the first
ALL, A, C = (0x80, 0x200), (0x100, 0x108), (0x120, 0x134)
image('one', 0, [ALL], [(0x100, 4, 'DATA', 'a'), (0x110, 4, 'DATA', 'b'), (0x120, 4, 'DATA', 'c')])
image('one', 1, [A, C], [(0x100, 1, 'DATA', 'd'), (0x101, 3, 'SAME'), (0x120, 3, 'SAME'), (0x123, 1, 'DATA', 'e')],
      0, flags=1, threads=3, stop=1234567, own_pid=1)
image('one', 2, [ALL], [(0x100, 4, 'SAME'), (0x110, 4, 'SAME'), (0x120, 4, 'SAME')], 1)
# nothing ever looked at all; the second left C out, the third has it as it was
D, E = (0x160, 0x170), (0x1000, 0x1001)
image('two', 0, [A, C, E], [(0x100, 4, 'DATA', 'a'), (0x120, 4, 'DATA', 'c'), (0x1000, 1, 'DATA', 'x')])
image('two', 1, [A, D], [(0x100, 3, 'SAME'), (0x160, 2, 'DATA', 'd')], 0, flags=1)
image('two', 2, [A, C], [(0x100, 2, 'SAME'), (0x120, 2, 'SAME'), (0x123, 1, 'DATA', 'f')], 1)
image('old', 0, [ALL], [(0x100, 4, 'DATA', 'a')], version=1)
image('old', 1, [ALL], [(0x100, 3, 'SAME'), (0x103, 1, 'DATA', 'b')], 0, version=1)
# as many as a call can have, each with a page; the next ones in turn leave half of them out
spans = [(0x1000 + 4 * i, 0x1002 + 4 * i) for i in range(65536)]
image('many', 0, spans, [(a, 1, 'DATA', 'a') if i < 256 else (a, 1, 'HOLE') for i, (a, _) in enumerate(spans)])
image('many', 1, spans[::2], [(a, 1, 'DATA', 'b') if i < 9 else (a, 1, 'SAME') for i, (a, _) in enumerate(spans[::2])], 0)
image('many', 2, spans, [(a, 1, 'SAME') for a, _ in spans], 1)
END
$python compose.py >"$saw" 2>&1
ok "the images are made"

#
# show and list
#
run 0 show one/7-cp1 && has '^  moment +all of it is from one, its threads stood still for 1\.2 ms$' &&
	has '^  threads +registers of 3$' && has '^  process +7, thread 7, checkpoint 1 \(1 to itself\)$' &&
	has '^  range +0x100000-0x134000 ' && has '^  +2 ranges of it were looked at, 112 KiB in all$'
ok "show: the moment, the threads, the ranges and the own process id"
run 0 show one/7-cp0 && has '^  moment +no$' && has '^  threads +registers of 1$' && ! has 'to itself' && ! has 'were looked at'
ok "show: of an image of no moment it says that"
run 0 show -v one/7-cp1 && has '^  0+100000-0+108000 +32 KiB$' && has '^  0+120000-0+134000 +80 KiB$' &&
	run 0 show -v one/7-cp0 && ! has '^  0+80000-0+200000'
ok "show -v: the ranges, if they are several"
json "j[0]['moment'] is False and j[0]['areas'] == 1 and j[1]['moment'] is True and j[1]['stop_ns'] == 1234567 and
      j[1]['threads'] == 3 and j[1]['own_pid'] == 1 and j[1]['areas'] == 2 and
      j[0]['area_list'] == [{'start': '0x80000', 'end': '0x200000'}] and
      [a['start'] for a in j[1]['area_list']] == ['0x100000', '0x120000']" -v one/7-cp0 one/7-cp1
ok "show --json"
json "j[0]['version'] == 1 and j[0]['moment'] is False and j[0]['threads'] == 1 and j[0]['stop_ns'] == 0 and
      j[0]['own_pid'] == 7 and j[0]['areas'] == 1" old/7-cp1
ok "show --json: an image of version 1"
run 0 list -v one && has '7-cp1 \(one moment\)$' && has '7-cp0$' && run 0 list -j one && has '"n": 1' &&
	[ "$(number '"moment": true')" = 1 ]
ok "list: which images are of one moment"

#
# what a chain says
#
good() {	# IMAGES: so says who reads by the page
	for image; do
		reader verify "$image" || return 1
	done
}
run 0 verify one/7-cp2 two/7-cp2 old/7-cp1 && [ "$(number ': good: ')" = 3 ] && good one/7-cp2 two/7-cp2 old/7-cp1
ok "verify: the chains are good, and so says who reads by the page"
byte one/7-cp2 0x100 d && byte one/7-cp2 0x101 a && byte one/7-cp2 0x110 b && byte one/7-cp2 0x113 b &&
	byte one/7-cp2 0x123 e && byte two/7-cp2 0x120 c && byte two/7-cp2 0x123 f && byte one/7-cp1 0x120 c
ok "extract: SAME is found past an image that did not look there"
run 1 extract one/7-cp1 0x110000 +1 && has '0x110000: outside its range' && run 1 extract one/7-cp1 0x104000 +1 &&
	has '0x104000: not mapped' && ! reader read one/7-cp1 0x110000 0x110001 && has 'in none of its ranges' &&
	! reader read one/7-cp1 0x104000 0x104001 && has 'not mapped'
ok "extract: between the ranges is outside, and not unmapped"
run 0 diff -v one/7-cp1 && has '^ +000000100000-000000101000 +1 written$' && has '000000123000-000000124000 +1 written$' &&
	has 'differ: 2 ' && ! has gone
ok "diff: what was not looked at has not gone"
run 0 diff -v two/7-cp0 two/7-cp2 && has '000000102000-000000104000 +2 gone' && has '000000122000-000000123000 +1 gone' &&
	has '000000123000-000000124000 +1 written' && has 'differ: 4 ' && ! has 000001000000 && ! has 000000160000
ok "diff: what both have looked at, by way of older images"
run 0 map -o two.svg two/7-cp1 && grep -q 'KiB in part not looked at<' two.svg && grep -q 'MiB in part not looked at<' two.svg &&
	run 0 map -o one.svg one/7-cp2 && grep -q 'KiB not mapped<' one.svg && ! grep -q 'KiB .*not looked at<' one.svg
ok "map: a gap that no image has looked at is not called unmapped"

#
# flatten and prune
#
rm -f ./*.flat
run 0 flatten one/7-cp1 a.flat && run 0 verify a.flat && reader verify a.flat &&
	json "j[0]['areas'] == 2 and j[0]['area_list'] == j[1]['area_list'] and j[0]['moment'] and j[0]['threads'] == 3 and
	      j[0]['stop_ns'] == 1234567 and j[0]['own_pid'] == 1 and j[0]['kind'] == 'full'" -v a.flat one/7-cp1 &&
	byte a.flat 0x100 d && byte a.flat 0x120 c && run 1 extract a.flat 0x110000 +1 && has 'outside its range' &&
	run 1 extract a.flat 0x104000 +1 && has 'not mapped'
ok "flatten: the ranges are those of the image, and it is of the moment still"
run 0 flatten -a one/7-cp1 b.flat && run 0 verify b.flat && reader verify b.flat &&
	json "j[0]['areas'] == 1 and j[0]['start'] == '0x80000' and j[0]['end'] == '0x200000' and not j[0]['moment']" b.flat &&
	byte b.flat 0x110 b && byte b.flat 0x100 d
ok "flatten --all: one range again, and of no moment"
run 0 flatten -a two/7-cp2 c.flat && run 0 verify c.flat && reader verify c.flat &&
	json "[(a['start'], a['end']) for a in j[0]['area_list']] == [('0x100000', '0x108000'), ('0x120000', '0x134000'),
	      ('0x160000', '0x170000'), ('0x1000000', '0x1001000')]" -v c.flat && byte c.flat 0x160 d && byte c.flat 0x1000 x &&
	byte c.flat 0x120 c && run 1 extract c.flat 0x110000 +1 && has 'outside its range' &&
	run 1 extract c.flat 0x102000 +1 && has 'not mapped' && run 0 diff two/7-cp2 c.flat && has 'differ: 0$'
ok "flatten --all: all ranges that there were, and no more"
run 0 flatten old/7-cp1 d.flat && run 0 verify d.flat && reader verify d.flat && byte d.flat 0x103 b &&
	json "j[0]['version'] == 2 and j[0]['areas'] == 1 and j[0]['threads'] == 1 and j[0]['own_pid'] == 7" d.flat
ok "flatten: a chain of version 1"
cp -r two pruned && run 0 prune -k 2 pruned/7-cp2 && has '7-cp1: is now full; 1 older image' &&
	run 0 verify pruned/7-cp2 && has 'good: 2 images' && run 0 diff two/7-cp2 pruned/7-cp2 && has 'differ: 0$' &&
	byte pruned/7-cp2 0x120 c && json "j[0]['areas'] == 4 and not j[0]['moment']" pruned/7-cp1
ok "prune: newer images find what one in the middle did not look at"
cp -r one pruned1 && run 0 prune pruned1/7-cp1 && run 0 verify pruned1/7-cp2 && byte pruned1/7-cp2 0x110 b &&
	reader verify pruned1/7-cp2
ok "prune: an image of several ranges becomes one of all"
rm -rf pruned pruned1

#
# 65,536 ranges: a search each, not a walk
#
cpu() {	# ARGUMENTS: of cpimg, no longer than that on a processor, with the sanitizers
	(ulimit -t 3; run 0 "$@")
}
cpu verify many/7-cp2 && has 'good: 3 images' && cpu show -v many/7-cp2 &&
	[ "$(number '^  [0-9a-f]{16}-[0-9a-f]{16} +8 KiB$')" = 65536 ]
ok "65,536 ranges: verify and show"
cpu flatten many/7-cp2 many.flat && cpu verify many.flat && cpu diff many/7-cp2 many.flat && has 'differ: 0$' &&
	cpu extract many/7-cp2 0x1020000 +1 && [ "$(cat "$saw")" = b ] && cpu extract many/7-cp2 0x1024000 +1 && [ "$(cat "$saw")" = a ]
ok "65,536 ranges: flatten, diff and extract"
cpu prune -k 2 many/7-cp2 && cpu verify many/7-cp2 && has 'good: 2 images' && json "j[0]['areas'] == 65536" many/7-cp1
ok "65,536 ranges: prune"
rm -rf many ./*.flat ./*.svg
