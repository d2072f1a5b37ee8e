/* tests/compaction/formula_test.c: the simulator against the closed formulas, with both columns.
 *
 * The formulas of "Monkey" (SIGMOD 2017) and "Dostoevsky" (SIGMOD 2018) describe a tree whose level
 * i has room for T^i buffers, set from the top down, that is just full: so such a tree is simulated
 * here, by a policy of its own, up to T^L - 1 buffers of new keys. A level that would be full is
 * passed over, as the papers count. The settings are those that the formulas are usually tabulated
 * for: T = 4 with five levels, T = 10 with three.
 *
 * firn's own policies set capacities from the last level up. By whole levels, they are looked at
 * where the tree does not grow and updates go on: then each batch that comes to the last level, a
 * T-th of it, rewrites it whole, which is T times for each entry, instead of the (T - 1)/2 of a
 * level that fills up. Updates that meet in one run on the way count once: a run of a T-th of all
 * keys has taken -ln(1 - 1/T) times as many. By parts, leveling costs L(T + 1)/2 while the last
 * level fills up ("Spooky", PVLDB 15(11), 2022).
 */
#include "compaction/simulate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"

#define BUFFER 100 /* entries */
#define LN2_SQUARED 0.4804530139182014

/* ---- The tree of the papers ---- */

struct paper {
    uint32_t ratio;   /* T */
    size_t levels;    /* L */
    uint32_t k, z;    /* 1: one run that grows; T - 1: as many runs of one batch each */
    const char *name; /* of the policy */
};

/* How many batches of the level's size it holds. */
static uint64_t batches(const struct paper *p, const firn_shape *shape, size_t level) {
    uint64_t entries = 0, batch = BUFFER;
    for (size_t i = 1; i < level; i++) {
        batch *= p->ratio;
    }
    for (size_t r = 0; level < shape->level_count && r < shape->levels[level].count; r++) {
        for (size_t t = 0; t < shape->levels[level].runs[r].count; t++) {
            entries += shape->levels[level].runs[r].tables[t].entries;
        }
    }
    return (entries + batch / 2) / batch;
}

static void take_level(const firn_shape *shape, size_t level, firn_job *job) {
    for (size_t r = 0; level < shape->level_count && r < shape->levels[level].count; r++) {
        for (size_t t = 0; t < shape->levels[level].runs[r].count; t++) {
            job->tables[job->table_count++] = shape->levels[level].runs[r].tables[t].number;
        }
    }
}

static void pick(void *context, const firn_shape *shape, const firn_policy_params *params,
                 firn_job *job) {
    const struct paper *p = context;
    (void)params;
    size_t to = 1;
    if (shape->levels[0].count == 0) {
        return;
    }
    while (to < p->levels && batches(p, shape, to) == p->ratio - 1) {
        to++;
    }
    for (size_t level = 0; level < to; level++) {
        take_level(shape, level, job);
    }
    if ((to < p->levels ? p->k : p->z) == 1) {
        take_level(shape, to, job);
    }
    job->any = true;
    job->output_level = to;
    job->output = FIRN_OUTPUT_NEW_RUN;
    job->score = 1;
}

/* ---- Formulas ---- */

/* Dostoevsky, equation 12, in entries. */
static double merges_of(const struct paper *p) {
    double t = p->ratio;
    return (t - 1) / (p->k + 1) * ((double)p->levels - 1) + (t - 1) / (p->z + 1);
}

static double runs_of(const struct paper *p) {
    return (double)p->k * ((double)p->levels - 1) + p->z;
}

/* Dostoevsky, equation 10, for filters of so many bits a key on the average. */
static double monkey_of(const struct paper *p, double bits) {
    double t = p->ratio;
    return exp(-bits * LN2_SQUARED) * pow(p->z, (t - 1) / t) * pow(p->k, 1 / t) *
           pow(t, t / (t - 1)) / (t - 1);
}

/* ---- Simulations ---- */

struct study {
    firn_sim_workload workload;
    firn_sim_machine machine;
    struct sim_setup setup;
    uint64_t loading;             /* entries; what is counted comes after them */
    firn_sim_sample loaded, last; /* when these were there; at the end */
};

static int keep(void *context, const firn_sim_sample *sample) {
    struct study *s = context;
    s->last = *sample;
    if (sample->puts <= s->loading) {
        s->loaded = *sample;
    }
    return 0;
}

static void study_init(struct study *s, uint64_t buffers, uint64_t updates) {
    memset(s, 0, sizeof *s);
    s->workload = (firn_sim_workload){
        .entries = buffers * BUFFER, .updates = updates * BUFFER, .scan_entries = 1, .seed = 1};
    s->loading = s->workload.entries;
    s->machine = (firn_sim_machine){
        .entry_bytes = 16, .writes_per_second = 1e6, .entries_max = UINT64_MAX, .samples = 1000};
    s->setup = (struct sim_setup){
        .workload = &s->workload,
        .machine = &s->machine,
        .memtable_entries = BUFFER,
        .table_entries = 100000,
        .filters = {FIRN_FILTER_BLOOM, FIRN_FILTER_UNIFORM, 10},
        .filter_gain = LN2_SQUARED,
        .merges_max = 1,
        .sealed_max = 2,
        .sample = keep,
        .context = s,
    };
}

static void run(struct study *s) {
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    if (simulate(&alloc, &s->setup) != FIRN_OK) {
        fail_msg("%s", status_message());
    }
}

static void run_paper(struct study *s, struct paper *p, firn_filter_allocation allocation) {
    firn_user_policy policy = {.name = p->name, .context = p, .pick = pick};
    uint64_t full = 1;
    for (size_t i = 0; i < p->levels; i++) {
        full *= p->ratio;
    }
    study_init(s, full - 1, 0);
    s->setup.policy = (firn_policy_params){.user = &policy, .size_ratio = p->ratio};
    s->setup.filters.allocation = allocation;
    run(s);
}

static void check_line(const char *name, const char *what, double simulated, double formula,
                       double within) {
    printf("  %-28s %-14s %10.4f %10.4f %+7.2f %%\n", name, what, simulated, formula,
           100 * (simulated / formula - 1));
    assert_true(simulated > formula * (1 - within) && simulated < formula * (1 + within));
}

static void merges_and_false_reads_are_those_of_the_formulas(void **state) {
    (void)state;
    static const struct {
        uint32_t ratio;
        size_t levels;
    } trees[] = {{4, 5}, {10, 3}};
    printf("  %-28s %-14s %10s %10s\n", "", "", "simulated", "formula");
    for (size_t i = 0; i < 6; i++) {
        static const char *const names[] = {"leveled", "lazy-leveled", "tiered"};
        uint32_t t = trees[i / 3].ratio, kind = (uint32_t)i % 3;
        struct paper p = {t, trees[i / 3].levels, kind > 0 ? t - 1 : 1, kind > 1 ? t - 1 : 1,
                          names[kind]};
        char name[48];
        struct study s;
        (void)snprintf(name, sizeof name, "%s, T = %u, L = %zu", p.name, (unsigned)t, p.levels);
        run_paper(&s, &p, FIRN_FILTER_UNIFORM);
        check_line(name, "merges", (double)s.last.merged / (double)s.last.puts, merges_of(&p),
                   0.01);
        check_line(name, "R, uniform", s.last.false_reads_expected,
                   exp(-10 * LN2_SQUARED) * runs_of(&p), 0.02);
        run_paper(&s, &p, FIRN_FILTER_MONKEY);
        /* Bits are given out as tables are made, for a tree that is half full on the average; so
         * the formula is asked for the bits there are in the end. */
        check_line(name, "R, Monkey", s.last.false_reads_expected,
                   monkey_of(&p, s.last.filter_bits), 0.02);
        printf("  %-28s %.2f bits a key of 10\n", "", s.last.filter_bits);
    }
}

/* ---- The policies that the engine has ---- */

static void run_own(struct study *s, firn_policy policy, firn_granularity granularity,
                    uint32_t ratio) {
    s->setup.policy = (firn_policy_params){
        .policy = policy,
        .granularity = granularity,
        .size_ratio = ratio,
        .level0_runs = 1,
        .batch_bytes = BUFFER * 16,
        .level1_bytes = (uint64_t)ratio * BUFFER * 16,
        .table_bytes = s->setup.table_entries * 16,
        .job_bytes = s->setup.table_entries * 16,
        .runs_upper = 1,
        .runs_last = 1,
    };
    run(s);
}

static double merges_after_loading(const struct study *s) {
    return (double)(s->last.merged - s->loaded.merged) / (double)(s->last.puts - s->loaded.puts);
}

static const uint32_t ratios[] = {4, 10};
static const double levels[] = {5, 3};

static void whole_levels_are_merged_as_in_a_tree_that_keeps_its_size(void **state) {
    (void)state;
    printf("  %-28s %-14s %10s %10s\n", "", "", "simulated", "formula");
    for (size_t i = 0; i < 2; i++) {
        double t = ratios[i];
        char name[48];
        struct study s;
        study_init(&s, 1000, 3000);
        run_own(&s, FIRN_POLICY_FLUID, FIRN_GRANULARITY_FULL, ratios[i]);
        (void)snprintf(name, sizeof name, "fluid, K = 1, T = %.0f", t);
        check_line(name, "merges", merges_after_loading(&s),
                   (t - 1) / 2 * (levels[i] - 1) - 1 / log(1 - 1 / t), 0.05);
        study_init(&s, 1000, 3000);
        run_own(&s, FIRN_POLICY_LAZY_LEVELED, FIRN_GRANULARITY_FULL, ratios[i]);
        (void)snprintf(name, sizeof name, "lazy-leveled, T = %.0f", t);
        check_line(name, "merges", merges_after_loading(&s), (t - 1) / t * (levels[i] - 1) + t,
                   0.05);
    }
}

static void leveling_by_parts_costs_what_its_formula_says(void **state) {
    (void)state;
    printf("  %-28s %-14s %10s %10s\n", "", "", "simulated", "formula");
    for (size_t i = 0; i < 2; i++) {
        double t = ratios[i];
        uint64_t full = (uint64_t)(pow(t, levels[i]) + 0.5);
        char name[48];
        struct study s;
        study_init(&s, full - 1, 0);
        s.loading = full / ratios[i] * BUFFER; /* from here on, there are L levels */
        s.setup.table_entries = 4 * BUFFER;
        run_own(&s, FIRN_POLICY_LEVELED, FIRN_GRANULARITY_PARTIAL, ratios[i]);
        (void)snprintf(name, sizeof name, "leveled, T = %.0f, L = %.0f", t, levels[i]);
        check_line(name, "merges", merges_after_loading(&s), levels[i] * (t + 1) / 2, 0.05);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_and_false_reads_are_those_of_the_formulas),
        cmocka_unit_test(whole_levels_are_merged_as_in_a_tree_that_keeps_its_size),
        cmocka_unit_test(leveling_by_parts_costs_what_its_formula_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
