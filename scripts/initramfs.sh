#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Packs init, the test programs and musl's dynamic loader into the initramfs that
# every guest of every kernel boots. Needs no root: init makes the devices.
. "$(dirname "$0")/lib.sh"

stage=$BUILD/initramfs
image=$BUILD/initramfs.cpio
loader=/lib/ld-musl-x86_64.so.1
if [ "$arch" = i386 ]; then
	stage=$BUILD/initramfs-i386
	image=$BUILD/initramfs-i386.cpio
	# in /lib of one Debian, in /usr/lib of the next
	loader=$(find "$BUILD/i386/root" -name ld-musl-i386.so.1)
fi

step initramfs "Initramfs, in $image"
mkdir -p "$stage" "$tests"

if [ "$top/scripts/init.c" -nt "$stage/init" ]; then
	logged "$BUILD/init.log" "compiling init" \
		compile_for_guest "$top/scripts/init.c" "$stage/init"
fi
if [ -f "$image" ] &&
   [ -z "$(find "$stage/init" "$tests" "$0" -newer "$image" ! -name '*.d')" ]; then
	say "  unchanged"
	exit 0
fi

rm -rf "${stage:?}/tests" "${stage:?}/lib"
mkdir -p "$stage/tests" "$stage/lib"
find "$tests" -maxdepth 1 -type f -perm -u+x -exec cp -t "$stage/tests" {} +
# what the _dyn programs are linked with
cp -L "$loader" "$stage/lib/"
# for all users of the guest, whatever the umask here
chmod -R u=rwX,go=rX "$stage"

(cd "$stage" && find . -mindepth 1 | sort |
	cpio -o -H newc -R +0:+0 --quiet --reproducible) >"$image.new"
mv "$image.new" "$image"
say "  $(find "$stage/tests" -type f | wc -l) programs, $(du -h "$image" | cut -f1)"
