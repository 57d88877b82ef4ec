#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A reader of images by the page: written from cp_image(5) and elf(5) alone.
usage: by_the_page.py [--root FOLDER] verify IMAGE | runs IMAGE | read IMAGE START END
Files that memory was mapped from are looked for below FOLDER."""
import bisect, collections, contextlib, os, struct, sys, zlib

root = ''
WRONG = ValueError, OSError, struct.error
NOTE, SAME, SKIPPED, PN_XNUM = 4, 0x6c637001, 0x6c637002, 65535
CLASSES = {(1, True): 'DATA', (1, False): 'HOLE', (SAME, False): 'SAME', (SKIPPED, False): 'SKIPPED'}
Run = collections.namedtuple('Run', 'start end name flags offset reason')
Own = collections.namedtuple('Own', 'version size kind reason pid tid n req_start req_end start end page_size '
                             'realtime monotonic data same hole skipped runs id parent_id parent crc reserved '
                             'flags threads nr_areas stop_ns own_pid reserved2')
File = collections.namedtuple('File', 'ino size mtime ctime mtime_nsec ctime_nsec major minor flags name '
                              'build_id_size build_id')

def read(path, offset, size):
    with open(path, 'rb') as file:
        file.seek(offset)
        return file.read(size)

class Elf:
    def __init__(self, path):
        self.path, self.size = path, os.stat(path).st_size
        self.ident = self.at(0, min(16, self.size)).ljust(16, b'\0')
        self.need(any(self.ident), 'was never finished')
        self.need(self.ident[:4] == b'\x7fELF' and self.ident[4] in (1, 2) and self.ident[5] == 1, 'no ELF file')
        self.wide = self.ident[4] == 2
        word, row, ehdr, phdr, shdr = ('Q', '<2I6Q', 64, 56, 64) if self.wide else ('I', '<8I', 52, 32, 40)
        (self.type, self.machine, version, entry, self.phoff, self.shoff, _, ehsize, phentsize, count, shentsize,
         shnum, shstrndx) = struct.unpack(f'<HHI3{word}I6H', self.at(16, ehdr - 16))
        many = count == PN_XNUM
        self.section = self.at(many * self.shoff, many * shdr)
        count = struct.unpack(f'<2I4{word}2I2{word}', self.section)[7] if many else count
        self.odd = self.ident[6:] != b'\1' + bytes(9) or not many and self.shoff or (    # as no image is
            version, entry, ehsize, phentsize, shentsize, shnum, shstrndx) != (1, 0, ehdr, phdr, many * shdr, many, 0)
        self.table = self.at(self.phoff, count * phdr)
        self.headers = [h if self.wide else (h[0], h[6], *h[1:6], h[7])      # p_flags is elsewhere with 32 bits
                        for h in struct.iter_unpack(row, self.table)]
    def need(self, good, what):
        if not good:
            raise ValueError(f'{self.path}: {what}')
    def at(self, offset, size):
        self.need(offset + size <= self.size, 'is cut off')
        return read(self.path, offset, size)
    def notes(self, *wanted):       # of that name and type: the content, all notes beside it, where in these
        for data, pos in [(self.at(h[2], h[5]), 0) for h in self.headers if h[0] == NOTE]:
            while pos < len(data):
                name, length, kind = struct.unpack_from('<III', data, pos)
                body = pos + 12 + (name + 3 & ~3)
                self.need(body + length <= len(data), 'a note is longer than the notes')
                if (data[pos + 12:pos + 12 + name], kind) == wanted:
                    yield data[body:body + length], data, body
                pos = body + (length + 3 & ~3)

class Image(Elf):
    def __init__(self, path):
        super().__init__(path)
        need = self.need
        need(self.type == 4 and self.headers and self.headers[0][0] == NOTE, 'no core file')
        own = list(self.notes(b'CP_RANGE\0', 0x43505247))
        need(own, 'a core file, but no image')
        content, data, at = own[0]
        version, size, _, _, pid = struct.unpack_from('<5I', content)
        need(version and (240 if version > 1 else 208) <= size <= len(content), f'version {version}, of {size} bytes')
        new = content[208:240] if version > 1 else struct.pack('<Q2IQ2I', 0, 1, 1, 0, pid, 0)
        self.own = n = Own._make(struct.unpack('<6I13Q16s16s40s2IQ2IQ2I', content[:208] + new))
        notes = [note[0] for note in self.notes(b'CP_RANGE\0', 0x43504152)]
        need(len(notes) == (n.nr_areas > 1), 'not the ranges that it has to name')
        self.areas = [*struct.iter_unpack('<2Q', notes[0])] if notes else [(n.start, n.end)]
        edges = [x for area in self.areas for x in area]
        need(len(self.areas) == n.nr_areas and edges == sorted({*edges}) and not any(x % n.page_size for x in edges) and
             (edges[0], edges[-1]) == (n.start, n.end), 'its ranges are wrong')
        crc = zlib.crc32(data[:at + 200] + bytes(4) + data[at + 204:] + self.table + self.section)
        need(crc == n.crc, f'damaged: the checksum is {crc:#x}, and {n.crc:#x} in the note')
        need(not self.odd and self.machine in (3, 62), 'damaged: the ELF header')
        need(self.size == max(self.phoff + len(self.table), self.shoff + len(self.section)), 'not as long as it was')
        need(n.kind in (1, 2) and any(n.parent_id) == (n.kind == 2), f'kind {n.kind}, or its parent, is wrong')
        self.runs, pages, last = [], collections.Counter(), n.start
        for kind, flags, offset, start, reason, filesz, memsz, align in self.headers[1:]:
            name = CLASSES.get((kind, filesz > 0))
            need(name and last <= start < start + memsz <= self.edge(start) and align == n.page_size and flags < 8 and
                 not (start % align or memsz % align) and (name != 'SAME' or n.kind == 2) and
                 (name == 'SKIPPED' or reason <= (name == 'HOLE')) and
                 (name != 'DATA' or filesz == memsz and not offset % align and offset + filesz <= self.size),
                 f'the run at {start:#x} is wrong')
            last, pages[name] = start + memsz, pages[name] + memsz // align
            self.runs.append(Run(start, last, name, flags, offset, reason))
        need(pages == collections.Counter(DATA=n.data, SAME=n.same, HOLE=n.hole, SKIPPED=n.skipped) and
             n.runs == len(self.runs), 'its counts are wrong')
        self.maps = [m for note in self.notes(b'CP_RANGE\0', 0x43504649) for m in self.read_maps(note[0])]
    def area(self, a):          # the range that has it, or the one above
        i = bisect.bisect(self.areas, a, key=lambda area: area[1])
        return self.areas[i:i + 1]
    def edge(self, a):          # up to where it looked from there, or 0
        return sum(end for start, end in self.area(a) if start <= a)
    def read_maps(self, content):       # start, end, offset, its File, the file's name
        version, per_file, per_map, files, maps, names = struct.unpack_from('<6I', content)
        at = 24 + per_file * files
        self.need(version >= 1 and per_file >= 80 and per_map >= 32 and at + per_map * maps + names <= len(content),
                  'the note of the files is wrong')
        for pos in range(at, at + per_map * maps, per_map):
            start, end, offset, index, _ = struct.unpack_from('<3Q2I', content, pos)
            self.need(index < files, 'a map has no file')
            file = File._make(struct.unpack_from('<2Q2q7I20s', content, 24 + per_file * index))
            yield start, end, offset, file, content[at + per_map * maps + file.name:].split(b'\0')[0]
    def mapped(self, a, b):     # the file that a hole reads from, if it is what it was, and where in it
        found = [m for m in self.maps if m[0] <= a and b <= m[1] and m[3].flags & 1]
        self.need(found, f'{a:#x} is in a file that is not named')
        start, _, offset, file, name = found[0]
        path, build_id, page = root + os.fsdecode(name), file.build_id[:file.build_id_size], self.own.page_size
        stat = os.stat(path)
        same = (stat.st_size, stat.st_mtime_ns) == (file.size, file.mtime * 10**9 + file.mtime_nsec) and (
            (stat.st_ino, stat.st_ctime_ns) == (file.ino, file.ctime * 10**9 + file.ctime_nsec) or
            build_id and any(note[0] == build_id for note in Elf(path).notes(b'GNU\0', 3)))
        self.need(same, f'{a:#x} is in {path}, which has changed')
        self.need(offset + b - start <= file.size + -file.size % page, f'{a:#x} is past the end of {path}')
        return path, offset + a - start

def parent_of(image):
    folder, own = os.path.dirname(image.path), image.own
    for name in [os.fsdecode(own.parent.split(b'\0')[0])] + os.listdir(folder or '.'):
        with contextlib.suppress(*WRONG):
            parent = Image(os.path.join(folder, os.path.basename(name)))
            if parent.own.id == own.parent_id:
                return parent
    image.need(False, 'its parent is not beside it, or damaged')

def resolve(chain, start, end):     # yields: start, end, the newest image's run, image and run that answer
    todo = [(0, start, end, None)]
    while todo:
        k, a, b, asked = todo.pop()
        chain[0].need(k < len(chain), f'{a:#x}: no image of the chain has it')
        im, i = chain[k], bisect.bisect(chain[k].runs, a, key=lambda run: run.start)
        run = im.runs[i - 1] if i and a < im.runs[i - 1].end else None
        edges = [x for near in im.runs[max(i - 1, 0):i + 1] + im.area(a) for x in near[:2]]
        stop = min(x for x in [b] + edges if x > a)
        todo += [(k, stop, b, asked)] * (stop < b)
        if asked and not im.edge(a) or run and run.name == 'SAME':
            todo.append((k + 1, a, stop, asked or run))
        else:
            im.need(not k or run and run.name != 'SKIPPED', f'{a:#x} is not there, but a newer image says it is')
            yield a, stop, asked or run, im, run

def main(command, path, *ends):
    chain, out = [Image(path)], []
    while chain[-1].own.kind == 2:
        chain.append(parent_of(chain[-1]))
        chain[0].need(len({im.own.id for im in chain}) == len(chain), 'its chain is a circle')
    first, last = chain[0].own.start, chain[0].own.end
    start, end = (int(x, 0) for x in ends) if ends else (first, last)
    chain[0].need(first <= start <= end <= last, 'its range does not have that')
    for a, b, asked, im, run in resolve(chain, start, end):
        lacks = ('not mapped' if im.edge(a) else 'in none of its ranges') if not run else f'skipped: {run.reason}' if run.name == 'SKIPPED' else ''
        im.need(not lacks or command != 'read', f'{a:#x} is {lacks}')
        where = () if lacks or (run.name, run.reason) == ('HOLE', 0) else im.mapped(a, b) if run.name == 'HOLE' else (
            im.path, run.offset + a - run.start)
        out.append((where, b - a))
        if command == 'runs' and run:
            print(f'{a:016x}-{b:016x}', asked.name, asked.flags, lacks or ('%s at %#x' % where if where else 'zeros'))
    for where, size in out * (command == 'read'):
        sys.stdout.buffer.write((read(*where, size) if where else b'').ljust(size, b'\0'))

if __name__ == '__main__':
    root, words = (sys.argv[2], sys.argv[3:]) if sys.argv[1:2] == ['--root'] else ('', sys.argv[1:])
    if words[:1] not in (['verify'], ['runs'], ['read']) or len(words) != (4 if words[0] == 'read' else 2):
        sys.exit(__doc__)
    try:
        main(*words)
    except WRONG as error:
        sys.exit(f'by_the_page.py: {error}')
