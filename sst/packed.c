/* The predicted value i * slope >> 16 must be the same to the last bit in writer and reader, hence
 * one integer expression, line_get()'s, and no floating point. */
#include "sst/packed.h"

void packed_put(uint8_t *array, size_t i, unsigned width, uint64_t v) {
    size_t bit = i * width;
    uint8_t *p = array + bit / 8;
    unsigned shift = bit % 8;
    *p = (uint8_t)(*p | v << shift);
    for (unsigned done = 8 - shift; done < width; done += 8) {
        *++p = (uint8_t)(v >> done);
    }
}

size_t packed_count(const uint8_t *array, size_t n) {
    size_t count = 0, i = 0;
    for (; n - i >= 64; i += 64) {
        count += (size_t)__builtin_popcountll(get_u64(array + i / 8));
    }
    if (i < n) {
        uint64_t bits = get_u64(array + i / 8) & ((UINT64_C(1) << (n - i)) - 1);
        count += (size_t)__builtin_popcountll(bits);
    }
    return count;
}

size_t packed_select(const uint8_t *array, size_t n, size_t rank) {
    size_t i = 0;
    for (; n - i >= 64; i += 64) {
        size_t here = (size_t)__builtin_popcountll(get_u64(array + i / 8));
        if (rank < here) {
            break;
        }
        rank -= here;
    }
    for (; i < n; i++) {
        if (packed_bit(array, i) && rank-- == 0) {
            return i;
        }
    }
    return n;
}

const uint8_t *packed_take(struct reader *r, uint64_t count, unsigned width) {
    uint64_t bits = reader_left(r) * UINT64_C(8); /* where count is not above it, nothing wraps */
    if (width > PACKED_WIDTH_MAX || (width > 0 && (count > bits || count * width > bits))) {
        r->failed = true;
        return NULL;
    }
    return reader_take(r, packed_bytes(count, width)).data;
}

int line_append(struct buf *out, const uint64_t *values, size_t count) {
    uint64_t slope = 0;
    if (count > 1) {
        unsigned __int128 rise = (unsigned __int128)(values[count - 1] - values[0]) << 16;
        slope = (uint64_t)(rise / (count - 1));
    }
    int64_t low = INT64_MAX, high = INT64_MIN;
    for (size_t i = 0; i < count; i++) {
        int64_t residual = (int64_t)(values[i] - (uint64_t)(i * slope >> 16));
        low = residual < low ? residual : low;
        high = residual > high ? residual : high;
    }
    if (count == 0) {
        low = high = 0;
    }
    unsigned width = packed_width((uint64_t)(high - low));
    size_t bytes = (size_t)packed_bytes(count, width);
    int rc = buf_reserve(out, 2 * VARINT_BYTES_MAX + 1 + bytes);
    if (rc != FIRN_OK) {
        return rc;
    }
    uint64_t zigzag = (uint64_t)low << 1 ^ (low < 0 ? UINT64_MAX : 0);
    out->size += put_varint(out->data + out->size, zigzag);
    out->size += put_varint(out->data + out->size, slope);
    out->data[out->size++] = (uint8_t)width;
    uint8_t *residuals = out->data + out->size;
    if (bytes > 0) {
        memset(residuals, 0, bytes);
    }
    for (size_t i = 0; width > 0 && i < count; i++) {
        uint64_t residual = values[i] - (uint64_t)(i * slope >> 16) - (uint64_t)low;
        packed_put(residuals, i, width, residual);
    }
    out->size += bytes;
    return FIRN_OK;
}

int line_read(struct reader *r, uint64_t count, struct line *out) {
    uint64_t zigzag = reader_varint(r);
    out->base = zigzag >> 1 ^ (0 - (zigzag & 1));
    out->slope = reader_varint(r);
    out->width = reader_u8(r);
    out->count = (size_t)count;
    out->residuals = packed_take(r, count, out->width);
    if (r->failed) {
        return FAIL(FIRN_CORRUPT, "a line of %llu numbers of %u bits in %zu bytes",
                    (unsigned long long)count, out->width, reader_left(r));
    }
    return FIRN_OK;
}
