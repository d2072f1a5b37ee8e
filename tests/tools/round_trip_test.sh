#!/usr/bin/env bash
# What was written is what is read, by every command that reads.
. "$(dirname "$0")/lib.sh"

seq -f 'key%06g' 1 20000 | awk '{ print $0 "\tvalue of " $0 }' >sorted
awk '{ print (NR * 7919) % 20011 "\t" $0 }' sorted | sort -n | cut -f2- >shuffled

exits 0 "$firn" load db shuffled
same "load is silent when no one watches" "" "$(cat out err)"
"$firn" scan db >found
same_files "scan" sorted found
"$firn" scan db --reverse >found
tac sorted >expected
same_files "reverse scan" expected found
"$firn" scan db --keys-only | cut -f1 >found
cut -f1 sorted >expected
same_files "keys only" expected found

same "count" 20000 "$("$firn" count db)"
same "count of a range" 100 "$("$firn" count db --from key000100 --to key000200)"
same "count of a prefix" 1000 "$("$firn" count db --prefix key001)"
same "count of a prefix and a range" 500 \
    "$("$firn" count db --prefix key001 --from key0015 --to key9)"
same "count of an empty range" 0 "$("$firn" count db --from x --to a)"
same "estimate, nothing being deleted" 20000 "$("$firn" compact db && "$firn" count db --estimate)"

same "scan with limit" "key000007 key000008" \
    "$("$firn" scan db --from key000007 --limit 2 --keys-only | tr '\n' ' ' | sed 's/ $//')"
same "reverse scan with bounds" "key000199 key000198" \
    "$("$firn" scan db --to key0002 --reverse --limit=2 --keys-only | tr '\n' ' ' | sed 's/ $//')"
same "scan of nothing" "" "$("$firn" scan db --limit 0)"

same "get" "value of key012345" "$("$firn" get db key012345)"
exits 1 "$firn" get db key99
same "a missing key is silent" "" "$(cat out err)"

exits 0 "$firn" delete db key012345
exits 1 "$firn" get db key012345
exits 0 "$firn" delete db key012345
same "count after a delete" 19999 "$("$firn" count db)"
exits 0 "$firn" put db key012345 new
same "get after put" "new" "$("$firn" get db key012345)"
exits 0 "$firn" put db key012345 ""
same "an empty value" "" "$("$firn" get db key012345)"
same "an empty value is there" 20000 "$("$firn" count db)"

printf 'a\t1\nb\t2\na\t3\n' >doubles
exits 0 "$firn" load doubled doubles
same "the last of equal keys stays" "a 3 b 2" "$(echo $("$firn" scan doubled))"

exits 0 "$firn" verify db
grep -q 'is intact' out || fail "verify says $(cat out)"
exits 0 "$firn" stats db
[ -s out ] || fail "stats prints nothing"
exits 0 "$firn" stats db --levels
grep -q '^level [0-9]*: 1 run, ' out || fail "stats --levels says $(head -c 300 out)"
grep -q '^  |=\{64\}| ' out || fail "the only run is not as wide as the picture"
exits 0 "$firn" stats db --json
[ "$(head -c 1 out)" = "{" ] || fail "stats --json does not begin with {"
if command -v jq >/dev/null; then
    jq -e . out >/dev/null || fail "stats --json is no JSON"
fi

exits 0 "$firn" destroy db
[ ! -e db ] || fail "destroy leaves $(ls db)"
complains 1 "db" "$firn" get db key000001
finish
