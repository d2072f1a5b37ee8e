#!/usr/bin/env bash
# Progress is shown on a terminal and nowhere else.
. "$(dirname "$0")/lib.sh"
command -v script >/dev/null || exit 77

# A load that takes seconds, since progress is not shown for what is done at once.
cat >slow.sh <<END
{ seq 1 1000; sleep 1.5; seq 1001 2000; sleep 1; seq 2001 3000; } | "$firn" load db
END
script -qec "bash slow.sh" typescript </dev/null >/dev/null
tr '\r' '\n' <typescript | grep -q 'load: [0-9,]* lines, [0-9,]* a second' ||
    fail "no progress on a terminal: $(cat -v typescript)"
same "all is loaded" 3000 "$("$firn" count db)"
rm -rf db
exits 0 bash slow.sh
same "no progress in a pipe or file" "" "$(cat out err)"

{ seq 1 500000; } >lines
code=0
script -qec "'$firn' load bigger lines; '$firn' compact bigger" typescript </dev/null >/dev/null ||
    code=$?
same "load and compact on a terminal" 0 "$code"
same "all is compacted" 500000 "$("$firn" count bigger)"
finish
