#include "lsm/errors.h"

#include <stdio.h>

#include "lsm/db.h"

#define PAUSE_NS_MIN UINT64_C(50000000)
#define PAUSE_NS_MAX UINT64_C(5000000000)

static void remember(struct background_error *error, enum error_state state, int rc) {
    error->state = state;
    error->code = rc;
    (void)snprintf(error->message, sizeof error->message, "%s", status_message());
}

void error_job_failed_locked(firn_db *db, int rc, bool flush) {
    struct background_error *error = &db->error;
    if (rc == FIRN_CANCELLED) {
        return;
    }
    if (!flush && (rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED || rc == FIRN_MISSING ||
                   rc == FIRN_INVALID)) {
        db->compaction_set_aside = true;
        if (error->state == ERROR_NONE) {
            remember(error, ERROR_NONE, rc);
        }
        return;
    }
    uint64_t pause = PAUSE_NS_MIN << (error->attempts < 7 ? error->attempts : 7);
    if (error->state != ERROR_REFUSED) { /* its cause stays the one that is told */
        remember(error, ERROR_RETRY, rc);
    }
    error->attempts++;
    error->retry_at_ns = env_now_ns(db->env) + (pause < PAUSE_NS_MAX ? pause : PAUSE_NS_MAX);
}

void error_job_succeeded_locked(firn_db *db) {
    if (db->error.state == ERROR_RETRY) {
        error_clear_locked(db);
    }
    db->error.attempts = 0;
    db->error.retry_at_ns = 0;
}

void error_refuse_locked(firn_db *db, int rc) {
    remember(&db->error, ERROR_REFUSED, rc);
    cond_broadcast(&db->background);
}

int error_check_write_locked(firn_db *db) {
    if (db->error.state == ERROR_REFUSED) {
        return FAIL(FIRN_REFUSED, "writes are refused since: %s", db->error.message);
    }
    return FIRN_OK;
}

int error_check_wait_locked(firn_db *db) {
    if (db->closing) {
        return FAIL(FIRN_CANCELLED, "the database is being closed");
    }
    if (db->error.state == ERROR_RETRY && db->error.attempts >= ERROR_ATTEMPTS_BEFORE_REFUSAL) {
        return status_restore(db->error.code, db->error.message);
    }
    return error_check_write_locked(db);
}

void error_clear_locked(firn_db *db) {
    memset(&db->error, 0, sizeof db->error);
}
