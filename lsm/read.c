/* Point lookups: memtables, then the runs of each level, newest first; the first hit decides.
 *
 * The whole search runs inside an epoch section, which keeps alive without a reference count what
 * it finds: the view, its memtables and tables, and pages of the cache. What a value points into is
 * pinned before the section is left, by one of the section's own pins while there are any. So a get
 * that finds all it needs in memory writes to no cache line but those of its thread's slot in the
 * epoch, where it also counts.
 *
 * Many keys are looked up in rounds: each goes on until it needs what is not in memory, all of
 * which is then read at once (sst/reads.h).
 */
#include "base/checksum.h"
#include "lsm/db.h"

/* How a firn_value gives back what it pins. Its pin holds that thing, its kind, and the database.
 */
struct pin_kind {
    void (*release)(firn_db *db, void *pin);
    bool counted; /* in db->pinned_values; others are counted by the epoch */
};

static void release_memtable(firn_db *db, void *pin) {
    (void)db;
    memtable_let_go(pin);
}

static void release_frame(firn_db *db, void *pin) {
    (void)db;
    page_frame_release(pin);
}

static void release_table(firn_db *db, void *pin) {
    (void)db;
    sst_table_unref(pin);
}

static void release_pin(firn_db *db, void *pin) {
    (void)db;
    epoch_unpin(pin);
}

static void release_memtable_pin(firn_db *db, void *pin) {
    epoch_unpin(pin);
    view_unpinned(db);
}

static const struct pin_kind kind_memtable = {release_memtable, true};
static const struct pin_kind kind_frame = {release_frame, true};
static const struct pin_kind kind_table = {release_table, true};
static const struct pin_kind kind_pin = {release_pin, false};
static const struct pin_kind kind_memtable_pin = {release_memtable_pin, false};

void firn_value_release(firn_value *value) {
    if (value == NULL || value->pin[1] == NULL) {
        return;
    }
    firn_db *db = value->pin[2];
    const struct pin_kind *kind = value->pin[1];
    kind->release(db, value->pin[0]);
    if (kind->counted) {
        atomic_fetch_sub_explicit(&db->pinned_values, 1, memory_order_release);
    }
    memset(value, 0, sizeof *value);
}

static void pin(firn_db *db, firn_value *value, firn_slice bytes, void *what,
                const struct pin_kind *kind) {
    value->data = bytes.data;
    value->size = bytes.size;
    value->pin[0] = what;
    value->pin[1] = (void *)(uintptr_t)kind;
    value->pin[2] = db;
    if (kind->counted) {
        atomic_fetch_add_explicit(&db->pinned_values, 1, memory_order_relaxed);
    }
}

/* FIRN_OK when the memtable decides the lookup; *found tells how. */
static int search_memtable(firn_db *db, struct sst_section *section, struct memtable *m,
                           firn_slice key, uint64_t seq, firn_value *value, bool *found) {
    struct entry e;
    int rc = memtable_get(m, key, seq, &e);
    if (rc != FIRN_OK) {
        return rc;
    }
    *found = e.kind == ENTRY_PUT;
    if (*found && value != NULL) {
        struct epoch_pin *mine = epoch_pin(section->epoch, section->token, m);
        if (mine != NULL) {
            pin(db, value, e.value, mine, &kind_memtable_pin);
        } else {
            memtable_hold(m);
            pin(db, value, e.value, m, &kind_memtable);
        }
    }
    return FIRN_OK;
}

static int search_table(firn_db *db, struct sst_section *section, const struct version_table *t,
                        firn_slice key, uint64_t hash, uint64_t seq, firn_value *value,
                        bool *found) {
    struct sst_table *table = table_cache_peek(db->tables, t->meta.number), *opened = NULL;
    if (table == NULL) {
        int rc = table_cache_get(db->tables, &t->meta, &opened);
        if (rc != FIRN_OK) {
            return rc;
        }
        table = opened;
    }
    uint8_t kind;
    uint64_t found_seq;
    struct sst_value v = {0};
    int rc = sst_table_search(table, section, key, hash, seq, &kind, &found_seq,
                              value != NULL ? &v : NULL);
    if (rc == FIRN_OK) {
        *found = kind == ENTRY_PUT;
        if (v.pin != NULL) {
            pin(db, value, v.bytes, v.pin, &kind_pin);
        } else if (v.frame != NULL) {
            pin(db, value, v.bytes, v.frame, &kind_frame);
        } else if (v.table != NULL) {
            pin(db, value, v.bytes, v.table, &kind_table);
        }
    }
    section->false_reads += rc == FIRN_NOT_FOUND && kind == SST_READ_IN_VAIN;
    sst_table_unref(opened);
    return rc;
}

static int search_memtables(firn_db *db, struct sst_section *section, const struct view *view,
                            firn_slice key, uint64_t seq, firn_value *value, bool *found) {
    for (size_t i = 0; i < view->memtable_count; i++) {
        int rc = search_memtable(db, section, view->memtables[i], key, seq, value, found);
        if (rc != FIRN_NOT_FOUND) {
            return rc;
        }
    }
    return FIRN_NOT_FOUND;
}

/* A run, and how many pages were searched in vain above it. */
struct stop {
    uint32_t level, run, false_reads;
};

/* From a place on; SST_LATER: *from is where to go on. */
static int search_tables(firn_db *db, struct sst_section *section, const struct version *v,
                         firn_slice key, uint64_t seq, struct stop *from, firn_value *value,
                         bool *found) {
    uint64_t hash = v->table_count > 0 ? key_hash(key) : 0;
    size_t i = from->run;
    section->false_reads = from->false_reads;
    for (size_t l = from->level; l < v->level_count; l++, i = 0) {
        for (; i < v->levels[l].count; i++) {
            const struct version_table *t = version_run_find(&v->levels[l].runs[i], key);
            if (t == NULL) {
                continue;
            }
            int rc = search_table(db, section, t, key, hash, seq, value, found);
            if (rc == SST_LATER) {
                *from = (struct stop){(uint32_t)l, (uint32_t)i, section->false_reads};
            }
            if (rc != FIRN_NOT_FOUND) {
                return rc;
            }
        }
    }
    return FIRN_NOT_FOUND;
}

static void count_get(const struct sst_section *s, int rc, bool found) {
    bool absent = rc == FIRN_NOT_FOUND; /* and not deleted: then it was found that it is */
    const uint32_t by[EPOCH_TALLIES] = {
        [TALLY_GETS] = rc != SST_LATER,
        [TALLY_GETS_FOUND] = found,
        [TALLY_GETS_ABSENT] = absent,
        [TALLY_FALSE_READS] = absent ? s->false_reads : 0,
        [TALLY_PAGE_CACHE_HITS] = s->page_cache_hits,
        [TALLY_FILTER_PROBES] = s->filter_probes,
        [TALLY_FILTER_NEGATIVES] = s->filter_negatives,
    };
    epoch_count(s->epoch, s->token, by);
}

int read_get(firn_db *db, firn_slice key, uint64_t *seen, firn_value *value) {
    bool found = false;
    struct sst_section section = {.epoch = db->epoch, .token = epoch_enter(db->epoch)};
    const struct view *view = atomic_load_explicit(&db->view, memory_order_acquire);
    FIRN_YIELD(db->env, "get: a view, no sequence yet");
    if (*seen == 0) { /* after the view: see view.h */
        *seen = atomic_load_explicit(&db->published, memory_order_acquire);
    }
    FIRN_YIELD(db->env, "get: a view and a sequence");
    int rc = search_memtables(db, &section, view, key, *seen, value, &found);
    if (rc == FIRN_NOT_FOUND) {
        struct stop top = {0, 0, 0};
        rc = search_tables(db, &section, view->version, key, *seen, &top, value, &found);
    }
    count_get(&section, rc, found);
    epoch_leave(db->epoch, section.token);
    return rc < 0 ? rc : found ? FIRN_OK : FIRN_NOT_FOUND;
}

static int check_snapshot(const firn_db *db, const firn_snapshot *snapshot) {
    if (snapshot != NULL && snapshot->db != db) {
        return FAIL(FIRN_INVALID, "the snapshot belongs to another database");
    }
    return FIRN_OK;
}

/* A snapshot of an empty database has sequence 0, which read_get() takes for "newest". Nothing can
 * be seen there, so it needs no search. */
static bool sees_nothing(const firn_snapshot *snapshot) {
    return snapshot != NULL && snapshot->seq == 0;
}

static void trace_get(firn_db *db, firn_slice key, const firn_value *value, int rc) {
    if (rc == FIRN_OK) {
        trace_note(&db->trace, TRACE_GET, key, value != NULL ? value->size : 0);
    } else if (rc == FIRN_NOT_FOUND) {
        trace_note(&db->trace, TRACE_GET_ABSENT, key, 0);
    }
}

static int get(firn_db *db, const firn_snapshot *snapshot, firn_slice key, firn_value *value) {
    int rc = db_check(db);
    rc = rc != FIRN_OK ? rc : check_snapshot(db, snapshot);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (key.size > FIRN_KEY_BYTES_MAX || sees_nothing(snapshot)) {
        return FIRN_NOT_FOUND;
    }
    uint64_t seen = snapshot != NULL ? snapshot->seq : 0;
    rc = read_get(db, key, &seen, value);
    if (trace_is_on(&db->trace)) {
        trace_get(db, key, value, rc);
    }
    return rc;
}

int firn_get(firn_db *db, const firn_snapshot *snapshot, firn_slice key, firn_value *value) {
    memset(value, 0, sizeof *value);
    return get(db, snapshot, key, value);
}

int firn_get_into(firn_db *db, const firn_snapshot *snapshot, firn_slice key, void *buffer,
                  size_t capacity, size_t *size) {
    firn_value value = {0};
    *size = 0;
    int rc = get(db, snapshot, key, &value);
    if (rc == FIRN_OK) {
        *size = value.size;
        size_t copied = value.size < capacity ? value.size : capacity;
        if (copied > 0) {
            memcpy(buffer, value.data, copied);
        }
        rc = value.size > capacity ? FIRN_TRUNCATED : FIRN_OK;
        firn_value_release(&value);
    }
    return rc;
}

int firn_contains(firn_db *db, const firn_snapshot *snapshot, firn_slice key) {
    return get(db, snapshot, key, NULL);
}

/* So that nobody waits long for a section to be left, it has this many keys at most. More are
 * looked up at a snapshot that is registered for them. */
#define SECTION_KEYS_MAX 256

/* What all keys of one section are looked up with. */
struct lookups {
    firn_db *db;
    const struct view *view;
    unsigned token;
    uint64_t seq;
    struct sst_reads reads;
    const firn_slice *keys;
    firn_value *values;
    int *codes;
};

/* Key i, anew or from where it stopped. False: it stopped, *stop tells where. */
static bool look_up(struct lookups *l, size_t i, struct stop *stop, bool anew) {
    struct sst_section section = {.epoch = l->db->epoch, .token = l->token, .reads = &l->reads};
    bool found = false;
    int rc = FIRN_NOT_FOUND;
    if (anew) {
        *stop = (struct stop){0, 0, 0};
        rc = search_memtables(l->db, &section, l->view, l->keys[i], l->seq, &l->values[i], &found);
    }
    if (rc == FIRN_NOT_FOUND) {
        rc = search_tables(l->db, &section, l->view->version, l->keys[i], l->seq, stop,
                           &l->values[i], &found);
    }
    count_get(&section, rc, found);
    l->codes[i] = rc < 0 ? rc : found ? FIRN_OK : FIRN_NOT_FOUND;
    return rc != SST_LATER;
}

/* In rounds: those that could not be answered go on after what they need was read. */
static void look_up_all(struct lookups *l, size_t n) {
    uint16_t waiting[SECTION_KEYS_MAX];
    struct stop stops[SECTION_KEYS_MAX];
    size_t left = 0;
    for (size_t i = 0; i < n; i++) {
        l->codes[i] = FIRN_NOT_FOUND;
        if (l->keys[i].size <= FIRN_KEY_BYTES_MAX && !look_up(l, i, &stops[left], true)) {
            waiting[left++] = (uint16_t)i;
        }
    }
    while (left > 0) {
        size_t before = left;
        left = 0;
        sst_reads_run(&l->reads);
        for (size_t k = 0; k < before; k++) {
            struct stop stop = stops[k];
            uint16_t i = waiting[k];
            if (!look_up(l, i, &stop, false)) {
                stops[left] = stop;
                waiting[left++] = i;
            }
        }
    }
}

/* One section: one view, and a sequence loaded after it, are one consistent state for all keys, as
 * for a single get. seq 0: the newest. */
static int get_some(firn_db *db, uint64_t seq, size_t n, const firn_slice *keys, firn_value *values,
                    int *codes) {
    struct lookups l = {.db = db, .keys = keys, .values = values, .codes = codes};
    sst_reads_init(&l.reads, &db->alloc, db->options.read_overlap);
    l.token = epoch_enter(db->epoch);
    l.view = atomic_load_explicit(&db->view, memory_order_acquire);
    FIRN_YIELD(db->env, "multi-get: a view, no sequence yet");
    l.seq = seq != 0 ? seq : atomic_load_explicit(&db->published, memory_order_acquire);
    look_up_all(&l, n);
    sst_reads_deinit(&l.reads);
    epoch_leave(db->epoch, l.token);
    int rc = FIRN_OK;
    for (size_t i = 0; rc == FIRN_OK && i < n; i++) {
        rc = codes[i] < 0 ? codes[i] : FIRN_OK;
    }
    return rc;
}

static int get_many(firn_db *db, uint64_t seq, size_t n, const firn_slice *keys, firn_value *values,
                    int *codes) {
    int rc = FIRN_OK;
    for (size_t i = 0; i < n; i += SECTION_KEYS_MAX) {
        size_t some = n - i < SECTION_KEYS_MAX ? n - i : SECTION_KEYS_MAX;
        int got = get_some(db, seq, some, keys + i, values + i, codes + i);
        rc = rc == FIRN_OK ? got : rc;
    }
    return rc;
}

static int get_all_now(firn_db *db, size_t n, const firn_slice *keys, firn_value *values,
                       int *codes) {
    if (n <= SECTION_KEYS_MAX) {
        return get_some(db, 0, n, keys, values, codes);
    }
    struct firn_snapshot own;
    mutex_lock(&db->mutex);
    snapshot_register_locked(db, &own);
    mutex_unlock(&db->mutex);
    int rc = FIRN_OK;
    if (sees_nothing(&own)) {
        for (size_t i = 0; i < n; i++) {
            codes[i] = FIRN_NOT_FOUND;
        }
    } else {
        rc = get_many(db, own.seq, n, keys, values, codes);
    }
    mutex_lock(&db->mutex);
    snapshot_unregister_locked(db, &own);
    mutex_unlock(&db->mutex);
    return rc;
}

int firn_multi_get(firn_db *db, const firn_snapshot *snapshot, size_t n, const firn_slice *keys,
                   firn_value *values, int *codes) {
    memset(values, 0, n * sizeof *values);
    int rc = db_check(db);
    rc = rc != FIRN_OK ? rc : check_snapshot(db, snapshot);
    if (rc == FIRN_OK && (snapshot == NULL || !sees_nothing(snapshot))) {
        rc = snapshot == NULL ? get_all_now(db, n, keys, values, codes)
                              : get_many(db, snapshot->seq, n, keys, values, codes);
        for (size_t i = 0; i < n && trace_is_on(&db->trace); i++) {
            trace_get(db, keys[i], &values[i], codes[i]);
        }
        return rc;
    }
    for (size_t i = 0; i < n; i++) {
        codes[i] = rc != FIRN_OK ? rc : FIRN_NOT_FOUND;
    }
    return rc;
}
