#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Do the steps of KERNEL fit the source in LINUX_SRC, can the patches that come out be
# taken, and is there a line of that source in the steps?
. "$(dirname "$0")/lib.sh"
. "$top/scripts/verdict.sh"

source=${LINUX_SRC:?a kernel source}
out=$work/check
common=10	# a line that stands in the source so often is language, and nobody's
rm -rf "$out"
mkdir -p "$out"

# The lines of the steps, without the marks of a semantic patch and without white space
# (which two people put in two ways), but for those that say next to nothing: beside
# the words of C itself they have two words at most.
lines_of_steps() {
	cat "$patches"/[0-9]*-*/edits "$patches"/[0-9]*-*/cocci/*.cocci 2>/dev/null
	find "$patches"/[0-9]*-*/files -type f -exec cat {} +
}
bare() {
	sed 's/^[+-]//; s/\\$//' | awk '
	BEGIN {
		split("auto break case char const continue default do double else enum extern " \
			"float for goto if inline int long register return short signed sizeof " \
			"static struct switch typedef union unsigned void volatile while define " \
			"ifdef ifndef endif undef", list, " ")
		for (i in list)
			of_c[list[i]] = 1
	}
	!/^[ \t]*#[ \t]*include/ && !/SPDX/ {
		n = split($0, word, /[^[:alnum:]_]+/)
		own = 0
		for (i = 1; i <= n; i++)
			own += word[i] ~ /^[[:alpha:]_]/ && !(word[i] in of_c)
		gsub(/[ \t\r]/, "")
		if (own > 2)
			print
	}'
}

all_of_source() {
	if [ -d "$source" ]; then
		find "$source" -name .git -prune -o -name .pc -prune -o -type f -print0 | xargs -0 cat
	else
		tar -xOf "$source"
	fi
}

check_provenance() {
	local count line
	lines_of_steps | bare | sort -u >"$out/ours"
	[ -s "$out/ours" ] || die "no lines are found in $patches"
	all_of_source | tr -d ' \t\r' | grep -aFxf "$out/ours" | sort | uniq -c >"$out/equal" || true
	while read -r count line; do
		[ "$count" -ge "$common" ] || echo "$line    ($count times in $source)"
	done <"$out/equal" >"$out/log"
	verdict "of $(wc -l <"$out/ours") lines in the steps none is of $(basename "$source")'s" "$out/log"
}

say "Checking the steps of Linux $KERNEL with $source"
if "$top/scripts/series.sh" "$source" "$out/series" "$out/originals" >"$out/log" 2>&1; then
	: >"$out/log"
fi
verdict "the rules fit" "$out/log"
[ "$failed" = 1 ] || check_apply "$out" "$out/series" "$out/originals"
check_provenance
exit "$failed"
