/* sst/automaton_walk.h: steps over the bytes of an automaton that search and cursor share. Each
 * checks what it reads against the end and returns NULL when it would pass it. */
#ifndef FIRN_SST_AUTOMATON_WALK_H
#define FIRN_SST_AUTOMATON_WALK_H

#include <assert.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "sst/segment_internal.h"

#define NO_ENTRY UINT32_MAX

/* A node's children, and where they begin. */
struct node_start {
    const uint8_t *first; /* NULL: damaged */
    const uint8_t *end;   /* of the bytes the node lies in */
    const uint8_t *next;  /* what is behind the node, in its parent; NULL: not known */
    struct jumps jumps;
    uint32_t children;
    uint32_t entry; /* of the shared section, that it is; or NO_ENTRY */
    bool final;
};

static inline const uint8_t *take_entry(const struct segment *s, const uint8_t *p,
                                        const uint8_t *end, uint32_t *entry) {
    p = take_reference(p, end, &s->shared.code, entry);
    return p == NULL || *entry >= s->shared.count ? NULL : p;
}

/* The node behind a label that ends at p with `mark`, which is not END_LEAF. */
static inline struct node_start enter_node(const struct segment *s, const uint8_t *p,
                                           const uint8_t *end, enum end_mark mark) {
    struct node_start n = {
        .first = p, .end = end, .children = (uint32_t)mark - END_NODE2 + 2, .entry = NO_ENTRY};
    static_assert(END_NODE3 == END_NODE2 + 1, "one number tells both from others");
    if ((uint32_t)mark - END_NODE2 < 2) {
        return n;
    }
    uint32_t flags = 0;
    if (mark == END_SHARED) {
        n.next = take_entry(s, p, end, &n.entry);
        if (n.next == NULL) {
            n.first = NULL;
            return n;
        }
        p = shared_table_entry(&s->shared, n.entry, &n.end);
    }
    p = take_header(p, n.end, &n.children, &flags);
    if (p != NULL && (flags & HEADER_JUMPS) != 0) {
        p = take_jumps(p, n.end, &n.jumps);
    }
    n.first = p;
    n.final = (flags & HEADER_FINAL) != 0;
    return n;
}

/* How many jumps lead to children whose labels do not begin above byte. */
static inline uint32_t find_jump(const struct jumps *jumps, const uint8_t *end, uint8_t byte) {
    uint32_t n = 0;
    (void)end; /* which only whole vectors could pass */
#ifdef __SSE2__
    if (jumps->count <= 16 && end - jumps->firsts >= 16) {
        __m128i firsts = _mm_loadu_si128((const __m128i *)(const void *)jumps->firsts);
        __m128i sought = _mm_set1_epi8((char)byte);
        __m128i most = _mm_max_epu8(firsts, sought); /* is `sought` where first <= byte */
        uint32_t below = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(most, sought));
        return (uint32_t)__builtin_ctz(~(below & ((UINT32_C(1) << jumps->count) - 1)));
    }
#endif
    while (n < jumps->count && jumps->firsts[n] <= byte) {
        n++;
    }
    return n;
}

/* Passes over what stands behind a code that has more, and adds the labels and keys in it. */
static inline const uint8_t *skip_more(const struct segment *s, const struct phrase_lead *lead,
                                       const uint8_t *p, const uint8_t *end, int64_t *pending,
                                       uint32_t *keys) {
    if (lead->end == END_SHARED) {
        uint32_t entry;
        p = take_entry(s, p, end, &entry);
        *keys += p == NULL ? 0 : shared_table_keys(&s->shared, entry);
        return p;
    }
    if (lead->verbatim) {
        size_t size = p[-1];
        return size <= (size_t)(end - p) ? p + size : NULL;
    }
    uint32_t children = 0, flags = 0;
    struct jumps jumps;
    p = take_header(p, end, &children, &flags);
    if (p != NULL && (flags & HEADER_JUMPS) != 0) {
        p = take_jumps(p, end, &jumps);
    }
    *pending += children;
    *keys += flags & HEADER_FINAL;
    return p;
}

/* Passes over a child, its label and what that leads to, and adds its keys, code by code: `pending`
 * counts the labels still to come, the current one included.
 * Most codes take one turn of a loop whose only branches are foreseeable. */
static inline const uint8_t *skip_child(const struct segment *s, const uint8_t *p,
                                        const uint8_t *end, uint32_t *keys) {
    int64_t pending = 1;
    uint32_t leaves = 0;
    do {
        if (p >= end) {
            return NULL;
        }
        const struct phrase_lead *lead = &s->phrases.leads[*p];
        if (end - p < lead->size) {
            return NULL;
        }
        p += lead->size;
        pending += lead->pending;
        leaves += lead->leaf;
        if (lead->more) {
            p = skip_more(s, lead, p, end, &pending, &leaves);
            if (p == NULL) {
                return NULL;
            }
        }
    } while (pending > 0);
    *keys += leaves;
    return p;
}

#endif
