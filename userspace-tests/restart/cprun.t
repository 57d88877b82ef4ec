#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# shellcheck disable=SC2016	# scripts for the guest are in single quotes
#
# cprun, this machine's in a guest: a program that knows nothing is killed in all ways,
# started again by the same command, and its result is what it is undisturbed.
. "$(dirname "$0")/../lib/host.sh"
. "$top/scripts/disk.sh"
PATH=$PATH:/usr/sbin:/sbin

plan_with_tools 32

add=(--with "$RUN_DIR/tools/cprun:/cprun" --with "$RUN_DIR/tools/cpimg:/cpimg")
for program in sh cat chmod dd ls mkdir rm setpriv sleep truncate; do
	add+=(--with "$(type -P "$program"):/bin/$program")
done

# What each script begins with. "dir" is on a disk, and belongs to the user.
cat >"$RUN_DIR/common" <<'END'
export PATH=/bin
cd "$dir" || exit 99
program="/tests/steady log 60 100"
# wait_for COMMAND...: till it succeeds, a minute at most
wait_for() {
	for i in 0 1 2 3 4 5 6 7 8 9; do for j in 0 1 2 3 4 5; do for k in 0 1 2 3 4 5 6 7 8 9; do
		"$@" && return
		sleep 0.1
	done; done; done
	echo "waited in vain for: $*"
	return 1
}
# has_images FOLDER NUMBER
has_images() {
	set -- "$2" "$1"/2-cp*
	[ -e "$2" ] && [ $(($# - 1)) -ge "$1" ]
}
# can_go_on FOLDER: there is an image that the program can be restarted from; a thread that
# waits for the disk for long is a reason why one is not
can_go_on() {
	for image in "$1"/2-cp*; do
		case $(/cpimg show "$image" 2>&1) in *"restart   yes"*) return 0 ;; esac
	done
	return 1
}
# as_whole: the log has each step once
as_whole() {
	n=0
	while read -r word step; do
		[ "$word $step" = "step $n" ] || { echo "line $n of the log: $word $step"; return 1; }
		n=$((n + 1))
	done <log
	[ "$n" = 60 ] && echo "the log is whole"
}
END

disk=64
# in_guest NAME [OPTIONS...] -- SCRIPT: as a user, unless it is called root
in_guest() {
	local name=$1 options=() user=(/bin/setpriv --reuid=1000 --regid=1000 --clear-groups)
	shift
	while [ "$1" != -- ]; do options+=("$1"); shift; done
	{
		echo "dir=/disk/$name"
		cat "$RUN_DIR/common"
		printf '%s\n' "$2"
	} >"$RUN_DIR/$name.sh"
	[ "$name" != root ] || user=()
	saw=$RUN_DIR/$name
	"$GUEST" --kernel "${CP_VARIANT:-normal}" --mem 512 --smp 2 --timeout 580 --disk "$disk" \
		--log "$RUN_DIR/$name.log" ${options[@]+"${options[@]}"} "${add[@]}" --add "$RUN_DIR/$name.sh:/script" -- /bin/sh -c \
		"export PATH=/bin; mkdir /disk/$name && chmod 777 /disk/$name && { [ ! -d /disk2 ] || chmod 777 /disk2; } && exec ${user[*]} sh /script" >"$saw" 2>&1
}

in_guest undisturbed -- '
$program; echo "alone: $?"
/cprun --every 1 -v -d d $program; echo "status $?"
as_whole
cat d/done d/0001/from d/job
/cprun sh -c "exit 7"; echo "exit $?"
/cprun -d killed sh -c "kill -9 \$\$"; echo "killed $?"
/cprun -d nosuch /nosuch; echo "nosuch $?"
/cprun -d noexec /script; echo "noexec $?"
ls
/cprun -d d $program x; echo "other $?"
/cprun -d d $program >out 2>err & wait_for [ -e d/0002/from ]
sleep 1; /cprun -d d $program; echo "busy $?"
kill -TERM $!; wait $!; echo "term $?"; cat err
/cprun -r d --verbose; echo "resumed $?"; cat out
/cprun --resume d; echo "done $?"
/cprun --resume nothing; echo "nothing $?"'
result=$(sed -n 's/^\(result .* after 60 steps\).*/\1/p' "$saw" | head -n 1)
[ "$result" ] && has '^alone: 0' && [ "$(grep -c "^$result" "$saw")" = 3 ]
ok "undisturbed: the result is what it is without cprun"
has '^status 0' && has '^the log is whole' && has '^0.$|^0$' && has '^start.?$' && has '^arg /tests/steady'
ok "undisturbed: status, log, and what is in the folder"
[ "$(number 'd/0001/2-cp[0-9]+: (full|incremental), .*, 2 threads, stood still for')" -ge 3 ]
ok "--verbose: images while it runs"
has '^exit 7' && has '^killed 137' && has '^nosuch 127' && has '^noexec 126' && has '^cprun: /nosuch: No such file'
ok "it ends as the program does; what cannot be executed"
has '^exit 7' && ! has '^(nosuch|noexec).?$'
ok "what cannot be executed leaves no folder"
has '^other 123' && has '^cprun: d: is of another command'
ok "another command in the folder is refused"
has '^busy 124' && has '^cprun: d: another cprun is at work there'
ok "two at once are refused"
has '^term 143' && has '^cprun: d/0002/2-cp[0-9]+: saved, and ended'
ok "SIGTERM: saved, and ended"
has '^cprun: d/0002/2-cp[0-9]+: the program goes on from there' && has '^resumed 0'
ok "--resume: it goes on"
has '^done 0' && has '^cprun: d: has ended, with status 0.?$'
ok "--resume of what has ended is no failure"
has '^nothing 125' && has '^cprun: nothing: No such file'
ok "--resume of nothing is one"

in_guest killed -- '
/cprun --every 1 -d d -v $program & wait_for has_images d/0001 4; wait_for can_go_on d/0001
kill -9 $!; wait $!; echo "first $?"
/cprun --every 1 -d d -v $program & wait_for has_images d/0002 5; wait_for can_go_on d/0002
kill -9 $!; wait $!; echo "second $?"
ls d
# the newest is damaged: one byte of what it says of itself
newest=$(/cpimg list --newest d/0002)
echo "damaged: $newest"
size=$(ls -l "$newest" | { read -r a b c d size f; echo "$size"; })
truncate -s $((size - 100)) "$newest"
/cprun --every 1 -d d -v $program; echo "third $?"
as_whole
ls d d/*; cat d/*/from'
has '^first 137' && has '^second 137'
ok "kill -9 of cprun: nothing is left of it"
has '^cprun: d/0001/2-cp[0-9]+: the program goes on from there'
ok "the same command goes on from the newest image"
damaged=$(sed -n 's/^damaged: \([^ ]*[0-9]\).*/\1/p' "$saw")
[ "$damaged" ] && has "^cprun: $damaged: .*" && has '^cprun: d/000[12]/2-cp[0-9]+: trying this one, which is older'
ok "a damaged one is named, and the one before it taken"
has '^third 0' && has "^$result"
ok "killed twice, the result is the same"
has '^the log is whole'
ok "the log has each step once: it was cut back"
has '^third 0' && [ "$(sed -n '/^third/,$p' "$saw" | grep -c '^000[0-9] ')" = 1 ]
ok "earlier generations are removed once there are two newer images"
has '^000[12]/2-cp[0-9]+ [0-9a-f]{32}.?$'
ok "from: which image it went on from"

in_guest refused -- '
/cprun --every 0.7 -d d $program socket & wait_for has_images d/0001 6
kill -TERM $!; wait $!; echo "status $?"
/cprun --every 1 -d d $program socket & wait_for has_images d/0002 3
kill -TERM $!; kill -TERM $!; wait $!; echo "twice $?"'
[ "$(number '^cprun: not restartable now: it has a socket \(descriptor [0-9]+\); the program goes on')" = 2 ]
ok "what cannot be restarted: it says why, once a run"
has '^got it' && has '^cprun: the program gets the SIGTERM' && has '^status 3'
ok "what cannot be restarted gets the SIGTERM itself"
has '^cprun: d: no image yet; the program begins anew' && has '^twice (143|3)'
ok "with no image to go on from, it begins anew; and SIGTERM twice"

in_guest kept -- '
/cprun --every 0.3 --keep 3 -d d $program & wait_for has_images d/0001 4; wait_for can_go_on d/0001
most=0
while kill -0 $! 2>/dev/null; do
	set -- d/0001/2-cp*
	[ $# -le $most ] || most=$#
	sleep 0.3
done
wait $!; echo "status $?"
set -- d/0001/2-cp*
echo "left $# most $most"
oldest=$1
for image; do
	n=${image##*cp}
	[ "$n" -ge "${oldest##*cp}" ] || oldest=$image
done
/cpimg restart "$oldest"; echo "from the oldest $?"
newest=$(/cpimg list --newest d/0001)
/cpimg verify "$newest"; echo "verify $?"'
has '^status 0' && has "^$result"
ok "--keep: it runs"
left=$(sed -n 's/^left \([0-9]*\) .*/\1/p' "$saw")
[ "${left:-0}" -ge 3 ] && [ "$left" -le 16 ] && has '^verify 0'
ok "--keep: not many images, and a chain that is whole"
has "^cpimg: d/0001/2-cp[1-9][0-9]*: goes on" && has '^from the oldest 0' && [ "$(grep -c "^$result" "$saw")" = 2 ]
ok "--keep: the oldest, which was made full, is one to go on from"

in_guest full --disk 8 -- '
mkdir /disk2/x && cd /disk2/x || exit 99
/cprun --every 0.5 --full-every 3 -d d /tests/steady /disk/full/log 150 100 & wait_for has_images d/0001 2
dd if=/dev/zero of=fill bs=64k 2>/dev/null
sleep 3; rm fill; sleep 2
wait $!; echo "status $?"
set -- d/0001/2-cp*; echo "left $#"
/cpimg verify "$(/cpimg list --newest d/0001)"; echo "verify $?"
/cprun -d e sh -c "dd if=/dev/zero of=fill bs=1k 2>/dev/null; echo none >/disk2/x/none || echo full"
echo "ended $?"; cat e/done'
has '^status 0'
ok "a full disk: the program goes on"
# one that is small may find room now and then, till the program has changed more
full='process 2: saving it in d/0001: No space left on device; the program goes on'
has "^cprun: $full" && has '^cprun: saved, and restartable again: d/0001/2-cp' &&
	! sed -n 's/^cprun: //p' "$saw" | uniq -d | grep -q .
ok "a full disk: that is said once, and when there is room again"
has '^verify 0'
ok "a full disk: what is there is whole"
has '^full' && has '^ended 0' && has '^0.?$'
ok "a full disk: that the program has ended well is known all the same"

in_guest root -- '
/cprun --every 1 -d d $program & wait_for can_go_on d/0001
kill -9 $!; wait $!
/cprun --every 1 -d d -v $program; echo "status $?"; as_whole'
has '^status 0' && has "^$result" && has 'the program goes on from there' && has '^the log is whole'
ok "root: in no user namespace, it goes on"

# The power is cut while nothing but cprun has a reason to write to the disk what the program
# has written; another guest, of the same disk, goes on.
disk=$RUN_DIR/power.img
new_ext4 "$disk" 64
in_guest power --power-cut -- '
# the archive that guests boot has another time each time
cat /tests/steady >steady && chmod +x steady
/cprun --every 0.5 -d d -v ./steady log 60 100 &
wait_for has_images d/0001 7; wait_for can_go_on d/0001
echo "power cut"
sleep 60'
[ $? = 124 ] && has '^power cut'
ok "the power is cut"
in_guest power_again -- 'cd ../power
/cprun --every 1 -d d -v ./steady log 60 100; echo "status $?"
as_whole'
has '^status 0' && has "^$result" && has 'the program goes on from there' && has '^the log is whole' && ! has 'is gone'
ok "after a power cut the program's files are as long as its image wants them"
