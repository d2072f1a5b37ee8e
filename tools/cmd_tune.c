/* tools/cmd_tune.c: `firn tune`: which options serve a mix of operations best, by simulation. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/args.h"
#include "tools/out.h"
#include "tools/progress.h"
#include "tools/tune.h"

static const char *const kind_names[] = {"reads", "empty reads", "writes", "scans"};

static void tell_progress(void *context, size_t done, size_t of) {
    progress_update(context, done, done, of);
}

static void tell_text(struct out *out, const struct tune_answer *a) {
    out_text(out, "                                                 entries     pages for each\n"
                  "policy                     bits   memtable  cached  a put a key    read   empty"
                  "   write    scan   mean   drift\n");
    for (size_t i = 0; i < a->exact; i++) {
        const struct tune_choice *c = &a->choices[i];
        char name[64];
        tune_name(c, name, sizeof name);
        out_format(out,
                   "%-25s %5.1f %10" PRIu64 " %5.0f %% %6.2f %5.2f %7.3f %7.4f %7.4f %7.2f %6.3f "
                   "%+4.0f %%\n",
                   name, c->options.filter ? c->options.filter_bits_per_key : 0,
                   c->options.memtable_entries, 100 * c->cached, c->writes, c->space,
                   c->cost[TUNE_READ], c->cost[TUNE_EMPTY], c->cost[TUNE_WRITE], c->cost[TUNE_SCAN],
                   c->total, 100 * c->regret);
    }
    const struct tune_choice *best = &a->choices[0];
    out_format(out,
               "\nOf %zu choices. `drift`: with %.0f times as many of one operation, another "
               "choice would be better by\nso much at most; for the first, with more %s.\n",
               a->count, TUNE_DRIFT, kind_names[best->regret_of]);
}

static void tell_json(struct out *out, const struct tune_answer *a) {
    out_text(out, "[");
    for (size_t i = 0; i < a->exact; i++) {
        const struct tune_choice *c = &a->choices[i];
        char policy[32];
        (void)firn_options_get(&c->options, "compaction_policy", policy, sizeof policy);
        out_format(out,
                   "%s\n{\"compaction_policy\":\"%s\",\"size_ratio\":%" PRIu32
                   ",\"runs_upper\":%" PRIu32 ",\"runs_last\":%" PRIu32
                   ",\"filter_bits_per_key\":%g,\"memtable_entries\":%" PRIu64,
                   i > 0 ? "," : "", policy, c->options.size_ratio, c->options.runs_upper,
                   c->options.runs_last, c->options.filter ? c->options.filter_bits_per_key : 0,
                   c->options.memtable_entries);
        out_format(out,
                   ",\"writes_per_put\":%.4f,\"false_reads_empty\":%.6f,\"space\":%.4f,"
                   "\"runs\":%.2f,\"cached\":%.4f,\"cost_read\":%.5f,\"cost_empty\":%.5f,"
                   "\"cost_write\":%.5f,\"cost_scan\":%.4f,\"cost\":%.5f,\"regret\":%.4f}",
                   c->writes, c->empty_reads_in_vain, c->space, c->runs, c->cached,
                   c->cost[TUNE_READ], c->cost[TUNE_EMPTY], c->cost[TUNE_WRITE], c->cost[TUNE_SCAN],
                   c->total, c->regret);
    }
    out_text(out, "\n]\n");
}

/* Every option that differs from its default, as `--options FILE` takes them. */
static int write_options(const char *path, const struct tune_question *q,
                         const struct tune_choice *best) {
    firn_options options = best->options, usual;
    char name[64], value[64], before[64];
    uint64_t least = UINT64_C(16) << 20;
    options.memory_budget = q->memory > least ? q->memory : least;
    options.page_cache_bytes =
        (uint64_t)(best->cached * best->space * (double)q->entries * (double)q->entry_bytes);
    options.page_cache_bytes = options.page_cache_bytes > 65536 ? options.page_cache_bytes : 65536;
    firn_options_init(&usual);
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        return complain("cannot write %s", path);
    }
    tune_name(best, name, sizeof name);
    fprintf(file, "# %s: %.2f entries written for each put, %.4f pages for an empty read\n", name,
            best->writes, best->cost[TUNE_EMPTY]);
    for (size_t i = 0; firn_options_name(i) != NULL; i++) {
        const char *option = firn_options_name(i);
        if (firn_options_get(&options, option, value, sizeof value) == FIRN_OK &&
            firn_options_get(&usual, option, before, sizeof before) == FIRN_OK &&
            strcmp(value, before) != 0) {
            fprintf(file, "%s = %s\n", option, value);
        }
    }
    bool failed = ferror(file) != 0;
    return fclose(file) == 0 && !failed ? EXIT_DONE : complain("cannot write %s", path);
}

static int answer_question(const struct tune_question *q, uint64_t shown, const char *format,
                           const char *output) {
    struct tune_answer answer;
    struct progress progress;
    progress_begin(&progress, "tune", "trees simulated");
    bool ok = tune(q, shown, tell_progress, &progress, &answer);
    progress_end(&progress);
    int code = ok ? EXIT_DONE : EXIT_FAILED;
    if (ok && output != NULL) {
        code = write_options(output, q, &answer.choices[0]);
    }
    if (code == EXIT_DONE) {
        struct out *out = out_standard();
        (strcmp(format, "json") == 0 ? tell_json : tell_text)(out, &answer);
        code = out_finish(out, EXIT_DONE);
    }
    free(answer.choices);
    return code;
}

static int tune_run(struct call *call) {
    static char text[] = "text";
    char *format = text, *output = NULL;
    uint64_t counts[TUNE_KINDS] = {0}, shown = 5;
    firn_options memory;
    firn_options_init(&memory);
    struct tune_question q = {
        .entries = 10000000, .entry_bytes = 16, .scan_entries = 100, .simulate = 200000};
    char *memory_text = NULL;
    const struct arg own[] = {
        ARG_NUMBER("reads", &counts[TUNE_READ]),
        ARG_NUMBER("empty-reads", &counts[TUNE_EMPTY]),
        ARG_NUMBER("writes", &counts[TUNE_WRITE]),
        ARG_NUMBER("scans", &counts[TUNE_SCAN]),
        ARG_NUMBER("entries", &q.entries),
        ARG_NUMBER("entry-bytes", &q.entry_bytes),
        ARG_NUMBER("scan-entries", &q.scan_entries),
        ARG_NUMBER("simulate", &q.simulate),
        ARG_NUMBER("show", &shown),
        ARG_TEXT("memory", "SIZE", &memory_text),
        ARG_TEXT("format", "FORMAT", &format),
        ARG_TEXT("output", "FILE", &output),
        ARG_END,
    };
    if (!args_parse(call, own)) {
        return EXIT_USAGE;
    }
    if (memory_text != NULL && firn_options_set(&memory, "page_cache_bytes", memory_text) != 0) {
        return complain_usage(call->command, "--memory %s: expected a size of at least 64k",
                              memory_text);
    }
    q.memory = memory_text != NULL ? memory.page_cache_bytes : memory.memory_budget;
    q.options = call->options;
    q.page_bytes = call->options.page_bytes;
    double sum = 0;
    for (int k = 0; k < TUNE_KINDS; k++) {
        q.mix[k] = (double)counts[k];
        sum += q.mix[k];
    }
    if (sum == 0 || q.entries == 0 || q.entry_bytes == 0 || shown == 0) {
        return complain_usage(call->command, "there is nothing to tune for: no %s",
                              sum == 0 ? "operations" : "entries");
    }
    if (strcmp(format, "text") != 0 && strcmp(format, "json") != 0) {
        return complain_usage(call->command, "--format %s: expected text or json", format);
    }
    return answer_question(&q, shown, format, output);
}

const struct command command_tune = {
    .name = "tune",
    .words = "",
    .summary = "Finds the policy, size ratio, filters and memtable for a mix of operations",
    .details =
        "\n"
        "Example: 100 million keys in 512 MiB, twice as many reads as writes, half of them in "
        "vain\n"
        "  firn tune --entries 100000000 --memory 512m --reads 1 --empty-reads 1 --writes 1 \\\n"
        "      --output best.options\n"
        "  firn load big.firn keys --options best.options\n"
        "\n"
        "Options:\n"
        "  --reads N  --empty-reads N  --writes N  --scans N\n"
        "                         how frequent each is, beside the others (0)\n"
        "  --entries N            keys (10000000)\n"
        "  --entry-bytes N        of an entry in a table (16)\n"
        "  --scan-entries N       keys that a scan passes (100)\n"
        "  --memory SIZE          for memtables, filters and the page cache (256m)\n"
        "  --show N               choices to tell of (5)\n"
        "  --simulate N           entries at most; of more, a sample is taken (200000)\n"
        "  --output FILE          writes the options of the best one, for --options\n"
        "  --format FORMAT        text or json\n",
    .words_min = 0,
    .words_max = 0,
    .run = tune_run,
};
