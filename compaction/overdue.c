/* Deletes in time ("Lethe", Sarkar et al., SIGMOD 2020): a tombstone is gone when a merge takes it
 * to the last level, and with it what it hides. So each level gets a share of the time that a
 * delete may take, T times as much as the one above it, as the stay of entries in them goes; a
 * level that holds an older one counts as full, and gives first what is too old.
 *
 *     written   memtable      level 0     level 1   ...   last - 1      last     gone
 *        |--------|-------------|-----------|---------------|-------------|-------|
 *        0      D / 8                                           3/4 D           D
 *
 * The last quarter is for carrying the merges out. In the last level a tombstone is left over where
 * a snapshot still read below it, or where the level has several runs: it is rewritten, once no
 * reader needs what it holds.
 */
#include "compaction/pick.h"

#include <stdio.h>

#define MEMTABLE_PART 8    /* of the time */
#define LOOK_AGAIN_PART 16 /* after so much of it, where a reader is in the way */

uint64_t policy_flush_within_ns(const firn_policy_params *params) {
    return params->delete_within_ns / MEMTABLE_PART;
}

void deadlines_init(struct deadlines *d, const firn_policy_params *params, size_t base,
                    size_t last) {
    double time = (double)params->delete_within_ns, begin = time / MEMTABLE_PART;
    double left = 0.75 * time - begin, all = 1, part = 1;
    for (size_t level = base; level < last; level++) {
        part *= params->size_ratio;
        all += part;
    }
    double sum = 1;
    part = 1;
    for (size_t level = 0; level < FIRN_LEVELS_MAX; level++) {
        if (level >= base && level < last) {
            part *= params->size_ratio;
            sum += part;
        }
        d->ns[level] = (uint64_t)(begin + left * (level < last ? sum / all : 1));
    }
    d->last = last;
    d->any = params->delete_within_ns > 0;
}

static bool is_overdue(const struct deadlines *d, const firn_shape *shape, size_t level,
                       const firn_shape_table *table) {
    return d->any && table->oldest_delete_ns != 0 && shape->now_ns >= table->oldest_delete_ns &&
           shape->now_ns - table->oldest_delete_ns >= d->ns[level];
}

/* From the last level on, merging a table again helps when nobody reads further back. */
bool table_is_overdue(const struct deadlines *d, const firn_shape *shape, size_t level,
                      const firn_shape_table *table) {
    return is_overdue(d, shape, level, table) && !table->busy &&
           (level < d->last || table->seq_max <= shape->read_seq);
}

const firn_shape_table *level_overdue(const struct deadlines *d, const firn_shape *shape,
                                      size_t level) {
    const firn_shape_level *at = &shape->levels[level];
    for (size_t r = 0; d->any && r < at->count; r++) {
        for (size_t t = 0; t < at->runs[r].count; t++) {
            if (table_is_overdue(d, shape, level, &at->runs[r].tables[t])) {
                return &at->runs[r].tables[t];
            }
        }
    }
    return NULL;
}

bool pick_overdue_in_place(const struct deadlines *d, const firn_shape *shape, size_t level,
                           bool several, firn_job *job) {
    const firn_shape_table *table = level_overdue(d, shape, level);
    const firn_shape_level *at = &shape->levels[level];
    if (table == NULL || (several && shape_is_busy(shape))) {
        return false;
    }
    struct draft draft;
    draft_begin(&draft, shape, job);
    bool done;
    if (at->count == 1) {
        range_add(&draft.range, table);
        done = draft_into_run(&draft, level, 1);
    } else {
        draft_add_oldest_runs(&draft, level, at->count);
        done = draft_new_run(&draft, level, 1);
    }
    if (done) {
        reason_overdue(job, level);
    }
    return done;
}

void reason_overdue(firn_job *job, size_t level) {
    (void)snprintf(job->reason, sizeof job->reason, "level %zu holds a delete that is overdue",
                   level);
}

uint64_t deadlines_wake_ns(const struct deadlines *d, const firn_shape *shape) {
    uint64_t first = UINT64_MAX;
    for (size_t level = 0; d->any && level < shape->level_count; level++) {
        for (size_t r = 0; r < shape->levels[level].count; r++) {
            const firn_shape_run *run = &shape->levels[level].runs[r];
            for (size_t t = 0; t < run->count; t++) {
                const firn_shape_table *table = &run->tables[t];
                if (table->oldest_delete_ns == 0) {
                    continue;
                }
                uint64_t due = is_overdue(d, shape, level, table)
                                   ? shape->now_ns + d->ns[d->last] / LOOK_AGAIN_PART
                                   : table->oldest_delete_ns + d->ns[level];
                first = due < first ? due : first;
            }
        }
    }
    return first;
}
