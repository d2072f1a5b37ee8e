# tools/plant.sh: for tools/mutants and tools/mutate, which source it: a copy of the sources in which
# bugs are planted, and its builds. REQUIRES: $source is the folder of the sources and the current
# one, $work a folder to work in.
# shellcheck shell=bash
# shellcheck disable=SC2154
export FIRN_TEST_SCALE=${FIRN_TEST_SCALE:-0.005}
export TSAN_OPTIONS="die_after_fork=0 ${TSAN_OPTIONS:-}"
seconds_max=120 # of one test; a bug may make it wait for ever

# Brings the copy of the sources up to date; what did not change keeps its time and is not rebuilt.
copy_sources() {
    mkdir -p "$work/tree"
    find . -path './build*' -prune -o -name .git -prune -o -type f -print | while read -r file; do
        cmp -s "$file" "$work/tree/$file" || cp --parents "$file" "$work/tree"
    done
    (cd "$work/tree" && find . -type f) | while read -r file; do
        [ -e "$file" ] || rm "$work/tree/$file"
    done
}

configure() { # configure KIND
    local options=()
    [ -f "$work/$1/build.ninja" ] && return
    case $1 in
    asan) options=(-DFIRN_ASAN=ON -DFIRN_INVARIANTS=ON -DCMAKE_C_FLAGS_DEBUG="-O1 -g") ;;
    tsan) options=(-DFIRN_TSAN=ON -DCMAKE_C_FLAGS_DEBUG="-O1 -g") ;;
    invariants) options=(-DFIRN_INVARIANTS=ON -DCMAKE_C_FLAGS_DEBUG="-O1 -g") ;;
    esac
    cmake -G Ninja -S "$work/tree" -B "$work/$1" -DCMAKE_BUILD_TYPE=Debug -DFIRN_BENCH=OFF \
        "${options[@]}" >"$work/log" 2>&1
}

# build KIND TEST: its program is up to date afterwards.
build() {
    configure "$1" && ninja -C "$work/$1" -j "$(nproc)" "${2/\//_}" >"$work/log" 2>&1
}

# In an empty folder: what a run with a bug leaves behind must not fail the next one.
run() { # run KIND TEST
    rm -rf "$work/scratch"
    mkdir "$work/scratch"
    (cd "$work/scratch" && timeout "$seconds_max" "$work/$1/tests/${2/\//_}" >"$work/log" 2>&1)
}
