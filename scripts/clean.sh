#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Removes kernels and programs; clean.sh all: the kernel sources too. BUILD may be a
# folder that has other things in it.
. "$(dirname "$0")/lib.sh"

case ${1:-} in
'' | all) ;;
*)	die "$1: want nothing, or all" ;;
esac

for kernel in "$top"/kernel-patches/*/; do
	made=$BUILD/$(basename "$kernel")
	if [ "${1:-}" = all ]; then
		rm -rf "$made"
	else
		rm -rf "$made"/{normal,debug,off,plain,coverage,check,each} "$made"/headers* "$made"/i386*
	fi
done
rm -rf "$BUILD"/{tests{,-i386},i386,tools,coverage,fuzz,run,bench,selftests,initramfs{,-i386},initramfs{,-i386}.cpio{,.new}} \
	"$BUILD"/{init.log,shell,accelerator}

rmdir --ignore-fail-on-non-empty "$BUILD"
# a link that lib.sh made
if [ ! -e "$build_link" ] && [ -L "$build_link" ] && [[ $BUILD == */cp_range/* ]]; then
	rm "$build_link"
	rmdir --ignore-fail-on-non-empty "$(dirname "$BUILD")"
fi
