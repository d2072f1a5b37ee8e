#!/usr/bin/env bash
# Table files taken into a database by the command.
. "$(dirname "$0")/lib.sh"

seq -f 'key %05g' 0 999 | sed 's/$/\tloaded/' >loaded
seq -f 'key %05g' 500 1499 | sed 's/$/\tone/' | "$firn" build one.table
seq -f 'key %05g' 1500 1999 | sed 's/$/\ttwo/' | "$firn" build two.table
exits 0 "$firn" load db loaded
exits 0 "$firn" ingest db two.table one.table --verify
same "values" "500 loaded 1000 one 500 two" \
    "$(echo $("$firn" scan db | cut -f 2 | sort | uniq -c))"
[ -f one.table ] && [ -f two.table ] || fail "the files are gone, and were not to be moved"
exits 0 "$firn" verify db
exits 0 "$firn" put db "key 00600" put
rm one.table two.table
same "a key written later" put "$("$firn" get db "key 00600")"
exits 0 "$firn" dump db/MANIFEST-*
grep -q 'sequence given' out || fail "the manifest does not tell what was given"
exits 0 "$firn" compact db
same "values after merging" "500 loaded 999 one 1 put 500 two" \
    "$(echo $("$firn" scan db | cut -f 2 | sort | uniq -c))"

# A new database; copies; moves.
echo a | "$firn" build a.table
exits 0 "$firn" ingest new a.table --copy
same "links of a file that was copied" 1 "$(stat -c %h a.table)"
echo b | "$firn" build b.table
exits 0 "$firn" ingest new b.table --move
[ ! -e b.table ] || fail "a file that was to be moved is there"
same "keys" "a b" "$(echo $("$firn" scan new --keys-only))"

# All or none.
echo c | "$firn" build c.table
complains 1 "in the database already" "$firn" ingest new a.table
complains 1 "missing.table" "$firn" ingest new c.table missing.table --move
complains 1 "c.table and c.table overlap" "$firn" ingest new c.table c.table
complains 1 "loaded: " "$firn" ingest new c.table loaded
complains 2 "missing" "$firn" ingest new
complains 1 "c.table" "$firn" ingest c.table a.table
[ -f c.table ] || fail "a file that was not taken in is gone"
same "keys" "a b" "$(echo $("$firn" scan new --keys-only))"
same "files" 2 "$(ls new/*.sst | wc -l)"

# Bulk loading: the same database as by single writes.
for i in $(seq 1 3000); do
    printf 'k%04d\t%d\n' "$((i * 7919 % 1000))" "$i"
done >shuffled
exits 0 "$firn" load plain shuffled
exits 0 "$firn" load bulk shuffled --bulk
"$firn" scan plain >expected
"$firn" scan bulk >found
same_files "bulk loading" expected found
exits 0 "$firn" load sorted expected --sorted --escaped
"$firn" scan sorted >found
same_files "loading what is sorted" expected found
same "files of a bulk load" 1 "$(ls bulk/*.sst | wc -l)"
complains 1 "line 2: key 2 should come before key 1; nothing is loaded" \
    "$firn" load sorted shuffled --sorted
complains 2 "mean nothing" "$firn" load sorted expected --sorted --sync
complains 2 "mean nothing" "$firn" load sorted expected --bulk --ack-fd 1
"$firn" scan sorted >found
same_files "after a load that was refused" expected found
finish
