#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs one test for prove: tap.sh userspace-tests/ROOM/NAME.c | userspace-tests/ROOM/NAME.t
#
# A .c was compiled to a guest program of that name. It is run once for each of its
# lines "/* guest: OPTIONS */" (options of guest.sh), in a fresh guest; $RUN_DIR in them
# is room for its files. A .t runs here and finds guest.sh in $GUEST, the test programs
# in $TESTS_DIR, room in $RUN_DIR. CP_VARIANT says which kernel: normal, debug or coverage.
# What a test said last stays in $RUN_DIR.tap, on stderr in $RUN_DIR.err; if it failed,
# failed.sh finds its name and exit status in $RUN_DIR.failed.
. "$(dirname "$0")/lib.sh"

file=$1
[ -f "$file" ] || die "there is no test $file; make test TESTS=NAME finds one by its name"
name=$(basename "${file%.*}")
export CP_VARIANT=${CP_VARIANT:-normal}
export BUILD KERNEL GUEST=$top/scripts/guest.sh TESTS_DIR=$tests
# reader.c and reader.t may run at the same time
[ "${file##*.}" = c ] && called=$name || called=$name.t
export RUN_DIR=$BUILD/run/$called.$CP_VARIANT

said=$RUN_DIR.tap
mkdir -p "$RUN_DIR"
rm -f "$RUN_DIR.failed"
# past prove, where there is a way: see the Makefile
if [ -n "${TAP_STDERR:-}" ]; then
	exec 3>&9 9>&-
	unset TAP_STDERR
else
	exec 3>&2
fi
exec 2> >(exec tee "$RUN_DIR.err" >&3 3>&-) 3>&-

# shellcheck disable=SC2317	# the trap calls it
at_exit() {
	local status=$?
	echo "# Linux $KERNEL" >>"$said"
	if [ "$status" != 0 ] || grep -q '^not ok' "$said"; then
		echo "$file: exit status $status" >"$RUN_DIR.failed"
	fi
}
trap at_exit EXIT

# What runs here and starts guests of its own has tools of the host beside them, and looks
# at images of programs of both kinds.
if [ "$arch" = i386 ] && [ "${file##*.}" = t ] && grep -Eq 'GUEST|export_image' "$file"; then
	echo "1..0 # SKIP $name wants programs of 64 bits in its guests, and the kernel is for i386" | tee "$said"
	exit
fi

options=(--kernel "$CP_VARIANT")
[ "$CP_VARIANT" != debug ] || [ "${KMEMLEAK:-1}" = 0 ] || options+=(--kmemleak)

run() {	# MORE-OPTIONS
	local status=0
	# shellcheck disable=SC2086	# a list
	"$GUEST" "${options[@]}" ${1//\$RUN_DIR/$RUN_DIR} "/tests/$name" || status=$?
	[ "$status" != 4 ] || status=0	# a skip; its lines of TAP say so
	return "$status"
}

# Several guests: their lines become one stream, numbered through.
number_through() {
	awk '
	/^TAP version/		{ next }
	/^1\.\.[0-9]+/		{ sub(/^1\.\./, ""); plan += $1; next }
	/^(not )?ok [0-9]+/	{ sub(/ok [0-9]+/, "ok " ++n) }
	/^# exit status/	{ bad = $4 }
				{ print; fflush() }
	END			{ print "1.." plan + 0; exit bad }
	'
}

mapfile -t guests < <(guests_of "$file")
the_test() {
	local guest
	if [ "${file##*.}" = t ]; then
		"$file"
	elif [ "${#guests[@]}" -le 1 ]; then
		run "${guests[0]:-}"
	else
		for guest in "${guests[@]}"; do
			echo "# guest: $guest"
			run "$guest" || echo "# exit status $?"
		done | number_through
	fi
}

# What was said cannot be taken back: it is held until it is known to stand. A person sees
# it at once.
attempt() {
	rm -f "$RUN_DIR.tripped"
	if [ -t 1 ]; then the_test | tee "$said"; else the_test >"$said"; fi
}

failed=0
attempt || failed=$?
if [ "$failed" != 0 ] && [ -e "$RUN_DIR.tripped" ]; then
	say "$name: not the test failed but the emulator, as guest.sh says above; once more, its processors in turn"
	failed=0
	export CP_IN_TURN=1
	attempt || failed=$?
fi
[ -t 1 ] || cat "$said"
exit "$failed"
