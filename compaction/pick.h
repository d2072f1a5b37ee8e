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
bool shape_is_busy(const firn_shape *shape);

/* The level's bytes that no job is working on. */
uint64_t level_idle_bytes(const firn_shape_level *level);

/* Of the level's bytes, those in runs beyond so many, runs taken to be alike. */
double level_bytes_beyond(const firn_shape_level *level, size_t runs);

bool job_has(const firn_job *job, uint64_t number); /* among its inputs */

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

/* Completes the job; true when it can be done. Merging into a run adds what overlaps in it first:
 * in the only run of the level, or, with draft_into_newest(), in the newest of however many. The
 * reason is the policy's to add. */
bool draft_into_run(struct draft *draft, size_t output_level, double score);
bool draft_into_newest(struct draft *draft, size_t output_level, double score);
bool draft_new_run(struct draft *draft, size_t output_level, double score);
bool draft_move(struct draft *draft, size_t output_level, double score);

/* Puts the tables of a job, listed in any order, in order, and works out `bottom`. Tables that are
 * not there, or listed twice, are left at the end for job_check() to name. */
void job_complete(const firn_shape *shape, firn_job *job);

/* How old the oldest delete of a level may become before it has to go on: see overdue.c. */
struct deadlines {
    uint64_t ns[FIRN_LEVELS_MAX];
    size_t last; /* the level where deletes are dropped */
    bool any;    /* false: deletes may take their time */
};

/* Entries go from level 0 to base, and from there level by level to the last. */
void deadlines_init(struct deadlines *d, const firn_policy_params *params, size_t base,
                    size_t last);

/* Whether a table that lies in the level is free, has a delete that is too old, and merging it now
 * helps. */
bool table_is_overdue(const struct deadlines *d, const firn_shape *shape, size_t level,
                      const firn_shape_table *table);
/* One of them; NULL when there is none. */
const firn_shape_table *level_overdue(const struct deadlines *d, const firn_shape *shape,
                                      size_t level);

/* Rewrites what is overdue in the last level: a table of a single run, or all runs as one. Where
 * the level may have several, their order depends on nothing else coming to it meanwhile: then this
 * waits until no job runs, and what goes to a busy last level has to wait, too. */
bool pick_overdue_in_place(const struct deadlines *d, const firn_shape *shape, size_t level,
                           bool several, firn_job *job);
void reason_overdue(firn_job *job, size_t level);

/* When the next delete becomes overdue; UINT64_MAX: none will. */
uint64_t deadlines_wake_ns(const struct deadlines *d, const firn_shape *shape);

/* The policies. Each fills in *job, which says "nothing to do" when they are called, or leaves it.
 */
void leveled_pick(const firn_shape *shape, const firn_policy_params *options, firn_job *job);
void tiered_pick(const firn_shape *shape, const firn_policy_params *options, firn_job *job);
void fluid_pick(const firn_shape *shape, const firn_policy_params *params, firn_job *job);
void fifo_pick(const firn_shape *shape, const firn_policy_params *params, firn_job *job);

/* Whether the policy is a case of the fluid form; *fluid then are the parameters of that form. */
bool policy_as_fluid(const firn_policy_params *params, firn_policy_params *fluid);

/* Bytes to merge before every level is as the policy wants it. */
uint64_t leveled_debt(const firn_shape *shape, const firn_policy_params *options);
uint64_t tiered_debt(const firn_shape *shape, const firn_policy_params *options);
uint64_t fluid_debt(const firn_shape *shape, const firn_policy_params *params);

/* The times after which the policy may want a job of a shape that stays as it is. */
void leveled_deadlines(const firn_shape *shape, const firn_policy_params *params,
                       struct deadlines *d);
void tiered_deadlines(const firn_shape *shape, const firn_policy_params *params,
                      struct deadlines *d);
void fluid_deadlines(const firn_shape *shape, const firn_policy_params *params,
                     struct deadlines *d);
uint64_t fifo_wakes_ns(const firn_shape *shape, const firn_policy_params *params);

/* The level that a policy sends everything to in the end; at least 1. */
size_t leveled_bottom(const firn_shape *shape, const firn_policy_params *options);
size_t tiered_bottom(const firn_shape *shape);
size_t fluid_last(const firn_shape *shape, const firn_policy_params *params);
size_t policy_bottom(const firn_shape *shape, const firn_policy_params *options);

/* What leveling allows a level to hold; UINT64_MAX for the last. */
uint64_t leveled_capacity(const firn_shape *shape, const firn_policy_params *options, size_t level);

#endif
