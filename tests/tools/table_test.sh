#!/usr/bin/env bash
# Table files on their own: built from sorted lines, and read like a database of the same lines.
. "$(dirname "$0")/lib.sh"

for i in $(seq 1 5000); do
    printf 'usr/share/%s/%05d.txt\tvalue %d\n' "$((i % 7))" "$i" "$i"
done | LC_ALL=C sort >lines
exits 0 "$firn" build files.table lines
[ ! -e files.table.tmp ] || fail "a name for the time of building stays"
exits 0 "$firn" load files.firn lines
exits 0 "$firn" compact files.firn

# What only reads gives the same as for the database.
for arguments in "scan" "scan --reverse --limit 7" "scan --prefix usr/share/3/ --keys-only" \
    "scan --from usr/share/2 --to usr/share/3/01" "count" "count --from usr/share/5" \
    "count --prefix usr/share/1/ --estimate" "get usr/share/3/00003.txt" \
    "get --hex 7573722f73686172652f332f30303030332e747874" "get nothing"; do
    set -- $arguments
    "$firn" "$1" files.firn "${@:2}" >expected
    code=$?
    exits $code "$firn" "$1" files.table "${@:2}"
    same_files "$arguments" expected out
done
exits 0 "$firn" verify files.table
grep -q "^files.table is intact: 5000 entries, 1 tables, $(stat -c %s files.table) bytes$" out ||
    fail "verify says $(cat out)"
exits 0 "$firn" stats files.table --json --warm
grep -q '"entries": *5000' out || fail "stats says $(head -c 300 out)"
exits 0 "$firn" dump files.table
grep -q '^is  *table$' out || fail "dump says $(head -c 300 out)"

# From standard input, in every form; back and forth.
"$firn" scan files.table | exits 0 "$firn" build again.table --escaped
"$firn" scan files.table >expected && "$firn" scan again.table >found
same_files "scanned and built again" expected found
printf '00\t0a\n0009\t\nff\tff00\n' | exits 0 "$firn" build bytes.table - --hex
same "any bytes" $'00\t0a 0009\t ff\tff00' "$(echo "$("$firn" scan bytes.table --hex)" | tr '\n' ' ' | sed 's/ $//')"
printf 'a\nb\tc\0b\tx\0' | exits 0 "$firn" build lines.table --null
same "lines that end with NUL" "$(printf 'a\\nb\tc\nb\tx')" "$("$firn" scan lines.table)"
printf 'k\t00ff\n' | exits 0 "$firn" build values.table --values-hex
same "values in hex" $'k\t00ff' "$("$firn" scan values.table --values-hex)"

# What cannot be built leaves nothing.
seq 99 -1 97 >descending
complains 1 "line 2: .*key 2 should come before key 1; nothing is built" \
    "$firn" build new.table descending
printf 'a\na\n' >twice
complains 1 "line 2: .*key 2 is the same as key 1" "$firn" build new.table twice
: >empty
complains 1 "without entries" "$firn" build new.table empty
printf 'a\n\\q\n' >bad
complains 1 "line 2: there is" "$firn" build new.table bad --escaped
complains 1 "files.table exists" "$firn" build files.table lines
complains 1 "cannot build" "$firn" build new.table .
complains 1 "no/such" "$firn" build no/such/new.table lines
complains 1 "cannot open missing" "$firn" build new.table missing
for name in new.table new.table.tmp; do
    [ ! -e $name ] || fail "$name is there"
done

# Each form is told by name.
for form in fst array btree; do
    exits 0 "$firn" build $form.table lines --option table_form=$form
    "$firn" stats $form.table --json >stats
    same "the form of a table" 1 "$(grep -c "\"form\": \"$form\"" stats)"
done

# A table takes no writes, and what is no table is told as such.
cp files.table before
for command in "put files.table a b" "delete files.table a" "load files.table lines" \
    "compact files.table" "destroy files.table"; do
    complains 1 "files.table" "$firn" $command
done
same_files "a table that was to be written" before files.table
head -c 3000 files.table >part
complains 1 "^firn: part: " "$firn" get part k
complains 1 "^firn: part: " "$firn" scan part
complains 1 "^firn: lines: " "$firn" verify lines
printf 'XX' | dd of=files.table bs=1 seek=5000 conv=notrunc 2>/dev/null
exits 1 "$firn" verify files.table
grep -q "damage: files.table: " err || fail "verify of a damaged table says $(cat err)"
finish
