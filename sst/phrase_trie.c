#include "sst/phrase_trie.h"

#define NODES_LIMIT ((UINT32_C(1) << 23) - 1) /* node numbers share 32 bits with a symbol */

int phrase_trie_init(struct phrase_trie *t, struct alloc *alloc, size_t nodes_max) {
    memset(t, 0, sizeof *t);
    t->alloc = alloc;
    t->nodes = 1;
    nodes_max = nodes_max < 4096 ? 4096 : nodes_max;
    t->nodes_max = nodes_max < NODES_LIMIT ? (uint32_t)nodes_max : NODES_LIMIT;
    t->slots = 8192;
    while (t->slots < (size_t)t->nodes_max * 4 / 3) {
        t->slots *= 2;
    }
    t->edges = alloc_get_zeroed(alloc, MEM_BUILDER, t->slots * sizeof *t->edges);
    if (t->edges == NULL) {
        phrase_trie_deinit(t);
        return FAIL(FIRN_NOMEM, "no memory for a phrase trie of %zu nodes", nodes_max);
    }
    return FIRN_OK;
}

void phrase_trie_deinit(struct phrase_trie *t) {
    if (t->alloc == NULL) {
        return;
    }
    alloc_release(t->alloc, MEM_BUILDER, t->edges, t->slots * sizeof *t->edges);
    t->edges = NULL;
    t->alloc = NULL;
}

/* The edge by symbol, made when there is none. REQUIRES: room for a node. */
static struct phrase_edge *step_or_add(struct phrase_trie *t, uint32_t node, uint32_t symbol) {
    uint32_t from = node << 9 | symbol;
    struct phrase_edge *edge = &t->first[symbol];
    if (node != 0) {
        size_t i = (from * UINT32_C(0x9e3779b1)) >> 7 & (t->slots - 1);
        while (t->edges[i].from != 0 && t->edges[i].from != from) {
            i = (i + 1) & (t->slots - 1);
        }
        edge = &t->edges[i];
    }
    if (edge->to == 0) {
        *edge = (struct phrase_edge){from, t->nodes++, PHRASE_NONE};
    }
    return edge;
}

bool phrase_trie_add(struct phrase_trie *t, firn_slice text, enum end_mark end, uint32_t phrase) {
    if (t->nodes_max - t->nodes < text.size + 1) {
        return false;
    }
    struct phrase_edge *edge = NULL;
    for (size_t i = 0; i < text.size; i++) {
        edge = step_or_add(t, edge == NULL ? 0 : edge->to, slice_bytes(text)[i]);
    }
    if (end != END_NONE) {
        edge = step_or_add(t, edge == NULL ? 0 : edge->to, SYMBOL_END + (uint32_t)end);
    }
    if (edge != NULL) {
        edge->phrase = phrase;
    }
    return true;
}

uint32_t phrase_trie_longest(const struct phrase_trie *t, const uint8_t *text, size_t size,
                             enum end_mark end, size_t *matched, bool *ends) {
    uint32_t node = 0, best = PHRASE_NONE;
    *matched = 0;
    *ends = false;
    for (size_t i = 0; i < size; i++) {
        const struct phrase_edge *edge = phrase_trie_step(t, node, text[i]);
        if (edge == NULL) {
            return best;
        }
        if (edge->phrase != PHRASE_NONE) {
            best = edge->phrase;
            *matched = i + 1;
        }
        node = edge->to;
    }
    if (end != END_NONE) {
        const struct phrase_edge *edge = phrase_trie_step(t, node, SYMBOL_END + (uint32_t)end);
        if (edge != NULL && edge->phrase != PHRASE_NONE) {
            best = edge->phrase;
            *matched = size;
            *ends = true;
        }
    }
    return best;
}
