#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The harness itself, where people put it: below a folder whose name has spaces and
# worse, below /tmp, with a umask of 077.
. "$(dirname "$0")/../lib/host.sh"

saw=$RUN_DIR/output
copy="$RUN_DIR/it's a folder: one, two"
export XDG_CACHE_HOME=$RUN_DIR/cache

plan 19

# Make for that copy, which gets nothing from the make above us.
make_there() {
	(umask 077 && cd "$copy" && unset BUILD STEPS MAKEFLAGS MFLAGS MAKELEVEL &&
		make "$@") >"$saw" 2>&1
}

rm -rf "$copy" "$XDG_CACHE_HOME"
mkdir -p "$copy"
(cd "$top" && cp -a Makefile scripts kernel-patches userspace-tools userspace-tests "$copy")
find "$copy" -exec touch -d '1 hour ago' {} +
list() {
	find "$copy" -mindepth 1 -type d -printf '%P %m\n' -o -printf '%P %y %m %s\n' | sort
}
list >"$RUN_DIR/list"

make_there tools
ok "make tools, where make and kbuild cannot have the folder's name"
[ -L "$copy/build" ] && [ "$("$copy/build/tools/cpimg" --version 2>"$saw")" ]
ok "build is a link to a folder that they can"
find "$copy" -newermt '30 minutes ago' ! -path "$copy" ! -name build >"$saw"
[ ! -s "$saw" ]
ok "nothing is written beside it"
make_there BUILD="$RUN_DIR/it's another, with a space" tools &&
	"$RUN_DIR/it's another, with a space/tools/cpimg" --version >"$saw" &&
	make_there BUILD="$RUN_DIR/it's another, with a space" distclean &&
	[ ! -L "$RUN_DIR/it's another, with a space" ]
ok "BUILD= with such a name"
make_there DESTDIR="$copy/dest dir" install && rm -rf "$copy/build" &&
	find "$copy/dest dir" -mindepth 1 ! -type l ! -perm -044 >"$saw" && [ ! -s "$saw" ] &&
	[ -x "$copy/dest dir/usr/local/bin/cpimg" ]
ok "make install into such a folder, for everybody to read"
rm -rf "$copy/build"
mkdir "$copy/build" && : >"$copy/build/precious"
! make_there tools && has "cannot be built in .*/build'" && [ -f "$copy/build/precious" ]
ok "a build folder there that has files is left alone, with a message"
rm -r "$copy/build"
make_there tools && make_there distclean && [ ! -e "$copy/build" ] && [ ! -L "$copy/build" ] &&
	[ -z "$(ls -A "$XDG_CACHE_HOME")" ]
ok "make distclean: the link and the folder are gone"
rm -rf "$copy/dest dir"
list | diff "$RUN_DIR/list" - >"$saw"
ok "all else is as it was"
rm -rf "$RUN_DIR/all"
# As if all had been made that a script makes, by what they call it.
# shellcheck disable=SC2016	# the variable's name
grep -oh '\$BUILD/[a-z][a-z0-9.-]*' "$top"/Makefile "$top"/scripts/*.sh |
while read -r name; do
	mkdir -p "$RUN_DIR/all/${name#*/}"
done
mkdir -p "$RUN_DIR/all/6.12/linux"
[ "$(find "$RUN_DIR/all" -mindepth 1 | wc -l)" -gt 8 ] &&
	make_there BUILD="$RUN_DIR/all" distclean && [ ! -e "$RUN_DIR/all" ]
ok "make distclean: nothing is left of what a script makes"

# in_folder FOLDER PROGRAM runs itself, which ends with 2 since it is told nothing.
guest() {
	(umask 077 && "$GUEST" --kernel "${CP_VARIANT:-normal}" --mem 256 "$@") >"$saw" 2>&1
}
guest --add "$TESTS_DIR/in_folder:/tmp/here and/there/itself" -- \
	/tests/in_folder '/tmp/here and/there' ./itself
[ $? = 2 ]
ok "what is added below /tmp is in the guest, whose /tmp is a tmpfs"
guest --share "$RUN_DIR" --add "$TESTS_DIR/in_folder:/host/itself" -- /tests/in_folder /host ./itself
[ $? = 125 ] && has 'mounts something over /host/itself' && [ ! -e "$RUN_DIR/itself" ]
ok "what would be hidden by another mount is refused"

# An emulator that fails so often, and a test that does, as make test runs them.
mkdir -p "$RUN_DIR/bin" "$RUN_DIR/build/run"
cat >"$RUN_DIR/bin/qemu-system-x86_64" <<'EOF'
#!/bin/sh
left=$(cat "$LEFT")
[ "$left" = 0 ] && PATH=${PATH#*:} exec qemu-system-x86_64 "$@"
echo $((left - 1)) >"$LEFT"
exit 3
EOF
chmod +x "$RUN_DIR/bin/qemu-system-x86_64"
failing() {	# TIMES
	export LEFT=$RUN_DIR/left
	echo "$1" >"$LEFT"
	PATH=$RUN_DIR/bin:$PATH guest -- /tests/in_folder
}
failing 1
[ $? = 2 ] && has "the guest died \\(QEMU's status 3\\) before the program ran; once more"
ok "a guest that does not boot is tried again, and that is told"
failing 2
[ $? = 125 ]
ok "but once only"

there() {	# SCRIPT ARGUMENTS
	BUILD=$RUN_DIR/build "$top/scripts/$1" "${@:2}" >"$saw" 2>&1
}

# A test whose guest, but for the last one, ends with such a log; no guest is booted for it.
mkdir -p "$RUN_DIR/fake"
touch "$RUN_DIR/build/initramfs.cpio"
echo tcg,thread=multi >"$RUN_DIR/build/accelerator"
cat >"$RUN_DIR/fake/qemu-system-x86_64" <<'EOF'
#!/bin/bash
left=$(cat "$LEFT")
echo $((left - 1)) >"$LEFT"
all="$*"
log=${all#*file,id=log,path=}
log=${log%% -serial*}
if [ "$left" = 0 ]; then
	printf '%s\n' 'guest: runs the program' 'guest: exit status 2' >"$log"
	exit 5
fi
cat "$OOPS" >"$log"
exit 1
EOF
cat >"$RUN_DIR/trips.t" <<'EOF'
#!/bin/sh
echo 1..1
"$GUEST" --mem 256 -- /tests/in_folder
[ $? = 2 ] || exit 1
echo ok 1
EOF
chmod +x "$RUN_DIR/fake/qemu-system-x86_64" "$RUN_DIR/trips.t"
trips() {	# TIMES BYTES FUNCTION
	export LEFT=$RUN_DIR/left OOPS=$RUN_DIR/oops KERNEL_IMAGE=$RUN_DIR/oops
	echo "$1" >"$LEFT"
	printf '%s\n' '[    1.0] guest: runs the program' '[    2.0] Oops: int3: 0000 [#1]' \
		"[    2.0] Code: 00 00 $2 44 00 00" "[    2.0]  $3+0x66/0x140" \
		'[    2.0] Kernel panic - not syncing: Fatal exception' >"$OOPS"
	PATH=$RUN_DIR/fake:$PATH there tap.sh "$RUN_DIR/trips.t"
}
trips 1 '0f <1f>' schedule && has 'not the test failed but the emulator' && [ "$(grep -c '^ok 1' "$saw")" = 1 ]
ok "a test whose guest took an int3 that is not there runs once more"
! trips 2 '0f <1f>' schedule
ok "but once only, too"
! trips 1 '02 cc <1f>' schedule && ! has 'not the test failed'
ok "not for an int3 that is there"
! trips 1 '0f <1f>' cp_range_walk && ! has 'not the test failed'
ok "nor where a function of ours is in the backtrace"

cat >"$RUN_DIR/fails.t" <<'EOF'
#!/bin/sh
printf '%s\n' 1..2 'ok 1' '# because of that' 'not ok 2'
echo 'on stderr' >&2
exit 7
EOF
chmod +x "$RUN_DIR/fails.t"
there tap.sh "$RUN_DIR/fails.t"
[ $? = 7 ] && has '^not ok 2' && has '^on stderr' && there failed.sh &&
	has 'fails.t: exit status 7' && has 'because of that' && has '^not ok 2' && has '^on stderr'
ok "what a test that failed said is told again at the end"
there failed.sh forget && there failed.sh && [ ! -s "$saw" ]
ok "and not after the next tests"
rm -rf "$copy" "$XDG_CACHE_HOME"
