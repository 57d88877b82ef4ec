#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What 32-bit programs for guests are made of: Debian's musl, libelf, libz and libzstd for
# i386, unpacked in $BUILD/i386/root, and a compiler for them, $BUILD/i386/musl-gcc. They
# are got by an apt of our own, which knows no other architecture: nothing is installed,
# no architecture is added, and nobody has to be root. Only for ARCH=i386 and i386-pae.
. "$(dirname "$0")/lib.sh"

packages='musl musl-dev libelf-dev zlib1g-dev libzstd-dev'
made=$BUILD/i386
root=$made/root
apt=$made/apt

[ "$arch" = i386 ] || exit 0
step i386 "Libraries for 32-bit programs, in $root"
if [ -f "$made/packages" ] && [ "$(cat "$made/packages")" = "$packages" ] &&
   [ ! "$0" -nt "$made/packages" ]; then
	say "  they are here"
	exit 0
fi

rm -rf "$made"
mkdir -p "$root" "$apt/state/lists/partial" "$apt/cache/archives/partial"
: >"$apt/state/status"
cat >"$apt/apt.conf" <<END
APT::Architecture "i386";
APT::Architectures { "i386"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::State "$apt/state";
Dir::State::status "$apt/state/status";
Dir::Cache "$apt/cache";
END

say "  apt-get download, of i386: $packages"
export APT_CONFIG=$apt/apt.conf
hint="it asks the servers of /etc/apt for packages of i386: is the net there, and does no [arch=...] exclude i386? see also $made/update.log"
# A server that fails may not be one that is needed.
apt-get -q -y update >"$made/update.log" 2>&1 ||
	say "  apt-get update failed for some servers ($made/update.log); with what the others have"
cd "$apt"
# shellcheck disable=SC2086	# a list
logged "$made/download.log" "apt-get download of $packages for i386 ($hint)" \
	apt-get -q -y download $packages
for deb in *.deb; do
	dpkg -x "$deb" "$root"
done
rm -rf "$apt"

# Debian's way to use musl, at another place. Its specs say nothing to a linker that could
# link for others, too.
sed "s| /usr/| $root/usr/|g; s|-L/usr/|-L$root/usr/|g" \
	"$root/usr/lib/i386-linux-musl/musl-gcc.specs" >"$made/musl-gcc.specs"
cat >"$made/musl-gcc" <<END
#!/bin/sh
exec gcc -m32 -specs "$made/musl-gcc.specs" -Wl,-m,elf_i386 "\$@"
END
chmod +x "$made/musl-gcc"

echo 'int main(void) { return 0; }' >"$made/try.c"
logged "$made/try.log" "linking a 32-bit program (does gcc have its 32-bit libgcc, of the package lib32gcc-...-dev?)" \
	"$made/musl-gcc" -static -o "$made/try" "$made/try.c"
echo "$packages" >"$made/packages"
say "  unpacked ($(elapsed))"
