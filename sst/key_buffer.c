#include "sst/key_buffer.h"

/* The last key is kept whole beside the coded bytes, so that adding needs no decoding; every
 * KEY_RESTART-th key is coded whole, so that a jump decodes at most KEY_RESTART - 1 others. */

void key_buffer_init(struct key_buffer *k, struct alloc *alloc) {
    buf_init(&k->bytes, alloc, MEM_BUILDER);
    buf_init(&k->restarts, alloc, MEM_BUILDER);
    buf_init(&k->last, alloc, MEM_BUILDER);
    k->count = 0;
    k->raw_bytes = 0;
}

void key_buffer_deinit(struct key_buffer *k) {
    buf_deinit(&k->bytes);
    buf_deinit(&k->restarts);
    buf_deinit(&k->last);
    k->count = 0;
    k->raw_bytes = 0;
}

void key_buffer_reset(struct key_buffer *k) {
    buf_reset(&k->bytes);
    buf_reset(&k->restarts);
    buf_reset(&k->last);
    k->count = 0;
    k->raw_bytes = 0;
}

int key_buffer_add(struct key_buffer *k, firn_slice key) {
    bool restart = k->count % KEY_RESTART == 0;
    size_t kept = slice_common_prefix(buf_slice(&k->last), key), shared = restart ? 0 : kept;
    size_t rest = key.size - shared;

    int rc = buf_reserve(&k->bytes, (size_t)2 * VARINT_BYTES_MAX + rest);
    if (rc == FIRN_OK && key.size > k->last.size) {
        rc = buf_reserve(&k->last, key.size - k->last.size);
    }
    if (rc == FIRN_OK && restart) {
        rc = buf_append_u64(&k->restarts, k->bytes.size);
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    uint8_t *to = k->bytes.data + k->bytes.size;
    to += put_varint(to, shared);
    to += put_varint(to, rest);
    if (rest > 0) {
        memcpy(to, slice_bytes(key) + shared, rest);
    }
    k->bytes.size = (size_t)(to + rest - k->bytes.data);
    if (key.size > kept) {
        memcpy(k->last.data + kept, slice_bytes(key) + kept, key.size - kept);
    }
    k->last.size = key.size;
    k->count++;
    k->raw_bytes += key.size;
    return FIRN_OK;
}

size_t key_buffer_memory(const struct key_buffer *k) {
    return k->bytes.capacity + k->restarts.capacity + k->last.capacity;
}

void key_cursor_init(struct key_cursor *c, const struct key_buffer *keys) {
    c->keys = keys;
    buf_init(&c->key, keys->bytes.alloc, MEM_BUILDER);
    c->index = 0;
    c->shared = 0;
    c->offset = 0;
}

void key_cursor_deinit(struct key_cursor *c) {
    buf_deinit(&c->key);
}

/* One varint of bytes that this file wrote itself. */
static size_t take_size(const struct key_buffer *k, size_t *offset) {
    const uint8_t *p = k->bytes.data + *offset;
    size_t v = *p & 0x7f;
    for (unsigned shift = 7; *p++ >= 0x80; shift += 7) {
        v |= (size_t)(*p & 0x7f) << shift;
    }
    *offset = (size_t)(p - k->bytes.data);
    return v;
}

/* Decodes the key at c->offset over the one before it. */
static int decode(struct key_cursor *c) {
    size_t offset = c->offset;
    size_t shared = take_size(c->keys, &offset);
    size_t rest = take_size(c->keys, &offset);
    const uint8_t *from = c->keys->bytes.data + offset;
    if (shared == 0 && c->key.size > 0) { /* perhaps a restart: what it repeats is not stored */
        c->shared = slice_common_prefix(buf_slice(&c->key), firn_slice_make(from, rest));
    } else {
        c->shared = shared;
    }
    c->key.size = shared;
    int rc = buf_append(&c->key, from, rest);
    if (rc == FIRN_OK) {
        c->offset = offset + rest;
    }
    return rc;
}

int key_cursor_to(struct key_cursor *c, size_t index) {
    size_t restart = index / KEY_RESTART;
    buf_reset(&c->key);
    c->offset = (size_t)get_u64(c->keys->restarts.data + restart * sizeof(uint64_t));
    for (c->index = restart * KEY_RESTART;; c->index++) {
        int rc = decode(c);
        if (rc != FIRN_OK) {
            return rc;
        }
        if (c->index == index) {
            c->shared = 0;
            return FIRN_OK;
        }
    }
}

int key_cursor_next(struct key_cursor *c) {
    int rc = decode(c);
    if (rc == FIRN_OK) {
        c->index++;
    }
    return rc;
}
