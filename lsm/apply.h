/* lsm/apply.h: operations of batches on their way into a memtable.
 *
 * They are put some at a time, after what they pass in the memtable has been fetched for all of
 * them at once (memtable_fetch()): one alone waits for memory again and again on its way.
 */
#ifndef FIRN_LSM_APPLY_H
#define FIRN_LSM_APPLY_H

#include "lsm/batch.h"
#include "memtable/memtable.h"

#define APPLY_OPS_MAX 16

struct applier {
    size_t count; /* that wait */
    struct batch_op ops[APPLY_OPS_MAX];
    uint64_t seqs[APPLY_OPS_MAX];
};

static inline void applier_init(struct applier *a) {
    a->count = 0;
}

/* Puts what waits into m, in the order in which it came. As memtable_put(). */
int applier_finish(struct applier *a, struct memtable *m);

/* Takes an operation, whose key and value live until none waits; puts what waits when that is
 * enough. */
static inline int applier_add(struct applier *a, struct memtable *m, const struct batch_op *op,
                              uint64_t seq) {
    a->ops[a->count] = *op;
    a->seqs[a->count++] = seq;
    return a->count < APPLY_OPS_MAX ? FIRN_OK : applier_finish(a, m);
}

#endif
