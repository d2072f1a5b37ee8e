#!/usr/bin/env bash
# What `cmake --install` leaves behind is enough for others: the README's example and those of
# docs/examples build against it in C and C++, through pkg-config and find_package, with either
# library, and do what they say.
set -u
build=${FIRN_BUILD:?the build folder}
source_folder=${FIRN_SOURCE:?the folder of the sources}
cc=${CC:-cc}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1

fail() {
    echo "FAILED: $*"
    exit 1
}

# The libraries are built already; only what is there gets copied.
cmake --install "$build" --prefix "$folder/usr" >log 2>&1 || { cat log; fail "install"; }
libraries=$(dirname "$(find usr -name libfirn.so)")
for file in bin/firn include/lsm/firn.h include/lsm/firn_lab.h share/man/man1/firn.1 \
    share/bash-completion/completions/firn; do
    [ -f "usr/$file" ] || fail "$file is not installed"
done
[ -f "$libraries/libfirn.a" ] || fail "libfirn.a is not installed"
[ "$(usr/bin/firn --version)" = "firn $(sed -n 's/^Version: //p' "$libraries/pkgconfig/firn.pc")" ] ||
    fail "the command and firn.pc disagree on the version"

# An installation may be moved: firn.pc is asked for paths below where it was put.
export PKG_CONFIG_PATH=$folder/$libraries/pkgconfig LD_LIBRARY_PATH=$folder/$libraries
shared() {
    pkg-config --define-variable=prefix="$folder/usr" --cflags --libs firn
}
static() {
    echo "$(pkg-config --define-variable=prefix="$folder/usr" --cflags firn)" \
        "$folder/$libraries/libfirn.a -lzstd -pthread -lm"
}

awk '/^```c$/ { inside = 1; next } /^```/ { inside = 0 } inside' "$source_folder/README.md" >readme.c
[ -s readme.c ] || fail "the README has no example"
# shellcheck disable=SC2046
"$cc" -std=c99 -Wall -Wextra -Werror -pedantic readme.c $(shared) -o readme ||
    fail "the README's example does not compile"
found=$(./readme) || fail "the README's example fails"
[ "$found" = "an apple is red
apple
plum" ] || fail "the README's example says: $found"
rm -rf fruit.firn
# shellcheck disable=SC2046
"$cc" -std=c11 -Wall -Wextra -Werror readme.c $(static) -o readme_static ||
    fail "the README's example does not link libfirn.a"
[ "$(./readme_static)" = "$found" ] || fail "the README's example differs with libfirn.a"

# The README and docs/examples show the same program.
sed '/^\/\* docs/d' "$source_folder/docs/examples/fruit.c" | diff -B - readme.c ||
    fail "README.md and docs/examples/fruit.c differ"

if ! command -v c++ >/dev/null; then
    echo "no C++ compiler: the C++ example is not tried"
    exit 0
fi
cmake -S "$source_folder/docs/examples" -B examples -DCMAKE_PREFIX_PATH="$folder/usr" \
    -DCMAKE_C_FLAGS="-Wall -Wextra -Werror" -DCMAKE_CXX_FLAGS="-Wall -Wextra -Werror" >log 2>&1 &&
    cmake --build examples >>log 2>&1 || { cat log; fail "docs/examples do not build"; }
[ "$(examples/accounts)" = "before: alice 100, bob 0
now: alice 70, bob 30" ] || fail "accounts says: $(examples/accounts)"
[ "$(echo 'to be or not to be that' | examples/words t)" = "that 1
to 2" ] || fail "words says something else"
echo "installed: command, header, libraries; examples in C and C++ do what they say"
