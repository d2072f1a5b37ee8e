/* Lazy leveling (Dayan and Idreos, "Dostoevsky", SIGMOD 2018): tiering, but for the last level,
 * which is one run. Nearly all of the data lies there, so that point reads and space are close to
 * leveling's, and the merges above it, which are most of leveling's cost, are tiering's.
 *
 * The last level is full when it holds T times what comes down to it at once. Until then, runs are
 * merged into it from any level that has nothing but empty ones below; a merge into a full one
 * writes its output one level deeper, so that the tree grows without moving anything that is not
 * being rewritten anyway, and the level that was the last begins to gather runs. Measuring the last
 * level by what comes down, not in bytes, the depth follows the size of flushes as they are.
 */
#include "compaction/pick.h"

#include <inttypes.h>
#include <stdio.h>

struct lazy {
    const firn_shape *shape;
    const firn_policy_params *options;
    size_t last;
};

static uint32_t runs_due(const struct lazy *z, size_t level) {
    if (level == 0) {
        return z->options->level0_runs;
    }
    return level < z->last ? z->options->size_ratio : 2;
}

/* Whether the last level need not take in what gathers in `from` without becoming deeper. A small
 * one is never full: it costs little to rewrite. */
static bool last_is_full(const struct lazy *z, size_t from) {
    if (z->last >= z->shape->level_count) {
        return false;
    }
    uint64_t incoming = level_bytes(&z->shape->levels[from]);
    uint64_t bytes = level_bytes(&z->shape->levels[z->last]);
    return bytes >= z->options->level1_bytes &&
           bytes >= multiply_capped(incoming, z->options->size_ratio);
}

static bool all_empty_between(const struct lazy *z, size_t from) {
    for (size_t level = from + 1; level < z->last; level++) {
        if (z->shape->levels[level].count > 0) {
            return false;
        }
    }
    return true;
}

static bool pick_into_last(const struct lazy *z, size_t from, bool deeper, firn_job *job,
                           double score) {
    struct draft draft;
    draft_begin(&draft, z->shape, job);
    draft_add_oldest_runs(&draft, from, 1);
    if (deeper) {
        draft_add_overlap(&draft, z->last);
    }
    return draft_into_run(&draft, deeper ? z->last + 1 : z->last, score);
}

static bool pick_new_run(const struct lazy *z, size_t from, size_t to, firn_job *job,
                         double score) {
    struct draft draft;
    draft_begin(&draft, z->shape, job);
    draft_add_oldest_runs(&draft, from, from == to ? z->shape->levels[from].count : 1);
    return draft_new_run(&draft, to, score);
}

static bool pick_from(const struct lazy *z, size_t level, firn_job *job, double score) {
    if (level == z->last) {
        return pick_new_run(z, level, level, job, score);
    }
    bool full = last_is_full(z, level);
    if (level + 1 == z->last) {
        return pick_into_last(z, level, full && z->last + 1 < FIRN_LEVELS_MAX, job, score);
    }
    if (!full && all_empty_between(z, level)) {
        return pick_into_last(z, level, false, job, score);
    }
    return pick_new_run(z, level, level + 1, job, score);
}

static bool pick_level(const struct lazy *z, size_t level, firn_job *job, double score) {
    bool picked = pick_from(z, level, job, score);
    if (picked) {
        (void)snprintf(job->reason, sizeof job->reason, "level %zu has %zu runs of %" PRIu32, level,
                       z->shape->levels[level].count, level < z->last ? runs_due(z, level) : 1);
    }
    return picked;
}

void lazy_leveled_pick(const firn_shape *shape, const firn_policy_params *options, firn_job *job) {
    struct lazy z = {shape, options, tiered_bottom(shape)};
    double scores[FIRN_LEVELS_MAX];
    for (size_t level = 0; level < shape->level_count; level++) {
        const firn_shape_level *at = &shape->levels[level];
        /* Two jobs at once from one level might end in the wrong order. */
        scores[level] = level_is_busy(at) ? 0 : (double)at->count / runs_due(&z, level);
    }
    for (;;) {
        size_t most = 0;
        for (size_t level = 1; level < shape->level_count; level++) {
            most = scores[level] > scores[most] ? level : most;
        }
        if (scores[most] < 1 || pick_level(&z, most, job, scores[most])) {
            return;
        }
        scores[most] = 0;
    }
}
