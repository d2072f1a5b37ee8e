/* What is hard here: a put changes at most one reference that readers can reach, the last thing it
 * does, so that they see the tree before or after it; and lookups go from cache miss to cache miss,
 * so they must not wait for one whose answer can be had later.
 */
#include "memtable/art.h"

#include "base/status.h"

int art_init(struct art *art, struct alloc *alloc) {
    memset(art, 0, sizeof(*art));
    prune_init(&art->prune, alloc);
    return arena_init(&art->arena, alloc, MEM_MEMTABLE);
}

int art_enable_prune(struct art *art, struct epoch *gets, const void *pinned) {
    int rc = epoch_create(art->arena.alloc, &art->prune.scans);
    if (rc == FIRN_OK) {
        art->prune.gets = gets;
        art->prune.pinned = pinned;
    }
    return rc;
}

void art_deinit(struct art *art) {
    prune_end(&art->prune);
    epoch_destroy(art->prune.scans);
    arena_deinit(&art->arena);
}

static void count_arena(struct art *art) {
    atomic_store_explicit(&art->counts.used, art->arena.used, memory_order_relaxed);
    atomic_store_explicit(&art->counts.committed, art->arena.committed, memory_order_relaxed);
}

/* ---- Room ----------------------------------------------------------------------------------- */

/* What one put takes at most beside its key and value: its record, a skip node, and a node grown.
 */
#define PUT_OVERHEAD_MAX (RECORD_OVERHEAD_MAX * 9 / 8 + 16 + 1040)

/* What each of many puts takes at most beside its record and growth_max(): its share of further
 * growth, dearest from form 48 to 256, which takes 17 puts to earn; a pair of its own with a skip
 * node; and the pair's first growth. They are added up though no put does all of it, which pays for
 * the copy that a node takes, once, when a key comes to end there. */
#define PUT_AMORTIZED (1040 / 17 + 1 + 16 + 16 + 32)

/* The most that `count` puts can take for nodes that are there already: each lets one node grow, so
 * it is the dearest ones first. Growing twice is in PUT_AMORTIZED. */
static uint64_t growth_max(const struct art *art, uint64_t count) {
    uint64_t bytes = 0;
    for (int form = NODE_48; form >= NODE_2 && count > 0; form--) {
        uint64_t nodes = count_get(&art->counts.nodes[form]);
        uint64_t grown = nodes < count ? nodes : count;
        bytes += grown * node_bytes[form + 1];
        count -= grown;
    }
    return bytes;
}

int art_reserve(struct art *art, size_t count, size_t bytes) {
    size_t left = art->arena.committed - art->arena.used;
    if (count == 1 && bytes <= left && left - bytes >= bytes / 8 + PUT_OVERHEAD_MAX) {
        return FIRN_OK;
    }
    size_t limit = art->arena.reserved;
    if (bytes > limit || count > limit / (RECORD_OVERHEAD_MAX + PUT_AMORTIZED)) {
        return FAIL(FIRN_NOMEM, "%zu entries of %zu bytes do not fit in a memtable", count, bytes);
    }
    size_t need = bytes + count * RECORD_OVERHEAD_MAX;
    need += need > (size_t)8 * BLOCK_EXACT_MAX ? need / 8 : 0; /* version_room() */
    need += count == 1 ? PUT_OVERHEAD_MAX : count * PUT_AMORTIZED + growth_max(art, count);
    int rc = arena_reserve(&art->arena, need);
    count_arena(art);
    return rc;
}

/* ---- Adding --------------------------------------------------------------------------------- */

/* Where a put has got to: the reference it looks at and the key bytes behind it. */
struct position {
    _Atomic arena_ref *slot;
    size_t depth;
};

/* Not zeroed: it may have been in use before. */
static arena_ref take(struct art *art, size_t bytes) {
    uint32_t units = (uint32_t)((bytes + 7) / 8);
    arena_ref ref = blocks_take(&art->prune.blocks, &art->arena, units);
    if (ref != 0) {
        count_sub(&art->counts.free_bytes, (uint64_t)units * 8);
        return ref;
    }
    ref = arena_alloc(&art->arena, bytes);
    count_arena(art);
    return ref;
}

static arena_ref take_node(struct art *art, size_t bytes) {
    arena_ref ref = take(art, bytes);
    if (ref != 0) {
        memset(arena_at(&art->arena, ref), 0, bytes);
    }
    return ref;
}

/* An allocation that did not become part of the tree. */
static int abandon(struct art *art, size_t bytes) {
    count_add(&art->counts.waste_bytes, (bytes + 7) / 8 * 8);
    return FAIL(FIRN_NOMEM, "no memory for an entry in an arena of %zu bytes", art->arena.used);
}

static void publish(_Atomic arena_ref *slot, arena_ref ref) {
    atomic_store_explicit(slot, ref, memory_order_release);
}

static void count_record(struct art *art, const struct entry *entry, size_t size, size_t tail) {
    struct art_counts *c = &art->counts;
    size_t rounded = (size + 7) / 8 * 8;
    count_add(&c->tail_bytes, tail);
    count_add(&c->value_bytes, entry->value.size);
    count_add(&c->version_bytes, rounded - tail - entry->value.size);
    count_add(&c->raw_key_bytes, entry->key.size);
    count_add(&c->entries, 1);
    count_add(&c->puts, 1);
    count_add(&c->tombstones, entry->kind == ENTRY_DELETE);
}

struct made_leaf {
    size_t size, tail; /* bytes: all, and of the tail as it is stored */
};

/* A leaf for the rest of the key from `start`, or 0. Counted once it is published. */
static arena_ref make_leaf(struct art *art, const struct entry *entry, size_t start,
                           struct made_leaf *made) {
    struct leaf_tail tail;
    tail.start = start;
    tail.size = entry->key.size - start;
    tail.bytes = tail.size == 0 ? NULL : slice_bytes(entry->key) + start;
    leaf_choose_digits(&tail, entry, art->seq_base);
    made->size = record_size(&tail, entry, art->seq_base);
    made->tail = leaf_tail_stored(&tail);
    arena_ref ref = take(art, made->size);
    if (ref != 0) {
        leaf_write(arena_at(&art->arena, ref), &tail, entry, art->seq_base);
    }
    return ref;
}

static void count_leaf(struct art *art, const struct entry *entry, const struct made_leaf *made) {
    count_record(art, entry, made->size, made->tail);
    count_add(&art->counts.keys, 1);
}

static int put_first(struct art *art, struct position at, const struct entry *entry) {
    struct made_leaf made;
    arena_ref leaf = make_leaf(art, entry, at.depth, &made);
    if (leaf == 0) {
        return abandon(art, 0);
    }
    count_leaf(art, entry, &made);
    publish(at.slot, leaf);
    return FIRN_OK;
}

static int put_version(struct art *art, struct position at, const struct entry *entry) {
    arena_ref older = ref_load(at.slot);
    size_t size = version_room(record_size(NULL, entry, art->seq_base));
    arena_ref version = take(art, size);
    if (version == 0) {
        return abandon(art, 0);
    }
    version_write(arena_at(&art->arena, version), record_leaf(&art->arena, older), older, entry,
                  art->seq_base);
    count_record(art, entry, size, 0);
    publish(at.slot, version);
    art_note_superseding(art, version, size);
    return FIRN_OK;
}

/* Puts a node above what at.slot leads to: its label is the next label->size bytes of the key, then
 * `old_place` leads on to what was there and the new key goes its own way. */
static int put_fork(struct art *art, struct position at, struct node_label *label, int old_place,
                    const struct entry *entry) {
    size_t fork = at.depth + label->size;
    int new_place = fork == entry->key.size ? NODE_AT_END : slice_bytes(entry->key)[fork];
    size_t start = new_place == NODE_AT_END ? fork : fork + 1;
    struct made_leaf made;
    arena_ref old = ref_load(at.slot);

    bool skip = label->size > NODE_LABEL_MAX;
    size_t node_size = node_bytes[NODE_2] + (skip ? node_bytes[NODE_SKIP] : 0u);
    arena_ref ref = take_node(art, node_size);
    if (ref == 0) {
        return abandon(art, 0);
    }
    arena_ref leaf = make_leaf(art, entry, start, &made);
    if (leaf == 0) {
        return abandon(art, node_size);
    }

    struct node *n = arena_at(&art->arena, ref);
    label->depth = fork;
    label->bytes = slice_bytes(entry->key) + at.depth;
    if (skip) {
        arena_ref below = ref + node_bytes[NODE_SKIP] / 8u;
        node_init_skip(n, label, below);
        n = arena_at(&art->arena, below);
        label->size = 0;
        count_add(&art->counts.nodes[NODE_SKIP], 1);
    }
    if (old_place == NODE_AT_END) {
        node_init_pair(n, label, old_place, old, new_place, leaf);
    } else {
        node_init_pair(n, label, new_place, leaf, old_place, old);
    }
    count_add(&art->counts.nodes[NODE_2], 1);
    count_leaf(art, entry, &made);
    publish(at.slot, ref);
    return FIRN_OK;
}

/* Adds a child for the key to the node at.slot leads to, where the key's byte at at.depth, or its
 * end, has none. */
static int put_child(struct art *art, struct position at, struct node *n,
                     const struct entry *entry) {
    int place = at.depth == entry->key.size ? NODE_AT_END : slice_bytes(entry->key)[at.depth];
    size_t start = place == NODE_AT_END ? at.depth : at.depth + 1;
    struct made_leaf made;
    arena_ref leaf = make_leaf(art, entry, start, &made);
    if (leaf == 0) {
        return abandon(art, 0);
    }
    if (!node_add(n, place, leaf)) {
        enum node_form old_form = node_form(n), form = node_grown_form(n);
        arena_ref outgrown = ref_load(at.slot), grown = take_node(art, node_bytes[form]);
        if (grown == 0) {
            return abandon(art, made.size);
        }
        node_copy_grown(arena_at(&art->arena, grown), n, place, leaf);
        count_sub(&art->counts.nodes[old_form], 1);
        count_add(&art->counts.nodes[form], 1);
        publish(at.slot, grown);
        art_note_unlinked(art, outgrown, node_bytes[old_form]);
    }
    count_leaf(art, entry, &made);
    return FIRN_OK;
}

/* The key met a leaf: it is that key, or the two part somewhere in the tail. */
static int put_at_leaf(struct art *art, struct position at, const struct entry *entry) {
    arena_ref leaf = record_leaf(&art->arena, ref_load(at.slot));
    struct leaf_tail tail = leaf_tail(art_record(art, leaf));
    size_t used = at.depth - tail.start;
    struct leaf_text text;
    firn_slice theirs = firn_slice_make(leaf_tail_text(&tail, &text) + used, tail.size - used);
    firn_slice ours = firn_slice_make(NULL, 0);
    if (entry->key.size > at.depth) {
        ours = firn_slice_make(slice_bytes(entry->key) + at.depth, entry->key.size - at.depth);
    }
    size_t common = slice_common_prefix(theirs, ours);
    if (common == theirs.size && common == ours.size) {
        return put_version(art, at, entry);
    }
    struct node_label label = {.size = common, .leaf = leaf};
    int old_place = common == theirs.size ? NODE_AT_END : slice_bytes(theirs)[common];
    return put_fork(art, at, &label, old_place, entry);
}

int art_put(struct art *art, const struct entry *entry) {
    struct position at = {&art->root, 0};
    if (ref_load(at.slot) == 0) {
        art->seq_base = entry->seq;
        return put_first(art, at, entry);
    }
    for (;;) {
        struct node *n = arena_at(&art->arena, ref_load(at.slot));
        uint8_t code = record_code(n);
        if ((code & CODE_LEAF) != 0) {
            return put_at_leaf(art, at, entry);
        }

        size_t left = entry->key.size - at.depth;
        size_t size = node_label_size(n, code, at.depth);
        if (size > 0) {
            struct leaf_text text;
            const uint8_t *label_bytes = art_label(art, n, code, at.depth, size, &text);
            firn_slice label = firn_slice_make(label_bytes, size);
            firn_slice rest = firn_slice_make(slice_bytes(entry->key) + at.depth, left);
            size_t common = slice_common_prefix(label, rest);
            if (common < size) {
                struct node_label shorter = {.size = common};
                shorter.leaf = (code & CODE_INLINE) != 0 ? 0 : node_label_leaf(n);
                return put_fork(art, at, &shorter, label_bytes[common], entry);
            }
            at.depth += size;
        }

        _Atomic arena_ref *child;
        if (node_is_skip(code)) {
            at.slot = node_skip_child(n);
            continue;
        }
        if (at.depth == entry->key.size) {
            child = node_find_end(n, code);
        } else {
            child = node_find(n, code, slice_bytes(entry->key)[at.depth]);
        }
        if (child == NULL) {
            return put_child(art, at, n, entry);
        }
        at.slot = child;
        at.depth += at.depth < entry->key.size;
    }
}

/* ---- Finding -------------------------------------------------------------------------------- */

/* Labels that are borrowed from a leaf lie in a cache line of their own. They decide nothing on the
 * way down, since a node branches by a byte of known depth, so they are fetched in the background
 * and compared when the leaf has been reached: a lookup waits for them at once instead of one by
 * one. */
#define CHECKS_MAX 16

struct label_check {
    arena_ref leaf;
    size_t depth, end; /* the label's first byte in the key, and the one after it */
};

struct checks {
    struct label_check at[CHECKS_MAX];
    size_t count;
};

/* Whether key[start .. end) are these bytes. */
static bool same_bytes(const uint8_t *bytes, const uint8_t *key, size_t start, size_t end) {
    return start == end || memcmp(bytes, key + start, end - start) == 0;
}

/* Whether all labels are bytes of the key, from `covered` on known to be. A leaf has not only the
 * label that is borrowed from it but the whole way from its start to there, so it answers for the
 * labels in between as well: going upwards, few leaves are looked at. */
static bool checks_hold(const struct art *art, struct checks *checks, const uint8_t *key,
                        size_t covered) {
    while (checks->count > 0) {
        const struct label_check *check = &checks->at[--checks->count];
        if (check->depth < covered) {
            struct leaf_tail tail = leaf_tail(art_record(art, check->leaf));
            struct leaf_text text;
            if (!same_bytes(leaf_tail_text(&tail, &text), key, tail.start, check->end)) {
                return false;
            }
            covered = tail.start;
        }
    }
    return true;
}

/* False when the label of n, bytes depth to end of the key, is known to be different. */
static bool label_may_match(const struct art *art, struct checks *checks, const struct node *n,
                            uint8_t code, const uint8_t *key, size_t depth, size_t end) {
    if ((code & CODE_INLINE) != 0) {
        for (size_t i = NODE_INLINE_MAX; end > depth; end--) {
            if (n->label[--i] != key[end - 1]) {
                return false;
            }
        }
        return true;
    }
    if (checks->count == CHECKS_MAX && !checks_hold(art, checks, key, end)) {
        return false;
    }
    struct label_check check = {node_label_leaf(n), depth, end};
    __builtin_prefetch(art_record(art, check.leaf));
    checks->at[checks->count++] = check;
    return true;
}

arena_ref art_find(const struct art *art, firn_slice key) {
    const uint8_t *bytes = slice_bytes(key);
    struct checks checks;
    checks.count = 0;
    size_t depth = 0;
    arena_ref ref = ref_load(&art->root);
    while (ref != 0) {
        const struct node *n = arena_at(&art->arena, ref);
        uint8_t code = record_code(n);
        if ((code & CODE_LEAF) != 0) {
            break;
        }
        size_t size = node_label_size(n, code, depth);
        if (size > key.size - depth ||
            (size > 0 && !label_may_match(art, &checks, n, code, bytes, depth, depth + size))) {
            return 0;
        }
        depth += size;

        _Atomic arena_ref *child;
        if (node_is_skip(code)) {
            child = node_skip_child(n);
        } else if (depth == key.size) {
            child = node_find_end(n, code);
        } else {
            child = node_find(n, code, bytes[depth++]);
        }
        ref = child == NULL ? 0 : ref_load(child);
    }
    if (ref == 0) {
        return 0;
    }

    struct leaf_tail tail = leaf_tail(art_record(art, record_leaf(&art->arena, ref)));
    struct leaf_text text;
    if (tail.start + tail.size != key.size ||
        !same_bytes(leaf_tail_text(&tail, &text), bytes, tail.start, key.size)) {
        return 0;
    }
    return checks_hold(art, &checks, bytes, tail.start) ? ref : 0;
}

arena_ref art_version_at(const struct art *art, arena_ref record, uint64_t seq) {
    while (record != 0 && record_seq(art_record(art, record), art->seq_base) > seq) {
        record = record_older(art_record(art, record));
    }
    return record;
}
