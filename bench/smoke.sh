#!/usr/bin/env bash
# bench/smoke.sh DRIVER KEYGEN: every workload of one engine on a few thousand keys of several kinds,
# with one thread and with two. Checks that answers are right and records are printed; no times.
set -eu
export LC_ALL=C
driver=$1 keygen=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# some NAME: a few thousand keys of a set.
some() {
    "$keygen" "$1" 3000 | sort -u >"$work/$1.txt"
    echo "$work/$1.txt"
}

# run WORKLOAD KEYS OPTION...: fails when the driver does or says nothing.
run() {
    local workload=$1 keys=$2
    shift 2
    if ! "$driver" --dir "$work/db" --keys "$keys" --workload "$workload" --reads 2000 --hurry \
        "$@" >"$work/record" || ! grep -q "workload=$workload" "$work/record"; then
        echo "failed: $workload $keys $*" >&2
        exit 1
    fi
}

workloads=$("$driver" --list | sed -n 's/^workload \([a-z0-9]*\) .*/\1/p')
for setting in $("$driver" --list | sed -n 's/^setting //p'); do
    keys=$(some table)
    for workload in $workloads; do
        case $workload in
        kill | fillsync | deleterandom) continue ;;
        fill*) rm -rf "$work/db" ;;
        esac
        run "$workload" "$keys" --setting "$setting" --value-bytes 100
    done
    run readrandom "$keys" --setting "$setting" --value-bytes 100 --cold
    run readrandom "$keys" --setting "$setting" --value-bytes 100 --resident
    if ("$driver" --dir "$work/db" --keys "$keys" --workload kill --setting "$setting" \
        --value-bytes 100 --reads 2000 || exit 1) >/dev/null 2>&1; then
        echo "kill: is alive" >&2
        exit 1
    fi
    run open "$keys" --setting "$setting" --value-bytes 100
    run readrandom "$keys" --setting "$setting" --value-bytes 100
    run deleterandom "$keys" --setting "$setting" --value-bytes 100
done

rm -rf "$work/db"
run fillsync "$keys" --limit 200
rm -rf "$work/db"
keys=$(some lengths)
for workload in fillrandom readrandom readmissing readseq seekrandom10 readwhilewriting ycsba; do
    run "$workload" "$keys" --threads 2 --value-bytes 1000
done
rm -rf "$work/db"
keys=$(some random16)
for workload in fillbatch compact readrandom readreverse; do
    run "$workload" "$keys"
done
if [ "$(basename "$driver")" = bench_firn ]; then
    run readmissing "$keys" --record "$work/trace"
    [ "$(wc -c <"$work/trace")" -gt 2000 ] || { echo "failed: nothing was recorded" >&2; exit 1; }
fi
