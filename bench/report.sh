#!/usr/bin/env bash
# bench/report.sh DIR ENGINE: the report on DIR/results.tsv in Markdown, with ratios to ENGINE.
set -eu
awk -v against="$2" -f "$(dirname "$0")/report.awk" "$1/about" "$1/results.tsv"
