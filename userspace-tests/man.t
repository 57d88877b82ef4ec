#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The man pages: mandoc finds nothing to complain about, what they name exists, and
# cp_image(5) has the numbers, offsets and sizes of the header, cpimg(1) the options
# of the program.
. "$(dirname "$0")/lib/host.sh"

here=$(cd "$(dirname "$0")" && pwd)
tools=$here/../userspace-tools
man=$tools/man
image=$man/cp_image.5
saw=$RUN_DIR/output
cpimg=${BUILD:?}/tools/cpimg

plan 6

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
[ "$(wc -l <"$saw.rows")" = 22 ] && assert <"$saw.rows"
ok "cp_image(5): 22 reasons have the header's numbers"

sed -n 's/^\.It [A-Z]* Ta Dv \(PT_CP_[A-Z]*\) Ta \(0x[0-9a-f]*\) .*/\1 == \2/p' "$image" >"$saw.rows"
sed -n 's/^and the type \(0x[0-9a-f]*\)$/CP_NOTE_TYPE == \1/p' "$image" >>"$saw.rows"
grep -o 'type 0x[0-9a-f]*' "$image" | sed 's/type/CP_NOTE_TYPE ==/' >>"$saw.rows"
[ "$(wc -l <"$saw.rows")" -ge 3 ] && assert <"$saw.rows"
ok "cp_image(5): the types of program headers and of the note"

# rows: OFFSET Ta SIZE Ta Fa NAME
# (and the structure's last line ends in a semicolon, too)
fields=$(sed -n '/^struct cp_note {/,/^}/p' "$tools/include/linux/cp_range.h" | grep -c ';$')
sed -n 's/^\.It \([0-9]*\) Ta \([0-9]*\) Ta Fa \([a-z_]*\) .*/offsetof(struct cp_note, \3) == \1 \&\& sizeof(((struct cp_note *)0)->\3) == \2/p' "$image" >"$saw.rows"
[ "$(wc -l <"$saw.rows")" = "$((fields - 1))" ] && assert <"$saw.rows"
ok "cp_image(5): each field of the note, its offset and its size"

# Every long option that a command has is in the page, and the other way round.
for command in show verify flatten diff extract map prune; do
	"$cpimg" $command --help | grep -o -- '--[a-z-]*' |
		grep -vE -- '--(help|usage|version|dir)' | sort -u |
		sed "s/^--/$command /"
done >"$saw.program"
awk '/^\.It Cm /{ command = $3 }
     /^All commands have/{ command = "" }
     /^\.It Fl .* , Fl -/{ if (command != "") { sub(/.*Fl -/, ""); print command, $1 } }' \
	"$man/cpimg.1" | sort >"$saw.page"
sort "$saw.program" | diff - "$saw.page" >"$saw" && [ "$(wc -l <"$saw.page")" -ge 10 ]
ok "cpimg(1): the options of every command"
