/* What becomes due by time alone: a delete that has to go on, and old tables that have to leave.
 *
 * One job per database waits for the nearest such time, on a thread of its own, while there is any;
 * it seals the memtable, as its leader, when that has held a delete for too long, and asks the
 * policy. It is not counted among the jobs that run, since nobody waits for it but closing.
 */
#include "lsm/db.h"

static bool needs_flush_locked(const firn_db *db, uint64_t now) REQUIRES(&db->mutex) {
    uint64_t within = policy_flush_within_ns(&db->policy), oldest = db->active.oldest_delete_ns;
    return within > 0 && oldest != 0 && now >= oldest && now - oldest >= within;
}

static uint64_t next_wake_locked(firn_db *db) REQUIRES(&db->mutex) {
    uint64_t within = policy_flush_within_ns(&db->policy), wake = UINT64_MAX;
    firn_shape shape;
    if (within == 0 && db->policy.fifo_ns == 0) {
        return wake;
    }
    uint64_t now = env_wall_ns(db->env);
    if (picture_take_locked(db, &shape) == FIRN_OK) {
        wake = policy_wake_ns(&shape, &db->policy);
        shape_deinit(&db->alloc, &shape);
    }
    if (within > 0 && db->active.oldest_delete_ns != 0) {
        /* Where sealing has failed, it is tried again after a while. */
        uint64_t due =
            needs_flush_locked(db, now) ? now + within / 4 : db->active.oldest_delete_ns + within;
        wake = due < wake ? due : wake;
    }
    return wake;
}

static int seal_overdue(firn_db *db, void *context) {
    (void)context;
    mutex_lock(&db->mutex);
    int rc = !db->closing && needs_flush_locked(db, env_wall_ns(db->env))
                 ? seal_make_room_locked(db, true)
                 : FIRN_OK;
    mutex_unlock(&db->mutex);
    return rc;
}

static void timer_job(void *context) {
    firn_db *db = context;
    mutex_lock(&db->mutex);
    while (!db->closing && db->wake_ns != UINT64_MAX) {
        uint64_t now = env_wall_ns(db->env);
        if (now < db->wake_ns) {
            uint64_t deadline = env_now_ns(db->env) + (db->wake_ns - now);
            (void)env_wait(db->env, &db->background, &db->mutex, deadline);
            continue;
        }
        if (needs_flush_locked(db, now)) {
            mutex_unlock(&db->mutex);
            (void)write_exclusive(db, seal_overdue,
                                  NULL); /* a failure is told to the next writer */
            mutex_lock(&db->mutex);
        }
        schedule_locked(db);
        db->wake_ns = next_wake_locked(db);
    }
    db->timer_running = false;
    cond_broadcast(&db->background);
    mutex_unlock(&db->mutex);
}

void timer_plan_locked(firn_db *db) {
    uint64_t before = db->wake_ns;
    db->wake_ns = next_wake_locked(db);
    if (db->timer_running && db->wake_ns < before) {
        cond_broadcast(&db->background);
    } else if (!db->timer_running && db->wake_ns != UINT64_MAX) {
        db->timer_running = env_submit(db->env, ENV_WAITER, timer_job, db) == FIRN_OK;
    }
}

void timer_note_deletes(firn_db *db) {
    /* Only the leader changes it, so that it may look without the mutex. */
    if (db->active.oldest_delete_ns != 0 || memtable_tombstones(db->active.table) == 0) {
        return;
    }
    mutex_lock(&db->mutex);
    db->active.oldest_delete_ns = env_wall_ns(db->env);
    timer_plan_locked(db);
    mutex_unlock(&db->mutex);
}

void timer_stop_locked(firn_db *db) {
    while (db->timer_running) {
        (void)env_wait(db->env, &db->background, &db->mutex, ENV_FOREVER);
    }
}
