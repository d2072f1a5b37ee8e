/* sst/key_run.h: keys read ahead of a cursor: whole, ascending, one behind the other in one buffer.
 *
 * Copies are made in blocks of KEY_BLOCK bytes, whatever the size: a store too many is cheaper than
 * a loop over bytes or a call. So every buffer of keys has that much room behind what it holds.
 */
#ifndef FIRN_SST_KEY_RUN_H
#define FIRN_SST_KEY_RUN_H

#include "base/buf.h"

#define KEY_RUN_MAX 32
#define KEY_RUN_BYTES                                                                              \
    4096 /* a run that has taken so many ends early: it should stay in the cache */
#define KEY_BLOCK 16
#define KEY_ROOM_MIN 512 /* of a buffer of keys: most never grow */

struct key_run {
    struct buf bytes;
    uint32_t count;
    uint32_t ends[KEY_RUN_MAX]; /* where each key ends in bytes and the next begins */
};

void key_run_init(struct key_run *run, struct alloc *alloc);
void key_run_deinit(struct key_run *run);

/* Copies size bytes and up to KEY_BLOCK more. REQUIRES: they can be read and written. The two may
 * overlap when `to` is behind `from`'s size bytes. */
static inline void key_block_copy(uint8_t *to, const uint8_t *from, size_t size) {
    for (size_t i = 0;; i += KEY_BLOCK) {
        uint8_t block[KEY_BLOCK]; /* what lies behind the size bytes may overlap */
        memcpy(block, from + i, KEY_BLOCK);
        memcpy(to + i, block, KEY_BLOCK);
        if (i + KEY_BLOCK >= size) {
            return;
        }
    }
}

/* Room for extra more bytes behind the first `size`, and a block. FIRN_NOMEM. */
static inline int key_room(struct buf *keys, size_t size, size_t extra) {
    if (keys->capacity >= size + extra + KEY_BLOCK) {
        return FIRN_OK;
    }
    keys->size = size;
    size_t want = size + extra + KEY_BLOCK;
    return buf_reserve(keys, (want < KEY_ROOM_MIN ? KEY_ROOM_MIN : want) - size);
}

#endif
