#include "base/buf.h"

#define CAPACITY_MIN 256 /* most keys fit: an iterator allocates once, not three times */

void buf_init(struct buf *b, struct alloc *alloc, enum mem_part part) {
    b->data = NULL;
    b->size = 0;
    b->capacity = 0;
    b->alloc = alloc;
    b->part = part;
    b->lent = false;
}

void buf_deinit(struct buf *b) {
    if (!b->lent) {
        alloc_release(b->alloc, b->part, b->data, b->capacity);
    }
    buf_init(b, b->alloc, b->part);
}

void buf_lend(struct buf *b, void *memory, size_t capacity) {
    b->data = memory;
    b->capacity = capacity;
    b->lent = true;
}

void buf_reset(struct buf *b) {
    b->size = 0;
}

/* Memory of capacity bytes that begins with what b holds; NULL: there is none, b is as before. */
static uint8_t *move_to(struct buf *b, size_t capacity) {
    if (!b->lent) {
        return alloc_resize(b->alloc, b->part, b->data, b->capacity, capacity);
    }
    uint8_t *data = alloc_get(b->alloc, b->part, capacity);
    if (data != NULL && b->size > 0) {
        memcpy(data, b->data, b->size);
    }
    return data;
}

int buf_reserve(struct buf *b, size_t extra) {
    if (b->capacity - b->size >= extra) {
        return FIRN_OK;
    }
    if (extra > SIZE_MAX / 2 - b->size) {
        return FAIL(FIRN_NOMEM, "a buffer of %zu bytes cannot grow by %zu", b->size, extra);
    }
    size_t want = b->size + extra;
    size_t capacity = b->capacity + b->capacity / 2;
    if (capacity < want) {
        capacity = want < CAPACITY_MIN ? CAPACITY_MIN : want;
    }
    uint8_t *data = move_to(b, capacity);
    if (data == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a buffer of %zu bytes", capacity);
    }
    b->data = data;
    b->capacity = capacity;
    b->lent = false;
    return FIRN_OK;
}

int buf_append_slice(struct buf *b, firn_slice s) {
    return buf_append(b, s.data, s.size);
}

int buf_append_u8(struct buf *b, uint8_t v) {
    return buf_append(b, &v, 1);
}

int buf_append_u16(struct buf *b, uint16_t v) {
    uint8_t bytes[2];
    put_u16(bytes, v);
    return buf_append(b, bytes, sizeof bytes);
}

int buf_append_u32(struct buf *b, uint32_t v) {
    uint8_t bytes[4];
    put_u32(bytes, v);
    return buf_append(b, bytes, sizeof bytes);
}

int buf_append_u64(struct buf *b, uint64_t v) {
    uint8_t bytes[8];
    put_u64(bytes, v);
    return buf_append(b, bytes, sizeof bytes);
}

int buf_append_varint(struct buf *b, uint64_t v) {
    uint8_t bytes[VARINT_BYTES_MAX];
    return buf_append(b, bytes, put_varint(bytes, v));
}

int buf_append_prefixed(struct buf *b, firn_slice s) {
    int rc = buf_reserve(b, VARINT_BYTES_MAX + s.size);
    if (rc == FIRN_OK) {
        b->size += put_varint(b->data + b->size, s.size);
        rc = buf_append_slice(b, s);
    }
    return rc;
}

int buf_assign(struct buf *b, firn_slice s) {
    buf_reset(b);
    return buf_append_slice(b, s);
}
