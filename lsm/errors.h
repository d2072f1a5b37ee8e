/* lsm/errors.h: the background-error state machine.
 *
 *     cause                       state      what clears it
 *     log append fails            (none)     the log is retired, its memtable sealed; the next
 * write begins a new log; the sequences are burnt log sync fails              REFUSED
 * firn_resume(), which flushes memory to a table; reopening table write or sync fails   RETRY
 * success: the job runs again under a new file number after a pause that doubles; writers stall
 * when memory is full, and are refused after some attempts manifest fails              RETRY the
 * same; no file is deleted until a new, whole manifest is durable corruption in the inputs,   set
 * aside  firn_resume() or reopening tries again; writes go on until or a policy's illegal job level
 * 0 stalls them
 */
#ifndef FIRN_LSM_ERRORS_H
#define FIRN_LSM_ERRORS_H

#include "base/env.h"

enum error_state { ERROR_NONE, ERROR_RETRY, ERROR_REFUSED };

#define ERROR_ATTEMPTS_BEFORE_REFUSAL 3
#define ERROR_ATTEMPTS_MAX 8 /* then the job waits for the next write or firn_resume() */

struct background_error {
    enum error_state state;
    int code;
    char message[400];
    unsigned attempts;
    uint64_t retry_at_ns;
};

/* A flush or merge failed with rc (its message is this thread's last): decides what comes. A merge
 * may be set aside, a flush is always tried again. */
void error_job_failed_locked(firn_db *db, int rc, bool flush);
void error_job_succeeded_locked(firn_db *db);

/* From here on writes are refused. */
void error_refuse_locked(firn_db *db, int rc);

/* FIRN_OK when a write may begin; FIRN_REFUSED with the cause otherwise. */
int error_check_write_locked(firn_db *db);

/* What a writer that waits for a flush is told: FIRN_OK to wait on, or why it is hopeless. */
int error_check_wait_locked(firn_db *db);

void error_clear_locked(firn_db *db);

#endif
