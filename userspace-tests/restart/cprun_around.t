#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What is around cprun: the kernels that it cannot run on, its command line, the examples
# for systemd and Slurm, the completion, and that its page says what it has.
. "$(dirname "$0")/../lib/host.sh"

plan 13

saw=$RUN_DIR/make
make -s -C "$tools" OUT="$RUN_DIR/tools" >"$saw" 2>&1
ok "cprun is built"
cprun=$RUN_DIR/tools/cprun
examples=$tools/examples
cd "$RUN_DIR" || exit 1

# A kernel whose call is not there, or knows no CP_PROCESS, by a filter of system calls.
cat >filter.c <<'END'
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 602, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | atoi(argv[1])),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { 4, code };

	if (argc < 3 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		return 99;
	execv(argv[2], argv + 2);
	return 99;
}
END
rm -rf started started.cp touch.cp
saw=$RUN_DIR/kernel
gcc -o filter filter.c >"$saw" 2>&1 && ./filter 38 "$cprun" touch started >"$saw" 2>&1
[ $? = 122 ] && has '^cprun: this kernel has no cp_checkpoint\(\): the program is not started$' && [ ! -e started ] && [ ! -e touch.cp ]
ok "a kernel without the call: 122, and nothing was done"
./filter 22 "$cprun" touch started >"$saw" 2>&1
[ $? = 122 ] && has '^cprun: .*not what a restart takes \(CP_PROCESS\): the program is not started$' && [ ! -e started ] && [ ! -e touch.cp ]
ok "a kernel without CP_PROCESS: 122, and nothing was done"

saw=$RUN_DIR/usage
good=true
for bad in "" "--every x true" "--every -1 true" "--keep 0 true" "--full-every none true" "--resume a true" \
	"--resume a --new" "--dir a --resume b" "--what true" "--dir a"; do
	# shellcheck disable=SC2086	# words
	"$cprun" $bad >"$saw" 2>&1
	if [ $? != 125 ] || ! has 'cprun: '; then
		echo "# cprun $bad: not an error of usage"
		good=false
	fi
done
$good && [ ! -e true.cp ]
ok "what cannot be asked for: 125"
"$cprun" --help >"$saw" 2>&1 && has 'PROGRAM' && "$cprun" --version >"$saw" && has '^cprun [0-9]'
ok "--help and --version"

# the options of --help, and those of the page
"$cprun" --help | grep -oE -- '--[a-z-]+' | grep -vE -- '--(help|usage|version)' | sort -u >options
sed -n 's/^\.It Fl [a-z] , Fl \(-[a-z-]*\).*/-\1/p' "$tools/man/cprun.1" | sort -u >"$saw"
[ -s options ] && cmp options "$saw"
ok "cprun(1) has the options"
sed -n 's/^	CPRUN_[A-Z_]*.*= \(12[0-9]\),.*/\1/p' "$tools/cprun/cprun.h" | sort >statuses
sed -n 's/^\.It \(12[0-9]\)$/\1/p' "$tools/man/cprun.1" | sort >"$saw"
[ "$(wc -l <statuses)" = 7 ] && cmp statuses "$saw"
ok "cprun(1) has the exit statuses"

# completes WORDS...: what can come in the place of the last
completes() {
	PATH=$RUN_DIR/tools:$PATH bash -c '
		. "$1"
		shift
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_cprun "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
		printf "%s\n" "${COMPREPLY[@]}"' \
		- "$tools/completion/cprun" "$@" >"$saw" 2>"$saw.err" && [ ! -s "$saw.err" ]
}
saw=$RUN_DIR/completion
mkdir -p 'a folder.cp'
completes cprun --fu && [ "$(cat "$saw")" = --full-every= ] && completes cprun - && has '^-v$' && has '^--new$'
ok "completion: options"
completes cprun --resume a && [ "$(cat "$saw")" = 'a folder.cp' ] && completes cprun --dir = a &&
	[ "$(cat "$saw")" = 'a folder.cp' ] && completes cprun --every 1 && ! has .
ok "completion: folders, and values"
completes cprun --every 10 tou && has '^touch$' && completes cprun -v touch a && [ "$(cat "$saw")" = 'a folder.cp' ]
ok "completion: a command, then its words"

saw=$RUN_DIR/unit
if command -v systemd-analyze >/dev/null; then
	# what it starts has to be there
	mkdir -p units && sed "s,/usr/local/bin/cprun,$cprun,; s,/usr/local/bin/solver,/bin/true," \
		"$examples/solver.service" >units/solver.service
	systemd-analyze verify "$PWD/units/solver.service" >"$saw" 2>&1 && ! has 'solver\.service:[0-9]+:'
	ok "the unit for systemd is one"
else
	skip "the unit for systemd is one" "no systemd-analyze"
fi

# The job script, with a cprun and a Slurm that only say what they are asked.
saw=$RUN_DIR/job
bash -n "$examples/solver.sbatch" && mkdir -p fake && cat >fake/cprun <<'END' && cat >fake/scontrol <<'END2' && chmod +x fake/*
#!/bin/bash
echo "cprun $*"
trap 'echo saves; sleep 0.3; exit 143' TERM
: >running
until [ -e go ]; do sleep 0.1; done
exit 7
END
#!/bin/bash
echo "scontrol $*"
END2
job() {
	rm -f running go
	PATH=$PWD/fake:$PATH SLURM_JOB_ID=42 bash "$examples/solver.sbatch" >"$saw" 2>&1 &
	timeout 10 sh -c 'until [ -e running ]; do sleep 0.1; done'
}
job
kill -TERM $!
wait $!
[ $? = 143 ] && has '^cprun --every 10m --dir solver.cp ./solver input$' && has '^saves$' && has '^scontrol requeue 42$'
ok "the job for Slurm: told that its time is over, it is saved and queued again"
job
touch go
wait $!
[ $? = 7 ] && ! has scontrol
ok "the job for Slurm: it ends as the program does"
