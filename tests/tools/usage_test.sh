#!/usr/bin/env bash
# Exit codes and sentences for what cannot work.
. "$(dirname "$0")/lib.sh"

exits 0 "$firn" --version
grep -qE '^firn [0-9]+\.[0-9]+\.[0-9]+' out || fail "--version says $(cat out)"
exits 0 "$firn" help
grep -q '  load ' out || fail "help does not list load"
exits 0 "$firn" help options
grep -q 'memory_budget' out || fail "help options does not list memory_budget"
for command in load put get delete scan count rank nth sample split stats compact verify destroy; do
    exits 0 "$firn" help $command
    grep -q "^usage: firn $command DB" out || fail "help $command has no usage line"
    grep -q "^Example:" out || fail "help $command has no example"
    cp out help
    exits 0 "$firn" $command --help
    same_files "help $command and $command --help" help out
    complains 2 "missing" "$firn" $command
    complains 2 "there is no option --nonsense" "$firn" $command db k v --nonsense
done

complains 2 "command is missing" "$firn"
complains 2 "no command 'frobnicate'" "$firn" frobnicate
complains 2 "no command 'frobnicate'" "$firn" help frobnicate
complains 2 "too many" "$firn" get db key key
complains 2 "whole number" "$firn" scan db --limit many
complains 2 "whole number" "$firn" scan db --limit -1
complains 2 "needs a value" "$firn" scan db --from
complains 2 "takes no value" "$firn" scan db --reverse=yes
complains 2 "descriptor 77 is not open" "$firn" load db --ack-fd 77
complains 2 "NAME=VALUE" "$firn" get db k --option memory_budget
complains 2 "no_such_option" "$firn" get db k --option no_such_option=1
complains 2 "memory_budget" "$firn" get db k --memory-budget plenty
[ ! -e db ] || fail "a wrong command line makes a database"

exits 0 "$firn" put db --memory-budget 32m --option filter=false -- --key --value
same "words after --" "--value" "$("$firn" get db -- --key)"

for command in "get db2 k" "delete db2 k" "scan db2" "count db2" "stats db2" "compact db2" \
    "verify db2" "destroy db2"; do
    complains 1 "db2" "$firn" $command
    [ ! -e db2 ] || fail "'$command' makes a database"
done

echo text >file
complains 1 "file" "$firn" get file k
complains 1 "file" "$firn" put file k v
mkdir other && echo text >other/notes
complains 1 "other" "$firn" get other k
complains 1 "other" "$firn" scan other
complains 1 "" "$firn" destroy other
[ -f other/notes ] || fail "destroy took a file that is not its own"

# A name of ours that is no database of ours.
mkdir torn && echo text >torn/CURRENT
complains 1 "CURRENT" "$firn" get torn k
complains 1 "CURRENT" "$firn" put torn k v

# Output that cannot be written, and a reader that goes away.
seq 1 100000 | "$firn" load big
if [ -w /dev/full ]; then
    code=0
    "$firn" scan big >/dev/full 2>err || code=$?
    same "a full disk below standard output" 1 "$code"
    grep -q '^firn: cannot write' err || fail "a full disk gives '$(cat err)'"
fi
"$firn" scan big 2>err | head -n 1 >out
same "a reader that goes away is no failure" "0 0" "${PIPESTATUS[*]}"
same "a reader that goes away is no complaint" "" "$(cat err)"
finish
