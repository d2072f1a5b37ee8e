/* What `firn sim` says in text, CSV and JSON. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "tools/sim_study.h"

static double per(double count, double of) {
    return of > 0 ? count / of : 0;
}

static void tell_summary(struct out *out, const struct sim_study *study) {
    out_text(out, "policy                    writes/put   space        runs to      false reads  "
                  "merges   longest\n"
                  "                          load  then  last   most  scan  empty  of empty     "
                  "         stall s\n");
    for (size_t i = 0; i < study->count; i++) {
        const struct sim_series *s = &study->series[i];
        const firn_sim_sample *last = sim_last(s), *loaded = sim_loaded(study, s);
        out_format(out,
                   "%-25s %5.2f %5.2f %5.2f %6.2f %5" PRIu64 " %6.2f  %9.4f %9" PRIu64 " %9.2f\n",
                   s->name, sim_writes(NULL, loaded), sim_writes(loaded, last),
                   per((double)last->stored, (double)last->live), sim_space(study, s, true),
                   last->runs, per(last->empty_read_runs, last->empty_reads),
                   per(last->empty_false_reads, last->empty_reads), last->jobs,
                   last->stall_longest_seconds);
    }
}

static void tell_levels(struct out *out, const struct sim_series *s) {
    const firn_sim_sample *last = sim_last(s);
    out_format(out, "\n%s: levels at the end\n", s->name);
    for (size_t l = 0; l < last->level_count; l++) {
        const firn_sim_level *level = &last->levels[l];
        if (level->entries > 0 || level->written > 0) {
            out_format(out,
                       "  level %-2zu %3" PRIu64 " runs %6" PRIu64 " tables %14" PRIu64
                       " entries, %.2f written into it for each put\n",
                       l, level->runs, level->tables, level->entries,
                       per((double)level->written, (double)last->puts));
        }
    }
}

static void tell_curve(struct out *out, const struct sim_study *study) {
    out_text(out,
             "\npolicy                     T   merges/put  in theory   false reads  in theory\n");
    for (size_t i = 0; i < study->count; i++) {
        for (size_t r = 0; r < study->ratio_count && !study->series[i].engine; r++) {
            const struct sim_cost *c = &study->curve[i][r];
            bool known = !isnan(c->merges_theory);
            char merges[32] = "-", reads[32] = "-";
            if (known) {
                (void)snprintf(merges, sizeof merges, "%.2f", c->merges_theory);
                (void)snprintf(reads, sizeof reads, "%.4f", c->false_reads_theory);
            }
            out_format(out, "%-25s %3" PRIu32 " %11.2f %10s %13.4f %10s\n", study->series[i].name,
                       c->size_ratio, c->merges, merges, c->false_reads, reads);
        }
    }
}

/* Of the second phase of the workload, or of loading when there is no other. */
static double merges_of(const struct sim_study *study, const struct sim_series *s) {
    const firn_sim_sample *loaded = sim_loaded(study, s), *last = sim_last(s);
    return sim_merges(last->puts > loaded->puts ? loaded : NULL, last);
}

static void tell_compared(struct out *out, const char *what, double simulated, double measured) {
    out_format(out, "  %-37s %12.4f %12.4f", what, simulated, measured);
    if (measured > 0) {
        out_format(out, " %+8.1f %%", 100 * (simulated / measured - 1));
    }
    out_text(out, "\n");
}

static void tell_engine(struct out *out, const struct sim_study *study, size_t which) {
    const struct sim_series *s = &study->series[which], *engine = s + 1;
    const firn_sim_sample *a = sim_last(s), *b = sim_last(engine);
    out_format(out, "\n%-39s    simulated     measured    differs\n", s->name);
    tell_compared(out, "entries merged for each put", merges_of(study, s),
                  merges_of(study, engine));
    tell_compared(out, "entries flushed for each put", per((double)a->flushed, (double)a->puts),
                  per((double)b->flushed, (double)b->puts));
    tell_compared(out, "entries read by merges for each put",
                  per((double)a->merge_inputs, (double)a->puts),
                  per((double)b->merge_inputs, (double)b->puts));
    tell_compared(out, "entries stored for each key, the most", sim_space(study, s, false),
                  sim_space(study, engine, false));
    tell_compared(out, "  while merging", sim_space(study, s, true),
                  per((double)b->stored_most, (double)b->live));
    tell_compared(out, "runs, at the end", (double)a->runs, (double)b->runs);
    tell_compared(out, "false reads of an empty lookup", per(a->empty_false_reads, a->empty_reads),
                  per(b->empty_false_reads, b->empty_reads));
    tell_compared(out, "bytes of an entry, in the last level", s->entry_bytes, engine->entry_bytes);
    tell_compared(out, "  above it", s->entry_bytes_above, engine->entry_bytes_above);
    tell_compared(out, "filter bits per key", a->filter_bits, b->filter_bits);
}

void sim_tell_text(struct out *out, const struct sim_study *study) {
    tell_summary(out, study);
    for (size_t i = 0; i + 1 < study->count; i++) {
        if (study->series[i + 1].engine) {
            tell_engine(out, study, i);
        }
    }
    for (size_t i = 0; i < study->count; i++) {
        if (!study->series[i].engine) {
            tell_levels(out, &study->series[i]);
        }
    }
    if (study->ratio_count > 0) {
        tell_curve(out, study);
    }
}

void sim_tell_csv(struct out *out, const struct sim_study *study) {
    out_text(out,
             "policy,seconds,puts,flushed,merged,merge_inputs,jobs,live,stored,stored_most,runs,"
             "debt,reads,read_runs,false_reads,empty_reads,empty_read_runs,empty_false_reads,"
             "scans,scan_runs,scan_entries,stall_seconds,stall_longest_seconds,filter_bits,"
             "false_reads_expected,cpu_seconds,file_bytes,page_reads\n");
    for (size_t i = 0; i < study->count; i++) {
        for (size_t n = 0; n < study->series[i].count; n++) {
            const firn_sim_sample *s = &study->series[i].samples[n];
            const struct sim_measured *m = &study->series[i].measured[n];
            out_format(out,
                       "\"%s\",%.3f,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
                       ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64,
                       study->series[i].name, s->seconds, s->puts, s->flushed, s->merged,
                       s->merge_inputs, s->jobs, s->live, s->stored, s->stored_most, s->runs,
                       s->debt);
            out_format(out, ",%.0f,%.0f,%.4f,%.0f,%.0f,%.4f,%.0f,%.0f,%.0f,%.3f,%.3f,%.4f,%.6f",
                       s->reads, s->read_runs, s->false_reads, s->empty_reads, s->empty_read_runs,
                       s->empty_false_reads, s->scans, s->scan_runs, s->scan_entries,
                       s->stall_seconds, s->stall_longest_seconds, s->filter_bits,
                       s->false_reads_expected);
            out_format(out, ",%.3f,%" PRIu64 ",%" PRIu64 "\n", m->cpu_seconds, m->file_bytes,
                       m->page_reads);
        }
    }
}

static void tell_json_sample(struct out *out, const firn_sim_sample *s) {
    out_format(out,
               "{\"seconds\":%.3f,\"puts\":%" PRIu64 ",\"flushed\":%" PRIu64 ",\"merged\":%" PRIu64
               ",\"jobs\":%" PRIu64 ",\"live\":%" PRIu64 ",\"stored\":%" PRIu64
               ",\"stored_most\":%" PRIu64 ",\"runs\":%" PRIu64 ",\"debt\":%" PRIu64,
               s->seconds, s->puts, s->flushed, s->merged, s->jobs, s->live, s->stored,
               s->stored_most, s->runs, s->debt);
    out_format(out,
               ",\"reads\":%.0f,\"read_runs\":%.0f,\"false_reads\":%.4f,\"empty_reads\":%.0f,"
               "\"empty_read_runs\":%.0f,\"empty_false_reads\":%.4f,\"scans\":%.0f,"
               "\"scan_runs\":%.0f,\"scan_entries\":%.0f,\"stall_seconds\":%.3f,"
               "\"stall_longest_seconds\":%.3f,\"filter_bits\":%.4f,\"false_reads_expected\":%.6f,"
               "\"levels\":[",
               s->reads, s->read_runs, s->false_reads, s->empty_reads, s->empty_read_runs,
               s->empty_false_reads, s->scans, s->scan_runs, s->scan_entries, s->stall_seconds,
               s->stall_longest_seconds, s->filter_bits, s->false_reads_expected);
    for (size_t l = 0; l < s->level_count; l++) {
        const firn_sim_level *level = &s->levels[l];
        out_format(out,
                   "%s{\"runs\":%" PRIu64 ",\"tables\":%" PRIu64 ",\"entries\":%" PRIu64
                   ",\"written\":%" PRIu64 "}",
                   l > 0 ? "," : "", level->runs, level->tables, level->entries, level->written);
    }
    out_text(out, "]}");
}

static void tell_json_curve(struct out *out, const struct sim_study *study, size_t i) {
    for (size_t r = 0; r < study->ratio_count && !study->series[i].engine; r++) {
        const struct sim_cost *c = &study->curve[i][r];
        out_format(out, "%s{\"size_ratio\":%" PRIu32 ",\"merges\":%.4f,\"false_reads\":%.6f",
                   r > 0 ? "," : "", c->size_ratio, c->merges, c->false_reads);
        if (!isnan(c->merges_theory)) {
            out_format(out, ",\"merges_theory\":%.4f,\"false_reads_theory\":%.6f", c->merges_theory,
                       c->false_reads_theory);
        }
        out_char(out, '}');
    }
}

/* Names hold nothing that JSON would have to escape: they were parsed. */
void sim_tell_json(struct out *out, const struct sim_study *study) {
    const firn_sim_workload *w = &study->workload;
    out_format(out,
               "{\"entries\":%" PRIu64 ",\"updates\":%" PRIu64 ",\"deletes\":%" PRIu64
               ",\"seed\":%" PRIu64 ",\"policies\":[",
               w->entries, w->updates, w->deletes, w->seed);
    for (size_t i = 0; i < study->count; i++) {
        const struct sim_series *s = &study->series[i];
        out_format(out, "%s\n{\"name\":\"%s\",\"samples\":[", i > 0 ? "," : "", s->name);
        for (size_t n = 0; n < s->count; n++) {
            out_text(out, n > 0 ? ",\n" : "\n");
            tell_json_sample(out, &s->samples[n]);
        }
        out_text(out, "],\"curve\":[");
        tell_json_curve(out, study, i);
        out_text(out, "]}");
    }
    out_text(out, "]}\n");
}
