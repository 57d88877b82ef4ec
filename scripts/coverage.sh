#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What the guests of the coverage kernel counted, added up: coverage.sh [PERCENT]
# A table of the new kernel files, then the lines that no test ran; those that
# userspace-tests/COVERAGE gives a reason for are marked as known. With PERCENT it
# fails if fewer of the lines ran. Two compilations of one file (notes.c) count as one.
. "$(dirname "$0")/lib.sh"

data=$BUILD/coverage/data	# a folder for each guest, by guest.sh
merged=$BUILD/coverage/merged
report=$BUILD/coverage
known=$top/userspace-tests/COVERAGE
linux=$(cd "$linux" && pwd -P)	# as gcovr has it

step coverage "Which lines of the new kernel files ran, in $report"

# A guest that was killed on purpose leaves none.
mapfile -t guests < <(find "$data" -name '*.gcda' -printf '%h\n' 2>/dev/null | sort -u)
[ "${#guests[@]}" -gt 0 ] || die "no guest has left counts in $data; run 'make coverage'"

rm -rf "$merged"
cp -r "${guests[0]}" "$merged"
for guest in "${guests[@]:1}"; do
	gcov-tool merge -o "$merged.new" "$merged" "$guest" >/dev/null
	rm -rf "$merged"
	mv "$merged.new" "$merged"
done
cp "$work"/coverage/mm/cp_range/*.gcno "$merged/"

rm -rf "$report/html"
mkdir -p "$report/html"
logged "$report/gcovr.log" gcovr gcovr --root "$linux" --filter "$linux/mm/cp_range/" \
	--txt "$report/lines.txt" --json "$report/lines.json" --html-details "$report/html/index.html" \
	"$merged"

python3 - "$report/lines.json" "$linux" "$known" "${1:-0}" <<'END' | tee "$report/report.txt"
import collections, json, os, re, sys

lines, linux, known, wanted = sys.argv[1:]
reasons = set()
if os.path.exists(known):
    for line in open(known):
        match = re.match(r"(\S+\.[ch]) (\w+): (.*)", line)
        if match:
            reasons.add(match.groups())

# Kernel style: only a function begins in the first column and has a parenthesis.
def function(source, number):
    for line in reversed(source[:number]):
        match = re.match(r"[A-Za-z].*?(\w+)\(", line)
        if match:
            return match[1]
    return "-"

ran = collections.Counter()
total = collections.Counter()
missing = []
texts = {}
for file in json.load(open(lines))["files"]:
    name = os.path.basename(file["file"])
    source = open(os.path.join(linux, file["file"])).read().splitlines()
    texts[name] = {line.strip() for line in source}
    count = collections.Counter()
    for line in file["lines"]:
        if not line.get("gcovr/noncode"):  # before gcovr 6
            count[line["line_number"]] += line["count"]
    for number in sorted(count):
        total[name] += 1
        if count[number]:
            ran[name] += 1
        else:
            missing.append((name, function(source, number),
                            source[number - 1].strip(), number))

if not total:
    sys.exit(f"coverage.sh: no line of {linux}/mm/cp_range was counted")

def row(name, ran, total):
    print(f"{name:16} {total:6} {ran:6} {100 * ran / max(total, 1):8.1f} %")

print(f"{'file':16} {'lines':>6} {'ran':>6} {'':>8}")
for name in sorted(total):
    row(name, ran[name], total[name])
row("all", ran.total(), total.total())

new = [m for m in missing if m[:3] not in reasons]
print(f"\n{len(missing)} lines did not run; "
      f"{len(missing) - len(new)} of them have their reason in userspace-tests/COVERAGE.")
if len(missing) > 150:
    print("too many to list; see html/index.html")
    missing = []
for name, where, text, number in missing:
    mark = " " if (name, where, text) in reasons else "?"
    print(f"{mark} {name}:{number} {where}: {text}")
for name, where, text in sorted(reasons):
    if text not in texts.get(name, ()):
        print(f"userspace-tests/COVERAGE has what is not in {name}: {text}")
percent = 100 * ran.total() / max(total.total(), 1)
if percent < float(wanted):
    sys.exit(f"coverage.sh: {percent:.1f} % of the lines ran, less than {wanted} %")
END
