# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Disks for guests. Sourced, not run.

# new_ext4 FILE MIB OPTIONS-OF-MKE2FS...: an empty one, in a file, with only the features
# that the oldest kernel knows.
new_ext4() {
	local file=$1 mib=$2
	shift 2
	rm -f "$file"
	truncate -s "${mib}M" "$file" &&
		mke2fs -q -F -t ext4 -m 0 "$@" \
			-O none,has_journal,ext_attr,dir_index,filetype,extent,sparse_super,large_file \
			"$file"
}

# new_xfs FILE MIB: an empty one; mkfs.xfs makes none of less than 300 MiB. The file is
# sparse. An old kernel's "source" says which of its features that knows.
new_xfs() {
	local options said
	read -ra options < <(setting mkfs_xfs) || true
	rm -f "$1"
	truncate -s "${2}M" "$1" || return
	# it has something to say about old features, in vain
	said=$(mkfs.xfs -q -f ${options[@]+"${options[@]}"} "$1" 2>&1) || {
		printf '%s\n' "$said" >&2
		return 1
	}
}
