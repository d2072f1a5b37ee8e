/* Verifying reads the file anew, whatever is cached, in file order and part by part, and recomputes
 * from the pages all that other parts claim: ranks, counts, separators, filters, sequences, sums.
 * What only lookups need (index, segments, filters) it uses as they are loaded for lookups.
 *
 * Damage is reported and the walk goes on with the next part that can be judged by itself; once
 * pages are damaged, totals are not compared, since they cannot agree.
 */
#include "base/checksum.h"
#include "sst/table_internal.h"

struct verify {
    struct sst_table *table;
    void (*damage)(void *context, const char *message);
    void *context;
    bool damaged;

    const struct page_index *index;
    struct buf bytes;    /* the page or section being checked */
    struct buf decoded;  /* that page with its values decoded */
    struct buf key_last; /* of the page before */
    struct buf separator;
    struct value_chunk chunk;
    struct area_cursor cursor;
    uint64_t values_end; /* where the last value record of this segment ended */
    struct footer sum;   /* what the footer ought to say; only its numbers are used */
    bool has_zero_seq;
};

/* Reports damage and goes on; other failures end the check. */
static int found(struct verify *v, int rc) {
    if (rc != FIRN_CORRUPT && rc != FIRN_UNSUPPORTED) {
        return rc;
    }
    v->damaged = true;
    (void)table_failed(v->table, rc);
    if (v->damage != NULL) {
        v->damage(v->context, status_message());
    }
    return FIRN_OK;
}

/* Bytes of the file, read anew. */
static int read_bytes(struct verify *v, uint64_t offset, uint64_t size, const uint8_t **bytes) {
    buf_reset(&v->bytes);
    int rc = buf_reserve(&v->bytes, (size_t)size);
    rc = rc == FIRN_OK ? table_read(v->table, offset, v->bytes.data, (size_t)size) : rc;
    *bytes = v->bytes.data;
    return rc;
}

static int check_zeros(uint64_t offset, const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) {
            return FAIL(FIRN_CORRUPT, "padding at %llu is %02x, expected 00",
                        (unsigned long long)(offset + i), bytes[i]);
        }
    }
    return FIRN_OK;
}

/* ---- Header and sections ---- */

static int verify_header(struct verify *v) {
    const uint8_t *bytes;
    int rc = read_bytes(v, 0, FORMAT_HEADER_BYTES, &bytes);
    return rc == FIRN_OK ? header_check(bytes, &v->table->footer) : rc;
}

/* The footer as it is in the file now. */
static int verify_footer(struct verify *v) {
    const struct buf *expected = &v->table->footer_bytes;
    const uint8_t *bytes;
    uint64_t offset = v->table->meta.bytes - expected->size;
    int rc = read_bytes(v, offset, expected->size, &bytes);
    if (rc == FIRN_OK && memcmp(bytes, expected->data, expected->size) != 0) {
        rc = FAIL(FIRN_CORRUPT, "the footer is not what it was when the table was opened");
    }
    return rc;
}

static int verify_section(struct verify *v, const struct section *s) {
    const uint8_t *bytes;
    int rc = read_bytes(v, s->offset, section_stored_bytes(s), &bytes);
    rc = rc == FIRN_OK ? section_check(v->table->meta.id, s, bytes) : rc;
    for (uint64_t at = s->size; rc == FIRN_OK && at < section_stored_bytes(s); at += 8) {
        v->sum.parts += get_u64(bytes + at);
    }
    return rc;
}

static int verify_sections(struct verify *v) {
    const struct footer *f = &v->table->footer;
    uint64_t end = FORMAT_HEADER_BYTES;
    for (size_t i = 0; i < f->section_count; i++) {
        const struct section *s = &f->sections[i];
        const uint8_t *bytes;
        int rc = read_bytes(v, end, s->offset - end, &bytes);
        rc = rc == FIRN_OK ? check_zeros(end, bytes, (size_t)(s->offset - end)) : rc;
        rc = found(v, rc);
        if (rc == FIRN_OK && section_has_chunks(s->kind)) {
            rc = found(v, verify_section(v, s));
        }
        if (rc != FIRN_OK) {
            return rc;
        }
        end = s->offset + section_stored_bytes(s);
    }
    return FIRN_OK;
}

/* ---- Entries ---- */

/* Values apart lie one behind the other, in the order of their entries. */
static int verify_value_apart(struct verify *v, struct table_segment *s, firn_slice bytes,
                              uint64_t *size) {
    struct value_ref ref;
    int rc = value_ref_decode(bytes, &ref);
    rc = rc == FIRN_OK ? table_value_check(s, &ref) : rc;
    if (rc == FIRN_OK && ref.offset != v->values_end) {
        rc = FAIL(FIRN_CORRUPT, "a value lies at %llu, expected %llu",
                  (unsigned long long)ref.offset, (unsigned long long)v->values_end);
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    *size = ref.size;
    v->values_end += value_record_bytes(ref.size);
    v->chunk.offset = 0;
    for (uint64_t at = 0; rc == FIRN_OK && at < ref.size; at += FORMAT_CHUNK_BYTES) {
        uint64_t left = ref.size - at;
        size_t piece = left < FORMAT_CHUNK_BYTES ? (size_t)left : FORMAT_CHUNK_BYTES;
        uint8_t byte;
        rc = table_value_read(v->table, &ref, at, &byte, 1, &v->chunk);
        v->sum.parts += rc == FIRN_OK ? get_u64(v->chunk.data + piece) : 0;
    }
    return rc;
}

static int verify_value(struct verify *v, struct table_segment *s, const struct page *p, size_t put,
                        size_t *offset) {
    firn_slice bytes;
    uint8_t integer[VALUE_INTEGER_BYTES_MAX];
    int rc = value_area_at(&p->values, put, *offset, integer, &bytes);
    if (rc == FIRN_OK && *offset != value_area_offset(&p->values, put)) {
        rc = FAIL(FIRN_CORRUPT, "value %zu of a page begins at %zu and at %zu", put, *offset,
                  value_area_offset(&p->values, put));
    }
    uint64_t size = bytes.size;
    if (rc == FIRN_OK && p->values.apart != NULL && packed_bit(p->values.apart, put)) {
        rc = verify_value_apart(v, s, bytes, &size);
    }
    *offset += bytes.size;
    v->sum.meta.raw_value_bytes += size;
    return rc;
}

static int verify_seqs(struct verify *v, const struct page *p) {
    const struct table_meta *m = &v->table->footer.meta; /* what is stored, not what is given */
    for (size_t e = 0; e < p->entries; e++) {
        uint64_t seq = page_entry_seq(p, e);
        bool first = page_entry_is_first(p, e);
        if (seq > m->seq_max || (seq != 0 && seq < m->seq_min) ||
            (!first && (e == 0 || seq >= page_entry_seq(p, e - 1)))) {
            return FAIL(FIRN_CORRUPT, "entry %zu of a page has sequence %llu", e,
                        (unsigned long long)seq);
        }
        v->has_zero_seq |= seq == 0;
        v->sum.meta.seq_min = seq < v->sum.meta.seq_min ? seq : v->sum.meta.seq_min;
        v->sum.meta.seq_max = seq > v->sum.meta.seq_max ? seq : v->sum.meta.seq_max;
    }
    return FIRN_OK;
}

static int verify_entries(struct verify *v, struct table_segment *s, const struct page *p) {
    size_t put = 0, offset = 0;
    size_t firsts = p->versions == NULL ? p->entries : packed_count(p->versions, p->entries);
    if (firsts != p->keys || !page_entry_is_first(p, 0) ||
        page_puts_before(p, p->entries) != p->puts) {
        return FAIL(FIRN_CORRUPT, "a page of %zu keys has %zu newest versions", p->keys, firsts);
    }
    int rc = verify_seqs(v, p);
    for (size_t e = 0; rc == FIRN_OK && e < p->entries; e++) {
        if (page_entry_is_put(p, e)) {
            rc = verify_value(v, s, p, put++, &offset);
        }
    }
    if (rc == FIRN_OK && offset != p->values.size) {
        rc = FAIL(FIRN_CORRUPT, "the values of a page take %zu of %zu bytes", offset,
                  p->values.size);
    }
    return rc;
}

/* ---- Keys ---- */

static int verify_filter(struct verify *v, size_t page, firn_slice key) {
    if (v->table->filter_count == 0) {
        return FIRN_OK;
    }
    struct table_filter *f = &v->table->filters[table_filter_of(v->table, page)];
    int rc = table_load_filter(v->table, f);
    if (rc == FIRN_OK && !filter_may_contain(&f->filter, key_hash(key))) {
        rc = FAIL(FIRN_CORRUPT, "the filter does not have a key of page %zu", page);
    }
    return rc;
}

/* The key is found in its page. The first and the last of a page stand for all, where each takes a
 * few pages to be found. */
static int verify_way(struct verify *v, const struct page *p, size_t page, size_t rank) {
    size_t is = page;
    int rc = FIRN_OK;
    if (!v->index->bare || rank == 0 || rank + 1 == p->keys) {
        rc = table_find_page(v->table, buf_slice(&v->cursor.at.key), &is);
    }
    if (rc == FIRN_OK && is != page) {
        rc = FAIL(FIRN_CORRUPT, "key %zu of page %zu is in page %zu by the index", rank, page, is);
    }
    return rc;
}

static int verify_key(struct verify *v, struct table_segment *s, const struct page *p, size_t page,
                      size_t rank) {
    firn_slice key = buf_slice(&v->cursor.at.key);
    uint32_t found_rank = 0;
    int rc = key_area_find(&p->area, table_segment_opened(s), key, &found_rank);
    if (rc == FIRN_NOT_FOUND || (rc == FIRN_OK && found_rank != rank) ||
        v->cursor.at.rank != rank) {
        return FAIL(FIRN_CORRUPT, "key %zu of page %zu has ranks %u and %u", rank, page, found_rank,
                    v->cursor.at.rank);
    }
    bool is_first = page == 0 && rank == 0;
    if (rc == FIRN_OK && !is_first && slice_compare(buf_slice(&v->key_last), key) >= 0) {
        rc = FAIL(FIRN_CORRUPT, "key %zu of page %zu is not above the one before", rank, page);
    }
    rc = rc == FIRN_OK ? verify_way(v, p, page, rank) : rc;
    if (rc == FIRN_OK && is_first && !slice_equal(key, v->table->meta.smallest)) {
        rc = FAIL(FIRN_CORRUPT, "the smallest key is not the footer's");
    }
    rc = rc == FIRN_OK ? verify_filter(v, page, key) : rc;
    v->sum.meta.raw_key_bytes += key.size;
    return rc == FIRN_OK ? buf_assign(&v->key_last, key) : rc;
}

/* The separator lies above the last key of the page before and not above this page's first. */
static int verify_separator(struct verify *v, size_t page) {
    int rc = FIRN_OK;
    firn_slice separator = buf_slice(&v->cursor.at.key); /* where the index has none */
    if (!v->index->bare) {
        rc = page_index_separator(v->index, page, &v->separator);
        separator = buf_slice(&v->separator);
    }
    bool above = page == 0 || slice_compare(buf_slice(&v->key_last), separator) < 0;
    if (rc == FIRN_OK && (!above || slice_compare(separator, buf_slice(&v->cursor.at.key)) > 0 ||
                          line_get(&v->index->keys, page) != v->sum.meta.keys ||
                          line_get(&v->index->entries, page) != v->sum.meta.entries)) {
        rc = FAIL(FIRN_CORRUPT, "the index is wrong about page %zu", page);
    }
    return rc;
}

static int verify_keys(struct verify *v, struct table_segment *s, const struct page *p,
                       size_t page) {
    area_cursor_open(&v->cursor, table_segment_opened(s), &p->area);
    int rc = area_cursor_first(&v->cursor);
    rc = rc == FIRN_OK && v->cursor.at.valid ? verify_separator(v, page) : rc;
    size_t rank = 0;
    for (; rc == FIRN_OK && v->cursor.at.valid && rank < p->keys; rank++) {
        rc = verify_key(v, s, p, page, rank);
        rc = rc == FIRN_OK ? area_cursor_next(&v->cursor) : rc;
    }
    if (rc == FIRN_OK && (rank != p->keys || v->cursor.at.valid)) {
        rc = FAIL(FIRN_CORRUPT, "page %zu says it has %zu keys, its key area has %s", page, p->keys,
                  v->cursor.at.valid ? "more" : "fewer");
    }
    return rc;
}

/* ---- Pages ---- */

/* The page decoded; p itself when nothing of it is under zstd. */
static int decode_page(struct verify *v, const struct table_segment *s, const uint8_t *bytes,
                       const struct page *p, struct page *decoded) {
    *decoded = *p;
    if (!page_is_encoded(p)) {
        return FIRN_OK;
    }
    uint64_t needed = FORMAT_FEATURE_ZSTD | (page_is_ice(p) ? FORMAT_FEATURE_ICE : 0);
    if ((v->table->footer.incompatible & needed) != needed) {
        return FAIL(FIRN_CORRUPT, "a page has compressed %s, its table none by the footer",
                    page_is_ice(p) ? "keys" : "values");
    }
    size_t size = page_decoded_bytes(p);
    buf_reset(&v->decoded);
    int rc = buf_reserve(&v->decoded, size);
    rc = rc == FIRN_OK
             ? page_decode(p, bytes, v->table->alloc, NULL, s->value_dictionary, v->decoded.data)
             : rc;
    return rc == FIRN_OK ? page_parse(v->decoded.data, size, decoded) : rc;
}

/* The footer names what its pages need. */
static int verify_form(const struct verify *v, const struct page *p) {
    const struct footer *f = &v->table->footer;
    bool shares = footer_form(f) == FIRN_TABLE_FST;
    bool ok = p->area.form == KEY_AREA_AUTOMATON || (f->incompatible & FORMAT_FEATURE_KEY_FORMS);
    if (!ok || shares != (p->area.form != KEY_AREA_ARRAY)) {
        return FAIL(FIRN_CORRUPT, "keys of a page are in the form %s, which the footer excludes",
                    key_form_name(p->area.form));
    }
    return FIRN_OK;
}

/* Adds up what the parts of a page take. */
static void sum_parts(struct footer *sum, const struct page *p, const struct page *decoded) {
    size_t keys = decoded->area.bytes.size, entries = decoded->entries_bytes;
    size_t values = page_is_ice(p) ? decoded->values_bytes : p->values_bytes;
    if (page_is_ice(p)) {
        size_t encoded = p->values.encoded.size, all = p->values.decoded_bytes;
        keys = page_ice_share(encoded, keys, all);
        entries = page_ice_share(encoded, entries, all);
        values = page_ice_share(encoded, values, all);
    }
    sum->key_area_bytes += keys;
    sum->entries_bytes += entries;
    sum->values_bytes += values;
    sum->padding_bytes += p->padding_bytes;
}

/* Keys before entries: without versions nothing else bounds how many entries a page may claim to
 * have. */
static int verify_page(struct verify *v, struct table_segment *s, size_t page) {
    uint64_t offset;
    size_t size;
    const uint8_t *bytes;
    struct page p, decoded;
    int rc;
    if ((rc = table_page_place(v->table, s, page, &offset, &size)) != FIRN_OK ||
        (rc = read_bytes(v, offset, size, &bytes)) != FIRN_OK ||
        (rc = page_check(v->table->meta.id, offset, bytes, size)) != FIRN_OK ||
        (rc = page_parse(bytes, size, &p)) != FIRN_OK ||
        (rc = check_zeros(offset + size - FORMAT_CHECKSUM_BYTES - p.padding_bytes,
                          bytes + size - FORMAT_CHECKSUM_BYTES - p.padding_bytes,
                          p.padding_bytes)) != FIRN_OK ||
        (rc = decode_page(v, s, bytes, &p, &decoded)) != FIRN_OK ||
        (rc = verify_form(v, &decoded)) != FIRN_OK ||
        (rc = verify_keys(v, s, &decoded, page)) != FIRN_OK ||
        (rc = verify_entries(v, s, &decoded)) != FIRN_OK) {
        return rc;
    }
    v->sum.parts += get_u64(bytes + size - FORMAT_CHECKSUM_BYTES);
    v->sum.pages++;
    v->sum.number_pages += decoded.area.form == KEY_AREA_NUMBERS;
    v->sum.meta.keys += decoded.keys;
    v->sum.meta.entries += decoded.entries;
    v->sum.meta.tombstones += decoded.entries - decoded.puts;
    sum_parts(&v->sum, &p, &decoded);
    return FIRN_OK;
}

static int verify_segment(struct verify *v, struct table_segment *s) {
    v->values_end = s->values == NULL ? 0 : s->values->offset;
    int rc = table_segment_opened(s) == NULL ? table_load_segment(v->table, s) : FIRN_OK;
    if (rc != FIRN_OK) {
        return found(v, rc); /* its pages cannot be read */
    }
    bool intact = true;
    for (uint64_t page = s->first_page; rc == FIRN_OK && page < s->page_end; page++) {
        bool damaged = v->damaged;
        v->damaged = false;
        rc = found(v, verify_page(v, s, (size_t)page));
        intact &= !v->damaged;
        v->damaged |= damaged;
    }
    if (rc == FIRN_OK && intact && s->values != NULL &&
        v->values_end != s->values->offset + s->values->size) {
        rc = found(v, FAIL(FIRN_CORRUPT, "values end at %llu, their section at %llu",
                           (unsigned long long)v->values_end,
                           (unsigned long long)(s->values->offset + s->values->size)));
    }
    return rc;
}

/* Its checksum and the order of its delimiters; that keys are found by it was seen page by page. */
static int verify_node(struct verify *v, size_t node) {
    const struct page_index *index = v->index;
    uint64_t begin = line_get(&index->node_begins, node), end = line_get(&index->node_ends, node);
    struct table_page bytes;
    struct page p;
    const uint8_t *read;
    int rc = table_node_get(v->table, node, &bytes); /* for the bounds, too */
    if (rc != FIRN_OK) {
        return rc;
    }
    table_page_release(&bytes);
    size_t size = (size_t)(end - begin), rank = 0;
    rc = read_bytes(v, begin, size, &read);
    rc = rc == FIRN_OK ? page_check(v->table->meta.id, begin, read, size) : rc;
    rc = rc == FIRN_OK ? page_parse(read, size, &p) : rc;
    if (rc == FIRN_OK && p.padding_bytes > 0) {
        rc = FAIL(FIRN_CORRUPT, "node %zu has %zu bytes too many", node, p.padding_bytes);
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    v->sum.parts += get_u64(read + size - FORMAT_CHECKSUM_BYTES);
    area_cursor_open(&v->cursor, table_segment_opened(v->table->segments), &p.area);
    rc = p.area.form == KEY_AREA_ARRAY ? area_cursor_first(&v->cursor)
                                       : FAIL(FIRN_CORRUPT, "node %zu is none", node);
    for (; rc == FIRN_OK && v->cursor.at.valid; rank++) {
        firn_slice here = buf_slice(&v->cursor.at.key);
        if (rank > 0 && slice_compare(buf_slice(&v->separator), here) >= 0) {
            return FAIL(FIRN_CORRUPT, "delimiter %zu of node %zu is not above the one before", rank,
                        node);
        }
        rc = buf_assign(&v->separator, here);
        rc = rc == FIRN_OK ? area_cursor_next(&v->cursor) : rc;
    }
    return rc;
}

static int verify_totals(struct verify *v) {
    const struct footer *is = &v->table->footer, *sum = &v->sum;
    const struct table_meta *m = &is->meta, *n = &sum->meta;
    struct {
        const char *what;
        uint64_t says, is;
    } totals[] = {{"pages", is->pages, sum->pages},
                  {"keys", m->keys, n->keys},
                  {"entries", m->entries, n->entries},
                  {"tombstones", m->tombstones, n->tombstones},
                  {"bytes of keys", m->raw_key_bytes, n->raw_key_bytes},
                  {"bytes of values", m->raw_value_bytes, n->raw_value_bytes},
                  {"pages of numbers", is->number_pages, sum->number_pages},
                  {"bytes of key areas", is->key_area_bytes, sum->key_area_bytes},
                  {"bytes of entries", is->entries_bytes, sum->entries_bytes},
                  {"bytes of value areas", is->values_bytes, sum->values_bytes},
                  {"bytes of padding", is->padding_bytes, sum->padding_bytes},
                  {"as sum of checksums", is->parts, sum->parts},
                  {"as lowest sequence", v->has_zero_seq ? 0 : m->seq_min, n->seq_min},
                  {"as highest sequence", v->has_zero_seq ? 0 : m->seq_max,
                   v->has_zero_seq ? 0 : n->seq_max}};
    int rc = FIRN_OK;
    for (size_t i = 0; rc == FIRN_OK && i < sizeof totals / sizeof *totals; i++) {
        if (totals[i].says != totals[i].is) {
            rc = found(v, FAIL(FIRN_CORRUPT, "the footer says %llu %s, there are %llu",
                               (unsigned long long)totals[i].says, totals[i].what,
                               (unsigned long long)totals[i].is));
        }
    }
    if (rc == FIRN_OK && !slice_equal(buf_slice(&v->key_last), m->largest)) {
        rc = found(v, FAIL(FIRN_CORRUPT, "the largest key is not the footer's"));
    }
    return rc;
}

/* The rate is computed anew with this machine's mathematics: nearly the same is the same. */
static int verify_filter_rate(struct verify *v) {
    const struct sst_table *t = v->table;
    double false_positives = t->filter_count == 0 ? (double)t->meta.keys : 0;
    for (size_t i = 0; i < t->filter_count; i++) {
        size_t end = i + 1 < t->filter_count ? t->filter_starts[i + 1] : (size_t)t->footer.pages;
        uint64_t keys =
            line_get(&v->index->keys, end) - line_get(&v->index->keys, t->filter_starts[i]);
        false_positives += filter_rate(&t->filters[i].filter, keys) * (double)keys;
    }
    double rate = false_positives / (double)t->meta.keys, says = filter_rate_of(&t->meta);
    if (says > rate + rate / 1000 + 1e-9 || says < rate - rate / 1000 - 1e-9) {
        return FAIL(FIRN_CORRUPT, "the footer says %.9f of absent keys pass the filters, not %.9f",
                    says, rate);
    }
    return FIRN_OK;
}

static int verify(struct verify *v) {
    struct sst_table *t = v->table;
    int rc = found(v, verify_header(v));
    rc = rc == FIRN_OK ? found(v, verify_footer(v)) : rc;
    rc = rc == FIRN_OK ? verify_sections(v) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = table_index(t, &v->index);
    if (rc != FIRN_OK) {
        return found(v, rc); /* no page can be found */
    }
    for (size_t i = 0; rc == FIRN_OK && i < t->segment_count; i++) {
        rc = verify_segment(v, &t->segments[i]);
    }
    for (size_t i = 0; rc == FIRN_OK && i < v->index->nodes; i++) {
        rc = found(v, verify_node(v, i));
    }
    rc = rc == FIRN_OK && !v->damaged ? verify_totals(v) : rc;
    return rc == FIRN_OK && !v->damaged ? found(v, verify_filter_rate(v)) : rc;
}

int sst_table_verify(struct sst_table *t, void (*damage)(void *context, const char *message),
                     void *context) {
    struct verify v = {.table = t, .damage = damage, .context = context};
    struct buf *bufs[] = {&v.bytes, &v.decoded, &v.key_last, &v.separator, &v.chunk.bytes};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++) {
        buf_init(bufs[i], t->alloc, MEM_OTHER);
    }
    area_cursor_init(&v.cursor, t->alloc);
    v.sum.meta.seq_min = UINT64_MAX;
    int rc = verify(&v);
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++) {
        buf_deinit(bufs[i]);
    }
    area_cursor_deinit(&v.cursor);
    if (rc == FIRN_OK && v.damaged) {
        rc = FAIL(FIRN_CORRUPT, "%06llu.sst is damaged", (unsigned long long)t->meta.number);
    }
    return rc;
}
