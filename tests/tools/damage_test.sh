#!/usr/bin/env bash
# One flipped bit anywhere in a closed database: `verify` finds it and names the file, and no command
# prints anything that was not written, or leaves something out in silence. Not counted are files that
# nothing is read from (LOCK, a manifest that CURRENT does not name) and the mark that ends a log or
# manifest: without it they look as if the power had been cut, and nothing is lost.
. "$(dirname "$0")/lib.sh"

# Tables, a manifest, and a log with entries that are in no table yet.
seq -f 'key%06g' 1 3000 | awk '{ print $0 "\tvalue of " $0 }' >lines
head -2000 lines | "$firn" load db && "$firn" compact db && tail -1000 lines | "$firn" load db
"$firn" scan db >intact
same_files "before any damage" lines intact
exits 0 "$firn" verify db
cp -r db whole

# flip FILE OFFSET: changes one bit.
flip() {
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\x$(printf %02x $((byte ^ 16)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# counts FILE: nothing may be wrong with it.
counts() {
    case $1 in
    LOCK) false ;;
    MANIFEST-*) grep -q "$1" whole/CURRENT ;;
    *) true ;;
    esac
}

mark_bytes=40 # at most, of the last mark
RANDOM=${FIRN_TEST_SEED:-20261}
echo "seed ${FIRN_TEST_SEED:-20261}"
for path in whole/*; do
    file=${path##*/}
    size=$(stat -c %s "$path")
    counts "$file" || continue
    case $file in
    *.log | MANIFEST-*) size=$((size - mark_bytes)) ;;
    esac
    for i in $(seq 1 12); do
        at=$(((RANDOM * 32768 + RANDOM) % size))
        flip "db/$file" $at
        code=0
        "$firn" verify db >out 2>err || code=$?
        [ $code -eq 1 ] || fail "$file: a flipped bit at $at of $size: verify exits with $code"
        grep -q "$file" err || fail "$file: a flipped bit at $at: verify says: $(head -c 300 err)"
        code=0
        "$firn" scan db >found 2>err || code=$?
        comm -13 intact found >strange
        [ ! -s strange ] || fail "$file: a flipped bit at $at: scan prints $(head -c 100 strange)"
        [ $code -ne 0 ] || cmp -s intact found ||
            fail "$file: a flipped bit at $at: scan leaves out keys and says nothing"
        cp "$path" "db/$file"
    done
done
exits 0 "$firn" verify db

# A file that is gone. Of a log that is gone nothing tells: it may never have had its name durably.
for path in whole/*; do
    file=${path##*/}
    counts "$file" && [ "${file##*.}" != log ] || continue
    rm "db/$file"
    code=0
    "$firn" scan db >found 2>err || code=$?
    [ $code -eq 1 ] || cmp -s intact found || fail "$file is gone and scan says nothing"
    cp "$path" "db/$file"
done
exits 0 "$firn" verify db
finish
