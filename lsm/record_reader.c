#include "lsm/record_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define READ_AHEAD_BYTES (256u << 10)

int record_reader_open(struct record_reader *r, struct alloc *alloc, firn_env *env,
                       const char *path, uint64_t seed) {
    memset(r, 0, sizeof *r);
    r->seed = seed;
    (void)snprintf(r->path, sizeof r->path, "%s", path);
    int rc = env_open(env, path, ENV_SEQUENTIAL, &r->file);
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = env_file_size(r->file, &r->file_bytes);
    if (rc != FIRN_OK) {
        (void)env_close(r->file);
        return rc;
    }
    buf_init(&r->window, alloc, MEM_OTHER);
    return FIRN_OK;
}

void record_reader_close(struct record_reader *r) {
    (void)env_close(r->file); /* it was only read */
    buf_deinit(&r->window);
}

/* Makes *bytes point to `size` bytes of the file at offset. REQUIRES: they lie within the file. */
static int look_at(struct record_reader *r, uint64_t offset, size_t size, const uint8_t **bytes) {
    *bytes = NULL;
    struct buf *w = &r->window;
    uint64_t end = r->window_offset + w->size;
    if (offset < r->window_offset || offset > end) {
        buf_reset(w);
        r->window_offset = end = offset;
    }
    if (size > end - offset) {
        /* What is needed moves to the front; then the window is filled up. */
        size_t passed = (size_t)(offset - r->window_offset);
        if (passed > 0) {
            memmove(w->data, w->data + passed, w->size - passed);
            w->size -= passed;
            r->window_offset = offset;
        }
        uint64_t left = r->file_bytes - end;
        size_t want = size - w->size > READ_AHEAD_BYTES ? size - w->size : READ_AHEAD_BYTES;
        want = want > left ? (size_t)left : want;
        int rc = buf_reserve(w, want);
        if (rc != FIRN_OK) {
            return rc;
        }
        size_t got = 0;
        rc = env_read_at(r->file, end, w->data + w->size, want, &got);
        if (rc != FIRN_OK) {
            return rc;
        }
        w->size += got;
        if (got < want) {
            return FAIL(FIRN_IO, "%s: %zu of %zu bytes at %" PRIu64 " could be read", r->path, got,
                        want, end);
        }
    }
    *bytes = w->data + (offset - r->window_offset);
    return FIRN_OK;
}

int record_reader_scan(struct record_reader *r, uint64_t offset, uint64_t *durable) {
    while (r->file_bytes >= RECORD_HEADER_BYTES && offset <= r->file_bytes - RECORD_HEADER_BYTES) {
        uint64_t left = r->file_bytes - offset;
        size_t size = left > READ_AHEAD_BYTES ? READ_AHEAD_BYTES : (size_t)left;
        const uint8_t *bytes;
        int rc = look_at(r, offset, size, &bytes);
        if (rc != FIRN_OK) {
            return rc;
        }
        uint64_t mark = record_scan_durable(firn_slice_make(bytes, size), offset, r->seed);
        *durable = mark > *durable ? mark : *durable;
        offset += size - RECORD_HEADER_BYTES + 1; /* headers that the piece cut off come again */
    }
    return FIRN_OK;
}

/* What follows r->offset is no record. */
static int judge(struct record_reader *r) {
    int rc = record_reader_scan(r, r->offset, &r->durable);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (r->offset < r->durable) {
        return FAIL(FIRN_CORRUPT,
                    "%s: no intact record at offset %" PRIu64 ", but %" PRIu64
                    " bytes of the file were durable",
                    r->path, r->offset, r->durable);
    }
    r->torn = true;
    return FIRN_NOT_FOUND;
}

/* Whether an intact record begins at offset. Headers have a check of their own, so that few places
 * that are none cost more than a look. */
static int try_record(struct record_reader *r, uint64_t offset, bool *intact) {
    const uint8_t *bytes;
    struct record record;
    uint64_t left = r->file_bytes - offset, next;
    *intact = false;
    int rc = look_at(r, offset, RECORD_HEADER_BYTES, &bytes);
    if (rc != FIRN_OK || !record_decode_header(bytes, offset, r->seed, &record) ||
        record.payload.size > left - RECORD_HEADER_BYTES) {
        return rc;
    }
    size_t size = RECORD_HEADER_BYTES + record.payload.size;
    rc = look_at(r, offset, size, &bytes);
    *intact = rc == FIRN_OK &&
              record_decode(firn_slice_make(bytes, size), offset, r->seed, &record, &next);
    return rc;
}

int record_reader_skip(struct record_reader *r, uint64_t *passed) {
    uint64_t from = r->offset, offset = from + 1;
    bool intact = false;
    int rc = FIRN_OK;
    for (; rc == FIRN_OK && offset + RECORD_HEADER_BYTES <= r->file_bytes; offset++) {
        rc = try_record(r, offset, &intact);
        if (intact) {
            break;
        }
    }
    if (rc == FIRN_OK) {
        r->offset = intact ? offset : r->file_bytes;
        r->torn = false;
        *passed = r->offset - from;
    }
    return rc;
}

int record_reader_next(struct record_reader *r, struct record *record) {
    uint64_t left = r->file_bytes - r->offset;
    if (left == 0 || r->torn) {
        return FIRN_NOT_FOUND;
    }
    if (left < RECORD_HEADER_BYTES) {
        return judge(r);
    }
    const uint8_t *bytes;
    int rc = look_at(r, r->offset, RECORD_HEADER_BYTES, &bytes);
    if (rc != FIRN_OK) {
        return rc;
    }
    /* The header's own check comes first: a length is not used before it is known to be one. */
    if (!record_decode_header(bytes, r->offset, r->seed, record) ||
        record->payload.size > left - RECORD_HEADER_BYTES) {
        return judge(r);
    }
    size_t size = RECORD_HEADER_BYTES + record->payload.size;
    rc = look_at(r, r->offset, size, &bytes);
    if (rc != FIRN_OK) {
        return rc;
    }
    uint64_t next;
    if (!record_decode(firn_slice_make(bytes, size), r->offset, r->seed, record, &next)) {
        return judge(r);
    }
    r->durable = record->durable > r->durable ? record->durable : r->durable;
    r->offset = next;
    return FIRN_OK;
}
