#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The programs in README.md and the man pages are compiled, and those that restore their
# state do that, as position independent programs with address space randomization.
. "$(dirname "$0")/../lib/host.sh"

lib=${BUILD:?}/tools/libcpimg.a
saw=$RUN_DIR/output

plan 7

cd "$RUN_DIR" || exit 1
rm -f ./*.c go_on_*

# readme LINE: the block of code in README.md that has such a line
readme() {
	awk -v want="$1" '
		/^    /		{ block = block substr($0, 5) "\n"; if (index($0, want)) found = 1; next }
		/^$/ && block	{ block = block "\n"; next }
				{ if (found) exit; block = "" }
		END		{ if (found) printf "%s", block }' "$top/README.md"
}
# page FILE LINE: the block in a man page
page() {
	awk -v want="$2" '
		/^\.Bd/		{ inside = 1; block = ""; next }
		/^\.Ed/		{ if (found) exit; inside = 0 }
		inside		{ gsub(/\\e/, "\\"); block = block $0 "\n"; if (index($0, want)) found = 1 }
		END		{ if (found) printf "%s", block }' "$tools/man/$1"
}
# compile OUTPUT: NAME.c with the library
compile() {
	gcc -std=gnu11 -Wall -Wextra -Werror -Wno-unused-parameter -static-pie -I"$tools/include" \
		"$1.c" -o "$1" "$lib" -lelf -lz -lzstd >"$saw" 2>&1 ||
		gcc -std=gnu11 -Wall -Wextra -Werror -Wno-unused-parameter -static-pie -I"$tools/include" \
			"$1.c" -o "$1" "$lib" -lelf -lz >"$saw" 2>&1
}

readme 'memory[day * 5000]' >example.c
[ -s example.c ] && gcc -Wall -Wextra -Werror -static -I"$tools/include" -o example example.c >"$saw" 2>&1
ok "README.md: the example compiles with the headers alone"
readme 'static int go_on' >go_on_readme.c
[ -s go_on_readme.c ] && compile go_on_readme
ok "README.md: the program that goes on compiles"
page cp_restore.3 'static int go_on' >go_on_page.c
[ -s go_on_page.c ] && compile go_on_page
ok "cp_restore(3): the program that goes on compiles"
page cp_checkpoint.2 'static int save' >save.c
[ -s save.c ] && gcc -std=gnu11 -Wall -Wextra -Werror -Wno-unused-parameter -I"$tools/include" save.c -o save >"$saw" 2>&1
ok "cp_checkpoint(2): the program that saves one moment compiles"
for name in readme page; do
	goes_on="the program of the $name goes on where it was, wherever it is loaded"
	if kernel_is_too_old; then
		skip "$goes_on" "the C library here wants Linux $wants"
		continue
	fi
	"$GUEST" --kernel "${CP_VARIANT:-normal}" --add "$RUN_DIR/go_on_$name" -- /tests/again 3 "/tests/go_on_$name" >"$saw" 2>&1 &&
		[ "$(sed -n 's/^at step //p' "$saw" | tr '\n' ' ')" = '0 10 20 30 ' ] &&
		file=$(od -An -tu2 -j16 -N2 "go_on_$name") && [ "${file// /}" = 3 ]
	ok "$goes_on"
done
{
	printf '#include <cpimg.h>\n#include <stddef.h>\n'
	page cp_restore.3 'static int left' | sed '/^struct cp_restored done/,$d'
	printf 'int main(void)\n{\n'
	page cp_restore.3 'static int left' | sed -n '/^struct cp_restored done/,$p'
	printf 'return done.left == NULL;\n}\n'
} >left.c
gcc -std=gnu11 -Wall -Wextra -Werror -Wno-unused-parameter -I"$tools/include" left.c -o left >"$saw" 2>&1 && ./left
ok "cp_restore(3): the function that leaves guard pages compiles"
