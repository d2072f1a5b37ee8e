/* Appends of 256 KiB keep the number of system calls small without holding much. */
#include "sst/output.h"

#define PENDING_BYTES_MAX ((size_t)256 * 1024)

void output_init(struct output *o, struct alloc *alloc, const uint8_t id[TABLE_ID_BYTES]) {
    o->file = NULL;
    buf_init(&o->pending, alloc, MEM_BUILDER);
    o->offset = 0;
    o->parts = 0;
    o->throttle = NULL;
    memcpy(o->id, id, TABLE_ID_BYTES);
}

void output_deinit(struct output *o) {
    buf_deinit(&o->pending);
}

static int hand_over(struct output *o, const void *data, size_t size) {
    int rc = o->throttle != NULL ? o->throttle(o->throttle_context, size) : FIRN_OK;
    return rc == FIRN_OK ? env_append(o->file, data, size) : rc;
}

int output_flush(struct output *o) {
    int rc = FIRN_OK;
    if (o->pending.size > 0) {
        rc = hand_over(o, o->pending.data, o->pending.size);
        buf_reset(&o->pending);
    }
    return rc;
}

int output_append(struct output *o, const void *data, size_t size) {
    if (o->pending.size + size > PENDING_BYTES_MAX) {
        int rc = output_flush(o);
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    int rc =
        size > PENDING_BYTES_MAX ? hand_over(o, data, size) : buf_append(&o->pending, data, size);
    if (rc == FIRN_OK) {
        o->offset += size;
    }
    return rc;
}

int output_seal(struct output *o, const void *data, size_t size) {
    uint64_t sum = format_checksum(o->id, o->offset - size, data, size);
    uint8_t bytes[FORMAT_CHECKSUM_BYTES];
    put_u64(bytes, sum);
    o->parts += sum;
    return output_append(o, bytes, sizeof bytes);
}

int output_align(struct output *o, size_t alignment) {
    static const uint8_t zeros[FORMAT_UNIT_BYTES];
    size_t size = (size_t)((0 - o->offset) % alignment);
    return output_append(o, zeros, size);
}

int output_section(struct output *o, struct footer *f, enum section_kind kind, uint64_t first_page,
                   firn_slice body) {
    uint64_t offset = o->offset;
    int rc = footer_add_section(f, kind, first_page, offset, body.size);
    if (rc == FIRN_OK) {
        rc = output_append(o, body.data, body.size);
    }
    for (size_t at = 0; rc == FIRN_OK && at < body.size; at += FORMAT_CHUNK_BYTES) {
        size_t left = body.size - at;
        const uint8_t *data = slice_bytes(body) + at;
        uint64_t sum = format_checksum(o->id, offset + at, data,
                                       left < FORMAT_CHUNK_BYTES ? left : FORMAT_CHUNK_BYTES);
        uint8_t bytes[FORMAT_CHECKSUM_BYTES];
        put_u64(bytes, sum);
        o->parts += sum;
        rc = output_append(o, bytes, sizeof bytes);
    }
    return rc;
}
