#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Installs the patched tree's uapi headers for the tests. A header that did not
# change keeps its time, so that no test is compiled again for it.
. "$(dirname "$0")/lib.sh"

out=$work/headers
stamp=$out/.stamp

step headers "Kernel headers for the tests, in $out"

if [ -f "$stamp" ] && ! [ "$pushed/.stamp" -nt "$stamp" ] &&
   [ -z "$(find "$linux"/include/uapi "$linux"/arch/x86/include/uapi \
		"$linux"/arch/x86/entry/syscalls -newer "$stamp" 2>/dev/null)" ]; then
	say "  unchanged"
	exit 0
fi
rm -rf "$work/headers.new"
logged "$work/headers.log" "installing the headers" \
	kernel_make O="$work/headers.build" INSTALL_HDR_PATH="$work/headers.new" headers_install
rsync -rlc --delete --exclude=/.stamp "$work/headers.new/" "$out/"
rm -rf "$work/headers.new"
touch "$stamp"
say "  installed ($(elapsed))"
