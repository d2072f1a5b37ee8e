/* Compaction of a key range, as asked for by a caller. What is hard here: a table that reaches out
 * of the range takes along what it overlaps outside, and so on, until the inputs cover a range that
 * no other table enters. Then nothing can come to lie out of order, whatever the levels look like.
 */
#include <stdio.h>

#include "compaction/pick.h"

/* From lower to upper, both included. */
struct wish {
    firn_slice lower, upper;
    bool has_lower, has_upper;
};

static bool is_wished(const struct wish *wish, const firn_shape_table *table) {
    return (!wish->has_lower || slice_compare(table->largest, wish->lower) >= 0) &&
           (!wish->has_upper || slice_compare(table->smallest, wish->upper) <= 0);
}

/* Widens cover by the tables that are wished for or that overlap it; counts them. */
static size_t cover_once(const firn_shape *shape, size_t first_level, const struct wish *wish,
                         struct key_range *cover) {
    size_t count = 0;
    for (size_t level = first_level; level < shape->level_count; level++) {
        for (size_t r = 0; r < shape->levels[level].count; r++) {
            const firn_shape_run *run = &shape->levels[level].runs[r];
            for (size_t t = 0; t < run->count; t++) {
                if (is_wished(wish, &run->tables[t]) || range_overlaps(cover, &run->tables[t])) {
                    range_add(cover, &run->tables[t]);
                    count++;
                }
            }
        }
    }
    return count;
}

static size_t cover_of(const firn_shape *shape, size_t first_level, const struct wish *wish,
                       struct key_range *cover) {
    cover->any = false;
    size_t before, count = 0;
    do {
        before = count;
        count = cover_once(shape, first_level, wish, cover);
    } while (count > before);
    return count;
}

/* Ends the wish half-way through the tables of the last level that it covers. */
static bool wish_less(const firn_shape *shape, struct wish *wish) {
    const firn_shape_level *last = &shape->levels[shape->level_count - 1];
    const firn_shape_run *run = &last->runs[last->count - 1];
    size_t begin = wish->has_lower ? run_seek(run, wish->lower) : 0;
    size_t end = begin;
    while (end < run->count && is_wished(wish, &run->tables[end])) {
        end++;
    }
    if (end - begin < 2) {
        return false;
    }
    wish->upper = run->tables[begin + (end - begin) / 2 - 1].largest;
    wish->has_upper = true;
    return true;
}

/* The largest first part of the wish that one job can do. Where upper levels make even the smallest
 * too large, they are left out: to merge only older tables is always in order. */
static bool cover_that_fits(const firn_shape *shape, const struct wish *asked, size_t *first_level,
                            struct key_range *cover) {
    for (*first_level = 0; *first_level < shape->level_count; (*first_level)++) {
        struct wish wish = *asked;
        do {
            if (cover_of(shape, *first_level, &wish, cover) <= FIRN_JOB_TABLES_MAX) {
                return true;
            }
        } while (shape->levels[shape->level_count - 1].count > 0 && wish_less(shape, &wish));
    }
    return false;
}

void policy_pick_range(const firn_shape *shape, const firn_policy_params *options, firn_slice lower,
                       firn_slice upper, firn_job *job) {
    struct wish wish = {lower, upper, lower.data != NULL, upper.data != NULL};
    struct key_range cover;
    size_t first_level;
    struct draft draft;
    draft_begin(&draft, shape, job);
    job->output_level = policy_bottom(shape, options);
    job->output = FIRN_OUTPUT_NEW_RUN;
    job->bottom = false;
    job->score = 0;
    job->reason[0] = '\0';
    if (shape_is_busy(shape)) {
        job->score = 1;
        return;
    }
    if (!cover_that_fits(shape, &wish, &first_level, &cover) || !cover.any) {
        return;
    }
    draft.range = cover;
    size_t last = job->output_level;
    for (size_t level = first_level; level < last; level++) {
        draft_add_overlap(&draft, level);
    }
    /* Several runs in the last level: what remains of them does not overlap, so the order of the
     * new one among them does not matter. */
    bool many = last < shape->level_count && shape->levels[last].count > 1;
    if (many) {
        draft_add_overlap(&draft, last);
    }
    bool done = many ? draft_new_run(&draft, last, 1) : draft_into_run(&draft, last, 1);
    if (done) {
        (void)snprintf(job->reason, sizeof job->reason, "asked for, %zu tables", job->table_count);
    }
}
