/* Key tables: what they hold, against the keys they were made of; and tables whose pages have them
 * beside them in the cache, against the entries they were built from, while key tables come and go.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "base/status.h"
#include "sst/key_table.h"
#include "tests/support/key_shapes.h"
#include "tests/support/seed.h"
#include "tests/support/table_scene.h"

#define PATH "key_table_test.sst"
#define THREADS 3
#define ROOM ((size_t)64 << 20)

/* ---- Of a page ---- */

static size_t no_payload(void *context, size_t first, size_t count) {
    (void)context;
    (void)first;
    (void)count;
    return 0;
}

/* An area of all keys of the set, in `out`. */
static struct key_area area_of(struct alloc *alloc, const struct key_set *set, struct buf *out) {
    struct key_buffer keys;
    size_t count = 0;
    key_buffer_init(&keys, alloc);
    buf_init(out, alloc, MEM_OTHER);
    for (size_t i = 0; i < set->count; i++) {
        assert_int_equal(key_buffer_add(&keys, set->keys[i]), FIRN_OK);
    }
    assert_int_equal(key_array_build(&keys, 0, SIZE_MAX / 2, no_payload, NULL, out, &count),
                     FIRN_OK);
    assert_int_equal(count, set->count);
    key_buffer_deinit(&keys);
    return (struct key_area){KEY_AREA_ARRAY, buf_slice(out), count};
}

/* The table of the area, or NULL where there can be none. */
static struct key_table *table_of(struct alloc *alloc, const struct key_area *area) {
    struct key_table *table;
    assert_int_equal(key_table_create(NULL, alloc, NULL, area, &table), FIRN_OK);
    return table;
}

static bool has(const struct key_table *t, firn_slice key, uint64_t hash, size_t rank) {
    uint32_t found = UINT32_MAX;
    return key_table_find(t, key, hash, &found) && found == rank;
}

static void check_keys(const struct key_table *t, const struct key_set *set, struct rand *r) {
    for (size_t i = 0; i < set->count; i++) {
        firn_slice key = set->keys[i], other = set->keys[rand_below(r, set->count)];
        uint8_t longer[8192];
        uint32_t rank;
        assert_true(has(t, key.size == 0 ? firn_slice_make(NULL, 0) : key, key_hash(key), i));
        /* Two keys of one hash are told apart by their bytes. */
        assert_true(slice_equal(key, other) || !key_table_find(t, other, key_hash(key), &rank));
        assert_true(key.size < sizeof longer);
        memcpy(longer, key.data, key.size);
        longer[key.size] = 0;
        assert_false(
            key_table_find(t, firn_slice_make(longer, key.size + 1), key_hash(key), &rank));
        if (key.size > 0) {
            size_t at = (size_t)rand_below(r, key.size);
            longer[at] ^= 1;
            assert_false(
                key_table_find(t, firn_slice_make(longer, key.size), key_hash(key), &rank));
            assert_false(key_table_find(t, firn_slice_make(key.data, at), key_hash(key), &rank));
        }
    }
}

static void tables_have_the_keys_of_their_page_and_no_others(void **state) {
    (void)state;
    struct alloc alloc;
    struct rand r;
    alloc_init(&alloc, NULL);
    rand_init(&r, test_seed());
    for (enum key_shape shape = 0; shape < KEY_SHAPES; shape++) {
        for (size_t count = 1; count <= 256; count *= 2) {
            struct key_set set;
            struct buf bytes;
            key_set_make(&set, shape, count, &r);
            struct key_area area = area_of(&alloc, &set, &bytes);
            struct key_table *table = table_of(&alloc, &area);
            if (table != NULL) {
                check_keys(table, &set, &r);
                page_frame_release(table->frame);
            } else {
                assert_true(bytes.size > 200000);
            }
            buf_deinit(&bytes);
            key_set_free(&set);
        }
    }
    assert_int_equal(alloc.total, 0);
}

static void pages_of_too_much_have_none(void **state) {
    (void)state;
    struct alloc alloc;
    struct rand r;
    struct key_set set;
    struct buf bytes;
    alloc_init(&alloc, NULL);
    rand_init(&r, test_seed());
    key_set_make(&set, KEYS_UUIDS, 20000, &r);
    struct key_area area = area_of(&alloc, &set, &bytes);
    assert_null(table_of(&alloc, &area));
    buf_deinit(&bytes);
    key_set_free(&set);
    assert_int_equal(alloc.total, 0);
}

/* Around the most that a table can have: records of 12 bytes fill it at 10917. */
static void tables_are_whole_up_to_the_largest(void **state) {
    (void)state;
    enum { KEYS_MAX = 12000, SIZE = 12, MOST = 10917 };
    static const size_t counts[] = {5461, 5462, MOST - 20, MOST - 1, MOST, MOST + 1, KEYS_MAX};
    static char text[KEYS_MAX][SIZE + 1];
    static firn_slice keys[KEYS_MAX];
    struct alloc alloc;
    struct rand r;
    alloc_init(&alloc, NULL);
    rand_init(&r, test_seed());
    for (unsigned i = 0; i < KEYS_MAX; i++) {
        (void)snprintf(text[i], sizeof text[i], "%c%011u", 'a' + (i > 0), i);
        keys[i] = firn_slice_make(text[i], SIZE);
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct key_set set = {keys, counts[i]};
        struct buf bytes;
        struct key_area area = area_of(&alloc, &set, &bytes);
        struct key_table *table = table_of(&alloc, &area);
        assert_int_equal(table != NULL, counts[i] <= MOST);
        if (table != NULL) {
            check_keys(table, &set, &r);
            page_frame_release(table->frame);
        }
        buf_deinit(&bytes);
    }
    assert_int_equal(alloc.total, 0);
}

static void pages_with_other_keys_than_they_say_are_damaged(void **state) {
    (void)state;
    struct alloc alloc;
    struct rand r;
    struct key_set set;
    struct buf bytes;
    struct key_table *table;
    alloc_init(&alloc, NULL);
    rand_init(&r, test_seed());
    key_set_make(&set, KEYS_PATHS, 100, &r);
    struct key_area area = area_of(&alloc, &set, &bytes);
    area.form = KEY_AREA_NUMBERS;
    assert_int_equal(key_table_create(NULL, &alloc, NULL, &area, &table), FIRN_CORRUPT);
    assert_null(table);
    area.form = KEY_AREA_ARRAY;
    for (uint64_t n = 1;; n++) { /* nothing is left behind where memory ends */
        atomic_store(&alloc.fail_after, n);
        int rc = key_table_create(NULL, &alloc, NULL, &area, &table);
        atomic_store(&alloc.fail_after, 0);
        if (rc == FIRN_OK) {
            break;
        }
        assert_int_equal(rc, FIRN_NOMEM);
        assert_int_equal(alloc.total, bytes.capacity);
    }
    page_frame_release(table->frame);
    buf_deinit(&bytes);
    key_set_free(&set);
    assert_int_equal(alloc.total, 0);
}

/* ---- Beside the pages of a table ---- */

struct fixture {
    struct alloc alloc;
    firn_env *env;
    struct epoch *epoch;
    struct page_cache *cache;
    struct scene scene;
    struct table_meta meta;
    struct sst_table *table;
};

static void open_table(struct fixture *f, const struct scene_shape *shape, firn_table_form form,
                       size_t cache_bytes, struct rand *r) {
    struct sst_builder_options options;
    alloc_init(&f->alloc, NULL);
    assert_int_equal(env_posix_create(&f->env), FIRN_OK);
    scene_make(&f->scene, shape, r);
    scene_options(&options);
    options.form = form;
    (void)env_unlink(f->env, PATH);
    assert_int_equal(scene_build(&f->scene, &f->alloc, f->env, PATH, &options, &f->meta), FIRN_OK);
    assert_int_equal(epoch_create(&f->alloc, &f->epoch), FIRN_OK);
    assert_int_equal(page_cache_create(&f->alloc, f->epoch, cache_bytes, 0, &f->cache), FIRN_OK);
    assert_int_equal(sst_table_open(&f->alloc, f->env, PATH, &f->meta, f->cache, NULL, &f->table),
                     FIRN_OK);
}

static void close_table(struct fixture *f) {
    sst_table_unref(f->table);
    page_cache_destroy(f->cache);
    epoch_destroy(f->epoch);
    table_meta_deinit(&f->alloc, &f->meta);
    scene_deinit(&f->scene);
    assert_int_equal(env_unlink(f->env, PATH), FIRN_OK);
    assert_int_equal(f->alloc.total, 0);
    env_destroy(f->env);
}

/* Searches for key, with the hash of the entry, as of its sequence. */
static int search(struct fixture *f, firn_slice key, const struct entry *e) {
    struct sst_section section = {.epoch = f->epoch, .token = epoch_enter(f->epoch)};
    struct sst_value value;
    uint8_t kind;
    uint64_t seq;
    int rc =
        sst_table_search(f->table, &section, key, key_hash(e->key), e->seq, &kind, &seq, &value);
    if (rc == FIRN_OK) {
        assert_int_equal(kind, e->kind);
        assert_int_equal(seq, e->seq);
        assert_int_equal(value.bytes.size, e->value.size);
        assert_true(e->value.size == 0 ||
                    memcmp(value.bytes.data, e->value.data, e->value.size) == 0);
    }
    epoch_leave(f->epoch, section.token);
    sst_value_release(&value);
    return rc;
}

static void search_all(struct fixture *f, struct rand *r) {
    for (size_t i = 0; i < f->scene.count; i++) {
        const struct entry *e = &f->scene.entries[i];
        uint8_t other[1024];
        assert_int_equal(search(f, e->key, e), FIRN_OK);
        if (e->key.size > 0 && e->key.size < sizeof other) {
            firn_slice absent = firn_slice_make(other, e->key.size);
            memcpy(other, e->key.data, e->key.size);
            other[rand_below(r, e->key.size)] ^= 1;
            if (scene_find(&f->scene, absent, SEQ_MAX) == NULL) {
                assert_int_equal(search(f, absent, e), FIRN_NOT_FOUND);
            }
        }
    }
}

static struct page_cache_usage usage_of(struct fixture *f) {
    struct page_cache_usage usage;
    page_cache_get_usage(f->cache, &usage);
    return usage;
}

/* Fills what is free with pages of another table. */
static void fill_cache(struct fixture *f) {
    for (size_t bytes = 0; bytes < ROOM; bytes += 65536) {
        struct page_frame *frame;
        assert_int_equal(page_frame_create(f->cache, &f->alloc, 65536, &frame), FIRN_OK);
        memset(page_frame_data(frame), 0, 65536);
        page_frame_release(page_cache_insert(f->cache, 12345, bytes, frame, true));
    }
}

static const struct scene_shape shapes[] = {
    {.name = "paths",
     .keys = 3000,
     .value_bytes_max = 20,
     .versions_max = 3,
     .tombstones_percent = 10},
    {.name = "bytes", .keys = 2000, .key_bytes_max = 40, .value_bytes_max = 60, .versions_max = 1},
    {.name = "groups",
     .keys = 2000,
     .value_bytes_min = 100,
     .value_bytes_max = 100,
     .versions_max = 1},
    {.name = "numbers",
     .keys = 3000,
     .key_bytes_max = SCENE_NUMBERS,
     .value_bytes_max = 8,
     .versions_max = 1},
};

/* Key tables are made while there is room, found by, and gone before the first page when there is
 * none; results are the same in all three. */
static void pages_are_searched_alike_with_and_without(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, test_seed());
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        for (int form = FIRN_TABLE_FST; form <= FIRN_TABLE_BTREE; form++) {
            struct fixture f;
            open_table(&f, &shapes[i], (firn_table_form)form, ROOM, &r);
            search_all(&f, &r);
            assert_int_equal(search(&f, f.scene.entries[0].key, &f.scene.entries[0]), FIRN_OK);
            size_t frames = usage_of(&f).frames;
            search_all(&f, &r);
            size_t tables = usage_of(&f).key_tables, bytes = usage_of(&f).key_bytes;
            bool numbers = form == FIRN_TABLE_FST && i == 3;
            assert_true(numbers ? tables <= frames : tables > 0 && bytes > tables * 64);
            assert_int_equal(usage_of(&f).frames, frames);
            search_all(&f, &r);
            fill_cache(&f);
            assert_int_equal(usage_of(&f).key_tables, 0);
            assert_int_equal(usage_of(&f).key_bytes, 0);
            search_all(&f, &r);
            close_table(&f);
        }
    }
}

/* A page goes only when no key table is left to go. */
static void no_page_is_given_up_for_a_key_table(void **state) {
    (void)state;
    struct rand r;
    struct fixture f;
    rand_init(&r, test_seed());
    open_table(&f, &shapes[0], FIRN_TABLE_FST, ROOM, &r);
    search_all(&f, &r);
    struct page_cache_usage before = usage_of(&f);
    close_table(&f);
    /* Room for all pages, and a little more. */
    open_table(&f, &shapes[0], FIRN_TABLE_FST, before.bytes + before.bytes / 4, &r);
    for (int round = 0; round < 3; round++) {
        search_all(&f, &r);
        assert_true(usage_of(&f).bytes <= usage_of(&f).capacity);
    }
    assert_int_equal(usage_of(&f).evictions, 0);
    close_table(&f);
}

/* One that is evicted stays for those who are at it. */
static void readers_keep_the_key_table_they_found(void **state) {
    (void)state;
    struct rand r;
    struct fixture f = {.env = NULL};
    struct key_set set;
    struct buf bytes;
    struct page_frame *page;
    uint32_t rank;
    rand_init(&r, test_seed());
    alloc_init(&f.alloc, NULL);
    key_set_make(&set, KEYS_PATHS, 100, &r);
    struct key_area area = area_of(&f.alloc, &set, &bytes);
    assert_int_equal(epoch_create(&f.alloc, &f.epoch), FIRN_OK);
    assert_int_equal(page_cache_create(&f.alloc, f.epoch, ROOM, 0, &f.cache), FIRN_OK);
    assert_int_equal(page_frame_create(f.cache, &f.alloc, 4096, &page), FIRN_OK);
    memset(page_frame_data(page), 0, 4096);
    page = page_cache_insert(f.cache, 1, 1, page, false);
    struct key_table *keys;
    assert_int_equal(key_table_create(f.cache, &f.alloc, NULL, &area, &keys), FIRN_OK);
    page_cache_give_keys(f.cache, page, keys);
    unsigned token = epoch_enter(f.epoch);
    assert_ptr_equal(page_cache_peek(f.cache, 1, 1, key_hash(set.keys[0])), page);
    const struct key_table *found = page_frame_keys(page);
    assert_ptr_equal(found, keys);
    fill_cache(&f);
    assert_int_equal(usage_of(&f).key_tables, 0);
    assert_null(page_frame_keys(page));
    assert_true(key_table_find(found, set.keys[0], key_hash(set.keys[0]), &rank) && rank == 0);
    epoch_leave(f.epoch, token);
    page_frame_release(page);
    page_cache_destroy(f.cache);
    epoch_destroy(f.epoch);
    buf_deinit(&bytes);
    key_set_free(&set);
    assert_int_equal(f.alloc.total, 0);
}

static void a_page_that_is_replaced_takes_its_key_table_along(void **state) {
    (void)state;
    struct rand r;
    struct fixture f = {.env = NULL};
    struct key_set set;
    struct buf bytes;
    struct page_frame *page, *longer;
    struct key_table *keys;
    rand_init(&r, test_seed());
    alloc_init(&f.alloc, NULL);
    key_set_make(&set, KEYS_PATHS, 100, &r);
    struct key_area area = area_of(&f.alloc, &set, &bytes);
    assert_int_equal(page_cache_create(&f.alloc, NULL, ROOM, 0, &f.cache), FIRN_OK);
    assert_int_equal(page_frame_create(f.cache, &f.alloc, 4096, &page), FIRN_OK);
    page = page_cache_insert(f.cache, 1, 1, page, false);
    assert_int_equal(key_table_create(f.cache, &f.alloc, NULL, &area, &keys), FIRN_OK);
    page_cache_give_keys(f.cache, page, keys);
    assert_int_equal(usage_of(&f).key_tables, 1);
    assert_int_equal(page_frame_create(f.cache, &f.alloc, 8192, &longer), FIRN_OK);
    page_cache_replace(f.cache, page, longer);
    assert_int_equal(usage_of(&f).key_tables, 0);
    assert_int_equal(usage_of(&f).key_bytes, 0);
    assert_null(page_frame_keys(longer));
    page_frame_release(page);
    page_frame_release(longer);
    page_cache_destroy(f.cache);
    buf_deinit(&bytes);
    key_set_free(&set);
    assert_int_equal(f.alloc.total, 0);
}

struct job {
    struct fixture *f;
    uint64_t seed;
    bool fills;
};

static void *search_at_random(void *argument) {
    struct job *job = argument;
    struct rand r;
    rand_init(&r, job->seed);
    for (int i = 0; i < 6000; i++) {
        const struct entry *e = &job->f->scene.entries[rand_below(&r, job->f->scene.count)];
        assert_int_equal(search(job->f, e->key, e), FIRN_OK);
        if (job->fills && i % 2000 == 1999) {
            fill_cache(job->f);
            page_cache_drop_table(job->f->cache, 12345);
        }
    }
    return NULL;
}

static void threads_search_while_key_tables_come_and_go(void **state) {
    (void)state;
    struct rand r;
    struct fixture f;
    struct job jobs[THREADS];
    pthread_t threads[THREADS];
    rand_init(&r, test_seed());
    open_table(&f, &shapes[0], FIRN_TABLE_FST, ROOM, &r);
    for (unsigned i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){&f, test_seed() + i, i == 0};
        assert_int_equal(pthread_create(&threads[i], NULL, search_at_random, &jobs[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_true(usage_of(&f).bytes <= ROOM);
    close_table(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_have_the_keys_of_their_page_and_no_others),
        cmocka_unit_test(pages_of_too_much_have_none),
        cmocka_unit_test(tables_are_whole_up_to_the_largest),
        cmocka_unit_test(pages_with_other_keys_than_they_say_are_damaged),
        cmocka_unit_test(pages_are_searched_alike_with_and_without),
        cmocka_unit_test(no_page_is_given_up_for_a_key_table),
        cmocka_unit_test(readers_keep_the_key_table_they_found),
        cmocka_unit_test(a_page_that_is_replaced_takes_its_key_table_along),
        cmocka_unit_test(threads_search_while_key_tables_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
