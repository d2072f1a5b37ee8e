#include "sst/spine.h"

/* Hard here: a node that branches for the first time appears between a parent and a child that are
 * already on the spine. It takes over the child's marks, since everything it has put out so far is
 * the child's. The label text of a complete child is read from the latest key, which must therefore
 * not be overwritten before all nodes it leaves are closed. */

static uint64_t mix(uint64_t a, uint64_t b) {
    unsigned __int128 product =
        (unsigned __int128)(a ^ UINT64_C(0x9e3779b97f4a7c15)) * (b ^ UINT64_C(0xc2b2ae3d27d4eb4f));
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_label(firn_slice label) {
    const uint8_t *p = slice_bytes(label);
    size_t left = label.size;
    uint64_t h = left, word;
    for (; left > 8; left -= 8, p += 8) {
        memcpy(&word, p, 8);
        h = mix(h, word);
    }
    word = 0;
    memcpy(&word, p, left);
    return mix(h, word);
}

void spine_init(struct spine *s, struct alloc *alloc, spine_attach_fn attach, void *context,
                const struct buf *output0, const struct buf *output1) {
    buf_init(&s->frames, alloc, MEM_BUILDER);
    buf_init(&s->text, alloc, MEM_BUILDER);
    s->attach = attach;
    s->context = context;
    s->outputs[0] = output0;
    s->outputs[1] = output1;
}

void spine_deinit(struct spine *s) {
    buf_deinit(&s->frames);
    buf_deinit(&s->text);
}

static struct spine_frame *top(struct spine *s) {
    return (struct spine_frame *)(void *)(s->frames.data + s->frames.size) - 1;
}

static int push(struct spine *s, size_t depth, bool final) {
    struct spine_frame frame = {0};
    frame.depth = (uint32_t)depth;
    frame.final = final;
    frame.keys = final;
    for (int i = 0; i < 2; i++) {
        frame.mark[i] = s->outputs[i] == NULL ? 0 : s->outputs[i]->size;
    }
    return buf_append(&s->frames, &frame, sizeof frame);
}

int spine_begin(struct spine *s) {
    buf_reset(&s->frames);
    buf_reset(&s->text);
    return push(s, 0, false);
}

/* Pops the top frame, which may first get a new parent at depth `shared`, and attaches it. */
static int close_top(struct spine *s, size_t shared) {
    struct spine_frame child = *top(s);
    s->frames.size -= sizeof child;
    if (top(s)->depth < shared) {
        int rc = push(s, shared, false); /* room was just freed: cannot fail */
        if (rc != FIRN_OK) {
            return rc;
        }
        top(s)->mark[0] = child.mark[0];
        top(s)->mark[1] = child.mark[1];
    }
    struct spine_frame *parent = top(s);
    firn_slice label = firn_slice_make(s->text.data + parent->depth, child.depth - parent->depth);
    child.hash = mix(child.hash, child.final);
    parent->hash = mix(mix(parent->hash, hash_label(label)), child.hash);
    parent->keys += child.keys;
    parent->children++;
    return s->attach(s->context, parent, &child, label);
}

static int close_to(struct spine *s, size_t depth) {
    while (top(s)->depth > depth) {
        int rc = close_top(s, depth);
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    return FIRN_OK;
}

int spine_add(struct spine *s, firn_slice key, size_t shared) {
    int rc = close_to(s, shared);
    if (rc != FIRN_OK) {
        return rc;
    }
    s->text.size = shared;
    if (key.size > shared) {
        rc = buf_append(&s->text, slice_bytes(key) + shared, key.size - shared);
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    if (key.size > top(s)->depth) {
        return push(s, key.size, true);
    }
    top(s)->final = true; /* the empty key, in the root */
    top(s)->keys++;
    return FIRN_OK;
}

int spine_close(struct spine *s) {
    return close_to(s, 0);
}
