/* bloom/fuse.h: a binary fuse filter (Graf and Lemire, "Binary Fuse Filters: Fast and Smaller Than
 * Xor Filters", 2022) of four slots a key, with fingerprints of any width, also between two whole
 * ones. Smaller than a Bloom filter of the same rate, dearer to build, and not to be added to.
 *
 * Slots are small numbers. A key's hash names four of them, one in each of four neighbouring
 * segments, and a fingerprint; the four numbers are such that their exclusive or is the fingerprint
 * for every key that was added. For other keys it is so by chance, once in 2^width.
 *
 * A filter is built over the key_hash() of its keys and is one block of bytes, drawn in fuse.c.
 */
#ifndef FIRN_BLOOM_FUSE_H
#define FIRN_BLOOM_FUSE_H

#include "base/buf.h"

/* What a search needs from the header of a filter; borrows its bytes. */
struct fuse {
    const uint8_t *slots;
    uint64_t seed;
    uint32_t starts;     /* slots that may be the first of a key */
    uint32_t segment;    /* slots; a power of two */
    uint32_t wide_slots; /* the first so many are of width + 1 bits */
    uint32_t width;      /* bits of the others */
};

/* Appends to `out` the filter of count hashes that has the least rate within bits_per_key. The
 * hashes may be reordered. *built false, and nothing appended: they allow for none, by chance (less
 * than once in a billion) or by design of whoever chose the keys. Besides the filter it holds 15
 * bytes a key while it works, counted as `out` is. FIRN_NOMEM. */
int fuse_build(uint64_t *hashes, size_t count, double bits_per_key, struct buf *out, bool *built);

/* Reads the header and checks that the filter may be searched. FIRN_CORRUPT, FIRN_UNSUPPORTED. */
int fuse_open(firn_slice bytes, struct fuse *f);

/* Whether bytes begin as such a filter does. */
bool fuse_is(firn_slice bytes);

/* False: the key is certainly not there. */
bool fuse_may_contain(const struct fuse *f, uint64_t hash);

/* The false positive rate: 2^-width, or for keys of wide slots only half of that. */
double fuse_rate(const struct fuse *f);

/* The rate to expect of fuse_build(), if its first try succeeds, as nearly all do; 1 where so few
 * bits make no filter. */
double fuse_expected_rate(size_t count, double bits_per_key);

#endif
