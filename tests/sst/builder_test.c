#include "sst/builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/file_bytes.h"
#include "tests/support/seed.h"
#include "tests/support/table_scene.h"

#define PATH "builder_test.sst"

struct fixture {
    struct alloc alloc;
    firn_env *env;
    struct sst_builder_options options;
};

static void set_up(struct fixture *f) {
    alloc_init(&f->alloc, NULL);
    assert_int_equal(env_mem_create(&f->env), FIRN_OK);
    scene_options(&f->options);
}

static void tear_down(struct fixture *f) {
    env_destroy(f->env);
    assert_int_equal(f->alloc.total, 0);
}

static int add(struct sst_builder *b, firn_slice key, uint64_t seq, uint8_t kind) {
    struct iter it = {.valid = true};
    it.entry.key = key;
    it.entry.value = FIRN_STR("value");
    it.entry.seq = seq;
    it.entry.kind = kind;
    return sst_builder_add(b, &it, seq, seq);
}

static struct sst_builder *begin(struct fixture *f) {
    struct sst_builder *b;
    (void)env_unlink(f->env, PATH);
    assert_int_equal(sst_builder_create(&f->alloc, f->env, PATH, 1, &f->options, &b), FIRN_OK);
    return b;
}

static void entries_out_of_order_are_refused_and_that_sticks(void **state) {
    (void)state;
    struct fixture f;
    struct table_meta meta;
    set_up(&f);
    for (int i = 0; i < 3; i++) {
        struct sst_builder *b = begin(&f);
        assert_int_equal(add(b, FIRN_STR("m"), 5, ENTRY_PUT), FIRN_OK);
        int rc = i == 0   ? add(b, FIRN_STR("a"), 5, ENTRY_PUT)  /* a lower key */
                 : i == 1 ? add(b, FIRN_STR("m"), 6, ENTRY_PUT)  /* a newer version */
                          : add(b, FIRN_STR("m"), 5, ENTRY_PUT); /* the same */
        assert_int_equal(rc, FIRN_CORRUPT);
        assert_int_equal(add(b, FIRN_STR("z"), 5, ENTRY_PUT), FIRN_CORRUPT);
        assert_int_equal(sst_builder_finish(b, &meta), FIRN_CORRUPT);
    }
    tear_down(&f);
}

static void kinds_from_the_future_are_not_written(void **state) {
    (void)state;
    struct fixture f;
    struct table_meta meta;
    set_up(&f);
    struct sst_builder *b = begin(&f);
    assert_int_equal(add(b, FIRN_STR("m"), 5, 9), FIRN_UNSUPPORTED);
    assert_int_equal(sst_builder_finish(b, &meta), FIRN_UNSUPPORTED);
    tear_down(&f);
}

static void a_table_needs_an_entry_a_free_name_and_sound_options(void **state) {
    (void)state;
    struct fixture f;
    struct table_meta meta;
    struct sst_builder *b;
    set_up(&f);
    assert_int_equal(sst_builder_finish(begin(&f), &meta), FIRN_INVALID);
    assert_int_equal(sst_builder_create(&f.alloc, f.env, PATH, 1, &f.options, &b), FIRN_EXISTS);
    assert_null(b);
    f.options.page_bytes = 5000;
    assert_int_equal(sst_builder_create(&f.alloc, f.env, PATH, 1, &f.options, &b), FIRN_INVALID);
    f.options.page_bytes = 2048;
    assert_int_equal(sst_builder_create(&f.alloc, f.env, PATH, 1, &f.options, &b), FIRN_INVALID);
    sst_builder_abandon(NULL);
    tear_down(&f);
}

static void an_abandoned_builder_leaves_only_its_file(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f);
    struct sst_builder *b = begin(&f);
    assert_int_equal(add(b, FIRN_STR("m"), 5, ENTRY_PUT), FIRN_OK);
    assert_int_equal(sst_builder_entries(b), 1);
    sst_builder_abandon(b);
    assert_int_equal(env_unlink(f.env, PATH), FIRN_OK);
    tear_down(&f);
}

static void the_meta_tells_true_sequences_and_raw_bytes(void **state) {
    (void)state;
    struct fixture f;
    struct table_meta meta;
    struct iter it = {.valid = true};
    set_up(&f);
    struct sst_builder *b = begin(&f);
    it.entry = (struct entry){FIRN_STR("key"), FIRN_STR("value"), 40, ENTRY_PUT};
    assert_int_equal(sst_builder_add(b, &it, 0, 40), FIRN_OK);
    it.entry = (struct entry){FIRN_STR("other"), FIRN_STR(""), 70, ENTRY_DELETE};
    assert_int_equal(sst_builder_add(b, &it, 70, 70), FIRN_OK);
    assert_int_equal(sst_builder_finish(b, &meta), FIRN_OK);
    assert_int_equal(meta.seq_min, 40);
    assert_int_equal(meta.seq_max, 70);
    assert_int_equal(meta.keys, 2);
    assert_int_equal(meta.tombstones, 1);
    assert_int_equal(meta.raw_key_bytes, 8);
    assert_int_equal(meta.raw_value_bytes, 5);
    assert_int_equal(meta.created_ns, f.options.created_ns);
    assert_true(slice_equal(meta.largest, FIRN_STR("other")));
    table_meta_deinit(&f.alloc, &meta);
    tear_down(&f);
}

/* Builds count keys with a memory limit; returns the most memory held meanwhile. */
static size_t build_many(struct fixture *f, unsigned count, struct table_meta *meta,
                         uint64_t *estimate) {
    struct sst_builder *b = begin(f);
    for (unsigned i = 0; i < count; i++) {
        char key[40];
        int size = snprintf(key, sizeof key, "user/%08u/%u", i, i * 7919 % 1000);
        assert_int_equal(add(b, firn_slice_make(key, (size_t)size), 0, ENTRY_PUT), FIRN_OK);
    }
    *estimate = sst_builder_bytes(b);
    assert_int_equal(sst_builder_finish(b, meta), FIRN_OK);
    return f->alloc.peak;
}

static void memory_and_the_estimated_size_are_kept(void **state) {
    (void)state;
    struct fixture f;
    struct table_meta meta;
    uint64_t estimate;
    set_up(&f);
    f.options.memory_max = (size_t)4 << 20;
    size_t peak = build_many(&f, 120000, &meta, &estimate);
    assert_true(peak <= f.options.memory_max);
    assert_true(estimate > meta.bytes * 3 / 4 && estimate < meta.bytes * 4 / 3);
    table_meta_deinit(&f.alloc, &meta);
    tear_down(&f);
}

static void the_same_entries_and_id_make_the_same_file(void **state) {
    (void)state;
    struct fixture f;
    struct table_meta metas[2];
    uint8_t *bytes[2];
    size_t sizes[2];
    uint64_t estimate;
    set_up(&f);
    for (int i = 0; i < 2; i++) {
        (void)build_many(&f, 3000, &metas[i], &estimate);
        bytes[i] = file_bytes_get(f.env, PATH, &sizes[i]);
    }
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(bytes[0], bytes[1], sizes[0]);
    for (int i = 0; i < 2; i++) {
        free(bytes[i]);
        table_meta_deinit(&f.alloc, &metas[i]);
    }
    tear_down(&f);
}

static void ids_are_random_unless_fixed(void **state) {
    (void)state;
    struct fixture f;
    struct table_meta metas[2];
    uint64_t estimate;
    set_up(&f);
    f.options.fixed_id = false;
    for (int i = 0; i < 2; i++) {
        (void)build_many(&f, 1, &metas[i], &estimate);
    }
    assert_memory_not_equal(metas[0].id, metas[1].id, TABLE_ID_BYTES);
    table_meta_deinit(&f.alloc, &metas[0]);
    table_meta_deinit(&f.alloc, &metas[1]);
    tear_down(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_out_of_order_are_refused_and_that_sticks),
        cmocka_unit_test(kinds_from_the_future_are_not_written),
        cmocka_unit_test(a_table_needs_an_entry_a_free_name_and_sound_options),
        cmocka_unit_test(an_abandoned_builder_leaves_only_its_file),
        cmocka_unit_test(the_meta_tells_true_sequences_and_raw_bytes),
        cmocka_unit_test(memory_and_the_estimated_size_are_kept),
        cmocka_unit_test(the_same_entries_and_id_make_the_same_file),
        cmocka_unit_test(ids_are_random_unless_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
