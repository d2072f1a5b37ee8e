#include "tools/sim_study.h"

#include <math.h>
#include <stdlib.h>

static bool grow(struct sim_series *s) {
    size_t capacity = s->capacity == 0 ? 256 : 2 * s->capacity;
    firn_sim_sample *samples = realloc(s->samples, capacity * sizeof *samples);
    s->samples = samples != NULL ? samples : s->samples;
    struct sim_measured *measured = realloc(s->measured, capacity * sizeof *measured);
    s->measured = measured != NULL ? measured : s->measured;
    if (samples == NULL || measured == NULL) {
        return false;
    }
    s->capacity = capacity;
    return true;
}

int sim_keep(struct sim_series *s, const firn_sim_sample *sample,
             const struct sim_measured *measured) {
    if (s->count == s->capacity && !grow(s)) {
        return 1;
    }
    s->measured[s->count] = measured != NULL ? *measured : (struct sim_measured){0};
    s->samples[s->count++] = *sample;
    return 0;
}

void sim_forget(struct sim_series *s) {
    free(s->samples);
    free(s->measured);
    s->samples = NULL;
    s->measured = NULL;
    s->count = s->capacity = 0;
}

const firn_sim_sample *sim_loaded(const struct sim_study *study, const struct sim_series *s) {
    size_t i = 0;
    while (i + 1 < s->count && s->samples[i + 1].puts <= study->workload.entries) {
        i++;
    }
    return &s->samples[i];
}

double sim_writes(const firn_sim_sample *from, const firn_sim_sample *to) {
    uint64_t puts = to->puts, written = to->flushed + to->merged;
    if (from != NULL) {
        puts -= from->puts;
        written -= from->flushed + from->merged;
    }
    return puts > 0 ? (double)written / (double)puts : 0;
}

double sim_merges(const firn_sim_sample *from, const firn_sim_sample *to) {
    uint64_t puts = to->puts - (from != NULL ? from->puts : 0);
    uint64_t merged = to->merged - (from != NULL ? from->merged : 0);
    return puts > 0 ? (double)merged / (double)puts : 0;
}

double sim_space(const struct sim_study *study, const struct sim_series *s, bool while_merging) {
    const firn_sim_sample *loaded = sim_loaded(study, s);
    double most = 0;
    /* The sample after loading tells the most since one before it. */
    for (const firn_sim_sample *at = loaded + 1; at < s->samples + s->count; at++) {
        if (at->live > 0 && !(while_merging && at == loaded + 1)) {
            uint64_t stored = while_merging ? at->stored_most : at->stored;
            most = fmax(most, (double)stored / (double)at->live);
        }
    }
    return most;
}

/* ---- Theory ---- */

/* K and Z of the policy. */
static void runs_of(const firn_options *o, double *upper, double *last) {
    double most = o->size_ratio - 1;
    *upper = *last = 1;
    if (o->compaction_policy == FIRN_POLICY_TIERED) {
        *upper = *last = most;
    } else if (o->compaction_policy == FIRN_POLICY_LAZY_LEVELED) {
        *upper = most;
    } else if (o->compaction_policy == FIRN_POLICY_FLUID) {
        *upper = o->runs_upper;
        *last = o->runs_last;
    }
}

static uint64_t memtable_entries(const struct sim_study *study, const firn_options *o) {
    if (o->memtable_entries > 0) {
        return o->memtable_entries;
    }
    uint64_t bytes = o->memtable_bytes > 0 ? o->memtable_bytes : o->memory_budget / 8;
    return bytes / 4 / study->machine.entry_bytes + 1;
}

/* Filters are built over so many keys of a table at a time. */
#define FILTER_KEYS 60000

/* Chucky (SIGMOD 2021), equation 2, for filters of as many bits everywhere; Dostoevsky, equation
 * 10, for those that Monkey shares out; with the rates of the filters that are used. */
static double false_reads_theory(const firn_options *o, double t, double levels, double upper,
                                 double bottom) {
    double runs = upper * (levels - 1) + bottom;
    double rate = firn_filter_rate(o->filter_kind, FILTER_KEYS, o->filter_bits_per_key);
    if (!o->filter) {
        return runs;
    }
    if (o->filter_allocation == FIRN_FILTER_UNIFORM || levels < 2) {
        return rate * runs;
    }
    return rate * pow(bottom, (t - 1) / t) * pow(upper, 1 / t) * pow(t, t / (t - 1)) / (t - 1);
}

struct sim_cost sim_cost_of(const struct sim_study *study, const struct sim_series *s) {
    const firn_options *o = &s->options;
    const firn_sim_sample *last = sim_last(s), *from = sim_loaded(study, s);
    double t = o->size_ratio, upper, bottom;
    runs_of(o, &upper, &bottom);
    /* A trace tells of those keys only that it goes to. */
    double keys =
        study->workload.trace != NULL ? (double)last->live : (double)study->workload.entries;
    double batch = (double)(memtable_entries(study, o) * o->level0_runs);
    double levels = ceil(log(keys / batch * (t - 1) / t) / log(t));
    levels = levels > 1 ? levels : 1;
    bool known = o->user_policy == NULL; /* nobody knows formulas for policies of one's own */
    return (struct sim_cost){
        .size_ratio = o->size_ratio,
        .merges = sim_merges(last->puts > from->puts ? from : NULL, last),
        .false_reads = last->empty_reads > 0 ? last->empty_false_reads / last->empty_reads : 0,
        .merges_theory =
            known ? (t - 1) / (upper + 1) * (levels - 1) + (t - 1) / (bottom + 1) : NAN,
        .false_reads_theory = known ? false_reads_theory(o, t, levels, upper, bottom) : NAN,
    };
}
