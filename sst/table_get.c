/* A lookup: index -> filter -> page -> rank -> entry -> value. Each step is one search in memory
 * but the page, which is one read of the file when the cache does not have it. The index is asked
 * before the filter, because filters cover runs of pages, but only as far as it takes to know which
 * filter: nearly always the block of the page, not the page.
 */
#include <assert.h>

#include "sst/table_internal.h"

static void count(struct sst_table *t, size_t field_offset) {
    if (t->counters != NULL) {
        void *field = (uint8_t *)t->counters + field_offset;
        atomic_fetch_add_explicit((_Atomic uint64_t *)field, 1, memory_order_relaxed);
    }
}
#define COUNT(t, field) count((t), offsetof(struct sst_counters, field))

void table_count_page_read(struct sst_table *t) {
    COUNT(t, page_reads);
}

/* ---- Pages ---- */

int table_page_place(struct sst_table *t, const struct table_segment *s, size_t page,
                     uint64_t *offset, size_t *size) {
    uint64_t first = line_get(&t->index.units, page) - s->first_unit;
    uint64_t end = line_get(&t->index.units, page + 1) - s->first_unit;
    if (first >= end || end > section_units(s->pages)) {
        return FAIL(FIRN_CORRUPT, "page %zu has units %llu to %llu of %llu", page,
                    (unsigned long long)first, (unsigned long long)end,
                    (unsigned long long)section_units(s->pages));
    }
    *offset = s->pages->offset + first * FORMAT_UNIT_BYTES;
    *size = (size_t)section_page_bytes(s->pages, first, end);
    return FIRN_OK;
}

/* A page of a file in memory is compared with its checksum once. */
static int page_in_memory(struct sst_table *t, size_t page, uint64_t offset, size_t size) {
    _Atomic uint8_t *byte = &t->checked[page / 8];
    uint8_t bit = (uint8_t)(1u << page % 8);
    if (atomic_load_explicit(byte, memory_order_relaxed) & bit) {
        return FIRN_OK;
    }
    int rc = page_check(t->meta.id, offset, t->memory + offset, size);
    if (rc == FIRN_OK) {
        atomic_fetch_or_explicit(byte, bit, memory_order_relaxed);
    }
    return rc;
}

/* Whether the frame can be that of a page of this size in the file; if not, it is another table's,
 * of the same number by chance. */
static bool is_of_size(const struct sst_table *t, const struct page_frame *frame, size_t size) {
    bool decoded = (t->footer.incompatible & FORMAT_FEATURE_ZSTD) != 0;
    return decoded || page_frame_size(frame) == size;
}

/* The page's frame in the cache, pinned, or NULL. size: of the page in the file. */
static struct page_frame *find_frame(struct sst_table *t, size_t page, size_t size) {
    if (t->cache == NULL) {
        return NULL;
    }
    struct page_frame *frame = page_cache_find(t->cache, t->cache_number, page);
    if (frame != NULL && !is_of_size(t, frame, size)) {
        page_frame_release(frame);
        frame = NULL;
    }
    if (frame != NULL) {
        COUNT(t, page_cache_hits);
    }
    return frame;
}

int table_page_decode(struct sst_table *t, const struct table_segment *s, const uint8_t *bytes,
                      size_t size, bool cached, struct page_frame **frame) {
    struct page p;
    *frame = NULL;
    if ((t->footer.incompatible & FORMAT_FEATURE_ZSTD) == 0) {
        return FIRN_OK;
    }
    int rc = page_parse(bytes, size, &p);
    if (rc != FIRN_OK || !page_is_encoded(&p) || page_is_grouped(&p)) {
        return rc;
    }
    rc = page_frame_create(cached ? t->cache : NULL, t->alloc, page_decoded_bytes(&p), frame);
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = page_decode(&p, bytes, t->alloc, page_cache_decoder(t->cache), s->value_dictionary,
                     page_frame_data(*frame));
    if (rc != FIRN_OK) {
        page_frame_release(*frame);
        *frame = NULL;
    }
    return rc;
}

#define HEAD_BYTES 128 /* of pages in which the way of a lookup is short */

/* Tells the frame where lookups look: anywhere in an automaton, from jump to jump, and at the head
 * of the value area. */
static void set_ends(struct page_frame *frame) {
    struct page p;
    if (page_parse(page_frame_data(frame), page_frame_size(frame), &p) == FIRN_OK) {
        bool jumps = p.area.form == KEY_AREA_AUTOMATON;
        size_t head = jumps ? p.values_offset - p.entries_bytes : HEAD_BYTES;
        page_frame_set_ends(frame, head, p.values_offset);
    }
}

int table_page_settle(struct sst_table *t, struct table_page *page, struct page *p) {
    size_t size = page_decoded_bytes(p);
    struct page_frame *frame;
    if (!page->found || size <= page->size ||
        !page_cache_is_worth(t->cache, page->frame, size - page->size) ||
        page_frame_create(t->cache, t->alloc, size, &frame) != FIRN_OK) {
        return FIRN_OK;
    }
    int rc = page_decode(p, page->bytes, t->alloc, page_cache_decoder(t->cache),
                         page->segment->value_dictionary, page_frame_data(frame));
    if (rc != FIRN_OK) {
        page_frame_release(frame);
        return rc;
    }
    set_ends(frame);
    page_cache_replace(t->cache, page->frame, frame);
    table_page_release(page);
    page->frame = frame;
    page->peeked = page->found = false;
    page->bytes = page_frame_data(frame);
    page->size = size;
    return page_parse(page->bytes, page->size, p);
}

/* A new frame of bytes of the file, unchecked. */
static int read_frame(struct sst_table *t, struct page_cache *cache, uint64_t offset, size_t size,
                      struct page_frame **frame) {
    int rc = page_frame_create(cache, t->alloc, size, frame);
    if (rc != FIRN_OK) {
        return rc;
    }
    COUNT(t, page_reads);
    rc = table_read(t, offset, page_frame_data(*frame), size);
    if (rc != FIRN_OK) {
        page_frame_release(*frame);
        *frame = NULL;
    }
    return rc;
}

static int page_in_frame(struct sst_table *t, struct sst_reads *reads,
                         const struct table_segment *s, size_t page, uint64_t offset, size_t size,
                         bool cold, struct page_frame **frame, bool *found) {
    *frame = find_frame(t, page, size);
    *found = *frame != NULL;
    if (*found) {
        return FIRN_OK;
    }
    bool ready;
    int rc = sst_reads_page(reads, t, t->cache, offset, size, frame, &ready);
    if (rc == FIRN_NOT_FOUND) {
        rc = read_frame(t, t->cache, offset, size, frame);
    }
    if (rc != FIRN_OK || ready) {
        return rc;
    }
    rc = page_check(t->meta.id, offset, page_frame_data(*frame), size);
    struct page_frame *decoded = NULL;
    if (rc == FIRN_OK) {
        rc = table_page_decode(t, s, page_frame_data(*frame), size, true, &decoded);
    }
    if (decoded != NULL) {
        page_frame_release(*frame);
        *frame = decoded;
    }
    if (rc != FIRN_OK) {
        page_frame_release(*frame);
        *frame = NULL;
        return rc;
    }
    if (t->cache != NULL) {
        set_ends(*frame);
        *frame = page_cache_insert(t->cache, t->cache_number, page, *frame, cold);
    }
    sst_reads_keep(reads, t, offset, size, *frame);
    return FIRN_OK;
}

bool table_page_cached(struct sst_table *t, size_t page, struct table_page *out) {
    uint64_t offset;
    if (table_segment_of(t, page, &out->segment) != FIRN_OK ||
        table_page_place(t, out->segment, page, &offset, &out->size) != FIRN_OK) {
        return false; /* told when the page is read */
    }
    out->peeked = false;
    out->frame = find_frame(t, page, out->size);
    out->found = out->frame != NULL;
    if (out->found) {
        out->bytes = page_frame_data(out->frame);
        out->size = page_frame_size(out->frame);
    }
    return out->found;
}

void table_page_keep(struct sst_table *t, size_t page, const uint8_t *bytes, size_t size) {
    struct page_frame *frame;
    if (t->cache != NULL && page_frame_create(t->cache, t->alloc, size, &frame) == FIRN_OK) {
        memcpy(page_frame_data(frame), bytes, size);
        set_ends(frame);
        page_frame_release(page_cache_insert(t->cache, t->cache_number, page, frame, false));
    }
}

int table_page_get(struct sst_table *t, size_t page, bool cold, struct table_page *out) {
    uint64_t offset;
    out->frame = NULL;
    out->peeked = out->found = false;
    int rc = table_segment_of(t, page, &out->segment);
    rc = rc == FIRN_OK ? table_page_place(t, out->segment, page, &offset, &out->size) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    if (table_is_in_place(t)) {
        out->bytes = t->memory + offset;
        return page_in_memory(t, page, offset, out->size);
    }
    rc = page_in_frame(t, NULL, out->segment, page, offset, out->size, cold, &out->frame,
                       &out->found);
    if (rc == FIRN_OK) {
        out->bytes = page_frame_data(out->frame);
        out->size = page_frame_size(out->frame);
    }
    return rc;
}

/* In the cache, nodes are pages behind those of the table. */
int table_node_get(struct sst_table *t, size_t node, struct table_page *out) {
    uint64_t begin = line_get(&t->index.node_begins, node);
    uint64_t end = line_get(&t->index.node_ends, node);
    memset(out, 0, sizeof *out);
    if (begin > end || end > t->meta.bytes || end - begin <= FORMAT_CHECKSUM_BYTES) {
        return FAIL(FIRN_CORRUPT, "node %zu lies in bytes %llu to %llu", node,
                    (unsigned long long)begin, (unsigned long long)end);
    }
    out->size = (size_t)(end - begin);
    out->segment = t->segments;
    if (table_is_in_place(t)) {
        out->bytes = t->memory + begin;
        return page_in_memory(t, t->index.pages + node, begin, out->size);
    }
    int rc = page_in_frame(t, NULL, out->segment, t->index.pages + node, begin, out->size, false,
                           &out->frame, &out->found);
    if (rc == FIRN_OK) {
        out->bytes = page_frame_data(out->frame);
        out->size = page_frame_size(out->frame);
    }
    return rc;
}

void table_page_release(struct table_page *p) {
    if (!p->peeked) {
        page_frame_release(p->frame);
    }
    p->frame = NULL;
}

/* The page for a reader in a section: in place, peeked, or read. */
static int page_in_section(struct sst_table *t, struct sst_section *section, size_t page,
                           struct table_page *out) {
    if (section == NULL || table_is_in_place(t)) {
        return table_page_get(t, page, false, out);
    }
    uint64_t offset;
    int rc = table_segment_of(t, page, &out->segment);
    rc = rc == FIRN_OK ? table_page_place(t, out->segment, page, &offset, &out->size) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    out->frame = t->cache == NULL ? NULL : page_cache_peek(t->cache, t->cache_number, page);
    out->found = out->peeked = out->frame != NULL && is_of_size(t, out->frame, out->size);
    if (out->peeked) {
        section->page_cache_hits++;
    } else {
        rc = page_in_frame(t, section->reads, out->segment, page, offset, out->size, false,
                           &out->frame, &out->found);
    }
    if (rc == FIRN_OK) {
        out->bytes = page_frame_data(out->frame);
        out->size = page_frame_size(out->frame);
    }
    return rc;
}

/* ---- Values apart ---- */

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
            rc = read_frame(t, NULL, ref.offset, stored, &value->frame);
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

/* ---- Looking up ---- */

/* *may_contain is false when a filter, by its number, says that the key is not there. */
static int probe_filter(struct sst_table *t, struct sst_section *section, size_t filter,
                        uint64_t hash, bool *may_contain) {
    *may_contain = true;
    if (t->filter_count == 0) {
        return FIRN_OK;
    }
    struct table_filter *f = &t->filters[filter];
    if (!atomic_load_explicit(&f->ready, memory_order_acquire)) {
        int rc = table_load_filter(t, f);
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    *may_contain = filter_may_contain(&f->filter, hash);
    if (section != NULL) {
        section->filter_probes++;
        section->filter_negatives += !*may_contain;
        return FIRN_OK;
    }
    COUNT(t, filter_probes);
    if (!*may_contain) {
        COUNT(t, filter_negatives);
    }
    return FIRN_OK;
}

/* The newest version of the key with sequence at most seq. */
static int find_entry(const struct page *p, const struct segment *segment, firn_slice key,
                      uint64_t seq, size_t *entry, bool *has_key) {
    uint32_t rank;
    int rc = key_area_find(&p->area, segment, key, &rank);
    *has_key = rc != FIRN_NOT_FOUND;
    if (rc != FIRN_OK) {
        return rc;
    }
    size_t e = page_first_entry(p, rank);
    if (rank >= p->keys || e >= p->entries) {
        return FAIL(FIRN_CORRUPT, "rank %u of %zu keys in a page", rank, p->keys);
    }
    while (page_entry_seq(p, e) > seq) {
        if (++e >= p->entries || page_entry_is_first(p, e)) {
            return FIRN_NOT_FOUND;
        }
    }
    *entry = e;
    return FIRN_OK;
}

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

static int get_value(struct sst_table *t, struct sst_section *section, struct page *p, size_t entry,
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

/* The page that may hold the key, unless *may_contain becomes false. */
static int choose_page(struct sst_table *t, struct sst_section *section, firn_slice key,
                       uint64_t hash, size_t *number, bool *may_contain) {
    const struct page_index *index = &t->index;
    struct fence_place at = page_fences_block(&t->fences, index, key);
    size_t first = at.block * INDEX_BLOCK;
    size_t filter = table_filter_of(t, first), next = filter + 1;
    bool at_once = next >= t->filter_count || t->filter_starts[next] >= first + INDEX_BLOCK;
    int rc = at_once ? probe_filter(t, section, filter, hash, may_contain) : FIRN_OK;
    if (rc != FIRN_OK || (at_once && !*may_contain)) {
        return rc;
    }
    *number = page_fences_page(&t->fences, index, key, at);
    if (section != NULL && t->cache != NULL) {
        page_cache_prefetch(t->cache, t->cache_number, *number);
    }
    return at_once ? FIRN_OK
                   : probe_filter(t, section, table_filter_of(t, *number), hash, may_contain);
}

/* The same where the index has no separators. */
static int choose_bare(struct sst_table *t, struct sst_section *section, firn_slice key,
                       uint64_t hash, size_t *number, bool *may_contain) {
    size_t end = 0;
    int rc = table_find_filter(t, key, number, &end);
    size_t filter = table_filter_of(t, *number);
    rc = rc == FIRN_OK ? probe_filter(t, section, filter, hash, may_contain) : rc;
    return rc == FIRN_OK && *may_contain ? table_find_within(t, key, number, end) : rc;
}

static int get(struct sst_table *t, struct sst_section *section, firn_slice key, uint64_t hash,
               uint64_t seq, uint8_t *kind, uint64_t *found_seq, struct sst_value *value) {
    const struct page_index *index;
    bool may_contain, has_key = true;
    *kind = 0;
    int rc = table_index(t, &index);
    if (rc != FIRN_OK) {
        return rc;
    }
    size_t number;
    /* cppcheck-suppress uninitvar ; both are results */
    rc = (index->bare ? choose_bare : choose_page)(t, section, key, hash, &number, &may_contain);
    if (rc != FIRN_OK || !may_contain) {
        return rc == FIRN_OK ? FIRN_NOT_FOUND : rc;
    }
    struct table_page page;
    struct page p;
    size_t entry = 0;
    rc = page_in_section(t, section, number, &page);
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = page_parse(page.bytes, page.size, &p);
    if (rc == FIRN_OK) {
        rc = find_entry(&p, table_segment_opened(page.segment), key, seq, &entry, &has_key);
        *kind = has_key ? 0 : SST_READ_IN_VAIN;
    }
    if (rc == FIRN_OK) {
        *kind = page_entry_is_put(&p, entry) ? ENTRY_PUT : ENTRY_DELETE;
        *found_seq = page_entry_seq(&p, entry);
        if (*kind == ENTRY_PUT && value != NULL) {
            rc = get_value(t, section, &p, entry, &page, value);
        }
    }
    if (rc == SST_LATER && page.peeked) {
        assert(section != NULL);
        section->page_cache_hits--;
    }
    table_page_release(&page);
    return rc;
}

int sst_table_search(struct sst_table *t, struct sst_section *section, firn_slice key,
                     uint64_t hash, uint64_t seq, uint8_t *kind, uint64_t *found_seq,
                     struct sst_value *value) {
    if (value != NULL) {
        memset(value, 0, sizeof *value);
    }
    uint64_t given = t->meta.seq_given;
    if (seq < given) {
        *kind = 0;
        return FIRN_NOT_FOUND; /* older than all of it, which stores 0 */
    }
    int rc = get(t, section, key, hash, seq - given, kind, found_seq, value);
    if (rc == FIRN_OK) {
        *found_seq += given;
    } else if (rc == SST_LATER) { /* said by a section's reads */
        assert(section != NULL);
        section->filter_probes -= t->filter_count > 0; /* it passed, and will again */
    }
    return table_failed(t, rc);
}

int sst_table_get(struct sst_table *t, firn_slice key, uint64_t hash, uint64_t seq, uint8_t *kind,
                  uint64_t *found_seq, struct sst_value *value) {
    return sst_table_search(t, NULL, key, hash, seq, kind, found_seq, value);
}

void sst_value_release(struct sst_value *v) {
    page_frame_release(v->frame);
    sst_table_unref(v->table);
    if (v->pin != NULL) {
        epoch_unpin(v->pin);
    }
    memset(v, 0, sizeof *v);
}
