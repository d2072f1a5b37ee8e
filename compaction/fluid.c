/* The fluid LSM tree (Dayan and Idreos, "Dostoevsky", SIGMOD 2018, section 4.4) with full merges:
 * the last level has at most Z runs, each level above it at most K, or a bound of its own; leveling
 * is K = Z = 1, lazy leveling K = T - 1 and Z = 1, tiering K = Z = T - 1.
 *
 * Capacities are set from the last level up: it holds what its largest run holds (Z times that,
 * with Z runs), each level above it the T-th part of the one below, and a run of a level the K-th
 * part of its level. What comes from level 0 joins the newest run of level 1 while that has room,
 * begins a new run while the level may have one more, and otherwise takes the whole level along to
 * the next, where the same is asked again. That a level which would be full is not written first,
 * only to be read at once, is what the paper's count of merges, (T - 1)/(K + 1) a level, goes by.
 *
 *     last      the smallest number of levels below level 0 whose last one, T^last times
 *               batch_bytes, has room for the largest run; never above a level that is in use
 *
 * Merges of whole levels write at once as much as the last level holds, and need as much room. With
 * partial granularity, what would go into a single last run goes in parts instead: the tables of
 * one stretch of it, and what lies above them ("Spooky", Dayan et al., PVLDB 15(11), 2022). So a
 * merge needs room for job_bytes only, or for the level right above, which is written as a whole.
 * With partial_levels above 1 this one, and more above it, are merged into in parts, too, by the
 * same stretches of the last level:
 *
 *     level 0 ... whole             whole + 1        ...  last - 1          last
 *     merged as wholes              parts join the newest run, or         parts join
 *                                   begin one, if it has no room          the only run
 *
 * and the space that the tree takes stays below (1 + 1/(T - 1) + 1/T^partial_levels) times its keys
 * and a part or two, also while it merges. When the last run has outgrown its level, its tables are
 * moved to the next, unread.
 */
#include "compaction/fluid.h"

#include <inttypes.h>
#include <stdio.h>

static uint64_t largest_run(const firn_shape *shape) {
    uint64_t largest = 0;
    for (size_t level = 1; level < shape->level_count; level++) {
        for (size_t r = 0; r < shape->levels[level].count; r++) {
            uint64_t bytes = run_bytes(&shape->levels[level].runs[r]);
            largest = bytes > largest ? bytes : largest;
        }
    }
    return largest;
}

uint32_t fluid_runs_most(const struct fluid *f, size_t level) {
    const firn_policy_params *p = f->params;
    uint32_t runs = level >= f->last ? p->runs_last : p->runs_upper;
    if (level < f->last && p->runs_of_level[level] > 0) {
        runs = p->runs_of_level[level];
    }
    return runs > 0 ? runs : 1;
}

static size_t last_for(const firn_shape *shape, const firn_policy_params *params,
                       uint64_t largest) {
    uint64_t reach = params->batch_bytes;
    size_t last = 1;
    /* A run that is a little too large, by what its filter or index takes, opens no level. */
    for (reach = multiply_capped(reach, params->size_ratio);
         reach < largest - largest / 8 && last < FIRN_LEVELS_MAX - 1; last++) {
        reach = multiply_capped(reach, params->size_ratio);
    }
    return shape->level_count > last + 1 ? shape->level_count - 1 : last;
}

size_t fluid_last(const firn_shape *shape, const firn_policy_params *params) {
    return last_for(shape, params, largest_run(shape));
}

/* The lowest level that is written as a whole. */
static size_t whole_level(const struct fluid *f) {
    bool in_parts = f->params->granularity == FIRN_GRANULARITY_PARTIAL &&
                    fluid_runs_most(f, f->last) == 1 && f->last >= 2 &&
                    fluid_level(f, f->last)->count == 1;
    size_t levels = f->params->partial_levels > 0 ? f->params->partial_levels : 1;
    if (!in_parts) {
        return f->last;
    }
    return f->last > levels ? f->last - levels : 1;
}

static void fluid_measure(struct fluid *f, const firn_shape *shape,
                          const firn_policy_params *params) {
    f->shape = shape;
    f->params = params;
    uint64_t least = params->batch_bytes, largest = largest_run(shape);
    f->last = last_for(shape, params, largest);
    f->capacity[f->last] =
        multiply_capped(largest > least ? largest : least, fluid_runs_most(f, f->last));
    for (size_t level = f->last; level > 0; level--) {
        f->capacity[level - 1] = f->capacity[level] / params->size_ratio;
    }
    f->whole = whole_level(f);
    deadlines_init(&f->deadlines, params, 1, f->last);
}

void fluid_deadlines(const firn_shape *shape, const firn_policy_params *params,
                     struct deadlines *d) {
    struct fluid f;
    fluid_measure(&f, shape, params);
    *d = f.deadlines;
}

/* Whether the newest run of the level may grow by so many bytes. */
bool fluid_has_room(const struct fluid *f, size_t level, uint64_t incoming) {
    const firn_shape_level *at = fluid_level(f, level);
    if (at->count == 0) {
        return false;
    }
    uint32_t runs = fluid_runs_most(f, level);
    if (level == f->last && runs == 1) {
        return at->count == 1;
    }
    uint64_t bytes = run_bytes(&at->runs[0]) + incoming;
    /* Updates make merged runs smaller than their inputs: half a part too much is let pass. */
    return bytes <= f->capacity[level] / runs + incoming / 2;
}

/* Whether the level would be full with so many bytes more. */
static bool would_be_full(const struct fluid *f, size_t level, uint64_t incoming) {
    const firn_shape_level *at = fluid_level(f, level);
    if (level == f->last) {
        return false;
    }
    bool runs_full = at->count >= fluid_runs_most(f, level) && !fluid_has_room(f, level, incoming);
    return runs_full || level_bytes(at) + incoming / 2 >= f->capacity[level];
}

/* ---- Which ---- */

static bool any_busy(const struct fluid *f, size_t from, size_t to) {
    for (size_t level = from; level <= to && level < f->shape->level_count; level++) {
        if (level_is_busy(fluid_level(f, level))) {
            return true;
        }
    }
    return false;
}

static size_t level_tables(const firn_shape_level *level) {
    size_t tables = 0;
    for (size_t r = 0; r < level->count; r++) {
        tables += level->runs[r].count;
    }
    return tables;
}

/* How many runs of the level what comes to it is merged with: the newest, when that has room, or
 * all, when there may be none more; but none of those that are on their way down in parts, or have
 * about as many tables as a job may. */
static size_t runs_joined(const struct fluid *f, size_t level, uint64_t incoming) {
    const firn_shape_level *at = fluid_level(f, level);
    if (fluid_goes_in_parts(f) && level == f->whole &&
        (fluid_is_draining(f, level) || level_tables(at) > FIRN_JOB_TABLES_MAX / 2)) {
        return 0;
    }
    if (fluid_has_room(f, level, incoming)) {
        return 1;
    }
    return at->count >= fluid_runs_most(f, level) ? at->count : 0;
}

static bool pick_down(const struct fluid *f, size_t target, uint64_t incoming, firn_job *job,
                      double score) {
    const firn_shape_level *to = fluid_level(f, target);
    struct draft draft;
    draft_begin(&draft, f->shape, job);
    for (size_t level = 0; level < target; level++) {
        draft_add_oldest_runs(&draft, level, fluid_level(f, level)->count);
    }
    size_t joined = runs_joined(f, target, incoming);
    for (size_t r = 0; r < joined; r++) {
        draft_add(&draft, &to->runs[r], 0, to->runs[r].count);
    }
    if (!draft_new_run(&draft, target, score)) {
        return false;
    }
    if (fluid_goes_in_parts(f) && target == f->whole) {
        fluid_cut_by_last(f, target, job);
    }
    if (fluid_level(f, 0)->count < f->params->level0_runs) {
        reason_overdue(job, target - 1);
        return true;
    }
    (void)snprintf(job->reason, sizeof job->reason,
                   "level 0 has %zu runs of %" PRIu32 "; level %zu is the first with room",
                   fluid_level(f, 0)->count, f->params->level0_runs, target);
    return true;
}

/* What was the last level has outgrown it: its run, which goes down as it is, so that a tree that
 * becomes deeper needs no room for that; or what is left of one that has more tables than a job
 * may: larger than its level may be, and behind all of the last level. NULL: there is none. */
static const firn_shape_run *outgrown(const struct fluid *f, size_t *level) {
    const firn_shape_level *last = fluid_level(f, f->last);
    for (*level = f->last - 1; *level > 0 && fluid_level(f, *level)->count == 0; --*level) {
    }
    if (f->params->granularity != FIRN_GRANULARITY_PARTIAL || fluid_runs_most(f, f->last) > 1 ||
        *level < 1 || last->count > 1) {
        return NULL;
    }
    const firn_shape_level *at = fluid_level(f, *level);
    const firn_shape_run *run = &at->runs[at->count - 1];
    if (last->count == 0) {
        return run_bytes(run) == largest_run(f->shape) ? run : NULL;
    }
    const firn_shape_run *below = &last->runs[0];
    bool behind =
        slice_compare(run->tables[0].smallest, below->tables[below->count - 1].largest) > 0;
    return behind && run_bytes(run) > f->capacity[*level] ? run : NULL;
}

/* While nothing else runs, since nothing may come to lie below it meanwhile. */
static void pick_deeper(const struct fluid *f, const firn_shape_run *run, size_t level,
                        firn_job *job) {
    struct draft draft;
    draft_begin(&draft, f->shape, job);
    draft_add(&draft, run, 0, run->count < FIRN_JOB_TABLES_MAX ? run->count : FIRN_JOB_TABLES_MAX);
    if (!shape_is_busy(f->shape) && draft_move(&draft, f->last, 1)) {
        (void)snprintf(job->reason, sizeof job->reason, "level %zu has outgrown itself", level);
    }
}

/* The last level with more runs than it may have, left by another policy, is made one run. */
static bool pick_collapse(const struct fluid *f, firn_job *job) {
    const firn_shape_level *at = fluid_level(f, f->last);
    struct draft draft;
    draft_begin(&draft, f->shape, job);
    for (size_t r = 0; r < at->count; r++) {
        draft_add(&draft, &at->runs[r], 0, at->runs[r].count);
    }
    if (!draft_new_run(&draft, f->last, (double)at->count)) {
        return false;
    }
    (void)snprintf(job->reason, sizeof job->reason, "level %zu has %zu runs of %" PRIu32, f->last,
                   at->count, fluid_runs_most(f, f->last));
    return true;
}

/* How many levels, from level 0 on, have to go down for a delete in them. */
static size_t levels_overdue(const struct fluid *f) {
    size_t levels = f->whole; /* parts see to it themselves */
    while (levels > 0 && level_overdue(&f->deadlines, f->shape, levels - 1) == NULL) {
        levels--;
    }
    return levels;
}

/* The first level that has room for what comes down, with what it takes along on the way; below
 * those that have to go. Where levels are merged in parts, nothing goes there at once, however much
 * has come together: it waits right above. */
static size_t find_target(const struct fluid *f, size_t overdue, uint64_t *incoming) {
    size_t target = 1;
    *incoming = level_bytes(fluid_level(f, 0));
    while (target < overdue || would_be_full(f, target, *incoming)) {
        uint64_t here = level_bytes(fluid_level(f, target));
        if (target == f->whole) {
            break;
        }
        *incoming += here;
        target++;
    }
    return target;
}

/* So that draining falls behind by no more than this, runs above the levels that are merged into in
 * parts are bounded. */
static bool has_too_many_runs(const struct fluid *f, size_t level) {
    return fluid_goes_in_parts(f) && level == f->whole &&
           fluid_level(f, level)->count > (size_t)2 * fluid_runs_most(f, level);
}

void fluid_pick(const firn_shape *shape, const firn_policy_params *params, firn_job *job) {
    struct fluid f;
    fluid_measure(&f, shape, params);
    size_t level;
    const firn_shape_run *too_large = outgrown(&f, &level);
    if (too_large != NULL) {
        pick_deeper(&f, too_large, level, job);
        return;
    }
    uint64_t incoming;
    size_t overdue = levels_overdue(&f);
    size_t target = find_target(&f, overdue, &incoming);
    double due = (double)shape->levels[0].count / params->level0_runs;
    due = overdue > 0 && due < 1 ? 1 : due;
    bool joins = runs_joined(&f, target, incoming) > 0;
    bool in_place = f.deadlines.any && target == f.last; /* a job there may be rewriting it */
    bool joins_idle = !(joins || in_place) || !any_busy(&f, target, target);
    if (due >= 1 && joins_idle && !any_busy(&f, 0, target - 1) && !has_too_many_runs(&f, target) &&
        pick_down(&f, target, incoming, job, due)) {
        return;
    }
    const firn_shape_level *last = &shape->levels[f.last];
    if (last->count > fluid_runs_most(&f, f.last) && !level_is_busy(last) &&
        pick_collapse(&f, job)) {
        return;
    }
    for (level = f.last; level > f.whole; level--) {
        if (fluid_is_draining(&f, level - 1) && fluid_pick_part(&f, level - 1, job, 1)) {
            return;
        }
    }
    (void)pick_overdue_in_place(&f.deadlines, shape, f.last, fluid_runs_most(&f, f.last) > 1, job);
}

uint64_t fluid_debt(const firn_shape *shape, const firn_policy_params *params) {
    struct fluid f;
    fluid_measure(&f, shape, params);
    double debt = level_bytes_beyond(&shape->levels[0], params->level0_runs);
    for (size_t level = f.whole; level < f.last; level++) {
        double over = (double)level_bytes(&shape->levels[level]) - (double)f.capacity[level];
        bool due = over > 0 && fluid_is_draining(&f, level);
        debt += due ? over * (1 + params->size_ratio) : 0;
    }
    return debt < 9e18 ? (uint64_t)debt : UINT64_MAX;
}
