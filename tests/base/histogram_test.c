#include "base/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "tests/support/seed.h"

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void an_empty_one_answers_zero(void **state) {
    (void)state;
    struct histogram h, other;
    histogram_init(&h);
    histogram_init(&other);
    histogram_merge(&h, &other);
    assert_int_equal(histogram_percentile(&h, 50), 0);
    assert_true(histogram_mean(&h) == 0);
    assert_int_equal(h.max, 0);
}

static void small_values_are_exact(void **state) {
    (void)state;
    struct histogram h;
    histogram_init(&h);
    for (uint64_t v = 1; v <= 50; v++) {
        histogram_add(&h, v);
    }
    assert_int_equal(histogram_percentile(&h, 0), 1);
    assert_int_equal(histogram_percentile(&h, 50), 25);
    assert_int_equal(histogram_percentile(&h, 99), 50);
    assert_int_equal(histogram_percentile(&h, 100), 50);
    assert_true(histogram_mean(&h) == 25.5);
}

static void the_whole_range_has_buckets(void **state) {
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        for (uint64_t off = 0; off < 3; off++) {
            uint64_t v = (UINT64_C(1) << bit) - 1 + off;
            struct histogram h;
            histogram_init(&h);
            histogram_add(&h, 0);
            histogram_add(&h, v);
            assert_int_equal(h.max, v);
            assert_int_equal(histogram_percentile(&h, 100), v);
            assert_int_equal(histogram_percentile(&h, 50), 0);
        }
    }
    struct histogram h;
    histogram_init(&h);
    histogram_add(&h, UINT64_MAX);
    histogram_add(&h, UINT64_MAX);
    assert_int_equal(histogram_percentile(&h, 50), UINT64_MAX);
    assert_true(histogram_mean(&h) > 1.8e19);
}

static void percentiles_are_right_to_a_thirty_second_also_when_merged(void **state) {
    (void)state;
    enum { COUNT = 20000 };
    static uint64_t values[COUNT];
    static struct histogram parts[3], whole;
    struct rand r;
    rand_init(&r, test_seed());
    for (int i = 0; i < 3; i++) {
        histogram_init(&parts[i]);
    }
    histogram_init(&whole);
    for (int i = 0; i < COUNT; i++) {
        values[i] = rand_next(&r) >> rand_below(&r, 64);
        histogram_add(&parts[i % 3], values[i]);
    }
    for (int i = 0; i < 3; i++) {
        histogram_merge(&whole, &parts[i]);
    }
    qsort(values, COUNT, sizeof values[0], compare);
    assert_int_equal(whole.count, COUNT);
    assert_int_equal(whole.min, values[0]);
    assert_int_equal(whole.max, values[COUNT - 1]);
    for (int percent = 1; percent <= 100; percent++) {
        uint64_t exact = values[COUNT / 100 * percent - 1];
        uint64_t got = histogram_percentile(&whole, percent);
        assert_true(got >= exact && got - exact <= exact / 32);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_one_answers_zero),
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(the_whole_range_has_buckets),
        cmocka_unit_test(percentiles_are_right_to_a_thirty_second_also_when_merged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
