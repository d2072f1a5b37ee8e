#include "sst/automaton.h"
#include "sst/segment_internal.h"

/* Hard here: bytes can only be read forwards. A frame remembers where its node's children begin, so
 * that the one before the current can be found by passing over those before it, and where the next
 * child begins. The last child of a node has no extent, so neither its end nor its number of keys
 * is known; but whoever leaves it leaves the node, too, and goes on at the nearest ancestor that is
 * not a last child: its end and the rank behind it are known, and frames inherit that rank.
 *
 * The cursor stands on the key that ends at the top frame's node (`next` is 0) or on its leaf child
 * next - 1. Every node is at least one byte of key below its parent, and keys are at most
 * FIRN_KEY_BYTES_MAX, so that hostile references that form a circle end in FIRN_CORRUPT. */

struct frame {
    const uint8_t *first; /* the node's first child */
    const uint8_t *at;    /* its next child */
    const uint8_t *end;   /* of the bytes it lies in */
    uint32_t children;
    uint32_t next;     /* index of the child at `at` */
    uint32_t depth;    /* bytes of key above the node */
    uint32_t rank;     /* of its first key */
    uint32_t rank_end; /* of the first key behind it; UINT32_MAX: there is none */
    bool final;
};

void automaton_cursor_init(struct automaton_cursor *c, struct alloc *alloc) {
    memset(c, 0, sizeof *c);
    buf_init(&c->key, alloc, MEM_ITERATOR);
    buf_init(&c->frames, alloc, MEM_ITERATOR);
}

void automaton_cursor_deinit(struct automaton_cursor *c) {
    buf_deinit(&c->key);
    buf_deinit(&c->frames);
    c->valid = false;
}

void automaton_cursor_open(struct automaton_cursor *c, const struct segment *s,
                           firn_slice automaton) {
    c->segment = s;
    c->automaton = automaton;
    c->valid = false;
    c->frames.size = 0;
}

static int damaged(struct automaton_cursor *c) {
    c->valid = false;
    return FAIL(FIRN_CORRUPT, "an automaton of %zu bytes leads outside of its bytes",
                c->automaton.size);
}

static inline struct frame *top(struct automaton_cursor *c) {
    return (struct frame *)(void *)(c->frames.data + c->frames.size) - 1;
}

static int push(struct automaton_cursor *c, const struct frame *frame) {
    if (c->frames.capacity - c->frames.size < sizeof *frame) {
        int rc = buf_reserve(&c->frames, sizeof *frame);
        if (rc != FIRN_OK) {
            c->valid = false;
            return rc;
        }
    }
    memcpy(c->frames.data + c->frames.size, frame, sizeof *frame);
    c->frames.size += sizeof *frame;
    return FIRN_OK;
}

static int push_root(struct automaton_cursor *c) {
    struct frame f = {0};
    const uint8_t *p = slice_bytes(c->automaton);
    c->valid = false;
    c->frames.size = 0;
    c->key.size = 0;
    f.end = p + c->automaton.size;
    f.first = take_header(p, f.end, &f.children, &f.final);
    if (f.first == NULL) {
        return damaged(c);
    }
    f.at = f.first;
    f.rank_end = UINT32_MAX;
    return push(c, &f);
}

static inline int stand(struct automaton_cursor *c, size_t key_size, uint32_t rank) {
    c->key.size = key_size;
    c->rank = rank;
    c->valid = true;
    return FIRN_OK;
}

/* What a label leads to. */
struct edge {
    enum end_mark mark;
    size_t depth;      /* of the key with the label */
    const uint8_t *at; /* behind the phrases, at the tail */
};

/* Appends the label of the top frame's next child to the key. */
static inline int read_label(struct automaton_cursor *c, struct edge *edge) {
    const struct phrase_table *phrases = &c->segment->phrases;
    const struct frame *f = top(c);
    const uint8_t *p = f->at, *end = f->end;
    size_t depth = f->depth;
    for (;;) {
        if (p >= end) {
            return damaged(c);
        }
        const struct phrase_lead *lead = &phrases->leads[*p];
        if (end - p < lead->size) {
            return damaged(c);
        }
        size_t size;
        const uint8_t *text = phrase_text(phrases, phrase_number(lead, p), &size);
        if (c->key.capacity < depth + PHRASE_BYTES_MAX + 1) {
            c->key.size = depth;
            int rc = buf_reserve(&c->key, PHRASE_BYTES_MAX + 1);
            if (rc != FIRN_OK) {
                c->valid = false;
                return rc;
            }
        }
        uint8_t *to = c->key.data + depth;
        memcpy(to, text, PHRASE_PADDING); /* most are shorter; both sides have the room */
        if (size > PHRASE_PADDING) {
            memcpy(to + PHRASE_PADDING, text + PHRASE_PADDING, size - PHRASE_PADDING);
        }
        depth += size;
        p += lead->size;
        if (lead->end != END_NONE) {
            edge->mark = (enum end_mark)lead->end;
            edge->depth = depth;
            edge->at = p;
            return depth > f->depth && depth <= FIRN_KEY_BYTES_MAX ? FIRN_OK : damaged(c);
        }
    }
}

/* Reads what follows the label of an inner child and pushes its node. */
static int enter(struct automaton_cursor *c, const struct edge *edge, uint32_t rank) {
    struct frame *parent = top(c);
    struct frame f = {.depth = (uint32_t)edge->depth, .rank = rank, .end = parent->end};
    const uint8_t *p = edge->at;
    bool last = ++parent->next == parent->children;
    f.rank_end = parent->rank_end;
    if (edge->mark == END_SHARED) {
        const struct shared_table *shared = &c->segment->shared;
        uint32_t entry;
        p = take_reference(p, parent->end, &shared->code, &entry);
        if (p == NULL || entry >= shared->count) {
            return damaged(c);
        }
        parent->at = p;
        f.rank_end = rank + shared->keys[entry];
        p = shared->bytes + shared->offsets[entry];
        f.end = shared->bytes + shared->offsets[entry + 1];
    } else if (!last) {
        uint32_t bytes, keys = 0;
        p = take_number(p, f.end, &bytes);
        p = p == NULL ? NULL : take_number(p, f.end, &keys);
        if (p == NULL || bytes > (size_t)(f.end - p)) {
            return damaged(c);
        }
        parent->at = p + bytes;
        f.rank_end = rank + keys;
    }
    if (edge->mark == END_NODE2 || edge->mark == END_NODE3) {
        f.children = edge->mark == END_NODE2 ? 2 : 3;
    } else {
        p = take_header(p, f.end, &f.children, &f.final);
    }
    if (p == NULL || (f.children == 0 && !f.final)) {
        return damaged(c);
    }
    f.first = p;
    f.at = p;
    return push(c, &f);
}

/* The byte after a frame's next child, and its number of keys; NULL: damaged. REQUIRES: it is not
 * the last child, or is a leaf or a reference; else *keys is UINT32_MAX and the byte is not known.
 */
static const uint8_t *pass_child(const struct segment *s, const struct frame *f, uint32_t *keys) {
    enum end_mark mark;
    const uint8_t *p = phrase_skip(&s->phrases, f->at, f->end, &mark);
    *keys = 1;
    if (p == NULL || mark == END_LEAF) {
        return p;
    }
    if (mark == END_SHARED) {
        uint32_t entry;
        p = take_reference(p, f->end, &s->shared.code, &entry);
        if (p == NULL || entry >= s->shared.count) {
            return NULL;
        }
        *keys = s->shared.keys[entry];
        return p;
    }
    if (f->next + 1 == f->children) {
        *keys = UINT32_MAX;
        return p;
    }
    uint32_t bytes = 0;
    p = take_number(p, f->end, &bytes);
    p = p == NULL ? NULL : take_number(p, f->end, keys);
    return p == NULL || bytes > (size_t)(f->end - p) ? NULL : p + bytes;
}

/* Passes over the top frame's next child; *keys: how many it has. */
static int skip_child(struct automaton_cursor *c, uint32_t *keys) {
    struct frame *f = top(c);
    const uint8_t *p = pass_child(c->segment, f, keys);
    if (p == NULL) {
        return damaged(c);
    }
    f->at = p;
    f->next++;
    return FIRN_OK;
}

/* Enters the next child of the top frame, which is not at its end: on a leaf the cursor stands. */
static inline int take_child(struct automaton_cursor *c, uint32_t rank) {
    struct edge edge;
    int rc = read_label(c, &edge);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (edge.mark == END_LEAF) {
        struct frame *f = top(c);
        f->at = edge.at;
        f->next++;
        return stand(c, edge.depth, rank);
    }
    c->valid = false;
    return enter(c, &edge, rank);
}

/* Stands on the first key at or behind where the top frame is; that key has `rank`. */
static int go_on(struct automaton_cursor *c, uint32_t rank) {
    c->valid = false;
    while (c->frames.size > 0) {
        const struct frame *f = top(c);
        if (f->next == f->children) {
            c->frames.size -= sizeof *f;
            continue;
        }
        int rc = take_child(c, rank);
        if (rc != FIRN_OK || c->valid) {
            return rc;
        }
        if (top(c)->final) {
            return stand(c, top(c)->depth, rank);
        }
    }
    return FIRN_OK;
}

/* Stands on the first key of the node on top. */
static int descend_first(struct automaton_cursor *c) {
    const struct frame *f = top(c);
    return f->final ? stand(c, f->depth, f->rank) : go_on(c, f->rank);
}

int automaton_cursor_first(struct automaton_cursor *c) {
    int rc = push_root(c);
    return rc == FIRN_OK ? descend_first(c) : rc;
}

int automaton_cursor_next(struct automaton_cursor *c) {
    if (!c->valid || c->rank == UINT32_MAX) {
        return damaged(c);
    }
    return go_on(c, c->rank + 1);
}

/* Makes child `index` of the top frame its next one; *rank becomes that of its first key. */
static int walk_to(struct automaton_cursor *c, uint32_t index, uint32_t *rank) {
    struct frame *f = top(c);
    f->at = f->first;
    f->next = 0;
    *rank = f->rank + f->final;
    while (f->next < index) {
        uint32_t keys;
        int rc = skip_child(c, &keys);
        if (rc != FIRN_OK) {
            return rc;
        }
        *rank += keys;
    }
    return FIRN_OK;
}

/* Stands on the last key of the top node's children before `limit`, or on its own. */
static int descend_last(struct automaton_cursor *c, uint32_t limit) {
    for (;;) {
        struct frame *f = top(c);
        uint32_t rank;
        if (limit == 0) {
            f->at = f->first;
            f->next = 0;
            return f->final ? stand(c, f->depth, f->rank) : damaged(c);
        }
        int rc = walk_to(c, limit - 1, &rank);
        if (rc == FIRN_OK) {
            rc = take_child(c, rank);
        }
        if (rc != FIRN_OK || c->valid) {
            return rc;
        }
        limit = top(c)->children;
    }
}

int automaton_cursor_last(struct automaton_cursor *c) {
    int rc = push_root(c);
    if (rc != FIRN_OK) {
        return rc;
    }
    const struct frame *f = top(c);
    if (f->children == 0 && !f->final) {
        return FIRN_OK;
    }
    return descend_last(c, f->children);
}

int automaton_cursor_prev(struct automaton_cursor *c) {
    if (!c->valid) {
        return damaged(c);
    }
    c->valid = false;
    const struct frame *f = top(c);
    uint32_t child = f->next;
    while (child == 0 || (child == 1 && !f->final)) { /* nothing before it in this node */
        c->frames.size -= sizeof *f;
        if (c->frames.size == 0) {
            return FIRN_OK;
        }
        f = top(c);
        child = f->next;
    }
    return descend_last(c, child - 1);
}

int automaton_cursor_to_rank(struct automaton_cursor *c, uint32_t rank) {
    int rc = push_root(c);
    while (rc == FIRN_OK) {
        const struct frame *f = top(c);
        uint32_t below = f->rank + f->final;
        if (f->final && rank == f->rank) {
            return stand(c, f->depth, rank);
        }
        for (;;) { /* to the child that holds it */
            if (f->next == f->children || rank < below) {
                c->frames.size = 0;
                return FIRN_OK; /* there are not so many keys */
            }
            uint32_t keys;
            if (pass_child(c->segment, f, &keys) == NULL) {
                return damaged(c);
            }
            if (rank - below < keys) {
                break;
            }
            rc = skip_child(c, &keys);
            if (rc != FIRN_OK) {
                return rc;
            }
            below += keys;
        }
        rc = take_child(c, below);
        if (rc != FIRN_OK || c->valid) {
            return rc;
        }
    }
    return rc;
}

/* How the key's text from `from` to `to` stands to the sought key's there. 0: it is a part of it.
 */
static int compare_label(const struct automaton_cursor *c, size_t from, size_t to, firn_slice key) {
    size_t n = to < key.size ? to - from : key.size - from;
    int order = memcmp(c->key.data + from, slice_bytes(key) + from, n);
    return order != 0 ? order : to > key.size;
}

/* Stands on the first key of the top frame's next child. */
static int take_child_first(struct automaton_cursor *c, uint32_t rank) {
    int rc = take_child(c, rank);
    return rc == FIRN_OK && !c->valid ? descend_first(c) : rc;
}

/* Stands on the first key behind the top frame's node. */
static int leave(struct automaton_cursor *c) {
    uint32_t rank = top(c)->rank_end;
    c->frames.size -= sizeof(struct frame);
    return go_on(c, rank);
}

/* Passes over children whose labels begin below byte; *rank becomes that of the first one left.
 * *found: there is one. */
static int pass_below(struct automaton_cursor *c, uint8_t byte, uint32_t *rank, bool *found) {
    const struct phrase_table *phrases = &c->segment->phrases;
    for (struct frame *f = top(c);;) {
        *found = f->next < f->children;
        if (!*found) {
            return FIRN_OK;
        }
        if (f->at >= f->end || f->end - f->at < phrases->leads[*f->at].size) {
            return damaged(c);
        }
        const struct phrase_lead *lead = &phrases->leads[*f->at];
        if (phrases->first[phrase_number(lead, f->at)] >= byte) {
            return FIRN_OK;
        }
        uint32_t keys;
        int rc = skip_child(c, &keys);
        if (rc != FIRN_OK) {
            return rc;
        }
        *rank += keys;
    }
}

int automaton_cursor_seek(struct automaton_cursor *c, firn_slice key) {
    int rc = push_root(c);
    while (rc == FIRN_OK) {
        struct frame *f = top(c);
        uint32_t rank = f->rank + f->final;
        bool found;
        if (f->depth == key.size) {
            return descend_first(c); /* the whole node is at or behind key */
        }
        rc = pass_below(c, slice_bytes(key)[f->depth], &rank, &found);
        if (rc != FIRN_OK || !found) {
            return rc == FIRN_OK ? leave(c) : rc;
        }
        struct edge edge;
        rc = read_label(c, &edge);
        if (rc != FIRN_OK) {
            return rc;
        }
        int order = compare_label(c, f->depth, edge.depth, key);
        if (order > 0 || (edge.mark == END_LEAF && order == 0 && edge.depth == key.size)) {
            return take_child_first(c, rank);
        }
        if (order == 0 && edge.mark != END_LEAF) {
            rc = enter(c, &edge, rank);
            continue;
        }
        if (f->next + 1 == f->children) { /* the last child is before key, so the node is */
            return leave(c);
        }
        uint32_t keys;
        rc = skip_child(c, &keys);
        return rc == FIRN_OK ? go_on(c, rank + keys) : rc;
    }
    return rc;
}
