#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes tables and plots of what userspace-tests/bench printed.

usage: bench-report.py FOLDER

Reads raw.txt, and bystanders-patched.txt and bystanders-plain.txt if they are
there; writes results.csv, table.txt, and a .gp, a .dat and an .svg for each plot.
How it was measured stands in FOLDER/how: "icount", or anything else for times.
"""
import csv
import os
import statistics
import subprocess
import sys
from collections import defaultdict

FIELDS = ("kind scheme role mib pages vmas swap changed_percent pattern round "
          "call_ns stopped_ns again_ns faults bytes kernel_bytes").split()
PLACE = ("kind", "mib", "pages", "vmas", "swap")
BASE = ("incremental", 1024, "4k", 1, 0)
FULL = ("full", 1024, "4k", 1, 0)

# Why a goal is missed, as far as it is known; printed beside a miss only.
LOOKS_AT_NOTHING = (
    "mprotect() looks at nothing: its signal handler has kept a list, at a signal and\n"
    "        a system call for each page. Of {scanner}, the best that looks:"
    " {scanner_ratio:.3f}")
FILE_SYSTEM = (
    "the file system's part: just to write(2) these pages, told which and without\n"
    "        a fault afterwards (write-known), is {known_ratio:.3f}")
REASONS = {
    "inc-idle": LOOKS_AT_NOTHING,
    "inc-0": LOOKS_AT_NOTHING,
    "inc-10": FILE_SYSTEM,
    "inc-100": FILE_SYSTEM,
}
NEEDS_NO_SCAN = ("mprotect",)


class Cell:
    """All rounds of one scheme, in one place, with one change."""

    def __init__(self):
        self.rounds = []

    def value(self, name):
        """The least of the rounds for instructions, the median for times."""
        values = [r[name] for r in self.rounds]
        return min(values) if COUNTED else statistics.median(values)

    def spread(self, name):
        values = [r[name] for r in self.rounds]
        return (max(values) - min(values)) / max(statistics.median(values), 1)

    call = property(lambda self: self.value("call_ns"))
    again = property(lambda self: self.value("again_ns"))
    total = property(lambda self: self.call + self.again)
    faults = property(lambda self: min(r["faults"] for r in self.rounds))
    bytes = property(lambda self: self.rounds[-1]["bytes"])
    kernel = property(lambda self: max(r["kernel_bytes"] for r in self.rounds))
    role = property(lambda self: self.rounds[0]["role"])


def read_raw(path):
    """The rows as dictionaries, and what was left out."""
    rows, left_out = [], []
    with open(path, newline="", encoding="utf-8", errors="replace") as f:
        for line in csv.reader(f):
            if line[:1] == ["row"] and len(line) == len(FIELDS) + 1:
                row = dict(zip(FIELDS, line[1:]))
                for name in FIELDS:
                    if name not in ("kind", "scheme", "role", "pages", "pattern"):
                        row[name] = float(row[name])
                rows.append(row)
            elif line[:1] == ["left-out"]:
                left_out.append(line[1:])
    return rows, left_out


def read_bystanders(path):
    if not os.path.exists(path):
        return {}
    with open(path, newline="", encoding="utf-8") as f:
        return {r[1]: (r[2], float(r[3])) for r in csv.reader(f)
                if r[:1] == ["bystander"]}


def in_cells(rows):
    """{place: {(percent, pattern): {scheme: Cell}}}, in the order of the rows"""
    cells = defaultdict(lambda: defaultdict(lambda: defaultdict(Cell)))
    for r in rows:
        place = tuple(r[n] for n in PLACE)
        cells[place][r["changed_percent"], r["pattern"]][r["scheme"]].rounds.append(r)
    return cells


def best(cell_of, what, among):
    """The name of the scheme with the least @what, of those in @among."""
    names = [n for n, c in cell_of.items() if among(n, c)]
    return min(names, key=lambda n: getattr(cell_of[n], what)) if names else None


def is_peer(_, cell):
    return cell.role == "peer"


def is_scanner(name, cell):
    return cell.role == "peer" and name not in NEEDS_NO_SCAN


def ratio_text(value):
    return f"{value:.3f}" if value < 100 else f"{value:.0f}"


def number(value):
    """Nanoseconds as millions of instructions, or as milliseconds: the same."""
    if value < 0:
        return "-"
    m = value / 1e6
    return f"{m:.3f}" if m < 10 else f"{m:.1f}"


def goal(name, text, most, ratio, against="", reason=""):
    met = "met" if ratio <= most else "NOT MET"
    line = f"  {text:<58} {most:>6.3f} {ratio:>7.3f}  {met:<8} {against}"
    if ratio > most and reason:
        line += f"\n{'':8}{reason}"
    return line


def goals_full(cells):
    of = cells.get(FULL, {}).get((100, "random"))
    if not of or "cp_range" not in of:
        return
    ours = of["cp_range"].call
    piece = best(of, "call", lambda n, c: n.startswith("write-"))
    if piece:
        yield goal("full", "full, 1 GiB: of the best write(2) in pieces", 1.0,
                   ours / of[piece].call, piece)
    if "write" in of:
        yield goal("full", "full, 1 GiB: of a single write(2)", 0.65,
                   ours / of["write"].call, "write")


def reason_for(name, ours, theirs, what, of):
    """With its figures; none where what it speaks of was not measured (ONLY=)."""
    reason, scanner = REASONS.get(name, ""), best(of, what, is_scanner)
    figures = {}
    if scanner:
        figures |= {"scanner": scanner, "scanner_ratio": ours / getattr(of[scanner], what)}
    if "write-known" in of:
        figures["known_ratio"] = getattr(of["write-known"], what) / theirs
    try:
        return reason.format(**figures)
    except KeyError:
        return ""


def goals_incremental(cells):
    for name, percent, pattern, what, most, text in (
            ("inc-idle", 0, "idle", "call", 0.05, "nothing was even read: the call"),
            ("inc-0", 0, "random", "call", 0.3, "0 % changed: the call"),
            ("inc-1", 1, "random", "total", 0.62, "1 % changed: call and writing again"),
            ("inc-10", 10, "random", "total", 0.65, "10 % changed: the same"),
            ("inc-100", 100, "random", "total", 0.72, "100 % changed: the same")):
        of = cells.get(BASE, {}).get((percent, pattern))
        if not of or "inc_cp_range" not in of:
            continue
        ours = getattr(of["inc_cp_range"], what)
        peer = best(of, what, is_peer)
        if not peer:
            continue
        theirs = getattr(of[peer], what)
        reason = reason_for(name, ours, theirs, what, of)
        yield goal(name, "incremental, 1 GiB, " + text, most, ours / theirs, peer, reason)


def goals_again(cells):
    for (percent, pattern), of in cells.get(BASE, {}).items():
        if percent and "inc_cp_range" in of and "untracked" in of:
            yield goal("again", f"1 GiB, {percent:g} % {pattern}: writing the pages again",
                       1.05, of["inc_cp_range"].again / of["untracked"].again,
                       "untracked")


def goals_bystanders(patched, plain):
    for name, (what, count) in patched.items():
        if name in plain:
            yield goal("bystander", f"no checkpoint: {what}", 1.005,
                       count / plain[name][1],
                       f"{count:,.0f} / {plain[name][1]:,.0f}")


def behind(cells):
    """Every cell in which some peer's sum is less than ours."""
    for place, changes in cells.items():
        for change, of in changes.items():
            ours = next((c for c in of.values() if c.role == "ours"), None)
            for name, cell in of.items():
                if ours and cell.role == "peer" and cell.total < ours.total:
                    yield (f"  {title(place, *change):<66} {name:<16}"
                           f"{number(ours.total):>9} /{number(cell.total):>9}")


def title(place, percent, pattern):
    kind, mib, pages, vmas, swap = place
    text = f"{kind}, {mib:g} MiB, {'huge' if pages == '2M' else '4 KiB'} pages"
    if vmas > 1:
        text += f", {vmas:g} VMAs"
    if swap:
        text += ", a quarter of it in swap"
    if kind == "incremental":
        text += ("; nothing even read" if pattern == "idle" else
                 f"; {percent:g} % written" + (f", {pattern}" if percent else ""))
    return text


def block(place, change, of):
    """The table of all schemes in one place, with one change."""
    ours = next((c for c in of.values() if c.role == "ours"), None)
    spread = "" if COUNTED else f"{'spread':>8}"
    yield title(place, *change)
    yield (f"  {'':16}{'call':>10}{spread}{'again':>10}{'sum':>10}{'ours/it':>9}"
           f"{'faults':>9}{'MiB':>9}{'kernel KiB':>12}")
    for name, cell in of.items():
        ratio = ratio_text(ours.total / cell.total) if ours and cell.total else "-"
        wide = "" if COUNTED else f"{cell.spread('call_ns'):>8.0%}"
        kernel = f"{cell.kernel / 1024:.0f}" if cell.kernel != -1 else "-"
        yield (f"  {name:16}{number(cell.call):>10}{wide}{number(cell.again):>10}"
               f"{number(cell.total):>10}{ratio:>9}{cell.faults:>9.0f}"
               f"{cell.bytes / 2**20:>9.1f}{kernel:>12}")
    yield ""


def table(cells, left_out, patched, plain):
    unit = ("million guest instructions (QEMU -icount); the least of up to three rounds"
            if COUNTED else "milliseconds of wall clock; the median of the rounds")
    yield f"All figures: {unit}."
    if not COUNTED:
        yield f"How: {HOW}. WALL CLOCK: does not repeat as counted instructions do."
    yield ""
    yield f"Goals\n  {'':58} {'wanted':>6} {'result':>7}"
    yield from goals_full(cells)
    yield from goals_incremental(cells)
    yield from goals_again(cells)
    yield from goals_bystanders(patched, plain)
    if not (patched and plain):
        yield "  no checkpoint: not measured (make kernel-plain, then make bench)"
    yield ""
    yield "Where somebody else is ahead: the sums, ours / theirs"
    yield from behind(cells)
    yield ""
    yield ("call: saving. again: the program writes the same pages once more. ours/it: our "
           "sum\nof both, of theirs. faults: of writing again. MiB: written. kernel KiB: "
           "kernel memory\nthat stays until the next save, page tables of children included.\n")
    for place, changes in cells.items():
        for change, of in changes.items():
            yield from block(place, change, of)
    yield "Left out, and why"
    for kind, scheme, _, mib, pages, vmas, swap, why in left_out:
        yield f"  {kind}, {mib} MiB, {pages} pages{', swap' if swap == '1' else ''}: {scheme}: {why}"


def plot(folder, name, script, data):
    """One plot: its data, the commands that draw it, the picture."""
    with open(f"{folder}/{name}.dat", "w", encoding="utf-8") as f:
        f.write(data)
    with open(f"{folder}/{name}.gp", "w", encoding="utf-8") as f:
        f.write("# gnuplot " + name + ".gp, in this folder\n"
                "set terminal svg size 900,560 font 'sans,13' noenhanced background '#ffffff'\n"
                f"set output '{name}.svg'\nset grid\n" + script)
    subprocess.run(["gnuplot", f"{name}.gp"], cwd=folder, check=True)


def lines(columns):
    """Data in blocks, one for each scheme, as `index` of gnuplot wants them."""
    return "\n\n\n".join(
        f'"{name}"\n' + "\n".join(" ".join(f"{v:g}" for v in p) for p in points)
        for name, points in columns.items())


def curves(columns, unit):
    return ("set key outside right\nset logscale xy\n"
            f"set ylabel '{unit}'\n"
            f"plot for [i=0:{len(columns) - 1}] DATA index i using 1:2 "
            "with linespoints lw 2 title columnheader(1)\n")


def plots(folder, cells):
    unit = "million instructions" if COUNTED else "ms"
    by_change, by_size = defaultdict(list), defaultdict(list)
    for (percent, pattern), of in cells.get(BASE, {}).items():
        for name, cell in of.items():
            if pattern == "random" and percent and cell.role != "base":
                by_change[name].append((percent, cell.total / 1e6))
    for place, changes in sorted(cells.items()):
        if place[0] == "incremental" and place[2:] == BASE[2:]:
            for name, cell in changes.get((1, "random"), {}).items():
                if cell.role != "base":
                    by_size[name].append((place[1], cell.total / 1e6))
    for name, columns, label in (
            ("by-change", by_change, "% of 1 GiB written at random"),
            ("by-size", by_size, "MiB, of which 1 % is written at random")):
        if columns:
            plot(folder, name, f"set xlabel '{label}'\nset title 'Save, and write the same "
                 "pages again'\n" +
                 curves(columns, unit).replace("DATA", f"'{name}.dat'"), lines(columns))
    ours = dict(by_change.get("inc_cp_range", []))
    ratios = {name: [(x, y / ours[x]) for x, y in points if x in ours]
              for name, points in by_change.items()}
    if ours:
        plot(folder, "ratio", "set xlabel '% of 1 GiB written at random'\nset title "
             "'Save, and write the same pages again: how many times ours'\n" +
             curves(ratios, "theirs / ours").replace("DATA", "'ratio.dat'"), lines(ratios))
    full = cells.get(FULL, {}).get((100, "random"))
    if full:
        plot(folder, "full", "set style fill solid 0.6\nset boxwidth 0.7\nset yrange [0:*]\n"
             f"unset key\nset title 'Save 1 GiB'\nset ylabel '{unit}'\n"
             "set xtics rotate by -30\n"
             "plot 'full.dat' using 0:2:xtic(1) with boxes\n",
             "\n".join(f'"{n}" {c.call / 1e6:g}' for n, c in full.items()))
    base = cells.get(BASE, {}).get((1, "random"))
    if base:
        shown = {n: c for n, c in base.items() if c.role in ("ours", "peer")}
        plot(folder, "one-percent", "set style data histograms\nset style histogram rowstacked\n"
             "set style fill solid 0.6\nset boxwidth 0.7\nset yrange [0:*]\n"
             f"set title '1 GiB, 1 % written at random'\nset ylabel '{unit}'\n"
             "set xtics rotate by -30\nset key top left\n"
             "plot 'one-percent.dat' using 2:xtic(1) title 'the call', "
             "'' using 3 title 'writing the same pages again'\n",
             "\n".join(f'"{n}" {c.call / 1e6:g} {c.again / 1e6:g}' for n, c in shown.items()))


def main():
    global COUNTED, HOW
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = sys.argv[1]
    with open(f"{folder}/how", encoding="utf-8") as f:
        HOW = f.read().strip()
    COUNTED = HOW == "icount"
    rows, left_out = read_raw(f"{folder}/raw.txt")
    if not rows:
        sys.exit(f"bench-report.py: there is no measurement in {folder}/raw.txt")
    with open(f"{folder}/results.csv", "w", newline="", encoding="utf-8") as f:
        writer = csv.DictWriter(f, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    cells = in_cells(rows)
    patched = read_bystanders(f"{folder}/bystanders-patched.txt")
    plain = read_bystanders(f"{folder}/bystanders-plain.txt")
    with open(f"{folder}/table.txt", "w", encoding="utf-8") as f:
        f.write("\n".join(table(cells, left_out, patched, plain)) + "\n")
    plots(folder, cells)


if __name__ == "__main__":
    main()
