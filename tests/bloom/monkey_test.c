/* Sharing out filter bits: against the closed formulas of Monkey (SIGMOD 2017) and Dostoevsky
 * (SIGMOD 2018), and against moving bits by hand.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "bloom/monkey.h"
#include "tests/support/seed.h"

enum { LEVELS = 8 };

static const double ln2_squared = M_LN2 * M_LN2;

static bool near(double a, double b, double relative) {
    return fabs(a - b) <= relative * fabs(b);
}

/* L levels with N entries in all, each level T times the one above. */
static void fill(struct monkey_level *levels, size_t count, unsigned ratio, double entries,
                 uint32_t upper_runs, uint32_t last_runs) {
    double size = entries * (ratio - 1) / (pow(ratio, (double)count) - 1);
    for (size_t i = 0; i < count; i++) {
        levels[i].entries = (uint64_t)size;
        levels[i].runs = i == count - 1 ? last_runs : upper_runs;
        size *= ratio;
    }
}

static void finite_trees_agree_with_the_exact_formula(void **state) {
    (void)state;
    /* Ten bits per key, 1e9 entries. */
    static const struct {
        unsigned ratio;
        size_t levels;
        uint32_t upper, last;
        double rate;
    } cases[] = {
        {4, 5, 1, 1, 0.01721},  {4, 5, 3, 1, 0.02263},  {4, 5, 3, 3, 0.05162},
        {10, 3, 1, 1, 0.01166}, {10, 3, 9, 1, 0.01450}, {10, 3, 9, 9, 0.10498},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct monkey_level levels[LEVELS];
        fill(levels, cases[c].levels, cases[c].ratio, 1e9, cases[c].upper, cases[c].last);
        double rate = monkey_share(levels, cases[c].levels, 1e10, ln2_squared);
        printf("T %u, %zu levels, %u and %u runs: %.5f\n", cases[c].ratio, cases[c].levels,
               cases[c].upper, cases[c].last, rate);
        assert_true(near(rate, cases[c].rate, 0.001));
    }
}

static void rates_per_level_follow_monkey(void **state) {
    (void)state;
    struct monkey_level levels[LEVELS];
    fill(levels, 5, 4, 1e9, 1, 1);
    double sum = monkey_share(levels, 5, 1e10, ln2_squared);
    for (size_t i = 0; i < 5; i++) { /* p_i = R T^(i-1) (T-1) / (T^L - 1) */
        double expected = sum * pow(4, (double)i) * 3 / (pow(4, 5) - 1);
        double got = exp(-levels[i].bits_per_key * ln2_squared);
        assert_true(near(got, expected, 1e-5));
    }
}

static void deep_trees_approach_the_closed_formula(void **state) {
    (void)state;
    for (unsigned ratio = 2; ratio <= 10; ratio++) {
        double t = ratio, base = exp(-10 * ln2_squared), steep = pow(t, t / (t - 1));
        struct monkey_level levels[LEVELS];
        fill(levels, LEVELS, ratio, 1e14, 1, 1);
        double leveled = monkey_share(levels, LEVELS, 1e15, ln2_squared);
        fill(levels, LEVELS, ratio, 1e14, ratio - 1, 1);
        double lazy = monkey_share(levels, LEVELS, 1e15, ln2_squared);
        fill(levels, LEVELS, ratio, 1e14, ratio - 1, ratio - 1);
        double tiered = monkey_share(levels, LEVELS, 1e15, ln2_squared);
        assert_true(near(leveled, base * steep / (t - 1), 0.03));
        assert_true(near(lazy, base * steep / pow(t - 1, (t - 1) / t), 0.03));
        assert_true(near(tiered, base * steep, 0.03));
    }
}

static void the_largest_level_loses_its_filter_first(void **state) {
    (void)state;
    /* Leveling: when there are fewer than ln(T) / ((T - 1) ln(2)^2) bits per key. */
    double threshold = log(10) / (9 * ln2_squared);
    struct monkey_level levels[LEVELS];
    fill(levels, LEVELS, 10, 1e12, 1, 1);
    (void)monkey_share(levels, LEVELS, 1.01 * threshold * 1e12, ln2_squared);
    assert_true(levels[LEVELS - 1].bits_per_key > 0);
    (void)monkey_share(levels, LEVELS, 0.99 * threshold * 1e12, ln2_squared);
    assert_true(levels[LEVELS - 1].bits_per_key < 1e-6);
    assert_true(levels[LEVELS - 2].bits_per_key > 1);
}

static void the_whole_budget_is_given_out_and_no_exchange_does_better(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, test_seed());
    for (int round = 0; round < 500; round++) {
        struct monkey_level levels[LEVELS];
        size_t count = 1 + rand_below(&r, LEVELS);
        double entries = 0;
        for (size_t i = 0; i < count; i++) {
            levels[i].entries = 1 + rand_below(&r, UINT64_C(1) << rand_below(&r, 40));
            levels[i].runs = (uint32_t)(1 + rand_below(&r, 20));
            entries += (double)levels[i].entries;
        }
        double budget = entries * (double)rand_below(&r, 1000) / 50, given = 0;
        double least = monkey_share(levels, count, budget, ln2_squared);
        for (size_t i = 0; i < count; i++) {
            assert_true(levels[i].bits_per_key >= 0);
            given += levels[i].bits_per_key * (double)levels[i].entries;
        }
        assert_true(near(given, budget, 1e-6) || fabs(given - budget) < 1e-3);
        for (int exchange = 0; exchange < 20; exchange++) {
            size_t from = rand_below(&r, count), to = rand_below(&r, count);
            double bits = levels[from].bits_per_key * (double)levels[from].entries *
                          (double)rand_below(&r, 100) / 100;
            double rate = 0;
            for (size_t i = 0; i < count; i++) {
                double moved = (i == to ? bits : 0) - (i == from ? bits : 0);
                double per_key = levels[i].bits_per_key + moved / (double)levels[i].entries;
                rate += levels[i].runs * exp(-per_key * ln2_squared);
            }
            assert_true(rate >= least * (1 - 1e-9));
        }
    }
}

static void empty_levels_and_no_budget_are_answers_too(void **state) {
    (void)state;
    assert_true(monkey_share(NULL, 0, 100, ln2_squared) == 0);
    struct monkey_level levels[3] = {{.runs = 1, .bits_per_key = -1},
                                     {.entries = 1000, .runs = 4, .bits_per_key = -1},
                                     {.entries = 1000, .bits_per_key = -1}};
    assert_true(near(monkey_share(levels, 3, 0, ln2_squared), 4, 1e-9));
    assert_true(levels[0].bits_per_key == 0 && levels[2].bits_per_key == 0);
    assert_true(levels[1].bits_per_key < 1e-9);
    (void)monkey_share(levels, 3, 8000, ln2_squared);
    assert_true(near(levels[1].bits_per_key, 8, 1e-9));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finite_trees_agree_with_the_exact_formula),
        cmocka_unit_test(rates_per_level_follow_monkey),
        cmocka_unit_test(deep_trees_approach_the_closed_formula),
        cmocka_unit_test(the_largest_level_loses_its_filter_first),
        cmocka_unit_test(the_whole_budget_is_given_out_and_no_exchange_does_better),
        cmocka_unit_test(empty_levels_and_no_budget_are_answers_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
