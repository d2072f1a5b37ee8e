#!/usr/bin/env bash
# bench/experiments_smoke.sh FIRN: bench/experiments on few keys, stopped and begun again: a table and
# a plot for each option, of numbers; no times.
set -eu
export FIRN=$1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
experiments=$(dirname "$0")/experiments
run() {
    "$experiments" --entries 4000 --in-memory --out "$out" --only table_form --only compaction_policy 2>"$out/log" >"$out/text" ||
        { cat "$out/log"; exit 1; }
}
run
rm "$out/table_form-btree-4000.csv"
run
[ "$(grep -c ' = ' "$out/log")" -eq 1 ] || { echo "what was there was done again"; exit 1; }
for option in table_form compaction_policy; do
    awk 'NR == 1 { next } NF != 10 || $2 < 1 || $4 <= 0 || $6 < 1 || $8 <= 0 || $10 <= 0 { print; bad = 1 } END { exit bad || NR < 4 }' \
        "$out/$option.dat" || { echo "$option: these are no results"; exit 1; }
    ! command -v gnuplot >/dev/null || grep -q '<svg' "$out/$option.svg" || { echo "no plot"; exit 1; }
done
