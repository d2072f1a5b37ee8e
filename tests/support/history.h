/* tests/support/history.h: a workload on a database that remembers what it was told, and a judge
 * who says whether what is found later can be explained by it.
 *
 * Each write is one commit, whole or absent. A commit that returned FIRN_OK has happened; one that
 * failed with an input/output error may have happened; one that was refused has not. A state is
 * explained by some prefix of the commits, of which those that may have happened are chosen freely.
 */
#ifndef FIRN_TESTS_HISTORY_H
#define FIRN_TESTS_HISTORY_H

#include "base/env_sim.h"
#include "base/rand.h"
#include "tests/support/events.h"

#define HISTORY_FOLDER "db"

enum commit_outcome { COMMIT_DONE, COMMIT_UNKNOWN, COMMIT_NOTHING };

struct commit {
    uint64_t begun; /* changes of the disk before it */
    enum commit_outcome outcome;
    size_t op_first, op_count;
};

struct history_op {
    uint32_t key;
    bool put;
    uint64_t seed; /* of the value */
    uint32_t size;
};

/* From that many disk changes on, so many commits are durable whatever happens. */
struct ack {
    uint64_t changes;
    size_t commits;
};

struct history {
    firn_env *env; /* simulated */
    firn_options options;
    struct rand rand;
    firn_db *db;             /* NULL: closed */
    firn_snapshot *snapshot; /* held open; NULL: none */
    struct commit *commits;
    size_t commit_count, commit_capacity;
    struct history_op *ops;
    size_t op_count, op_capacity;
    struct ack *acks;
    size_t ack_count, ack_capacity;
    /* The hash after so many commits, for each choice of the unknown ones; NULL: not worked out. */
    uint64_t *prefix_hash;
    size_t prefix_commits, prefix_unknown; /* how many there were when that was made */
    size_t unknown;                        /* commits with that outcome */
    uint64_t errors;                       /* calls that failed */
    struct events events;                  /* what the database told */
    bool faults;                           /* calls of the environment may fail */
};

/* What a workload does, each weight in a thousand commits. */
struct workload {
    uint64_t seed;
    unsigned commits;
    unsigned keys;
    unsigned sync, batch, delete, flush, compact, reopen, idle; /* in a thousand */
    unsigned ingest; /* likewise: a commit is tables that are taken in, which makes it durable */
    uint32_t memtable_entries;
    firn_policy policy;
    const struct firn_user_policy *user_policy; /* instead */
    unsigned snapshot; /* in a thousand: one is taken, and the one before released */
    unsigned delete_within_seconds;
    unsigned failing_sync; /* the n-th sync of a file fails; 0: none */
    enum sim_failed_sync failed_sync;
};

/* env must be simulated and empty. */
void history_init(struct history *h, firn_env *env, const struct workload *w);
void history_deinit(struct history *h);

/* Runs all of it, and closes. Failures are noted, and recovered from by resuming or reopening. */
void history_run(struct history *h, const struct workload *w);

/* The same, without opening and closing. */
void history_steps(struct history *h, const struct workload *w, unsigned commits);
bool history_open(struct history *h); /* false: opening failed */
void history_close(struct history *h);

/* How many commits must be found after a cut directly before that change. */
size_t history_required(const struct history *h, uint64_t change);

/* How many may be found. */
size_t history_possible(const struct history *h, uint64_t change);

/* The number of commits in a prefix of between `least` and `most` that gives that sum of
 * oracle_pair_hash(); SIZE_MAX when there is none. */
size_t history_explain(struct history *h, uint64_t hash, size_t least, size_t most);

/* The sum over a whole scan, in both directions; fails when they differ. Returns a firn_code. */
int history_scan(firn_db *db, uint64_t *hash, uint64_t *count);

/* Options for reading back what a workload wrote. */
void history_options(const struct workload *w, firn_env *env, firn_options *options);

/* Aborts at a deadlock of the simulated machine, telling where. */
void history_watch(firn_env *env, const char *what);

#endif
