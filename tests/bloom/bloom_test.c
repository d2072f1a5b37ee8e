/* The filter against its own formula, and against bytes that are no filter. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "base/rand.h"
#include "bloom/bloom.h"

static uint64_t test_seed(void) {
    const char *text = getenv("FIRN_TEST_SEED");
    uint64_t seed = text == NULL ? 20241 : strtoull(text, NULL, 0);
    printf("seed %llu\n", (unsigned long long)seed);
    return seed;
}

struct fixture {
    struct alloc alloc;
    struct buf filter;
};

static int setup(void **state) {
    static struct fixture f;
    alloc_init(&f.alloc, NULL);
    buf_init(&f.filter, &f.alloc, MEM_FILTER);
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    buf_deinit(&f->filter);
    return atomic_load(&f->alloc.total) == 0 ? 0 : -1;
}

/* The hash of decimal number i, as keys are hashed in the engine. */
static uint64_t hash_of(uint64_t salt, uint64_t i) {
    char key[48];
    int size = snprintf(key, sizeof key, "user:%llu:%012llu", (unsigned long long)salt,
                        (unsigned long long)i);
    return key_hash(firn_slice_make(key, (size_t)size));
}

static uint64_t *hashes_of(uint64_t salt, size_t count) {
    uint64_t *hashes = malloc((count + 1) * sizeof *hashes);
    assert_non_null(hashes);
    for (size_t i = 0; i < count; i++) {
        hashes[i] = hash_of(salt, i);
    }
    return hashes;
}

static void a_key_that_was_added_is_always_found(void **state) {
    struct fixture *f = *state;
    uint64_t salt = test_seed();
    static const size_t counts[] = {1, 2, 7, 51, 52, 1000, 65536};
    static const double bits[] = {1, 2.5, 10, 32, 64};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        uint64_t *hashes = hashes_of(salt, counts[c]);
        for (size_t b = 0; b < sizeof bits / sizeof *bits; b++) {
            buf_reset(&f->filter);
            assert_int_equal(bloom_build(hashes, counts[c], bits[b], &f->filter), FIRN_OK);
            assert_int_equal(f->filter.size, bloom_bytes(counts[c], bits[b]));
            assert_int_equal(bloom_check(buf_slice(&f->filter)), FIRN_OK);
            for (size_t i = 0; i < counts[c]; i++) {
                assert_true(bloom_may_contain(buf_slice(&f->filter), hashes[i]));
            }
        }
        free(hashes);
    }
}

static void the_measured_rate_is_within_a_tenth_of_the_formula(void **state) {
    struct fixture *f = *state;
    uint64_t salt = test_seed();
    enum { COUNT = 200000, PROBES_MAX = 4000000 };
    static const double bits[] = {5, 8, 10, 12, 16};
    uint64_t *hashes = hashes_of(salt, COUNT);
    for (size_t b = 0; b < sizeof bits / sizeof *bits; b++) {
        buf_reset(&f->filter);
        assert_int_equal(bloom_build(hashes, COUNT, bits[b], &f->filter), FIRN_OK);
        size_t positives = 0, probes = 0;
        /* Until chance moves the rate by less than two in a hundred, one standard deviation. */
        while (positives < 2500 && probes < PROBES_MAX) {
            positives += bloom_may_contain(buf_slice(&f->filter), hash_of(salt, COUNT + probes));
            probes++;
        }
        double rate = (double)positives / (double)probes, expected = bloom_expected_rate(bits[b]);
        printf("%4.1f bits per key, %u probes: rate %.5f, expected %.5f\n", bits[b],
               f->filter.data[5], rate, expected);
        assert_true(rate > 0.9 * expected && rate < 1.1 * expected);
    }
    free(hashes);
}

static void more_bits_never_make_the_rate_worse(void **state) {
    (void)state;
    double before = 1;
    for (double bits = 1; bits <= 40; bits += 0.25) {
        double rate = bloom_expected_rate(bits);
        assert_true(rate > 0 && rate < before);
        before = rate;
    }
    /* 70 keys of 8 bits take two lines: 14.6 bits each. */
    assert_true(fabs(bloom_rate_of_lines(70, 8) - bloom_expected_rate(1024.0 / 70)) < 1e-12);
    assert_true(fabs(bloom_rate_of_lines(1000000, 8) / bloom_expected_rate(8) - 1) < 0.001);
    assert_true(bloom_expected_rate(NAN) <= 1);
    assert_true(bloom_expected_rate(1e9) > 0);
}

static void a_filter_of_nothing_answers_false(void **state) {
    struct fixture *f = *state;
    assert_int_equal(bloom_build(NULL, 0, 10, &f->filter), FIRN_OK);
    assert_int_equal(bloom_check(buf_slice(&f->filter)), FIRN_OK);
    struct rand r;
    rand_init(&r, test_seed());
    for (int i = 0; i < 1000; i++) {
        assert_false(bloom_may_contain(buf_slice(&f->filter), rand_next(&r)));
    }
}

static void filters_are_appended_behind_each_other(void **state) {
    struct fixture *f = *state;
    uint64_t one = hash_of(1, 1), two = hash_of(2, 2);
    assert_int_equal(bloom_build(&one, 1, 10, &f->filter), FIRN_OK);
    size_t first = f->filter.size;
    assert_int_equal(bloom_build(&two, 1, 10, &f->filter), FIRN_OK);
    firn_slice a = firn_slice_make(f->filter.data, first);
    firn_slice b = firn_slice_make(f->filter.data + first, f->filter.size - first);
    assert_int_equal(bloom_check(a), FIRN_OK);
    assert_int_equal(bloom_check(b), FIRN_OK);
    assert_true(bloom_may_contain(a, one) && bloom_may_contain(b, two));
}

/* A stored filter must answer the same in every later version. */
static void the_bytes_do_not_change_from_version_to_version(void **state) {
    struct fixture *f = *state;
    uint64_t *hashes = hashes_of(7, 1000);
    assert_int_equal(bloom_build(hashes, 1000, 10, &f->filter), FIRN_OK);
    free(hashes);
    assert_int_equal(f->filter.size, 64 + 20 * 64);
    uint64_t digest = checksum(f->filter.data, f->filter.size, 0);
    assert_true(digest == UINT64_C(0x3839b7246eac3f8b));
}

static void a_header_with_any_byte_changed_is_refused(void **state) {
    struct fixture *f = *state;
    uint64_t *hashes = hashes_of(3, 300);
    assert_int_equal(bloom_build(hashes, 300, 10, &f->filter), FIRN_OK);
    free(hashes);
    for (size_t i = 0; i < 64; i++) {
        uint8_t was = f->filter.data[i];
        for (unsigned v = 0; v < 256; v++) {
            f->filter.data[i] = (uint8_t)v;
            int rc = bloom_check(buf_slice(&f->filter));
            bool other_probes = i == 5 && v >= 1 && v <= 16; /* wrong, but harmless to search */
            int expected = i == 4 ? FIRN_UNSUPPORTED : FIRN_CORRUPT;
            assert_int_equal(rc, v == was || other_probes ? FIRN_OK : expected);
        }
        f->filter.data[i] = was;
    }
}

static void a_filter_cut_short_or_grown_is_refused(void **state) {
    struct fixture *f = *state;
    uint64_t *hashes = hashes_of(3, 300);
    assert_int_equal(bloom_build(hashes, 300, 10, &f->filter), FIRN_OK);
    free(hashes);
    size_t size = f->filter.size;
    uint8_t line[64]; /* not appended from where it lies: the buffer may move */
    memcpy(line, f->filter.data + 64, sizeof(line));
    assert_int_equal(buf_append(&f->filter, line, sizeof(line)), FIRN_OK);
    for (size_t i = 0; i <= f->filter.size; i++) {
        /* A copy of its own size, so that reading past the end is seen. */
        uint8_t *copy = malloc(i + 1);
        assert_non_null(copy);
        memcpy(copy, f->filter.data, i);
        int rc = bloom_check(firn_slice_make(copy, i));
        assert_int_equal(rc, i == size ? FIRN_OK : FIRN_CORRUPT);
        free(copy);
    }
    assert_int_equal(bloom_check(firn_slice_make(NULL, 0)), FIRN_CORRUPT);
}

static void random_bytes_that_pass_the_check_are_safe_to_search(void **state) {
    struct fixture *f = *state;
    struct rand r;
    rand_init(&r, test_seed());
    uint64_t hash = 1;
    assert_int_equal(bloom_build(&hash, 1, 10, &f->filter), FIRN_OK);
    for (int round = 0; round < 20000; round++) {
        size_t lines = (size_t)rand_below(&r, 6);
        uint8_t *bytes = malloc(64 * lines + 1);
        assert_non_null(bytes);
        for (size_t i = 0; i < 64 * lines; i++) {
            bytes[i] = (uint8_t)rand_next(&r);
        }
        memcpy(bytes, f->filter.data, lines > 0 ? 64 : 0);
        for (uint64_t changes = rand_below(&r, 3); lines > 0 && changes > 0; changes--) {
            bytes[rand_below(&r, 12)] = (uint8_t)rand_below(&r, 20);
        }
        firn_slice filter = firn_slice_make(bytes, 64 * lines);
        if (bloom_check(filter) == FIRN_OK) {
            (void)bloom_may_contain(filter, rand_next(&r));
            (void)bloom_may_contain(filter, UINT64_MAX);
        }
        free(bytes);
    }
}

static void without_memory_nothing_is_appended(void **state) {
    struct fixture *f = *state;
    uint64_t hash = 1;
    atomic_store(&f->alloc.fail_after, 1);
    assert_int_equal(bloom_build(&hash, 1, 10, &f->filter), FIRN_NOMEM);
    assert_int_equal(f->filter.size, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_key_that_was_added_is_always_found, setup, teardown),
        cmocka_unit_test_setup_teardown(the_measured_rate_is_within_a_tenth_of_the_formula, setup,
                                        teardown),
        cmocka_unit_test(more_bits_never_make_the_rate_worse),
        cmocka_unit_test_setup_teardown(a_filter_of_nothing_answers_false, setup, teardown),
        cmocka_unit_test_setup_teardown(filters_are_appended_behind_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(the_bytes_do_not_change_from_version_to_version, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_header_with_any_byte_changed_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_filter_cut_short_or_grown_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(random_bytes_that_pass_the_check_are_safe_to_search, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(without_memory_nothing_is_appended, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
