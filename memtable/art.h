/* memtable/art.h: an adaptive radix tree (Leis, Kemper, Neumann, ICDE 2013) over arbitrary byte
 * strings, with the versions of a key at its leaf.
 *
 * The idea: only bytes by which keys differ make nodes; each byte of a key that is not shared with
 * an earlier one is stored once, in the leaf that brought it, and nodes above borrow their labels
 * from there. A key that is a prefix of others is the `end` child of the node where it stops, so no
 * terminator is needed and any bytes may be in keys. No function recurses on key depth.
 *
 *     put cart, cat, ca:      [label "ca"]         borrowed from the leaf of cart
 *                            end/   r|    \t
 *                          leaf   leaf    leaf
 *                          ""     "cart"  ""       start 2, 0, 3
 *
 * Invariants (art_check): depths grow downwards; a node has two children or more (a skip node one)
 * of different first bytes; every label is covered by the leaf it refers to; versions of a key have
 * falling sequences; the bytes of all parts add up to what the arena gave out.
 *
 * Threading: one writer, any number of readers without locks. What a reader may see is complete
 * when a release store makes it reachable, and is not changed afterwards but by adding children in
 * place (memtable/art_node.h) and by unlinking versions, whose memory, like that of outgrown nodes,
 * is used again when no reader can be there any more (memtable/prune.h).
 */
#ifndef FIRN_MEMTABLE_ART_H
#define FIRN_MEMTABLE_ART_H

#include "memtable/leaf.h"
#include "memtable/prune.h"

/* Written by the writer alone, read by anyone: loads and stores are relaxed. */
struct art_counts {
    _Atomic uint64_t nodes[NODE_FORMS]; /* in use */
    _Atomic uint64_t keys, entries, tombstones;
    _Atomic uint64_t tail_bytes, version_bytes, value_bytes;
    _Atomic uint64_t waste_bytes;     /* out of use */
    _Atomic uint64_t free_bytes;      /* of blocks to be used again */
    _Atomic uint64_t puts;            /* entries, and those that were forgotten */
    _Atomic uint64_t raw_key_bytes;   /* of entries */
    _Atomic uint64_t used, committed; /* of the arena */
};

struct art {
    /* What every lookup loads; it changes seldom. Atomic. */
    _Atomic arena_ref root; /* 0: empty */
    /* Constant from the first put on, and not read before. */
    uint64_t seq_base;
    /* base is constant after init; the rest, from `used` on, is the writer's, who writes it with
     * each put: so it lies in other cache lines. */
    struct arena arena;
    struct prune prune;
    /* Atomic. */
    struct art_counts counts;
};

int art_init(struct art *art, struct alloc *alloc);
void art_deinit(struct art *art);

/* Writer, once, before the first put: versions may be forgotten. REQUIRES: gets read within
 * sections of `gets`, where they pin `pinned` or hold what they hand out. FIRN_NOMEM. */
int art_enable_prune(struct art *art, struct epoch *gets, const void *pinned);

/* What is registered, ascending; the last one is what is published: the sequences of all puts so
 * far are at or below it. */
struct snapshots {
    const uint64_t *seqs;
    size_t count;
};

/* Writer, now and then (prune_is_due()): forgets what nobody can see. */
void art_prune(struct art *art, const struct snapshots *snapshots);

/* For art.c: a version was linked above another; a node or version is out of the tree. */
void art_note_superseding(struct art *art, arena_ref version, size_t older_bytes);
void art_note_unlinked(struct art *art, arena_ref ref, size_t bytes);

/* Writer: makes `count` puts of together `bytes` of keys and values unable to fail. */
int art_reserve(struct art *art, size_t count, size_t bytes);

/* Writer: adds a version. REQUIRES: entry->seq above that of every version of the key. FIRN_NOMEM:
 * the tree is as before. */
int art_put(struct art *art, const struct entry *entry);

/* Fetches into the processor's cache what puts or lookups of these keys pass, all at once
 * (memtable/art_fetch.c). */
void art_fetch(const struct art *art, const firn_slice *keys, size_t count);

/* The newest version of key, or 0. */
arena_ref art_find(const struct art *art, firn_slice key);

/* The newest version at or below seq from `record` on, or 0. */
arena_ref art_version_at(const struct art *art, arena_ref record, uint64_t seq);

/* About how many keys lie in [lower, upper); data NULL: no bound. Exact for a few hundred. */
uint64_t art_count_estimate(const struct art *art, firn_slice lower, firn_slice upper);

/* A walk of everything that checks the invariants; false and the reason when one is broken. Not
 * beside a writer. */
bool art_check(const struct art *art, const char **reason);

static inline const uint8_t *art_record(const struct art *art, arena_ref ref) {
    return arena_at(&art->arena, ref);
}

static inline uint64_t count_get(const _Atomic uint64_t *count) {
    return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)count, memory_order_relaxed);
}

static inline void count_add(_Atomic uint64_t *count, uint64_t n) {
    atomic_store_explicit(count, count_get(count) + n, memory_order_relaxed);
}

static inline void count_sub(_Atomic uint64_t *count, uint64_t n) {
    atomic_store_explicit(count, count_get(count) - n, memory_order_relaxed);
}

/* The bytes of a node's label for someone at `depth`: inline, in the leaf that it borrows from, or
 * in *text. */
static inline const uint8_t *art_label(const struct art *art, const struct node *n, uint8_t code,
                                       size_t depth, size_t size, struct leaf_text *text) {
    if ((code & CODE_INLINE) != 0) {
        return n->label + NODE_INLINE_MAX - size;
    }
    struct leaf_tail tail = leaf_tail(art_record(art, node_label_leaf(n)));
    return leaf_tail_text(&tail, text) + (depth - tail.start);
}

#endif
