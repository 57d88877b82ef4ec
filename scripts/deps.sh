#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Installs the Debian packages that are missing: deps.sh [check|fuzz|bench]
# With an argument, also those that only that target of make needs.
. "$(dirname "$0")/lib.sh"

build='bc binutils bison bzip2 ccache cpio diffutils e2fsprogs elfutils findutils flex
	g++ gcc gdb kmod libc6-dev libelf-dev libssl-dev linux-libc-dev make mandoc musl-tools
	patch perl python3 python3-pyelftools qemu-system-x86 quilt rsync sqlite3 xz-utils zlib1g-dev'
check='git shellcheck sparse'
fuzz='clang llvm'
bench='gnuplot-nox'
bench_optional='criu'		# not every Debian has it

wanted=$build
case ${1:-} in
check)	wanted="$wanted $check" ;;
fuzz)	wanted="$wanted $fuzz" ;;
bench)	wanted="$wanted $bench"
	for package in $bench_optional; do
		if apt-cache show "$package" >/dev/null 2>&1; then
			wanted="$wanted $package"
		else
			say "  there is no package $package: it is left out of the comparison"
		fi
	done ;;
esac
[ "${LINUX_SRC:-}" ] || wanted="$wanted $(setting package)"

step deps "Looking for the Debian packages that are needed"

command -v dpkg-query >/dev/null ||
	die "this is no Debian: install the counterparts of these by hand, then set LINUX_SRC= to a kernel source and run the later steps: $wanted"

missing=
for package in $wanted; do
	status=$(dpkg-query -W -f '${db:Status-Status} ' "$package" 2>/dev/null) || status=
	case " $status" in
	*" installed "*) ;;
	*) missing="$missing $package" ;;
	esac
done
if [ -z "$missing" ]; then
	say "  all of them are here"
	exit 0
fi

root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null ||
		die "these packages are missing and there is no sudo; as root run: apt-get install$missing"
	root=sudo
	[ -t 0 ] || root='sudo -n'
fi
apt() {
	$root env DEBIAN_FRONTEND=noninteractive apt-get -y -q \
		-o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null
}
update() {
	say "  apt-get update: $1"
	apt update
}
install() {
	# shellcheck disable=SC2086	# a list
	apt install --no-install-recommends $missing
}

say "  installing with apt-get${root:+ (through sudo)}:$missing"
# apt knows nothing of a package that it never heard of: then the lists are old
for package in $missing; do
	if ! apt-cache show "$package" >/dev/null 2>&1; then
		update "its lists do not know $package yet"
		break
	fi
done
install || { update "the install failed, the lists may be old"; install; } ||
	die "apt-get could not install:$missing"
say "  installed ($(elapsed))"
