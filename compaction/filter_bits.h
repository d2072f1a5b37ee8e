/* compaction/filter_bits.h: how many filter bits per key a new table gets, from the picture of the
 * levels: Monkey (bloom/monkey.h) on the tree as it is, however uneven, run by run.
 *
 * Bits are decided once, when a table is written; tables there keep theirs. So what counts is the
 * tree in which the new one will live. A merge takes its inputs away, but runs like those above the
 * output will gather again, until there are as many: half of them are there on the average, so half
 * of them count. Over time the tree then takes the bits it was given. Where it is to stay as it is
 * (compacted by hand), nothing more is counted.
 */
#ifndef FIRN_COMPACTION_FILTER_BITS_H
#define FIRN_COMPACTION_FILTER_BITS_H

#include "bloom/filter.h"
#include "lsm/firn_lab.h"

struct filter_budget {
    firn_filter_kind kind;
    firn_filter_allocation allocation;
    double bits_per_key; /* on the average of all keys; 0: no filters */
};

/* For the tables of a run that a flush of so many entries adds to level 0. */
double filter_bits_for_flush(const firn_shape *shape, uint64_t entries,
                             const struct filter_budget *budget);

/* For the outputs of a job; settled: what it takes will not come again. 0: they do best without. */
double filter_bits_for_job(const firn_shape *shape, const firn_job *job, bool settled,
                           const struct filter_budget *budget);

#endif
