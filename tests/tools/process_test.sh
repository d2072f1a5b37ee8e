#!/usr/bin/env bash
# Two processes and one database; a writer that is killed.
. "$(dirname "$0")/lib.sh"

# wait_for FILE: until something stands in it.
wait_for() {
    for _ in $(seq 1 200); do
        [ -s "$1" ] && return
        sleep 0.05
    done
    fail "nothing arrives in $1"
}

mkfifo pipe
"$firn" load db pipe --sync --ack-fd 5 5>acks &
writer=$!
exec 6>pipe
echo $'first\t1' >&6
wait_for acks

complains 1 "$writer" "$firn" put db k v
complains 1 "$writer" "$firn" load db /dev/null
complains 1 "$writer" "$firn" compact db
complains 1 "$writer" "$firn" destroy db
same "get beside a writer" 1 "$("$firn" get db first)"
same "scan beside a writer" $'first\t1' "$("$firn" scan db)"
same "count beside a writer" 1 "$("$firn" count db)"
exits 0 "$firn" verify db
exits 0 "$firn" stats db

exec 6>&-
wait "$writer" || fail "the writer failed"
exits 0 "$firn" put db k v

# What was acknowledged before a kill is there after it.
for round in 1 2 3; do
    : >acks
    seq -f "round$round-%g" 1 1000000 | "$firn" load db --sync --ack-fd 5 5>acks &
    writer=$!
    wait_for acks
    sleep 0.$round
    kill -9 "$writer"
    wait "$writer" 2>/dev/null
    last=$(grep -c . acks)
    found=$("$firn" count db --prefix "round$round-")
    [ "$found" -ge "$last" ] || fail "round $round: $last lines acknowledged, $found found"
    [ "$found" -le $((last + 1)) ] || fail "round $round: $found lines from $last acknowledged"
    exits 0 "$firn" verify db
done
same "what was there before" "1 v" "$(echo $("$firn" get db first) $("$firn" get db k))"
finish
