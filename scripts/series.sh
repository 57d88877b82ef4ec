#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Makes the patches of a kernel for which kernel-patches/ has no patches but steps, for
# the very source that is there: series.sh SOURCE OUT [ORIGINALS]. SOURCE is a tree or a
# tarball and is not written to. OUT gets the patches and a file "series": `git am`, quilt
# and `patch -p1` take them. ORIGINALS gets the files that they change, as they were.
#
# A step is a folder kernel-patches/<version>/<nnnn>-<name>/ with
#	message		the commit's message
#	files/		whole new files
#	share		files, one a line, that are those of the default kernel's series,
#			as its patch NNNN leaves them after a line "up to NNNN"
#	edits		insertions: "== FILE +N -M", then a script for sed which has to add
#			N lines to the file and take away M
#	cocci/*.cocci	semantic patches: "// to: FILE..." says of which files, and
#			"// adds: WORD=N..." how many times more WORD stands in them
#			afterwards; less often, if N is negative
# which are done in this order: rules may be about files of ours.
#
# So not one line of the kernel need be here. A rule that does not do what it says is
# named, and no patch is made.
. "$(dirname "$0")/lib.sh"

[ $# = 2 ] || [ $# = 3 ] || die "want a kernel source and a folder for its patches"
source=$1 out=$(realpath -m -- "$2")
[ -e "$source" ] || die "there is no kernel source at $source"
steps=("$patches"/[0-9]*-*/)
[ -d "${steps[0]}" ] || die "$patches has patches: nothing is to be made"
for tool in spatch git cpio; do
	command -v "$tool" >/dev/null || die "there is no $tool; run 'make deps KERNEL=$KERNEL LINUX_SRC=...'"
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tree=$scratch/tree
mkdir -p "$tree"
misfits=()

misfit() {	# RULE WHAT
	misfits+=("$1: $2")
}

# The name of a rule, as it is found in the repository.
name_of() {	# PATH
	printf '%s\n' "${1#"$patches"/}"
}

# Files of the default kernel's series.
shared_by() {	# STEP
	[ ! -f "$1/share" ] || grep -v '^up to ' "$1/share"
}

# Files of the tree that a step wants to change.
wanted_by() {	# STEP
	[ ! -f "$1/edits" ] || sed -n 's/^== \([^ ]*\).*/\1/p' "$1/edits"
	find "$1" -name '*.cocci' -exec sed -n 's|^// to: ||p' {} + | tr ' ' '\n'
	# what would be written over, if it is there
	[ ! -d "$1/files" ] || (cd "$1/files" && find . -type f -printf '%P\n')
	shared_by "$1"
}

take_files() {
	local step
	for step in "${steps[@]}"; do wanted_by "$step"; done | sort -u >"$scratch/wanted"
	if [ -d "$source" ]; then
		(cd "$source" && while read -r file; do [ ! -f "$file" ] || echo "$file"; done |
			cpio -pdL --quiet "$tree") <"$scratch/wanted"
	else
		# Some of them it has not. The kernel's folder in it has any name.
		{ echo Kbuild; cat "$scratch/wanted"; } | sed 's|^|*/|' >"$scratch/patterns"
		tar -C "$tree" --strip-components=1 --wildcards --no-wildcards-match-slash \
			-xf "$source" -T "$scratch/patterns" 2>"$scratch/tar" || true
		[ -f "$tree/Kbuild" ] || die "$source holds no kernel source: $(head -n 1 "$scratch/tar")"
		grep -qx Kbuild "$scratch/wanted" || rm "$tree/Kbuild"
	fi
	chmod -R u+w "$tree"
}

in_git() {
	git -C "$tree" -c user.name="cp_range" -c user.email=cp_range@localhost \
		-c core.autocrlf=false -c core.fileMode=true -c commit.gpgsign=false -c gc.auto=0 "$@"
}

add_files() {	# STEP
	local file
	[ -d "$1/files" ] || return 0
	while read -r file; do
		if [ -e "$tree/$file" ] && ! grep -qxF "$file" "$scratch/ours"; then
			misfit "$(name_of "$1/files/$file")" "the tree has a file of that name"
			continue
		fi
		mkdir -p "$tree/$(dirname "$file")"
		cp "$1/files/$file" "$tree/$file"
		echo "$file" >>"$scratch/ours"
	done < <(cd "$1/files" && find . -type f -printf '%P\n' | sort)
}

# The very files that the patches of the default kernel make: one source for both.
share_files() {	# STEP
	local file default patch shared last only=()
	[ -f "$1/share" ] || return 0
	mapfile -t shared < <(shared_by "$1")
	last=$(sed -n 's/^up to //p' "$1/share")
	default=$top/kernel-patches/$(sed -n 's/^DEFAULT_KERNEL := //p' "$top/Makefile")
	for file in "${shared[@]}"; do only+=(--include="$file"); done
	rm -rf "$scratch/shared"
	mkdir "$scratch/shared"
	for patch in $(series_of "$default/series"); do
		[[ -z $last || ! ${patch%%-*} > $last ]] || break
		(cd "$scratch/shared" && git apply "${only[@]}" "$default/$patch") ||
			die "$patch: its part of the files in $(name_of "$1/share") does not apply"
	done
	for file in "${shared[@]}"; do
		if [ ! -f "$scratch/shared/$file" ]; then
			misfit "$(name_of "$1/share")" "$default makes no $file"
		elif [ -e "$tree/$file" ]; then
			misfit "$(name_of "$1/share")" "the tree has $file"
		else
			mkdir -p "$tree/$(dirname "$file")"
			cp "$scratch/shared/$file" "$tree/$file"
			echo "$file" >>"$scratch/ours"
		fi
	done
}

edit() {	# RULE-FILE "FILE +N -M" SCRIPT
	local path want=${2#* } got rule
	path=${2%% *}
	rule="$(name_of "$1"), == $path"
	if [ ! -f "$tree/$path" ]; then
		misfit "$rule" "there is no such file"
		return
	fi
	cp -p "$tree/$path" "$scratch/before"
	sed -i "$3" "$tree/$path" || die "$rule: sed does not understand it"
	got=$(diff "$scratch/before" "$tree/$path" |
		awk '/^>/ { more++ } /^</ { less++ } END { print "+" more + 0, "-" less + 0 }') || true
	[ "$got" = "$want" ] ||
		misfit "$rule" "it changed $got lines there, and $want is right"
}

# Comments are between the sections only: "#" begins a line of a section, too.
make_edits() {	# STEP
	local line lines head='' script=''
	[ -f "$1/edits" ] || return 0
	mapfile -t lines <"$1/edits"
	for line in "${lines[@]}"; do
		case $line in
		'== '*)	[ -z "$head" ] || edit "$1/edits" "$head" "$script"
			head=${line#== } script='' ;;
		*)	[ -z "$head" ] || script+=$line$'\n' ;;
		esac
	done
	[ -z "$head" ] || edit "$1/edits" "$head" "$script"
}

occurrences() {	# WORD FILE...
	local word=$1
	shift
	(cd "$tree" && cat "$@") | { grep -ow -- "$word" || true; } | wc -l
}

patch_semantically() {	# RULE
	local rule file files words word n had=() missing=''
	rule=$(name_of "$1")
	read -ra files < <(sed -n 's|^// to: ||p' "$1")
	read -ra words < <(sed -n 's|^// adds: ||p' "$1")
	[ -n "${files[*]-}" ] || die "$1 does not say of which files it is"
	[ -n "${words[*]-}" ] ||
		die "$1 does not say what it adds there"
	for file in "${files[@]}"; do
		[ -f "$tree/$file" ] || missing="$missing $file"
	done
	if [ "$missing" ]; then
		misfit "$rule" "there is no$missing"
		return
	fi
	for word in "${words[@]}"; do
		had+=("$(occurrences "${word%=*}" "${files[@]}")")
	done
	# one by one: spatch takes several files for one program
	for file in "${files[@]}"; do
		if ! (cd "$tree" && spatch --very-quiet --no-show-diff --in-place \
				--sp-file "$1" "$file") >"$scratch/log" 2>&1; then
			cat "$scratch/log" >&2
			misfit "$rule" "spatch failed on $file"
			return
		fi
	done
	for word in "${words[@]}"; do
		n=$(($(occurrences "${word%=*}" "${files[@]}") - had[0]))
		had=("${had[@]:1}")
		[ "$n" = "${word#*=}" ] ||
			misfit "$rule" "in ${files[*]} there are $n more ${word%=*}, and ${word#*=} would be right"
	done
}

take_step() {	# STEP
	local rule
	[ -s "$1/message" ] || die "$1 has no message"
	add_files "$1"
	share_files "$1"
	make_edits "$1"
	for rule in "$1"/cocci/*.cocci; do
		[ ! -e "$rule" ] || patch_semantically "$rule"
	done
	in_git add -A -f
	GIT_AUTHOR_DATE='2026-11-26 12:00:00 +0000' in_git commit -q --allow-empty -F "$1/message"
}

take_files
if [ $# = 3 ]; then
	rm -rf "$3"
	cp -r "$tree" "$3"
fi
: >"$scratch/ours"
in_git init -q
in_git add -A -f
in_git commit -q -m 'The files that are changed, as they were' --allow-empty
for step in "${steps[@]}"; do
	step=${step%/}
	say "  $(name_of "$step")"
	take_step "$step"
done
if [ "${#misfits[@]}" -gt 0 ]; then
	say "series.sh: these rules of kernel-patches/$KERNEL do not fit $source:"
	printf '  %s\n' "${misfits[@]}" >&2
	die "no patches are made. The rules are for Linux $KERNEL.y as kernel.org has it: take such a tree, without other patches; or look at what these rules look for in yours, and widen them"
fi

mkdir -p "$out"
rm -f "$out"/*.patch
in_git format-patch -q --no-numbered --zero-commit --no-signature --no-renames -o "$out" \
	"$(in_git rev-list --max-parents=0 HEAD)"
(cd "$out" && ls -- *.patch) >"$scratch/series"
mv "$scratch/series" "$out/series"
say "  ${#steps[@]} patches in $out ($(elapsed))"
