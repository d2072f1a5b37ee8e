/* Point lookups: memtables, then the runs of each level, newest first; the first hit decides.
 *
 * The whole search runs inside an epoch section, which keeps the view alive without a reference
 * count. What a value points into is pinned before the section is left.
 */
#include "base/checksum.h"
#include "lsm/db.h"

/* How a firn_value gives back what it pins. Its pin holds that thing, its kind, and the database.
 */
struct pin_kind {
    void (*release)(void *pin);
};

static void release_memtable(void *pin) {
    memtable_unref(pin);
}

static void release_frame(void *pin) {
    page_frame_release(pin);
}

static void release_table(void *pin) {
    sst_table_unref(pin);
}

static const struct pin_kind pin_memtable = {release_memtable};
static const struct pin_kind pin_frame = {release_frame};
static const struct pin_kind pin_table = {release_table};

void firn_value_release(firn_value *value) {
    if (value == NULL || value->pin[1] == NULL) {
        return;
    }
    firn_db *db = value->pin[2];
    ((const struct pin_kind *)value->pin[1])->release(value->pin[0]);
    atomic_fetch_sub_explicit(&db->pinned_values, 1, memory_order_release);
    memset(value, 0, sizeof *value);
}

static void pin(firn_db *db, firn_value *value, firn_slice bytes, void *what,
                const struct pin_kind *kind) {
    value->data = bytes.data;
    value->size = bytes.size;
    value->pin[0] = what;
    value->pin[1] = (void *)(uintptr_t)kind;
    value->pin[2] = db;
    atomic_fetch_add_explicit(&db->pinned_values, 1, memory_order_relaxed);
}

/* FIRN_OK when the memtable decides the lookup; *found tells how. */
static int search_memtable(firn_db *db, struct memtable *m, firn_slice key, uint64_t seq,
                           firn_value *value, bool *found) {
    struct entry e;
    int rc = memtable_get(m, key, seq, &e);
    if (rc == FIRN_OK) {
        *found = e.kind == ENTRY_PUT;
        if (*found && value != NULL) {
            memtable_ref(m);
            pin(db, value, e.value, m, &pin_memtable);
        }
    }
    return rc;
}

/* in_vain counts pages that were searched for a key that is not there. */
static int search_table(firn_db *db, const struct version_table *t, firn_slice key, uint64_t hash,
                        uint64_t seq, firn_value *value, bool *found, unsigned *in_vain) {
    struct sst_table *table;
    int rc = table_cache_get(db->tables, &t->meta, &table);
    if (rc != FIRN_OK) {
        return rc;
    }
    uint8_t kind;
    uint64_t found_seq;
    struct sst_value v = {0};
    rc = sst_table_get(table, key, hash, seq, &kind, &found_seq, value != NULL ? &v : NULL);
    if (rc == FIRN_OK) {
        *found = kind == ENTRY_PUT;
        if (!*found) {
            sst_value_release(&v);
        } else if (value != NULL && v.frame != NULL) {
            pin(db, value, v.bytes, v.frame, &pin_frame);
        } else if (value != NULL && v.table != NULL) {
            pin(db, value, v.bytes, v.table, &pin_table);
        }
    }
    *in_vain += rc == FIRN_NOT_FOUND && kind == SST_READ_IN_VAIN;
    sst_table_unref(table);
    return rc;
}

static int search_view(firn_db *db, const struct view *view, firn_slice key, uint64_t seq,
                       firn_value *value, bool *found) {
    unsigned in_vain = 0;
    for (size_t i = 0; i < view->memtable_count; i++) {
        int rc = search_memtable(db, view->memtables[i], key, seq, value, found);
        if (rc != FIRN_NOT_FOUND) {
            return rc;
        }
    }
    const struct version *v = view->version;
    uint64_t hash = v->table_count > 0 ? key_hash(key) : 0;
    for (size_t l = 0; l < v->level_count; l++) {
        for (size_t i = 0; i < v->levels[l].count; i++) {
            const struct version_table *t = version_run_find(&v->levels[l].runs[i], key);
            if (t == NULL) {
                continue;
            }
            int rc = search_table(db, t, key, hash, seq, value, found, &in_vain);
            if (rc != FIRN_NOT_FOUND) {
                return rc;
            }
        }
    }
    count(&db->counters.gets_absent, 1);
    if (in_vain > 0) {
        count(&db->counters.false_reads, in_vain);
    }
    return FIRN_NOT_FOUND;
}

int read_get(firn_db *db, firn_slice key, uint64_t *seen, firn_value *value) {
    bool found = false;
    unsigned token = epoch_enter(db->epoch);
    const struct view *view = atomic_load_explicit(&db->view, memory_order_acquire);
    if (*seen == 0) { /* after the view: see view.h */
        *seen = atomic_load_explicit(&db->published, memory_order_acquire);
    }
    int rc = search_view(db, view, key, *seen, value, &found);
    epoch_leave(db->epoch, token);
    count(&db->counters.gets, 1);
    count(&db->counters.gets_found, found);
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
    return read_get(db, key, &seen, value);
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

int firn_multi_get(firn_db *db, const firn_snapshot *snapshot, size_t n, const firn_slice *keys,
                   firn_value *values, int *codes) {
    memset(values, 0, n * sizeof *values);
    struct firn_snapshot own;
    int rc = db_check(db);
    rc = rc != FIRN_OK ? rc : check_snapshot(db, snapshot);
    if (rc != FIRN_OK) {
        for (size_t i = 0; i < n; i++) {
            codes[i] = rc;
        }
        return rc;
    }
    if (snapshot == NULL) { /* one consistent state for all */
        mutex_lock(&db->mutex);
        snapshot_register_locked(db, &own);
        mutex_unlock(&db->mutex);
    }
    for (size_t i = 0; i < n; i++) {
        codes[i] = get(db, snapshot != NULL ? snapshot : &own, keys[i], &values[i]);
        rc = rc == FIRN_OK && codes[i] < 0 ? codes[i] : rc;
    }
    if (snapshot == NULL) {
        mutex_lock(&db->mutex);
        snapshot_unregister_locked(db, &own);
        mutex_unlock(&db->mutex);
    }
    return rc;
}
