#!/usr/bin/env bash
# What the documents say of the tree is so: links and file names lead somewhere, the lock order is that
# of base/sync.h, and the manual page and completion know every subcommand and option.
set -u
cd "${FIRN_SOURCE:?the folder of the sources}" || exit 1
firn=${FIRN:?the path of the command firn}
failures=0
fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

for document in README.md docs/*.md; do
    for link in $(sed -n 's/[^`]*](\([^)#]*\))/\n\1\n/gp' "$document" | grep -E '^[a-z.][A-Za-z0-9_./-]*$'); do
        [ -e "$(dirname "$document")/$link" ] || fail "$document links to $link, which is not there"
    done
    for name in $(grep -o '`[a-z]*/[a-z0-9_/.]*`' "$document" | tr -d '`'); do
        [ -e "$name" ] || [ "${name%%/*}" = build ] || fail "$document names $name, which is not there"
    done
done

ranks=$(sed -n '/^enum mutex_rank/,/^}/p' base/sync.h | grep -o 'RANK_[A-Z_]*')
documented=$(sed -n '/^## Lock order/,/^## Inv/p' docs/design.md | grep -o '`RANK_[A-Z_]*' | tr -d '`')
[ -n "$ranks" ] && [ "$ranks" = "$documented" ] ||
    fail "docs/design.md lists the locks as $(echo $documented), base/sync.h as $(echo $ranks)"

for command in $("$firn" help | awk '/^  [a-z]/ && NF > 2 { print $1 }' | grep -vE '^(find|firn)$'); do
    grep -qE "^\.BR $command( |$)" tools/firn.1 || fail "the manual page does not have $command"
    grep -q "\\b$command\\b" tools/firn.bash || fail "the completion does not have $command"
    for option in $("$firn" help "$command" 2>/dev/null | grep -oE '^  --[a-z-]+'); do
        grep -q -- "${option//-/\\\\-}" tools/firn.1 || fail "the manual page does not have $option"
        grep -q -- "$option" tools/firn.bash || fail "the completion does not have $option"
    done
done
[ "$failures" -eq 0 ] && echo "the documents agree with the tree"
exit $((failures > 0))
