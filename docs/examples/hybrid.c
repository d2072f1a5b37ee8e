/* docs/examples/hybrid.c: a compaction policy as a plugin:
 *
 *     cc -shared -fPIC -o hybrid.so hybrid.c $(pkg-config --cflags firn)
 *     firn sim --plugin ./hybrid.so --policy hybrid --policy leveled --policy lazy-leveled
 *
 * Levels 0 to TIERED gather runs, which are merged into one of the next level when there are
 * level0_runs of them, or size_ratio. Each level below has one run, and gives a table to the next
 * when it holds more than the size_ratio-th part of that; the last level, when it holds as much as
 * size_ratio for each level allows.
 */
#include <stdio.h>

#include <lsm/firn_lab.h>

#define TIERED 1

static uint64_t bytes_of(const firn_shape *shape, size_t level) {
    firn_shape_sum sum = {0};
    firn_shape_add_level(&shape->levels[level], &sum);
    return sum.bytes;
}

/* All of the level, into a run of its own or into the one run of the next level. */
static void gather(const firn_shape *shape, size_t level, firn_job *job) {
    job->output_level = level + 1;
    job->output = level < TIERED ? FIRN_OUTPUT_NEW_RUN : FIRN_OUTPUT_MERGE_INTO_RUN;
    job->any = firn_job_add_level(job, &shape->levels[level]) &&
               (level < TIERED || firn_job_add_overlap(job, shape, level + 1));
    snprintf(job->reason, sizeof job->reason, "level %zu has %zu runs", level,
             shape->levels[level].count);
}

/* The table with the least below it for its size. */
static void move_on(const firn_shape *shape, size_t level, firn_job *job) {
    const firn_shape_run *run = &shape->levels[level].runs[0];
    const firn_shape_table *best = NULL;
    double least = 0;
    for (size_t t = 0; t < run->count; t++) {
        firn_shape_sum below = {0};
        if (level + 1 < shape->level_count) {
            firn_shape_add_overlap(&shape->levels[level + 1], &run->tables[t], &below);
        }
        double cost = (double)below.bytes / (double)run->tables[t].bytes;
        if (best == NULL || cost < least) {
            best = &run->tables[t];
            least = cost;
        }
    }
    job->output_level = level + 1;
    job->output = FIRN_OUTPUT_MERGE_INTO_RUN;
    job->any = firn_job_add_table(job, best) && firn_job_add_overlap(job, shape, level + 1);
    snprintf(job->reason, sizeof job->reason, "level %zu is too large for the next", level);
}

static void pick(void *context, const firn_shape *shape, const firn_policy_params *params,
                 firn_job *job) {
    (void)context;
    for (size_t level = 0; level <= TIERED && level < shape->level_count; level++) {
        size_t most = level == 0 ? params->level0_runs : params->size_ratio;
        if (shape->levels[level].count >= most) {
            gather(shape, level, job);
            return;
        }
    }
    for (size_t level = TIERED + 1; level + 1 < shape->level_count; level++) {
        if (shape->levels[level].count == 1 &&
            bytes_of(shape, level) > bytes_of(shape, level + 1) / params->size_ratio) {
            move_on(shape, level, job);
            return;
        }
    }
    /* A last level that has outgrown itself begins another. */
    size_t last = shape->level_count - 1;
    double room = (double)params->level1_bytes;
    for (size_t level = 1; level < last; level++) {
        room *= params->size_ratio;
    }
    if (last > TIERED && last + 1 < FIRN_LEVELS_MAX && (double)bytes_of(shape, last) > room) {
        move_on(shape, last, job);
    }
}

static const firn_user_policy hybrid = {"hybrid", NULL, pick, NULL};
const firn_user_policy *const firn_policies[] = {&hybrid, NULL};
