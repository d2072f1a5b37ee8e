/* compaction/shape.h: a picture of the levels in plain values: all that a policy may know.
 *
 * Level 0 holds flushed runs, level L-1 is the last. Within a level run 0 is the newest; all of a
 * higher level is newer, key for key, than all of a lower one. The tables of a run are disjoint and
 * ascending. A picture is immutable and owned by whoever made it.
 */
#ifndef FIRN_COMPACTION_SHAPE_H
#define FIRN_COMPACTION_SHAPE_H

#include "base/slice.h"

#define LEVELS_MAX 16

struct shape_table {
    uint64_t number;
    uint64_t bytes, entries, tombstones;
    uint64_t seq_min, seq_max;
    uint64_t created_ns;
    firn_slice smallest, largest;
    bool busy; /* input of a running job */
};

struct shape_run {
    const struct shape_table *tables;
    size_t count;
};

struct shape_level {
    const struct shape_run *runs; /* newest first */
    size_t count;
};

struct shape {
    struct shape_level levels[LEVELS_MAX];
    size_t level_count; /* up to and including the last that is not empty; at least 1 */
    uint64_t now_ns;
};

#endif
