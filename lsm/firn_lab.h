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
    uint64_t oldest_delete_ns; /* its oldest delete was written then, or later; 0: it has none */
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
    uint64_t read_seq;  /* readers go back to this sequence: deletes after it cannot be dropped */
    size_t jobs;        /* merges that run */
} firn_shape;

/* What some tables have together. */
typedef struct firn_shape_sum {
    uint64_t tables, bytes, entries, tombstones;
    uint64_t busy_bytes;       /* of inputs of running jobs */
    uint64_t oldest_delete_ns; /* 0: none has a delete */
    uint64_t seq_min, seq_max;
} firn_shape_sum;

/* Each adds to *sum, which is zeroed before the first: a run, a level, and of a level the tables
 * that overlap one table. */
FIRN_API void firn_shape_add_run(const firn_shape_run *run, firn_shape_sum *sum);
FIRN_API void firn_shape_add_level(const firn_shape_level *level, firn_shape_sum *sum);
FIRN_API void firn_shape_add_overlap(const firn_shape_level *level, const firn_shape_table *table,
                                     firn_shape_sum *sum);

/* The picture of an open database as it is now, also of a read-only one; firn_shape_release() gives
 * it back, before firn_close(). It keeps the files of its tables. */
FIRN_API int firn_get_shape(firn_db *db, const firn_shape **shape);
FIRN_API void firn_shape_release(firn_db *db, const firn_shape *shape);

/* ---- Policies ----------------------------------------------------------------------------------
 */

/* What a policy goes by; the engine derives it from firn_options, where size_ratio, level0_runs,
 * runs_upper, runs_last, runs_per_level, granularity, partial_levels, fifo_bytes, fifo_seconds and
 * delete_within_seconds are so named. A policy of one's own may take any of them to mean what it
 * likes. */
typedef struct firn_policy_params {
    firn_policy policy;
    const struct firn_user_policy *user; /* not NULL: instead of `policy` */
    uint32_t size_ratio;                 /* T */
    uint32_t level0_runs;                /* flushed runs that start a merge */
    /* Leveling: the most that the highest level in use below level 0 holds; the one below it holds
     * T times as much, and so on. */
    uint64_t level1_bytes;
    uint64_t table_bytes;

    /* The fluid form. */
    uint64_t batch_bytes; /* what a merge of level 0 brings down, about */
    uint32_t runs_upper;  /* K: runs a level between level 0 and the last may have; at least 1 */
    uint32_t runs_last;   /* Z: runs the last level may have; at least 1 */
    uint32_t runs_of_level[FIRN_LEVELS_MAX]; /* K of single levels; 0: runs_upper */
    firn_granularity granularity;
    uint32_t partial_levels; /* with partial granularity: levels that are written in parts */
    uint64_t
        job_bytes; /* what a merge with partial granularity rewrites of the last level, about */

    uint64_t fifo_bytes;       /* fifo: the oldest tables leave when all take more; 0: no bound */
    uint64_t fifo_ns;          /* fifo: and when they are older; 0: no bound */
    uint64_t delete_within_ns; /* a delete is gone from the disk after this time; 0: in time */
} firn_policy_params;

#define FIRN_JOB_TABLES_MAX 4096 /* inputs of one job */

typedef enum firn_job_output {
    FIRN_OUTPUT_MERGE_INTO_RUN, /* outputs replace the inputs inside the newest run of the level */
    FIRN_OUTPUT_NEW_RUN,        /* outputs become the newest run of the level */
    FIRN_OUTPUT_NONE,           /* the inputs leave, unread, and with them what they hold */
    FIRN_OUTPUT_MOVE            /* the inputs, of one run, go unread to a lower level: into its
                                 * newest run, or as its first */
} firn_job_output;

typedef struct firn_job {
    bool any;                             /* false: nothing to do */
    uint64_t tables[FIRN_JOB_TABLES_MAX]; /* numbers of the inputs, newest run first */
    size_t table_count;
    size_t output_level;
    firn_job_output output;
    bool bottom; /* nothing older than the inputs lies in or below the output */
    /* An output ends where a table of level cut_level begins (0: of the level below the output), if
     * it has at least this part of what fills a table: 0.25 keeps merges of the level below small;
     * 0 makes outputs that can be merged down one table of that level at a time, with nothing else.
     */
    double cut_part;
    size_t cut_level;
    double score;    /* how overdue: 1 is due */
    char reason[96]; /* "level 0 has 5 runs of 4" */
} firn_job;

/* A policy of one's own: in a database (firn_options.user_policy), in firn_simulate(), and, from a
 * shared object, in the command `firn` (firn_policies below). Its functions are called under a lock
 * of the database: they are quick and call nothing of firn but firn_job_*() and firn_shape_*(). They
 * get the same context, from one thread at a time for each database.
 *
 * pick() is asked after each flush and merge, and again until it wants nothing: a policy that always
 * wants something never comes to rest. One merge at a time is done for it, so when it is asked, busy
 * tables are those of a firn_compact() only. */
typedef struct firn_user_policy {
    const char *name; /* told in reports, and what firn_options_set() knows it by */
    void *context;

    /* Says in *job, which is empty, what to merge next: the numbers of its tables in any order,
     * where the output goes (output_level, output), `reason` for reports, and, last, `any`: while
     * that is false, nothing is done. firn puts the tables in order and works out `bottom`;
     * cut_part is 0.25 unless it is changed; score is for policies with several merges at a time.
     *
     * What has to be among the tables (firn_job_check() below has the rules):
     *     FIRN_OUTPUT_NEW_RUN          from each level the oldest runs that overlap, so that all
     *                                  that stays above is newer, and all of the levels between;
     *                                  of the output level nothing, or all of it
     *     FIRN_OUTPUT_MERGE_INTO_RUN   besides, what they overlap of the run that is merged into:
     *                                  firn_job_add_overlap(job, shape, output_level)
     * Outputs go to a level from 1 to FIRN_LEVELS_MAX - 1; levels may be left empty. */
    void (*pick)(void *context, const firn_shape *shape, const firn_policy_params *params,
                 firn_job *job);

    /* Bytes to merge before everything is as it should be, by which writers are slowed; NULL: those
     * of level 0 beyond level0_runs runs. */
    uint64_t (*debt)(void *context, const firn_shape *shape, const firn_policy_params *params);
} firn_user_policy;

/* What `firn sim --plugin FILE`, and any other command, takes policies from: a shared object that
 * defines this, with NULL for an end. It need not be linked with firn. */
extern const firn_user_policy *const firn_policies[];

/* For pick(): adds tables to the job, those that it has already only once: a table, all of a run, all
 * of a level, and of a level (which may be empty, or below the last) what overlaps the keys from the
 * first to the last of the job's tables. False: one is busy, or there are too many; then the job
 * cannot be done now, and `any` is left false. */
FIRN_API bool firn_job_add_table(firn_job *job, const firn_shape_table *table);
FIRN_API bool firn_job_add_run(firn_job *job, const firn_shape_run *run);
FIRN_API bool firn_job_add_level(firn_job *job, const firn_shape_level *level);
FIRN_API bool firn_job_add_overlap(firn_job *job, const firn_shape *shape, size_t level);

/* Whether the engine would carry the job out, as pick() says it: with tables in any order, and
 * without `bottom`. They are there, and free; for every key, newer versions still lie above older ones
 * afterwards, and runs stay disjoint. Tables that leave without output (FIRN_OUTPUT_NONE) are the
 * oldest of all that they overlap, so that no older version of a key comes to light. FIRN_INVALID
 * names the rule that it breaks. In a database such a job is not done: merging stops until
 * firn_resume() or reopening, nothing is lost, and firn_report() and stalled writers say why. */
FIRN_API int firn_job_check(const firn_shape *shape, const firn_job *job);

/* ---- Traces ------------------------------------------------------------------------------------
 *
 * What an open database is asked for, operation by operation, in a file: to look at (`firn trace`),
 * and to do it over in the simulator under other policies (firn_sim_workload.trace). Recording bounds
 * its memory and never fails an operation: what cannot be written is lost, and counted. A lookup that
 * is recorded takes a mutex; one that is not only looks whether it should be. */

typedef enum firn_trace_kind {
    FIRN_TRACE_PUT = 0,
    FIRN_TRACE_DELETE = 1,
    FIRN_TRACE_GET = 2, /* also of firn_contains() and firn_multi_get(), each key */
    FIRN_TRACE_SCAN = 3 /* an iterator that was positioned and then moved */
} firn_trace_kind;

typedef struct firn_trace_op {
    firn_trace_kind kind;
    bool found;           /* a get: there was a value */
    firn_slice key;       /* of a scan: where it began; borrowed until the next call */
    uint64_t value_bytes; /* of a put, and of a get that read the value */
    uint64_t passed;      /* a scan: entries that it stood on */
    uint64_t nanoseconds; /* since recording began, in whole microseconds */
} firn_trace_op;

typedef struct firn_trace_options {
    size_t struct_size; /* set by firn_trace_options_init() */
    /* Instead of keys, eight bytes of hash, which tell nothing of them, nor of their order: scans
     * and sequential writes then look like others. Default false. */
    bool hash_keys;
    bool reads;          /* gets and scans, too; default true */
    uint64_t bytes_max;  /* of the file, about; what comes later is lost; 0: no bound; default 0 */
    size_t buffer_bytes; /* two of these are held; default 1 MiB; 128 KiB to 64 MiB */
} firn_trace_options;

typedef struct firn_trace_info {
    size_t struct_size;
    bool hashed;   /* keys are hashes */
    bool complete; /* recording was ended in order, and nothing failed */
    uint64_t puts, deletes, gets, gets_absent, scans;
    uint64_t lost; /* operations, for want of room, or after a failure */
    uint64_t entries_before; /* the database had when recording began */
    uint64_t wall_ns;        /* when that was, since 1970 */
    uint64_t nanoseconds;    /* from then to the end, or to the last operation read */
    uint64_t file_bytes;
} firn_trace_info;

FIRN_API void firn_trace_options_init(firn_trace_options *options);

/* Begins a new file at path; options NULL: the defaults. Writes are recorded in the order in which
 * they took effect; what firn_bulk and firn_ingest bring in is not. FIRN_BUSY: one is being recorded;
 * FIRN_EXISTS: there is such a file. */
FIRN_API int firn_trace_start(firn_db *db, const char *path, const firn_trace_options *options);

/* Ends it and syncs the file; so does firn_close(), without telling. The first failure of a write to
 * the file is told here, when the file has what came before. *info, which may be NULL, is filled in
 * any case. */
FIRN_API int firn_trace_stop(firn_db *db, firn_trace_info *info);

typedef struct firn_trace firn_trace;

/* Reads a file of these. FIRN_CORRUPT: it is none, or was changed. */
FIRN_API int firn_trace_open(const char *path, firn_trace **trace);
FIRN_API void firn_trace_close(firn_trace *trace); /* NULL is allowed */

/* FIRN_OK and the next operation; FIRN_NOT_FOUND at the end, also where the file was cut off. */
FIRN_API int firn_trace_next(firn_trace *trace, firn_trace_op *op);

/* Of what was read so far. */
FIRN_API void firn_trace_get_info(const firn_trace *trace, firn_trace_info *info);

/* ---- The simulator ----------------------------------------------------------------------------
 *
 * Moves entries through a policy as the engine would, and counts; no formula stands for a merge. A
 * policy is carried out by the very code that picks and checks jobs in the engine. When there are
 * more entries than machine.entries_max, one stands for several: keys are sampled evenly, and
 * memtables and tables hold so many fewer, so that shapes, merges per entry and reads per lookup
 * are those of the large tree, and a billion entries take seconds. */

typedef enum firn_sim_order {
    FIRN_SIM_UNIFORM = 0,    /* every key alike, in random order */
    FIRN_SIM_ZIPF = 1,       /* few keys often, scattered over the key space */
    FIRN_SIM_SEQUENTIAL = 2, /* ascending, over and over */
} firn_sim_order;

/* First every key is inserted once; then what else is written and read, evenly mixed. */
typedef struct firn_sim_workload {
    size_t struct_size;   /* set by firn_sim_workload_init() */
    uint64_t entries;     /* distinct keys; default 10,000,000 */
    firn_sim_order order; /* of inserting them: not FIRN_SIM_ZIPF; default FIRN_SIM_UNIFORM */

    firn_sim_order accesses; /* which keys the following go to; default FIRN_SIM_UNIFORM */
    double zipf_theta;       /* skew, above 0 and below 1; default 0.99 */
    uint64_t updates;        /* default 0, as all of these */
    uint64_t deletes;
    uint64_t reads;       /* of keys that were inserted */
    uint64_t empty_reads; /* of keys that never were, between those */
    uint64_t scans;
    uint64_t scan_entries; /* keys a scan passes; default 100 */
    uint64_t seed;         /* default 1; the same seed gives the same run */
    /* The file of a trace, which is done instead of all of that; default NULL. Keys that it finds
     * before it has written them are put first. Of more than machine.entries_max keys some are
     * sampled, with all operations on them. */
    const char *trace;
} firn_sim_workload;

typedef struct firn_sim_machine {
    size_t struct_size;   /* set by firn_sim_machine_init() */
    uint64_t entry_bytes; /* of an entry in a table; default 16 */
    /* Above the last level, where tables are made in less time and may be larger; 0: the same;
     * default 0. */
    uint64_t entry_bytes_above;
    double writes_per_second; /* how fast writers are when nothing holds them; default 500,000 */
    double
        disk_bytes_per_second; /* for flushes and merges, read and written; 0: no time; default 0 */
    uint64_t entries_max;      /* to simulate; more are sampled; default 2,000,000 */
    uint32_t samples;          /* about so many calls of `sample`; default 200 */
} firn_sim_machine;

typedef struct firn_sim_level {
    uint64_t runs, tables, entries;
    uint64_t written; /* entries that flushes and merges wrote into the level so far */
} firn_sim_level;

/* Where the tree stands, and everything counted since the beginning. Counts are of real entries and
 * operations: what was sampled is scaled up. */
typedef struct firn_sim_sample {
    double seconds;        /* simulated */
    uint64_t puts;         /* entries written by the workload, tombstones among them */
    uint64_t flushed;      /* entries written by flushes */
    uint64_t merged;       /* and by merges; (flushed + merged) / puts is the write amplification */
    uint64_t merge_inputs; /* entries read by merges */
    uint64_t jobs;         /* merges */
    uint64_t live;         /* keys that are there, as of the last flush */
    uint64_t stored;       /* entries in tables; stored / live is the space amplification */
    uint64_t stored_most;  /* the most since the sample before, with inputs and outputs of merges */
    uint64_t runs;         /* a scan has to position */
    uint64_t debt;         /* bytes to merge before every level is as the policy wants it */
    double filter_bits;    /* of a key in tables, on the average; and the false reads to expect */
    double false_reads_expected; /* of a lookup of an absent key, by all filters as they are */
    double reads,
        read_runs;      /* done, and the runs that they went through, up to the one that had it */
    double false_reads; /* expected, of these: pages read because a filter erred */
    double empty_reads, empty_read_runs, empty_false_reads;
    double scans, scan_runs, scan_entries;       /* entries passed, outdated ones among them */
    double stall_seconds, stall_longest_seconds; /* writers stood still */
    size_t level_count;
    firn_sim_level levels[FIRN_LEVELS_MAX];
} firn_sim_sample;

FIRN_API void firn_sim_workload_init(firn_sim_workload *workload);
FIRN_API void firn_sim_machine_init(firn_sim_machine *machine);

/* Runs the workload. Of options, those count that decide the shape of the tree: memtable_entries or
 * memtable_bytes, table_entries or table_bytes, the policy's, filters' and background_threads;
 * NULL: the defaults. sample is called about machine->samples times, and at the end when all merges
 * are done; a result other than 0 ends the run with FIRN_CANCELLED. FIRN_INVALID names what is
 * wrong; FIRN_NOMEM. */
FIRN_API int firn_simulate(const firn_options *options, const firn_sim_workload *workload,
                           const firn_sim_machine *machine,
                           int (*sample)(void *context, const firn_sim_sample *sample),
                           void *context);

typedef enum firn_sim_op {
    FIRN_SIM_PUT = 0,
    FIRN_SIM_DELETE = 1,
    FIRN_SIM_READ = 2,
    FIRN_SIM_EMPTY_READ = 3, /* of a key right behind the one that is told, never inserted */
    FIRN_SIM_SCAN = 4        /* from the key on */
} firn_sim_op;

/* Tells the operations of a workload in the order in which the simulator does them, so that they
 * can be done to something else. key: its number in key order, below workload->entries. A result
 * other than 0 ends it with FIRN_CANCELLED. FIRN_INVALID: more than 2^30 entries, or a trace. */
FIRN_API int firn_sim_generate(const firn_sim_workload *workload,
                               int (*act)(void *context, firn_sim_op op, uint64_t key),
                               void *context);

/* The rate of errors to expect of a filter of this kind over so many keys; 1 without bits. */
FIRN_API double firn_filter_rate(firn_filter_kind kind, uint64_t keys, double bits_per_key);

#ifdef __cplusplus
}
#endif
#endif
