/* lsm/job.h: what flushes and merges have in common: the set-up of compaction/merge.h for a
 * database, and the end of a job. */
#ifndef FIRN_LSM_JOB_H
#define FIRN_LSM_JOB_H

#include "compaction/filter_bits.h"
#include "compaction/merge.h"
#include "lsm/db.h"
#include "lsm/rate.h"

struct parts; /* lsm/parts.h */

struct job_context {
    firn_db *db;
    enum rate_priority priority;
    bool unlimited;                 /* no background write: a bulk load's */
    bool by_hand;                   /* on the thread of someone who asked for it */
    const _Atomic uint32_t *cancel; /* NULL, or: ends when it is not `cancel_seen` any more */
    uint32_t cancel_seen;
    firn_progress_fn report; /* NULL: nobody asked */
    void *report_context;
    firn_progress totals;
    struct parts *parts;   /* NULL: the merge is not one of several parts */
    uint64_t entries_told; /* then: of this part */
    bool lent;             /* then: on the thread that is kept for flushes */
};

/* FIRN_CANCELLED when the job (a struct job_context) is to end. */
int job_check_cancel(void *context);

/* Tells whoever asked how many entries are done; FIRN_CANCELLED when they want no more. */
int job_report(const struct job_context *c, uint64_t entries_done);

/* How tables are written under these options. */
void job_builder_options(const firn_options *o, firn_env *env, enum sst_effort effort,
                         size_t builder_bytes, struct sst_builder_options *out);

/* What a builder may hold when it writes tables that stay. */
size_t job_builder_bytes(const firn_options *o);

/* What filters may take under these options. */
struct filter_budget job_filter_budget(const firn_options *o);

/* Fills in all of the request but inputs, snapshots and bottom. */
void job_setup(struct job_context *context, enum sst_effort effort, size_t builder_bytes,
               struct merge_request *request);

/* Tells the listener the end of a job that returned rc. */
void job_tell_end(firn_db *db, firn_event *event, int rc, const struct merge_result *result);

/* Deletes the files of a failed merge, or, when they were told of and so may be in the manifest,
 * names them for that; and frees the result. */
void job_discard(firn_db *db, struct merge_result *result, bool failed, bool told);

/* The end of a background job that returned rc: tells the error state machine, frees what was
 * waiting for it, and schedules what is due. Touches nothing of db after the last job was counted
 * out. */
void job_end(firn_db *db, int rc, bool flush);

#endif
