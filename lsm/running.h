/* lsm/running.h: which merges may run side by side.
 *
 * firn's own policies keep the jobs that they pick out of each other's way. One that was asked for
 * (firn_compact()) knows nothing of them, nor they of it: what it is going to write, and where, is
 * in no picture of the levels. So two jobs of which one was asked for run side by side only if
 * their outputs go to different levels, or to different ranges of keys of one run that is there
 * whatever becomes of both: the level has a table that no running job reads.
 *
 * That is enough: inputs are disjoint, since they are marked; and a job that was legal when it was
 * picked (job_check()) had no table above its outputs that is older and shares keys with it, nor
 * any below that is newer, running jobs' inputs among them. Where these come to lie then is lower
 * than where they were, and what they overlap there was among their inputs.
 */
#ifndef FIRN_LSM_RUNNING_H
#define FIRN_LSM_RUNNING_H

#include "lsm/db.h"

struct running {
    struct running *next;
    bool by_hand;
    bool writes; /* or else its inputs are only dropped */
    size_t output_level;
    uint64_t output_run; /* that the outputs join, also once it is empty; 0: a run of their own */
    struct buf smallest, largest; /* of its inputs */
};

/* Whether the job may begin now: its inputs are free, and so are its outputs. */
bool running_allows_locked(firn_db *db, const firn_job *job, bool by_hand) REQUIRES(&db->mutex);

/* Marks the inputs, and remembers the job until running_end_locked(). FIRN_BUSY: an input is gone
 * or taken; nothing was marked then, and there is nothing to end. */
int running_begin_locked(firn_db *db, const firn_job *job, bool by_hand, struct running *r)
    REQUIRES(&db->mutex);

/* failed: its inputs are still there, and free again. */
void running_end_locked(firn_db *db, const firn_job *job, struct running *r, bool failed)
    REQUIRES(&db->mutex);

#endif
