# bench/tables.awk: the facts of bench_tables as Markdown.
BEGIN {
    FS = "\t"
    forms = split("firn fst-map fst-set blocks-4k blocks-16k marisa", form, " ")
    title["firn"] = "**firn**"
    title["fst-map"] = "`fst`, keys to ordinals"
    title["fst-set"] = "`fst`, set"
    title["blocks-4k"] = "front-coded 4 KiB, zstd -3 + dictionary"
    title["blocks-16k"] = "front-coded 16 KiB, zstd -3"
    title["marisa"] = "marisa, smallest (no order)"
    title["firn-cached"] = "firn, page cache"
    title["firn-fast"] = "firn, as flushed"
}
{
    if (!($1 in known)) {
        known[$1] = 1
        set[++sets] = $1
    }
    value[$1, $2, $3] = $4
    if ($3 ~ /^bytes-/ && !($3 in kind_known)) {
        kind_known[$3] = 1
        kind[++kinds] = $3
    }
    if ($3 == "keys") {
        whole = 1
    }
}

function show(s, f, what, digits) {
    return (s, f, what) in value && value[s, f, what] + 0 > 0 ? sprintf("%." digits "f", value[s, f, what]) : "-"
}

# The smallest of those in order that are there.
function best(s, what, i, least, now) {
    least = 0
    for (i = 2; i <= 5; i++) {
        now = value[s, form[i], what] + 0
        if (now > 0 && (least == 0 || now < least)) {
            least = now
        }
    }
    return least
}

function ratio(s, f, what) {
    return best(s, what) > 0 ? sprintf("%.2f", value[s, f, what] / best(s, what)) : "-"
}

function thousands(n, text) {
    text = sprintf("%d", n)
    while (match(text, /[0-9][0-9][0-9][0-9]/) && match(text, /^[0-9]+/) && RLENGTH > 3) {
        text = substr(text, 1, RLENGTH - 3) "," substr(text, RLENGTH - 2)
    }
    return text
}

function head(line, n, i) {
    print line
    printf "|---|"
    for (i = 2; i <= n; i++) {
        printf "---|"
    }
    print ""
}

function print_bytes(i, j) {
    print "Bytes per key, everything counted but filters:\n"
    printf "| keys | count | raw "
    for (j = 1; j <= forms; j++) {
        printf "| %s ", title[form[j]]
    }
    head("| firn / best in order |", forms + 4)
    for (i = 1; i <= sets; i++) {
        if (!((set[i], "-", "keys") in value)) {
            continue
        }
        printf "| %s | %s | %.1f ", set[i], thousands(value[set[i], "-", "keys"]), value[set[i], "-", "raw"]
        for (j = 1; j <= forms; j++) {
            printf(j == 1 ? "| **%s** " : "| %s ", show(set[i], form[j], "bytes", 2))
        }
        print "| " ratio(set[i], "firn", "bytes") " |"
    }
}

function print_parts(i, j, n, part, names) {
    n = split("keys headers padding phrases shared index footer", names, " ")
    print "\nWhere firn's bytes go, per key:\n"
    printf "| keys "
    for (j = 1; j <= n; j++) {
        printf "| %s ", names[j]
    }
    head("| pages that are automata, % |", n + 2)
    for (i = 1; i <= sets; i++) {
        if (!((set[i], "-", "keys") in value)) {
            continue
        }
        printf "| %s ", set[i]
        for (j = 1; j <= n; j++) {
            printf "| %.4f ", value[set[i], "firn", "part-" names[j]]
        }
        printf "| %.1f |\n", 100 * value[set[i], "firn", "automata"]
    }
}

function print_times(i) {
    print "\nTime of one thread: a lookup of a key that is there, in random order; a walk over all keys; building:\n"
    head("| keys | find, ns: firn | firn, page cache | `fst` map | marisa | firn / `fst` | walk, M keys/s: firn | `fst` map | marisa | blocks 4 KiB | firn / `fst` | build, M keys/s: firn | `fst` map | marisa | blocks 4 KiB |", 15)
    for (i = 1; i <= sets; i++) {
        if (!((set[i], "-", "keys") in value)) {
            continue
        }
        s = set[i]
        printf "| %s | %s | %s | %s | %s ", s, show(s, "firn", "find_ns", 0), show(s, "firn-cached", "find_ns", 0),
            show(s, "fst-map", "find_ns", 0), show(s, "marisa", "find_ns", 0)
        printf "| %s ", over(s, "firn", "fst-map", "find_ns")
        printf "| %s | %s | %s | %s ", rate(s, "firn", "walk_ns"), rate(s, "fst-map", "walk_ns"),
            rate(s, "marisa", "walk_ns"), rate(s, "blocks-4k", "walk_ns")
        printf "| %s ", over(s, "fst-map", "firn", "walk_ns")
        printf "| %s | %s | %s | %s |\n", rate(s, "firn", "build_ns"), rate(s, "fst-map", "build_ns"),
            rate(s, "marisa", "build_ns"), rate(s, "blocks-4k", "build_ns")
    }
}

function rate(s, f, what) {
    return value[s, f, what] + 0 > 0 ? sprintf("%.2f", 1000 / value[s, f, what]) : "-"
}

function over(s, a, b, what) {
    return value[s, a, what] + 0 > 0 && value[s, b, what] + 0 > 0 ? sprintf("%.2f", value[s, a, what] / value[s, b, what]) : "-"
}

function print_small(i, j, k, parts, s) {
    print "\nFew keys: bytes per key, means of three draws. A sample is keys drawn at random from the set, a piece is neighbours, all is a set of that size:\n"
    printf "| keys | drawn "
    for (j = 1; j <= forms; j++) {
        printf "| %s %s", title[form[j]], j == 1 ? "| " title["firn-fast"] " " : ""
    }
    head("| firn / best in order | as flushed / blocks 4 KiB |", forms + 5)
    for (i = 1; i <= sets; i++) {
        s = set[i]
        for (k = 1; k <= kinds; k++) {
            if (!((s, "firn", kind[k]) in value)) {
                continue
            }
            split(kind[k], parts, "-")
            printf "| %s | %s of %s ", s, parts[2], thousands(parts[3])
            for (j = 1; j <= forms; j++) {
                printf(j == 1 ? "| **%s** " : "| %s ", show(s, form[j], kind[k], 2))
                if (j == 1) {
                    printf "| %s ", show(s, "firn-fast", kind[k], 2)
                }
            }
            print "| " ratio(s, "firn", kind[k]) " | " over(s, "firn-fast", "blocks-4k", kind[k]) " |"
        }
    }
}

END {
    if (whole) {
        print_bytes()
        print_parts()
        print_times()
    }
    if (kinds > 0) {
        print_small()
    }
}
