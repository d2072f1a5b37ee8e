/* Runs are put into classes by their size, a quarter of a doubling each, so that a picture of any
 * number of runs is shared out in little memory and time.
 */
#include "compaction/filter_bits.h"

#include <math.h>

#include "bloom/monkey.h"

#define CLASSES_PER_DOUBLING 4
#define CLASSES ((size_t)64 * CLASSES_PER_DOUBLING)
#define BITS_LEAST 1.5 /* what less would buy is not worth a section */
#define BITS_MOST 32.0

struct census {
    struct monkey_level classes[CLASSES];
    double entries;
};

static size_t class_of(uint64_t entries) {
    return (size_t)(CLASSES_PER_DOUBLING * log2((double)entries));
}

static void add_run(struct census *c, uint64_t entries) {
    if (entries > 0) {
        struct monkey_level *class = &c->classes[class_of(entries)];
        class->entries += entries;
        class->runs++;
        c->entries += (double)entries;
    }
}

/* Of a run of so many entries, which was added, too. */
static double share_of(const struct census *c, uint64_t entries,
                       const struct filter_budget *budget) {
    if (entries == 0 || budget->allocation == FIRN_FILTER_UNIFORM || budget->bits_per_key <= 0) {
        return budget->bits_per_key;
    }
    struct monkey_level used[CLASSES]; /* few of them all */
    size_t own = class_of(entries), own_used = 0, count = 0;
    for (size_t i = 0; i < CLASSES; i++) {
        if (c->classes[i].runs > 0) {
            own_used = i == own ? count : own_used;
            used[count++] = c->classes[i];
        }
    }
    (void)monkey_share(used, count, c->entries * budget->bits_per_key,
                       filter_gain_per_bit(budget->kind));
    double bits = used[own_used].bits_per_key;
    return bits < BITS_LEAST ? 0 : bits > BITS_MOST ? BITS_MOST : bits;
}

static uint64_t run_entries(const firn_shape_run *run) {
    uint64_t entries = 0;
    for (size_t t = 0; t < run->count; t++) {
        entries += run->tables[t].entries;
    }
    return entries;
}

double filter_bits_for_flush(const firn_shape *shape, uint64_t entries,
                             const struct filter_budget *budget) {
    struct census c = {.entries = 0};
    for (size_t l = 0; l < shape->level_count; l++) {
        for (size_t r = 0; r < shape->levels[l].count; r++) {
            add_run(&c, run_entries(&shape->levels[l].runs[r]));
        }
    }
    add_run(&c, entries);
    return share_of(&c, entries, budget);
}

/* The entries of a run, and those of them that the job takes. */
static void count_run(const firn_shape_run *run, const firn_job *job, uint64_t *all,
                      uint64_t *taken) {
    *all = *taken = 0;
    for (size_t t = 0; t < run->count; t++) {
        const firn_shape_table *table = &run->tables[t];
        bool input = false;
        for (size_t i = 0; i < job->table_count && !input; i++) {
            input = job->tables[i] == table->number;
        }
        *all += table->entries;
        *taken += input ? table->entries : 0;
    }
}

/* Whether runs like those that the job takes from this level will gather there again: not what it
 * replaces, and not the last level's, when a deeper one begins. */
static bool gathers_again(const firn_shape *shape, const firn_job *job, size_t level,
                          bool settled) {
    bool deepens = job->output_level >= shape->level_count && level + 1 == shape->level_count;
    return !settled && level < job->output_level && (level == 0 || !deepens);
}

double filter_bits_for_job(const firn_shape *shape, const firn_job *job, bool settled,
                           const struct filter_budget *budget) {
    struct census c = {.entries = 0};
    uint64_t output = 0;
    for (size_t l = 0; l < shape->level_count; l++) {
        bool again = gathers_again(shape, job, l, settled);
        bool joins = l == job->output_level && job->output == FIRN_OUTPUT_MERGE_INTO_RUN;
        for (size_t r = 0; r < shape->levels[l].count; r++) {
            uint64_t all, taken;
            bool joined = joins && r == 0;
            count_run(&shape->levels[l].runs[r], job, &all, &taken);
            output += joined ? all : taken;
            /* A single run is filled up again as it is emptied: of such, all counts. */
            bool counts = again && (taken < all || r % 2 == 0);
            add_run(&c, joined ? 0 : counts ? all : all - taken);
        }
    }
    add_run(&c, output);
    return share_of(&c, output, budget);
}
