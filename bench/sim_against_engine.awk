# bench/sim_against_engine.awk: what runs of bench/sim_against_engine say, as a table of Markdown.
# Reads CSV of `firn sim --engine`, a file a run; `loaded` is the number of keys.
function value(name) { return $(column[name]) }
function merges(who) { return (merged[who] - merged_loaded[who]) / (puts[who] - loaded) }
function line(what, simulated, measured) {
    printf "| %s | %s | %.4f | %.4f | %+.1f %% |\n", run, what, simulated, measured,
        (measured > 0 ? 100 * (simulated / measured - 1) : 0)
}
function tell(    s, e) {
    s = "simulated"; e = "engine"
    line("entries merged for each update", merges(s), merges(e))
    line("entries read by merges for each put", inputs[s] / puts[s], inputs[e] / puts[e])
    line("entries stored for each key, the most", most[s], most[e])
    line("the same, while merging", merging[s], merging[e])
    line("false reads of an empty lookup", vain[s] / reads[s], vain[e] / reads[e])
    line("filter bits per key, on the average", bits[s] / samples[s], bits[e] / samples[e])
    writes_of[run] = 1 + merges(e)
    vain_of[run] = vain[e] / reads[e]
    bits_of[run] = bits[e] / samples[e]
    durable_of[run] = most[e]
    merging_of[run] = merging[e]
    delete merged; delete merged_loaded; delete puts; delete inputs; delete most; delete merging
    delete samples; delete vain; delete reads; delete bits
}
BEGIN {
    FS = ","
    print "| run | | simulated | measured | differs |"
    print "|---|---|--:|--:|--:|"
}
FNR == 1 {
    if (run != "") tell()
    run = FILENAME
    sub(/.*\//, "", run)
    sub(/-[0-9]+-[0-9]+-[0-9]+\.csv$/, "", run)
    for (i = 1; i <= NF; i++) column[$i] = i
    next
}
{
    who = $1 ~ /engine/ ? "engine" : "simulated"
    puts[who] = value("puts")
    merged[who] = value("merged")
    inputs[who] = value("merge_inputs")
    reads[who] = value("empty_reads")
    vain[who] = value("empty_false_reads")
    if (puts[who] <= loaded) {
        merged_loaded[who] = merged[who]
        next
    }
    live = value("live")
    samples[who]++
    bits[who] += value("filter_bits")
    if (value("stored") / live > most[who]) most[who] = value("stored") / live
    if (value("stored_most") / live > merging[who]) merging[who] = value("stored_most") / live
}
function goal(what, got, most_allowed) {
    printf "| %s | %.3f | at most %s | %s |\n", what, got, most_allowed,
        (got <= most_allowed ? "yes" : "NO")
}
# Filters of more bits would have fewer errors anyhow: at the same memory, by 0.62 a bit (ln).
function by_monkey(policy,    m, u) {
    m = policy "-10-monkey"; u = policy "-10-uniform"
    return vain_of[m] / (vain_of[u] * exp(-0.62 * (bits_of[m] - bits_of[u])))
}
END {
    if (run == "") exit 1
    tell()
    print "\n| in the database, T = 10 | measured | wanted | |"
    print "|---|--:|--:|---|"
    if (("leveled-10-monkey" in writes_of) && ("lazy-leveled-10-monkey" in writes_of))
        goal("writes of lazy-leveled by those of leveled",
             writes_of["lazy-leveled-10-monkey"] / writes_of["leveled-10-monkey"], 0.65)
    if (("leveled-10-monkey" in vain_of) && ("leveled-10-uniform" in vain_of))
        goal("false reads by Monkey, leveled, by those of uniform bits", by_monkey("leveled"), 0.55)
    if (("lazy-leveled-10-monkey" in vain_of) && ("lazy-leveled-10-uniform" in vain_of))
        goal("the same, lazy-leveled", by_monkey("lazy-leveled"), 0.2)
    if ("leveled-10-monkey" in durable_of) {
        goal("entries a key, leveled", durable_of["leveled-10-monkey"], 1.12)
        goal("the same, while merging", merging_of["leveled-10-monkey"], 1.3)
    }
}
