/* sst/key_buffer.h: the sorted keys of one segment, front-coded in memory while it is being built,
 * to be walked several times: once to train, once to write. */
#ifndef FIRN_SST_KEY_BUFFER_H
#define FIRN_SST_KEY_BUFFER_H

#include "base/buf.h"

struct key_buffer {
    struct buf bytes;    /* varint shared, varint rest, rest bytes; every KEY_RESTART-th is whole */
    struct buf restarts; /* u64 offset of every KEY_RESTART-th key */
    struct buf last;     /* the key added last */
    size_t count;
    uint64_t raw_bytes;
};

#define KEY_RESTART 64

void key_buffer_init(struct key_buffer *k, struct alloc *alloc);
void key_buffer_deinit(struct key_buffer *k);
void key_buffer_reset(struct key_buffer *k);

/* REQUIRES: key is above all before it. */
int key_buffer_add(struct key_buffer *k, firn_slice key);
size_t key_buffer_memory(const struct key_buffer *k); /* bytes held */

/* Walks keys from any index on. */
struct key_cursor {
    const struct key_buffer *keys;
    struct buf key; /* the current one */
    size_t index;
    size_t shared; /* bytes it has in common with the one before; 0 after a jump */
    size_t offset;
};

void key_cursor_init(struct key_cursor *c, const struct key_buffer *keys);
void key_cursor_deinit(struct key_cursor *c);
int key_cursor_to(struct key_cursor *c, size_t index); /* REQUIRES: index < count */
int key_cursor_next(struct key_cursor *c);             /* REQUIRES: index + 1 < count */

#endif
