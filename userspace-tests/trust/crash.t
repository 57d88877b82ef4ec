#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The power fails while a program saves itself to an ext4 (helpers/sync_loop.c). Not
# by killing QEMU: what the guest has written would outlive that. QEMU logs each
# write and flush of the disk, and host/crash.c makes of the log what a disk may hold
# after a crash at any moment. Then, as at the next boot, the journal is replayed,
# and each image held against what the program had (host/crashed.c):
#
#	what cp_sync() returned for is complete, always
#	anything else is complete or told apart, by its header and its CRC
#
# Header and CRC do not cover the pages themselves, which nobody but cp_sync() asks
# the file system to write before the header: images that look complete without
# being so are a figure below, not a failure.
#
#	CRASHES=40	how many	SEED=	of the moments
. "$(dirname "$0")/../lib/host.sh"
. "$(dirname "$0")/../../scripts/disk.sh"

crashes=${CRASHES:-40}
seed=${SEED:-$RANDOM}
per_guest=100		# crashes made of the log of one guest
images=120
all=$RUN_DIR/all
fresh=$RUN_DIR/fresh.img disk=$RUN_DIR/disk.img log=$RUN_DIR/writes.log

plan 6
echo "# $crashes crashes, seed $seed"

build() {	# PROGRAM
	gcc -std=gnu11 -O2 -Wall -Wextra -I"$tests/lib" -I"$tools/include" \
		"$tests/host/$1.c" "${BUILD:?}/tools/libcpimg.a" -lelf -lz -o "$RUN_DIR/$1"
}

saw=$RUN_DIR/gcc
{ build crash && build crashed; } >"$saw" 2>&1
ok "the programs build"

# Small: blocks of images that were removed are used again, and so is the journal.
new_disk() {	# BYTES-A-BLOCK
	new_ext4 "$fresh" 16 -b "$1" -J size=4
}

run_guest() {	# SEED
	new_disk $((($1 + guests) % 2 ? 1024 : 4096)) && cp --sparse=always "$fresh" "$disk" &&
		"$GUEST" --kernel "${CP_VARIANT:-normal}" --mem 192 \
			--disk "$disk" --disk-log "$log" /tests/sync_loop $images "$1"
}

# What the next boot does, and a look at all of the file system.
reboot() {
	rm -rf "$RUN_DIR/found" && mkdir "$RUN_DIR/found" || return 1
	e2fsck -fp "$disk" >"$RUN_DIR/fsck" 2>&1
	[ $? -le 1 ] || { echo "e2fsck: $(tail -n 3 "$RUN_DIR/fsck" | tr '\n' ' ')"; return 1; }
	debugfs -R "rdump / $RUN_DIR/found" "$disk" >>"$RUN_DIR/fsck" 2>&1
	[ -d "$RUN_DIR/found/lost+found" ]
}

crash() {	# SEED
	local said
	cp --sparse=always "$fresh" "$disk" && said=$("$RUN_DIR/crash" "$log" "$disk" "$1") ||
		return 1
	echo "crash, seed $1: $said"
	reboot || { echo "BAD FILE SYSTEM"; return 0; }
	# shellcheck disable=SC2086	# the first four
	set -- $said
	"$RUN_DIR/crashed" "$RUN_DIR/found" "$1" "$2" "$3" "$4"
}

: >"$all"
guests=0 wanted=0
for ((i = 0; i < crashes; i++)); do
	if [ $((i % per_guest)) = 0 ]; then
		wanted=$((wanted + 1))
		run_guest $((seed + i)) >"$RUN_DIR/guest" 2>&1 || break
		guests=$((guests + 1))
	fi
	crash $((seed + i)) >>"$all" 2>&1
done

saw=$RUN_DIR/guest
[ "$guests" = "$wanted" ]
ok "the guest saves and syncs $images images, or more"

saw=$all
crashed=$(number '^crash, seed .* lost, ')
synced=$(number '^complete, SYNCED') broken=$(number '^(told|looks).*, SYNCED')
lost=$(number '^(told apart|looks complete), SAVED') lies=$(number '^looks complete')
echo "# $crashed crashes; images synced: $synced complete, $broken not"
echo "# not synced: $(number '^complete(, SAVED)?$') complete, $(number '^told apart(, SAVED)?:')" \
	"missing or told apart, $lies look complete and are not"
[ "$crashed" = "$crashes" ]
ok "the power failed $crashes times"
! has '^BAD FILE SYSTEM'
ok "the file system is sound after each, so a disk can do this"
# Or it would be no crash: nothing could have failed.
[ "$lost" -gt 0 ]
ok "images that nobody synced are lost at times"
[ "$synced" -gt "$crashes" ] && [ "$broken" = 0 ]
ok "what cp_sync() returned for is complete"
rm -rf "$RUN_DIR/found" "$disk" "$fresh" "$log"
