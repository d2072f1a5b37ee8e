/* Values that are held while what they lie in is flushed, compacted and evicted; and what stays in
 * the page cache of keys that are read often. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "base/slice.h"
#include "tests/support/seed.h"

#define FOLDER "hot-read-test.firn"
#define KEYS 400
#define PINS 12 /* of a thread, for the values that it holds first */
#define HELD 60
#define VALUE_MAX 800

static firn_db *open_db(const firn_options *options) {
    firn_db *db;
    (void)firn_destroy(FOLDER, NULL);
    assert_int_equal(firn_open(FOLDER, options, &db), FIRN_OK);
    return db;
}

static void close_db(firn_db *db) {
    assert_int_equal(firn_close(db), FIRN_OK);
    assert_int_equal(firn_destroy(FOLDER, NULL), FIRN_OK);
}

static firn_slice key_of(unsigned number, char *to) {
    return firn_slice_make(to, (size_t)sprintf(to, "key/%06u", number));
}

/* By turns, each tenth of the keys long: integers, text, bytes that do not compress, values apart.
 */
static firn_slice value_of(unsigned number, unsigned round, uint8_t *to) {
    struct rand r;
    rand_init(&r, (uint64_t)round * 1000003 + number);
    unsigned kind = number / 10 % 4;
    size_t size = kind == 0 ? 8 : kind == 3 ? 600 + rand_below(&r, 200) : 20 + rand_below(&r, 80);
    for (size_t i = 0; i < size; i++) {
        to[i] = kind == 0   ? (uint8_t)(i == 0   ? number
                                        : i == 1 ? round
                                                 : 0)
                : kind == 1 ? (uint8_t)('a' + (number + i) % 3 + round % 8)
                            : (uint8_t)rand_next(&r);
    }
    return firn_slice_make(to, size);
}

static void put_all(firn_db *db, unsigned round) {
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32];
        uint8_t value[VALUE_MAX];
        assert_int_equal(firn_put(db, key_of(i, key), value_of(i, round, value), 0), FIRN_OK);
    }
}

struct held {
    firn_value value;
    unsigned number, round;
};

static void take(firn_db *db, struct held *h, unsigned number, unsigned round) {
    char key[32];
    assert_int_equal(firn_get(db, NULL, key_of(number, key), &h->value), FIRN_OK);
    h->number = number;
    h->round = round;
}

static bool is_right(const struct held *h) {
    uint8_t expected[VALUE_MAX];
    firn_slice value = value_of(h->number, h->round, expected);
    return h->value.size == value.size && memcmp(h->value.data, value.data, value.size) == 0;
}

static void *release_all(void *argument) {
    struct held *held = argument;
    for (unsigned i = 0; i < HELD; i++) {
        firn_value_release(&held[i].value);
        firn_value_release(&held[i].value); /* no harm */
    }
    return NULL;
}

/* One cache smaller than the tables; none, so that every page is read anew. */
static void values_outlive_what_they_lay_in(void **state) {
    (void)state;
    for (int cached = 0; cached < 2; cached++) {
        firn_options options;
        firn_options_init(&options);
        options.page_cache = cached;
        options.page_cache_bytes = 100000;
        firn_db *db = open_db(&options);
        static struct held old[HELD], young[HELD];
        struct rand r;
        rand_init(&r, test_seed());
        for (unsigned round = 1; round <= 6; round++) {
            put_all(db, round);
            for (unsigned i = 0; i < HELD; i++) { /* from the memtable */
                take(db, &old[i], (unsigned)rand_below(&r, KEYS), round);
            }
            assert_int_equal(firn_flush(db), FIRN_OK);
            for (unsigned i = 0; i < HELD; i++) { /* from a table, some from the page cache */
                take(db, &young[i], (unsigned)rand_below(&r, round % 2 ? KEYS : 40), round);
            }
            assert_int_equal(firn_close(db), FIRN_BUSY);
            assert_int_equal(firn_compact(db, NULL, NULL, NULL), FIRN_OK);
            for (unsigned i = 0; i < KEYS; i++) { /* other pages pass through the cache */
                struct held h;
                take(db, &h, i, round);
                assert_true(is_right(&h));
                firn_value_release(&h.value);
            }
            for (unsigned i = 0; i < HELD; i++) {
                assert_true(is_right(&old[i]) && is_right(&young[i]));
            }
            pthread_t thread; /* any may release */
            assert_int_equal(pthread_create(&thread, NULL, release_all, old), 0);
            release_all(young);
            assert_int_equal(pthread_join(thread, NULL), 0);
        }
        close_db(db);
    }
}

/* A memtable that a value holds is given back with the value, though nothing else happens. */
/* The pins of a thread are given back, so that only counted references keep the rest. */
static void held_values_stay_while_their_keys_are_overwritten(void **state) {
    (void)state;
    static struct held held[HELD];
    firn_options options;
    firn_options_init(&options);
    firn_db *db = open_db(&options);
    for (unsigned round = 0; round < 200; round++) {
        for (unsigned i = 0; i < HELD; i++) {
            char key[32];
            uint8_t value[VALUE_MAX];
            assert_int_equal(firn_put(db, key_of(i, key), value_of(i, round, value), 0), FIRN_OK);
        }
        for (unsigned i = 0; round == 0 && i < HELD; i++) {
            take(db, &held[i], i, 0);
        }
        for (unsigned i = 0; i < HELD; i++) {
            if (i >= PINS) {
                assert_true(is_right(&held[i]));
            } else if (round == 0) {
                firn_value_release(&held[i].value);
            }
        }
    }
    release_all(held);
    close_db(db);
}

static void a_held_memtable_goes_with_its_last_value(void **state) {
    (void)state;
    firn_options options;
    firn_options_init(&options);
    firn_db *db = open_db(&options);
    firn_memory memory;
    struct held held[3];
    put_all(db, 1);
    firn_get_memory(db, &memory);
    uint64_t full = memory.memtables;
    for (unsigned i = 0; i < 3; i++) {
        take(db, &held[i], i * 100, 1);
    }
    assert_int_equal(firn_flush(db), FIRN_OK);
    assert_int_equal(firn_wait_idle(db), FIRN_OK);
    for (unsigned i = 0; i < 3; i++) {
        firn_get_memory(db, &memory);
        assert_true(memory.pinned > full / 2 && memory.memtables + memory.pinned >= full);
        assert_true(is_right(&held[i]));
        firn_value_release(&held[i].value);
    }
    firn_get_memory(db, &memory);
    assert_true(memory.memtables + memory.pinned < full / 2);
    close_db(db);
}

/* ---- A scan amid hot reads. ---- */

#define SCANNED_KEYS 40000
#define HOT_KEYS 100
#define HOT_STEP (SCANNED_KEYS / HOT_KEYS)

static void fill(firn_db *db) {
    struct rand r;
    rand_init(&r, test_seed());
    for (unsigned i = 0; i < SCANNED_KEYS; i++) {
        char key[32];
        uint64_t value[12];
        for (unsigned k = 0; k < 12; k++) {
            value[k] = rand_next(&r);
        }
        assert_int_equal(firn_put(db, key_of(i, key), firn_slice_make(value, sizeof value), 0),
                         FIRN_OK);
    }
    assert_int_equal(firn_compact(db, NULL, NULL, NULL), FIRN_OK);
}

/* Gets every hot key; returns how many pages were found in the cache. */
static uint64_t read_hot(firn_db *db) {
    firn_stats before, after;
    firn_get_stats(db, &before);
    for (unsigned i = 0; i < HOT_KEYS; i++) {
        char key[32];
        size_t size;
        uint8_t value[100];
        assert_int_equal(
            firn_get_into(db, NULL, key_of(i * HOT_STEP, key), value, sizeof value, &size),
            FIRN_OK);
    }
    firn_get_stats(db, &after);
    assert_int_equal(after.gets - before.gets, HOT_KEYS);
    assert_int_equal(after.gets_found - before.gets_found, HOT_KEYS);
    assert_int_equal(after.page_cache_hits - before.page_cache_hits + after.page_reads -
                         before.page_reads,
                     HOT_KEYS);
    return after.page_cache_hits - before.page_cache_hits;
}

/* The cache has a quarter of the data; the hot keys' pages take a third of it. */
static void a_scan_does_not_wash_out_what_gets_find_often(void **state) {
    (void)state;
    firn_options options;
    firn_options_init(&options);
    options.page_cache_bytes = 1 << 20;
    firn_db *db = open_db(&options);
    fill(db);
    for (int i = 0; i < 3; i++) {
        (void)read_hot(db);
    }
    assert_int_equal(read_hot(db), HOT_KEYS);
    firn_iter *it;
    uint64_t rounds = 0, hits = 0, scanned = 0;
    for (int scan = 0; scan < 3; scan++) {
        assert_int_equal(firn_iter_create(db, NULL, &it), FIRN_OK);
        for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it)) {
            if (++scanned % 5000 == 0) {
                hits += read_hot(db);
                rounds++;
            }
        }
        firn_iter_destroy(it);
    }
    assert_int_equal(scanned, 3 * SCANNED_KEYS);
    assert_true(hits >= rounds * HOT_KEYS * 19 / 20);
    close_db(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_outlive_what_they_lay_in),
        cmocka_unit_test(held_values_stay_while_their_keys_are_overwritten),
        cmocka_unit_test(a_held_memtable_goes_with_its_last_value),
        cmocka_unit_test(a_scan_does_not_wash_out_what_gets_find_often),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
