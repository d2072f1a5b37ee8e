/* tools/cmd_trace.c: `firn trace`: what a trace holds: operations by kind, how few keys most of
 * them go to, sizes. Of each key a hash and two counts are kept. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/args.h"
#include "tools/out.h"
#include "tools/trace_summary.h"

/* ---- Operation by operation ---- */

static const char *kind_name(const firn_trace_op *op) {
    static const char *const names[] = {"put", "delete", "get", "scan"};
    return op->kind == FIRN_TRACE_GET && !op->found ? "absent" : names[op->kind];
}

static int print_op(void *context, const firn_trace_op *op) {
    struct out *out = context;
    out_format(out, "%.6f\t%s\t%" PRIu64 "\t", (double)op->nanoseconds / 1e9, kind_name(op),
               op->kind == FIRN_TRACE_SCAN ? op->passed : op->value_bytes);
    text_write(out, TEXT_ESCAPED, op->key);
    out_char(out, '\n');
    return out_ok(out) ? 0 : 1;
}

/* ---- The summary ---- */

struct teller {
    struct out *out;
    bool json, any;
};

static void tell_number(struct teller *t, const char *name, double value, int places) {
    if (t->json) {
        out_format(t->out, "%s\n  \"%s\": %.*f", t->any ? "," : "{", name, places, value);
    } else {
        char text[64];
        size_t n = 0;
        for (; name[n] != '\0' && n + 1 < sizeof text; n++) {
            text[n] = (char)(name[n] == '_' ? ' ' : name[n]);
        }
        text[n] = '\0';
        out_format(t->out, "%-44s %12.*f\n", text, places, value);
    }
    t->any = true;
}

static void tell_sizes(struct teller *t, const char *what, const struct size_counts *sizes) {
    static const double parts[] = {0.5, 0.99};
    static const char *const names[] = {"half_at_most", "99_percent_at_most"};
    char name[64];
    if (sizes->count == 0) {
        return;
    }
    (void)snprintf(name, sizeof name, "%s_mean", what);
    tell_number(t, name, sizes->total / (double)sizes->count, 1);
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(name, sizeof name, "%s_%s", what, names[i]);
        tell_number(t, name, size_counts_part(sizes, parts[i]), 0);
    }
    (void)snprintf(name, sizeof name, "%s_most", what);
    tell_number(t, name, (double)sizes->most, 0);
}

static void tell_skew(struct teller *t, const struct trace_summary *s, bool writes) {
    static const double parts[] = {0.001, 0.01, 0.1};
    static const char *const names[] = {"0.1_percent", "1_percent", "10_percent"};
    for (size_t i = 0; i < 3; i++) {
        char name[64];
        double share = trace_summary_share(s, writes, parts[i]);
        (void)snprintf(name, sizeof name, "percent_of_%s_to_hottest_%s", writes ? "writes" : "gets",
                       names[i]);
        if (share > 0) {
            tell_number(t, name, 100 * share, 1);
        }
    }
}

static void tell(struct teller *t, const struct trace_summary *s) {
    const firn_trace_info *i = &s->info;
    double seconds = (double)i->nanoseconds / 1e9;
    double ops = (double)(i->puts + i->deletes + i->gets + i->scans);
    tell_number(t, "operations", ops, 0);
    tell_number(t, "puts", (double)i->puts, 0);
    tell_number(t, "deletes", (double)i->deletes, 0);
    tell_number(t, "gets", (double)i->gets, 0);
    tell_number(t, "gets_of_absent_keys", (double)i->gets_absent, 0);
    tell_number(t, "scans", (double)i->scans, 0);
    tell_number(t, "lost", (double)i->lost, 0);
    tell_number(t, "seconds", seconds, 3);
    tell_number(t, "operations_per_second", seconds > 0 ? ops / seconds : 0, 0);
    tell_number(t, "entries_before", (double)i->entries_before, 0);
    tell_number(t, "keys", (double)s->key_count, 0);
    tell_number(t, "keys_written", (double)s->keys_written, 0);
    tell_number(t, "keys_got", (double)s->keys_got, 0);
    tell_skew(t, s, true);
    tell_skew(t, s, false);
    tell_sizes(t, "key_bytes", &s->key_bytes);
    tell_sizes(t, "value_bytes_put", &s->put_bytes);
    tell_sizes(t, "value_bytes_got", &s->get_bytes);
    tell_sizes(t, "entries_scanned", &s->scanned);
    tell_number(t, "keys_are_hashes", i->hashed, 0);
    tell_number(t, "ended_in_order", i->complete, 0);
    tell_number(t, "file_bytes", (double)i->file_bytes, 0);
    if (t->json) {
        out_text(t->out, "\n}\n");
    }
}

static int trace_run(struct call *call) {
    bool json = false, operations = false;
    const struct arg own[] = {
        ARG_FLAG("json", &json),
        ARG_FLAG("operations", &operations),
        ARG_END,
    };
    if (!args_parse(call, own)) {
        return EXIT_USAGE;
    }
    struct out *out = out_standard();
    if (operations) {
        int rc = trace_each(call->words[0], print_op, out, NULL);
        return out_finish(out, rc == FIRN_OK || !out_ok(out) ? EXIT_DONE : complain_firn());
    }
    struct trace_summary summary;
    int rc = trace_summary_read(call->words[0], &summary);
    if (rc == FIRN_OK) {
        struct teller teller = {.out = out, .json = json};
        tell(&teller, &summary);
    }
    trace_summary_deinit(&summary);
    return out_finish(out, rc == FIRN_OK ? EXIT_DONE : complain_firn());
}

const struct command command_trace = {
    .name = "trace",
    .words = "FILE",
    .summary = "Tells what a recorded trace holds: operations, skew, sizes",
    .details = "\n"
               "FILE was recorded by firn_trace_start(), or by --record of another command.\n"
               "\n"
               "Example:\n"
               "  firn load words.firn words.txt --record words.trace\n"
               "  firn trace words.trace\n"
               "  firn sim --trace words.trace --policy leveled --policy lazy-leveled\n"
               "\n"
               "Options:\n"
               "  --operations           every one instead: seconds, put, delete, get, absent or\n"
               "                         scan, bytes of the value or entries scanned, key\n"
               "  --json                 the summary as JSON\n",
    .words_min = 1,
    .words_max = 1,
    .run = trace_run,
};
