/* base/coding.h: integers as bytes. Fixed ones are little-endian; a varint holds 7 bits a byte, low
 * bits first, the high bit set on all but the last byte (at most 10 bytes for 64 bits).
 *
 * A `struct reader` walks untrusted bytes: every read checks the end, and once one has failed all
 * further ones return 0 and `failed` stays set, so that a decoder may ask once at its end.
 */
#ifndef FIRN_BASE_CODING_H
#define FIRN_BASE_CODING_H

#include <string.h>

#include "base/slice.h"

#define VARINT_BYTES_MAX 10

static inline void put_u16(void *to, uint16_t v) {
    uint8_t *p = to;
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

/* Byte by byte without a loop: so compilers see that it is one store. */
static inline void put_u32(void *to, uint32_t v) {
    uint8_t *p = to;
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static inline void put_u64(void *to, uint64_t v) {
    uint8_t *p = to;
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
    p[4] = (uint8_t)(v >> 32);
    p[5] = (uint8_t)(v >> 40);
    p[6] = (uint8_t)(v >> 48);
    p[7] = (uint8_t)(v >> 56);
}

static inline uint16_t get_u16(const void *from) {
    const uint8_t *p = from;
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t get_u32(const void *from) {
    const uint8_t *p = from;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t get_u64(const void *from) {
    const uint8_t *p = from;
    return (uint64_t)get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

/* Bytes that put_varint() will write. */
static inline size_t varint_size(uint64_t v) {
    return ((size_t)(63 - __builtin_clzll(v | 1)) * 9 + 73) / 64;
}

/* Writes v at `to`, which must have varint_size(v) bytes; returns how many it wrote. */
static inline size_t put_varint(void *to, uint64_t v) {
    uint8_t *p = to;
    size_t n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}

struct reader {
    const uint8_t *at, *end;
    bool failed;
};

/* An empty slice may have no address, and C has no arithmetic on NULL. */
static inline struct reader reader_of(firn_slice bytes) {
    const uint8_t *at = bytes.size == 0 ? (const uint8_t *)"" : slice_bytes(bytes);
    struct reader r = {at, at + bytes.size, false};
    return r;
}

static inline size_t reader_left(const struct reader *r) {
    return (size_t)(r->end - r->at);
}

/* The next size bytes, borrowed; an empty slice and `failed` when there are fewer. */
static inline firn_slice reader_take(struct reader *r, uint64_t size) {
    if (r->failed || size > reader_left(r)) {
        r->failed = true;
        return firn_slice_make(NULL, 0);
    }
    firn_slice s = firn_slice_make(r->at, (size_t)size);
    r->at += size;
    return s;
}

static inline uint8_t reader_u8(struct reader *r) {
    firn_slice s = reader_take(r, 1);
    return s.size == 0 ? 0 : *slice_bytes(s);
}

static inline uint16_t reader_u16(struct reader *r) {
    firn_slice s = reader_take(r, 2);
    return s.size == 0 ? 0 : get_u16(s.data);
}

static inline uint32_t reader_u32(struct reader *r) {
    firn_slice s = reader_take(r, 4);
    return s.size == 0 ? 0 : get_u32(s.data);
}

static inline uint64_t reader_u64(struct reader *r) {
    firn_slice s = reader_take(r, 8);
    return s.size == 0 ? 0 : get_u64(s.data);
}

static inline uint64_t reader_varint(struct reader *r) {
    if (reader_left(r) >= 2 && !r->failed) { /* most take one byte or two */
        uint64_t low = r->at[0], high = r->at[1];
        if (low < 0x80) {
            r->at++;
            return low;
        }
        if (high < 0x80) {
            r->at += 2;
            return (low & 0x7f) | high << 7;
        }
    }
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = reader_u8(r);
        if (shift == 63 && byte > 1) {
            break; /* would not fit in 64 bits */
        }
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return r->failed ? 0 : v;
        }
    }
    r->failed = true;
    return 0;
}

/* A varint length followed by that many bytes, borrowed. */
static inline firn_slice reader_slice(struct reader *r) {
    return reader_take(r, reader_varint(r));
}

#endif
