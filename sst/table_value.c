/* Values of a table: in their page, in a group of it, or apart, and what keeps them in memory. */
#include <assert.h>

#include "sst/table_internal.h"

/* ---- Apart ---- */

int table_value_check(const struct table_segment *s, const struct value_ref *ref) {
    uint64_t bytes = value_record_bytes(ref->size);
    if (s->values == NULL || ref->offset < s->values->offset || bytes > s->values->size ||
        ref->offset - s->values->offset > s->values->size - bytes) {
        return FAIL(FIRN_CORRUPT, "a value of %llu bytes at %llu lies outside the values section",
                    (unsigned long long)ref->size, (unsigned long long)ref->offset);
    }
    return FIRN_OK;
}

static int check_chunk(const struct sst_table *t, uint64_t offset, const uint8_t *data,
                       size_t size) {
    uint64_t found = format_checksum(t->meta.id, offset, data, size);
    if (found != get_u64(data + size)) {
        return FAIL(FIRN_CORRUPT, "value chunk at %llu has checksum %016llx, expected %016llx",
                    (unsigned long long)offset, (unsigned long long)found,
                    (unsigned long long)get_u64(data + size));
    }
    return FIRN_OK;
}

static int load_chunk(struct sst_table *t, uint64_t offset, size_t size,
                      struct value_chunk *chunk) {
    chunk->offset = 0;
    int rc = FIRN_OK;
    if (t->memory != NULL) {
        chunk->data = t->memory + offset;
    } else {
        buf_reset(&chunk->bytes);
        rc = buf_reserve(&chunk->bytes, size + FORMAT_CHECKSUM_BYTES);
        chunk->data = chunk->bytes.data;
        if (rc == FIRN_OK) {
            rc = table_read(t, offset, chunk->bytes.data, size + FORMAT_CHECKSUM_BYTES);
        }
    }
    rc = rc == FIRN_OK ? check_chunk(t, offset, chunk->data, size) : rc;
    chunk->offset = rc == FIRN_OK ? offset : 0;
    return rc;
}

int table_value_read(struct sst_table *t, const struct value_ref *ref, uint64_t at, void *to,
                     size_t size, struct value_chunk *chunk) {
    uint8_t *out = to;
    while (size > 0) {
        uint64_t number = at / FORMAT_CHUNK_BYTES, start = number * FORMAT_CHUNK_BYTES;
        uint64_t offset = ref->offset + start + number * FORMAT_CHECKSUM_BYTES;
        uint64_t left = ref->size - start;
        size_t chunk_size = left < FORMAT_CHUNK_BYTES ? (size_t)left : FORMAT_CHUNK_BYTES;
        int rc = chunk->offset == offset ? FIRN_OK : load_chunk(t, offset, chunk_size, chunk);
        if (rc != FIRN_OK) {
            return rc;
        }
        size_t skip = (size_t)(at - start), piece = chunk_size - skip;
        piece = piece < size ? piece : size;
        memcpy(out, chunk->data + skip, piece);
        out += piece;
        at += piece;
        size -= piece;
    }
    return FIRN_OK;
}

/* Checks a whole record in memory; where `to` is given, moves the value's chunks together there. */
static int check_record(struct sst_table *t, const struct value_ref *ref, const uint8_t *record,
                        uint8_t *to) {
    uint64_t offset = ref->offset;
    for (uint64_t left = ref->size; left > 0;) {
        size_t size = left < FORMAT_CHUNK_BYTES ? (size_t)left : FORMAT_CHUNK_BYTES;
        int rc = check_chunk(t, offset, record, size);
        if (rc != FIRN_OK) {
            return rc;
        }
        if (to != NULL) {
            memmove(to, record, size);
            to += size;
        }
        record += size + FORMAT_CHECKSUM_BYTES;
        offset += size + FORMAT_CHECKSUM_BYTES;
        left -= size;
    }
    return FIRN_OK;
}

/* The whole value as one frame; or where it lies, when it is one chunk of a file in memory. */
static int get_value_apart(struct sst_table *t, struct sst_section *section,
                           const struct table_segment *s, firn_slice bytes,
                           struct sst_value *value) {
    struct value_ref ref;
    int rc = value_ref_decode(bytes, &ref);
    rc = rc == FIRN_OK ? table_value_check(s, &ref) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    if (t->memory != NULL && ref.size <= FORMAT_CHUNK_BYTES) {
        value->bytes = firn_slice_make(t->memory + ref.offset, (size_t)ref.size);
        return check_record(t, &ref, t->memory + ref.offset, NULL);
    }
    size_t stored = (size_t)value_record_bytes(ref.size);
    if (t->memory != NULL) {
        rc = page_frame_create(NULL, t->alloc, stored, &value->frame);
    } else {
        struct sst_reads *reads = section == NULL ? NULL : section->reads;
        rc = sst_reads_value(reads, t, ref.offset, stored, &value->frame);
        if (rc == FIRN_NOT_FOUND) {
            rc = table_frame_read(t, NULL, ref.offset, stored, &value->frame);
        }
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    uint8_t *to = page_frame_data(value->frame);
    const uint8_t *record = t->memory != NULL ? t->memory + ref.offset : to;
    value->bytes = firn_slice_make(to, (size_t)ref.size);
    rc = check_record(t, &ref, record, to);
    if (rc != FIRN_OK) {
        page_frame_release(value->frame);
        memset(value, 0, sizeof *value);
    }
    return rc;
}

/* ---- Of an entry ---- */

/* An integer lies nowhere in its page as bytes: it gets a few of its own, in the pin if there is
 * one to have. */
static int get_integer(struct sst_table *t, struct sst_section *section, firn_slice bytes,
                       struct sst_value *value) {
    static const char nothing; /* the pin keeps only itself */
    if (section != NULL) {
        value->pin = epoch_pin(section->epoch, section->token, &nothing);
    }
    void *to = value->pin != NULL ? &value->pin->bytes : NULL;
    static_assert(sizeof value->pin->bytes >= VALUE_INTEGER_BYTES_MAX, "an integer fits");
    if (to == NULL) {
        int rc = page_frame_create(NULL, t->alloc, bytes.size, &value->frame);
        if (rc != FIRN_OK) {
            return rc;
        }
        to = page_frame_data(value->frame);
    }
    memcpy(to, bytes.data, bytes.size);
    value->bytes = firn_slice_make(to, bytes.size);
    return FIRN_OK;
}

/* Keeps the page for the value that lies in it. */
static void hold_page(struct sst_section *section, struct table_page *page,
                      struct sst_value *value) {
    if (page->peeked) { /* which is done in a section */
        assert(section != NULL);
        value->pin = epoch_pin(section->epoch, section->token, page_frame_pin_object(page->frame));
        if (value->pin != NULL) {
            return;
        }
        page_frame_ref(page->frame); /* the cache's own reference outlives the section */
    }
    value->frame = page->frame;
    page->frame = NULL;
}

/* Keeps the table, in whose file the value lies. */
static void hold_table(struct sst_table *t, struct sst_section *section, struct sst_value *value) {
    if (section != NULL) {
        value->pin = epoch_pin(section->epoch, section->token, &t->limbo);
    }
    if (value->pin == NULL) {
        sst_table_ref(t);
        value->table = t;
    }
}

/* Decodes the group of the value into a frame, in which the value stays. */
static int get_grouped(struct sst_table *t, struct sst_section *section, const struct page *p,
                       size_t put, const struct table_segment *s, struct sst_value *value) {
    const struct value_area *values = &p->values;
    struct value_group group;
    struct page_frame *frame;
    int rc = value_area_group(values, put / values->group_puts, &group);
    rc = rc == FIRN_OK ? page_frame_create(NULL, t->alloc, group.size, &frame) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    uint8_t *bytes = page_frame_data(frame);
    size_t offset = value_area_offset(values, put) - group.offset;
    size_t size = value_area_size(values, put);
    rc = table_group_decode(t, s, &group, bytes);
    if (rc == FIRN_OK && (offset > group.size || size > group.size - offset)) {
        rc = value_area_damaged(values, put, offset + group.offset);
    }
    if (rc == FIRN_OK && (values->apart == NULL || !packed_bit(values->apart, put))) {
        value->bytes = firn_slice_make(bytes + offset, size);
        value->frame = frame;
        return FIRN_OK;
    }
    if (rc == FIRN_OK) {
        rc = get_value_apart(t, section, s, firn_slice_make(bytes + offset, size), value);
    }
    page_frame_release(frame);
    if (rc == FIRN_OK && value->frame == NULL) {
        hold_table(t, section, value);
    }
    return rc;
}

int table_value_get(struct sst_table *t, struct sst_section *section, struct page *p, size_t entry,
                    struct table_page *page, struct sst_value *value) {
    size_t put = page_puts_before(p, entry);
    if (put >= p->puts) {
        return FAIL(FIRN_CORRUPT, "put %zu of %zu in a page", put, p->puts);
    }
    if (page_is_grouped(p)) {
        int rc = table_page_settle(t, page, p);
        if (rc != FIRN_OK || page_is_grouped(p)) {
            return rc == FIRN_OK ? get_grouped(t, section, p, put, page->segment, value) : rc;
        }
    }
    firn_slice bytes;
    uint8_t integer[VALUE_INTEGER_BYTES_MAX];
    int rc = value_area_at(&p->values, put, value_area_offset(&p->values, put), integer, &bytes);
    if (rc != FIRN_OK || p->values.is_integers) {
        return rc == FIRN_OK ? get_integer(t, section, bytes, value) : rc;
    }
    bool apart = p->values.apart != NULL && packed_bit(p->values.apart, put);
    if (apart) {
        rc = get_value_apart(t, section, page->segment, bytes, value);
        if (rc != FIRN_OK) {
            return rc;
        }
    } else {
        value->bytes = bytes;
    }
    if (!apart && page->frame != NULL) {
        hold_page(section, page, value);
    } else if (value->frame == NULL) {
        hold_table(t, section, value);
    }
    return FIRN_OK;
}

void sst_value_release(struct sst_value *v) {
    page_frame_release(v->frame);
    sst_table_unref(v->table);
    if (v->pin != NULL) {
        epoch_unpin(v->pin);
    }
    memset(v, 0, sizeof *v);
}
