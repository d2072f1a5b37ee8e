/* sst/phrase_trie.h: finds the longest phrase that begins at a place in a label while phrases are
 * still added; those of a finished table are in a phrase index (phrase_index.h). A trie whose edges
 * are symbols: the 256 bytes, and behind them the end marks, so that "text with its end" is one
 * more step. All edges lie in one open-addressing hash table, keyed by (node, symbol), so that a
 * step is one cache miss.
 */
#ifndef FIRN_SST_PHRASE_TRIE_H
#define FIRN_SST_PHRASE_TRIE_H

#include "sst/phrase_index.h"

#define SYMBOL_END 256 /* + end mark */
#define SYMBOLS (SYMBOL_END + END_MARKS)

struct phrase_edge {
    uint32_t from;   /* node << 9 | symbol; 0: a free slot */
    uint32_t to;     /* 0, of the root's: there is none */
    uint32_t phrase; /* that ends with this edge, or PHRASE_NONE */
};

struct phrase_trie {
    struct phrase_edge first[SYMBOLS]; /* the root's */
    struct phrase_edge *edges;         /* all others */
    size_t slots;                      /* of edges; a power of two */
    uint32_t nodes, nodes_max;
    struct alloc *alloc;
};

int phrase_trie_init(struct phrase_trie *t, struct alloc *alloc, size_t nodes_max);
void phrase_trie_deinit(struct phrase_trie *t);

/* Adds or renames a phrase. False: no room for its nodes, nothing was added. */
bool phrase_trie_add(struct phrase_trie *t, firn_slice text, enum end_mark end, uint32_t phrase);

/* The edge of a node by a symbol; NULL: there is none. */
static inline const struct phrase_edge *phrase_trie_step(const struct phrase_trie *t, uint32_t node,
                                                         uint32_t symbol) {
    if (node == 0) {
        return t->first[symbol].to != 0 ? &t->first[symbol] : NULL;
    }
    uint32_t from = node << 9 | symbol;
    size_t i = (from * UINT32_C(0x9e3779b1)) >> 7 & (t->slots - 1);
    while (t->edges[i].from != from) {
        if (t->edges[i].from == 0) {
            return NULL;
        }
        i = (i + 1) & (t->slots - 1);
    }
    return &t->edges[i];
}

/* The longest phrase at the start of text[0, size), which is followed by `end` unless that is
 * END_NONE. *matched: its bytes; *ends: it takes the end mark, too. PHRASE_NONE: there is none. */
uint32_t phrase_trie_longest(const struct phrase_trie *t, const uint8_t *text, size_t size,
                             enum end_mark end, size_t *matched, bool *ends);

#endif
