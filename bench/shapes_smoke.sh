#!/usr/bin/env bash
# bench/shapes_smoke.sh BENCH_TABLES: all shapes can be made, the same each time, and every form that is
# there tells what a few hundred keys of each take.
set -eu
tables=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$tables" shapes >"$work/names"
[ "$(wc -l <"$work/names")" -ge 36 ] || { echo "only $(wc -l <"$work/names") shapes"; exit 1; }
while read -r name; do
    "$tables" shape "$name" 200 >>"$work/facts"
done <"$work/names"
awk -F '\t' '
    $3 !~ /^bytes-all-/ || $4 <= 0 { print "not a fact: " $0; bad = 1 }
    $2 == "firn" { firn++ }
    $2 == "blocks-4k" { blocks++ }
    END { exit bad || firn < 36 || blocks != firn }' "$work/facts"
name=$(head -1 "$work/names")
"$tables" shape "$name" 200 | cmp - <(grep "^$name	" "$work/facts")
! "$tables" shape none 200 2>"$work/error" || { echo "a shape that is not there was made"; exit 1; }
