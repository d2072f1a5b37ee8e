/* lsm/parts.h: one merge on several threads, each with a part of the keys.
 *
 *     anchors of the inputs -> cuts -> parts, taken one by one by the caller and by idle background
 *     threads -> their tables, in order: one result, as of one merge
 *
 * A cut is a user key, and the part above it begins with that key: so all versions of a key are of
 * one part, and of one table. Whoever takes a part opens inputs of his own for it. The first
 * failure stops the other parts, and then the result names every file that was begun. The caller
 * installs the result, with one edit.
 *
 * Threads that help are borrowed: one background thread is kept for flushes, another for merges of
 * the policy beside one that someone asked for, and others may be busy.
 * What nobody takes the caller does himself, so that no merge waits for a thread.
 *
 * The thread for flushes helps a merge of the policy, too, while it has nothing else to do
 * (pace.h) and the budget is kept. Since that may come at any time, such a merge is divided into as
 * many parts as it makes tables. A flush does not wait for the part that is taken: it runs on a
 * thread that the environment adds (ENV_WAITER), and the part rests, between two steps, while a
 * flush runs or somebody writes; until the merge waits for nothing else. So no more threads work
 * than background_threads.
 */
#ifndef FIRN_LSM_PARTS_H
#define FIRN_LSM_PARTS_H

#include "lsm/anchors.h"
#include "lsm/job.h"

/* How many parts are worth while, for so much input: 1 when it is no more than a table, or nobody
 * could help. */
size_t parts_wanted(firn_db *db, uint64_t bytes, uint64_t entries, bool by_hand);

/* What each builder may hold. */
size_t parts_builder_bytes(const firn_options *o, size_t parts, bool by_hand);

struct parts_request {
    struct job_context *context; /* of the caller */
    /* All but inputs and bounds; its context is replaced. */
    const struct merge_request *merge;
    const firn_slice *cuts;
    size_t cut_count;
    size_t inputs_max;
    /* Opens what the inputs have from lower to before upper (NULL: no bound); by several threads at
     * once. On failure *count of them are the caller's to destroy, too. */
    int (*open)(void *opener, const firn_slice *lower, const firn_slice *upper,
                struct iter **inputs, size_t *count);
    void *opener;
    uint64_t bytes, entries; /* of all inputs */
};

/* FIRN_CANCELLED when a part failed. */
int parts_check(const struct parts *parts);

/* What was done in a part since it was last told; the entries of all parts. May wait. */
int parts_progress(struct parts *parts, const struct job_context *context, uint64_t fresh,
                   uint64_t *entries);

/* As merge_run(). Reports to the caller's context on the calling thread. */
int parts_run(firn_db *db, const struct parts_request *request, struct merge_result *result);

#endif
