/* base/buf.h: growable bytes, counted against one part of an alloc. */
#ifndef FIRN_BASE_BUF_H
#define FIRN_BASE_BUF_H

#include "base/alloc.h"
#include "base/coding.h"
#include "base/status.h"

struct buf {
    uint8_t *data;
    size_t size, capacity; /* bytes */
    struct alloc *alloc;
    enum mem_part part;
    bool lent; /* data is another's memory */
};

void buf_init(struct buf *b, struct alloc *alloc, enum mem_part part); /* holds nothing yet */
void buf_deinit(struct buf *b);

/* Begins in memory that is there anyway and outlives b: what fits needs no allocation, and what
 * does not moves to memory of its own. REQUIRES: b holds nothing. */
void buf_lend(struct buf *b, void *memory, size_t capacity);
void buf_reset(struct buf *b); /* empty, keeps its memory */

/* Room for extra more bytes. FIRN_NOMEM: as before. */
int buf_reserve(struct buf *b, size_t extra);

/* Inline, because building tables appends some ten small things for each key. */
static inline int buf_append(struct buf *b, const void *data, size_t size) {
    int rc = b->capacity - b->size >= size ? FIRN_OK : buf_reserve(b, size);
    if (rc == FIRN_OK && size > 0) {
        memcpy(b->data + b->size, data, size);
        b->size += size;
    }
    return rc;
}

int buf_append_slice(struct buf *b, firn_slice s);
int buf_append_u8(struct buf *b, uint8_t v);
int buf_append_u16(struct buf *b, uint16_t v);
int buf_append_u32(struct buf *b, uint32_t v);
int buf_append_u64(struct buf *b, uint64_t v);
int buf_append_varint(struct buf *b, uint64_t v);
int buf_append_prefixed(struct buf *b, firn_slice s); /* varint length, then the bytes */

/* Replaces the content by s, which must not lie in b. */
int buf_assign(struct buf *b, firn_slice s);

/* The bytes; valid until b changes. */
static inline firn_slice buf_slice(const struct buf *b) {
    return firn_slice_make(b->data, b->size);
}

#endif
