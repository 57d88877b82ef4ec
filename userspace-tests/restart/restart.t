#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# `cpimg restart`, this machine's cpimg in a guest: what was saved in a guest that is gone
# goes on in another one.
. "$(dirname "$0")/../lib/host.sh"

plan_with_tools 12

cpimg=$RUN_DIR/tools/cpimg
folder=$RUN_DIR/images

first=0		# process ids begin after it
guest() {	# PROGRAM ARGUMENTS
	"$GUEST" --kernel "${CP_VARIANT:-normal}" --mem 512 --smp 2 --timeout 300 \
		--share "$folder" --append "sysctl.kernel.ns_last_pid=$first" --with "$cpimg:/cpimg" -- "$@" >"$saw" 2>&1
}

# Its program is in the folder, too: it is the same file in both guests.
rm -rf "$folder"
mkdir "$folder"
cp "$TESTS_DIR/goes_on" "$folder"
: >"$folder/go"
for act in itself itself_thread; do
	rm -f "$folder"/*-cp* "$folder"/name
	saw=$RUN_DIR/save-$act
	first=1000
	guest /host/goes_on "$act" /host && ! has 'it went on'
	ok "$act: it saves itself, and ends"
	newest=$(basename "$(tr -d '\0' <"$folder/name")")
	first=300	# its id is not to be that of cpimg
	saw=$RUN_DIR/show-$act
	"$cpimg" show "$folder/$newest" >"$saw" 2>&1 && has '^  restart   yes: [12] threads, '
	ok "$act: show says that it can be restarted"
	saw=$RUN_DIR/restart-$act
	guest /cpimg restart "/host/$newest" && has 'goes on, with [12] thread' &&
		has 'goes_on: it went on'
	ok "$act: restarted in another guest, it goes on to its end"
	saw=$RUN_DIR/quiet-$act
	guest /cpimg restart --quiet --here "/host/$newest" && has 'goes_on: it went on' &&
		! has 'goes on, with'
	ok "$act: without a space of its own, and a word"
done

cp "$folder/goes_on" "$folder/other"
echo >>"$folder/goes_on"
saw=$RUN_DIR/changed
guest /cpimg restart "/host/$newest"
[ $? = 1 ] && has "^cpimg: .*/goes_on: size is " && ! has 'it went on'
ok "another program of its name"
rm "$folder/goes_on"
saw=$RUN_DIR/missing
guest /cpimg restart "/host/$newest"
[ $? = 1 ] && has "^cpimg: .*/goes_on: .*No such file" && ! has 'it went on'
ok "its program is gone"

saw=$RUN_DIR/usage
good=true
for bad in "" "1 2" "--what 1"; do
	# shellcheck disable=SC2086
	"$cpimg" restart $bad >"$saw" 2>&1
	[ $? = 2 ] || { echo "# restart $bad: not an error of usage"; good=false; }
done
$good
ok "what cannot be asked for"
