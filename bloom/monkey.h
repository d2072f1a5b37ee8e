/* bloom/monkey.h: how many filter bits the keys of each level get out of one budget (Dayan,
 * Athanassoulis, Idreos, "Monkey: Optimal Navigable Key-Value Store", SIGMOD 2017).
 *
 * A lookup of an absent key asks the filter of every run, and reads a page for each that is wrong:
 * the sum of the false positive rates over all runs is what it costs. A bit more per key costs
 * least in small levels and saves as much there as anywhere, so the sum is least when rates are in
 * proportion to the entries per run, and the largest level may do best without any filter.
 *
 * The model of a filter is that -ln(rate) grows by the same with each bit per key: by ln(2)^2 for
 * an ideal Bloom filter; filter.h tells it for those we have.
 */
#ifndef FIRN_BLOOM_MONKEY_H
#define FIRN_BLOOM_MONKEY_H

#include <stddef.h>
#include <stdint.h>

struct monkey_level {
    uint64_t entries;    /* in all runs of the level */
    uint32_t runs;       /* that a lookup has to ask; of about the same size */
    double bits_per_key; /* the answer; 0: no filter */
    double log_size;     /* monkey_share()'s own: the logarithm of the entries of a run */
};

/* Shares out bits_total by filling in bits_per_key; returns the expected number of false positives
 * of a lookup of an absent key. */
double monkey_share(struct monkey_level *levels, size_t count, double bits_total,
                    double gain_per_bit);

#endif
