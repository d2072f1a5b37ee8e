/* base/slice.h: small helpers on borrowed bytes. Order is unsigned bytes, a prefix first. */
#ifndef FIRN_BASE_SLICE_H
#define FIRN_BASE_SLICE_H

#include <string.h>

#include "lsm/firn.h"

static inline const uint8_t *slice_bytes(firn_slice s) {
    return (const uint8_t *)s.data;
}

static inline int slice_compare(firn_slice a, firn_slice b) {
    size_t shared = a.size < b.size ? a.size : b.size;
    int order = shared == 0 ? 0 : memcmp(a.data, b.data, shared);
    if (order != 0) {
        return order;
    }
    return (a.size > b.size) - (a.size < b.size);
}

static inline bool slice_equal(firn_slice a, firn_slice b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool slice_starts_with(firn_slice s, firn_slice prefix) {
    return s.size >= prefix.size &&
           (prefix.size == 0 || memcmp(s.data, prefix.data, prefix.size) == 0);
}

/* What stands from a place on. An empty slice may have no address, and C has no arithmetic on NULL.
 * REQUIRES: from <= s.size. */
static inline firn_slice slice_from(firn_slice s, size_t from) {
    return s.size == from ? firn_slice_make(NULL, 0)
                          : firn_slice_make(slice_bytes(s) + from, s.size - from);
}

/* The first byte in which two words of memory differ. REQUIRES: they do. */
static inline size_t first_difference(uint64_t x, uint64_t y) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (size_t)(__builtin_ctzll(x ^ y) >> 3);
#else
    return (size_t)(__builtin_clzll(x ^ y) >> 3);
#endif
}

/* The length of the longest common prefix. */
static inline size_t slice_common_prefix(firn_slice a, firn_slice b) {
    const uint8_t *p = slice_bytes(a), *q = slice_bytes(b);
    size_t limit = a.size < b.size ? a.size : b.size;
    size_t i = 0;
    while (limit - i >= 8) {
        uint64_t x, y;
        memcpy(&x, p + i, 8);
        memcpy(&y, q + i, 8);
        if (x != y) {
            return i + first_difference(x, y);
        }
        i += 8;
    }
    if (limit >= 8 && i < limit) { /* the last eight, of which some are known to be equal */
        size_t at = limit - 8;
        uint64_t x, y;
        memcpy(&x, p + at, 8);
        memcpy(&y, q + at, 8);
        return x == y ? limit : at + first_difference(x, y);
    }
    while (i < limit && p[i] == q[i]) {
        i++;
    }
    return i;
}

/* Eight bytes from `from` on, big-endian, filled up with zeros: of slices that agree in what stands
 * before, a lower one has a lower code, or the same. */
static inline uint64_t slice_code(firn_slice s, size_t from) {
    uint64_t code = 0;
    size_t left = s.size > from ? s.size - from : 0;
    if (left > 0 && s.size >= 8) {
        size_t missing = left < 8 ? 8 - left : 0;
        memcpy(&code, slice_bytes(s) + from - missing, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        code = __builtin_bswap64(code);
#endif
        return code << 8 * missing;
    }
    for (size_t i = 0; i < left; i++) {
        code |= (uint64_t)slice_bytes(s)[from + i] << (56 - 8 * i);
    }
    return code;
}

#endif
