/* sst/automaton_frames.h: where a cursor is in its automaton, and how it comes into a node and out
 * of it. For automaton_cursor.c, which jumps, and automaton_run.c, which reads straight ahead. */
#ifndef FIRN_SST_AUTOMATON_FRAMES_H
#define FIRN_SST_AUTOMATON_FRAMES_H

#include "sst/automaton.h"
#include "sst/automaton_walk.h"

struct frame {
    const uint8_t *first;   /* the node's first child */
    const uint8_t *at;      /* its next child */
    const uint8_t *child;   /* the one it stands on or is in; NULL: on the node's own key */
    const uint8_t *counted; /* to which the last jump leads: from here on, children are counted */
    const uint8_t *end;     /* of the bytes it lies in */
    const uint8_t *jumps;   /* checked; NULL: there are none */
    uint32_t depth;         /* bytes of key above the node */
    uint32_t rank;          /* of its first key */
    uint32_t text;          /* while a run is read: where a key begins in it that passes the node */
    uint32_t entry;         /* of the shared section, that the node is; or NO_ENTRY */
    uint16_t children;      /* that are counted */
    uint16_t left;          /* of these, at `at` and behind */
    bool final;
    bool open; /* where it ends, its parent goes on: its end was not told */
};

/* Makes the next child the current one. */
static inline void frame_take(struct frame *f) {
    f->child = f->at;
    f->left = (uint16_t)(f->left - (f->at >= f->counted));
}

/* The cursor is not valid any more. FIRN_CORRUPT. */
int automaton_cursor_damaged(struct automaton_cursor *c);

static inline struct frame *top(struct automaton_cursor *c) {
    return (struct frame *)(void *)(c->frames.data + c->frames.size) - 1;
}

/* Pushes the frame of a node. */
static inline int push_node(struct automaton_cursor *c, const struct node_start *node, size_t depth,
                            uint32_t rank, size_t text) {
    if (node->first == NULL || (node->children == 0 && !node->final)) {
        return automaton_cursor_damaged(c);
    }
    if (c->frames.capacity - c->frames.size < sizeof(struct frame)) {
        int rc = buf_reserve(&c->frames, sizeof(struct frame));
        if (rc != FIRN_OK) {
            c->valid = false;
            return rc;
        }
    }
    const uint8_t *counted = node->first;
    uint32_t children = node->children;
    if (node->jumps.count > 0) {
        uint32_t bytes = get_jump(&node->jumps, node->jumps.count - 1).bytes;
        if (bytes >= (size_t)(node->end - counted)) {
            return automaton_cursor_damaged(c);
        }
        counted += bytes;
        children = node->jumps.behind;
    }
    c->frames.size += sizeof(struct frame);
    *top(c) =
        (struct frame){.first = node->first,
                       .at = node->first,
                       .counted = counted,
                       .end = node->end,
                       .jumps = node->jumps.count > 0 ? node->jumps.firsts - JUMPS_HEADER : NULL,
                       .children = (uint16_t)children,
                       .left = (uint16_t)children,
                       .depth = (uint32_t)depth,
                       .rank = rank,
                       .text = (uint32_t)text,
                       .entry = node->entry,
                       .final = node->final,
                       .open = node->next == NULL};
    return FIRN_OK;
}

/* Leaves the top node, all of whose children were passed. */
static inline void pop(struct automaton_cursor *c) {
    const struct frame *f = top(c);
    c->frames.size -= sizeof *f;
    if (f->open && c->frames.size > 0) {
        top(c)->at = f->at;
    }
}

#endif
