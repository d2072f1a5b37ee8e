/* The user's iterator: one visible version per key, within bounds, in both directions.
 *
 * Below it, `source` yields all versions of all keys, newest first. Going forward, source stands on
 * the current entry, and key and value are borrowed from it. Going backward the versions of a key
 * come oldest first, so source has to pass all of them before it is known which one is visible; key
 * and value are then copies, and source stands on the last entry of the key before. Where the
 * source tells that a version is the only one of its key, both directions are the same.
 *
 * Tombstones and invisible versions are passed over here and nowhere below, because only here the
 * bounds are known that end a long walk over them.
 */
#include "lsm/source.h"

/* Larger values are not copied going backward: the source is positioned on them again. */
#define COPY_BYTES_MAX 65536

enum position { NOWHERE, ON_SOURCE, PAST_SOURCE };

struct firn_iter {
    firn_db *db;
    struct firn_snapshot registered; /* holds back the dropping of what this sees */
    struct source source;
    uint64_t seq;
    bool keys_only;
    struct buf lower, upper; /* as keys at or after which, and before which, everything lies */
    bool has_upper;
    enum position position;
    int status;
    firn_slice key;
    struct buf key_copy; /* PAST_SOURCE: the current key; else the key whose versions are done */
    bool passed;         /* key_copy is set: its older versions are to be skipped */
    struct buf value_copy;
    bool value_is_copied;
    struct buf scan_key; /* while traced: where it was positioned */
    uint64_t scanned; /* entries it stood on since; 0: it was not positioned, or nothing traces */
};

void firn_iter_options_init(firn_iter_options *options) {
    memset(options, 0, sizeof *options);
    options->struct_size = sizeof *options;
}

static void end(struct firn_iter *it, int status) {
    it->position = NOWHERE;
    it->status = status;
}

/* ---- Traces: from being positioned to the next time ---- */

static void trace_scan(struct firn_iter *it) {
    if (it->scanned > 0) {
        trace_note(&it->db->trace, TRACE_SCAN, buf_slice(&it->scan_key), it->scanned);
    }
    it->scanned = 0;
}

static void trace_position(struct firn_iter *it) {
    if (it->position != NOWHERE && buf_assign(&it->scan_key, it->key) == FIRN_OK) {
        it->scanned = 1;
    }
}

static inline void position_begin(struct firn_iter *it) {
    if (it->scanned > 0) {
        trace_scan(it);
    }
}

static inline void position_end(struct firn_iter *it) {
    if (trace_is_on(&it->db->trace)) {
        trace_position(it);
    }
}

/* ---- Bounds: everything is turned into "at or after lower, before upper" ---- */

/* The least key after all keys that begin with prefix; false when there is none. */
static bool prefix_end(struct buf *b) {
    while (b->size > 0 && b->data[b->size - 1] == 0xff) {
        b->size--;
    }
    if (b->size == 0) {
        return false;
    }
    b->data[b->size - 1]++;
    return true;
}

/* The least key after key. */
static int key_successor(struct buf *b, firn_slice key) {
    int rc = buf_assign(b, key);
    return rc != FIRN_OK ? rc : buf_append_u8(b, 0);
}

static int set_lower(struct firn_iter *it, const firn_iter_options *o) {
    int rc = FIRN_OK;
    if (o->range.lower.data != NULL) {
        rc = o->range.lower_exclusive ? key_successor(&it->lower, o->range.lower)
                                      : buf_assign(&it->lower, o->range.lower);
    }
    if (rc == FIRN_OK && slice_compare(o->prefix, buf_slice(&it->lower)) > 0) {
        rc = buf_assign(&it->lower, o->prefix);
    }
    return rc;
}

static int set_upper(struct firn_iter *it, const firn_iter_options *o) {
    int rc = FIRN_OK;
    if (o->range.upper.data != NULL) {
        rc = o->range.upper_inclusive ? key_successor(&it->upper, o->range.upper)
                                      : buf_assign(&it->upper, o->range.upper);
        it->has_upper = true;
    }
    if (rc != FIRN_OK || o->prefix.size == 0) {
        return rc;
    }
    struct buf after;
    buf_init(&after, &it->db->alloc, MEM_ITERATOR);
    rc = buf_assign(&after, o->prefix);
    if (rc == FIRN_OK && prefix_end(&after) &&
        (!it->has_upper || slice_compare(buf_slice(&after), buf_slice(&it->upper)) < 0)) {
        rc = buf_assign(&it->upper, buf_slice(&after));
        it->has_upper = true;
    }
    buf_deinit(&after);
    return rc;
}

static bool at_or_after_upper(const struct firn_iter *it, firn_slice key) {
    return it->has_upper && slice_compare(key, buf_slice(&it->upper)) >= 0;
}

static bool before_lower(const struct firn_iter *it, firn_slice key) {
    return it->lower.size > 0 && slice_compare(key, buf_slice(&it->lower)) < 0;
}

/* ---- Life ---- */

static void init_bufs(struct firn_iter *it, struct alloc *alloc) {
    buf_init(&it->lower, alloc, MEM_ITERATOR);
    buf_init(&it->upper, alloc, MEM_ITERATOR);
    buf_init(&it->key_copy, alloc, MEM_ITERATOR);
    buf_init(&it->value_copy, alloc, MEM_ITERATOR);
    buf_init(&it->scan_key, alloc, MEM_ITERATOR);
}

static int check_options(const firn_db *db, const firn_iter_options *o) {
    if (o->struct_size != sizeof *o) {
        return FAIL(FIRN_INVALID,
                    "firn_iter_options has size %zu, expected %zu: was it initialised?",
                    o->struct_size, sizeof *o);
    }
    if (o->snapshot != NULL && o->snapshot->db != db) {
        return FAIL(FIRN_INVALID, "the snapshot belongs to another database");
    }
    return FIRN_OK;
}

int firn_iter_create(firn_db *db, const firn_iter_options *options, firn_iter **iter) {
    *iter = NULL;
    firn_iter_options defaults;
    firn_iter_options_init(&defaults);
    options = options == NULL ? &defaults : options;
    int rc = db_check(db);
    rc = rc != FIRN_OK ? rc : check_options(db, options);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct firn_iter *it = alloc_get_zeroed(&db->alloc, MEM_ITERATOR, sizeof *it);
    if (it == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for an iterator");
    }
    it->db = db;
    it->keys_only = options->keys_only;
    init_bufs(it, &db->alloc);
    mutex_lock(&db->mutex);
    if (options->snapshot != NULL) {
        snapshot_register_like_locked(db, &it->registered, options->snapshot);
    } else {
        snapshot_register_locked(db, &it->registered);
    }
    db->iterators++;
    mutex_unlock(&db->mutex);
    FIRN_YIELD(db->env, "iterator: registered, no view yet");
    it->seq = it->registered.seq;
    rc = set_lower(it, options);
    rc = rc != FIRN_OK ? rc : set_upper(it, options);
    rc = rc != FIRN_OK ? rc : source_open(db, it->keys_only, &it->source);
    if (rc != FIRN_OK) {
        firn_iter_destroy(it);
        return rc;
    }
    *iter = it;
    return FIRN_OK;
}

void firn_iter_destroy(firn_iter *it) {
    if (it == NULL || db_check(it->db) != FIRN_OK) {
        return;
    }
    firn_db *db = it->db;
    position_begin(it);
    source_close(&it->source);
    buf_deinit(&it->lower);
    buf_deinit(&it->upper);
    buf_deinit(&it->key_copy);
    buf_deinit(&it->value_copy);
    buf_deinit(&it->scan_key);
    mutex_lock(&db->mutex);
    snapshot_unregister_locked(db, &it->registered);
    db->iterators--;
    mutex_unlock(&db->mutex);
    alloc_release(&db->alloc, MEM_ITERATOR, it, sizeof *it);
}

/* ---- Moving ---- */

static void pass_key(struct firn_iter *it, firn_slice key) {
    int rc = buf_assign(&it->key_copy, key);
    it->passed = rc == FIRN_OK;
    if (rc != FIRN_OK) {
        end(it, rc);
    }
}

static inline void stand_on_source(struct firn_iter *it) {
    it->key = it->source.iter->entry.key;
    it->position = ON_SOURCE;
    it->value_is_copied = false;
    it->status = FIRN_OK;
}

/* From where source stands, the first visible entry. */
static inline void find_forward(struct firn_iter *it) {
    struct iter *s = it->source.iter;
    it->position = NOWHERE;
    for (; s->valid; iter_next(s)) {
        const struct entry *e = &s->entry;
        if (e->seq > it->seq || (it->passed && slice_equal(e->key, buf_slice(&it->key_copy)))) {
            continue;
        }
        if (at_or_after_upper(it, e->key)) {
            end(it, FIRN_OK);
            return;
        }
        if (e->kind == ENTRY_PUT) {
            stand_on_source(it);
            return;
        }
        int rc = buf_assign(&it->key_copy, e->key);
        it->passed = rc == FIRN_OK;
        if (rc != FIRN_OK) {
            end(it, rc);
            return;
        }
    }
    end(it, s->status);
}

/* What the versions of one key, passed backward, amount to. */
struct backward {
    bool visible, again; /* again: the value is large, position the source on it */
};

/* Passes all versions of the key that source stands on; copies the visible one. */
static int pass_backward(struct firn_iter *it, struct backward *found) {
    struct iter *s = it->source.iter;
    int rc = buf_assign(&it->key_copy, s->entry.key);
    found->visible = false;
    found->again = false;
    do {
        const struct entry *e = &s->entry;
        if (rc == FIRN_OK && e->seq <= it->seq) {
            found->visible = e->kind == ENTRY_PUT;
            found->again = entry_value_is_apart(e) || e->value.size > COPY_BYTES_MAX;
            if (found->visible && !found->again) {
                rc = buf_assign(&it->value_copy, e->value);
            }
        }
        iter_prev(s);
    } while (rc == FIRN_OK && s->valid && slice_equal(s->entry.key, buf_slice(&it->key_copy)));
    return rc != FIRN_OK ? rc : s->valid ? FIRN_OK : s->status;
}

/* From where source stands, going back, the first key with a visible entry. */
static void find_backward(struct firn_iter *it) {
    struct iter *s = it->source.iter;
    it->position = NOWHERE;
    it->passed = false;
    while (s->valid && !before_lower(it, s->entry.key)) {
        if (s->sole) { /* the source need not pass it to tell which version is visible */
            if (s->entry.kind == ENTRY_PUT && s->entry.seq <= it->seq) {
                stand_on_source(it);
                return;
            }
            iter_prev(s);
            continue;
        }
        struct backward found;
        int rc = pass_backward(it, &found);
        if (rc != FIRN_OK) {
            end(it, rc);
            return;
        }
        if (found.visible && found.again) {
            iter_seek(s, buf_slice(&it->key_copy), it->seq);
            find_forward(it);
            return;
        }
        if (found.visible) {
            it->key = buf_slice(&it->key_copy);
            it->position = PAST_SOURCE;
            it->value_is_copied = true;
            it->status = FIRN_OK;
            return;
        }
    }
    end(it, s->valid ? FIRN_OK : s->status);
}

static void seek_forward(struct firn_iter *it, firn_slice key) {
    it->passed = false;
    if (before_lower(it, key)) {
        key = buf_slice(&it->lower);
    }
    position_begin(it);
    iter_seek(it->source.iter, key, it->seq);
    find_forward(it);
    position_end(it);
}

/* The last visible key before `key`. */
static void seek_backward(struct firn_iter *it, firn_slice key) {
    if (at_or_after_upper(it, key)) {
        key = buf_slice(&it->upper);
    }
    position_begin(it);
    iter_seek_before(it->source.iter, key, SEQ_MAX);
    find_backward(it);
    position_end(it);
}

void firn_iter_first(firn_iter *it) {
    if (it->lower.size > 0) {
        seek_forward(it, buf_slice(&it->lower));
        return;
    }
    it->passed = false;
    position_begin(it);
    iter_first(it->source.iter);
    find_forward(it);
    position_end(it);
}

void firn_iter_last(firn_iter *it) {
    if (it->has_upper) {
        seek_backward(it, buf_slice(&it->upper));
        return;
    }
    position_begin(it);
    iter_last(it->source.iter);
    find_backward(it);
    position_end(it);
}

void firn_iter_seek(firn_iter *it, firn_slice key) {
    seek_forward(it, key);
}

void firn_iter_seek_for_prev(firn_iter *it, firn_slice key) {
    struct buf after;
    buf_init(&after, &it->db->alloc, MEM_ITERATOR);
    int rc = key_successor(&after, key);
    if (rc == FIRN_OK) {
        seek_backward(it, buf_slice(&after));
    } else {
        end(it, rc);
    }
    buf_deinit(&after);
}

/* The entry to come is counted where there is one. */
static inline void count_scanned(struct firn_iter *it) {
    it->scanned += it->scanned > 0 && it->position != NOWHERE;
}

static __attribute__((noinline)) void step_forward(struct firn_iter *it) {
    struct iter *s = it->source.iter;
    if (it->position == ON_SOURCE && (s->sole || s->entry.seq == 0)) {
        it->passed = false; /* nothing older lies anywhere: no version to be skipped */
        iter_next(s);
        find_forward(it);
    } else if (it->position == ON_SOURCE) {
        pass_key(it, it->key);
        if (it->passed) {
            iter_next(s);
            find_forward(it);
        }
    } else if (it->position == PAST_SOURCE) {
        it->passed = true; /* key_copy is the current key */
        iter_seek(s, it->key, 0);
        find_forward(it);
    }
    count_scanned(it);
}

/* Most steps are to an entry that was read ahead, the only one of its key, and a visible put. */
void firn_iter_next(firn_iter *it) {
    struct iter *s = it->source.iter;
    if (it->position == ON_SOURCE && s->sole && s->at != s->last && !it->has_upper &&
        it->scanned == 0) {
        const struct entry *e = s->at + 1;
        if (e->kind == ENTRY_PUT && e->seq <= it->seq) {
            it->passed = false;
            iter_next(s);
            stand_on_source(it);
            return;
        }
    }
    step_forward(it);
}

void firn_iter_prev(firn_iter *it) {
    if (it->position == ON_SOURCE && it->source.iter->sole) {
        iter_prev(it->source.iter);
        find_backward(it);
    } else if (it->position == ON_SOURCE) {
        pass_key(it, it->key); /* the source's key moves with it */
        if (it->passed) {
            iter_seek_before(it->source.iter, buf_slice(&it->key_copy), SEQ_MAX);
            find_backward(it);
        }
    } else if (it->position == PAST_SOURCE) {
        find_backward(it);
    }
    count_scanned(it);
}

bool firn_iter_valid(const firn_iter *it) {
    return it->position != NOWHERE;
}

firn_slice firn_iter_key(const firn_iter *it) {
    return it->position != NOWHERE ? it->key : firn_slice_make(NULL, 0);
}

/* Of the source, whose value is kept apart. */
static __attribute__((noinline)) firn_slice read_value(struct firn_iter *it) {
    struct iter *s = it->source.iter;
    size_t size = s->entry.value.size;
    buf_reset(&it->value_copy);
    int rc = buf_reserve(&it->value_copy, size);
    rc = rc != FIRN_OK ? rc : iter_value_read(s, 0, it->value_copy.data, size);
    if (rc != FIRN_OK) {
        end(it, rc);
        return firn_slice_make(NULL, 0);
    }
    it->value_copy.size = size;
    it->value_is_copied = true;
    return buf_slice(&it->value_copy);
}

firn_slice firn_iter_value(firn_iter *it) {
    if (it->position == NOWHERE || it->keys_only) {
        return firn_slice_make(NULL, 0);
    }
    if (it->value_is_copied) {
        return buf_slice(&it->value_copy);
    }
    const struct entry *e = &it->source.iter->entry;
    return entry_value_is_apart(e) ? read_value(it) : e->value;
}

int firn_iter_status(const firn_iter *it) {
    return it->status;
}
