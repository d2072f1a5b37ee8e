/* A table as version 1 writes it. The golden file is read by every later version; that it is still
 * written byte for byte shows that nothing drawn in the format changed unnoticed. (A better choice
 * of phrases by the encoder changes bytes, too: then a new file is added beside this one, which
 * stays to be read.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/array_iter.h"
#include "tests/support/file_bytes.h"
#include "tests/support/table_scene.h"

#define GOLDEN "table-v1.sst"
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

static void version_1_is_still_read(void **state) {
    (void)state;
    struct alloc alloc;
    firn_env *env;
    struct scene s;
    struct table_meta meta;
    struct sst_table *t;
    struct iter *it;
    size_t size;
    uint8_t *bytes = golden_get(GOLDEN, &size);
    alloc_init(&alloc, NULL);
    make_scene(&s);
    assert_int_equal(env_mem_create(&env), FIRN_OK);
    file_bytes_set(env, PATH, bytes, size);
    assert_int_equal(sst_table_read_meta(&alloc, env, PATH, 1, &meta), FIRN_OK);
    assert_int_equal(meta.keys, 4);
    assert_int_equal(meta.seq_max, 70000);
    assert_int_equal(sst_table_open(&alloc, env, PATH, &meta, NULL, NULL, &t), FIRN_OK);
    assert_int_equal(sst_table_verify(t, NULL, NULL), FIRN_OK);
    assert_int_equal(sst_table_iter_create(t, NULL, &it), FIRN_OK);
    array_iter_assert_equal(it, s.entries, s.count);
    iter_destroy(it);
    sst_table_unref(t);
    table_meta_deinit(&alloc, &meta);
    env_destroy(env);
    scene_deinit(&s);
    free(bytes);
}

static void version_1_is_still_written(void **state) {
    (void)state;
    struct alloc alloc;
    firn_env *env;
    struct scene s;
    struct sst_builder_options options;
    struct table_meta meta;
    size_t size;
    alloc_init(&alloc, NULL);
    make_scene(&s);
    scene_options(&options);
    assert_int_equal(env_mem_create(&env), FIRN_OK);
    assert_int_equal(scene_build(&s, &alloc, env, PATH, &options, &meta), FIRN_OK);
    uint8_t *bytes = file_bytes_get(env, PATH, &size);
    golden_assert_equal(GOLDEN, bytes, size);
    free(bytes);
    table_meta_deinit(&alloc, &meta);
    env_destroy(env);
    scene_deinit(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1_is_still_written),
        cmocka_unit_test(version_1_is_still_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
