/* A key that is overwritten all the time takes the memory of the versions that somebody can see,
 * and no flush but for the length of the log.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/slice.h"
#include "tests/support/scale.h"

#define FOLDER "hot-key-test.firn"
#define MEMTABLE_BYTES (1 << 20)
#define OTHER_KEYS 1000

static firn_slice value_of(uint64_t put, char to[64]) {
    return firn_slice_make(
        to, (size_t)snprintf(to, 64, "value number %llu of some length", (unsigned long long)put));
}

static firn_db *open_db(bool in_memory) {
    firn_options options;
    firn_db *db;
    firn_options_init(&options);
    options.memtable_bytes = MEMTABLE_BYTES;
    options.in_memory = in_memory;
    assert_int_equal(firn_open(FOLDER, &options, &db), FIRN_OK);
    return db;
}

static void fill(firn_db *db) {
    for (unsigned i = 0; i < OTHER_KEYS; i++) {
        char key[32];
        firn_slice k = firn_slice_make(key, (size_t)snprintf(key, 32, "other %u", i));
        assert_int_equal(firn_put(db, k, FIRN_STR("one"), 0), FIRN_OK);
    }
}

static void overwrite(firn_db *db, uint64_t from, uint64_t to) {
    for (uint64_t put = from; put < to; put++) {
        char value[64];
        assert_int_equal(firn_put(db, FIRN_STR("hot"), value_of(put, value), 0), FIRN_OK);
    }
}

static void assert_value(firn_db *db, const firn_snapshot *snapshot, uint64_t put) {
    char expected[64];
    firn_value value;
    assert_int_equal(firn_get(db, snapshot, FIRN_STR("hot"), &value), FIRN_OK);
    firn_slice found = firn_slice_make(value.data, value.size);
    assert_true(slice_equal(found, value_of(put, expected)));
    firn_value_release(&value);
}

static firn_stats stats_of(firn_db *db) {
    firn_stats stats;
    firn_get_stats(db, &stats);
    return stats;
}

static void a_million_writes_of_a_key_need_no_flush(void **state) {
    (void)state;
    uint64_t half = test_scaled(500000, 40000);
    char expected[64];
    firn_db *db = open_db(true);
    firn_snapshot *snapshot;
    firn_iter *it;
    fill(db);
    overwrite(db, 0, half);
    assert_int_equal(firn_snapshot_create(db, &snapshot), FIRN_OK);
    overwrite(db, half, half + 1000);
    assert_int_equal(firn_iter_create(db, NULL, &it), FIRN_OK);
    firn_iter_seek(it, FIRN_STR("hot"));
    overwrite(db, half + 1000, half + 9000); /* while it is open memory is not used again */
    assert_true(slice_equal(firn_iter_value(it), value_of(half + 999, expected)));
    assert_value(db, snapshot, half - 1);
    firn_iter_last(it);
    firn_iter_seek(it, FIRN_STR("hot"));
    assert_true(slice_equal(firn_iter_value(it), value_of(half + 999, expected)));
    firn_iter_destroy(it);
    overwrite(db, half + 9000, 2 * half);
    assert_value(db, snapshot, half - 1);
    assert_value(db, NULL, 2 * half - 1);
    firn_snapshot_release(snapshot);
    firn_stats stats = stats_of(db);
    assert_int_equal(stats.flushes, 0);
    assert_in_range(stats.entries, OTHER_KEYS + 1, OTHER_KEYS + 2000);
    assert_int_equal(firn_close(db), FIRN_OK);
}

static void the_log_does_not_grow_for_ever(void **state) {
    (void)state;
    uint64_t puts = test_scaled(400000, 150000);
    (void)firn_destroy(FOLDER, NULL);
    firn_db *db = open_db(false);
    fill(db);
    overwrite(db, 0, puts);
    assert_int_equal(firn_wait_idle(db), FIRN_OK); /* the last flush counts when it has ended */
    firn_stats stats = stats_of(db);
    assert_in_range(stats.flushes, stats.log_bytes_written / (5 * MEMTABLE_BYTES),
                    stats.log_bytes_written / (4 * MEMTABLE_BYTES));
    assert_true(stats.flushes > 0);
    assert_int_equal(firn_close(db), FIRN_OK);
    db = open_db(false); /* from the log: it is forgotten there, too */
    assert_value(db, NULL, puts - 1);
    stats = stats_of(db);
    assert_in_range(stats.entries, OTHER_KEYS + 1, 2 * OTHER_KEYS + 2000);
    assert_int_equal(firn_close(db), FIRN_OK);
    assert_int_equal(firn_destroy(FOLDER, NULL), FIRN_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_million_writes_of_a_key_need_no_flush),
        cmocka_unit_test(the_log_does_not_grow_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
