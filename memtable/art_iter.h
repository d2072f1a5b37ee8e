/* memtable/art_iter.h: a cursor over the keys of the tree, in order, both ways.
 *
 * It keeps the nodes from the root to where it stands and the key bytes that lead there. A node
 * that was replaced meanwhile still lies where it was and leads to all that was there then, and
 * moving on goes by key bytes, not by places in a node: so the cursor meets every key that was
 * there when it was made once and in order, whatever the writer adds. The frames and the key are on
 * the heap, because keys that are prefixes of each other may be stacked 65,535 deep.
 */
#ifndef FIRN_MEMTABLE_ART_ITER_H
#define FIRN_MEMTABLE_ART_ITER_H

#include "base/buf.h"
#include "memtable/art.h"

/* A node on the way down, and the place taken in it. */
struct art_frame {
    arena_ref node;
    uint16_t depth; /* key bytes before its branch */
    int16_t place;  /* enum node_place, or a key byte */
};

struct art_iter {
    const struct art *art;
    struct buf key;    /* of the record, when there is one */
    struct buf frames; /* of struct art_frame */
    arena_ref record;  /* newest version, as of arrival; 0: at no key */
};

void art_iter_init(struct art_iter *it, const struct art *art, struct alloc *alloc);
void art_iter_deinit(struct art_iter *it);

/* All return FIRN_OK, with record 0 past either end, or FIRN_NOMEM, with record 0. */
int art_iter_first(struct art_iter *it);
int art_iter_last(struct art_iter *it);
int art_iter_seek(struct art_iter *it, firn_slice key); /* the first key at or after */
int art_iter_next(struct art_iter *it);                 /* REQUIRES: at a key */
int art_iter_prev(struct art_iter *it);                 /* REQUIRES: at a key */

#endif
