/* Entries are read in runs: keys by one walk of the page's cursor, what belongs to them from the
 * page's arrays. The iterator stands on one entry of its run, and moves inside of it without coming
 * here (base/iter.h). The cursor stands on the key of the run's last entry. A run before that is
 * read forwards, too, from a jump to where it begins. Runs become longer while the iterator goes
 * straight ahead, so that one who wants a few entries does not pay for many.
 *
 * A cold iterator (a merge, a check) reads runs of pages into a buffer of its own, doubling from
 * one page to WINDOW_BYTES_MAX while it goes straight ahead, and leaves the cache alone.
 */
#include "sst/table_internal.h"

#define COLD_WINDOW_BYTES_MAX ((size_t)256 * 1024)
#define WINDOW_BYTES_MAX ((size_t)64 * 1024)
#define PAGES_AHEAD_MIN 2
#define RUN_ENTRIES_MIN 3
#define RUN_ENTRIES_MAX KEY_RUN_MAX
#define PREFETCH_BYTES 1024 /* of a page's keys, when one is sought */
#define RUN_ROOM 1536       /* bytes for keys: a short run of long ones, a long one of short ones */

struct table_iter {
    struct iter base;
    struct sst_table *table;
    struct sst_iter_options options;
    const struct page_index *index;
    uint64_t seq_given; /* added to what is stored, which is 0 where this is not */

    /* The page it is in. */
    size_t number; /* REQUIRES: has_page */
    bool has_page;
    struct table_page page;
    struct page view;
    struct area_cursor cursor;
    bool plain; /* its entries are puts of sequence 0, one a key, with values of one size */

    /* Where values are decoded group by group, they lie here, and view.values tells of these. */
    struct buf values;
    struct value_area grouped;
    struct value_range { /* of bytes that are decoded */
        size_t begin, end;
    } decoded;

    struct value_chunk chunk;

    /* Pages read ahead: bytes [window_offset, + window.size) of the file. */
    struct buf window;
    uint64_t window_offset;
    size_t window_bytes; /* to read next time */
    size_t pages_ahead;  /* loaded one after the other */
    size_t bytes_ahead;  /* of these, in the file */

    /* The run. */
    size_t run_entries; /* how many to read next time */
    size_t run_first;   /* number of entries[0] in its page */
    struct key_run keys;
    struct entry entries[RUN_ENTRIES_MAX];
    uint8_t integers[RUN_ENTRIES_MAX][VALUE_INTEGER_BYTES_MAX];

    /* What the cursor and the run begin in, so that a short walk allocates no more than this. */
    struct automaton_room room;
    uint8_t run_room[RUN_ROOM];
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
    if (!t->options.cold && !alloc_may_read_ahead(table->alloc)) {
        t->window_bytes = t->page.size;
        if (t->window.capacity > 2 * t->page.size) {
            buf_deinit(&t->window);
        }
    }
    size_t bytes = window_size(t, number, offset, t->page.size);
    buf_reset(&t->window);
    int rc = buf_reserve(&t->window, bytes);
    rc = rc == FIRN_OK ? table_read(table, offset, t->window.data, bytes) : rc;
    if (rc == FIRN_OK) {
        t->window.size = bytes;
        t->window_offset = offset;
        TABLE_COUNT(table, page_reads);
    }
    return rc;
}

/* The page, which lies in the window, comes to lie in a frame when its values must be decoded. */
static int decode_or_keep(struct table_iter *t, size_t number) {
    struct sst_table *table = t->table;
    struct table_page *page = &t->page;
    bool keep = !t->options.cold && table->cache != NULL &&
                page_cache_is_worth_keeping(table->cache, t->bytes_ahead);
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
    t->page.found = false;
    t->page.bytes = t->window.data + (offset - t->window_offset);
    rc = page_check(table->meta.id, offset, t->page.bytes, t->page.size);
    return rc == FIRN_OK ? decode_or_keep(t, number) : rc;
}

static int find_page(struct table_iter *t, size_t number) {
    struct sst_table *table = t->table;
    bool straight = number == t->number + 1 && t->pages_ahead > 0;
    t->pages_ahead = straight ? t->pages_ahead + 1 : 1;
    t->bytes_ahead = straight ? t->bytes_ahead + t->page.size : 0;
    if (!table_is_in_place(table) && t->options.cold) {
        return page_in_window(t, number);
    }
    if (!table_is_in_place(table) && t->pages_ahead > PAGES_AHEAD_MIN) {
        return table_page_cached(table, number, &t->page) ? FIRN_OK : page_in_window(t, number);
    }
    return table_page_get(table, number, t->options.cold, &t->page);
}

/* Prepares for values to be decoded when they are read. */
static int open_groups(struct table_iter *t) {
    struct value_area *values = &t->view.values;
    size_t bytes = values->decoded_bytes - values->head_bytes;
    buf_reset(&t->values);
    int rc = buf_reserve(&t->values, bytes);
    if (rc == FIRN_OK) {
        t->grouped = *values;
        values->encoded = firn_slice_make(NULL, 0);
        values->bytes = t->values.data;
        values->size = bytes;
        t->decoded = (struct value_range){0, 0};
    }
    return rc;
}

/* Decodes the group of value `put`, whose bytes are not all decoded. */
static int need_value(struct table_iter *t, size_t put, struct value_range at) {
    struct value_range *decoded = &t->decoded;
    struct value_group group;
    int rc = value_area_group(&t->grouped, put / t->grouped.group_puts, &group);
    if (rc == FIRN_OK && (at.begin < group.offset || at.end > group.offset + group.size)) {
        rc = value_area_damaged(&t->view.values, put, at.begin);
    }
    if (rc == FIRN_OK) {
        uint8_t *to = t->values.data + group.offset;
        rc = table_group_decode(t->table, t->page.segment, &group, to);
    }
    if (rc == FIRN_OK) {
        decoded->begin = group.offset == decoded->end ? decoded->begin : group.offset;
        decoded->end = group.offset + group.size;
    }
    return rc;
}

/* Decodes the groups of `count` values of one size. */
static int need_values(struct table_iter *t, size_t first, size_t count) {
    size_t size = t->view.values.size_min;
    int rc = FIRN_OK;
    for (size_t put = first; rc == FIRN_OK && put < first + count; put = t->decoded.end / size) {
        struct value_range at = {put * size, put * size + size};
        if (at.begin < t->decoded.begin || at.end > t->decoded.end) {
            rc = need_value(t, put, at);
        }
    }
    return rc;
}

static bool is_plain(const struct table_iter *t) {
    const struct page *p = &t->view;
    bool values = !p->values.varied && p->values.apart == NULL;
    return p->versions == NULL && p->tombstones == NULL && p->seqs == NULL &&
           (values || t->options.keys_only);
}

static int load_page(struct table_iter *t, size_t number) {
    if (t->has_page && t->number == number) {
        return FIRN_OK;
    }
    table_page_release(&t->page);
    t->has_page = false;
    int rc = find_page(t, number);
    rc = rc == FIRN_OK ? page_parse(t->page.bytes, t->page.size, &t->view) : rc;
    t->decoded = (struct value_range){0, SIZE_MAX};
    if (rc == FIRN_OK && page_is_grouped(&t->view) && !t->options.keys_only) {
        rc = table_page_settle(t->table, &t->page, &t->view);
        rc = rc == FIRN_OK && page_is_grouped(&t->view) ? open_groups(t) : rc;
    }
    if (rc == FIRN_OK && page_is_encoded(&t->view) && !page_is_grouped(&t->view)) {
        rc = FAIL(FIRN_CORRUPT, "page %zu is under zstd, and the footer knows of none", number);
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    area_cursor_open(&t->cursor, table_segment_opened(t->page.segment), &t->view.area);
    t->number = number;
    t->has_page = true;
    t->plain = is_plain(t);
    t->base.sole = t->view.versions == NULL;
    return FIRN_OK;
}

/* ---- Runs ---- */

/* Where the entries of a run come from. */
struct run_source {
    size_t e, put, value_at; /* the next entry, its number among puts, its value's place */
};

static struct run_source run_source_at(const struct table_iter *t, size_t e) {
    struct run_source from = {e, 0, 0};
    if (!t->options.keys_only) {
        from.put = page_puts_before(&t->view, e);
        from.value_at = from.put < t->view.puts ? value_area_offset(&t->view.values, from.put) : 0;
    }
    return from;
}

/* The reference of a put whose value is apart. */
static int find_ref(const struct table_iter *t, firn_slice bytes, struct value_ref *ref) {
    int rc = value_ref_decode(bytes, ref);
    return rc == FIRN_OK ? table_value_check(t->page.segment, ref) : rc;
}

static int take_value_apart(const struct table_iter *t, struct entry *entry) {
    struct value_ref ref = {0};
    int rc = find_ref(t, entry->value, &ref);
    entry->value = firn_slice_make(NULL, (size_t)ref.size);
    return rc;
}

static int put_missing(const struct table_iter *t, size_t put) {
    return FAIL(FIRN_CORRUPT, "put %zu of %zu in a page", put, t->view.puts);
}

static inline int take_value(struct table_iter *t, struct run_source *from, struct entry *entry) {
    const struct value_area *values = &t->view.values;
    size_t put = from->put++;
    if (put >= t->view.puts) {
        return put_missing(t, put);
    }
    uint8_t *integer = t->integers[entry - t->entries];
    struct value_range at = {from->value_at, from->value_at};
    int rc = value_area_at(values, put, at.begin, integer, &entry->value);
    at.end = from->value_at += entry->value.size;
    if (rc == FIRN_OK && (at.begin < t->decoded.begin || at.end > t->decoded.end)) {
        rc = need_value(t, put, at);
    }
    if (rc == FIRN_OK && values->apart != NULL && packed_bit(values->apart, put)) {
        return take_value_apart(t, entry);
    }
    return rc;
}

/* The next entry of the page. */
static inline int take_entry(struct table_iter *t, struct run_source *from, firn_slice key,
                             struct entry *entry) {
    size_t e = from->e++;
    bool is_put = page_entry_is_put(&t->view, e);
    entry->key = key;
    entry->seq = page_entry_seq(&t->view, e) + t->seq_given;
    entry->kind = is_put ? ENTRY_PUT : ENTRY_DELETE;
    entry->value = firn_slice_make(NULL, 0);
    return is_put && !t->options.keys_only ? take_value(t, from, entry) : FIRN_OK;
}

static int key_missing(const struct table_iter *t, size_t e) {
    return FAIL(FIRN_CORRUPT, "entry %zu of %zu, key %u of %zu in page %zu", e, t->view.entries,
                t->cursor.at.rank, t->view.keys, t->number);
}

/* Whether the cursor may stand on the key of entry e. */
static bool cursor_fits(const struct table_iter *t, size_t e) {
    return t->cursor.at.valid && t->cursor.at.rank < t->view.keys && e < t->view.entries;
}

static void stand_in_run(struct table_iter *t, size_t first, size_t count, size_t at) {
    t->run_first = first;
    t->base.first = t->entries;
    t->base.last = t->entries + count - 1;
    t->base.at = t->entries + at;
    t->base.entry = *t->base.at;
    t->base.valid = true;
}

/* Makes entry e current after a jump of the cursor to its key: a run of one. The key is a copy, so
 * that an iterator can be sent to a key that it lent out itself. */
static int land(struct table_iter *t, size_t e) {
    if (!cursor_fits(t, e)) {
        return key_missing(t, e);
    }
    int rc = key_room(&t->keys.bytes, 0, t->cursor.at.key.size);
    rc = rc == FIRN_OK ? buf_assign(&t->keys.bytes, buf_slice(&t->cursor.at.key)) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    struct run_source from = run_source_at(t, e);
    rc = take_entry(t, &from, buf_slice(&t->keys.bytes), &t->entries[0]);
    if (rc == FIRN_OK) {
        stand_in_run(t, e, 1, 0);
    }
    return rc;
}

static size_t keys_among(const struct page *p, size_t first, size_t count) {
    size_t keys = 1;
    for (size_t e = first + 1; p->versions != NULL && e < first + count; e++) {
        keys += packed_bit(p->versions, e);
    }
    return p->versions == NULL ? count : keys;
}

/* What take_entry() does, for all keys of the run, in a plain page without values, or of which none
 * are wanted. */
static void take_keys(struct table_iter *t) {
    const struct key_run *keys = &t->keys;
    const uint8_t *key = keys->bytes.data;
    struct entry entry = {.seq = t->seq_given, .kind = ENTRY_PUT};
    entry.value = firn_slice_make(t->options.keys_only ? NULL : t->view.values.bytes, 0);
    for (size_t i = 0; i < keys->count; i++) {
        const uint8_t *key_end = keys->bytes.data + keys->ends[i];
        entry.key = firn_slice_make(key, (size_t)(key_end - key));
        t->entries[i] = entry;
        key = key_end;
    }
}

/* The same with values, which lie one behind the other from `value` on. */
static void take_pairs(struct table_iter *t, const uint8_t *value, size_t size, size_t step) {
    const struct key_run *keys = &t->keys;
    const uint8_t *key = keys->bytes.data, *begin = key;
    struct entry entry = {.seq = t->seq_given, .kind = ENTRY_PUT};
    for (size_t i = 0, count = keys->count; i < count; i++, value += step) {
        const uint8_t *key_end = begin + keys->ends[i];
        entry.key = firn_slice_make(key, (size_t)(key_end - key));
        entry.value = firn_slice_make(value, size);
        t->entries[i] = entry;
        key = key_end;
    }
}

static int take_plain(struct table_iter *t, size_t first) {
    const struct value_area *values = &t->view.values;
    size_t size = values->size_min;
    if (values->is_integers) {
        for (size_t i = 0, count = t->keys.count; i < count; i++) {
            value_integers_get(&values->integers, first + i, t->integers[i]);
        }
        take_pairs(t, t->integers[0], size, sizeof t->integers[0]);
        return FIRN_OK;
    }
    int rc = need_values(t, first, t->keys.count);
    take_pairs(t, values->bytes + first * size, size, size);
    return rc;
}

/* Reads entries from `first` on, on whose key the cursor stands: `count` of them, or fewer where
 * keys are long, but two at least. Returns how many in *count. */
static int read_entries(struct table_iter *t, size_t first, size_t *count) {
    struct key_run *keys = &t->keys;
    size_t wanted = keys_among(&t->view, first, *count), n = 0;
    if (!cursor_fits(t, first)) {
        return key_missing(t, first);
    }
    int rc = area_cursor_read(&t->cursor, (uint32_t)wanted, keys);
    if (rc == FIRN_OK && !t->cursor.at.valid) {
        return key_missing(t, first + keys->count);
    }
    if (rc == FIRN_OK && t->plain) {
        *count = keys->count;
        if (t->options.keys_only || t->view.values_bytes == 0) {
            take_keys(t);
            return rc;
        }
        return take_plain(t, first);
    }
    struct run_source from = run_source_at(t, first);
    uint32_t begin = 0, key = 0;
    for (; rc == FIRN_OK && n < *count; n++) {
        if (n > 0 && page_entry_is_first(&t->view, first + n)) {
            begin = keys->ends[key];
            if (++key == keys->count) {
                break;
            }
        }
        firn_slice text = firn_slice_make(keys->bytes.data + begin, keys->ends[key] - begin);
        rc = take_entry(t, &from, text, &t->entries[n]);
    }
    *count = n;
    return rc;
}

/* As many entries as the next run is to have, of those that are left. */
static size_t run_length(struct table_iter *t, size_t left) {
    size_t count = t->run_entries;
    t->run_entries = count * 2 < RUN_ENTRIES_MAX ? count * 2 : RUN_ENTRIES_MAX;
    return count < left ? count : left;
}

/* ---- Moving ---- */

/* Reads a run from entry e on, on whose key the cursor stands, and makes the entry after `skipped`
 * others current. */
static int run_from(struct table_iter *t, size_t e, size_t skipped) {
    size_t count = run_length(t, t->view.entries - e - skipped) + skipped;
    count = count < RUN_ENTRIES_MAX ? count : RUN_ENTRIES_MAX;
    int rc = read_entries(t, e, &count);
    if (rc == FIRN_OK) {
        stand_in_run(t, e, count, skipped);
    }
    return rc;
}

/* Reads a run that ends before entry e and makes its last one current. REQUIRES: e > 0. */
static int run_before(struct table_iter *t, size_t e) {
    const struct page *p = &t->view;
    size_t first = e - run_length(t, e), count;
    size_t rank = p->versions == NULL ? first : packed_count(p->versions, first + 1) - 1;
    int rc = area_cursor_to_rank(&t->cursor, (uint32_t)rank);
    for (;;) { /* more than once where keys are so long that a run has only two */
        count = e - first;
        rc = rc == FIRN_OK ? read_entries(t, first, &count) : rc;
        if (rc != FIRN_OK || first + count == e) {
            break;
        }
        first += count - 1;
    }
    if (rc == FIRN_OK) {
        stand_in_run(t, first, count, count - 1);
    }
    return rc;
}

static size_t current(const struct table_iter *t) {
    return t->run_first + (size_t)(t->base.at - t->entries);
}

static int land_first(struct table_iter *t, size_t number) {
    int rc = load_page(t, number);
    rc = rc == FIRN_OK ? area_cursor_first(&t->cursor) : rc;
    return rc == FIRN_OK ? run_from(t, 0, 0) : rc;
}

/* As land_first(), or the first page after it that is not damaged. */
static int land_after_damage(struct table_iter *t, size_t number, int rc) {
    while (rc == FIRN_CORRUPT && t->options.damaged != NULL) {
        t->options.damaged(t->options.context, number++);
        if (number == t->index->pages) {
            iter_end(&t->base, FIRN_OK);
            return FIRN_OK;
        }
        rc = land_first(t, number);
    }
    return rc;
}

static int land_last(struct table_iter *t, size_t number) {
    int rc = load_page(t, number);
    return rc == FIRN_OK ? run_before(t, t->view.entries) : rc;
}

static void begin_jump(struct table_iter *t) {
    iter_end(&t->base, FIRN_OK);
    t->run_entries = RUN_ENTRIES_MIN;
}

static void end_move(struct table_iter *t, int rc) {
    if (rc != FIRN_OK) {
        fail(t, rc);
    }
}

static void iter_do_first(struct iter *it) {
    struct table_iter *t = of(it);
    begin_jump(t);
    end_move(t, land_after_damage(t, 0, land_first(t, 0)));
}

static void iter_do_last(struct iter *it) {
    struct table_iter *t = of(it);
    begin_jump(t);
    end_move(t, land_last(t, t->index->pages - 1));
}

static int step_to_next_page(struct table_iter *t) {
    if (t->number + 1 == t->index->pages) {
        iter_end(&t->base, FIRN_OK);
        return FIRN_OK;
    }
    size_t next = t->number + 1;
    return land_after_damage(t, next, land_first(t, next));
}

static void iter_do_next(struct iter *it) {
    struct table_iter *t = of(it);
    size_t e = current(t);
    end_move(t, e + 1 == t->view.entries ? step_to_next_page(t) : run_from(t, e, 1));
}

static int step_to_page_before(struct table_iter *t) {
    if (t->number == 0) {
        iter_end(&t->base, FIRN_OK);
        return FIRN_OK;
    }
    return land_last(t, t->number - 1);
}

static void iter_do_prev(struct iter *it) {
    struct table_iter *t = of(it);
    size_t e = current(t);
    end_move(t, e == 0 ? step_to_page_before(t) : run_before(t, e));
}

/* A search leads from one to the next; asked for at once, their ways through the caches overlap. */
static void prefetch_keys(const struct key_area *area) {
    size_t size = area->bytes.size < PREFETCH_BYTES ? area->bytes.size : PREFETCH_BYTES;
    for (size_t i = 0; i < size; i += 64) {
        __builtin_prefetch(slice_bytes(area->bytes) + i);
    }
}

/* Stands on the first key at or after `key` in this page and says whether it is that very key. */
static int seek_in_page(struct table_iter *t, firn_slice key, bool *exact) {
    prefetch_keys(&t->view.area);
    int rc = area_cursor_seek(&t->cursor, key);
    *exact = rc == FIRN_OK && t->cursor.at.valid && slice_equal(buf_slice(&t->cursor.at.key), key);
    return rc;
}

static int seek(struct table_iter *t, firn_slice key, uint64_t seq) {
    bool exact;
    size_t number = 0;
    int rc = table_find_page(t->table, key, &number);
    rc = rc == FIRN_OK ? load_page(t, number) : rc;
    rc = rc == FIRN_OK ? seek_in_page(t, key, &exact) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    if (!t->cursor.at.valid) {
        return step_to_next_page(t);
    }
    size_t e = page_first_entry(&t->view, t->cursor.at.rank);
    bool passed = false; /* all versions of the key are newer */
    while (exact && !passed && e < t->view.entries &&
           page_entry_seq(&t->view, e) + t->seq_given > seq) {
        passed = ++e == t->view.entries || page_entry_is_first(&t->view, e);
    }
    if (passed && e == t->view.entries) {
        return step_to_next_page(t);
    }
    rc = passed ? area_cursor_next(&t->cursor) : FIRN_OK;
    return rc == FIRN_OK ? land(t, e) : rc;
}

/* The key may be borrowed from the current entry, which begin_jump() leaves where it is. */
static void iter_do_seek(struct iter *it, firn_slice key, uint64_t seq) {
    struct table_iter *t = of(it);
    begin_jump(t);
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
    struct value_ref ref = {0};
    struct run_source from = run_source_at(t, current(t));
    firn_slice bytes;
    uint8_t integer[VALUE_INTEGER_BYTES_MAX];
    int rc = value_area_at(&t->view.values, from.put, from.value_at, integer, &bytes);
    rc = rc == FIRN_OK ? find_ref(t, bytes, &ref) : rc;
    rc = rc == FIRN_OK ? table_value_read(t->table, &ref, offset, to, size, &t->chunk) : rc;
    return table_failed(t->table, rc);
}

/* ---- Life ---- */

static void iter_do_destroy(struct iter *it) {
    struct table_iter *t = of(it);
    struct sst_table *table = t->table;
    table_page_release(&t->page);
    area_cursor_deinit(&t->cursor);
    key_run_deinit(&t->keys);
    buf_deinit(&t->values);
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
    struct table_iter *it = alloc_get(t->alloc, MEM_ITERATOR, sizeof *it);
    if (it == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for an iterator");
    }
    memset(it, 0, offsetof(struct table_iter, entries));
    it->base.ops = &ops;
    it->table = t;
    it->index = index;
    it->seq_given = t->meta.seq_given;
    if (options != NULL) {
        it->options = *options;
    }
    area_cursor_init(&it->cursor, t->alloc);
    automaton_cursor_lend(&it->cursor.at, &it->room);
    key_run_init(&it->keys, t->alloc);
    buf_lend(&it->keys.bytes, it->run_room, sizeof it->run_room);
    buf_init(&it->values, t->alloc, MEM_ITERATOR);
    buf_init(&it->window, t->alloc, MEM_ITERATOR);
    buf_init(&it->chunk.bytes, t->alloc, MEM_ITERATOR);
    sst_table_ref(t);
    *out = &it->base;
    return FIRN_OK;
}
