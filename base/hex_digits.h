/* base/hex_digits.h: bytes to hexadecimal digits, 16 at a time. */
#ifndef FIRN_BASE_HEX_DIGITS_H
#define FIRN_BASE_HEX_DIGITS_H

#include "base/coding.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

#define HEX_BLOCK 8 /* bytes that become digits at once */

static inline uint8_t hex_digit(uint32_t nibble) {
    return (uint8_t)(nibble < 10 ? '0' + nibble : 'a' - 10 + nibble);
}

static inline void hex_block_portable(const uint8_t from[HEX_BLOCK], uint8_t to[2 * HEX_BLOCK],
                                      bool low_first) {
    for (size_t i = 0; i < HEX_BLOCK; i++) {
        to[2 * i + low_first] = hex_digit((uint32_t)from[i] >> 4);
        to[2 * i + !low_first] = hex_digit(from[i] & 15u);
    }
}

/* Writes the digits of HEX_BLOCK bytes, the high or the low one of each first, which is a constant
 * of each caller. */
#if defined(__SSE2__)
static inline void hex_block_ordered(const uint8_t from[HEX_BLOCK], uint8_t to[2 * HEX_BLOCK],
                                     bool low_first) {
    const __m128i low_bits = _mm_set1_epi8(15);
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)from);
    __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), low_bits);
    __m128i low = _mm_and_si128(bytes, low_bits);
    __m128i nibbles = low_first ? _mm_unpacklo_epi8(low, high) : _mm_unpacklo_epi8(high, low);
    __m128i letters =
        _mm_and_si128(_mm_cmpgt_epi8(nibbles, _mm_set1_epi8(9)), _mm_set1_epi8('a' - 10 - '0'));
    __m128i digits = _mm_add_epi8(_mm_add_epi8(nibbles, _mm_set1_epi8('0')), letters);
    _mm_storeu_si128((__m128i *)(void *)to, digits);
}
#elif defined(__ARM_NEON) && defined(__aarch64__)
static inline void hex_block_ordered(const uint8_t from[HEX_BLOCK], uint8_t to[2 * HEX_BLOCK],
                                     bool low_first) {
    uint8x8_t bytes = vld1_u8(from), high = vshr_n_u8(bytes, 4),
              low = vand_u8(bytes, vdup_n_u8(15));
    uint8x8_t first = low_first ? low : high, second = low_first ? high : low;
    uint8x16_t nibbles = vcombine_u8(vzip1_u8(first, second), vzip2_u8(first, second));
    uint8x16_t letters = vandq_u8(vcgtq_u8(nibbles, vdupq_n_u8(9)), vdupq_n_u8('a' - 10 - '0'));
    vst1q_u8(to, vaddq_u8(vaddq_u8(nibbles, vdupq_n_u8('0')), letters));
}
#else
static inline void hex_block_ordered(const uint8_t from[HEX_BLOCK], uint8_t to[2 * HEX_BLOCK],
                                     bool low_first) {
    hex_block_portable(from, to, low_first);
}
#endif

static inline void hex_block(const uint8_t from[HEX_BLOCK], uint8_t to[2 * HEX_BLOCK]) {
    hex_block_ordered(from, to, false);
}

/* Writes the digits of `bytes` bytes, and fills the last block up. REQUIRES: `to` has room for it.
 */
static inline void hex_digits(const uint8_t *from, size_t bytes, uint8_t *to) {
    size_t i = 0;
    for (; i + HEX_BLOCK <= bytes; i += HEX_BLOCK) {
        hex_block(from + i, to + 2 * i);
    }
    if (i < bytes) {
        uint8_t last[HEX_BLOCK] = {0};
        memcpy(last, from + i, bytes - i);
        hex_block(last, to + 2 * i);
    }
}

#endif
