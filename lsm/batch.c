/* The encoding is the log's: a batch is handed to it without another copy. An empty batch holds no
 * bytes at all, so that making one cannot fail; the count is written with the first operation. */
#include "lsm/batch.h"

#include <inttypes.h>

#define COUNT_BYTES 4
#define OP_BYTES_MIN 3 /* kind, keyspace, key length */

void batch_init(struct firn_batch *b, struct alloc *alloc) {
    buf_init(&b->bytes, alloc, MEM_OTHER);
    b->count = 0;
    b->data_bytes = 0;
}

void batch_deinit(struct firn_batch *b) {
    buf_deinit(&b->bytes);
    b->count = 0;
    b->data_bytes = 0;
}

static int check_slice(firn_slice s, const char *what) {
    if (s.data == NULL && s.size > 0) {
        return FAIL(FIRN_INVALID, "a %s of %zu bytes has no data", what, s.size);
    }
    return FIRN_OK;
}

int batch_check_limits(firn_slice key, firn_slice value) {
    if (key.size > FIRN_KEY_BYTES_MAX) {
        return FAIL(FIRN_TOO_LARGE, "a key of %zu bytes; the limit is %u", key.size,
                    FIRN_KEY_BYTES_MAX);
    }
    if (value.size > FIRN_VALUE_BYTES_MAX) {
        return FAIL(FIRN_TOO_LARGE, "a value of %zu bytes; the limit is %" PRIu64, value.size,
                    FIRN_VALUE_BYTES_MAX);
    }
    int rc = check_slice(key, "key");
    return rc != FIRN_OK ? rc : check_slice(value, "value");
}

/* Appends one operation, whole or not at all. value is NULL for kinds that have none. */
static int append(struct firn_batch *b, enum entry_kind kind, firn_slice key,
                  const firn_slice *value) {
    firn_slice none = firn_slice_make(NULL, 0);
    int rc = batch_check_limits(key, value == NULL ? none : *value);
    if (rc != FIRN_OK) {
        return rc;
    }
    size_t size = 1 + varint_size(KEYSPACE_DEFAULT) + varint_size(key.size) + key.size;
    if (value != NULL) {
        size += varint_size(value->size) + value->size;
    }
    if (b->count == 0) {
        size += COUNT_BYTES;
    }
    if (size > FIRN_BATCH_BYTES_MAX - b->bytes.size || b->count == UINT32_MAX) {
        return FAIL(FIRN_TOO_LARGE,
                    "a batch of %zu bytes and %" PRIu32 " operations cannot take %zu bytes more; "
                    "the limit is %" PRIu64,
                    b->bytes.size, b->count, size, FIRN_BATCH_BYTES_MAX);
    }
    rc = buf_reserve(&b->bytes, size);
    if (rc != FIRN_OK) {
        return rc;
    }
    /* There is room: nothing below can fail. */
    if (b->count == 0) {
        (void)buf_append_u32(&b->bytes, 0);
    }
    (void)buf_append_u8(&b->bytes, (uint8_t)kind);
    (void)buf_append_varint(&b->bytes, KEYSPACE_DEFAULT);
    (void)buf_append_varint(&b->bytes, key.size);
    (void)buf_append_slice(&b->bytes, key);
    b->data_bytes += key.size;
    if (value != NULL) {
        (void)buf_append_varint(&b->bytes, value->size);
        (void)buf_append_slice(&b->bytes, *value);
        b->data_bytes += value->size;
    }
    b->count++;
    put_u32(b->bytes.data, b->count);
    return FIRN_OK;
}

int batch_put(struct firn_batch *b, firn_slice key, firn_slice value) {
    return append(b, ENTRY_PUT, key, &value);
}

int batch_delete(struct firn_batch *b, firn_slice key) {
    return append(b, ENTRY_DELETE, key, NULL);
}

/* ---- Reading ---- */

int batch_reader_init(struct batch_reader *r, firn_slice bytes, uint32_t *count) {
    r->in = reader_of(bytes);
    r->left = reader_u32(&r->in);
    *count = 0;
    if (r->in.failed || r->left > reader_left(&r->in) / OP_BYTES_MIN) {
        uint32_t claimed = r->left;
        r->left = 0;
        return FAIL(FIRN_CORRUPT, "a batch of %zu bytes cannot hold %" PRIu32 " operations",
                    bytes.size, claimed);
    }
    *count = r->left;
    return FIRN_OK;
}

int batch_reader_next(struct batch_reader *r, struct batch_op *op) {
    if (r->left == 0) {
        if (reader_left(&r->in) > 0) {
            return FAIL(FIRN_CORRUPT, "%zu bytes follow the last operation of a batch",
                        reader_left(&r->in));
        }
        return FIRN_NOT_FOUND;
    }
    op->kind = reader_u8(&r->in);
    if (op->kind != ENTRY_PUT && op->kind != ENTRY_DELETE) {
        if (r->in.failed) {
            return FAIL(FIRN_CORRUPT, "a batch ends %" PRIu32 " operations early", r->left);
        }
        return FAIL(FIRN_UNSUPPORTED, "unknown kind %u of operation in a batch", op->kind);
    }
    uint64_t keyspace = reader_varint(&r->in);
    op->keyspace = (uint32_t)keyspace;
    op->key = reader_slice(&r->in);
    op->value = op->kind == ENTRY_PUT ? reader_slice(&r->in) : firn_slice_make(NULL, 0);
    if (r->in.failed) {
        return FAIL(FIRN_CORRUPT, "a batch ends inside an operation, %" PRIu32 " before its last",
                    r->left - 1);
    }
    if (keyspace > UINT32_MAX || op->key.size > FIRN_KEY_BYTES_MAX ||
        op->value.size > FIRN_VALUE_BYTES_MAX) {
        return FAIL(FIRN_CORRUPT,
                    "an operation of a batch is over the limits: keyspace %" PRIu64
                    ", key of %zu bytes, value of %zu bytes",
                    keyspace, op->key.size, op->value.size);
    }
    r->left--;
    return FIRN_OK;
}

/* ---- The public batch, with memory of its own: it belongs to no database ---- */

int firn_batch_create(firn_batch **batch) {
    *batch = NULL;
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    struct firn_batch *b = alloc_get(&alloc, MEM_OTHER, sizeof *b);
    if (b == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a batch");
    }
    alloc_init(&b->own, NULL);
    batch_init(b, &b->own);
    *batch = b;
    return FIRN_OK;
}

void firn_batch_destroy(firn_batch *batch) {
    if (batch != NULL) {
        batch_deinit(batch);
        struct alloc alloc; /* the batch's own would be freed under the call */
        alloc_init(&alloc, NULL);
        alloc_count(&alloc, MEM_OTHER, (ptrdiff_t)sizeof *batch);
        alloc_release(&alloc, MEM_OTHER, batch, sizeof *batch);
    }
}

void firn_batch_clear(firn_batch *batch) {
    buf_reset(&batch->bytes);
    batch->count = 0;
    batch->data_bytes = 0;
}

int firn_batch_put(firn_batch *batch, firn_slice key, firn_slice value) {
    return batch_put(batch, key, value);
}

int firn_batch_delete(firn_batch *batch, firn_slice key) {
    return batch_delete(batch, key);
}

size_t firn_batch_count(const firn_batch *batch) {
    return batch->count;
}

size_t firn_batch_bytes(const firn_batch *batch) {
    return batch->bytes.size;
}
