#include "base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/entry.h"
#include "base/rand.h"
#include "tests/support/seed.h"

static const firn_slice none = {NULL, 0};

static void order_is_unsigned_bytes_with_a_prefix_first(void **state) {
    (void)state;
    const firn_slice sorted[] = {none,
                                 FIRN_STR("\0"),
                                 FIRN_STR("\0\0"),
                                 FIRN_STR("a"),
                                 FIRN_STR("a\0"),
                                 FIRN_STR("ab"),
                                 FIRN_STR("b"),
                                 FIRN_STR("\x7f"),
                                 FIRN_STR("\x80"),
                                 FIRN_STR("\xff"),
                                 FIRN_STR("\xff\x01")};
    int count = sizeof sorted / sizeof sorted[0];
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++) {
            int order = slice_compare(sorted[i], sorted[j]);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
            assert_int_equal(slice_equal(sorted[i], sorted[j]), i == j);
        }
    }
    assert_int_equal(slice_compare(none, FIRN_STR("")), 0);
    assert_true(slice_equal(none, FIRN_STR("")));
}

static void everything_starts_with_its_prefixes_only(void **state) {
    (void)state;
    assert_true(slice_starts_with(FIRN_STR("abc"), none));
    assert_true(slice_starts_with(FIRN_STR("abc"), FIRN_STR("abc")));
    assert_true(slice_starts_with(FIRN_STR("a\0c"), FIRN_STR("a\0")));
    assert_false(slice_starts_with(FIRN_STR("ab"), FIRN_STR("abc")));
    assert_false(slice_starts_with(FIRN_STR("abc"), FIRN_STR("b")));
    assert_false(slice_starts_with(none, FIRN_STR("a")));
}

static void the_common_prefix_ends_at_the_first_difference(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, test_seed());
    for (int round = 0; round < 5000; round++) {
        uint8_t a[40], b[40];
        size_t a_size = rand_below(&r, 40), b_size = rand_below(&r, 40);
        for (size_t i = 0; i < 40; i++) {
            a[i] = b[i] = (uint8_t)rand_next(&r);
        }
        size_t want = rand_below(&r, 40);
        b[want] ^= (uint8_t)(1u << rand_below(&r, 8));
        want = want < a_size ? want : a_size;
        want = want < b_size ? want : b_size;
        assert_int_equal(
            slice_common_prefix(firn_slice_make(a, a_size), firn_slice_make(b, b_size)), want);
    }
    assert_int_equal(slice_common_prefix(none, FIRN_STR("a")), 0);
}

static void entries_are_ordered_by_key_then_newest_first(void **state) {
    (void)state;
    struct entry old = {.key = FIRN_STR("a"), .seq = 1}, new = {.key = FIRN_STR("a"), .seq = 2};
    struct entry other = {.key = FIRN_STR("b"), .seq = 9};
    assert_true(entry_compare(&new, &old) < 0 && entry_compare(&old, &new) > 0);
    assert_true(entry_compare(&old, &other) < 0 && entry_compare(&other, &new) > 0);
    assert_int_equal(entry_compare(&old, &old), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_unsigned_bytes_with_a_prefix_first),
        cmocka_unit_test(everything_starts_with_its_prefixes_only),
        cmocka_unit_test(the_common_prefix_ends_at_the_first_difference),
        cmocka_unit_test(entries_are_ordered_by_key_then_newest_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
