#!/usr/bin/env bash
# bench/report.sh DIR ENGINE FILE: writes the report on DIR/results.tsv to FILE as Markdown, with
# ratios to ENGINE, and its plots beside it. What stands in FILE down to the line
# "<!-- measured -->" is kept.
set -eu
bench=$(dirname "$0") out=$1 against=$2 report=$3
plots=$(cd "$(dirname "$report")" && pwd) base=$(basename "$report" .md)
marker='<!-- measured -->'
rm -f "$out"/*.dat
{
    if grep -qsxF -- "$marker" "$report"; then
        sed "/^$marker\$/q" "$report"
        echo
    fi
    awk -v against="$against" -v data="$out" -v base_name="$base" -f "$bench/report.awk" \
        "$out/about" "$out/results.tsv"
} >"$out/report.part"
mv "$out/report.part" "$report"
for data in "$out"/*.dat; do
    [ -e "$data" ] || continue
    name=${data##*/} name=${name%.dat}
    title=$(sed -n 's/^# //p' "$data")
    gnuplot -e "data='$data'; svg='$plots/$base-$name.svg'; title_text='$title'" \
        "$bench/plot.gp" 2>>"$out/log" || echo "no plot of $name" >&2
done
