/* tools/cmd_sim.c: `firn sim`: a workload through compaction policies, without a disk. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/args.h"
#include "tools/sim_study.h"
#include "tools/trace_summary.h"

struct asked {
    char *policies[SIM_SERIES_MAX];
    size_t policy_count;
    uint32_t ratios[SIM_RATIOS_MAX];
    size_t ratio_count;
    char *format, *engine, *trace;
    bool entry_bytes; /* were told: */
    uint64_t bytes;
};

/* ---- Arguments ---- */

static bool take_policy(void *to, char *value, const char **problem) {
    struct asked *asked = to;
    *problem = "there are too many policies";
    if (asked->policy_count == SIM_SERIES_MAX) {
        return false;
    }
    asked->policies[asked->policy_count++] = value;
    return true;
}

static bool take_ratios(void *to, char *value, const char **problem) {
    struct asked *asked = to;
    *problem = "expected size ratios from 2 to 64, as in 2,4,10";
    for (char *at = value;; at++) {
        char *end;
        unsigned long ratio = strtoul(at, &end, 10);
        if (end == at || ratio < 2 || ratio > 64 || asked->ratio_count == SIM_RATIOS_MAX) {
            return false;
        }
        asked->ratios[asked->ratio_count++] = (uint32_t)ratio;
        at = end;
        if (*at != ',') {
            return *at == '\0';
        }
    }
}

static bool take_entry_bytes(void *to, char *value, const char **problem) {
    struct asked *asked = to;
    asked->entry_bytes = true;
    return arg_number(&asked->bytes, value, problem);
}

static bool take_order(void *to, char *value, const char **problem) {
    static const char *const names[] = {"uniform", "zipf", "sequential"};
    *problem = "expected uniform, zipf or sequential";
    for (int i = 0; i < 3; i++) {
        if (strcmp(value, names[i]) == 0) {
            *(firn_sim_order *)to = (firn_sim_order)i;
            return true;
        }
    }
    return false;
}

static bool take_double(void *to, char *value, const char **problem) {
    char *end;
    *problem = "expected a number";
    *(double *)to = strtod(value, &end);
    return end != value && *end == '\0';
}

/* "fluid:size_ratio=4,runs_upper=2": the policy, then options that it runs with. */
static bool set_policy(struct call *call, const char *spec, struct sim_series *s) {
    char text[sizeof s->name], *rest, *words[16];
    size_t count = 0;
    (void)snprintf(s->name, sizeof s->name, "%s", spec);
    (void)snprintf(text, sizeof text, "%s", spec);
    s->options = call->options;
    for (char *word = strtok_r(text, ":,", &rest); word != NULL && count < 16;
         word = strtok_r(NULL, ":,", &rest)) {
        words[count++] = word;
    }
    int rc = firn_options_set(&s->options, "compaction_policy", count > 0 ? words[0] : "");
    for (size_t i = 1; i < count && rc == FIRN_OK; i++) {
        char *value = strchr(words[i], '=');
        if (value != NULL) {
            *value++ = '\0';
        }
        rc = firn_options_set(&s->options, words[i], value);
    }
    if (rc != FIRN_OK) {
        complain_usage(call->command, "--policy %s: %s", spec, firn_errmsg());
    }
    return rc == FIRN_OK;
}

/* ---- Running ---- */

static int keep_sample(void *context, const firn_sim_sample *sample) {
    return sim_keep(context, sample, NULL);
}

static bool run_series(const struct sim_study *study, struct sim_series *s) {
    return firn_simulate(&s->options, &study->workload, &study->machine, keep_sample, s) == FIRN_OK;
}

/* The workload in a database, and then in the simulator with entries of as many bytes. */
static int run_engine(struct sim_study *study, const struct asked *asked, size_t which) {
    struct sim_series *s = &study->series[which], *engine = s + 1;
    *engine = *s;
    engine->engine = true;
    size_t end = strlen(engine->name);
    (void)snprintf(engine->name + end, sizeof engine->name - end, " (engine)");
    if (!sim_engine_run(asked->engine, study, engine)) {
        return EXIT_FAILED;
    }
    struct sim_study alike = {.workload = study->workload, .machine = study->machine};
    if (!asked->entry_bytes) {
        alike.machine.entry_bytes = (uint64_t)(engine->entry_bytes + 0.5);
        alike.machine.entry_bytes_above = (uint64_t)(engine->entry_bytes_above + 0.5);
    }
    s->entry_bytes = (double)alike.machine.entry_bytes;
    s->entry_bytes_above = (double)alike.machine.entry_bytes_above;
    return run_series(&alike, s) ? EXIT_DONE : complain_firn();
}

/* The same policy at one size ratio after the other. */
static bool run_curve(struct sim_study *study, const struct asked *asked, size_t which) {
    struct sim_study at_once = {.workload = study->workload, .machine = study->machine};
    at_once.machine.disk_bytes_per_second = 0; /* as in theory: no merge is late */
    for (size_t r = 0; r < asked->ratio_count; r++) {
        struct sim_series s = {.options = study->series[which].options};
        s.options.size_ratio = asked->ratios[r];
        bool ok = run_series(&at_once, &s);
        if (ok) {
            study->curve[which][r] = sim_cost_of(study, &s);
        }
        sim_forget(&s);
        if (!ok) {
            return false;
        }
    }
    return true;
}

static int run_study(struct call *call, struct sim_study *study, const struct asked *asked) {
    static char *usual[] = {"leveled", "fluid", "lazy-leveled", "tiered"};
    size_t given = asked->policy_count;
    size_t count = given > 0 ? given : sizeof usual / sizeof *usual;
    size_t each = asked->engine != NULL ? 2 : 1; /* simulated, and in a database */
    if (count * each > SIM_SERIES_MAX) {
        return complain_usage(call->command, "there are too many policies");
    }
    study->ratio_count = asked->ratio_count;
    for (size_t i = 0; i < count; i++) {
        const char *spec = given > 0 ? asked->policies[i] : usual[i];
        if (!set_policy(call, spec, &study->series[i * each])) {
            return EXIT_USAGE;
        }
    }
    int code = EXIT_DONE;
    for (size_t i = 0; i < count && code == EXIT_DONE; i++, study->count += each) {
        if (asked->engine != NULL) {
            code = run_engine(study, asked, i * each);
        } else if (!run_series(study, &study->series[i])) {
            code = complain_firn();
        }
        if (code == EXIT_DONE && !run_curve(study, asked, i * each)) {
            code = complain_firn();
        }
    }
    return code;
}

static int tell(const struct sim_study *study, const char *format) {
    struct out *out = out_standard();
    if (strcmp(format, "csv") == 0) {
        sim_tell_csv(out, study);
    } else if (strcmp(format, "json") == 0) {
        sim_tell_json(out, study);
    } else if (strcmp(format, "html") == 0) {
        sim_tell_html(out, study);
    } else {
        sim_tell_text(out, study);
    }
    return out_finish(out, EXIT_DONE);
}

static bool is_format(const char *format) {
    return strcmp(format, "text") == 0 || strcmp(format, "csv") == 0 ||
           strcmp(format, "json") == 0 || strcmp(format, "html") == 0;
}

/* A trace is replayed: with entries of its mean size, unless told otherwise, and at its speed. */
static bool use_trace(struct sim_study *study, const struct asked *asked, bool own_rate) {
    struct trace_summary s;
    int rc = trace_summary_read(asked->trace, &s);
    double entries = (double)s.put_bytes.count, seconds = (double)s.info.nanoseconds / 1e9;
    double key = s.key_bytes.count > 0 ? s.key_bytes.total / (double)s.key_bytes.count : 0;
    double bytes = key + (entries > 0 ? s.put_bytes.total / entries : 0);
    if (rc == FIRN_OK && !asked->entry_bytes) {
        study->machine.entry_bytes = bytes > 1 ? (uint64_t)(bytes + 0.5) : 1;
    }
    if (rc == FIRN_OK && !own_rate && seconds > 0 && s.info.puts + s.info.deletes > 0) {
        study->machine.writes_per_second = (double)(s.info.puts + s.info.deletes) / seconds;
    }
    trace_summary_deinit(&s);
    study->workload.trace = asked->trace;
    study->workload.entries = s.keys_before > 0 ? s.keys_before : 1; /* what is put first */
    return rc == FIRN_OK;
}

static int sim_run(struct call *call) {
    static struct sim_study study;
    static char text[] = "text";
    struct asked asked = {.format = text};
    uint64_t samples = 200;
    firn_sim_workload_init(&study.workload);
    firn_sim_machine_init(&study.machine);
    firn_sim_workload *w = &study.workload;
    firn_sim_machine *m = &study.machine;
    const struct arg own[] = {
        {"policy", "NAME[:OPTION=VALUE,...]", take_policy, &asked},
        {"ratios", "T,T,...", take_ratios, &asked},
        {"order", "ORDER", take_order, &w->order},
        {"accesses", "ORDER", take_order, &w->accesses},
        {"theta", "X", take_double, &w->zipf_theta},
        {"write-rate", "N", take_double, &m->writes_per_second},
        {"disk-rate", "BYTES", take_double, &m->disk_bytes_per_second},
        ARG_NUMBER("entries", &w->entries),
        ARG_NUMBER("updates", &w->updates),
        ARG_NUMBER("deletes", &w->deletes),
        ARG_NUMBER("reads", &w->reads),
        ARG_NUMBER("empty-reads", &w->empty_reads),
        ARG_NUMBER("scans", &w->scans),
        ARG_NUMBER("scan-entries", &w->scan_entries),
        ARG_NUMBER("seed", &w->seed),
        {"entry-bytes", "N", take_entry_bytes, &asked},
        ARG_NUMBER("simulate", &m->entries_max),
        ARG_NUMBER("samples", &samples),
        ARG_TEXT("format", "FORMAT", &asked.format),
        ARG_TEXT("engine", "DIR", &asked.engine),
        ARG_TEXT("trace", "FILE", &asked.trace),
        ARG_END,
    };
    w->empty_reads = 100000;
    double rate = m->writes_per_second;
    if (!args_parse(call, own)) {
        return EXIT_USAGE;
    }
    if (!is_format(asked.format)) {
        return complain_usage(call->command, "--format %s: expected text, csv, json or html",
                              asked.format);
    }
    m->entry_bytes = asked.entry_bytes ? asked.bytes : m->entry_bytes;
    m->samples = samples < 100000 ? (uint32_t)samples : 100000;
    if (asked.trace != NULL && asked.engine != NULL) {
        return complain_usage(call->command,
                              "--trace is for the simulator alone, without --engine");
    }
    if (asked.trace != NULL && !use_trace(&study, &asked, m->writes_per_second != rate)) {
        return complain_firn();
    }
    int code = run_study(call, &study, &asked);
    code = code == EXIT_DONE ? tell(&study, asked.format) : code;
    for (size_t i = 0; i < SIM_SERIES_MAX; i++) {
        sim_forget(&study.series[i]);
    }
    return code;
}

const struct command command_sim = {
    .name = "sim",
    .words = "",
    .summary = "Runs a workload through compaction policies without a disk, side by side",
    .details =
        "\n"
        "Example: what leveling, and at most 3 runs a level, cost at 20 million keys\n"
        "  firn sim --entries 20000000 --updates 60000000 --option memtable_entries=20000 \\\n"
        "      --policy leveled --policy fluid:runs_upper=3 --format html > policies.html\n"
        "\n"
        "Options:\n"
        "  --policy NAME[:OPTION=VALUE,...]  a policy and its options; may be repeated; without:\n"
        "                         leveled, fluid, lazy-leveled and tiered\n"
        "  --ratios T,T,...       besides, each policy at these size ratios: lookups against\n"
        "                         updates, with what theory says\n"
        "  --entries N            keys that are inserted first (10000000)\n"
        "  --updates N  --deletes N          writes after that (0)\n"
        "  --reads N  --empty-reads N  --scans N  --scan-entries N\n"
        "                         reads evenly among those (0, 100000, 0, 100)\n"
        "  --order ORDER          of the inserts: uniform, sequential\n"
        "  --accesses ORDER       of all else: uniform, zipf (--theta 0.99), sequential\n"
        "  --entry-bytes N        of an entry in a table (16)\n"
        "  --write-rate N         entries a second that writers write (500000)\n"
        "  --disk-rate BYTES      a second, for flushes and merges; 0: they take no time (0)\n"
        "  --engine DIR           besides, the same in a database, made there and destroyed, and\n"
        "                         both side by side; entries then take the bytes they take there\n"
        "  --trace FILE           do over what --record or firn_trace_start() recorded, instead of "
        "a\n"
        "                         workload that is drawn; entries then take the mean of its keys "
        "and\n"
        "                         values, and come as fast\n"
        "  --simulate N           entries at most; of more, a sample is taken (2000000)\n"
        "  --samples N            moments to tell of (200)\n"
        "  --seed N               the same seed gives the same run (1)\n"
        "  --format FORMAT        text, csv, json, or html: a page with charts\n",
    .words_min = 0,
    .words_max = 0,
    .run = sim_run,
};
