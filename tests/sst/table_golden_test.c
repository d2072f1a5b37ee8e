/* A table as version 1 writes it. The golden file is read by every later version; that it is still
 * written byte for byte shows that nothing drawn in the format changed unnoticed. (A better choice
 * of phrases by the encoder changes bytes, too: then a new file is added beside this one, which
 * stays to be read.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sst/format.h"
#include "tests/support/array_iter.h"
#include "tests/support/file_bytes.h"
#include "tests/support/table_scene.h"

#define GOLDEN "table-v1.sst"
#define GOLDEN_SHORT "table-v1-short.sst" /* pages not aligned, and the last one not filled up */
#define GOLDEN_VALUES "table-v1-values.sst"
#define VALUES_KEYS 3600 /* in it */
#define VALUES_INTEGERS 3000
#define GOLDEN_NUMBERS "table-v1-numbers.sst"
#define GOLDEN_ICE "table-v1-ice.sst"
#define GOLDEN_ARRAY "table-v1-array.sst"
#define GOLDEN_BTREE "table-v1-btree.sst"
#define PATH "golden.sst"

/* Every kind of area and section: versions, tombstones, sequences, values inline and apart. */
static void make_scene(struct scene *s) {
    scene_init(s);
    scene_add(s, FIRN_STR(""), 3, ENTRY_PUT, 1);
    scene_add(s, FIRN_STR("/usr/share/doc/ice/changelog.gz"), 41, ENTRY_PUT, 600);
    scene_add(s, FIRN_STR("/usr/share/doc/ice/changelog.gz"), 40, ENTRY_DELETE, 0);
    scene_add(s, FIRN_STR("/usr/share/doc/ice/changelog.gz"), 7, ENTRY_PUT, 5);
    scene_add(s, FIRN_STR("/usr/share/doc/snow/changelog.gz"), 300, ENTRY_PUT, 12);
    scene_add(s, FIRN_STR("\xff\x00\xff"), 70000, ENTRY_DELETE, 0);
}

/* Values that take fewer bytes as integers; those behind them do under zstd. */
static void make_values_scene(struct scene *s, unsigned count, unsigned integers) {
    scene_init(s);
    for (unsigned i = 0; i < count; i++) {
        char key[8];
        int size = snprintf(key, sizeof key, "%04u", i);
        bool integer = i < integers;
        scene_add(s, firn_slice_make(key, (size_t)size), 0, ENTRY_PUT, integer ? 8 : 64);
        uint8_t *value = (uint8_t *)(uintptr_t)s->entries[i].value.data;
        if (integer) {
            put_u64(value, 40000 + get_u64(value) % 10000000);
        } else {
            memcpy(value + 32, value, 32);
        }
    }
}

/* Keys that are numbers. */
static void make_numbers_scene(struct scene *s) {
    scene_init(s);
    for (unsigned i = 0; i < 400; i++) {
        char key[16];
        int size = snprintf(key, sizeof key, "id:%06u", i * 3 + i % 3);
        scene_add(s, firn_slice_make(key, (size_t)size), 0, ENTRY_PUT, 2);
    }
}

static void check_read(const char *name, struct scene *s, uint64_t keys, uint64_t seq_max) {
    struct alloc alloc;
    firn_env *env;
    struct table_meta meta;
    struct sst_table *t;
    struct iter *it;
    size_t size;
    uint8_t *bytes = golden_get(name, &size);
    alloc_init(&alloc, NULL);
    assert_int_equal(env_mem_create(&env), FIRN_OK);
    file_bytes_set(env, PATH, bytes, size);
    assert_int_equal(sst_table_read_meta(&alloc, env, PATH, 1, &meta), FIRN_OK);
    assert_int_equal(meta.keys, keys);
    assert_int_equal(meta.seq_max, seq_max);
    assert_int_equal(sst_table_open(&alloc, env, PATH, &meta, NULL, NULL, &t), FIRN_OK);
    assert_int_equal(sst_table_verify(t, NULL, NULL), FIRN_OK);
    assert_int_equal(sst_table_iter_create(t, NULL, &it), FIRN_OK);
    array_iter_assert_equal(it, s->entries, s->count);
    iter_destroy(it);
    sst_table_unref(t);
    table_meta_deinit(&alloc, &meta);
    env_destroy(env);
    scene_deinit(s);
    free(bytes);
}

static void version_1_is_still_read(void **state) {
    (void)state;
    struct scene s;
    make_scene(&s);
    check_read(GOLDEN, &s, 4, 70000);
    make_scene(&s);
    check_read(GOLDEN_SHORT, &s, 4, 70000);
}

static void version_1_with_compact_values_is_still_read(void **state) {
    (void)state;
    struct scene s;
    make_values_scene(&s, VALUES_KEYS, VALUES_INTEGERS);
    check_read(GOLDEN_VALUES, &s, VALUES_KEYS, 0);
}

static void version_1_with_ice_is_still_read(void **state) {
    (void)state;
    struct scene s;
    make_values_scene(&s, 1200, 900);
    check_read(GOLDEN_ICE, &s, 1200, 0);
}

static void version_1_with_numbers_is_still_read(void **state) {
    (void)state;
    struct scene s;
    make_numbers_scene(&s);
    check_read(GOLDEN_NUMBERS, &s, 400, 0);
}

/* The scene is given back. */
static void check_written(const char *name, struct scene *s, enum sst_effort effort,
                          firn_table_form form) {
    struct alloc alloc;
    firn_env *env;
    struct sst_builder_options options;
    struct table_meta meta;
    size_t size;
    alloc_init(&alloc, NULL);
    scene_options(&options);
    options.effort = effort;
    options.form = form;
    assert_int_equal(env_mem_create(&env), FIRN_OK);
    assert_int_equal(scene_build(s, &alloc, env, PATH, &options, &meta), FIRN_OK);
    uint8_t *bytes = file_bytes_get(env, PATH, &size);
    golden_assert_equal(name, bytes, size);
    free(bytes);
    table_meta_deinit(&alloc, &meta);
    env_destroy(env);
    scene_deinit(s);
}

static void version_1_is_still_written(void **state) {
    (void)state;
    struct scene s;
    make_scene(&s);
    check_written(GOLDEN_SHORT, &s, SST_EFFORT_FAST, FIRN_TABLE_FST);
}

static void version_1_with_numbers_is_still_written(void **state) {
    (void)state;
    struct scene s;
    make_numbers_scene(&s);
    check_written(GOLDEN_NUMBERS, &s, SST_EFFORT_FULL, FIRN_TABLE_FST);
}

/* A small array, and a btree of some pages. */
static void version_1_of_the_other_forms_is_still_written(void **state) {
    (void)state;
    struct scene s;
    make_scene(&s);
    check_written(GOLDEN_ARRAY, &s, SST_EFFORT_FAST, FIRN_TABLE_ARRAY);
    make_values_scene(&s, 1200, 900);
    check_written(GOLDEN_BTREE, &s, SST_EFFORT_FAST, FIRN_TABLE_BTREE);
}

static void version_1_of_the_other_forms_is_still_read(void **state) {
    (void)state;
    struct scene s;
    make_scene(&s);
    check_read(GOLDEN_ARRAY, &s, 4, 70000);
    make_values_scene(&s, 1200, 900);
    check_read(GOLDEN_BTREE, &s, 1200, 0);
}

/* Not byte for byte: another zstd may compress in another way. What it is for is there. */
static void check_still_written(const char *golden, bool ice, unsigned keys, unsigned integers,
                                uint64_t features) {
    struct alloc alloc;
    firn_env *env;
    struct scene s;
    struct sst_builder_options options;
    struct table_meta meta;
    size_t size;
    alloc_init(&alloc, NULL);
    make_values_scene(&s, keys, integers);
    scene_options(&options);
    options.value_compression = true;
    options.ice = ice;
    assert_int_equal(env_mem_create(&env), FIRN_OK);
    assert_int_equal(scene_build(&s, &alloc, env, PATH, &options, &meta), FIRN_OK);
    uint8_t *bytes = file_bytes_get(env, PATH, &size);
    struct footer footer;
    footer_init(&footer, &alloc);
    size_t end = get_u32(bytes + size - FORMAT_TRAILER_BYTES);
    assert_int_equal(footer_decode(firn_slice_make(bytes + size - end, end), size, &footer),
                     FIRN_OK);
    assert_int_equal(footer.incompatible, features);
    footer_deinit(&footer);
    if (getenv("FIRN_GOLDEN_WRITE") != NULL) {
        golden_assert_equal(golden, bytes, size);
    }
    free(bytes);
    table_meta_deinit(&alloc, &meta);
    env_destroy(env);
    scene_deinit(&s);
}

static void compact_values_are_still_written(void **state) {
    (void)state;
    check_still_written(GOLDEN_VALUES, false, VALUES_KEYS, VALUES_INTEGERS,
                        FORMAT_FEATURE_INTEGERS | FORMAT_FEATURE_ZSTD | FORMAT_FEATURE_KEY_FORMS);
}

static void ice_is_still_written(void **state) {
    (void)state;
    check_still_written(GOLDEN_ICE, true, 1200, 900,
                        FORMAT_FEATURE_ZSTD | FORMAT_FEATURE_ICE | FORMAT_FEATURE_KEY_FORMS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1_is_still_written),
        cmocka_unit_test(version_1_is_still_read),
        cmocka_unit_test(version_1_with_numbers_is_still_written),
        cmocka_unit_test(version_1_with_numbers_is_still_read),
        cmocka_unit_test(version_1_of_the_other_forms_is_still_written),
        cmocka_unit_test(version_1_of_the_other_forms_is_still_read),
        cmocka_unit_test(compact_values_are_still_written),
        cmocka_unit_test(version_1_with_compact_values_is_still_read),
        cmocka_unit_test(ice_is_still_written),
        cmocka_unit_test(version_1_with_ice_is_still_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
