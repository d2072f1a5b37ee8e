/* Where a key ends is believed at each access only, and only inside the area. */
#include "sst/key_array.h"

#include "base/status.h"

/* ---- Reading ---- */

int key_array_open(firn_slice bytes, size_t keys, struct key_array *a) {
    /* Narrow ends can tell 65535 bytes of keys: more than that were written with wide ones. */
    a->keys = keys;
    a->wide = keys > bytes.size / 2 || bytes.size - 2 * keys > UINT16_MAX;
    size_t width = a->wide ? 4 : 2;
    if (keys > bytes.size / width) {
        return FAIL(FIRN_CORRUPT, "an array of %zu keys in %zu bytes", keys, bytes.size);
    }
    a->ends = slice_bytes(bytes);
    a->bytes = a->ends + keys * width;
    a->size = bytes.size - keys * width;
    return FIRN_OK;
}

static inline size_t end_of(const struct key_array *a, size_t rank) {
    return a->wide ? get_u32(a->ends + 4 * rank) : get_u16(a->ends + 2 * rank);
}

int key_array_key(const struct key_array *a, size_t rank, firn_slice *key) {
    size_t begin = rank == 0 ? 0 : end_of(a, rank - 1), end = end_of(a, rank);
    if (begin > end || end > a->size || end - begin > FIRN_KEY_BYTES_MAX) {
        return FAIL(FIRN_CORRUPT, "key %zu of an array lies in bytes %zu to %zu of %zu", rank,
                    begin, end, a->size);
    }
    *key = firn_slice_make(a->bytes + begin, end - begin);
    return FIRN_OK;
}

int key_array_seek(const struct key_array *a, firn_slice key, size_t *rank, bool *exact) {
    size_t low = 0, high = a->keys;
    *exact = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        firn_slice here = {NULL, 0};
        int rc = key_array_key(a, middle, &here);
        if (rc != FIRN_OK) {
            return rc;
        }
        int order = slice_compare(here, key);
        *exact |= order == 0;
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *rank = low;
    return FIRN_OK;
}

/* ---- Writing ---- */

size_t key_array_bytes(size_t keys, size_t size) {
    return size + keys * (size > UINT16_MAX ? 4 : 2);
}

void key_array_begin(struct key_array_writer *w, size_t keys, size_t size, uint8_t *to) {
    w->wide = size > UINT16_MAX;
    w->end = to;
    w->start = w->bytes = to + keys * (w->wide ? 4 : 2);
}

void key_array_append(struct key_array_writer *w, firn_slice key) {
    if (key.size > 0) {
        memcpy(w->bytes, key.data, key.size);
    }
    w->bytes += key.size;
    size_t end = (size_t)(w->bytes - w->start);
    if (w->wide) {
        put_u32(w->end, (uint32_t)end);
    } else {
        put_u16(w->end, (uint16_t)end);
    }
    w->end += w->wide ? 4 : 2;
}

/* How many keys fit, from the one at which the cursor stands, and their bytes. */
static int count_keys(struct key_cursor *c, size_t room, automaton_payload_fn payload,
                      void *context, size_t *count, size_t *size) {
    size_t first = c->index;
    *count = 1;
    *size = c->key.size;
    while (c->index + 1 < c->keys->count) {
        int rc = key_cursor_next(c);
        if (rc != FIRN_OK) {
            return rc;
        }
        size_t more = *size + c->key.size;
        if (more > UINT32_MAX ||
            key_array_bytes(*count + 1, more) + payload(context, first, *count + 1) > room) {
            return FIRN_OK;
        }
        *size = more;
        ++*count;
    }
    return FIRN_OK;
}

int key_array_build(const struct key_buffer *keys, size_t first, size_t room,
                    automaton_payload_fn payload, void *context, struct buf *out, size_t *count) {
    struct key_cursor cursor;
    struct key_array_writer writer;
    size_t size;
    key_cursor_init(&cursor, keys);
    int rc = key_cursor_to(&cursor, first);
    rc = rc == FIRN_OK ? count_keys(&cursor, room, payload, context, count, &size) : rc;
    rc = rc == FIRN_OK ? buf_reserve(out, key_array_bytes(*count, size)) : rc;
    rc = rc == FIRN_OK ? key_cursor_to(&cursor, first) : rc;
    if (rc == FIRN_OK) {
        key_array_begin(&writer, *count, size, out->data + out->size);
        out->size += key_array_bytes(*count, size);
        key_array_append(&writer, buf_slice(&cursor.key));
    }
    for (size_t i = 1; rc == FIRN_OK && i < *count; i++) {
        rc = key_cursor_next(&cursor);
        if (rc == FIRN_OK) {
            key_array_append(&writer, buf_slice(&cursor.key));
        }
    }
    key_cursor_deinit(&cursor);
    return rc;
}
