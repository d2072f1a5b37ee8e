/* Encoder and decoder stand side by side, field by field. The decoder believes no count: every ADD
 * takes more than 40 bytes of the input, so the arrays stay in proportion to it. */
#include "lsm/edit.h"

#include <inttypes.h>

#include "base/entry.h"
#include "lsm/firn_lab.h"

void edit_init(struct edit *e, struct alloc *alloc) {
    memset(e, 0, sizeof *e);
    e->alloc = alloc;
}

void edit_deinit(struct edit *e) {
    for (size_t i = 0; i < e->add_count; i++) {
        table_meta_deinit(e->alloc, &e->adds[i].meta);
    }
    alloc_release(e->alloc, MEM_OTHER, e->adds, e->add_capacity * sizeof *e->adds);
    alloc_release(e->alloc, MEM_OTHER, e->drops, e->drop_capacity * sizeof *e->drops);
    edit_init(e, e->alloc);
}

/* Room for one more element; *array and *capacity are as before on FIRN_NOMEM. */
static int grow(struct alloc *alloc, void **array, size_t *capacity, size_t count, size_t size) {
    if (count < *capacity) {
        return FIRN_OK;
    }
    size_t more = *capacity == 0 ? 4 : *capacity * 2;
    void *moved = alloc_resize(alloc, MEM_OTHER, *array, *capacity * size, more * size);
    if (moved == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for an edit of %zu tables", more);
    }
    *array = moved;
    *capacity = more;
    return FIRN_OK;
}

int edit_add_table(struct edit *e, uint32_t level, uint64_t run_id, const struct table_meta *meta) {
    void *adds = e->adds;
    int rc = grow(e->alloc, &adds, &e->add_capacity, e->add_count, sizeof *e->adds);
    e->adds = adds;
    if (rc != FIRN_OK) {
        return rc;
    }
    struct edit_add *add = &e->adds[e->add_count];
    rc = table_meta_copy(e->alloc, meta, &add->meta);
    if (rc != FIRN_OK) {
        return rc;
    }
    add->level = level;
    add->run_id = run_id;
    e->add_count++;
    return FIRN_OK;
}

int edit_drop_table(struct edit *e, uint64_t number) {
    void *drops = e->drops;
    int rc = grow(e->alloc, &drops, &e->drop_capacity, e->drop_count, sizeof *e->drops);
    e->drops = drops;
    if (rc == FIRN_OK) {
        e->drops[e->drop_count++] = number;
    }
    return rc;
}

/* ---- Encoding ---- */

/* Everything of a meta but the keys. */
#define META_VARINTS 13
#define META_BYTES_MAX (META_VARINTS * VARINT_BYTES_MAX + TABLE_ID_BYTES + 8)

static int encode_number(struct buf *out, bool present, enum edit_tag tag, uint64_t number) {
    if (!present) {
        return FIRN_OK;
    }
    int rc = buf_append_u8(out, (uint8_t)tag);
    return rc != FIRN_OK ? rc : buf_append_varint(out, number);
}

static uint64_t default_delete_ns(const struct table_meta *meta) {
    return meta->tombstones > 0 ? meta->created_ns : 0;
}

int edit_encode_add(struct buf *out, uint32_t level, uint64_t run_id,
                    const struct table_meta *meta) {
    size_t size = 2 + 3 * VARINT_BYTES_MAX + META_BYTES_MAX + 2 * VARINT_BYTES_MAX +
                  meta->smallest.size + meta->largest.size;
    int rc = buf_reserve(out, size);
    if (rc != FIRN_OK) {
        return rc;
    }
    uint8_t *at = out->data + out->size;
    *at++ = meta->seq_given != 0 ? EDIT_ADD_GIVEN : EDIT_ADD;
    at += put_varint(at, level);
    at += put_varint(at, run_id);
    at += put_varint(at, meta->number);
    memcpy(at, meta->id, TABLE_ID_BYTES);
    at += TABLE_ID_BYTES;
    at += put_varint(at, meta->bytes);
    put_u64(at, meta->digest);
    at += 8;
    at += put_varint(at, meta->keys);
    at += put_varint(at, meta->entries);
    at += put_varint(at, meta->tombstones);
    at += put_varint(at, meta->raw_key_bytes);
    at += put_varint(at, meta->raw_value_bytes);
    at += put_varint(at, meta->seq_max);
    at += put_varint(at, meta->seq_max - meta->seq_min);
    at += put_varint(at, meta->created_ns);
    at += put_varint(at, meta->keyspace);
    at += put_varint(at, meta->effort);
    at += put_varint(at, meta->filter_rate);
    out->size = (size_t)(at - out->data);
    (void)buf_append_prefixed(out, meta->smallest);
    (void)buf_append_prefixed(out, meta->largest);
    return encode_number(out, meta->oldest_delete_ns != default_delete_ns(meta), EDIT_DELETES,
                         meta->oldest_delete_ns);
}

int edit_encode(const struct edit *e, struct buf *out) {
    int rc = encode_number(out, e->has_log_number, EDIT_LOG_NUMBER, e->log_number);
    if (rc == FIRN_OK) {
        rc = encode_number(out, e->has_next_file, EDIT_NEXT_FILE, e->next_file);
    }
    if (rc == FIRN_OK) {
        rc = encode_number(out, e->has_last_seq, EDIT_LAST_SEQ, e->last_seq);
    }
    if (rc == FIRN_OK) {
        rc = encode_number(out, e->keyspace != 0, EDIT_KEYSPACE, e->keyspace);
    }
    for (size_t i = 0; rc == FIRN_OK && i < e->drop_count; i++) {
        rc = encode_number(out, true, EDIT_DROP, e->drops[i]);
    }
    for (size_t i = 0; rc == FIRN_OK && i < e->add_count; i++) {
        rc = edit_encode_add(out, e->adds[i].level, e->adds[i].run_id, &e->adds[i].meta);
    }
    return rc;
}

/* ---- Decoding ---- */

/* A varint that must fit in 32 bits. */
static uint32_t read_u32(struct reader *in) {
    uint64_t v = reader_varint(in);
    if (v > UINT32_MAX) {
        in->failed = true;
    }
    return (uint32_t)v;
}

static void read_meta(struct reader *in, struct table_meta *meta) {
    memset(meta, 0, sizeof *meta);
    meta->number = reader_varint(in);
    firn_slice id = reader_take(in, TABLE_ID_BYTES);
    if (id.size == TABLE_ID_BYTES) {
        memcpy(meta->id, id.data, TABLE_ID_BYTES);
    }
    meta->bytes = reader_varint(in);
    meta->digest = reader_u64(in);
    meta->keys = reader_varint(in);
    meta->entries = reader_varint(in);
    meta->tombstones = reader_varint(in);
    meta->raw_key_bytes = reader_varint(in);
    meta->raw_value_bytes = reader_varint(in);
    meta->seq_max = reader_varint(in);
    meta->seq_min = meta->seq_max - reader_varint(in);
    meta->created_ns = reader_varint(in);
    meta->keyspace = read_u32(in);
    meta->effort = read_u32(in);
    meta->filter_rate = reader_varint(in);
    meta->oldest_delete_ns = default_delete_ns(meta);
    meta->smallest = reader_slice(in);
    meta->largest = reader_slice(in);
}

static int check_meta(const struct table_meta *meta) {
    const char *wrong = NULL;
    if (meta->seq_min > meta->seq_max || meta->seq_max > SEQ_MAX) {
        wrong = "its sequence numbers are out of order or range";
    } else if (meta->seq_given != 0 && meta->seq_min != meta->seq_given) {
        wrong = "it is given one sequence and has several";
    } else if (meta->keys > meta->entries || meta->tombstones > meta->entries) {
        wrong = "it has more keys or tombstones than entries";
    } else if (meta->filter_rate > FILTER_RATE_ALL) {
        wrong = "its filters let more keys through than there are";
    } else if (meta->smallest.size > FIRN_KEY_BYTES_MAX ||
               meta->largest.size > FIRN_KEY_BYTES_MAX) {
        wrong = "a bound is longer than a key may be";
    } else if (slice_compare(meta->smallest, meta->largest) > 0) {
        wrong = "its smallest key is above its largest";
    }
    if (wrong != NULL) {
        return FAIL(FIRN_CORRUPT, "an edit adds table %06" PRIu64 ", but %s", meta->number, wrong);
    }
    return FIRN_OK;
}

static int decode_add(struct reader *in, struct edit *e, bool given) {
    uint32_t level = read_u32(in);
    uint64_t run_id = reader_varint(in);
    struct table_meta meta; /* its keys are borrowed from the input */
    read_meta(in, &meta);
    if (in->failed) {
        return FAIL(FIRN_CORRUPT, "an edit ends inside the description of a table");
    }
    if (given && meta.seq_max == 0) {
        return FAIL(FIRN_CORRUPT, "an edit adds table %06" PRIu64 ", but gives it no sequence",
                    meta.number);
    }
    meta.seq_given = given ? meta.seq_max : 0;
    if (level >= FIRN_LEVELS_MAX) {
        return FAIL(FIRN_CORRUPT, "an edit adds table %06" PRIu64 " to level %" PRIu32 " of %d",
                    meta.number, level, FIRN_LEVELS_MAX);
    }
    int rc = check_meta(&meta);
    return rc != FIRN_OK ? rc : edit_add_table(e, level, run_id, &meta);
}

static int decode_deletes(struct reader *in, struct edit *e) {
    if (e->add_count == 0 || e->adds[e->add_count - 1].meta.tombstones == 0) {
        return FAIL(FIRN_CORRUPT, "an edit tells of deletes, but of no table that has any");
    }
    e->adds[e->add_count - 1].meta.oldest_delete_ns = reader_varint(in);
    return FIRN_OK;
}

/* A field that may be there once. */
static int decode_once(struct reader *in, bool *has, uint64_t *value, enum edit_tag tag) {
    if (*has) {
        return FAIL(FIRN_CORRUPT, "an edit has field %d twice", (int)tag);
    }
    *has = true;
    *value = reader_varint(in);
    return FIRN_OK;
}

static int decode_field(struct reader *in, struct edit *e, bool *has_keyspace) {
    uint8_t tag = reader_u8(in);
    switch (tag) {
    case EDIT_LOG_NUMBER:
        return decode_once(in, &e->has_log_number, &e->log_number, EDIT_LOG_NUMBER);
    case EDIT_NEXT_FILE:
        return decode_once(in, &e->has_next_file, &e->next_file, EDIT_NEXT_FILE);
    case EDIT_LAST_SEQ:
        return decode_once(in, &e->has_last_seq, &e->last_seq, EDIT_LAST_SEQ);
    case EDIT_KEYSPACE: {
        uint64_t keyspace = 0;
        int rc = decode_once(in, has_keyspace, &keyspace, EDIT_KEYSPACE);
        in->failed = in->failed || keyspace > UINT32_MAX;
        e->keyspace = (uint32_t)keyspace;
        return rc;
    }
    case EDIT_DROP: {
        uint64_t number = reader_varint(in);
        return in->failed ? FIRN_OK : edit_drop_table(e, number);
    }
    case EDIT_ADD:
        return decode_add(in, e, false);
    case EDIT_ADD_GIVEN:
        return decode_add(in, e, true);
    case EDIT_DELETES:
        return decode_deletes(in, e);
    default:
        return FAIL(FIRN_UNSUPPORTED, "unknown field %u in an edit of the manifest", tag);
    }
}

int edit_decode(firn_slice bytes, struct edit *e) {
    struct reader in = reader_of(bytes);
    bool has_keyspace = false;
    while (reader_left(&in) > 0) {
        int rc = decode_field(&in, e, &has_keyspace);
        if (rc != FIRN_OK) {
            return rc;
        }
        if (in.failed) {
            return FAIL(FIRN_CORRUPT, "an edit of %zu bytes ends inside a field", bytes.size);
        }
    }
    return FIRN_OK;
}
