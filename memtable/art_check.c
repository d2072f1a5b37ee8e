/* Walks all that the tree leads to and compares it with what it should be. Two walks: one over
 * nodes, in any order, for their shape and the sum of bytes; one over keys, in order, through the
 * iterator and back through a lookup.
 */
#include "memtable/art_iter.h"

struct found {
    uint64_t nodes[NODE_FORMS];
    uint64_t keys, entries, tombstones, raw_key_bytes;
    uint64_t tail_bytes, value_bytes, record_bytes; /* record_bytes: rounded up, all in all */
};

/* What is still to be visited, and the key bytes that lead there. */
struct visit {
    arena_ref ref;
    uint32_t depth;
};

#define EXPECT(condition, text)                                                                    \
    if (!(condition)) {                                                                            \
        *reason = (text);                                                                          \
        return false;                                                                              \
    }

static bool check_record(const struct art *art, struct visit at, struct found *f,
                         const char **reason) {
    arena_ref leaf = record_leaf(&art->arena, at.ref);
    struct leaf_tail tail = leaf_tail(art_record(art, leaf));
    EXPECT(!record_is_version(art_record(art, leaf)[0]), "a version names a leaf that is none");
    EXPECT(tail.start <= at.depth, "a leaf starts below where it hangs");
    EXPECT(tail.start + tail.size >= at.depth, "a leaf ends above where it hangs");
    f->keys++;
    f->tail_bytes += leaf_tail_stored(&tail);
    uint64_t newer = UINT64_MAX;
    bool leaf_met = false;
    for (arena_ref ref = at.ref; ref != 0; ref = record_older(art_record(art, ref))) {
        const uint8_t *record = art_record(art, ref);
        struct entry entry;
        record_entry(record, art->seq_base, &entry);
        bool last = !record_is_version(record[0]);
        EXPECT(entry.seq < newer, "versions of a key are not in falling order");
        EXPECT(last == (ref == leaf), "a leaf is among the versions of another");
        leaf_met = last;
        EXPECT(last || version_leaf(record) == leaf, "versions of a key name different leaves");
        newer = entry.seq;
        f->entries++;
        f->tombstones += entry.kind == ENTRY_DELETE;
        f->raw_key_bytes += tail.start + tail.size;
        f->value_bytes += entry.value.size;
        size_t size = record_size(last ? &tail : NULL, &entry, art->seq_base);
        f->record_bytes += last ? (size + 7) / 8 * 8 : version_room(size);
    }
    if (!leaf_met) { /* its version is forgotten */
        f->record_bytes += leaf_tail_bytes(art_record(art, leaf));
    }
    return true;
}

static bool check_label(const struct art *art, const struct node *n, uint8_t code, struct visit at,
                        size_t size, const char **reason) {
    EXPECT(at.depth + size <= FIRN_KEY_BYTES_MAX, "a label leads past the longest key");
    if (size == 0) {
        return true;
    }
    if ((code & CODE_INLINE) != 0) {
        EXPECT(size <= NODE_INLINE_MAX, "an inline label is too long");
        return true;
    }
    const uint8_t *leaf = art_record(art, node_label_leaf(n));
    EXPECT((leaf[0] & CODE_LEAF) != 0 && !record_is_version(leaf[0]),
           "a label borrows from something that is no leaf");
    struct leaf_tail tail = leaf_tail(leaf);
    EXPECT(tail.start <= at.depth && tail.start + tail.size >= at.depth + size,
           "a label is not covered by its leaf");
    return true;
}

/* Checks a node and notes its children for later. */
static bool check_node(const struct art *art, const struct node *n, struct visit at,
                       struct buf *todo, struct found *f, const char **reason) {
    uint8_t code = record_code(n);
    size_t size = node_label_size(n, code, at.depth);
    if (!check_label(art, n, code, at, size, reason)) {
        return false;
    }
    f->nodes[node_form(n)]++;
    at.depth += (uint32_t)size;
    unsigned met = 0;
    int place = NODE_BEFORE_ALL;
    for (_Atomic arena_ref *child; (child = node_above(n, place, &place)) != NULL; met++) {
        struct visit next = {ref_load(child), at.depth + (place >= 0)};
        EXPECT(next.ref != 0, "a node has a child that is none");
        EXPECT(place < 0 || node_find(n, code, (uint8_t)place) == child,
               "a child is not found by its byte");
        EXPECT(buf_append(todo, &next, sizeof(next)) == FIRN_OK, "no memory to check");
    }
    EXPECT(met == node_count(n), "a node has two children of the same byte");
    EXPECT(met >= 2 || node_is_skip(code), "a node has less than two children");
    return true;
}

static bool check_shape(const struct art *art, struct buf *todo, struct found *f,
                        const char **reason) {
    struct visit at = {ref_load(&art->root), 0};
    EXPECT(at.ref == 0 || buf_append(todo, &at, sizeof(at)) == FIRN_OK, "no memory to check");
    while (todo->size > 0) {
        todo->size -= sizeof(at);
        memcpy(&at, todo->data + todo->size, sizeof(at));
        EXPECT((uint64_t)at.ref * 8 < art->arena.used, "a reference leads out of the arena");
        const void *record = art_record(art, at.ref);
        bool leaf = (record_code(record) & CODE_LEAF) != 0;
        if (leaf ? !check_record(art, at, f, reason)
                 : !check_node(art, record, at, todo, f, reason)) {
            return false;
        }
    }
    return true;
}

static bool check_order(const struct art *art, struct art_iter *it, struct buf *before,
                        const char **reason) {
    uint64_t keys = 0;
    int rc = art_iter_first(it);
    while (rc == FIRN_OK && it->record != 0) {
        firn_slice key = buf_slice(&it->key);
        EXPECT(keys == 0 || slice_compare(buf_slice(before), key) < 0, "keys are out of order");
        key.data = key.data == NULL ? "" : key.data;
        EXPECT(art_find(art, key) == it->record, "a key that the iterator meets is not found");
        EXPECT(buf_assign(before, key) == FIRN_OK, "no memory to check");
        keys++;
        rc = art_iter_next(it);
    }
    EXPECT(rc == FIRN_OK, "no memory to check");
    EXPECT(keys == count_get(&art->counts.keys), "the iterator does not meet every key");
    return true;
}

static bool check_sums(const struct art *art, const struct found *f, const char **reason) {
    const struct art_counts *c = &art->counts;
    uint64_t free_bytes = blocks_count_bytes(&art->prune.blocks, &art->arena);
    uint64_t bytes = 8 + f->record_bytes + count_get(&c->waste_bytes) + free_bytes;
    EXPECT(free_bytes == count_get(&c->free_bytes), "free bytes are miscounted");
    for (int form = 0; form < NODE_FORMS; form++) {
        EXPECT(f->nodes[form] == count_get(&c->nodes[form]), "nodes are miscounted");
        bytes += f->nodes[form] * node_bytes[form];
    }
    EXPECT(f->keys == count_get(&c->keys), "keys are miscounted");
    EXPECT(f->entries == count_get(&c->entries), "entries are miscounted");
    EXPECT(f->tombstones == count_get(&c->tombstones), "tombstones are miscounted");
    EXPECT(f->raw_key_bytes == count_get(&c->raw_key_bytes), "key bytes are miscounted");
    EXPECT(f->tail_bytes == count_get(&c->tail_bytes), "tail bytes are miscounted");
    EXPECT(f->value_bytes == count_get(&c->value_bytes), "value bytes are miscounted");
    EXPECT(f->record_bytes == count_get(&c->tail_bytes) + count_get(&c->version_bytes) +
                                  count_get(&c->value_bytes),
           "version bytes are miscounted");
    EXPECT(bytes == art->arena.used, "bytes of the arena are unaccounted for");
    return true;
}

bool art_check(const struct art *art, const char **reason) {
    struct found found;
    struct buf scratch;
    struct art_iter it;
    memset(&found, 0, sizeof(found));
    buf_init(&scratch, art->arena.alloc, MEM_OTHER);
    art_iter_init(&it, art, art->arena.alloc);
    bool good = check_shape(art, &scratch, &found, reason) && check_sums(art, &found, reason) &&
                check_order(art, &it, &scratch, reason);
    art_iter_deinit(&it);
    buf_deinit(&scratch);
    return good;
}
