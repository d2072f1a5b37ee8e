#!/usr/bin/env bash
# bench_beside for moments: every setting runs, and no get or put fails.
set -eu
beside=$1 keygen=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$keygen" hierarchy 4000 | LC_ALL=C sort -u >"$work/keys"
"$beside" "$work/keys" "$work" 1 20 | tee "$work/out"
grep -q "^two readers do" "$work/out"
