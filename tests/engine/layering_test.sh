#!/usr/bin/env bash
# Every #include "..." follows the arrows: lsm -> compaction -> sst -> bloom -> base and
# lsm -> memtable -> base. lsm/firn.h and lsm/firn_lab.h are below everything. tools/ is a user: of these only.
set -u
source_folder=${FIRN_SOURCE:?the folder of the sources}

# The folders a folder may include from, itself among them.
allowed() {
    case $1 in
    base) echo "base" ;;
    bloom) echo "bloom base" ;;
    memtable) echo "memtable base" ;;
    sst) echo "sst bloom base" ;;
    compaction) echo "compaction sst bloom base" ;;
    lsm) echo "lsm compaction sst bloom memtable base" ;;
    tools) echo "tools" ;;
    bench | tests) echo "bench tests tools lsm compaction sst bloom memtable base" ;;
    *) return 1 ;;
    esac
}

# Prints what is wrong below folder $1; nothing when all is well.
check() {
    (
        cd "$1" || exit 1
        find . -name '*.[ch]' -not -path './build*' -not -path './.git/*' -printf '%P\n' | sort |
            while read -r file; do
                folder=${file%%/*}
                case $file in
                docs/*) continue ;; # examples: they include <lsm/firn.h>
                */*) ;;
                *) folder="(top)" ;;
                esac
                if ! may=$(allowed "$folder"); then
                    echo "$file: the folder '$folder' is not in the drawing of the layers"
                    continue
                fi
                sed -n 's/^[ \t]*#[ \t]*include[ \t]*"\([^"]*\)".*/\1/p' "$file" |
                    while read -r included; do
                        case $included in lsm/firn.h | lsm/firn_lab.h) continue ;; esac
                        case " $may " in
                        *" ${included%%/*} "*) ;;
                        *) echo "$file: includes \"$included\"; $folder may include from: $may" ;;
                        esac
                        [ -f "$included" ] || echo "$file: \"$included\" is not a path from the top"
                    done
            done
    )
}

# The test itself must be able to fail: one planted file for each thing it should find.
plant=$(mktemp -d)
trap 'rm -rf "$plant"' EXIT
expect_found() {
    mkdir -p "$plant/$(dirname "$1")" "$plant/base" "$plant/sst" "$plant/lsm"
    touch "$plant/base/slice.h" "$plant/sst/table.h" "$plant/lsm/firn.h" "$plant/lsm/db.h"
    printf '%s\n' "$2" >"$plant/$1"
    if [ -z "$(check "$plant")" ]; then
        echo "FAILED: '$2' in $1 is not found"
        exit 1
    fi
    rm -r "${plant:?}"/*
}
expect_found base/slice.c '#include "sst/table.h"'
expect_found memtable/art.c '#  include "sst/table.h"'
expect_found sst/table.c '	#include "lsm/db.h"'
expect_found tools/cheat.c '#include "lsm/db.h"'
expect_found sst/near.c '#include "table.h"'
expect_found util/new.c '#include "base/slice.h"'
expect_found stray.c '#include "base/slice.h"'

found=$(check "$source_folder")
if [ -n "$found" ]; then
    printf '%s\n' "$found"
    exit 1
fi
echo "all includes follow the arrows"
