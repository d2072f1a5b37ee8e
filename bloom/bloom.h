/* bloom/bloom.h: a cache-line-blocked Bloom filter (Putze, Sanders, Singler, "Cache-, Hash- and
 * Space-Efficient Bloom Filters", 2007): one 64-byte line per key, so one probe is one cache miss.
 *
 * A filter is built over the key_hash() of its keys and is one block of bytes, drawn in bloom.c,
 * that describes itself (probes, size) and is searched where it lies.
 */
#ifndef FIRN_BLOOM_BLOOM_H
#define FIRN_BLOOM_BLOOM_H

#include "base/buf.h"

/* Appends to `out` the filter of count hashes at bits_per_key (fractions allowed; the probe count
 * and line count that give the least false positive rate within those bits). count 0: a filter that
 * answers false. FIRN_NOMEM. */
int bloom_build(const uint64_t *hashes, size_t count, double bits_per_key, struct buf *out);

/* Checks that bytes are a filter that bloom_may_contain() may search. FIRN_CORRUPT,
 * FIRN_UNSUPPORTED. */
int bloom_check(firn_slice filter);

/* False: the key is certainly not there. REQUIRES: bloom_check() accepted the filter. */
bool bloom_may_contain(firn_slice filter, uint64_t hash);

/* The false positive rate to expect of a blocked filter with these bits per key, by the formula of
 * the paper (a Poisson mixture over line loads). */
double bloom_expected_rate(double bits_per_key);
/* The same for so many keys: few have more bits each, in whole lines. */
double bloom_rate_of_lines(uint64_t keys, double bits_per_key);

/* The rate of this filter, which bloom_check() accepted, when so many keys were added to it. */
double bloom_rate(firn_slice filter, uint64_t keys);

/* Bytes bloom_build() will append. */
size_t bloom_bytes(size_t count, double bits_per_key);

#endif
