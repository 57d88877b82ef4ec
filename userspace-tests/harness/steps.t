#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Patches that are made for the tree that is there: a kernel of our own of three files,
# steps of all kinds of rules, and steps that do not fit. A rule that does not do what it
# says is named, and then there are no patches.
. "$(dirname "$0")/../lib/host.sh"

saw=$RUN_DIR/output
copy="$RUN_DIR/a copy"		# of the repository, with a kernel 9.9
steps=$copy/kernel-patches/9.9
tree=$RUN_DIR/linux-9.9
out="$RUN_DIR/the patches"

plan 15
for tool in spatch git quilt cpio; do
	command -v "$tool" >/dev/null && continue
	for ((n = 1; n <= 15; n++)); do skip "the patches of steps" "no $tool"; done
	exit
done

make_tree() {
	rm -rf "$tree"
	mkdir -p "$tree/mm"
	: >"$tree/Kbuild"
	printf '%s\n' 'obj-y := boat.o' '' 'obj-y += harbour.o' >"$tree/mm/Makefile"
	cat >"$tree/mm/boat.c" <<-'END'
		#include <linux/water.h>

		int row_across(struct boat *boat)
		{
			int strokes = pull_oars(boat);

			leave_harbour(boat, strokes);
			return strokes;
		}
	END
}

make_steps() {
	rm -rf "$steps"
	mkdir -p "$steps/0001-ours/files/mm" "$steps/0002-rules/cocci"
	echo 'get=nowhere' >"$steps/source"
	echo 'mm: count boats' >"$steps/0001-ours/message"
	echo 'int nr_of_boats_on_water;' >"$steps/0001-ours/files/mm/count.c"
	cat >"$steps/0001-ours/edits" <<-'END'
		== mm/Makefile +1 -0
		$a\
		obj-y += count.o
	END
	echo 'mm: tell of boats that leave' >"$steps/0002-rules/message"
	cat >"$steps/0002-rules/cocci/leave.cocci" <<-'END'
		// to: mm/boat.c
		// adds: boat_has_left=1
		@@
		expression which, how;
		@@
			leave_harbour(which, how);
		+	boat_has_left(which);
	END
}

unset ARCH		# of the kernel that the tests are run on

series() {	# SOURCE
	rm -rf "$out"
	KERNEL=9.9 LINUX_SRC=$1 BUILD="$RUN_DIR/build" "$copy/scripts/series.sh" "$1" "$out" >"$saw" 2>&1
}
refused() {	# REGEX
	! series "$tree" && has "$1" && has 'no patches are made' && [ ! -e "$out" ]
}
check() {
	KERNEL=9.9 LINUX_SRC=$tree BUILD="$RUN_DIR/build" "$copy/scripts/check-steps.sh" >"$saw" 2>&1
}

rm -rf "$copy"
mkdir -p "$copy/kernel-patches"
(cd "$top" && cp -a Makefile scripts "$copy")
make_tree
make_steps

sum() { (cd "$tree" && find . -type f -exec cksum {} + | sort); }
before=$(sum)
series "$tree" && [ "$(wc -l <"$out/series")" = 2 ] && [ "$before" = "$(sum)" ]
ok "a tree: one patch a step, and nothing is written to the tree"
grep -q '^+.*boat_has_left(boat);' "$out"/0002* && grep -q '^+obj-y += count.o' "$out"/0001* &&
	grep -q '^+int nr_of_boats' "$out"/0001*
ok "files of ours, an edit and a semantic patch are in them"
cp -r "$out" "$RUN_DIR/of-tree"
tar -C "$RUN_DIR" -czf "$RUN_DIR/linux-9.9.tar.gz" linux-9.9
series "$RUN_DIR/linux-9.9.tar.gz" && diff -r "$RUN_DIR/of-tree" "$out" >>"$saw"
ok "a tarball of it: the same patches"
rm -rf "$RUN_DIR/of-tree"
check && [ "$(grep -c '^ok' "$saw")" = 7 ]
ok "git am, quilt and patch -p1 take them, and make the same files"

sed -n '5,8p' "$tree/mm/boat.c" >>"$steps/0001-ours/files/mm/count.c"
! check && has '^FAIL .* no three in a row' && has 'intstrokes=pull_oars\(boat\); | '
ok "lines of the tree among ours are found"
make_steps
sed -i 's/which/boat/g; s/how/strokes/g' "$steps/0002-rules/cocci/leave.cocci"
! check && has '^FAIL .* of rules none is' && has 'leave_harbour\(boat,strokes\);'
ok "a line of the tree in a rule is found"

make_steps
sed -i 's/+1 -0/+2 -0/' "$steps/0001-ours/edits"
refused '0001-ours/edits, == mm/Makefile: it changed \+1 -0 lines'
ok "an edit that adds more or less than it says"
make_steps
sed -i 's/Makefile/Makefool/' "$steps/0001-ours/edits"
refused '0001-ours/edits, == mm/Makefool: there is no such file'
ok "an edit of a file that is not there"
make_steps
sed -i 's/=1/=2/' "$steps/0002-rules/cocci/leave.cocci"
refused '0002-rules/cocci/leave.cocci: .* 1 more boat_has_left, and 2 would be right'
ok "a semantic patch that matches less often than it says"
make_steps
sed -i 's/leave_harbour/leave_town/' "$steps/0002-rules/cocci/leave.cocci"
refused '0002-rules/cocci/leave.cocci: .* 0 more boat_has_left'
ok "a semantic patch that matches nowhere"
make_steps
sed -i 's/leave_harbour(which, how);$/leave_harbour(which, how/' "$steps/0002-rules/cocci/leave.cocci"
refused '0002-rules/cocci/leave.cocci: spatch failed on mm/boat.c'
ok "a semantic patch that is none"
make_steps
cp "$tree/mm/boat.c" "$steps/0001-ours/files/mm/"
refused '0001-ours/files/mm/boat.c: the tree has a file of that name'
ok "a file of ours in the place of one of the tree's"
make_steps
rm "$tree/mm/boat.c"
refused '0002-rules/cocci/leave.cocci: there is no mm/boat.c'
ok "a tree that lacks a file"
sed -i 's/+1 -0/+2 -0/' "$steps/0001-ours/edits"
refused 'Makefile: it changed' && has 'leave.cocci: there is no mm/boat.c'
ok "all the rules that do not fit are named, not the first alone"
mkdir -p "$RUN_DIR/empty" && tar -C "$RUN_DIR" -czf "$RUN_DIR/empty.tar.gz" empty
! series "$RUN_DIR/empty.tar.gz" && has 'holds no kernel source'
ok "a tarball of something else"
rm -rf "$copy" "$tree" "$out" "$RUN_DIR"/*.tar.gz "$RUN_DIR/empty" "$RUN_DIR/build"
