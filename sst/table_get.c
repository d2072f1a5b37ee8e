/* A lookup: index -> filter -> page -> rank -> entry -> value. Each step is one search in memory
 * but the page, which is one read of the file when the cache does not have it. The index is asked
 * before the filter, because filters cover runs of pages, but only as far as it takes to know which
 * filter: nearly always the block of the page, not the page.
 */
#include <assert.h>

#include "sst/key_table.h"
#include "sst/table_internal.h"

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
    TABLE_COUNT(t, filter_probes);
    if (!*may_contain) {
        TABLE_COUNT(t, filter_negatives);
    }
    return FIRN_OK;
}

/* In the key table of a page that has one, else where the keys lie. */
static int find_rank(const struct page *p, const struct table_page *page, firn_slice key,
                     uint64_t hash, uint32_t *rank) {
    const struct key_table *keys = page->peeked ? page_frame_keys(page->frame) : NULL;
    if (keys != NULL) {
        return key_table_find(keys, key, hash, rank) ? FIRN_OK : FIRN_NOT_FOUND;
    }
    return key_area_find(&p->area, table_segment_opened(page->segment), key, rank);
}

/* The newest version of the key with sequence at most seq. */
static int find_entry(const struct page *p, const struct table_page *page, firn_slice key,
                      uint64_t hash, uint64_t seq, size_t *entry, bool *has_key) {
    uint32_t rank;
    int rc = find_rank(p, page, key, hash, &rank);
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
    rc = table_page_peek(t, section, number, hash, &page);
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = page_parse(page.bytes, page.size, &p);
    if (rc == FIRN_OK) {
        rc = table_page_add_keys(t, &page, &p);
    }
    if (rc == FIRN_OK) {
        rc = find_entry(&p, &page, key, hash, seq, &entry, &has_key);
        *kind = has_key ? 0 : SST_READ_IN_VAIN;
    }
    if (rc == FIRN_OK) {
        *kind = page_entry_is_put(&p, entry) ? ENTRY_PUT : ENTRY_DELETE;
        *found_seq = page_entry_seq(&p, entry);
        if (*kind == ENTRY_PUT && value != NULL) {
            rc = table_value_get(t, section, &p, entry, &page, value);
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
