#!/usr/bin/env bash
# bench/tables_smoke.sh BENCH_TABLES KEYGEN: every form on a few thousand keys of several kinds. The
# program checks what they answer; here it is checked that each of firn's tells its bytes, and that its
# parts add up to them.
set -eu
export LC_ALL=C
tables=$1 keygen=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in table lengths user hierarchy; do
    "$keygen" "$name" 4000 | sort -u >"$work/$name.txt"
    "$tables" whole "$name" "$work/$name.txt" 1000 1 >"$work/facts"
    awk -F '\t' -v name="$name" '
        $2 == "firn" && $3 == "bytes" { bytes = $4 }
        $2 == "firn" && $3 ~ /^part-/ { parts += $4 }
        $3 == "find_ns" || $3 == "walk_ns" { times++ }
        END {
            if (bytes <= 0 || parts < bytes * 0.9999 || parts > bytes * 1.0001 || times < 6) {
                print name ": " bytes " bytes a key, parts " parts ", " times + 0 " times"
                exit 1
            }
        }' "$work/facts"
    "$tables" small "$name" "$work/$name.txt" >"$work/facts"
    grep -q 'firn-fast.bytes-piece-1000' "$work/facts" || { echo "$name: no small tables"; exit 1; }
done
