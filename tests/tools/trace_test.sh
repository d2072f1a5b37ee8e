#!/usr/bin/env bash
# `--record`, `firn trace` and `firn sim --trace`: what a command asked of a database, and over again.
. "$(dirname "$0")/lib.sh"

seq -f 'key%06g' 1 5000 | awk '{ print (NR * 7919) % 5003 "\t" $0 "\tvalue" }' | sort -n | cut -f2- >pairs

exits 0 "$firn" load db pairs --record load.trace --option memtable_entries=500
exits 0 "$firn" trace load.trace
same "puts" 5000 "$(awk '$1 == "puts" { print $2 }' out)"
same "keys" 5000 "$(awk '$1 == "keys" && NF == 2 { print $2 }' out)"
same "mean key" 9.0 "$(awk '/^key bytes mean/ { print $NF }' out)"
same "ended in order" 1 "$(awk '/^ended in order/ { print $NF }' out)"
exits 0 "$firn" trace load.trace --json
same "puts in JSON" 1 "$(grep -c '"puts": 5000' out)"
exits 0 "$firn" trace load.trace --operations
cut -f4 out | head -3 >found
cut -f1 pairs | head -3 >expected
same_files "keys in order" expected found

exits 0 "$firn" scan db --from key000100 --limit 50 --record scan.trace
exits 0 "$firn" trace scan.trace --operations
same "the scan" "scan 51 key000100" "$(awk '{ print $2, $3, $4 }' out)"
exits 1 "$firn" get db nothing --record get.trace
exits 0 "$firn" trace get.trace --operations
same "the get" "absent 0 nothing" "$(awk '{ print $2, $3, $4 }' out)"

exits 0 "$firn" sim --trace load.trace --policy leveled --option memtable_entries=500 --format csv
same "puts of the simulator" 5000 "$(awk -F, 'END { print $3 }' out)"

# Theory goes by the keys that the trace wrote: 5000 in memtables of 50, four of which come down at once,
# make four levels where T = 2, and three where T = 4; an entry is merged (T - 1) / 2 times in each.
exits 0 "$firn" sim --trace load.trace --policy leveled --ratios 2,4 --option memtable_entries=50
same "merges in theory" "2.00 4.50" "$(awk '/in theory/ { told = 1; next } told { printf "%s%s", n++ ? " " : "", $4 }' out)"

complains 1 'exists' "$firn" count db --record load.trace
complains 1 'no block of a trace' "$firn" trace pairs
complains 1 'nowhere' "$firn" trace nowhere
complains 1 'nowhere' "$firn" sim --trace nowhere
complains 2 'simulator alone' "$firn" sim --trace load.trace --engine dir
finish
