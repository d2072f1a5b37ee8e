/* compaction/policy.h: which merge to do next. A policy is a pure function of a picture of the
 * levels and its parameters: no file, no clock, no lock, no memory of its own.
 */
#ifndef FIRN_COMPACTION_POLICY_H
#define FIRN_COMPACTION_POLICY_H

#include "compaction/shape.h"

struct policy_options {
    firn_policy policy;
    uint32_t size_ratio;  /* T */
    uint32_t level0_runs; /* flushed runs that start a merge */
    /* Leveling: the most that the highest level in use below level 0 holds; the one below it holds
     * T times as much, and so on (leveled.c). */
    uint64_t level1_bytes;
    uint64_t table_bytes;
};

#define JOB_TABLES_MAX 4096 /* inputs of one job */

enum job_output {
    JOB_OUTPUT_MERGE_INTO_RUN, /* outputs replace the inputs inside the single run of output_level
                                */
    JOB_OUTPUT_NEW_RUN         /* outputs become the newest run of output_level */
};

struct job {
    bool any;                        /* false: nothing to do */
    uint64_t tables[JOB_TABLES_MAX]; /* file numbers of the inputs, newest run first */
    size_t table_count;
    size_t output_level;
    enum job_output output;
    bool bottom;     /* nothing older than the inputs lies in or below the output */
    double score;    /* how overdue: 1 is due */
    char reason[96]; /* "level 0 has 5 runs of 4" */
};

/* The most urgent job among tables that are not busy. Several may run at once, each picked with the
 * inputs of the others marked busy; they may end in any order. */
void policy_pick(const struct shape *shape, const struct policy_options *options, struct job *job);

/* How far behind merging is: bytes that must be merged before every level is within its capacity.
 * What writers are slowed by. */
uint64_t policy_debt(const struct shape *shape, const struct policy_options *options);

/* Checks a job against the picture: inputs exist and are not busy, are contiguous in age for every
 * key range they cover, outputs keep runs disjoint and newer above older, bottom is true.
 * FIRN_INVALID names the broken rule. Shares no code with the policies. */
int job_check(const struct shape *shape, const struct job *job);

/* The job that merges everything overlapping [lower, upper] (user keys, data NULL: unbounded) into
 * the last level. When that is more than JOB_TABLES_MAX tables it covers a first part of the range:
 * go on behind the largest key of its inputs. This job may take tables of any level, so it runs
 * alone: any is false when nothing overlaps, or, with score 1, when a table of the shape is busy.
 */
void policy_pick_range(const struct shape *shape, const struct policy_options *options,
                       firn_slice lower, firn_slice upper, struct job *job);

const char *policy_name(firn_policy policy); /* "lazy-leveled"; NULL when unknown */

#endif
