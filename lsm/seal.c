/* Sealing a full memtable, and holding writers back when flushing or merging falls behind.
 *
 * Writers are slowed smoothly: each pays a delay in proportion to its bytes that grows with the
 * pressure, so that incoming and merged bytes meet before anything has to stop (write.c sleeps it
 * off). Only when all sealed memtables wait, or level 0 is far too long, do they stall here.
 */
#include "lsm/listen.h"

/* Overwriting what is in a memtable need not make it larger, but the log, and with it the time that
 * opening takes, grows by every write: to this many times memtable_bytes. */
#define LOG_BYTES_FACTOR 4

/* Why the memtable is to be sealed, or NULL. */
static const char *reason_to_seal(const firn_db *db) {
    const struct memtable *m = db->active.table;
    const firn_options *o = &db->options;
    if (memtable_bytes(m) >= o->memtable_bytes ||
        (o->memtable_entries > 0 && memtable_puts(m) >= o->memtable_entries)) {
        return "the memtable is full";
    }
    if (db->old_log_count >= LIVE_LOGS_MAX) {
        return "there are many logs";
    }
    bool long_log =
        db->wal != NULL && wal_writer_bytes(db->wal) / LOG_BYTES_FACTOR >= o->memtable_bytes;
    return long_log ? "the log is long" : NULL;
}

static bool must_stall_locked(const firn_db *db) {
    if (db->sealed_count >= SEALED_MAX) {
        return true;
    }
    return policy_merges(&db->policy) && db->pauses == 0 &&
           db->version->levels[0].count >= (size_t)db->options.level0_runs * LEVEL0_STALL_FACTOR;
}

static int stall_locked(firn_db *db) REQUIRES(&db->mutex) {
    if (db->compaction_set_aside && db->sealed_count < SEALED_MAX) {
        return FAIL(FIRN_REFUSED, "level 0 is full and merging stopped: %s", db->error.message);
    }
    uint64_t begun = env_now_ns(db->env);
    int rc = wait_for_job_locked(db);
    count(&db->counters.stall_ns, env_now_ns(db->env) - begun);
    return rc;
}

/* Waits as long as writers must, and tells that it does: for that the mutex is released, but nobody
 * else seals. */
static int wait_for_room_locked(firn_db *db) REQUIRES(&db->mutex) {
    if (!must_stall_locked(db)) {
        return FIRN_OK;
    }
    firn_event event = {.kind = FIRN_EVENT_STALL_BEGIN,
                        .reason = db->sealed_count >= SEALED_MAX ? "memtables wait for their flush"
                                                                 : "level 0 waits for merges"};
    mutex_unlock(&db->mutex);
    listen_begin(db, &event);
    mutex_lock(&db->mutex);
    int rc = FIRN_OK;
    while (rc == FIRN_OK && must_stall_locked(db)) {
        rc = stall_locked(db);
    }
    mutex_unlock(&db->mutex);
    listen_end(db, &event, rc);
    mutex_lock(&db->mutex);
    return rc;
}

int seal_make_room_locked(firn_db *db, bool force) {
    const char *why = force ? "asked for" : reason_to_seal(db);
    if (memtable_count(db->active.table) == 0 || why == NULL) {
        return FIRN_OK;
    }
    int room = wait_for_room_locked(db);
    if (room != FIRN_OK) {
        return room;
    }
    struct mem next = {0};
    struct view *view;
    int rc = view_create(&db->alloc, &view);
    rc = rc != FIRN_OK ? rc : memtable_create(&db->alloc, db->epoch, &next.table);
    if (rc != FIRN_OK) {
        view_destroy(&db->alloc, view);
        return rc;
    }
    db->active.why = why;
    db->sealed[db->sealed_count++] = db->active;
    db->active = next;
    db->memtable_number++;
    view_publish_locked(db, view);
    log_retire_locked(db);
    schedule_locked(db);
    return FIRN_OK;
}
