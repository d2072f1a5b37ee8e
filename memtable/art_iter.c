/* What is hard here: a step up and a step down are the same in both directions but for the child
 * they take, so that one climb() and one descend() serve both.
 */
#include "memtable/art_iter.h"

enum direction { FORWARD, BACKWARD };

void art_iter_init(struct art_iter *it, const struct art *art, struct alloc *alloc) {
    it->art = art;
    buf_init(&it->key, alloc, MEM_ITERATOR);
    buf_init(&it->frames, alloc, MEM_ITERATOR);
    it->record = 0;
}

void art_iter_deinit(struct art_iter *it) {
    buf_deinit(&it->key);
    buf_deinit(&it->frames);
}

static int append_key(struct art_iter *it, const uint8_t *bytes, size_t size) {
    if (it->key.capacity - it->key.size < size) {
        int rc = buf_reserve(&it->key, size);
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    if (size > 0) {
        memcpy(it->key.data + it->key.size, bytes, size);
        it->key.size += size;
    }
    return FIRN_OK;
}

/* Puts the node on the frames, at no place yet. The key must end at its branch. */
static int push(struct art_iter *it, arena_ref node) {
    struct art_frame frame = {node, (uint16_t)it->key.size, NODE_BEFORE_ALL};
    if (it->frames.capacity - it->frames.size < sizeof(frame)) {
        int rc = buf_reserve(&it->frames, sizeof(frame));
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    memcpy(it->frames.data + it->frames.size, &frame, sizeof(frame));
    it->frames.size += sizeof(frame);
    return FIRN_OK;
}

static struct art_frame *top(struct art_iter *it) {
    return (struct art_frame *)(void *)(it->frames.data + it->frames.size) - 1;
}

/* Takes the child at `place` of the topmost frame: the key then leads to it. */
static int take(struct art_iter *it, int place) {
    struct art_frame *frame = top(it);
    frame->place = (int16_t)place;
    it->key.size = frame->depth;
    if (place == NODE_AT_END) {
        return FIRN_OK;
    }
    uint8_t byte = (uint8_t)place;
    return append_key(it, &byte, 1);
}

/* A record at which a key ends: appends what is left of it. */
static int arrive(struct art_iter *it, arena_ref record) {
    struct leaf_tail tail = leaf_tail(art_record(it->art, record_leaf(&it->art->arena, record)));
    struct leaf_text text;
    size_t used = it->key.size - tail.start;
    int rc = append_key(it, leaf_tail_text(&tail, &text) + used, tail.size - used);
    it->record = rc == FIRN_OK ? record : 0;
    return rc;
}

/* Goes down from ref, to which the key leads, always by the first or last child. */
static int descend(struct art_iter *it, arena_ref ref, enum direction way) {
    for (;;) {
        const struct node *n = (const struct node *)(const void *)art_record(it->art, ref);
        uint8_t code = record_code(n);
        if ((code & CODE_LEAF) != 0) {
            return arrive(it, ref);
        }
        size_t size = node_label_size(n, code, it->key.size);
        int rc = FIRN_OK;
        if (size > 0) {
            struct leaf_text text;
            rc = append_key(it, art_label(it->art, n, code, it->key.size, size, &text), size);
        }
        rc = rc == FIRN_OK ? push(it, ref) : rc;
        node_prefetch(n, code, &it->art->arena);
        int place = 0;
        _Atomic arena_ref *child = way == FORWARD ? node_above(n, NODE_BEFORE_ALL, &place)
                                                  : node_below(n, NODE_AFTER_ALL, &place);
        rc = rc == FIRN_OK ? take(it, place) : rc;
        if (rc != FIRN_OK) {
            it->record = 0;
            return rc;
        }
        ref = ref_load(child);
    }
}

/* Goes up to the nearest node with a child past the place taken, and down from there. */
static int climb(struct art_iter *it, enum direction way) {
    it->record = 0;
    while (it->frames.size > 0) {
        struct art_frame *frame = top(it);
        const struct node *n = (const struct node *)(const void *)art_record(it->art, frame->node);
        int place;
        _Atomic arena_ref *child = way == FORWARD ? node_above(n, frame->place, &place)
                                                  : node_below(n, frame->place, &place);
        if (child != NULL) {
            int rc = take(it, place);
            return rc == FIRN_OK ? descend(it, ref_load(child), way) : rc;
        }
        it->frames.size -= sizeof(struct art_frame);
    }
    return FIRN_OK;
}

static int from_root(struct art_iter *it, enum direction way) {
    it->record = 0;
    buf_reset(&it->key);
    buf_reset(&it->frames);
    arena_ref root = ref_load(&it->art->root);
    return root == 0 ? FIRN_OK : descend(it, root, way);
}

int art_iter_first(struct art_iter *it) {
    return from_root(it, FORWARD);
}

int art_iter_last(struct art_iter *it) {
    return from_root(it, BACKWARD);
}

int art_iter_next(struct art_iter *it) {
    return climb(it, FORWARD);
}

int art_iter_prev(struct art_iter *it) {
    return climb(it, BACKWARD);
}

/* Compares the bytes that lead on with what is left of the target. */
static int compare_rest(const uint8_t *bytes, size_t size, firn_slice target, size_t depth) {
    size_t left = target.size - depth;
    size_t shared = size < left ? size : left;
    int order = shared == 0 ? 0 : memcmp(bytes, slice_bytes(target) + depth, shared);
    return order != 0 ? order : size > left;
}

int art_iter_seek(struct art_iter *it, firn_slice key) {
    it->record = 0;
    buf_reset(&it->key);
    buf_reset(&it->frames);
    arena_ref ref = ref_load(&it->art->root);
    if (ref == 0) {
        return FIRN_OK;
    }
    /* Up to here the key leads along the target, of which it->key.size bytes are behind. */
    for (;;) {
        const struct node *n = (const struct node *)(const void *)art_record(it->art, ref);
        uint8_t code = record_code(n);
        if ((code & CODE_LEAF) != 0) {
            int rc = arrive(it, ref);
            if (rc != FIRN_OK || slice_compare(buf_slice(&it->key), key) >= 0) {
                return rc;
            }
            return climb(it, FORWARD);
        }
        size_t depth = it->key.size, size = node_label_size(n, code, depth);
        struct leaf_text text;
        const uint8_t *label = size == 0 ? NULL : art_label(it->art, n, code, depth, size, &text);
        int order = compare_rest(label, size, key, depth);
        if (order != 0) {
            return order > 0 ? descend(it, ref, FORWARD) : climb(it, FORWARD);
        }
        int rc = append_key(it, label, size);
        rc = rc == FIRN_OK ? push(it, ref) : rc;
        if (rc != FIRN_OK) {
            return rc;
        }
        depth += size;
        _Atomic arena_ref *child;
        int place;
        if (node_is_skip(code)) {
            child = node_skip_child(n);
            place = NODE_AT_END;
        } else if (depth == key.size) {
            return climb(it, FORWARD); /* all below is at or after the target */
        } else {
            place = slice_bytes(key)[depth];
            child = node_find(n, code, (uint8_t)place);
        }
        rc = take(it, place);
        if (rc != FIRN_OK) {
            return rc;
        }
        if (child == NULL) {
            return climb(it, FORWARD);
        }
        ref = ref_load(child);
    }
}
