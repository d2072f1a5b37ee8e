#!/usr/bin/env bash
# bench_billion with few keys: loaded in each way, killed on the way and gone on with, it finds all of
# them and no others; and it does not begin where there is no room.
set -eu
billion=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
options=(--keys 40000 --part 15000 --gets 5000 --budget 16)

for way in "" --sorted --normal; do
    echo "== ${way:-random}"
    rm -rf "$work/new"
    "$billion" "$work/new" "${options[@]}" $way >/dev/null 2>&1 &
    sleep 0.1
    kill -KILL $! 2>/dev/null || true # it may have been faster
    wait $! 2>/dev/null || true
    "$billion" "$work/new" "${options[@]}" $way | tee "$work/first"
    grep -q "40000 keys and 20000 absent ones looked up: 0 wrong" "$work/first"
    grep -q "of 40000 entries" "$work/first"
    "$billion" "$work/new" "${options[@]}" $way >"$work/again"
    grep -q "loaded 0 keys" "$work/again"
done

if "$billion" "$work" --keys 100000000000000 >"$work/room" 2>&1; then
    echo "it began without room"
    exit 1
fi
grep -q "not enough room" "$work/room"
if "$billion" "$work/room/below" "${options[@]}" >"$work/below" 2>&1; then
    echo "it began below a file"
    exit 1
fi
grep -q "room/below: cannot make the folder: Not a directory" "$work/below"
