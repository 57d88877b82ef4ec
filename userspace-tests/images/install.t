#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What `make install` puts down can be used: the program, the library by its
# pkg-config file, the man pages, the completion of bash.
. "$(dirname "$0")/../lib/host.sh"

saw=$RUN_DIR/output
dest=$RUN_DIR/root

plan 9

rm -rf "$dest"
make -C "$tools" OUT="$RUN_DIR/tools" DESTDIR="$dest" PREFIX=/opt/x install >"$saw" 2>&1
ok "make install, with DESTDIR and PREFIX"
for file in bin/cpimg bin/cprun lib/libcpimg.a lib/pkgconfig/libcpimg.pc include/cpimg.h include/cp_range.h \
	include/linux/cp_range.h share/man/man1/cpimg.1 share/man/man1/cprun.1 share/man/man2/inc_cp_range.2 share/man/man2/cp_checkpoint.2 \
	share/man/man3/cp_restore.3 share/man/man3/cpimg_newest.3 share/man/man3/cp_image_name.3 share/man/man5/cp_image.5 \
	share/bash-completion/completions/cpimg share/bash-completion/completions/cprun; do
	[ -s "$dest/opt/x/$file" ] || echo "no $file"
done >"$saw"
[ ! -s "$saw" ] && [ "$(ls "$dest")" = opt ]
ok "everything is there, and nothing outside"
"$dest/opt/x/bin/cpimg" --version >"$saw" && has '^cpimg [0-9]'
ok "the program runs"

cat >"$RUN_DIR/uses.c" <<'END'
#include <cpimg.h>
#include <cp_range.h>
#include <stdio.h>
int main(void)
{
	struct cpimg_error err;

	if (cpimg_open("/dev/null", 0, &err))
		return 1;
	puts(err.text);
	return err.code != CPIMG_ERR_FORMAT;
}
END
if command -v pkg-config >/dev/null; then
	flags=$(PKG_CONFIG_PATH=$dest/opt/x/lib/pkgconfig pkg-config --define-variable=prefix="$dest/opt/x" \
		--define-variable=libdir="$dest/opt/x/lib" --define-variable=includedir="$dest/opt/x/include" \
		--cflags --libs libcpimg 2>"$saw")
	# shellcheck disable=SC2086	# a list
	gcc "$RUN_DIR/uses.c" $flags -o "$RUN_DIR/uses" >>"$saw" 2>&1 && "$RUN_DIR/uses" >"$saw" && has '/dev/null: file type'
	ok "a program is compiled and linked by what pkg-config says"
else
	skip "a program is compiled and linked by what pkg-config says" "not installed"
fi

# completes WORDS...: what can come in the place of the last
completes() {
	PATH=$dest/opt/x/bin:$PATH bash -c '
		. "$1"
		shift
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_cpimg "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
		printf "%s\n" "${COMPREPLY[@]}"' \
		- "$dest/opt/x/share/bash-completion/completions/cpimg" "$@" >"$saw" 2>"$saw.err" &&
		[ ! -s "$saw.err" ]
}
completes cpimg '' && has '^show$' && has '^prune$' && has '^help$' && completes cpimg fl && [ "$(cat "$saw")" = flatten ]
ok "completion: commands"
completes cpimg prune --k && [ "$(cat "$saw")" = --keep= ] && completes cpimg show - && has '^-v$' && has '^--json$'
ok "completion: options"
cd "$RUN_DIR" && mkdir -p 'a folder' && touch 'an image'
completes cpimg verify a && has '^a folder$' && has '^an image$' && completes cpimg show -d a && [ "$(cat "$saw")" = 'a folder' ] &&
	completes cpimg show --dir = a && [ "$(cat "$saw")" = 'a folder' ] && completes cpimg diff --symbols = 'an' && has 'an image'
ok "completion: files and folders"
completes cpimg list a && [ "$(cat "$saw")" = 'a folder' ] && completes cpimg verify --root = a &&
	[ "$(cat "$saw")" = 'a folder' ] && completes cpimg list --pid = 1 && ! has .
ok "completion: where a folder is wanted, folders"
completes cpimg help ma && [ "$(cat "$saw")" = map ] && completes cpimg nonsense --x && ! has .
ok "completion: help, and no command at all"
