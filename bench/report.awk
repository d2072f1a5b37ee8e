# bench/report.awk: medians of results.tsv as Markdown tables. Files: about, results.tsv.
# Variables: against, an engine (or ENGINE/SETTING) to which ratios are given; data, a folder for
# tables to be plotted; base_name, what the plots' names begin with.

function fields(    i, at) {
    delete f
    for (i = 1; i <= NF; i++) {
        at = index($i, "=")
        f[substr($i, 1, at - 1)] = substr($i, at + 1)
    }
}

function remember(list, unused, name) { # in order of appearance
    if (!((list, name) in known)) {
        known[list, name] = 1
        names[list, ++counts[list]] = name
    }
}

function add(key, value) {
    samples[key, ++sample_count[key]] = value + 0
}

# The median; spread becomes half of (max - min), in percent of it.
function median(key,    n, i, j, v, s, m) {
    n = sample_count[key]
    if (n == 0) {
        return ""
    }
    for (i = 1; i <= n; i++) {
        v = samples[key, i]
        for (j = i - 1; j >= 1 && s[j] > v; j--) {
            s[j + 1] = s[j]
        }
        s[j + 1] = v
    }
    m = n % 2 ? s[(n + 1) / 2] : (s[n / 2] + s[n / 2 + 1]) / 2
    spread = m == 0 ? 0 : (s[n] - s[1]) / 2 / m * 100
    return m
}

FNR == 1 { file++ }

file == 1 {
    split($0, word, " ")
    if (word[1] == "engine") {
        setting_text[word[2]] = substr($0, length(word[2]) + 9)
        remember("described", 0, word[2])
    } else {
        about[word[1]] = substr($0, length(word[1]) + 2)
        remember("about", 0, word[1])
    }
    next
}

BEGIN { FS = "\t" }

{
    fields()
    engine = f["engine"] "/" f["setting"]
    w = f["workload"]
    if ("failed" in f) {
        failures[f["set"], engine] = failures[f["set"], engine] " " w
        remember("sets", 0, f["set"])
        remember("engines" f["set"], 0, engine)
        next
    }
    if ((f["set"], f["round"], engine) in phase && f["workload"] ~ /^fill/ && w !~ /\+/) {
        delete phase[f["set"], f["round"], engine]
    }
    if (w ~ /\+closed$/) {
        sub(/\+closed$/, "", w)
        closed_key = f["set"] SUBSEP engine SUBSEP w
        entries = f["count"]
        if (w ~ /^fill/ || w == "compact") {
            add(closed_key SUBSEP "disk", f["disk_bytes"] / entries)
        }
        if (w == "compact") {
            phase[f["set"], f["round"], engine] = " compacted"
        }
        next
    }
    if (f["state"] != "warm") {
        w = w ", " f["state"]
    } else if (w !~ /^(fill|compact|open)/) {
        w = w phase[f["set"], f["round"], engine]
    }
    if (w ~ /\+settle/ && w !~ /^(fill|overwrite|delete)/) {
        next
    }
    set = f["set"]
    remember("sets", 0, set)
    remember("everyone", 0, engine)
    remember("engines" set, 0, engine)
    remember("work" set, 0, w)
    set_text[set] = f["keys"] ", " f["count"] " keys of " sprintf("%.1f", f["key_bytes"] / f["count"]) \
        " bytes, values of " f["value_bytes"] " bytes, " f["threads"] " thread" (f["threads"] > 1 ? "s" : "")
    key = set SUBSEP engine SUBSEP w SUBSEP
    add(key "ops", f["ops_per_s"])
    add(key "thread", f["thread_us"])
    add(key "process", f["process_us"])
    if ("p50" in f && f["p50"] > 0) {
        add(key "p50", f["p50"]); add(key "p99", f["p99"]); add(key "p999", f["p999"])
        add(key "max", f["max"])
    }
    add(key "peak", f["rss_peak"]); add(key "rss", f["rss"]); add(key "open", f["open_ms"])
    if (f["user_bytes"] > 0) {
        add(key "wa", f["write_bytes"] / f["user_bytes"])
        add(key "wb", f["wchar"] / f["user_bytes"])
    } else if (f["ops"] > 1) {
        add(key "ra", f["rchar"] / f["ops"]); add(key "rd", f["read_bytes"] / f["ops"])
    }
}

function short(x) {
    if (x >= 1e6) return sprintf("%.2f M", x / 1e6)
    if (x >= 1e4) return sprintf("%.0f k", x / 1e3)
    if (x >= 1e3) return sprintf("%.1f k", x / 1e3)
    return sprintf("%.3g", x)
}

function micro(ns) {
    return ns >= 1e7 ? sprintf("%.0f ms", ns / 1e6) : ns >= 1e6 ? sprintf("%.1f ms", ns / 1e6) : \
        sprintf("%.3g", ns / 1e3)
}

function is_against(engine) {
    return engine == against || index(engine, against "/") == 1
}

function head(set, title,    i, line, rule) {
    line = "| " title " |"
    rule = "|---|"
    for (i = 1; i <= counts["engines" set]; i++) {
        line = line " " names["engines" set, i] " |"
        rule = rule "--:|"
    }
    return line "\n" rule
}

function base(set, w, what,    i) {
    for (i = 1; i <= counts["engines" set]; i++) {
        if (is_against(names["engines" set, i])) {
            return median(set SUBSEP names["engines" set, i] SUBSEP w SUBSEP what)
        }
    }
    return ""
}

# A table of one number for each workload; how: "rate" or "cost".
function table(set, title, what, how,    i, j, w, m, line, b, cell, any) {
    print head(set, title)
    for (j = 1; j <= counts["work" set]; j++) {
        w = names["work" set, j]
        b = base(set, w, what)
        if (w ~ /^(open|compact$)/) {
            continue
        }
        line = "| " w " |"
        any = 0
        for (i = 1; i <= counts["engines" set]; i++) {
            m = median(set SUBSEP names["engines" set, i] SUBSEP w SUBSEP what)
            cell = ""
            if (m != "") {
                cell = how == "rate" ? short(m) : sprintf("%.3g", m)
                any = any || m > 0
                if (spread >= 0.5) {
                    cell = cell sprintf(" ±%.0f %%", spread)
                }
                if (b > 0) {
                    cell = cell sprintf(" (%.2f)", m / b)
                }
            }
            line = line " " cell " |"
        }
        if (any) {
            print line
        }
    }
    print ""
}

function percentiles(set,    i, j, w, key, line, any) {
    print head(set, "p50 / p99 / p99.9 / max, µs")
    for (j = 1; j <= counts["work" set]; j++) {
        w = names["work" set, j]
        line = "| " w " |"
        any = 0
        for (i = 1; i <= counts["engines" set]; i++) {
            key = set SUBSEP names["engines" set, i] SUBSEP w SUBSEP
            if (median(key "p50") == "") {
                line = line " |"
                continue
            }
            any = 1
            line = line " " micro(median(key "p50")) " / " micro(median(key "p99")) " / " \
                micro(median(key "p999")) " / " micro(median(key "max")) " |"
        }
        if (any && w !~ /^read(seq|reverse)|^fillbatch|^multiget/) {
            print line
        }
    }
    print ""
}

# One row of a number that only some workloads have.
function row(set, title, w, what, format, scale,    i, m, line, any) {
    line = "| " title " |"
    for (i = 1; i <= counts["engines" set]; i++) {
        m = median(set SUBSEP names["engines" set, i] SUBSEP w SUBSEP what)
        any = any || m != ""
        line = line " " (m == "" ? "" : sprintf(format, m / scale)) " |"
    }
    if (any) {
        print line
    }
}

function other(set,    mib) {
    mib = 1048576
    print head(set, "space, I/O, memory")
    row(set, "bytes per entry on disk, after fillrandom", "fillrandom", "disk", "%.2f", 1)
    row(set, "bytes per entry on disk, compacted", "compact", "disk", "%.2f", 1)
    row(set, "write amplification, fillrandom", "fillrandom", "wa", "%.2f", 1)
    row(set, "write amplification, fillrandom+settle", "fillrandom+settle", "wa", "%.2f", 1)
    row(set, "bytes handed to write() per user byte, fillrandom+settle", "fillrandom+settle", "wb", "%.2f", 1)
    row(set, "write amplification, overwrite+settle", "overwrite compacted+settle", "wa", "%.2f", 1)
    row(set, "bytes handed to read() per get, warm", "readrandom compacted", "ra", "%.0f", 1)
    row(set, "bytes read from disk per get, cold", "readrandom, cold", "rd", "%.0f", 1)
    row(set, "peak memory of fillrandom, MiB", "fillrandom+settle", "peak", "%.1f", mib)
    row(set, "memory after it, MiB", "fillrandom+settle", "rss", "%.1f", mib)
    row(set, "memory of readrandom, MiB", "readrandom", "rss", "%.1f", mib)
    row(set, "memory of readrandom compacted, MiB", "readrandom compacted", "rss", "%.1f", mib)
    row(set, "peak memory of compacting, MiB", "compact", "peak", "%.1f", mib)
    row(set, "open, warm, ms", "open", "open", "%.2f", 1)
    row(set, "open, cold, ms", "open, cold", "open", "%.2f", 1)
    row(set, "open after a kill, ms", "open-killed", "open", "%.2f", 1)
    print ""
}

# What a reader wants to know first.
function in_short(set) {
    print head(set, set_text[set])
    row(set, "puts a second", "fillrandom", "ops", "%.0f k", 1000)
    row(set, "puts a second, until background work is done", "fillrandom+settle", "ops", "%.0f k", 1000)
    row(set, "gets a second, warm", "readrandom", "ops", "%.0f k", 1000)
    row(set, "gets a second, warm, compacted", "readrandom compacted", "ops", "%.0f k", 1000)
    row(set, "gets a second, all in the engine's cache", "readrandom, resident", "ops", "%.0f k", 1000)
    row(set, "gets of absent keys a second, likewise", "readmissing, resident", "ops", "%.0f k", 1000)
    row(set, "keys a second in a full scan, likewise", "readseq, resident", "ops", "%.2f M", 1000000)
    row(set, "gets of absent keys a second", "readmissing compacted", "ops", "%.0f k", 1000)
    row(set, "keys a second in a full scan, compacted", "readseq compacted", "ops", "%.2f M", 1000000)
    row(set, "CPU µs a put, background work included", "fillrandom+settle", "process", "%.2f", 1)
    row(set, "CPU µs a get, compacted", "readrandom compacted", "process", "%.2f", 1)
    row(set, "bytes an entry on disk, compacted", "compact", "disk", "%.1f", 1)
    row(set, "memory of reading, MiB", "readrandom compacted", "rss", "%.0f", 1048576)
    print ""
}

# Ratios of CPU a operation as a file for plot.gp.
function plot_cost(set,    i, j, w, file, b, m, line, any) {
    file = data "/" set ".dat"
    print "# CPU per operation as a multiple of that of " against ": " set_text[set] >file
    line = "workload"
    for (i = 1; i <= counts["engines" set]; i++) {
        line = line " " names["engines" set, i]
    }
    print line >file
    for (j = 1; j <= counts["work" set]; j++) {
        w = names["work" set, j]
        b = base(set, w, "process")
        if (b == "" || b + 0 == 0 || w ~ /^(open|compact$)/) {
            continue
        }
        line = w
        gsub(/ /, "_", line)
        for (i = 1; i <= counts["engines" set]; i++) {
            m = median(set SUBSEP names["engines" set, i] SUBSEP w SUBSEP "process")
            line = line " " (m == "" || m <= 0 ? "?" : m / b)
        }
        print line >file
    }
    close(file)
    print "![" set ": CPU per operation](" prefix "-" set ".svg)\n"
}

# One row for each set.
function plot_space(    i, s, file, m, line) {
    file = data "/space.dat"
    print "# bytes per entry on disk, compacted" >file
    line = "set"
    for (i = 1; i <= counts["everyone"]; i++) {
        line = line " " names["everyone", i]
    }
    print line >file
    for (s = 1; s <= counts["sets"]; s++) {
        line = names["sets", s]
        for (i = 1; i <= counts["everyone"]; i++) {
            m = median(names["sets", s] SUBSEP names["everyone", i] SUBSEP "compact" SUBSEP "disk")
            line = line " " (m == "" ? "?" : m)
        }
        print line >file
    }
    close(file)
    print "![bytes per entry on disk](" prefix "-space.svg)\n"
}

END {
    prefix = base_name
    print "## In short\n"
    for (s = 1; s <= counts["sets"]; s++) {
        in_short(names["sets", s])
    }
    plot_space()
    print "## All of it\n"
    print "### Machine and settings\n"
    for (i = 1; i <= counts["about"]; i++) {
        print "- " names["about", i] ": " (names["about", i] == "command" ? "`" about["command"] "`" : about[names["about", i]])
    }
    for (i = 1; i <= counts["described"]; i++) {
        print "- **" names["described", i] "**: " setting_text[names["described", i]]
    }
    for (s = 1; s <= counts["sets"]; s++) {
        set = names["sets", s]
        print "\n### " set ": " set_text[set] "\n"
        print "Operations a second; behind it half the spread, and the ratio to " against ".\n"
        table(set, "operations a second", "ops", "rate")
        print "CPU of the whole process, background work included, and the ratio to " against ".\n"
        table(set, "CPU µs per operation", "process", "cost")
        plot_cost(set)
        percentiles(set)
        other(set)
        for (i = 1; i <= counts["engines" set]; i++) {
            if ((set, names["engines" set, i]) in failures) {
                print names["engines" set, i] " failed in" failures[set, names["engines" set, i]] ".\n"
            }
        }
    }
}
