/* compaction/simulate.h: a workload through a policy, without a disk: lsm/firn_lab.h says what is
 * counted, sim_tree.h holds the tree.
 *
 * The writer fills memtables; a full one is sealed and flushed as a job; merges are picked and
 * checked as in the engine, and several run at once. A job takes the time of its bytes, the disk
 * shared evenly by those that run; where the disk costs nothing, a job is done at once. Writers
 * stand still by the engine's rules, sealed memtables waiting or level 0 too long.
 */
#ifndef FIRN_COMPACTION_SIMULATE_H
#define FIRN_COMPACTION_SIMULATE_H

#include "base/alloc.h"
#include "compaction/filter_bits.h"
#include "compaction/sim_ops.h"

struct sim_setup {
    const firn_sim_workload *workload;
    const firn_sim_machine *machine;
    firn_policy_params policy;
    const struct sim_recorded *recorded; /* instead of the workload; NULL: the workload */
    uint64_t memtable_entries, table_entries;
    struct filter_budget filters;
    double filter_gain;      /* above 0: ideal filters (sim_tree.h) */
    unsigned merges_max;     /* at once */
    size_t sealed_max;       /* memtables that may wait */
    size_t level0_runs_most; /* before writers stand still; 0: as many as there are */
    int (*sample)(void *context, const firn_sim_sample *sample);
    void *context;
};

/* By how much memtables of so many entries may be scaled down, to be still worth the name. */
uint64_t sim_scale_max(uint64_t memtable_entries);

/* FIRN_CANCELLED, FIRN_NOMEM, FIRN_INVALID: a policy's job broke a rule. */
int simulate(struct alloc *alloc, const struct sim_setup *setup);

#endif
