/* What is hard here: node forms are told by as little as possible (one byte holds form, count and
 * two flags), and every edit must leave what a reader may be looking at valid at each step.
 *
 * Why in place and unsorted: a child more costs two stores and the publishing one. Copying the node
 * for each child, which would let the bytes be sorted, abandons four times as many bytes (17.6
 * instead of 4.6 a key on paths) and finds nothing faster: the cache misses decide.
 */
#include "memtable/art_node.h"

#include <assert.h>
#include <string.h>

/* Where the large forms have things. */
#define LARGE_KIND 0 /* in keys[] */
#define LARGE_COUNT 1
#define LARGE_KEYS 8 /* from the node's start */
#define LARGE_REFS (LARGE_KEYS + 48)
#define WIDE_REFS 8
#define WIDE_END 256 /* in references */

const uint16_t node_bytes[NODE_FORMS] = {16, 16, 32, 56, 96, 168, 248, 1040};
const uint16_t node_room[NODE_FORMS] = {1, 2, 5, 10, 18, 31, 48, 257};

const uint8_t node_form_of_count[CODE_COUNT + 1] = {
    0,       NODE_SKIP, NODE_2,  NODE_5,  NODE_5,  NODE_5,  NODE_10, NODE_10,
    NODE_10, NODE_10,   NODE_10, NODE_18, NODE_18, NODE_18, NODE_18, NODE_18,
    NODE_18, NODE_18,   NODE_18, NODE_31, NODE_31, NODE_31, NODE_31, NODE_31,
    NODE_31, NODE_31,   NODE_31, NODE_31, NODE_31, NODE_31, NODE_31, NODE_31};

/* 6 + room, rounded up to 4. */
const uint8_t node_refs_of_count[CODE_COUNT + 1] = {0,  8,  8,  12, 12, 12, 16, 16, 16, 16, 16,
                                                    24, 24, 24, 24, 24, 24, 24, 24, 40, 40, 40,
                                                    40, 40, 40, 40, 40, 40, 40, 40, 40, 40};

/* A node of any form but 256, taken apart once so that all searches look alike. */
struct parts {
    const uint8_t *keys;
    _Atomic arena_ref *refs;
    unsigned first; /* 1 when the first child is the key that ends here */
    unsigned count;
};

static _Atomic arena_ref *refs_at(const struct node *n, size_t offset) {
    return (_Atomic arena_ref *)(void *)((uint8_t *)(uintptr_t)n + offset);
}

static bool is_wide(const struct node *n, uint8_t code) {
    return (code & CODE_COUNT) == 0 && n->keys[LARGE_KIND] == NODE_256;
}

static _Atomic uint8_t *large_count(const struct node *n) {
    return (_Atomic uint8_t *)(uintptr_t)&n->keys[LARGE_COUNT];
}

static inline struct parts take_apart(const struct node *n, uint8_t code) {
    struct parts p;
    p.first = (code & CODE_END) != 0;
    p.count = code & CODE_COUNT;
    if (p.count != 0) {
        p.keys = n->keys;
        p.refs = refs_at(n, node_refs_of_count[p.count]);
    } else {
        p.count = atomic_load_explicit(large_count(n), memory_order_acquire);
        p.keys = (const uint8_t *)n + LARGE_KEYS;
        p.refs = refs_at(n, LARGE_REFS);
    }
    return p;
}

enum node_form node_form(const struct node *n) {
    uint8_t count = record_code(n) & CODE_COUNT;
    return (enum node_form)(count != 0 ? node_form_of_count[count] : n->keys[LARGE_KIND]);
}

size_t node_skip_label_size(const struct node *n, size_t depth) {
    return (size_t)(n->keys[0] | n->keys[1] << 8) - depth;
}

_Atomic arena_ref *node_find(const struct node *n, uint8_t code, uint8_t byte) {
    if (is_wide(n, code)) {
        _Atomic arena_ref *slot = refs_at(n, WIDE_REFS) + byte;
        return ref_load(slot) != 0 ? slot : NULL;
    }
    struct parts p = take_apart(n, code);
    int i = key_search(p.keys, p.first, p.count, byte);
    return i >= 0 ? p.refs + i : NULL;
}

_Atomic arena_ref *node_find_end(const struct node *n, uint8_t code) {
    if (is_wide(n, code)) {
        _Atomic arena_ref *slot = refs_at(n, WIDE_REFS) + WIDE_END;
        return ref_load(slot) != 0 ? slot : NULL;
    }
    return (code & CODE_END) != 0 ? take_apart(n, code).refs : NULL;
}

static _Atomic arena_ref *wide_above(const struct node *n, int place, int *to) {
    _Atomic arena_ref *refs = refs_at(n, WIDE_REFS);
    if (place < NODE_AT_END && ref_load(refs + WIDE_END) != 0) {
        *to = NODE_AT_END;
        return refs + WIDE_END;
    }
    for (int i = place < 0 ? 0 : place + 1; i < 256; i++) {
        if (ref_load(refs + i) != 0) {
            *to = i;
            return refs + i;
        }
    }
    return NULL;
}

static _Atomic arena_ref *wide_below(const struct node *n, int place, int *to) {
    _Atomic arena_ref *refs = refs_at(n, WIDE_REFS);
    for (int i = place - 1; i >= 0; i--) {
        if (ref_load(refs + i) != 0) {
            *to = i;
            return refs + i;
        }
    }
    if (place > NODE_AT_END && ref_load(refs + WIDE_END) != 0) {
        *to = NODE_AT_END;
        return refs + WIDE_END;
    }
    return NULL;
}

_Atomic arena_ref *node_above(const struct node *n, int place, int *to) {
    uint8_t code = record_code(n);
    if (is_wide(n, code)) {
        return wide_above(n, place, to);
    }
    struct parts p = take_apart(n, code);
    if (place < NODE_AT_END && (p.first != 0 || node_is_skip(code))) {
        *to = NODE_AT_END;
        return p.refs;
    }
    int i = node_is_skip(code) ? -1
                               : key_search_above(p.keys, p.first, p.count,
                                                  place < NODE_AT_END ? NODE_AT_END : place);
    if (i < 0) {
        return NULL;
    }
    *to = p.keys[i];
    return p.refs + i;
}

_Atomic arena_ref *node_below(const struct node *n, int place, int *to) {
    uint8_t code = record_code(n);
    if (is_wide(n, code)) {
        return wide_below(n, place, to);
    }
    struct parts p = take_apart(n, code);
    int i = node_is_skip(code) ? -1 : key_search_below(p.keys, p.first, p.count, place);
    if (i >= 0) {
        *to = p.keys[i];
        return p.refs + i;
    }
    if (place > NODE_AT_END && (p.first != 0 || node_is_skip(code))) {
        *to = NODE_AT_END;
        return p.refs;
    }
    return NULL;
}

void node_prefetch(const struct node *n, uint8_t code, const struct arena *arena) {
    unsigned count = code & CODE_COUNT;
    _Atomic arena_ref *refs = refs_at(n, node_refs_of_count[count]);
    for (unsigned i = 0; i < count; i++) {
        __builtin_prefetch(arena_at(arena, ref_load(refs + i)));
    }
}

unsigned node_count(const struct node *n) {
    uint8_t code = record_code(n);
    if (!is_wide(n, code)) {
        return take_apart(n, code).count;
    }
    unsigned count = 0;
    int place = NODE_BEFORE_ALL;
    while (wide_above(n, place, &place) != NULL) {
        count++;
    }
    return count;
}

/* ---- For the writer ------------------------------------------------------------------------- */

/* New nodes are published by the parent's reference, so these stores need no order. */
static void set_code(struct node *n, unsigned code) {
    atomic_store_explicit(&n->code, (uint8_t)code, memory_order_relaxed);
}

static void set_ref(_Atomic arena_ref *slot, arena_ref ref) {
    atomic_store_explicit(slot, ref, memory_order_relaxed);
}

/* Fills in depth and label; returns the code's flag for it. */
static unsigned init_label(struct node *n, const struct node_label *label) {
    n->depth = (uint8_t)label->depth;
    if (label->size > NODE_INLINE_MAX) {
        memcpy(n->label, &label->leaf, sizeof(label->leaf));
        return 0;
    }
    if (label->size > 0) {
        memcpy(n->label + NODE_INLINE_MAX - label->size, label->bytes, label->size);
    }
    return CODE_INLINE;
}

void node_init_skip(struct node *n, const struct node_label *label, arena_ref child) {
    set_code(n, init_label(n, label) | 1);
    n->keys[0] = (uint8_t)label->depth;
    n->keys[1] = (uint8_t)(label->depth >> 8);
    set_ref(node_skip_child(n), child);
}

void node_init_pair(struct node *n, const struct node_label *label, int first_place,
                    arena_ref first, int second_place, arena_ref second) {
    unsigned end = first_place == NODE_AT_END ? CODE_END : 0;
    set_code(n, init_label(n, label) | end | 2);
    n->keys[0] = (uint8_t)first_place;
    n->keys[1] = (uint8_t)second_place;
    set_ref(refs_at(n, node_refs_of_count[2]), first);
    set_ref(refs_at(n, node_refs_of_count[2]) + 1, second);
}

bool node_add(struct node *n, int place, arena_ref child) {
    uint8_t code = record_code(n);
    if (is_wide(n, code)) {
        _Atomic arena_ref *slot = refs_at(n, WIDE_REFS) + (place < 0 ? WIDE_END : place);
        atomic_store_explicit(slot, child, memory_order_release);
        return true;
    }
    struct parts p = take_apart(n, code);
    if (place == NODE_AT_END || p.count == node_room[node_form(n)]) {
        return false; /* the key that ends here must come first, and the first child is in use */
    }
    ((uint8_t *)(uintptr_t)p.keys)[p.count] = (uint8_t)place;
    set_ref(p.refs + p.count, child);
    if ((code & CODE_COUNT) != 0) {
        atomic_store_explicit(&n->code, (uint8_t)(code + 1), memory_order_release);
    } else {
        atomic_store_explicit(large_count(n), (uint8_t)(p.count + 1), memory_order_release);
    }
    return true;
}

enum node_form node_grown_form(const struct node *n) {
    unsigned count = take_apart(n, record_code(n)).count + 1;
    if (count <= CODE_COUNT) {
        return (enum node_form)node_form_of_count[count];
    }
    return count <= node_room[NODE_48] ? NODE_48 : NODE_256;
}

static void copy_to_wide(struct node *to, const struct parts *from, int place, arena_ref child) {
    _Atomic arena_ref *refs = refs_at(to, WIDE_REFS);
    for (unsigned i = 0; i < from->count; i++) {
        unsigned at = i < from->first ? WIDE_END : from->keys[i];
        set_ref(refs + at, ref_load(from->refs + i));
    }
    set_ref(refs + (place < 0 ? WIDE_END : place), child);
}

void node_copy_grown(struct node *to, const struct node *from, int place, arena_ref child) {
    uint8_t code = record_code(from);
    struct parts p = take_apart(from, code);
    enum node_form form = node_grown_form(from);
    unsigned flags = code & (CODE_END | CODE_INLINE);
    to->depth = from->depth;
    memcpy(to->label, from->label, sizeof(to->label));
    if (form == NODE_256) {
        to->keys[LARGE_KIND] = NODE_256;
        set_code(to, flags & CODE_INLINE);
        copy_to_wide(to, &p, place, child);
        return;
    }

    unsigned count = p.count + 1;
    uint8_t *keys = to->keys;
    _Atomic arena_ref *refs;
    if (form == NODE_48) {
        to->keys[LARGE_KIND] = NODE_48;
        to->keys[LARGE_COUNT] = (uint8_t)count;
        keys = (uint8_t *)to + LARGE_KEYS;
        refs = refs_at(to, LARGE_REFS);
        count = 0;
    } else {
        refs = refs_at(to, node_refs_of_count[count]);
    }
    /* The key that ends here goes first, so that it moves the others up by one. */
    unsigned shift = place == NODE_AT_END ? 1 : 0;
    unsigned added = place == NODE_AT_END ? 0 : p.count;
    for (unsigned i = 0; i < p.count; i++) {
        keys[i + shift] = p.keys[i];
        set_ref(refs + i + shift, ref_load(p.refs + i));
    }
    keys[added] = (uint8_t)place;
    set_ref(refs + added, child);
    set_code(to, flags | (place == NODE_AT_END ? CODE_END : 0) | count);
}
