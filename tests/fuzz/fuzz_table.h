/* tests/fuzz/fuzz_table.h: gives a fuzzed table file the checksums it ought to have.
 *
 * As with records (fuzz_seal.h), a fuzzer would not get behind the checksums by itself. Everything
 * is done by the format's own functions, in the order in which they depend on each other: footer,
 * section chunks, the index, through it the pages, through those the values apart; then the sum of
 * all that is put into the footer, which is encoded anew. What cannot be decoded stays as it is.
 */
#ifndef FIRN_TESTS_FUZZ_TABLE_H
#define FIRN_TESTS_FUZZ_TABLE_H

#include "sst/page.h"
#include "sst/page_index.h"
#include "tests/fuzz/fuzz_input.h"

#define SEAL_VALUES_MAX 64 /* apart, in a page */

struct fuzz_table {
    uint8_t *bytes;
    struct footer footer;
    const struct section *values; /* of the segment */
};

static inline void fuzz_seal_bytes(struct fuzz_table *t, uint64_t offset, uint64_t size) {
    uint64_t is = format_checksum(t->footer.meta.id, offset, t->bytes + offset, (size_t)size);
    put_u64(t->bytes + offset + size, is);
    t->footer.parts += is;
}

static inline void fuzz_seal_value(struct fuzz_table *t, firn_slice bytes) {
    struct value_ref ref;
    const struct section *s = t->values;
    if (s == NULL || value_ref_decode(bytes, &ref) != FIRN_OK || ref.offset < s->offset ||
        ref.offset > s->offset + s->size || ref.size > s->size ||
        value_record_bytes(ref.size) > s->offset + s->size - ref.offset) {
        return;
    }
    uint64_t offset = ref.offset, left = ref.size;
    while (left > 0) {
        uint64_t piece = left < FORMAT_CHUNK_BYTES ? left : FORMAT_CHUNK_BYTES;
        fuzz_seal_bytes(t, offset, piece);
        offset += piece + FORMAT_CHECKSUM_BYTES;
        left -= piece;
    }
}

static inline void fuzz_seal_page(struct fuzz_table *t, uint64_t offset, size_t size) {
    struct page p;
    firn_slice value;
    uint8_t integer[VALUE_INTEGER_BYTES_MAX];
    fuzz_seal_bytes(t, offset, size - FORMAT_CHECKSUM_BYTES);
    if (page_parse(t->bytes + offset, size, &p) != FIRN_OK || p.values.apart == NULL) {
        return;
    }
    for (size_t put = 0; put < p.puts && put < SEAL_VALUES_MAX; put++) {
        if (packed_bit(p.values.apart, put) &&
            value_area_at(&p.values, put, value_area_offset(&p.values, put), integer, &value) ==
                FIRN_OK) {
            fuzz_seal_value(t, value);
        }
    }
}

/* The pages of a section: those whose units lie in it. */
static inline void fuzz_seal_pages(struct fuzz_table *t, const struct page_index *index,
                                   const struct section *s, uint64_t units_before) {
    for (uint64_t page = s->first_page; page < index->pages; page++) {
        uint64_t from = line_get(&index->units, (size_t)page) - units_before;
        uint64_t to = line_get(&index->units, (size_t)page + 1) - units_before;
        if (from >= to || to > section_units(s)) {
            return;
        }
        fuzz_seal_page(t, s->offset + from * FORMAT_UNIT_BYTES,
                       (size_t)section_page_bytes(s, from, to));
    }
}

/* The nodes of a btree, wherever the index says they are. */
static inline void fuzz_seal_nodes(struct fuzz_table *t, const struct page_index *index,
                                   uint64_t limit) {
    for (size_t node = 0; node < index->nodes; node++) {
        uint64_t begin = line_get(&index->node_begins, node);
        uint64_t end = line_get(&index->node_ends, node);
        if (begin < FORMAT_HEADER_BYTES || end > limit || begin > end ||
            end - begin < FORMAT_CHECKSUM_BYTES) {
            return;
        }
        fuzz_seal_bytes(t, begin, end - begin - FORMAT_CHECKSUM_BYTES);
    }
}

static inline void fuzz_seal_sections(struct fuzz_table *t) {
    const struct footer *f = &t->footer;
    const struct section *index_section = &f->sections[f->section_count - 1];
    t->footer.parts = 0;
    for (size_t i = 0; i < f->section_count; i++) {
        const struct section *s = &f->sections[i];
        uint8_t *checksums = t->bytes + s->offset + s->size;
        for (uint64_t at = 0; section_has_chunks(s->kind) && at < s->size;
             at += FORMAT_CHUNK_BYTES, checksums += FORMAT_CHECKSUM_BYTES) {
            uint64_t left = s->size - at;
            uint64_t is =
                format_checksum(f->meta.id, s->offset + at, t->bytes + s->offset + at,
                                (size_t)(left < FORMAT_CHUNK_BYTES ? left : FORMAT_CHUNK_BYTES));
            put_u64(checksums, is);
            t->footer.parts += is;
        }
    }
    struct page_index index;
    uint64_t units = 0;
    firn_slice body = {t->bytes + index_section->offset, (size_t)index_section->size};
    if (page_index_open(body, &index) != FIRN_OK) {
        return;
    }
    for (size_t i = 0; i < f->section_count; i++) {
        const struct section *s = &f->sections[i];
        if (s->kind == SECTION_PAGES) {
            t->values = i > 0 && s[-1].kind == SECTION_VALUES ? s - 1 : NULL;
            fuzz_seal_pages(t, &index, s, units);
            units += section_units(s);
        }
    }
    fuzz_seal_nodes(t, &index, index_section->offset);
}

/* Seals the footer at `offset` so that it can be decoded. */
static inline void fuzz_seal_footer(uint8_t *footer, size_t size, uint64_t offset) {
    uint8_t *trailer = footer + size - FORMAT_TRAILER_BYTES;
    put_u32(trailer, (uint32_t)size);
    put_u32(trailer + 4, FORMAT_VERSION);
    put_u64(trailer + 8, format_checksum(footer, offset, footer, size - 16));
    put_u64(trailer + 16, FORMAT_END_MAGIC);
}

/* Appends to `out` the file of these bytes, sealed as far as it can be. */
static inline void fuzz_seal_table(firn_slice bytes, struct buf *out) {
    FUZZ_CHECK(buf_append_slice(out, bytes) == FIRN_OK);
    struct fuzz_table t = {.bytes = out->data};
    size_t size = bytes.size < FORMAT_TRAILER_BYTES
                      ? 0
                      : get_u32(t.bytes + bytes.size - FORMAT_TRAILER_BYTES);
    if (size < TABLE_ID_BYTES + FORMAT_TRAILER_BYTES || bytes.size < FORMAT_HEADER_BYTES ||
        size > bytes.size - FORMAT_HEADER_BYTES) {
        return;
    }
    uint64_t offset = bytes.size - size;
    fuzz_seal_footer(t.bytes + offset, size, offset);
    footer_init(&t.footer, out->alloc);
    if (footer_decode(firn_slice_make(t.bytes + offset, size), bytes.size, &t.footer) == FIRN_OK) {
        struct buf footer;
        buf_init(&footer, out->alloc, out->part);
        header_encode(&t.footer, t.bytes);
        fuzz_seal_sections(&t);
        FUZZ_CHECK(footer_encode(&t.footer, offset, &footer) == FIRN_OK);
        out->size = (size_t)offset;
        FUZZ_CHECK(buf_append_slice(out, buf_slice(&footer)) == FIRN_OK);
        buf_deinit(&footer);
    }
    footer_deinit(&t.footer);
}

#endif
