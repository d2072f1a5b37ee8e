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

struct fixture {
    struct alloc alloc;
    firn_env *disk, *env;
    struct scene scene;
    struct sst_builder_options options;
    struct table_meta meta;
};

static void set_up(struct fixture *f) {
    static const struct scene_shape shape = {
        .keys = 400, .value_bytes_max = 2500, .versions_max = 2, .tombstones_percent = 10};
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_build_reports_every_failed_write),
        cmocka_unit_test(a_table_that_could_not_be_read_works_when_it_can),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
