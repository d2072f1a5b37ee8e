/* A small world in which almost every write is the last that some snapshot sees: few keys,
 * snapshots of neighbouring sequences, iterators that outlive the snapshots they were made at,
 * released in any order, over memtables, flushes and merges. Every one that is held sees its
 * moment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "base/slice.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define KEYS 4
#define HELD 10

struct moment {
    firn_snapshot *snapshot;
    firn_iter *it;         /* made at it; may outlive it */
    unsigned values[KEYS]; /* 0: absent */
};

struct world {
    firn_db *db;
    struct rand rand;
    unsigned now[KEYS], writes;
    struct moment held[HELD];
    unsigned checks;
};

static firn_slice key_of(unsigned key) {
    static const char *const names[KEYS] = {"", "a", "a0", "b"};
    return firn_slice_make(names[key], strlen(names[key]));
}

static unsigned number_in(firn_slice value) {
    unsigned number;
    assert_int_equal(value.size, sizeof number);
    memcpy(&number, value.data, sizeof number);
    return number;
}

static void check_snapshot(struct world *w, const struct moment *m) {
    for (unsigned key = 0; key < KEYS; key++) {
        firn_value v;
        int rc = firn_get(w->db, m->snapshot, key_of(key), &v);
        assert_int_equal(rc, m->values[key] != 0 ? FIRN_OK : FIRN_NOT_FOUND);
        if (rc == FIRN_OK) {
            assert_int_equal(number_in(firn_slice_make(v.data, v.size)), m->values[key]);
        }
        firn_value_release(&v);
    }
}

static void check_iter(const struct moment *m) {
    firn_iter_first(m->it);
    for (unsigned key = 0; key < KEYS; key++) {
        if (m->values[key] != 0) {
            assert_true(firn_iter_valid(m->it));
            assert_true(slice_equal(firn_iter_key(m->it), key_of(key)));
            assert_int_equal(number_in(firn_iter_value(m->it)), m->values[key]);
            firn_iter_next(m->it);
        }
    }
    assert_false(firn_iter_valid(m->it));
    assert_int_equal(firn_iter_status(m->it), FIRN_OK);
}

static void check_all(struct world *w) {
    for (unsigned i = 0; i < HELD; i++) {
        if (w->held[i].snapshot != NULL) {
            check_snapshot(w, &w->held[i]);
            w->checks++;
        }
        if (w->held[i].it != NULL) {
            check_iter(&w->held[i]);
            w->checks++;
        }
    }
}

static void write_one(struct world *w) {
    unsigned key = (unsigned)rand_below(&w->rand, KEYS);
    w->writes++;
    if (rand_below(&w->rand, 4) == 0) {
        assert_int_equal(firn_delete(w->db, key_of(key), 0), FIRN_OK);
        w->now[key] = 0;
    } else {
        firn_slice value = firn_slice_make(&w->writes, sizeof w->writes);
        assert_int_equal(firn_put(w->db, key_of(key), value, 0), FIRN_OK);
        w->now[key] = w->writes;
    }
}

static void hold(struct world *w, struct moment *m) {
    if (m->snapshot == NULL && m->it == NULL) {
        assert_int_equal(firn_snapshot_create(w->db, &m->snapshot), FIRN_OK);
        memcpy(m->values, w->now, sizeof m->values);
    } else if (m->snapshot != NULL && m->it == NULL) {
        firn_iter_options options;
        firn_iter_options_init(&options);
        options.snapshot = m->snapshot;
        assert_int_equal(firn_iter_create(w->db, &options, &m->it), FIRN_OK);
    }
}

static void let_go(struct world *w, struct moment *m) {
    if (m->it != NULL && (m->snapshot == NULL || rand_below(&w->rand, 2) == 0)) {
        firn_iter_destroy(m->it);
        m->it = NULL;
    } else {
        firn_snapshot_release(m->snapshot);
        m->snapshot = NULL;
    }
}

static void play(firn_policy policy, uint64_t seed, uint64_t steps) {
    struct world w = {.writes = 0};
    firn_options options;
    rand_init(&w.rand, seed);
    firn_options_init(&options);
    options.in_memory = true;
    options.memtable_entries = 6;
    options.table_entries = 2;
    options.level0_runs = 2;
    options.size_ratio = 2;
    options.compaction_policy = policy;
    assert_int_equal(firn_open("snapshots", &options, &w.db), FIRN_OK);
    for (uint64_t i = 0; i < steps; i++) {
        struct moment *m = &w.held[rand_below(&w.rand, HELD)];
        switch (rand_below(&w.rand, 12)) {
        case 0:
        case 1:
        case 2:
            hold(&w, m);
            break;
        case 3:
            let_go(&w, m);
            break;
        case 4:
            assert_int_equal(firn_flush(w.db), FIRN_OK);
            break;
        case 5:
            if (rand_below(&w.rand, 3) == 0) {
                assert_int_equal(firn_compact(w.db, NULL, NULL, NULL), FIRN_OK);
            }
            check_all(&w);
            break;
        default:
            write_one(&w);
        }
    }
    check_all(&w);
    for (unsigned i = 0; i < HELD; i++) {
        firn_iter_destroy(w.held[i].it);
        firn_snapshot_release(w.held[i].snapshot);
    }
    assert_true(w.checks > steps / 20);
    assert_int_equal(firn_close(w.db), FIRN_OK);
}

static void whatever_is_held_sees_its_moment(void **state) {
    (void)state;
    uint64_t seed = test_seed(), rounds = test_scaled(200, 10);
    for (uint64_t i = 0; i < rounds; i++) {
        play(i % 2 == 0 ? FIRN_POLICY_LEVELED : FIRN_POLICY_TIERED, seed + i, 250);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_is_held_sees_its_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
