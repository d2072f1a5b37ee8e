#include "sst/automaton_frames.h"
#include "sst/automaton_memo.h"

/* Hard here: bytes can only be read forwards. A frame remembers where its current child begins and
 * where the next one does; the one before is found by passing over those from a jump on. A jump
 * does not tell how many children it passes, so that children are counted only from the last jump
 * on. What is behind a child is told by its reference; where it has none, its children are read to
 * the end before its parent can go on, from where they end.
 *
 * The cursor stands on the key that ends at the top frame's node (`child` is NULL) or on its leaf
 * `child`. Every node is at least one byte of key below its parent, and keys are at most
 * FIRN_KEY_BYTES_MAX, so that hostile references that form a circle end in FIRN_CORRUPT. */

void automaton_cursor_init(struct automaton_cursor *c, struct alloc *alloc) {
    memset(c, 0, sizeof *c);
    buf_init(&c->key, alloc, MEM_ITERATOR);
    buf_init(&c->frames, alloc, MEM_ITERATOR);
}

void automaton_cursor_lend(struct automaton_cursor *c, struct automaton_room *room) {
    buf_lend(&c->key, room->key, sizeof room->key);
    buf_lend(&c->frames, room->frames, sizeof room->frames);
}

void automaton_cursor_deinit(struct automaton_cursor *c) {
    buf_deinit(&c->key);
    buf_deinit(&c->frames);
    alloc_release(c->key.alloc, MEM_ITERATOR, c->memo, c->memo == NULL ? 0 : sizeof *c->memo);
    c->memo = NULL;
    c->valid = false;
}

void automaton_cursor_open(struct automaton_cursor *c, const struct segment *s,
                           firn_slice automaton) {
    c->segment = s;
    c->automaton = automaton;
    c->valid = false;
    c->frames.size = 0;
}

int automaton_cursor_damaged(struct automaton_cursor *c) {
    c->valid = false;
    return FAIL(FIRN_CORRUPT, "an automaton of %zu bytes leads outside of its bytes",
                c->automaton.size);
}

static int push_root(struct automaton_cursor *c) {
    const uint8_t *p = slice_bytes(c->automaton);
    c->valid = c->behind = false;
    c->frames.size = 0;
    c->key.size = 0;
    struct node_start root = enter_node(c->segment, p, p + c->automaton.size, END_NODE);
    return push_node(c, &root, 0, 0, 0);
}

static inline int stand(struct automaton_cursor *c, size_t key_size, uint32_t rank) {
    c->key.size = key_size;
    c->rank = rank;
    c->valid = true;
    return FIRN_OK;
}

/* Appends the label at *p to the first *size bytes of keys and passes over it. */
static inline int read_label(struct automaton_cursor *c, const uint8_t **p, const uint8_t *end,
                             struct buf *keys, size_t *size, enum end_mark *mark) {
    const struct phrase_table *phrases = &c->segment->phrases;
    const uint8_t *code = *p;
    size_t to = *size;
    for (;;) {
        if (code >= end) {
            return automaton_cursor_damaged(c);
        }
        const struct phrase_lead *lead = &phrases->leads[*code];
        const uint8_t *behind = phrase_behind(lead, code, end);
        if (behind == NULL) {
            return automaton_cursor_damaged(c);
        }
        int rc = key_room(keys, to, PHRASE_BYTES_MAX + 1);
        if (rc != FIRN_OK) {
            c->valid = false;
            return rc;
        }
        to += phrase_copy(phrases, lead, code, end, keys->data + to);
        code = behind;
        if (lead->end != END_NONE) {
            *mark = (enum end_mark)lead->end;
            *p = code;
            *size = to;
            return FIRN_OK;
        }
    }
}

/* What a label leads to. */
struct edge {
    enum end_mark mark;
    size_t depth;      /* of the key with the label */
    const uint8_t *at; /* behind the phrases, at the tail */
};

/* Appends the label of the top frame's next child to the key. */
static inline int read_edge(struct automaton_cursor *c, struct edge *edge) {
    const struct frame *f = top(c);
    edge->at = f->at;
    edge->depth = f->depth;
    int rc = read_label(c, &edge->at, f->end, &c->key, &edge->depth, &edge->mark);
    if (rc == FIRN_OK && (edge->depth == f->depth || edge->depth > FIRN_KEY_BYTES_MAX)) {
        return automaton_cursor_damaged(c);
    }
    return rc;
}

/* Pushes the node behind the label that was read. */
static int enter(struct automaton_cursor *c, const struct edge *edge, uint32_t rank) {
    struct frame *parent = top(c);
    struct node_start node = enter_node(c->segment, edge->at, parent->end, edge->mark);
    frame_take(parent);
    parent->at = node.next; /* NULL: pop() sets it */
    return push_node(c, &node, edge->depth, rank, 0);
}

/* Passes over the top frame's next child and adds its keys. */
static int pass_child(struct automaton_cursor *c, uint32_t *keys) {
    struct frame *f = top(c);
    const uint8_t *p = skip_child(c->segment, f->at, f->end, keys);
    if (p == NULL) {
        return automaton_cursor_damaged(c);
    }
    frame_take(f);
    f->at = p;
    return FIRN_OK;
}

/* Enters the next child of the top frame, which is not at its end: on a leaf the cursor stands. */
static inline int take_child(struct automaton_cursor *c, uint32_t rank) {
    struct edge edge = {.mark = END_NONE};
    int rc = read_edge(c, &edge);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (edge.mark == END_LEAF) {
        struct frame *f = top(c);
        frame_take(f);
        f->at = edge.at;
        return stand(c, edge.depth, rank);
    }
    c->valid = false;
    return enter(c, &edge, rank);
}

/* Stands on the first key at or behind where the top frame is; that key has `rank`. */
static int go_on(struct automaton_cursor *c, uint32_t rank) {
    c->valid = false;
    while (c->frames.size > 0) {
        if (top(c)->left == 0) {
            pop(c);
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
        return automaton_cursor_damaged(c);
    }
    c->behind = false;
    return go_on(c, c->rank + 1);
}

/* Makes the child that a jump leads to the next one of the frame, the first for jump -1; *rank
 * becomes that of its first key. */
static int jump_to(struct automaton_cursor *c, struct frame *f, const struct jumps *jumps,
                   uint32_t number, uint32_t *rank) {
    f->left = f->children;
    *rank = f->rank + f->final;
    if (number == UINT32_MAX) {
        f->at = f->first;
        return FIRN_OK;
    }
    struct jump to = get_jump(jumps, number);
    if (to.bytes >= (size_t)(f->end - f->first)) {
        return automaton_cursor_damaged(c);
    }
    f->at = f->first + to.bytes;
    *rank = f->rank + to.keys;
    return FIRN_OK;
}

static struct jumps jumps_of(const struct frame *f) {
    struct jumps jumps = {0};
    if (f->jumps != NULL) {
        take_jumps(f->jumps, f->end, &jumps); /* which cannot fail again */
#ifdef FIRN_LINT
        if (jumps.at == NULL || jumps.firsts == NULL) {
            __builtin_unreachable(); /* as analysers do not see */
        }
#endif
    }
    return jumps;
}

/* Makes the last child that begins before `limit` the next one of the top frame, the last one of
 * all where that is NULL. */
static int to_child_before(struct automaton_cursor *c, const uint8_t *limit, uint32_t *rank) {
    struct frame *f = top(c);
    struct jumps jumps = jumps_of(f);
    uint32_t number = jumps.count;
    while (number > 0 && limit != NULL &&
           get_jump(&jumps, number - 1).bytes >= (size_t)(limit - f->first)) {
        number--;
    }
    int rc = jump_to(c, f, &jumps, number - 1, rank);
    while (rc == FIRN_OK && (limit != NULL || f->left > 1)) {
        uint32_t behind = *rank;
        const uint8_t *p = skip_child(c->segment, f->at, f->end, &behind);
        if (p == NULL) {
            return automaton_cursor_damaged(c);
        }
        if (limit != NULL && p >= limit) {
            break;
        }
        frame_take(f);
        f->at = p;
        *rank = behind;
    }
    return rc;
}

/* Stands on the last key of the top node's children before `limit`, or on its own; NULL: of all its
 * children. */
static int descend_last(struct automaton_cursor *c, const uint8_t *limit) {
    for (;; limit = NULL) {
        struct frame *f = top(c);
        uint32_t rank = 0;
        if (limit == f->first || f->children == 0) {
            f->at = f->first;
            f->child = NULL;
            f->left = f->children;
            return f->final ? stand(c, f->depth, f->rank) : automaton_cursor_damaged(c);
        }
        int rc = to_child_before(c, limit, &rank);
        rc = rc == FIRN_OK ? take_child(c, rank) : rc;
        if (rc != FIRN_OK || c->valid) {
            return rc;
        }
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
    return descend_last(c, NULL);
}

int automaton_cursor_prev(struct automaton_cursor *c) {
    if (!c->valid) {
        return automaton_cursor_damaged(c);
    }
    if (c->behind) {
        int rc = automaton_cursor_to_rank(c, c->rank);
        if (rc != FIRN_OK || !c->valid) {
            return rc;
        }
    }
    c->valid = false;
    const struct frame *f = top(c);
    while (f->child == NULL || (f->child == f->first && !f->final)) { /* the first of its node */
        c->frames.size -= sizeof *f;
        if (c->frames.size == 0) {
            return FIRN_OK;
        }
        f = top(c);
    }
    return descend_last(c, f->child);
}

int automaton_cursor_to_rank(struct automaton_cursor *c, uint32_t rank) {
    int rc = push_root(c);
    while (rc == FIRN_OK) {
        struct frame *f = top(c);
        uint32_t below = f->rank + f->final;
        if (f->final && rank == f->rank) {
            return stand(c, f->depth, rank);
        }
        struct jumps jumps = jumps_of(f);
        uint32_t number = jumps.count;
        while (number > 0 && get_jump(&jumps, number - 1).keys > rank - f->rank) {
            number--;
        }
        rc = number > 0 ? jump_to(c, f, &jumps, number - 1, &below) : FIRN_OK;
        if (rc != FIRN_OK) {
            return rc;
        }
        while (f->left > 1 || f->at < f->counted) { /* to the child that holds it */
            uint32_t behind = below;
            const uint8_t *p = skip_child(c->segment, f->at, f->end, &behind);
            if (p == NULL || behind <= below) {
                return automaton_cursor_damaged(c);
            }
            if (rank < behind) {
                break;
            }
            below = behind;
            frame_take(f);
            f->at = p;
        }
        if (f->left == 0) {
            c->frames.size = 0;
            return FIRN_OK; /* there are not so many keys */
        }
        rc = take_child(c, below);
        if (rc == FIRN_OK && c->valid && below != rank) { /* beyond the last key */
            c->valid = false;
            c->frames.size = 0;
        }
        if (rc != FIRN_OK || c->frames.size == 0 || c->valid) {
            return rc;
        }
    }
    return rc;
}

/* How the key's text in [from, to) stands to the sought key's; 0: it is part of it. */
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

/* Passes over children whose labels begin below byte; *rank becomes that of the first left. */
static int pass_below(struct automaton_cursor *c, uint8_t byte, uint32_t *rank) {
    const struct phrase_table *phrases = &c->segment->phrases;
    struct frame *f = top(c);
    if (f->jumps != NULL) {
        struct jumps jumps = jumps_of(f);
        uint32_t number = find_jump(&jumps, f->end, byte);
        int rc = number > 0 ? jump_to(c, f, &jumps, number - 1, rank) : FIRN_OK;
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    while (f->left > 0) {
        const struct phrase_lead *lead = f->at < f->end ? &phrases->leads[*f->at] : NULL;
        if (lead == NULL || phrase_behind(lead, f->at, f->end) == NULL) {
            return automaton_cursor_damaged(c);
        }
        if (phrase_first(phrases, lead, f->at) >= byte) {
            return FIRN_OK;
        }
        int rc = pass_child(c, rank);
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    return FIRN_OK;
}

int automaton_cursor_seek(struct automaton_cursor *c, firn_slice key) {
    int rc = push_root(c);
    while (rc == FIRN_OK) {
        struct frame *f = top(c);
        uint32_t rank = f->rank + f->final;
        if (f->depth == key.size) {
            return descend_first(c); /* the whole node is at or behind key */
        }
        rc = pass_below(c, slice_bytes(key)[f->depth], &rank);
        if (rc != FIRN_OK || f->left == 0) {
            return rc == FIRN_OK ? go_on(c, rank) : rc;
        }
        struct edge edge = {.mark = END_NONE};
        rc = read_edge(c, &edge);
        if (rc != FIRN_OK) {
            return rc;
        }
        int order = compare_label(c, f->depth, edge.depth, key);
        if (order > 0 || (edge.mark == END_LEAF && order == 0 && edge.depth == key.size)) {
            return take_child_first(c, rank);
        }
        if (order < 0 || edge.mark == END_LEAF) { /* the child is before key, the next one behind */
            rc = pass_child(c, &rank);
            return rc == FIRN_OK ? go_on(c, rank) : rc;
        }
        rc = enter(c, &edge, rank);
    }
    return rc;
}
