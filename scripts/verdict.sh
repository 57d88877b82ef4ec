# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# How checks tell what they found, and one that two scripts make. Sourced, not run.

failed=0

# verdict WHAT FILE-WITH-FINDINGS
verdict() {
	if [ -s "$2" ]; then
		say "FAIL  $1"
		sed 's/^/      /' "$2" >&2
		failed=1
	else
		say "ok    $1"
	fi
}

# check_apply OUT PATCHES ORIGINALS: whoever is given the patches can take them. ORIGINALS
# are the files that they change, as they were.
check_apply() {
	local out=$1 queue=$2 originals=$3 patch how
	local git="git -c user.name=check -c user.email=check@localhost -c gc.auto=0"
	for how in quilt git patch; do
		rm -rf "${out:?}/$how"
		cp -r "$originals" "$out/$how"
	done

	(cd "$out/quilt" && QUILT_PATCHES=$queue QUILT_SERIES=$queue/series quilt push -a -q --fuzz=0) \
		>"$out/log" 2>&1 && : >"$out/log"
	verdict "quilt push -a, without fuzz" "$out/log"

	(
		cd "$out/git" && $git init -q && $git add -A -f && $git commit -q -m base
		for patch in $(series_of "$queue/series"); do
			$git am -q "$queue/$patch" || exit
		done
	) >"$out/log" 2>&1 && : >"$out/log"
	verdict "git am of each patch" "$out/log"

	(
		cd "$out/patch"
		for patch in $(series_of "$queue/series"); do
			patch -p1 -s -F0 <"$queue/$patch" || exit
		done
	) >"$out/log" 2>&1 && : >"$out/log"
	verdict "patch -p1 of each, without fuzz" "$out/log"

	for how in quilt patch; do
		diff -r -x .git -x .pc "$out/git" "$out/$how"
	done >"$out/log" 2>&1 || true
	verdict "all of them make the same files" "$out/log"
}
