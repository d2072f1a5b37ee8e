/* Parsing is on the path of every lookup: a dozen small reads, no allocation, no loop over entries.
 */
#include "sst/page.h"

int page_check(const uint8_t id[TABLE_ID_BYTES], uint64_t offset, const uint8_t *bytes,
               size_t size) {
    if (size < FORMAT_CHECKSUM_BYTES) { /* the last of a damaged section */
        return FAIL(FIRN_CORRUPT, "page at %llu has %zu bytes", (unsigned long long)offset, size);
    }
    uint64_t expected = get_u64(bytes + size - FORMAT_CHECKSUM_BYTES);
    uint64_t found = format_checksum(id, offset, bytes, size - FORMAT_CHECKSUM_BYTES);
    if (found != expected) {
        return FAIL(FIRN_CORRUPT, "page at %llu has checksum %016llx, expected %016llx",
                    (unsigned long long)offset, (unsigned long long)found,
                    (unsigned long long)expected);
    }
    return FIRN_OK;
}

static int parse_header(struct reader *r, uint8_t form, uint8_t flags, struct page *p) {
    uint64_t keys = reader_varint(r);
    uint64_t area_bytes = reader_varint(r);
    uint64_t entries = flags & PAGE_VERSIONS ? reader_varint(r) : keys;
    uint64_t tombstones = flags & PAGE_TOMBSTONES ? reader_varint(r) : 0;
    p->seq_base = flags & PAGE_SEQUENCES ? reader_varint(r) : 0;
    p->seq_width = flags & PAGE_SEQUENCES ? reader_u8(r) : 0;
    p->area.form = form;
    p->area.bytes = firn_slice_make(r->at, (size_t)area_bytes);
    p->area.keys = (size_t)keys;
    (void)reader_take(r, area_bytes);
    if (r->failed || keys == 0 || keys > entries || tombstones > entries || entries > UINT32_MAX ||
        p->seq_width > PACKED_WIDTH_MAX) {
        return FAIL(FIRN_CORRUPT,
                    "a page with %llu keys, %llu entries, %llu tombstones and a key area of "
                    "%llu bytes",
                    (unsigned long long)keys, (unsigned long long)entries,
                    (unsigned long long)tombstones, (unsigned long long)area_bytes);
    }
    p->keys = (size_t)keys;
    p->entries = (size_t)entries;
    p->puts = (size_t)(entries - tombstones);
    return FIRN_OK;
}

static int parse_ice(struct reader *r, size_t size, struct page *p) {
    memset(p, 0, sizeof *p);
    int rc = value_area_parse_encoded(r, &p->values);
    p->values_bytes = p->values.encoded.size;
    p->padding_bytes = reader_left(r);
    p->header_bytes = size - p->values_bytes - p->padding_bytes;
    return rc;
}

int page_parse(const uint8_t *bytes, size_t size, struct page *p) {
    struct reader r = reader_of(firn_slice_make(bytes, size - FORMAT_CHECKSUM_BYTES));
    uint8_t form = reader_u8(&r);
    if (form == PAGE_ICE) {
        return parse_ice(&r, size, p);
    }
    uint8_t flags = reader_u8(&r);
    if (form == 0 || form > KEY_FORM_MAX || (flags & ~PAGE_FLAGS_KNOWN) != 0) {
        return FAIL(FIRN_UNSUPPORTED, "a page of unknown form %u or flags %#x", form, flags);
    }
    int rc = parse_header(&r, form, flags, p);
    if (rc != FIRN_OK) {
        return rc;
    }
    const uint8_t *entries = r.at;
    p->header_bytes = size - reader_left(&r) - p->area.bytes.size;
    p->versions = flags & PAGE_VERSIONS ? packed_take(&r, p->entries, 1) : NULL;
    p->tombstones = flags & PAGE_TOMBSTONES ? packed_take(&r, p->entries, 1) : NULL;
    p->seqs = flags & PAGE_SEQUENCES ? packed_take(&r, p->entries, p->seq_width) : NULL;
    if (r.failed) {
        return FAIL(FIRN_CORRUPT, "the arrays of %zu entries do not fit in their page", p->entries);
    }
    const uint8_t *values = r.at;
    p->entries_bytes = (size_t)(values - entries);
    p->values_offset = (size_t)(values - bytes);
    if (flags & PAGE_VALUES) {
        rc = value_area_parse(&r, p->puts, &p->values);
    } else {
        memset(&p->values, 0, sizeof p->values);
        p->values.bytes = bytes;
    }
    p->values_bytes = (size_t)(r.at - values);
    p->padding_bytes = reader_left(&r);
    return rc;
}

size_t page_decoded_bytes(const struct page *p) {
    return p->values_offset + p->values.decoded_bytes + FORMAT_CHECKSUM_BYTES;
}

/* Decodes the values of all groups. */
static int decode_groups(const struct value_area *values, struct alloc *alloc,
                         struct value_decoder_slot *slot, const struct value_dictionary *dictionary,
                         uint8_t *to) {
    int rc = FIRN_OK;
    for (size_t i = 0; rc == FIRN_OK && i < values->groups; i++) {
        struct value_group group;
        rc = value_area_group(values, i, &group);
        if (rc == FIRN_OK) {
            rc = value_zstd_decode(alloc, slot, dictionary, group.encoded, to + group.offset,
                                   group.size);
        }
    }
    return rc;
}

int page_decode(const struct page *p, const uint8_t *bytes, struct alloc *alloc,
                struct value_decoder_slot *slot, const struct value_dictionary *dictionary,
                uint8_t *to) {
    struct page decoded;
    const struct value_area *values = &p->values;
    uint8_t *area = to + p->values_offset;
    memcpy(to, bytes, p->values_offset);
    memset(area + values->decoded_bytes, 0, FORMAT_CHECKSUM_BYTES);
    int rc;
    if (page_is_ice(p)) {
        rc = value_zstd_decode(alloc, slot, dictionary, values->encoded, area,
                               values->decoded_bytes);
    } else {
        memcpy(area, bytes + p->values_offset + 1, values->head_bytes); /* but the form */
        rc = decode_groups(values, alloc, slot, dictionary, area + values->head_bytes);
    }
    rc = rc == FIRN_OK ? page_parse(to, page_decoded_bytes(p), &decoded) : rc;
    if (rc == FIRN_OK && (page_is_encoded(&decoded) || decoded.padding_bytes > 0)) {
        rc = FAIL(FIRN_CORRUPT, "what is compressed to %zu bytes does not end where it should",
                  values->encoded.size);
    }
    return rc;
}
