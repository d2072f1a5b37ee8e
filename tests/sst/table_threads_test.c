/* Threads share one open table: what is loaded lazily is loaded by several of them at once. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "tests/support/seed.h"
#include "tests/support/table_scene.h"

#define PATH "threads_test.sst"
#define THREADS 4
#define ROUNDS 12

struct job {
    const struct scene *scene;
    struct sst_table *table;
    uint64_t seed;
};

static void get_one(struct job *job, struct rand *r) {
    const struct entry *e = &job->scene->entries[rand_below(r, job->scene->count)];
    struct sst_value value;
    uint8_t kind;
    uint64_t seq;
    struct sst_rank below;
    assert_int_equal(
        sst_table_get(job->table, e->key, key_hash(e->key), e->seq, &kind, &seq, &value), FIRN_OK);
    assert_int_equal(kind, e->kind);
    assert_int_equal(value.bytes.size, e->value.size);
    assert_true(value.bytes.size == 0 ||
                memcmp(value.bytes.data, e->value.data, e->value.size) == 0);
    sst_value_release(&value);
    assert_int_equal(sst_table_rank(job->table, e->key, &below, NULL), FIRN_OK);
    assert_int_equal(below.entries, scene_rank(job->scene, e->key, SEQ_MAX));
}

static void *use_table(void *argument) {
    struct job *job = argument;
    struct rand r;
    rand_init(&r, job->seed);
    for (int i = 0; i < 50; i++) {
        get_one(job, &r);
    }
    struct sst_iter_options options = {.cold = job->seed % 2 == 0};
    struct iter *it;
    size_t count = 0;
    assert_int_equal(sst_table_iter_create(job->table, &options, &it), FIRN_OK);
    for (iter_first(it); it->valid; iter_next(it)) {
        const struct entry *e = &job->scene->entries[count++];
        assert_true(slice_equal(it->entry.key, e->key));
        assert_true(it->entry.value.data == NULL || slice_equal(it->entry.value, e->value));
    }
    assert_int_equal(count, job->scene->count);
    iter_destroy(it);
    return NULL;
}

/* The second half of each value like the first. */
static void repeat_halves(struct scene *s) {
    for (size_t i = 0; i < s->count; i++) {
        uint8_t *value = (uint8_t *)(uintptr_t)s->entries[i].value.data;
        size_t half = s->entries[i].value.size / 2;
        if (half > 0) {
            memcpy(value + half, value, half);
        }
    }
}

static void check_sharing(firn_env *env, bool compressed) {
    static const struct scene_shape shape = {
        .keys = 500, .value_bytes_max = 700, .versions_max = 2};
    struct alloc alloc;
    struct rand r;
    struct scene scene;
    struct sst_builder_options options;
    struct table_meta meta;
    struct page_cache *cache;
    uint64_t seed = test_seed();
    alloc_init(&alloc, NULL);
    rand_init(&r, seed);
    scene_make(&scene, &shape, &r);
    repeat_halves(&scene);
    scene_options(&options);
    options.value_compression = compressed;
    options.memory_max = compressed ? (size_t)16 << 20 : 300000;
    (void)env_unlink(env, PATH);
    assert_int_equal(scene_build(&scene, &alloc, env, PATH, &options, &meta), FIRN_OK);
    assert_int_equal(page_cache_create(&alloc, NULL, 100000, 0, &cache), FIRN_OK);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct sst_table *table;
        struct job jobs[THREADS];
        pthread_t threads[THREADS];
        assert_int_equal(sst_table_open(&alloc, env, PATH, &meta, cache, NULL, &table), FIRN_OK);
        for (unsigned i = 0; i < THREADS; i++) {
            jobs[i] = (struct job){&scene, table, seed + round * THREADS + i};
            assert_int_equal(pthread_create(&threads[i], NULL, use_table, &jobs[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        }
        sst_table_unref(table);
    }
    page_cache_destroy(cache);
    table_meta_deinit(&alloc, &meta);
    scene_deinit(&scene);
    assert_int_equal(env_unlink(env, PATH), FIRN_OK);
    assert_int_equal(alloc.total, 0);
    env_destroy(env);
}

static void threads_share_a_table_on_disk(void **state) {
    (void)state;
    firn_env *env;
    assert_int_equal(env_posix_create(&env), FIRN_OK);
    check_sharing(env, false);
}

static void threads_share_a_table_of_compressed_values(void **state) {
    (void)state;
    firn_env *env;
    assert_int_equal(env_posix_create(&env), FIRN_OK);
    check_sharing(env, true);
}

static void threads_share_a_table_in_memory(void **state) {
    (void)state;
    firn_env *env;
    assert_int_equal(env_mem_create(&env), FIRN_OK);
    check_sharing(env, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_share_a_table_on_disk),
        cmocka_unit_test(threads_share_a_table_of_compressed_values),
        cmocka_unit_test(threads_share_a_table_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
