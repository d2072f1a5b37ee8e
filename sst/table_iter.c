/* The iterator stands on entry `e` of a page; the cursor of the page's keys stands on its key.
 * Moving within a page is a step of the cursor and one or two array reads: the entry is filled in
 * from what the move before left behind (`put`, `value_at`), and only jumps look places up.
 *
 * A cold iterator (a merge, a check) reads runs of pages into a buffer of its own, doubling from
 * one page to WINDOW_BYTES_MAX while it goes straight ahead, and leaves the cache alone.
 */
#include "sst/table_internal.h"

#define COLD_WINDOW_BYTES_MAX ((size_t)256 * 1024)
#define WINDOW_BYTES_MAX ((size_t)64 * 1024)
#define RUN_PAGES_MIN 2

struct table_iter {
    struct iter base;
    struct sst_table *table;
    struct sst_iter_options options;
    const struct page_index *index;

    /* The page it is in. */
    size_t number; /* REQUIRES: has_page */
    bool has_page;
    struct table_page page;
    struct page view;
    struct area_cursor cursor;

    /* The entry it stands on. */
    size_t e;
    size_t put,
        value_at; /* its number among puts and its value's place; for a tombstone, the next's */
    struct value_ref ref; /* of a value apart */
    struct value_chunk chunk;
    uint8_t integer[VALUE_INTEGER_BYTES_MAX];

    /* Pages read ahead: bytes [window_offset, + window.size) of the file. */
    struct buf window;
    uint64_t window_offset;
    size_t window_bytes; /* to read next time */
    size_t run;          /* pages loaded one after the other */
};

static struct table_iter *of(struct iter *it) {
    return (struct table_iter *)(void *)it;
}

static void fail(struct table_iter *t, int rc) {
    iter_end(&t->base, rc == FIRN_OK ? FIRN_OK : table_failed(t->table, rc));
}

/* ---- Pages ---- */

/* How much to read at once from a page on: whole pages of its segment, up to window_bytes. */
static size_t window_size(struct table_iter *t, size_t number, uint64_t offset, size_t size) {
    uint64_t end = offset + size;
    while (number + 1 < t->page.segment->page_end && end - offset < t->window_bytes) {
        uint64_t next;
        int rc = table_page_place(t->table, t->page.segment, ++number, &next, &size);
        if (rc != FIRN_OK || next != end) {
            break; /* told when that page is asked for */
        }
        end = next + size;
    }
    return (size_t)(end - offset);
}

/* Reads the window anew, from this page on. */
static int read_window(struct table_iter *t, size_t number, uint64_t offset) {
    struct sst_table *table = t->table;
    size_t max = t->options.cold ? COLD_WINDOW_BYTES_MAX : WINDOW_BYTES_MAX;
    bool ahead = t->window.size > 0 && offset == t->window_offset + t->window.size;
    t->window_bytes = ahead ? t->window_bytes * 2 : t->page.size;
    t->window_bytes = t->window_bytes < max ? t->window_bytes : max;
    size_t bytes = window_size(t, number, offset, t->page.size);
    buf_reset(&t->window);
    int rc = buf_reserve(&t->window, bytes);
    rc = rc == FIRN_OK ? table_read(table, offset, t->window.data, bytes) : rc;
    if (rc == FIRN_OK) {
        t->window.size = bytes;
        t->window_offset = offset;
        table_count_page_read(table);
    }
    return rc;
}

/* The page, which lies in the window, comes to lie in a frame when its values must be decoded. */
static int decode_or_keep(struct table_iter *t, size_t number) {
    struct sst_table *table = t->table;
    struct table_page *page = &t->page;
    bool keep = !t->options.cold && table->cache != NULL;
    int rc = table_page_decode(table, page->segment, page->bytes, page->size, keep, &page->frame);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (page->frame == NULL) {
        if (keep) {
            table_page_keep(table, number, page->bytes, page->size);
        }
        return FIRN_OK;
    }
    if (keep) {
        page->frame =
            page_cache_insert(table->cache, table->cache_number, number, page->frame, false);
    }
    page->bytes = page_frame_data(page->frame);
    page->size = page_frame_size(page->frame);
    return FIRN_OK;
}

static int page_in_window(struct table_iter *t, size_t number) {
    struct sst_table *table = t->table;
    uint64_t offset;
    int rc = table_segment_of(table, number, &t->page.segment);
    rc = rc == FIRN_OK ? table_page_place(table, t->page.segment, number, &offset, &t->page.size)
                       : rc;
    if (rc == FIRN_OK &&
        (offset < t->window_offset || offset + t->page.size > t->window_offset + t->window.size)) {
        rc = read_window(t, number, offset);
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    t->page.bytes = t->window.data + (offset - t->window_offset);
    rc = page_check(table->meta.id, offset, t->page.bytes, t->page.size);
    return rc == FIRN_OK ? decode_or_keep(t, number) : rc;
}

static int find_page(struct table_iter *t, size_t number) {
    struct sst_table *table = t->table;
    bool straight = number == t->number + 1 && t->run > 0;
    t->run = straight ? t->run + 1 : 1;
    if (!table_is_in_place(table) && t->options.cold) {
        return page_in_window(t, number);
    }
    if (!table_is_in_place(table) && t->run > RUN_PAGES_MIN) {
        return table_page_cached(table, number, &t->page) ? FIRN_OK : page_in_window(t, number);
    }
    return table_page_get(table, number, t->options.cold, &t->page);
}

static int load_page(struct table_iter *t, size_t number) {
    if (t->has_page && t->number == number) {
        return FIRN_OK;
    }
    table_page_release(&t->page);
    t->has_page = false;
    int rc = find_page(t, number);
    rc = rc == FIRN_OK ? page_parse(t->page.bytes, t->page.size, &t->view) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    area_cursor_open(&t->cursor, table_segment_opened(t->page.segment), &t->view.area);
    t->number = number;
    t->has_page = true;
    return FIRN_OK;
}

/* ---- The entry ---- */

static int fill_value(struct table_iter *t) {
    struct entry *entry = &t->base.entry;
    const struct value_area *values = &t->view.values;
    if (t->put >= t->view.puts) {
        return FAIL(FIRN_CORRUPT, "put %zu of %zu in a page", t->put, t->view.puts);
    }
    int rc = value_area_at(values, t->put, t->value_at, t->integer, &entry->value);
    if (rc == FIRN_OK && values->apart != NULL && packed_bit(values->apart, t->put)) {
        rc = value_ref_decode(entry->value, &t->ref);
        rc = rc == FIRN_OK ? table_value_check(t->page.segment, &t->ref) : rc;
        entry->value = firn_slice_make(NULL, (size_t)t->ref.size);
    }
    return rc;
}

/* Makes entry e current, the cursor and (put, value_at) being there. */
static inline int fill_entry(struct table_iter *t) {
    struct entry *entry = &t->base.entry;
    entry->key = buf_slice(&t->cursor.at.key);
    entry->seq = page_entry_seq(&t->view, t->e);
    bool is_put = page_entry_is_put(&t->view, t->e);
    entry->kind = is_put ? ENTRY_PUT : ENTRY_DELETE;
    entry->value = firn_slice_make(NULL, 0);
    t->base.valid = true;
    return is_put && !t->options.keys_only ? fill_value(t) : FIRN_OK;
}

/* The cursor must stand on the key of entry e: its rank among the entries that are their key's
 * first. */
static int check_cursor(const struct table_iter *t) {
    if (!t->cursor.at.valid || t->cursor.at.rank >= t->view.keys || t->e >= t->view.entries) {
        return FAIL(FIRN_CORRUPT, "entry %zu of %zu, key %u of %zu in page %zu", t->e,
                    t->view.entries, t->cursor.at.rank, t->view.keys, t->number);
    }
    return FIRN_OK;
}

/* Makes entry e of the page current after a jump. */
static int land(struct table_iter *t, size_t e) {
    t->e = e;
    int rc = check_cursor(t);
    if (rc == FIRN_OK && !t->options.keys_only) {
        t->put = page_puts_before(&t->view, e);
        t->value_at = t->put < t->view.puts ? value_area_offset(&t->view.values, t->put) : 0;
    }
    return rc == FIRN_OK ? fill_entry(t) : rc;
}

/* ---- Moving ---- */

static int land_first(struct table_iter *t, size_t number) {
    int rc = load_page(t, number);
    rc = rc == FIRN_OK ? area_cursor_first(&t->cursor) : rc;
    return rc == FIRN_OK ? land(t, 0) : rc;
}

static int land_last(struct table_iter *t, size_t number) {
    int rc = load_page(t, number);
    rc = rc == FIRN_OK ? area_cursor_last(&t->cursor) : rc;
    return rc == FIRN_OK ? land(t, t->view.entries - 1) : rc;
}

static void begin_move(struct table_iter *t) {
    t->base.valid = false;
    t->base.status = FIRN_OK;
}

static void end_move(struct table_iter *t, int rc) {
    if (rc != FIRN_OK) {
        fail(t, rc);
    }
}

static void iter_do_first(struct iter *it) {
    struct table_iter *t = of(it);
    begin_move(t);
    end_move(t, land_first(t, 0));
}

static void iter_do_last(struct iter *it) {
    struct table_iter *t = of(it);
    begin_move(t);
    end_move(t, land_last(t, t->index->pages - 1));
}

static int step_to_next_page(struct table_iter *t) {
    if (t->number + 1 == t->index->pages) {
        iter_end(&t->base, FIRN_OK);
        return FIRN_OK;
    }
    return land_first(t, t->number + 1);
}

static int step_forward(struct table_iter *t) {
    if (t->e + 1 == t->view.entries) {
        return step_to_next_page(t);
    }
    if (!t->options.keys_only && t->base.entry.kind == ENTRY_PUT) {
        t->value_at += value_area_size(&t->view.values, t->put);
        t->put++;
    }
    t->e++;
    if (page_entry_is_first(&t->view, t->e)) {
        int rc = area_cursor_next(&t->cursor);
        rc = rc == FIRN_OK ? check_cursor(t) : rc;
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    return fill_entry(t);
}

static void iter_do_next(struct iter *it) {
    struct table_iter *t = of(it);
    end_move(t, step_forward(t));
}

static int step_back(struct table_iter *t) {
    if (t->e == 0) {
        if (t->number == 0) {
            iter_end(&t->base, FIRN_OK);
            return FIRN_OK;
        }
        return land_last(t, t->number - 1);
    }
    if (page_entry_is_first(&t->view, t->e)) {
        int rc = area_cursor_prev(&t->cursor);
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    return land(t, t->e - 1);
}

static void iter_do_prev(struct iter *it) {
    struct table_iter *t = of(it);
    end_move(t, step_back(t));
}

/* Stands on the first key at or after `key` in this page and says whether it is that very key. */
static int seek_in_page(struct table_iter *t, firn_slice key, bool *exact) {
    int rc = area_cursor_seek(&t->cursor, key);
    *exact = rc == FIRN_OK && t->cursor.at.valid && slice_equal(buf_slice(&t->cursor.at.key), key);
    return rc;
}

static int seek(struct table_iter *t, firn_slice key, uint64_t seq) {
    bool exact;
    int rc = load_page(t, page_index_find(t->index, key));
    rc = rc == FIRN_OK ? seek_in_page(t, key, &exact) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    if (!t->cursor.at.valid) {
        return step_to_next_page(t);
    }
    size_t e = page_first_entry(&t->view, t->cursor.at.rank);
    bool passed = false; /* all versions of the key are newer */
    while (exact && !passed && e < t->view.entries && page_entry_seq(&t->view, e) > seq) {
        passed = ++e == t->view.entries || page_entry_is_first(&t->view, e);
    }
    if (passed && e == t->view.entries) {
        return step_to_next_page(t);
    }
    rc = passed ? area_cursor_next(&t->cursor) : FIRN_OK;
    return rc == FIRN_OK ? land(t, e) : rc;
}

static void iter_do_seek(struct iter *it, firn_slice key, uint64_t seq) {
    struct table_iter *t = of(it);
    begin_move(t);
    end_move(t, seek(t, key, seq));
}

static void iter_do_seek_before(struct iter *it, firn_slice key, uint64_t seq) {
    iter_do_seek(it, key, seq);
    if (it->valid) {
        iter_do_prev(it);
    } else if (it->status == FIRN_OK) {
        iter_do_last(it);
    }
}

static int iter_do_value_read(struct iter *it, uint64_t offset, void *to, size_t size) {
    struct table_iter *t = of(it);
    return table_failed(t->table, table_value_read(t->table, &t->ref, offset, to, size, &t->chunk));
}

/* ---- Life ---- */

static void iter_do_destroy(struct iter *it) {
    struct table_iter *t = of(it);
    struct sst_table *table = t->table;
    table_page_release(&t->page);
    area_cursor_deinit(&t->cursor);
    buf_deinit(&t->window);
    buf_deinit(&t->chunk.bytes);
    alloc_release(table->alloc, MEM_ITERATOR, t, sizeof *t);
    sst_table_unref(table);
}

int sst_table_iter_create(struct sst_table *t, const struct sst_iter_options *options,
                          struct iter **out) {
    static const struct iter_ops ops = {
        .first = iter_do_first,
        .last = iter_do_last,
        .seek = iter_do_seek,
        .seek_before = iter_do_seek_before,
        .next = iter_do_next,
        .prev = iter_do_prev,
        .value_read = iter_do_value_read,
        .destroy = iter_do_destroy,
    };
    *out = NULL;
    const struct page_index *index;
    int rc = table_index(t, &index);
    if (rc != FIRN_OK) {
        return table_failed(t, rc);
    }
    struct table_iter *it = alloc_get_zeroed(t->alloc, MEM_ITERATOR, sizeof *it);
    if (it == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for an iterator");
    }
    it->base.ops = &ops;
    it->table = t;
    it->index = index;
    if (options != NULL) {
        it->options = *options;
    }
    area_cursor_init(&it->cursor, t->alloc);
    buf_init(&it->window, t->alloc, MEM_ITERATOR);
    buf_init(&it->chunk.bytes, t->alloc, MEM_ITERATOR);
    sst_table_ref(t);
    *out = &it->base;
    return FIRN_OK;
}
