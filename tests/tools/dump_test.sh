#!/usr/bin/env bash
# `firn dump` explains every file of a database, finds what is damaged, and says what it cannot do.
. "$(dirname "$0")/lib.sh"

seq -f 'key%06g' 1 3000 | awk '{ print $0 "\tvalue of " $0 }' >lines
plain=(--option value_compression=false) # several pages
head -2000 lines | "$firn" load db "${plain[@]}" && "$firn" compact db "${plain[@]}" && tail -1000 lines | "$firn" load db
"$firn" delete db key000001

# dumps WORDS FILE OPTION...: without complaint, and with these words.
dumps() {
    local words=$1
    shift
    exits 0 "$firn" dump "$@"
    same "complaints about $*" "" "$(cat err)"
    grep -qF -- "$words" out || fail "dump $* does not say '$words' but: $(head -c 600 out)"
}

table=$(ls db/*.sst | head -1)
dumps "manifest in force      MANIFEST-" db/CURRENT
dumps "adds a table  file ${table##*/}" db/MANIFEST-*
dumps "keys                   2000" "$table"
dumps 'page  number 0  offset 64' "$table"
dumps 'put  rank 0  key "key000001"  sequence 0  value bytes 18' "$table" --page 0
dumps 'key "key002000"' "$table" --keys
pages=$(grep -c 'page  number ' out)
same "keys of all pages" 2000 "$(grep -c '  put  rank ' out)"
logs=0
for log in db/*.log; do
    dumps "is                     log" "$log"
    logs=$((logs + $(grep -cE '^ +(put|delete)  sequence' out)))
done
same "operations in logs" 1001 "$logs"
"$firn" dump "$log" >log_dump
grep -q 'delete  sequence 3001  key "key000001"' log_dump || fail "the delete is not in $log"

if command -v python3 >/dev/null; then
    for what in db/CURRENT db/MANIFEST-* db/*.log "$table --keys" "$table --page 1"; do
        # shellcheck disable=SC2086
        "$firn" dump $what --json | python3 -c '
import json, sys
def unique(pairs):
    assert len(dict(pairs)) == len(pairs), [name for name, _ in pairs]
    return dict(pairs)
whole = json.load(sys.stdin, object_pairs_hook=unique)
assert whole["is"] and whole["bytes"] > 0' || fail "$what: bad JSON"
    done
else
    echo "no python3: JSON is checked in tests/lsm/dump_test.c only"
fi

# Damage: told, with exit code 1, and what is beside it is still there.
cp "$table" hurt.sst
printf 'x' | dd of=hurt.sst bs=1 seek=1000 conv=notrunc status=none
exits 1 "$firn" dump hurt.sst
grep -q 'DAMAGE: page at 64 has checksum' out || fail "the damaged page is not told"
grep -q 'page  number 1  offset 4160' out || fail "the page behind the damaged one is not told"
grep -q '^firn: hurt.sst: 1 damage found' err || fail "the complaint is $(cat err)"
head -c $(($(stat -c %s "$table") - 1)) "$table" >hurt.sst
exits 1 "$firn" dump hurt.sst
same "pages found without a footer" "$pages" "$(grep -c '^ *page  offset' out)"
head -c 150 "$log" >torn.log
exits 0 "$firn" dump torn.log
grep -qE 'state +torn' out || fail "a torn log is $(cat out)"

exits 1 "$firn" dump "$table" --page 1000
grep -q '^firn: there is no page 1000' err || fail "a page that is not there: $(cat err)"
complains 1 "no table, log, manifest or CURRENT" "$firn" dump db/LOCK
complains 1 "db" "$firn" dump db
complains 1 "nothing" "$firn" dump nothing
complains 2 "whole number" "$firn" dump "$table" --page first
complains 2 "missing" "$firn" dump
exits 0 "$firn" help dump
"$firn" dump "$table" --keys 2>err | head -n 1 >out
same "a reader that goes away is no failure" "0 0" "${PIPESTATUS[*]}"
finish
