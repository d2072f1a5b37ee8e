/* sst/entry_buffer.h: the entries of one segment while it is being built: what key_buffer.h is to
 * keys.
 *
 *     record = flags:u8  [seq:v unless 0]  [value size:v unless that of the put before]
 *
 * The bytes of values (or references to those that are apart) stand in a buffer of their own, in
 * the same order. An entry of a loaded table, put with sequence 0 and a value as long as the last,
 * takes one byte besides its value.
 */
#ifndef FIRN_SST_ENTRY_BUFFER_H
#define FIRN_SST_ENTRY_BUFFER_H

#include "base/buf.h"
#include "base/entry.h"

#define ENTRY_RECORD_BYTES_MAX (1 + 2 * VARINT_BYTES_MAX)

struct entry_buffer {
    struct buf records, values;
    size_t count;
    size_t size_last; /* of the put added last */
};

void entry_buffer_init(struct entry_buffer *e, struct alloc *alloc);
void entry_buffer_deinit(struct entry_buffer *e);
void entry_buffer_reset(struct entry_buffer *e);

struct entry_record {
    uint64_t seq;
    firn_slice value; /* borrowed; a reference when apart; empty for a tombstone */
    bool is_first;    /* of its key */
    bool is_put, is_apart;
};

int entry_buffer_add(struct entry_buffer *e, const struct entry_record *record);

/* Walks forward; a copy of a cursor is a place to come back to. Zeroed but for `entries`: the
 * start. */
struct entry_cursor {
    const struct entry_buffer *entries;
    size_t record_at, value_at, size_last;
};

/* False at the end. */
bool entry_cursor_next(struct entry_cursor *c, struct entry_record *record);
/* Whether the next entry is another version of the last one's key. */
bool entry_cursor_same_key_follows(const struct entry_cursor *c);

#endif
