#!/usr/bin/env bash
# Folders that may not be read or written. Root may do everything, so it becomes nobody first.
. "$(dirname "$0")/lib.sh"

exits 0 "$firn" put db k v
mkdir closed
chmod 755 "$folder"
chmod 700 closed db
nobody=()
if [ "$(id -u)" -eq 0 ]; then
    nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    if ! "${nobody[@]}" "$firn" --version >/dev/null 2>&1; then
        echo "skipped: nobody may not run $firn"
        exit 77
    fi
else
    chmod 000 closed db
fi
complains 1 'closed/db: .*Permission denied' "${nobody[@]}" "$firn" put closed/db k v
complains 1 'db: .*Permission denied' "${nobody[@]}" "$firn" get db k
chmod 755 db
if [ "$(id -u)" -eq 0 ]; then
    same "reading needs no right to write" v "$("${nobody[@]}" "$firn" get db k)"
    complains 1 'Permission denied' "${nobody[@]}" "$firn" put db k w
fi
chmod 755 closed
same "what was there" v "$("$firn" get db k)"
finish
