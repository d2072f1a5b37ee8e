# What the scripts in this folder share. $FIRN is the command under test. Each script works in a new
# folder of its own, which is removed when it ends, and fails at its end if any check failed.
set -u
export LC_ALL=C # the order of sort and comm, and the point of awk's numbers
firn=${FIRN:?the path of the command firn}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# same WHAT EXPECTED FOUND
same() {
    if [ "$2" != "$3" ]; then
        fail "$1: expected '$2', found '$3'"
    fi
}

# same_files WHAT EXPECTED FOUND
same_files() {
    cmp "$2" "$3" || fail "$1: the files differ"
}

# exits CODE COMMAND...: runs it with its output in files out and err.
exits() {
    local expected=$1 code=0
    shift
    "$@" >out 2>err || code=$?
    if [ "$code" -ne "$expected" ]; then
        fail "'${*:1:8}' exited with $code instead of $expected: $(head -c 500 err)"
    fi
}

# complains CODE WORDS COMMAND...: one sentence on standard error, beginning with firn: and with WORDS
# in it, and nothing on standard output. A wrong command line also gets a hint where to read on.
complains() {
    local code=$1 words=$2 lines=1
    shift 2
    exits "$code" "$@"
    [ "$code" -eq 2 ] && lines=2
    same "lines of complaint of '${*:1:8}' ($(cat err))" "$lines" "$(wc -l <err)"
    same "output of '${*:1:8}'" "" "$(head -c 200 out)"
    grep -q '^firn: ' err || fail "'${*:1:8}' does not begin with firn: but with $(head -c 200 err)"
    grep -qi -- "$words" err || fail "'${*:1:8}' does not say '$words' but: $(head -c 500 err)"
}

finish() {
    if [ "$failures" -ne 0 ]; then
        echo "$failures checks failed"
        exit 1
    fi
    echo "all checks hold"
}
