/* The one place where the version changes: edit -> manifest, durable -> version and view, in
 * memory.
 *
 * manifest_mutex is held over the whole step, so edits are logged in the order in which versions
 * follow each other. The database's mutex is held only at the end.
 */
#include "lsm/ordering.h"

/* The oldest log that a memtable needs when the oldest sealed one is gone (or not). When none needs
 * one, every log there is now may go: log_begin() claims its number under the mutex. */
static uint64_t log_number_locked(const firn_db *db, bool flushed) {
    uint64_t least = db->active.log_min;
    for (size_t i = flushed ? 1 : 0; i < db->sealed_count; i++) {
        uint64_t log_min = db->sealed[i].log_min;
        least = log_min != 0 && (least == 0 || log_min < least) ? log_min : least;
    }
    least = least == 0 ? counted(&db->next_file) : least;
    return least > db->log_number ? least : db->log_number;
}

static void drop_logs_locked(firn_db *db) REQUIRES(&db->mutex) {
    size_t kept = 0;
    for (size_t i = 0; i < db->live_log_count; i++) {
        if (db->live_logs[i] >= db->log_number) {
            db->live_logs[kept++] = db->live_logs[i];
        } else {
            obsolete_add(db, FILE_LOG, db->live_logs[i]);
        }
    }
    db->live_log_count = kept;
}

/* The highest sequence in the tables: what was sealed had been published, and what was given out
 * above that was burnt. */
static uint64_t flushed_seq(const firn_db *db, const struct edit *edit) {
    uint64_t published = atomic_load_explicit(&db->published, memory_order_acquire);
    uint64_t seq = edit->last_seq < published ? edit->last_seq : published;
    return seq > db->flushed_seq ? seq : db->flushed_seq;
}

static void publish_locked(firn_db *db, struct version *next, struct view *view,
                           const struct edit *edit, bool flushed) REQUIRES(&db->mutex) {
    db->version = next;
    db->log_number = edit->log_number;
    drop_logs_locked(db);
    if (flushed) {
        db->sealed_count--;
        memmove(db->sealed, db->sealed + 1, db->sealed_count * sizeof db->sealed[0]);
        db->flushed_number++;
        db->flushed_seq = flushed_seq(db, edit);
    }
    view_publish_locked(db, view);
    pressure_update_locked(db);
}

void count_table_entries(firn_db *db, uint64_t written) {
    struct counters *c = &db->counters;
    uint64_t besides =
        atomic_fetch_add_explicit(&c->merged_uninstalled, written, memory_order_relaxed) + written;
    mutex_lock(&db->mutex);
    uint64_t entries = db->version->entries + besides;
    if (entries > counted(&c->table_entries_most)) {
        atomic_store_explicit(&c->table_entries_most, entries, memory_order_relaxed);
    }
    mutex_unlock(&db->mutex);
}

static void count_written(firn_db *db, const struct edit *edit) {
    for (size_t i = 0; i < edit->add_count && !edit->moves; i++) {
        count(&db->counters.level_bytes[edit->adds[i].level], edit->adds[i].meta.bytes);
    }
}

int install_edit(firn_db *db, struct edit *edit, bool flushed) {
    struct version *next = NULL;
    struct view *view;
    int rc = view_create(&db->alloc, &view); /* before the edit is durable: nothing may fail then */
    if (rc != FIRN_OK) {
        return rc;
    }
    mutex_lock(&db->manifest_mutex);
    mutex_lock(&db->mutex);
    struct version *base = db->version;
    struct memtable *released = flushed ? db->sealed[0].table : NULL;
    edit->has_log_number = true;
    edit->log_number = log_number_locked(db, flushed);
    mutex_unlock(&db->mutex);
    edit->has_next_file = true;
    edit->next_file = counted(&db->next_file);
    edit->has_last_seq = true;
    edit->last_seq = counted(&db->last_seq);

    const struct manifest_state *state = manifest_get_state(db->manifest);
    uint64_t manifest_before = state->manifest_number;
    rc = ordering_edit(db->env, db->path, edit, true);
    rc = rc != FIRN_OK ? rc : version_apply(base, edit, &next);
    rc = rc != FIRN_OK
             ? rc
             : manifest_log(db->manifest, edit, next, &db->next_file, db->options.manifest_bytes);
    if (rc == FIRN_OK) {
        atomic_store_explicit(&db->edit_number, state->edit_number, memory_order_release);
        if (manifest_before != 0 && manifest_before != state->manifest_number) {
            obsolete_add(db, FILE_MANIFEST, manifest_before);
        }
        mutex_lock(&db->mutex);
        publish_locked(db, next, view, edit, flushed);
        mutex_unlock(&db->mutex);
    } else if (next != NULL) {
        /* What only it has is the caller's to name; nothing of base is dropped before the mutex is
         * released. */
        next->dropped = NULL;
        version_unref(next);
    }
    mutex_unlock(&db->manifest_mutex);
    if (rc == FIRN_OK) {
        count_written(db, edit);
        version_unref(base);
        if (released != NULL) {
            memtable_retire(released);
        }
    } else {
        view_destroy(&db->alloc, view);
    }
    return rc;
}

int install_nothing(firn_db *db) {
    struct edit edit;
    edit_init(&edit, &db->alloc);
    int rc = install_edit(db, &edit, false);
    edit_deinit(&edit);
    return rc;
}
