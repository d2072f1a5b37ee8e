/* Tables without memory: building and reading fail cleanly at every single allocation, on disk and
 * in memory, and go on working afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "tests/support/seed.h"
#include "tests/support/table_scene.h"

#define PATH "memory_test.sst"

struct fixture {
    struct alloc alloc;
    firn_env *env;
    struct scene scene;
    struct sst_builder_options options;
    struct table_meta meta;
};

static void set_up(struct fixture *f, bool on_disk) {
    static const struct scene_shape shape = {.keys = 150,
                                             .value_bytes_max = 2000,
                                             .versions_max = 3,
                                             .tombstones_percent = 10,
                                             .apart_bytes_min = 600};
    struct rand r;
    memset(f, 0, sizeof *f);
    alloc_init(&f->alloc, NULL);
    assert_int_equal(on_disk ? env_posix_create(&f->env) : env_mem_create(&f->env), FIRN_OK);
    rand_init(&r, test_seed());
    scene_make(&f->scene, &shape, &r);
    scene_options(&f->options);
    f->options.memory_max = 200000; /* several segments */
    (void)env_unlink(f->env, PATH);
}

static void tear_down(struct fixture *f) {
    (void)env_unlink(f->env, PATH);
    scene_deinit(&f->scene);
    table_meta_deinit(&f->alloc, &f->meta);
    env_destroy(f->env);
    assert_int_equal(f->alloc.total, 0);
}

static void fail_after(struct fixture *f, uint64_t allocations, bool persistent) {
    atomic_store(&f->alloc.fail_persistent, persistent);
    atomic_store(&f->alloc.fail_after, allocations);
}

static void a_build_fails_cleanly_at_every_allocation(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f, false);
    int rc = FIRN_NOMEM;
    for (uint64_t n = 1; rc != FIRN_OK; n++) {
        fail_after(&f, n, n % 2 == 0);
        rc = scene_build(&f.scene, &f.alloc, f.env, PATH, &f.options, &f.meta);
        fail_after(&f, 0, false);
        if (rc != FIRN_OK) {
            assert_int_equal(rc, FIRN_NOMEM);
            assert_int_equal(f.alloc.total, 0);
            (void)env_unlink(f.env, PATH);
        }
    }
    tear_down(&f);
}

static int read_walk(struct sst_table *t, bool cold) {
    static uint8_t bytes[4096];
    struct sst_iter_options options = {.cold = cold};
    struct iter *it;
    int rc = sst_table_iter_create(t, &options, &it);
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
    return rc;
}

static int read_all(struct fixture *f, struct sst_table *t) {
    int rc = FIRN_OK;
    struct buf key;
    buf_init(&key, &f->alloc, MEM_OTHER);
    for (size_t i = 0; rc == FIRN_OK && i < f->scene.count; i += 7) {
        const struct entry *e = &f->scene.entries[i];
        struct sst_value value;
        uint8_t kind;
        uint64_t seq;
        struct sst_rank below;
        rc = sst_table_get(t, e->key, key_hash(e->key), e->seq, &kind, &seq, &value);
        if (rc == FIRN_OK) {
            assert_int_equal(value.bytes.size, e->value.size);
            sst_value_release(&value);
            rc = sst_table_rank(t, e->key, &below, NULL);
            rc = rc == FIRN_OK ? sst_table_select(t, below.keys, &key) : rc;
        }
    }
    buf_deinit(&key);
    rc = rc == FIRN_OK ? read_walk(t, false) : rc;
    rc = rc == FIRN_OK ? read_walk(t, true) : rc;
    return rc == FIRN_OK ? sst_table_verify(t, NULL, NULL) : rc;
}

static int open_and_read(struct fixture *f) {
    struct page_cache *cache;
    struct sst_table *t = NULL;
    int rc = page_cache_create(&f->alloc, NULL, 40000, 0, &cache);
    rc = rc == FIRN_OK ? sst_table_open(&f->alloc, f->env, PATH, &f->meta, cache, NULL, &t) : rc;
    rc = rc == FIRN_OK ? read_all(f, t) : rc;
    if (rc != FIRN_OK && t != NULL) { /* the same table works once there is memory again */
        fail_after(f, 0, false);
        assert_int_equal(read_all(f, t), FIRN_OK);
    }
    sst_table_unref(t);
    page_cache_destroy(cache);
    return rc;
}

static void check_reading(bool on_disk) {
    struct fixture f;
    set_up(&f, on_disk);
    assert_int_equal(scene_build(&f.scene, &f.alloc, f.env, PATH, &f.options, &f.meta), FIRN_OK);
    size_t before = f.alloc.total;
    int rc = FIRN_NOMEM;
    uint64_t step = 1;
    for (uint64_t n = 1; rc != FIRN_OK; n += step) {
        fail_after(&f, n, n % 2 == 0);
        rc = open_and_read(&f);
        step = n < 300 ? 1 : 7;
        if (atomic_load(&f.alloc.fail_after) == 0 && rc == FIRN_OK) {
            rc = FIRN_NOMEM; /* it failed where that only made a page stay out of the cache */
        } else if (rc != FIRN_OK) {
            assert_int_equal(rc, FIRN_NOMEM);
        }
        fail_after(&f, 0, false);
        assert_int_equal(f.alloc.total, before);
    }
    tear_down(&f);
}

static void reading_fails_cleanly_at_every_allocation_on_disk(void **state) {
    (void)state;
    check_reading(true);
}

static void reading_fails_cleanly_at_every_allocation_in_memory(void **state) {
    (void)state;
    check_reading(false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_build_fails_cleanly_at_every_allocation),
        cmocka_unit_test(reading_fails_cleanly_at_every_allocation_on_disk),
        cmocka_unit_test(reading_fails_cleanly_at_every_allocation_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
