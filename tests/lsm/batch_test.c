#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "lsm/batch.h"
#include "tests/support/seed.h"

static struct alloc alloc;

static int set_up(void **state) {
    (void)state;
    alloc_init(&alloc, NULL);
    return 0;
}

static int nothing_is_held(void **state) {
    (void)state;
    return atomic_load(&alloc.total) == 0 ? 0 : -1;
}

/* Reads to the end; returns the code it ended with, and how many operations came before. */
static int read_all(firn_slice bytes, uint32_t *ops) {
    struct batch_reader r;
    struct batch_op op;
    uint32_t count;
    *ops = 0;
    int rc = batch_reader_init(&r, bytes, &count);
    while (rc == FIRN_OK) {
        rc = batch_reader_next(&r, &op);
        *ops += rc == FIRN_OK;
    }
    assert_true(rc != FIRN_NOT_FOUND || *ops == count);
    return rc;
}

static void operations_are_read_back_in_order(void **state) {
    (void)state;
    struct firn_batch b;
    struct batch_reader r;
    struct batch_op op;
    uint32_t count;
    batch_init(&b, &alloc);
    assert_int_equal(b.bytes.size, 0);
    assert_int_equal(batch_put(&b, FIRN_STR("apple"), FIRN_STR("red")), FIRN_OK);
    assert_int_equal(batch_delete(&b, FIRN_STR("")), FIRN_OK);
    assert_int_equal(batch_put(&b, FIRN_STR("\0\xff"), FIRN_STR("")), FIRN_OK);
    assert_int_equal(b.count, 3);
    assert_int_equal(b.data_bytes, 10);
    assert_int_equal(batch_reader_init(&r, buf_slice(&b.bytes), &count), FIRN_OK);
    assert_int_equal(count, 3);
    assert_int_equal(batch_reader_next(&r, &op), FIRN_OK);
    assert_int_equal(op.kind, ENTRY_PUT);
    assert_int_equal(op.keyspace, KEYSPACE_DEFAULT);
    assert_true(slice_equal(op.key, FIRN_STR("apple")));
    assert_true(slice_equal(op.value, FIRN_STR("red")));
    assert_int_equal(batch_reader_next(&r, &op), FIRN_OK);
    assert_int_equal(op.kind, ENTRY_DELETE);
    assert_true(slice_equal(op.key, FIRN_STR("")));
    assert_int_equal(batch_reader_next(&r, &op), FIRN_OK);
    assert_true(slice_equal(op.key, FIRN_STR("\0\xff")));
    assert_int_equal(op.value.size, 0);
    assert_int_equal(batch_reader_next(&r, &op), FIRN_NOT_FOUND);
    assert_int_equal(batch_reader_next(&r, &op), FIRN_NOT_FOUND);
    batch_deinit(&b);
}

static void the_bytes_of_a_batch_are_pinned(void **state) {
    (void)state;
    static const uint8_t expected[] = {2, 0, 0, 0, 1, 0, 1, 'k', 2, 'v', 'w', 2, 0, 2, 'k', 'l'};
    struct firn_batch b;
    batch_init(&b, &alloc);
    assert_int_equal(batch_put(&b, FIRN_STR("k"), FIRN_STR("vw")), FIRN_OK);
    assert_int_equal(batch_delete(&b, FIRN_STR("kl")), FIRN_OK);
    assert_int_equal(b.bytes.size, sizeof expected);
    assert_memory_equal(b.bytes.data, expected, sizeof expected);
    batch_deinit(&b);
}

static void limits_leave_the_batch_as_it_was(void **state) {
    (void)state;
    struct firn_batch b;
    uint8_t *large = calloc(1, FIRN_KEY_BYTES_MAX + 1);
    firn_slice key = firn_slice_make(large, FIRN_KEY_BYTES_MAX);
    firn_slice over = firn_slice_make(large, FIRN_KEY_BYTES_MAX + 1);
    firn_slice value_over = firn_slice_make(large, FIRN_VALUE_BYTES_MAX + 1); /* never read */
    batch_init(&b, &alloc);
    assert_int_equal(batch_put(&b, key, FIRN_STR("v")), FIRN_OK);
    size_t bytes = b.bytes.size;
    assert_int_equal(batch_put(&b, over, FIRN_STR("v")), FIRN_TOO_LARGE);
    assert_int_equal(batch_delete(&b, over), FIRN_TOO_LARGE);
    assert_int_equal(batch_put(&b, key, value_over), FIRN_TOO_LARGE);
    assert_int_equal(batch_put(&b, firn_slice_make(NULL, 3), FIRN_STR("v")), FIRN_INVALID);
    assert_int_equal(batch_put(&b, FIRN_STR("k"), firn_slice_make(NULL, 3)), FIRN_INVALID);
    assert_int_equal(batch_check_limits(key, FIRN_STR("")), FIRN_OK);
    size_t held = b.bytes.size;
    b.bytes.size = FIRN_BATCH_BYTES_MAX - 3; /* as if so much were in it */
    assert_int_equal(batch_put(&b, FIRN_STR("k"), FIRN_STR("v")), FIRN_TOO_LARGE);
    b.bytes.size = held;
    assert_int_equal(b.count, 1);
    assert_int_equal(b.bytes.size, bytes);
    atomic_store(&alloc.fail_after, 1);
    assert_int_equal(batch_put(&b, key, key), FIRN_NOMEM);
    assert_int_equal(b.count, 1);
    assert_int_equal(b.bytes.size, bytes);
    uint32_t ops;
    assert_int_equal(read_all(buf_slice(&b.bytes), &ops), FIRN_NOT_FOUND);
    assert_int_equal(ops, 1);
    batch_deinit(&b);
    free(large);
}

static void every_cut_is_corruption(void **state) {
    (void)state;
    struct firn_batch b;
    uint32_t ops;
    batch_init(&b, &alloc);
    assert_int_equal(batch_put(&b, FIRN_STR("apple"), FIRN_STR("red")), FIRN_OK);
    assert_int_equal(batch_delete(&b, FIRN_STR("pear")), FIRN_OK);
    for (size_t size = 0; size < b.bytes.size; size++) {
        uint8_t *cut =
            malloc(size + 1); /* its own block, so that the sanitizer sees a step too far */
        memcpy(cut, b.bytes.data, size);
        assert_int_equal(read_all(firn_slice_make(cut, size), &ops), FIRN_CORRUPT);
        free(cut);
    }
    assert_int_equal(buf_append_u8(&b.bytes, 0), FIRN_OK);
    assert_int_equal(read_all(buf_slice(&b.bytes), &ops), FIRN_CORRUPT);
    assert_int_equal(ops, 2);
    batch_deinit(&b);
}

static void an_unknown_kind_is_named(void **state) {
    (void)state;
    static const uint8_t bytes[] = {1, 0, 0, 0, 9, 0, 1, 'k'};
    uint32_t ops;
    assert_int_equal(read_all(firn_slice_make(bytes, sizeof bytes), &ops), FIRN_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "kind 9"));
}

static void counts_and_lengths_are_not_believed(void **state) {
    (void)state;
    static const uint8_t many[] = {0xff, 0xff, 0xff, 0xff, 1, 0, 1, 'k', 0};
    static const uint8_t lengthy[] = {1, 0, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 'k', 0};
    static const uint8_t keyspace[] = {1, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 'k'};
    uint32_t ops;
    assert_int_equal(read_all(firn_slice_make(many, sizeof many), &ops), FIRN_CORRUPT);
    assert_int_equal(read_all(firn_slice_make(lengthy, sizeof lengthy), &ops), FIRN_CORRUPT);
    assert_int_equal(read_all(firn_slice_make(keyspace, sizeof keyspace), &ops), FIRN_CORRUPT);
}

static void random_bytes_never_do_harm(void **state) {
    (void)state;
    struct rand rand;
    rand_init(&rand, test_seed());
    for (int round = 0; round < 20000; round++) {
        size_t size = rand_below(&rand, 64);
        uint8_t *bytes = malloc(size + 1);
        for (size_t i = 0; i < size; i++) {
            bytes[i] =
                (uint8_t)(rand_below(&rand, 2) == 0 ? rand_below(&rand, 4) : rand_next(&rand));
        }
        if (size >= 4) {
            put_u32(bytes, (uint32_t)rand_below(&rand, 8));
        }
        uint32_t ops;
        int rc = read_all(firn_slice_make(bytes, size), &ops);
        assert_true(rc == FIRN_NOT_FOUND || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
        free(bytes);
    }
}

static void the_public_batch_counts_and_clears(void **state) {
    (void)state;
    firn_batch *b;
    assert_int_equal(firn_batch_create(&b), FIRN_OK);
    assert_int_equal(firn_batch_count(b), 0);
    assert_int_equal(firn_batch_put(b, FIRN_STR("k"), FIRN_STR("v")), FIRN_OK);
    assert_int_equal(firn_batch_delete(b, FIRN_STR("k")), FIRN_OK);
    assert_int_equal(firn_batch_count(b), 2);
    assert_int_equal(firn_batch_bytes(b), b->bytes.size);
    firn_batch_clear(b);
    assert_int_equal(firn_batch_count(b), 0);
    assert_int_equal(firn_batch_bytes(b), 0);
    assert_int_equal(firn_batch_put(b, FIRN_STR("k"), FIRN_STR("v")), FIRN_OK);
    assert_int_equal(firn_batch_count(b), 1);
    firn_batch_destroy(b);
    firn_batch_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_are_read_back_in_order),
        cmocka_unit_test(the_bytes_of_a_batch_are_pinned),
        cmocka_unit_test(limits_leave_the_batch_as_it_was),
        cmocka_unit_test(every_cut_is_corruption),
        cmocka_unit_test(an_unknown_kind_is_named),
        cmocka_unit_test(counts_and_lengths_are_not_believed),
        cmocka_unit_test(random_bytes_never_do_harm),
        cmocka_unit_test(the_public_batch_counts_and_clears),
    };
    return cmocka_run_group_tests(tests, set_up, nothing_is_held);
}
