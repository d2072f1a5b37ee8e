#!/usr/bin/env bash
# Checkpoints, backups and what is restored from them.
. "$(dirname "$0")/lib.sh"

# keys FIRST LAST VALUE
keys() {
    seq -f 'key %05g' "$1" "$2" | sed "s/\$/\t$3/"
}

keys 0 999 one >one
exits 0 "$firn" load db one
"$firn" scan db >expected
exits 0 "$firn" checkpoint db copy --verify
"$firn" scan copy >found
same_files "a checkpoint" expected found
complains 1 "exists" "$firn" checkpoint db copy
complains 1 "nowhere: cannot open" "$firn" checkpoint nowhere copy2
exits 0 "$firn" put copy "key 00000" other
"$firn" scan db >found
same_files "the database beside a changed copy" expected found

# Backups share what did not change, and stay what they were.
exits 0 "$firn" compact db
exits 0 "$firn" backup db backups
same "the first backup" backups/000001 "$(cat out)"
keys 500 1499 two >two
exits 0 "$firn" load db two
"$firn" scan db >expected2
exits 0 "$firn" backup db backups
same "the second backup" backups/000002 "$(cat out)"
same "tables shared by backups" "2 1" "$(echo $(stat -c %h backups/000002/*.sst))"
same "links of the database's own tables" 1 "$(stat -c %h db/*.sst | sort -u)"
same "backups" "1 2" "$(echo $("$firn" backup --list backups | cut -f 1))"
exits 0 "$firn" destroy db
exits 0 "$firn" restore backups db
"$firn" scan db >found
same_files "the last backup" expected2 found
exits 0 "$firn" restore backups old --backup 1
"$firn" scan old >found
same_files "the first backup" expected found
complains 1 "no backup 7, but 1 to 2" "$firn" restore backups new --backup 7
complains 1 "exists" "$firn" restore backups db

# An interrupted one is no backup, and the next one clears it away.
mkdir backups/000003
cp backups/000002/*.sst backups/000003
same "backups" "1 2" "$(echo $("$firn" backup --list backups | cut -f 1))"
exits 0 "$firn" backup db backups --keep 2
same "backups" "2 4" "$(echo $("$firn" backup --list backups | cut -f 1))"
same "folders" "000002 000004" "$(cd backups && echo 0*)"
exits 0 "$firn" verify backups/000002
exits 0 "$firn" restore backups new --backup 2
"$firn" scan new >found
same_files "a backup whose base is gone" expected2 found

# Damage is found when the backup is made, and when it is restored.
table=$(ls backups/000004/*.sst | head -1)
chmod u+w "$table"
printf 'X' | dd of="$table" bs=1 seek=700 conv=notrunc 2>/dev/null
complains 1 ".sst" "$firn" restore backups new2
[ ! -e new2 ] || fail "a database was made of a damaged backup"
complains 1 ".sst" "$firn" backup new backups

# Wrong calls.
mkdir empty
complains 1 "holds no backups" "$firn" restore empty db2
complains 2 "DIR is missing" "$firn" backup db
complains 2 "alone" "$firn" backup --list db backups
complains 1 "No such file" "$firn" restore nowhere db2
complains 1 "nowhere: cannot open" "$firn" backup nowhere backups

# While a process writes.
yes 'k	v' | head -5000 | awk '{ print $1 NR "\t" NR }' >many
"$firn" load busy many --sync &
for _ in 1 2 3 4 5; do
    until [ -e busy/CURRENT ]; do sleep 0.01; done
    exits 0 "$firn" backup busy live
done
wait
exits 0 "$firn" backup busy live
for n in 1 2 3 4 5 6; do
    exits 0 "$firn" restore live "live$n" --backup "$n"
    "$firn" count "live$n" >>counts
done
sort -n -c counts || fail "a later backup holds less: $(echo $(cat counts))"
same "keys in the last backup" 5000 "$(tail -1 counts)"

finish
