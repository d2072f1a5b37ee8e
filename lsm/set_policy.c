/* Changing the policy of an open database. The picture of the levels does not tell where running
 * merges will write, and a policy keeps out of the way of its own only; so the new one begins when
 * those of the one before have ended (compact_pick_locked()). */
#include "lsm/db.h"
#include "lsm/options.h"

static void take_over(const firn_options *from, firn_options *to) {
    to->compaction_policy = from->compaction_policy;
    to->user_policy = from->user_policy;
    to->user_policies = from->user_policies;
    to->size_ratio = from->size_ratio;
    to->level0_runs = from->level0_runs;
    to->runs_upper = from->runs_upper;
    to->runs_last = from->runs_last;
    memcpy(to->runs_per_level, from->runs_per_level, sizeof to->runs_per_level);
    to->granularity = from->granularity;
    to->fifo_bytes = from->fifo_bytes;
    to->fifo_seconds = from->fifo_seconds;
    to->delete_within_seconds = from->delete_within_seconds;
}

int firn_set_policy(firn_db *db, const firn_options *options) {
    firn_options resolved;
    int rc = db_check_writable(db);
    rc = rc != FIRN_OK ? rc : options_resolve(options, &resolved);
    if (rc != FIRN_OK) {
        return rc;
    }
    mutex_lock(&db->mutex);
    take_over(&resolved, &db->options);
    options_policy(&db->options, &db->policy);
    db->policy_is_new = true;
    pressure_update_locked(db);
    schedule_locked(db);
    cond_broadcast(&db->background);
    mutex_unlock(&db->mutex);
    return FIRN_OK;
}
