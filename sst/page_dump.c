/* What is hard here: the bytes were checksummed and parsed, but counts in one area may still
 * contradict those of another; so every step is bounded by both. */
#include "sst/page_dump.h"

void page_dump_parts(struct print *out, const struct page *p, size_t page_bytes) {
    print_number(out, "bytes", page_bytes);
    print_number(out, "keys", p->keys);
    print_number(out, "entries", p->entries);
    print_number(out, "tombstones", p->entries - p->puts);
    print_number(out, "header_bytes", p->header_bytes);
    print_number(out, "key_area_bytes", p->area.bytes.size);
    print_number(out, "entries_bytes", p->entries_bytes);
    print_number(out, "values_bytes", p->values_bytes);
    print_number(out, "padding_bytes", p->padding_bytes);
}

int page_dump_first_key(struct print *out, struct area_cursor *cursor) {
    int rc = area_cursor_first(cursor);
    if (rc == FIRN_OK && cursor->at.valid) {
        print_bytes(out, "first_key", buf_slice(&cursor->at.key));
    }
    return rc;
}

void page_dump_encoding(struct print *out, const struct page *p) {
    const struct value_area *values = &p->values;
    print_text(out, "key_form", "%s, from key to rank", key_form_name(p->area.form));
    print_text(out, "versions", "%s",
               p->versions == NULL ? "one of each key" : "a bit per entry begins a key");
    if (p->seqs == NULL) {
        print_text(out, "sequences", "all 0");
    } else {
        print_text(out, "sequences", "%u bits each above %llu", p->seq_width,
                   (unsigned long long)p->seq_base);
    }
    if (values->encoded.size > 0) {
        print_text(out, "values", "%zu bytes under zstd, in groups of %zu values",
                   values->decoded_bytes, values->group_puts);
    } else if (values->size == 0) {
        print_text(out, "values", "all empty");
    } else if (values->is_integers) {
        print_text(out, "values", "%s-endian integers of %zu bytes: %u bits each above %s",
                   values->integers.big_endian ? "big" : "little", values->size_min,
                   values->integers.width, values->integers.slope > 0 ? "a line" : "a base");
    } else if (values->varied) {
        print_text(out, "values", "lengths of %u bits above %zu, samples of %u bits%s",
                   values->length_width, values->size_min, values->sample_width,
                   values->apart != NULL ? "; some values are apart" : "");
    } else {
        print_text(out, "values", "%zu bytes each%s", values->size_min,
                   values->apart != NULL ? "; some are references to values apart" : "");
    }
}

static int dump_value(struct print *out, const struct page *p, size_t e) {
    const struct value_area *a = &p->values;
    size_t put = page_puts_before(p, e);
    if (a->size == 0) {
        print_number(out, "value_bytes", 0);
        return FIRN_OK;
    }
    if (put >= a->puts) {
        return FAIL(FIRN_CORRUPT, "entry %zu is put number %zu of %zu", e, put, a->puts);
    }
    firn_slice bytes = firn_slice_make(NULL, 0);
    uint8_t integer[VALUE_INTEGER_BYTES_MAX];
    int rc = value_area_at(a, put, value_area_offset(a, put), integer, &bytes);
    if (rc != FIRN_OK || a->apart == NULL || !packed_bit(a->apart, put)) {
        print_number(out, "value_bytes", value_area_size(a, put));
        return rc;
    }
    struct value_ref ref;
    rc = value_ref_decode(bytes, &ref);
    if (rc == FIRN_OK) {
        print_number(out, "value_bytes", ref.size);
        print_number(out, "value_apart_at", ref.offset);
    }
    return rc;
}

static int dump_entry(struct print *out, const struct page *p, size_t e, size_t rank,
                      firn_slice key) {
    bool put = page_entry_is_put(p, e);
    print_row(out, put ? "put" : "delete");
    print_number(out, "rank", rank);
    print_bytes(out, "key", key);
    print_number(out, "sequence", page_entry_seq(p, e));
    int rc = put ? print_damage(out, dump_value(out, p, e)) : FIRN_OK;
    print_end(out);
    return rc;
}

static int dump_key(struct print *out, const struct page *p, size_t rank, firn_slice key) {
    size_t e = page_first_entry(p, rank);
    if (e >= p->entries) {
        return FAIL(FIRN_CORRUPT, "there is no entry of the key with rank %zu", rank);
    }
    int rc = FIRN_OK;
    do {
        rc = dump_entry(out, p, e++, rank, key);
    } while (rc == FIRN_OK && e < p->entries && !page_entry_is_first(p, e));
    return rc;
}

int page_dump_keys(struct print *out, const struct page *p, struct area_cursor *cursor) {
    print_list(out, "contents");
    int rc = area_cursor_first(cursor);
    size_t rank = 0;
    for (; rc == FIRN_OK && cursor->at.valid && rank < p->keys; rank++) {
        rc = dump_key(out, p, rank, buf_slice(&cursor->at.key));
        rc = rc == FIRN_OK ? area_cursor_next(cursor) : rc;
    }
    print_list_end(out);
    if (rc == FIRN_OK && (rank != p->keys || cursor->at.valid)) {
        rc = FAIL(FIRN_CORRUPT, "the page says it has %zu keys, its key area has %s", p->keys,
                  cursor->at.valid ? "more" : "fewer");
    }
    return rc;
}
