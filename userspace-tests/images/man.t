#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The man pages: mandoc finds nothing to complain about, what they name exists, and
# cp_image(5) and cp_checkpoint(2) have the numbers, offsets and sizes of the header,
# cpimg(1) the options of the program.
. "$(dirname "$0")/../lib/host.sh"

man=$tools/man
image=$man/cp_image.5
call=$man/cp_checkpoint.2
saw=$RUN_DIR/output
cpimg=${BUILD:?}/tools/cpimg

plan 9

if command -v mandoc >/dev/null; then
	mandoc -Tlint -W warning "$man"/*.[1-9] >"$saw" 2>&1 && [ ! -s "$saw" ]
	ok "mandoc has nothing to complain about"
else
	skip "mandoc has nothing to complain about" "not installed"
fi

# Pages of this project: named by one, so in the folder, cp_range(2) under both names.
sed -n 's/^\.Xr \(cp[a-z_]*\) \([0-9]\).*/\1.\2/p' "$man"/*.[1-9] | sort -u |
while read -r ref; do
	case $ref in
	cp_range.2 | cp_restore.3) ;;	# they come with the calls and the library
	*) [ -f "$man/$ref" ] || echo "there is no $ref" ;;
	esac
done >"$saw"
[ ! -s "$saw" ]
ok "pages that are referred to are there"

# assert EXPRESSIONS: they hold for the headers
assert() {
	{
		printf '#include <stddef.h>\n#include <cpimg.h>\n'
		sed 's/.*/_Static_assert(&, "&");/'
	} >"$saw.c"
	gcc -std=gnu11 -I"$tools/include" -fsyntax-only "$saw.c" >"$saw" 2>&1
}

# rows: NUMBER Ta Dv NAME
sed -n 's/^\.It \(0*x*[0-9a-f]*\) Ta Dv \(CP[A-Z]*_[A-Z_]*\).*/\2 == \1/p' "$image" >"$saw.rows"
[ "$(wc -l <"$saw.rows")" = 33 ] && assert <"$saw.rows"
ok "cp_image(5): 25 reasons and 8 types of notes have the header's numbers"

sed -n 's/^\.It [A-Z]* Ta Dv \(PT_CP_[A-Z]*\) Ta \(0x[0-9a-f]*\) .*/\1 == \2/p' "$image" >"$saw.rows"
awk '/^and the type 0x[0-9a-f]+$/	{ type = $4; next }
     /^\.Pq Dv CP_[A-Z]*_TYPE /		{ if (type) print $3 " == " type }
					{ type = "" }' "$image" >>"$saw.rows"
sed -n 's/^\.It CP_RANGE Ta \(0x[0-9a-f]*\) Ta Vt struct \(cp_[a-z]*\) ,.*/\2_type == \1/p' "$image" |
	sed 's/.*/\U&/; s/0X/0x/' >>"$saw.rows"
[ "$(wc -l <"$saw.rows")" = 7 ] && assert <"$saw.rows"
ok "cp_image(5): the types of program headers and of the notes"

# Rows of OFFSET Ta SIZE Ta Fa NAME, below a line that names the structure, have what the
# header has: has_fields PAGE STRUCTURES
has_fields() {
	local page=$1 type fields good=0
	shift
	awk '/^\.It Sy offset .* of Vt struct /	{ type = "struct " $13 }
	     /^\.It [0-9]+ Ta [0-9]+ Ta Fa /	{
		printf "offsetof(%s, %s) == %d && sizeof(((%s *)0)->%s) == %d\n", type, $7, $2, type, $7, $4
	     }' "$page" >"$saw.rows"
	for type; do
		# each line of the header's structure has one field
		fields=$(sed -n "/^struct $type {/,/^}/p" "$tools/include/linux/cp_range.h" | grep -c '^	.*;$')
		[ "$fields" -gt 1 ] && [ "$(grep -c "(struct $type," "$saw.rows")" = "$fields" ] || good=1
	done
	[ $good = 0 ] && assert <"$saw.rows"
}
has_fields "$image" cp_note cp_span cp_files cp_file cp_map
ok "cp_image(5): each field of the notes, its offset and its size"
has_fields "$call" cp_args cp_result
ok "cp_checkpoint(2): each field of arguments and result, its offset and its size"
{
	sed -n 's/^\.It \([0-9]*\) Ta Dv \(CP_[A-Z_]*\) .*/\2 == \1/p' "$call"
	sed -n 's/^is smaller than \([0-9]*\), or$/CP_ARGS_SIZE_VER0 == \1/p; s/^smaller than \([0-9]*\);.*/CP_RESULT_SIZE_VER0 == \1/p' "$call"
	sed -n '/^\.Dv CP_MAX_RANGES ,$/{n;s/^\([0-9]*\),\([0-9]*\)\.$/CP_MAX_RANGES == \1\2/p}' "$call"
	echo 'CP_MAX_STOP_NS == 10000000000'
} >"$saw.rows"
[ "$(wc -l <"$saw.rows")" = 52 ] && assert <"$saw.rows"
ok "cp_checkpoint(2): flags, what was missed or refused, sizes and limits have the header's numbers"

{
	sed -n 's/.*Fa size Ta bytes of this structure: \([0-9]*\);.*/sizeof(struct cp_note) == \1/p' "$image"
	sed -n 's/.*Fa file_size Ta bytes a file: \([0-9]*\);.*/sizeof(struct cp_file) == \1/p' "$image"
	sed -n 's/.*Fa map_size Ta bytes a map: \([0-9]*\);.*/sizeof(struct cp_map) == \1/p' "$image"
	grep -o '0x43504649$' "$image" | sed 's/^/CP_FILES_TYPE == /'
	sed -n 's/^A note of version 1 has \([0-9]*\) bytes.*/CP_NOTE_SIZE_VER1 == \1/p' "$image"
	sed -n 's/.*Fa version Ta \([0-9]*\)$/\1/p' "$image" | head -n 1 | sed 's/^/CP_NOTE_VERSION == /'
	sed -n 's/.*Fa flags Ta \([0-9]*\), Dv \(CP_NOTE_MOMENT\) .*/\2 == \1/p' "$image"
	sed -n 's/.*Fa flags Ta \([0-9]*\), Dv \(CP_FILE_STAYS\) .*/\2 == \1/p' "$image"
} >"$saw.rows"
[ "$(wc -l <"$saw.rows")" = 8 ] && assert <"$saw.rows"
ok "cp_image(5): the sizes of the structures, and what CP_FILES is known by"

# Every long option that a command has is in the page, and the other way round.
for command in list show verify flatten diff extract map prune restart save; do
	"$cpimg" $command --help | grep -o -- '--[a-z-]*' |
		grep -vE -- '--(help|usage|version|dir)$' | sort -u |
		sed "s/^--/$command /"
done >"$saw.program"
awk '/^\.It Cm /{ command = $3 }
     /^All commands have/{ command = "" }
     /^\.It Fl .* , Fl -/{ if (command != "") { sub(/.*Fl -/, ""); print command, $1 } }' \
	"$man/cpimg.1" | sort >"$saw.page"
sort "$saw.program" | diff - "$saw.page" >"$saw" && [ "$(wc -l <"$saw.page")" -ge 10 ]
ok "cpimg(1): the options of every command"
