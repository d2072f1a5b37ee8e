/* The memory budget: what a database counts stays near it while it is written, read and merged,
 * also when the page cache alone may have all of it; what iterators hold is told apart, and is
 * given back with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "base/slice.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define FOLDER "budget-test.firn"
#define MIB (UINT64_C(1) << 20)
#define KEYS 200000
#define VALUE_BYTES 120
#define ITERATORS 100
/* A flush and a merge may each build with 16 MiB, whatever the budget. */
#define SLACK (20 * MIB)

static firn_slice key_of(uint64_t i, char to[32]) {
    return firn_slice_make(
        to, (size_t)snprintf(to, 32, "key/%016llx",
                             (unsigned long long)(i * UINT64_C(0x9e3779b97f4a7c15))));
}

static firn_slice value_of(uint64_t i, uint8_t to[VALUE_BYTES]) {
    struct rand r;
    rand_init(&r, i);
    for (size_t n = 0; n < VALUE_BYTES; n += 8) {
        uint64_t word = rand_next(&r);
        memcpy(to + n, &word, 8);
    }
    return firn_slice_make(to, VALUE_BYTES);
}

static firn_memory memory_of(firn_db *db) {
    firn_memory m;
    firn_get_memory(db, &m);
    return m;
}

static void assert_within(firn_db *db) {
    firn_memory m = memory_of(db);
    uint64_t own = m.total - m.iterators - m.pinned;
    if (own > m.budget + SLACK) {
        fail_msg("%.1f MiB of a budget of %.1f: memtables %.1f, pages %.1f, builders %.1f",
                 (double)own / MIB, (double)m.budget / MIB, (double)m.memtables / MIB,
                 (double)m.page_cache / MIB, (double)m.builders / MIB);
    }
}

static void get_some(firn_db *db, struct rand *rand, uint64_t below) {
    char key[32];
    uint8_t expected[VALUE_BYTES];
    for (int n = 0; n < 8; n++) {
        uint64_t i = rand_below(rand, below);
        firn_value value;
        assert_int_equal(firn_get(db, NULL, key_of(i, key), &value), FIRN_OK);
        assert_int_equal(value.size, VALUE_BYTES);
        assert_memory_equal(value.data, value_of(i, expected).data, VALUE_BYTES);
        firn_value_release(&value);
    }
}

static void load_and_read(const firn_options *options, size_t iterators) {
    firn_db *db;
    firn_iter *its[ITERATORS] = {NULL};
    uint64_t keys = test_scaled(KEYS, 40000);
    struct rand rand;
    rand_init(&rand, test_seed());
    (void)firn_destroy(FOLDER, NULL);
    assert_int_equal(firn_open(FOLDER, options, &db), FIRN_OK);
    size_t opened = 0;
    for (uint64_t i = 0; i < keys; i++) {
        char key[32];
        uint8_t value[VALUE_BYTES];
        assert_int_equal(firn_put(db, key_of(i, key), value_of(i, value), 0), FIRN_OK);
        if (i % 16 == 0) {
            get_some(db, &rand, i + 1);
            assert_within(db);
        }
        if (i * iterators / keys > opened) {
            assert_int_equal(firn_iter_create(db, NULL, &its[opened]), FIRN_OK);
            firn_iter_seek(its[opened], key_of(rand_below(&rand, i + 1), key));
            assert_true(firn_iter_valid(its[opened++]));
        }
    }
    assert_int_equal(firn_wait_idle(db), FIRN_OK);
    firn_memory held = memory_of(db);
    /* Each memtable that was flushed is held by one of them. */
    assert_true(iterators == 0 || held.pinned > 2 * options->memtable_bytes);
    for (size_t i = 0; i < opened; i++) {
        firn_iter_destroy(its[i]);
    }
    /* The last views that refer to flushed memtables go with the next job. */
    assert_int_equal(firn_put(db, FIRN_STR("last"), FIRN_STR("one"), 0), FIRN_OK);
    assert_int_equal(firn_flush(db), FIRN_OK);
    assert_int_equal(firn_wait_idle(db), FIRN_OK);
    firn_memory after = memory_of(db);
    assert_int_equal(after.iterators, 0);
    if (after.pinned > MIB) {
        fail_msg("%.1f MiB are pinned by nobody", (double)after.pinned / MIB);
    }
    assert_true(after.total <= after.budget);
    assert_int_equal(firn_close(db), FIRN_OK);
    assert_int_equal(firn_destroy(FOLDER, NULL), FIRN_OK);
}

static void it_is_kept_with_and_without_iterators(void **state) {
    (void)state;
    static const uint64_t budgets[] = {16 * MIB, 64 * MIB};
    for (size_t i = 0; i < 2; i++) {
        firn_options options;
        firn_options_init(&options);
        options.memory_budget = budgets[i];
        options.memtable_bytes = MIB;
        load_and_read(&options, 0);
        load_and_read(&options, ITERATORS);
    }
}

static void the_page_cache_gives_way(void **state) {
    (void)state;
    firn_options options;
    firn_options_init(&options);
    options.memory_budget = 16 * MIB;
    options.page_cache_bytes = 64 * MIB;
    load_and_read(&options, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_kept_with_and_without_iterators),
        cmocka_unit_test(the_page_cache_gives_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
