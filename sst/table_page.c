/* Pages of a table: where one lies, its bytes in memory, and what the page cache is told of it. */
#include "sst/key_table.h"
#include "sst/table_internal.h"

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
        TABLE_COUNT(t, page_cache_hits);
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

int table_frame_read(struct sst_table *t, struct page_cache *cache, uint64_t offset, size_t size,
                     struct page_frame **frame) {
    int rc = page_frame_create(cache, t->alloc, size, frame);
    if (rc != FIRN_OK) {
        return rc;
    }
    TABLE_COUNT(t, page_reads);
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
        rc = table_frame_read(t, t->cache, offset, size, frame);
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

int table_page_peek(struct sst_table *t, struct sst_section *section, size_t page, uint64_t hash,
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
    out->frame = t->cache == NULL ? NULL : page_cache_peek(t->cache, t->cache_number, page, hash);
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

/* Of pages that a lookup reads a few lines of anyway, a key table only takes memory. */
static bool is_fast(const struct page *p) {
    return p->area.form == KEY_AREA_NUMBERS && p->area.bytes.size < HEAD_BYTES * 4;
}

int table_page_add_keys(struct sst_table *t, const struct table_page *page, const struct page *p) {
    if (!page->peeked || page_frame_keys(page->frame) != NULL || is_fast(p) ||
        !page_cache_wants_keys(t->cache, page->frame)) {
        return FIRN_OK;
    }
    struct key_table *keys;
    int rc =
        key_table_create(t->cache, t->alloc, table_segment_opened(page->segment), &p->area, &keys);
    if (rc == FIRN_OK) {
        page_cache_give_keys(t->cache, page->frame, keys);
    }
    return rc == FIRN_NOMEM ? FIRN_OK : rc;
}
