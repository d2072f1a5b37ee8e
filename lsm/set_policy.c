/* Changing the policy of an open database. The picture of the levels does not tell where running
 * merges will write, and a policy keeps out of the way of its own only; so the new one begins when
 * those of the one before have ended (compact_pick_locked()). */
#include "lsm/db.h"
#include "lsm/options.h"

int firn_set_policy(firn_db *db, const firn_options *options) {
    firn_options resolved;
    int rc = db_check_writable(db);
    rc = rc != FIRN_OK ? rc : options_resolve(options, &resolved);
    if (rc != FIRN_OK) {
        return rc;
    }
    mutex_lock(&db->mutex);
    options_take_policy(&resolved, &db->options);
    options_policy(&db->options, &db->policy);
    db->policy_is_new = true;
    pressure_update_locked(db);
    schedule_locked(db);
    cond_broadcast(&db->background);
    mutex_unlock(&db->mutex);
    return FIRN_OK;
}
