/* bloom/filter.h: a filter of either kind: whether a key may be among those it was built over, or
 * certainly is not. Each kind's bytes begin with a magic number of their own, so a reader need not
 * be told which it is.
 *
 * Blocked Bloom filters (bloom.h) are built in an eighth of the time; binary fuse filters (fuse.h)
 * of tens of thousands of keys take a quarter fewer bits for the same rate. Probing costs the same.
 * docs/filters.md has the figures.
 */
#ifndef FIRN_BLOOM_FILTER_H
#define FIRN_BLOOM_FILTER_H

#include "bloom/bloom.h"
#include "bloom/fuse.h"

/* An opened filter: what a search needs. Borrows its bytes. */
struct filter {
    firn_slice bytes;
    bool is_fuse;
    struct fuse fuse; /* of such a one */
};

/* Appends a filter over count hashes, which may be reordered; *rate is the rate to expect of it.
 * Bloom is taken instead of fuse where it has the lower rate (few keys or few bits), and where the
 * keys allow for no fuse. FIRN_NOMEM. */
int filter_build(firn_filter_kind kind, uint64_t *hashes, size_t count, double bits_per_key,
                 struct buf *out, double *rate);

/* Checks that bytes are a filter that may be searched. FIRN_CORRUPT, FIRN_UNSUPPORTED. */
int filter_open(firn_slice bytes, struct filter *f);

/* False: the key is certainly not there. */
static inline bool filter_may_contain(const struct filter *f, uint64_t hash) {
    return f->is_fuse ? fuse_may_contain(&f->fuse, hash) : bloom_may_contain(f->bytes, hash);
}

/* The rate to expect of a filter that was built over so many keys. */
double filter_rate(const struct filter *f, uint64_t keys);

/* The rate to expect of filter_build() for so many keys; 1 without bits. */
double filter_expected_rate(firn_filter_kind kind, uint64_t keys, double bits_per_key);

/* About how much -ln(rate) grows with each bit per key, for filters of full size. */
double filter_gain_per_bit(firn_filter_kind kind);

#endif
