/* A value below 32 is its own bucket. Above, a value with its highest bit at position p is shifted
 * right until that bit is bit 5: what is left, 32 to 63, tells the part of the power of two, and
 * the shift tells which power:  bucket = 32 * shift + (value >> shift).
 */
#include "base/histogram.h"

#include <string.h>

#define PARTS (1u << HISTOGRAM_PARTS_LOG2)

static unsigned bucket_of(uint64_t value) {
    if (value < PARTS) {
        return (unsigned)value;
    }
    unsigned shift = 63u - HISTOGRAM_PARTS_LOG2 - (unsigned)__builtin_clzll(value);
    return PARTS * shift + (unsigned)(value >> shift);
}

/* The highest value of a bucket. */
static uint64_t bucket_top(unsigned bucket) {
    if (bucket < 2 * PARTS) {
        return bucket;
    }
    unsigned shift = bucket / PARTS - 1;
    uint64_t part = bucket % PARTS + PARTS;
    return (part << shift) + ((UINT64_C(1) << shift) - 1);
}

void histogram_init(struct histogram *h) {
    memset(h, 0, sizeof *h);
}

void histogram_add(struct histogram *h, uint64_t value) {
    h->min = h->count == 0 || value < h->min ? value : h->min;
    h->max = value > h->max ? value : h->max;
    h->sum += (double)value;
    h->count++;
    h->buckets[bucket_of(value)]++;
}

void histogram_merge(struct histogram *h, const struct histogram *from) {
    if (from->count == 0) {
        return;
    }
    h->min = h->count == 0 || from->min < h->min ? from->min : h->min;
    h->max = from->max > h->max ? from->max : h->max;
    h->sum += from->sum;
    h->count += from->count;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        h->buckets[i] += from->buckets[i];
    }
}

uint64_t histogram_percentile(const struct histogram *h, double percent) {
    if (h->count == 0 || percent <= 0) {
        return h->min;
    }
    double want = percent / 100 * (double)h->count;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (h->buckets[i] > 0 && (double)seen >= want) {
            uint64_t top = bucket_top(i);
            return top > h->max ? h->max : top;
        }
    }
    return h->max;
}

double histogram_mean(const struct histogram *h) {
    return h->count == 0 ? 0 : h->sum / (double)h->count;
}
