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
 */
#ifndef FIRN_LSM_PARTS_H
#define FIRN_LSM_PARTS_H

#include "lsm/job.h"
#include "sst/table.h"

/* ---- Cuts ---- */

/* Keys spread over the inputs, each with what lies from it to the next one of its table. */
struct anchors {
    struct buf keys; /* their bytes */
    struct buf list; /* struct anchor */
    uint64_t weight; /* of all */
};

void anchors_init(struct anchors *a, struct alloc *alloc);
void anchors_deinit(struct anchors *a);

/* Adds some of a table, of this many. Reads no page where its index has separators. */
int anchors_add(struct anchors *a, struct sst_table *table, size_t tables);

/* Appends at most `parts` - 1 ascending firn_slice, borrowed from a, that divide it evenly. */
int anchors_cut(struct anchors *a, size_t parts, struct buf *cuts);

/* ---- Parts ---- */

/* How many parts are worth while now, for so much input: 1 when it is no more than a table, or
 * nobody could help. */
size_t parts_wanted(firn_db *db, uint64_t bytes, uint64_t entries, bool by_hand);

/* What builders may hold when there are so many at once; `whole` when there is one. */
size_t parts_builder_bytes(size_t whole, size_t parts);

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
    uint64_t entries; /* of all inputs */
};

/* FIRN_CANCELLED when a part failed. */
int parts_check(const struct parts *parts);

/* What was done in a part since it was last told; the entries of all parts. */
void parts_progress(struct parts *parts, uint64_t fresh, uint64_t *entries);

/* As merge_run(). Reports to the caller's context on the calling thread. */
int parts_run(firn_db *db, const struct parts_request *request, struct merge_result *result);

#endif
