#include "sst/phrase_trie.h"

#define NODES_LIMIT ((UINT32_C(1) << 23) - 1) /* node numbers share 32 bits with a symbol */

int phrase_trie_init(struct phrase_trie *t, struct alloc *alloc, size_t nodes_max) {
    memset(t, 0, sizeof *t);
    t->alloc = alloc;
    t->nodes = 1;
    nodes_max = nodes_max < 4096 ? 4096 : nodes_max;
    t->nodes_max = nodes_max < NODES_LIMIT ? (uint32_t)nodes_max : NODES_LIMIT;
    t->slots = 8192;
    while (t->slots < (size_t)t->nodes_max * 3 / 2) {
        t->slots *= 2;
    }
    t->edges = alloc_get_zeroed(alloc, MEM_BUILDER, t->slots * sizeof *t->edges);
    t->phrases = alloc_get(alloc, MEM_BUILDER, t->nodes_max * sizeof *t->phrases);
    if (t->edges == NULL || t->phrases == NULL) {
        phrase_trie_deinit(t);
        return FAIL(FIRN_NOMEM, "no memory for a phrase trie of %zu nodes", nodes_max);
    }
    t->phrases[0] = PHRASE_NONE;
    return FIRN_OK;
}

void phrase_trie_deinit(struct phrase_trie *t) {
    if (t->alloc == NULL) {
        return;
    }
    alloc_release(t->alloc, MEM_BUILDER, t->edges, t->slots * sizeof *t->edges);
    alloc_release(t->alloc, MEM_BUILDER, t->phrases, t->nodes_max * sizeof *t->phrases);
    t->edges = NULL;
    t->phrases = NULL;
    t->alloc = NULL;
}

/* The child by symbol, made when there is none. REQUIRES: room for a node. */
static uint32_t step_or_add(struct phrase_trie *t, uint32_t node, uint32_t symbol) {
    uint32_t child = phrase_trie_step(t, node, symbol);
    if (child != 0) {
        return child;
    }
    child = t->nodes++;
    t->phrases[child] = PHRASE_NONE;
    if (node == 0) {
        t->first[symbol] = child;
        return child;
    }
    uint32_t from = node << 9 | symbol;
    size_t i = (from * UINT32_C(0x9e3779b1)) >> 7 & (t->slots - 1);
    while (t->edges[i].from != 0) {
        i = (i + 1) & (t->slots - 1);
    }
    t->edges[i].from = from;
    t->edges[i].to = child;
    return child;
}

bool phrase_trie_add(struct phrase_trie *t, firn_slice text, enum end_mark end, uint32_t phrase) {
    if (t->nodes_max - t->nodes < text.size + 1) {
        return false;
    }
    uint32_t node = 0;
    for (size_t i = 0; i < text.size; i++) {
        node = step_or_add(t, node, slice_bytes(text)[i]);
    }
    if (end != END_NONE) {
        node = step_or_add(t, node, SYMBOL_END + (uint32_t)end);
    }
    t->phrases[node] = phrase;
    return true;
}

uint32_t phrase_trie_longest(const struct phrase_trie *t, const uint8_t *text, size_t size,
                             enum end_mark end, size_t *matched, bool *ends) {
    uint32_t node = 0, best = PHRASE_NONE;
    size_t i = 0;
    *matched = 0;
    *ends = false;
    for (; i < size; i++) {
        node = phrase_trie_step(t, node, text[i]);
        if (node == 0) {
            return best;
        }
        if (t->phrases[node] != PHRASE_NONE) {
            best = t->phrases[node];
            *matched = i + 1;
        }
    }
    if (end != END_NONE) {
        node = phrase_trie_step(t, node, SYMBOL_END + (uint32_t)end);
        if (node != 0 && t->phrases[node] != PHRASE_NONE) {
            best = t->phrases[node];
            *matched = size;
            *ends = true;
        }
    }
    return best;
}
