#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows the main job: a program in a guest saves itself and goes on; here gdb
# opens the image and finds the moment of the call. Then a solver is killed, again
# and again, and goes on each time from what it saved; and so is a program of four threads
# that knows nothing of images, under cprun.
. "$(dirname "$0")/lib.sh"

[ "$arch" != i386 ] ||
	die "the programs that are shown are for 64 bits; try ARCH=$ARCH scripts/guest.sh /tests/story_32"

share=$BUILD/run/demo
program=$BUILD/tests/demo
plate=$BUILD/run/heat

step run "A program checkpoints itself in a guest"
rm -rf "$share"
mkdir -p "$share"

shown=12	# rows of readelf

printf '\n$ demo    (in the guest)\n'
# The image is made in the guest's /tmp, like any; then it is copied to the host.
"$top/scripts/guest.sh" --share "$share" /tests/keep_images /host demo

image=$(find "$share" -name '*-cp0' -print -quit)
[ -n "$image" ] || die "the guest left no image in $share"

printf '\n$ readelf -lW %s    (on the host)\n' "$(basename "$image")"
readelf -lW "$image" >"$share/readelf"
grep -E '^  (Type .*Offset|[A-Z<].* 0x.* 0x)' "$share/readelf" >"$share/runs"
head -n $((shown + 1)) "$share/runs"
more=$(($(wc -l <"$share/runs") - shown - 1))
[ "$more" -le 0 ] || echo "  ... and $more more"

printf '\n$ gdb demo -c %s    (on the host)\n' "$(basename "$image")"
gdb_args=()
for command in backtrace 'print voyage.ship' 'print voyage.route[voyage.stop]' 'print cargo[9000000]'; do
	gdb_args+=(-ex "echo (gdb) $command\\n" -ex "$command")
done
# With the guest's files as sysroot gdb finds what the image says was mapped.
gdb -nx -batch -iex "set sysroot $BUILD/initramfs" "${gdb_args[@]}" "$program" -c "$image" 2>&1 | tee "$share/gdb"
if ! grep -q 'land (' "$share/gdb" || ! grep -q 'name = "Jupiter' "$share/gdb"; then
	die "gdb did not find the moment of the call in $image"
fi

here() {		# a path as one would type it
	printf '%q' "${1#"$PWD"/}"
}

cat <<EOF

A program in the guest filled 16 MiB, called cp_range(0, ~0UL) and went on.
The image is an ELF core file of $(du -h --apparent-size "$image" | cut -f1)B: $(here "$image")
Look into it yourself:
  gdb -iex 'set sysroot ${BUILD#"$PWD"/}/initramfs' $(here "$program") -c $(here "$image")
EOF

step run "A solver is killed three times, and goes on from its images"
rm -rf "$plate"
mkdir -p "$plate"
printf '\n$ survive --kills 3 heat    (in the guest)\n'
# survive checks that the result is the same, to the last bit, as without the kills
"$top/scripts/guest.sh" --mem 768 --timeout 900 --share "$plate" -- \
	/tests/survive --kills 3 --share /host /tests/heat --picture /tmp/plate.ppm
newest=$(find "$plate" -name '*-cp[0-9]*' | sort -V | tail -n 1)
if [ -z "$newest" ] || [ ! -s "$plate/plate.ppm" ]; then
	die "the solver left no images or no picture in $plate"
fi

printf '\n$ cpimg map -o map.svg %s    (on the host)\n' "$(basename "$newest")"
"$BUILD/tools/cpimg" map -o "$plate/map.svg" "$newest"
printf '\n$ cpimg verify %s\n' "$(basename "$newest")"
"$BUILD/tools/cpimg" verify "$newest"

cat <<EOF

The solver has 64 MiB of state and was killed at moments that differ each time. Its
last chain of images, up to $(here "$newest"); a map of its memory,
checkpoint by checkpoint; and the plate in the end, a picture:
$(here "$plate/map.svg")
$(here "$plate/plate.ppm")
EOF

step run "A program that knows nothing of it is killed three times, and goes on"
printf '\n$ kill_cprun 3 /cprun /disk 200    (in the guest)\n'
# kill_cprun compares its result and its log with those of an undisturbed run
"$top/scripts/guest.sh" --mem 512 --smp 2 --timeout 900 --disk 256 \
	--with "$BUILD/tools/cprun:/cprun" -- /tests/kill_cprun 3 /cprun /disk 200

cat <<EOF

It has four threads, was not changed, and was saved from outside each second, at one moment
of all of them. Each time the same command went on: cprun(1).
EOF
