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

# Lines without the marks of a semantic patch and without white space, which two people
# put in two ways; a tab and "+" behind those that say something: beside the words of C
# itself they have more than two.
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
	{
		n = split($0, word, /[^[:alnum:]_]+/)
		own = 0
		for (i = 1; i <= n; i++)
			own += word[i] ~ /^[[:alpha:]_]/ && !(word[i] in of_c)
		if (/^[ \t]*#[ \t]*include/ || /SPDX/)
			own = 0
		gsub(/[ \t\r]/, "")
		if ($0 ~ /[[:alpha:]]/)
			print $0 (own > 2 ? "\t+" : "")
	}'
}

all_of_source() {
	if [ -d "$source" ]; then
		find "$source" -name .git -prune -o -name .pc -prune -o -type f -print0 | xargs -0 cat
	else
		tar -xOf "$source"
	fi
}

# A rule, line by line. In files of ours lines that call the same functions are like the
# kernel's own, so it takes three in a row there, of which two say something.
check_provenance() {
	cat "$patches"/[0-9]*-*/edits "$patches"/[0-9]*-*/cocci/*.cocci 2>/dev/null | bare >"$out/rules"
	find "$patches"/[0-9]*-*/files -type f -exec cat {} + | bare >"$out/files"
	[ -s "$out/rules" ] || die "no rules are found in $patches"
	cat "$out/rules" "$out/files" | cut -f1 | sort -u >"$out/ours"
	all_of_source | tr -d ' \t\r' | grep -a '[[:alpha:]]' | grep -aFxnf "$out/ours" >"$out/equal" || true

	awk -F '\t' -v common="$common" '
	FILENAME == ARGV[1]	{ if ($2) rule[$1]; next }
				{ sub(/^[0-9]*:/, "") }
	$0 in rule		{ count[$0]++ }
	END	{ for (line in count) if (count[line] < common) print line "    (" count[line] " times)" }
	' "$out/rules" "$out/equal" | sort >"$out/log"
	verdict "of $(wc -l <"$out/rules") lines of rules none is of $(basename "$source")'s" "$out/log"

	awk -F '\t' '
	function end_of_run() {
		if (lines > 2 && telling > 1)
			print run
		lines = telling = 0
		run = ""
	}
	FILENAME == ARGV[1] {
		says[$1] = $2
		follows[last, $1]
		last = $1
		next
	}
	{
		at = $0 + 0
		sub(/^[0-9]*:/, "")
		if (!($0 in says))
			next
		if (at != before + 1 || !((previous, $0) in follows))
			end_of_run()
		run = run (lines ? " | " : "") $0
		lines++
		telling += says[$0] == "+"
		before = at
		previous = $0
	}
	END { end_of_run() }' "$out/files" "$out/equal" | sort | uniq -c >"$out/log"
	verdict "of $(wc -l <"$out/files") lines of files no three in a row are" "$out/log"
}

say "Checking the steps of Linux $KERNEL with $source"
if "$top/scripts/series.sh" "$source" "$out/series" "$out/originals" >"$out/log" 2>&1; then
	: >"$out/log"
fi
verdict "the rules fit" "$out/log"
[ "$failed" = 1 ] || check_apply "$out" "$out/series" "$out/originals"
check_provenance
exit "$failed"
