/* sst/packed.h: arrays of integers of a few bits each, and slowly bending lines of them.
 *
 *     packed = element i in bits [i * width, (i + 1) * width), low bits first, width 0 to 56
 *     line   = base:zigzag varint  slope:varint  width:u8  packed residuals
 *              element i is base + (i * slope >> 16) + residual i
 *
 * A line holds what grows about evenly (offsets, counts before each page): prediction by one
 * straight line leaves residuals of a few bits, or none.
 *
 * Reading an element loads 8 bytes at once: REQUIRES: at least 8 readable bytes follow an array.
 * Pages end with a checksum and indexes with zeros for that reason.
 */
#ifndef FIRN_SST_PACKED_H
#define FIRN_SST_PACKED_H

#include "base/buf.h"

#define PACKED_WIDTH_MAX 56
#define PACKED_SLACK 8

/* Bits that v needs; 0 for 0. */
static inline unsigned packed_width(uint64_t v) {
    return v == 0 ? 0 : 64 - (unsigned)__builtin_clzll(v);
}

static inline uint64_t packed_bytes(uint64_t count, unsigned width) {
    return (count * width + 7) / 8;
}

static inline uint64_t packed_get(const uint8_t *array, size_t i, unsigned width) {
    size_t bit = i * width;
    return get_u64(array + bit / 8) >> (bit % 8) & ((UINT64_C(1) << width) - 1);
}

static inline bool packed_bit(const uint8_t *array, size_t i) {
    return (array[i / 8] >> (i % 8) & 1) != 0;
}

/* REQUIRES: the array was zeroed, and v fits in width. */
void packed_put(uint8_t *array, size_t i, unsigned width, uint64_t v);

/* How many of the first n bits are set. */
size_t packed_count(const uint8_t *array, size_t n);

/* The position of the set bit number rank (from 0) among n bits; n when there are fewer. */
size_t packed_select(const uint8_t *array, size_t n, size_t rank);

/* Takes an array of count elements from r; NULL and a failed r when it is not there. */
const uint8_t *packed_take(struct reader *r, uint64_t count, unsigned width);

struct line {
    uint64_t base, slope;
    unsigned width;
    size_t count;
    const uint8_t *residuals;
};

/* Any two's-complement wrap is well defined: a hostile line yields wrong numbers, nothing worse. */
static inline uint64_t line_get(const struct line *l, size_t i) {
    return l->base + (uint64_t)(i * l->slope >> 16) + packed_get(l->residuals, i, l->width);
}

/* Appends count values that do not fall. FIRN_NOMEM. */
int line_append(struct buf *out, const uint64_t *values, size_t count);

/* Reads a line of count elements, borrowed from r. FIRN_CORRUPT. */
int line_read(struct reader *r, uint64_t count, struct line *out);

#endif
