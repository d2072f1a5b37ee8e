/* bench/skiplist.h: the yardstick for the memtable: a skiplist as most LSM engines have it (Pugh,
 * 1990; as in LevelDB: branching 4, at most 12 levels, whole keys in the nodes, one arena, one
 * writer and readers without locks). Keys carry their sequence, so that versions sort newest first.
 */
#ifndef FIRN_BENCH_SKIPLIST_H
#define FIRN_BENCH_SKIPLIST_H

#include <stdatomic.h>
#include <stdlib.h>

#include "base/entry.h"
#include "base/rand.h"

#define SKIPLIST_LEVELS 12

struct skiplist_node {
    uint64_t seq_kind;
    uint16_t key_bytes, height;
    uint32_t value_bytes;
    struct skiplist_node *_Atomic next[]; /* height of them, then key and value */
};

struct skiplist {
    struct skiplist_node *head;
    char *memory;
    size_t used, size;
    int height;
    struct rand rand;
};

static inline const char *skiplist_key(const struct skiplist_node *n) {
    return (const char *)&n->next[n->height];
}

static inline struct skiplist_node *skiplist_node(struct skiplist *list, size_t height,
                                                  size_t payload) {
    size_t bytes = sizeof(struct skiplist_node) + height * sizeof(void *) + payload;
    bytes = (bytes + 7) / 8 * 8;
    if (list->size - list->used < bytes) {
        return NULL;
    }
    struct skiplist_node *n = (struct skiplist_node *)(void *)(list->memory + list->used);
    list->used += bytes;
    n->height = (uint16_t)height;
    return n;
}

/* `size` bytes must do for everything. */
static inline bool skiplist_init(struct skiplist *list, size_t size) {
    memset(list, 0, sizeof(*list));
    list->memory = calloc(size, 1);
    list->size = size;
    list->height = 1;
    rand_init(&list->rand, 1);
    list->head = list->memory == NULL ? NULL : skiplist_node(list, SKIPLIST_LEVELS, 0);
    return list->head != NULL;
}

static inline int skiplist_compare(const struct skiplist_node *n, firn_slice key, uint64_t seq) {
    int order = slice_compare(firn_slice_make(skiplist_key(n), n->key_bytes), key);
    uint64_t theirs = n->seq_kind >> 8;
    return order != 0 ? order : (theirs < seq) - (theirs > seq);
}

/* The first node at or after (key, seq); the last ones before it by level, if asked for. */
static inline struct skiplist_node *skiplist_seek(struct skiplist *list, firn_slice key,
                                                  uint64_t seq, struct skiplist_node **before) {
    struct skiplist_node *at = list->head, *next = NULL;
    for (int level = list->height - 1; level >= 0; level--) {
        while ((next = atomic_load_explicit(&at->next[level], memory_order_acquire)) != NULL &&
               skiplist_compare(next, key, seq) < 0) {
            at = next;
        }
        if (before != NULL) {
            before[level] = at;
        }
    }
    return next;
}

static inline bool skiplist_put(struct skiplist *list, firn_slice key, uint64_t seq,
                                firn_slice value) {
    struct skiplist_node *before[SKIPLIST_LEVELS];
    int height = 1;
    while (height < SKIPLIST_LEVELS && rand_below(&list->rand, 4) == 0) {
        height++;
    }
    skiplist_seek(list, key, seq, before);
    for (; list->height < height; list->height++) {
        before[list->height] = list->head;
    }
    struct skiplist_node *n = skiplist_node(list, (size_t)height, key.size + value.size);
    if (n == NULL) {
        return false;
    }
    n->seq_kind = seq << 8 | ENTRY_PUT;
    n->key_bytes = (uint16_t)key.size;
    n->value_bytes = (uint32_t)value.size;
    memcpy(&n->next[height], key.data, key.size);
    memcpy((char *)&n->next[height] + key.size, value.data, value.size);
    for (int level = 0; level < height; level++) {
        struct skiplist_node *next =
            atomic_load_explicit(&before[level]->next[level], memory_order_relaxed);
        atomic_store_explicit(&n->next[level], next, memory_order_relaxed);
        atomic_store_explicit(&before[level]->next[level], n, memory_order_release);
    }
    return true;
}

#endif
