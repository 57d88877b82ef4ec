# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# CRIU in a guest: options of guest.sh that bring it along, in criu_guest. Sourced.
# Returns 1 where there is no CRIU, and there only.
criu_guest=()

# CRIU is dynamic: it takes its libraries with it. Its kernel has no nf_tables, which
# it insists on and does not need.
with_criu() {	# FOLDER-FOR-FILES
	local criu=/usr/sbin/criu library from
	local source=${BASH_SOURCE[0]%/*}/criu
	[ -x "$criu" ] || return 1
	gcc -O1 -Wall -Wextra -shared -fPIC -Wl,-soname,libnftables.so.1 \
		-Xlinker "--version-script=$source/nftables.map" \
		-o "$1/libnftables.so.1" "$source/nftables.c" || exit 1
	criu_guest=(--add "$criu:$criu")
	for library in $(ldd "$criu" | grep -o '/[^ ]*'); do
		from=$library
		[ "${library##*/}" != libnftables.so.1 ] || from=$1/libnftables.so.1
		criu_guest+=(--add "$from:$library")
	done
}
