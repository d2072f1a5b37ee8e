#!/usr/bin/env bash
# bench_steady for seconds: the budget is kept, no value is wrong, percentiles come second by second.
set -eu
steady=$1 keygen=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$keygen" hierarchy 20000 | LC_ALL=C sort -u >"$work/keys"
"$steady" memory "$work/keys" "$work" 16 2 50 | tee "$work/memory"
grep -q "their pins: kept" "$work/memory"
"$steady" latency "$work/keys" "$work" 2 >"$work/latency" || grep -q "^all" "$work/latency"
grep -q "   1 s: .* p99.9" "$work/latency"
