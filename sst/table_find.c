/* Which page may hold a key, in tables whose index has no separators. An array is searched by the
 * first keys of its pages, each of which has to be read; a btree by its nodes. Both go through the
 * page cache. Node numbers fall on the way down, so that a damaged tree ends, too.
 */
#include "sst/table_internal.h"

/* ---- Arrays ---- */

/* The pages that are left, and the weights of the keys around them: what a place is guessed by, the
 * codes behind what all keys share. */
struct span {
    size_t low, high; /* the page is in [low, high) */
    uint64_t weight_low, weight_high;
};

/* The first key of a page, borrowed from what is got, which the caller releases when FIRN_OK. */
static int first_key(struct sst_table *t, size_t page, struct table_page *got, firn_slice *key) {
    struct page p;
    struct key_array array;
    int rc = table_page_get(t, page, false, got);
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = page_parse(got->bytes, got->size, &p);
    if (rc == FIRN_OK && p.area.form != KEY_AREA_ARRAY) {
        rc = FAIL(FIRN_CORRUPT, "page %zu is no array", page);
    }
    rc = rc == FIRN_OK ? key_array_open(p.area.bytes, p.area.keys, &array) : rc;
    rc = rc == FIRN_OK ? key_array_key(&array, 0, key) : rc;
    if (rc != FIRN_OK) {
        table_page_release(got);
    }
    return rc;
}

/* Compares the first key of a page with the sought one. */
static int compare_page(struct sst_table *t, size_t page, firn_slice key, size_t shared, int *order,
                        uint64_t *weight) {
    struct table_page got;
    firn_slice first;
    int rc = first_key(t, page, &got, &first);
    if (rc == FIRN_OK) {
        *order = slice_compare(first, key);
        *weight = slice_code(first, shared);
        table_page_release(&got);
    }
    return rc;
}

static size_t guess(const struct span *s, uint64_t weight) {
    size_t pages = s->high - s->low - 1; /* s->low itself need not be looked at */
    if (weight <= s->weight_low || s->weight_high <= s->weight_low) {
        return s->low + 1;
    }
    if (weight >= s->weight_high) {
        return s->high - 1;
    }
    double part = (double)(weight - s->weight_low) / (double)(s->weight_high - s->weight_low);
    size_t at = (size_t)(part * (double)pages);
    return s->low + 1 + (at < pages ? at : pages - 1);
}

/* The last page of the span whose first key is not above `key`; its first page, if none is. Every
 * second guess halves what is left, so that uneven keys cost twice the pages at most. */
static int search_array(struct sst_table *t, firn_slice key, struct span *s) {
    size_t shared = slice_common_prefix(t->meta.smallest, t->meta.largest);
    uint64_t sought = slice_code(key, shared);
    for (bool guesses = t->interpolates; s->low + 1 < s->high;) {
        size_t middle = guesses ? guess(s, sought) : s->low + (s->high - s->low) / 2;
        int order;
        uint64_t weight;
        int rc = compare_page(t, middle, key, shared, &order, &weight);
        if (rc != FIRN_OK) {
            return rc;
        }
        if (order <= 0) {
            s->low = middle;
            s->weight_low = weight;
        } else {
            s->high = middle;
            s->weight_high = weight;
        }
        guesses = t->interpolates && !guesses;
    }
    return FIRN_OK;
}

static struct span whole_span(const struct sst_table *t, firn_slice key) {
    size_t shared = slice_common_prefix(t->meta.smallest, t->meta.largest);
    struct span s = {0, t->index.pages, slice_code(t->meta.smallest, shared),
                     slice_code(t->meta.largest, shared)};
    /* What does not begin as all keys do lies before or behind them all. */
    if (slice_compare(key, t->meta.smallest) <= 0) {
        s.high = 1;
    } else if (slice_compare(key, t->meta.largest) >= 0) {
        s.low = s.high - 1;
    }
    return s;
}

/* ---- Btrees ---- */

/* The child of a node for the key, and its delimiter, borrowed. */
static int descend(const struct page *p, size_t node, firn_slice key, uint32_t *child,
                   firn_slice *delimiter) {
    struct key_array array;
    size_t rank = 0;
    bool exact = false;
    if (p->area.form != KEY_AREA_ARRAY || p->entries != p->keys || p->puts != p->keys ||
        p->values.size_min != BTREE_CHILD_BYTES || p->values.varied || p->values.is_integers ||
        page_is_encoded(p)) {
        return FAIL(FIRN_CORRUPT, "node %zu is none", node);
    }
    int rc = key_array_open(p->area.bytes, p->area.keys, &array);
    rc = rc == FIRN_OK ? key_array_seek(&array, key, &rank, &exact) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    rank -= !exact && rank > 0;
    *child = get_u32(p->values.bytes + rank * BTREE_CHILD_BYTES);
    return key_array_key(&array, rank, delimiter);
}

/* last: the last delimiter on the way; NULL: nobody asks. */
static int search_btree(struct sst_table *t, firn_slice key, size_t *page, struct buf *last) {
    const struct page_index *index = &t->index;
    uint32_t child = (uint32_t)index->nodes;
    if (index->nodes == 0) {
        return FAIL(FIRN_CORRUPT, "a btree without nodes");
    }
    child--;
    for (size_t level = index->height; level > 0; level--) {
        struct table_page bytes;
        struct page p;
        firn_slice delimiter;
        size_t node = child, limit = level > 1 ? node : index->pages;
        int rc = table_node_get(t, node, &bytes);
        if (rc != FIRN_OK) {
            return rc;
        }
        rc = page_parse(bytes.bytes, bytes.size, &p);
        rc = rc == FIRN_OK ? descend(&p, node, key, &child, &delimiter) : rc;
        rc = rc == FIRN_OK && last != NULL ? buf_assign(last, delimiter) : rc;
        table_page_release(&bytes);
        if (rc == FIRN_OK && child >= limit) {
            rc = FAIL(FIRN_CORRUPT, "node %zu has child %u of %zu", node, child, limit);
        }
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    *page = child;
    return FIRN_OK;
}

/* ---- Either ---- */

int table_find_bare(struct sst_table *t, firn_slice key, size_t *page) {
    if (footer_form(&t->footer) == FIRN_TABLE_BTREE) {
        return search_btree(t, key, page, NULL);
    }
    struct span s = whole_span(t, key);
    int rc = search_array(t, key, &s);
    *page = s.low;
    return rc;
}

int table_find_filter(struct sst_table *t, firn_slice key, size_t *page, size_t *page_end) {
    *page_end = 0;
    if (footer_form(&t->footer) == FIRN_TABLE_BTREE || t->filter_count == 0) {
        return table_find_bare(t, key, page);
    }
    size_t low = 0, high = t->filter_count, shared = 0;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        int order;
        uint64_t weight;
        int rc = compare_page(t, t->filter_starts[middle], key, shared, &order, &weight);
        if (rc != FIRN_OK) {
            return rc;
        }
        if (order <= 0) {
            low = middle;
        } else {
            high = middle;
        }
    }
    *page = t->filter_starts[low];
    *page_end = high < t->filter_count ? t->filter_starts[high] : t->index.pages;
    return FIRN_OK;
}

int table_find_within(struct sst_table *t, firn_slice key, size_t *page, size_t page_end) {
    if (page_end == 0) {
        return FIRN_OK; /* it was found at once */
    }
    struct span s = whole_span(t, key);
    s.low = s.low > *page ? s.low : *page;
    s.high = s.high < page_end ? s.high : page_end;
    int rc = search_array(t, key, &s);
    *page = s.low;
    return rc;
}

int table_bare_separator(struct sst_table *t, size_t page, struct buf *separator) {
    struct table_page got;
    firn_slice key;
    size_t found;
    buf_reset(separator);
    int rc = page == 0 ? FIRN_OK : first_key(t, page, &got, &key);
    if (rc != FIRN_OK || page == 0) {
        return rc; /* nothing lies below the first page */
    }
    rc = footer_form(&t->footer) == FIRN_TABLE_BTREE ? search_btree(t, key, &found, separator)
                                                     : buf_assign(separator, key);
    table_page_release(&got);
    return rc;
}
