# bench/regress.awk: compares profiles of callgrind_annotate. Variables: work, the folder they are
# in; loops, words NAME:WORKLOAD:FUNCTION; count, of operations; threshold, in percent.

# instructions[which, workload, kind, function] from a file of one profile.
function read_profile(which, workload, kind,    file, line, number, name) {
    file = work "/" which "-" workload "." kind
    while ((getline line <file) > 0) {
        if (line !~ /^ *[0-9][0-9,]* +\(/) {
            continue
        }
        number = line
        sub(/^ */, "", number)
        sub(/ .*/, "", number)
        gsub(/,/, "", number)
        name = line
        sub(/^[^)]*\) */, "", name)
        if (name ~ /histogram/ || name !~ /\/(base|bloom|memtable|sst|compaction|lsm)\//) {
            continue # not firn's: the driver, the C library, zstd
        }
        sub(/ \[.*$/, "", name)
        sub(/^.*:/, "", name) # what is inlined from headers counts where it is
        sub(/'[0-9]+$/, "", name) # a level of recursion
        instructions[which, workload, kind, name] += number
        if (kind == "self") {
            functions[workload, name] = 1
        }
    }
    close(file)
}

BEGIN {
    n = split(loops, list, /[ \n]+/)
    for (i = 1; i <= n; i++) {
        split(list[i], part, ":")
        if (!(part[2] in seen)) {
            seen[part[2]] = 1
            for (k = 1; k <= 2; k++) {
                which = k == 1 ? "before" : "after"
                read_profile(which, part[2], "self")
                read_profile(which, part[2], "whole")
            }
        }
    }
    printf "\n%-14s %-14s %-18s %12s %12s\n", "inner loop", "workload", "function", "before", "after"
    for (i = 1; i <= n; i++) {
        split(list[i], part, ":")
        before = instructions["before", part[2], "whole", part[3]] / count
        after = instructions["after", part[2], "whole", part[3]] / count
        change = before > 0 ? (after - before) / before * 100 : 0
        printf "%-14s %-14s %-18s %12.1f %12.1f %+8.1f %%%s\n", part[1], part[2], part[3], before, \
            after, change, (change > threshold ? "  slower" : "")
        slower = slower || change > threshold
    }
    print "\nFunctions that got slower, instructions of their own per operation:"
    for (key in functions) {
        split(key, part, SUBSEP)
        before = instructions["before", part[1], "self", part[2]] / count
        after = instructions["after", part[1], "self", part[2]] / count
        if (after - before > 1 && after > before * (1 + threshold / 100)) {
            printf "%-14s %-40s %12.1f %12.1f\n", part[1], part[2], before, after | "sort -k1,1 -k4,4nr"
            any = 1
        }
    }
    close("sort -k1,1 -k4,4nr")
    if (!any) {
        print "none"
    }
    exit slower ? 1 : 0
}
