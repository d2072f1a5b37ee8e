/* base/histogram.h: a distribution of latencies, or of any numbers, in fixed space.
 *
 * Buckets grow with the values (Tene's HdrHistogram): each power of two is cut into 32 equal ones,
 * so that a percentile is off by at most 1/32 of itself, whatever the range; below 64 all are
 * exact.
 *
 * Not thread-safe: each thread fills its own, and they are merged.
 */
#ifndef FIRN_BASE_HISTOGRAM_H
#define FIRN_BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_PARTS_LOG2 5 /* of a power of two */
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_PARTS_LOG2 + 1) << HISTOGRAM_PARTS_LOG2)

struct histogram {
    uint64_t count;
    uint64_t min, max; /* 0 when count is */
    double sum;        /* of all values; a u64 would overflow */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_init(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t value);

/* Adds what from has to h. */
void histogram_merge(struct histogram *h, const struct histogram *from);

/* The smallest value, up to the width of a bucket, that at least percent of all do not exceed. 0
 * when empty. percent 0 gives min, 100 gives max. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

double histogram_mean(const struct histogram *h); /* 0 when empty */

#endif
