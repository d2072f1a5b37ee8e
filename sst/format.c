/* What is hard here: nothing read may be believed before the checksum was compared, and even then
 * every count and offset is bounded by the bytes that are there. Encoders stand beside their
 * decoders.
 */
#include "sst/format.h"

#include "base/checksum.h"

uint64_t format_checksum(const uint8_t id[TABLE_ID_BYTES], uint64_t offset, const void *data,
                         size_t size) {
    uint64_t seed = get_u64(id) ^ offset * UINT64_C(0x9e3779b97f4a7c15);
    return checksum(data, size, seed + get_u64(id + 8) * UINT64_C(0xc2b2ae3d27d4eb4f));
}

const char *section_name(uint64_t kind) {
    static const char *const names[] = {"unknown", "values", "pages",      "phrases", "shared",
                                        "filter",  "index",  "dictionary", "nodes"};
    return names[kind <= SECTION_KIND_MAX ? kind : 0];
}

bool section_has_chunks(uint64_t kind) {
    return kind != SECTION_VALUES && kind != SECTION_PAGES && kind != SECTION_NODES;
}

uint64_t section_stored_bytes(const struct section *s) {
    if (!section_has_chunks(s->kind)) {
        return s->size;
    }
    uint64_t chunks = s->size / FORMAT_CHUNK_BYTES + (s->size % FORMAT_CHUNK_BYTES != 0);
    return s->size + chunks * FORMAT_CHECKSUM_BYTES;
}

int section_check(const uint8_t id[TABLE_ID_BYTES], const struct section *s,
                  const uint8_t *stored) {
    const uint8_t *expected = stored + s->size;
    for (uint64_t at = 0; at < s->size; at += FORMAT_CHUNK_BYTES, expected += 8) {
        uint64_t left = s->size - at;
        size_t size = left < FORMAT_CHUNK_BYTES ? (size_t)left : FORMAT_CHUNK_BYTES;
        uint64_t found = format_checksum(id, s->offset + at, stored + at, size);
        if (found != get_u64(expected)) {
            return FAIL(FIRN_CORRUPT,
                        "%s section at %llu: chunk at %llu has checksum %016llx, "
                        "expected %016llx",
                        section_name(s->kind), (unsigned long long)s->offset,
                        (unsigned long long)(s->offset + at), (unsigned long long)found,
                        (unsigned long long)get_u64(expected));
        }
    }
    return FIRN_OK;
}

/* ---- Header ---- */

void header_encode(const struct footer *f, uint8_t to[FORMAT_HEADER_BYTES]) {
    put_u64(to, FORMAT_MAGIC);
    put_u32(to + 8, FORMAT_VERSION);
    put_u32(to + 12, f->meta.keyspace);
    memcpy(to + 16, f->meta.id, TABLE_ID_BYTES);
    put_u64(to + 32, f->compatible);
    put_u64(to + 40, f->read_compatible);
    put_u64(to + 48, f->incompatible);
    put_u64(to + 56, format_checksum(f->meta.id, 0, to, 56));
}

int header_check(const uint8_t from[FORMAT_HEADER_BYTES], const struct footer *f) {
    uint8_t expected[FORMAT_HEADER_BYTES];
    struct footer begun = *f;
    begun.incompatible &= get_u64(from + 48); /* the builder may have learnt of others later */
    header_encode(&begun, expected);
    for (size_t i = 0; i < sizeof expected; i++) {
        if (from[i] != expected[i]) {
            return FAIL(FIRN_CORRUPT, "the header's byte %zu is %02x, but %02x by the footer", i,
                        from[i], expected[i]);
        }
    }
    return FIRN_OK;
}

/* ---- Footer ---- */

const char *table_form_name(firn_table_form form) {
    static const char *const names[] = {"fst", "array", "btree"};
    return names[form];
}

void footer_init(struct footer *f, struct alloc *alloc) {
    memset(f, 0, sizeof *f);
    f->alloc = alloc;
}

void footer_deinit(struct footer *f) {
    alloc_release(f->alloc, MEM_INDEX, f->sections, f->section_capacity * sizeof *f->sections);
    f->sections = NULL;
    f->section_count = f->section_capacity = 0;
}

static int reserve_sections(struct footer *f, size_t capacity) {
    struct section *sections =
        alloc_resize(f->alloc, MEM_INDEX, f->sections, f->section_capacity * sizeof *sections,
                     capacity * sizeof *sections);
    if (sections == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for %zu sections of a table", capacity);
    }
    f->sections = sections;
    f->section_capacity = capacity;
    return FIRN_OK;
}

int footer_add_section(struct footer *f, enum section_kind kind, uint64_t first_page,
                       uint64_t offset, uint64_t size) {
    if (f->section_count == f->section_capacity) {
        int rc = reserve_sections(f, 8 + f->section_capacity * 2);
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    struct section s = {kind, first_page, offset, size};
    f->sections[f->section_count++] = s;
    return FIRN_OK;
}

/* The varints between the id and the keys, in file order: one list for writer and reader. */
#define FOOTER_NUMBERS 19
static void footer_numbers(struct footer *f, uint64_t *to[FOOTER_NUMBERS], uint64_t narrow[2]) {
    struct table_meta *m = &f->meta;
    uint64_t *list[FOOTER_NUMBERS] = {
        &f->compatible,    &f->read_compatible, &f->incompatible,  &narrow[0],      &narrow[1],
        &f->page_bytes,    &f->pages,           &m->keys,          &m->entries,     &m->tombstones,
        &m->raw_key_bytes, &m->raw_value_bytes, &m->seq_min,       &m->seq_max,     &m->created_ns,
        &m->filter_rate,   &f->key_area_bytes,  &f->entries_bytes, &f->values_bytes};
    memcpy(to, list, sizeof list);
}

int footer_encode(struct footer *f, uint64_t offset, struct buf *out) {
    uint64_t *numbers[FOOTER_NUMBERS], narrow[2] = {f->meta.keyspace, f->meta.effort};
    footer_numbers(f, numbers, narrow);
    size_t start = out->size;
    int rc = buf_append(out, f->meta.id, TABLE_ID_BYTES);
    for (size_t i = 0; rc == FIRN_OK && i < FOOTER_NUMBERS; i++) {
        rc = buf_append_varint(out, *numbers[i]);
    }
    bool forms = (f->incompatible & FORMAT_FEATURE_KEY_FORMS) != 0;
    if (rc != FIRN_OK || (rc = buf_append_varint(out, f->padding_bytes)) != FIRN_OK ||
        (forms && (rc = buf_append_varint(out, f->number_pages)) != FIRN_OK) ||
        (rc = buf_append_prefixed(out, f->meta.smallest)) != FIRN_OK ||
        (rc = buf_append_prefixed(out, f->meta.largest)) != FIRN_OK ||
        (rc = buf_append_u64(out, f->parts)) != FIRN_OK ||
        (rc = buf_append_varint(out, f->section_count)) != FIRN_OK) {
        return rc;
    }
    for (size_t i = 0; rc == FIRN_OK && i < f->section_count; i++) {
        const struct section *s = &f->sections[i];
        uint64_t fields[] = {s->kind, s->first_page, s->offset, s->size};
        for (size_t k = 0; rc == FIRN_OK && k < 4; k++) {
            rc = buf_append_varint(out, fields[k]);
        }
    }
    if (rc != FIRN_OK || (rc = buf_reserve(out, FORMAT_TRAILER_BYTES)) != FIRN_OK) {
        return rc;
    }
    uint8_t *trailer = out->data + out->size;
    size_t size = out->size - start + FORMAT_TRAILER_BYTES;
    put_u32(trailer, (uint32_t)size);
    put_u32(trailer + 4, FORMAT_VERSION);
    f->meta.digest = format_checksum(f->meta.id, offset, out->data + start, size - 16);
    put_u64(trailer + 8, f->meta.digest);
    put_u64(trailer + 16, FORMAT_END_MAGIC);
    out->size += FORMAT_TRAILER_BYTES;
    f->meta.bytes = offset + size;
    return FIRN_OK;
}

int footer_size(const uint8_t *trailer, uint64_t file_bytes, size_t *size) {
    *size = get_u32(trailer);
    if (get_u64(trailer + 16) != FORMAT_END_MAGIC) {
        return FAIL(FIRN_CORRUPT, "footer magic %016llx, expected %016llx",
                    (unsigned long long)get_u64(trailer + 16),
                    (unsigned long long)FORMAT_END_MAGIC);
    }
    if (get_u32(trailer + 4) != FORMAT_VERSION) {
        return FAIL(FIRN_UNSUPPORTED, "table format version %u; this library reads %u",
                    get_u32(trailer + 4), FORMAT_VERSION);
    }
    if (*size < TABLE_ID_BYTES + FORMAT_TRAILER_BYTES || *size > file_bytes - FORMAT_HEADER_BYTES) {
        return FAIL(FIRN_CORRUPT, "a footer of %zu bytes in a file of %llu", *size,
                    (unsigned long long)file_bytes);
    }
    return FIRN_OK;
}

/* Sections come in the order of the drawing: `before` is the one before, NULL at the start. */
static bool kind_may_follow(firn_table_form form, uint64_t kind, const struct section *before) {
    uint64_t last = before == NULL ? 0 : before->kind;
    bool shares = form == FIRN_TABLE_FST;
    uint64_t pages_end = shares ? SECTION_SHARED : SECTION_PAGES;
    bool segment_ended = last == pages_end || last == SECTION_DICTIONARY ||
                         last == SECTION_FILTER || last == SECTION_NODES;
    switch (kind) {
    case SECTION_VALUES:
        return before == NULL || segment_ended;
    case SECTION_PAGES:
        return before == NULL || segment_ended || last == SECTION_VALUES;
    case SECTION_PHRASES:
        return shares && last == SECTION_PAGES;
    case SECTION_SHARED:
        return last == SECTION_PHRASES;
    case SECTION_DICTIONARY:
        return last == pages_end;
    case SECTION_NODES:
        return form == FIRN_TABLE_BTREE && segment_ended;
    case SECTION_FILTER:
        return segment_ended && last != SECTION_NODES;
    default:
        return segment_ended; /* index */
    }
}

/* A segment begins with a page behind those before; its other sections name that page, but for its
 * second filter and later ones, which rise from there. The index names none. */
static bool page_may_follow(const struct footer *f, const struct section *s,
                            const struct section *before) {
    if (s->kind == SECTION_INDEX || before == NULL) {
        return s->first_page == 0;
    }
    bool begins =
        s->kind == SECTION_VALUES || (s->kind == SECTION_PAGES && before->kind != SECTION_VALUES);
    bool rises = begins || (s->kind == SECTION_FILTER && before->kind == SECTION_FILTER);
    return s->first_page < f->pages &&
           (rises ? s->first_page > before->first_page : s->first_page == before->first_page);
}

/* Sections lie one behind the other; only pages may be aligned. */
static bool place_may_follow(const struct section *s, uint64_t end, uint64_t footer_offset) {
    bool pages = s->kind == SECTION_PAGES;
    uint64_t gap = pages ? (0 - end) % FORMAT_UNIT_BYTES : 0;
    if ((s->offset != end && s->offset != end + gap) || s->offset > footer_offset ||
        s->size > footer_offset || section_stored_bytes(s) > footer_offset - s->offset) {
        return false;
    }
    return s->size > 0 || section_has_chunks(s->kind);
}

static int check_tiling(const struct footer *f, uint64_t footer_offset) {
    uint64_t end = FORMAT_HEADER_BYTES;
    const struct section *before = NULL;
    for (size_t i = 0; i < f->section_count; i++) {
        const struct section *s = &f->sections[i];
        if (!kind_may_follow(footer_form(f), s->kind, before) || !page_may_follow(f, s, before) ||
            !place_may_follow(s, end, footer_offset)) {
            return FAIL(FIRN_CORRUPT, "section %zu: %s of page %llu at %llu with %llu bytes", i,
                        section_name(s->kind), (unsigned long long)s->first_page,
                        (unsigned long long)s->offset, (unsigned long long)s->size);
        }
        end = s->offset + section_stored_bytes(s);
        before = s;
    }
    if (before == NULL || before->kind != SECTION_INDEX || end != footer_offset) {
        return FAIL(FIRN_CORRUPT, "sections end at %llu, the footer begins at %llu",
                    (unsigned long long)end, (unsigned long long)footer_offset);
    }
    return FIRN_OK;
}

static int read_sections(struct reader *r, struct footer *f) {
    uint64_t count = reader_varint(r);
    if (r->failed || count > reader_left(r) / 4) {
        return FAIL(FIRN_CORRUPT, "a footer with %llu sections in %zu bytes",
                    (unsigned long long)count, reader_left(r));
    }
    int rc = reserve_sections(f, (size_t)count);
    for (uint64_t i = 0; rc == FIRN_OK && i < count; i++) {
        struct section *s = &f->sections[f->section_count++];
        s->kind = reader_varint(r);
        s->first_page = reader_varint(r);
        s->offset = reader_varint(r);
        s->size = reader_varint(r);
        if (s->kind == 0 || s->kind > SECTION_KIND_MAX) {
            rc = FAIL(FIRN_UNSUPPORTED, "a section of unknown kind %llu",
                      (unsigned long long)s->kind);
        }
    }
    return rc;
}

static int check_features(const struct footer *f) {
    uint64_t unknown = f->incompatible & ~FORMAT_FEATURES_INCOMPATIBLE;
    if (unknown != 0) {
        return FAIL(FIRN_UNSUPPORTED, "the table needs unknown features %#llx",
                    (unsigned long long)unknown);
    }
    uint64_t forms = FORMAT_FEATURE_ARRAY | FORMAT_FEATURE_BTREE;
    if ((f->incompatible & forms) == forms) {
        return FAIL(FIRN_CORRUPT, "the table is an array and a btree by its features");
    }
    return FIRN_OK;
}

static int check_counts(const struct footer *f) {
    const struct table_meta *m = &f->meta;
    if (m->keys == 0 || m->keys > m->entries || m->tombstones > m->entries || f->pages == 0 ||
        f->pages > m->keys || f->number_pages > f->pages || m->seq_min > m->seq_max ||
        m->filter_rate > FILTER_RATE_ALL || slice_compare(m->smallest, m->largest) > 0) {
        return FAIL(FIRN_CORRUPT,
                    "counts contradict each other: %llu keys, %llu entries, %llu tombstones, "
                    "%llu pages, sequences %llu to %llu, filter rate %llu",
                    (unsigned long long)m->keys, (unsigned long long)m->entries,
                    (unsigned long long)m->tombstones, (unsigned long long)f->pages,
                    (unsigned long long)m->seq_min, (unsigned long long)m->seq_max,
                    (unsigned long long)m->filter_rate);
    }
    return FIRN_OK;
}

static int check_footer_checksum(firn_slice bytes, uint64_t offset, uint64_t *digest) {
    const uint8_t *trailer = slice_bytes(bytes) + bytes.size - FORMAT_TRAILER_BYTES;
    *digest = get_u64(trailer + 8);
    uint64_t found = format_checksum(bytes.data, offset, bytes.data, bytes.size - 16);
    if (found != *digest) {
        return FAIL(FIRN_CORRUPT, "the footer at %llu has checksum %016llx, expected %016llx",
                    (unsigned long long)offset, (unsigned long long)found,
                    (unsigned long long)*digest);
    }
    return FIRN_OK;
}

int footer_decode(firn_slice bytes, uint64_t file_bytes, struct footer *f) {
    uint64_t offset = file_bytes - bytes.size;
    int rc = check_footer_checksum(bytes, offset, &f->meta.digest);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct reader r = reader_of(firn_slice_make(bytes.data, bytes.size - FORMAT_TRAILER_BYTES));
    uint64_t *numbers[FOOTER_NUMBERS], narrow[2] = {0};
    footer_numbers(f, numbers, narrow);
    memcpy(f->meta.id, slice_bytes(reader_take(&r, TABLE_ID_BYTES)), TABLE_ID_BYTES);
    for (size_t i = 0; i < FOOTER_NUMBERS; i++) {
        *numbers[i] = reader_varint(&r);
    }
    if ((rc = check_features(f)) != FIRN_OK) {
        return rc;
    }
    f->padding_bytes = reader_varint(&r);
    f->number_pages = (f->incompatible & FORMAT_FEATURE_KEY_FORMS) != 0 ? reader_varint(&r) : 0;
    f->meta.keyspace = (uint32_t)narrow[0];
    f->meta.effort = (uint32_t)narrow[1];
    f->meta.smallest = reader_slice(&r);
    f->meta.largest = reader_slice(&r);
    f->parts = reader_u64(&r);
    f->meta.bytes = file_bytes;
    if ((rc = read_sections(&r, f)) != FIRN_OK) {
        return rc;
    }
    if (r.failed || reader_left(&r) != 0 || narrow[0] > UINT32_MAX || narrow[1] > UINT32_MAX) {
        return FAIL(FIRN_CORRUPT, "the footer does not end where its fields end");
    }
    rc = check_counts(f);
    return rc == FIRN_OK ? check_tiling(f, offset) : rc;
}
