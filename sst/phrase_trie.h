/* sst/phrase_trie.h: finds the phrases that begin at a place in a label. A trie whose edges are
 * symbols: the 256 bytes, and behind them the end marks, so that "text with its end" is one more
 * step. All edges lie in one open-addressing hash table of 8-byte slots, keyed by (node, symbol).
 */
#ifndef FIRN_SST_PHRASE_TRIE_H
#define FIRN_SST_PHRASE_TRIE_H

#include "base/buf.h"
#include "sst/automaton_format.h"

#define SYMBOL_END 256 /* + end mark */
#define SYMBOLS (SYMBOL_END + END_MARKS)
#define PHRASE_NONE UINT32_MAX

struct phrase_trie {
    uint32_t first[SYMBOLS]; /* the root's children; 0: none */
    struct phrase_edge {
        uint32_t from; /* node << 9 | symbol; 0: free */
        uint32_t to;
    } * edges;
    uint32_t *phrases; /* by node: the phrase that ends there, or PHRASE_NONE */
    size_t slots;      /* of edges; a power of two */
    uint32_t nodes, nodes_max;
    struct alloc *alloc;
};

int phrase_trie_init(struct phrase_trie *t, struct alloc *alloc, size_t nodes_max);
void phrase_trie_deinit(struct phrase_trie *t);

/* Adds or renames a phrase. False: no room for its nodes, nothing was added. */
bool phrase_trie_add(struct phrase_trie *t, firn_slice text, enum end_mark end, uint32_t phrase);

static inline uint32_t phrase_trie_step(const struct phrase_trie *t, uint32_t node,
                                        uint32_t symbol) {
    if (node == 0) {
        return t->first[symbol];
    }
    uint32_t from = node << 9 | symbol;
    size_t i = (from * UINT32_C(0x9e3779b1)) >> 7 & (t->slots - 1);
    while (t->edges[i].from != from) {
        if (t->edges[i].from == 0) {
            return 0;
        }
        i = (i + 1) & (t->slots - 1);
    }
    return t->edges[i].to;
}

/* The longest phrase at the start of text[0, size), which is followed by `end` unless that is
 * END_NONE. *matched: its bytes; *ends: it takes the end mark, too. PHRASE_NONE: there is none. */
uint32_t phrase_trie_longest(const struct phrase_trie *t, const uint8_t *text, size_t size,
                             enum end_mark end, size_t *matched, bool *ends);

#endif
