/* compaction/sim_tree.h: a tree of levels, runs and tables that hold nothing but numbers: what the
 * simulator moves about. A job does to it what a merge does to files.
 *
 * An entry is eight bytes: key above, then version, newest first, then whether it is a tombstone;
 * so ascending numbers are ascending keys with the newest version first (sim_entry()). No
 * snapshots: a merge keeps the newest version of a key, and drops a tombstone at the bottom.
 *
 * One entry stands for `scale` real ones: their keys are one in `scale` of all, evenly spread, and
 * memtables and tables hold so many fewer. Shapes and ratios are then those of the large tree, and
 * a billion entries take seconds. Counts here are in simulated entries; pictures are in real ones.
 */
#ifndef FIRN_COMPACTION_SIM_TREE_H
#define FIRN_COMPACTION_SIM_TREE_H

#include "base/alloc.h"
#include "compaction/policy.h"

typedef uint64_t sim_entry;

#define SIM_VERSION_MAX UINT32_C(0x7fffffff)

static inline sim_entry sim_entry_make(uint32_t key, uint32_t version, bool tombstone) {
    return (uint64_t)key << 32 | (uint64_t)(SIM_VERSION_MAX - version) << 1 | tombstone;
}

static inline uint32_t sim_entry_key(sim_entry e) {
    return (uint32_t)(e >> 32);
}

static inline uint32_t sim_entry_version(sim_entry e) {
    return SIM_VERSION_MAX - (uint32_t)((e & UINT32_MAX) >> 1);
}

static inline bool sim_entry_is_tombstone(sim_entry e) {
    return e & 1;
}

struct sim_table {
    uint64_t number, created_ns, oldest_delete_ns;
    uint32_t version_min, version_max;
    size_t count, tombstones;
    uint64_t entry_bytes;
    double filter_bits, filter_rate; /* per key; of errors */
    bool busy;
    uint8_t smallest[4], largest[4]; /* the keys as bytes, for pictures */
    sim_entry entries[];
};

struct sim_run {
    uint64_t id;               /* the newer, the larger */
    struct sim_table **tables; /* ascending, disjoint */
    size_t count, capacity;
};

struct sim_level {
    struct sim_run *runs; /* newest first */
    size_t count, capacity;
};

struct sim_tree {
    /* Constant after init. */
    struct alloc *alloc;
    uint64_t scale;
    uint64_t entry_bytes, entry_bytes_above; /* in the last level, and above it; real ones */
    size_t table_entries;                    /* an output ends at so many, or earlier at a cut */
    firn_filter_kind filter_kind;
    double filter_gain; /* above 0: ideal filters, whose -ln(rate) grows by this with each bit */

    struct sim_level levels[FIRN_LEVELS_MAX];
    uint64_t next_number; /* of tables and runs */
    size_t stored;        /* entries in all tables */

    /* The arrays of the last picture. */
    firn_shape_table *picture_tables;
    firn_shape_run *picture_runs;
    size_t picture_table_capacity, picture_run_capacity;
};

void sim_tree_init(struct sim_tree *tree, struct alloc *alloc);
void sim_tree_deinit(struct sim_tree *tree);

/* A new run in level 0. entries: ascending, one for each key, at least one. */
int sim_tree_flush(struct sim_tree *tree, const sim_entry *entries, size_t count, uint64_t now_ns,
                   double filter_bits);

/* For the policies; lives until the tree changes. */
int sim_tree_picture(struct sim_tree *tree, uint64_t now_ns, firn_shape *shape);

/* Marks the inputs of a job that job_check() allows; *entries: in all of them. Returns the run that
 * the outputs join; 0: a run of their own. */
uint64_t sim_tree_begin(struct sim_tree *tree, const firn_job *job, size_t *entries);

/* Puts what survives of a begun job's inputs where the job wants it, in the run that the beginning
 * told. *read and *written: entries of the inputs and of the outputs. */
int sim_tree_finish(struct sim_tree *tree, const firn_job *job, uint64_t run, uint64_t now_ns,
                    double filter_bits, size_t *read, size_t *written);

/* Of all tables: filter bits per key on the average, and the false reads to expect of a lookup of
 * an absent key. */
void sim_tree_filters(const struct sim_tree *tree, double *bits_per_key, double *false_reads);

/* What a lookup costs that goes through the runs from the newest on. */
struct sim_lookup {
    bool found;         /* also when what it finds is a tombstone */
    size_t runs;        /* with a table whose range has the key */
    double false_reads; /* expected: the sum of the rates of the filters asked in vain */
};
void sim_tree_lookup(const struct sim_tree *tree, uint32_t key, struct sim_lookup *lookup);

/* A scan of the keys from `from` to `to`: the runs that have to be positioned, and the entries
 * read.
 */
void sim_tree_scan(const struct sim_tree *tree, uint32_t from, uint32_t to, size_t *runs,
                   size_t *entries);

#endif
