#!/usr/bin/env bash
# Keys by number: what the commands print is what counting lines of a scan gives, of a database and of a
# table file.
. "$(dirname "$0")/lib.sh"

seq -f 'key%06g' 0 19999 >sorted
exits 0 "$firn" build file sorted
exits 0 "$firn" load db sorted
exits 0 "$firn" compact db

for db in db file; do
    same "rank in $db" 12345 "$("$firn" rank $db key012345)"
    same "rank of a key that is not there in $db" 12346 "$("$firn" rank $db key012345x)"
    same "rank below all in $db" 0 "$("$firn" rank $db '')"
    same "rank above all in $db" 20000 "$("$firn" rank $db z --estimate)"
    same "nth in $db" key012345 "$("$firn" nth $db 12345)"
    same "nth of a prefix in $db" key001007 "$("$firn" nth $db 7 --prefix key001 --estimate)"
    exits 1 "$firn" nth $db 20000
    same "past the last key is silent" "" "$(cat out err)"
    same "estimated count in $db" 20000 "$("$firn" count $db --estimate)"
    same "split of $db" "key005000 key010000 key015000" "$(echo $("$firn" split $db 4))"
    same "split of a prefix of $db" "key001500" \
        "$("$firn" split $db 2 --prefix key001 --estimate --null | tr '\0' '\n')"
    "$firn" sample $db 100 --seed 7 >found
    same "sample of $db" 100 "$(sort -u found | comm -12 - sorted | wc -l)"
    sort -c found || fail "a sample of $db is not in order"
    "$firn" sample $db 100 --seed 7 >again
    same_files "the same seed" found again
    "$firn" sample $db 100 --seed 8 >again
    ! cmp -s found again || fail "another seed gives the same sample of $db"
    "$firn" sample $db 30000 >found
    same_files "a sample of all of $db" sorted found
done

# With deletes and doubles above the table, exact unless an estimate is asked for.
seq -f 'key%06g' 0 10 19999 | "$firn" load db
for key in 000001 000003 010003; do
    exits 0 "$firn" delete db key$key
done
same "count" 19997 "$("$firn" count db)"
same "rank" 9998 "$("$firn" rank db key010000)"
same "nth" key010000 "$("$firn" nth db 9998)"
"$firn" scan db --keys-only >all
"$firn" sample db 30000 >found
same_files "a sample of all, some deleted" all found
"$firn" count db --estimate >found
awk -F '\t' '{ exit !(NF == 3 && $2 <= 19997 && 19997 <= $3 && $2 <= $1 && $1 <= $3) }' found ||
    fail "the estimate is $(cat found)"
"$firn" nth db 9998 --estimate | awk -F '\t' '{ exit !(NF == 4 && $3 <= 9998 && 9998 <= $4) }' ||
    fail "the estimated nth is $("$firn" nth db 9998 --estimate)"
same "nth as hex" 6b6579303030303030 "$("$firn" nth db 0 --hex)"

complains 2 "no whole number" "$firn" nth db first
complains 2 "no whole number" "$firn" sample db -- -1
complains 1 "0 parts" "$firn" split db 0
complains 2 "there is no option --seed" "$firn" split db 2 --seed 1
complains 1 "db2" "$firn" rank db2 k
finish
