/* Bits per key of new tables: against sharing out exactly run by run, the closed formulas, and what
 * jobs leave behind. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "bloom/monkey.h"
#include "compaction/filter_bits.h"
#include "tests/support/seed.h"

enum { RUNS_MAX = 200 };

/* Runs of one table each; numbers are 1 and up, in the order of adding. */
struct tree {
    firn_shape shape;
    firn_shape_table tables[RUNS_MAX];
    firn_shape_run runs[RUNS_MAX];
    size_t count;
};

static const struct filter_budget eight = {FIRN_FILTER_FUSE, FIRN_FILTER_MONKEY, 8};

/* Levels are filled from the first on. */
static void add(struct tree *t, size_t level, uint64_t entries) {
    t->tables[t->count] = (firn_shape_table){.number = t->count + 1, .entries = entries};
    t->runs[t->count] = (firn_shape_run){&t->tables[t->count], 1};
    firn_shape_level *at = &t->shape.levels[level];
    at->runs = at->count == 0 ? &t->runs[t->count] : at->runs;
    at->count++;
    t->shape.level_count = level + 1;
    t->count++;
}

/* The tree without a run, which is then flushed into it. */
static double bits_if_new(const struct tree *t, size_t run, const struct filter_budget *budget) {
    struct tree rest = {.shape = {.level_count = 1}};
    for (size_t i = 0; i < t->count; i++) {
        if (i != run) {
            add(&rest, 0, t->tables[i].entries);
        }
    }
    return filter_bits_for_flush(&rest.shape, t->tables[run].entries, budget);
}

/* All runs of the tree get their bits; returns the expected false reads. */
static double share_out(const struct tree *t, const struct filter_budget *budget,
                        double *bits_per_key) {
    double rate = 0, bits = 0, entries = 0, gain = filter_gain_per_bit(budget->kind);
    for (size_t i = 0; i < t->count; i++) {
        double run_bits = bits_if_new(t, i, budget);
        bits += run_bits * (double)t->tables[i].entries;
        entries += (double)t->tables[i].entries;
        rate += exp(-run_bits * gain);
    }
    *bits_per_key = bits / entries;
    return rate;
}

static void uneven_trees_get_what_is_best_for_each_run(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, test_seed());
    for (int round = 0; round < 200; round++) {
        struct tree t = {.count = 0};
        struct monkey_level exact[RUNS_MAX];
        size_t count = 2 + rand_below(&r, 60);
        double entries = 0;
        for (size_t i = 0; i < count; i++) {
            uint64_t n = 1000 + rand_below(&r, UINT64_C(1000) << rand_below(&r, 14));
            add(&t, 0, n);
            exact[i] = (struct monkey_level){.entries = n, .runs = 1};
            entries += (double)n;
        }
        double least = monkey_share(exact, count, 8 * entries, filter_gain_per_bit(eight.kind));
        double bits, rate = share_out(&t, &eight, &bits);
        assert_true(fabs(bits - 8) < 0.1);
        assert_true(rate < 1.02 * least && rate > 0.98 * least);
    }
}

static void regular_trees_follow_the_closed_formulas(void **state) {
    (void)state;
    for (unsigned ratio = 4; ratio <= 10; ratio += 3) {
        double t = ratio, base = exp(-8 * filter_gain_per_bit(FIRN_FILTER_FUSE));
        double steep = pow(t, t / (t - 1)), bits;
        struct tree leveled = {.count = 0}, lazy = {.count = 0}, tiered = {.count = 0};
        uint64_t size = 1000;
        for (size_t level = 0; level < 6; level++, size *= ratio) {
            add(&leveled, level, size);
            for (unsigned run = 1; run < ratio; run++) {
                add(&tiered, level, size / (ratio - 1));
                if (level < 5 || run == 1) {
                    add(&lazy, level, level < 5 ? size / (ratio - 1) : size);
                }
            }
        }
        double uniform = base * (double)lazy.count;
        struct filter_budget same = eight;
        same.allocation = FIRN_FILTER_UNIFORM;
        assert_true(fabs(share_out(&lazy, &same, &bits) - uniform) < 1e-9 && bits == 8);
        struct {
            const struct tree *tree;
            double expected;
        } cases[] = {{&leveled, base * steep / (t - 1)},
                     {&lazy, base * steep / pow(t - 1, (t - 1) / t)},
                     {&tiered, base * steep}};
        for (size_t i = 0; i < 3; i++) {
            double rate = share_out(cases[i].tree, &eight, &bits);
            printf("T %u: %.5f, by the formula %.5f, %.3f bits\n", ratio, rate, cases[i].expected,
                   bits);
            assert_true(fabs(rate / cases[i].expected - 1) < 0.02);
        }
    }
}

static firn_job *job_of(size_t output_level, firn_job_output output, size_t first, size_t last) {
    static firn_job job;
    job = (firn_job){.any = true, .output_level = output_level, .output = output};
    for (size_t number = first; number <= last; number++) {
        job.tables[job.table_count++] = number;
    }
    return &job;
}

static void half_of_what_a_merge_takes_is_expected_again(void **state) {
    (void)state;
    struct tree t = {.count = 0};
    for (int i = 0; i < 4; i++) {
        add(&t, 0, 1000); /* 1 to 4 */
    }
    for (int i = 0; i < 10; i++) {
        add(&t, 1, 4000); /* 5 to 14 */
    }
    add(&t, 2, 400000); /* 15 */

    struct tree then = {.count = 0}; /* the tree in which the merge of level 1 into 2 will live */
    for (int i = 0; i < 4; i++) {
        add(&then, 0, 1000);
    }
    for (int i = 0; i < 5; i++) {
        add(&then, 1, 4000);
    }
    firn_job *job = job_of(2, FIRN_OUTPUT_MERGE_INTO_RUN, 5, 15);
    double bits = filter_bits_for_job(&t.shape, job, false, &eight);
    assert_true(fabs(bits - filter_bits_for_flush(&then.shape, 440000, &eight)) < 1e-9);
    assert_true(bits < 8);

    /* By hand: what is taken is gone; of all, nothing else is left. */
    job = job_of(2, FIRN_OUTPUT_MERGE_INTO_RUN, 1, 15);
    assert_true(fabs(filter_bits_for_job(&t.shape, job, true, &eight) - 8) < 1e-9);

    /* A new run beside the ten: they stay, two of four that are taken will be there. */
    job = job_of(1, FIRN_OUTPUT_NEW_RUN, 1, 4);
    struct tree beside = {.count = 0};
    add(&beside, 0, 1000);
    add(&beside, 0, 1000);
    for (int i = 0; i < 10; i++) {
        add(&beside, 1, 4000);
    }
    add(&beside, 2, 400000);
    bits = filter_bits_for_job(&t.shape, job, false, &eight);
    assert_true(fabs(bits - filter_bits_for_flush(&beside.shape, 4000, &eight)) < 1e-9);
    assert_true(bits > 12);

    /* A deeper level: the run that was the last goes there, and is not the first of many. */
    job = job_of(3, FIRN_OUTPUT_MERGE_INTO_RUN, 5, 15);
    assert_true(fabs(filter_bits_for_job(&t.shape, job, false, &eight) -
                     filter_bits_for_flush(&then.shape, 440000, &eight)) < 1e-9);
}

static void a_single_run_above_counts_whole(void **state) {
    (void)state;
    struct tree t = {.count = 0}, rest = {.count = 0};
    add(&t, 0, 1000);
    add(&t, 1, 50000);
    add(&t, 2, 500000);
    add(&rest, 0, 1000);
    add(&rest, 1, 50000);
    /* Two tables of level 1; one of them goes down. */
    firn_shape_table tables[2] = {{.number = 10, .entries = 20000},
                                  {.number = 11, .entries = 30000}};
    t.runs[1] = (firn_shape_run){tables, 2};
    firn_job *job = job_of(2, FIRN_OUTPUT_MERGE_INTO_RUN, 11, 11);
    assert_true(fabs(filter_bits_for_job(&t.shape, job, false, &eight) -
                     filter_bits_for_flush(&rest.shape, 530000, &eight)) < 1e-9);
}

static void a_small_budget_leaves_the_last_level_without(void **state) {
    (void)state;
    struct tree t = {.count = 0};
    struct filter_budget budget = {FIRN_FILTER_FUSE, FIRN_FILTER_MONKEY, 1};
    for (int i = 0; i < 9; i++) {
        add(&t, 0, 10000);
    }
    add(&t, 1, 1000000);
    assert_true(bits_if_new(&t, 9, &budget) == 0);
    assert_true(bits_if_new(&t, 0, &budget) > 5);
    budget.bits_per_key = 0;
    assert_true(bits_if_new(&t, 0, &budget) == 0);
    struct tree empty = {.shape = {.level_count = 1}};
    assert_true(fabs(filter_bits_for_flush(&empty.shape, 1, &eight) - 8) < 1e-9);
    assert_true(filter_bits_for_flush(&empty.shape, 0, &eight) == 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uneven_trees_get_what_is_best_for_each_run),
        cmocka_unit_test(regular_trees_follow_the_closed_formulas),
        cmocka_unit_test(half_of_what_a_merge_takes_is_expected_again),
        cmocka_unit_test(a_single_run_above_counts_whole),
        cmocka_unit_test(a_small_budget_leaves_the_last_level_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
