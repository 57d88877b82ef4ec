#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs one program in a fresh guest; see usage() below.

# What ends this script before its last line is the harness failing, not the program.
die_status=125
set -E
trap 'exit 125' ERR
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"

usage() {
	cat <<'EOF'
usage: guest.sh [OPTIONS] [--] PROGRAM [ARGUMENTS]

Boots a guest, runs PROGRAM in it (a path in the guest: test programs are in
/tests), passes its output through and exits with its status. 128 + n: killed by
signal n. 125: the guest panicked, hung, died, or its kernel complained; its log
is kept, and named on stderr.

  --kernel normal|debug|off|plain|coverage  which kernel (default normal); or set
                             KERNEL_IMAGE to a bzImage. What a guest of "coverage"
                             counted goes to build/coverage/data
  --mem MIB                  memory (default 512)
  --smp N                    processors (default 1)
  --swap MIB                 a swap device, switched on
  --slow MIB                 /dev/slow, of zeros; each 64 KiB that are read make the next
                             read wait a second
  --disk [TYPE:]MIB|FILE     on /disk, an empty file system, or the one in FILE (a path).
                             TYPE: ext4, the default, or xfs, of 300 MiB or more. Given
                             again: on /disk2, on /disk3. Their devices are vda, vdb and
                             so on, in this order, after those of --swap and --slow
  --power-cut                once the program says "power cut", a line of its own, QEMU is
                             killed: on disks is what had got there. Exit status 124
  --disk-log FILE            what is written to /disk, and each flush, in order (QEMU's
                             blklogwrites); the disk has a volatile cache
  --share DIR                the host's DIR on /host, for writing too
  --9p TAG:DIR               the host's DIR for the program to mount, with options of its
                             own: -t 9p -o trans=virtio,version=9p2000.L TAG
  --add FILE[:PATH]          FILE of the host as PATH (default /tests/<name>)
  --with FILE[:PATH]         a program of the host, with the libraries that it needs
  --apparmor FILE            a policy of AppArmor, compiled here, is in force before the
                             program starts
  --append STRING            more words for the kernel command line (once for each word
                             in a test's line "guest:"): pti=on, numa=fake=2; of a kernel
                             with CONFIG_PREEMPT_DYNAMIC preempt=full
  --icount                   one instruction is one nanosecond: for counting
  --timeout SECONDS          after which it hangs (default 180, debug and coverage 600)
  --allow REGEX              lines of the kernel log that are no complaint
  --log FILE                 keep the kernel log there, whatever happens
  --kmemleak                 look for leaked kernel memory at the end (debug)
  --tty                      a person talks to the program
EOF
	exit "${1:-125}"
}

kernel=normal mem=512 smp=1 swap='' slow='' disk_log='' share='' append='' icount='' timeout=''
allow='' kmemleak='' power_cut='' tty='' log='' keep='' apparmor='' disks=() tags=() add=() with=()
while [ $# -gt 0 ]; do
	case $1 in
	--icount | --kmemleak | --power-cut | --tty | --help | --) ;;
	-*)		[ $# -gt 1 ] || { echo "guest.sh: $1 wants a value" >&2; usage; } ;;
	esac
	case $1 in
	--kernel)	kernel=$2; shift ;;
	--mem)		mem=$2; shift ;;
	--smp)		smp=$2; shift ;;
	--swap)		swap=$2; shift ;;
	--slow)		slow=$2; shift ;;
	--disk)		disks+=("$2"); shift ;;
	--disk-log)	disk_log=$2; shift ;;
	--share)	share=$2; shift ;;
	--9p)		tags+=("$2"); shift ;;
	--add)		add+=("$2"); shift ;;
	--with)		add+=("$2"); with+=("$2"); shift ;;
	--apparmor)	apparmor=$2; shift ;;
	--append)	append="$append $2"; shift ;;
	--timeout)	timeout=$2; shift ;;
	--allow)	allow=$2; shift ;;
	--log)		log=$2 keep=1; shift ;;
	--icount)	icount=1 ;;
	--kmemleak)	kmemleak=1 ;;
	--power-cut)	power_cut=1 ;;
	--tty)		tty=1 ;;
	--help)		usage 0 ;;
	--)		shift; break ;;
	-*)		echo "guest.sh: no such option: $1" >&2; usage ;;
	*)		break ;;
	esac
	shift
done
[ $# -gt 0 ] || usage
case $kernel in
debug | coverage) timeout=${timeout:-600} ;;
*)		timeout=${timeout:-180} ;;
esac

# what this test may see, and any on this kernel
of_kernel=$(setting allow)
allow=$allow${allow:+${of_kernel:+|}}$of_kernel

target=kernel-$kernel
image=${KERNEL_IMAGE:-$kernels/$kernel/arch/x86/boot/bzImage}
[ -f "$image" ] || die "there is no kernel $image; run 'make ${target%-normal}'"
archive=$BUILD/initramfs.cpio
[ "$arch" != i386 ] || archive=$BUILD/initramfs-i386.cpio
[ -f "$archive" ] || die "there is no $archive; run 'make tests'"

mkdir -p "$BUILD/run"
name=$(basename "$1")
run=$(mktemp -d "$BUILD/run/$name.XXXXXX")
log=${log:-$run.log}
trap 'rm -rf "$run"' EXIT

# The archive that guests share, then a small one of this guest's own: what to do,
# and added files.
pack() {	# FOLDER
	cat "$archive"
	(cd "$1" && find . -mindepth 1 | cpio -o -H newc -R +0:+0 --quiet)
}

# A comma ends a value in an option of QEMU's, unless there are two.
value() {	# PATH
	printf %s "${1//,/,,}"
}

devices=() ndisks=0
new_disk() {	# FILE [LOG]; its name in the guest goes to disk_name
	local letters=abcdefghij log=${2:-}
	disk_name=vd${letters:ndisks++:1}
	if [ "$log" ]; then
		# It grows no further; holes cost nothing.
		rm -f "$log"
		truncate -s 4G "$log"
		local blockdev="driver=blklogwrites,node-name=$disk_name,log-sector-size=512"
		blockdev+=",file.driver=file,file.filename=$(value "$1"),file.cache.no-flush=on"
		blockdev+=",log.driver=file,log.filename=$(value "$log"),log.cache.no-flush=on"
		devices+=(-blockdev "$blockdev")
	else
		local cache=unsafe
		[ ! "$power_cut" ] || cache=writeback
		devices+=(-drive "file=$(value "$1"),if=none,id=$disk_name,format=raw,cache=$cache")
	fi
	devices+=(-device "virtio-blk-pci,drive=$disk_name")
}

# A disk of --disk, and init's line about it.
add_disk() {	# [TYPE:]MIB|FILE FOLDER-IN-THE-GUEST [LOG]
	local type=ext4 disk=$1
	case $disk in
	ext4:* | xfs:*) type=${disk%%:*} disk=${disk#*:} ;;
	esac
	if [[ $disk != */* ]]; then
		[[ $disk =~ ^[1-9][0-9]*$ ]] ||
			die "--disk $1: want MIB, or a path with a slash in it, after ext4: or xfs: or nothing"
		"new_$type" "$run$2.img" "$disk" >&2
		disk=$run$2.img
	fi
	new_disk "$disk" "${3:-}"
	echo "disk $disk_name $type $2"
}

# A folder of the host, under a tag by which the guest mounts it.
add_9p() {	# TAG DIR
	devices+=(-virtfs "local,path=$(value "$(cd "$2" && pwd)"),mount_tag=$1,security_model=none")
}

mkdir -p "$run/root" "$run/probe"
{
	if [ "$swap" ]; then
		truncate -s "${swap}M" "$run/swap.img"
		mkswap "$run/swap.img" >/dev/null 2>&1
		new_disk "$run/swap.img"
		echo "swap $disk_name"
	fi
	if [ "$slow" ]; then
		truncate -s "${slow}M" "$run/slow.img"
		new_disk "$run/slow.img"
		devices[-3]+=,throttling.bps-read=65536
		echo "slow $disk_name"
	fi
	n=0
	for disk in ${disks[@]+"${disks[@]}"}; do
		n=$((n + 1))
		case $n in
		1)	add_disk "$disk" /disk "$disk_log" ;;
		*)	add_disk "$disk" "/disk$n" ;;
		esac
	done
	if [ "$share" ]; then
		mkdir -p "$share"
		add_9p host "$share"
		echo share
	fi
	for tag in ${tags[@]+"${tags[@]}"}; do
		[[ $tag == ?*:?* ]] || die "--9p $tag: want TAG:DIR"
		mkdir -p "${tag#*:}"
		add_9p "${tag%%:*}" "${tag#*:}"
	done
	if [ "$kernel" = coverage ]; then
		mkdir -p "$BUILD/coverage/data"
		counts=$(mktemp -d "$BUILD/coverage/data/$name.XXXXXX")
		add_9p coverage "$counts"
		echo coverage
	fi
	if [ "$apparmor" ]; then
		# it has to say that this kernel has no AppArmor, if so
		apparmor_parser -Q -K -T -o "$run/root/apparmor.policy" "$apparmor" >"$run/said" 2>&1 ||
			die "apparmor_parser does not compile $apparmor: $(cat "$run/said")"
		echo apparmor
	fi
	[ -z "$tty" ] || echo tty
	[ -z "$kmemleak" ] || echo kmemleak
	printf 'arg %s\n' "$@"
} >"$run/root/guest.conf"
: >"$run/probe/guest.conf"

for file in ${with[@]+"${with[@]}"}; do
	[ -e "$file" ] || file=${file%:/*}
	while read -r library; do
		add+=("$library:$library")
	done < <(libraries_of "$file")
done
for file in ${add[@]+"${add[@]}"}; do
	path=/tests/$(basename "$file")
	if [ ! -e "$file" ] && [[ $file == *:/* ]]; then
		path=/${file##*:/} file=${file%:/*}
	fi
	case $path/ in
	/host/* | /disk/* | /disk[0-9]/* | /dev/* | /proc/* | /sys/*)
		die "--add $file: the guest mounts something over $path; give another path" ;;
	esac
	mkdir -p "$run/root/$(dirname "$path")"
	cp -L "$file" "$run/root/$path"
done
# for all users of the guest, whatever the umask here
chmod -R u=rwX,go=rX "$run/root"

# "quiet" would hide warnings. A busy host must not look like a hung guest, or like
# one whose timer does not work.
cmdline='console=ttyS0 loglevel=5 panic=-1 printk.devkmsg=on no_timer_check'
# Yama as Debian has it.
cmdline="$cmdline sysctl.kernel.yama.ptrace_scope=0"
cmdline="$cmdline rcupdate.rcu_cpu_stall_timeout=120 watchdog_thresh=60$append"
cpu=max

# Without nolapic_timer the kernel spends 14 s of guest time on calibration.
if [ "$icount" ]; then
	cmdline="nolapic_timer tsc=reliable lpj=1000000 $cmdline"
	cpu=max,-erms smp=1
fi

boot() {	# SECONDS INITRAMFS LOG QEMU-OPTIONS...
	local limit=$1 initramfs=$2 log=$3
	shift 3
	timeout --foreground -k 5 "$limit" qemu-system-x86_64 \
		-machine q35 -cpu "$cpu" -smp "$smp" -m "$mem" \
		-nodefaults -no-user-config -display none -no-reboot \
		-kernel "$image" -initrd "$initramfs" -append "$cmdline" \
		-device isa-debug-exit,iobase=0x501,iosize=1 \
		-chardev "file,id=log,path=$(value "$log")" -serial chardev:log \
		-chardev stdio,id=out,signal=off -serial chardev:out "$@"
}

# A /dev/kvm that opens says little: on some machines no guest boots with it. So
# one is booted, and the answer kept.
tcg=tcg,thread=multi
accelerator() {
	local answer=$BUILD/accelerator
	if [ ! -f "$answer" ]; then
		echo "$tcg" >"$run/answer"
		if [ -w /dev/kvm ]; then
			printf 'guest.sh: trying KVM, once\n' >&2
			pack "$run/probe" >"$run/initramfs"
			boot 20 "$run/initramfs" "$run/probe.log" -accel kvm \
				</dev/null >/dev/null 2>&1 || true
			! grep -q 'guest: exit status 0' "$run/probe.log" ||
				echo kvm >"$run/answer"
		fi
		mv "$run/answer" "$answer"
	fi
	if [ -w /dev/kvm ]; then cat "$answer"; else echo "$tcg"; fi
}

# The exit status of this guest, or nothing.
status_in() {
	tr -d '\r' <"$1" | sed -n 's/.*guest: exit status \([0-9]*\)$/\1/p' | tail -n 1
}

complaints='WARNING:|BUG[: ]|Oops|KASAN|KFENCE|UBSAN|general protection fault[,:]|Kernel panic|possible .*(locking|deadlock|dependency)|inconsistent lock state|suspicious RCU|unlock balance|held lock|still held|blocked for more than|rcu:.*(stall|INFO)|detected stall|soft lockup|[Bb]ad page|Bad rss|Bad swap|(list|stack|slab|freelist|page table).*corrupt|refcount_t:|unreferenced object|sleeping function|scheduling while atomic|nable to handle|double fault|page_table_check'

if [ "$icount" ]; then
	accel=(-accel tcg -icount 'shift=0,sleep=off')
else
	accel=(-accel "$(accelerator)")
fi
# One thread for all of the emulator's processors: they take turns, and none runs what
# another has just patched; see tripped().
in_turn() {
	if [[ ${accel[1]} == tcg* ]]; then accel[1]=tcg,thread=single; fi
}

[ ! "${CP_IN_TURN:-}" ] || in_turn
pack "$run/root" >"$run/initramfs"
boot_it() {	# SECONDS; QEMU's status goes to code
	local options=("${accel[@]}" ${devices[@]+"${devices[@]}"})
	code=0
	if [ "$power_cut" ]; then
		boot "$1" "$run/initramfs" "$log" "${options[@]}" -pidfile "$run/pid" |
			wait_for_cut || code=$?
	else
		boot "$1" "$run/initramfs" "$log" "${options[@]}" || code=$?
	fi
}

# What the program says is passed on, and one line heard.
wait_for_cut() {
	local line
	while IFS= read -r line || [ "$line" ]; do
		if [ "$line" = 'power cut' ]; then
			: >"$run/cut"
			kill -KILL "$(cat "$run/pid")" || true
		fi
		printf '%s\n' "$line"
	done
}

# QEMU was ended, for the time that it took.
timed_out() {
	[ "$code" = 124 ] || [ "$code" = 137 ]
}

# A function of ours is in a backtrace: then the emulator is not to blame.
ours_in_trace() {
	grep -qs '\<cp_[a-z_]*+0x' "$log"
}

if [ "$tty" ]; then
	boot_it 86400
else
	boot_it "$timeout" </dev/null
	# On a crowded host the emulator may fail to boot, once in thousands of times; see
	# tripped(), too. That is told, and tried once more.
	if ! timed_out && ! ours_in_trace && ! grep -qs 'guest: runs' "$log"; then
		say "$name: the guest died (QEMU's status $code) before the program ran; once more. What it said last:"
		[ ! -f "$log" ] || tr -d '\r' <"$log" | tail -n 20 >&2
		in_turn
		boot_it "$timeout" </dev/null
	fi
fi

# The kernel patches a jump label by putting an int3 there first, and waits for all
# processors before it takes that away. With several of them on a crowded host, one of the
# emulator's may still run the int3 afterwards, once in thousands of hours: it traps where
# memory has none, at a NOP or a jump.
tripped() {
	[[ ${accel[*]} == *tcg* ]] && grep -q 'Oops: int3' "$log" &&
		! grep -m 1 'Code: ' "$log" | grep -q ' cc <' && ! ours_in_trace
}

[ -f "$log" ] || die "QEMU did not start"
status=$(status_in "$log")
found=$(tr -d '\r' <"$log" | grep -v 'guest: ' | grep -E "$complaints" |
	{ [ -z "$allow" ] && cat || grep -vE "$allow"; }) || true

if [ -n "$found" ]; then
	head -n 20 <<<"$found" >&2
fi
grep -o 'guest: .*\(failed\|was killed\|cannot\).*' "$log" >&2 || true
if [ -e "$run/cut" ] && [ -z "$found" ]; then
	[ "$keep" ] || rm -f "$log"
	exit 124
elif timed_out; then
	die "$name: the guest hung: it did not end in $timeout s; its log is $log"
elif tripped; then
	# tap.sh looks for that
	[ -z "${RUN_DIR:-}" ] || : >"$RUN_DIR.tripped"
	die "$name: the emulator ran an int3 that had been patched away; the guest's log is $log"
elif grep -q 'Kernel panic' "$log"; then
	die "$name: the guest panicked; its log is $log"
elif [ -z "$status" ] || [ "$code" != $(((2 * status + 1) & 255)) ]; then
	die "$name: the guest died (QEMU's status $code, the program's '$status'); its log is $log"
elif [ -n "$found" ]; then
	die "$name: the kernel complained; its log is $log"
fi
[ "$keep" ] || rm -f "$log"
exit "$status"
