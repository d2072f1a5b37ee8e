#!/usr/bin/env bash
# `firn dump` explains every kind of file, intact or damaged.
. "$(dirname "$0")/lib.sh"

seq -f 'key%g' 1 1000 | "$firn" load db && "$firn" compact db && echo late | "$firn" load db
kinds=0
for path in db/*; do
    [ "${path##*/}" = LOCK ] && continue
    exits 0 "$firn" dump "$path"
    grep -q "^is " out || fail "$path: dump says $(head -c 200 out)"
    exits 0 "$firn" dump "$path" --json
    if command -v jq >/dev/null; then
        jq -e .is out >/dev/null || fail "$path: dump --json is no JSON"
    fi
    kinds=$((kinds + 1))

    # Cut in half: it is told as far as it goes. Logs and manifests may end anywhere.
    cp "$path" whole
    head -c $(($(stat -c %s whole) / 2)) whole >"$path"
    case $path in
    *.log | *MANIFEST-*) exits 0 "$firn" dump "$path" ;;
    *) exits 1 "$firn" dump "$path" ;;
    esac
    [ -s out ] || fail "$path: cut in half, nothing is told"
    cp whole "$path"
done
[ $kinds -ge 4 ] || fail "a database of only $kinds files"

exits 0 "$firn" dump db/*.sst --keys
grep -q key777 out || fail "dump --keys has no key777"
exits 0 "$firn" dump db/*.sst --page 0
grep -q key777 out || grep -q 'key1' out || fail "dump --page 0 has no keys"
exits 1 "$firn" dump db/*.sst --page 99999
grep -q '^firn: .*page' err || fail "a page that is not there: $(cat err)"
complains 1 "LOCK" "$firn" dump db/LOCK
complains 1 "nothing" "$firn" dump nothing
complains 1 "db" "$firn" dump db
complains 2 "missing" "$firn" dump
finish
