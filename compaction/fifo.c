/* First in, first out: nothing is merged; when the tables take too many bytes, or have become too
 * old, the oldest leave. Each entry is written once, by its flush, and a lookup goes through all
 * runs: for data that is read by time or soon, as logs and caches are.
 *
 * A table may leave when nothing older stays that it overlaps: its newer versions and tombstones
 * hide the older ones. So tables are asked from the oldest run to the newest; within a run, whose
 * tables overlap nothing of each other, the one that was written first goes first.
 *
 * A table is as old as its file, which was written after all of its entries: what another policy
 * has merged leaves later than it would have.
 */
#include "compaction/pick.h"

#include <inttypes.h>
#include <stdio.h>

struct fifo {
    const firn_shape *shape;
    const firn_policy_params *params;
    firn_job *job;
    uint64_t excess; /* bytes that are still to go */
    size_t expired;  /* inputs that are too old */
};

static bool is_expired(const firn_shape *shape, const firn_policy_params *params,
                       const firn_shape_table *table) {
    return params->fifo_ns > 0 && shape->now_ns >= table->created_ns &&
           shape->now_ns - table->created_ns >= params->fifo_ns;
}

static bool is_input(const firn_job *job, const firn_shape_table *table) {
    for (size_t i = 0; i < job->table_count; i++) {
        if (job->tables[i] == table->number) {
            return true;
        }
    }
    return false;
}

/* Whether a table of the run that stays overlaps this one. */
static bool run_hides_less(const struct fifo *f, const firn_shape_run *run,
                           const firn_shape_table *table) {
    struct key_range range = {.any = false};
    range_add(&range, table);
    size_t end, t = run_overlap(run, &range, &end);
    for (; t < end; t++) {
        if (!is_input(f->job, &run->tables[t])) {
            return true;
        }
    }
    return false;
}

/* Whether what lies below run r of the level is out of this table's way. */
static bool is_oldest(const struct fifo *f, size_t level, size_t r, const firn_shape_table *table) {
    for (size_t l = level; l < f->shape->level_count; l++) {
        const firn_shape_level *at = &f->shape->levels[l];
        for (size_t i = l == level ? r + 1 : 0; i < at->count; i++) {
            if (run_hides_less(f, &at->runs[i], table)) {
                return false;
            }
        }
    }
    return true;
}

/* The table of the run that was written first, of those that may leave and have a reason to. */
static const firn_shape_table *next_of(const struct fifo *f, size_t level, size_t r) {
    const firn_shape_run *run = &f->shape->levels[level].runs[r];
    const firn_shape_table *first = NULL;
    for (size_t t = 0; t < run->count; t++) {
        const firn_shape_table *table = &run->tables[t];
        bool wanted = f->excess > 0 || is_expired(f->shape, f->params, table);
        bool earlier = first == NULL || table->created_ns < first->created_ns;
        if (wanted && earlier && !table->busy && !is_input(f->job, table) &&
            is_oldest(f, level, r, table)) {
            first = table;
        }
    }
    return first;
}

static void take_of_run(struct fifo *f, size_t level, size_t r) {
    const firn_shape_table *table;
    while (f->job->table_count < FIRN_JOB_TABLES_MAX && (table = next_of(f, level, r)) != NULL) {
        f->job->tables[f->job->table_count++] = table->number;
        f->expired += is_expired(f->shape, f->params, table);
        f->excess -= table->bytes < f->excess ? table->bytes : f->excess;
    }
}

static uint64_t shape_bytes(const firn_shape *shape) {
    uint64_t bytes = 0;
    for (size_t level = 0; level < shape->level_count; level++) {
        bytes += level_idle_bytes(&shape->levels[level]);
    }
    return bytes;
}

void fifo_pick(const firn_shape *shape, const firn_policy_params *params, firn_job *job) {
    uint64_t bytes = shape_bytes(shape), most = params->fifo_bytes;
    struct fifo f = {.shape = shape, .params = params, .job = job};
    f.excess = most > 0 && bytes > most ? bytes - most : 0;
    for (size_t level = shape->level_count; level-- > 0;) {
        for (size_t r = shape->levels[level].count; r-- > 0;) {
            take_of_run(&f, level, r);
        }
    }
    if (job->table_count == 0) {
        return;
    }
    job_complete(shape, job);
    job->any = true;
    job->output = FIRN_OUTPUT_NONE;
    job->score = 1;
    if (most > 0 && bytes > most) {
        (void)snprintf(job->reason, sizeof job->reason, "%" PRIu64 " bytes of %" PRIu64, bytes,
                       most);
    } else {
        (void)snprintf(job->reason, sizeof job->reason, "%zu tables are %" PRIu64 " seconds old",
                       f.expired, params->fifo_ns / UINT64_C(1000000000));
    }
}

uint64_t fifo_wakes_ns(const firn_shape *shape, const firn_policy_params *params) {
    uint64_t first = UINT64_MAX;
    for (size_t level = 0; params->fifo_ns > 0 && level < shape->level_count; level++) {
        for (size_t r = 0; r < shape->levels[level].count; r++) {
            const firn_shape_run *run = &shape->levels[level].runs[r];
            for (size_t t = 0; t < run->count; t++) {
                uint64_t due = run->tables[t].created_ns + params->fifo_ns;
                bool waits = due > shape->now_ns; /* else for another table, not for time */
                first = waits && due < first ? due : first;
            }
        }
    }
    return first;
}
