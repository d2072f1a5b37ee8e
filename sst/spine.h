/* sst/spine.h: walks sorted keys as a trie without building it.
 *
 * Only the path to the latest key, the right spine, is open; a node is complete when a key leaves
 * it, and is then attached to its parent, children before parents. What attaching means is the
 * user's: training counts right languages, the automaton builder encodes.
 *
 *     keys a/b, a/cat, a/cow:      (root) -a/-> (2) -b-> leaf, complete
 *                                            \-c-> (2) -at-> leaf, complete;  -ow-> leaf, open
 */
#ifndef FIRN_SST_SPINE_H
#define FIRN_SST_SPINE_H

#include "base/buf.h"

struct spine_frame {
    uint64_t hash;     /* of the right language so far: complete once the node is */
    size_t mark[2];    /* sizes of the user's two outputs when this node began */
    uint64_t note;     /* the user's; 0 at first */
    uint32_t depth;    /* bytes of key above the node */
    uint32_t children; /* complete ones */
    uint32_t keys;     /* in complete children, and the node's own */
    bool final;        /* a key ends here */
};

/* Called when child is complete; label is the text between the two. The spine has counted it. */
typedef int (*spine_attach_fn)(void *context, struct spine_frame *parent,
                               const struct spine_frame *child, firn_slice label);

struct spine {
    struct buf frames;
    struct buf text; /* the latest key */
    spine_attach_fn attach;
    void *context;
    const struct buf *outputs[2]; /* whose sizes marks record; either may be NULL */
};

void spine_init(struct spine *s, struct alloc *alloc, spine_attach_fn attach, void *context,
                const struct buf *output0, const struct buf *output1);
void spine_deinit(struct spine *s);

/* Empties the spine and opens a root of depth 0. */
int spine_begin(struct spine *s);

/* Adds the next key, of which the first `shared` bytes are those of the one before (0 for the
 * first). REQUIRES: begun; keys ascend. */
int spine_add(struct spine *s, firn_slice key, size_t shared);

/* Completes all nodes but the root, which stays. */
int spine_close(struct spine *s);

static inline struct spine_frame *spine_root(struct spine *s) {
    return (struct spine_frame *)(void *)s->frames.data;
}

#endif
