#!/usr/bin/env bash
# A disk that is full, and one that may not be written to. Needs to mount a small tmpfs, and says so where
# it may not.
. "$(dirname "$0")/lib.sh"

mkdir small
if ! mount -t tmpfs -o size=3m none small 2>/dev/null; then
    echo "skipped: no tmpfs may be mounted here"
    exit 77
fi
trap 'umount -l "$folder/small"; rm -rf "$folder"' EXIT

# It fails with one sentence that names the file and the cause, and loses nothing it acknowledged.
code=0
seq -f 'key%08g' 1 200000 | "$firn" load small/db --sync --ack-fd 5 5>acks 2>err || code=$?
same "exit code of a load that fills the disk" 1 "$code"
same "lines of complaint" 1 "$(wc -l <err)"
grep -q '^firn: small/db/[^ ]*: .*No space left on device' err || fail "it says: $(cat err)"
acknowledged=$(grep -c . acks)
[ "$acknowledged" -gt 1000 ] || fail "only $acknowledged lines were written to 3 MiB"
exits 0 "$firn" verify small/db
found=$("$firn" count small/db)
[ "$found" -ge "$acknowledged" ] || fail "$acknowledged lines acknowledged, $found found"

# With space it goes on where it was.
mount -o remount,size=64m small
seq -f 'key%08g' 1 200000 >lines
exits 0 "$firn" load small/db lines
exits 0 "$firn" compact small/db
same "keys once there is space" 200000 "$("$firn" count small/db)"
exits 0 "$firn" verify small/db

# Reading only.
mount -o remount,ro small
complains 1 'read-only' "$firn" put small/db k v
same "reading where nothing may be written" 200000 "$("$firn" count small/db)"
finish
