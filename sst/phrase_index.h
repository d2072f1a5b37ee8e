/* sst/phrase_index.h: finds the phrases that begin at a place in a label, among those of a finished
 * table. Cutting labels is half of what building a segment takes, and most of that is waiting for
 * the memory of this, so it is laid out to take few cache lines:
 *
 *     a trie whose edges are symbols, the end marks and behind them the 256 bytes, so that "text
 *     with its end" is one more step; a node is 8 bytes, the children of a node lie side by side,
 *     and behind them the children of the first child: a chain is read in a row. The bytes of
 *     children stand by themselves, too, and are searched 16 at once, since most searches find
 *     none. The first two bytes, where nodes have most children, are one step through a table.
 *
 * Which phrase ends at a node is told apart from it: only those that are chosen are asked for.
 * Immutable once built.
 */
#ifndef FIRN_SST_PHRASE_INDEX_H
#define FIRN_SST_PHRASE_INDEX_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/buf.h"
#include "sst/automaton_format.h"

#define PHRASE_NONE UINT32_MAX

static inline uint32_t symbol_of_end(enum end_mark end) {
    return (uint32_t)end;
}

static inline uint32_t symbol_of_byte(uint8_t byte) {
    return END_MARKS + (uint32_t)byte;
}

struct phrase_node {
    uint32_t children; /* the first of them; those by end marks come first, then those by bytes */
    uint16_t count;    /* of children by bytes, in their order, << 3 | of those by end marks */
    uint16_t symbol; /* that leads here << 2 | bytes of the code of the phrase; 0: there is none */
};

#define PHRASE_NODE_COST 3
#define PHRASE_NODE_ENDS 7

struct phrase_index {
    const struct phrase_node *nodes; /* in `storage`; the first ones are the root's children */
    struct buf storage;
    struct buf bytes; /* u8 by node: the byte that leads there, and INDEX_LANES more */
    struct buf ids;   /* u32 by node: the phrase that ends there */
    struct buf pairs; /* u32 by two bytes: the node they lead to; 0: none */
};

/* A phrase to be found. */
struct phrase_entry {
    uint64_t head; /* its first bytes, to sort by */
    const uint8_t *text;
    uint32_t id;
    uint8_t size, end, cost; /* cost: bytes of its code, 1 or 2 */
};

void phrase_index_init(struct phrase_index *x, struct alloc *alloc);
void phrase_index_deinit(struct phrase_index *x);

/* The order of entries: as their symbols. Those of single bytes and end marks come by the thousand
 * and in order, and need no sorting. */
void phrase_entry_set_head(struct phrase_entry *e);
int phrase_entry_compare(const struct phrase_entry *a, const struct phrase_entry *b);
void phrase_entry_sort(struct phrase_entry *entries, size_t count);

/* Replaces what is there; of entries that are alike one is found. FIRN_NOMEM.
 * REQUIRES: they have their heads, and are in order. */
int phrase_index_build(struct phrase_index *x, const struct phrase_entry *entries, size_t count);

static inline unsigned phrase_node_cost(const struct phrase_node *node) {
    return node->symbol & PHRASE_NODE_COST;
}

static inline uint32_t phrase_index_id(const struct phrase_index *x,
                                       const struct phrase_node *node) {
    return ((const uint32_t *)(const void *)x->ids.data)[node - x->nodes];
}

/* The root's child by a symbol. REQUIRES: there is one, as there is for all bytes and end marks of
 * a phrase table. */
static inline const struct phrase_node *phrase_index_begin(const struct phrase_index *x,
                                                           uint32_t symbol) {
    return x->nodes + symbol - 1; /* END_NONE is none */
}

/* The node that two bytes lead to, or NULL. */
static inline const struct phrase_node *phrase_index_pair(const struct phrase_index *x,
                                                          const uint8_t *text) {
    uint32_t at = ((const uint32_t *)(const void *)x->pairs.data)[(uint32_t)text[0] << 8 | text[1]];
    return at != 0 ? x->nodes + at : NULL;
}

#define INDEX_LANES 16 /* bytes compared at once */

/* Of so many bytes, at most INDEX_LANES, but as many may be read, the first that is this one;
 * INDEX_LANES: none. */
static inline unsigned find_lane(const uint8_t *bytes, uint32_t count, uint8_t byte) {
#ifdef __SSE2__
    __m128i lanes = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    __m128i equal = _mm_cmpeq_epi8(lanes, _mm_set1_epi8((char)byte));
    uint32_t found = (uint32_t)_mm_movemask_epi8(equal) & ((UINT32_C(1) << count) - 1);
    return found != 0 ? (unsigned)__builtin_ctz(found) : INDEX_LANES;
#else
    for (unsigned i = 0; i < count; i++) {
        if (bytes[i] == byte) {
            return i;
        }
    }
    return INDEX_LANES;
#endif
}

/* The child of a node by a byte, or NULL. Few nodes have many. */
static inline const struct phrase_node *
phrase_index_step(const struct phrase_index *x, const struct phrase_node *node, uint8_t byte) {
    uint32_t first = node->children + (node->count & PHRASE_NODE_ENDS), left = node->count >> 3;
    for (;; first += INDEX_LANES, left -= INDEX_LANES) {
        uint32_t count = left < INDEX_LANES ? left : INDEX_LANES;
        unsigned lane = find_lane(x->bytes.data + first, count, byte);
        if (lane < INDEX_LANES) {
            return x->nodes + first + lane;
        }
        if (left <= INDEX_LANES) {
            return NULL;
        }
    }
}

/* The child of a node by an end mark, or NULL. */
static inline const struct phrase_node *
phrase_index_end(const struct phrase_index *x, const struct phrase_node *node, enum end_mark end) {
    const struct phrase_node *c = x->nodes + node->children;
    for (uint32_t left = node->count & PHRASE_NODE_ENDS; left > 0; left--, c++) {
        if ((uint32_t)c->symbol >> 2 == symbol_of_end(end)) {
            return c;
        }
    }
    return NULL;
}

/* The longest phrase at the start of text[0, size), which is followed by `end` unless that is
 * END_NONE. *matched: its bytes; *ends: it takes the end mark, too. PHRASE_NONE: there is none. */
uint32_t phrase_index_longest(const struct phrase_index *x, const uint8_t *text, size_t size,
                              enum end_mark end, size_t *matched, bool *ends);

#endif
