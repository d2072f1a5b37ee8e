#!/usr/bin/env bash
# `firn sim` tells of policies in four formats that agree, and says what is wrong with a command.
. "$(dirname "$0")/lib.sh"

small=(--entries 100000 --updates 200000 --option memtable_entries=1000 --option table_entries=5000)

exits 0 "$firn" sim "${small[@]}" --ratios 2,4 --policy leveled --policy fluid:runs_upper=2,size_ratio=4
for words in 'fluid:runs_upper=2,size_ratio=4' 'leveled: levels at the end' 'in theory'; do
    grep -qF -- "$words" out || fail "the text does not say '$words': $(head -c 600 out)"
done
writes=$(awk '$1 == "leveled" && NF == 10 { print $2; exit }' out)

exits 0 "$firn" sim "${small[@]}" --policy leveled --format csv
same "puts" 300000 "$(awk -F, 'END { print $3 }' out)"
same "columns" 28 "$(awk -F, 'NR == 1 { print NF }' out)"
rows=$(($(wc -l <out) - 1))
# What loading wrote for each put, by hand from the flushed and merged of the last row of it.
same "writes per put while loading" "$writes" \
    "$(awk -F, 'NR > 1 && $3 <= 100000 { w = ($4 + $5) / $3 } END { printf "%.2f", w }' out)"

exits 0 "$firn" sim "${small[@]}" --policy leveled --format json
same "samples in JSON" "$rows" "$(grep -c '"stored_most"' out)"
if command -v python3 >/dev/null; then
    python3 -c 'import json, sys; json.load(sys.stdin)' <out || fail "the JSON is malformed"
fi

exits 0 "$firn" sim "${small[@]}" --ratios 2,4 --disk-rate 5000000 --format html
same "charts, and a picture of the levels for each policy" 10 "$(grep -c '<svg' out)"
same "numbers that are none" 0 "$(grep -c -e nan -e inf out)"
grep -q 'http' out && [ "$(grep -c 'http' out)" -ne "$(grep -c 'www.w3.org/2000/svg' out)" ] &&
    fail "the page refers to another"

exits 0 "$firn" sim "${small[@]}" --policy tiered --seed 5
cp out first
exits 0 "$firn" sim "${small[@]}" --policy tiered --seed 5
same_files "the same seed again" first out

complains 2 'expected none, leveled' "$firn" sim --policy round
complains 2 'there is no option color' "$firn" sim --policy leveled:color=red
complains 2 'expected text, csv, json or html' "$firn" sim --format pdf
complains 2 'expected size ratios' "$firn" sim --ratios 1,2
complains 2 'expected uniform, zipf' "$firn" sim --accesses often
complains 2 'cannot open shared object' "$firn" sim --plugin nothing.so
complains 1 'zipf_theta is 1' "$firn" sim --accesses zipf --theta 1 --entries 1000
complains 1 'has no entries' "$firn" sim --entries 0
finish
