#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# cp_image(5) is all that it takes to read images: by_the_page.py, which was written from
# that page alone, says of whole chains what cpimg says, byte for byte, finds memory in
# the files that it was mapped from, and refuses what is damaged or of somebody else.
. "$(dirname "$0")/../lib/host.sh"
. "$(dirname "$0")/../../scripts/disk.sh"

saw=$RUN_DIR/output
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$tests/images CPIMG=${BUILD:?}/tools/cpimg
cd "$RUN_DIR" || exit 1

plan 30

reader() {
	$python "$tests/images/by_the_page.py" "$@" 2>"$saw"
}

# refused REGEX WORDS...: the reader ends with 1 and says such a thing, and no traceback
refused() {
	local regex=$1 status=0
	shift
	reader "$@" >/dev/null || status=$?
	[ "$status" = 1 ] && has "$regex" && [ "$(wc -l <"$saw")" = 1 ]
}

cat >checks.py <<'END'
import os, re, struct, subprocess, sys, zlib
import by_the_page as page

CPIMG, page.root = os.environ['CPIMG'], 'root'
OURS = OWN, FILES = 0x43505247, 0x43504649      # types of notes

def cpimg(*words):
    return subprocess.run([CPIMG, *words], check=True, capture_output=True).stdout

def chain_of(path):
    chain = [page.Image(path)]
    while chain[-1].own.kind == 2:
        chain.append(page.parent_of(chain[-1]))
    return chain

def pieces(path):
    """start, end, class of the newest image, where: (file, offset), 'zeros', 'file' or None"""
    chain = chain_of(path)
    for a, b, asked, im, run in page.resolve(chain, chain[0].own.start, chain[0].own.end):
        if run:
            yield a, b, asked.name, (im, run)

def data(a, b, im, run):
    if run.name == 'DATA':
        return page.read(im.path, run.offset + a - run.start, b - a)
    if run.reason:
        return page.read(*im.mapped(a, b), b - a).ljust(b - a, b'\0')
    return bytes(b - a)

def by_nt_file(im):
    """start, end, offset, as the kernel's note for debuggers has them, which the reader does not use"""
    content, = [note[0] for note in im.notes(b'CORE\0', 0x46494c45)]
    word = 'Q' if im.wide else 'I'
    count, unit = struct.unpack_from(f'<2{word}', content)
    words = struct.unpack_from(f'<{2 + 3 * count}{word}', content)[2:]
    return [(words[i], words[i + 1], words[i + 2] * unit) for i in range(0, 3 * count, 3)]

def as_cpimg(*paths):
    """each run has the class that cpimg shows, each byte is the one that it extracts"""
    total = filed = 0
    for path in paths:
        image = page.Image(path)
        shown = re.findall(r'(?m)^  ([0-9a-f]{16})-([0-9a-f]{16}) .*? ([A-Z]+) +[-r][-w][-x]( .*)?$',
                           cpimg('show', '-v', path).decode())
        mine = [(f'{r.start:016x}', f'{r.end:016x}', r.name) for r in image.runs]
        assert [s[:3] for s in shown] == mine, (path, shown, mine)
        for r, s in zip(image.runs, shown):
            assert r.name != 'HOLE' or ('(the mapped file)' in s[3]) == (r.reason == 1), (path, r)
        stretches = []
        for a, b, _, (im, run) in pieces(path):
            if run.name == 'SKIPPED':
                continue
            bytes_ = data(a, b, im, run)
            assert len(bytes_) == b - a
            if run.name == 'HOLE' and run.reason:
                # cpimg extracts none of these: the test knows the file itself
                name = im.mapped(a, b)[0]
                offset, = [at + a - start for start, end, at in by_nt_file(im) if start <= a < end]
                with open(f'disk/{os.path.basename(name)}', 'rb') as file:
                    assert bytes_ == file.read()[offset:offset + b - a].ljust(b - a, b'\0'), hex(a)
                filed += b - a
            elif stretches and stretches[-1][1] == a:
                stretches[-1][1] = b
                stretches[-1][2].append(bytes_)
            else:
                stretches.append([a, b, [bytes_]])
        for a, b, parts in stretches:
            assert cpimg('extract', path, hex(a), hex(b)) == b''.join(parts), (path, hex(a), hex(b))
            total += b - a
    print(len(paths), 'images,', total, 'bytes as cpimg has them,', filed, 'of files')
    assert total > 1 << 20

def flat(path, flattened):
    """what cpimg flatten made of a chain is the same memory, and no chain"""
    assert len(chain_of(flattened)) == 1
    assert page.Image(flattened).own.id == page.Image(path).own.id
    cuts = sorted({x for p in (path, flattened) for a, b, *_ in pieces(p) for x in (a, b)})
    def cut(p):
        return [(a, b, run.name == 'SKIPPED' and run.reason or data(a, b, im, run))
                for start, end, _, (im, run) in pieces(p)
                for a, b in zip([c for c in cuts if start <= c < end], [c for c in cuts if start < c <= end])]
    one, other = cut(path), cut(flattened)
    assert one == other and len(one) > 10, [(hex(x[0]), hex(y[0])) for x, y in zip(one, other) if x != y]
    print(len(one), 'pieces are the same')

def refused(path):
    try:
        page.main('verify', path)
    except (ValueError, OSError, struct.error):
        return True

def bits(path, copy):
    """each bit of the ELF header, but e_flags; one in each byte of notes and program headers"""
    im = page.Elf(path)
    with open(path, 'rb') as file:
        whole = file.read()
    flags, at, size = (48, *im.headers[0][2:6:3]) if im.wide else (36, *im.headers[0][2:6:3])
    flips = [(i, bit) for i in range(64 if im.wide else 52) if not flags <= i < flags + 4 for bit in range(8)]
    flips += [(i, i % 8) for i in [*range(at, at + size), *range(im.phoff, im.phoff + len(im.table))]]
    with open(copy, 'wb') as file:
        file.write(whole)
    with open(copy, 'r+b', buffering=0) as file:
        assert not refused(copy)
        for i, bit in flips:
            os.pwrite(file.fileno(), bytes([whole[i] ^ 1 << bit]), i)
            assert refused(copy), f'bit {bit} of byte {i} is not noticed'
            os.pwrite(file.fileno(), whole[i:i + 1], i)
        assert not refused(copy)
    print(len(flips), 'bits, each refused')
    assert len(flips) > 2000

def lengths(path, copy):
    """cut anywhere, or longer"""
    with open(path, 'rb') as file:
        whole = file.read()
    tried = [*range(0, len(whole), 61), *range(len(whole) - 300, len(whole))]
    for n in tried:
        with open(copy, 'wb') as file:
            file.write(whole[:n])
        assert refused(copy), f'{n} bytes of it are taken'
    for more in (b'\0', bytes(4096)):
        with open(copy, 'wb') as file:
            file.write(whole + more)
        assert refused(copy), f'{len(more)} bytes more are taken'
    with open(copy, 'wb') as file:
        file.write(whole)
    assert not refused(copy), 'whole it is not taken'
    with open(copy, 'wb') as file:
        file.write(bytes(64) + whole[64:])
    assert refused(copy), 'without its first 64 bytes it is taken'
    print(len(tried), 'lengths, each refused')

def forge(path, copy, change):
    """changed, and the checksum made right again; change(data, own note, files' note, elf)"""
    im = page.Elf(path)
    with open(path, 'rb') as file:
        data = bytearray(file.read())
    at, size = im.headers[0][2], im.headers[0][5]
    notes = {kind: at + note[2] for kind in OURS for note in im.notes(b'CP_RANGE\0', kind)}
    own = notes[OWN]
    change(data, own, notes.get(FILES), im)
    data[own + 200:own + 204] = bytes(4)
    end = im.phoff + len(im.table)
    struct.pack_into('<I', data, own + 200, zlib.crc32(data[at:at + size] + data[im.phoff:end] + im.section))
    with open(copy, 'wb') as file:
        file.write(data)

def at_home(*paths):
    """the images of another machine get inode and ctime of the file that is here"""
    def change(data, own, files, im):
        if not files:
            return
        count, per_file, per_map, maps = (struct.unpack_from('<I', data, files + i)[0] for i in (12, 4, 8, 16))
        for i in range(count):
            one = files + 24 + per_file * i
            name = files + 24 + per_file * count + per_map * maps + struct.unpack_from('<I', data, one + 52)[0]
            stat = os.stat('root' + data[name:data.index(0, name)].decode())
            struct.pack_into('<Q', data, one, stat.st_ino)
            struct.pack_into('<q', data, one + 24, stat.st_ctime_ns // 10**9)
            struct.pack_into('<I', data, one + 36, stat.st_ctime_ns % 10**9)
    for path in paths:
        forge(path, path, change)

def later(path, copy):
    """what later kernels may do is taken, what none may is not, by cpimg as by the reader"""
    image, (content, *_) = page.Image(path), next(page.Elf(path).notes(b'CP_RANGE\0', OWN))
    first = {h[0] if h[5] or h[0] != 1 else 'HOLE': i for i, h in reversed([*enumerate(image.headers)])}
    header, reason, flags = (56, 24, 4) if image.wide else (32, 12, 24)
    def put(base, offset, value):
        return lambda data, own, files, im: struct.pack_into(
            '<I', data, {'own': own, 'files': files}.get(base, im.phoff + header * first.get(base, 0)) + offset, value)
    old = image.own.version == 1        # whose note is too short for a version 2
    cases = [('nothing', True, put('own', 204, 0)), ('a later version', not old, put('own', 0, image.own.version + 1)),
             ('another reason', True, put('own', 12, 77)), ('reserved', True, put('own', 204, 1)),
             ('version 2 of the files', True, put('files', 0, 2)), ('another flag', True, put('files', 24 + 48, 3)),
             ('another reason to skip', True, put(page.SKIPPED, reason, 99)),
             ('version 0', False, put('own', 0, 0)), ('a note of 200 bytes', False, put('own', 4, 200)),
             ('a note larger than it is', False, put('own', 4, len(content) + 4)), ('a third kind', False, put('own', 8, 3)),
             ('one page more', False, put('own', 96, image.own.same + 1)),
             ('another hole', False, put('HOLE', reason, 2)), ('another class', False, put('HOLE', 0, 5)),
             ('files of 72 bytes', False, put('files', 4, 72)), ('a map without file', False, put('files', 24 + 80 + 24, 9))]
    for name, good, change in cases:
        forge(path, copy, change)
        theirs = not subprocess.run([CPIMG, 'verify', '-q', '-r', 'root', copy], capture_output=True).returncode
        print(name, theirs, not refused(copy))
        assert theirs == good and refused(copy) != good, name

def many(path, pages):
    """every other page begins with an x, the others are holes"""
    image, = chain_of(path)
    assert image.section and len(image.runs) == int(pages) and not image.wide
    for i, (a, b, name, (im, run)) in enumerate(pieces(path)):
        want = (b'x' if i % 2 == 0 else b'\0').ljust(4096, b'\0')
        assert b - a == 4096 and data(a, b, im, run) == want, hex(a)
    print(i + 1, 'runs')

globals()[sys.argv[1]](*sys.argv[2:])
END
checks() {
	$python checks.py "$@" >"$saw" 2>&1
}

# says NAME CHECK WORDS...: a test of that name, which goes on with what the check says
says() {
	local name=$1 status=0 words
	shift
	checks "$@" || status=$?
	words=$(tail -n 1 "$saw")
	[ "$status" = 0 ]
	ok "$name: $words"
}

# Programs and the files that their memory is in are on a disk of which the host has all.
rm -rf disk disk.img root story story_32 long away many renamed impostor orphan hurt
mkdir -p disk root many
ln -s ../disk root/disk
for program in tellers keep_images story story_32 saga; do
	cp "$TESTS_DIR/$program" disk/
done
touch -d '2026-01-02 03:04:05 UTC' disk/*
new_ext4 "$RUN_DIR/disk.img" 64 -d disk >&2 || no_image
"$GUEST" --kernel "$CP_VARIANT" --mem 1024 --timeout 600 --disk "$RUN_DIR/disk.img" --share "$RUN_DIR" \
	/disk/tellers /host story story_32 long >&2 || no_image
"$GUEST" --kernel "$CP_VARIANT" --mem 768 --timeout 600 --share "$RUN_DIR" \
	/tests/keep_images /host/many /tests/many_runs_32 >&2 || no_image
image() {	# FOLDER NUMBER
	echo "$1"/*-cp"$2"
}

# Programs are known by their build-id, unless they have another size.
cp -r story away
rm -rf other
mkdir -p other/disk
cp -p disk/* other/disk/
printf x >>other/disk/story
touch -r disk/story other/disk/story
newest=$(image away 4)
refused 'other/disk/story, which has changed$' --root other verify "$newest"
ok "another file of that name: refused, with its name"
refused 'No such file .*/disk/story' read "$newest" 0x24001000 0x24002000
ok "no such file: refused, with its name"
reader read "$newest" 0x20000000 0x20100000 | cmp - away/field4
ok "memory beside it can be read all the same"
checks at_home story/*-cp* long/*-cp*
ok "the inode and the time are told to images of two programs"

for folder in story story_32 long; do
	images=("$folder"/*-cp*)
	[ "$folder" != long ] || images=("$folder"/*-cp{0,14,28,49})
	status=0
	for image in "${images[@]}"; do
		reader --root root verify "$image" && "$CPIMG" verify -r root "$image" >>"$saw" 2>&1 || status=1
	done
	[ "$status" = 0 ]
	ok "$folder: images and their chains are good, as cpimg says"
	says "$folder: runs and bytes" as_cpimg "${images[@]}"
	newest=$(image "$folder" 4)
	[ "$folder" != long ] || newest=$(image "$folder" 49)
	rm -f flat
	"$CPIMG" flatten "$newest" flat >&2
	says "$folder: flattened" flat "$newest" flat
done
for folder in story story_32; do
	status=0
	for k in 0 1 2 3 4; do
		reader read "$(image "$folder" $k)" 0x20000000 0x20100000 | cmp - "$folder/field$k" >>"$saw" 2>&1 || status=1
	done
	[ "$status" = 0 ]
	ok "$folder: what the program wrote, at five checkpoints"
	reader --root root read "$(image "$folder" 4)" 0x24000000 0x24004000 | cmp - <(head -c 16384 "disk/$folder") >>"$saw" 2>&1
	ok "$folder: what the program mapped of a file"
done
says "more program headers than e_phnum can count, 32 bits" many "$(image many 0)" 65540

newest=$(image story 4)
refused 'skipped: 3' read "$newest" 0x21000000 0x21001000 && refused 'not mapped' read "$newest" 0x22000000 0x22001000
ok "what was left out, or was not mapped, has no bytes"

# The parents are known by their ids.
cp -r story renamed
for k in 0 1 2 3; do
	mv "$(image renamed $k)" renamed/other.$k
done
reader read "$(image renamed 4)" 0x20000000 0x20100000 | cmp - story/field4
ok "parents are found under other names"
cp -r story impostor
mv "$(image impostor 2)" impostor/the.second
cp "$(image story_32 2)" "impostor/$(basename "$(image story 2)")"
reader read "$(image impostor 4)" 0x20000000 0x20100000 | cmp - story/field4
ok "another image under the parent's name is not taken for it"
cp -r story orphan
rm "$(image orphan 1)"
refused 'orphan/[0-9]*-cp2: its parent is not' verify "$(image orphan 4)"
ok "a chain that lacks a parent is refused"
cp -r story hurt
truncate -s -1 "$(image hurt 0)"
refused 'hurt/[0-9]*-cp1: its parent is not .* damaged' verify "$(image hurt 4)"
ok "a chain with a damaged parent is refused"

for folder in story story_32; do
	says "$folder: damaged headers and notes" bits "$(image $folder 1)" $folder/hurt
	says "$folder: cut off" lengths "$(image $folder 1)" $folder/hurt
done
checks later "$(image story_32 1)" story_32/hurt
ok "what later versions may do is taken, what nobody may is not, as by cpimg"

gdb -nx -batch -ex 'break main' -ex run -ex 'generate-core-file core' "$TESTS_DIR/demo" >"$saw" 2>&1
[ -s core ] && refused 'core: a core file, but no image$' verify core
ok "a core file of somebody else is refused"
: >empty
refused 'empty: was never finished$' verify empty && refused 'no ELF file$' verify "$tests/README"
ok "an empty file and a text are refused"
rm -rf many hurt orphan impostor renamed away flat core
