#!/usr/bin/env bash
# The library as its users embed it, from an installation in a folder of its own: every program of
# docs/examples, built with the flags that pkg-config tells and with find_package() of CMake, each with
# libfirn.so and with libfirn.a; and from Python, which loads it. What a machine lacks is said, and the
# test then counts as skipped, though all else was tried.
. "$(dirname "$0")/../tools/lib.sh"
build=${FIRN_BUILD:?the build folder}
examples=${FIRN_SOURCE:?the folder of the sources}/docs/examples
cc=${CC:-cc}
cxx=${CXX:-c++}
lacking=()

cmake --install "$build" --prefix "$folder/usr" >log 2>&1 || fail "install: $(tail -3 log)"
libraries=$(dirname "$(find "$folder/usr" -name libfirn.so)")
export PKG_CONFIG_PATH=$libraries/pkgconfig LD_LIBRARY_PATH=$libraries

# flags shared|static: firn.pc is asked for paths below where the installation was put.
flags() {
    local wanted=--libs
    [ "$1" = static ] && wanted="--static --libs"
    # shellcheck disable=SC2086
    pkg-config --define-variable=prefix="$folder/usr" --cflags $wanted firn |
        if [ "$1" = static ]; then sed 's/-lfirn/-l:libfirn.a/'; else cat; fi
}

# behaves NAME PROGRAM: it does what its first comment says.
behaves() {
    local expected
    case $1 in
    fruit) expected=$'an apple is red\napple\nplum' ;;
    accounts) expected=$'before: alice 100, bob 0\nnow: alice 70, bob 30' ;;
    policy) expected=$'simulated: 6.5 entries written for each\nin a database: few runs' ;;
    words) expected=$'that 1\nto 2' ;;
    *)
        fail "docs/examples/$1 is new: say here what it prints"
        return ;;
    esac
    rm -rf fruit.firn accounts.firn policy.firn
    same "$2" "$expected" "$(echo 'to be or not to be that' | "$2" t 2>&1)"
    if ldd "$2" | grep -q libfirn; then echo "$1 with libfirn.so"; else echo "$1 with libfirn.a"; fi
}

# compile COMPILER STANDARD SOURCE: with pkg-config's flags.
compile() {
    local name
    name=$(basename "${3%.*}")
    if ! grep -q '^int main' "$3"; then return; fi
    for library in shared static; do
        # shellcheck disable=SC2046
        if "$1" -std="$2" -Wall -Wextra -Werror -pedantic "$3" $(flags $library) \
            -o "$name-$library" 2>log; then
            behaves "$name" "./$name-$library"
        else
            fail "$name does not build ($library): $(head -5 log)"
        fi
    done
}

# plugin NAME POLICY: the installed command simulates the policy, and has it in a database.
plugin() {
    # shellcheck disable=SC2046
    "$cc" -std=c99 -Wall -Wextra -Werror -pedantic -shared -fPIC "$examples/$1.c" -o "$1.so" \
        $(pkg-config --define-variable=prefix="$folder/usr" --cflags firn) 2>log ||
        fail "$1 is no plugin: $(head -5 log)"
    exits 0 "$folder/usr/bin/firn" sim --plugin "$1.so" --policy "$2:size_ratio=4" --ratios 3 \
        --entries 50000 --updates 50000 --engine engine --option in_memory=true \
        --option memtable_entries=500 --option table_entries=2000
    awk -v p="$2:size_ratio=4" 'index($0, p) == 1 && NF == 10 { found = $2 > 1.5 && $3 > 1.5 && $5 < 4 }
        /entries merged for each put/ { alike = $6 > 0 && $7 / $6 > 0.8 && $7 / $6 < 1.25 }
        END { exit !(found && alike) }' out || fail "$2 of a plugin: $(cat out)"
    grep -q "^$2.* 3  .* - .* -$" out || fail "nobody knows formulas for $2: $(tail -3 out)"
    printf 'a\t1\nb\t2\n' >lines
    exits 0 "$folder/usr/bin/firn" load "plugin-$1.firn" lines --plugin "$1.so" --option compaction_policy="$2"
    same "entries by $1" 2 "$("$folder/usr/bin/firn" count "plugin-$1.firn")"
    echo "$1 as a plugin"
}

for source in "$examples"/*.c; do
    compile "$cc" c99 "$source"
done
plugin policy two-levels
plugin hybrid hybrid
if command -v "$cxx" >/dev/null; then
    for source in "$examples"/*.cpp; do
        compile "$cxx" c++11 "$source"
    done
    # The same by find_package(firn).
    if cmake -S "$examples" -B found -DCMAKE_PREFIX_PATH="$folder/usr" -DCMAKE_C_COMPILER="$cc" \
        -DCMAKE_CXX_COMPILER="$cxx" >log 2>&1 && cmake --build found >>log 2>&1; then
        for source in "$examples"/*.c "$examples"/*.cpp; do
            name=$(basename "${source%.*}")
            ! grep -q '^int main' "$source" || behaves "$name" "found/$name"
        done
    else
        fail "docs/examples do not build: $(tail -5 log)"
    fi
else
    lacking+=("a C++ compiler")
fi

if command -v python3 >/dev/null; then
    # A sanitizer's runtime must come first in a process; Python knows nothing of it.
    if ldd "$libraries/libfirn.so" | grep -qE 'lib(a|t)san' ||
        nm -D "$libraries/libfirn.so" 2>/dev/null | grep -qE ' U __(a|t)san_init'; then
        lacking+=("a library without sanitizers, for Python")
    else
        same "fruit.py" $'an apple is red\nthere is no pear' \
            "$(python3 "$examples/fruit.py" "$libraries/libfirn.so" 2>&1)"
        echo "fruit.py with libfirn.so"
    fi
else
    lacking+=("python3")
fi

finish
if [ "${#lacking[@]}" -gt 0 ]; then
    printf 'NOT TRIED, for want of %s\n' "${lacking[@]}"
    exit 77
fi
