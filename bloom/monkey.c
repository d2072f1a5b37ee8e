/* The least of   sum of runs_i p_i   with   sum of -n_i ln(p_i) / gain_per_bit = bits_total   is,
 * by Lagrange, where all  runs_i p_i / n_i  are one and the same number, lambda; and p_i = 1 where
 * that would pass 1. The bits that a lambda takes fall as it rises, so it is found by bisection, on
 * its logarithm since it spans many powers of ten.
 */
#include "bloom/monkey.h"

#include <math.h>
#include <stdbool.h>

#define BISECTIONS 100 /* more than a double has bits */

static bool takes_part(const struct monkey_level *level) {
    return level->entries > 0 && level->runs > 0;
}

/* -ln(p) of a level, never below 0. */
static double log_gain(const struct monkey_level *level, double log_lambda) {
    double gain = -(log_lambda + level->log_size);
    return gain > 0 ? gain : 0;
}

/* bits * gain_per_bit, over all levels */
static double gain_taken(const struct monkey_level *levels, size_t count, double log_lambda) {
    double gain = 0;
    for (size_t i = 0; i < count; i++) {
        if (takes_part(&levels[i])) {
            gain += (double)levels[i].entries * log_gain(&levels[i], log_lambda);
        }
    }
    return gain;
}

/* Brackets lambda: at *high no level has a filter; *low would be the answer if rates above 1 gave
 * bits back, so it takes no less than there are. Works out the logarithms. */
static void bracket(struct monkey_level *levels, size_t count, double gain_total, double *low,
                    double *high) {
    double entries = 0, weighted = 0;
    *high = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        if (takes_part(&levels[i])) {
            struct monkey_level *level = &levels[i];
            level->log_size = log((double)level->entries / level->runs);
            entries += (double)level->entries;
            weighted += (double)level->entries * level->log_size;
            *high = -level->log_size > *high ? -level->log_size : *high;
        }
    }
    *low = entries > 0 ? -(gain_total + weighted) / entries : 0;
}

double monkey_share(struct monkey_level *levels, size_t count, double bits_total,
                    double gain_per_bit) {
    double low, high, gain_total = bits_total > 0 ? bits_total * gain_per_bit : 0;
    bracket(levels, count, gain_total, &low, &high);
    for (int i = 0; i < BISECTIONS; i++) {
        double middle = low + (high - low) / 2;
        if (middle == low || middle == high) {
            break; /* no number is left between them */
        }
        if (gain_taken(levels, count, middle) > gain_total) {
            low = middle;
        } else {
            high = middle;
        }
    }
    double false_positives = 0;
    for (size_t i = 0; i < count; i++) {
        levels[i].bits_per_key = 0;
        if (takes_part(&levels[i])) {
            double gain = log_gain(&levels[i], high);
            levels[i].bits_per_key = gain / gain_per_bit;
            false_positives += levels[i].runs * exp(-gain);
        }
    }
    return false_positives;
}
