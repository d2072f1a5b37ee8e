/* Files that fail: every failed append, sync, close or read of a table comes out as that failure,
 * leaks nothing, and a table that could not be read works once the file does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "tests/support/fault_env.h"
#include "tests/support/seed.h"
#include "tests/support/table_scene.h"

#define PATH "fault_test.sst"
#define VALUE_BYTES_MAX 2500

struct fixture {
    struct alloc alloc;
    firn_env *disk, *env;
    struct scene scene;
    struct sst_builder_options options;
    struct table_meta meta;
};

static void set_up(struct fixture *f) {
    static const struct scene_shape shape = {.keys = 400,
                                             .value_bytes_max = VALUE_BYTES_MAX,
                                             .versions_max = 2,
                                             .tombstones_percent = 10};
    struct rand r;
    memset(f, 0, sizeof *f);
    alloc_init(&f->alloc, NULL);
    assert_int_equal(env_posix_create(&f->disk), FIRN_OK);
    f->env = fault_env_create(f->disk);
    rand_init(&r, test_seed());
    scene_make(&f->scene, &shape, &r);
    scene_options(&f->options);
    f->options.memory_max = 400000;
    (void)env_unlink(f->disk, PATH);
}

static void tear_down(struct fixture *f) {
    (void)env_unlink(f->disk, PATH);
    scene_deinit(&f->scene);
    table_meta_deinit(&f->alloc, &f->meta);
    env_destroy(f->env);
    env_destroy(f->disk);
    assert_int_equal(f->alloc.total, 0);
}

static void a_build_reports_every_failed_write(void **state) {
    (void)state;
    static const enum fault_call calls[] = {FAULT_CREATE, FAULT_APPEND, FAULT_SYNC, FAULT_CLOSE};
    struct fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        int rc = FIRN_NO_SPACE;
        for (unsigned n = 1; rc != FIRN_OK; n++) {
            fault_env_set(f.env, calls[i], n, FIRN_NO_SPACE, n % 2 == 0);
            rc = scene_build(&f.scene, &f.alloc, f.env, PATH, &f.options, &f.meta);
            fault_env_set(f.env, calls[i], 0, FIRN_OK, false);
            (void)env_unlink(f.disk, PATH);
            assert_true(rc == FIRN_OK ? n > 1 : rc == FIRN_NO_SPACE);
            if (rc != FIRN_OK) {
                assert_int_equal(f.alloc.total, 0);
            }
        }
        table_meta_deinit(&f.alloc, &f.meta);
    }
    tear_down(&f);
}

static int read_all(struct fixture *f, struct sst_table *t, bool cold) {
    static uint8_t bytes[4096];
    struct sst_iter_options options = {.cold = cold};
    struct iter *it;
    int rc = FIRN_OK;
    for (size_t i = 0; rc == FIRN_OK && i < f->scene.count; i += 20) {
        const struct entry *e = &f->scene.entries[i];
        struct sst_value value;
        uint8_t kind;
        uint64_t seq;
        rc = sst_table_get(t, e->key, key_hash(e->key), e->seq, &kind, &seq, &value);
        sst_value_release(&value);
    }
    rc = rc == FIRN_OK ? sst_table_iter_create(t, &options, &it) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    for (iter_first(it); rc == FIRN_OK && it->valid; iter_next(it)) {
        if (entry_value_is_apart(&it->entry)) {
            rc = iter_value_read(it, 0, bytes, it->entry.value.size);
        }
    }
    rc = rc == FIRN_OK ? it->status : rc;
    iter_destroy(it);
    return rc == FIRN_OK ? sst_table_verify(t, NULL, NULL) : rc;
}

static void a_table_that_could_not_be_read_works_when_it_can(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f);
    assert_int_equal(scene_build(&f.scene, &f.alloc, f.env, PATH, &f.options, &f.meta), FIRN_OK);
    int rc = FIRN_IO;
    for (unsigned n = 1; rc != FIRN_OK; n += n < 50 ? 1 : 11) {
        struct sst_table *t = NULL;
        fault_env_set(f.env, FAULT_READ, n, FIRN_IO, false);
        rc = sst_table_open(&f.alloc, f.env, PATH, &f.meta, NULL, NULL, &t);
        rc = rc == FIRN_OK ? read_all(&f, t, n % 2 == 0) : rc;
        assert_true(rc == FIRN_OK || rc == FIRN_IO);
        fault_env_set(f.env, FAULT_READ, 0, FIRN_OK, false);
        if (t != NULL) {
            assert_int_equal(read_all(&f, t, false), FIRN_OK);
        }
        sst_table_unref(t);
    }
    tear_down(&f);
}

/* The value of the current entry, in two pieces where it is kept apart: each is read again if that
 * fails. */
static void check_value(struct iter *it, const struct entry *e, size_t cut) {
    static uint8_t bytes[VALUE_BYTES_MAX];
    size_t size = e->value.size;
    assert_int_equal(it->entry.value.size, size);
    if (!entry_value_is_apart(&it->entry)) {
        assert_true(slice_equal(it->entry.value, e->value));
        return;
    }
    for (size_t begin = 0, end = cut; begin < size; begin = end, end = size) {
        int rc = iter_value_read(it, begin, bytes + begin, end - begin);
        if (rc != FIRN_OK) {
            assert_int_equal(rc, FIRN_IO);
            assert_int_equal(iter_value_read(it, begin, bytes + begin, end - begin), FIRN_OK);
        }
    }
    assert_memory_equal(bytes, e->value.data, size);
}

/* The iterator is to stand on entry number `at`, or to have failed. */
static bool check_at(struct fixture *f, struct iter *it, size_t at, struct rand *r) {
    if (it->status != FIRN_OK) {
        assert_int_equal(it->status, FIRN_IO);
        assert_false(it->valid);
        return false;
    }
    assert_int_equal(it->valid, at < f->scene.count);
    if (it->valid) {
        const struct entry *e = &f->scene.entries[at];
        assert_int_equal(entry_compare(&it->entry, e), 0);
        assert_int_equal(it->entry.kind, e->kind);
        size_t cut = 1 + (size_t)rand_below(r, e->value.size + 1);
        if (rand_below(r, 8) == 0) { /* others leave the fault to pages */
            check_value(it, e, cut < e->value.size ? cut : e->value.size);
        }
    }
    return true;
}

/* One of the next few reads fails. */
static void set_fault(struct fixture *f, struct rand *r) {
    fault_env_set(f->env, FAULT_READ, 1 + (unsigned)rand_below(r, 6), FIRN_IO,
                  rand_below(r, 2) == 0);
}

/* Walks here and there; whatever fails is done again, by the same iterator. */
static unsigned walk_over_faults(struct fixture *f, struct iter *it, struct rand *r) {
    unsigned failures = 0;
    for (int i = 0; i < 100; i++) {
        size_t at = (size_t)rand_below(r, f->scene.count);
        const struct entry *e = &f->scene.entries[at];
        bool forward = rand_below(r, 4) != 0, lands = false;
        for (size_t steps = 1 + rand_below(r, 100); steps > 0 && at < f->scene.count; steps--) {
            e = &f->scene.entries[at];
            if (!lands) {
                set_fault(f, r);
                iter_seek(it, e->key, e->seq);
            }
            lands = check_at(f, it, at, r);
            failures += !lands;
            if (lands) {
                forward ? iter_next(it) : iter_prev(it);
                at += forward ? 1 : SIZE_MAX;
            } else { /* go on from here, or from what was read before */
                at -= (size_t)rand_below(r, 2) * rand_below(r, at < 50 ? at + 1 : 50);
            }
        }
    }
    return failures;
}

static void an_iterator_that_failed_to_read_goes_on_when_it_can(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct fixture f;
        struct sst_table *t;
        struct iter *it;
        struct rand r;
        struct sst_iter_options options = {.cold = i % 2 == 1};
        set_up(&f);
        rand_init(&r, test_seed() + (unsigned)i);
        f.options.value_compression = i >= 2;
        f.options.value_inline_max = 1500;
        assert_int_equal(scene_build(&f.scene, &f.alloc, f.env, PATH, &f.options, &f.meta),
                         FIRN_OK);
        assert_int_equal(sst_table_open(&f.alloc, f.env, PATH, &f.meta, NULL, NULL, &t), FIRN_OK);
        assert_int_equal(sst_table_iter_create(t, &options, &it), FIRN_OK);
        assert_true(walk_over_faults(&f, it, &r) > 0);
        fault_env_set(f.env, FAULT_READ, 0, FIRN_OK, false);
        iter_destroy(it);
        sst_table_unref(t);
        tear_down(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_build_reports_every_failed_write),
        cmocka_unit_test(a_table_that_could_not_be_read_works_when_it_can),
        cmocka_unit_test(an_iterator_that_failed_to_read_goes_on_when_it_can),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
