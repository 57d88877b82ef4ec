#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Images cross between kernels: what a program saved on this one is restored on each other
# one that was built here, and the other way round. The other is Linux 2.6.32 mostly, or
# the default kernel.
. "$(dirname "$0")/../lib/host.sh"

saw=$RUN_DIR/output
plan 2

others=()
for kernel in "$BUILD"/*/normal/arch/x86/boot/bzImage; do
	kernel=${kernel%/normal/*}
	kernel=${kernel##*/}
	[ "$kernel" = "$KERNEL" ] || [ ! -d "$top/kernel-patches/$kernel" ] || others+=("$kernel")
done

# crosses FROM TO
crosses() {
	local folder="$RUN_DIR/$1-$2" pid
	rm -rf "$folder"
	mkdir -p "$folder"
	KERNEL=$1 "$GUEST" --kernel normal --share "$folder" /tests/crosses save /host >"$saw" 2>&1 &&
		pid=$(sed -n 's/^saved by //p' "$saw") && [ "$pid" ] &&
		KERNEL=$2 "$GUEST" --kernel normal --share "$folder" /tests/crosses go_on /host "$pid" >"$saw" 2>&1 &&
		has "^restored /host/$pid-cp2, 3 images" &&
		"$BUILD/tools/cpimg" verify "$folder/$pid-cp2" >"$saw" 2>&1
}

from="what is saved on this kernel is restored on another"
to="what is saved on another kernel is restored on this one"
if [ "${#others[@]}" = 0 ]; then
	skip "$from" "no other kernel was built here (make kernel KERNEL=)"
	skip "$to" "no other kernel was built here"
	exit
fi
(for other in "${others[@]}"; do crosses "$KERNEL" "$other" || exit; done)
ok "$from (${others[*]})"
(for other in "${others[@]}"; do crosses "$other" "$KERNEL" || exit; done)
ok "$to (${others[*]})"
