/* sst/value_integers.h: values of one size, 1 to 8 bytes, as integers of a few bits each.
 *
 *     integers = shape:u8 (size, +16: big-endian, +32: with a slope)  width:u8  base:size
 *                [slope:v]  packed residuals
 *     value i  = the low `size` bytes of base + (i * slope >> 16) + residual i
 *
 * Without a slope that is a frame of reference: counters, times and ids of a page differ in their
 * low bits only. With one it is a line through values that ascend with the keys. Either byte order
 * is tried, since a value is but bytes. Any value is found by its number, in place.
 */
#ifndef FIRN_SST_VALUE_INTEGERS_H
#define FIRN_SST_VALUE_INTEGERS_H

#include "sst/packed.h"

#define VALUE_INTEGER_BYTES_MAX 8

struct value_integers {
    unsigned size, width;
    bool big_endian;
    uint64_t base, slope;
    const uint8_t *residuals;
};

/* Appends the smallest form of count values of `size` bytes, if any takes fewer than bytes_max
 * bytes; appends nothing otherwise. FIRN_NOMEM. REQUIRES: size is 1 to 8, count is not 0. */
int value_integers_append(struct buf *out, const uint8_t *values, size_t count, unsigned size,
                          size_t bytes_max);

/* Borrows from r. FIRN_CORRUPT. REQUIRES: what packed.h does, behind r. */
int value_integers_parse(struct reader *r, size_t count, struct value_integers *v);

/* Writes value i, of v->size bytes. REQUIRES: i < count. */
static inline void value_integers_get(const struct value_integers *v, size_t i,
                                      uint8_t to[VALUE_INTEGER_BYTES_MAX]) {
    uint64_t value =
        v->base + (uint64_t)(i * v->slope >> 16) + packed_get(v->residuals, i, v->width);
    if (v->big_endian) {
        value = __builtin_bswap64(value << (64 - 8 * v->size));
    }
    put_u64(to, value);
}

#endif
