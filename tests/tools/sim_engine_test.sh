#!/usr/bin/env bash
# `firn sim --engine`: the simulator counts what a database counts that does the same.
. "$(dirname "$0")/lib.sh"

# With one thread merges are not divided, and tables have as many entries as in the simulator: filters
# of so few depend on how many.
small=(--entries 100000 --updates 100000 --empty-reads 100000 --samples 20 --option memtable_entries=250
    --option table_entries=12500 --option level0_runs=1 --option in_memory=true
    --option background_threads=1 --option table_form=array --engine db)

# agree WITHIN: each line of the comparison; prints it.
agree() {
    grep -E -- '^ .* (%|differs)$' out
    same "lines that compare" "$2" "$(grep -c -E -- '^  entries|^    while|^  f' out)"
    # Small filters take more or fewer bits than they were given: false reads are compared as if both
    # had as many, each bit a key making exp(0.62) times fewer.
    awk -v within="$1" '
        function check(differs) {
            if (differs > within || differs < -within) { print "differs:", $0; bad = 1 }
        }
        /^  entries|^    while/ { check($(NF - 1)) }
        /^  false reads/ { vain = 1 + $(NF - 1) / 100 }
        /^  filter bits/ { check(100 * (vain * exp(0.62 * ($(NF - 3) - $(NF - 2))) - 1)) }
        END { exit bad }' out || fail "simulator and database differ by more than $1 %"
}

exits 0 "$firn" sim "${small[@]}" --policy leveled --policy lazy-leveled
agree 10 14
exits 0 "$firn" sim "${small[@]}" --option size_ratio=4 --policy tiered
agree 10 7

# Every kind of operation, on the disk; the database is gone afterwards, and in every format.
more=(--entries 3000 --updates 3000 --deletes 600 --reads 500 --scans 50 --accesses zipf
    --option memtable_entries=500 --policy fluid --samples 5 --engine db)
exits 0 "$firn" sim "${more[@]}" --format csv
same "the database" "no" "$([ -e db ] && echo yes || echo no)"
same "puts of both" "6600 6600" "$(awk -F, '$3 > n[$1] { n[$1] = $3 } END {
    print n["\"fluid\""], n["\"fluid (engine)\""] }' out)"
same "live keys of both" 1 "$(awk -F, 'NR > 1 { n[$1] = $8 } END {
    print (n["\"fluid\""] - n["\"fluid (engine)\""]) ^ 2 < 500 ^ 2 }' out)"
exits 0 "$firn" sim "${more[@]}" --format html --ratios 2,4
same "a picture of levels for what was simulated alone" 5 "$(grep -c '<svg' out)"
exits 0 "$firn" sim "${more[@]}" --format json
mkdir full && touch full/file
complains 1 'full' "$firn" sim "${more[@]}" --engine full/file
finish
