/* The fuse filter against its own formula, against keys made to break it, and against bytes that
 * are no filter. */
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
#include "bloom/fuse.h"
#include "tests/support/seed.h"

#define HEADER_BYTES 24

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

/* The caller frees. */
static uint64_t *random_hashes(struct rand *r, size_t count) {
    uint64_t *hashes = malloc((count + 1) * sizeof *hashes);
    assert_non_null(hashes);
    for (size_t i = 0; i < count; i++) {
        hashes[i] = rand_next(r);
    }
    return hashes;
}

/* Builds anew and checks that every hash is found. */
static struct fuse build(struct fixture *f, uint64_t *hashes, size_t count, double bits_per_key) {
    struct fuse fuse;
    bool built;
    buf_reset(&f->filter);
    assert_int_equal(fuse_build(hashes, count, bits_per_key, &f->filter, &built), FIRN_OK);
    assert_true(built && fuse_is(buf_slice(&f->filter)));
    assert_int_equal(fuse_open(buf_slice(&f->filter), &fuse), FIRN_OK);
    for (size_t i = 0; i < count; i++) {
        assert_true(fuse_may_contain(&fuse, hashes[i]));
    }
    return fuse;
}

static void a_key_that_was_added_is_always_found(void **state) {
    struct fixture *f = *state;
    struct rand r;
    rand_init(&r, test_seed());
    static const size_t counts[] = {1, 2, 3, 10, 100, 1000, 5000, 65536, 150000};
    static const double bits[] = {2, 7.3, 10, 32, 64};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        for (size_t b = 0; b < sizeof bits / sizeof *bits; b++) {
            if (fuse_expected_rate(counts[c], bits[b]) < 1) {
                uint64_t *hashes = random_hashes(&r, counts[c]);
                (void)build(f, hashes, counts[c], bits[b]);
                free(hashes);
            }
        }
    }
}

static void it_takes_the_bits_it_was_given(void **state) {
    struct fixture *f = *state;
    struct rand r;
    rand_init(&r, test_seed());
    static const size_t counts[] = {1000, 20000, 65536};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        uint64_t *hashes = random_hashes(&r, counts[c]);
        for (double bits = 2.5; bits < 20; bits += 1.7) {
            (void)build(f, hashes, counts[c], bits);
            double taken = 8 * ((double)f->filter.size - HEADER_BYTES - 3) / (double)counts[c];
            /* Segments are wide as a whole, and less than four of them not at all. */
            assert_true(taken <= bits + 0.01 && taken > bits - 0.3);
        }
        free(hashes);
    }
}

/* Until chance moves the rate by less than two in a hundred, one standard deviation. */
static double measured_rate(const struct fuse *fuse, struct rand *r, size_t probes_max) {
    size_t positives = 0, probes = 0;
    while (positives < 2500 && probes < probes_max) {
        positives += fuse_may_contain(fuse, rand_next(r));
        probes++;
    }
    return (double)positives / (double)probes;
}

static void the_measured_rate_is_within_a_tenth_of_the_formula(void **state) {
    struct fixture *f = *state;
    struct rand r;
    rand_init(&r, test_seed());
    static const size_t counts[] = {1000, 20000, 65536};
    static const double bits[] = {4, 6.5, 8, 9.3, 11};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        uint64_t *hashes = random_hashes(&r, counts[c]);
        for (size_t b = 0; b < sizeof bits / sizeof *bits; b++) {
            struct fuse fuse = build(f, hashes, counts[c], bits[b]);
            double expected = fuse_rate(&fuse);
            double rate = measured_rate(&fuse, &r, 4000000);
            printf("%zu keys, %.1f bits per key, slots of %u bits: rate %.5f, expected %.5f\n",
                   counts[c], bits[b], fuse.width, rate, expected);
            assert_true(rate > 0.9 * expected && rate < 1.1 * expected);
            /* Later tries take more room, and so have a little less width. */
            double first_try = fuse_expected_rate(counts[c], bits[b]);
            assert_true(expected >= first_try * 0.999 && expected < first_try * 1.3);
        }
        free(hashes);
    }
}

static void it_takes_a_fifth_less_than_bloom_for_a_lower_rate(void **state) {
    struct fixture *f = *state;
    struct rand r;
    rand_init(&r, test_seed());
    uint64_t *hashes = random_hashes(&r, 62000);
    struct fuse fuse = build(f, hashes, 62000, 8);
    assert_true(fuse_rate(&fuse) < 0.85 * bloom_expected_rate(10));
    assert_true((double)f->filter.size < 0.81 * (double)bloom_bytes(62000, 10));
    free(hashes);
}

static void more_bits_never_make_the_rate_worse(void **state) {
    (void)state;
    for (size_t count = 70; count < 1000000; count *= 7) {
        double before = 1;
        for (double bits = 1; bits <= 40; bits += 0.125) {
            double rate = fuse_expected_rate(count, bits);
            assert_true(rate > 0 && rate <= before);
            before = rate;
        }
        assert_true(before < 1e-6);
    }
}

static void keys_of_one_hash_do_no_harm(void **state) {
    struct fixture *f = *state;
    struct rand r;
    rand_init(&r, test_seed());
    static const size_t copies[] = {2, 3, 255, 256, 257, 1000, 3000};
    for (size_t c = 0; c < sizeof copies / sizeof *copies; c++) {
        uint64_t *hashes = random_hashes(&r, 5000);
        for (size_t i = 0; i < copies[c]; i++) {
            hashes[i * 5000 / copies[c]] = hashes[0];
        }
        struct fuse fuse = build(f, hashes, 5000, 8);
        assert_true(measured_rate(&fuse, &r, 100000) < 0.03);
        free(hashes);
    }
    uint64_t one[4] = {7, 7, 7, 7};
    (void)build(f, one, 4, 40);
}

/* Undoes the mixing of a hash with its seed. */
static uint64_t unmix(uint64_t h, uint64_t seed) {
    h ^= h >> 33;
    h *= UINT64_C(0x9cb4b2f8129337db); /* the inverses of the two factors */
    h ^= h >> 33;
    h *= UINT64_C(0x4f74430c22a54005);
    return (h ^ h >> 33) - seed;
}

static void keys_made_to_share_slots_are_spread_by_another_seed(void **state) {
    struct fixture *f = *state;
    struct rand r;
    rand_init(&r, test_seed());
    static const uint64_t made[] = {2, 100, 1000}; /* more than a slot's count can count */
    uint64_t one = 1, first_seed = build(f, &one, 1, 60).seed;
    for (size_t m = 0; m < sizeof made / sizeof *made; m++) {
        uint64_t *hashes = random_hashes(&r, 20000);
        for (uint64_t i = 0; i < made[m]; i++) {
            /* Segments of 2^8 slots draw no place from bits 8 to 14 and 23 to 29. */
            uint64_t mixed = UINT64_C(1) << 63 | (i & 127) << 8 | (i >> 7) << 23;
            hashes[i] = unmix(mixed, first_seed);
        }
        struct fuse fuse = build(f, hashes, 20000, 8);
        assert_true(fuse.segment == 256 && fuse.seed != first_seed);
        free(hashes);
    }
}

static void too_few_bits_make_no_filter(void **state) {
    struct fixture *f = *state;
    uint64_t hashes[] = {1, 2, 3};
    bool built = true;
    assert_int_equal(fuse_build(hashes, 3, 0.5, &f->filter, &built), FIRN_OK);
    assert_false(built);
    assert_int_equal(f->filter.size, 0);
    assert_true(fuse_expected_rate(1000, 0.9) == 1);
}

/* A stored filter must answer the same in every later version. */
static void the_bytes_do_not_change_from_version_to_version(void **state) {
    struct fixture *f = *state;
    struct rand r;
    rand_init(&r, 99);
    uint64_t *hashes = random_hashes(&r, 1000);
    (void)build(f, hashes, 1000, 8);
    free(hashes);
    uint64_t digest = checksum(f->filter.data, f->filter.size, 0);
    printf("%zu bytes, digest %016llx\n", f->filter.size, (unsigned long long)digest);
    assert_int_equal(f->filter.size, 1027);
    assert_true(digest == UINT64_C(0xfa772d139c732a80));
}

static void a_header_with_any_byte_changed_is_refused_or_harmless(void **state) {
    struct fixture *f = *state;
    struct rand r;
    rand_init(&r, test_seed());
    uint64_t *hashes = random_hashes(&r, 700);
    (void)build(f, hashes, 700, 8);
    free(hashes);
    size_t accepted = 0;
    for (size_t i = 0; i < HEADER_BYTES - 8; i++) { /* any seed will do */
        uint8_t was = f->filter.data[i];
        for (unsigned v = 0; v < 256; v++) {
            f->filter.data[i] = (uint8_t)v;
            struct fuse fuse;
            int rc = fuse_open(buf_slice(&f->filter), &fuse);
            assert_true(rc == FIRN_OK || rc == (i == 4 ? FIRN_UNSUPPORTED : FIRN_CORRUPT));
            for (int probe = 0; rc == FIRN_OK && probe < 100; probe++) {
                (void)fuse_may_contain(&fuse, rand_next(&r));
            }
            accepted += rc == FIRN_OK && v != was;
        }
        f->filter.data[i] = was;
    }
    assert_int_equal(accepted, 0);
}

static void a_filter_cut_short_or_grown_is_refused(void **state) {
    struct fixture *f = *state;
    struct rand r;
    rand_init(&r, test_seed());
    uint64_t *hashes = random_hashes(&r, 300);
    (void)build(f, hashes, 300, 8);
    free(hashes);
    size_t size = f->filter.size;
    assert_int_equal(buf_append_u64(&f->filter, 0), FIRN_OK);
    for (size_t i = 0; i <= f->filter.size; i++) {
        /* A copy of its own size, so that reading past the end is seen. */
        uint8_t *copy = malloc(i + 1);
        struct fuse fuse;
        assert_non_null(copy);
        memcpy(copy, f->filter.data, i);
        assert_int_equal(fuse_open(firn_slice_make(copy, i), &fuse),
                         i == size ? FIRN_OK : FIRN_CORRUPT);
        free(copy);
    }
}

static void random_headers_that_pass_the_check_are_safe_to_search(void **state) {
    struct fixture *f = *state;
    struct rand r;
    rand_init(&r, test_seed());
    uint64_t hash = 1;
    (void)build(f, &hash, 1, 60);
    size_t searched = 0;
    for (int round = 0; round < 30000; round++) {
        uint8_t header[HEADER_BYTES];
        memcpy(header, f->filter.data, sizeof header);
        uint32_t log2 = (uint32_t)rand_below(&r, 17), segments = (uint32_t)rand_below(&r, 4);
        uint32_t width = (uint32_t)rand_below(&r, 26), wide = (uint32_t)rand_below(&r, 8);
        header[5] = (uint8_t)width;
        header[6] = (uint8_t)log2;
        put_u32(header + 8, segments);
        put_u32(header + 12, wide);
        put_u64(header + 16, rand_next(&r));
        uint64_t slots = ((uint64_t)segments + 3) << log2;
        size_t size = (size_t)(24 + (slots * width + ((uint64_t)wide << log2) + 7) / 8 + 3);
        uint8_t *bytes = malloc(size);
        assert_non_null(bytes);
        memset(bytes, 0xa5, size);
        memcpy(bytes, header, sizeof header);
        struct fuse fuse;
        if (size < 100000 && fuse_open(firn_slice_make(bytes, size), &fuse) == FIRN_OK) {
            searched++;
            for (int probe = 0; probe < 20; probe++) {
                (void)fuse_may_contain(&fuse, rand_next(&r));
            }
            (void)fuse_may_contain(&fuse, UINT64_MAX - fuse.seed);
            assert_true(fuse_rate(&fuse) > 0 && fuse_rate(&fuse) <= 0.5);
        }
        free(bytes);
    }
    assert_true(searched > 1000);
}

static void without_memory_nothing_is_appended(void **state) {
    struct fixture *f = *state;
    struct rand r;
    rand_init(&r, test_seed());
    uint64_t *hashes = random_hashes(&r, 1000);
    for (uint64_t n = 1; n <= 2; n++) {
        bool built;
        atomic_store(&f->alloc.fail_after, n);
        assert_int_equal(fuse_build(hashes, 1000, 8, &f->filter, &built), FIRN_NOMEM);
        assert_int_equal(f->filter.size, 0);
    }
    atomic_store(&f->alloc.fail_after, 0);
    free(hashes);
}

static void building_takes_fifteen_bytes_a_key(void **state) {
    struct fixture *f = *state;
    struct rand r;
    rand_init(&r, test_seed());
    uint64_t *hashes = random_hashes(&r, 65536);
    assert_int_equal(buf_reserve(&f->filter, 200000), FIRN_OK); /* its growth is not counted here */
    uint64_t before = atomic_load(&f->alloc.total);
    atomic_store(&f->alloc.peak, before);
    (void)build(f, hashes, 65536, 8);
    assert_true(atomic_load(&f->alloc.peak) - before <= 15 * 65536);
    assert_int_equal(atomic_load(&f->alloc.total), before);
    free(hashes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_key_that_was_added_is_always_found, setup, teardown),
        cmocka_unit_test_setup_teardown(it_takes_the_bits_it_was_given, setup, teardown),
        cmocka_unit_test_setup_teardown(the_measured_rate_is_within_a_tenth_of_the_formula, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(it_takes_a_fifth_less_than_bloom_for_a_lower_rate, setup,
                                        teardown),
        cmocka_unit_test(more_bits_never_make_the_rate_worse),
        cmocka_unit_test_setup_teardown(keys_of_one_hash_do_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_made_to_share_slots_are_spread_by_another_seed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(too_few_bits_make_no_filter, setup, teardown),
        cmocka_unit_test_setup_teardown(the_bytes_do_not_change_from_version_to_version, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_header_with_any_byte_changed_is_refused_or_harmless,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_filter_cut_short_or_grown_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(random_headers_that_pass_the_check_are_safe_to_search,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_nothing_is_appended, setup, teardown),
        cmocka_unit_test_setup_teardown(building_takes_fifteen_bytes_a_key, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
