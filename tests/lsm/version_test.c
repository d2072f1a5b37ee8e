/* The model is a list of tables, each with its level and run; a version must be that list, sorted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "base/status.h"
#include "lsm/edit.h"
#include "lsm/version.h"
#include "tests/support/seed.h"

static struct alloc alloc;

static int set_up(void **state) {
    (void)state;
    alloc_init(&alloc, NULL);
    return 0;
}

static int nothing_is_held(void **state) {
    (void)state;
    return atomic_load(&alloc.total) == 0 ? 0 : -1;
}

/* Keys are numbers, two bytes, big-endian. */
static void put_key(uint8_t *to, unsigned key) {
    to[0] = (uint8_t)(key >> 8);
    to[1] = (uint8_t)key;
}

static int add(struct edit *e, uint32_t level, uint64_t run, uint64_t number, unsigned from,
               unsigned to) {
    uint8_t keys[4];
    put_key(keys, from);
    put_key(keys + 2, to);
    struct table_meta m = {.number = number,
                           .bytes = 1000 + number,
                           .entries = 10 + number,
                           .tombstones = number % 5,
                           .smallest = firn_slice_make(keys, 2),
                           .largest = firn_slice_make(keys + 2, 2)};
    memcpy(m.id, &number, sizeof number);
    return edit_add_table(e, level, run, &m);
}

static int apply(struct version **v, const struct edit *e) {
    struct version *next;
    const char *reason;
    int rc = version_apply(*v, e, &next);
    if (rc == FIRN_OK) {
        assert_true(version_check(next, &reason));
        version_unref(*v);
        *v = next;
    } else {
        assert_null(next);
    }
    return rc;
}

/* ---- Against the model ---- */

#define NUMBERS_MAX 4000

struct model_table {
    uint32_t level;
    uint64_t run;
    unsigned from, to;
    bool live;
};

static struct model_table model[NUMBERS_MAX];
static bool dropped[NUMBERS_MAX];

static void note_dropped(void *context, const struct table_meta *meta) {
    (void)context;
    assert_true(meta->number < NUMBERS_MAX);
    assert_false(dropped[meta->number]);
    dropped[meta->number] = true;
}

static bool model_has_room(uint32_t level, uint64_t run, unsigned from, unsigned to) {
    for (size_t i = 0; i < NUMBERS_MAX; i++) {
        const struct model_table *t = &model[i];
        if (t->live && t->level == level && t->run == run && t->from <= to && from <= t->to) {
            return false;
        }
    }
    return true;
}

static void assert_like_model(const struct version *v) {
    size_t live = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < NUMBERS_MAX; i++) {
        live += model[i].live;
        bytes += model[i].live ? 1000 + i : 0;
    }
    assert_int_equal(v->table_count, live);
    assert_int_equal(v->table_bytes, bytes);
    /* Order and totals are version_check()'s; here: each table is where the model has it. */
    for (uint32_t level = 0; level < v->level_count; level++) {
        for (size_t i = 0; i < v->levels[level].count; i++) {
            const struct version_run *run = &v->levels[level].runs[i];
            for (size_t j = 0; j < run->count; j++) {
                const struct table_meta *m = &run->tables[j]->meta;
                const struct model_table *t = &model[m->number];
                uint8_t keys[4];
                put_key(keys, t->from);
                put_key(keys + 2, t->to);
                assert_true(t->live && t->level == level && t->run == run->id);
                assert_memory_equal(m->smallest.data, keys, 2);
                assert_memory_equal(m->largest.data, keys + 2, 2);
                assert_int_equal(version_run_seek(run, m->smallest), j);
                assert_ptr_equal(version_run_find(run, m->largest), run->tables[j]);
            }
        }
    }
}

static void versions_follow_a_model(void **state) {
    (void)state;
    struct rand rand;
    rand_init(&rand, test_seed());
    memset(model, 0, sizeof model);
    memset(dropped, 0, sizeof dropped);
    struct version *v, *old = NULL;
    assert_int_equal(version_create(&alloc, &v), FIRN_OK);
    v->dropped = note_dropped;
    uint64_t number = 1;
    while (number + 10 < NUMBERS_MAX) {
        struct edit e;
        edit_init(&e, &alloc);
        for (uint64_t n = 1; n < number; n++) { /* drop some, move others */
            struct model_table *t = &model[n];
            uint64_t chance = rand_below(&rand, 100);
            if (t->live && chance < 12) {
                assert_int_equal(edit_drop_table(&e, n), FIRN_OK);
                t->live = false;
                uint32_t level = t->level + 1;
                if (chance < 4 && level < FIRN_LEVELS_MAX &&
                    model_has_room(level, t->run, t->from, t->to)) {
                    assert_int_equal(add(&e, level, t->run, n, t->from, t->to), FIRN_OK);
                    t->level = level;
                    t->live = true;
                }
            }
        }
        for (uint64_t n = rand_below(&rand, 8); n > 0; n--) {
            struct model_table t = {
                .level = (uint32_t)rand_below(&rand, 4), .run = rand_below(&rand, 6), .live = true};
            t.from = (unsigned)rand_below(&rand, 65000);
            t.to = t.from + (unsigned)rand_below(&rand, 500);
            if (model_has_room(t.level, t.run, t.from, t.to)) {
                assert_int_equal(add(&e, t.level, t.run, number, t.from, t.to), FIRN_OK);
                model[number++] = t;
            }
        }
        assert_int_equal(apply(&v, &e), FIRN_OK);
        edit_deinit(&e);
        assert_like_model(v);
        if (rand_below(&rand, 10) == 0) { /* a reader that stays for a while */
            version_unref(old);
            version_ref(v);
            old = v;
        }
    }
    version_unref(old);
    for (size_t i = 1; i < number; i++) {
        assert_int_equal(dropped[i], !model[i].live); /* the last who held it has gone */
    }
    version_unref(v);
    for (size_t i = 1; i < number; i++) {
        assert_true(dropped[i]);
    }
}

/* ---- One by one ---- */

static void a_table_is_found_by_key(void **state) {
    (void)state;
    struct version *v;
    struct edit e;
    uint8_t key[2];
    assert_int_equal(version_create(&alloc, &v), FIRN_OK);
    edit_init(&e, &alloc);
    assert_int_equal(add(&e, 1, 5, 2, 300, 400), FIRN_OK); /* in any order */
    assert_int_equal(add(&e, 1, 5, 1, 100, 200), FIRN_OK);
    assert_int_equal(add(&e, 1, 5, 3, 500, 500), FIRN_OK);
    assert_int_equal(apply(&v, &e), FIRN_OK);
    edit_deinit(&e);
    assert_int_equal(v->level_count, 2);
    const struct version_run *run = &v->levels[1].runs[0];
    for (unsigned k = 0; k < 600; k++) {
        put_key(key, k);
        struct version_table *t = version_run_find(run, firn_slice_make(key, 2));
        uint64_t expected = k >= 100 && k <= 200 ? 1 : k >= 300 && k <= 400 ? 2 : k == 500 ? 3 : 0;
        assert_int_equal(t == NULL ? 0 : t->meta.number, expected);
        size_t i = version_run_seek(run, firn_slice_make(key, 2));
        assert_int_equal(i, k <= 200 ? 0 : k <= 400 ? 1 : k <= 500 ? 2 : 3);
    }
    version_unref(v);
}

static void edits_that_do_not_fit_are_refused(void **state) {
    (void)state;
    struct version *v;
    struct edit e;
    assert_int_equal(version_create(&alloc, &v), FIRN_OK);
    edit_init(&e, &alloc);
    assert_int_equal(add(&e, 0, 9, 1, 100, 200), FIRN_OK);
    assert_int_equal(apply(&v, &e), FIRN_OK);
    edit_deinit(&e);
    for (int i = 0; i < 9; i++) {
        static const char *const words[] = {"not there",     "twice",    "twice",
                                            "there already", "overlap",  "overlap",
                                            "overlap",       "level 16", "another"};
        edit_init(&e, &alloc);
        switch (i) {
        case 0:
            assert_int_equal(edit_drop_table(&e, 2), FIRN_OK);
            break;
        case 1:
            assert_int_equal(edit_drop_table(&e, 1), FIRN_OK);
            assert_int_equal(edit_drop_table(&e, 1), FIRN_OK);
            break;
        case 2:
            assert_int_equal(add(&e, 0, 10, 5, 1, 2), FIRN_OK);
            assert_int_equal(add(&e, 0, 11, 5, 1, 2), FIRN_OK);
            break;
        case 3:
            assert_int_equal(add(&e, 0, 10, 1, 1, 2), FIRN_OK);
            break;
        case 4:
            assert_int_equal(add(&e, 0, 9, 5, 200, 300), FIRN_OK);
            break;
        case 5:
            assert_int_equal(add(&e, 0, 9, 5, 0, 100), FIRN_OK);
            break;
        case 6:
            assert_int_equal(add(&e, 0, 9, 5, 300, 400), FIRN_OK);
            assert_int_equal(add(&e, 0, 9, 6, 300, 301), FIRN_OK);
            break;
        case 7:
            assert_int_equal(add(&e, 16, 9, 5, 300, 400), FIRN_OK);
            break;
        default: /* moves a table of other bounds */
            assert_int_equal(edit_drop_table(&e, 1), FIRN_OK);
            assert_int_equal(add(&e, 1, 9, 1, 100, 201), FIRN_OK);
            break;
        }
        assert_int_equal(apply(&v, &e), FIRN_CORRUPT);
        assert_non_null(strstr(status_message(), words[i]));
        edit_deinit(&e);
        assert_int_equal(v->table_count, 1);
        assert_int_equal(v->tables[0]->refs, 1);
    }
    edit_init(&e, &alloc);
    e.keyspace = 1;
    assert_int_equal(apply(&v, &e), FIRN_UNSUPPORTED);
    edit_deinit(&e);
    version_unref(v);
}

static void a_moved_table_stays_the_same_object(void **state) {
    (void)state;
    memset(dropped, 0, sizeof dropped);
    struct version *v;
    struct edit e;
    assert_int_equal(version_create(&alloc, &v), FIRN_OK);
    v->dropped = note_dropped;
    edit_init(&e, &alloc);
    assert_int_equal(add(&e, 0, 9, 1, 100, 200), FIRN_OK);
    assert_int_equal(apply(&v, &e), FIRN_OK);
    edit_deinit(&e);
    struct version_table *table = v->levels[0].runs[0].tables[0];
    edit_init(&e, &alloc);
    assert_int_equal(edit_drop_table(&e, 1), FIRN_OK);
    assert_int_equal(add(&e, 3, 9, 1, 100, 200), FIRN_OK);
    assert_int_equal(apply(&v, &e), FIRN_OK);
    edit_deinit(&e);
    assert_ptr_equal(v->levels[3].runs[0].tables[0], table);
    assert_int_equal(v->levels[0].count, 0);
    assert_int_equal(v->level_count, 4);
    assert_false(dropped[1]);
    version_unref(v);
    assert_true(dropped[1]);
}

static void running_out_of_memory_leaves_the_base(void **state) {
    (void)state;
    memset(dropped, 0, sizeof dropped);
    struct version *v;
    struct edit e;
    assert_int_equal(version_create(&alloc, &v), FIRN_OK);
    v->dropped = note_dropped;
    edit_init(&e, &alloc);
    for (unsigned i = 1; i < 10; i++) {
        assert_int_equal(add(&e, 0, 9, i, 10 * i, 10 * i + 5), FIRN_OK);
    }
    assert_int_equal(apply(&v, &e), FIRN_OK);
    edit_deinit(&e);
    edit_init(&e, &alloc);
    assert_int_equal(edit_drop_table(&e, 3), FIRN_OK);
    assert_int_equal(edit_drop_table(&e, 4), FIRN_OK);
    assert_int_equal(add(&e, 1, 9, 4, 40, 45), FIRN_OK);
    assert_int_equal(add(&e, 1, 9, 11, 60, 61), FIRN_OK);
    size_t held = atomic_load(&alloc.total);
    for (uint64_t n = 1, done = 0; done == 0; n++) {
        atomic_store(&alloc.fail_after, n);
        int rc = apply(&v, &e);
        done = rc == FIRN_OK;
        assert_true(done || (rc == FIRN_NOMEM && atomic_load(&alloc.total) == held));
        assert_int_equal(v->table_count, 9);
        assert_int_equal(dropped[3], done);
        assert_false(dropped[4] || dropped[11]);
    }
    firn_shape shape;
    atomic_store(&alloc.fail_after, 1);
    assert_int_equal(version_shape(v, 1, &shape), FIRN_NOMEM);
    edit_deinit(&e);
    version_unref(v);
}

static void a_picture_shows_every_table(void **state) {
    (void)state;
    struct version *v;
    struct edit e;
    firn_shape shape;
    assert_int_equal(version_create(&alloc, &v), FIRN_OK);
    assert_int_equal(version_shape(v, 77, &shape), FIRN_OK);
    assert_int_equal(shape.level_count, 1);
    assert_int_equal(shape.levels[0].count, 0);
    shape_deinit(&alloc, &shape);
    edit_init(&e, &alloc);
    assert_int_equal(add(&e, 2, 5, 2, 300, 400), FIRN_OK);
    assert_int_equal(add(&e, 2, 5, 1, 100, 200), FIRN_OK);
    assert_int_equal(add(&e, 2, 6, 3, 100, 200), FIRN_OK);
    assert_int_equal(add(&e, 4, 1, 4, 100, 200), FIRN_OK);
    assert_int_equal(apply(&v, &e), FIRN_OK);
    edit_deinit(&e);
    v->levels[4].runs[0].tables[0]->busy = true;
    assert_int_equal(version_shape(v, 77, &shape), FIRN_OK);
    assert_int_equal(shape.level_count, 5);
    assert_int_equal(shape.now_ns, 77);
    assert_int_equal(shape.levels[0].count, 0);
    assert_int_equal(shape.levels[2].count, 2);
    assert_int_equal(shape.levels[2].runs[0].count, 1);
    assert_int_equal(shape.levels[2].runs[0].tables[0].number, 3);
    assert_int_equal(shape.levels[2].runs[1].count, 2);
    assert_int_equal(shape.levels[2].runs[1].tables[1].number, 2);
    assert_int_equal(shape.levels[2].runs[1].tables[1].bytes, 1002);
    assert_int_equal(shape.levels[2].runs[1].tables[1].entries, 12);
    assert_false(shape.levels[2].runs[1].tables[1].busy);
    assert_true(shape.levels[4].runs[0].tables[0].busy);
    shape_deinit(&alloc, &shape);
    version_unref(v);
    version_unref(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_follow_a_model),
        cmocka_unit_test(a_table_is_found_by_key),
        cmocka_unit_test(edits_that_do_not_fit_are_refused),
        cmocka_unit_test(a_moved_table_stays_the_same_object),
        cmocka_unit_test(running_out_of_memory_leaves_the_base),
        cmocka_unit_test(a_picture_shows_every_table),
    };
    return cmocka_run_group_tests(tests, set_up, nothing_is_held);
}
