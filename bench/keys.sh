#!/usr/bin/env bash
# bench/keys.sh BUILD [NAME...]: makes key sets as BUILD/keys/NAME.txt, one key a line, sorted by
# LC_ALL=C without duplicates; all of them without NAME. What is there already stays.
#
#   paths    every file of Debian 12's packages for amd64 and all (apt-file's Contents, first column)
#   words    /usr/share/dict/american-english-insane (wamerican-insane)
#   others   see keygen.c; they are the same everywhere
set -eu
export LC_ALL=C
build=$1
shift
keys=$build/keys
mkdir -p "$keys"
[ $# -gt 0 ] || set -- paths words $("$build/bench/bench_keygen")

# apt has the Contents once apt-file is installed and has been updated.
paths() {
    local arch here
    for arch in amd64 all; do
        here=(/var/lib/apt/lists/*_dists_bookworm_main_Contents-$arch*)
        if [ ! -e "${here[0]}" ]; then
            apt-file update >&2
            here=(/var/lib/apt/lists/*_dists_bookworm_main_Contents-$arch*)
        fi
        /usr/lib/apt/apt-helper cat-file "${here[0]}"
    done | sed -E 's/[[:space:]]+[^[:space:]]+$//' | sort -u
}

for name in "$@"; do
    file=$keys/$name.txt
    [ ! -s "$file" ] || continue
    echo "Making $file" >&2
    case $name in
    paths) paths >"$file.part" ;;
    words) sort -u /usr/share/dict/american-english-insane >"$file.part" ;;
    *) "$build/bench/bench_keygen" "$name" | sort -u >"$file.part" ;;
    esac
    mv "$file.part" "$file"
done
