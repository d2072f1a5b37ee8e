#include "bloom/filter.h"

#include <math.h>

int filter_build(firn_filter_kind kind, uint64_t *hashes, size_t count, double bits_per_key,
                 struct buf *out, double *rate) {
    size_t start = out->size;
    bool built = false;
    int rc = FIRN_OK;
    if (kind != FIRN_FILTER_BLOOM &&
        fuse_expected_rate(count, bits_per_key) < bloom_expected_rate(bits_per_key)) {
        rc = fuse_build(hashes, count, bits_per_key, out, &built);
    }
    if (rc == FIRN_OK && !built) {
        rc = bloom_build(hashes, count, bits_per_key, out);
    }
    struct filter f;
    if (rc == FIRN_OK) {
        firn_slice bytes = firn_slice_make(out->data + start, out->size - start);
        rc = filter_open(bytes, &f);
    }
    *rate = rc == FIRN_OK ? filter_rate(&f, count) : 1;
    return rc;
}

int filter_open(firn_slice bytes, struct filter *f) {
    memset(f, 0, sizeof *f);
    f->bytes = bytes;
    f->is_fuse = fuse_is(bytes);
    return f->is_fuse ? fuse_open(bytes, &f->fuse) : bloom_check(bytes);
}

double filter_rate(const struct filter *f, uint64_t keys) {
    return f->is_fuse ? fuse_rate(&f->fuse) : bloom_rate(f->bytes, keys);
}

double filter_expected_rate(firn_filter_kind kind, uint64_t keys, double bits_per_key) {
    if (!(bits_per_key > 0)) {
        return 1;
    }
    double fuse = kind != FIRN_FILTER_BLOOM ? fuse_expected_rate(keys, bits_per_key) : 1;
    return fuse < bloom_expected_rate(bits_per_key) ? fuse
                                                    : bloom_rate_of_lines(keys, bits_per_key);
}

/* Of partitions of 60,000 keys at ten bits each; more keys or bits change it by a few in a hundred.
 */
double filter_gain_per_bit(firn_filter_kind kind) {
    double rate =
        kind == FIRN_FILTER_BLOOM ? bloom_expected_rate(10) : fuse_expected_rate(60000, 10);
    return -log(rate) / 10;
}
