#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
#
# The figures of cost in README.md and in the cover letter are those of one measurement:
# check-figures.py README COVER [OUTPUT-OF-COST]. Printed is what is not. README may round.
# Against OUTPUT-OF-COST, what bench/cost.c said when it last ran, 2 % are allowed, as
# there, since another compiler makes another kernel, and 0.02 million for what is small.
import re, sys

problems = []


def rows(text, what, *patterns):    # name: figures, as text; each pattern is there once
    found = {}
    for name, pattern in patterns:
        match = re.findall(pattern, text, re.M)
        if len(match) != 1:
            problems.append(f"{what}: {len(match)} lines say what {name} costs, by {pattern!r}")
        else:
            found[name] = [match[0]] if isinstance(match[0], str) else list(match[0])
    return found


def words(path):    # a sentence may be broken anywhere
    return " ".join(open(path).read().split())


NUMBER = r"([\d.]+)"
CHANGES = {"0 %": "nothing, but all of it read", "1 %": "1 %", "10 %": "10 %", "100 %": "all"}

cover = rows(open(sys.argv[2]).read(), "the cover letter",
             ("write(2)", rf"^\twrite\(2\) in one call\s+{NUMBER}$"),
             ("write(2) in pieces", rf"^\twrite\(2\) in 64 KiB pieces, the best size\s+{NUMBER}$"),
             ("cp_range()", rf"^\tcp_range\(\)\s+{NUMBER}$"),
             ("not read", rf"^\t1 GiB not even read\s+{NUMBER}$"),
             *((n, rf"^\t *{n}" + rf"\s+{NUMBER}" * 5 + "$") for n in ("0 %", "0.1 %", "1 %", "10 %", "100 %")))
readme = rows(open(sys.argv[1]).read(), "README",
              ("full", r"^\| 256 MiB, full" + rf" \| {NUMBER}" * 3 + r" \|$"),
              ("not read", r"^\| nothing, not even read" + rf" \| {NUMBER}" * 4 + r" \|$"),
              *((n, rf"^\| {row}" + rf" \| {NUMBER}" * 4 + r" \|$") for n, row in CHANGES.items()))

memory = [rows(words(sys.argv[2]), "the cover letter",
               ("a call", rf"{NUMBER} KiB for pages and headers in flight"), ("a run", rf"{NUMBER} bytes a run"),
               ("a file", rf"{NUMBER} bytes and its name for each file"),
               ("tracking", rf"{NUMBER} KiB for each 64 MiB of tracked")),
          rows(words(sys.argv[1]), "README",
               ("a call", rf"a checkpoint takes {NUMBER} KiB of memory"), ("a run", rf"{NUMBER} bytes a run"),
               ("a file", rf"{NUMBER} bytes for each file that is mapped"),
               ("tracking", rf"{NUMBER} KiB for each 64 MiB"))]


def same(what, said, measured, slack=0.0, least=0.0):
    decimals = len(said.partition(".")[2])
    # half of the last digit, however a half is rounded
    if abs(float(said) - float(measured)) > max(0.5 / 10**decimals + 1e-9, slack * float(measured), least):
        problems.append(f"{what}: {said}, and {measured} in {measured_by}")


if not problems:
    measured_by = "the cover letter"
    for said, name in zip(readme["full"], ("cp_range()", "write(2) in pieces", "write(2)")):
        same(f"README, 256 MiB by {name}", said, cover[name][0])
    for name in CHANGES:
        for said, measured in zip(readme[name], cover[name]):
            same(f"README, {CHANGES[name]}", said, measured)
    # the others cannot tell what was read
    for said, measured in zip(readme["not read"], cover["not read"] + cover["0 %"][1:]):
        same("README, not even read", said, measured)
    for name, (said,) in memory[1].items():
        same(f"README, memory in the kernel, {name}", said, memory[0][name][0])
    measured_by = "what its line says"
    for name, (ours, again, theirs, their_again, ratio) in ((n, c) for n, c in cover.items() if len(c) == 5):
        same(f"the cover letter, {name}, the ratio", ratio,
             f"{(float(ours) + float(again)) / (float(theirs) + float(their_again)):.4f}", least=0.006)

if sys.argv[3:] and not problems:
    measured_by = sys.argv[3]
    run = rows(open(measured_by).read(), measured_by,
               ("write(2)", rf"256 MiB, write\(2\), all at once: +{NUMBER} M"),
               ("write(2) in pieces", rf"256 MiB, write\(2\), 64 KiB at a time: +{NUMBER} M"),
               ("cp_range()", rf"256 MiB, cp_range\(\): +{NUMBER} M"),
               ("not read", rf"1024 MiB read and not written: .* not used: +{NUMBER} M"),
               *((f"{n} {who}", rf"1024 MiB, +{float(n[:-2])} % changed, {who}: +{NUMBER} M, again +{NUMBER} M")
                 for n in ("0 %", "0.1 %", "1 %", "10 %", "100 %") for who in ("inc_cp_range", "wp-async")))
    for name, figures in cover.items():
        measured = run.get(name) or run.get(f"{name} inc_cp_range", []) + run.get(f"{name} wp-async", [])
        for said, figure in zip(figures, measured):
            same(f"the cover letter, {name}", said, figure, slack=0.02, least=0.02)

print("\n".join(problems), end="\n" if problems else "")
