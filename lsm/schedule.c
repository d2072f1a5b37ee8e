/* What runs in the background: at most one flush, and as many merges as threads are left. A job is
 * one call on a thread of the environment; when it ends it schedules what is due then.
 */
#include "lsm/listen.h"

#define SUBMIT_AGAIN_NS UINT64_C(50000000)

/* What a running merge will write where is in no picture, and only firn's own policies are known to
 * keep out of its way: for others, one merges at a time. */
static unsigned merges_max(const firn_db *db) {
    if (db->options.user_policy != NULL) {
        return 1;
    }
    return db->options.background_threads > 1 ? db->options.background_threads - 1 : 1;
}

static bool submit_locked(firn_db *db, enum env_priority priority, void (*run)(void *))
    REQUIRES(&db->mutex) {
    db->jobs_running++;
    if (env_submit(db->env, priority, run, db) != FIRN_OK) {
        db->jobs_running--;
        return false;
    }
    return true;
}

static bool is_pausing(const firn_db *db) {
    return env_now_ns(db->env) < db->error.retry_at_ns;
}

/* Whether a policy wants a job now. One that breaks a rule is due, too, to be told. */
static bool merge_is_due_locked(firn_db *db) REQUIRES(&db->mutex) {
    return db->pauses == 0 && db->merges_held == 0 && !db->compaction_set_aside &&
           (compact_pick_locked(db, db->picked) != FIRN_OK || db->picked->any);
}

void schedule_locked(firn_db *db) {
    if (db->closing || db->options.read_only || is_pausing(db)) {
        return;
    }
    if (db->sealed_count > 0 && !db->flush_running) {
        db->flush_running = submit_locked(db, ENV_FLUSH, flush_job);
    }
    unsigned merging = db->compactions_running - db->callers_merging + db->helpers_running;
    if (merging < merges_max(db) && merge_is_due_locked(db)) {
        if (submit_locked(db, ENV_COMPACT, compact_job)) {
            db->compactions_running++;
        }
    }
    timer_plan_locked(db);
}

int wait_for_job_locked(firn_db *db) {
    schedule_locked(db);
    int rc = error_check_wait_locked(db);
    if (rc == FIRN_OK) {
        /* A pause that is over ends with the job that runs again, not with time. Where nothing
         * runs, because submitting failed, nobody would signal. */
        uint64_t deadline = is_pausing(db)          ? db->error.retry_at_ns
                            : db->jobs_running == 0 ? env_now_ns(db->env) + SUBMIT_AGAIN_NS
                                                    : ENV_FOREVER;
        (void)env_wait(db->env, &db->background, &db->mutex, deadline);
    }
    return rc;
}

void pressure_update_locked(firn_db *db) {
    firn_shape shape;
    /* In a pause slowness would wait for nothing. */
    if (!policy_merges(&db->policy) || db->pauses > 0 ||
        picture_take_locked(db, &shape) != FIRN_OK) {
        atomic_store_explicit(&db->pressure, 0, memory_order_relaxed);
        return;
    }
    /* From the debt of a few merges of level 0 on, linearly up to eight times that. */
    double debt = (double)policy_debt(&shape, &db->policy);
    shape_deinit(&db->alloc, &shape);
    double begin = 4.0 * (double)db->policy.level1_bytes / db->policy.size_ratio;
    double part = (debt - begin) / (7.0 * begin);
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    atomic_store_explicit(&db->pressure, (uint32_t)(part * 1000), memory_order_relaxed);
}

int firn_wait_idle(firn_db *db) {
    int rc = db_check(db);
    rc = rc != FIRN_OK ? rc : listen_check(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    mutex_lock(&db->mutex);
    schedule_locked(db);
    while (rc == FIRN_OK && (db->jobs_running > 0 || db->sealed_count > 0)) {
        rc = wait_for_job_locked(db);
    }
    mutex_unlock(&db->mutex);
    return rc;
}

/* ---- Pausing ---- */

int firn_pause(firn_db *db, unsigned flags) {
    int rc = db_check_writable(db);
    if (rc == FIRN_OK && (flags & ~FIRN_PAUSE_CANCEL) != 0) {
        rc = FAIL(FIRN_INVALID, "unknown flags 0x%x", flags);
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    mutex_lock(&db->mutex);
    db->pauses++;
    pressure_update_locked(db);
    if ((flags & FIRN_PAUSE_CANCEL) != 0) {
        (void)atomic_fetch_add_explicit(&db->cancels_of_policy, 1, memory_order_relaxed);
    }
    while (db->compactions_running > db->callers_merging) {
        (void)env_wait(db->env, &db->background, &db->mutex, ENV_FOREVER);
    }
    mutex_unlock(&db->mutex);
    return FIRN_OK;
}

int firn_continue(firn_db *db) {
    int rc = db_check_writable(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    mutex_lock(&db->mutex);
    if (db->pauses == 0) {
        rc = FAIL(FIRN_INVALID, "%s: merging is not paused", db->path);
    } else if (--db->pauses == 0) {
        pressure_update_locked(db);
        schedule_locked(db);
    }
    mutex_unlock(&db->mutex);
    return rc;
}

int firn_compact_cancel(firn_db *db) {
    int rc = db_check(db);
    if (rc == FIRN_OK) {
        mutex_lock(&db->mutex);
        (void)atomic_fetch_add_explicit(&db->cancels_by_hand, 1, memory_order_relaxed);
        cond_broadcast(&db->background); /* also to those that wait for their turn */
        mutex_unlock(&db->mutex);
    }
    return rc;
}
