/* What lsm/firn.h promises, case by case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "tests/support/oracle.h"
#include "tests/support/scale.h"

#define FOLDER "contract-test.firn"

struct fixture {
    firn_env *env;
    firn_options options;
    firn_db *db;
};

static void open_db(struct fixture *f) {
    int rc = firn_open(FOLDER, &f->options, &f->db);
    if (rc != FIRN_OK) {
        print_error("firn_open: %s\n", firn_errmsg());
    }
    assert_int_equal(rc, FIRN_OK);
}

static void close_db(struct fixture *f) {
    assert_int_equal(firn_close(f->db), FIRN_OK);
    f->db = NULL;
}

/* A database in memory; small memtables. */
static struct fixture setup(void) {
    struct fixture f;
    assert_int_equal(firn_env_memory_create(&f.env), FIRN_OK);
    firn_options_init(&f.options);
    f.options.env = f.env;
    f.options.memtable_entries = 500;
    f.options.table_entries = 300;
    f.options.level0_runs = 2;
    open_db(&f);
    return f;
}

static struct fixture setup_files(void) {
    struct fixture f = {.env = NULL};
    firn_options_init(&f.options);
    (void)firn_destroy(FOLDER, NULL);
    open_db(&f);
    return f;
}

static void teardown(struct fixture *f) {
    if (f->db != NULL) {
        close_db(f);
    }
    assert_int_equal(firn_destroy(FOLDER, &f->options), FIRN_OK);
    if (f->env != NULL) {
        firn_env_destroy(f->env);
    }
}

static firn_slice text(const char *s) {
    return firn_slice_make(s, strlen(s));
}

static void put(firn_db *db, const char *key, const char *value) {
    assert_int_equal(firn_put(db, text(key), text(value), 0), FIRN_OK);
}

static void assert_value(firn_db *db, const firn_snapshot *s, firn_slice key, const char *value) {
    firn_value v;
    int rc = firn_get(db, s, key, &v);
    assert_int_equal(rc, value == NULL ? FIRN_NOT_FOUND : FIRN_OK);
    if (value != NULL) {
        assert_int_equal(v.size, strlen(value));
        assert_memory_equal(v.data, value, v.size);
    } else {
        assert_null(v.data);
        assert_int_equal(v.size, 0);
    }
    firn_value_release(&v);
}

/* ---- Versions and snapshots. ---- */

static void thousands_of_versions_of_one_key_stay_apart_under_snapshots(void **state) {
    (void)state;
    enum { VERSIONS = 3000, EVERY = 50 };
    struct fixture f = setup();
    firn_snapshot *snapshots[VERSIONS / EVERY];
    char value[32];
    for (int i = 0; i < VERSIONS; i++) {
        (void)snprintf(value, sizeof value, "version %d", i);
        put(f.db, "key", value);
        if (i % EVERY == 0) {
            assert_int_equal(firn_snapshot_create(f.db, &snapshots[i / EVERY]), FIRN_OK);
        }
        if (i % 1000 == 999) {
            assert_int_equal(firn_flush(f.db), FIRN_OK);
        }
    }
    for (int round = 0; round < 3; round++) {
        for (int i = round; i < VERSIONS / EVERY; i += round == 2 ? 2 : 1) {
            (void)snprintf(value, sizeof value, "version %d", i * EVERY);
            if (snapshots[i] != NULL) {
                assert_value(f.db, snapshots[i], text("key"), value);
            }
        }
        if (round == 1) { /* every other one may go */
            for (int i = 0; i < VERSIONS / EVERY; i += 2) {
                firn_snapshot_release(snapshots[i]);
                snapshots[i] = NULL;
            }
        }
        assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
    }
    assert_value(f.db, NULL, text("key"), "version 2999");
    for (int i = 0; i < VERSIONS / EVERY; i++) {
        firn_snapshot_release(snapshots[i]);
    }
    assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
    firn_stats stats = {.struct_size = sizeof stats};
    firn_get_stats(f.db, &stats);
    assert_int_equal(stats.entries, 1); /* nobody can see the others any more */
    teardown(&f);
}

static void a_snapshot_of_an_empty_database_stays_empty(void **state) {
    (void)state;
    struct fixture f = setup();
    firn_snapshot *s;
    assert_int_equal(firn_snapshot_create(f.db, &s), FIRN_OK);
    put(f.db, "a", "1");
    uint64_t count;
    assert_int_equal(firn_count(f.db, s, NULL, &count), FIRN_OK);
    assert_int_equal(count, 0);
    assert_value(f.db, s, text("a"), NULL);
    firn_iter_options options;
    firn_iter_options_init(&options);
    options.snapshot = s;
    firn_iter *it;
    assert_int_equal(firn_iter_create(f.db, &options, &it), FIRN_OK);
    firn_iter_first(it);
    assert_false(firn_iter_valid(it));
    firn_iter_destroy(it);
    firn_snapshot_release(s);
    teardown(&f);
}

/* Where tables hold one version of each key, an iterator walks what was read ahead. */
static void a_snapshot_sees_nothing_newer_in_tables(void **state) {
    (void)state;
    enum { KEYS = 400 };
    struct fixture f = setup();
    firn_snapshot *s = NULL;
    char key[32];
    for (int newer = 0; newer < 2; newer++) {
        for (int i = newer; i < KEYS; i += 2) {
            (void)snprintf(key, sizeof key, "%05d", i);
            put(f.db, key, newer ? "new" : "old");
        }
        if (!newer) {
            assert_int_equal(firn_snapshot_create(f.db, &s), FIRN_OK);
        }
    }
    firn_iter_options options;
    firn_iter_options_init(&options);
    options.snapshot = s;
    for (int round = 0; round < 3; round++) {
        firn_iter *it;
        int seen = 0;
        assert_int_equal(firn_iter_create(f.db, &options, &it), FIRN_OK);
        for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it), seen += 2) {
            (void)snprintf(key, sizeof key, "%05d", seen);
            assert_true(slice_equal(firn_iter_key(it), text(key)));
        }
        assert_int_equal(seen, KEYS);
        for (firn_iter_last(it); firn_iter_valid(it); firn_iter_prev(it)) {
            seen -= 2;
            (void)snprintf(key, sizeof key, "%05d", seen);
            assert_true(slice_equal(firn_iter_key(it), text(key)));
        }
        assert_int_equal(seen, 0);
        assert_int_equal(firn_iter_status(it), FIRN_OK);
        firn_iter_destroy(it);
        assert_int_equal(round == 0 ? firn_flush(f.db) : firn_compact(f.db, NULL, NULL, NULL),
                         FIRN_OK);
    }
    firn_snapshot_release(s);
    teardown(&f);
}

static void an_iterator_survives_flush_and_compaction(void **state) {
    (void)state;
    struct fixture f = setup();
    char key[32];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof key, "%05d", i);
        put(f.db, key, "old");
    }
    firn_iter *it;
    assert_int_equal(firn_iter_create(f.db, NULL, &it), FIRN_OK);
    int seen = 0;
    for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it)) {
        (void)snprintf(key, sizeof key, "%05d", seen);
        assert_true(slice_equal(firn_iter_key(it), text(key)));
        assert_true(slice_equal(firn_iter_value(it), text("old")));
        if (seen == 100) {
            for (int i = 0; i < 1000; i++) {
                (void)snprintf(key, sizeof key, "%05d", i);
                if (i % 2 == 0) {
                    put(f.db, key, "new");
                } else {
                    assert_int_equal(firn_delete(f.db, text(key), 0), FIRN_OK);
                }
            }
            assert_int_equal(firn_flush(f.db), FIRN_OK);
        } else if (seen == 200) {
            assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
        }
        seen++;
    }
    assert_int_equal(firn_iter_status(it), FIRN_OK);
    assert_int_equal(seen, 1000);
    firn_iter_destroy(it);
    uint64_t count;
    assert_int_equal(firn_count(f.db, NULL, NULL, &count), FIRN_OK);
    assert_int_equal(count, 500);
    teardown(&f);
}

static void an_iterator_outlives_the_snapshot_it_was_made_from(void **state) {
    (void)state;
    struct fixture f = setup();
    put(f.db, "a", "old");
    firn_snapshot *s;
    assert_int_equal(firn_snapshot_create(f.db, &s), FIRN_OK);
    put(f.db, "a", "new");
    firn_iter_options options;
    firn_iter_options_init(&options);
    options.snapshot = s;
    firn_iter *it;
    assert_int_equal(firn_iter_create(f.db, &options, &it), FIRN_OK);
    firn_snapshot_release(s);
    assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
    firn_iter_last(it);
    assert_true(firn_iter_valid(it));
    assert_true(slice_equal(firn_iter_value(it), text("old")));
    firn_iter_destroy(it);
    teardown(&f);
}

static void a_value_outlives_its_key(void **state) {
    (void)state;
    struct fixture f = setup();
    put(f.db, "a", "in the memtable");
    firn_value first, second;
    assert_int_equal(firn_get(f.db, NULL, text("a"), &first), FIRN_OK);
    assert_int_equal(firn_flush(f.db), FIRN_OK);
    assert_int_equal(firn_get(f.db, NULL, text("a"), &second), FIRN_OK);
    assert_int_equal(firn_delete(f.db, text("a"), 0), FIRN_OK);
    assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
    assert_memory_equal(first.data, "in the memtable", first.size);
    assert_memory_equal(second.data, "in the memtable", second.size);
    assert_int_equal(firn_close(f.db), FIRN_BUSY); /* they are still held */
    firn_value_release(&first);
    firn_value_release(&first); /* harmless */
    firn_value_release(&second);
    teardown(&f);
}

/* ---- Keys, values, batches at their limits. ---- */

static void keys_may_be_prefixes_of_each_other_sixty_thousand_deep(void **state) {
    (void)state;
    enum { DEEPEST = 60000 };
    unsigned step = test_scale() < 1 ? 300 : 30; /* each is longer than the one before */
    struct fixture f = setup();
    f.options.memtable_entries = 0;
    close_db(&f);
    open_db(&f);
    char *key = malloc(DEEPEST + 1);
    assert_non_null(key);
    memset(key, 'k', DEEPEST + 1);
    uint64_t keys = 0, count;
    for (unsigned size = 0; size <= DEEPEST; size += step, keys++) {
        assert_int_equal(
            firn_put(f.db, firn_slice_make(key, size), firn_slice_make(&size, sizeof size), 0),
            FIRN_OK);
    }
    for (int round = 0; round < 2; round++) {
        for (unsigned size = 0; size <= DEEPEST; size += step * 20) {
            firn_value v;
            assert_int_equal(firn_get(f.db, NULL, firn_slice_make(key, size), &v), FIRN_OK);
            assert_memory_equal(v.data, &size, sizeof size);
            firn_value_release(&v);
            assert_int_equal(firn_contains(f.db, NULL, firn_slice_make(key, size + 1)),
                             step > 1 ? FIRN_NOT_FOUND : FIRN_OK);
        }
        firn_iter *it;
        unsigned expected = 0;
        assert_int_equal(firn_iter_create(f.db, NULL, &it), FIRN_OK);
        for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it)) {
            assert_int_equal(firn_iter_key(it).size, expected);
            expected += step;
        }
        assert_int_equal(firn_iter_status(it), FIRN_OK);
        firn_iter_destroy(it);
        assert_int_equal(firn_count(f.db, NULL, NULL, &count), FIRN_OK);
        assert_int_equal(count, keys);
        assert_int_equal(firn_flush(f.db), FIRN_OK);
    }
    free(key);
    teardown(&f);
}

struct word {
    uint8_t bytes[3];
    size_t size;
};

/* In key order: all words of up to three of the bytes 0, 0xfe and 0xff. */
static bool next_word(struct word *w) {
    if (w->size < sizeof w->bytes) {
        w->bytes[w->size++] = 0;
        return true;
    }
    while (w->size > 0 && w->bytes[w->size - 1] == 0xff) {
        w->size--;
    }
    if (w->size > 0) {
        w->bytes[w->size - 1] = w->bytes[w->size - 1] == 0 ? 0xfe : 0xff;
    }
    return w->size > 0;
}

static firn_slice word_key(const struct word *w) {
    return firn_slice_make(w->bytes, w->size);
}

static bool is_within(const firn_iter_options *o, firn_slice key) {
    const firn_range *r = &o->range;
    int above = r->lower.data == NULL ? 1 : slice_compare(key, r->lower);
    int below = r->upper.data == NULL ? -1 : slice_compare(key, r->upper);
    return slice_starts_with(key, o->prefix) &&
           (above > 0 || (above == 0 && !r->lower_exclusive)) &&
           (below < 0 || (below == 0 && r->upper_inclusive));
}

/* Every third word is deleted. */
static void check_within(firn_db *db, const firn_iter_options *options) {
    firn_iter *it;
    assert_int_equal(firn_iter_create(db, options, &it), FIRN_OK);
    struct word w = {.size = 0}, met[40];
    size_t i = 0, n = 0;
    firn_iter_first(it);
    do {
        if (i++ % 3 != 0 && is_within(options, word_key(&w))) {
            assert_true(firn_iter_valid(it) && slice_equal(firn_iter_key(it), word_key(&w)));
            firn_iter_next(it);
            met[n++] = w;
        }
    } while (next_word(&w));
    assert_false(firn_iter_valid(it));
    for (firn_iter_last(it); n > 0; firn_iter_prev(it)) {
        n--;
        assert_true(firn_iter_valid(it) && slice_equal(firn_iter_key(it), word_key(&met[n])));
    }
    assert_false(firn_iter_valid(it));
    assert_int_equal(firn_iter_status(it), FIRN_OK);
    firn_iter_destroy(it);
}

static void check_bounds(firn_db *db, const struct word *prefix, const struct word *bound) {
    for (int kind = 0; kind < 4; kind++) {
        firn_iter_options options;
        firn_iter_options_init(&options);
        options.prefix = word_key(prefix);
        *(kind < 2 ? &options.range.lower : &options.range.upper) = word_key(bound);
        options.range.lower_exclusive = kind == 1;
        options.range.upper_inclusive = kind == 3;
        check_within(db, &options);
    }
}

static void prefixes_and_bounds_are_exact_with_bytes_of_0xff(void **state) {
    (void)state;
    struct fixture f = setup();
    struct word w = {.size = 0};
    unsigned i = 0;
    do {
        assert_int_equal(firn_put(f.db, word_key(&w), text("v"), 0), FIRN_OK);
    } while (next_word(&w));
    assert_int_equal(firn_flush(f.db), FIRN_OK);
    do {
        assert_int_equal(i++ % 3 != 0 ? FIRN_OK : firn_delete(f.db, word_key(&w), 0), FIRN_OK);
    } while (next_word(&w));
    assert_int_equal(i, 40);
    for (int round = 0; round < 2; round++) {
        struct word prefix = {.size = 0}, bound = {.size = 0};
        do {
            do {
                check_bounds(f.db, &prefix, &bound);
            } while (next_word(&bound));
        } while (next_word(&prefix));
        assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
    }
    teardown(&f);
}

static void a_key_over_the_limit_is_refused(void **state) {
    (void)state;
    struct fixture f = setup();
    char *key = calloc(1, FIRN_KEY_BYTES_MAX + 1);
    assert_non_null(key);
    firn_slice longest = firn_slice_make(key, FIRN_KEY_BYTES_MAX);
    firn_slice longer = firn_slice_make(key, FIRN_KEY_BYTES_MAX + 1);
    assert_int_equal(firn_put(f.db, longest, text("v"), 0), FIRN_OK);
    assert_int_equal(firn_put(f.db, longer, text("v"), 0), FIRN_TOO_LARGE);
    assert_int_equal(firn_delete(f.db, longer, 0), FIRN_TOO_LARGE);
    firn_value old;
    assert_int_equal(firn_insert(f.db, longer, text("v"), 0, &old), FIRN_TOO_LARGE);
    firn_batch *batch;
    assert_int_equal(firn_batch_create(&batch), FIRN_OK);
    assert_int_equal(firn_batch_put(batch, longer, text("v")), FIRN_TOO_LARGE);
    assert_int_equal(firn_batch_count(batch), 0);
    firn_batch_destroy(batch);
    assert_value(f.db, NULL, longest, "v");
    assert_value(f.db, NULL, longer, NULL);
    assert_int_equal(firn_flush(f.db), FIRN_OK);
    assert_value(f.db, NULL, longest, "v");
    free(key);
    teardown(&f);
}

static void values_of_several_megabytes_come_back_whole(void **state) {
    (void)state;
    struct fixture f = setup();
    enum { MEGABYTES = 5, LAST_BYTES = (16 << 20) + 1 }; /* one needs a fourth byte for its size */
    struct oracle_value values[MEGABYTES];
    uint8_t *bytes = malloc(LAST_BYTES);
    assert_non_null(bytes);
    for (size_t i = 0; i < MEGABYTES; i++) {
        values[i] = (struct oracle_value){i, i + 1 < MEGABYTES ? ((i + 1) << 20) - i : LAST_BYTES};
        oracle_fill(values[i], bytes);
        char key[2] = {(char)('a' + i), 0};
        assert_int_equal(firn_put(f.db, text(key), firn_slice_make(bytes, values[i].size), 0),
                         FIRN_OK);
    }
    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; i < MEGABYTES; i++) {
            char key[2] = {(char)('a' + i), 0};
            firn_value v;
            assert_int_equal(firn_get(f.db, NULL, text(key), &v), FIRN_OK);
            assert_true(oracle_matches(values[i], v.data, v.size));
            firn_value_release(&v);
        }
        firn_iter *it;
        assert_int_equal(firn_iter_create(f.db, NULL, &it), FIRN_OK);
        size_t i = MEGABYTES;
        for (firn_iter_last(it); firn_iter_valid(it); firn_iter_prev(it)) {
            firn_slice v = firn_iter_value(it);
            assert_true(oracle_matches(values[--i], v.data, v.size));
        }
        firn_iter_destroy(it);
        if (round == 0) {
            assert_int_equal(firn_flush(f.db), FIRN_OK);
        } else if (round == 1) {
            assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
        } else {
            close_db(&f);
            open_db(&f);
        }
    }
    free(bytes);
    teardown(&f);
}

static void the_empty_key_and_the_empty_value_are_like_any_other(void **state) {
    (void)state;
    struct fixture f = setup();
    for (int round = 0; round < 2; round++) {
        assert_int_equal(firn_put(f.db, FIRN_STR(""), FIRN_STR("nothing"), 0), FIRN_OK);
        put(f.db, "a", "");
        if (round == 1) {
            assert_int_equal(firn_flush(f.db), FIRN_OK);
        }
        assert_value(f.db, NULL, FIRN_STR(""), "nothing");
        assert_value(f.db, NULL, firn_slice_make(NULL, 0), "nothing");
        assert_value(f.db, NULL, text("a"), "");
        uint64_t count;
        firn_range range = {.lower = FIRN_STR(""), .lower_exclusive = true};
        assert_int_equal(firn_count(f.db, NULL, &range, &count), FIRN_OK);
        assert_int_equal(count, 1);
        assert_int_equal(firn_delete(f.db, FIRN_STR(""), 0), FIRN_OK);
        assert_value(f.db, NULL, FIRN_STR(""), NULL);
    }
    teardown(&f);
}

/* ---- Writes. ---- */

static void insert_and_remove_return_what_was_there(void **state) {
    (void)state;
    struct fixture f = setup();
    for (int round = 0; round < 2; round++) {
        firn_value old;
        assert_int_equal(firn_remove(f.db, text("a"), 0, &old), FIRN_NOT_FOUND);
        assert_int_equal(firn_insert(f.db, text("a"), text("one"), 0, &old), FIRN_NOT_FOUND);
        assert_null(old.data);
        if (round == 1) {
            assert_int_equal(firn_flush(f.db), FIRN_OK);
        }
        assert_int_equal(firn_insert(f.db, text("a"), text("two"), FIRN_SYNC, &old), FIRN_OK);
        assert_true(slice_equal(firn_slice_make(old.data, old.size), text("one")));
        firn_value_release(&old);
        if (round == 1) {
            assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
        }
        assert_int_equal(firn_remove(f.db, text("a"), 0, &old), FIRN_OK);
        assert_true(slice_equal(firn_slice_make(old.data, old.size), text("two")));
        firn_value_release(&old);
        assert_value(f.db, NULL, text("a"), NULL);
    }
    teardown(&f);
}

static void the_last_of_a_batch_wins_and_it_can_be_written_again(void **state) {
    (void)state;
    struct fixture f = setup();
    firn_batch *batch;
    assert_int_equal(firn_batch_create(&batch), FIRN_OK);
    assert_int_equal(firn_write(f.db, batch, FIRN_SYNC), FIRN_OK); /* empty */
    assert_int_equal(firn_batch_put(batch, text("a"), text("1")), FIRN_OK);
    assert_int_equal(firn_batch_delete(batch, text("a")), FIRN_OK);
    assert_int_equal(firn_batch_put(batch, text("b"), text("1")), FIRN_OK);
    assert_int_equal(firn_batch_put(batch, text("b"), text("2")), FIRN_OK);
    assert_int_equal(firn_batch_count(batch), 4);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(firn_write(f.db, batch, 0), FIRN_OK);
        assert_value(f.db, NULL, text("a"), NULL);
        assert_value(f.db, NULL, text("b"), "2");
        put(f.db, "a", "x");
    }
    firn_batch_clear(batch);
    assert_int_equal(firn_batch_count(batch), 0);
    firn_batch_destroy(batch);
    firn_batch_destroy(NULL);
    teardown(&f);
}

static void wrong_arguments_are_told(void **state) {
    (void)state;
    struct fixture f = setup();
    firn_db *db;
    assert_int_equal(firn_put(f.db, text("a"), text("b"), 64), FIRN_INVALID);
    assert_int_equal(firn_put(NULL, text("a"), text("b"), 0), FIRN_INVALID);
    assert_int_equal(firn_write(f.db, NULL, 0), FIRN_INVALID);
    assert_int_equal(firn_open(NULL, NULL, &db), FIRN_INVALID);
    assert_null(db);
    firn_options options = f.options;
    options.size_ratio = 1;
    assert_int_equal(firn_open("other", &options, &db), FIRN_INVALID);
    options = f.options;
    options.create_if_missing = false;
    assert_int_equal(firn_open("other", &options, &db), FIRN_MISSING);
    assert_true(strlen(firn_errmsg()) > 0);
    close_db(&f);
    options = f.options;
    options.error_if_exists = true;
    assert_int_equal(firn_open(FOLDER, &options, &db), FIRN_EXISTS);
    open_db(&f);
    teardown(&f);
}

/* ---- Handles. ---- */

static void closing_waits_for_nothing_but_its_readers(void **state) {
    (void)state;
    struct fixture f = setup();
    put(f.db, "a", "1");
    firn_snapshot *s;
    firn_iter *it;
    assert_int_equal(firn_snapshot_create(f.db, &s), FIRN_OK);
    assert_int_equal(firn_close(f.db), FIRN_BUSY);
    assert_int_equal(firn_iter_create(f.db, NULL, &it), FIRN_OK);
    firn_snapshot_release(s);
    assert_int_equal(firn_close(f.db), FIRN_BUSY);
    put(f.db, "b", "2"); /* the handle stays open */
    firn_iter_destroy(it);
    close_db(&f);
    open_db(&f);
    assert_value(f.db, NULL, text("b"), "2");
    teardown(&f);
}

static void a_second_opening_in_the_process_is_busy(void **state) {
    (void)state;
    for (int files = 0; files < 2; files++) {
        struct fixture f = files ? setup_files() : setup();
        firn_db *second;
        assert_int_equal(firn_open(FOLDER, &f.options, &second), FIRN_BUSY);
        assert_null(second);
        assert_int_equal(firn_destroy(FOLDER, &f.options), FIRN_BUSY);
        put(f.db, "a", "1");
        close_db(&f);
        open_db(&f);
        assert_value(f.db, NULL, text("a"), "1");
        teardown(&f);
    }
}

static void readers_see_the_database_as_of_their_opening(void **state) {
    (void)state;
    for (int files = 0; files < 2; files++) {
        struct fixture f = files ? setup_files() : setup();
        put(f.db, "a", "in a table");
        assert_int_equal(firn_flush(f.db), FIRN_OK);
        put(f.db, "b", "in the log");
        firn_options options = f.options;
        options.read_only = true;
        firn_db *reader;
        assert_int_equal(firn_open(FOLDER, &options, &reader), FIRN_OK);
        put(f.db, "c", "later");
        assert_int_equal(firn_delete(f.db, text("a"), FIRN_SYNC), FIRN_OK);
        assert_value(reader, NULL, text("a"), "in a table");
        assert_value(reader, NULL, text("b"), "in the log");
        assert_value(reader, NULL, text("c"), NULL);
        assert_int_equal(firn_put(reader, text("d"), text("x"), 0), FIRN_READ_ONLY);
        assert_int_equal(firn_flush(reader), FIRN_READ_ONLY);
        uint64_t count;
        assert_int_equal(firn_count(reader, NULL, NULL, &count), FIRN_OK);
        assert_int_equal(count, 2);
        assert_int_equal(firn_close(reader), FIRN_OK);
        assert_int_equal(firn_open(FOLDER, &options, &reader), FIRN_OK);
        assert_value(reader, NULL, text("a"), NULL);
        assert_value(reader, NULL, text("c"), "later");
        assert_int_equal(firn_close(reader), FIRN_OK);
        teardown(&f);
    }
}

static int in_child(int (*act)(struct fixture *f), struct fixture *f) {
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(act(f));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int use_parents_handle(struct fixture *f) {
    firn_value v;
    firn_iter *it;
    firn_snapshot *s;
    return (firn_put(f->db, FIRN_STR("a"), FIRN_STR("child"), 0) == FIRN_INVALID ? 0 : 1) |
           (firn_get(f->db, NULL, FIRN_STR("a"), &v) == FIRN_INVALID ? 0 : 2) |
           (firn_iter_create(f->db, NULL, &it) == FIRN_INVALID ? 0 : 4) |
           (firn_snapshot_create(f->db, &s) == FIRN_INVALID ? 0 : 8) |
           (firn_flush(f->db) == FIRN_INVALID ? 0 : 16) |
           (firn_close(f->db) == FIRN_INVALID ? 0 : 32);
}

static void after_fork_the_child_cannot_use_the_handle(void **state) {
    (void)state;
    struct fixture f = setup_files();
    put(f.db, "a", "parent");
    assert_int_equal(in_child(use_parents_handle, &f), 0);
    put(f.db, "b", "parent");
    assert_value(f.db, NULL, text("a"), "parent");
    teardown(&f);
}

/* The other process is made first, while this one has no threads. */
static void another_process_finds_it_busy(void **state) {
    (void)state;
    int go[2], status;
    char byte = 0;
    (void)firn_destroy(FOLDER, NULL);
    assert_int_equal(pipe(go), 0);
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        firn_db *db;
        _exit(read(go[0], &byte, 1) == 1 && firn_open(FOLDER, NULL, &db) == FIRN_BUSY ? 0 : 1);
    }
    struct fixture f = setup_files();
    assert_int_equal(write(go[1], &byte, 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    (void)close(go[0]);
    (void)close(go[1]);
    firn_db *second; /* and the child's end has not freed the lock */
    assert_int_equal(firn_open(FOLDER, &f.options, &second), FIRN_BUSY);
    teardown(&f);
}

static void opening_an_intact_database_writes_nothing(void **state) {
    (void)state;
    firn_env *env;
    assert_int_equal(env_sim_create(1, &env), FIRN_OK);
    struct fixture f = {.env = env};
    firn_options_init(&f.options);
    f.options.env = env;
    f.options.memtable_entries = 100;
    open_db(&f);
    char key[16];
    for (int i = 0; i < 450; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        put(f.db, key, "v");
    }
    close_db(&f);
    uint64_t before = sim_disk_hash(env), changes = sim_change_count(env);
    for (int i = 0; i < 3; i++) {
        open_db(&f);
        uint64_t count;
        assert_int_equal(firn_count(f.db, NULL, NULL, &count), FIRN_OK);
        assert_int_equal(count, 450);
        close_db(&f);
    }
    assert_true(sim_disk_hash(env) == before);
    assert_int_equal(sim_change_count(env), changes);
    teardown(&f);
}

/* ---- Maintenance. ---- */

static int cancel_at_once(void *context, const firn_progress *progress) {
    (void)progress;
    ++*(unsigned *)context;
    return 1;
}

static void compaction_can_be_cancelled(void **state) {
    (void)state;
    struct fixture f = setup();
    char key[16];
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        put(f.db, key, "v");
    }
    unsigned calls = 0;
    int rc = firn_compact(f.db, NULL, cancel_at_once, &calls);
    assert_int_equal(rc, calls > 0 ? FIRN_CANCELLED : FIRN_OK);
    uint64_t count;
    assert_int_equal(firn_count(f.db, NULL, NULL, &count), FIRN_OK);
    assert_int_equal(count, 3000);
    assert_int_equal(firn_verify(f.db, NULL, NULL), FIRN_OK);
    assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
    teardown(&f);
}

static void a_full_compaction_leaves_one_entry_per_key_and_no_tombstone(void **state) {
    (void)state;
    static const firn_policy policies[] = {FIRN_POLICY_NONE, FIRN_POLICY_LEVELED,
                                           FIRN_POLICY_TIERED, FIRN_POLICY_LAZY_LEVELED};
    for (size_t p = 0; p < sizeof policies / sizeof policies[0]; p++) {
        struct fixture f = setup();
        f.options.compaction_policy = policies[p];
        close_db(&f);
        open_db(&f);
        char key[16];
        for (int i = 0; i < 4000; i++) {
            (void)snprintf(key, sizeof key, "%d", i % 1000);
            if (i >= 3000 && i % 2 == 0) {
                assert_int_equal(firn_delete(f.db, text(key), 0), FIRN_OK);
            } else {
                put(f.db, key, "v");
            }
        }
        assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
        firn_stats stats = {.struct_size = sizeof stats};
        firn_get_stats(f.db, &stats);
        assert_int_equal(stats.entries, 500);
        assert_int_equal(stats.tombstones, 0);
        firn_tally tally;
        assert_int_equal(firn_count_estimate(f.db, NULL, NULL, &tally), FIRN_OK);
        assert_int_equal(tally.at_least, 500);
        assert_int_equal(tally.at_most, 500);
        teardown(&f);
    }
}

/* Each opening writes its own form beside tables of the others, and merges some of all. */
static void the_form_of_tables_may_change_at_every_opening(void **state) {
    (void)state;
    static const char *const forms[] = {"fst", "array", "btree", "fst", "btree", "array"};
    struct fixture f = setup();
    char key[16];
    for (int i = 0; i < 6; i++) {
        assert_int_equal(firn_options_set(&f.options, "table_form", forms[i]), FIRN_OK);
        assert_int_equal(
            firn_options_set(&f.options, "array_search", i % 2 == 0 ? "binary" : "interpolation"),
            FIRN_OK);
        close_db(&f);
        open_db(&f);
        for (int k = i; k < 3000; k += 6) {
            (void)snprintf(key, sizeof key, "%06d", k);
            put(f.db, key, forms[i]);
        }
        assert_int_equal(firn_flush(f.db), FIRN_OK);
        if (i % 3 == 2) {
            assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
        }
        assert_int_equal(firn_verify(f.db, NULL, NULL), FIRN_OK);
        uint64_t count;
        assert_int_equal(firn_count(f.db, NULL, NULL, &count), FIRN_OK);
        assert_int_equal(count, 500 * (i + 1));
        for (int k = 0; k < 3000; k++) {
            (void)snprintf(key, sizeof key, "%06d", k);
            assert_int_equal(firn_contains(f.db, NULL, text(key)),
                             k % 6 <= i ? FIRN_OK : FIRN_NOT_FOUND);
        }
    }
    assert_int_equal(firn_options_set(&f.options, "table_form", "trie"), FIRN_INVALID);
    char name[16];
    assert_int_equal(firn_options_get(&f.options, "table_form", name, sizeof name), FIRN_OK);
    assert_string_equal(name, "array");
    teardown(&f);
}

static void sizes_add_up_and_memory_is_told(void **state) {
    (void)state;
    struct fixture f = setup();
    char key[16];
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        put(f.db, key, key);
    }
    assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
    firn_sizes s = {.struct_size = sizeof s};
    assert_int_equal(firn_get_sizes(f.db, &s), FIRN_OK);
    assert_int_equal(s.file_bytes, s.headers + s.key_areas + s.entries + s.values + s.value_pages +
                                       s.value_dictionaries + s.page_padding + s.phrases +
                                       s.shared_automata + s.filters + s.index + s.footers);
    assert_int_equal(s.keys, 3000);
    firn_memory m = {.struct_size = sizeof m};
    firn_get_memory(f.db, &m);
    assert_int_equal(m.total, m.memtables + m.page_cache + m.filters + m.indexes +
                                  m.shared_sections + m.builders + m.iterators + m.pinned +
                                  m.other);
    for (int format = 0; format < 2; format++) {
        char *report;
        assert_int_equal(firn_report(f.db, (firn_format)format, &report), FIRN_OK);
        assert_true(strlen(report) > 100);
        firn_free(report);
    }
    teardown(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thousands_of_versions_of_one_key_stay_apart_under_snapshots),
        cmocka_unit_test(a_snapshot_of_an_empty_database_stays_empty),
        cmocka_unit_test(a_snapshot_sees_nothing_newer_in_tables),
        cmocka_unit_test(an_iterator_survives_flush_and_compaction),
        cmocka_unit_test(an_iterator_outlives_the_snapshot_it_was_made_from),
        cmocka_unit_test(a_value_outlives_its_key),
        cmocka_unit_test(keys_may_be_prefixes_of_each_other_sixty_thousand_deep),
        cmocka_unit_test(prefixes_and_bounds_are_exact_with_bytes_of_0xff),
        cmocka_unit_test(a_key_over_the_limit_is_refused),
        cmocka_unit_test(values_of_several_megabytes_come_back_whole),
        cmocka_unit_test(the_empty_key_and_the_empty_value_are_like_any_other),
        cmocka_unit_test(insert_and_remove_return_what_was_there),
        cmocka_unit_test(the_last_of_a_batch_wins_and_it_can_be_written_again),
        cmocka_unit_test(wrong_arguments_are_told),
        cmocka_unit_test(closing_waits_for_nothing_but_its_readers),
        cmocka_unit_test(a_second_opening_in_the_process_is_busy),
        cmocka_unit_test(readers_see_the_database_as_of_their_opening),
        cmocka_unit_test(after_fork_the_child_cannot_use_the_handle),
        cmocka_unit_test(another_process_finds_it_busy),
        cmocka_unit_test(opening_an_intact_database_writes_nothing),
        cmocka_unit_test(compaction_can_be_cancelled),
        cmocka_unit_test(a_full_compaction_leaves_one_entry_per_key_and_no_tombstone),
        cmocka_unit_test(the_form_of_tables_may_change_at_every_opening),
        cmocka_unit_test(sizes_add_up_and_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
