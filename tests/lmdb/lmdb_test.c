/* An oracle from outside: the same operations on LMDB, whose code shares nothing with ours. Under
 * every set of options of tests/support/model.h, the database holds what LMDB holds: every lookup,
 * every place an iterator comes to, and at the end all of it in both directions, after reopening,
 * too.
 *
 * In longer runs (FIRN_TEST_SCALE above 1) there are more keys, memtables and tables hold more of
 * them, and flushes, compactions and reopening are as much rarer: levels fill by themselves, too,
 * and most of the time goes into operations.
 *
 * LMDB takes keys of 1 to 511 bytes; longer and empty ones are model_test.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <lmdb.h>

#include <cmocka.h>

#include "base/rand.h"
#include "tests/support/model.h"
#include "tests/support/oracle.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define FOLDER "db"
#define KEY_BYTES_MAX 511
#define VALUE_BYTES_MAX 3000

struct pair_of_stores {
    firn_options options;
    firn_db *db;
    MDB_env *lmdb;
    MDB_txn *txn; /* one for all: nothing here is about LMDB's durability */
    MDB_dbi dbi;
    char file[64];
    struct rand rand;
    enum model_keys keys;
    uint64_t key_count, rarity;
    uint8_t key[FIRN_KEY_BYTES_MAX], value[VALUE_BYTES_MAX];
};

static void ok(int rc, const char *call) {
    if (rc != 0) {
        fail_msg("%s: %s", call, firn_errmsg());
    }
}

static MDB_val of_slice(firn_slice s) {
    return (MDB_val){s.size, (void *)(uintptr_t)s.data};
}

static bool same(firn_slice a, MDB_val b) {
    return a.size == b.mv_size && (a.size == 0 || memcmp(a.data, b.mv_data, a.size) == 0);
}

static void set_up(struct pair_of_stores *s, unsigned options, uint64_t seed) {
    memset(s, 0, sizeof *s);
    rand_init(&s->rand, seed);
    s->rarity = test_scaled(1, 1);
    s->key_count = 1000 * (1 + s->rarity / 2);
    s->keys = (enum model_keys)(options % MODEL_KEYS);
    s->keys = s->keys == MODEL_KEYS_LONG ? MODEL_KEYS_PATH : s->keys;
    model_options(options, &s->options);
    s->options.memtable_entries *= s->rarity;
    s->options.table_entries *= s->rarity;
    ok(firn_env_memory_create(&s->options.env), "firn_env_memory_create");
    ok(firn_open(FOLDER, &s->options, &s->db), "firn_open");
    (void)snprintf(s->file, sizeof s->file, "lmdb-test-%d", (int)getpid());
    (void)unlink(s->file);
    assert_int_equal(mdb_env_create(&s->lmdb), 0);
    assert_int_equal(mdb_env_set_mapsize(s->lmdb, (size_t)1 << 30), 0);
    assert_int_equal(mdb_env_open(s->lmdb, s->file, MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOLOCK, 0600),
                     0);
    assert_int_equal(mdb_txn_begin(s->lmdb, NULL, 0, &s->txn), 0);
    assert_int_equal(mdb_dbi_open(s->txn, NULL, 0, &s->dbi), 0);
}

static void tear_down(struct pair_of_stores *s) {
    ok(firn_close(s->db), "firn_close");
    firn_env_destroy(s->options.env);
    mdb_txn_abort(s->txn);
    mdb_env_close(s->lmdb);
    (void)unlink(s->file);
}

static firn_slice random_key(struct pair_of_stores *s) {
    firn_slice key;
    do {
        key = model_key(s->keys, rand_below(&s->rand, s->key_count), s->key);
    } while (key.size == 0 || key.size > KEY_BYTES_MAX);
    return key;
}

static firn_slice random_value(struct pair_of_stores *s) {
    static const size_t sizes[] = {0, 1, 8, 8, 30, 100, 300, VALUE_BYTES_MAX};
    size_t size = sizes[rand_below(&s->rand, sizeof sizes / sizeof sizes[0])];
    oracle_fill((struct oracle_value){rand_next(&s->rand), size}, s->value);
    return firn_slice_make(s->value, size);
}

/* A put or a delete, by itself or, with a batch, as part of it. */
static void write_one(struct pair_of_stores *s, firn_batch *batch) {
    firn_slice key = random_key(s);
    MDB_val k = of_slice(key);
    if (rand_below(&s->rand, 3) == 0) {
        ok(batch != NULL ? firn_batch_delete(batch, key) : firn_delete(s->db, key, 0), "delete");
        int rc = mdb_del(s->txn, s->dbi, &k, NULL);
        assert_true(rc == 0 || rc == MDB_NOTFOUND);
        return;
    }
    firn_slice value = random_value(s);
    MDB_val v = of_slice(value);
    ok(batch != NULL ? firn_batch_put(batch, key, value) : firn_put(s->db, key, value, 0), "put");
    assert_int_equal(mdb_put(s->txn, s->dbi, &k, &v, 0), 0);
}

static void write_batch(struct pair_of_stores *s) {
    firn_batch *batch;
    ok(firn_batch_create(&batch), "firn_batch_create");
    for (uint64_t n = 1 + rand_below(&s->rand, 20); n > 0; n--) {
        write_one(s, batch);
    }
    ok(firn_write(s->db, batch, 0), "firn_write");
    firn_batch_destroy(batch);
}

static void compare_get(struct pair_of_stores *s) {
    firn_slice key = random_key(s);
    MDB_val k = of_slice(key), v;
    firn_value value;
    int rc = firn_get(s->db, NULL, key, &value);
    int expected = mdb_get(s->txn, s->dbi, &k, &v);
    assert_int_equal(rc, expected == 0 ? FIRN_OK : FIRN_NOT_FOUND);
    if (rc == FIRN_OK) {
        assert_true(same(firn_slice_make(value.data, value.size), v));
        firn_value_release(&value);
    }
}

/* Whether both stand on the same pair, or both at the end. */
static bool same_place(firn_iter *it, int rc, const MDB_val *k, const MDB_val *v) {
    return firn_iter_valid(it)
               ? rc == 0 && same(firn_iter_key(it), *k) && same(firn_iter_value(it), *v)
               : rc == MDB_NOTFOUND && firn_iter_status(it) == FIRN_OK;
}

static void walk_from_somewhere(struct pair_of_stores *s) {
    firn_iter *it;
    MDB_cursor *cursor;
    firn_slice key = random_key(s);
    MDB_val k = of_slice(key), v;
    ok(firn_iter_create(s->db, NULL, &it), "firn_iter_create");
    assert_int_equal(mdb_cursor_open(s->txn, s->dbi, &cursor), 0);
    firn_iter_seek(it, key);
    int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    assert_true(same_place(it, rc, &k, &v));
    for (int step = 0; step < 12 && firn_iter_valid(it); step++) {
        bool forward = rand_below(&s->rand, 2) == 0;
        if (forward) {
            firn_iter_next(it);
        } else {
            firn_iter_prev(it);
        }
        rc = mdb_cursor_get(cursor, &k, &v, forward ? MDB_NEXT : MDB_PREV);
        assert_true(same_place(it, rc, &k, &v));
    }
    mdb_cursor_close(cursor);
    firn_iter_destroy(it);
}

static void compare_all(struct pair_of_stores *s) {
    firn_iter *it;
    MDB_cursor *cursor;
    MDB_val k, v;
    ok(firn_iter_create(s->db, NULL, &it), "firn_iter_create");
    assert_int_equal(mdb_cursor_open(s->txn, s->dbi, &cursor), 0);
    firn_iter_first(it);
    int rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
    for (; firn_iter_valid(it); firn_iter_next(it)) {
        assert_true(same_place(it, rc, &k, &v));
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    assert_true(same_place(it, rc, &k, &v));
    firn_iter_last(it);
    rc = mdb_cursor_get(cursor, &k, &v, MDB_LAST);
    for (; firn_iter_valid(it); firn_iter_prev(it)) {
        assert_true(same_place(it, rc, &k, &v));
        rc = mdb_cursor_get(cursor, &k, &v, MDB_PREV);
    }
    assert_true(same_place(it, rc, &k, &v));
    mdb_cursor_close(cursor);
    firn_iter_destroy(it);
}

static bool one_in(struct pair_of_stores *s, uint64_t count) {
    return rand_below(&s->rand, count * s->rarity) == 0;
}

static void one_operation(struct pair_of_stores *s) {
    if (one_in(s, 100)) {
        ok(firn_flush(s->db), "firn_flush");
    }
    if (one_in(s, 500)) {
        ok(firn_compact(s->db, NULL, NULL, NULL), "firn_compact");
    }
    if (one_in(s, 400)) {
        ok(firn_close(s->db), "firn_close");
        ok(firn_open(FOLDER, &s->options, &s->db), "firn_open");
    }
    switch (rand_below(&s->rand, 32)) {
    case 0:
        write_batch(s);
        break;
    default:
        switch (rand_below(&s->rand, 8)) {
        case 0:
            walk_from_somewhere(s);
            break;
        case 1:
        case 2:
        case 3:
            compare_get(s);
            break;
        default:
            write_one(s, NULL);
        }
    }
}

static void every_set_of_options_holds_what_lmdb_holds(void **state) {
    (void)state;
    uint64_t seed = test_seed(), operations = test_scaled(20000, 1000);
    for (unsigned options = 0; options < MODEL_OPTIONS; options++) {
        struct pair_of_stores s;
        set_up(&s, options, seed + options);
        for (uint64_t i = 0; i < operations; i++) {
            one_operation(&s);
        }
        compare_all(&s);
        ok(firn_compact(s.db, NULL, NULL, NULL), "firn_compact");
        compare_all(&s);
        tear_down(&s);
    }
    print_message("%u sets of options, %llu operations each\n", MODEL_OPTIONS,
                  (unsigned long long)operations);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_of_options_holds_what_lmdb_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
