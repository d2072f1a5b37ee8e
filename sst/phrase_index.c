#include "sst/phrase_index.h"

#include <stdlib.h>

void phrase_index_init(struct phrase_index *x, struct alloc *alloc) {
    x->nodes = NULL;
    buf_init(&x->storage, alloc, MEM_BUILDER);
    buf_init(&x->bytes, alloc, MEM_BUILDER);
    buf_init(&x->ids, alloc, MEM_BUILDER);
    buf_init(&x->pairs, alloc, MEM_BUILDER);
}

void phrase_index_deinit(struct phrase_index *x) {
    buf_deinit(&x->storage);
    buf_deinit(&x->bytes);
    buf_deinit(&x->ids);
    buf_deinit(&x->pairs);
    x->nodes = NULL;
}

static size_t symbol_count(const struct phrase_entry *e) {
    return (size_t)e->size + (e->end != END_NONE);
}

/* REQUIRES: i < symbol_count(). */
static uint32_t symbol_at(const struct phrase_entry *e, size_t i) {
    return i < e->size ? symbol_of_byte(e->text[i]) : symbol_of_end((enum end_mark)e->end);
}

void phrase_entry_set_head(struct phrase_entry *e) {
    uint64_t head = 0;
    for (size_t i = 0; i < sizeof head; i++) {
        head = head << 8 | (i < e->size ? e->text[i] : 0u);
    }
    e->head = head;
}

int phrase_entry_compare(const struct phrase_entry *a, const struct phrase_entry *b) {
    if (a->head != b->head) {
        return a->head < b->head ? -1 : 1;
    }
    int order = slice_compare(firn_slice_make(a->text, a->size), firn_slice_make(b->text, b->size));
    return order != 0 ? order : (a->end > b->end) - (a->end < b->end);
}

static int by_symbols(const void *a, const void *b) {
    return phrase_entry_compare(a, b);
}

void phrase_entry_sort(struct phrase_entry *entries, size_t count) {
    if (count > 0) {
        qsort(entries, count, sizeof *entries, by_symbols);
    }
}

/* Where the entries from `first` on that have its symbol at this depth end. */
static size_t group_end(const struct phrase_entry *entries, size_t first, size_t end,
                        size_t depth) {
    uint32_t symbol = symbol_at(&entries[first], depth);
    size_t i = first + 1;
    while (i < end && symbol_at(&entries[i], depth) == symbol) {
        i++;
    }
    return i;
}

static struct phrase_node *node_at(struct phrase_index *x, size_t i) {
    return (struct phrase_node *)(void *)x->storage.data + i;
}

/* How many children there are, of either kind, as a node tells it. */
static uint16_t count_of(struct phrase_index *x, size_t first, size_t count) {
    size_t ends = 0;
    while (ends < count && (uint32_t)node_at(x, first + ends)->symbol >> 2 < END_MARKS) {
        ends++;
    }
    return (uint16_t)((count - ends) << 3 | ends);
}

/* Appends the children of a node to which the first `depth` symbols of the entries from `first` to
 * before `end` lead, and those below them. Entries that end there are not among these. As deep as
 * the longest phrase. */
static int add_children(struct phrase_index *x, const struct phrase_entry *entries, size_t first,
                        size_t end, size_t depth, size_t *count) {
    size_t begin = x->storage.size / sizeof(struct phrase_node);
    *count = 0;
    for (size_t i = first; i < end; ++*count) {
        const struct phrase_entry *e = &entries[i];
        bool ends = symbol_count(e) == depth + 1;
        struct phrase_node node = {0, 0, 0};
        node.symbol = (uint16_t)(symbol_at(e, depth) << 2 | (ends ? e->cost : 0u));
        uint8_t byte = depth < e->size ? e->text[depth] : 0;
        int rc = buf_append(&x->storage, &node, sizeof node);
        rc = rc == FIRN_OK ? buf_append(&x->bytes, &byte, 1) : rc;
        rc = rc == FIRN_OK ? buf_append_u32(&x->ids, ends ? e->id : PHRASE_NONE) : rc;
        if (rc != FIRN_OK) {
            return rc;
        }
        i = group_end(entries, i, end, depth);
    }
    size_t i = first;
    for (size_t child = begin; child < begin + *count; child++) {
        size_t behind = group_end(entries, i, end, depth), grandchildren = 0;
        while (i < behind && symbol_count(&entries[i]) == depth + 1) {
            i++;
        }
        size_t at = x->storage.size / sizeof(struct phrase_node);
        int rc =
            i < behind ? add_children(x, entries, i, behind, depth + 1, &grandchildren) : FIRN_OK;
        if (rc != FIRN_OK) {
            return rc;
        }
        node_at(x, child)->children = (uint32_t)at;
        node_at(x, child)->count = count_of(x, at, grandchildren);
        i = behind;
    }
    return FIRN_OK;
}

#define PAIRS_BYTES (65536 * sizeof(uint32_t))

/* Those of the first children of the root whose own begin with a byte. */
static void index_pairs(struct phrase_index *x, size_t children) {
    uint32_t *pairs = (uint32_t *)(void *)x->pairs.data;
    memset(pairs, 0, PAIRS_BYTES);
    for (size_t i = 0; i < children; i++) {
        uint32_t first = (uint32_t)x->nodes[i].symbol >> 2;
        uint32_t begin = x->nodes[i].children + (x->nodes[i].count & PHRASE_NODE_ENDS);
        uint32_t end = begin + (x->nodes[i].count >> 3);
        for (uint32_t c = begin; first >= symbol_of_byte(0) && c < end; c++) {
            pairs[(first - symbol_of_byte(0)) << 8 | x->bytes.data[c]] = c;
        }
    }
}

int phrase_index_build(struct phrase_index *x, const struct phrase_entry *entries, size_t count) {
    size_t children = 0;
    static const uint8_t behind[INDEX_LANES] = {0};
    buf_reset(&x->storage);
    buf_reset(&x->bytes);
    buf_reset(&x->ids);
    int rc = x->pairs.capacity == 0 ? buf_reserve(&x->pairs, PAIRS_BYTES) : FIRN_OK;
    rc = rc == FIRN_OK ? add_children(x, entries, 0, count, 0, &children) : rc;
    rc = rc == FIRN_OK ? buf_append(&x->bytes, behind, sizeof behind) : rc;
    x->nodes = node_at(x, 0);
    if (rc == FIRN_OK) {
        index_pairs(x, children);
    }
    return rc;
}

uint32_t phrase_index_longest(const struct phrase_index *x, const uint8_t *text, size_t size,
                              enum end_mark end, size_t *matched, bool *ends) {
    *ends = false;
    *matched = 0;
    if (size == 0) {
        *ends = end != END_NONE;
        return phrase_index_id(x, phrase_index_begin(x, symbol_of_end(end)));
    }
    const struct phrase_node *best = phrase_index_begin(x, symbol_of_byte(text[0])), *node = best;
    size_t i = 1;
    *matched = 1;
    while (i < size) {
        node = i == 1 ? phrase_index_pair(x, text) : phrase_index_step(x, node, text[i]);
        if (node == NULL) {
            return phrase_index_id(x, best);
        }
        i++;
        if (phrase_node_cost(node) > 0) {
            best = node;
            *matched = i;
        }
    }
    node = end != END_NONE ? phrase_index_end(x, node, end) : NULL;
    if (node != NULL && phrase_node_cost(node) > 0) {
        *ends = true;
        *matched = size;
        return phrase_index_id(x, node);
    }
    return phrase_index_id(x, best);
}
