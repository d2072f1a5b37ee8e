#include "tools/tune.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/command.h"

#define SAMPLED_READS 20000
#define MEMTABLES 3 /* the active one, and those that wait for their flush */
#define MEMTABLE_LEAST (UINT64_C(256) << 10) /* bytes; of less, most is no entries */
#define FILTER_KEYS 60000

static const double filter_bits[] = {0, 2, 4, 6, 8, 10, 13, 16};
#define FILTERS (sizeof filter_bits / sizeof *filter_bits)
#define SIMULATED_BITS 8.0

/* ---- One simulation ---- */

struct counted {
    firn_sim_sample loaded, last;
    uint64_t entries;
    double space;
};

static int count_sample(void *context, const firn_sim_sample *sample) {
    struct counted *c = context;
    c->last = *sample;
    if (sample->puts <= c->entries) {
        c->loaded = *sample;
    } else if (sample->live > 0) {
        c->space = fmax(c->space, (double)sample->stored / (double)sample->live);
    }
    return 0;
}

static double per(double count, double of) {
    return of > 0 ? count / of : 0;
}

/* Loads the tree, updates each key once on the average, and reads meanwhile. */
static bool simulate(const struct tune_question *q, struct tune_choice *c) {
    firn_sim_workload w;
    firn_sim_machine m;
    struct counted counted = {.entries = q->entries};
    firn_sim_workload_init(&w);
    firn_sim_machine_init(&m);
    w.entries = w.updates = q->entries;
    w.reads = w.empty_reads = w.scans = SAMPLED_READS;
    w.scan_entries = q->scan_entries;
    m.entry_bytes = q->entry_bytes;
    m.entries_max = q->simulate;
    if (firn_simulate(&c->options, &w, &m, count_sample, &counted) != FIRN_OK) {
        complain_firn();
        return false;
    }
    const firn_sim_sample *a = &counted.loaded, *b = &counted.last;
    double puts = (double)(b->puts - a->puts);
    c->writes = per((double)(b->flushed + b->merged - a->flushed - a->merged), puts);
    c->merge_inputs = per((double)(b->merge_inputs - a->merge_inputs), puts);
    c->false_reads = per(b->false_reads, b->reads);
    c->empty_reads_in_vain = per(b->empty_false_reads, b->empty_reads);
    c->runs = per(b->scan_runs, b->scans);
    c->scan_entries = per(b->scan_entries, b->scans);
    c->space = counted.space;
    return true;
}

/* ---- What it costs ---- */

static double gain_per_bit(firn_filter_kind kind) {
    return -log(firn_filter_rate(kind, FILTER_KEYS, 10)) / 10;
}

static double total_of(const struct tune_choice *c, const double *mix) {
    double total = 0, count = 0;
    for (int k = 0; k < TUNE_KINDS; k++) {
        total += mix[k] * c->cost[k];
        count += mix[k];
    }
    return total / count;
}

/* Works out costs from what was simulated; false when memtables and filters do not fit. */
static bool price(const struct tune_question *q, struct tune_choice *c) {
    const firn_options *o = &c->options;
    double stored = (double)q->entries * c->space, bits = o->filter ? o->filter_bits_per_key : 0;
    double page = (double)q->page_bytes, per_page = page / (double)q->entry_bytes;
    double left = (double)q->memory - MEMTABLES * (double)o->memtable_bytes - stored * bits / 8;
    if (left < 0) {
        return false;
    }
    c->cached = fmin(1, left / (stored * (double)q->entry_bytes));
    double missed = 1 - c->cached;
    c->cost[TUNE_WRITE] = (c->writes + c->merge_inputs) / per_page;
    c->cost[TUNE_READ] = (1 + c->false_reads) * missed;
    c->cost[TUNE_EMPTY] = c->empty_reads_in_vain * missed;
    c->cost[TUNE_SCAN] = (c->runs + c->scan_entries / per_page) * missed;
    c->total = total_of(c, q->mix);
    return true;
}

/* The same tree with filters of other bits: all rates change alike, up to one page a run. */
static struct tune_choice with_bits(const struct tune_choice *simulated, double bits) {
    struct tune_choice c = *simulated;
    double by = exp(gain_per_bit(c.options.filter_kind) * (SIMULATED_BITS - bits));
    c.options.filter = bits > 0;
    c.options.filter_bits_per_key = bits > 0 ? bits : SIMULATED_BITS;
    c.false_reads = fmin(c.false_reads * by, c.runs - 1);
    c.empty_reads_in_vain = fmin(c.empty_reads_in_vain * by, c.runs);
    return c;
}

/* ---- The search ---- */

static size_t add_shapes(const struct tune_question *q, uint64_t memtable_bytes, uint32_t ratio,
                         struct tune_choice *shapes) {
    static const struct {
        firn_policy policy;
        uint32_t upper, last;
    } kinds[] = {
        {FIRN_POLICY_LEVELED, 1, 1}, {FIRN_POLICY_LAZY_LEVELED, 1, 1}, {FIRN_POLICY_TIERED, 1, 1},
        {FIRN_POLICY_FLUID, 2, 1},   {FIRN_POLICY_FLUID, 3, 1},        {FIRN_POLICY_FLUID, 5, 1},
        {FIRN_POLICY_FLUID, 3, 2},
    };
    size_t count = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].upper >= ratio) {
            continue; /* tiering or lazy leveling, which are there */
        }
        struct tune_choice *c = &shapes[count++];
        *c = (struct tune_choice){.options = q->options};
        firn_options *o = &c->options;
        o->compaction_policy = kinds[i].policy;
        if (o->compaction_policy == FIRN_POLICY_FLUID) {
            o->runs_upper = kinds[i].upper;
            o->runs_last = kinds[i].last;
        }
        o->size_ratio = ratio;
        o->level0_runs = 1;
        o->filter = true;
        o->filter_bits_per_key = SIMULATED_BITS;
        o->memtable_bytes = memtable_bytes;
        /* On the disk it takes a quarter of its memory (options_policy()). */
        o->memtable_entries = memtable_bytes / 4 / q->entry_bytes + 1;
    }
    return count;
}

static int by_total(const void *a, const void *b) {
    double x = ((const struct tune_choice *)a)->total, y = ((const struct tune_choice *)b)->total;
    return (x > y) - (x < y);
}

/* The mix with one kind of operation more frequent; and the best total any choice has then. */
static void drift(const struct tune_question *q, int kind, double *mix) {
    memcpy(mix, q->mix, sizeof q->mix);
    mix[kind] *= TUNE_DRIFT;
}

static void work_out_regrets(const struct tune_question *q, struct tune_answer *a) {
    for (int kind = 0; kind < TUNE_KINDS; kind++) {
        double mix[TUNE_KINDS], best = INFINITY;
        drift(q, kind, mix);
        for (size_t i = 0; i < a->count; i++) {
            best = fmin(best, total_of(&a->choices[i], mix));
        }
        for (size_t i = 0; i < a->count; i++) {
            double regret = best > 0 ? total_of(&a->choices[i], mix) / best - 1 : 0;
            if (regret > a->choices[i].regret) {
                a->choices[i].regret = regret;
                a->choices[i].regret_of = (enum tune_kind)kind;
            }
        }
    }
}

/* Simulates the best ones with the filters that they have. */
static bool make_exact(const struct tune_question *q, struct tune_answer *a, size_t exact) {
    a->exact = exact < a->count ? exact : a->count;
    for (size_t i = 0; i < a->exact; i++) {
        if (!simulate(q, &a->choices[i]) || !price(q, &a->choices[i])) {
            return false;
        }
    }
    qsort(a->choices, a->exact, sizeof *a->choices, by_total);
    return true;
}

bool tune(const struct tune_question *q, size_t exact,
          void (*progress)(void *context, size_t done, size_t of), void *context,
          struct tune_answer *a) {
    static const uint32_t ratios[] = {2, 4, 6, 8, 10, 16};
    struct tune_choice *shapes = calloc(TUNE_SHAPES_MAX, sizeof *shapes);
    size_t count = 0;
    *a = (struct tune_answer){.choices = calloc(TUNE_CHOICES_MAX, sizeof *a->choices)};
    bool ok = shapes != NULL && a->choices != NULL;
    if (!ok) {
        complain("no memory to search in");
    }
    for (uint64_t part = 8, before = 0; part <= 32 && ok; part *= 2) {
        uint64_t bytes = q->memory / part;
        bytes = bytes > MEMTABLE_LEAST ? bytes : MEMTABLE_LEAST;
        for (size_t r = 0; r < sizeof ratios / sizeof *ratios && bytes != before; r++) {
            count += add_shapes(q, bytes, ratios[r], shapes + count);
        }
        before = bytes;
    }
    for (size_t i = 0; i < count && ok; i++) {
        progress(context, i, count);
        ok = simulate(q, &shapes[i]);
        for (size_t f = 0; f < FILTERS && ok; f++) {
            struct tune_choice c = with_bits(&shapes[i], filter_bits[f]);
            if (price(q, &c)) {
                a->choices[a->count++] = c;
            }
        }
    }
    free(shapes);
    if (ok && a->count == 0) {
        complain("no choice fits into so little memory");
        ok = false;
    }
    if (ok) {
        qsort(a->choices, a->count, sizeof *a->choices, by_total);
        ok = make_exact(q, a, exact);
        work_out_regrets(q, a);
    }
    return ok;
}

void tune_name(const struct tune_choice *c, char *text, size_t size) {
    const firn_options *o = &c->options;
    char policy[32];
    (void)firn_options_get(o, "compaction_policy", policy, sizeof policy);
    if (o->compaction_policy == FIRN_POLICY_FLUID) {
        (void)snprintf(text, size, "%s T=%u K=%u Z=%u", policy, (unsigned)o->size_ratio,
                       (unsigned)o->runs_upper, (unsigned)o->runs_last);
    } else {
        (void)snprintf(text, size, "%s T=%u", policy, (unsigned)o->size_ratio);
    }
}
