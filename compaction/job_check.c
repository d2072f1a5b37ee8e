/* The rules of a job, from first principles and without a line of the policies' code, so that a
 * mistake there is not made twice.
 *
 * Give every run a position: level first, then its place in the level; a higher position is older.
 * A job takes entries from their positions and puts them all at one: in the output level's first
 * run, or before it. Reads find the newest version of a key only if, for every key,
 * positions still follow age. So, for an input x and a table t that stays, and overlaps x:
 *
 *     t newer than x (a lower position)     must still be above the outputs
 *     t older than x                        must lie below the outputs
 * Outputs that join a run, the newest of its level, must be disjoint from what stays in it. Where
 * tables leave without output, no t that is older may stay: what x hid of it would come to light.
 */
#include <inttypes.h>

#include "base/status.h"
#include "compaction/policy.h"

struct position {
    size_t level, run;
};

struct check {
    const firn_shape *shape;
    const firn_job *job;
    size_t walked;                /* inputs met so far */
    struct position first;        /* of an input */
    firn_slice smallest, largest; /* of all inputs */
};

static int compare_positions(struct position a, struct position b) {
    if (a.level != b.level) {
        return a.level < b.level ? -1 : 1;
    }
    return (a.run > b.run) - (a.run < b.run);
}

static bool overlap(firn_slice smallest_a, firn_slice largest_a, firn_slice smallest_b,
                    firn_slice largest_b) {
    return slice_compare(smallest_a, largest_b) <= 0 && slice_compare(smallest_b, largest_a) <= 0;
}

/* Calls visit for each table, in the order of positions and keys, telling whether it is an input.
 * Inputs are listed in that order, so that one walk over both finds them. */
static int each_table(struct check *c, int (*visit)(struct check *c, struct position at,
                                                    const firn_shape_table *t, bool input)) {
    c->walked = 0;
    for (size_t level = 0; level < c->shape->level_count; level++) {
        for (size_t r = 0; r < c->shape->levels[level].count; r++) {
            const firn_shape_run *run = &c->shape->levels[level].runs[r];
            for (size_t t = 0; t < run->count; t++) {
                bool input = c->walked < c->job->table_count &&
                             c->job->tables[c->walked] == run->tables[t].number;
                c->walked += input;
                int rc = visit(c, (struct position){level, r}, &run->tables[t], input);
                if (rc != FIRN_OK) {
                    return rc;
                }
            }
        }
    }
    return FIRN_OK;
}

/* Outputs join the level's newest run, if there is one. */
static bool joins_run(const firn_job *job) {
    return job->output == FIRN_OUTPUT_MERGE_INTO_RUN || job->output == FIRN_OUTPUT_MOVE;
}

static int check_move(const struct check *c, struct position at, const firn_shape_table *t) {
    if (compare_positions(at, c->first) != 0) {
        return FAIL(FIRN_INVALID, "job: moves tables of several runs, %" PRIu64 " of another",
                    t->number);
    }
    return at.level < c->job->output_level
               ? FIRN_OK
               : FAIL(FIRN_INVALID, "job: moves table %" PRIu64 " within level %zu", t->number,
                      at.level);
}

static int visit_input(struct check *c, struct position at, const firn_shape_table *t, bool input) {
    if (!input) {
        return FIRN_OK;
    }
    if (t->busy) {
        return FAIL(FIRN_INVALID, "job: input %" PRIu64 " is busy", t->number);
    }
    if (at.level > c->job->output_level && c->job->output != FIRN_OUTPUT_NONE) {
        return FAIL(FIRN_INVALID, "job: input %" PRIu64 " of level %zu lies below output level %zu",
                    t->number, at.level, c->job->output_level);
    }
    c->first = c->walked == 1 ? at : c->first;
    int rc = c->job->output == FIRN_OUTPUT_MOVE ? check_move(c, at, t) : FIRN_OK;
    if (rc != FIRN_OK) {
        return rc;
    }
    if (c->walked == 1 || slice_compare(t->smallest, c->smallest) < 0) {
        c->smallest = t->smallest;
    }
    if (c->walked == 1 || slice_compare(t->largest, c->largest) > 0) {
        c->largest = t->largest;
    }
    return FIRN_OK;
}

static int check_inputs(struct check *c) {
    const firn_job *job = c->job;
    if (job->table_count == 0 || job->table_count > FIRN_JOB_TABLES_MAX) {
        return FAIL(FIRN_INVALID, "job: %zu inputs, expected 1 to %d", job->table_count,
                    FIRN_JOB_TABLES_MAX);
    }
    if (job->output_level >= FIRN_LEVELS_MAX) {
        return FAIL(FIRN_INVALID, "job: output level %zu of %d", job->output_level,
                    FIRN_LEVELS_MAX);
    }
    if (job->cut_level >= FIRN_LEVELS_MAX) {
        return FAIL(FIRN_INVALID, "job: outputs are cut by level %zu of %d", job->cut_level,
                    FIRN_LEVELS_MAX);
    }
    int rc = each_table(c, visit_input);
    if (rc == FIRN_OK && c->walked < job->table_count) {
        rc =
            FAIL(FIRN_INVALID, "job: input %" PRIu64 " is no table, or not in order of age and key",
                 job->tables[c->walked]);
    }
    return rc;
}

/* Whether t, at its position, is in order with the one input x. */
static int check_pair(const struct check *c, struct position at, const firn_shape_table *t,
                      struct position x_at, const firn_shape_table *x) {
    if (!overlap(t->smallest, t->largest, x->smallest, x->largest)) {
        return FIRN_OK;
    }
    int age = compare_positions(at, x_at);
    if (c->job->output == FIRN_OUTPUT_NONE) {
        return age < 0 ? FIRN_OK
                       : FAIL(FIRN_INVALID,
                              "job: input %" PRIu64 " would leave, but table %" PRIu64
                              " of level %zu, which is older, would stay",
                              x->number, t->number, at.level);
    }
    bool into_run = joins_run(c->job);
    /* A new run comes before run 0: then all runs of the output level are below it; or else those
     * behind the first. */
    bool above = at.level < c->job->output_level;
    bool below = at.level > c->job->output_level ||
                 (at.level == c->job->output_level && (!into_run || at.run > 0));
    if (age < 0 && !above) {
        return FAIL(FIRN_INVALID,
                    "job: table %" PRIu64 " of level %zu is newer than input %" PRIu64
                    " but would lie below it",
                    t->number, at.level, x->number);
    }
    if (age > 0 && !below) {
        return FAIL(FIRN_INVALID,
                    "job: table %" PRIu64 " of level %zu is older than input %" PRIu64
                    " but would stay above it",
                    t->number, at.level, x->number);
    }
    return FIRN_OK;
}

/* Against every input: the inputs are found by walking the shape again. */
static int check_order_of(const struct check *c, struct position at, const firn_shape_table *t) {
    size_t next = 0;
    for (size_t level = 0; level < c->shape->level_count; level++) {
        for (size_t r = 0; r < c->shape->levels[level].count; r++) {
            const firn_shape_run *run = &c->shape->levels[level].runs[r];
            for (size_t i = 0; i < run->count && next < c->job->table_count; i++) {
                if (run->tables[i].number != c->job->tables[next]) {
                    continue;
                }
                next++;
                int rc = check_pair(c, at, t, (struct position){level, r}, &run->tables[i]);
                if (rc != FIRN_OK) {
                    return rc;
                }
            }
        }
    }
    return FIRN_OK;
}

static int visit_other(struct check *c, struct position at, const firn_shape_table *t, bool input) {
    if (input || !overlap(t->smallest, t->largest, c->smallest, c->largest)) {
        return FIRN_OK;
    }
    /* What lies deeper than the outputs is older than all inputs and stays so. */
    if (at.level > c->job->output_level && c->job->output != FIRN_OUTPUT_NONE) {
        return FIRN_OK;
    }
    if (at.level == c->job->output_level && at.run == 0 && joins_run(c->job)) {
        return FAIL(FIRN_INVALID,
                    "job: table %" PRIu64 " of the output run overlaps the inputs but is none",
                    t->number);
    }
    return check_order_of(c, at, t);
}

static int visit_older(struct check *c, struct position at, const firn_shape_table *t, bool input) {
    bool older = !input && at.level >= c->job->output_level &&
                 overlap(t->smallest, t->largest, c->smallest, c->largest);
    return older ? FIRN_NOT_FOUND : FIRN_OK; /* any answer but FIRN_OK ends the walk */
}

static int check_output(struct check *c) {
    const firn_job *job = c->job;
    int rc = each_table(c, visit_other);
    if (rc != FIRN_OK || job->output == FIRN_OUTPUT_NONE) {
        return rc;
    }
    if (job->output_level ==
        0) { /* a flush may end before the job, and would come to lie below it */
        return FAIL(FIRN_INVALID, "job: level 0 is for flushes only");
    }
    bool bottom = each_table(c, visit_older) == FIRN_OK;
    if (job->bottom != bottom) {
        return FAIL(FIRN_INVALID, "job: bottom is %d, but something older %s below", job->bottom,
                    bottom ? "does not lie" : "lies");
    }
    return FIRN_OK;
}

int job_check(const firn_shape *shape, const firn_job *job) {
    if (!job->any) {
        return FIRN_OK;
    }
    struct check c = {.shape = shape, .job = job};
    int rc = check_inputs(&c);
    return rc == FIRN_OK ? check_output(&c) : rc;
}
