/* Ranks: the index tells what stands before a page, the page what stands before a key in it, by the
 * counts of keys that an automaton has in its nodes. So a rank costs one page, and so does the key
 * of a rank. A damaged index tells wrong numbers, which are checked where they meet a page.
 */
#include "sst/table_internal.h"

/* A page with its cursor. */
struct opened {
    struct table_page page;
    struct page view;
    struct area_cursor cursor;
};

static void close_page(struct opened *o) {
    area_cursor_deinit(&o->cursor);
    table_page_release(&o->page);
}

/* To be closed when FIRN_OK. */
static int open_page(struct sst_table *t, size_t number, struct opened *o) {
    int rc = table_page_get(t, number, false, &o->page);
    if (rc != FIRN_OK) {
        return rc;
    }
    area_cursor_init(&o->cursor, t->alloc);
    rc = page_parse(o->page.bytes, o->page.size, &o->view);
    if (rc != FIRN_OK) {
        close_page(o);
        return rc;
    }
    area_cursor_open(&o->cursor, table_segment_opened(o->page.segment), &o->view.area);
    return FIRN_OK;
}

/* ---- The rank of a key ---- */

static int rank_in_page(struct opened *o, firn_slice key, struct sst_rank *below, bool *found) {
    const struct page *p = &o->view;
    const struct automaton_cursor *at = &o->cursor.at;
    int rc = area_cursor_seek(&o->cursor, key);
    below->keys = at->valid ? at->rank : p->keys;
    below->entries = at->valid ? page_first_entry(p, at->rank) : p->entries;
    *found = at->valid && slice_equal(buf_slice(&at->key), key);
    if (rc == FIRN_OK && (below->entries > p->entries || (at->valid && at->rank >= p->keys))) {
        rc = FAIL(FIRN_CORRUPT, "rank %u of %zu keys in a page", at->rank, p->keys);
    }
    return rc;
}

static int rank(struct sst_table *t, firn_slice key, struct sst_rank *below, bool *found) {
    const struct page_index *index;
    int rc = table_index(t, &index);
    if (rc != FIRN_OK) {
        return rc;
    }
    size_t number = 0;
    struct opened o;
    rc = table_find_page(t, key, &number);
    rc = rc == FIRN_OK ? open_page(t, number, &o) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = rank_in_page(&o, key, below, found);
    below->keys += line_get(&index->keys, number);
    below->entries += line_get(&index->entries, number);
    close_page(&o);
    return rc;
}

int sst_table_rank(struct sst_table *t, firn_slice key, struct sst_rank *below, bool *found) {
    bool is_there = false;
    int rc = rank(t, key, below, &is_there);
    if (rc == FIRN_OK && (below->keys > t->meta.keys || below->entries > t->meta.entries)) {
        rc = FAIL(FIRN_CORRUPT, "%llu of %llu keys and %llu of %llu entries lie below a key",
                  (unsigned long long)below->keys, (unsigned long long)t->meta.keys,
                  (unsigned long long)below->entries, (unsigned long long)t->meta.entries);
    }
    if (rc != FIRN_OK) {
        *below = (struct sst_rank){0, 0};
    }
    if (found != NULL) {
        *found = rc == FIRN_OK && is_there;
    }
    return table_failed(t, rc);
}

/* ---- The key of a rank ---- */

/* The last page before which no more than k keys stand. */
static size_t page_of_rank(const struct page_index *index, uint64_t k) {
    size_t low = 0, high = index->pages;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (line_get(&index->keys, middle) <= k) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static int select_in_page(struct opened *o, uint64_t k, struct buf *key) {
    if (k >= o->view.keys) {
        return FAIL(FIRN_CORRUPT, "the index puts key %llu in a page of %zu", (unsigned long long)k,
                    o->view.keys);
    }
    int rc = area_cursor_to_rank(&o->cursor, (uint32_t)k);
    if (rc == FIRN_OK && !o->cursor.at.valid) {
        rc = FAIL(FIRN_CORRUPT, "a page has no key %llu of %zu", (unsigned long long)k,
                  o->view.keys);
    }
    return rc == FIRN_OK ? buf_assign(key, buf_slice(&o->cursor.at.key)) : rc;
}

int sst_table_select(struct sst_table *t, uint64_t k, struct buf *key) {
    const struct page_index *index;
    buf_reset(key);
    if (k >= t->meta.keys) {
        return FIRN_NOT_FOUND;
    }
    int rc = table_index(t, &index);
    struct opened o;
    size_t number = rc == FIRN_OK ? page_of_rank(index, k) : 0;
    rc = rc == FIRN_OK ? open_page(t, number, &o) : rc;
    if (rc == FIRN_OK) {
        rc = select_in_page(&o, k - line_get(&index->keys, number), key);
        close_page(&o);
    }
    return table_failed(t, rc);
}

/* ---- Pages ---- */

int sst_table_page_count(struct sst_table *t, size_t *pages) {
    const struct page_index *index;
    int rc = table_index(t, &index);
    *pages = rc == FIRN_OK ? index->pages : 0;
    return table_failed(t, rc);
}

int sst_table_page_of(struct sst_table *t, firn_slice key, size_t *page) {
    const struct page_index *index;
    int rc = table_index(t, &index);
    *page = 0;
    rc = rc == FIRN_OK ? table_find_page(t, key, page) : rc;
    return table_failed(t, rc);
}

int sst_table_page_start(struct sst_table *t, size_t page, struct buf *separator,
                         uint64_t *keys_before) {
    const struct page_index *index;
    *keys_before = 0;
    int rc = table_index(t, &index);
    if (rc == FIRN_OK) {
        rc = index->bare ? table_bare_separator(t, page, separator)
                         : page_index_separator(index, page, separator);
    }
    if (rc == FIRN_OK) {
        uint64_t before = line_get(&index->keys, page);
        *keys_before = before < t->meta.keys ? before : t->meta.keys;
    }
    return table_failed(t, rc);
}
