# Completion of the command `firn` for bash.
_firn() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    local command=${COMP_WORDS[1]} forms="--raw --escaped --hex" range="--from --to --prefix"
    local options="--option --options --memory-budget --record --plugin --help"
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "load put get delete scan count rank nth sample split stats build ingest compact verify repair checkpoint backup restore dump destroy sim tune trace help \
            --version" -- "$word"))
        return
    fi
    case $previous in
    --option)
        compopt -o nospace
        COMPREPLY=($(compgen -S = -W "$(firn help options 2>/dev/null |
            awk '/^  / { print $1 }')" -- "$word"))
        return ;;
    --format)
        COMPREPLY=($(compgen -W "text csv json html" -- "$word"))
        return ;;
    --order | --accesses)
        COMPREPLY=($(compgen -W "uniform zipf sequential" -- "$word"))
        return ;;
    --policy)
        COMPREPLY=($(compgen -W "none leveled tiered lazy-leveled fluid" -- "$word"))
        return ;;
    --from | --to | --prefix | --limit | --memory-budget | --ack-fd | --page | --seed | --keep | --backup)
        return ;;
    help)
        COMPREPLY=($(compgen -W "load put get delete scan count rank nth sample split stats build ingest compact verify repair checkpoint backup restore dump destroy sim tune trace \
            options" -- "$word"))
        return ;;
    esac
    case $command in
    load) options+=" $forms --sync --sorted --bulk --ack-fd --null --values-hex" ;;
    build) options+=" $forms --null --values-hex" ;;
    ingest) options+=" --copy --move --verify" ;;
    checkpoint) options+=" --copy --verify" ;;
    backup) options+=" --keep --list" ;;
    restore) options+=" --backup" ;;
    put | get | delete) options+=" $forms" ;;
    scan) options+=" $forms $range --reverse --limit --keys-only --values-hex --null" ;;
    count | nth) options+=" $forms $range --estimate" ;;
    rank) options+=" $forms --estimate" ;;
    sample) options+=" $forms $range --seed --null" ;;
    split) options+=" $forms $range --estimate --null" ;;
    stats) options+=" --json --levels --warm" ;;
    dump) options+=" --page --keys --json" ;;
    tune) options+=" --reads --empty-reads --writes --scans --entries --entry-bytes --scan-entries \
        --memory --show --simulate --output --format" ;;
    sim) options+=" --policy --ratios --entries --updates --deletes --reads --empty-reads --scans \
        --scan-entries --order --accesses --theta --entry-bytes --write-rate --disk-rate --simulate \
        --samples --seed --format --engine --trace" ;;
    trace) options+=" --json --operations" ;;
    esac
    case $word in
    -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
    *) compopt -o filenames; COMPREPLY=($(compgen -f -- "$word")) ;;
    esac
}
complete -F _firn firn
