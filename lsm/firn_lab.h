/* lsm/firn_lab.h: the compaction laboratory: for people who study how an LSM tree merges. Whoever
 * only stores data needs lsm/firn.h alone.
 *
 * A policy decides which merge to do next. It is a pure function: a picture of the levels and
 * parameters in, at most one job out; no file, no clock, no lock, no memory of its own. So the same
 * policy runs in the engine and in the simulator, and the same picture always gives the same job.
 *
 * The engine checks each job before it is done (firn_job_check() below). One that breaks a rule is
 * not carried out; nothing is lost.
 */
#ifndef FIRN_LAB_H
#define FIRN_LAB_H

#include "lsm/firn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The picture of the levels ----------------------------------------------------------------
 *
 * Level 0 holds flushed runs, level_count - 1 is the last level that is not empty. Within a level
 * run 0 is the newest; all of a higher level is newer, key for key, than all of a lower one. The
 * tables of a run are disjoint and ascending. A picture is immutable, and lives during the call. */

#define FIRN_LEVELS_MAX 16

typedef struct firn_shape_table {
    uint64_t number; /* names the table in jobs */
    uint64_t bytes, entries, tombstones;
    uint64_t seq_min, seq_max; /* of its entries */
    uint64_t created_ns;       /* when its file was made, as firn_shape.now_ns counts */
    firn_slice smallest, largest;
    bool busy; /* input of a running job: no other may take it */
} firn_shape_table;

typedef struct firn_shape_run {
    const firn_shape_table *tables;
    size_t count;
} firn_shape_run;

typedef struct firn_shape_level {
    const firn_shape_run *runs; /* newest first */
    size_t count;
} firn_shape_level;

typedef struct firn_shape {
    firn_shape_level levels[FIRN_LEVELS_MAX];
    size_t level_count; /* at least 1 */
    uint64_t now_ns;
} firn_shape;

/* ---- Policies ----------------------------------------------------------------------------------
 */

/* What a policy goes by; the engine derives it from firn_options. */
typedef struct firn_policy_params {
    firn_policy policy;
    uint32_t size_ratio;  /* T */
    uint32_t level0_runs; /* flushed runs that start a merge */
    /* Leveling: the most that the highest level in use below level 0 holds; the one below it holds
     * T times as much, and so on. */
    uint64_t level1_bytes;
    uint64_t table_bytes;
} firn_policy_params;

#define FIRN_JOB_TABLES_MAX 4096 /* inputs of one job */

typedef enum firn_job_output {
    FIRN_OUTPUT_MERGE_INTO_RUN, /* outputs replace the inputs inside the single run of the level */
    FIRN_OUTPUT_NEW_RUN         /* outputs become the newest run of the level */
} firn_job_output;

typedef struct firn_job {
    bool any;                             /* false: nothing to do */
    uint64_t tables[FIRN_JOB_TABLES_MAX]; /* numbers of the inputs, newest run first */
    size_t table_count;
    size_t output_level;
    firn_job_output output;
    bool bottom;     /* nothing older than the inputs lies in or below the output */
    double score;    /* how overdue: 1 is due */
    char reason[96]; /* "level 0 has 5 runs of 4" */
} firn_job;

#ifdef __cplusplus
}
#endif
#endif
