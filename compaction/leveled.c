/* Leveling: one run per level; a level that is over its capacity gives tables to the next.
 *
 * Capacities are set from the last level up, as RocksDB's level_compaction_dynamic_level_bytes
 * does: the last level holds what it holds, each level above it the T-th part of the one below, and
 * the levels whose part would be too small to be worth a merge of their own are left out:
 *
 *     level 0   level 1 ... base - 1   base     ...   bottom - 1   bottom
 *     flushes   stay empty             S/T^k    ...   S/T          S      (k levels above the
 * bottom)
 *
 * base is the highest level for which the level below it would hold more than level1_bytes. So
 * while the tree is small, level 0 is merged right into the bottom and every entry is rewritten as
 * few times as its size allows; nearly all of the data (1 - 1/T) always lies in the bottom, which
 * bounds the space that old versions take by 1/(T - 1). Had capacities been set from the top down,
 * the last level might hold less than the one above it, and up to half of the space might be taken
 * by old versions.
 *
 * The bottom is level BOTTOM_FIRST from the start, so that a growing tree opens levels upwards,
 * where they begin empty, and never has to move its bottom downwards; only beyond level1_bytes *
 * T^(BOTTOM_FIRST - 1) does it become deeper.
 *
 * Jobs side by side do not meet: one at a time comes from level 0, and one that moves a table
 * covers that table and what it overlaps, without a gap, so that two of them which share no input
 * are disjoint.
 *
 * A level gives the table that overlaps least of the next level for its size: moving it costs least
 * per byte (Sarkar et al., "Constructing and Analyzing the LSM Compaction Design Space", VLDB 2021,
 * measured 10 to 23 % less merging than other choices).
 */
#include "compaction/pick.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define BOTTOM_FIRST 6

struct leveled {
    const firn_shape *shape;
    const firn_policy_params *options;
    uint64_t bytes[FIRN_LEVELS_MAX];
    uint64_t capacity[FIRN_LEVELS_MAX]; /* of levels base to bottom */
    size_t base, bottom;
    struct deadlines deadlines;
};

static uint64_t largest_level_bytes(const firn_shape *shape) {
    uint64_t largest = 0;
    for (size_t level = 1; level < shape->level_count; level++) {
        uint64_t bytes = level_bytes(&shape->levels[level]);
        largest = bytes > largest ? bytes : largest;
    }
    return largest;
}

size_t leveled_bottom(const firn_shape *shape, const firn_policy_params *options) {
    size_t bottom = shape->level_count - 1 > BOTTOM_FIRST ? shape->level_count - 1 : BOTTOM_FIRST;
    uint64_t largest = largest_level_bytes(shape);
    uint64_t reach = options->level1_bytes;
    for (size_t level = 1; level < bottom; level++) {
        reach = multiply_capped(reach, options->size_ratio);
    }
    for (; reach < largest && bottom < FIRN_LEVELS_MAX - 1; bottom++) {
        reach = multiply_capped(reach, options->size_ratio);
    }
    return bottom;
}

/* A level that is in use stays in use until half of what opened it, so that a bottom whose size
 * goes up and down a little does not open and drain a level each time. */
static bool level_is_worth_it(const struct leveled *l, size_t level) {
    uint64_t least = l->options->level1_bytes / (l->bytes[level] > 0 ? 2 : 1);
    return l->capacity[level + 1] > least;
}

static void leveled_measure(struct leveled *l, const firn_shape *shape,
                            const firn_policy_params *options) {
    memset(l, 0, sizeof *l);
    l->shape = shape;
    l->options = options;
    for (size_t level = 0; level < shape->level_count; level++) {
        l->bytes[level] = level_bytes(&shape->levels[level]);
    }
    l->bottom = leveled_bottom(shape, options);
    l->capacity[l->bottom] = largest_level_bytes(shape);
    l->base = l->bottom;
    while (l->base > 1 && level_is_worth_it(l, l->base - 1)) {
        l->base--;
        l->capacity[l->base] = l->capacity[l->base + 1] / options->size_ratio;
    }
    l->capacity[l->bottom] = UINT64_MAX;
    deadlines_init(&l->deadlines, options, l->base, l->bottom);
}

void leveled_deadlines(const firn_shape *shape, const firn_policy_params *params,
                       struct deadlines *d) {
    struct leveled l;
    leveled_measure(&l, shape, params);
    *d = l.deadlines;
}

static bool is_overdue(const struct leveled *l, size_t level) {
    return level_overdue(&l->deadlines, l->shape, level) != NULL;
}

uint64_t leveled_capacity(const firn_shape *shape, const firn_policy_params *options,
                          size_t level) {
    struct leveled l;
    leveled_measure(&l, shape, options);
    return level > l.bottom ? UINT64_MAX : l.capacity[level];
}

/* ---- Level 0 ---- */

/* Takes along what overlaps in levels above the base: they are on their way out. */
static bool pick_level0(const struct leveled *l, firn_job *job, double score) {
    const firn_shape_level *level0 = &l->shape->levels[0];
    struct draft draft;
    draft_begin(&draft, l->shape, job);
    draft_add_oldest_runs(&draft, 0, 1);
    for (size_t level = 1; level < l->base; level++) {
        draft_add_overlap(&draft, level);
    }
    if (!draft_into_run(&draft, l->base, score)) {
        return false;
    }
    if (level0->count < l->options->level0_runs) {
        reason_overdue(job, 0);
        return true;
    }
    (void)snprintf(job->reason, sizeof job->reason, "level 0 has %zu runs of %" PRIu32,
                   level0->count, l->options->level0_runs);
    return true;
}

/* ---- A run too many ---- */

/* Another policy, or an older one, has left several runs here. */
static bool pick_collapse(const struct leveled *l, size_t level, firn_job *job, double score) {
    const firn_shape_level *from = &l->shape->levels[level];
    struct draft draft;
    draft_begin(&draft, l->shape, job);
    for (size_t r = 0; r < from->count; r++) {
        draft_add(&draft, &from->runs[r], 0, from->runs[r].count);
    }
    if (!draft_new_run(&draft, level, score)) {
        return false;
    }
    (void)snprintf(job->reason, sizeof job->reason, "level %zu has %zu runs of 1", level,
                   from->count);
    return true;
}

/* ---- One table to the next level ---- */

/* Part of a run: tables begin to end, and their bytes. */
struct stretch {
    size_t begin, end;
    uint64_t bytes;
    bool busy;
};

/* The stretch of the next run that overlaps the table. from: where the search may begin, since
 * tables are asked for in ascending order; may be one too low, never too high. */
static struct stretch overlap_below(const firn_shape_run *next, const firn_shape_table *table,
                                    size_t from) {
    struct stretch s = {.begin = from};
    while (s.begin < next->count &&
           slice_compare(next->tables[s.begin].largest, table->smallest) < 0) {
        s.begin++;
    }
    for (s.end = s.begin;
         s.end < next->count && slice_compare(next->tables[s.end].smallest, table->largest) <= 0;
         s.end++) {
        s.bytes += next->tables[s.end].bytes;
        s.busy = s.busy || next->tables[s.end].busy;
    }
    return s;
}

/* Less to rewrite for its size; the older one when that is the same. */
static bool is_cheaper(const firn_shape_table *a, uint64_t a_overlap, const firn_shape_table *b,
                       uint64_t b_overlap) {
    double a_cost = (double)a_overlap * (double)(b->bytes + 1);
    double b_cost = (double)b_overlap * (double)(a->bytes + 1);
    if (a_cost != b_cost) {
        return a_cost < b_cost;
    }
    return a->created_ns != b->created_ns ? a->created_ns < b->created_ns : a->number < b->number;
}

static const firn_shape_run *single_run(const firn_shape *shape, size_t level) {
    static const firn_shape_run nothing = {NULL, 0};
    bool there = level < shape->level_count && shape->levels[level].count > 0;
    return there ? &shape->levels[level].runs[0] : &nothing;
}

/* Drafts the move of tables begin to end of a level's run. */
static bool draft_tables(const struct leveled *l, size_t level, size_t to, size_t begin, size_t end,
                         firn_job *job, double score) {
    struct draft draft;
    draft_begin(&draft, l->shape, job);
    draft_add(&draft, single_run(l->shape, level), begin, end);
    return draft_into_run(&draft, to, score);
}

/* The cheapest table of the level that is free, and what it overlaps; false when there is none.
 * overdue: of those with a delete that has to go on. */
static bool cheapest_table(const struct leveled *l, size_t level, size_t to, bool overdue,
                           firn_job *job, size_t *table, struct stretch *overlap) {
    const firn_shape_run *run = single_run(l->shape, level), *next = single_run(l->shape, to);
    size_t from = 0;
    bool any = false;
    for (size_t t = 0; t < run->count; t++) {
        struct stretch below = overlap_below(next, &run->tables[t], from);
        from = below.begin;
        if (run->tables[t].busy || below.busy ||
            (overdue && !table_is_overdue(&l->deadlines, l->shape, level, &run->tables[t]))) {
            continue;
        }
        bool better =
            !any || is_cheaper(&run->tables[t], below.bytes, &run->tables[*table], overlap->bytes);
        if (better && draft_tables(l, level, to, t, t + 1, job, 0)) {
            *table = t;
            *overlap = below;
            any = true;
        }
    }
    return any;
}

/* Whether the table lies within the stretch's range: then moving it, too, rewrites nothing more. */
static bool lies_within(const firn_shape_table *table, const firn_shape_run *next,
                        const struct stretch *stretch) {
    if (table->busy || stretch->begin >= stretch->end) {
        return false;
    }
    assert(next->tables != NULL); /* the stretch is of these */
    return slice_compare(next->tables[stretch->begin].smallest, table->smallest) <= 0 &&
           slice_compare(table->largest, next->tables[stretch->end - 1].largest) <= 0;
}

static bool pick_table(const struct leveled *l, size_t level, firn_job *job, double score) {
    /* A level above the base is on its way out: right to the next level that is in use. */
    size_t to = level + 1;
    while (to < l->base && l->bytes[to] == 0) {
        to++;
    }
    size_t begin = 0;
    struct stretch overlap;
    bool overdue =
        is_overdue(l, level) && cheapest_table(l, level, to, true, job, &begin, &overlap);
    if (!overdue && !cheapest_table(l, level, to, false, job, &begin, &overlap)) {
        return false;
    }
    const firn_shape_run *run = single_run(l->shape, level), *next = single_run(l->shape, to);
    assert(run->tables != NULL); /* one of them is the cheapest */
    size_t end = begin + 1;
    while (begin > 0 && lies_within(&run->tables[begin - 1], next, &overlap)) {
        begin--;
    }
    while (end < run->count && lies_within(&run->tables[end], next, &overlap)) {
        end++;
    }
    if (!draft_tables(l, level, to, begin, end, job, score)) {
        return false;
    }
    if (overdue) {
        reason_overdue(job, level);
        return true;
    }
    (void)snprintf(job->reason, sizeof job->reason, "level %zu holds %" PRIu64 " bytes of %" PRIu64,
                   level, l->bytes[level], l->capacity[level]);
    return true;
}

/* ---- Which level ---- */

/* How overdue a level is; 1 is due. What a job is working on counts as done. */
static double leveled_score(const struct leveled *l, size_t level) {
    const firn_shape_level *at = &l->shape->levels[level];
    double least = is_overdue(l, level) ? 1 : 0;
    if (level == 0) {
        double score = (double)at->count / l->options->level0_runs;
        return score > least ? score : least;
    }
    if (at->count > 1) {
        return (double)at->count;
    }
    if (level >= l->bottom) {
        return least;
    }
    uint64_t idle = level_idle_bytes(at);
    if (level < l->base) {
        return idle == 0 ? 0 : 1; /* no hurry: level 0 will take along what is in its way */
    }
    /* Just above 1 when just over: capacity itself is allowed. */
    return idle <= l->capacity[level] ? least : (double)idle / (double)(l->capacity[level] + 1);
}

static bool pick_level(const struct leveled *l, size_t level, firn_job *job, double score) {
    if (level == 0) {
        /* Two jobs at once from level 0 would race for the base. */
        return !level_is_busy(&l->shape->levels[0]) && pick_level0(l, job, score);
    }
    if (l->shape->levels[level].count > 1) {
        return pick_collapse(l, level, job, score);
    }
    return level >= l->bottom ? pick_overdue_in_place(&l->deadlines, l->shape, level, false, job)
                              : pick_table(l, level, job, score);
}

void leveled_pick(const firn_shape *shape, const firn_policy_params *options, firn_job *job) {
    struct leveled l;
    leveled_measure(&l, shape, options);
    double scores[FIRN_LEVELS_MAX] = {0};
    for (size_t level = 0; level < shape->level_count; level++) {
        scores[level] = leveled_score(&l, level);
    }
    for (;;) {
        size_t most = 0;
        for (size_t level = 1; level < shape->level_count; level++) {
            most = scores[level] > scores[most] ? level : most;
        }
        if (scores[most] < 1 || pick_level(&l, most, job, scores[most])) {
            return;
        }
        scores[most] = 0;
        if (most == 0 && l.base < shape->level_count && shape->levels[l.base].count == 1) {
            /* It waits for jobs that read the base, and must not be kept waiting by new ones. */
            scores[l.base] = 0;
        }
    }
}

/* ---- Debt ---- */

uint64_t leveled_debt(const firn_shape *shape, const firn_policy_params *options) {
    struct leveled l;
    leveled_measure(&l, shape, options);
    /* From level to level: what comes down from above. */
    double carried = level_bytes_beyond(&shape->levels[0], options->level0_runs), debt = carried;
    for (size_t level = 1; level < l.bottom; level++) {
        double bytes = (double)l.bytes[level] + (level < l.base ? 0 : carried);
        double over = bytes - (double)l.capacity[level];
        if (over <= 0) {
            carried = level < l.base ? carried : 0;
            continue;
        }
        /* Each byte that goes down is merged with its share of the next level. */
        double next = (double)l.bytes[level + 1];
        double share = next / bytes;
        double share_max = 2.0 * options->size_ratio;
        debt += over * (1 + (share < share_max ? share : share_max));
        carried = level < l.base ? carried + over : over;
    }
    return debt < 9e18 ? (uint64_t)debt : UINT64_MAX;
}
