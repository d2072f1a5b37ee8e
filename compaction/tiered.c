/* Tiering: a level gathers T runs, and then all of them become one new run of the next level. An
 * entry is rewritten once per level; a reader pays with T - 1 runs per level and with old versions.
 */
#include "compaction/pick.h"

#include <inttypes.h>
#include <stdio.h>

static uint32_t runs_due(const firn_policy_params *options, size_t level) {
    return level == 0 ? options->level0_runs : options->size_ratio;
}

size_t tiered_bottom(const firn_shape *shape) {
    return shape->level_count > 1 ? shape->level_count - 1 : 1;
}

/* The oldest runs go, so that the new run is newer than all that lies in the next level. The very
 * last level has no next one: it is made one run in place, for which all of its runs are needed. */
static bool pick_runs(const firn_shape *shape, const firn_policy_params *options, size_t level,
                      firn_job *job, double score) {
    size_t count = shape->levels[level].count;
    bool in_place = level == FIRN_LEVELS_MAX - 1;
    bool to_last = level + 2 == shape->level_count && options->delete_within_ns > 0;
    if (to_last && level_is_busy(&shape->levels[level + 1])) {
        return false; /* which may be becoming one run: see pick_overdue_in_place() */
    }
    struct draft draft;
    draft_begin(&draft, shape, job);
    draft_add_oldest_runs(&draft, level, in_place ? count : 1);
    if (!draft_new_run(&draft, in_place ? level : level + 1, score)) {
        return false;
    }
    (void)snprintf(job->reason, sizeof job->reason, "level %zu has %zu runs of %" PRIu32, level,
                   count, runs_due(options, level));
    return true;
}

void tiered_deadlines(const firn_shape *shape, const firn_policy_params *params,
                      struct deadlines *d) {
    deadlines_init(d, params, 1, tiered_bottom(shape));
}

/* The highest level with a delete that has to go on, if what holds it is free. */
static bool pick_overdue(const firn_shape *shape, const firn_policy_params *options,
                         firn_job *job) {
    struct deadlines d;
    tiered_deadlines(shape, options, &d);
    for (size_t level = 0; d.any && level < shape->level_count; level++) {
        if (level_is_busy(&shape->levels[level]) || level_overdue(&d, shape, level) == NULL) {
            continue;
        }
        if (level >= d.last ? pick_overdue_in_place(&d, shape, level, true, job)
                            : pick_runs(shape, options, level, job, 1)) {
            reason_overdue(job, level);
            return true;
        }
    }
    return false;
}

void tiered_pick(const firn_shape *shape, const firn_policy_params *options, firn_job *job) {
    double best = 0;
    size_t best_level = 0;
    for (size_t level = 0; level < shape->level_count; level++) {
        const firn_shape_level *at = &shape->levels[level];
        double score = (double)at->count / runs_due(options, level);
        /* Two jobs at once from one level might end in the wrong order. */
        if (score >= 1 && score > best && !level_is_busy(at)) {
            best = score;
            best_level = level;
        }
    }
    if (best > 0 && pick_runs(shape, options, best_level, job, best)) {
        return;
    }
    (void)pick_overdue(shape, options, job);
}

/* The runs beyond what a level may gather, in proportion to its bytes. */
uint64_t tiered_debt(const firn_shape *shape, const firn_policy_params *options) {
    double debt = 0;
    for (size_t level = 0; level < shape->level_count; level++) {
        debt += level_bytes_beyond(&shape->levels[level], runs_due(options, level));
    }
    return debt < 9e18 ? (uint64_t)debt : UINT64_MAX;
}
