# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
#
# What the tests that run on the host share: where things lie, TAP, and getting an image
# out of a guest. Sourced by NAME.t, which scripts/tap.sh runs.
set -u	# not -e: a command that fails is a test that fails

: "${GUEST:?run me by scripts/tap.sh, or by make test}"
: "${TESTS_DIR:?}" "${RUN_DIR:?}"
export LC_ALL=C
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
top=${tests%/*}
tools=$top/userspace-tools
# with Debian's modules, whatever else is called python3
python=python3
[ ! -x /usr/bin/python3 ] || python=/usr/bin/python3
sanitize='-fsanitize=address,undefined -fno-sanitize-recover=undefined'
count=0

plan() {	# NUMBER
	echo "TAP version 13"
	echo "1..$1"
}

ok() {		# DESCRIPTION; the last command's status is the result
	local status=$?
	count=$((count + 1))
	if [ "$status" = 0 ]; then
		echo "ok $count $1"
	else
		echo "not ok $count $1"
		if [ -n "${saw:-}" ] && [ -f "$saw" ]; then
			echo "# in $saw:"
			head -n 60 "$saw" | cut -c 1-150 | sed 's/^/#   /'
		fi
	fi
}

# Programs of this machine's distribution may want a newer kernel than is under test.
kernel_is_too_old() {	# what they want goes to wants
	wants=$(readelf -n "$(command -v env)" 2>/dev/null | sed -n 's/.*OS: Linux, ABI: //p')
	[ "$wants" ] && [ "${KERNEL:-}" ] &&
		[ "$(printf '%s\n' "$wants" "$KERNEL" | sort -V | head -n 1)" != "$wants" ]
}

# The plan of a test that runs this machine's tools in a guest, if it can; its first test
# is that they are built, in $RUN_DIR/tools.
plan_with_tools() {	# NUMBER
	if kernel_is_too_old; then
		echo "1..0 # SKIP the C library that the tools are linked with wants Linux $wants"
		exit 0
	fi
	plan "$1"
	saw=$RUN_DIR/make
	make -s -C "$tools" OUT="$RUN_DIR/tools" >"$saw" 2>&1
	ok "the tools are built"
}

skip() {	# DESCRIPTION REASON
	count=$((count + 1))
	echo "ok $count $1 # SKIP $2"
}

has() {		# REGEX: a line of $saw is like it
	grep -Eq -- "$1" "$saw"
}

number() {	# REGEX: how many lines of $saw are like it
	grep -Ec -- "$1" "$saw" || true
}

# An image from a fresh guest: export_image NAME OPTIONS-OF-GUEST -- PROGRAM ARGS
export_image() {
	local name=$1 options=()
	shift
	while [ "$1" != -- ]; do options+=("$1"); shift; done
	shift
	rm -f "$RUN_DIR/$name"
	"$GUEST" --kernel "${CP_VARIANT:-normal}" "${options[@]}" --share "$RUN_DIR" \
		/tests/export "/host/$name" "$@" >&2
	[ -s "$RUN_DIR/$name" ]
}

# "Bail out!" would stop the other tests too.
no_image() {
	count=$((count + 1))
	echo "not ok $count the guest made no image"
	exit 1
}
