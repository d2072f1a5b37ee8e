/* compaction/pick.h: what the policies are written with; private to this folder.
 *
 * A draft is a job while it is put together: runs, or parts of them, are added from the newest to
 * the oldest, and the draft keeps the key range that they cover. What does not fit (a busy table,
 * too many tables) makes it refused for good, so that a policy asks once, at the end. The draft
 * also works out `bottom`, and keeps away from the ranges that running jobs may be writing to.
 */
#ifndef FIRN_COMPACTION_PICK_H
#define FIRN_COMPACTION_PICK_H

#include "compaction/policy.h"

/* The keys from smallest to largest, both included; none when !any. */
struct key_range {
    firn_slice smallest, largest;
    bool any;
};

void range_add(struct key_range *range, const firn_shape_table *table);
bool range_overlaps(const struct key_range *range, const firn_shape_table *table);

/* The first table of the run that ends at or after the key, or run->count. */
size_t run_seek(const firn_shape_run *run, firn_slice key);
/* The tables of the run that overlap the range: from the returned one to before *end. */
size_t run_overlap(const firn_shape_run *run, const struct key_range *range, size_t *end);
uint64_t run_bytes(const firn_shape_run *run);

uint64_t level_bytes(const firn_shape_level *level);
bool level_is_busy(const firn_shape_level *level); /* any of its tables is */

/* The level's bytes that no job is working on. */
uint64_t level_idle_bytes(const firn_shape_level *level);

/* a * b, or the most there is. */
uint64_t multiply_capped(uint64_t a, uint64_t b);

/* What outputs are cut at unless a policy says otherwise (firn_job.cut_part). */
#define DRAFT_CUT_PART 0.25

struct draft {
    const firn_shape *shape;
    firn_job *job;
    struct key_range range; /* covered by the inputs so far */
    bool refused;
};

void draft_begin(struct draft *draft, const firn_shape *shape, firn_job *job);

/* Adds tables begin to end of a run. */
void draft_add(struct draft *draft, const firn_shape_run *run, size_t begin, size_t end);

/* Adds the tables of every run of the level that overlap what the draft covers when it comes to
 * them. */
void draft_add_overlap(struct draft *draft, size_t level);

/* Adds the oldest runs of a level, as many as there is room for: all, or at least `least`. */
void draft_add_oldest_runs(struct draft *draft, size_t level, size_t least);

/* Completes the job; true when it can be done. MERGE_INTO_RUN adds what overlaps in the output
 * level first. The reason is the policy's to add. */
bool draft_into_run(struct draft *draft, size_t output_level, double score);
bool draft_new_run(struct draft *draft, size_t output_level, double score);

/* Puts the tables of a job, listed in any order, in order, and works out `bottom`. Tables that are
 * not there, or listed twice, are left at the end for job_check() to name. */
void job_complete(const firn_shape *shape, firn_job *job);

/* The policies. Each fills in *job, which says "nothing to do" when they are called, or leaves it.
 */
void leveled_pick(const firn_shape *shape, const firn_policy_params *options, firn_job *job);
void tiered_pick(const firn_shape *shape, const firn_policy_params *options, firn_job *job);
void fluid_pick(const firn_shape *shape, const firn_policy_params *params, firn_job *job);

/* Whether the policy is a case of the fluid form; *fluid then are the parameters of that form. */
bool policy_as_fluid(const firn_policy_params *params, firn_policy_params *fluid);

/* Bytes to merge before every level is as the policy wants it. */
uint64_t leveled_debt(const firn_shape *shape, const firn_policy_params *options);
uint64_t tiered_debt(const firn_shape *shape, const firn_policy_params *options);
uint64_t fluid_debt(const firn_shape *shape, const firn_policy_params *params);

/* The level that a policy sends everything to in the end; at least 1. */
size_t leveled_bottom(const firn_shape *shape, const firn_policy_params *options);
size_t tiered_bottom(const firn_shape *shape);
size_t fluid_last(const firn_shape *shape, const firn_policy_params *params);
size_t policy_bottom(const firn_shape *shape, const firn_policy_params *options);

/* What leveling allows a level to hold; UINT64_MAX for the last. */
uint64_t leveled_capacity(const firn_shape *shape, const firn_policy_params *options, size_t level);

#endif
