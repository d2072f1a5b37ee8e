#!/usr/bin/env bash
# A host of the library sees firn_* and nothing else: neither in libfirn.so nor in libfirn.a, and its
# malloc stays its own. A plain C program loads libfirn.so with dlopen and uses it.
set -u
build=${FIRN_BUILD:?the build folder}
source_folder=${FIRN_SOURCE:?the folder of the sources}
nm=${NM:-nm}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# foreign NM-OPTION... FILE: the defined global symbols that are not firn_* (nor its version).
foreign() {
    "$nm" --defined-only --extern-only "$@" |
        awk 'NF >= 3 && $3 !~ /^firn_/ && $3 != "FIRN_1" { print $3 }'
}

# The check itself must be able to fail.
printf 'int stray(void); int stray(void) { return 1; }\n' >"$folder/stray.c"
"${CC:-cc}" -c "$folder/stray.c" -o "$folder/stray.o" || exit 1
[ "$(foreign "$folder/stray.o")" = stray ] || { echo "FAILED: a stray symbol is not seen"; exit 1; }

for library in "$build/libfirn.so" "$build/libfirn.a"; do
    dynamic=
    [ "${library##*.}" = so ] && dynamic=-D
    found=$(foreign $dynamic "$library")
    if [ -n "$found" ]; then
        echo "FAILED: ${library##*/} defines $(echo "$found" | head -20 | tr '\n' ' ')"
        exit 1
    fi
    # And all of what the header declares is there.
    sed -n 's/^FIRN_API .*[ *]\(firn_[a-z0-9_]*\)(.*/\1/p' "$source_folder"/lsm/firn.h \
        "$source_folder"/lsm/firn_lab.h | sort >"$folder/declared"
    [ "$(wc -l <"$folder/declared")" -gt 50 ] || { echo "FAILED: the header is not read"; exit 1; }
    "$nm" --defined-only --extern-only $dynamic "$library" |
        awk '$3 ~ /^firn_/ { sub(/@.*/, "", $3); print $3 }' | sort >"$folder/defined"
    if ! diff "$folder/declared" "$folder/defined" >"$folder/difference"; then
        echo "FAILED: ${library##*/} and lsm/firn.h differ (< declared, > defined):"
        cat "$folder/difference"
        exit 1
    fi
done

# It needs the C library and zstd only: no allocator, above all.
readelf -d "$build/libfirn.so" >"$folder/dynamic" || exit 1
if grep NEEDED "$folder/dynamic" | grep -vE 'lib(c|m|zstd)\.so|ld-linux'; then
    echo "FAILED: libfirn.so needs more than the C library and zstd"
    exit 1
fi
grep -q 'SONAME.*\[libfirn\.so\.[0-9]*\]' "$folder/dynamic" ||
    { echo "FAILED: libfirn.so has no versioned soname"; exit 1; }

"$build/tests/host_dlopen" "$build/libfirn.so" || exit 1
"$build/tests/host_static" || exit 1
echo "both libraries show firn_* and nothing else, and hosts keep their malloc"
