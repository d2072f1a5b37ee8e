/* memtable/art_node.h: the inner nodes of the radix tree, as they lie in the arena.
 *
 * Every record of the tree, node or leaf (memtable/leaf.h), starts with a code byte: the high bit
 * tells which it is. A node of up to 31 children is
 *
 *     0       1       2                6            refs, 4-aligned
 *     code    depth   label (4 bytes)  key bytes    one 32-bit reference per key byte
 *
 *   code   0 | end | inline | count:5. With `end`, the first child is the key that ends at this
 * node and its key byte means nothing. The room of a node follows from its count (see node_room),
 * so it is not stored. Count 0 marks the two large forms, whose kind and count follow the label.
 *   depth  the low byte of the node's depth: how many key bytes lie before the byte it branches by.
 *          Being absolute, it stays right when a node is put in above. The label, the bytes
 *          between the parent's branch and here, has (depth - the reader's depth) mod 256 bytes.
 *   label  up to 4 bytes, aligned to the right, when `inline`; otherwise a reference to a leaf
 * whose stored tail covers them. The leaf was there before the node, so no byte of a key is ever
 *          stored twice, and a node that is outgrown leaves no label behind.
 *
 * The forms, chosen by measurement (docs/memtable.md):
 *
 *     skip    16 bytes   no branch: a label of more than 255 bytes, its end depth in the key bytes
 *     2       16         5    32        10    56        18    96        31   168
 *     48     248         kind and count at 6 and 7, keys at 8, references at 56
 *     256   1040         kind at 6, references by byte at 8, then that of the key that ends here
 *
 * Threading. A child is added in place: reference and key byte first, then the code (or count) by a
 * release store; children stand in order of arrival, because sorting them would move what a reader
 * is looking at. A full node is copied into the next form and its parent's reference replaced by a
 * release store; the old one stays as it is for the readers in it. Readers load codes, counts and
 * references with acquire.
 */
#ifndef FIRN_MEMTABLE_ART_NODE_H
#define FIRN_MEMTABLE_ART_NODE_H

#include "base/arena.h"
#include "memtable/key_search.h"

enum node_form {
    NODE_SKIP,
    NODE_2,
    NODE_5,
    NODE_10,
    NODE_18,
    NODE_31,
    NODE_48,
    NODE_256,
    NODE_FORMS
};

#define CODE_LEAF 0x80u   /* any record */
#define CODE_END 0x40u    /* nodes */
#define CODE_INLINE 0x20u /* nodes */
#define CODE_COUNT 0x1fu  /* nodes */

#define NODE_LABEL_MAX 255 /* bytes; longer ones have a skip node before them */
#define NODE_INLINE_MAX 4

struct node {
    _Atomic uint8_t code;
    uint8_t depth;
    uint8_t label[NODE_INLINE_MAX];
    uint8_t keys[]; /* the large forms: kind, then count */
};

/* Where in a node one stands, in key order: at the key that ends here, or at a key byte. */
enum node_place { NODE_BEFORE_ALL = -2, NODE_AT_END = -1, NODE_AFTER_ALL = 256 };

/* Bytes of a node of this form, and how many children it has room for. */
extern const uint16_t node_bytes[NODE_FORMS];
extern const uint16_t node_room[NODE_FORMS];

/* By the count of a small node: its form, and where its references are. */
extern const uint8_t node_form_of_count[CODE_COUNT + 1];
extern const uint8_t node_refs_of_count[CODE_COUNT + 1];

static inline uint8_t record_code(const void *record) {
    return atomic_load_explicit((const _Atomic uint8_t *)record, memory_order_acquire);
}

static inline arena_ref ref_load(const _Atomic arena_ref *slot) {
    return atomic_load_explicit(slot, memory_order_acquire);
}

enum node_form node_form(const struct node *n);

static inline bool node_is_skip(uint8_t code) {
    return (code & CODE_COUNT) == 1;
}

/* The only child of a skip node. */
static inline _Atomic arena_ref *node_skip_child(const struct node *n) {
    return (_Atomic arena_ref *)(void *)((uint8_t *)(uintptr_t)n + node_refs_of_count[1]);
}

/* Bytes of the label, for someone who came to the node with `depth` key bytes behind. */
size_t node_skip_label_size(const struct node *n, size_t depth);

static inline size_t node_label_size(const struct node *n, uint8_t code, size_t depth) {
    if (node_is_skip(code)) {
        return node_skip_label_size(n, depth);
    }
    return (uint8_t)(n->depth - depth);
}

/* The leaf whose tail covers the label. REQUIRES: not CODE_INLINE. */
static inline arena_ref node_label_leaf(const struct node *n) {
    arena_ref ref;
    __builtin_memcpy(&ref, n->label, sizeof(ref));
    return ref;
}

/* The reference to the child for byte, or NULL. REQUIRES: not a skip node. */
_Atomic arena_ref *node_find(const struct node *n, uint8_t code, uint8_t byte);

/* The reference to the key that ends at n, or NULL. REQUIRES: not a skip node. */
_Atomic arena_ref *node_find_end(const struct node *n, uint8_t code);

/* The child next after, or before, a place in key order, and its place in *to; NULL when there is
 * none. Works for skip nodes, whose only child is at NODE_AT_END. */
_Atomic arena_ref *node_above(const struct node *n, int place, int *to);
_Atomic arena_ref *node_below(const struct node *n, int place, int *to);

/* How many children there are. */
unsigned node_count(const struct node *n);

/* Begins to fetch the children of n, in no order; of large nodes none. */
void node_prefetch(const struct node *n, uint8_t code, const struct arena *arena);

/* ---- For the writer ------------------------------------------------------------------------- */

/* What a label is made of: its end, and either bytes or the leaf that has them. */
struct node_label {
    size_t depth;         /* where the label ends */
    size_t size;          /* bytes of it, at least as many as any reader will ask for */
    const uint8_t *bytes; /* used when size <= NODE_INLINE_MAX */
    arena_ref leaf;       /* used otherwise */
};

void node_init_skip(struct node *n, const struct node_label *label, arena_ref child);

/* A node of two children; places are key bytes or, for the first one only, NODE_AT_END. */
void node_init_pair(struct node *n, const struct node_label *label, int first_place,
                    arena_ref first, int second_place, arena_ref second);

/* Adds a child in place; false when n has no room. Place NODE_AT_END never has, except in form 256.
 */
bool node_add(struct node *n, int place, arena_ref child);

/* The form that n with one more child has. */
enum node_form node_grown_form(const struct node *n);

/* Makes `to`, of form node_grown_form(), a copy of `from` with one child more. */
void node_copy_grown(struct node *to, const struct node *from, int place, arena_ref child);

#endif
