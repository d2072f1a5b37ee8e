#!/usr/bin/env bash
# Where lines come from, how they end, and what happens to bad ones.
. "$(dirname "$0")/lib.sh"

mkfifo pipe
seq 1 5000 >pipe &
exits 0 "$firn" load fifo pipe
wait
same "from a FIFO" 5000 "$("$firn" count fifo)"
seq 1 5000 | "$firn" load piped
same "from standard input" 5000 "$("$firn" count piped)"
seq 1 7 | "$firn" load piped -
seq 5001 6000 >more
"$firn" load piped <more
same "from a file as standard input" 6000 "$("$firn" count piped)"

printf 'a\nb\tB' | "$firn" load unended
same "a last line without newline" "a b B" "$(echo $("$firn" scan unended))"
printf '' | "$firn" load empty
same "no lines" 0 "$("$firn" count empty)"
printf '\n\tvalue of the empty key\n' | "$firn" load blank
same "an empty line is the empty key" $'\tvalue of the empty key' "$("$firn" scan blank)"
printf 'a\tb\tc\n' | "$firn" load tabs
same "only the first TAB parts" $'b\tc' "$("$firn" get tabs a)"

# The longest key and one that is too long, in a line that is longer than any buffer.
head -c 65535 /dev/zero | tr '\0' k >longest
{ cat longest; printf '\t'; head -c 3000000 /dev/zero | tr '\0' v; } >line
exits 0 "$firn" load long line
same "the longest key" 65535 "$("$firn" scan long --keys-only | tr -d '\n' | wc -c)"
same "a long value" 3000000 "$("$firn" scan long | cut -f2 | tr -d '\n' | wc -c)"
{ printf 'before\n'; cat longest; printf 'k\nafter\n'; } >line
complains 1 "line 2: .*6553" "$firn" load long line
same "lines before a bad one are loaded" "" "$("$firn" get long before)"
exits 1 "$firn" get long after

printf '61\n6\n62\n' >odd
complains 1 "line 2: .*odd" "$firn" load odds odd --hex
same "what stood before the bad line" 61 "$("$firn" scan odds --hex --keys-only)"

for sync in "" --sync; do
    rm -rf acked
    seq 1 300 | "$firn" load acked $sync --ack-fd 5 5>acks
    seq 1 300 >expected
    same_files "acknowledged lines ($sync)" expected acks
done

# A line is written when it arrives, not when the input ends.
"$firn" load trickle pipe --ack-fd 5 5>acks &
exec 6>pipe
echo drop >&6
for _ in $(seq 1 200); do
    [ -s acks ] && break
    sleep 0.05
done
same "written while the input is open" 1 "$(cat acks)"
same "and seen by readers" drop "$("$firn" scan trickle --keys-only)"
exec 6>&-
wait

{ seq 1 10; head -c 70000 /dev/zero | tr '\0' x; } >line
exits 1 "$firn" load acked2 line --ack-fd 5 5>acks
same "only written lines are acknowledged" 10 "$(wc -l <acks)"

complains 1 "no-such-file" "$firn" load db no-such-file
[ ! -e db ] || fail "a load without input makes a database"
complains 1 "folder" "$firn" load db "$folder"
finish
