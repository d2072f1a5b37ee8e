/* What a lookup finds missing it loads here: each section is read and compared with its checksums
 * under the table's mutex, and published whole or not at all. Where the file lies in memory a
 * section is used in place. What the index says is checked against the footer.
 */
#include "sst/table_internal.h"

int table_failed(const struct sst_table *t, int rc) {
    if (rc != FIRN_CORRUPT && rc != FIRN_UNSUPPORTED) {
        return rc;
    }
    return t->name != NULL
               ? FAIL(rc, "%s: %s", t->name, status_message())
               : FAIL(rc, "%06llu.sst: %s", (unsigned long long)t->meta.number, status_message());
}

int table_read(struct sst_table *t, uint64_t offset, void *to, size_t size) {
    size_t got;
    int rc = env_read_at(t->file, offset, to, size, &got);
    if (rc == FIRN_OK && got != size) {
        rc = FAIL(FIRN_CORRUPT, "the file ends at %llu, within %zu bytes at %llu",
                  (unsigned long long)(offset + got), size, (unsigned long long)offset);
    }
    return rc;
}

void table_add_resident(struct sst_table *t, size_t bytes) {
    atomic_fetch_add_explicit(&t->resident, bytes, memory_order_relaxed);
    if (t->resident_total != NULL) {
        atomic_fetch_add_explicit(t->resident_total, bytes, memory_order_relaxed);
    }
}

size_t table_resident(const struct sst_table *t) {
    return atomic_load_explicit(&t->resident, memory_order_relaxed);
}

void table_count_resident_in(struct sst_table *t, _Atomic size_t *total) {
    t->resident_total = total;
    atomic_fetch_add_explicit(total, table_resident(t), memory_order_relaxed);
}

/* ---- Sections ---- */

static int load_section(struct sst_table *t, const struct section *s, enum mem_part part,
                        struct loaded *out) {
    size_t stored = (size_t)section_stored_bytes(s);
    const uint8_t *bytes = t->memory == NULL ? NULL : t->memory + s->offset;
    void *memory = NULL;
    int rc = FIRN_OK;
    if (bytes == NULL) {
        memory = alloc_get(t->alloc, part, stored);
        if (memory == NULL) {
            return FAIL(FIRN_NOMEM, "no memory for a %s section of %zu bytes",
                        section_name(s->kind), stored);
        }
        rc = table_read(t, s->offset, memory, stored);
        bytes = memory;
    }
    rc = rc == FIRN_OK ? section_check(t->meta.id, s, bytes) : rc;
    if (rc != FIRN_OK) {
        alloc_release(t->alloc, part, memory, stored);
        return rc;
    }
    out->body = firn_slice_make(bytes, (size_t)s->size);
    out->memory = memory;
    table_add_resident(t, memory == NULL ? 0 : stored);
    return FIRN_OK;
}

void table_unload_section(struct sst_table *t, const struct section *s, enum mem_part part,
                          struct loaded *l) {
    if (l->memory != NULL) {
        size_t stored = (size_t)section_stored_bytes(s);
        alloc_release(t->alloc, part, l->memory, stored);
        l->memory = NULL;
        table_add_resident(t, 0 - stored);
    }
}

static int check_index(const struct sst_table *t, const struct page_index *index) {
    const struct footer *f = &t->footer;
    bool ok = index->pages == f->pages && line_get(&index->keys, index->pages) == f->meta.keys &&
              line_get(&index->entries, index->pages) == f->meta.entries &&
              index->bare == (footer_form(f) != FIRN_TABLE_FST) &&
              (index->nodes > 0) == (footer_form(f) == FIRN_TABLE_BTREE);
    for (size_t i = 0; ok && i < t->segment_count; i++) {
        const struct table_segment *s = &t->segments[i];
        uint64_t first = line_get(&index->units, (size_t)s->first_page);
        uint64_t end = line_get(&index->units, (size_t)s->page_end);
        ok = first == s->first_unit && end - first == section_units(s->pages);
    }
    return ok ? FIRN_OK : FAIL(FIRN_CORRUPT, "the index contradicts the footer");
}

static int load_index_locked(struct sst_table *t) REQUIRES(&t->mu) {
    uint8_t header[FORMAT_HEADER_BYTES];
    int rc = table_read(t, 0, header, sizeof header);
    rc = rc == FIRN_OK ? header_check(header, &t->footer) : rc;
    rc = rc == FIRN_OK ? load_section(t, table_index_section(t), MEM_INDEX, &t->index_loaded) : rc;
    rc = rc == FIRN_OK ? page_index_open(t->index_loaded.body, &t->index) : rc;
    rc = rc == FIRN_OK ? check_index(t, &t->index) : rc;
    if (rc == FIRN_OK && !t->index.bare) {
        rc = page_fences_build(t->alloc, &t->index, &t->fences);
        table_add_resident(t, page_fences_bytes(&t->fences));
    }
    if (rc == FIRN_OK && table_is_in_place(t)) {
        size_t bytes = (size_t)packed_bytes(t->index.pages + t->index.nodes, 1);
        t->checked = alloc_get_zeroed(t->alloc, MEM_INDEX, bytes);
        rc = t->checked == NULL ? FAIL(FIRN_NOMEM, "no memory for a bit per page") : FIRN_OK;
        table_add_resident(t, rc == FIRN_OK ? bytes : 0);
    }
    if (rc != FIRN_OK) {
        table_unload_index(t);
    }
    return rc;
}

void table_unload_index(struct sst_table *t) {
    table_add_resident(t, 0 - page_fences_bytes(&t->fences));
    page_fences_release(t->alloc, &t->fences);
    table_unload_section(t, table_index_section(t), MEM_INDEX, &t->index_loaded);
}

int table_load_index(struct sst_table *t) {
    int rc = FIRN_OK;
    mutex_lock(&t->mu);
    if (!atomic_load_explicit(&t->index_ready, memory_order_relaxed)) {
        rc = load_index_locked(t);
        atomic_store_explicit(&t->index_ready, rc == FIRN_OK, memory_order_release);
    }
    mutex_unlock(&t->mu);
    return rc;
}

/* What the segment's pages share: of a file that is not in memory nothing but what is searched is
 * kept. */
static int open_segment(struct sst_table *t, const struct table_segment *s, struct segment **out) {
    if (s->phrases == NULL) {
        *out = segment_empty();
        return FIRN_OK;
    }
    struct loaded phrases = {.memory = NULL}, shared = {.memory = NULL};
    int rc = load_section(t, s->phrases, MEM_SHARED, &phrases);
    rc = rc == FIRN_OK ? load_section(t, s->shared, MEM_SHARED, &shared) : rc;
    rc = rc == FIRN_OK ? segment_open(t->alloc, phrases.body, shared.body, t->memory == NULL, out)
                       : rc;
    table_unload_section(t, s->phrases, MEM_SHARED, &phrases);
    table_unload_section(t, s->shared, MEM_SHARED, &shared);
    return rc;
}

static int load_segment_locked(struct sst_table *t, struct table_segment *s) REQUIRES(&t->mu) {
    struct segment *opened = NULL;
    int rc = FIRN_OK;
    if (s->dictionary != NULL) {
        rc = load_section(t, s->dictionary, MEM_SHARED, &s->dictionary_loaded);
        rc = rc == FIRN_OK
                 ? value_dictionary_open(t->alloc, s->dictionary_loaded.body, &s->value_dictionary)
                 : rc;
    }
    rc = rc == FIRN_OK ? open_segment(t, s, &opened) : rc;
    if (rc != FIRN_OK) {
        value_dictionary_close(s->value_dictionary);
        s->value_dictionary = NULL;
        table_unload_section(t, s->dictionary, MEM_SHARED, &s->dictionary_loaded);
        return rc;
    }
    table_add_resident(t, segment_memory(opened) + value_dictionary_memory(s->value_dictionary));
    atomic_store_explicit(&s->segment, opened, memory_order_release);
    return FIRN_OK;
}

int table_load_segment(struct sst_table *t, struct table_segment *s) {
    mutex_lock(&t->mu);
    int rc = table_segment_opened(s) == NULL ? load_segment_locked(t, s) : FIRN_OK;
    mutex_unlock(&t->mu);
    return rc;
}

int table_load_filter(struct sst_table *t, struct table_filter *f) {
    int rc = FIRN_OK;
    mutex_lock(&t->mu);
    if (!atomic_load_explicit(&f->ready, memory_order_relaxed)) {
        rc = load_section(t, f->section, MEM_FILTER, &f->loaded);
        rc = rc == FIRN_OK ? filter_open(f->loaded.body, &f->filter) : rc;
        if (rc != FIRN_OK) {
            table_unload_section(t, f->section, MEM_FILTER, &f->loaded);
        }
        atomic_store_explicit(&f->ready, rc == FIRN_OK, memory_order_release);
    }
    mutex_unlock(&t->mu);
    return rc;
}

int table_segment_of(struct sst_table *t, size_t page, struct table_segment **out) {
    size_t low = 0, high = t->segment_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (t->segments[middle].first_page <= page) {
            low = middle;
        } else {
            high = middle;
        }
    }
    *out = &t->segments[low];
    return table_segment_opened(*out) != NULL ? FIRN_OK : table_load_segment(t, *out);
}
