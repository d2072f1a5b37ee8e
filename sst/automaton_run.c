/* A run is one walk in order without the bookkeeping of a step. The key grows and shrinks in the
 * cursor, and is copied to the run when it is whole: to build each key on the one before it, in the
 * run itself, would make every copy wait for the stores of the last one. */
#include "sst/automaton_frames.h"

void key_run_init(struct key_run *run, struct alloc *alloc) {
    buf_init(&run->bytes, alloc, MEM_ITERATOR);
    run->count = 0;
}

void key_run_deinit(struct key_run *run) {
    buf_deinit(&run->bytes);
}

/* Reads the next key, from the top frame's next child down. */
static inline int descend(struct automaton_cursor *c, struct frame *f) {
    c->rank++;
    for (size_t size = f->depth;; f = top(c)) {
        enum end_mark mark = END_NONE;
        frame_take(f);
        int rc = read_label(c, &f->at, f->end, &c->key, &size, &mark);
        if (rc != FIRN_OK) {
            return rc;
        }
        if (size == f->depth || size > FIRN_KEY_BYTES_MAX) {
            return automaton_cursor_damaged(c);
        }
        c->key.size = size;
        if (mark == END_LEAF) {
            return FIRN_OK;
        }
        struct node_start node = enter_node(c->segment, f->at, f->end, mark);
        f->at = node.next; /* NULL: pop() sets it */
        rc = push_node(c, &node, size, c->rank);
        if (rc != FIRN_OK || node.final) {
            return rc;
        }
    }
}

/* Stands on the next key, or is not valid where there is none. */
static inline int step(struct automaton_cursor *c) {
    struct frame *f = top(c);
    while (f->left == 0) {
        pop(c);
        if (c->frames.size == 0) {
            c->valid = false;
            return FIRN_OK;
        }
        f = top(c);
    }
    return descend(c, f);
}

int automaton_cursor_read(struct automaton_cursor *c, uint32_t max, struct key_run *run) {
    struct buf *keys = &run->bytes;
    keys->size = 0;
    run->count = 0;
    if (!c->valid) {
        return automaton_cursor_damaged(c);
    }
    size_t about = max * (c->key.size + KEY_BLOCK); /* what they will take: grow but once */
    int rc = key_room(keys, 0, about < KEY_RUN_BYTES ? about : KEY_RUN_BYTES);
    for (;;) {
        rc = rc == FIRN_OK ? key_room(keys, keys->size, c->key.size) : rc;
        rc = rc == FIRN_OK ? key_room(&c->key, c->key.size, 0) : rc;
        if (rc != FIRN_OK) {
            c->valid = false;
            return rc;
        }
        key_block_copy(keys->data + keys->size, c->key.data, c->key.size);
        keys->size += c->key.size;
        run->ends[run->count++] = (uint32_t)keys->size;
        if (run->count == max || (run->count >= 2 && keys->size >= KEY_RUN_BYTES)) {
            return FIRN_OK;
        }
        rc = step(c);
        if (rc != FIRN_OK || !c->valid) {
            return rc;
        }
    }
}
