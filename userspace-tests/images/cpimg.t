#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# cpimg, with the sanitizers looking on, held to what programs in a guest knew of
# their memory when they saved it (helpers/story.h says what there is to find).
. "$(dirname "$0")/../lib/host.sh"

cpimg=$RUN_DIR/tools/cpimg
saw=$RUN_DIR/output
FIELD=0x20000000 SIZE=+1M

plan 122

# run STATUS ARGUMENTS: cpimg ends with it; its words are in $saw
run() {
	local want=$1 status=0
	shift
	"$cpimg" "$@" >"$saw" 2>&1 || status=$?
	[ "$status" = "$want" ] || { echo "# exit status $status"; return 1; }
}

# field IMAGE FILE: the image has those bytes there
field() {
	"$cpimg" extract "$1" $FIELD $SIZE 2>"$saw" | cmp - "$2" >>"$saw" 2>&1
}

json() {	# EXPRESSION over j, the array; IMAGES...
	local expression=$1
	shift
	"$cpimg" show --json "$@" >"$saw.json" 2>"$saw" &&
		$python -c '
import json, sys
j = json.load(open(sys.argv[1]))
sys.exit(not eval(sys.argv[2]))' "$saw.json" "($expression)" >>"$saw" 2>&1
}

picture() {	# SVG PYTHON: well formed, and it holds for texts and classes
	saw=$saw $python - "$@" >"$saw" 2>&1 <<'END'
import sys, xml.etree.ElementTree as ET
svg = '{http://www.w3.org/2000/svg}'
root = ET.parse(sys.argv[1]).getroot()
columns = [{p.get('class'): p.get('d') for p in g.iter(svg + 'path')}
           for g in root.iter(svg + 'g')]
texts = [''.join(t.itertext()) for t in root.iter(svg + 'text')]
def has(text): return any(text in t for t in texts)
def height(column, style):
    return sum(int(p.split('v')[1].split('h')[0])
               for p in columns[column].get(style, '').split('M')[1:])
print(texts)
tall = int(root.get('height')), int(root.get('width'))
sys.exit(not eval('(' + sys.argv[2] + ')'))
END
}

if ! make -s -C "$tools" OUT="$RUN_DIR/tools" CFLAGS="-std=gnu11 -O1 -g -Wall -Wextra -Werror $sanitize" \
	>"$saw" 2>&1; then
	false
	ok "cpimg builds with the sanitizers"
	exit 1
fi
rm -rf "$RUN_DIR"/{story,story_32,story_dyn,long,vast,root,chain}
"$GUEST" --kernel "$CP_VARIANT" --mem 1024 --disk 64 --timeout 600 --share "$RUN_DIR" /tests/tellers /host >&2 || no_image
cd "$RUN_DIR" || exit 1

# Names without the process id, which is another each time.
for dir in story story_32 story_dyn long vast; do
	set -- $dir/*-cp0
	ln -sfn "$(basename "${1%-cp0}")" $dir/pid
done
image() {	# FOLDER NUMBER
	printf '%s/%s-cp%s' "$1" "$(readlink "$1/pid")" "$2"
}
clear() {	# FOLDER COPY: a copy to do harm to
	rm -rf "$2"
	cp -a "$1" "$2"
}
s=$(image story 4) a=$(image story_32 4)

#
# usage
#
run 2 && run 2 nonsense && run 2 show && run 2 flatten "$s" && run 2 prune a b &&
	run 2 extract "$s" 0 && run 2 show --nonsense "$s" && run 2 prune --keep 0 "$s" &&
	run 2 extract "$s" x 1 && run 2 extract "$s" 2 1 && run 2 extract "$s" 1 +9z
ok "a wrong command line: status 2"
run 0 --help && has 'verify +check a chain' && run 0 --version && has '^cpimg [0-9]'
ok "--help and --version"
good=0
for command in list show verify flatten diff extract map prune; do
	run 0 $command --help && has "^Usage: cpimg $command .*(IMAGE|FOLDER)" || good=1
	cp "$saw" "$saw.one"
	run 0 help $command && cmp -s "$saw" "$saw.one" || good=1
	case $command in
	extract) set -- 1 2 ;;
	flatten) set -- new ;;
	*) set -- ;;
	esac
	run 1 $command nowhere "$@" || good=1
	has '^cpimg: nowhere: opening: No such file' || good=1
done
[ $good = 0 ]
ok "each command has help, and says which file is not there"
"$cpimg" show "$s" >/dev/full 2>"$saw"
[ $? = 1 ] && has 'standard output: writing: No space left'
ok "a full disk below standard output is seen"

#
# show
#
for dir in story story_32 story_dyn; do
	bits=64 machine=x86-64
	[ $dir != story_32 ] || bits=32 machine=i386
	run 0 show "$(image $dir 0)" && has '^.*-cp0: full image: the first checkpoint$' &&
		has "program +$dir \(/disk/$dir /host/$dir\), user 0" &&
		has "process +$(readlink $dir/pid), thread .*, checkpoint 0" &&
		has "machine +$machine, $bits bits, pages of 4096" && has 'parent +none' &&
		has '^ +2 +8 KiB +mlocked' && has '^ +[12] +[48] KiB +not readable' && has 'SAME +0'
	ok "$dir: show, full"
	run 0 show -v "$(image $dir 3)" && has 'incremental image: what changed' &&
		has "parent +$(readlink $dir/pid)-cp2, [0-9a-f]{32}$" &&
		has '^ +0+20014000-0+2001e000 +40 KiB HOLE +rw- +\[anon\] \(zeros\)' &&
		has '^ +0+200c8000-0+200c9000 +4 KiB DATA +rw- ' &&
		has '^ +0+21000000-0+21002000 +8 KiB SKIPPED rw- +\[anon\] \(mlocked\)' &&
		has 'SAME +r-- +/disk/' && has 'DATA +r-- +/disk/' && has 'DATA +rw. +\[stack\]'
	ok "$dir: show -v, incremental"
	json "len(j) == 5 and [i['n'] for i in j] == [0, 1, 2, 3, 4] and
	      [i['kind'] for i in j] == ['full'] + 4 * ['incremental'] and
	      all(b['parent_id'] == a['id'] and b['parent'] == a['file'].split('/')[-1]
	          for a, b in zip(j, j[1:])) and
	      all(a['monotonic_ns'] < b['monotonic_ns'] and a['time'] < b['time']
	          for a, b in zip(j, j[1:]))" --chain "$(image $dir 4)"
	ok "$dir: show --json --chain: five that hang together"
	json "all(len(i['run_list']) == i['runs'] and
		  all(sum(int(r['end'], 16) - int(r['start'], 16) for r in i['run_list']
		          if r['class'] == c.upper()) == n * i['page_size']
		      for c, n in i['pages'].items()) for i in j)" -v -c "$(image $dir 4)"
	ok "$dir: show --json -v: the runs add up to the counts"
	json "[r['start'] for r in j[0]['run_list'] if r['class'] == 'DATA' and
	       0x20000000 <= int(r['start'], 16) < 0x20100000] ==
	      ['0x20003000', '0x20007000'] and j[0]['bits'] == $bits" -v "$(image $dir 1)"
	ok "$dir: show --json -v: the pages that were written"
done
run 1 show "$s" /dev/null "$a" && has '/dev/null: file type' && [ "$(number 'incremental image')" = 2 ]
ok "show goes on after a bad file, and says so in the end"

#
# extract
#
for dir in story story_32 story_dyn; do
	good=0
	for k in 0 1 2 3 4; do
		field "$(image $dir $k)" $dir/field$k || good=$((k + 1))
	done
	[ $good = 0 ]
	ok "$dir: extract: at each checkpoint what the program had"
done
"$cpimg" extract "$s" 0x20002ffe +4k 2>"$saw" | cmp - <(tail -c +12287 story/field4 | head -c 4096) >>"$saw" 2>&1
ok "extract: from the middle of a page"
rm -f out
run 0 extract "$s" $FIELD 537919488 -o out && cmp out story/field4 >"$saw" 2>&1 &&
	[ "$(stat -c %a out)" = 600 ]
ok "extract -o: a file of its owner's"
run 1 extract -o out "$s" $FIELD +1 && has 'out: creating: File exists' && cmp -s out story/field4
ok "extract -o: overwrites nothing"
rm -f out
run 1 extract -o out "$s" 0x21000000 +8k && has 'SKIPPED, mlocked' && [ ! -e out ]
ok "extract: what was skipped is an error, and leaves no file"
run 1 extract "$s" 0x20ffffff +1 && has '0x20ffffff: not mapped'
ok "extract: what is not mapped is an error"
"$cpimg" extract --zero "$s" 0x200ff000 0x21001000 2>"$saw" | cmp - <(head -c 15736832 /dev/zero) >>"$saw" 2>&1 &&
	has 'zeros stand for 15732736 bytes'
ok "extract --zero: zeros for both, and how many"
(ulimit -f 100; run 1 extract -o out "$s" $FIELD $SIZE) && has 'out: writing: File too large' && [ ! -e out ]
ok "extract: a file that may not grow is an error, and is removed"

#
# verify
#
run 0 verify --no-files "$s" "$a" "$(image long 49)" "$(image vast 4)" && [ "$(number ': good: ')" = 4 ] &&
	has "$(image long 49): good: 50 images"
ok "verify: all the chains are good"
clear story harm
h=$(image harm 4)
rm "$(image harm 1)"
run 1 verify "$h" && has "harm/.*-cp1: opening: No such file .*the parent of .*-cp2"
ok "verify: a missing parent"
run 0 verify -n --dir story "$h"
ok "verify --dir: the parents are elsewhere"
cp "$(image story_32 1)" "$(image harm 1)"
run 1 verify "$h" && has 'its id is not the parent_id'
ok "verify: another image under the parent's name"
clear story harm
echo more >>"$(image harm 2)"
run 1 verify --quick "$h" && has 'cp2: file size is [0-9]+: the image ends at'
ok "verify: something behind the end"
clear story harm
truncate -s -1 "$(image harm 0)"
run 1 verify "$h" && has 'cp0: (.*not in the file|program header .*: invalid)'
ok "verify: one byte less"
clear story harm
printf X | dd of="$(image harm 3)" bs=1 seek=$(($(stat -c %s "$(image harm 3)") - 20)) conv=notrunc status=none
run 1 verify "$h" && has 'cp3: '
ok "verify: one byte altered"

# The notes' bytes FROM become TO, of the same length, and the checksum is set right.
alter() {	# IMAGE FROM TO
	$python - "$@" <<'END'
import struct, sys, zlib
path, old, new = sys.argv[1], *(eval("b'%s'" % a) for a in sys.argv[2:])
assert len(old) == len(new)
b = bytearray(open(path, 'rb').read())
wide = b[4] == 2
phoff = struct.unpack_from('<Q' if wide else '<I', b, 32 if wide else 28)[0]
at = struct.unpack_from('<Q' if wide else '<I', b, phoff + (8 if wide else 4))[0]
end = at + struct.unpack_from('<Q' if wide else '<I', b, phoff + (32 if wide else 16))[0]
notes = bytes(b[at:end]).replace(old, new)
assert notes != bytes(b[at:end]), 'not there'
crc = at + notes.rindex(b'CP_RANGE') + 12 + 200
b[at:end] = notes
b[crc:crc + 4] = bytes(4)
b[crc:crc + 4] = struct.pack('<I', zlib.crc32(b[phoff:], zlib.crc32(b[at:end])))
open(path, 'wb').write(b)
END
}
clear story harm
p=$(readlink story/pid)
alter "$(image harm 4)" "$p-cp3" '../cp3'"$(printf '%*s' $((${#p} - 2)) '' | tr ' ' x)" >"$saw" 2>&1 &&
	run 1 verify "$h" && has 'note.parent is .*: not a file name'
ok "verify: a parent's name that leads out of the folder"


#
# verify: the files that memory is read from
#
root() {	# a copy of the guest's disk, as far as it matters
	rm -rf root
	mkdir -p root/disk
	for dir in story story_32 story_dyn; do
		cp "$TESTS_DIR/$dir" root/disk/
		touch -d @1577836800 root/disk/$dir
	done
}
root
good=0
for dir in story story_32 story_dyn; do
	run 0 verify --root root "$(image $dir 4)" && has 'good: 5 images, .* in files that are what they were$' || good=1
done
[ $good = 0 ]
ok "verify --root: a file is known by size, time and build-id, on another machine too"
touch -d @1577836801 root/disk/story
run 1 verify -r root "$s" && has 'cp[0-9]: 0x[0-9a-f]+ is to be read from root/disk/story: mtime is 1577836801, and was 1577836800'
ok "verify: a file that was touched is named"
root
printf x >>root/disk/story_32
touch -d @1577836800 root/disk/story_32
run 1 verify -r root "$a" && has 'root/disk/story_32: size is'
ok "verify: a file of another size is named"
root
cp "$TESTS_DIR/story_dyn" other && $python - other root/disk/story_dyn <<'END'
import sys
b = bytearray(open(sys.argv[1], 'rb').read())
at = b.index(b'\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0') + 16
b[at] ^= 1
open(sys.argv[2], 'wb').write(b)
END
touch -d @1577836800 root/disk/story_dyn
run 1 verify -r root "$(image story_dyn 4)" && has 'root/disk/story_dyn: inode is'
ok "verify: another build of the same size and time is another file"
root
rm root/disk/story
run 1 verify -r root "$s" && has 'root/disk/story: No such file' && run 1 verify "$s" && has ' /disk/story: No such file' &&
	run 0 verify --no-files "$s" && ! has 'in files'
ok "verify: a file that is gone is named, and --no-files leaves it out"
root
rm -f flat.img all.img
clear story pruned
run 0 flatten "$s" flat.img && run 0 verify -r root flat.img && has 'good: 1 image, .* in files that' &&
	run 0 flatten -a "$(image story 2)" all.img && run 0 verify -r root all.img && has 'in files that' &&
	run 0 prune -k 2 "$(image pruned 4)" && run 0 verify -r root "$(image pruned 4)" && has 'good: 2 images, .* in files that' &&
	touch root/disk/story && run 1 verify -r root flat.img && run 1 verify -r root "$(image pruned 4)" && has 'mtime'
ok "flatten and prune carry over what tells files apart"
rm -f flat.img all.img
run 1 extract "$s" 0x24001000 +4k && has 'they are in /disk/story at 0x1000'
ok "extract: bytes that are in a file: in which, and where"
rm -f core
sleep 60 & sleeper=$!
if command -v gdb >/dev/null; then
	gdb -nx -batch -p $sleeper -ex 'generate-core-file core' >"$saw" 2>&1
	run 1 verify core && has 'core: a core file, but not written by cp_range' && run 1 show core && has 'not written by cp_range'
	ok "the core file of another program is called that"
else
	skip "the core file of another program is called that" "no gdb"
fi
kill $sleeper 2>/dev/null
wait $sleeper 2>/dev/null

#
# list
#
mkdir -p lists
cp "$(image story 0)" "$(image story 1)" "$(image story 4)" "$(image long 0)" lists/
: >lists/77-cp0
: >lists/34-cp9.cpimg-0123abcd
echo text >lists/notes
ln -sf nowhere lists/12-cp3
run 0 list lists && has "^process $(readlink story/pid), story, of user [0-9]+: 3 images by 1 thread, " &&
	has "^  $(readlink story/pid)-cp1: thread $(readlink story/pid), .* old, 2 images, " &&
	has "-cp4: .* 1 image, .*, orphaned: there is no $(readlink story/pid)-cp3$" &&
	has "^process $(readlink long/pid), saga, " && has '^broken:$' && has '77-cp0: .*never written.* \(0 B\)$' &&
	has '^unfinished, by cpimg' && has '34-cp9.cpimg-0123abcd' && ! has notes && ! has 12-cp3
ok "list: processes, chains, what is orphaned, broken, unfinished"
run 0 list -v --pid "$(readlink story/pid)" lists && [ "$(number '^    (full|incremental) ')" = 3 ] && ! has saga && ! has 77-cp0
ok "list -v --pid: each image of one process"
run 0 list --newest --pid "$(readlink story/pid)" lists && [ "$(cat "$saw")" = "lists/$(readlink story/pid)-cp1" ] &&
	run 0 list -n story && [ "$(cat "$saw")" = "$s" ] && run 1 list -n --pid 4194304 lists && has 'no image of process 4194304' &&
	run 1 list nowhere && has '^cpimg: nowhere: opening: No such file' && run 2 list && run 2 list -p x lists
ok "list --newest: the name of the newest whose chain is whole"
"$cpimg" list --json lists >"$saw.json" 2>"$saw" && $python -c '
import json, sys
j = json.load(open(sys.argv[1]))
good = [i for i in j if i["good"]]
assert len(j) == 5 and len(good) == 4, j
assert [i["whole"] for i in good].count(False) == 1
assert {i["chain_length"] for i in good} == {0, 1, 2}
assert [i["error"] for i in j if not i["good"]][0].endswith("(the checkpoint did not finish)")
by_time = [i["realtime_ns"] for i in good]
assert by_time == sorted(by_time, reverse=True)
assert [i["parent"] for i in good if i["chain_length"] == 2][0].endswith("-cp0")' "$saw.json" >"$saw" 2>&1
ok "list --json"
rm -rf lists

#
# images that were renamed, and links to them
#
clear story harm
mv "$(image harm 1)" harm/monday
mv "$(image harm 4)" harm/today
run 0 verify -n harm/today && has 'good: 5 images' && run 0 diff "$s" harm/today && has 'differ: 0$' && field harm/today story/field4
ok "renamed images are found by their ids"
mkdir -p links
ln -sf ../harm/today links/latest
run 0 verify -n links/latest && has 'links/latest: good: 5 images' && field links/latest story/field4
ok "a symbolic link to an image elsewhere stands for it and its chain"
run 0 prune --keep 2 links/latest && [ -L links/latest ] && [ ! -e harm/monday ] && run 0 verify -n links/latest &&
	has 'good: 2 images' && field harm/today story/field4
ok "prune by a symbolic link: what it leads to is pruned"
rm -rf links

#
# killed at any moment
#
# without files that have no name, as where a file system has none
make -s -C "$tools" OUT="$RUN_DIR/tools.named" CPPFLAGS="-MMD -MP -Iinclude -DNO_TMPFILE" >"$saw" 2>&1 &&
	make -s -C "$tools" OUT="$RUN_DIR/tools.fast" >>"$saw" 2>&1
ok "cpimg builds for file systems without nameless files"
gcc -O1 "$tests/host/kill_at.c" -o kill_at >"$saw" 2>&1
ok "kill_at.c builds"
# After each system call, and so before the next; the first are the loader's.
for build in fast named; do
	cpimg=$RUN_DIR/tools.$build/cpimg good=0 kills=0 left=0
	for stop in $(seq 200 2 4000); do
		clear story pruned
		image=$(image pruned 4)
		status=0
		./kill_at "$stop" "$cpimg" prune -k 3 "$image" >"$saw" 2>&1 || status=$?
		[ $status != 3 ] || break
		kills=$((kills + 1))
		left=$((left + $(find pruned -name '*.cpimg-*' | wc -l)))
		if ! { [ $status = 0 ] && run 0 prune -k 2 "$image" && run 0 verify -n "$image" &&
			has 'good: 2 images' && [ "$(find pruned -name '*cpimg-*' | wc -l)" = 0 ]; }; then
			good=1
		elif [ $((stop % 8)) = 0 ] && ! { run 0 diff "$s" "$image" && has 'differ: 0$'; }; then
			good=1
		fi
		[ $good = 0 ] || { find pruned >>"$saw"; break; }
	done
	echo "# $build: prune was killed at $kills moments, and left $left files behind in all"
	[ $good = 0 ] && [ $kills -gt 100 ] && [ $left -gt 0 ]
	ok "$build: prune killed at every system call: the next one goes on, and leaves nothing"
	for what in flatten extract; do
		good=0 kills=0 left=0
		if [ $what = flatten ]; then
			set -- flatten "$s" made/out
		else
			set -- extract -o made/out "$s" $FIELD $SIZE
		fi
		for stop in $(seq 200 2 4000); do
			rm -rf made
			mkdir made
			status=0
			./kill_at "$stop" "$cpimg" "$@" >"$saw" 2>&1 || status=$?
			[ $status != 3 ] || break
			kills=$((kills + 1))
			left=$((left + $(find made -name '*.cpimg-*' | wc -l)))
			# whole or not there
			if [ -e made/out ]; then
				if [ $what = flatten ]; then run 0 verify -n made/out; else cmp made/out story/field4; fi ||
					{ good=1; break; }
				rm made/out
			fi
			if ! { [ $status = 0 ] && "$cpimg" "$@" >"$saw" 2>&1 && [ "$(ls made)" = out ]; }; then
				good=1
				ls made >>"$saw"
				break
			fi
		done
		echo "# $build: $what was killed at $kills moments, and left $left files behind in all"
		# an O_TMPFILE leaves nothing, a named file does
		leaves=1
		[ $build != fast ] || leaves=0
		[ $good = 0 ] && [ $kills -gt 50 ] && [ $((left > 0)) = $leaves ]
		ok "$build: $what killed at every system call: no half file, and the next one goes on"
	done
done
cpimg=$RUN_DIR/tools/cpimg
# Only what nobody works on any more is taken away.
clear story pruned
image=$(image pruned 4)
: >"$image.cpimg-00000001" && : >"$image.cpimg-00000002" && : >"$image.cpimg-0000003" && : >"pruned/other.cpimg-00000004"
mkdir "$image.cpimg-00000005" && ln -s /etc/passwd "$image.cpimg-00000006"
exec 9<"$image.cpimg-00000002" && flock 9
run 0 prune "$image" && [ ! -e "$image.cpimg-00000001" ] && [ -e "$image.cpimg-00000002" ] && [ -e "$image.cpimg-0000003" ] &&
	[ -e pruned/other.cpimg-00000004 ] && [ -d "$image.cpimg-00000005" ] && [ -L "$image.cpimg-00000006" ] &&
	exec 9<&- && run 0 flatten "$image" flat.img && rm flat.img
ok "what others work on, or is no file of cpimg's, is left alone"

#
# 10,000 images, and 1,024 open files
#
gcc -std=gnu11 -O1 -I"$tools/include" -I"$tests/lib" "$tests/host/long_chain.c" "$tests/lib/compose.c" -lz -o long_chain >"$saw" 2>&1 &&
	mkdir -p chain && ./long_chain chain 10000 >"$saw" 2>&1
ok "a chain of 10,000 images is made"
last=chain/7-cp9999
# measured COMMAND...: seconds and memory, for the man page
measured() {
	local status=0 begin=$EPOCHREALTIME
	(ulimit -n 1024; exec $python -c '
import resource, subprocess, sys
p = subprocess.run(sys.argv[1:], stdout=open("'"$saw"'", "w"), stderr=subprocess.STDOUT)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
sys.exit(p.returncode)' "$RUN_DIR/tools.fast/cpimg" "$@") >"$saw.size" || status=$?
	echo "# $1: $($python -c "print('%.1f' % ($EPOCHREALTIME - $begin))") s, $(cat "$saw.size") MiB"
	return $status
}
measured verify $last && has 'good: 10000 images' && (ulimit -n 1024; run 0 verify -q $last)
ok "verify: 10,000 images with 1,024 open files"
measured show -c $last && [ "$(number 'thread 7, checkpoint')" = 10000 ]
ok "show --chain: 10,000 images"
measured list chain && has '7-cp9999: .* 10000 images'
ok "list: 10,000 images"
measured diff chain/7-cp5000 $last && has 'differ: 1024 '
ok "diff: 10,000 images"
measured map -o long.svg $last && picture long.svg 'len(columns) == 10000'
ok "map: 10,000 images"
rm -f long.out
measured extract -o long.out $last 0x30000000 +4M && $python -c '
import sys
b = open("long.out", "rb").read()
want = [0] * 1024
for n in range(1, 10000):
    want[n * 389 % 1024] = 1 + n % 255
sys.exit(b != b"".join(bytes([w]) * 4096 for w in want))'
ok "extract: 10,000 images"
measured flatten $last flat.img && run 0 diff $last flat.img && has 'differ: 0$'
ok "flatten: 10,000 images"
measured prune -k 4000 $last && run 0 verify $last && has 'good: 4000 images' && run 0 diff $last flat.img && has 'differ: 0$'
ok "prune: 6,000 of 10,000 images"
rm -rf chain flat.img long.out

#
# flatten
#
rm -f ./*.img
for dir in story story_32 story_dyn; do
	good=0
	for k in 0 1 3 4; do
		run 0 flatten "$(image $dir $k)" $dir.$k.img && run 0 verify -n $dir.$k.img &&
			has 'good: 1 image,' && field $dir.$k.img $dir/field$k &&
			run 0 diff "$(image $dir $k)" $dir.$k.img && has 'differ: 0$' || good=1
	done
	[ $good = 0 ]
	ok "$dir: flatten: the same memory as the chain, at each checkpoint"
	json "j[0]['kind'] == j[1]['kind'] == 'full' and j[1]['reason_text'] == 'flattened from a chain' and
	      j[1]['id'] != j[0]['id'] and j[1]['pages']['same'] == 0 and j[1]['n'] == 4" \
		$dir.0.img $dir.4.img
	ok "$dir: flatten: a full image that says what it is"
done
json "j[0]['id'] == j[1]['id'] and j[0]['time'] == j[1]['time']" "$s" story.4.img
ok "flatten: it is the same checkpoint"
[ "$(stat -c %a story.4.img)" = 600 ]
ok "flatten: for its owner only"
cp story.4.img keep
run 1 flatten "$s" story.4.img && has 'story.4.img: creating: File exists' && cmp -s story.4.img keep
ok "flatten: overwrites nothing"
ln -sfn target link.img
run 1 flatten "$s" link.img && [ ! -e target ]
ok "flatten: follows no link"
(ulimit -f 100; run 1 flatten "$s" small.img) && has 'small.img: writing: File too large' && [ ! -e small.img ]
ok "flatten: when there is no room, nothing is left"
run 0 flatten "$(image story 2)" part.img && run 0 flatten --all "$(image story 2)" all.img &&
	field part.img story/field2 && field all.img story/field2 &&
	run 1 extract part.img 0x22000000 +1 && has 'outside its range' &&
	[ "$("$cpimg" extract all.img 0x22000000 +1)" = o ]
ok "flatten --all: also what only older images looked at"
if command -v gdb >/dev/null; then
	# LeakSanitizer does not work below a debugger.
	ASAN_OPTIONS=detect_leaks=0 gdb -nx -batch -ex 'break write_flat' -ex run -ex delete -ex 'signal SIGTERM' \
		--args "$cpimg" flatten "$s" stopped.img >"$saw" 2>&1
	has 'stopped.img: interrupted' && has 'exited with code 01' && [ ! -e stopped.img ]
	ok "flatten: a signal stops it, and nothing is left"
else
	skip "flatten: a signal stops it, and nothing is left" "no gdb"
fi
run 0 flatten "$(image long 49)" long.img && run 0 diff "$(image long 49)" long.img && has 'differ: 0$' &&
	[ "$(stat -c %s long.img)" -lt $((13 << 20)) ]
ok "flatten: 50 images"
run 0 flatten "$(image vast 4)" vast.img && run 0 diff "$(image vast 4)" vast.img && has 'differ: 0$'
ok "flatten: 100 GiB that are hardly used"

#
# diff
#
for dir in story story_32 story_dyn; do
	run 0 diff -v --symbols "$TESTS_DIR/$dir" "$(image $dir 0)" "$(image $dir 1)" &&
		has '20003000-0+20004000 +1 written$' && has '20007000-0+2000a000 +3 written$' &&
		has '20000000-0+20100000 rw- +4 of 256 +\[anon\]' &&
		has ' 1 +65536 +ledger$' && has ' 1 +4 +chapter$' &&
		! has '/disk/'
	ok "$dir: diff: the pages and the symbols that were written"
	run 0 diff -v "$(image $dir 1)" "$(image $dir 3)" &&
		has '20014000-0+2001e000 +10 discarded: zeros now' &&
		has '20064000-0+20065000 +1 written$' &&
		has '200c8000-0+200c9000 +1 written for the first time' &&
		has '22000000-0+22004000 +4 gone' && has '23000000-0+23004000 +4 new' &&
		! has '20003000'
	ok "$dir: diff: what was discarded, unmapped and mapped since the last but one"
done
run 0 diff "$(image story 2)" && has '1 of 256' && has 'differ: 1 \(4 KiB\)'
ok "diff: one image, against its parent; what it did not look at is no difference"
run 0 diff -s "$TESTS_DIR/../initramfs/lib/ld-musl-x86_64.so.1" -s "$TESTS_DIR/story_dyn" \
	"$(image story_dyn 3)" "$(image story_dyn 4)" && has ' 1 +4 +chapter$'
ok "diff: the symbols of a program and of a library, wherever they are loaded"
run 0 diff "$s" "$s" && has 'differ: 0$'
ok "diff: of itself, nothing"
run 0 diff "$(image long 9)" "$(image long 10)" && has '256 of 256 +\[anon\] \(256 written\)'
ok "diff: a mapping that was filled"
run 1 diff "$(image story 0)" && has 'no parent' && run 1 diff "$s" "$a" && has 'different machines' &&
	run 1 diff -s "$TESTS_DIR/story_32" "$s" && has 'not a program of 64 bits' &&
	run 1 diff -s /dev/null "$s" && has '/dev/null: '
ok "diff: what cannot be compared is said"

#
# map
#
for dir in story story_32 story_dyn; do
	run 0 map -o $dir.svg "$(image $dir 4)" &&
		picture $dir.svg "len(columns) == 5 and has('/disk/$dir') and has('[stack]') and
		has('20000000') and has('0 full') and has('SKIPPED: left') and has('not mapped') and
		height(2, 's3') > 50 and height(0, 's3') == 0 and
		height(0, 's7') > height(1, 's7') > 0 and height(0, 's0') == 0 < height(1, 's0')"
	ok "$dir: map: five columns, with names, classes and what was not looked at"
done
run 0 map -o long.svg "$(image long 49)" &&
	picture long.svg 'len(columns) == 50 and tall[0] < 1200 and tall[1] < 1300 and
	all(height(i, "s7") for i in range(50)) and 
	sum(height(i, "s2") for i in range(30, 40)) > sum(height(i, "s2") for i in range(10))'
ok "map: 50 checkpoints"
run 0 map -o vast.svg "$(image vast 4)" &&
	picture vast.svg 'has("100 GiB rw-") and has("+64 GiB") and has("root of the size") and tall[0] < 1200 and
	all(height(i, "s4") + height(i, "s7") > 20 for i in range(5))'
ok "map: 100 GiB"
run 0 map -o flat.svg story.4.img && picture flat.svg 'len(columns) == 1 and height(0, "s0") == 0'
ok "map: a flattened image"
if command -v rsvg-convert >/dev/null; then
	rsvg-convert -o long.png long.svg >"$saw" 2>&1 && [ ! -s "$saw" ] && [ -s long.png ]
	ok "map: rsvg-convert draws it"
else
	skip "map: rsvg-convert draws it" "not installed"
fi
clear story harm
hostile='\x1b]0;<&"\xff\xe2\x80a'
alter "$h" '/disk/story' "$hostile" >"$saw" 2>&1 &&
	"$cpimg" show -v "$h" >"$saw" 2>&1 && ! grep -q "$(printf '\033')" "$saw" && has '\\x1b\]0;<&'
ok "names that would command a terminal are shown, not obeyed"
json 'any("<&\"" in r["mapping"] for r in j[0]["run_list"])' -v "$h" &&
	run 0 map -o hostile.svg "$h" && picture hostile.svg 'has("<&\"")'
ok "and are text in JSON and in SVG"

#
# prune
#
left() {	# how many images
	find pruned -name '*-cp*' | wc -l
}
clear story pruned
run 0 prune --dry-run --keep 2 "$(image pruned 4)" && has 'would remove .*-cp0' && ! has 'would remove .*-cp3' &&
	diff -r --no-dereference story pruned >"$saw" 2>&1
ok "prune --dry-run: says it, and does nothing"
run 0 prune --keep 2 "$(image pruned 4)" && has 'cp3: is now full; 3 older images' &&
	[ "$(left)" = 2 ] && [ -e "$(image pruned 3)" ] && [ -e "$(image pruned 4)" ] &&
	run 0 verify -n "$(image pruned 4)" && has 'good: 2 images'
ok "prune --keep 2: two are left, and they are a chain"
field "$(image pruned 3)" story/field3 && field "$(image pruned 4)" story/field4 &&
	run 0 diff "$s" "$(image pruned 4)" && has 'differ: 0$'
ok "prune: what is left says what it said"
run 0 prune "$(image pruned 4)" && [ "$(left)" = 1 ] && field "$(image pruned 4)" story/field4 &&
	run 0 prune "$(image pruned 4)" && has 'a chain of 1 already'
ok "prune: to a single image, and again"
clear story pruned
run 0 prune "$(image pruned 2)" && [ ! -e "$(image pruned 0)" ] && run 0 verify -n "$(image pruned 4)" &&
	has 'good: 3 images' && run 0 diff "$s" "$(image pruned 4)" && has 'differ: 0$' &&
	field "$(image pruned 2)" story/field2
ok "prune in the middle: newer images still find what lies outside its range"
clear story_32 pruned
run 0 prune -k 3 "$(image pruned 4)" && run 0 verify -n "$(image pruned 4)" && has 'good: 3 images' &&
	run 0 diff "$a" "$(image pruned 4)" && has 'differ: 0$'
ok "prune: 32 bits"
clear long pruned
run 0 prune -k 5 "$(image pruned 49)" && run 0 verify -n "$(image pruned 49)" && has 'good: 5 images' &&
	run 0 diff "$(image long 46)" "$(image pruned 46)" && has 'differ: 0$' && [ "$(left)" = 5 ]
ok "prune: 45 of 50"
clear story pruned
(ulimit -f 100; run 1 prune "$(image pruned 4)") && has 'File too large' && diff -r --no-dereference story pruned >"$saw" 2>&1
ok "prune: when there is no room, all is as it was"
rm "$(image pruned 1)"
run 1 prune "$(image pruned 4)" && [ "$(left)" = 4 ]
ok "prune: nothing goes from a chain that is not whole"
clear story pruned
echo mine >"$(image pruned 4).new"
run 0 prune "$(image pruned 4)" && [ "$(cat "$(image pruned 4).new")" = mine ] && run 0 verify -n "$(image pruned 4)"
ok "prune: a file of a similar name is not touched"
if [ "$(id -u)" = 0 ]; then
	chown 12345:12345 "$(image pruned 4)"
	run 0 prune "$(image pruned 4)" && [ "$(stat -c %u:%g:%a "$(image pruned 4)")" = 12345:12345:600 ]
	ok "prune: by root, the image stays its owner's"
else
	skip "prune: by root, the image stays its owner's" "not root"
fi

#
# Each byte and each bit of what is not data, of real images
#
# shellcheck disable=SC2086	# a list
gcc -std=gnu11 -O1 -g $sanitize -I"$tools/include" "$tests/host/damage.c" \
	tools/libcpimg.a -lelf -lz -o damage >"$saw" 2>&1
ok "damage.c builds with the sanitizers"
for dir in story story_32; do
	clear $dir harm
	./damage "$(image harm 2)" >"$saw" 2>&1 && has 'a wrong one 0$' && [ "$(number 'cut off')" = 3 ]
	ok "$dir: a chain of three, cut off and with flipped bits: refused, or the same answer"
	cp $dir.4.img harm/
	./damage harm/$dir.4.img >"$saw" 2>&1 && has 'a wrong one 0$'
	ok "$dir: the same, flattened"
done
