/* The bytes were written by this process: they are read without checks. */
#include "sst/entry_buffer.h"

enum { RECORD_FIRST = 1, RECORD_PUT = 2, RECORD_APART = 4, RECORD_SEQ = 8, RECORD_SIZE = 16 };

void entry_buffer_init(struct entry_buffer *e, struct alloc *alloc) {
    buf_init(&e->records, alloc, MEM_BUILDER);
    buf_init(&e->values, alloc, MEM_BUILDER);
    e->count = 0;
    e->size_last = 0;
}

void entry_buffer_deinit(struct entry_buffer *e) {
    buf_deinit(&e->records);
    buf_deinit(&e->values);
}

void entry_buffer_reset(struct entry_buffer *e) {
    buf_reset(&e->records);
    buf_reset(&e->values);
    e->count = 0;
    e->size_last = 0;
}

int entry_buffer_add(struct entry_buffer *e, const struct entry_record *record) {
    int rc = buf_reserve(&e->records, ENTRY_RECORD_BYTES_MAX);
    if (rc != FIRN_OK || (rc = buf_append_slice(&e->values, record->value)) != FIRN_OK) {
        return rc;
    }
    bool new_size = record->is_put && record->value.size != e->size_last;
    uint8_t *to = e->records.data + e->records.size;
    *to++ = (uint8_t)((record->is_first ? RECORD_FIRST : 0) | (record->is_put ? RECORD_PUT : 0) |
                      (record->is_apart ? RECORD_APART : 0) | (record->seq != 0 ? RECORD_SEQ : 0) |
                      (new_size ? RECORD_SIZE : 0));
    if (record->seq != 0) {
        to += put_varint(to, record->seq);
    }
    if (new_size) {
        to += put_varint(to, record->value.size);
        e->size_last = record->value.size;
    }
    e->records.size = (size_t)(to - e->records.data);
    e->count++;
    return FIRN_OK;
}

bool entry_cursor_next(struct entry_cursor *c, struct entry_record *record) {
    const struct entry_buffer *e = c->entries;
    if (c->record_at == e->records.size) {
        return false;
    }
    struct reader r = {e->records.data + c->record_at, e->records.data + e->records.size, false};
    uint8_t flags = reader_u8(&r);
    record->seq = flags & RECORD_SEQ ? reader_varint(&r) : 0;
    c->size_last = flags & RECORD_SIZE ? (size_t)reader_varint(&r) : c->size_last;
    c->record_at = (size_t)(r.at - e->records.data);
    record->is_first = (flags & RECORD_FIRST) != 0;
    record->is_put = (flags & RECORD_PUT) != 0;
    record->is_apart = (flags & RECORD_APART) != 0;
    size_t size = record->is_put ? c->size_last : 0;
    record->value = firn_slice_make(size == 0 ? NULL : e->values.data + c->value_at, size);
    c->value_at += size;
    return true;
}

bool entry_cursor_same_key_follows(const struct entry_cursor *c) {
    const struct buf *records = &c->entries->records;
    return c->record_at < records->size && (records->data[c->record_at] & RECORD_FIRST) == 0;
}
