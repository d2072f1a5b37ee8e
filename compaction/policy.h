/* compaction/policy.h: which merge to do next. A policy is a pure function of a picture of the
 * levels and its parameters: no file, no clock, no lock, no memory of its own.
 */
#ifndef FIRN_COMPACTION_POLICY_H
#define FIRN_COMPACTION_POLICY_H

#include "base/slice.h"
#include "lsm/firn_lab.h"

/* The most urgent job among tables that are not busy. Several may run at once, each picked with the
 * inputs of the others marked busy; they may end in any order. */
void policy_pick(const firn_shape *shape, const firn_policy_params *options, firn_job *job);

/* How far behind merging is: bytes that must be merged before every level is within its capacity.
 * What writers are slowed by. */
uint64_t policy_debt(const firn_shape *shape, const firn_policy_params *options);

/* When, as firn_shape.now_ns counts, time alone may make a job due that is not now; UINT64_MAX:
 * never. */
uint64_t policy_wake_ns(const firn_shape *shape, const firn_policy_params *params);

/* How long a delete may stay in a memtable; 0: as long as it likes. */
uint64_t policy_flush_within_ns(const firn_policy_params *params);

/* Whether the policy ever has a job; and whether it keeps level 0 short. */
bool policy_acts(const firn_policy_params *params);
bool policy_merges(const firn_policy_params *params);

/* Checks a job against the picture: inputs exist and are not busy, are contiguous in age for every
 * key range they cover, outputs keep runs disjoint and newer above older, bottom is true,
 * nothing older comes to light where tables leave. FIRN_INVALID names the broken rule. Shares no
 * code with the policies. */
int job_check(const firn_shape *shape, const firn_job *job);

/* The job that merges everything overlapping [lower, upper] (user keys, data NULL: unbounded) into
 * the last level. When that is more than FIRN_JOB_TABLES_MAX tables it covers a first part of the
 * range: go on behind the largest key of its inputs. This job may take tables of any level, so it
 * runs alone: any is false when nothing overlaps, or, with score 1, when a table of the shape is
 * busy.
 */
void policy_pick_range(const firn_shape *shape, const firn_policy_params *options, firn_slice lower,
                       firn_slice upper, firn_job *job);

/* Where a table from outside comes to lie, whose entries are newer than all there is. */
struct place {
    size_t level;
    bool new_run; /* the newest of its level; or else it joins a run, which it does not overlap: */
    size_t run;
};

/* The lowest place for a table of these bounds, both included, at which nothing that it overlaps
 * lies above it or beside it. Running jobs may end before or after it is there. Level 0 always can.
 */
void policy_place(const firn_shape *shape, const firn_policy_params *options, firn_slice smallest,
                  firn_slice largest, struct place *place);

const char *policy_name(firn_policy policy); /* "lazy-leveled"; NULL when unknown */
const char *policy_name_of(const firn_policy_params *params);

#endif
