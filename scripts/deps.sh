#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Installs the Debian packages that are missing: deps.sh [check|coverage|fuzz|bench|kills|selftests]
# With an argument, also those that only that target of make needs.
. "$(dirname "$0")/lib.sh"

build='apparmor bc binutils bison bzip2 ccache cpio diffutils e2fsprogs elfutils findutils flex
	g++ gcc gdb kmod libc6-dev libelf-dev libssl-dev linux-libc-dev make mandoc musl-tools
	patch perl python3 python3-pyelftools qemu-system-x86 quilt rsync sqlite3 xfsprogs xz-utils zlib1g-dev'
check='clang coccinelle git shellcheck sparse'
coverage='gcovr'
fuzz='clang llvm'
bench='gnuplot-nox'
kills='bc gawk gcc lua5.4 openssl python3 sqlite3 xz-utils'
selftests='libcap-dev libnuma-dev liburing-dev'
optional='criu'			# not every Debian has it

wanted=$build
case ${1:-} in
check)	wanted="$wanted $check" ;;
coverage) wanted="$wanted $coverage" ;;
fuzz)	wanted="$wanted $fuzz" ;;
bench)	wanted="$wanted $bench" ;;
kills)	wanted="$wanted $kills" ;;
selftests) wanted="$wanted $selftests" ;;
esac
# what that kernel's series is made with
wanted="$wanted $(setting needs)"
# 32-bit programs, for guests of such a kernel; their libraries are the business of i386.sh
if [ "$arch" = i386 ]; then
	wanted="$wanted lib32gcc-$(gcc -dumpversion 2>/dev/null || echo 12)-dev"
fi
[ "${LINUX_SRC:-}" ] || wanted="$wanted $(setting package)"

step "deps${1:+-$1}" "Looking for the Debian packages that are needed"

command -v dpkg-query >/dev/null ||
	die "this is no Debian: install the counterparts of these by hand, then set LINUX_SRC= to a kernel source and run the later steps: $wanted"

installed() {	# PACKAGE
	[[ " $(dpkg-query -W -f '${db:Status-Status} ' "$1" 2>/dev/null)" == *' installed '* ]]
}
known() {	# PACKAGE
	apt-cache show "$1" >/dev/null 2>&1
}
missing=
for package in $wanted; do
	installed "$package" || missing="$missing $package"
done

root=
if [ "$(id -u)" != 0 ]; then
	root=sudo
	[ -t 0 ] || root='sudo -n'
	if ! command -v sudo >/dev/null; then
		[ -z "$missing" ] ||
			die "these packages are missing and there is no sudo; as root run: apt-get install$missing"
		optional=
	fi
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

# apt knows nothing of a package that it never heard of: then the lists are old
for package in $missing; do
	if ! known "$package"; then
		update "its lists do not know $package yet"
		break
	fi
done
for package in $optional; do
	if installed "$package"; then
		continue
	elif known "$package"; then
		missing="$missing $package"
	else
		say "  there is no package $package: what needs it is left out"
	fi
done
if [ -z "$missing" ]; then
	say "  all of them are here"
	exit 0
fi

say "  installing with apt-get${root:+ (through sudo)}:$missing"
install || { update "the install failed, the lists may be old"; install; } ||
	die "apt-get could not install:$missing (a kernel source that it cannot find: Debian 12 has $(setting package) in bookworm-security, which has to be in /etc/apt/sources.list)"
say "  installed ($(elapsed))"
