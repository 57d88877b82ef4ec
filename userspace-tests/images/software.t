#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Software that exists: Debian's sqlite3, as it is, with a database in memory, saves
# all of its memory some 25 times, spread over what its library allocates (how often that
# is, each version has its own mind: it is counted first). It notices nothing; each
# checkpoint, rebuilt from the chain, is what it had to the byte; and gdb finds the
# way from the C library through libsqlite3 down to main() in an image.
. "$(dirname "$0")/../lib/host.sh"

if kernel_is_too_old; then
	echo "1..0 # SKIP the C library that sqlite3 is linked with wants Linux $wants"
	exit 0
fi
plan 8

program=/usr/bin/sqlite3
sql=$RUN_DIR/input.sql
preload=/tests/every_so		# the guest's; here it is in $TESTS_DIR
wanted=25

cat >"$sql" <<'END'
CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, n INTEGER);
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 12000)
INSERT INTO t SELECT i, printf('%08x-%s', i * 2654435761 % 4294967296,
	substr('abcdefghijklmnopqrstuvwxyz', 1 + i % 20)), i * i % 9973 FROM c;
CREATE INDEX by_name ON t (name);
UPDATE t SET n = n + 1, name = name || '+' WHERE id % 7 = 0;
DELETE FROM t WHERE id % 11 = 3;
CREATE TABLE u AS SELECT n % 100 AS k, group_concat(name) AS names, sum(n) AS s
	FROM t GROUP BY k;
SELECT count(*), sum(n), max(name) FROM t;
SELECT count(*), sum(length(names)), sum(s) FROM u;
SELECT name FROM t WHERE name LIKE 'a0%' ORDER BY name LIMIT 5;
DROP TABLE u;
PRAGMA integrity_check;
END

# The program and all that the loader takes for it, under their own names
add=(--with "$program:$program" --add "$sql:/input.sql")

guest() {	# OPTIONS-OF-GUEST -- PROGRAM ARGS
	"$GUEST" --kernel "${CP_VARIANT:-normal}" --mem 768 --timeout 900 \
		--share "$RUN_DIR" "${add[@]}" "$@"
}

saw=$RUN_DIR/expected
"$program" :memory: <"$sql" >"$saw"
[ "$(tail -n 1 "$saw")" = ok ]
ok "sqlite3 here, without us"
rm -f "$RUN_DIR/calls"
LD_PRELOAD=$TESTS_DIR/every_so CP_FROM=libsqlite3 CP_COUNT=$RUN_DIR/calls \
	"$program" :memory: <"$sql" >/dev/null
saw=$RUN_DIR/calls
calls=$(cat "$saw")
echo "# its library allocates $calls times"
[ "$calls" -ge $wanted ]
ok "it allocates often enough for $wanted checkpoints"

rm -f "$RUN_DIR/image"
saw=$RUN_DIR/log
guest -- /tests/watch -k /host/image -i /input.sql -e "LD_PRELOAD=$preload" \
	-e CP_FROM=libsqlite3 -e CP_EVERY=$((calls / wanted)) "$program" :memory: >"$saw" 2>&1
ok "sqlite3 in the guest: each checkpoint rebuilt is what it had"
grep '^# ' "$saw" || true
made=$(sed -n 's/^# \([0-9]*\) checkpoints.*/\1/p' "$saw")
[ "${made:-0}" -ge 20 ]
ok "there were twenty checkpoints and more"
grep -v '^# ' "$saw" | cmp "$RUN_DIR/expected" - >&2
ok "and it says the same as without us"

mapfile -t libraries < <(ldd "$program" | grep -o '/[^ ]*')
saw=$RUN_DIR/gdb
timeout 120 gdb -nx -batch -iex "set debuginfod enabled off" \
	-iex "set solib-search-path $TESTS_DIR" "$program" -c "$RUN_DIR/image" -ex 'info sharedlibrary' -ex backtrace >"$saw" 2>&1
frames=$(grep -E '^#[0-9]+' "$saw")
for file in "${libraries[@]}" every_so; do
	grep -q "^0x.*/${file##*/}$" "$saw" || echo "# gdb does not show $file"
done >"$saw.missing"
cat "$saw.missing"
[ "${#libraries[@]}" -ge 3 ] && [ ! -s "$saw.missing" ]
ok "gdb: the libraries of the image"
# in this order, from the call outwards; what a distribution strips is "??"
tr '\n' ' ' <<<"$frames" |
	grep -Eq '#0 .*syscall \(.* in inc_cp_range \(.* malloc \(.*every_so.* sqlite3_[a-z0-9_]+ \(\) from [^ ]*libsqlite3\.so.*__libc_start_main'
ok "gdb: the backtrace goes through three libraries down to the start"
[ -n "$frames" ] && ! grep -Eq 'corrupt stack|previous frame|Cannot access' "$saw"
ok "gdb: and no frame is lost"
