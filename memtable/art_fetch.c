/* What is hard here: a put or lookup goes from cache miss to cache miss, since each node tells
 * where the next one is. The ways of several keys do not wait for each other: they are gone side by
 * side, a node of each in turn, and the nodes arrive meanwhile.
 */
#include "memtable/art.h"

/* Fewer still wait, more are no faster (docs/memtable.md). */
#define WAYS_MAX 16

struct way {
    const struct node *at;
    firn_slice key;
    size_t depth;
};

static const struct node *node_at(const struct art *art, arena_ref ref) {
    return (const struct node *)(const void *)art_record(art, ref);
}

/* To the next node, which is asked for; false where the way ends. Labels are not compared: a wrong
 * way costs nothing but time. */
static bool way_step(const struct art *art, struct way *w) {
    const struct node *n = w->at;
    uint8_t code = record_code(n);
    if ((code & CODE_LEAF) != 0) {
        return false;
    }
    size_t size = node_label_size(n, code, w->depth);
    if (size > w->key.size - w->depth) {
        return false;
    }
    if (size > 0 && (code & CODE_INLINE) == 0) {
        __builtin_prefetch(art_record(art, node_label_leaf(n)));
    }
    w->depth += size;
    const _Atomic arena_ref *child;
    if (node_is_skip(code)) {
        child = node_skip_child(n);
    } else if (w->depth == w->key.size) {
        child = node_find_end(n, code);
    } else {
        child = node_find(n, code, slice_bytes(w->key)[w->depth++]);
    }
    if (child == NULL) {
        return false;
    }
    w->at = node_at(art, ref_load(child));
    __builtin_prefetch(w->at);
    return true;
}

static void go_together(const struct art *art, struct way *ways, size_t count) {
    while (count > 0) {
        for (size_t i = 0; i < count;) {
            if (way_step(art, &ways[i])) {
                i++;
            } else {
                ways[i] = ways[--count];
            }
        }
    }
}

void art_fetch(const struct art *art, const firn_slice *keys, size_t count) {
    arena_ref root = ref_load(&art->root);
    struct way ways[WAYS_MAX];
    for (size_t done = 0; root != 0 && done < count;) {
        size_t n = 0;
        while (n < WAYS_MAX && done < count) {
            ways[n++] = (struct way){node_at(art, root), keys[done++], 0};
        }
        go_together(art, ways, n);
    }
}
