#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A shell in a guest: shell.sh [OPTIONS of guest.sh]
. "$(dirname "$0")/lib.sh"

say "A shell in a guest with kernel $KERNEL; the guest ends with the shell (exit, Ctrl-D)."
if [ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1; then
	exec "$top/scripts/guest.sh" --tty --add /bin/busybox:/bin/busybox "$@" -- \
		/bin/busybox sh -c '/bin/busybox --install -s /bin; exec /bin/sh -i'
fi
say "(Install busybox-static for a better one.)"
[ "$BUILD/shell" -nt "$top/scripts/shell.c" ] ||
	compile_for_guest "$top/scripts/shell.c" "$BUILD/shell"
exec "$top/scripts/guest.sh" --tty --add "$BUILD/shell:/bin/shell" "$@" -- /bin/shell
