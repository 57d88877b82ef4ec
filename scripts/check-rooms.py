#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
#
# Who includes and calls whom in userspace-tests: check-rooms.py TESTS OBJECTS GRAPH
# OBJECTS has the compiler's .d and .o files, a folder for each room. GRAPH gets who knows
# whom in the oracle, by includes and by symbols. Printed is what is wrong: a file that
# another folder includes and that is not in lib/, or is there for one folder alone; files
# that include each other in a circle; files of the oracle, a source and its header taken
# as one, that know each other.
import collections, glob, graphlib, os, re, subprocess, sys

tests, objects, graph = sys.argv[1:]


def folder(path):
    return os.path.dirname(path)


def name(path):
    return os.path.splitext(os.path.basename(path))[0]


def circle(edges, what):
    try:
        return list(graphlib.TopologicalSorter(edges).static_order())
    except graphlib.CycleError as error:
        print(f"{what} in a circle: {' -> '.join(reversed(error.args[1]))}")
        return []


# folders that include a file, by what the compiler saw
users = collections.defaultdict(set)
seen = set()
for path in glob.glob(f"{objects}/*/*.d"):
    rule = open(path).read().replace("\\\n", " ").split("\n")[0]
    source, *files = rule.split(": ", 1)[1].split()
    if os.path.isabs(source) or not os.path.exists(f"{tests}/{source}"):
        continue    # the library's
    seen.add(source)
    for file in files:
        file = os.path.normpath(file)
        if not os.path.isabs(file) and not file.startswith(".."):
            users[file].add(folder(source))
if not seen or not users:
    sys.exit(f"check-rooms.py: there is nothing in {objects}")
for file, folders in sorted(users.items()):
    others = folders - {folder(file)}
    if folder(file) != "lib" and others:
        print(f"{file} is not in lib/, and is included in: {' '.join(sorted(others))}")
    if folder(file) == "lib" and len(others) == 1:
        print(f"{file} is for {others.pop()}/ alone")

includes = collections.defaultdict(set)
for path in glob.glob(f"{tests}/*/*.[ch]"):
    path = os.path.relpath(path, tests)
    for file in re.findall(r'^#include "([^"]*)"', open(f"{tests}/{path}").read(), re.M):
        for place in (folder(path), "lib"):
            if os.path.exists(f"{tests}/{place}/{file}"):
                includes[path].add(f"{place}/{file}")
                break
circle(includes, "these include each other")

# the oracle's files: a source and its header are one
knows = collections.defaultdict(set)
for path, files in includes.items():
    if folder(path) == "oracle":
        knows[name(path)] |= {name(f) for f in files if folder(f) == "oracle"} - {name(path)}
defines = {}
wants = {}
for path in glob.glob(f"{objects}/oracle/*.o"):
    file = name(path)
    wants[file] = set()
    for line in subprocess.run(["nm", "-g", path], check=True, capture_output=True, text=True).stdout.splitlines():
        kind, symbol = line.split()[-2:]
        if kind == "U":
            wants[file].add(symbol)
        else:
            defines[symbol] = file
calls = {file: {defines[s] for s in symbols if s in defines} - {file} for file, symbols in wants.items()}
missing = {name(s) for s in seen if folder(s) == "oracle"} - set(calls)
if missing or not any(calls.values()):
    print(f"no object of {' '.join(sorted(missing)) or 'the oracle'}: who calls whom is not known")
order = circle({who: calls[who] | knows[who] for who in calls}, "these of the oracle know each other")
with open(graph, "w") as file:
    for who in reversed(order):
        print(f"{who}: calls {' '.join(sorted(calls[who])) or 'nobody'};",
              f"includes {' '.join(sorted(knows[who])) or 'nobody'}", file=file)
