#include "sst/table_cache.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "base/env_sim.h"
#include "tests/support/seed.h"
#include "tests/support/table_scene.h"

#define TABLES 12
#define FOLDER "cache"

struct fixture {
    struct alloc alloc;
    struct epoch *epoch;
    firn_env *env;
    struct table_meta metas[TABLES];
    struct page_cache *pages;
    struct table_cache *cache;
};

/* Table number n holds the key "n" with a value of n bytes. */
static firn_slice key_of(uint64_t number, char key[8]) {
    return firn_slice_make(key, (size_t)snprintf(key, 8, "%u", (unsigned)number % 1000));
}

static void set_up_in(struct fixture *f, firn_env *env, size_t open_max,
                      size_t resident_bytes_max) {
    memset(f, 0, sizeof *f);
    alloc_init(&f->alloc, NULL);
    assert_int_equal(epoch_create(&f->alloc, &f->epoch), FIRN_OK);
    f->env = env;
    assert_int_equal(env_make_dir(f->env, FOLDER), FIRN_OK);
    for (uint64_t n = 0; n < TABLES; n++) {
        struct scene scene;
        struct sst_builder_options options;
        char path[64], key[8];
        table_file_path(FOLDER, n, path, sizeof path);
        scene_init(&scene);
        scene_add(&scene, key_of(n, key), n + 1, ENTRY_PUT, n);
        scene_options(&options);
        options.id[0] = (uint8_t)n;
        assert_int_equal(scene_build(&scene, &f->alloc, f->env, path, &options, &f->metas[n]),
                         FIRN_OK);
        f->metas[n].number = n;
        scene_deinit(&scene);
    }
    assert_int_equal(page_cache_create(&f->alloc, f->epoch, 1 << 20, 0, &f->pages), FIRN_OK);
    assert_int_equal(table_cache_create(&f->alloc, f->epoch, f->env, FOLDER, f->pages, NULL,
                                        open_max, resident_bytes_max, &f->cache),
                     FIRN_OK);
}

static void set_up(struct fixture *f, size_t open_max, size_t resident_bytes_max) {
    firn_env *env;
    assert_int_equal(env_mem_create(&env), FIRN_OK);
    set_up_in(f, env, open_max, resident_bytes_max);
}

static void tear_down(struct fixture *f) {
    table_cache_destroy(f->cache);
    page_cache_destroy(f->pages);
    for (size_t n = 0; n < TABLES; n++) {
        table_meta_deinit(&f->alloc, &f->metas[n]);
    }
    env_destroy(f->env);
    epoch_destroy(f->epoch);
    assert_int_equal(f->alloc.total, 0);
}

static void assert_has_its_key(struct sst_table *t) {
    uint64_t n = sst_table_meta(t)->number, seq;
    char key[8];
    uint8_t kind;
    struct sst_value value;
    firn_slice k = key_of(n, key);
    assert_int_equal(sst_table_get(t, k, key_hash(k), SEQ_MAX, &kind, &seq, &value), FIRN_OK);
    assert_int_equal(value.bytes.size, n);
    sst_value_release(&value);
}

static void tables_stay_open_up_to_the_bound(void **state) {
    (void)state;
    struct fixture f;
    struct sst_table *first, *again;
    set_up(&f, 3, SIZE_MAX);
    size_t closed = f.alloc.bytes[MEM_INDEX];
    assert_int_equal(table_cache_get(f.cache, &f.metas[0], &first), FIRN_OK);
    size_t one = f.alloc.bytes[MEM_INDEX] - closed;
    for (size_t n = 1; n < TABLES; n++) {
        struct sst_table *t;
        assert_int_equal(table_cache_get(f.cache, &f.metas[n], &t), FIRN_OK);
        assert_has_its_key(t);
        sst_table_unref(t);
    }
    /* One in use and three idle ones; their sizes differ a little. */
    assert_true(f.alloc.bytes[MEM_INDEX] - closed < 8 * one);
    assert_int_equal(table_cache_pinned_bytes(f.cache), 0);
    assert_int_equal(table_cache_get(f.cache, &f.metas[0], &again), FIRN_OK);
    assert_ptr_equal(first, again);
    assert_has_its_key(first);
    sst_table_unref(first);
    sst_table_unref(again);
    tear_down(&f);
}

static void what_open_tables_hold_is_bounded(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f, 1000, 1); /* nothing idle may stay */
    size_t closed = f.alloc.bytes[MEM_INDEX];
    for (size_t n = 0; n < TABLES; n++) {
        struct sst_table *t;
        assert_int_equal(table_cache_get(f.cache, &f.metas[n], &t), FIRN_OK);
        assert_has_its_key(t);
        sst_table_unref(t);
    }
    struct sst_table *t, *other;
    assert_int_equal(table_cache_get(f.cache, &f.metas[0], &t), FIRN_OK);
    size_t one = f.alloc.bytes[MEM_INDEX] - closed;
    assert_true(one < 4000);
    /* Those in use stay, and what they hold is told apart. */
    assert_has_its_key(t);
    size_t pinned = table_cache_pinned_bytes(f.cache);
    assert_true(pinned > 0);
    assert_int_equal(table_cache_get(f.cache, &f.metas[1], &other), FIRN_OK);
    assert_has_its_key(other);
    assert_true(table_cache_pinned_bytes(f.cache) > pinned);
    sst_table_unref(other);
    sst_table_unref(t);
    tear_down(&f);
}

static size_t frames(struct fixture *f) {
    struct page_cache_usage usage;
    page_cache_get_usage(f->pages, &usage);
    return usage.frames;
}

static void a_dropped_table_lives_while_it_is_used(void **state) {
    (void)state;
    struct fixture f;
    struct sst_table *t, *other;
    char path[64];
    firn_env *env; /* whose pages are not read in place, but kept in the cache */
    assert_int_equal(env_sim_create(1, &env), FIRN_OK);
    set_up_in(&f, env, 100, SIZE_MAX);
    assert_int_equal(table_cache_get(f.cache, &f.metas[5], &t), FIRN_OK);
    assert_has_its_key(t);
    assert_true(frames(&f) > 0);
    table_file_path(FOLDER, 5, path, sizeof path);
    table_cache_drop(f.cache, 5);
    assert_int_equal(frames(&f), 0); /* nobody will ask for its pages but those who have it */
    table_cache_drop(f.cache, 5);
    assert_int_equal(env_unlink(f.env, path), FIRN_OK);
    assert_has_its_key(t);
    assert_int_equal(table_cache_get(f.cache, &f.metas[5], &other), FIRN_MISSING);
    assert_null(other);
    sst_table_unref(t);
    tear_down(&f);
}

struct job {
    struct fixture *fixture;
    uint64_t seed;
};

static void *use_tables(void *argument) {
    struct job *job = argument;
    struct rand r;
    rand_init(&r, job->seed);
    for (int i = 0; i < 3000; i++) {
        struct sst_table *t;
        size_t n = (size_t)rand_below(&r, TABLES);
        assert_int_equal(table_cache_get(job->fixture->cache, &job->fixture->metas[n], &t),
                         FIRN_OK);
        assert_has_its_key(t);
        if (rand_below(&r, 50) == 0) {
            table_cache_drop(job->fixture->cache, n);
        }
        sst_table_unref(t);
    }
    return NULL;
}

static void threads_share_open_tables(void **state) {
    (void)state;
    struct fixture f;
    pthread_t threads[3];
    struct job jobs[3];
    set_up(&f, 4, 10000);
    for (unsigned i = 0; i < 3; i++) {
        jobs[i] = (struct job){&f, test_seed() + i};
        assert_int_equal(pthread_create(&threads[i], NULL, use_tables, &jobs[i]), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    tear_down(&f);
}

/* ---- Peeking. ---- */

/* A table in memory keeps its values in place: they hold on to the table. */
static void *peek_at_tables(void *argument) {
    struct job *job = argument;
    struct fixture *f = job->fixture;
    struct rand r;
    rand_init(&r, job->seed);
    struct sst_value held[16] = {{.pin = NULL}};
    uint64_t digests[16];
    for (int i = 0; i < 3000; i++) {
        uint64_t n = rand_below(&r, TABLES), seq;
        struct sst_value *value = &held[rand_below(&r, 16)];
        char key[8];
        uint8_t kind;
        firn_slice k = key_of(n, key);
        if (value->bytes.size > 0) { /* long after its section */
            assert_int_equal(checksum(value->bytes.data, value->bytes.size, 0),
                             digests[value - held]);
        }
        sst_value_release(value);
        struct sst_section section = {.epoch = f->epoch, .token = epoch_enter(f->epoch)};
        struct sst_table *opened = NULL, *t = table_cache_peek(f->cache, n);
        if (t == NULL) {
            assert_int_equal(table_cache_get(f->cache, &f->metas[n], &opened), FIRN_OK);
            t = opened;
        }
        assert_int_equal(sst_table_meta(t)->number, n);
        assert_int_equal(sst_table_search(t, &section, k, key_hash(k), SEQ_MAX, &kind, &seq, value),
                         FIRN_OK);
        assert_int_equal(value->bytes.size, n);
        digests[value - held] = checksum(value->bytes.data, n, 0);
        sst_table_unref(opened);
        epoch_leave(f->epoch, section.token);
        if (rand_below(&r, 50) == 0) {
            table_cache_drop(f->cache, n);
        }
    }
    for (size_t i = 0; i < 16; i++) {
        sst_value_release(&held[i]);
    }
    return NULL;
}

static void what_a_section_peeks_at_stays_open(void **state) {
    (void)state;
    struct fixture f;
    pthread_t threads[3];
    struct job jobs[3];
    set_up(&f, 4, 10000);
    for (unsigned i = 0; i < 3; i++) {
        jobs[i] = (struct job){&f, test_seed() + i};
        assert_int_equal(pthread_create(&threads[i], NULL, peek_at_tables, &jobs[i]), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(epoch_pins(f.epoch), 0);
    tear_down(&f);
}

static void open_tables_are_found_by_peeking(void **state) {
    (void)state;
    struct fixture f;
    struct sst_table *t;
    set_up(&f, TABLES, SIZE_MAX);
    for (uint64_t n = 0; n < TABLES; n++) {
        unsigned token = epoch_enter(f.epoch);
        assert_null(table_cache_peek(f.cache, n));
        epoch_leave(f.epoch, token);
        assert_int_equal(table_cache_get(f.cache, &f.metas[n], &t), FIRN_OK);
        sst_table_unref(t);
        token = epoch_enter(f.epoch);
        for (uint64_t k = 0; k <= n; k++) {
            t = table_cache_peek(f.cache, k);
            assert_non_null(t);
            assert_int_equal(sst_table_meta(t)->number, k);
        }
        epoch_leave(f.epoch, token);
    }
    table_cache_drop(f.cache, 3);
    unsigned token = epoch_enter(f.epoch);
    assert_null(table_cache_peek(f.cache, 3));
    assert_non_null(table_cache_peek(f.cache, 4));
    epoch_leave(f.epoch, token);
    tear_down(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_stay_open_up_to_the_bound),
        cmocka_unit_test(what_open_tables_hold_is_bounded),
        cmocka_unit_test(a_dropped_table_lives_while_it_is_used),
        cmocka_unit_test(threads_share_open_tables),
        cmocka_unit_test(what_a_section_peeks_at_stays_open),
        cmocka_unit_test(open_tables_are_found_by_peeking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
