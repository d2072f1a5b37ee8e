/* The session's write-ahead log. Leader only, no mutex held but where said.
 *
 * A log begins with the first write after opening, sealing or a failure. Older logs stay on
 * old_logs until the memtables that need them are in tables. The rule that is easy to break: a sync
 * write makes all earlier writes durable, also those in older logs; so these are synced first. One
 * that cannot be synced any more is replaced by flushing its memtable: because an append to it
 * failed, or because it is of an earlier session, which may have failed to sync it; a system may
 * count such bytes as written and tell the next who asks that all is well.
 */
#include "lsm/ordering.h"

static void forget_live_locked(firn_db *db, uint64_t number) REQUIRES(&db->mutex) {
    for (size_t i = 0; i < db->live_log_count; i++) {
        if (db->live_logs[i] == number) {
            db->live_logs[i] = db->live_logs[--db->live_log_count];
            return;
        }
    }
}

void log_retire_locked(firn_db *db) {
    if (db->wal == NULL) {
        return;
    }
    struct old_log log = {
        .writer = db->wal,
        .number = wal_writer_number(db->wal),
        .bytes = wal_writer_bytes(db->wal),
        .durable = wal_writer_durable(db->wal) == wal_writer_bytes(db->wal),
        .poisoned = wal_writer_poisoned(db->wal),
    };
    db->wal = NULL;
    if (log.bytes == 0) { /* nothing in it counts, and its space may be what is missing */
        (void)wal_writer_close(log.writer);
        forget_live_locked(db, log.number);
        file_remove(db->env, db->path, FILE_LOG, log.number);
        return;
    }
    db->old_logs[db->old_log_count++] = log; /* there is room: log_begin_locked() saw to it */
}

void log_prune_locked(firn_db *db) {
    size_t kept = 0;
    for (size_t i = 0; i < db->old_log_count; i++) {
        struct old_log *log = &db->old_logs[i];
        if (log->number >= db->log_number) {
            db->old_logs[kept++] = *log;
        } else {
            (void)wal_writer_close(log->writer); /* its contents are in tables */
        }
    }
    db->old_log_count = kept;
}

static bool is_needed_locked(const firn_db *db, uint64_t number) REQUIRES(&db->mutex) {
    for (size_t i = 0; i < db->sealed_count; i++) {
        if (db->sealed[i].log_min != 0 && db->sealed[i].log_min <= number) {
            return true;
        }
    }
    return db->active.log_min != 0 && db->active.log_min <= number &&
           memtable_count(db->active.table) > 0;
}

/* Nothing in old log i counts any more: what had been written is in tables, and a last write that
 * failed, which may stand in it, was never applied. */
static void drop_old_locked(firn_db *db, size_t i) REQUIRES(&db->mutex) {
    struct old_log *log = &db->old_logs[i];
    (void)wal_writer_close(log->writer);
    if (log->number >= db->log_number) {
        forget_live_locked(db, log->number);
        obsolete_add(db, FILE_LOG, log->number);
    }
    db->old_log_count--;
    memmove(log, log + 1, (db->old_log_count - i) * sizeof *log);
    if (memtable_count(db->active.table) == 0) {
        /* The log that goes on, if any, lists the one that is dropped: it must not be added to. */
        log_retire_locked(db);
        db->active.log_min = 0;
    }
}

/* A log lists the older ones that have to be whole for it to count. One of no batch has nothing to
 * be whole for, and an earlier session's may not even be durable: it must not be listed. */
static void drop_unneeded_locked(firn_db *db) REQUIRES(&db->mutex) {
    for (size_t i = 0; i < db->old_log_count;) {
        if (is_needed_locked(db, db->old_logs[i].number)) {
            i++;
        } else {
            drop_old_locked(db, i);
        }
    }
}

/* Takes a number for a new log and claims it in one step, so that a flush in between cannot take it
 * for the number of a log that nothing needs. */
static int log_begin_locked(firn_db *db, struct wal_header *header) REQUIRES(&db->mutex) {
    log_retire_locked(db);
    log_prune_locked(db);
    drop_unneeded_locked(db);
    if (db->old_log_count + 1 >= WAL_OLDER_MAX || db->live_log_count >= LIVE_LOGS_ROOM) {
        return FAIL(FIRN_REFUSED, "%s: %zu logs wait for their memtables to be flushed", db->path,
                    db->old_log_count);
    }
    header->number = db_new_file_number(db);
    if (db->active.log_min == 0) {
        db->active.log_min = header->number;
    }
    db->live_logs[db->live_log_count++] = header->number;
    return FIRN_OK;
}

/* The manifest that was recovered, and CURRENT's name for it, may be known to the system's cache
 * only when an earlier session ended badly; and syncing it now would prove nothing, since a sync
 * that failed then may have marked as written what was not. The header of a log says how many edits
 * there were, so they must not vanish while it stays: unless the last mark proves them durable, a
 * new manifest comes first. One of this session is durable already. */
static int renew_recovered_manifest(firn_db *db) {
    mutex_lock(&db->manifest_mutex);
    bool durable = db->manifest_durable || manifest_bytes(db->manifest) > 0;
    mutex_unlock(&db->manifest_mutex);
    if (durable) {
        return FIRN_OK;
    }
    int rc = install_nothing(db);
    mutex_lock(&db->manifest_mutex);
    db->manifest_durable = rc == FIRN_OK;
    mutex_unlock(&db->manifest_mutex);
    return rc;
}

int log_begin(firn_db *db) {
    if (db->wal != NULL && !wal_writer_poisoned(db->wal)) {
        return FIRN_OK;
    }
    int rc = renew_recovered_manifest(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct wal_header header = {0};
    memcpy(header.database_id, db->id, sizeof header.database_id);
    header.edit_number = atomic_load_explicit(&db->edit_number, memory_order_acquire);
    header.created_ns = env_wall_ns(db->env);
    mutex_lock(&db->mutex);
    rc = log_begin_locked(db, &header);
    mutex_unlock(&db->mutex);
    if (rc != FIRN_OK) {
        return rc;
    }
    for (size_t i = 0; i < db->old_log_count; i++) {
        header.older[header.older_count].number = db->old_logs[i].number;
        header.older[header.older_count++].bytes = db->old_logs[i].bytes;
    }
    rc = wal_writer_create(&db->alloc, db->env, db->path, &header, &db->wal);
    if (rc != FIRN_OK) {
        mutex_lock(&db->mutex);
        forget_live_locked(db, header.number);
        mutex_unlock(&db->mutex);
        if (rc != FIRN_EXISTS) { /* that one is not ours */
            file_remove(db->env, db->path, FILE_LOG, header.number);
        }
    }
    return rc;
}

/* Waits until the memtable of a log that cannot be synced is in a table. */
static int flush_instead_locked(firn_db *db, uint64_t number) REQUIRES(&db->mutex) {
    int rc = FIRN_OK;
    if (is_needed_locked(db, number)) {
        rc = seal_make_room_locked(db, true);
    }
    while (rc == FIRN_OK && is_needed_locked(db, number)) {
        rc = wait_for_job_locked(db);
    }
    return rc;
}

int log_prepare_sync(firn_db *db) {
    int rc = renew_recovered_manifest(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    mutex_lock(&db->mutex);
    if (db->wal != NULL && wal_writer_poisoned(db->wal)) {
        log_retire_locked(db);
    }
    log_prune_locked(db);
    /* Flushing may seal, which adds to old_logs: so by index, to the end as it is then. */
    for (size_t i = 0; i < db->old_log_count && rc == FIRN_OK;) {
        struct old_log *log = &db->old_logs[i];
        if (log->durable || !log->poisoned) {
            i++;
            continue;
        }
        rc = flush_instead_locked(db, log->number);
        if (rc == FIRN_OK) {
            drop_old_locked(db, i);
        }
    }
    mutex_unlock(&db->mutex);
    return rc;
}

/* A flush may have ended meanwhile, and the file be gone: its contents are in tables then. */
static bool is_flushed(firn_db *db, uint64_t number) {
    mutex_lock(&db->mutex);
    bool flushed = number < db->log_number;
    mutex_unlock(&db->mutex);
    return flushed;
}

static int sync_old(firn_db *db) {
    for (size_t i = 0; i < db->old_log_count; i++) {
        struct old_log *log = &db->old_logs[i];
        if (log->durable) {
            continue;
        }
        int rc = log->writer != NULL
                     ? wal_writer_sync(log->writer)
                     : FAIL(FIRN_IO, "%s: log %llu of an earlier session was not flushed", db->path,
                            (unsigned long long)log->number);
        if (rc != FIRN_OK && !is_flushed(db, log->number)) {
            log->poisoned = true;
            return rc;
        }
        log->durable = true;
    }
    return FIRN_OK;
}

int log_sync(firn_db *db) {
    int rc = sync_old(db);
    if (rc == FIRN_OK && db->wal != NULL) {
        count(&db->counters.log_syncs, 1);
        rc = wal_writer_sync(db->wal);
    }
    return rc;
}

int log_settle(firn_db *db, void *context) {
    (void)context;
    return log_prepare_sync(db);
}

int log_close(firn_db *db) {
    int rc = sync_old(db);
    if (db->wal != NULL && wal_writer_bytes(db->wal) > 0) {
        rc = rc != FIRN_OK ? rc : log_sync(db);
        rc = rc != FIRN_OK ? rc : wal_writer_mark(db->wal);
    }
    rc = rc != FIRN_OK ? rc : ordering_acknowledge(db, "close");
    if (db->wal != NULL) {
        int closed = wal_writer_close(db->wal);
        rc = rc != FIRN_OK ? rc : closed;
        db->wal = NULL;
    }
    for (size_t i = 0; i < db->old_log_count; i++) {
        (void)wal_writer_close(db->old_logs[i].writer);
    }
    db->old_log_count = 0;
    return rc;
}
