/* compaction/sim_ops.h: the operations of a workload, one after the other: first every key is
 * inserted once, then updates and deletes, and between them, evenly, reads of each kind; or those
 * that were recorded.
 *
 * A sample of one in `scale` keys stands for all, and of the reads of a kind no more are done than
 * `reads_most`; each then stands for `weight`.
 */
#ifndef FIRN_COMPACTION_SIM_OPS_H
#define FIRN_COMPACTION_SIM_OPS_H

#include "compaction/sim_keys.h"

/* One kind of read: done `done` of `wanted` times, each standing for `weight`. */
struct sim_reader {
    uint64_t wanted, done;
    double weight;
};

struct sim_op {
    firn_sim_op kind;
    uint32_t ordinal; /* of the key it goes to, or beside it */
    double weight;
    uint64_t entries; /* that a scan passes */
};

/* Operations that were recorded; they go to one in `scale` of the keys there were. */
struct sim_recorded_op {
    firn_sim_op kind;
    uint32_t key; /* its place among all keys of these operations, in key order */
    uint32_t passed;
};

struct sim_recorded {
    struct sim_recorded_op *ops;
    size_t count;
    uint64_t writes, scale;
    uint32_t keys;
};

struct sim_ops {
    const struct sim_recorded *recorded; /* NULL: drawn */
    size_t next;                         /* of those */
    struct sim_keys keys;
    uint64_t scan_entries;
    uint64_t writes, writes_done, deletes; /* after the inserts */
    struct sim_reader readers[3];          /* reads, empty reads, scans */
    uint64_t total;                        /* writes, inserts among them */
};

int sim_ops_init(struct sim_ops *ops, struct alloc *alloc, const firn_sim_workload *workload,
                 uint64_t scale, uint64_t reads_most);
/* Those that were recorded, which have to live as long. */
void sim_ops_init_recorded(struct sim_ops *ops, const struct sim_recorded *recorded);
void sim_ops_deinit(struct sim_ops *ops);

/* Whether all writes were given out. */
static inline bool sim_ops_written(const struct sim_ops *ops) {
    return ops->keys.inserted == ops->keys.count && ops->writes_done == ops->writes;
}

/* The next operation; false when there are no more. */
bool sim_ops_next(struct sim_ops *ops, struct sim_op *op);

#endif
