/* tools/sim_study.h: what `firn sim` ran: one workload through several policies, and the ways to
 * tell of it. */
#ifndef FIRN_TOOLS_SIM_STUDY_H
#define FIRN_TOOLS_SIM_STUDY_H

#include "lsm/firn_lab.h"
#include "tools/out.h"

#define SIM_SERIES_MAX 16
#define SIM_RATIOS_MAX 16

/* What a database tells besides. */
struct sim_measured {
    double cpu_seconds; /* of all threads */
    uint64_t file_bytes, page_reads;
};

/* One simulation, or the same workload in a database, sample after sample. */
struct sim_series {
    char name[96]; /* as it was asked for */
    bool engine;   /* a database; what was simulated comes right before it */
    /* In the last level, and above it: what was simulated, or was measured. */
    double entry_bytes, entry_bytes_above;
    firn_options options;
    firn_sim_sample *samples;
    struct sim_measured *measured; /* beside each sample; all 0 where nothing was measured */
    size_t count, capacity;
};

/* What a policy costs at one size ratio, in the second phase of the workload (the first, when there
 * is no second). */
struct sim_cost {
    uint32_t size_ratio;
    double merges;      /* times an entry is written by merges */
    double false_reads; /* of an empty lookup, with filters of filter_bits_per_key */
    /* NAN: there is no formula. Dostoevsky (SIGMOD 2018), equation 12, in entries. */
    double merges_theory;
    double false_reads_theory;
};

struct sim_study {
    firn_sim_workload workload;
    firn_sim_machine machine;
    struct sim_series series[SIM_SERIES_MAX];
    size_t count;
    struct sim_cost curve[SIM_SERIES_MAX][SIM_RATIOS_MAX]; /* by series and ratio */
    size_t ratio_count;
};

/* Adds a sample; measured: NULL for a simulation. Other than 0: no memory. */
int sim_keep(struct sim_series *s, const firn_sim_sample *sample,
             const struct sim_measured *measured);
void sim_forget(struct sim_series *s); /* what was kept */

/* Does the workload in a new database at path, which is destroyed afterwards. Complains and returns
 * false when that fails. */
bool sim_engine_run(const char *path, const struct sim_study *study, struct sim_series *series);

static inline const firn_sim_sample *sim_last(const struct sim_series *s) {
    return &s->samples[s->count - 1];
}

/* The last sample of the loading phase. */
const firn_sim_sample *sim_loaded(const struct sim_study *study, const struct sim_series *s);

/* Entries that flushes and merges wrote for each that was put, between two samples (from NULL:
 * since the beginning). */
double sim_writes(const firn_sim_sample *from, const firn_sim_sample *to);

double sim_merges(const firn_sim_sample *from, const firn_sim_sample *to); /* merges alone */

/* The most entries in tables for each live key, after loading: at samples, and while merging. */
double sim_space(const struct sim_study *study, const struct sim_series *s, bool while_merging);

struct sim_cost sim_cost_of(const struct sim_study *study, const struct sim_series *s);

void sim_tell_text(struct out *out, const struct sim_study *study);
void sim_tell_csv(struct out *out, const struct sim_study *study);
void sim_tell_json(struct out *out, const struct sim_study *study);
void sim_tell_html(struct out *out, const struct sim_study *study);

#endif
