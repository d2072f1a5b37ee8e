/* The key buffer gives back what was put in, from any index on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sst/key_buffer.h"
#include "tests/support/key_shapes.h"
#include "tests/support/seed.h"

struct fixture {
    struct alloc alloc;
    struct rand rand;
    struct key_buffer buffer;
};

static int setup(void **state) {
    static struct fixture f;
    alloc_init(&f.alloc, NULL);
    rand_init(&f.rand, test_seed());
    key_buffer_init(&f.buffer, &f.alloc);
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    key_buffer_deinit(&f->buffer);
    return atomic_load(&f->alloc.total) == 0 ? 0 : -1;
}

static void fill(struct key_buffer *b, const struct key_set *keys) {
    uint64_t raw = 0;
    for (size_t i = 0; i < keys->count; i++) {
        assert_int_equal(key_buffer_add(b, keys->keys[i]), FIRN_OK);
        raw += keys->keys[i].size;
    }
    assert_int_equal(b->count, keys->count);
    assert_int_equal(b->raw_bytes, raw);
}

static void a_walk_from_any_index_yields_the_keys_and_what_they_share(void **state) {
    struct fixture *f = *state;
    for (int shape = 0; shape < KEY_SHAPES; shape++) {
        struct key_set keys;
        struct key_cursor c;
        key_set_make(&keys, (enum key_shape)shape, 400, &f->rand);
        key_buffer_reset(&f->buffer);
        fill(&f->buffer, &keys);
        key_cursor_init(&c, &f->buffer);
        for (int round = 0; round < 20; round++) {
            size_t i = round == 0 ? 0 : (size_t)rand_below(&f->rand, keys.count);
            assert_int_equal(key_cursor_to(&c, i), FIRN_OK);
            assert_int_equal(c.shared, 0);
            for (;; i++) {
                assert_int_equal(c.index, i);
                assert_true(slice_equal(buf_slice(&c.key), keys.keys[i]));
                if (i + 1 == keys.count) {
                    break;
                }
                assert_int_equal(key_cursor_next(&c), FIRN_OK);
                assert_int_equal(c.shared, slice_common_prefix(keys.keys[i], keys.keys[i + 1]));
            }
        }
        key_cursor_deinit(&c);
        key_set_free(&keys);
    }
}

static void keys_of_the_greatest_size_are_kept(void **state) {
    struct fixture *f = *state;
    uint8_t *bytes = malloc(FIRN_KEY_BYTES_MAX);
    assert_non_null(bytes);
    memset(bytes, 0xff, FIRN_KEY_BYTES_MAX);
    firn_slice two[] = {firn_slice_make(bytes, FIRN_KEY_BYTES_MAX - 1),
                        firn_slice_make(bytes, FIRN_KEY_BYTES_MAX)};
    struct key_set keys = {two, 2};
    struct key_cursor c;
    fill(&f->buffer, &keys);
    key_cursor_init(&c, &f->buffer);
    assert_int_equal(key_cursor_to(&c, 1), FIRN_OK);
    assert_true(slice_equal(buf_slice(&c.key), two[1]));
    key_cursor_deinit(&c);
    free(bytes);
}

static void without_memory_a_key_is_refused_and_the_others_stay(void **state) {
    struct fixture *f = *state;
    struct key_set keys;
    struct key_cursor c;
    key_set_make(&keys, KEYS_PATHS, 300, &f->rand);
    for (size_t i = 0; i < keys.count; i++) {
        int rc;
        uint64_t nth = 1;
        do { /* fails first at one allocation, then at the next, then not at all */
            atomic_store(&f->alloc.fail_after, nth++);
            rc = key_buffer_add(&f->buffer, keys.keys[i]);
            assert_true(rc == FIRN_OK || rc == FIRN_NOMEM);
        } while (rc != FIRN_OK);
        atomic_store(&f->alloc.fail_after, 0);
    }
    key_cursor_init(&c, &f->buffer);
    assert_int_equal(f->buffer.count, keys.count);
    assert_int_equal(key_cursor_to(&c, 0), FIRN_OK);
    for (size_t i = 0; i < keys.count; i++) {
        assert_true(slice_equal(buf_slice(&c.key), keys.keys[i]));
        if (i + 1 < keys.count) {
            assert_int_equal(key_cursor_next(&c), FIRN_OK);
        }
    }
    key_cursor_deinit(&c);
    key_set_free(&keys);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_walk_from_any_index_yields_the_keys_and_what_they_share,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(keys_of_the_greatest_size_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_a_key_is_refused_and_the_others_stay, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
