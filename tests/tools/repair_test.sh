#!/usr/bin/env bash
# Repairing by the command.
. "$(dirname "$0")/lib.sh"

# written VALUE: 3,000 keys with values that begin so.
written() {
    seq -f 'key %05g' 0 2999 |
        awk -v value="$1" '{ for (i = 0; i < 5; i++) { x = (x * 7919 + NR) % 1000003; $0 = $0 (i ? "" : "\t" value) " " x } print }'
}

written first >first
exits 0 "$firn" load db first
exits 0 "$firn" compact db
"$firn" scan db >expected
exits 0 "$firn" repair db
grep -q 'intact: nothing was changed' out || fail "an intact database: $(cat out)"
"$firn" scan db >found
same_files "an intact database" expected found

rm db/CURRENT
complains 1 "holds no database" "$firn" scan db
exits 0 "$firn" repair db
grep -q 'CURRENT cannot be used' out || fail "it does not tell of CURRENT: $(cat out)"
exits 0 "$firn" verify db
"$firn" scan db >found
same_files "what is there without CURRENT" expected found

table=$(ls db/*.sst)
chmod u+w "$table"
printf 'XXXX' | dd of="$table" bs=1 seek="$(($(stat -c %s "$table") / 2))" conv=notrunc 2>/dev/null
exits 1 "$firn" verify db
exits 0 "$firn" repair db
grep -qE '[0-9]+ keys from "key [0-9]+.*" to "key [0-9]+.*" are lost' out ||
    fail "it does not tell which keys are lost: $(cat out)"
exits 0 "$firn" verify db
"$firn" scan db >found
[ "$(comm -13 expected found | wc -l)" -eq 0 ] || fail "something is there that was never written"
kept=$(wc -l <found)
[ "$kept" -gt 100 ] && [ "$kept" -lt 3000 ] || fail "$kept of 3000 keys are kept"
[ -f "db/lost/${table#db/}" ] || fail "the damaged table is gone"
exits 0 "$firn" repair db
grep -q 'intact' out || fail "a second repair found something: $(cat out)"

complains 1 "holds no database" "$firn" repair .
complains 1 "cannot open" "$firn" repair nowhere
complains 2 "missing" "$firn" repair

finish
