/* Arithmetic wraps modulo 2^64 in writer and reader alike, so that no value is out of reach; what
 * wraps badly gets wide residuals and is not chosen.
 */
#include "sst/value_integers.h"

enum shape { SHAPE_SIZE = 15, SHAPE_BIG_ENDIAN = 16, SHAPE_SLOPE = 32, SHAPE_KNOWN = 63 };

/* Numbers as the values of a page, read in one of the byte orders. */
struct numbers {
    const uint8_t *bytes;
    size_t count;
    unsigned size;
    bool big_endian;
};

static uint64_t number_at(const struct numbers *n, size_t i) {
    const uint8_t *at = n->bytes + i * n->size;
    uint64_t number = 0;
    for (unsigned k = 0; k < n->size; k++) {
        unsigned shift = 8 * (n->big_endian ? n->size - 1 - k : k);
        number |= (uint64_t)at[k] << shift;
    }
    return number;
}

/* Sets base and width for the slope it has. */
static void fit(const struct numbers *n, struct value_integers *v) {
    uint64_t first = number_at(n, 0);
    int64_t low = 0, high = 0; /* of residuals from the line through the first */
    for (size_t i = 0; i < n->count; i++) {
        uint64_t rest = number_at(n, i) - first;
        int64_t residual = (int64_t)(rest - (uint64_t)(i * v->slope >> 16));
        low = residual < low ? residual : low;
        high = residual > high ? residual : high;
    }
    v->base = first + (uint64_t)low;
    v->width = packed_width((uint64_t)high - (uint64_t)low);
}

static uint64_t slope_of(const struct numbers *n) {
    uint64_t first = number_at(n, 0), last = number_at(n, n->count - 1);
    if (n->count < 2 || last <= first) {
        return 0;
    }
    return (uint64_t)(((unsigned __int128)(last - first) << 16) / (n->count - 1));
}

static size_t encoded_bytes(const struct numbers *n, const struct value_integers *v) {
    return 2 + n->size + (v->slope > 0 ? varint_size(v->slope) : 0) +
           (size_t)packed_bytes(n->count, v->width);
}

static void encode(const struct numbers *n, const struct value_integers *v, uint8_t *to) {
    *to++ = (uint8_t)(n->size | (v->big_endian ? SHAPE_BIG_ENDIAN : 0) |
                      (v->slope > 0 ? SHAPE_SLOPE : 0));
    *to++ = (uint8_t)v->width;
    for (unsigned k = 0; k < n->size; k++) {
        *to++ = (uint8_t)(v->base >> 8 * k);
    }
    to += v->slope > 0 ? put_varint(to, v->slope) : 0;
    memset(to, 0, (size_t)packed_bytes(n->count, v->width));
    for (size_t i = 0; v->width > 0 && i < n->count; i++) {
        packed_put(to, i, v->width, number_at(n, i) - v->base - (uint64_t)(i * v->slope >> 16));
    }
}

int value_integers_append(struct buf *out, const uint8_t *values, size_t count, unsigned size,
                          size_t bytes_max) {
    struct numbers numbers = {values, count, size, false};
    struct value_integers best = {0};
    size_t best_bytes = bytes_max;
    for (unsigned form = 0; form < 4; form++) {
        numbers.big_endian = form % 2 != 0;
        struct value_integers v = {.big_endian = numbers.big_endian};
        v.slope = form < 2 ? 0 : slope_of(&numbers);
        fit(&numbers, &v);
        if (v.width <= PACKED_WIDTH_MAX && encoded_bytes(&numbers, &v) < best_bytes) {
            best_bytes = encoded_bytes(&numbers, &v);
            best = v;
            best.size = size;
        }
    }
    if (best.size == 0) {
        return FIRN_OK;
    }
    int rc = buf_reserve(out, best_bytes);
    if (rc == FIRN_OK) {
        numbers.big_endian = best.big_endian;
        encode(&numbers, &best, out->data + out->size);
        out->size += best_bytes;
    }
    return rc;
}

int value_integers_parse(struct reader *r, size_t count, struct value_integers *v) {
    uint8_t shape = reader_u8(r);
    v->width = reader_u8(r);
    v->size = shape & SHAPE_SIZE;
    v->big_endian = (shape & SHAPE_BIG_ENDIAN) != 0;
    if (v->size == 0 || v->size > VALUE_INTEGER_BYTES_MAX || (shape & ~SHAPE_KNOWN) != 0) {
        return FAIL(FIRN_CORRUPT, "integers of unknown shape %#x", shape);
    }
    firn_slice base = reader_take(r, v->size);
    v->base = base.size == 0 ? 0 : get_u64(base.data) << (64 - 8 * v->size) >> (64 - 8 * v->size);
    v->slope = shape & SHAPE_SLOPE ? reader_varint(r) : 0;
    v->residuals = packed_take(r, count, v->width);
    if (r->failed) {
        return FAIL(FIRN_CORRUPT, "%zu integers of %u bits in %zu bytes", count, v->width,
                    reader_left(r));
    }
    return FIRN_OK;
}
