/* memtable/key_search.h: finding a byte among the unsorted key bytes of a node.
 *
 * Sixteen bytes are compared at once, as in Node16 of Leis, Kemper and Neumann, "The Adaptive Radix
 * Tree" (ICDE 2013). Equality needs no signed or unsigned reading; the two ordered searches are
 * scalar and unsigned.
 *
 * The vector load may cover bytes past `count`, which the writer may be filling in at that moment:
 * whatever it reads there is masked away. Keys of a node with room for three or more children are
 * followed by its references, so the load stays inside the node. ThreadSanitizer cannot know that
 * the bytes are ignored, so it is given the portable search, which reads nothing past `count`.
 */
#ifndef FIRN_MEMTABLE_KEY_SEARCH_H
#define FIRN_MEMTABLE_KEY_SEARCH_H

#include <stdint.h>

#if defined(__SANITIZE_THREAD__)
#define KEY_SEARCH_PORTABLE 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KEY_SEARCH_PORTABLE 1
#endif
#endif

#if !defined(KEY_SEARCH_PORTABLE) && defined(__SSE2__)
#include <emmintrin.h>
#elif !defined(KEY_SEARCH_PORTABLE) && defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

/* The place of byte among keys[first .. count), or -1. */
static inline int key_search_portable(const uint8_t *keys, unsigned first, unsigned count,
                                      uint8_t byte) {
    for (unsigned i = first; i < count; i++) {
        if (keys[i] == byte) {
            return (int)i;
        }
    }
    return -1;
}

#if !defined(KEY_SEARCH_PORTABLE) && defined(__SSE2__)
static inline int key_search(const uint8_t *keys, unsigned first, unsigned count, uint8_t byte) {
    if (count <= 2) {
        return key_search_portable(keys, first, count, byte);
    }
    __m128i wanted = _mm_set1_epi8((char)byte);
    for (unsigned i = 0; i < count; i += 16) {
        __m128i block = _mm_loadu_si128((const __m128i *)(const void *)(keys + i));
        unsigned equal = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(block, wanted));
        unsigned valid = count - i >= 16 ? 0xffffu : (1u << (count - i)) - 1;
        valid &= i == 0 ? ~0u << first : ~0u;
        if ((equal & valid) != 0) {
            return (int)(i + (unsigned)__builtin_ctz(equal & valid));
        }
    }
    return -1;
}
#elif !defined(KEY_SEARCH_PORTABLE) && defined(__ARM_NEON) && defined(__aarch64__)
static inline int key_search(const uint8_t *keys, unsigned first, unsigned count, uint8_t byte) {
    if (count <= 2) {
        return key_search_portable(keys, first, count, byte);
    }
    uint8x16_t wanted = vdupq_n_u8(byte);
    for (unsigned i = 0; i < count; i += 16) {
        /* Shifting each pair right by 4 leaves four bits per byte: NEON's way to a bit mask. */
        uint16x8_t match = vreinterpretq_u16_u8(vceqq_u8(vld1q_u8(keys + i), wanted));
        uint64_t equal = vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(match, 4)), 0);
        uint64_t valid = count - i >= 16 ? ~UINT64_C(0) : (UINT64_C(1) << (4 * (count - i))) - 1;
        valid &= i == 0 ? ~UINT64_C(0) << (4 * first) : ~UINT64_C(0);
        if ((equal & valid) != 0) {
            return (int)(i + (unsigned)__builtin_ctzll(equal & valid) / 4);
        }
    }
    return -1;
}
#else
static inline int key_search(const uint8_t *keys, unsigned first, unsigned count, uint8_t byte) {
    return key_search_portable(keys, first, count, byte);
}
#endif

/* The place of the least key above `after` among keys[first .. count), or -1. after: -1 to 255. */
static inline int key_search_above(const uint8_t *keys, unsigned first, unsigned count, int after) {
    int best = 256, place = -1;
    for (unsigned i = first; i < count; i++) {
        if (keys[i] > after && keys[i] < best) {
            best = keys[i];
            place = (int)i;
        }
    }
    return place;
}

/* The place of the greatest key below `before` among keys[first .. count), or -1. */
static inline int key_search_below(const uint8_t *keys, unsigned first, unsigned count,
                                   int before) {
    int best = -1, place = -1;
    for (unsigned i = first; i < count; i++) {
        if (keys[i] < before && keys[i] > best) {
            best = keys[i];
            place = (int)i;
        }
    }
    return place;
}

#endif
